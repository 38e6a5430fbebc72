//! One entry of `[sites]`: a target, or a table with an action, paths and settings.

use std::collections::HashMap;
use std::ops::Range;

use crate::policy::route::PathPattern;

use super::destination::destination;
use super::diagnostic::{Fault, Faults, NO_ACTION};
use super::foreign::{self, Where};
use super::host::{self, HostKey};
use super::keys::{Level, refuse};
use super::model::{Action, Route, Site};
use super::path;
use super::raw::{Entry, SWITCH, set};
use super::settings::{Given, setting};
use super::stray_names;
use super::tls;
use super::tree::Value;
use super::upstreams::Upstreams;

/// Paths of one site. A request's path is looked for once per length that occurs among them.
const PATHS_MAX: usize = 1000;

/// The keys of which a site or path has one.
pub(super) const ACTIONS: [&str; 2] = ["to", "builtin"];

/// What a message says that a site or path is.
const EXPECTED: &str = "a target (a port, \"HOST:PORT\", \"https://HOST\", \"unix:/PATH\", the name of an upstream, a list of these) or a table";

/// Reads the key of a site.
pub(super) fn key(entry: &Entry, faults: &mut Faults) -> Option<HostKey> {
    let is_quoted = faults
        .text(&entry.key)
        .is_some_and(|key| key.starts_with(['"', '\'']));
    if let Some(fault) = foreign::fault(entry, Where::Hosts(is_quoted)) {
        faults.error(fault);
        return None;
    }
    if stray_names::is_unquoted_host(entry, |key| Level::Site.has(key), faults) {
        return None;
    }
    if !is_quoted && Level::Site.keys().contains(&entry.name) {
        let message = format!("`{}` does not belong in `[sites]`", entry.name);
        let fault = Fault::new("misplaced-key", entry.key.clone(), message);
        faults.error(fault.label("it is a key of a site; in quotes it is a host"));
        return None;
    }
    match host::parse(entry.name) {
        Ok(key) => Some(key),
        Err(error) => {
            let fault = Fault::new("bad-host", entry.key.clone(), error.message);
            let is_mendable = !error.mend.is_empty();
            let meant = format!("{:?}", error.mend);
            faults.error(if is_mendable {
                fault.replace(entry.key.clone(), meant)
            } else {
                fault
            });
            None
        }
    }
}

/// Reads a site; `key` is [`key`]'s answer for it, and without `upstreams` its targets are addresses. `None` when its key
/// or its value as a whole is faulty. Unless it `is_whole`, it may lack an action.
pub(super) fn site(
    entry: &Entry,
    key: Option<HostKey>,
    defaults: &Given,
    upstreams: Option<&Upstreams>,
    is_whole: bool,
    faults: &mut Faults,
) -> Option<Site> {
    let faults_before = faults.count();
    let is_table = matches!(entry.value, Value::Table(_));
    if key.is_none() && (!is_table || host::parse(entry.name).is_ok()) {
        // The key is no host, or only a part of one, so nobody knows what its value was to be.
        return None;
    }
    let place = faults.place(entry.key.start);
    let mut own = body(entry, Level::Site, defaults, upstreams, is_whole, faults)?;
    let paths = own.paths.take().unwrap_or_default();
    if is_whole && !own.has_action && paths.is_empty() && faults.count() == faults_before {
        let message = format!("the site `{}` has no action", entry.name);
        let fault = Fault::new(NO_ACTION, entry.key.clone(), message);
        faults.error(
            fault
                .label("needs one of `to`, `builtin`, `paths`")
                .write("to = 3000"),
        );
    }
    if paths.len() > PATHS_MAX {
        let message = format!("the site `{}` has more than {PATHS_MAX} paths", entry.name);
        faults.error(Fault::new("out-of-range", entry.key.clone(), message));
        return None;
    }
    let mut routes = Vec::with_capacity(paths.len() + 1);
    let mut seen: HashMap<PathPattern, Range<usize>> = HashMap::new();
    for path_entry in &paths {
        let Some(route) = route(path_entry, &own, upstreams, is_whole, faults) else {
            continue;
        };
        let pattern = path::folded(&route.pattern);
        if let Some(first) = seen.get(&pattern) {
            let message = format!("the path `{}` is set twice", path_entry.name);
            let fault = Fault::new("duplicate-path", path_entry.key.clone(), message);
            let first = faults.place(first.start);
            faults.error(fault.label(format!("first set at {first}")));
            continue;
        }
        seen.insert(pattern, path_entry.key.clone());
        routes.push(route);
    }
    let root = PathPattern::Prefix(Box::default());
    if !seen.contains_key(&root) {
        let (name, action, place) = ("/".to_owned(), own.action, place.clone());
        routes.push(Route {
            pattern: root.clone(),
            name,
            action,
            settings: own.given.settings,
            origins: own.given.origins,
            place,
        });
    }
    routes.sort_by_key(|route| route.pattern != root);
    let mut key = key?;
    let tls = tls::of_site(&mut key, own.tls, is_whole, faults);
    Some(Site {
        name: entry.name.to_owned(),
        host: key.host,
        scheme: key.scheme,
        port: key.port,
        tls,
        routes,
        is_generated: false,
        place,
    })
}

