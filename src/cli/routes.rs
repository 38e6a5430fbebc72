//! `hotgate routes`: every site and path with its action, and where it stands.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::Exit;
use super::columns::{COLUMNS, visible, wrapped};
use super::files::read;
use super::json::print_facts;
use super::talk::print;
use crate::config::{
    Action, CertificateSource, ClientAuth, Config, Destination, HostPattern, ListenAddress,
    Listener, ListenerKind, Route, Settings, Site, SiteScheme, Target,
};
use crate::policy::pipeline::Pipeline;

/// Prints all routes, listener by listener.
pub(super) fn routes(named: &[PathBuf], is_json: bool) -> Exit {
    let config = match read(named) {
        Ok(loaded) => loaded.config,
        Err(exit) => return exit,
    };
    match is_json {
        true => print_facts(as_json(&config)),
        false => print(&as_text(&config)),
    }
    Exit::Fine
}

fn as_text(config: &Config) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(line.trim_end());
        text.push('\n');
    };
    for (addresses, listener) in together(config) {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let addresses = addresses.join(", ");
        match listener.kind {
            ListenerKind::Plain => line(&addresses),
            ListenerKind::Tls => line(&format!("{addresses}, TLS")),
        }
        if listener.sites.is_empty() {
            line("  no site: every request is answered with 421 (unknown_host)");
        }
        for site in listener.sites.iter().map(|index| &config.sites[*index]) {
            match (listener.kind, redirect(site, config)) {
                (ListenerKind::Plain, Some(to)) => {
                    line(&format!("  {}", clean(config, &site.name)));
                    line(&clean(
                        config,
                        &format!("    redirects to {to}  {}", site.place),
                    ));
                }
                (ListenerKind::Plain, None) => site_as_text(site, None, config, &mut line),
                (ListenerKind::Tls, _) => {
                    site_as_text(site, Some(&certificate(site)), config, &mut line);
                }
            }
        }
        for (site, winner) in beaten(config, &listener) {
            let name = clean(config, &site.name);
            let winner = clean(config, &format!("{} ({})", winner.name, winner.place));
            line(&format!("  ! {name}  {}", site.place));
            let why = format!("unreachable: {winner} has its host here");
            for part in wrapped(&why, COLUMNS - 4) {
                line(&format!("    {part}"));
            }
        }
    }
    text
}

fn site_as_text(
    site: &Site,
    certificate: Option<&str>,
    config: &Config,
    line: &mut impl FnMut(&str),
) {
    let note = certificate.map_or(String::new(), |text| format!("  ({text})"));
    for (index, part) in wrapped(&clean(config, &format!("{}{note}", site.name)), COLUMNS - 2)
        .iter()
        .enumerate()
    {
        let indent = if index == 0 { 2 } else { 4 };
        line(&format!("{:indent$}{part}", ""));
    }
    let width = |text: &str| text.chars().count();
    let paths = site.routes.iter().map(|route| width(&route.name));
    let path_width = paths.max().unwrap_or(0);
    let actions = site
        .routes
        .iter()
        .map(|route| width(&action(route, config)));
    let action_width = actions.max().unwrap_or(0).min(32);
    for (route, outer) in with_outer(site, config) {
        let before = 4 + path_width + 2;
        let source = source(route, site);
        let told = wrapped(&clean(config, &action(route, config)), COLUMNS - before);
        for (index, told) in told.iter().enumerate() {
            let name = if index == 0 { route.name.as_str() } else { "" };
            let name = clean(config, name);
            let start = format!("    {name:path_width$}  {told:action_width$}");
            if index > 0 {
                line(&start);
            } else if width(&start) + 2 + width(&source) <= COLUMNS {
                line(&format!("{start}  {source}"));
            } else {
                line(&start);
                line(&format!("{:before$}  {source}", ""));
            }
        }
        for (key, value) in own(route, outer) {
            let value = clean(config, &value);
            line(&format!("{:before$}  {key} = {value}", ""));
        }
    }
}

fn clean(config: &Config, text: &str) -> String {
    visible(&config.secrets.mask(text))
}

