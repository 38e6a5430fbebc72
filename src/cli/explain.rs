//! `hotgate explain`: what would become of a request, and why.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Exit;
use super::files::read;
use super::json::print_facts;
use super::talk::{print_painted, say};
use crate::config::{Config, Place};
use crate::control::live::{Step, ask};
use crate::policy::Reason;
use crate::serve::explain::{
    Explanation, Forwarded, Outcome, Query, Stage, explain as explain_query,
};

/// Methods that `--live` sends: they are safe (RFC 9110 §9.2.1).
const SENT_LIVE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];
/// Columns of a stage's name.
const NAME_COLUMNS: usize = 10;

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
        (Outcome::Forwarded(forwarded), true) => ask_upstream(forwarded, method),
        (Outcome::Forwarded(_), false)
        | (Outcome::Refused(_) | Outcome::NoListener, true | false) => Vec::new(),
    };
    if is_json {
        print_facts(as_json(&explanation, &live, &config));
    } else {
        let text = as_text(&explanation, &live);
        print_painted(&config.secrets.mask(&text));
    }
    match explanation.outcome {
        Outcome::NoListener | Outcome::Refused(Reason::UnknownHost | Reason::NoRoute) => Exit::No,
        Outcome::Refused(_) => Exit::Fine,
        Outcome::Forwarded(_) if live.last().is_some_and(|step| step.result.is_err()) => {
            Exit::Failed
        }
        Outcome::Forwarded(_) => Exit::Fine,
    }
}

/// The first target, as a first exchange of the first worker would have it.
fn ask_upstream(forwarded: &Forwarded, method: &str) -> Vec<Step> {
    let Some(upstream) = forwarded.upstreams.first() else {
        return Vec::new();
    };
    // A body was announced but none is there to send: then connecting has to do.
    let has_body = ["content-length:", "transfer-encoding:"]
        .iter()
        .any(|name| forwarded.head.to_ascii_lowercase().contains(name));
    let is_sent = SENT_LIVE.contains(&method) && !has_body;
    ask(
        &upstream.target,
        forwarded.connect_limit,
        is_sent.then_some(&forwarded.head),
    )
}

fn as_text(explanation: &Explanation, live: &[Step]) -> String {
    let mut text = String::new();
    for line in explanation.request.trim_end().split("\r\n") {
        let _ = writeln!(text, "> {}", visible(line));
    }
    text.push('\n');
    for stage in &explanation.stages {
        stage_as_text(&mut text, stage);
    }
    text.push('\n');
    match &explanation.outcome {
        Outcome::NoListener => text.push_str("✗ nobody listens there: the connection is refused\n"),
        Outcome::Refused(reason) => {
            let status = reason
                .status()
                .map_or("closed".to_owned(), |s| s.code().to_string());
            let _ = writeln!(text, "✗ {status} {}: {}", reason.text(), reason.sentence());
            let _ = writeln!(text, "  = try: {}", reason.advice());
        }
        Outcome::Forwarded(forwarded) => forwarded_as_text(&mut text, forwarded),
    }
    for step in live {
        let _ = writeln!(text, "{step}");
    }
    text
}

fn stage_as_text(text: &mut String, stage: &Stage) {
    let place = shown(stage.place.as_ref(), "  ");
    let decision = visible(&stage.decision);
    let _ = writeln!(text, "{:NAME_COLUMNS$} {decision}{place}", stage.name);
    let _ = writeln!(text, "{:NAME_COLUMNS$}   {}", "", visible(&stage.why));
}

