//! Where a key was set first.
//!
//! TOML forbids setting a key twice and the `toml` crate finds it, but drops the first place, which is half of the
//! answer to "which of the two did I mean?". So a text with such a fault is walked once more, and every key outside
//! braces and brackets is listed with its full path.

use std::borrow::Cow;
use std::ops::Range;

use toml_parser::Source;
use toml_parser::parser::{EventKind, RecursionGuard, parse_document};

use super::diagnostic::Fault;
use super::place::Place;

/// As deep as the `toml` crate goes.
const DEPTH_MAX: u32 = 80;

/// The fault of a key that is set again.
pub(super) fn fault(name: &str, span: Range<usize>, first: &Place) -> Fault {
    Fault::new("duplicate-key", span, format!("`{name}` is set twice"))
        .label(format!("first set at {first}"))
}

/// The fault of an upstream whose name another one of its layer has.
pub(super) fn of_upstream(name: &str, span: Range<usize>, first: &Place) -> Fault {
    let message = format!("the upstream `{name}` is set twice");
    Fault::new("duplicate-upstream", span, message).label(format!("first set at {first}"))
}

/// Every key of a text, in order.
pub(super) struct Definitions(Vec<Definition>);

struct Definition {
    /// From the root: `sites`, `example.com`.
    path: Vec<String>,
    /// The last part of the key, as written.
    span: Range<usize>,
    is_header: bool,
}

impl Definitions {
    /// Reads a text, which may have faults.
    pub(super) fn of(text: &str) -> Definitions {
        let source = Source::new(text);
        let tokens = source.lex().into_vec();
        let mut events = Vec::new();
        parse_document(
            &tokens,
            &mut RecursionGuard::new(&mut events, DEPTH_MAX),
            &mut (),
        );

        let mut found = Vec::new();
        let mut table: Vec<String> = Vec::new();
        let mut key: Vec<String> = Vec::new();
        let mut span = 0..0;
        let mut depth = 0_usize;
        for event in &events {
            match event.kind() {
                EventKind::StdTableOpen | EventKind::ArrayTableOpen => key.clear(),
                EventKind::SimpleKey if depth == 0 => {
                    let mut name = Cow::Borrowed("");
                    if let Some(raw) = source.get(event) {
                        raw.decode_key(&mut name, &mut ());
                    }
                    key.push(name.into_owned());
                    span = event.span().start()..event.span().end();
                }
                EventKind::StdTableClose => {
                    table = std::mem::take(&mut key);
                    found.push(Definition {
                        path: table.clone(),
                        span: span.clone(),
                        is_header: true,
                    });
                }
                // Each `[[…]]` is a new element, so nothing in it repeats what came before; hotgate has none.
                EventKind::ArrayTableClose => {
                    table = std::mem::take(&mut key);
                    table.push(event.span().start().to_string());
                }
                EventKind::KeyValSep if depth == 0 => {
                    let path = table.iter().cloned().chain(key.drain(..)).collect();
                    found.push(Definition {
                        path,
                        span: span.clone(),
                        is_header: false,
                    });
                }
                EventKind::InlineTableOpen | EventKind::ArrayOpen => depth += 1,
                EventKind::InlineTableClose | EventKind::ArrayClose => {
                    depth = depth.saturating_sub(1)
                }
                EventKind::SimpleKey
                | EventKind::KeySep
                | EventKind::KeyValSep
                | EventKind::Scalar
                | EventKind::ValueSep
                | EventKind::Whitespace
                | EventKind::Comment
                | EventKind::Newline
                | EventKind::Error => {}
            }
        }
        Definitions(found)
    }

    /// For a key that is set again at `span`: its path, and where it or a part of it was set first, if that is known.
    pub(super) fn earlier(&self, span: &Range<usize>) -> Option<(&[String], Option<Range<usize>>)> {
        let again = self.0.iter().find(|definition| definition.span == *span)?;
        let before = self
            .0
            .iter()
            .filter(|definition| definition.span.start < span.start);
        let same = |definition: &&Definition| {
            // `a.b = 1` stands in the way of `[a]` too, as does `[a]` of a later `a.b = 1`.
            definition.path == again.path
                || (!definition.is_header
                    && again.is_header
                    && definition.path.starts_with(&again.path))
        };
        Some((
            &again.path,
            before
                .into_iter()
                .find(same)
                .map(|first| first.span.clone()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key is set at the last occurrence of `mark`, and was first set at the first.
    #[track_caller]
    fn check(text: &str, mark: &str, path: &[&str]) {
        let first = text.find(mark).expect("the mark is there");
        let again = text.rfind(mark).expect("the mark is there");
        let definitions = Definitions::of(text);
        let (found, earlier) = definitions
            .earlier(&(again..again + mark.len()))
            .expect("a key is marked");
        assert_eq!(found, path);
        assert_eq!(earlier, (first != again).then(|| first..first + mark.len()));
    }

    #[test]
    fn finds_both_places() {
        check("[sites]\n\"h\" = 1\n\"h\" = 2\n", "\"h\"", &["sites", "h"]);
        check(
            "[sites]\n\"h\" = 1\n[sites.\"h\"]\nto = 2\n",
            "\"h\"",
            &["sites", "h"],
        );
        check(
            "[sites.\"h\"]\nto = 1\n[x]\n[sites.\"h\"]\nto = 2\n",
            "\"h\"",
            &["sites", "h"],
        );
        check("[a]\nb.c = 1\nb.c = 2\n", "c", &["a", "b", "c"]);
        check("[a]\nv = { q = 1 }\nz = 1\n", "z", &["a", "z"]);
        check("q = [ { w = 1 }, 2 ]\nq = 3\n", "q", &["q"]);
    }

    #[test]
    fn survives_depth_and_nonsense() {
        for text in [
            "",
            "[",
            "[[",
            "]]]",
            "a.",
            "= 1",
            &"[".repeat(5000),
            &"a={".repeat(5000),
            "\u{0}\"\"\"",
        ] {
            assert!(Definitions::of(text).earlier(&(900_000..900_001)).is_none());
        }
    }
}
