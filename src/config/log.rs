//! `[log]` and `[log.access]`.

use std::path::Path;

use super::diagnostic::{Fault, Faults};
use super::keys::{Level as KeyLevel, refuse};
use super::model::{AccessLog, Level, Log, LogFormat, LogTarget, Redact};
use super::place::beside;
use super::raw::{Entry, set};

/// Query parameters that are masked; each is looked for in each logged query.
const REDACT_MAX: usize = 64;

/// Reads the table onto `log`.
pub(super) fn log(entry: &Entry, log: &mut Log, faults: &mut Faults) {
    for entry in entry.table("a table", faults).unwrap_or_default() {
        match entry.name {
            "level" => {
                let choices = [
                    ("error", Level::Error),
                    ("warn", Level::Warn),
                    ("info", Level::Info),
                    ("debug", Level::Debug),
                    ("trace", Level::Trace),
                ];
                set(&mut log.level, entry.choice(&choices, faults));
            }
            "access" => access(&entry, &mut log.access, faults),
            _ => refuse(&entry, KeyLevel::Log, faults),
        }
    }
}

fn access(entry: &Entry, access: &mut AccessLog, faults: &mut Faults) {
    for entry in entry.table("a table", faults).unwrap_or_default() {
        match entry.name {
            "path" => set(&mut access.path, target(&entry, faults)),
            "format" => {
                let choices = [("json", LogFormat::Json), ("combined", LogFormat::Combined)];
                set(&mut access.format, entry.choice(&choices, faults));
            }
            "redact" => set(&mut access.redact, redact(&entry, faults)),
            _ => refuse(&entry, KeyLevel::Access, faults),
        }
    }
}

fn target(entry: &Entry, faults: &mut Faults) -> Option<LogTarget> {
    let expected = "a file's path, \"stdout\" or \"off\"";
    let text = entry.string(expected, faults)?;
    let refusal = match text {
        "stdout" => return Some(LogTarget::Stdout),
        "off" => return Some(LogTarget::Off),
        "journald" => Fault::new(
            "not-supported",
            entry.span.clone(),
            "\"journald\" is not supported in this version",
        )
        .label("\"stdout\" ends up in the journal of a service"),
        text if text.is_empty() || text.ends_with('/') || text.contains('\0') => Fault::new(
            "bad-value",
            entry.span.clone(),
            format!("`path` takes {expected}"),
        ),
        text => {
            return Some(LogTarget::File(beside(
                faults.name_of(entry.span.start),
                Path::new(text),
            )));
        }
    };
    faults.error(refusal);
    None
}

fn redact(entry: &Entry, faults: &mut Faults) -> Option<Vec<Redact>> {
    let items = entry.list("a list such as [\"query:token\"]", faults)?;
    if items.len() > REDACT_MAX {
        let message = format!("`redact` has more than {REDACT_MAX} entries");
        faults.error(Fault::new("out-of-range", entry.span.clone(), message));
        return None;
    }
    let mut found: Vec<Redact> = Vec::new();
    let mut is_faulty = false;
    for item in &items {
        match redact_one(item, faults) {
            Some(redact) if found.contains(&redact) => {}
            Some(redact) => found.push(redact),
            None => is_faulty = true,
        }
    }
    (!is_faulty).then_some(found)
}

fn redact_one(entry: &Entry, faults: &mut Faults) -> Option<Redact> {
    let text = entry.string("entries such as \"query:token\"", faults)?;
    let fault = |code, message: String| Fault::new(code, entry.span.clone(), message);
    let refusal = match text.split_once(':') {
        Some(("query", name)) if !name.is_empty() && !name.contains(['&', '=', '#']) => {
            return Some(Redact::Query(name.to_owned()));
        }
        Some(("query", _)) => fault(
            "bad-value",
            "`query:` is followed by a parameter's name".to_owned(),
        ),
        Some(("header", _)) => fault(
            "not-supported",
            "`header:` is not supported in this version".to_owned(),
        )
        .label("no field but User-Agent and Referer is logged"),
        Some(_) | None => {
            let fault = fault(
                "bad-value",
                "`redact` takes entries such as \"query:token\"".to_owned(),
            );
            let is_name = !text.is_empty()
                && text
                    .bytes()
                    .all(|octet| octet.is_ascii_alphanumeric() || octet == b'_');
            if is_name {
                fault.replace(entry.span.clone(), format!("\"query:{text}\""))
            } else {
                fault
            }
        }
    };
    faults.error(refusal);
    None
}
