//! Sites from discovery, read by a narrow schema: whoever can label a container can write here, so little is believed.
//!
//! A generated site has hosts, targets that are addresses outside our own listeners, and the settings of [`SETTINGS`];
//! no files, no built-in pages, no ports of its own, no sections but `sites`, no `${…}`. A host that a hand-written
//! file has stays with it. What is refused is left out with its reason, as a warning: it never harms the rest.

use std::collections::HashMap;
use std::net::IpAddr;

use super::diagnostic::{Fault, Faults};
use super::expand::Surroundings;
use super::host::HostKey;
use super::model::{Action, Config, EndpointAddress, HostPattern, ListenAddress, Site, SiteScheme};
use super::place::Place;
use super::raw::{Entry, entries};
use super::settings::Given;
use super::site;
use super::tree::{Member, Value};

/// What a generated site or path may set, besides `to` and `paths`.
const SETTINGS: [&str; 8] = [
    "to", "host", "upgrade", "allow", "log", "strip", "timeouts", "limits",
];

/// The trees of all generated files are read with one of these, in order.
pub(super) struct Generated<'a> {
    defaults: &'a Given,
    surroundings: &'a Surroundings<'a>,
    owners: HashMap<HostPattern, Place>,
    listeners: Vec<ListenAddress>,
}

impl<'a> Generated<'a> {
    /// Beside these hand-written sites, whose settings begin with `defaults`.
    pub(super) fn beside(
        config: &Config,
        defaults: &'a Given,
        surroundings: &'a Surroundings<'a>,
    ) -> Generated<'a> {
        let owner = |site: &Site| (site.host.clone(), site.place.clone());
        let listeners = config.listeners().into_iter();
        let listeners = listeners.map(|listener| listener.address);
        // Those of HTTPS are opened for the first site that needs them, and that may be a generated one.
        let https = config.server.https.iter().copied();
        Generated {
            defaults,
            surroundings,
            owners: config.sites.iter().map(owner).collect(),
            listeners: listeners.chain(https).collect(),
        }
    }

    /// Reads the sites of one generated file into `config`.
    pub(super) fn add(&mut self, tree: &[Member], config: &mut Config, faults: &mut Faults) {
        for entry in entries(tree) {
            if entry.name != "sites" {
                let message = format!("`{}` of a generated file is left out", entry.name);
                let fault = Fault::new("generated", entry.key.clone(), message);
                faults.warning(fault.label("generated files hold sites alone"));
                continue;
            }
            for entry in entries(entry.value.as_table().unwrap_or_default()) {
                let is_ours = |address: &EndpointAddress| {
                    is_ours(address, &self.listeners, self.surroundings)
                };
                match judge(&entry, self.defaults, &self.owners, &is_ours, faults) {
                    Ok(site) => {
                        self.owners.insert(site.host.clone(), site.place.clone());
                        config.sites.push(site);
                    }
                    Err(why) => left_out(&entry, &why, faults),
                }
            }
        }
    }
}

fn left_out(entry: &Entry, why: &str, faults: &mut Faults) {
    let message = format!("the generated site `{}` is left out", entry.name);
    let fault = Fault::new("generated", entry.key.clone(), message);
    faults.warning(fault.label(why));
}

/// The site, or why it is left out.
fn judge(
    entry: &Entry,
    defaults: &Given,
    owners: &HashMap<HostPattern, Place>,
    is_ours: &impl Fn(&EndpointAddress) -> bool,
    faults: &mut Faults,
) -> Result<Site, String> {
    if let Some(key) = forbidden_key(entry) {
        return Err(format!("`{key}` is not for generated sites"));
    }
    if has_placeholder(entry.name, entry.value) {
        return Err("`${…}` is not expanded in generated files".to_owned());
    }
    // What the ordinary readers find is told as the reason, not as an error of the file.
    let before = faults.count();
    let key = site::key(entry, faults);
    let found = site::site(entry, key.clone(), defaults, None, true, faults);
    if let Some(fault) = faults.take_after(before).into_iter().next() {
        return Err(fault.message);
    }
    let (Some(key), Some(site)) = (key, found) else {
        return Err("it is not a site".to_owned());
    };
    may_have_host(&key, owners)?;
    for route in &site.routes {
        let Action::Proxy(to) = &route.action else {
            continue;
        };
        for endpoint in &to.addresses {
            may_point_to(endpoint, is_ours)?;
        }
    }
    Ok(Site {
        is_generated: true,
        ..site
    })
}

