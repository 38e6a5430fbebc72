//! The stages of a request, each asked of the code that decides it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::request::{head as head_text, listener as listener_of, url as url_of};
use super::sent::Sending;
use super::{
    Explanation, Forwarded, Outcome, Query, QueryError, Stage, refusal, rivals, tls, words,
};
use crate::config::{Config, HostPattern, Listener, ListenerKind, Place, Route, Site};
use crate::h1::field_lines::{HeadLimits, Progress};
use crate::h1::request::RequestParser;
use crate::http::authority::HostName;
use crate::http::fields::FieldName;
use crate::http::forwarding::plain;
use crate::policy::Reason;
use crate::serve::dispatch::{self, Found, Refused, Request, Routed};
use crate::serve::head::reason_of;
use crate::serve::incoming::{IpText, Peer};
use crate::serve::snapshot::{EndpointKey, Plan, Snapshot, listener_index, plan};
use crate::upstream::Endpoints;

/// Explains a request to a configuration.
///
/// # Errors
///
/// The query is no request at all; a request that would be refused is explained.
pub fn explain(config: &Config, query: &Query) -> Result<Explanation, QueryError> {
    let url = url_of(query)?;
    let request = head_text(query, &url)?;
    let listeners = config.listeners();
    let mut stages = Stages(Vec::new());
    let Some(position) = listener_of(query, &url, &listeners)? else {
        let addresses: Vec<String> = listeners
            .iter()
            .map(|one| match one.kind {
                ListenerKind::Plain => one.address.to_string(),
                ListenerKind::Tls => format!("{} (TLS)", one.address),
            })
            .collect();
        let spoken = if url.is_https { "TLS" } else { "plain HTTP" };
        stages.add(
            "listener",
            format!("none on port {} for {spoken}", url.port),
            format!(
                "hotgate listens on {}; where a port is mapped to one of them, name it with --listener",
                addresses.join(", ")
            ),
        );
        return Ok(Explanation {
            request,
            stages: stages.0,
            site: None,
            route: None,
            outcome: Outcome::NoListener(rivals::received(&url, &listeners, config)),
        });
    };
    let listener = &listeners[position];
    stages.add(
        "listener",
        match listener.kind {
            ListenerKind::Plain => listener.address.to_string(),
            ListenerKind::Tls => format!("{}, TLS", listener.address),
        },
        why_this_listener(query, position, &listeners),
    );
    if url.has_fragment {
        let why = "clients do not send what stands behind \"#\"";
        stages.add(
            "target",
            "the fragment is left out".to_owned(),
            why.to_owned(),
        );
    }
    let ip = plain(query.from);
    let Plan { routes, endpoints } = plan(config);
    let asked = Asked {
        config,
        listener,
        peer: Peer {
            text: IpText::new(ip),
            address: SocketAddr::new(ip, 0),
            listener: listener_index(position),
            // Port 0 is the system's to choose; the URL says which it was.
            port: match listener.address.port() {
                0 => url.port,
                port => port,
            },
            is_tls: listener.kind == ListenerKind::Tls,
        },
        // What only a running hotgate knows is taken for good: certificates are held, nobody is asked for a challenge.
        snapshot: Snapshot {
            routes: Arc::new(routes),
            endpoints: Arc::new(Endpoints::new(Vec::new())),
            certificates: Arc::default(),
            challenges: Arc::default(),
            states: Arc::default(),
        },
        endpoints,
    };
    let mut found = Found::default();
    let outcome = match asked.stages(request.as_bytes(), &mut stages, &mut found) {
        Ok(forwarded) => Outcome::Forwarded(Box::new(forwarded)),
        Err(reason) => Outcome::Refused(reason),
    };
    let route = asked.route(&found);
    stages.0.push(words::log_stage(config, route));
    let site = found.site.map(|number| &config.sites[number as usize]);
    Ok(Explanation {
        request,
        stages: stages.0,
        site: site.map(|site| site.name.clone()),
        route: route.map(|route| route.name.clone()),
        outcome,
    })
}

/// Why a request that was not routed was refused.
fn reason_for(routed: Result<Routed<'_>, Refused>) -> Reason {
    routed
        .err()
        .map_or(Reason::Internal, |refused| refused.reason)
}

fn why_this_listener(query: &Query, position: usize, listeners: &[Listener]) -> String {
    if query.listener.is_some() {
        return "asked for".to_owned();
    }
    let kind = listeners[position].kind;
    let port = listeners[position].address.port();
    let others: Vec<String> = listeners
        .iter()
        .enumerate()
        .filter(|(other, one)| *other != position && one.kind == kind && one.address.port() == port)
        .map(|(_, one)| one.address.to_string())
        .collect();
    match others.is_empty() {
        true => format!("it has port {port}"),
        false => format!(
            "it has port {port}, and so has {}: choose with --listener",
            others.join(", ")
        ),
    }
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
    snapshot: Snapshot,
    endpoints: Vec<EndpointKey>,
}

