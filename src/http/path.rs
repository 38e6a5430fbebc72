//! The one form of a path, matched and sent alike (RFC 3986 §6.2.2).
//!
//! Dot segments are resolved, also when their dots are written `%2e`; percent-encoded unreserved
//! characters are decoded; everything else stays as it came: `%2F` is no separator, `//` stays, hex
//! digits keep their case. Because the form that was matched is the form that is sent, access rules and
//! the origin cannot disagree about it. Where an origin may still read more into it,
//! [`path_readings`](crate::http::path_readings) tells.
//!
//! Invariants, each a property test below: normalising twice is normalising once; the result has no dot
//! segment, no `%` before an unreserved character, and only octets of [`is_path`]; it begins with `/`.

use std::fmt;

use crate::http::chars::{hex_value, is_path, is_unreserved};

/// Where the normal form of a path is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathForm {
    /// The input is the normal form; the output is empty.
    AsIs,
    /// The normal form is in the output.
    Rewritten,
}

/// Brings the path `raw` into its one form, in `out` if it has to be rewritten.
///
/// `raw` is a path without query, from a target, a configuration or a rewrite. `out` is cleared first;
/// it never becomes longer than `raw`. Most paths have neither `%` nor `/.` and cost one look.
///
/// Segments are those of RFC 3986 §5.2.4, so an empty one is a segment: `/a//../b` is `/a/b`.
///
/// # Errors
///
/// Every one is a 400: see [`PathError`].
pub fn normalize_path(raw: &[u8], out: &mut Vec<u8>) -> Result<PathForm, PathError> {
    out.clear();
    if raw.first() != Some(&b'/') {
        return Err(PathError::NoLeadingSlash);
    }
    if !needs_rewrite(raw)? {
        return Ok(PathForm::AsIs);
    }
    out.reserve(raw.len());
    let mut rest = raw;
    loop {
        let (octet, tail) = match *rest {
            [] => break,
            [b'%', ref tail @ ..] => match decode_escape(tail)? {
                Escape::Kept => {
                    out.extend_from_slice(&rest[..3]);
                    rest = &rest[3..];
                    continue;
                }
                Escape::Unreserved(octet) => (octet, &tail[2..]),
            },
            [octet, ref tail @ ..] => (octet, tail),
        };
        if octet == b'/' {
            resolve_last_segment(out)?;
        }
        out.push(octet);
        rest = tail;
    }
    if resolve_last_segment(out)? {
        out.push(b'/');
    }
    if out == raw {
        out.clear();
        return Ok(PathForm::AsIs);
    }
    Ok(PathForm::Rewritten)
}

/// The octets of a path with the hex digits of its escapes in upper case: `%2f` and `%2F` are the same
/// (RFC 3986 §6.2.2.1), and a normalised path keeps them as sent.
///
/// For hashing: paths that are [`same_path_octets`] yield the same octets, and as many as they have.
pub fn folded_octets(path: &[u8]) -> impl Iterator<Item = u8> {
    // How many digits of an escape are still to come.
    let mut digits = 0u8;
    path.iter().map(move |octet| match (*octet, digits) {
        (b'%', _) => {
            digits = 2;
            b'%'
        }
        (octet, 0) => octet,
        (octet, _) => {
            digits -= 1;
            octet.to_ascii_uppercase()
        }
    })
}

/// Are two normalised paths the same, where the hex digits of escapes have no case? Letters elsewhere do.
pub fn same_path_octets(first: &[u8], second: &[u8]) -> bool {
    if first.len() != second.len() {
        return false;
    }
    first == second || (first.contains(&b'%') && folded_octets(first).eq(folded_octets(second)))
}

/// Why a path has no normal form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathError {
    /// It does not begin with `/`.
    NoLeadingSlash,
    /// A `..` leads out of the root. RFC 3986 §5.2.4 would stay there; who writes this means no good.
    AboveRoot,
    /// A `%00`.
    EncodedNul,
    /// A `\`, which some servers take for `/`.
    Backslash,
    /// A `%` without two hex digits after it.
    BadEscape,
    /// SP, a control, `?`, `#`, or an octet from 0x80.
    BadOctet,
}

impl PathError {
    /// As logs and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            PathError::NoLeadingSlash => "no_leading_slash",
            PathError::AboveRoot => "above_root",
            PathError::EncodedNul => "encoded_nul",
            PathError::Backslash => "backslash",
            PathError::BadEscape => "bad_escape",
            PathError::BadOctet => "bad_path_octet",
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PathError::NoLeadingSlash => "a path begins with \"/\"",
            PathError::AboveRoot => "\"..\" leads above the root",
            PathError::EncodedNul => "a path has no \"%00\"",
            PathError::Backslash => "a path has no \"\\\"",
            PathError::BadEscape => "\"%\" is followed by two hex digits",
            PathError::BadOctet => {
                "a path has only visible ASCII characters, no \"?\" and no \"#\""
            }
        })
    }
}

