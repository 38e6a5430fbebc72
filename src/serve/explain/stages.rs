//! The stages of a request, each asked of the code that decides it.

use std::net::{IpAddr, SocketAddr};

use super::request::{head as head_text, listener as listener_of, url as url_of};
use super::{Explanation, Forwarded, Outcome, Query, QueryError, Setting, Stage, Target, Upstream};
use crate::config::{Config, EndpointAddress, HostPattern, Listener, Place, Route, Site};
use crate::h1::encode::Encoder;
use crate::h1::field_lines::{HeadLimits, Progress};
use crate::h1::framing::Framing;
use crate::h1::request::RequestParser;
use crate::http::authority::HostName;
use crate::http::fields::Fields;
use crate::policy::Reason;
use crate::policy::exchange::retry_rule;
use crate::policy::middleware::access::Allow;
use crate::policy::route::PathPattern;
use crate::serve::compose::{RequestParts, request as compose_request, room_for};
use crate::serve::dispatch::{self, Client, Facts, Found, Request, Routed};
use crate::serve::head::reason_of;
use crate::serve::incoming::{IpText, Peer};
use crate::serve::snapshot::{EndpointKey, Plan, listener_index, plan};

/// Explains a request to a configuration.
///
/// # Errors
///
/// The query is no request at all; a request that would be refused is explained.
pub fn explain(config: &Config, query: &Query) -> Result<Explanation, QueryError> {
    let url = url_of(query.url)?;
    let text = head_text(query, &url)?;
    let listeners = config.listeners();
    let mut stages = Stages(Vec::new());
    let outcome = match listener_of(query, &url, &listeners)? {
        None => {
            let ports: Vec<String> = listeners
                .iter()
                .map(|one| one.address.to_string())
                .collect();
            stages.add(
                "listener",
                format!("none on port {}", url.port),
                format!("hotgate listens on {}", ports.join(", ")),
            );
            Outcome::NoListener
        }
        Some(position) => {
            let listener = &listeners[position];
            let why = match (url.is_https, query.listener.is_some()) {
                (_, true) => "asked for".to_owned(),
                (true, false) => {
                    "this version has no TLS: it is explained as over plain HTTP".to_owned()
                }
                (false, false) => format!("it has port {}", url.port),
            };
            stages.add("listener", listener.address.to_string(), why);
            if url.has_fragment {
                stages.add(
                    "target",
                    "the fragment is left out".to_owned(),
                    "clients do not send it".to_owned(),
                );
            }
            let port = match listener.address.port() {
                0 => url.port,
                port => port,
            };
            let peer = Peer {
                text: IpText::new(query.from),
                address: SocketAddr::new(query.from, 0),
                listener: listener_index(position),
                port,
            };
            let asked = Asked {
                config,
                listener,
                peer,
                plan: plan(config),
            };
            asked.outcome(text.as_bytes(), &mut stages)
        }
    };
    Ok(Explanation {
        request: text,
        stages: stages.0,
        outcome,
    })
}

struct Stages(Vec<Stage>);

impl Stages {
    fn add(&mut self, name: &'static str, decision: String, why: String) {
        self.at(name, decision, why, None);
    }

    fn at(&mut self, name: &'static str, decision: String, why: String, place: Option<&Place>) {
        self.0.push(Stage {
            name,
            decision,
            why,
            place: place.cloned(),
        });
    }
}

/// A configuration and where a request to it comes in.
struct Asked<'c> {
    config: &'c Config,
    listener: &'c Listener,
    peer: Peer,
    plan: Plan,
}

