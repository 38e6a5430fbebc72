//! Several files as one tree.
//!
//! The files of one layer (a file and its drop-ins) are put together, and nothing may be set twice among them. A later
//! layer (the next `-c`) overrides an earlier one key by key: tables are merged, all else is replaced. Sites and paths
//! are told apart by their normal form, not by their spelling, and a site keeps one action.

use std::collections::HashMap;
use std::hash::Hash;

use super::diagnostic::{Fault, Faults};
use super::duplicates;
use super::host;
use super::keys::Level;
use super::path;
use super::place::FileKind;
use super::site::ACTIONS;
use super::tree::{Member, Value};

/// The tables that a drop-in may hold.
const OF_DROP_INS: [&str; 4] = ["sites", "upstreams", "users", "defaults"];

/// Adds a file's tree to those of its layer. Hosts are not compared here: [`super::check`] finds those that are set
/// twice, also within one file.
pub(super) fn add_file(
    layer: &mut Vec<Member>,
    kind: FileKind,
    file: Vec<Member>,
    faults: &mut Faults,
) {
    for member in file {
        let is_out_of_place = kind == FileKind::DropIn
            && Level::Top.keys().contains(&member.name.as_str())
            && !OF_DROP_INS.contains(&member.name.as_str());
        if is_out_of_place {
            let message = format!("`[{}]` does not belong in a drop-in", member.name);
            let fault = Fault::new("misplaced-key", member.key.clone(), message);
            faults.error(
                fault.label("it holds for all sites, so it stands in the file beside `sites.d`"),
            );
            continue;
        }
        let Some(known) = layer.iter_mut().find(|known| known.name == member.name) else {
            layer.push(member);
            continue;
        };
        match (&mut known.value, member.value) {
            (Value::Table(known), Value::Table(more)) if member.name == "sites" => {
                known.extend(more)
            }
            (Value::Table(known), Value::Table(more)) if member.name == "upstreams" => {
                more.into_iter()
                    .for_each(|more| add_upstream(known, more, faults));
            }
            (Value::Table(known), Value::Table(more)) => put_together(known, more, faults),
            _ => {
                let first = faults.place(known.key.start);
                faults.error(duplicates::fault(&member.name, member.key, &first));
            }
        }
    }
}

/// An upstream has its keys together: half of one in another file is a name used twice, not an addition.
fn add_upstream(known: &mut Vec<Member>, upstream: Member, faults: &mut Faults) {
    match known.iter().find(|earlier| earlier.name == upstream.name) {
        Some(first) => {
            let first = faults.place(first.key.start);
            faults.error(duplicates::of_upstream(
                &upstream.name,
                upstream.key,
                &first,
            ));
        }
        None => known.push(upstream),
    }
}

/// Two tables of one layer: no key may be in both, except tables with different keys.
fn put_together(known: &mut Vec<Member>, more: Vec<Member>, faults: &mut Faults) {
    for member in more {
        let Some(earlier) = known.iter_mut().find(|earlier| earlier.name == member.name) else {
            known.push(member);
            continue;
        };
        match (&mut earlier.value, member.value) {
            (Value::Table(known), Value::Table(more)) => put_together(known, more, faults),
            _ => {
                let first = faults.place(earlier.key.start);
                faults.error(duplicates::fault(&member.name, member.key, &first));
            }
        }
    }
}

/// Puts a layer over those before it.
pub(super) fn overlay(base: &mut Vec<Member>, layer: Vec<Member>) {
    for member in layer {
        match base.iter_mut().find(|below| below.name == member.name) {
            Some(below) if member.name == "sites" => match (&mut below.value, member.value) {
                (Value::Table(below), Value::Table(sites)) => {
                    overlay_by(below, sites, |name| host::parse(name).ok(), overlay_site)
                }
                (below, above) => *below = above,
            },
            Some(below) => replace_or_merge(below, member),
            None => base.push(member),
        }
    }
}

fn replace_or_merge(below: &mut Member, above: Member) {
    match (&mut below.value, above.value) {
        (Value::Table(below), Value::Table(above)) => {
            for member in above {
                match below.iter_mut().find(|known| known.name == member.name) {
                    Some(known) => replace_or_merge(known, member),
                    None => below.push(member),
                }
            }
        }
        (_, value) => {
            *below = Member { value, ..above };
        }
    }
}

/// Merges members that are the same by `form`. One that two of the layer's own have in common is merged once: the
/// other stands beside it, and is found to be set twice.
fn overlay_by<F: Eq + Hash>(
    base: &mut Vec<Member>,
    layer: Vec<Member>,
    form: impl Fn(&str) -> Option<F>,
    merge: impl Fn(&mut Member, Member),
) {
    let mut below: HashMap<F, usize> = HashMap::new();
    for (index, member) in base.iter().enumerate() {
        if let Some(form) = form(&member.name) {
            below.entry(form).or_insert(index);
        }
    }
    for member in layer {
        match form(&member.name).and_then(|form| below.remove(&form)) {
            Some(index) => merge(&mut base[index], member),
            None => base.push(member),
        }
    }
}

