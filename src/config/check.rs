//! Texts → [`Config`]: the order of reading, and all that concerns more than one key.
//!
//! Two passes over the trees: first what holds for all sites, from every source, then the sites, which begin as
//! copies of it. A source with a syntax fault is checked as far as it is whole: what stands before the table with the
//! fault. Within a site everything is read even after a fault, since all faults are to be told at once.

use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, Error as TomlError};

use super::diagnostic::{Diagnostic, Fault, Faults};
use super::duplicates::Definitions;
use super::host::HostKey;
use super::keys::{Level, refuse};
use super::model::{Config, Log, Server, Settings, Site, SiteScheme};
use super::place::Source;
use super::raw::{Entry, entries};
use super::settings::Scope;
use super::site;
use super::{log, server, settings};

/// Reads all sources, in order, into one configuration.
///
/// A key of `[server]`, `[timeouts]`, `[limits]` or `[log]` in a later source overrides the same key of an earlier
/// one; a host may stand in one source only. No source at all gives the defaults and no sites.
///
/// # Errors
///
/// Every fault of every source, in the order of the sources and then of their text. Never empty.
pub fn parse(sources: &[Source]) -> Result<Config, Vec<Diagnostic>> {
    let mut faults = Faults::new(sources);
    let trees: Vec<_> = sources
        .iter()
        .map(|source| DeTable::parse_recoverable(source.text))
        .collect();

    let mut config = Config {
        server: Server::default(),
        log: Log::default(),
        defaults: Settings::default(),
        sites: Vec::new(),
        warnings: Vec::new(),
    };
    for (index, (tree, _)) in trees.iter().enumerate() {
        faults.enter(index);
        globals(tree.get_ref(), &mut config, &mut faults);
    }
    let mut keys = Keys::default();
    for (index, (tree, _)) in trees.iter().enumerate() {
        faults.enter(index);
        keys.source = index;
        sites(tree, &mut config, &mut keys, &mut faults);
    }
    unreachable_sites(&config, &keys, &mut faults);
    plain_sites(&config, &keys, &mut faults);

    for (index, (_, errors)) in trees.iter().enumerate() {
        faults.enter(index);
        syntax(errors, index, &mut faults);
    }
    let (errors, warnings) = faults.into_errors_and_warnings();
    if errors.is_empty() {
        Ok(Config { warnings, ..config })
    } else {
        Err(errors)
    }
}

/// Where the sites' keys stand.
#[derive(Default)]
struct Keys<'t> {
    /// The source being read.
    source: usize,
    /// Beside `Config::sites`: source and entry of each.
    of_sites: Vec<(usize, Entry<'t>)>,
    /// Every valid key so far, and where it is, as `file:line:column`.
    seen: HashMap<HostKey, String>,
}

fn globals(tree: &DeTable, config: &mut Config, faults: &mut Faults) {
    for entry in entries(tree) {
        match entry.name {
            "server" => server::server(&entry, &mut config.server, faults),
            "timeouts" => {
                settings::timeouts(&entry, Scope::Global, &mut config.defaults.timeouts, faults)
            }
            "limits" => {
                settings::limits(&entry, Scope::Global, &mut config.defaults.limits, faults)
            }
            "log" => log::log(&entry, &mut config.log, faults),
            "sites" => {}
            _ => refuse(&entry, Level::Top, faults),
        }
    }
}

fn sites<'t>(
    tree: &'t Spanned<DeTable<'t>>,
    config: &mut Config,
    keys: &mut Keys<'t>,
    faults: &mut Faults,
) {
    let found = entries(tree.get_ref())
        .into_iter()
        .find(|entry| entry.name == "sites");
    let found = found.and_then(|entry| entry.table("a table of hosts", faults));
    for entry in found.unwrap_or_default() {
        let key = site::key(&entry, faults);
        let place = faults.place(entry.key.start).to_string();
        let first = key.as_ref().and_then(|key| keys.seen.get(key));
        if let Some(first) = first {
            let message = format!("the host `{}` is set twice", entry.name);
            let fault = Fault::new("duplicate-host", entry.key.clone(), message);
            faults.error(fault.label(format!("first set at {first}")));
        }
        let is_repeated = first.is_some();
        let site = site::site(&entry, key.clone(), &config.defaults, faults);
        if is_repeated {
            continue;
        }
        keys.seen.extend(key.map(|key| (key, place)));
        if let Some(site) = site {
            config.sites.push(site);
            keys.of_sites.push((keys.source, entry));
        }
    }
}

/// A plain site that has another in front of it on every listener is a fault like a host that is set twice.
fn unreachable_sites(config: &Config, keys: &Keys, faults: &mut Faults) {
    let listeners = config.listeners();
    let is_served = |index: usize| {
        listeners
            .iter()
            .any(|listener| listener.sites.contains(&index))
    };
    // Only where one host has several keys, so that ten thousand sites do not cost their square.
    let mut same: HashMap<_, Vec<usize>> = HashMap::new();
    for (index, site) in config.sites.iter().enumerate() {
        same.entry(&site.host).or_default().push(index);
    }
    for of_host in same.into_values().filter(|of_host| of_host.len() > 1) {
        let Some(owner) = of_host.iter().find(|index| is_served(**index)) else {
            continue;
        };
        for index in of_host
            .iter()
            .filter(|index| config.sites[**index].scheme == SiteScheme::Http)
        {
            if is_served(*index) {
                continue;
            }
            let (source, entry) = &keys.of_sites[*index];
            let owner = &config.sites[*owner];
            faults.enter(*source);
            let message = format!("the site `{}` is never reached", entry.name);
            let fault = Fault::new("duplicate-host", entry.key.clone(), message);
            faults.error(fault.label(format!(
                "`{}` at {} has its host on every listener",
                owner.name, owner.place
            )));
        }
    }
}

