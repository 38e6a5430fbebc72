//! What else a less careful server might read in a path that we have normalised.
//!
//! We send on what we matched, but an origin may go on interpreting: merge slashes (nginx), decode `%2F`
//! and resolve the dots that appear, take `%5C` for a separator (IIS), cut `;…` from every segment
//! (Tomcat). A path of which such a reading falls under another access rule is refused by its caller;
//! here the readings are only listed.
//!
//! The steps do not commute, so each order that some server has is a reading of its own: parameters are
//! cut before or after decoding, slashes merged before or after resolving dots. Where a reading climbs
//! above the root it stays there, as RFC 3986 §5.2.4 has it.
//!
//! Left out on purpose: decoding twice, and case. What does that is broken for every proxy before it.

/// Calls `visit` with each reading of `path` that differs from it, until `visit` returns `true`; says
/// whether it did.
///
/// `path` is in normal form ([`normalize_path`](crate::http::path::normalize_path)). Readings begin with
/// `/`, have no dot segment, and are never longer than `path`; one may come up more than once.
/// `scratch` holds the reading while it is visited; what it held is lost.
///
/// Nearly every path has neither `//` nor `%` nor `;` and costs one look. At worst, 36 are
/// visited, which bounds what a hostile path costs.
pub fn other_readings(
    path: &[u8],
    scratch: &mut Vec<u8>,
    mut visit: impl FnMut(&[u8]) -> bool,
) -> bool {
    let Some(marks) = Marks::of(path) else {
        return false;
    };
    let either: &[bool] = &[false, true];
    let never: &[bool] = &[false];
    for &slash in if marks.slash { either } else { never } {
        for &backslash in if marks.backslash { either } else { never } {
            let cuts = match (marks.semicolon, slash || backslash) {
                (false, _) => &[Cut::No][..],
                (true, false) => &[Cut::No, Cut::BeforeDecoding],
                (true, true) => &[Cut::No, Cut::BeforeDecoding, Cut::AfterDecoding],
            };
            for &cut in cuts {
                for merge in [Merge::No, Merge::BeforeDots, Merge::AfterDots] {
                    let reading = Reading {
                        slash,
                        backslash,
                        cut,
                        merge,
                    };
                    let differs = reading.apply(path, scratch);
                    if differs && visit(scratch) {
                        return true;
                    }
                }
            }
        }
    }
    false
}

/// What in a path may be read in two ways.
#[derive(Clone, Copy)]
struct Marks {
    slash: bool,
    backslash: bool,
    semicolon: bool,
}