fn overlay_site(below: &mut Member, above: Member) {
    overlay_entry(below, above, |below, above| {
        overlay_by(
            below,
            above,
            |name| path::parse(name).ok().map(|pattern| path::folded(&pattern)),
            |below, above| overlay_entry(below, above, |below, above| below.extend(above)),
        )
    });
}

/// A site or a path, each in its short form or as a table. `paths` merges two tables of paths.
fn overlay_entry(below: &mut Member, above: Member, paths: impl Fn(&mut Vec<Member>, Vec<Member>)) {
    let above = match above.value {
        Value::Table(members) => members,
        short => vec![Member {
            name: "to".to_owned(),
            key: above.key,
            value: short,
            span: above.span,
        }],
    };
    if !matches!(below.value, Value::Table(_)) {
        let short = std::mem::replace(&mut below.value, Value::Table(Vec::new()));
        let to = Member {
            name: "to".to_owned(),
            key: below.key.clone(),
            value: short,
            span: below.span.clone(),
        };
        below.value = Value::Table(vec![to]);
    }
    let Value::Table(below) = &mut below.value else {
        return;
    };
    let is_action = |member: &Member| ACTIONS.contains(&member.name.as_str());
    if above.iter().any(is_action) {
        below.retain(|member| !is_action(member));
    }
    for member in above {
        match below.iter_mut().find(|known| known.name == member.name) {
            Some(known) if member.name == "paths" => match (&mut known.value, member.value) {
                (Value::Table(known), Value::Table(more)) => paths(known, more),
                (known, other) => *known = other,
            },
            Some(known) => replace_or_merge(known, member),
            None => below.push(member),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Diagnostic, File, FileKind, Source, Surroundings, parse_files};

    fn read(files: &[(&str, u16, FileKind, &str)]) -> Result<Config, Vec<Diagnostic>> {
        let files: Vec<File> = files
            .iter()
            .map(|&(name, layer, kind, text)| File {
                source: Source { name, text },
                layer,
                kind,
            })
            .collect();
        parse_files(&files, &Surroundings::NONE)
    }

    /// Every route as `site path action connect-timeout`, of a base and what is laid over it.
    #[track_caller]
    fn check(base: &str, over: &str, expected: &[&str]) {
        let files = [
            ("base.toml", 0, FileKind::Main, base),
            ("production.toml", 1, FileKind::Main, over),
        ];
        let config = read(&files).unwrap_or_else(|errors| panic!("{}", errors[0]));
        let routes: Vec<String> = config
            .sites
            .iter()
            .flat_map(|site| site.routes.iter().map(move |route| (site, route)))
            .map(|(site, route)| {
                let action = match &route.action {
                    crate::config::Action::Proxy(to) => to
                        .addresses
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join("+"),
                    crate::config::Action::Whoami => "whoami".to_owned(),
                    crate::config::Action::None => "none".to_owned(),
                };
                let connect = route.settings.timeouts.connect.as_secs();
                format!("{} {} {action} {connect}", site.name, route.name)
            })
            .collect();
        assert_eq!(routes, expected, "{base}\n{over}");
    }

    #[test]
    fn a_later_file_overrides_sites_key_by_key() {
        check(
            "[sites]\n\"http://a\" = 1",
            "[sites]\n\"http://b\" = 2",
            &["http://a / 1 3", "http://b / 2 3"],
        );
        check(
            "[sites]\n\"http://a\" = 1",
            "[sites]\n\"http://A.\" = 2",
            &["http://a / 2 3"],
        );
        check(
            "[sites]\n\"http://a\" = { to = 1, timeouts.connect = \"7s\" }",
            "[sites]\n\"http://a\" = 2",
            &["http://a / 2 7"],
        );
        check(
            "[sites]\n\"http://a\" = 1",
            "[sites.\"http://a\"]\ntimeouts.connect = \"7s\"",
            &["http://a / 1 7"],
        );
        check(
            "[sites.\"http://a\"]\nto = 1\ntimeouts.connect = \"7s\"\ntimeouts.response = \"1s\"",
            "[sites.\"http://a\"]\ntimeouts.response = \"off\"",
            &["http://a / 1 7"],
        );
        // One action is replaced by another.
        check(
            "[sites]\n\"http://a\" = [1, 2]",
            "[sites]\n\"http://a\" = { builtin = \"whoami\" }",
            &["http://a / whoami 3"],
        );
        // The base may be no site without what is laid over it.
        check(
            "[sites.\"http://a\"]\ntimeouts.connect = \"7s\"",
            "[sites]\n\"http://a\" = 1",
            &["http://a / 1 7"],
        );
        check(
            "[sites.\"http://a\".paths]\n\"/x\" = 1\n\"/y\" = 2",
            "[sites.\"http://a\".paths]\n\"/y/\" = 3\n\"/z\" = 4",
            &[
                "http://a / none 3",
                "http://a /x 1 3",
                "http://a /y 3 3",
                "http://a /z 4 3",
            ],
        );
        check(
            "[sites.\"http://a\".paths]\n\"/x\" = { to = 1, timeouts.connect = \"7s\" }",
            "[sites.\"http://a\".paths]\n\"/x\" = 5",
            &["http://a / none 3", "http://a /x 5 7"],
        );
        check(
            "[timeouts]\nconnect = \"5s\"\n[sites]\n\"http://a\" = 1",
            "[defaults]\ntimeouts.connect = \"6s\"",
            &["http://a / 1 6"],
        );
    }

    /// Each fault as `file:line:column code`.
    #[track_caller]
    fn faults(files: &[(&str, u16, FileKind, &str)], expected: &[&str]) {
        let found: Vec<String> = read(files)
            .err()
            .unwrap_or_default()
            .iter()
            .map(|fault| format!("{} {}", fault.place, fault.code))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn within_a_layer_nothing_is_set_twice() {
        use FileKind::{DropIn, Main};
        let main = "[defaults]\nlog = false\n[sites]\n\"http://a\" = 1";
        faults(
            &[
                ("m", 0, Main, main),
                ("d", 0, DropIn, "[sites]\n\"http://A\" = 2"),
            ],
            &["d:2:1 duplicate-host"],
        );
        faults(
            &[
                ("m", 0, Main, main),
                ("d", 0, DropIn, "[defaults]\nlog = true"),
            ],
            &["d:2:1 duplicate-key"],
        );
        faults(
            &[
                ("m", 0, Main, main),
                (
                    "d",
                    0,
                    DropIn,
                    "[defaults]\nhost = \"keep\"\n[sites]\n\"http://b\" = 2",
                ),
            ],
            &[],
        );
        faults(
            &[
                ("m", 0, Main, main),
                (
                    "d",
                    1,
                    Main,
                    "[defaults]\nlog = true\n[sites]\n\"http://a\" = 2\n\"http://A\" = 3",
                ),
            ],
            &["d:5:1 duplicate-host"],
        );
    }

    #[test]
    fn upstreams_are_put_together_and_overridden_key_by_key() {
        use FileKind::{DropIn, Main};
        let main = "[upstreams.a]\nservers = 1\n[sites]\n\"http://a\" = [\"a\", \"b\"]";
        faults(
            &[
                ("m", 0, Main, main),
                ("d", 0, DropIn, "[upstreams.b]\nservers = 2"),
            ],
            &[],
        );
        faults(
            &[
                ("m", 0, Main, main),
                ("d", 0, DropIn, "[upstreams]\nb.servers = 2\na.pipeline = 8"),
            ],
            &["d:3:1 duplicate-upstream"],
        );
        faults(
            &[("m", 0, Main, main), ("e", 0, DropIn, "")],
            &["m:4:20 unknown-upstream"],
        );
        check(
            main,
            "[upstreams]\na.servers = [3, 4]\nb.servers = 2",
            &["http://a / 3+4+2 3"],
        );
        let files = [
            (
                "m",
                0,
                Main,
                "[upstreams.a]\npipeline = 8\n[sites]\n\"http://a\" = \"a\"",
            ),
            ("p", 1, Main, "[upstreams.a]\nservers = 1"),
        ];
        let config = read(&files).unwrap_or_else(|errors| panic!("{}", errors[0]));
        let crate::config::Action::Proxy(to) = &config.sites[0].routes[0].action else {
            panic!("it is passed on")
        };
        assert_eq!(to.pipeline, crate::policy::pipeline::Pipeline::Depth(8));
    }

    #[test]
    fn a_drop_in_holds_what_sites_need() {
        use FileKind::{DropIn, Main};
        for section in ["server", "timeouts", "limits", "log"] {
            let text = format!("[{section}]\n[sites]\n\"http://b\" = 1");
            faults(
                &[("m", 0, Main, ""), ("d", 0, DropIn, &text)],
                &["d:1:2 misplaced-key"],
            );
        }
        faults(
            &[("m", 0, Main, ""), ("d", 0, DropIn, "[sits]\n")],
            &["d:1:2 unknown-key"],
        );
    }

    #[test]
    fn faults_of_what_is_overridden_are_told_too_and_once() {
        use FileKind::Main;
        faults(
            &[
                (
                    "base",
                    0,
                    Main,
                    "[server]\nworkers = 0\n[sites]\n\"http://a\" = { to = 0, colour = 1 }\n\"http://b\" = \"x:y\"",
                ),
                (
                    "over",
                    1,
                    Main,
                    "[server]\nworkers = 2\n[sites]\n\"http://a\" = 0\n\"http://b\" = 1",
                ),
            ],
            &[
                "base:2:11 out-of-range",
                "base:4:21 bad-target",
                "base:4:24 unknown-key",
                "base:5:14 bad-target",
                "over:4:14 bad-target",
            ],
        );
    }
}
