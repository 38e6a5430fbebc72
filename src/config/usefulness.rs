//! What is legal but does nothing, or more than was meant: warnings, never errors.

use std::collections::{HashMap, HashSet};

use ipnet::IpNet;

use super::diagnostic::{Fault, Faults};
use super::model::{Action, Config, EndpointAddress, Route, Site, Target};
use super::model_tls::ClientAuth;
use super::place::Place;
use super::raw::{Entry, entries};
use super::settings::Given;
use super::site::ACTIONS;
use super::tree::{Member, Value};
use crate::policy::middleware::access::Allow;
use crate::policy::route::PathPattern;

/// Looks at the merged tree and at what was read from it. Only called when there is no error.
pub(super) fn warn(tree: &[Member], config: &Config, faults: &mut Faults) {
    if config.sites.is_empty() {
        nothing_served(tree, faults);
    }
    let read: HashMap<&Place, &Site> = config
        .sites
        .iter()
        .map(|site| (&site.place, site))
        .collect();
    for entry in entries(tree) {
        match entry.name {
            "sites" => {
                for site in entries(entry.value.as_table().unwrap_or_default()) {
                    let place = faults.place(site.key.start);
                    if let Some(read) = read.get(&place) {
                        of_site(&site, read, faults);
                    }
                }
            }
            "upstreams" => unused(&entry, config, faults),
            "server" => everybody_trusted(&entry, config, faults),
            "defaults" => of_settings(&entry, faults),
            _ => {}
        }
    }
}

/// Told where sites would stand; a configuration without any file is nobody's mistake.
fn nothing_served(tree: &[Member], faults: &mut Faults) {
    let found = entries(tree);
    let sites = found.iter().find(|entry| entry.name == "sites");
    if let Some(entry) = sites.or(found.first()) {
        let message = "there is no site: every request is answered with 421";
        let fault = Fault::new("no-sites", entry.key.clone(), message);
        faults.warning(fault.write("[sites]\n\"example.com\" = 3000"));
    }
}

/// Upstreams that nobody names.
fn unused(upstreams: &Entry, config: &Config, faults: &mut Faults) {
    let routes = config.sites.iter().flat_map(|site| &site.routes);
    let targets = routes.flat_map(|route| match &route.action {
        Action::Proxy(to) => to.targets.as_slice(),
        Action::Whoami | Action::None => &[],
    });
    let used: HashSet<&str> = targets
        .filter_map(|target| match target {
            Target::Upstream(name) => Some(name.as_str()),
            Target::Address(_) => None,
        })
        .collect();
    for entry in entries(upstreams.value.as_table().unwrap_or_default()) {
        if !used.contains(entry.name) {
            let message = format!("no site or path names the upstream `{}`", entry.name);
            let fault = Fault::new("unused-upstream", entry.key.clone(), message);
            faults.warning(fault.write(format!("to = {:?}", entry.name)));
        }
    }
}

/// Every peer would be believed what it says of itself.
fn everybody_trusted(server: &Entry, config: &Config, faults: &mut Faults) {
    let is_all = |network: &IpNet| network.prefix_len() == 0;
    if !config.server.trusted_proxies.iter().any(is_all) {
        return;
    }
    let found = entries(server.value.as_table().unwrap_or_default());
    if let Some(entry) = found.iter().find(|entry| entry.name == "trusted_proxies") {
        let message = "`trusted_proxies` believes everybody, so anybody may forge an address";
        let fault = Fault::new("open-trust", entry.span.clone(), message);
        faults.warning(fault.label("name the proxy's own networks"));
    }
}

fn of_site(site: &Entry, read: &Site, faults: &mut Faults) {
    let members = entries(site.value.as_table().unwrap_or_default());
    subject_of_nobody(&members, read, faults);
    of_settings(site, faults);
    let paths = members.iter().find(|member| member.name == "paths");
    let paths = entries(
        paths
            .and_then(|paths| paths.value.as_table())
            .unwrap_or_default(),
    );
    for path in &paths {
        of_settings(path, faults);
    }
    secured_nothing(&members, read.routes.iter(), faults);
    for path in &paths {
        let place = faults.place(path.key.start);
        let members = entries(path.value.as_table().unwrap_or_default());
        let own = read.routes.iter().filter(|route| route.place == place);
        secured_nothing(&members, own, faults);
    }
    shadowed_action(&members, &paths, faults);
    for path in &paths {
        let is_empty = path.value.as_table().is_some_and(<[Member]>::is_empty);
        if is_empty && !is_within_another(path, read, faults) {
            let message = format!(
                "the path `{}` says nothing that its site does not",
                path.name
            );
            let fault = Fault::new("useless-path", path.key.clone(), message);
            faults.warning(fault.label("give it an action or a setting, or leave it out"));
        }
    }
    let is_whoami = |place: &Place| {
        read.routes
            .iter()
            .any(|route| route.place == *place && route.action == Action::Whoami)
    };
    for entry in std::iter::once(site).chain(&paths) {
        if is_whoami(&faults.place(entry.key.start)) {
            useless_with_builtin(entry, faults);
        }
    }
}

/// Does another path take what this one would not? Then it has the site's own settings on purpose.
fn is_within_another(path: &Entry, site: &Site, faults: &Faults) -> bool {
    let place = faults.place(path.key.start);
    let octets = |pattern: &PathPattern| match pattern {
        PathPattern::Exact(octets) | PathPattern::Prefix(octets) => octets.clone(),
    };
    let Some(ours) = site.routes.iter().find(|route| route.place == place) else {
        return true;
    };
    let ours = octets(&ours.pattern);
    site.routes
        .iter()
        .skip(1)
        .any(|other| match &other.pattern {
            PathPattern::Prefix(prefix) => other.place != place && ours.starts_with(prefix),
            PathPattern::Exact(_) => false,
        })
}

