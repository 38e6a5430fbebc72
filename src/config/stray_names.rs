//! Names where TOML made something else of them: hosts and users without quotes, hosts that slid into another table.
//!
//! ```text
//!   example.com = 3000          is a key `example` with a table that has a key `com`
//!   [sites.app.example.com]     is a site `app` with a table `example` in it
//!   "b.example.com" = 3001      after `[sites."a.example.com"]` is a key of that site
//! ```
//!
//! All of this is fine TOML, so it shows only where a name is not what belongs there.

use std::ops::Range;

use super::diagnostic::{Fault, Faults};
use super::edit;
use super::host;
use super::raw::Entry;
use super::tree::{Member, Value};

/// Ends of hosts that people have: with one of these a dotted key is a host, even where it looks like a misspelt key.
const ENDS_OF_HOSTS: [&str; 22] = [
    "app",
    "at",
    "ch",
    "cloud",
    "com",
    "de",
    "dev",
    "eu",
    "example",
    "fr",
    "home",
    "internal",
    "io",
    "lan",
    "local",
    "localhost",
    "me",
    "net",
    "nl",
    "org",
    "test",
    "uk",
];

/// Ends of files: with one of these a name among paths is a path without its `/`.
const ENDS_OF_FILES: [&str; 12] = [
    "css", "gif", "html", "ico", "jpg", "js", "json", "php", "png", "svg", "txt", "xml",
];

/// A name that TOML took apart at its dots.
struct Dotted {
    /// `app.example.com`
    name: String,
    /// Where its last dot-part ends.
    end: usize,
}

/// Whether a key of `[sites]` is a host without quotes, which TOML takes apart. Reports every line with one.
///
/// `is_key` knows the keys of a site: `api.example.com.to = 3000` ends before `to`.
pub(super) fn is_unquoted_host(
    entry: &Entry,
    is_key: impl Fn(&str) -> bool,
    faults: &mut Faults,
) -> bool {
    let found = dotted(entry, &is_key, faults);
    for dotted in &found {
        faults.error(unquoted(dotted, "a host", "bad-host"));
    }
    !found.is_empty()
}

/// Reports names of `[users]` that TOML took apart.
pub(super) fn unquoted_users(users: &Entry, faults: &mut Faults) {
    let members = users.value.as_table().unwrap_or_default();
    for entry in members.iter().map(Entry::of) {
        for dotted in dotted(&entry, &|_| false, faults) {
            faults.error(unquoted(&dotted, "a name with a dot", "bad-user"));
        }
    }
}

/// Reports a key that is a host, where none belongs: in the table that `place` names. False for any other key.
///
/// `known` are the keys that belong there.
pub(super) fn is_stray_host(
    entry: &Entry,
    place: &str,
    known: &[&str],
    faults: &mut Faults,
) -> bool {
    let is_top = place.contains("top");
    let (name, key) = match host_in(entry, known, faults) {
        Some(found) => found,
        None => return false,
    };
    let message = format!("`{name}` does not belong in {place}");
    let fault = Fault::new("misplaced-key", key.clone(), message).label(match is_top {
        true => "a host stands in `[sites]`, in quotes",
        false => "a host stands in `[sites]`; under another header it is a key of that table",
    });
    let is_line = !is_header(entry, faults);
    let value = faults.text(&entry.span).filter(|text| !text.contains('\n'));
    let is_table = matches!(entry.value, Value::Table(_));
    let is_dotted = key.end > entry.key.end;
    faults.error(match value {
        _ if is_top && !is_line => fault.replace(key, format!("sites.{name:?}")),
        Some(_) if is_dotted && is_line => match leaf(entry).and_then(|span| faults.text(&span)) {
            Some(value) if is_top => fault.write(format!("[sites]\n{name:?} = {value}")),
            Some(value) => fault.write(format!("[sites.{name:?}]\nto = {value}")),
            None => fault,
        },
        Some(value) if is_line && is_top => fault.write(format!("[sites]\n{name:?} = {value}")),
        Some(value) if is_line && !is_table => {
            fault.write(format!("[sites.{name:?}]\nto = {value}"))
        }
        Some(_) | None => {
            fault.label("a host stands in `[sites]`: move it above, under that header")
        }
    });
    true
}