/// Listeners with the same sites together.
fn together(config: &Config) -> Vec<(Vec<ListenAddress>, Listener)> {
    let mut groups: Vec<(Vec<ListenAddress>, Listener)> = Vec::new();
    for listener in config.listeners() {
        let same = groups.iter_mut().find(|(_, known)| {
            known.kind == listener.kind
                && known.sites == listener.sites
                && is_beaten_alike(config, known, &listener)
        });
        match same {
            Some((addresses, _)) => addresses.push(listener.address),
            None => groups.push((vec![listener.address], listener)),
        }
    }
    groups
}

fn is_beaten_alike(config: &Config, one: &Listener, other: &Listener) -> bool {
    let places = |listener: &Listener| {
        let beaten = beaten(config, listener);
        let places = beaten.iter().map(|(site, _)| site.place.clone());
        places.collect::<Vec<_>>()
    };
    places(one) == places(other)
}

/// The sites that ask for this listener in vain, each with the one that has its host there. (Paths never hide each
/// other: the longest wins, and no two are alike.)
fn beaten<'c>(config: &'c Config, listener: &Listener) -> Vec<(&'c Site, &'c Site)> {
    let winner_of = |site: &Site| {
        let mut here = listener.sites.iter().map(|index| &config.sites[*index]);
        here.find(|winner| winner.host == site.host)
    };
    config
        .sites
        .iter()
        .enumerate()
        .filter(|(index, site)| {
            !listener.sites.contains(index)
                && config.is_asked_for(site, listener.kind, &listener.address)
        })
        .filter_map(|(_, site)| Some((site, winner_of(site)?)))
        .collect()
}

/// Where plain requests for a site of HTTPS are sent; `None` for a site that is served plain.
fn redirect(site: &Site, config: &Config) -> Option<String> {
    match site.scheme {
        SiteScheme::Https => {}
        SiteScheme::Http | SiteScheme::Both => return None,
    }
    let host = match &site.host {
        HostPattern::Exact(host) => host.to_string(),
        HostPattern::Wildcard(suffix) => format!("*.{suffix}"),
        HostPattern::Any => return None,
    };
    let port = match site.port.unwrap_or(config.server.public_https) {
        443 => String::new(),
        port => format!(":{port}"),
    };
    Some(format!("https://{host}{port}"))
}

/// Where a site's certificate comes from, and whom it lets in.
fn certificate(site: &Site) -> String {
    let source = match &site.tls.source {
        CertificateSource::Acme => "certificate by ACME".to_owned(),
        CertificateSource::LocalCa => "certificate of hotgate's own authority".to_owned(),
        CertificateSource::Files(pairs) => {
            let files: Vec<String> = pairs
                .iter()
                .map(|pair| pair.cert.display().to_string())
                .collect();
            format!("certificate {}", files.join(", "))
        }
    };
    match &site.tls.client_auth {
        ClientAuth::Off => source,
        ClientAuth::Request(_) => format!("{source}; clients are asked for one"),
        ClientAuth::Require(_) => format!("{source}; clients must show one"),
    }
}

/// Each route and the settings that it would have without its own.
fn with_outer<'c>(
    site: &'c Site,
    config: &'c Config,
) -> impl Iterator<Item = (&'c Route, &'c Settings)> {
    let whole = site
        .routes
        .first()
        .map_or(&config.defaults, |route| &route.settings);
    site.routes
        .iter()
        .enumerate()
        .map(move |(index, route)| match index {
            0 => (route, &config.defaults),
            _ => (route, whole),
        })
}

fn own(route: &Route, outer: &Settings) -> Vec<(String, String)> {
    let mut own = Vec::new();
    if route.settings.strip {
        own.push(("strip".to_owned(), "true".to_owned()));
    }
    let pairs = route.settings.shown().into_iter().zip(outer.shown());
    own.extend(
        pairs
            .filter(|(ours, outer)| ours != outer)
            .map(|(ours, _)| ours),
    );
    own
}

fn action(route: &Route, config: &Config) -> String {
    match &route.action {
        Action::Proxy(to) => {
            let targets: Vec<String> = to.targets.iter().map(|one| target(one, config)).collect();
            let pipeline = match to.pipeline {
                Pipeline::Off => String::new(),
                pipeline @ (Pipeline::Auto | Pipeline::Depth(_)) => {
                    format!(", pipeline {pipeline}")
                }
            };
            format!("to {}{pipeline}", targets.join(", "))
        }
        Action::Whoami => "builtin whoami".to_owned(),
        Action::None => "404".to_owned(),
    }
}