/// The site's own action, where `"/"` among its paths has another and every path one of its own.
fn shadowed_action(members: &[Entry], paths: &[Entry], faults: &mut Faults) {
    let has_action = |entry: &Entry| match entry.value.as_table() {
        Some(members) => members
            .iter()
            .any(|member| ACTIONS.contains(&member.name.as_str())),
        None => true,
    };
    let Some(action) = members.iter().find(|member| ACTIONS.contains(&member.name)) else {
        return;
    };
    let root = paths.iter().find(|path| path.name == "/");
    if let Some(root) = root.filter(|_| paths.iter().all(has_action)) {
        let message = format!("`{}` of the site is never used", action.name);
        let root = faults.place(root.key.start);
        let fault = Fault::new("shadowed", action.key.clone(), message);
        faults.warning(fault.label(format!("the path `/` at {root} takes all of its requests")));
    }
}

/// `client_cert_header` of a site that asks for no certificate.
fn subject_of_nobody(members: &[Entry], read: &Site, faults: &mut Faults) {
    let asks = read.is_https() && read.tls.client_auth != ClientAuth::Off;
    let found = members
        .iter()
        .find(|member| member.name == "client_cert_header");
    if let Some(entry) = found.filter(|entry| !asks && entry.value.as_str() != Some("off")) {
        let message = "`client_cert_header` is never set: the site asks clients for no certificate";
        let fault = Fault::new("useless-rule", entry.key.clone(), message);
        let sample =
            "tls = { client_auth = \"require\", client_ca = \"/etc/hotgate/clients.pem\" }";
        faults.warning(fault.write(sample));
    }
}

/// Rules for TLS towards apps where no app has TLS.
fn secured_nothing<'a>(
    members: &[Entry],
    mut routes: impl Iterator<Item = &'a Route>,
    faults: &mut Faults,
) {
    let is_https = |address: &EndpointAddress| matches!(address, EndpointAddress::Https { .. });
    let found = members.iter().find(|member| member.name == "upstream_tls");
    let says_something =
        |entry: &&Entry| entry.value.as_table().is_none_or(|keys| !keys.is_empty());
    let Some(entry) = found.filter(says_something) else {
        return;
    };
    let is_used = routes.any(|route| match &route.action {
        Action::Proxy(to) => to.addresses.iter().any(is_https),
        Action::Whoami | Action::None => false,
    });
    if !is_used {
        let message = "`upstream_tls` does nothing here: no target begins with https://";
        let fault = Fault::new("useless-rule", entry.key.clone(), message);
        faults.warning(fault.label("TLS is spoken to a target such as \"https://app.internal\""));
    }
}

/// An app that anybody on the way may pass for.
fn unverified(members: &[Entry], faults: &mut Faults) {
    let found = members.iter().find(|member| member.name == "upstream_tls");
    let keys = entries(
        found
            .and_then(|found| found.value.as_table())
            .unwrap_or_default(),
    );
    let verify = keys.iter().find(|key| key.name == "verify");
    if let Some(entry) = verify.filter(|entry| *entry.value == Value::Boolean(false)) {
        let message = "`verify = false` lets anybody on the way pass for the app";
        let fault = Fault::new("unverified", entry.key.clone(), message);
        let fault = fault.label("`ca` says whom to believe, `server_name` which name to expect");
        faults.warning(fault);
    }
}

/// `allow` that keeps nobody out, or names a network twice; TLS to an app that proves nothing.
fn of_settings(entry: &Entry, faults: &mut Faults) {
    let members = entries(entry.value.as_table().unwrap_or_default());
    unverified(&members, faults);
    let Some(allow) = members.iter().find(|member| member.name == "allow") else {
        return;
    };
    let mut ours = Given::default();
    let before = faults.count();
    super::settings::setting(allow, &mut ours, faults);
    drop(faults.take_after(before));
    let Allow::Nets(networks) = &ours.settings.allow else {
        return;
    };
    let covers = |prefix: fn(&IpNet) -> bool| {
        networks
            .iter()
            .any(|network| network.prefix_len() == 0 && prefix(network))
    };
    if covers(|network| matches!(network, IpNet::V4(_)))
        && covers(|network| matches!(network, IpNet::V6(_)))
    {
        let fault = Fault::new(
            "useless-rule",
            allow.span.clone(),
            "`allow` lets everybody in",
        );
        faults.warning(
            fault
                .label("\"any\" says so")
                .replace(allow.span.clone(), "\"any\""),
        );
        return;
    }
    let inner = networks.iter().find(|inner| {
        networks
            .iter()
            .any(|outer| outer != *inner && outer.contains(*inner))
    });
    if let Some(inner) = inner {
        let message = format!("{inner} in `allow` is within another of its networks");
        faults.warning(Fault::new("useless-rule", allow.span.clone(), message));
    }
}

/// What a built-in page has no use for.
fn useless_with_builtin(entry: &Entry, faults: &mut Faults) {
    for member in entries(entry.value.as_table().unwrap_or_default()) {
        if member.name == "upgrade" {
            let message = "`upgrade` does nothing here: a built-in page is no websocket";
            faults.warning(Fault::new("useless-rule", member.key.clone(), message));
        }
    }
}
