//! Snapshot: all that a worker needs to know, immutable, in parts that are republished alone.
//!
//! Control builds it, posts it to every worker, and keeps a reference of its own until no worker has one, so that a
//! worker never frees one. An exchange ends on the snapshot that it began with.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::certificate_states::CertificateStates;
use crate::config::{
    Action, ClientAuth, Config, EndpointAddress, HostPattern, Hsts, Listener, ListenerKind,
    Settings, Site, SiteScheme, UpstreamTls,
};
use crate::policy::balance::RoundRobin;
use crate::policy::pipeline::Pipeline;
use crate::policy::route::{ListenerIndex, Table, TableBuilder};
use crate::tls::certs::Certificates;
use crate::tls::challenges::Challenges;
use crate::upstream::{EndpointNumber, Endpoints};

/// What control publishes. A clone is as cheap as its parts' references.
#[derive(Clone)]
pub struct Snapshot {
    /// What becomes of which request; changes when the configuration does.
    pub routes: Arc<Routes>,
    /// Where the endpoints are; changes when a name resolves to something else.
    pub endpoints: Arc<Endpoints>,
    /// What is served over TLS; changes when a certificate does.
    pub certificates: Arc<Certificates>,
    /// Answers to an authority that validates names; changes while it does.
    pub challenges: Arc<Challenges>,
    /// Which certificates are held; changes while one is obtained.
    pub states: Arc<CertificateStates>,
}

/// The configuration as the data plane uses it.
pub struct Routes {
    table: Table,
    sites: Vec<SitePlan>,
    plans: Vec<RoutePlan>,
    trusted_proxies: Vec<IpNet>,
    /// By [`ListenerIndex`]: is TLS spoken there?
    tls_listeners: Box<[bool]>,
    /// In force until a request has found its route.
    pub defaults: Settings,
}

/// A site, as the data plane uses it.
pub struct SitePlan {
    /// As logged.
    pub name: Box<str>,
    /// Where its plain requests are sent; `None` for a site of plain HTTP.
    pub https: Option<HttpsPlan>,
}

/// Of a site of HTTPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpsPlan {
    /// As clients see it.
    pub port: u16,
    /// It is served over TLS here, so that its certificate is waited for; else by a proxy in front.
    pub is_ours: bool,
    /// It demands a certificate of its clients.
    pub is_guarded: bool,
}

/// A path of a site, as the data plane uses it.
pub struct RoutePlan {
    /// As logged.
    pub name: Box<str>,
    /// Where requests go; `None`: 404.
    pub endpoints: Option<Box<[EndpointNumber]>>,
    /// How requests share connections to these endpoints, which all have the same.
    pub pipeline: Pipeline,
    /// `Strict-Transport-Security` over TLS.
    pub hsts: Option<Box<[u8]>>,
    /// How.
    pub settings: Settings,
}

/// The endpoints that a configuration names, each once, in the order of their numbers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum EndpointKey {
    /// An address from the file, how requests share connections to it, and how they are secured where it is one of
    /// HTTPS. What differs in one of them has an endpoint of its own, so that no connection is ever used both ways.
    Address(EndpointAddress, Pipeline, Option<Box<UpstreamTls>>),
    /// The built-in origin that echoes requests.
    Whoami,
}

impl EndpointKey {
    /// As logs have it; the built-in origin's port is known only once it runs.
    pub fn label(&self) -> String {
        match self {
            EndpointKey::Whoami => "whoami".to_owned(),
            EndpointKey::Address(EndpointAddress::Port(port), ..) => format!("127.0.0.1:{port}"),
            EndpointKey::Address(
                address @ (EndpointAddress::Unix(_)
                | EndpointAddress::Tcp { .. }
                | EndpointAddress::Https { .. }),
                ..,
            ) => address.to_string(),
        }
    }

    /// The host of one of HTTPS, and whom it has to be.
    pub fn tls(&self) -> Option<(&str, &UpstreamTls)> {
        match self {
            EndpointKey::Address(EndpointAddress::Https { host, .. }, _, Some(tls)) => {
                Some((host, tls))
            }
            EndpointKey::Address(..) | EndpointKey::Whoami => None,
        }
    }

    /// The `Host` that it sees under `host = "upstream"`.
    pub fn authority(&self) -> String {
        match self {
            EndpointKey::Address(EndpointAddress::Unix(_), ..) => "localhost".to_owned(),
            EndpointKey::Address(address @ EndpointAddress::Https { .. }, ..) => {
                let shown = address.to_string();
                let authority = shown.strip_prefix("https://").unwrap_or(&shown);
                authority
                    .strip_suffix(":443")
                    .unwrap_or(authority)
                    .to_owned()
            }
            EndpointKey::Whoami
            | EndpointKey::Address(EndpointAddress::Port(_) | EndpointAddress::Tcp { .. }, ..) => {
                self.label()
            }
        }
    }
}

/// A configuration made ready for the data plane.
pub struct Plan {
    /// What workers get.
    pub routes: Routes,
    /// What control has to resolve.
    pub endpoints: Vec<EndpointKey>,
}