impl Asked<'_> {
    fn outcome(&self, octets: &[u8], stages: &mut Stages) -> Outcome {
        match self.stages(octets, stages) {
            Ok(forwarded) => Outcome::Forwarded(Box::new(forwarded)),
            Err(reason) => Outcome::Refused(reason),
        }
    }

    fn stages(&self, octets: &[u8], stages: &mut Stages) -> Result<Forwarded, Reason> {
        let limits = &self.config.defaults.limits;
        let mut parser = RequestParser::new();
        let limits = HeadLimits {
            head_bytes: limits.header_size,
            fields: limits.header_count,
        };
        match parser.parse(octets, &limits) {
            Ok(Progress::Complete) => {}
            // A head that ends in the middle of a line that is too long for its limit, or has no end at all.
            Ok(Progress::Incomplete) => return Err(Reason::HeaderTimeout),
            Err(error) => return Err(reason_of(error.kind)),
        }
        let head = &parser.head;
        let (facts, host) = dispatch::facts(head, octets)?;
        stages.add(
            "framing",
            framing(facts.framing),
            framing_why(facts.framing).to_owned(),
        );
        let client = dispatch::client_of(head, octets, &self.peer, &self.plan.routes);
        self.client_stage(&client, stages);
        let request = Request {
            facts: &facts,
            host: host.as_ref(),
            head,
            octets,
            client,
            peer: self.peer,
        };
        let (mut scratch, mut found) = (Vec::new(), Found::default());
        let routed = dispatch::route(&request, &self.plan.routes, &mut scratch, &mut found);
        let sent_path = facts.target.path.of(octets);
        let site = self.site_stage(&found, host.as_ref(), &routed, stages)?;
        let route = self.path_stage(&found, site, sent_path, &routed, stages)?;
        access_stage(route, &client, routed.as_ref().err(), stages)?;
        let routed = routed?;
        if let Some(limit) = route.settings.limits.body {
            stages.at(
                "body",
                format!("up to {limit} octets"),
                "limits.body; a body that is streamed is cut off there".to_owned(),
                route.origins.of("limits.body"),
            );
        }
        if let Some(token) = routed.upgrade {
            stages.at(
                "upgrade",
                String::from_utf8_lossy(token).into_owned(),
                "it is in `upgrade`, the method is GET, and there is no body".to_owned(),
                route.origins.of("upgrade"),
            );
        } else if facts.options.upgrade {
            stages.at(
                "upgrade",
                "ignored".to_owned(),
                "the protocol is not in `upgrade`, or the request is not a GET without a body"
                    .to_owned(),
                route.origins.of("upgrade"),
            );
        }
        let labels: Vec<String> = self.keys(&routed).map(EndpointKey::label).collect();
        let place = ["to", "builtin"]
            .iter()
            .find_map(|key| route.origins.of(key));
        let why = match labels.len() {
            1 => "its one target",
            _ => "one after the other, each worker for itself; a failed attempt goes to the next",
        };
        stages.at(
            "action",
            format!("to {}", labels.join(", ")),
            why.to_owned(),
            place,
        );
        Ok(self.forwarded(site, route, octets, &parser, &facts, &routed, client))
    }

    fn client_stage(&self, client: &Client, stages: &mut Stages) {
        let why = match (client.is_trusted, client.address == client.peer) {
            (false, _) => "the peer's own address; it is not in server.trusted_proxies, so its forwarding fields are replaced".to_owned(),
            (true, true) => "the peer is in server.trusted_proxies, and names nobody before it".to_owned(),
            (true, false) => format!("{} is in server.trusted_proxies; X-Forwarded-For says so", client.peer),
        };
        stages.add("client", client.address.to_string(), why);
    }

    /// The site, if one was found; else its refusal.
    fn site_stage<'s>(
        &'s self,
        found: &Found,
        host: Option<&HostName>,
        routed: &Result<Routed<'_>, Reason>,
        stages: &mut Stages,
    ) -> Result<&'s Site, Reason> {
        let asked = host.map_or("no host".to_owned(), |host| format!("{:?}", host.as_str()));
        let Some(number) = found.site else {
            let reason = match routed {
                Err(reason) => *reason,
                Ok(_) => Reason::Internal,
            };
            if reason == Reason::UnknownHost {
                stages.add("site", "none".to_owned(), self.why_no_site(&asked, host));
            }
            return Err(reason);
        };
        let site = &self.config.sites[number as usize];
        let why = match &site.host {
            HostPattern::Exact(_) => format!("it has the host {asked}"),
            HostPattern::Wildcard(suffix) => format!(
                "no site has exactly {asked}; this one has every name of one label before .{}",
                suffix.as_str()
            ),
            HostPattern::Any => format!(
                "no other site on {} has {asked}; this one has all others",
                self.listener.address
            ),
        };
        stages.at("site", site.name.clone(), why, Some(&site.place));
        Ok(site)
    }

    fn why_no_site(&self, asked: &str, host: Option<&HostName>) -> String {
        let here = self
            .listener
            .sites
            .iter()
            .map(|index| &self.config.sites[*index]);
        let names: Vec<&str> = here.map(|site| site.name.as_str()).collect();
        let elsewhere = self
            .config
            .sites
            .iter()
            .find(|site| match (&site.host, host) {
                (HostPattern::Exact(known), Some(host)) => known == host,
                (HostPattern::Exact(_) | HostPattern::Wildcard(_) | HostPattern::Any, _) => false,
            });
        let address = self.listener.address;
        match (elsewhere, names.len()) {
            (Some(site), _) => format!(
                "`{}` at {} has {asked}, but not on {address}",
                site.name, site.place
            ),
            (None, 0) => format!("there is no site on {address}"),
            (None, 1..=8) => format!(
                "no site has {asked}; those on {address} are {}",
                names.join(", ")
            ),
            (None, count) => format!("none of the {count} sites on {address} has {asked}"),
        }
    }

    fn path_stage<'s>(
        &self,
        found: &Found,
        site: &'s Site,
        sent: &[u8],
        routed: &Result<Routed<'_>, Reason>,
        stages: &mut Stages,
    ) -> Result<&'s Route, Reason> {
        let refusal = || match routed {
            Err(reason) => *reason,
            Ok(_) => Reason::Internal,
        };
        let Some(number) = found.plan else {
            return Err(refusal());
        };
        let before: usize = self
            .config
            .sites
            .iter()
            .take_while(|known| known.place != site.place)
            .map(|known| known.routes.len())
            .sum();
        // Plans are numbered site by site, path by path.
        let route = &site.routes[number as usize - before];
        let shown = String::from_utf8_lossy(sent);
        let mut why = match &route.pattern {
            PathPattern::Exact(_) => "it is this path exactly".to_owned(),
            PathPattern::Prefix(prefix) if prefix.is_empty() => match site.routes.len() {
                1 => "the site has no other path".to_owned(),
                _ => "no longer entry of the site takes it".to_owned(),
            },
            PathPattern::Prefix(_) => "the longest prefix that takes it".to_owned(),
        };
        if let Ok(routed) = routed {
            let normal = String::from_utf8_lossy(routed.path);
            if normal != shown {
                why += &format!("; {shown} is matched and sent as {normal}");
            }
        }
        stages.at("path", route.name.clone(), why, Some(&route.place));
        match routed {
            Err(Reason::NoRoute) => {
                stages.add(
                    "action",
                    "none".to_owned(),
                    "the site has only `paths`, and none of them takes this path".to_owned(),
                );
                Err(Reason::NoRoute)
            }
            Err(Reason::AmbiguousPath) => {
                stages.add(
                    "path",
                    "ambiguous".to_owned(),
                    "with `//` merged, `%2F` decoded or `;…` cut off it would be another path, which has an `allow` list".to_owned(),
                );
                Err(Reason::AmbiguousPath)
            }
            Ok(_) | Err(_) => Ok(route),
        }
    }

    /// The targets of a route, in the order of the file.
    fn keys<'s>(&'s self, routed: &'s Routed<'_>) -> impl Iterator<Item = &'s EndpointKey> {
        let numbers = routed.plan.endpoints.as_deref().unwrap_or_default();
        numbers
            .iter()
            .map(|number| &self.plan.endpoints[number.index()])
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each is a step's result, and this is the last step"
    )]
    fn forwarded(
        &self,
        site: &Site,
        route: &Route,
        octets: &[u8],
        parser: &RequestParser,
        facts: &Facts<'_>,
        routed: &Routed<'_>,
        client: Client,
    ) -> Forwarded {
        let head = &parser.head;
        let keys: Vec<&EndpointKey> = self.keys(routed).collect();
        let authority = keys.first().map_or(String::new(), |key| key.authority());
        let mut out = vec![0; room_for(octets.len(), &head.fields)];
        let mut encoder = Encoder::new(&mut out);
        compose_request(
            &mut encoder,
            &RequestParts {
                head,
                octets,
                facts,
                framing: facts.framing,
                routed,
                client,
                peer_text: &self.peer.text,
                port: self.peer.port,
                endpoint: &authority,
            },
        );
        let written = encoder.finish().expect("room was asked for");
        let sent = String::from_utf8_lossy(&out[..written]).into_owned();
        let (removed, added, replaced) = differences(&head.fields, octets, &sent);
        Forwarded {
            site: site.name.clone(),
            route: route.name.clone(),
            head: sent,
            removed,
            added,
            replaced,
            upstreams: keys.iter().map(|key| upstream(key)).collect(),
            connect_limit: route.settings.timeouts.connect,
            retry: retry_rule(head.method),
            settings: settings(route),
        }
    }
}