impl Asked<'_> {
    fn stages(
        &self,
        octets: &[u8],
        stages: &mut Stages,
        found: &mut Found,
    ) -> Result<Forwarded, Reason> {
        let limits = &self.config.defaults.limits;
        let mut parser = RequestParser::new();
        let limits = HeadLimits {
            head_bytes: limits.header_size,
            fields: limits.header_count,
        };
        match parser.parse(octets, &limits) {
            Ok(Progress::Complete) => {}
            // It is waited for what never comes.
            Ok(Progress::Incomplete) => return Err(Reason::HeaderTimeout),
            Err(error) => {
                stages
                    .0
                    .push(refusal::of_parser(octets, error, self.config));
                return Err(reason_of(error.kind));
            }
        }
        let head = &parser.head;
        let octets = &octets[..head.length];
        let (facts, host) = dispatch::facts(head, octets).inspect_err(|reason| {
            stages.0.push(refusal::of_facts(head, octets, *reason));
        })?;
        stages.0.push(words::framing_stage(facts.framing));
        stages.0.push(words::target_stage(&facts, octets));
        let client = dispatch::client_of(head, octets, &self.peer, &self.snapshot.routes);
        let says = head.fields.has(FieldName::XForwardedFor);
        stages.0.push(words::client_stage(&client, says));
        let request = Request {
            facts: &facts,
            host: host.as_ref(),
            head,
            octets,
            client,
            peer: self.peer,
            secured: None,
        };
        let mut scratch = Vec::new();
        let routed = dispatch::route(&request, &self.snapshot, &mut scratch, found);
        let is_tls = self.listener.kind == ListenerKind::Tls;
        let raw = match facts.target.path.of(octets) {
            [] => b"/",
            raw => raw,
        };
        let Some(site) = found.site.map(|site| &self.config.sites[site as usize]) else {
            let reason = reason_for(routed);
            if reason == Reason::UnknownHost {
                let why = rivals::no_site(self.config, self.listener, host.as_ref());
                stages.add("site", "none".to_owned(), why);
                if is_tls {
                    let why = "a client that asks for the host in its handshake gets the alert unrecognized_name (112)";
                    stages.add("cert", "none".to_owned(), why.to_owned());
                }
            } else {
                stages.0.extend(refusal::of_path(raw));
            }
            return Err(reason);
        };
        stages.0.push(self.site_stage(site, host.as_ref()));
        if is_tls {
            stages.0.extend(tls::certificate_stages(self.config, site));
        } else {
            let refused = routed.as_ref().err();
            stages.0.extend(tls::redirect_stage(site, &client, refused));
        }
        let Some(route) = self.route(found) else {
            return Err(reason_for(routed));
        };
        stages.0.push(words::path_stage(site, route, raw));
        let reason = routed.as_ref().err().map(|refused| refused.reason);
        if reason == Some(Reason::AmbiguousPath) {
            let guarded = rivals::guarded_path(site, route, raw);
            let other = guarded.map_or("another path", |route| &route.name);
            stages.at(
                "path",
                "ambiguous".to_owned(),
                format!(
                    "an app that merges //, decodes %2F and %5C or cuts ;… would take it for {other}, which has an `allow` list"
                ),
                guarded.map(|route| &route.place),
            );
            return Err(Reason::AmbiguousPath);
        }
        stages.0.extend(words::access_stage(route, &client));
        if reason == Some(Reason::AddressForbidden) {
            return Err(Reason::AddressForbidden);
        }
        stages.0.extend(words::body_stage(route, facts.framing));
        if reason == Some(Reason::NoRoute) {
            let why = "the site has only `paths`, and none of them takes this path";
            stages.at(
                "action",
                "none".to_owned(),
                why.to_owned(),
                Some(&site.place),
            );
        }
        let routed = routed.map_err(|refused| refused.reason)?;
        stages
            .0
            .extend(words::upgrade_stage(route, &facts, &routed));
        let numbers = routed.plan.endpoints.as_deref().unwrap_or_default();
        let endpoints: Vec<&EndpointKey> = numbers
            .iter()
            .map(|number| &self.endpoints[number.index()])
            .collect();
        stages.0.push(words::action_stage(route, &endpoints));
        stages.0.extend(tls::upstream_stage(route, &endpoints));
        stages.0.extend(words::pipeline_stage(self.config, route));
        let sending = Sending {
            config: self.config,
            route,
            head,
            octets,
            facts: &facts,
            routed: &routed,
            client,
            peer: &self.peer,
            endpoints,
        };
        Ok(sending.forwarded())
    }

    /// Plans are numbered site by site, path by path.
    fn route(&self, found: &Found) -> Option<&Route> {
        let routes = self.config.sites.iter().flat_map(|site| &site.routes);
        routes.zip(0u32..).find_map(|(route, number)| {
            let is_it = found.plan == Some(number);
            is_it.then_some(route)
        })
    }

    fn site_stage(&self, site: &Site, host: Option<&HostName>) -> Stage {
        let asked = host.map_or("no host".to_owned(), |host| format!("{:?}", host.as_str()));
        let address = self.listener.address;
        let mut why = match &site.host {
            HostPattern::Exact(_) => format!("it has the host {asked}"),
            HostPattern::Wildcard(suffix) => {
                format!(
                    "no site on {address} has {asked} itself; this one has every name of one label before .{suffix}"
                )
            }
            HostPattern::Any => {
                format!("no site on {address} has {asked}; this one has all that no other has")
            }
        };
        if let Some(beaten) = rivals::beaten_sites(self.config, self.listener, site, host) {
            why += &format!("; {beaten}");
        }
        Stage {
            name: "site",
            decision: site.name.clone(),
            why,
            place: Some(site.place.clone()),
        }
    }
}
