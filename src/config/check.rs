//! Texts → [`Config`]: the order of reading, and all that concerns more than one key.
//!
//! Every layer is read together with those below it, so that a fault in what a later layer overrides is told too; the
//! last reading is the configuration. A source with a syntax fault is checked as far as it is whole: what stands before
//! the table with the fault. Within a site everything is read even after a fault, since all faults are to be told at
//! once.

use std::collections::HashMap;
use std::ops::Range;

use toml::de::{DeTable, Error as TomlError};

use super::diagnostic::{Diagnostic, Fault, Faults};
use super::duplicates::Definitions;
use super::expand::{Expander, Surroundings};
use super::generated::Generated;
use super::grow::grow;
use super::host::HostKey;
use super::keys::{Level, refuse};
use super::model::{Config, Log, Server};
use super::place::{File, FileKind, Source};
use super::raw::entries;
use super::settings::{Given, Scope};
use super::tree::Member;
use super::upstreams::Upstreams;
use super::{acme, layers, log, other_language, reach, server, settings, site, traps, usefulness};

/// Reads texts that stand beside each other, as one layer and without an environment: see [`parse_files`].
///
/// # Errors
///
/// As [`parse_files`].
pub fn parse(sources: &[Source]) -> Result<Config, Vec<Diagnostic>> {
    let files: Vec<File> = sources
        .iter()
        .map(|source| File {
            source: *source,
            layer: 0,
            kind: FileKind::Main,
        })
        .collect();
    parse_files(&files, &Surroundings::NONE)
}

/// Reads all files into one configuration. They are in the order in which their faults are told; layers rise.
///
/// A later layer overrides earlier ones key by key, in sites and paths too; within a layer nothing is set twice. No
/// file at all gives the defaults and no sites. Generated files come last and are read by a schema of their own: what
/// is refused of them is a warning.
///
/// # Errors
///
/// Every fault of every hand-written file, in the order of the files and then of their text. Never empty.
pub fn parse_files(files: &[File], surroundings: &Surroundings) -> Result<Config, Vec<Diagnostic>> {
    let sources: Vec<Source> = files.iter().map(|file| file.source).collect();
    let mut faults = Faults::new(&sources);
    let parsed: Vec<_> = sources
        .iter()
        .map(|source| DeTable::parse_recoverable(source.text))
        .collect();
    let mut expander = Expander::new(*surroundings);
    let mut merged: Vec<Member> = Vec::new();
    let mut read = Reading::default();
    let mut layer: Vec<Member> = Vec::new();
    let hand_written = |file: &&File| file.kind != FileKind::Generated;
    // What could not be read may hold the upstreams that sites name.
    let is_legible = parsed.iter().all(|(_, errors)| errors.is_empty());
    let mut remaining = files.iter().filter(hand_written).count();
    for (index, (file, (table, _))) in files.iter().zip(&parsed).enumerate() {
        if file.kind == FileKind::Generated {
            continue;
        }
        expander.enter(file.source.name);
        let tree = grow(
            table.get_ref(),
            faults.base(index),
            &mut expander,
            &mut faults,
        );
        layers::add_file(&mut layer, file.kind, tree, &mut faults);
        remaining -= 1;
        let next = files[index + 1..].iter().find(|file| hand_written(file));
        if next.is_none_or(|next| next.layer != file.layer) {
            layers::overlay(&mut merged, std::mem::take(&mut layer));
            read = Reading::of(&merged, remaining == 0, is_legible, &mut faults);
        }
    }
    let Reading {
        mut config,
        given,
        keys,
    } = read;
    reach::check(&merged, &config, &keys.of_sites, &mut faults);
    for (index, (file, (_, errors))) in files.iter().zip(&parsed).enumerate() {
        if file.kind != FileKind::Generated {
            syntax(errors, index, sources[index].text, &mut faults);
            // Whatever is dropped as noise: what is no TOML is never taken.
            if let Some(error) = errors.first().filter(|_| !faults.has_errors_in(index)) {
                let span = error.span().unwrap_or_default();
                let fault = Fault::new("syntax", span, error.message());
                faults.error(fault.shifted(faults.base(index)));
            }
        }
    }
    if !faults.has_errors() {
        usefulness::warn(&merged, &config, &mut faults);
        reach::warn(&merged, &config, &keys.of_sites, &mut faults);
    }
    let mut discovered = Generated::beside(&config, &given, surroundings);
    for (index, (file, (table, errors))) in files.iter().zip(&parsed).enumerate() {
        if file.kind == FileKind::Generated {
            let base = faults.base(index);
            if let Some(error) = errors.first() {
                let span = error.span().unwrap_or_default();
                let message = format!("the generated file {} is left out", file.source.name);
                let fault = Fault::new("generated", span, message).label(error.message());
                faults.warning(fault.shifted(base));
                continue;
            }
            let mut literal = Expander::literal();
            let tree = grow(table.get_ref(), base, &mut literal, &mut faults);
            discovered.add(&tree, &mut config, &mut faults);
        }
    }
    config.secrets = faults.secrets.clone();
    config.secret_files = std::mem::take(&mut expander.files);
    let (errors, warnings) = faults.into_errors_and_warnings();
    if errors.is_empty() {
        Ok(Config { warnings, ..config })
    } else {
        Err(errors)
    }
}