fn access_stage(
    route: &Route,
    client: &Client,
    refusal: Option<&Reason>,
    stages: &mut Stages,
) -> Result<(), Reason> {
    let place = route.origins.of("allow");
    let Allow::Nets(networks) = &route.settings.allow else {
        return Ok(());
    };
    let is_refused = refusal == Some(&Reason::AddressForbidden);
    let admits = networks
        .iter()
        .find(|network| Allow::Nets(vec![**network]).permits(client.address));
    let (decision, why) = match admits {
        Some(network) => ("admitted", format!("{} is in {network}", client.address)),
        None => (
            "refused",
            format!("{} is in none of the networks of `allow`", client.address),
        ),
    };
    stages.at("access", decision.to_owned(), why, place);
    match is_refused {
        true => Err(Reason::AddressForbidden),
        false => Ok(()),
    }
}

fn framing(framing: Framing) -> String {
    match framing {
        Framing::None => "no body".to_owned(),
        Framing::Length(length) => format!("a body of {length} octets"),
        Framing::Chunked => "a chunked body".to_owned(),
        Framing::UntilClose => "a body until close".to_owned(),
    }
}

fn framing_why(framing: Framing) -> &'static str {
    match framing {
        Framing::None => "neither Content-Length nor Transfer-Encoding",
        Framing::Length(_) => "Content-Length",
        Framing::Chunked => "Transfer-Encoding; held whole, it is sent on with a Content-Length",
        Framing::UntilClose => "the response's alone",
    }
}

