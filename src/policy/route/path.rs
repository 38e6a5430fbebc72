//! Paths of one site: exact beats prefix, the longest prefix beats the others.
//!
//! A prefix ends at a segment boundary: `/api` has `/api` and `/api/…`, never `/apix`. Paths are compared
//! octet by octet, except that the hex digits of a percent-escape compare case-insensitively (RFC 3986
//! §6.2.2.1): what is stored is folded to upper case once, what is looked up is folded while it is
//! compared.
//!
//! A site has few paths, so there is no hash and no tree: the entries of each length stand together, sorted,
//! and a binary search is made for each length that ends at a boundary of the path looked up. How many searches
//! that can be is for the config to say, not for the length of the peer's path.

use std::cmp::Ordering;
use std::ops::Range;

use crate::http::target::folded_octets;

/// Which paths an entry takes.
///
/// The octets are normalised as `http::target::normalize_path` leaves them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum PathPattern {
    /// This path alone. Begins with `/`.
    Exact(Box<[u8]>),
    /// This path and all below it. Begins with `/` and does not end with one; empty is every path.
    Prefix(Box<[u8]>),
}

/// The entry that a path selects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RouteMatch {
    /// The number that the entry was added with.
    pub route: u32,
    /// Octets of the path that the pattern took: its length for a prefix, the whole path for an exact one.
    pub prefix_len: usize,
}

/// The paths of one site, while they are gathered.
#[derive(Clone, Debug, Default)]
pub(super) struct PathsBuilder {
    exact: Vec<Entry>,
    prefixes: Vec<Entry>,
}

/// The paths of one site.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    /// By octets.
    exact: Box<[Entry]>,
    /// Longest first, then by octets; none is empty.
    prefixes: Box<[Entry]>,
    /// The lengths that occur in `prefixes`, longest first.
    runs: Box<[Run]>,
    /// The prefix of no octets, which nearly every site has and which needs no search. (Nor is one free: where
    /// `memcmp` uses AVX-512, comparing no octets at the dangling address of an empty box was measured at 86 ns,
    /// at a valid address at 2.)
    everything: Option<Entry>,
    has_guarded: bool,
}

/// What a lookup found, with what [`RouteMatch`] has no need of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) route: u32,
    pub(super) prefix_len: usize,
    pub(super) guarded: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Folded.
    octets: Box<[u8]>,
    route: u32,
    /// Has access rules.
    guarded: bool,
}

/// The prefixes of one length.
#[derive(Clone, Debug)]
struct Run {
    length: usize,
    entries: Range<usize>,
}

impl PathsBuilder {
    /// False if an equal pattern was there already; then the first one stays.
    pub(super) fn add(&mut self, pattern: PathPattern, route: u32, guarded: bool) -> bool {
        let (entries, octets) = match pattern {
            PathPattern::Exact(octets) => (&mut self.exact, octets),
            PathPattern::Prefix(octets) => (&mut self.prefixes, octets),
        };
        let octets: Box<[u8]> = folded_octets(&octets).collect();
        let is_first = entries.iter().all(|entry| entry.octets != octets);
        if is_first {
            entries.push(Entry {
                octets,
                route,
                guarded,
            });
        }
        is_first
    }

    pub(super) fn build(mut self) -> Paths {
        self.exact.sort_unstable_by(|a, b| a.octets.cmp(&b.octets));
        self.prefixes.sort_unstable_by(|a, b| {
            let longest_first = b.octets.len().cmp(&a.octets.len());
            longest_first.then_with(|| a.octets.cmp(&b.octets))
        });
        let has_guarded = self
            .exact
            .iter()
            .chain(&self.prefixes)
            .any(|entry| entry.guarded);
        let everything = self.prefixes.pop_if(|shortest| shortest.octets.is_empty());
        Paths {
            runs: runs_of(&self.prefixes),
            exact: self.exact.into(),
            prefixes: self.prefixes.into(),
            everything,
            has_guarded,
        }
    }
}

impl Paths {
    /// Has any entry access rules?
    pub(super) fn has_guarded(&self) -> bool {
        self.has_guarded
    }

