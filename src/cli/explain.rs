//! `hotgate explain`: what would become of a request, and why.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Exit;
use super::explain_text::as_text;
use super::files::read;
use super::json::print_facts;
use super::talk::{print_painted, say};
use crate::config::{Config, Place};
use crate::control::live::{FIRST_OCTET, Step, ask};
use crate::policy::Reason;
use crate::policy::exchange::ATTEMPTS_MAX;
use crate::serve::explain::{
    Explanation, Forwarded, Outcome, Query, Stage, Target, explain as explain_query,
};

/// Methods that `--live` sends: they are safe (RFC 9110 §9.2.1).
const SENT_LIVE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// What `explain` takes.
#[derive(clap::Args)]
pub(super) struct ExplainArgs {
    /// [METHOD] URL: GET when it is left out
    #[arg(value_names = ["METHOD", "URL"], num_args = 1..=2, required = true)]
    request: Vec<String>,
    /// The address that it comes from
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    from: IpAddr,
    /// A field line of the request; may repeat
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    fields: Vec<String>,
    /// The listener that receives it, as in `server.http` [default: the one with the URL's port]
    #[arg(long, value_name = "ADDRESS")]
    listener: Option<String>,
    /// Connect to the upstream, and send GET, HEAD and OPTIONS
    #[arg(long)]
    live: bool,
}

/// Explains one request.
pub(super) fn explain(named: &[PathBuf], args: &ExplainArgs, is_json: bool) -> Exit {
    let config = match read(named) {
        Ok(loaded) => loaded.config,
        Err(exit) => return exit,
    };
    let (method, url) = match args.request.as_slice() {
        [method, url] => (method.as_str(), url.as_str()),
        [url] => ("GET", url.as_str()),
        _ => return Exit::Usage,
    };
    let query = Query {
        method,
        url,
        from: args.from,
        fields: &args.fields,
        listener: args.listener.as_deref(),
    };
    let explanation = match explain_query(&config, &query) {
        Ok(explanation) => explanation,
        Err(error) => {
            say(&format!(
                "error: {error}\n  = try: hotgate explain GET http://example.com/path"
            ));
            return Exit::Usage;
        }
    };
    let live = match (&explanation.outcome, args.live) {
        (Outcome::Forwarded(forwarded), true) => ask_upstreams(forwarded, method),
        (Outcome::Forwarded(_), false)
        | (Outcome::Refused(_) | Outcome::NoListener(_), true | false) => Vec::new(),
    };
    match is_json {
        true => print_facts(as_json(&explanation, &live, &config)),
        false => print_painted(&as_text(&explanation, &live, &config)),
    }
    match explanation.outcome {
        Outcome::NoListener(_) | Outcome::Refused(Reason::UnknownHost | Reason::NoRoute) => {
            Exit::No
        }
        Outcome::Refused(_) => Exit::Fine,
        Outcome::Forwarded(_) if live.last().is_some_and(|step| step.result.is_err()) => {
            Exit::Failed
        }
        Outcome::Forwarded(_) => Exit::Fine,
    }
}

/// The first target, as a first exchange of the first worker would have it; where no connection can be made, the next
/// one, as another attempt would.
fn ask_upstreams(forwarded: &Forwarded, method: &str) -> Vec<Step> {
    // A body was announced but none is there to send: then connecting has to do.
    let has_body = ["\r\ncontent-length:", "\r\ntransfer-encoding:"]
        .iter()
        .any(|name| forwarded.head().to_ascii_lowercase().contains(name));
    let is_sent = SENT_LIVE.contains(&method) && !has_body;
    let mut steps: Vec<Step> = Vec::new();
    let attempts = forwarded.upstreams.iter().zip(&forwarded.heads);
    for (upstream, head) in attempts.take(usize::from(ATTEMPTS_MAX)) {
        let head = is_sent.then_some(head.as_str());
        steps.extend(ask(upstream, forwarded.connect_limit, head));
        let is_unconnected = steps
            .last()
            .is_some_and(|step| step.result.is_err() && step.what != FIRST_OCTET);
        if !is_unconnected {
            break;
        }
    }
    steps
}

fn as_json(explanation: &Explanation, live: &[Step], config: &Config) -> Value {
    let mask = |text: &str| config.secrets.mask(text);
    let source = |place: &Option<Place>| place.as_ref().map(ToString::to_string);
    let stage = |stage: &Stage| {
        json!({
            "stage": stage.name,
            "decision": mask(&stage.decision),
            "why": mask(&stage.why),
            "source": source(&stage.place),
        })
    };
    let mut facts = json!({
        "request": mask(&explanation.request),
        "stages": explanation.stages.iter().map(stage).collect::<Vec<_>>(),
        "site": explanation.site.as_deref().map(mask),
        "route": explanation.route.as_deref().map(mask),
    });
    let outcome = match &explanation.outcome {
        Outcome::NoListener(other) => json!({
            "outcome": "no_listener",
            "try": other.as_deref().map(mask),
        }),
        Outcome::Refused(reason) => json!({
            "outcome": "refused",
            "reason": reason.text(),
            "status": reason.status().map(|status| status.code()),
            "advice": reason.advice(),
        }),
        Outcome::Forwarded(forwarded) => json!({
            "outcome": "forwarded",
            "sent": mask(forwarded.head()),
            "removed": forwarded.removed.iter().map(|name| mask(name)).collect::<Vec<_>>(),
            "added": forwarded.added.iter().map(|(name, value)| json!({
                "name": mask(name),
                "value": mask(value),
            })).collect::<Vec<_>>(),
            "replaced": forwarded.replaced.iter().map(|(name, old, new)| json!({
                "name": mask(name),
                "from": mask(old),
                "to": mask(new),
            })).collect::<Vec<_>>(),
            "upstreams": forwarded.upstreams.iter().map(|one| json!({
                "label": mask(&one.label),
                "addresses": one.target.addresses().iter().map(|address| mask(address)).collect::<Vec<_>>(),
                "looked_up": matches!(one.target, Target::Name(..)),
            })).collect::<Vec<_>>(),
            "retry": forwarded.retry,
            "settings": forwarded.settings.iter().map(|one| json!({
                "key": one.key,
                "value": mask(&one.value),
                "source": source(&one.place),
            })).collect::<Vec<_>>(),
            "live": live.iter().map(|step| json!({
                "what": mask(&step.what),
                "microseconds": u64::try_from(step.took.as_micros()).unwrap_or(u64::MAX),
                "ok": step.result.is_ok(),
                "result": mask(step.result.as_ref().unwrap_or_else(|why| why)),
            })).collect::<Vec<_>>(),
        }),
    };
    if let (Value::Object(facts), Value::Object(outcome)) = (&mut facts, outcome) {
        facts.extend(outcome);
    }
    facts
}