/// What was read from a merged tree.
struct Reading {
    config: Config,
    /// What sites begin with.
    given: Given,
    keys: Keys,
}

/// Where the sites' keys stand.
#[derive(Default)]
struct Keys {
    /// Beside `Config::sites`: name and range of each key.
    of_sites: Vec<(String, Range<usize>)>,
    /// Every valid key so far, and where it is, as `file:line:column`.
    seen: HashMap<HostKey, String>,
}

impl Default for Reading {
    fn default() -> Reading {
        Reading {
            config: Config {
                server: Server::default(),
                acme: Default::default(),
                log: Log::default(),
                defaults: Default::default(),
                default_origins: Default::default(),
                upstreams: Vec::new(),
                sites: Vec::new(),
                warnings: Vec::new(),
                secrets: Default::default(),
                secret_files: Vec::new(),
            },
            given: Given::default(),
            keys: Keys::default(),
        }
    }
}

impl Reading {
    /// Reads a merged tree. Unless it is the last, a site may still lack what a later layer adds; unless all was
    /// legible, also what could not be read.
    fn of(tree: &[Member], is_last: bool, is_legible: bool, faults: &mut Faults) -> Reading {
        let mut read = Reading::default();
        let mut upstreams = Upstreams::none(is_last && is_legible);
        read.globals(tree, is_last && is_legible, faults);
        read.config.defaults = read.given.settings.clone();
        read.config.default_origins = read.given.origins.clone();
        let named = entries(tree).into_iter();
        for entry in named.filter(|entry| entry.name == "upstreams") {
            upstreams.read(&entry, faults);
        }
        read.sites(tree, &upstreams, is_last, faults);
        read.config.upstreams = upstreams.list;
        read
    }

    fn globals(&mut self, tree: &[Member], is_whole: bool, faults: &mut Faults) {
        let mut defaults = None;
        for entry in entries(tree) {
            match entry.name {
                // As a list it is nginx's.
                "server" if !entry.value.is_list() => {
                    server::server(&entry, &mut self.config.server, faults)
                }
                "timeouts" => settings::timeouts(&entry, Scope::Global, &mut self.given, faults),
                "limits" => settings::limits(&entry, Scope::Global, &mut self.given, faults),
                "acme" => acme::acme(&entry, &mut self.config.acme, is_whole, faults),
                "log" => log::log(&entry, &mut self.config.log, faults),
                "defaults" => defaults = Some(entry),
                "upstreams" | "sites" => {}
                _ => refuse(&entry, Level::Top, faults),
            }
        }
        // Nearer to a site than `[timeouts]` and `[limits]`, wherever it stands.
        if let Some(entry) = defaults {
            settings::defaults(&entry, &mut self.given, faults);
        }
    }

    fn sites(
        &mut self,
        tree: &[Member],
        upstreams: &Upstreams,
        is_last: bool,
        faults: &mut Faults,
    ) {
        let found = entries(tree)
            .into_iter()
            .find(|entry| entry.name == "sites");
        let found = found.and_then(|entry| entry.table("a table of hosts", faults));
        for entry in found.unwrap_or_default() {
            let key = site::key(&entry, faults);
            let place = faults.place(entry.key.start).to_string();
            let first = key.as_ref().and_then(|key| self.keys.seen.get(key));
            if let Some(first) = first {
                let message = format!("the host `{}` is set twice", entry.name);
                let fault = Fault::new("duplicate-host", entry.key.clone(), message);
                faults.error(fault.label(format!("first set at {first}")));
            }
            let is_repeated = first.is_some();
            let site = site::site(
                &entry,
                key.clone(),
                &self.given,
                Some(upstreams),
                is_last,
                faults,
            );
            if is_repeated {
                continue;
            }
            self.keys.seen.extend(key.map(|key| (key, place)));
            if let Some(site) = site {
                self.config.sites.push(site);
                self.keys.of_sites.push((entry.name.to_owned(), entry.key));
            }
        }
    }
}

