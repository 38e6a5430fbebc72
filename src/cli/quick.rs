//! `hotgate quick`: a site without a file. Without arguments a demonstration, on loopback alone.

use std::net::SocketAddr;

use super::Exit;
use super::files::parse_and_tell;
use super::run::run_config;
use super::talk::say;
use crate::config::{Config, HostPattern, Site, Source, is_local_name, parse, quoted};
use crate::control::inspect::{Finding, Mark, names, ports, upstreams};
use crate::http::authority::HostName;

/// The port of the demonstration, and of a site with a local name.
const LOCAL_PORT: u16 = 8080;
/// The port of a site with a public name.
const PUBLIC_PORT: u16 = 80;

/// What `quick` takes.
#[derive(clap::Args)]
pub(super) struct QuickArgs {
    /// The site: app.localhost, example.com, :8080
    #[arg(requires = "target")]
    host: Option<String>,
    /// Where its requests go: 3000, 10.0.0.5:3000, unix:/run/app.sock
    target: Option<String>,
    /// The port to serve it on, by plain HTTP [default: 8080 for local names; a public name is served on 443 by HTTPS]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

/// Serves a site, or the demonstration, until a signal.
pub(super) fn quick(args: &QuickArgs) -> Exit {
    match (&args.host, &args.target) {
        (Some(host), Some(target)) => site(host, target, args.port),
        (_, _) => demonstration(args.port.unwrap_or(LOCAL_PORT)),
    }
}

/// Serves `http://localhost:PORT` through the whole proxy path to the built-in origin.
fn demonstration(port: u16) -> Exit {
    match parse_and_tell("quick", &config(port, has_ipv6_loopback())) {
        Ok(config) => run_config(config, tell),
        Err(exit) => exit,
    }
}

/// Looks whether a site can be served, says each check aloud, and serves it.
fn site(host: &str, target: &str, port: Option<u16>) -> Exit {
    let text = site_text(host, target, port.is_some());
    let parsed = match parse_site(&text) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let Some(site) = parsed.sites.first() else {
        return Exit::Usage;
    };
    let name = match &site.host {
        HostPattern::Exact(host) => Some(host.clone()),
        HostPattern::Wildcard(_) | HostPattern::Any => None,
    };
    let is_local = name.as_ref().is_some_and(is_local_name);
    let of_key = site.port;
    let default = if is_local { LOCAL_PORT } else { PUBLIC_PORT };
    let port = port.or(of_key).unwrap_or(default);
    let config = match parse_site(&format!("{}{text}", server_text(port, is_local))) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    say_checks(name.as_ref(), is_local, &config, |finding| {
        say(&finding.to_string())
    })
    .map_or_else(
        |exit| exit,
        |()| {
            let is_https = config.sites.iter().any(Site::is_https);
            run_config(config, |addresses| {
                ready(name.as_ref(), is_https, addresses)
            })
        },
    )
}

/// Each check, in the order in which a person would look; an error ends it.
fn say_checks(
    name: Option<&HostName>,
    is_local: bool,
    config: &Config,
    tell: impl Fn(&Finding),
) -> Result<(), Exit> {
    match name {
        Some(name) if !is_local && name.ip().is_none() => tell(&names::site_name(name.as_str())),
        Some(name) if is_local => tell(&Finding::new(
            Mark::Good,
            "site-name",
            name.as_str(),
            "is a local name: it is served for this machine alone",
        )),
        Some(_) | None => {}
    }
    for finding in ports::ports(config) {
        let is_taken_by_us = finding.mark == Mark::Good && finding.what.contains("running hotgate");
        let finding = match is_taken_by_us {
            true => Finding::new(Mark::Bad, finding.code, finding.subject, finding.what)
                .mend("the service serves it: put the site into a file of /etc/hotgate/sites.d and restart it, or choose --port"),
            false => finding,
        };
        tell(&finding);
        if finding.mark == Mark::Bad {
            let is_permission = finding.what.contains("may not listen");
            return Err(if is_permission {
                Exit::Permission
            } else {
                Exit::Failed
            });
        }
    }
    upstreams::upstreams(config).iter().for_each(&tell);
    let is_https = config.sites.iter().any(Site::is_https);
    let (mark, what) = match (is_https, is_local) {
        (true, _) => (
            Mark::Good,
            "is obtained by ACME once the site is served; until then http:// says how far it is",
        ),
        (false, true) => (Mark::Good, "none: the site is served over plain HTTP"),
        (false, false) => (
            Mark::Warning,
            "none: the site is served over plain HTTP; a public name without --port is HTTPS",
        ),
    };
    tell(&Finding::new(mark, "certificate", "certificate", what));
    Ok(())
}

/// Parses a text of ours; a fault is one of the arguments.
fn parse_site(text: &str) -> Result<Config, Exit> {
    let source = Source {
        name: "quick",
        text,
    };
    parse(&[source]).map_err(|faults| {
        for fault in &faults {
            let mend = match fault.mend.split_once(" = ") {
                Some((host, target)) => format!(
                    "\n  = try: hotgate quick {} {}",
                    host.trim_matches('"').trim_start_matches("http://"),
                    target.trim_matches('"')
                ),
                None => String::new(),
            };
            say(&format!("error[{}]: {}{mend}", fault.code, fault.message));
        }
        Exit::Usage
    })
}

/// A public name is HTTPS, unless it `has_port`, which is a plain one.
fn site_text(host: &str, target: &str, has_port: bool) -> String {
    let is_odd = host.starts_with(':') || host == "*" || host.contains("://");
    let is_public = HostName::parse(host.as_bytes()).is_ok_and(|name| !is_local_name(&name));
    let host = match is_odd || is_public && !has_port {
        true => host.to_owned(),
        false => format!("http://{host}"),
    };
    let target = match target.parse::<u64>() {
        Ok(port) => port.to_string(),
        Err(_) => quoted(target),
    };
    format!("[sites]\n{} = {target}\n", quoted(&host))
}

fn server_text(port: u16, is_local: bool) -> String {
    let listeners = match (is_local, has_ipv6_loopback()) {
        (false, _) => format!("\":{port}\""),
        (true, true) => format!("\"127.0.0.1:{port}\", \"[::1]:{port}\""),
        (true, false) => format!("\"127.0.0.1:{port}\""),
    };
    format!(
        "[server]\nhttp = [{listeners}]\n\n[log]\nlevel = \"warn\"\n\n\
         [log.access]\npath = \"stdout\"\nformat = \"combined\"\n\n"
    )
}

fn ready(name: Option<&HostName>, is_https: bool, addresses: &[SocketAddr]) {
    if let (Some(name), true) = (name, is_https) {
        say(&format!(
            "ready: https://{name}\n\nEach request leaves a line below. Ctrl-C ends it."
        ));
        return;
    }
    let port = addresses.first().map_or(LOCAL_PORT, SocketAddr::port);
    let name = name.map_or("localhost", HostName::as_str);
    let port = match port {
        80 => String::new(),
        port => format!(":{port}"),
    };
    say(&format!(
        "ready: http://{name}{port}\n\nEach request leaves a line below. Ctrl-C ends it."
    ));
}

/// The file that the demonstration does without.
fn config(port: u16, with_ipv6: bool) -> String {
    let ipv6 = if with_ipv6 {
        format!(", \"[::1]:{port}\"")
    } else {
        String::new()
    };
    format!(
        "[server]\nhttp = [\"127.0.0.1:{port}\"{ipv6}]\n\n\
         [log]\nlevel = \"warn\"\n\n\
         [log.access]\npath = \"stdout\"\nformat = \"combined\"\n\n\
         [sites]\n\"*\" = {{ builtin = \"whoami\" }}\n"
    )
}

fn has_ipv6_loopback() -> bool {
    std::net::TcpListener::bind((std::net::Ipv6Addr::LOCALHOST, 0)).is_ok()
}

fn tell(addresses: &[SocketAddr]) {
    let port = addresses.first().map_or(LOCAL_PORT, SocketAddr::port);
    say(&format!(
        "ready: http://localhost:{port} is served, for this machine alone, in front of a built-in origin\n\n  \
         try:  curl http://localhost:{port}/hello\n        \
         curl -d name=value http://localhost:{port}/form\n        \
         curl -H 'X-Forwarded-For: 6.6.6.6' http://localhost:{port}/   (replaced: nobody may say who he is)\n        \
         curl --path-as-is http://localhost:{port}/a/../../etc/passwd  (refused)\n\n\
         Each request leaves a line below. Ctrl-C ends it."
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_name_is_https() {
        for (host, has_port, key) in [
            ("example.com", false, "example.com"),
            ("example.com", true, "http://example.com"),
            ("app.localhost", false, "http://app.localhost"),
            ("nas", false, "http://nas"),
            ("http://example.com", false, "http://example.com"),
            (":8080", false, ":8080"),
            ("*", false, "*"),
        ] {
            let expected = format!("[sites]\n\"{key}\" = 3000\n");
            assert_eq!(site_text(host, "3000", has_port), expected);
        }
    }

    #[test]
    fn the_demonstration_is_a_valid_configuration() {
        for with_ipv6 in [false, true] {
            let text = config(8080, with_ipv6);
            let parsed = parse(&[Source {
                name: "quick",
                text: &text,
            }])
            .expect("it is ours");
            assert!(parsed.warnings.is_empty());
            assert_eq!(parsed.listeners().len(), 1 + usize::from(with_ipv6));
        }
    }
}
