//! Strings with a meaning of their own: files, commands, secrets, URLs.

use std::path::{Path, PathBuf};

use super::diagnostic::{Fault, Faults};
use super::place::beside;
use super::raw::Entry;
use crate::http::authority::Authority;

/// What is shorter is no secret that could be masked: it would be found in half of all words.
const SECRET_BYTES_MIN: usize = 8;

/// A string that is not empty. `expected` says what it holds, in the words of a message: "a command".
pub(super) fn text<'t>(entry: &Entry<'t>, expected: &str, faults: &mut Faults) -> Option<&'t str> {
    let text = entry.string(expected, faults)?;
    let is_fit = !text.trim().is_empty() && !text.contains('\0');
    if !is_fit {
        let message = format!("`{}` takes {expected}", entry.name);
        faults.error(Fault::new("bad-value", entry.span.clone(), message));
    }
    is_fit.then_some(text)
}

/// A file's path; relative ones are relative to the file that names them.
pub(super) fn file(entry: &Entry, faults: &mut Faults) -> Option<PathBuf> {
    let expected = "a file's path";
    let text = text(entry, expected, faults)?;
    if text.starts_with("-----BEGIN") || text.ends_with('/') {
        let fault = Fault::new(
            "bad-value",
            entry.span.clone(),
            format!("`{}` takes {expected}", entry.name),
        );
        let is_pem = text.starts_with('-');
        faults.error(match is_pem {
            true => fault.label("not what stands in it"),
            false => fault.label("not a folder's"),
        });
        return None;
    }
    let source = faults.name_of(entry.span.start);
    Some(beside(source, Path::new(text)))
}

/// What lets somebody in, in visible ASCII. It is never printed, wherever it stands: in the file itself it is no less
/// a secret than from another.
pub(super) fn secret<'t>(
    entry: &Entry<'t>,
    expected: &str,
    faults: &mut Faults,
) -> Option<&'t str> {
    let text = text(entry, expected, faults)?;
    if text.len() >= SECRET_BYTES_MIN {
        faults.secrets.add(text);
    }
    let is_visible = text.bytes().all(|octet| octet.is_ascii_graphic());
    if !is_visible {
        let message = format!("`{}` has blanks or other odd characters", entry.name);
        faults.error(Fault::new("bad-value", entry.span.clone(), message));
    }
    is_visible.then_some(text)
}

/// `https://`, a host, perhaps a port, and whatever follows in visible ASCII; no fragment.
pub(super) fn is_https_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://") else {
        return false;
    };
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    rest.bytes().all(|octet| octet.is_ascii_graphic())
        && !rest.contains(['"', '\\', '#'])
        && Authority::parse(authority.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, expected) in [
            ("https://ca.test", true),
            ("https://ca.test:14000/dir?x=/y", true),
            ("https://[::1]:14000/dir", true),
            ("https://", false),
            ("https:///dir", false),
            ("https://ca.test:0/", false),
            ("https://u@ca.test/", false),
            ("https://ca.test/a b", false),
            ("https://ca.test/#x", false),
            ("https://ca.test/\u{e9}", false),
            ("http://ca.test/", false),
            ("ca.test", false),
        ] {
            assert_eq!(is_https_url(text), expected, "{text}");
        }
    }
}