/// Every target of a configuration, once.
pub fn upstreams_of(config: &Config) -> Vec<Upstream> {
    plan(config).endpoints.iter().map(upstream).collect()
}

fn upstream(key: &EndpointKey) -> Upstream {
    let target = match key {
        EndpointKey::Whoami => Target::BuiltIn,
        EndpointKey::Address(EndpointAddress::Port(port)) => Target::Tcp(
            vec![
                IpAddr::from([127, 0, 0, 1]),
                IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
            ],
            *port,
        ),
        EndpointKey::Address(EndpointAddress::Unix(path)) => Target::Unix(path.clone()),
        EndpointKey::Address(EndpointAddress::Tcp { host, port }) => match host.parse() {
            Ok(ip) => Target::Tcp(vec![ip], *port),
            Err(_) => Target::Name(host.clone(), *port),
        },
    };
    Upstream {
        label: key.label(),
        target,
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

fn settings(route: &Route) -> Vec<Setting> {
    const SHOWN: [&str; 12] = [
        "host",
        "timeouts.body_idle",
        "timeouts.write_idle",
        "timeouts.keepalive",
        "timeouts.connect",
        "timeouts.response",
        "timeouts.tunnel_idle",
        "timeouts.upstream_idle",
        "limits.body",
        "limits.request_buffer",
        "limits.response_buffer",
        "log",
    ];
    let values = route.settings.shown();
    let value_of = |key: &str| {
        let found = values.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    SHOWN
        .iter()
        .map(|key| Setting {
            key,
            value: value_of(key),
            place: route.origins.of(key).cloned(),
        })
        .collect()
}