impl std::error::Error for PathError {}

/// The fast path: is there a `%` or a `/.` at all? Checks every octet on the way.
fn needs_rewrite(raw: &[u8]) -> Result<bool, PathError> {
    // No early exit: see `chars`.
    let (all_legal, has_escape) =
        raw.iter()
            .fold((true, false), |(all_legal, has_escape), octet| {
                (all_legal & is_path(*octet), has_escape | (*octet == b'%'))
            });
    if !all_legal {
        let culprit = raw.iter().find(|octet| !is_path(**octet));
        return Err(if culprit == Some(&b'\\') {
            PathError::Backslash
        } else {
            PathError::BadOctet
        });
    }
    let pairs = raw.iter().zip(&raw[1..]);
    Ok(has_escape || pairs.fold(false, |found, pair| found | (pair == (&b'/', &b'.'))))
}

enum Escape {
    Kept,
    Unreserved(u8),
}

/// What the two octets at the head of `digits`, after a `%`, stand for.
fn decode_escape(digits: &[u8]) -> Result<Escape, PathError> {
    let [high, low, ..] = *digits else {
        return Err(PathError::BadEscape);
    };
    let (Some(high), Some(low)) = (hex_value(high), hex_value(low)) else {
        return Err(PathError::BadEscape);
    };
    match high << 4 | low {
        0 => Err(PathError::EncodedNul),
        octet if is_unreserved(octet) => Ok(Escape::Unreserved(octet)),
        _ => Ok(Escape::Kept),
    }
}