/// Faults of form that are looked into, of one source: each looks back for its table.
const MALFORMED_MAX: usize = 1000;

/// What the `toml` crate found: the faults of form, then the keys that are set twice.
fn syntax(errors: &[TomlError], source: usize, text: &str, faults: &mut Faults) {
    let base = faults.base(source);
    let mut repeated: Vec<Range<usize>> = Vec::new();
    let mut malformed: Vec<(Range<usize>, &str)> = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        match error.message() {
            "duplicate key" => repeated.push(span),
            message if message.starts_with("cannot extend value") => repeated.push(span),
            message => malformed.push((span, message)),
        }
    }
    malformed.sort_by_key(|(span, _)| span.start);
    if !malformed.is_empty()
        && let Some(fault) = other_language::recognise(text)
    {
        faults.forget_after(source, 0);
        faults.error(fault.shifted(base));
        return;
    }
    if let Some((first, _)) = malformed.first() {
        let before = &text[..text.floor_char_boundary(first.start)];
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        let is_header = text[line..].trim_start().starts_with('[');
        let table = before.rfind("\n[").map_or(0, |at| at + 1);
        let from = if is_header { line } else { table };
        faults.forget_lacks(source, from..line);
        // A repeated key after a fault that swallowed a header is no repetition.
        repeated.retain(|span| span.start < first.start);
    }
    let mut last_line = None;
    for (span, message) in malformed.into_iter().take(MALFORMED_MAX) {
        // One fault a line: the first is the cause of the others.
        let line = faults.place(base + span.start).line;
        if last_line.replace(line) == Some(line) {
            continue;
        }
        let is_open_list = message.starts_with("missing comma between array elements");
        faults.error(traps::fault(span, message, text).shifted(base));
        if is_open_list {
            // All the rest of the text is taken for elements.
            break;
        }
    }
    if !repeated.is_empty() {
        repetitions(&repeated, text, base, faults);
    }
}

/// Keys that are set again at these places.
fn repetitions(again: &[Range<usize>], text: &str, base: usize, faults: &mut Faults) {
    let definitions = Definitions::of(text);
    let mut reported: Vec<&[String]> = Vec::new();
    for span in again {
        let (path, first) = definitions.earlier(span).unwrap_or((&[], None));
        // When a whole table came twice, its keys did too.
        let is_within = |table: &&[String]| path.len() > table.len() && path.starts_with(table);
        if !path.is_empty() && reported.iter().any(is_within) {
            continue;
        }
        reported.push(path);
        if let Some((fault, first)) = traps::grown_line(span, text) {
            faults.forget_at(base + span.start);
            let line = faults.place(base + first);
            faults.error(
                fault
                    .shifted(base)
                    .label(format!("to grow, the line at {line} becomes a table")),
            );
            continue;
        }
        let (code, message) = match path {
            [sites, host] if sites == "sites" => {
                ("duplicate-host", format!("the host `{host}` is set twice"))
            }
            [upstreams, name] if upstreams == "upstreams" => (
                "duplicate-upstream",
                format!("the upstream `{name}` is set twice"),
            ),
            [sites, host, paths, path] if sites == "sites" && paths == "paths" => (
                "duplicate-path",
                format!("the path `{path}` of `{host}` is set twice"),
            ),
            [table] if text[..span.start].ends_with('[') => (
                "duplicate-key",
                format!("the table `[{table}]` is there twice"),
            ),
            [] => ("duplicate-key", "the key is set twice".to_owned()),
            [.., key] => ("duplicate-key", format!("`{key}` is set twice")),
        };
        let is_table = message.starts_with("the table");
        let fault = Fault::new(code, span.clone(), message).shifted(base);
        let label = first.map(|first| match (faults.place(base + first.start), is_table) {
            (place, true) => format!("the first is at {place}; these lines belong there"),
            (place, false) => format!("first set at {place}"),
        });
        faults.error(fault.label(label.unwrap_or_default()));
    }
}