/// Turns a configuration into what workers use. Listener `n` of [`Config::listeners`] is [`ListenerIndex`] `n`.
pub fn plan(config: &Config) -> Plan {
    let mut table = TableBuilder::new();
    let mut endpoints = EndpointNumbers::default();
    let (mut sites, mut plans) = (Vec::new(), Vec::new());
    let listeners = config.listeners();
    for (site, number) in config.sites.iter().zip(0u32..) {
        sites.push(SitePlan {
            name: site.name.as_str().into(),
            https: https_of(site, number, config, &listeners),
        });
        for route in &site.routes {
            let plan_number = u32::try_from(plans.len()).expect("fewer than 2^32 paths");
            let is_guarded = route.settings.allow.is_guard();
            table.path(number, route.pattern.clone(), plan_number, is_guarded);
            plans.push(RoutePlan {
                name: route.name.as_str().into(),
                endpoints: endpoints.of(&route.action, &route.settings.upstream_tls),
                pipeline: match &route.action {
                    Action::Proxy(to) => to.pipeline,
                    Action::Whoami | Action::None => Pipeline::Off,
                },
                hsts: route.settings.hsts.map(|hsts| hsts_value(&hsts).into()),
                settings: route.settings.clone(),
            });
        }
    }
    let tls_listeners = listeners
        .iter()
        .map(|listener| listener.kind == ListenerKind::Tls)
        .collect();
    for listener in listeners {
        let index = table.add_listener();
        for site in listener.sites {
            let number = u32::try_from(site).expect("fewer than 2^32 sites");
            match &config.sites[site].host {
                HostPattern::Exact(host) => table.exact(index, host.clone(), number),
                HostPattern::Wildcard(suffix) => table.wildcard(index, suffix.clone(), number),
                HostPattern::Any => table.fallback(index, number),
            };
        }
    }
    let routes = Routes {
        table: table.build(),
        sites,
        plans,
        trusted_proxies: config.server.trusted_proxies.clone(),
        tls_listeners,
        defaults: config.defaults.clone(),
    };
    Plan {
        routes,
        endpoints: endpoints.keys,
    }
}

fn https_of(
    site: &Site,
    number: u32,
    config: &Config,
    listeners: &[Listener],
) -> Option<HttpsPlan> {
    match site.scheme {
        SiteScheme::Https => {}
        SiteScheme::Http | SiteScheme::Both => return None,
    }
    let serves = |listener: &Listener| {
        let has_it = listener.sites.binary_search(&(number as usize)).is_ok();
        listener.kind == ListenerKind::Tls && has_it
    };
    Some(HttpsPlan {
        port: site.port.unwrap_or(config.server.public_https),
        is_ours: listeners.iter().any(serves),
        is_guarded: matches!(site.tls.client_auth, ClientAuth::Require(_)),
    })
}

/// RFC 6797 §6.1.
fn hsts_value(hsts: &Hsts) -> Vec<u8> {
    let mut value = format!("max-age={}", hsts.max_age.as_secs());
    if hsts.subdomains {
        value += "; includeSubDomains";
    }
    if hsts.preload {
        value += "; preload";
    }
    value.into_bytes()
}

#[derive(Default)]
struct EndpointNumbers {
    keys: Vec<EndpointKey>,
    known: HashMap<EndpointKey, EndpointNumber>,
}

impl EndpointNumbers {
    fn of(&mut self, action: &Action, tls: &UpstreamTls) -> Option<Box<[EndpointNumber]>> {
        match action {
            Action::Proxy(to) => {
                let keys = to.addresses.iter().cloned();
                let keys = keys.map(|address| {
                    let is_https = matches!(address, EndpointAddress::Https { .. });
                    let tls = is_https.then(|| Box::new(tls.clone()));
                    EndpointKey::Address(address, to.pipeline, tls)
                });
                Some(keys.map(|key| self.number(key)).collect())
            }
            Action::Whoami => Some([self.number(EndpointKey::Whoami)].into()),
            Action::None => None,
        }
    }

    fn number(&mut self, key: EndpointKey) -> EndpointNumber {
        if let Some(number) = self.known.get(&key) {
            return *number;
        }
        let number =
            EndpointNumber(u32::try_from(self.keys.len()).expect("fewer than 2^32 endpoints"));
        self.keys.push(key.clone());
        self.known.insert(key, number);
        number
    }
}

impl Routes {
    /// The routing table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The site of this number, which the table gave.
    pub fn site(&self, number: u32) -> &SitePlan {
        &self.sites[number as usize]
    }

    /// The plan of this number, which the table gave.
    pub fn plan(&self, number: u32) -> &RoutePlan {
        &self.plans[number as usize]
    }

    /// Is TLS spoken on this listener?
    pub fn is_tls(&self, listener: ListenerIndex) -> bool {
        let known = self.tls_listeners.get(usize::from(listener.0));
        known.copied().unwrap_or(false)
    }

    /// Are forwarding fields from this peer believed? `ip` is in plain form.
    pub fn is_trusted(&self, ip: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|net| net.contains(&ip))
    }
}

