//! Keys of a site's `paths`: `"/api"` for a prefix, `"=/health"` for one path.

use crate::http::chars::is_path;
use crate::http::target::{PathError, PathForm, folded_octets, normalize_path};
use crate::policy::route::PathPattern;

/// The longest path of a key. A request line holds more, but nobody writes it into a file.
const PATH_BYTES_MAX: usize = 1024;

/// Why a key is no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathKeyError {
    pub(super) message: String,
    /// The key that was probably meant; may be empty.
    pub(super) mend: String,
}

/// Reads a key of `paths`. The pattern is in the one form that requests' paths are compared in.
pub(super) fn parse(key: &str) -> Result<PathPattern, PathKeyError> {
    let error = |message: &str| PathKeyError {
        message: message.to_owned(),
        mend: String::new(),
    };
    let mend = |message: &str, mend: String| PathKeyError {
        message: message.to_owned(),
        mend,
    };
    let (mark, path) = match key.strip_prefix('=') {
        Some(path) => ("=", path),
        None => ("", key),
    };
    if !path.starts_with('/') {
        let meant = format!("{mark}/{}", path.trim_start().trim_start_matches('/'));
        return Err(mend(
            "a path begins with `/`, or with `=/` for this path alone",
            meant,
        ));
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(error(&format!(
            "a path has at most {PATH_BYTES_MAX} octets"
        )));
    }
    if let Some(start) = path.strip_suffix('*') {
        let meant = format!("{mark}{}", start.trim_end_matches(['/', '*']));
        let meant = if meant == mark {
            format!("{mark}/")
        } else {
            meant
        };
        return Err(mend("a path stands for all below it, without `*`", meant));
    }
    if let Some(at) = path.find(['?', '#']) {
        return Err(mend(
            "a path has no query and no fragment",
            format!("{mark}{}", &path[..at]),
        ));
    }
    if path.chars().any(char::is_control) {
        return Err(error("a path has no control characters"));
    }
    if !path.bytes().all(|octet| is_path(octet) || octet == b'\\') {
        let meant: String = path.bytes().map(escaped).collect();
        return Err(mend(
            "a path is written as it is sent, percent-encoded",
            format!("{mark}{meant}"),
        ));
    }
    let mut normalised = Vec::new();
    let octets = match normalize_path(path.as_bytes(), &mut normalised) {
        Ok(PathForm::AsIs) => path.as_bytes(),
        Ok(PathForm::Rewritten) => normalised.as_slice(),
        Err(fault) => return Err(error(sentence(fault))),
    };
    if mark == "=" {
        return Ok(PathPattern::Exact(octets.into()));
    }
    let prefix = octets.strip_suffix(b"/").unwrap_or(octets);
    if prefix.ends_with(b"/") {
        return Err(error("a prefix ends in at most one `/`"));
    }
    Ok(PathPattern::Prefix(prefix.into()))
}

/// The pattern with the hex digits of its escapes in one case: two patterns that take the same paths are equal.
pub(super) fn folded(pattern: &PathPattern) -> PathPattern {
    let fold = |octets: &[u8]| folded_octets(octets).collect();
    match pattern {
        PathPattern::Exact(octets) => PathPattern::Exact(fold(octets)),
        PathPattern::Prefix(octets) => PathPattern::Prefix(fold(octets)),
    }
}

fn sentence(fault: PathError) -> &'static str {
    match fault {
        PathError::NoLeadingSlash => "a path begins with `/`",
        PathError::BadOctet => "a path is written as it is sent, percent-encoded",
        PathError::AboveRoot => "the path climbs above `/`",
        PathError::EncodedNul => "a path has no `%00`",
        PathError::Backslash => "a path has no `\\`",
        PathError::BadEscape => "`%` is followed by two hex digits",
    }
}

/// RFC 3986 §2.1: what may not stand in a path, as `%XX`.
fn escaped(octet: u8) -> String {
    match is_path(octet) {
        true => char::from(octet).to_string(),
        false => format!("%{octet:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        #[track_caller]
        fn check(key: &str, expected: Result<&str, &str>) {
            let found = match parse(key) {
                Ok(PathPattern::Exact(octets)) => {
                    Ok(format!("={}", String::from_utf8_lossy(&octets)))
                }
                Ok(PathPattern::Prefix(octets)) => {
                    Ok(String::from_utf8_lossy(&octets).into_owned())
                }
                Err(error) => Err(error.mend),
            };
            let found = found.as_ref().map(String::as_str).map_err(String::as_str);
            assert_eq!(found, expected, "{key}");
        }
        check("/", Ok(""));
        check("/api", Ok("/api"));
        check("/api/", Ok("/api"));
        check("/a/b", Ok("/a/b"));
        check("=/", Ok("=/"));
        check("=/x", Ok("=/x"));
        check("=/x/", Ok("=/x/"));
        check("/a%2fb", Ok("/a%2fb"));
        check("/%61pi", Ok("/api"));
        check("/a/./b/../c", Ok("/a/c"));
        check("/a;v=1", Ok("/a;v=1"));
        check("", Err("/"));
        check("api", Err("/api"));
        check("=api", Err("=/api"));
        check("= /x", Err("=/x"));
        check("/api/*", Err("/api"));
        check("/api*", Err("/api"));
        check("/*", Err("/"));
        check("=/a/*", Err("=/a"));
        check("/a?b=c", Err("/a"));
        check("/a#b", Err("/a"));
        check("/ü", Err("/%C3%BC"));
        check("/a b", Err("/a%20b"));
        check("/{id}", Ok("/{id}"));
        check("/a\u{1}", Err(""));
        check("/../x", Err(""));
        check("/a%00", Err(""));
        check("/a\\b", Err(""));
        check("/a%2", Err(""));
        check("/a%zz", Err(""));
        check("/a//", Err(""));
        check("//", Err(""));
        check(&format!("/{}", "a".repeat(PATH_BYTES_MAX)), Err(""));
    }

    #[test]
    fn folds_escapes_alone() {
        let prefix = |text: &str| PathPattern::Prefix(text.as_bytes().into());
        assert_eq!(folded(&prefix("/a%2fb%Ffc")), prefix("/a%2Fb%FFc"));
        assert_eq!(
            folded(&PathPattern::Exact((*b"/%aa").into())),
            PathPattern::Exact((*b"/%AA").into())
        );
    }
}