/// An upstream with its servers: `api (10.0.0.2:8000, 10.0.0.3:8000)`.
fn target(target: &Target, config: &Config) -> String {
    let Target::Upstream(name) = target else {
        return target.to_string();
    };
    let named = config.upstreams.iter().find(|known| known.name == *name);
    let servers = named.map_or(&[][..], |upstream| upstream.servers.as_slice());
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    format!("{name} ({})", servers.join(", "))
}

/// The upstreams that a destination names.
fn names(to: &Destination) -> Vec<String> {
    let names = to.targets.iter().filter_map(|target| match target {
        Target::Upstream(name) => Some(name.clone()),
        Target::Address(_) => None,
    });
    names.collect()
}

fn source(route: &Route, site: &Site) -> String {
    match site.is_generated {
        true => format!("{} (generated)", route.place),
        false => route.place.to_string(),
    }
}

fn as_json(config: &Config) -> Value {
    let listeners = config.listeners();
    let mask = |text: &str| config.secrets.mask(text);
    let listener = |listener: &Listener| {
        let sites = listener.sites.iter().map(|index| &config.sites[*index]);
        let unreachable = beaten(config, listener);
        let unreachable = unreachable.iter().map(|(site, winner)| {
            json!({
                "site": mask(&site.name),
                "source": site.place.to_string(),
                "by": mask(&winner.name),
                "by_source": winner.place.to_string(),
            })
        });
        json!({
            "address": listener.address.to_string(),
            "tls": listener.kind == ListenerKind::Tls,
            "sites": sites
                .map(|site| site_as_json(site, listener.kind, config))
                .collect::<Vec<_>>(),
            "unreachable": unreachable.collect::<Vec<_>>(),
        })
    };
    json!({ "listeners": listeners.iter().map(listener).collect::<Vec<_>>() })
}

fn site_as_json(site: &Site, kind: ListenerKind, config: &Config) -> Value {
    let mask = |text: String| config.secrets.mask(&text);
    let route = |(route, outer): (&Route, &Settings)| {
        let targets = match &route.action {
            Action::Proxy(to) => to
                .addresses
                .iter()
                .map(|one| mask(one.to_string()))
                .collect(),
            Action::Whoami | Action::None => Vec::new(),
        };
        let (upstreams, pipeline) = match &route.action {
            Action::Proxy(to) => (names(to), to.pipeline),
            Action::Whoami | Action::None => (Vec::new(), Pipeline::Off),
        };
        let kind = match &route.action {
            Action::Proxy(_) => "to",
            Action::Whoami => "builtin",
            Action::None => "none",
        };
        let settings: serde_json::Map<String, Value> = own(route, outer)
            .into_iter()
            .map(|(key, value)| (key, Value::String(mask(value))))
            .collect();
        json!({
            "path": mask(route.name.clone()),
            "action": kind,
            "targets": targets,
            "upstreams": upstreams.into_iter().map(mask).collect::<Vec<_>>(),
            "pipeline": match pipeline {
                Pipeline::Depth(depth) => json!(depth),
                Pipeline::Off | Pipeline::Auto => json!(pipeline.to_string()),
            },
            "settings": settings,
            "source": route.place.to_string(),
        })
    };
    json!({
        "site": mask(site.name.clone()),
        "generated": site.is_generated,
        "redirect": redirect(site, config).filter(|_| kind == ListenerKind::Plain).map(mask),
        "certificate": match (kind, &site.tls.source) {
            (ListenerKind::Plain, _) => None,
            (ListenerKind::Tls, CertificateSource::Acme) => Some("acme"),
            (ListenerKind::Tls, CertificateSource::LocalCa) => Some("local_ca"),
            (ListenerKind::Tls, CertificateSource::Files(_)) => Some("files"),
        },
        "client_auth": match (kind, &site.tls.client_auth) {
            (ListenerKind::Plain, _) | (_, ClientAuth::Off) => None,
            (ListenerKind::Tls, ClientAuth::Request(_)) => Some("request"),
            (ListenerKind::Tls, ClientAuth::Require(_)) => Some("require"),
        },
        "source": site.place.to_string(),
        "paths": with_outer(site, config).map(route).collect::<Vec<_>>(),
    })
}