fn route(
    entry: &Entry,
    site: &Body,
    upstreams: Option<&Upstreams>,
    is_whole: bool,
    faults: &mut Faults,
) -> Option<Route> {
    let faults_before = faults.count();
    let pattern = pattern(entry, faults);
    let own = body(entry, Level::Path, &site.given, upstreams, is_whole, faults)?;
    if let Some(span) = own.strip.filter(|_| own.given.settings.strip) {
        let has_prefix = match &pattern {
            Some(PathPattern::Prefix(octets)) => !octets.is_empty(),
            Some(PathPattern::Exact(_)) => false,
            None => true,
        };
        if !has_prefix {
            faults.error(Fault::new(
                "bad-value",
                span,
                "there is no prefix to strip from this path",
            ));
        }
    }
    if is_whole && !own.has_action && !site.has_action && faults.count() == faults_before {
        let message = format!("the path `{}` has no action, nor has its site", entry.name);
        let fault = Fault::new(NO_ACTION, entry.key.clone(), message);
        faults.error(
            fault
                .label("needs one of `to`, `builtin`")
                .write("to = 3000"),
        );
    }
    let action = if own.has_action {
        own.action
    } else {
        site.action.clone()
    };
    let (name, place) = (entry.name.to_owned(), faults.place(entry.key.start));
    Some(Route {
        pattern: pattern?,
        name,
        action,
        settings: own.given.settings,
        origins: own.given.origins,
        place,
    })
}

fn pattern(entry: &Entry, faults: &mut Faults) -> Option<PathPattern> {
    if stray_names::is_stray_host(entry, "`paths`", &[], faults) {
        return None;
    }
    match path::parse(entry.name) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let fault = Fault::new("bad-path", entry.key.clone(), error.message);
            let is_mendable = !error.mend.is_empty();
            let meant = format!("{:?}", error.mend);
            faults.error(if is_mendable {
                fault.replace(entry.key.clone(), meant)
            } else {
                fault
            });
            None
        }
    }
}

/// What sites and paths have in common.
struct Body<'t> {
    action: Action,
    /// An action was written, though perhaps a faulty one.
    has_action: bool,
    given: Given,
    paths: Option<Vec<Entry<'t>>>,
    /// Where the value of `strip` stands.
    strip: Option<Range<usize>>,
    tls: Option<tls::Given>,
}

impl Body<'_> {
    /// A path that has another action than its site does not have the site's.
    fn note_action(&mut self, key: &str, entry: &Entry, faults: &Faults) {
        for action in ACTIONS {
            self.given.origins.forget(action);
        }
        self.given.origins.note(key, faults.place(entry.key.start));
    }
}

fn body<'t>(
    entry: &Entry<'t>,
    level: Level,
    outer: &Given,
    upstreams: Option<&Upstreams>,
    is_whole: bool,
    faults: &mut Faults,
) -> Option<Body<'t>> {
    let mut body = Body {
        action: Action::None,
        has_action: false,
        given: outer.clone(),
        paths: None,
        strip: None,
        tls: None,
    };
    if entry.has_double_header(faults) {
        let fault = entry.wrong_type("one table");
        faults.error(entry.single_header(fault, faults));
        return None;
    }
    let keys = match entry.value {
        Value::Integer(_) | Value::String(_) | Value::List(_) => {
            body.has_action = true;
            set(
                &mut body.action,
                destination(entry, upstreams, faults).map(Action::Proxy),
            );
            body.note_action("to", entry, faults);
            return Some(body);
        }
        Value::Float | Value::Boolean(_) | Value::Datetime | Value::Table(_) => {
            entry.table(EXPECTED, faults)?
        }
    };
    let mut first_action: Option<Entry> = None;
    for entry in keys {
        match entry.name {
            name if ACTIONS.contains(&name) => {
                if let Some(first) = &first_action {
                    two_actions(first, &entry, faults);
                    continue;
                }
                body.has_action = true;
                set(&mut body.action, action(&entry, upstreams, faults));
                body.note_action(entry.name, &entry, faults);
                first_action = Some(entry);
            }
            "paths" if level == Level::Site => body.paths = entry.table("a table of paths", faults),
            "tls" if level == Level::Site => body.tls = tls::tls(&entry, is_whole, faults),
            "strip" if level == Level::Path => {
                body.strip = Some(entry.span.clone());
                set(
                    &mut body.given.settings.strip,
                    entry.boolean(SWITCH, faults),
                );
                let place = faults.place(entry.key.start);
                body.given.origins.note("strip", place);
            }
            _ => {
                if !setting(&entry, &mut body.given, faults) {
                    refuse(&entry, level, faults);
                }
            }
        }
    }
    Some(body)
}

