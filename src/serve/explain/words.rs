//! Decisions in words: what was decided is known, and each function here says it and why as one [`Stage`].

use super::{Stage, rivals};
use crate::config::{Action, Config, LogFormat, LogTarget, Route, Site, Target};
use crate::h1::framing::Framing;
use crate::http::target::{PathForm, TargetForm, normalize_path};
use crate::policy::middleware::access::Allow;
use crate::policy::pipeline::Pipeline;
use crate::policy::route::PathPattern;
use crate::serve::dispatch::{Client, Facts, Routed};
use crate::serve::snapshot::EndpointKey;

pub(super) fn framing_stage(framed: Framing) -> Stage {
    let (decision, why) = framing(framed);
    Stage {
        name: "framing",
        decision,
        why: why.to_owned(),
        place: None,
    }
}

fn framing(framing: Framing) -> (String, &'static str) {
    match framing {
        Framing::None => (
            "no body".to_owned(),
            "neither Content-Length nor Transfer-Encoding",
        ),
        Framing::Length(length) => (format!("a body of {length} octets"), "Content-Length"),
        Framing::Chunked => (
            "a chunked body".to_owned(),
            "Transfer-Encoding; held whole, it is sent on with a Content-Length",
        ),
        Framing::UntilClose => ("a body until close".to_owned(), "the response's alone"),
    }
}

pub(super) fn target_stage(facts: &Facts<'_>, octets: &[u8]) -> Stage {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let target = &facts.target;
    let decision = match target.form {
        TargetForm::Asterisk => "*".to_owned(),
        TargetForm::Origin | TargetForm::Absolute | TargetForm::Authority => {
            text(target.path.of(octets))
        }
    };
    let form = match target.form {
        TargetForm::Origin => "origin-form",
        TargetForm::Absolute => "absolute-form, whose authority is that of Host",
        TargetForm::Authority => "authority-form",
        TargetForm::Asterisk => "asterisk-form: the server as a whole",
    };
    let why = match target.query {
        Some(_) => format!("{form}; the query is passed on untouched"),
        None => form.to_owned(),
    };
    Stage {
        name: "target",
        decision,
        why,
        place: None,
    }
}

pub(super) fn client_stage(client: &Client, has_chain: bool) -> Stage {
    let peer = client.peer;
    let why = match (client.is_trusted, client.address == peer, has_chain) {
        (false, _, false) => "the peer itself; it is not in server.trusted_proxies".to_owned(),
        (false, _, true) => {
            "the peer itself; it is not in server.trusted_proxies, so what it says of others is replaced".to_owned()
        }
        (true, true, false) => {
            format!("{peer} is in server.trusted_proxies, but sends no X-Forwarded-For")
        }
        (true, true, true) => {
            format!("{peer} is in server.trusted_proxies, but its X-Forwarded-For ends in no other address")
        }
        (true, false, _) => format!(
            "{peer} is in server.trusted_proxies; of its X-Forwarded-For this is the last address that is not, or the first of all"
        ),
    };
    Stage {
        name: "client",
        decision: client.address.to_string(),
        why,
        place: None,
    }
}

/// `raw` is the path as sent.
pub(super) fn path_stage(site: &Site, route: &Route, raw: &[u8]) -> Stage {
    let mut scratch = Vec::new();
    let (path, is_rewritten) = match normalize_path(raw, &mut scratch) {
        Ok(PathForm::Rewritten) => (scratch.as_slice(), true),
        Ok(PathForm::AsIs) | Err(_) => (raw, false),
    };
    let others = rivals::beaten_paths(site, route, path);
    let mut why = match (&route.pattern, others.is_empty()) {
        (PathPattern::Exact(_), true) => "it is this path exactly".to_owned(),
        (PathPattern::Exact(_), false) => {
            format!("it is this path exactly, which beats {}", others.join(", "))
        }
        (PathPattern::Prefix(prefix), true) if prefix.is_empty() => match site.routes.len() {
            1 => "the site has no other path".to_owned(),
            _ => "no path of the site is nearer".to_owned(),
        },
        (PathPattern::Prefix(_), true) => "it begins with this prefix".to_owned(),
        (PathPattern::Prefix(_), false) => format!(
            "the longest prefix that it begins with; it beats {}",
            others.join(", ")
        ),
    };
    if is_rewritten {
        why += &format!(
            "; {} is matched and sent as {}",
            String::from_utf8_lossy(raw),
            String::from_utf8_lossy(path)
        );
    }
    Stage {
        name: "path",
        decision: route.name.clone(),
        why,
        place: Some(route.place.clone()),
    }
}

/// None for a path that admits everybody.
pub(super) fn access_stage(route: &Route, client: &Client) -> Option<Stage> {
    let Allow::Nets(networks) = &route.settings.allow else {
        return None;
    };
    let address = client.address;
    let admits = networks
        .iter()
        .find(|network| Allow::Nets(vec![**network]).permits(address));
    let (decision, why) = match admits {
        Some(network) => ("admitted", format!("{address} is in {network}")),
        None => {
            let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
            let list = networks.join(", ");
            ("refused", format!("{address} is in none of [{list}]"))
        }
    };
    Some(Stage {
        name: "access",
        decision: decision.to_owned(),
        why,
        place: route.origins.of("allow").cloned(),
    })
}