/// Takes a dot segment off the end of `out`, with the segment before it for `..`; says whether there
/// was one. Before and after, `out` is empty or a path whose other segments are no dot segments.
fn resolve_last_segment(out: &mut Vec<u8>) -> Result<bool, PathError> {
    let keep = match out.as_slice() {
        [head @ .., b'/', b'.'] => head.len(),
        [head @ .., b'/', b'.', b'.'] => head
            .iter()
            .rposition(|octet| *octet == b'/')
            .ok_or(PathError::AboveRoot)?,
        _ => return Ok(false),
    };
    out.truncate(keep);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::PathError::*;
    use super::*;

    fn normalize(raw: &[u8]) -> Result<Vec<u8>, PathError> {
        let mut out = b"left over".to_vec();
        let form = normalize_path(raw, &mut out)?;
        match form {
            PathForm::AsIs => assert!(out.is_empty()),
            PathForm::Rewritten => assert_ne!(out, raw),
        }
        Ok(if form == PathForm::AsIs {
            raw.to_vec()
        } else {
            out
        })
    }

    /// The naive twin: a stack of decoded segments.
    fn naive(raw: &[u8]) -> Result<Vec<u8>, PathError> {
        let Some(segments) = raw.strip_prefix(b"/") else {
            return Err(NoLeadingSlash);
        };
        if let Some(octet) = raw.iter().find(|octet| !is_path(**octet)) {
            return Err(if *octet == b'\\' { Backslash } else { BadOctet });
        }
        let mut stack: Vec<Vec<u8>> = Vec::new();
        let mut segments = segments.split(|octet| *octet == b'/').peekable();
        while let Some(segment) = segments.next() {
            let segment = naive_decode(segment)?;
            let is_dots = segment == b"." || segment == b"..";
            if segment == b".." {
                stack.pop().ok_or(AboveRoot)?;
            }
            if !is_dots {
                stack.push(segment);
            } else if segments.peek().is_none() {
                stack.push(Vec::new());
            }
        }
        Ok([b"/", &stack.join(&b'/')[..]].concat())
    }

    fn naive_decode(segment: &[u8]) -> Result<Vec<u8>, PathError> {
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < segment.len() {
            let mut taken = &segment[at..=at];
            let mut octet = taken[0];
            if octet == b'%' {
                taken = segment.get(at..at + 3).ok_or(BadEscape)?;
                if !taken[1..].iter().all(u8::is_ascii_hexdigit) {
                    return Err(BadEscape);
                }
                let digits = std::str::from_utf8(&taken[1..]).expect("hex digits");
                octet = u8::from_str_radix(digits, 16).expect("hex digits");
            }
            match octet {
                0 => return Err(EncodedNul),
                octet if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) => {
                    decoded.push(octet)
                }
                _ => decoded.extend_from_slice(taken),
            }
            at += taken.len();
        }
        Ok(decoded)
    }

    #[track_caller]
    fn accepts(raw: &str, expected: &str) {
        assert_eq!(
            normalize(raw.as_bytes()).as_deref(),
            Ok(expected.as_bytes())
        );
        assert_eq!(naive(raw.as_bytes()).as_deref(), Ok(expected.as_bytes()));
        assert_eq!(
            normalize(expected.as_bytes()).as_deref(),
            Ok(expected.as_bytes())
        );
    }

    #[track_caller]
    fn refuses(raw: &[u8], error: PathError) {
        assert_eq!(normalize(raw), Err(error), "{}", raw.escape_ascii());
        assert_eq!(naive(raw), Err(error), "{}", raw.escape_ascii());
    }

    #[test]
    #[rustfmt::skip]
    fn paths_have_one_form() {
        accepts("/",                        "/");
        accepts("/a/b",                     "/a/b");
        accepts("/a/b/",                    "/a/b/");
        accepts("//",                       "//");
        accepts("/a//b",                    "/a//b");
        accepts("//evil.test/x",            "//evil.test/x");
        accepts("/a.b/c..d/..e/f..",        "/a.b/c..d/..e/f..");
        accepts("/.well-known/x",           "/.well-known/x");
        accepts("/...",                     "/...");
        accepts("/a;x=1/b,c@d:e!$&'()*+=~", "/a;x=1/b,c@d:e!$&'()*+=~");
        accepts("/a|b[c]{d}^\"e\"<f>`",     "/a|b[c]{d}^\"e\"<f>`");
        // Dot segments.
        accepts("/a/../b",                  "/b");
        accepts("/a/./b",                   "/a/b");
        accepts("/.",                       "/");
        accepts("/./",                      "/");
        accepts("/a/.",                     "/a/");
        accepts("/a/..",                    "/");
        accepts("/a/b/..",                  "/a/");
        accepts("/a/b/../",                 "/a/");
        accepts("/a/b/c/../../d",           "/a/d");
        accepts("/a/./././b/../../c",       "/c");
        accepts("/a//../b",                 "/a/b");
        accepts("/a//..//b",                "/a//b");
        accepts("//..",                     "/");
        accepts("//../a",                   "/a");
        accepts("/a/..;/b",                 "/a/..;/b");
        // Escaped dots are dots, and so are other unreserved characters what they are.
        accepts("/a/%2e%2e/b",              "/b");
        accepts("/a/%2E./b",                "/b");
        accepts("/a/.%2e",                  "/");
        accepts("/a/%2e/b",                 "/a/b");
        accepts("/%2ewell-known",           "/.well-known");
        accepts("/%61%64min",               "/admin");
        accepts("/%41%5a%30%39%2d%5F%7e",   "/AZ09-_~");
        // Everything else stays as it came, and nothing is decoded twice.
        accepts("/a%2fb",                   "/a%2fb");
        accepts("/a%2Fb%5cc",               "/a%2Fb%5cc");
        accepts("/a/..%2fb",                "/a/..%2fb");
        accepts("/a/%2e%2e%2fb",            "/a/..%2fb");
        accepts("/a%252e%252e/b",           "/a%252e%252e/b");
        accepts("/%2561",                   "/%2561");
        accepts("/%0d%0aSet-Cookie:x",      "/%0d%0aSet-Cookie:x");
        accepts("/caf%C3%a9%20%3f%23",      "/caf%C3%a9%20%3f%23");
        accepts("/%7f%80%ff%01",            "/%7f%80%ff%01");
    }

    #[test]
    #[rustfmt::skip]
    fn what_has_no_form_is_refused() {
        refuses(b"",                          NoLeadingSlash);
        refuses(b"a",                         NoLeadingSlash);
        refuses(b"*",                         NoLeadingSlash);
        refuses(b"../a",                      NoLeadingSlash);
        refuses(b"%2fa",                      NoLeadingSlash);
        refuses(b"http://a.test/",            NoLeadingSlash);
        refuses(b"/..",                       AboveRoot);
        refuses(b"/../",                      AboveRoot);
        refuses(b"/../../etc/passwd",         AboveRoot);
        refuses(b"/%2e%2e/%2e%2e/etc/passwd", AboveRoot);
        refuses(b"/%2E.",                     AboveRoot);
        refuses(b"/a/../..",                  AboveRoot);
        refuses(b"/a/../../a/b",              AboveRoot);
        refuses(b"/./../a",                   AboveRoot);
        refuses(b"/a/./../../b",              AboveRoot);
        refuses(b"//../..",                   AboveRoot);
        refuses(b"/%00",                      EncodedNul);
        refuses(b"/a%00.png",                 EncodedNul);
        refuses(b"/a/%00/../b",               EncodedNul);
        refuses(b"/%",                        BadEscape);
        refuses(b"/%2",                       BadEscape);
        refuses(b"/%2/",                      BadEscape);
        refuses(b"/a%/b",                     BadEscape);
        refuses(b"/%g0",                      BadEscape);
        refuses(b"/%0g",                      BadEscape);
        refuses(b"/%+1",                      BadEscape);
        refuses(b"/%-1",                      BadEscape);
        refuses(b"/%u002f",                   BadEscape);
        refuses(b"/%%2e",                     BadEscape);
        refuses(b"/%%34%31",                  BadEscape);
        refuses(b"/a\\b",                     Backslash);
        refuses(b"/\\..\\a",                  Backslash);
        refuses(b"/..\\",                     Backslash);
        refuses(b"/a b",                      BadOctet);
        refuses(b"/a\tb",                     BadOctet);
        refuses(b"/a\r\nb",                   BadOctet);
        refuses(b"/\0",                       BadOctet);
        refuses(b"/\x7f",                     BadOctet);
        refuses(b"/caf\xc3\xa9",              BadOctet);
        refuses(b"/a?b",                      BadOctet);
        refuses(b"/a#b",                      BadOctet);
        refuses(b"/a/../%2e/\xff",            BadOctet);
    }

    #[test]
    fn random_paths_keep_every_promise() {
        const PIECES: &[&str] = &[
            "/", "/", "/", ".", ".", "..", "%2e", "%2E", "%2f", "%5C", "%25", "%41", "%00", "%",
            "a", "b", "Z", ";", "~", "0", "2", "e", "\\", " ", "\u{e9}",
        ];
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut accepted = 0;
        for _ in 0..200_000 {
            // Few of the pieces at the end of the list, which only ever refuse.
            let kinds = if random.below(8) == 0 {
                PIECES.len()
            } else {
                PIECES.len() - 3
            };
            let pieces = random.below(12);
            let mut raw = String::from("/");
            for _ in 0..pieces {
                raw.push_str(PIECES[random.below(kinds)]);
            }
            let raw = raw.as_bytes();
            let normal = normalize(raw);
            assert_eq!(normal, naive(raw), "{}", raw.escape_ascii());
            let Ok(normal) = normal else { continue };
            accepted += 1;
            assert!(normal.starts_with(b"/") && normal.len() <= raw.len());
            assert!(normal.iter().copied().all(is_path));
            assert_eq!(
                normalize(&normal).as_ref(),
                Ok(&normal),
                "{}",
                raw.escape_ascii()
            );
            let mut segments = normal.split(|octet| *octet == b'/');
            assert!(segments.all(|segment| segment != b"." && segment != b".."));
            assert!(same_path_octets(&normal, &normal));
        }
        assert!(accepted > 20_000, "{accepted}");
    }

    #[track_caller]
    fn check_same(first: &str, second: &str, expected: bool) {
        assert_eq!(
            same_path_octets(first.as_bytes(), second.as_bytes()),
            expected
        );
        assert_eq!(
            same_path_octets(second.as_bytes(), first.as_bytes()),
            expected
        );
        let folded = |path: &str| folded_octets(path.as_bytes()).collect::<Vec<_>>();
        assert_eq!(folded(first) == folded(second), expected);
        assert_eq!(folded(first).len(), first.len());
    }

    #[test]
    #[rustfmt::skip]
    fn only_hex_digits_of_escapes_have_no_case() {
        check_same("/",             "/",             true);
        check_same("/a%2fb",        "/a%2Fb",        true);
        check_same("/%c3%a9%c3%a9", "/%C3%A9%c3%A9", true);
        check_same("/%25ab",        "/%25ab",        true);
        check_same("",              "",              true);
        check_same("/a",            "/A",            false);
        check_same("/a%2fb",        "/A%2fb",        false);
        check_same("/a%2fb",        "/a%2FB",        false);
        check_same("/%25ab",        "/%25AB",        false);
        check_same("/a%2fb",        "/a/b",          false);
        check_same("/a%2f",         "/a%2f/",        false);
        check_same("/a%2f",         "/a%5f",         false);
        check_same("/",             "",              false);
    }

    /// Xorshift; the same numbers at every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % bound as u64) as usize
        }
    }
}