fn action(entry: &Entry, upstreams: Option<&Upstreams>, faults: &mut Faults) -> Option<Action> {
    if entry.name == "to" {
        return destination(entry, upstreams, faults).map(Action::Proxy);
    }
    if entry.value.as_str() == Some("dashboard") {
        let message = "\"dashboard\" is not supported in this version";
        faults.error(Fault::new("not-supported", entry.span.clone(), message));
        return None;
    }
    entry
        .choice(&[("whoami", ())], faults)
        .map(|()| Action::Whoami)
}

fn two_actions(first: &Entry, second: &Entry, faults: &mut Faults) {
    let message = format!("`{}` and `{}` are two actions", first.name, second.name);
    let place = faults.place(first.key.start);
    let fault = Fault::new("two-actions", second.key.clone(), message);
    faults.error(fault.label(format!("`{}` stands at {place}", first.name)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, parse};

    /// Each route as `name action`.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let config = parse(&[Source {
            name: "f.toml",
            text,
        }])
        .unwrap_or_else(|errors| panic!("{}", errors[0]));
        let action = |route: &Route| match &route.action {
            Action::Proxy(to) => {
                let targets: Vec<String> = to.targets.iter().map(ToString::to_string).collect();
                targets.join("+")
            }
            Action::Whoami => "whoami".to_owned(),
            Action::None => "none".to_owned(),
        };
        let routes: Vec<String> = config.sites[0]
            .routes
            .iter()
            .map(|route| format!("{} {}", route.name, action(route)))
            .collect();
        assert_eq!(routes, expected);
    }

    #[test]
    fn forms_of_a_site() {
        check("[sites]\n\"h\" = 3000", &["/ 3000"]);
        check(
            "[sites]\n\"h\" = [3000, \"unix:/run/a.sock\"]",
            &["/ 3000+unix:/run/a.sock"],
        );
        check(
            "[sites]\n\"h\" = { to = \"10.0.0.5:80\" }",
            &["/ 10.0.0.5:80"],
        );
        check("[sites.\"h\"]\nbuiltin = \"whoami\"", &["/ whoami"]);
    }

    #[test]
    fn a_path_without_an_action_has_its_sites() {
        check(
            "[sites.\"h\"]\nto = 1\npaths.\"/a\" = {}\npaths.\"/b\" = 2",
            &["/ 1", "/a 1", "/b 2"],
        );
        check(
            "[sites.\"h\"]\nto = 1\n[sites.\"h\".paths]\n\"=/w\" = { builtin = \"whoami\" }",
            &["/ 1", "=/w whoami"],
        );
    }

    #[test]
    fn only_paths_is_404_elsewhere() {
        check(
            "[sites.\"h\".paths]\n\"/b\" = 2\n\"/a\" = 1",
            &["/ none", "/b 2", "/a 1"],
        );
    }

    #[test]
    fn the_path_of_everything_is_the_sites_own() {
        check(
            "[sites.\"h\".paths]\n\"/a\" = 1\n\"/\" = 2",
            &["/ 2", "/a 1"],
        );
        check("[sites.\"h\"]\nto = 3\npaths = { \"/\" = 2 }", &["/ 2"]);
        check(
            "[sites.\"h\"]\nto = 3\npaths = { \"=/\" = 2 }",
            &["/ 3", "=/ 2"],
        );
    }

    #[test]
    fn paths_have_a_bound() {
        let paths = |count| -> String {
            (0..count)
                .map(|number| format!("\"/{number}\" = 1\n"))
                .collect()
        };
        let text = format!("[sites.\"http://h\".paths]\n{}", paths(PATHS_MAX));
        assert!(
            parse(&[Source {
                name: "f",
                text: &text
            }])
            .is_ok()
        );
        let text = format!("[sites.\"http://h\".paths]\n{}", paths(PATHS_MAX + 1));
        assert!(
            parse(&[Source {
                name: "f",
                text: &text
            }])
            .is_err()
        );
    }

    #[test]
    fn a_host_of_an_earlier_source_stays_with_it() {
        let sources = [
            Source {
                name: "a.toml",
                text: "[sites]\n\"h\" = 1",
            },
            Source {
                name: "b.toml",
                text: "[sites.\"H.\"]\nto = 1",
            },
        ];
        let errors = parse(&sources).expect_err("one host twice");
        assert_eq!(errors.len(), 1);
        assert_eq!(
            (
                errors[0].place.to_string().as_str(),
                errors[0].label.as_str()
            ),
            ("b.toml:1:8", "first set at a.toml:2:1")
        );
    }
}