/// The first key, at any depth of sites and paths, that is not in the schema.
fn forbidden_key<'t>(entry: &Entry<'t>) -> Option<&'t str> {
    let members = entry.value.as_table()?;
    let of_paths = |member: &'t Member| -> Option<&'t str> {
        let paths = member.value.as_table().unwrap_or_default();
        let keys = paths.iter().filter_map(|path| path.value.as_table());
        keys.flatten()
            .map(|member| member.name.as_str())
            .find(|name| !SETTINGS.contains(name))
    };
    members
        .iter()
        .find_map(|member| match member.name.as_str() {
            "paths" => of_paths(member),
            name if SETTINGS.contains(&name) => None,
            name => Some(name),
        })
}

fn has_placeholder(name: &str, value: &Value) -> bool {
    let is_within = |text: &str| text.contains("${");
    is_within(name)
        || match value {
            Value::String(text) => is_within(&text.text),
            Value::List(items) => items.iter().any(|item| has_placeholder("", &item.value)),
            Value::Table(members) => members
                .iter()
                .any(|member| has_placeholder(&member.name, &member.value)),
            Value::Integer(_) | Value::Float | Value::Boolean(_) | Value::Datetime => false,
        }
}

fn may_have_host(key: &HostKey, owners: &HashMap<HostPattern, Place>) -> Result<(), String> {
    match (&key.host, key.scheme, key.port) {
        (HostPattern::Any, _, _) => {
            return Err("a generated site has a host of its own".to_owned());
        }
        (_, _, Some(_)) => return Err("a generated site opens no port".to_owned()),
        (_, SiteScheme::Https | SiteScheme::Http | SiteScheme::Both, None) => {}
    }
    match owners.get(&key.host) {
        Some(owner) => Err(format!("{owner} has this host")),
        None => Ok(()),
    }
}

fn may_point_to(
    endpoint: &EndpointAddress,
    is_ours: &impl Fn(&EndpointAddress) -> bool,
) -> Result<(), String> {
    match endpoint {
        EndpointAddress::Unix(_) => {
            return Err("a generated site points to addresses, not to sockets".to_owned());
        }
        EndpointAddress::Https { .. } => {
            return Err("a generated site points to addresses, without `https://`".to_owned());
        }
        EndpointAddress::Tcp { host, .. } => {
            let Ok(ip) = host.parse::<IpAddr>() else {
                return Err("a generated site points to addresses, not to names".to_owned());
            };
            if is_link_local(ip) {
                return Err(format!(
                    "{ip} is link-local: the address of cloud metadata services"
                ));
            }
        }
        EndpointAddress::Port(_) => {}
    }
    match is_ours(endpoint) {
        true => Err(format!("{endpoint} is one of hotgate's own listeners")),
        false => Ok(()),
    }
}