    /// The entry that `path` selects. `path` is normalised and begins with `/`.
    pub(super) fn find(&self, path: &[u8]) -> Option<Found> {
        // Once for all comparisons: hardly any path has an escape, and then slices compare as they are.
        let escaped = path.contains(&b'%');
        if let Some(entry) = search(&self.exact, path, escaped) {
            return Some(entry.found(path.len()));
        }
        self.runs
            .iter()
            .filter(|run| is_boundary(path, run.length))
            .find_map(|run| {
                let entries = &self.prefixes[run.entries.clone()];
                search(entries, &path[..run.length], escaped)
            })
            .or(self.everything.as_ref())
            .map(|entry| entry.found(entry.octets.len()))
    }
}

impl Entry {
    fn found(&self, prefix_len: usize) -> Found {
        Found {
            route: self.route,
            prefix_len,
            guarded: self.guarded,
        }
    }
}

/// May a prefix of this length end here? At the end of the path or before a slash. Never inside an
/// escape, since a slash is no hex digit.
fn is_boundary(path: &[u8], length: usize) -> bool {
    match path.get(length) {
        Some(&octet) => octet == b'/',
        None => path.len() == length,
    }
}

fn search<'a>(entries: &'a [Entry], octets: &[u8], escaped: bool) -> Option<&'a Entry> {
    let position = entries
        .binary_search_by(|entry| compare(&entry.octets, octets, escaped))
        .ok()?;
    Some(&entries[position])
}

/// Orders a stored pattern, which is folded, against octets that are not.
fn compare(stored: &[u8], octets: &[u8], escaped: bool) -> Ordering {
    if escaped {
        stored.iter().copied().cmp(folded_octets(octets))
    } else {
        stored.cmp(octets)
    }
}