impl Marks {
    /// `None` when `path` has one reading only.
    fn of(path: &[u8]) -> Option<Marks> {
        let mut before = 0;
        let mut merges = false;
        let mut escapes = false;
        let mut semicolon = false;
        for octet in path.iter().copied() {
            merges |= octet == b'/' && before == b'/';
            escapes |= octet == b'%';
            semicolon |= octet == b';';
            before = octet;
        }
        let has =
            |digits: &[u8; 2]| escapes && path.windows(3).any(|window| is_escape(window, digits));
        let marks = Marks {
            slash: has(b"2f"),
            backslash: has(b"5c"),
            semicolon,
        };
        (merges || marks.slash || marks.backslash || semicolon).then_some(marks)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    No,
    BeforeDecoding,
    AfterDecoding,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Merge {
    No,
    BeforeDots,
    AfterDots,
}

/// One way to read a path.
#[derive(Clone, Copy)]
struct Reading {
    /// `%2F` is a separator.
    slash: bool,
    /// `%5C` is a separator.
    backslash: bool,
    cut: Cut,
    merge: Merge,
}

impl Reading {
    /// Leaves this reading of `path` in `out`; `false` if it is no reading of its own.
    fn apply(self, path: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        out.extend_from_slice(path);
        if self.cut == Cut::BeforeDecoding {
            cut_parameters(out);
        }
        decode_separators(out, self.slash, self.backslash);
        if self.cut == Cut::AfterDecoding {
            cut_parameters(out);
        }
        if self.merge == Merge::BeforeDots {
            merge_slashes(out);
        }
        let had_dots = resolve_dots(out);
        if self.merge == Merge::AfterDots {
            if !had_dots {
                // The same as merging before.
                return false;
            }
            merge_slashes(out);
        }
        out != path
    }
}

/// Is `window`, three octets, a `%` and these hex digits (given in lower case)?
fn is_escape(window: &[u8], digits: &[u8; 2]) -> bool {
    matches!(window, [b'%', escaped @ ..] if escaped.eq_ignore_ascii_case(digits))
}

fn decode_separators(path: &mut Vec<u8>, slash: bool, backslash: bool) {
    if !slash && !backslash {
        return;
    }
    let mut kept = 0;
    let mut at = 0;
    while at < path.len() {
        let window = path.get(at..at + 3).unwrap_or_default();
        let is_separator =
            (slash && is_escape(window, b"2f")) || (backslash && is_escape(window, b"5c"));
        path[kept] = if is_separator { b'/' } else { path[at] };
        kept += 1;
        at += if is_separator { 3 } else { 1 };
    }
    path.truncate(kept);
}

/// Drops from every segment its first `;` and what follows.
fn cut_parameters(path: &mut Vec<u8>) {
    let mut is_cut = false;
    path.retain(|octet| {
        is_cut = match octet {
            b'/' => false,
            b';' => true,
            _ => is_cut,
        };
        !is_cut
    });
}

fn merge_slashes(path: &mut Vec<u8>) {
    path.dedup_by(|octet, before| *octet == b'/' && *before == b'/');
}

/// Resolves dot segments and stays at the root where they lead above it; says whether there were any.
fn resolve_dots(path: &mut Vec<u8>) -> bool {
    let mut kept = 0;
    // Where the segment begins, at its slash.
    let mut start = 0;
    while start < path.len() {
        let next = path[start + 1..].iter().position(|octet| *octet == b'/');
        let end = next.map_or(path.len(), |at| start + 1 + at);
        let is_dots = match &path[start + 1..end] {
            b"." => true,
            b".." => {
                kept = path[..kept]
                    .iter()
                    .rposition(|octet| *octet == b'/')
                    .unwrap_or(0);
                true
            }
            _ => false,
        };
        if !is_dots {
            path.copy_within(start..end, kept);
            kept += end - start;
        } else if end == path.len() {
            path[kept] = b'/';
            kept += 1;
        }
        start = end;
    }
    let had_dots = kept != path.len();
    path.truncate(kept);
    had_dots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::path::{PathForm, normalize_path};
    use std::collections::BTreeSet;

    /// At most: 2 for `%2F`, 2 for `%5C`, 3 ways to cut, 3 to merge.
    const READINGS_MAX: usize = 2 * 2 * 3 * 3;

    fn readings(path: &[u8]) -> BTreeSet<Vec<u8>> {
        let mut found = BTreeSet::new();
        let mut visits = 0;
        let stopped = other_readings(path, &mut b"left over".to_vec(), |reading| {
            visits += 1;
            found.insert(reading.to_vec());
            false
        });
        assert!(!stopped && visits <= READINGS_MAX);
        found
    }

    #[track_caller]
    fn check(path: &str, expected: &[&str]) {
        assert_eq!(
            normalize_path(path.as_bytes(), &mut Vec::new()),
            Ok(PathForm::AsIs),
            "a normal form"
        );
        let expected: BTreeSet<_> = expected
            .iter()
            .map(|reading| reading.as_bytes().to_vec())
            .collect();
        let found = readings(path.as_bytes());
        let shown: Vec<_> = found
            .iter()
            .map(|reading| reading.escape_ascii().to_string())
            .collect();
        assert_eq!(found, expected, "{shown:?}");
    }

    #[test]
    #[rustfmt::skip]
    fn plain_paths_have_one_reading() {
        check("/",                 &[]);
        check("/a/b/c.html",       &[]);
        check("/a/",               &[]);
        check("/.well-known/x..y", &[]);
        check("/a%20b%25",         &[]);
        check("/a%252fb",          &[]);
        check("/%c3%a9",           &[]);
        check("/a:b@c,d=e",        &[]);
    }

    #[test]
    #[rustfmt::skip]
    fn other_readings_are_listed() {
        check("//",                  &["/"]);
        check("//admin",             &["/admin"]);
        check("/a///b//",            &["/a/b/"]);
        check("/a%2fb",              &["/a/b"]);
        check("/a%2Fb",              &["/a/b"]);
        check("/a%5cb",              &["/a/b"]);
        check("/%2fadmin",           &["//admin", "/admin"]);
        check("/a/..%2fadmin",       &["/admin"]);
        check("/a%2f..%2fadmin",     &["/admin"]);
        check("/a%2f..",             &["/"]);
        check("/a%2f.",              &["/a/"]);
        check("/..%2f..%2fadmin",    &["/admin"]);
        check("/a/..%5cadmin",       &["/admin"]);
        check("/admin;x",            &["/admin"]);
        check("/admin;/b;c;d/e",     &["/admin/b/e"]);
        check("/;x/admin",           &["//admin", "/admin"]);
        check("/a/..;/admin",        &["/admin"]);
        check("/a/..;x=y/admin",     &["/admin"]);
        check("/..;",                &["/"]);
        check("/a/.;/b",             &["/a/b"]);
    }

    #[test]
    #[rustfmt::skip]
    fn steps_that_do_not_commute_are_read_in_every_order() {
        // Cut before decoding hides what decoding brings; after it, only the rest of the segment goes.
        check("/a;x%2fb",            &["/a", "/a;x/b", "/a/b"]);
        // Only one of the two escapes is a separator.
        check("/x%5c%2f..%2fadmin",  &["/admin", "/x/%2f..%2fadmin", "/x/admin"]);
        // An empty segment shields the one before from `..`, unless slashes are merged first.
        check("/a/b/%2f..%2fc",      &["/a/b/c", "/a/c"]);
        check("//a/%2f..%2fb",       &["//a/b", "/a/b", "/a/%2f..%2fb", "/b"]);
    }

    #[test]
    fn a_visit_that_returns_true_is_the_last() {
        let mut visits = 0;
        let found = other_readings(b"//a;b%2f..//c", &mut Vec::new(), |_| {
            visits += 1;
            visits == 2
        });
        assert!(found);
        assert_eq!(visits, 2);
        assert!(!other_readings(b"/a", &mut Vec::new(), |_| true));
        assert!(!other_readings(b"/a%20", &mut Vec::new(), |_| true));
        assert!(!other_readings(b"", &mut Vec::new(), |_| true));
    }

    #[test]
    fn random_readings_keep_every_promise() {
        const PIECES: &[&str] = &[
            "/", "/", "/", "..", ".", "%2f", "%2F", "%5c", ";", "%25", "a", "b",
        ];
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut below = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % bound as u64) as usize
        };
        let mut scratch = Vec::new();
        let mut seen = 0;
        for _ in 0..50_000 {
            let mut raw = b"/".to_vec();
            for _ in 0..below(14) {
                raw.extend_from_slice(PIECES[below(PIECES.len())].as_bytes());
            }
            let path = match normalize_path(&raw, &mut scratch) {
                Ok(PathForm::AsIs) => raw,
                Ok(PathForm::Rewritten) => scratch.clone(),
                Err(_) => continue,
            };
            for reading in readings(&path) {
                seen += 1;
                assert!(
                    reading.starts_with(b"/") && reading.len() <= path.len() && reading != path
                );
                let mut segments = reading.split(|octet| *octet == b'/');
                assert!(segments.all(|segment| segment != b"." && segment != b".."));
            }
        }
        assert!(seen > 10_000, "{seen}");
    }
}
