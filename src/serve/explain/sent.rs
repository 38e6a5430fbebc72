//! What the upstream gets: the request head as it is composed, what of it is new, the targets, the settings in force.

use std::collections::HashSet;
use std::net::IpAddr;

use super::{Forwarded, Setting, Target, TargetTls, Upstream};
use crate::config::{Config, EndpointAddress, Route};
use crate::h1::encode::Encoder;
use crate::http::fields::Fields;
use crate::http::message::RequestHead;
use crate::policy::balance::RoundRobin;
use crate::policy::exchange::retry_rule;
use crate::serve::compose::{RequestParts, request as compose_request, room_for};
use crate::serve::dispatch::{Client, Facts, Routed};
use crate::serve::incoming::Peer;
use crate::serve::snapshot::{EndpointKey, plan};

/// A request that has its route.
pub(super) struct Sending<'a> {
    pub(super) config: &'a Config,
    pub(super) route: &'a Route,
    pub(super) head: &'a RequestHead,
    pub(super) octets: &'a [u8],
    pub(super) facts: &'a Facts<'a>,
    pub(super) routed: &'a Routed<'a>,
    pub(super) client: Client,
    pub(super) peer: &'a Peer,
    /// The route's endpoints, in the order of the file; never empty.
    pub(super) endpoints: Vec<&'a EndpointKey>,
}

impl Sending<'_> {
    pub(super) fn forwarded(&self) -> Forwarded {
        // The first worker's first round.
        let mut turn = RoundRobin::new(0);
        let count = self.endpoints.len();
        let keys: Vec<&EndpointKey> = (0..count)
            .filter_map(|_| turn.pick(count, None))
            .map(|place| self.endpoints[place])
            .collect();
        let heads: Vec<String> = keys.iter().map(|key| self.head_for(key)).collect();
        let first = heads.first().map_or("", String::as_str);
        let (removed, added, replaced) = differences(&self.head.fields, self.octets, first);
        Forwarded {
            removed,
            added,
            replaced,
            heads,
            upstreams: keys.into_iter().map(upstream).collect(),
            connect_limit: self.route.settings.timeouts.connect,
            retry: retry_rule(self.head.method),
            settings: settings(self.config, self.route),
        }
    }

    fn head_for(&self, key: &EndpointKey) -> String {
        let mut out = vec![0; room_for(self.octets.len(), &self.head.fields)];
        let mut encoder = Encoder::new(&mut out);
        let authority = key.authority();
        compose_request(
            &mut encoder,
            &RequestParts {
                head: self.head,
                octets: self.octets,
                facts: self.facts,
                framing: self.facts.framing,
                routed: self.routed,
                client: self.client,
                peer_text: &self.peer.text,
                port: self.peer.port,
                is_tls: self.peer.is_tls,
                client_subject: None,
                endpoint: &authority,
            },
        );
        let written = encoder.finish().expect("room was asked for");
        String::from_utf8_lossy(&out[..written]).into_owned()
    }
}

/// Every target of a configuration, once.
pub fn upstreams_of(config: &Config) -> Vec<Upstream> {
    let mut seen = HashSet::new();
    // An address stands twice where two upstreams have it with a different `pipeline`.
    let upstreams = plan(config).endpoints.into_iter();
    let upstreams = upstreams.map(|key| upstream(&key));
    upstreams.filter(|one| seen.insert(one.clone())).collect()
}

fn upstream(key: &EndpointKey) -> Upstream {
    Upstream {
        label: key.label(),
        target: target(key),
        tls: key.tls().map(|(host, settings)| TargetTls {
            host: host.to_owned(),
            settings: settings.clone(),
        }),
    }
}

fn target(key: &EndpointKey) -> Target {
    match key {
        EndpointKey::Whoami => Target::BuiltIn,
        EndpointKey::Address(EndpointAddress::Port(port), ..) => Target::Tcp(
            vec![
                IpAddr::from([127, 0, 0, 1]),
                IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
            ],
            *port,
        ),
        EndpointKey::Address(EndpointAddress::Unix(path), ..) => Target::Unix(path.clone()),
        EndpointKey::Address(
            EndpointAddress::Tcp { host, port } | EndpointAddress::Https { host, port },
            ..,
        ) => match host.parse() {
            Ok(ip) => Target::Tcp(vec![ip], *port),
            Err(_) => Target::Name(host.clone(), *port),
        },
    }
}

type Differences = (
    Vec<String>,
    Vec<(String, String)>,
    Vec<(String, String, String)>,
);

/// What of the fields that came is gone, new, or another.
fn differences(fields: &Fields, octets: &[u8], sent: &str) -> Differences {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let came: Vec<(String, String)> = fields
        .iter()
        .map(|line| (text(line.name.of(octets)), text(line.value.of(octets))))
        .collect();
    let goes: Vec<(String, String)> = sent
        .split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let is_same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let (mut removed, mut added, mut replaced) = (Vec::new(), Vec::new(), Vec::new());
    for (name, old) in &came {
        let mut now = goes.iter().filter(|(new, _)| is_same(new, name));
        match now.clone().next() {
            None => removed.push(name.clone()),
            Some((_, new)) if now.all(|(_, value)| value != old) => {
                replaced.push((name.clone(), old.clone(), new.clone()));
            }
            Some(_) => {}
        }
    }
    for (name, value) in goes {
        if !came.iter().any(|(known, _)| is_same(known, &name)) {
            added.push((name, value));
        }
    }
    (removed, added, replaced)
}

/// The settings that hold before a request has its route, whatever the route says.
const BEFORE_THE_ROUTE: [&str; 4] = [
    "timeouts.handshake",
    "timeouts.header",
    "limits.header_size",
    "limits.header_count",
];

fn settings(config: &Config, route: &Route) -> Vec<Setting> {
    let defaults = config.defaults.shown();
    let setting = |(key, value): (String, String)| {
        let is_early = BEFORE_THE_ROUTE.contains(&key.as_str());
        let early = defaults.iter().find(|(known, _)| is_early && *known == key);
        let origins = match is_early {
            true => &config.default_origins,
            false => &route.origins,
        };
        Setting {
            value: early.map_or(value, |(_, value)| value.clone()),
            place: origins.of(&key).cloned(),
            key,
        }
    };
    let strip = ("strip".to_owned(), route.settings.strip.to_string());
    std::iter::once(strip)
        .chain(route.settings.shown())
        .map(setting)
        .collect()
}
