//! Any text as a configuration: no panic, every message points into its source, every accepted one keeps its promises.
//!
//! A U+0000 parts the text into two sources, so that what concerns several is reached too.
#![no_main]

use std::collections::HashSet;

use hotgate::config::{Action, Diagnostic, Source, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parts = text.split_once('\0').unwrap_or((text, ""));
    let sources = [
        Source {
            name: "a.toml",
            text: parts.0,
        },
        Source {
            name: "b.toml",
            text: parts.1,
        },
    ];
    let config = match parse(&sources) {
        Ok(config) => config,
        Err(errors) => {
            assert!(!errors.is_empty());
            errors.iter().for_each(|error| check_place(error, &sources));
            return;
        }
    };
    config
        .warnings
        .iter()
        .for_each(|warning| check_place(warning, &sources));
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
                Action::Proxy(endpoints) => assert!(!endpoints.is_empty()),
                Action::Whoami | Action::None => {}
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
});

fn check_place(diagnostic: &Diagnostic, sources: &[Source]) {
    let place = &diagnostic.place;
    let source = sources.iter().find(|source| source.name == &*place.source);
    let source = source.expect("the source is one of ours");
    let line = source.text.split('\n').nth(place.line as usize - 1);
    let line = line.expect("the line is in the text");
    assert!((1..=line.chars().count() + 1).contains(&(place.column as usize)));
    assert!(!diagnostic.marks.is_empty());
    assert!(diagnostic.marks.start <= diagnostic.excerpt.chars().count());
    let shown = diagnostic.to_string();
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'));
}