fn forwarded_as_text(text: &mut String, forwarded: &Forwarded) {
    let labels: Vec<&str> = forwarded
        .upstreams
        .iter()
        .map(|one| one.label.as_str())
        .collect();
    let how = match labels.len() {
        1 => "",
        _ => ", in turn, each worker for itself",
    };
    let _ = writeln!(text, "✓ passed on to {}{how}", labels.join(", "));
    let _ = writeln!(
        text,
        "\n{:NAME_COLUMNS$} {}",
        "sent",
        first_line(&forwarded.head)
    );
    for name in &forwarded.removed {
        let _ = writeln!(text, "{:NAME_COLUMNS$} - {}", "", visible(name));
    }
    for (name, old, new) in &forwarded.replaced {
        let _ = writeln!(
            text,
            "{:NAME_COLUMNS$} ~ {}: {} (was {})",
            "",
            visible(name),
            visible(new),
            visible(old)
        );
    }
    for (name, value) in &forwarded.added {
        let _ = writeln!(
            text,
            "{:NAME_COLUMNS$} + {}: {}",
            "",
            visible(name),
            visible(value)
        );
    }
    let _ = writeln!(text, "{:NAME_COLUMNS$} {}", "retry", forwarded.retry);
    for setting in &forwarded.settings {
        let place = setting
            .place
            .as_ref()
            .map_or("built in".to_owned(), ToString::to_string);
        let _ = writeln!(
            text,
            "{:NAME_COLUMNS$} {:26} {:14} {place}",
            "", setting.key, setting.value
        );
    }
    let _ = writeln!(
        text,
        "{:NAME_COLUMNS$} as it came, without hop-by-hop fields; with a Date if it has none, and framing of hotgate's own",
        "response"
    );
}

fn as_json(explanation: &Explanation, live: &[Step], config: &Config) -> Value {
    let mask = |text: &str| config.secrets.mask(text);
    let stage = |stage: &Stage| {
        json!({
            "stage": stage.name,
            "decision": mask(&stage.decision),
            "why": mask(&stage.why),
            "source": stage.place.as_ref().map(ToString::to_string),
        })
    };
    let mut facts = json!({
        "request": mask(&explanation.request),
        "stages": explanation.stages.iter().map(stage).collect::<Vec<_>>(),
    });
    let outcome = match &explanation.outcome {
        Outcome::NoListener => json!({ "outcome": "no_listener" }),
        Outcome::Refused(reason) => json!({
            "outcome": "refused",
            "reason": reason.text(),
            "status": reason.status().map(|status| status.code()),
            "advice": reason.advice(),
        }),
        Outcome::Forwarded(forwarded) => json!({
            "outcome": "forwarded",
            "site": mask(&forwarded.site),
            "route": forwarded.route,
            "sent": mask(&forwarded.head),
            "removed": forwarded.removed,
            "added": pairs(&forwarded.added, config),
            "replaced": forwarded.replaced.iter().map(|(name, old, new)| json!({ "name": name, "from": old, "to": mask(new) })).collect::<Vec<_>>(),
            "upstreams": forwarded.upstreams.iter().map(|one| mask(&one.label)).collect::<Vec<_>>(),
            "retry": forwarded.retry,
            "settings": forwarded.settings.iter().map(|one| json!({
                "key": one.key,
                "value": mask(&one.value),
                "source": one.place.as_ref().map(ToString::to_string),
            })).collect::<Vec<_>>(),
            "live": live.iter().map(|step| json!({
                "what": step.what,
                "microseconds": u64::try_from(step.took.as_micros()).unwrap_or(u64::MAX),
                "ok": step.result.is_ok(),
                "result": step.result.as_ref().unwrap_or_else(|why| why),
            })).collect::<Vec<_>>(),
        }),
    };
    if let (Value::Object(facts), Value::Object(outcome)) = (&mut facts, outcome) {
        facts.extend(outcome);
    }
    facts
}

fn pairs(pairs: &[(String, String)], config: &Config) -> Vec<Value> {
    let pair = |(name, value): &(String, String)| json!({ "name": name, "value": config.secrets.mask(value) });
    pairs.iter().map(pair).collect()
}

fn shown(place: Option<&Place>, before: &str) -> String {
    place.map_or(String::new(), |place| format!("{before}[{place}]"))
}

fn first_line(head: &str) -> String {
    visible(head.split("\r\n").next().unwrap_or_default())
}

/// What came from the command line may hold what moves a cursor.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