/// One warning for all sites that would have HTTPS if this version had it.
fn plain_sites(config: &Config, keys: &Keys, faults: &mut Faults) {
    let is_meant_for_tls = |site: &&Site| site.scheme == SiteScheme::Auto;
    let count = config.sites.iter().filter(is_meant_for_tls).count();
    let Some(first) = config.sites.iter().position(|site| is_meant_for_tls(&site)) else {
        return;
    };
    let with_port: Vec<&str> = config
        .sites
        .iter()
        .filter(|site| is_meant_for_tls(site) && site.port.is_some())
        .map(|site| site.name.as_str())
        .collect();

    let (source, entry) = &keys.of_sites[first];
    faults.enter(*source);
    let message = match count {
        1 => "1 site is served over plain HTTP, because this version has no TLS".to_owned(),
        _ => format!("{count} sites are served over plain HTTP, because this version has no TLS"),
    };
    let label = match with_port.as_slice() {
        [] => String::new(),
        [one] => format!("`{one}` is served on the plain listeners, not on its port"),
        [one, rest @ ..] => {
            format!(
                "`{one}` and {} more are served on the plain listeners, not on their ports",
                rest.len()
            )
        }
    };
    let meant = format!("{:?}", format!("http://{}", entry.name));
    let fault = Fault::new("no-tls", entry.key.clone(), message).label(label);
    faults.warning(fault.replace(entry.key.clone(), meant));
}

/// What the `toml` crate found: the faults of form, then the keys that are set twice.
fn syntax(errors: &[TomlError], source: usize, faults: &mut Faults) {
    let text = faults.source().text;
    let mut repeated: Vec<Range<usize>> = Vec::new();
    let mut malformed: Vec<(Range<usize>, &str)> = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        match error.message() {
            "duplicate key" => repeated.push(span),
            message => malformed.push((span, message)),
        }
    }
    malformed.sort_by_key(|(span, _)| span.start);
    if let Some((first, _)) = malformed.first() {
        let before = &text[..text.floor_char_boundary(first.start)];
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        let is_header = text[line..].trim_start().starts_with('[');
        let table = before.rfind("\n[").map_or(0, |at| at + 1);
        faults.forget_after(source, if is_header { line } else { table });
        // A repeated key after a fault that swallowed a header is no repetition.
        repeated.retain(|span| span.start < first.start);
    }
    let mut last_line = None;
    for (span, message) in malformed {
        // One fault a line: the first is the cause of the others.
        let line = faults.place(span.start).line;
        if last_line.replace(line) == Some(line) {
            continue;
        }
        let is_open_list = message.starts_with("missing comma between array elements");
        faults.error(malformation(span, message, text));
        if is_open_list {
            // All the rest of the text is taken for elements.
            break;
        }
    }
    if !repeated.is_empty() {
        repetitions(&repeated, &Definitions::of(text), faults);
    }
}

/// A fault of form, in our words where the `toml` crate's leave the reader alone.
fn malformation(span: Range<usize>, message: &str, text: &str) -> Fault {
    let found = text.get(span.clone()).unwrap_or("");
    if message.starts_with("missing comma between array elements") {
        return Fault::new("syntax", span, "the list is not closed before this")
            .label("a `,` or a `]` is missing");
    }
    if message.starts_with("string values must be quoted") && !found.contains(['"', '\n']) {
        let fault = Fault::new("syntax", span.clone(), "text stands in quotes");
        return fault.replace(span, format!("\"{}\"", found.trim_end()));
    }
    Fault::new("syntax", span, message)
}

/// Keys that are set again at these places.
fn repetitions(again: &[Range<usize>], definitions: &Definitions, faults: &mut Faults) {
    let mut reported: Vec<&[String]> = Vec::new();
    for span in again {
        let (path, first) = definitions.earlier(span).unwrap_or((&[], None));
        // When a whole table came twice, its keys did too.
        let is_within = |table: &&[String]| path.len() > table.len() && path.starts_with(table);
        if !path.is_empty() && reported.iter().any(is_within) {
            continue;
        }
        reported.push(path);
        let (code, message) = match path {
            [sites, host] if sites == "sites" => {
                ("duplicate-host", format!("the host `{host}` is set twice"))
            }
            [sites, host, paths, path] if sites == "sites" && paths == "paths" => (
                "duplicate-path",
                format!("the path `{path}` of `{host}` is set twice"),
            ),
            [] => ("duplicate-key", "the key is set twice".to_owned()),
            [.., key] => ("duplicate-key", format!("`{key}` is set twice")),
        };
        let fault = Fault::new(code, span.clone(), message);
        let label = first.map(|first| format!("first set at {}", faults.place(first.start)));
        faults.error(fault.label(label.unwrap_or_default()));
    }
}
