//! `hotgate quick`: a demonstration without a file, on loopback alone.

use std::net::SocketAddr;

use super::Exit;
use super::files::parse_and_tell;
use super::run::run_config;
use super::talk::say;

/// The port of the demonstration.
pub(super) const DEFAULT_PORT: u16 = 8080;

/// Serves `http://localhost:PORT` through the whole proxy path to the built-in origin.
pub(super) fn quick(port: u16) -> Exit {
    match parse_and_tell("quick", &config(port, has_ipv6_loopback())) {
        Ok(config) => run_config(config, tell),
        Err(exit) => exit,
    }
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
    let port = addresses.first().map_or(DEFAULT_PORT, SocketAddr::port);
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
    use crate::config::{Source, parse};

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