/// Whether a key is the first part of a host without quotes, whatever else it may be.
pub(super) fn begins_host(entry: &Entry, faults: &Faults) -> bool {
    // `[http.routers.app]` is Traefik's.
    let is_host = |dotted: &Dotted| ENDS_OF_HOSTS.contains(&last_label(&dotted.name));
    entry.name != "http" && dotted(entry, &|_| false, faults).iter().any(is_host)
}

/// The host that an entry's key is or begins, and where it stands.
fn host_in(entry: &Entry, known: &[&str], faults: &Faults) -> Option<(String, Range<usize>)> {
    let name = entry.name;
    let is_path = name.starts_with(['/', '=']) || ENDS_OF_FILES.contains(&last_label(name));
    if name.contains(['.', ':', '*']) && !is_path {
        let is_key = name
            .split('.')
            .next()
            .is_some_and(|first| known.contains(&first));
        let meant = match host::parse(name) {
            Ok(_) => name.to_owned(),
            Err(error) => error.mend,
        };
        return (!is_key && !meant.is_empty()).then(|| (meant, entry.key.clone()));
    }
    let dotted = dotted(entry, &|_| false, faults).into_iter().next()?;
    let is_misspelt = edit::nearest(name, known.iter().copied()).is_some()
        && !ENDS_OF_HOSTS.contains(&last_label(&dotted.name));
    let start = dotted.end - dotted.name.len();
    (!is_misspelt).then_some((dotted.name, start..dotted.end))
}

fn last_label(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Whether a dotted key stands in a header.
fn is_header(entry: &Entry, faults: &Faults) -> bool {
    let before = entry.key.start.checked_sub(1).map(|at| at..entry.key.start);
    before.and_then(|span| faults.text(&span)) == Some("[")
}

/// The value at the end of a dotted key.
fn leaf(entry: &Entry) -> Option<Range<usize>> {
    let mut value = (entry.value, entry.span.clone());
    while let Value::Table(members) = value.0 {
        let [only] = members.as_slice() else {
            return None;
        };
        value = (&only.value, only.span.clone());
    }
    Some(value.1)
}

fn unquoted(dotted: &Dotted, what: &str, code: &'static str) -> Fault {
    let span = dotted.end - dotted.name.len()..dotted.end;
    let parts: Vec<String> = dotted
        .name
        .split('.')
        .map(|part| format!("`{part}`"))
        .collect();
    let message = format!("{what} needs quotes: {:?}", dotted.name);
    Fault::new(code, span.clone(), message)
        .label(format!(
            "to TOML these are tables in each other: {}",
            parts.join(" . ")
        ))
        .replace(span, format!("{:?}", dotted.name))
}

/// All names that begin with this key and go on after a dot, without quotes.
fn dotted(entry: &Entry, is_key: &dyn Fn(&str) -> bool, faults: &Faults) -> Vec<Dotted> {
    let mut found = Vec::new();
    if is_bare(&entry.key, faults)
        && let Value::Table(members) = entry.value
    {
        collect(members, entry.name.to_owned(), is_key, faults, &mut found);
    }
    // What has a space beside a dot is not taken for a name.
    found.retain(|dotted| {
        let start = dotted.end.checked_sub(dotted.name.len());
        start.and_then(|start| faults.text(&(start..dotted.end))) == Some(dotted.name.as_str())
    });
    found
}

fn collect(
    members: &[Member],
    name: String,
    is_key: &dyn Fn(&str) -> bool,
    faults: &Faults,
    found: &mut Vec<Dotted>,
) {
    let follows = |member: &&Member| {
        let dot = member
            .key
            .start
            .checked_sub(1)
            .map(|at| at..member.key.start);
        let is_after_dot = dot.and_then(|span| faults.text(&span)) == Some(".");
        is_after_dot && is_bare(&member.key, faults)
    };
    for member in members.iter().filter(follows) {
        if is_key(&member.name) {
            // One label and a key of its site is as it should be.
            if name.contains('.') {
                let (name, end) = (name.clone(), member.key.start - 1);
                found.push(Dotted { name, end });
            }
            continue;
        }
        let name = format!("{name}.{}", member.name);
        let inner = member.value.as_table().unwrap_or_default();
        if inner.is_empty() || inner.iter().any(|inner| !follows(&inner)) {
            let (name, end) = (name.clone(), member.key.end);
            found.push(Dotted { name, end });
        }
        collect(inner, name, is_key, faults, found);
    }
}

fn is_bare(key: &Range<usize>, faults: &Faults) -> bool {
    let text = faults.text(key).unwrap_or_default();
    !text.starts_with(['"', '\''])
}