/// A snapshot on a worker: with whose turn it is on each route.
pub struct Current {
    /// What was published.
    pub snapshot: Snapshot,
    turns: RefCell<Vec<RoundRobin>>,
}

impl Current {
    /// For one worker, which begins its rounds at its own number.
    pub fn new(snapshot: Snapshot, worker: u16) -> Current {
        let turns = snapshot
            .routes
            .plans
            .iter()
            .map(|_| RoundRobin::new(usize::from(worker)))
            .collect();
        Current {
            snapshot,
            turns: RefCell::new(turns),
        }
    }

    /// Picks among `endpoints` places for a plan, never the place `tried`.
    pub fn pick(&self, plan: u32, endpoints: usize, tried: Option<usize>) -> Option<usize> {
        self.turns.borrow_mut()[plan as usize].pick(endpoints, tried)
    }
}

/// The number of a listener in [`Config::listeners`].
pub fn listener_index(position: usize) -> ListenerIndex {
    ListenerIndex(u16::try_from(position).expect("fewer listeners than ports"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, parse};

    /// The endpoints of each route by number, and what these are.
    #[track_caller]
    fn check(text: &str, numbers: &[&[u32]], keys: &[&str]) {
        let config =
            parse(&[Source { name: "f", text }]).unwrap_or_else(|errors| panic!("{}", errors[0]));
        let plan = plan(&config);
        let found: Vec<Vec<u32>> = plan
            .routes
            .plans
            .iter()
            .map(|plan| {
                let endpoints = plan.endpoints.as_deref().unwrap_or_default();
                endpoints.iter().map(|number| number.0).collect()
            })
            .collect();
        let key = |key: &EndpointKey| match key {
            EndpointKey::Whoami => "whoami".to_owned(),
            EndpointKey::Address(address, pipeline, None) => format!("{address} {pipeline}"),
            EndpointKey::Address(address, pipeline, Some(tls)) => {
                format!("{address} {pipeline} {:?}", tls.server_name)
            }
        };
        assert_eq!(found, numbers);
        let found: Vec<String> = plan.endpoints.iter().map(key).collect();
        assert_eq!(found, keys);
    }

    #[test]
    fn where_plain_requests_are_sent() {
        #[track_caller]
        fn check(text: &str, expected: &[Option<(u16, bool, bool)>]) {
            let source = Source { name: "f", text };
            let config = parse(&[source]).unwrap_or_else(|errors| panic!("{}", errors[0]));
            let plan = plan(&config);
            let found: Vec<_> = plan
                .routes
                .sites
                .iter()
                .map(|site| {
                    site.https
                        .map(|https| (https.port, https.is_ours, https.is_guarded))
                })
                .collect();
            assert_eq!(found, expected);
        }
        check(
            "[sites]\n\"a\" = 1\n\"b:8443\" = 1\n\"http://c\" = 1\n\"*\" = 1",
            &[
                Some((443, true, false)),
                Some((8443, true, false)),
                None,
                None,
            ],
        );
        check(
            "[server]\nhttps = [\":8443\"]\npublic_https = 444\n[sites.\"a\"]\nto = 1\n\
             tls = { client_auth = \"require\", client_ca = \"x\" }\n[sites.\"b\"]\nto = 1\n\
             tls = { client_auth = \"request\", client_ca = \"x\" }",
            &[Some((444, true, true)), Some((444, true, false))],
        );
        check(
            "[server]\nhttps = []\n[sites]\n\"a\" = 1",
            &[Some((443, false, false))],
        );
    }

    #[test]
    fn hsts_values() {
        let value = |text: &str| {
            let text = format!("[defaults]\nhsts = {text}\n[sites]\n\"a\" = 1");
            let source = Source {
                name: "f",
                text: &text,
            };
            let plan = plan(&parse(&[source]).expect("it is fine"));
            let hsts = plan.routes.plans[0].hsts.clone();
            hsts.map(|value| String::from_utf8_lossy(&value).into_owned())
        };
        assert_eq!(value("\"off\""), None);
        assert_eq!(value("\"1h\"").as_deref(), Some("max-age=3600"));
        assert_eq!(
            value("{ max_age = \"365d\", subdomains = true, preload = true }").as_deref(),
            Some("max-age=31536000; includeSubDomains; preload")
        );
    }

    #[test]
    fn an_endpoint_is_an_address_and_a_pipeline() {
        let upstreams = "[upstreams.off]\nservers = [1, 2]\n[upstreams.auto]\nservers = 1\npipeline = \"auto\"\n\
            [upstreams.deep]\nservers = 1\npipeline = 8\n[upstreams.same]\nservers = [3, 1]\npipeline = 8\n";
        check(
            &format!(
                "{upstreams}[sites]\n\"http://a\" = 1\n\"http://b\" = \"off\"\n\"http://c\" = \"auto\"\n\"http://d\" = \"deep\"\n\"http://e\" = \"same\""
            ),
            &[&[0], &[0, 1], &[2], &[3], &[4, 3]],
            &["1 off", "2 off", "1 auto", "1 8", "3 8"],
        );
    }
}
