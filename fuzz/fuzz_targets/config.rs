//! Any texts as a configuration: no panic, every message points into its source, every accepted one keeps its promises.
//!
//! U+0000 parts the text into files: a main file, its drop-in, a file over them, one from discovery. What is accepted
//! reads back from its own dump, and no secret is in any message or dump.
#![no_main]

use std::collections::HashSet;

use hotgate::config::{
    Action, Config, Diagnostic, File, FileKind, Reference, Source, Surroundings, Target,
    parse_files,
};
use libfuzzer_sys::fuzz_target;

/// Long and odd enough never to be in a text by chance.
const SECRET: &str = "s3cr3t-0f-th3-f1l3";

const KINDS: [(&str, u16, FileKind); 4] = [
    ("a.toml", 0, FileKind::Main),
    ("sites.d/b.toml", 0, FileKind::DropIn),
    ("c.toml", 1, FileKind::Main),
    ("discover/d.toml", 0, FileKind::Generated),
];

fn lookup(reference: &Reference) -> Result<Option<String>, String> {
    match reference {
        Reference::Variable(name) => Ok(match name.as_str() {
            "A" => Some("3000".to_owned()),
            "B" => Some("b.example".to_owned()),
            "C" => Some("${A}\u{1b}\"".to_owned()),
            _ => None,
        }),
        Reference::File(_) | Reference::Credential(_) => Ok(Some(SECRET.to_owned())),
    }
}

fuzz_target!(|text: &str| {
    let surroundings = Surroundings {
        lookup: &lookup,
        ..Surroundings::NONE
    };
    let files: Vec<File> = text
        .split('\0')
        .zip(KINDS)
        .map(|(text, (name, layer, kind))| File {
            source: Source { name, text },
            layer,
            kind,
        })
        .collect();
    let knows_secret = text.contains(SECRET);
    let config = match parse_files(&files, &surroundings) {
        Ok(config) => config,
        Err(errors) => {
            assert!(!errors.is_empty());
            let order = |error: &Diagnostic| {
                let file = files
                    .iter()
                    .position(|file| file.source.name == &*error.place.source);
                (file, error.place.line, error.place.column)
            };
            assert!(errors.is_sorted_by_key(order));
            errors
                .iter()
                .for_each(|error| check_message(error, &files, knows_secret));
            return;
        }
    };
    config
        .warnings
        .iter()
        .for_each(|warning| check_message(warning, &files, knows_secret));
    check_promises(&config);
    let dump = config.dump();
    assert!(knows_secret || !dump.contains(SECRET));
    if config.secret_files.is_empty() && !text.contains("${cred:") {
        check_dump(&config, &dump);
    }
});

fn check_promises(config: &Config) {
    assert!(!config.server.http.is_empty());
    for site in &config.sites {
        let patterns: HashSet<_> = site.routes.iter().map(|route| &route.pattern).collect();
        assert_eq!(patterns.len(), site.routes.len(), "no two routes are alike");
        assert_eq!(
            site.routes.first().map(|route| route.name.as_str()),
            Some("/")
        );
        for route in &site.routes {
            match &route.action {
                Action::Proxy(to) => {
                    assert!(!to.targets.is_empty() && !to.addresses.is_empty());
                    let is_named = |target: &Target| matches!(target, Target::Upstream(_));
                    assert!(!site.is_generated || !to.targets.iter().any(is_named));
                }
                Action::Whoami | Action::None => {
                    assert!(!site.is_generated || route.action == Action::None)
                }
            }
        }
    }
    for listener in config.listeners() {
        let hosts: HashSet<_> = listener
            .sites
            .iter()
            .map(|index| &config.sites[*index].host)
            .collect();
        assert_eq!(
            hosts.len(),
            listener.sites.len(),
            "no two sites have one host here"
        );
    }
}

/// The dump is a configuration, and the same one.
fn check_dump(config: &Config, dump: &str) {
    let file = File {
        source: Source {
            name: "dump.toml",
            text: dump,
        },
        layer: 0,
        kind: FileKind::Main,
    };
    let again = match parse_files(&[file], &Surroundings::NONE) {
        Ok(again) => again,
        Err(errors) => panic!("{}\n{dump}", errors[0]),
    };
    let essence = |config: &Config| {
        let sites = config.sites.iter().flat_map(|site| {
            site.routes.iter().map(move |route| {
                (
                    format!("{:?} {:?} {:?}", site.host, site.scheme, site.port),
                    format!(
                        "{:?} {:?} {:?}",
                        route.pattern, route.action, route.settings
                    ),
                )
            })
        });
        sites.collect::<Vec<_>>()
    };
    assert_eq!(essence(&again), essence(config), "{dump}");
    assert_eq!(
        format!("{:?}", again.server),
        format!("{:?}", config.server)
    );
    assert_eq!(format!("{:?}", again.log), format!("{:?}", config.log));
}

fn check_message(diagnostic: &Diagnostic, files: &[File], knows_secret: bool) {
    let place = &diagnostic.place;
    let file = files.iter().find(|file| file.source.name == &*place.source);
    let source = file.expect("the source is one of ours").source;
    let line = source.text.split('\n').nth(place.line as usize - 1);
    let line = line.expect("the line is in the text");
    assert!((1..=line.chars().count() + 1).contains(&(place.column as usize)));
    assert!(!diagnostic.marks.is_empty());
    assert!(diagnostic.marks.start <= diagnostic.excerpt.chars().count());
    let shown = diagnostic.to_string();
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'));
    assert!(knows_secret || !shown.contains(SECRET));
}