/// None for a path that takes bodies of any size.
pub(super) fn body_stage(route: &Route, framing: Framing) -> Option<Stage> {
    let limit = route.settings.limits.body?;
    let (decision, why) = match framing {
        Framing::Length(length) if length > limit => (
            "refused",
            format!("limits.body is {limit} octets, and {length} are announced"),
        ),
        Framing::Length(_) | Framing::None | Framing::UntilClose => {
            ("small enough", format!("limits.body is {limit} octets"))
        }
        Framing::Chunked => (
            "taken as it comes",
            format!("limits.body is {limit} octets; a longer one is refused once it is seen"),
        ),
    };
    Some(Stage {
        name: "body",
        decision: decision.to_owned(),
        why,
        place: route.origins.of("limits.body").cloned(),
    })
}

/// None without a wish for another protocol.
pub(super) fn upgrade_stage(
    route: &Route,
    facts: &Facts<'_>,
    routed: &Routed<'_>,
) -> Option<Stage> {
    let (decision, why) = match routed.upgrade {
        Some(token) => (
            String::from_utf8_lossy(token).into_owned(),
            "it is in `upgrade`, and this is a GET by HTTP/1.1 without a body",
        ),
        None if facts.options.upgrade => (
            "ignored".to_owned(),
            "no wished protocol is in `upgrade`, or this is no GET by HTTP/1.1 without a body",
        ),
        None => return None,
    };
    Some(Stage {
        name: "upgrade",
        decision,
        why: why.to_owned(),
        place: route.origins.of("upgrade").cloned(),
    })
}

pub(super) fn action_stage(route: &Route, endpoints: &[&EndpointKey]) -> Stage {
    let labels: Vec<String> = endpoints.iter().map(|key| key.label()).collect();
    let how = match (labels.len(), endpoints) {
        (1, [EndpointKey::Whoami]) => "the built-in origin",
        (1, _) => "its one target",
        _ => "each in turn; every worker keeps a turn of its own and begins at another one",
    };
    let names: Vec<String> = upstreams(route).map(|name| format!("`{name}`")).collect();
    let why = match names.as_slice() {
        [] => how.to_owned(),
        [one] => format!("the upstream {one}: {how}"),
        several => format!("the upstreams {}: {how}", several.join(", ")),
    };
    let place = ["to", "builtin"]
        .iter()
        .find_map(|key| route.origins.of(key));
    Stage {
        name: "action",
        decision: format!("to {}", labels.join(", ")),
        why,
        place: place.cloned(),
    }
}

/// The upstreams that a route names.
fn upstreams(route: &Route) -> impl Iterator<Item = &str> {
    let targets = match &route.action {
        Action::Proxy(to) => to.targets.as_slice(),
        Action::Whoami | Action::None => &[],
    };
    targets.iter().filter_map(|target| match target {
        Target::Upstream(name) => Some(name.as_str()),
        Target::Address(_) => None,
    })
}

/// None where no connection carries two requests at once.
pub(super) fn pipeline_stage(config: &Config, route: &Route) -> Option<Stage> {
    let Action::Proxy(to) = &route.action else {
        return None;
    };
    let decision = match to.pipeline {
        Pipeline::Off => return None,
        Pipeline::Auto => "auto".to_owned(),
        Pipeline::Depth(depth) => format!("up to {depth} requests on a connection"),
    };
    let first = upstreams(route).next();
    let mut named = config.upstreams.iter();
    let upstream = named.find(|upstream| Some(upstream.name.as_str()) == first);
    let place = upstream.and_then(|upstream| upstream.origins.of("pipeline"));
    Some(Stage {
        name: "pipeline",
        decision,
        why: "a GET without body, Upgrade, Expect, Range and conditions may share a connection; any other request has one for itself".to_owned(),
        place: place.cloned(),
    })
}

/// Whether the exchange leaves a line, and where.
pub(super) fn log_stage(config: &Config, route: Option<&Route>) -> Stage {
    let access = &config.log.access;
    let format = match access.format {
        LogFormat::Json => "JSON",
        LogFormat::Combined => "combined",
    };
    let is_muted = route.is_some_and(|route| !route.settings.log);
    let (decision, why) = match &access.path {
        LogTarget::Off => ("no line", "log.access.path is \"off\"".to_owned()),
        _ if is_muted => ("no line", "`log` is false here".to_owned()),
        LogTarget::Default => (
            "a line",
            format!(
                "{format}, in the usual file, else on standard output: log.access.path is not given"
            ),
        ),
        LogTarget::Stdout => ("a line", format!("{format}, on standard output")),
        LogTarget::File(path) => ("a line", format!("{format}, in {}", path.display())),
    };
    let place = route.filter(|_| is_muted && access.path != LogTarget::Off);
    Stage {
        name: "log",
        decision: decision.to_owned(),
        why,
        place: place.and_then(|route| route.origins.of("log")).cloned(),
    }
}