fn runs_of(prefixes: &[Entry]) -> Box<[Run]> {
    let mut start = 0;
    prefixes
        .chunk_by(|a, b| a.octets.len() == b.octets.len())
        .map(|chunk| {
            let entries = start..start + chunk.len();
            start = entries.end;
            Run {
                length: chunk[0].octets.len(),
                entries,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    fn exact(path: &str) -> PathPattern {
        PathPattern::Exact(path.as_bytes().into())
    }

    fn prefix(path: &str) -> PathPattern {
        PathPattern::Prefix(path.as_bytes().into())
    }

    fn paths() -> Paths {
        let mut builder = PathsBuilder::default();
        assert!(builder.add(prefix(""), 0, false));
        assert!(builder.add(prefix("/api"), 1, false));
        assert!(builder.add(prefix("/api/v1"), 2, false));
        assert!(builder.add(exact("/api"), 3, false));
        assert!(builder.add(exact("/api/v1/health"), 4, false));
        assert!(builder.add(prefix("/a%2fb"), 5, false));
        assert!(builder.add(prefix("/app"), 6, false));
        assert!(builder.add(exact("/"), 7, false));
        assert!(builder.add(prefix("/apq/v1"), 8, false));
        builder.build()
    }

    #[test]
    #[rustfmt::skip]
    fn exact_then_longest_prefix() {
        //    path                     route  prefix
        check("/",                     7,     1);
        check("/x",                    0,     0);
        check("//",                    0,     0);
        check("/api",                  3,     4);
        check("/api/",                 1,     4);
        check("/api/x",                1,     4);
        check("/api//v1",              1,     4);
        check("/apix",                 0,     0);
        check("/apix/v1",              0,     0);
        check("/api/v1",               2,     7);
        check("/api/v1/",              2,     7);
        check("/api/v1x",              1,     4);
        check("/api/v1/health",        4,     14);
        check("/api/v1/health/",       2,     7);
        check("/api/v1/healt",         2,     7);
        check("/app",                  6,     4);
        check("/app/x",                6,     4);
        check("/ap",                   0,     0);
        check("/API",                  0,     0);
        check("/apq/v1/x",             8,     7);
        check("/apq/v2/x",             0,     0);
        // Hex digits compare case-insensitively, letters elsewhere do not.
        check("/a%2fb",                5,     6);
        check("/a%2Fb",                5,     6);
        check("/a%2Fb/c",              5,     6);
        check("/a%2FB",                0,     0);
        check("/A%2Fb",                0,     0);
        check("/a/b",                  0,     0);
        check("/api/%c3%a9",           1,     4);
        check("/api%2fv1",             0,     0);
        check("/api/v1/health%20",     2,     7);
    }

    #[track_caller]
    fn check(path: &str, route: u32, prefix_len: usize) {
        let found = paths().find(path.as_bytes());
        assert_eq!(
            found,
            Some(Found {
                route,
                prefix_len,
                guarded: false
            })
        );
    }

    #[test]
    fn without_a_pattern_for_every_path_some_have_none() {
        let mut builder = PathsBuilder::default();
        builder.add(prefix("/a"), 1, true);
        let paths = builder.build();
        assert!(paths.has_guarded());
        assert_eq!(paths.find(b"/a").map(|found| found.guarded), Some(true));
        assert_eq!(paths.find(b"/b"), None);
        assert_eq!(paths.find(b"/"), None);
        assert_eq!(Paths::default().find(b"/"), None);
        assert!(!Paths::default().has_guarded());
    }

    #[test]
    fn the_first_of_two_equal_patterns_stays() {
        let mut builder = PathsBuilder::default();
        assert!(builder.add(prefix("/a%2f"), 1, false));
        assert!(!builder.add(prefix("/a%2F"), 2, true));
        assert!(builder.add(exact("/a%2F"), 3, false));
        let paths = builder.build();
        assert_eq!(paths.find(b"/a%2f/x").map(|found| found.route), Some(1));
        assert_eq!(paths.find(b"/a%2f").map(|found| found.route), Some(3));
        assert!(!paths.has_guarded());
    }

    /// Random patterns over a small alphabet, so that collisions and near misses are common, against a walk
    /// over all patterns in the order in which they were added.
    #[test]
    fn agrees_with_the_naive_twin() {
        let mut random = Random(7);
        let mut hits = [0_usize; 2];
        for _ in 0..500 {
            let mut builder = PathsBuilder::default();
            let mut patterns = Vec::new();
            for route in 0..random.below(24) {
                let mut octets = random_path(&mut random);
                let pattern = if random.below(3) == 0 {
                    PathPattern::Exact(octets.into())
                } else {
                    octets.truncate(if random.below(8) == 0 {
                        0
                    } else {
                        octets.len()
                    });
                    PathPattern::Prefix(octets.into())
                };
                builder.add(pattern.clone(), route, route % 5 == 0);
                patterns.push((pattern, route));
            }
            let paths = builder.build();
            for _ in 0..100 {
                let mut path = random_path(&mut random);
                if random.below(4) == 0 {
                    path.push(b'/');
                }
                let found = paths.find(&path);
                let expected = naive_find(&patterns, &path);
                let shown = String::from_utf8_lossy(&path);
                let pair = found.map(|found| (found.route, found.prefix_len));
                assert_eq!(pair, expected, "{shown} in {patterns:?}");
                hits[usize::from(found.is_some())] += 1;
            }
        }
        assert!(
            hits.iter().all(|&count| count > 1_000),
            "{hits:?} is no test"
        );
    }

    fn naive_find(patterns: &[(PathPattern, u32)], path: &[u8]) -> Option<(u32, usize)> {
        let path = naive_fold(path);
        for (pattern, route) in patterns {
            if let PathPattern::Exact(octets) = pattern
                && naive_fold(octets) == path
            {
                return Some((*route, path.len()));
            }
        }
        let mut best: Option<(u32, usize)> = None;
        for (pattern, route) in patterns {
            if let PathPattern::Prefix(octets) = pattern {
                let whole = naive_fold(octets);
                let below = format!("{whole}/");
                let matches = path == whole || path.starts_with(&below);
                if matches && best.is_none_or(|(_, length)| whole.len() > length) {
                    best = Some((*route, whole.len()));
                }
            }
        }
        best
    }

    fn naive_fold(octets: &[u8]) -> String {
        let text = String::from_utf8_lossy(octets);
        let mut parts = text.split('%');
        let mut folded = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            folded.push('%');
            folded.push_str(&part[..2].to_ascii_uppercase());
            folded.push_str(&part[2..]);
        }
        folded
    }

    fn random_path(random: &mut Random) -> Vec<u8> {
        const SEGMENTS: [&str; 9] = ["/a", "/b", "/aa", "/ab", "/A", "/%2f", "/%2F", "/a%c3", "/"];
        let mut path = Vec::new();
        for _ in 0..1 + random.below(4) {
            path.extend_from_slice(random.one_of(&SEGMENTS).as_bytes());
        }
        path
    }
}