/// RFC 3927, RFC 4291 §2.5.6.
fn is_link_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Would a connection to this address reach one of our own listeners?
fn is_ours(
    endpoint: &EndpointAddress,
    listeners: &[ListenAddress],
    surroundings: &Surroundings,
) -> bool {
    let (ip, port) = match endpoint {
        EndpointAddress::Unix(_) => return false,
        EndpointAddress::Port(port) => (None, *port),
        EndpointAddress::Tcp { host, port } | EndpointAddress::Https { host, port } => {
            match host.parse::<IpAddr>() {
                Ok(ip) => (Some(ip.to_canonical()), *port),
                Err(_) => return false,
            }
        }
    };
    listeners.iter().any(|listener| {
        if listener.port() != port {
            return false;
        }
        // A bare port is loopback, and a connection to 0.0.0.0 is one to loopback.
        let is_here = ip.is_none_or(|ip| ip.is_unspecified() || (surroundings.is_own_address)(ip));
        match listener {
            ListenAddress::Any { .. } => is_here,
            ListenAddress::Address(address) => {
                let bound = address.ip().to_canonical();
                let is_loopback = ip.is_none_or(|ip| ip.is_unspecified() || ip.is_loopback());
                ip == Some(bound)
                    || (bound.is_unspecified() && is_here)
                    || (bound.is_loopback() && is_loopback)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, File, FileKind, Source, parse_files};

    const HAND_WRITTEN: &str = "[server]\nhttp = [\":80\", \"127.0.0.1:9180\"]\n\
        [sites]\n\"own.example.com\" = 3000\n\"*.example.org\" = 3000\n\":8080\" = 3000\n\
        [upstreams.api]\nservers = 3000\n";

    fn read(generated: &str) -> Config {
        let surroundings = Surroundings {
            is_own_address: &|ip| {
                ip.is_loopback() || ip == IpAddr::from([192, 0, 2, 1]) || ip.is_unspecified()
            },
            lookup: &|_| Ok(Some("expanded".to_owned())),
        };
        let file = |name, text, kind| File {
            source: Source { name, text },
            layer: 0,
            kind,
        };
        let files = [
            file("hotgate.toml", HAND_WRITTEN, FileKind::Main),
            file("docker.toml", generated, FileKind::Generated),
        ];
        parse_files(&files, &surroundings).expect("a generated file is never an error")
    }

    #[test]
    fn a_hostile_file_harms_nothing() {
        /// `why` is part of the reason; empty: the site is taken.
        #[track_caller]
        fn check(site: &str, why: &str) {
            let config = read(&format!("[sites]\n{site}\n\"good.example.com\" = 4000"));
            let told: Vec<&str> = config
                .warnings
                .iter()
                .filter(|warning| warning.code == "generated")
                .map(|warning| warning.label.as_str())
                .collect();
            let names: Vec<&str> = config
                .sites
                .iter()
                .filter(|site| site.is_generated)
                .map(|site| site.name.as_str())
                .collect();
            assert!(names.contains(&"good.example.com"), "{site}: {names:?}");
            if why.is_empty() {
                assert_eq!((names.len(), told.len()), (2, 0), "{site}: {told:?}");
            } else {
                assert_eq!(names.len(), 1, "{site} is taken");
                assert!(told.len() == 1 && told[0].contains(why), "{site}: {told:?}");
            }
        }
        check("\"a.example.com\" = \"172.17.0.2:80\"", "");
        check(
            "\"a.example.com\" = [\"172.17.0.2:80\", \"172.17.0.3:80\"]",
            "",
        );
        check("\"a.example.com\" = \"[fd00::2]:80\"", "");
        check("\"a.example.com\" = 3000", "");
        check("\"http://a.example.com\" = 3000", "");
        check("\"*.a.example.com\" = 3000", "");
        check("\"a.example.org\" = 3000", "");
        check(
            "\"a.example.com\" = { to = 3000, host = \"keep\", upgrade = [], allow = [\"private\"], log = false, timeouts.connect = \"1s\", limits.body = \"1KiB\", paths.\"/x\" = { strip = true } }",
            "",
        );
        check("\"a.example.com\" = { root = \"/etc\" }", "`root`");
        check(
            "\"a.example.com\" = { to = 3000, php = \"unix:/run/php\" }",
            "`php`",
        );
        check("\"a.example.com\" = { builtin = \"whoami\" }", "`builtin`");
        check(
            "\"a.example.com\" = { builtin = \"dashboard\" }",
            "`builtin`",
        );
        check(
            "\"a.example.com\" = { to = 3000, tls = { cert = \"/etc/shadow\", key = \"/etc/shadow\" } }",
            "`tls`",
        );
        check(
            "\"a.example.com\" = { to = 3000, errors = { 502 = \"/etc/shadow\" } }",
            "`errors`",
        );
        check(
            "\"a.example.com\" = { to = 3000, underscore_headers = true }",
            "`underscore_headers`",
        );
        check(
            "\"a.example.com\" = { to = 3000, paths.\"/x\" = { builtin = \"whoami\" } }",
            "`builtin`",
        );
        check(
            "\"a.example.com\" = { to = 3000, host = \"${file:/etc/shadow}\" }",
            "`${…}`",
        );
        check("\"${HOST}.example.com\" = 3000", "`${…}`");
        check("\"a.example.com\" = [\"${X}\"]", "`${…}`");
        check(
            "\"own.example.com\" = 3000",
            "hotgate.toml:4:1 has this host",
        );
        check(
            "\"OWN.example.com.\" = 3000",
            "hotgate.toml:4:1 has this host",
        );
        check("\"http://own.example.com\" = 3000", "has this host");
        check("\"*.example.org\" = 3000", "has this host");
        check("\"*\" = 3000", "a host of its own");
        check("\":80\" = 3000", "a host of its own");
        check("\"http://a.example.com:9000\" = 3000", "opens no port");
        check("\"a.example.com:8443\" = 3000", "opens no port");
        check("\"a.example.com\" = 80", "own listeners");
        check("\"a.example.com\" = 8080", "own listeners");
        check("\"a.example.com\" = 9180", "own listeners");
        check("\"a.example.com\" = \"127.0.0.9:80\"", "own listeners");
        check("\"a.example.com\" = \"0.0.0.0:80\"", "own listeners");
        check("\"a.example.com\" = \"192.0.2.1:80\"", "own listeners");
        check(
            "\"a.example.com\" = \"[::ffff:127.0.0.1]:80\"",
            "own listeners",
        );
        check("\"a.example.com\" = \"[::1]:9180\"", "own listeners");
        check("\"a.example.com\" = [3000, 80]", "own listeners");
        check(
            "\"a.example.com\" = { to = 3000, paths.\"/x\" = 80 }",
            "own listeners",
        );
        check("\"a.example.com\" = \"localhost:3000\"", "not to names");
        check("\"a.example.com\" = \"app:3000\"", "not to names");
        check("\"a.example.com\" = \"api\"", "not to names");
        check("\"a.example.com\" = [3000, \"api\"]", "not to names");
        check(
            "\"a.example.com\" = { to = 3000, paths.\"/x\" = \"api\" }",
            "not to names",
        );
        check(
            "\"a.example.com\" = \"unix:/run/docker.sock\"",
            "not to sockets",
        );
        check("\"a.example.com\" = \"169.254.169.254:80\"", "link-local");
        check("\"a.example.com\" = \"https://10.0.0.1:443\"", "https://");
        check("\"a.example.com\" = \"10.0.0.1\"", "no port");
        check("\"not a host\" = 3000", "a host");
        check("\"a.example.com\" = 0", "port");
        check("\"a.example.com\" = true", "takes");
    }

    #[test]
    fn other_sections_are_left_out() {
        let config = read(
            "[server]\nworkers = 7\n[defaults]\nlog = false\n[sites]\n\"a.example.com\" = 3000",
        );
        let told: Vec<&str> = config
            .warnings
            .iter()
            .map(|warning| warning.message.as_str())
            .collect();
        assert!(told.iter().any(|message| message.contains("`server`")));
        assert!(told.iter().any(|message| message.contains("`defaults`")));
        assert_eq!(config.server.workers, None);
        assert!(config.defaults.log);
        assert_eq!(
            config.sites.iter().filter(|site| site.is_generated).count(),
            1
        );
    }

    #[test]
    fn a_malformed_file_is_left_out_whole() {
        let config = read("[sites]\n\"a.example.com\" = 3000\n\"b.example.com\" = = 3000");
        assert!(config.sites.iter().all(|site| !site.is_generated));
        let told = config
            .warnings
            .iter()
            .find(|warning| warning.code == "generated");
        let told = told.expect("it is told");
        assert_eq!(told.place.to_string(), "docker.toml:3:19");
    }

    #[test]
    fn the_first_of_two_generated_files_keeps_a_host() {
        let config = read("[sites]\n\"a.example.com\" = 3000\n\"A.example.com\" = 4000");
        assert_eq!(
            config.sites.iter().filter(|site| site.is_generated).count(),
            1
        );
        assert!(
            config
                .warnings
                .iter()
                .any(|warning| warning.label == "docker.toml:2:1 has this host")
        );
    }
}
