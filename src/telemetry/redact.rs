//! Redaction: values that stay out of the access log, by name of the query parameter (`redact = ["query:token"]`).
//!
//! It errs towards hiding. A name is compared without case and after percent-decoding, because the application
//! behind may read `%74oken` as `token`. A parameter may begin after `?`, `&`, `;` or `#`, and its value ends only at
//! `&`: servers differ about `;`, and whichever is right, none of the secret is shown. What is never hidden is a
//! value in the path, or a parameter within another one's encoded value.

/// Stands in place of a hidden value.
const HIDDEN: &[u8] = b"***";

/// Which query parameters are hidden. Empty by default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Redaction {
    names: Vec<Box<[u8]>>,
}

impl Redaction {
    /// Hides the values of the query parameters of these names, as they read when decoded.
    pub fn of_query<N: AsRef<[u8]>>(names: impl IntoIterator<Item = N>) -> Redaction {
        Redaction {
            names: names.into_iter().map(|name| name.as_ref().into()).collect(),
        }
    }

    /// Hands `text` (a request target or a `Referer`) to `each` in pieces, with `***` for each hidden value. A piece
    /// never ends within a UTF-8 character. Allocates nothing.
    pub(super) fn visit(&self, text: &[u8], mut each: impl FnMut(&[u8])) {
        let mut shown = 0; // octets already handed on
        let mut at = match text.iter().position(|&octet| octet == b'?') {
            Some(mark) if !self.names.is_empty() => mark + 1,
            Some(_) | None => text.len(),
        };
        // Invariant: `at` is where a parameter begins, or the end.
        while at < text.len() {
            let stop = match find(text, at, b"=&;#") {
                Some(stop) => stop,
                None => break,
            };
            if text[stop] != b'=' {
                at = stop + 1;
            } else if self.hides(&text[at..stop]) {
                each(&text[shown..=stop]);
                each(HIDDEN);
                shown = find(text, stop, b"&").unwrap_or(text.len());
                at = shown + 1;
            } else {
                at = find(text, stop, b"&;#").map_or(text.len(), |stop| stop + 1);
            }
        }
        each(&text[shown..]);
    }

    fn hides(&self, name: &[u8]) -> bool {
        self.names.iter().any(|hidden| {
            decoded(name)
                .map(|octet| octet.to_ascii_lowercase())
                .eq(hidden.iter().map(u8::to_ascii_lowercase))
        })
    }
}

fn find(text: &[u8], from: usize, any_of: &[u8]) -> Option<usize> {
    let found = text[from..]
        .iter()
        .position(|octet| any_of.contains(octet))?;
    Some(from + found)
}

/// The octets of a form-encoded name: `%xx` and `+` decoded, a broken escape as it stands.
fn decoded(name: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        rest = after;
        if first == b'+' {
            return Some(b' ');
        }
        if first == b'%'
            && let Some((&[high, low], after)) = after.split_first_chunk::<2>()
            && let (Some(high), Some(low)) = (hex_value(high), hex_value(low))
        {
            rest = after;
            return Some(high << 4 | low);
        }
        Some(first)
    })
}

fn hex_value(digit: u8) -> Option<u8> {
    // A digit's value is below 16.
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let redaction = Redaction::of_query(["token", "X Key"]);
        assert_eq!(redacted(&redaction, text), expected);
        assert_eq!(redacted(&Redaction::default(), text), text);
    }

    fn redacted(redaction: &Redaction, text: &str) -> String {
        let mut out = Vec::new();
        redaction.visit(text.as_bytes(), |piece| {
            assert!(str::from_utf8(piece).is_ok(), "pieces are whole characters");
            out.extend_from_slice(piece);
        });
        String::from_utf8(out).expect("pieces of text are text")
    }

    #[test]
    fn values_of_named_parameters_are_hidden() {
        check("/a?token=s", "/a?token=***");
        check("/a?token=s&b=c", "/a?token=***&b=c");
        check("/a?b=c&token=s", "/a?b=c&token=***");
        check(
            "/a?b=c&token=s&d=e&token=t",
            "/a?b=c&token=***&d=e&token=***",
        );
        check("/a?token=", "/a?token=***");
        check("/a?token=&b", "/a?token=***&b");
        check("/a?token=a=b", "/a?token=***");
        check("/a?token=é€&é=ü", "/a?token=***&é=ü");
        check(
            "https://h.example/a?token=s",
            "https://h.example/a?token=***",
        );
        check("?token=s", "?token=***");
    }

    #[test]
    fn other_spellings_of_a_name_are_the_same_name() {
        check("/a?TOKEN=s", "/a?TOKEN=***");
        check("/a?%74oken=s", "/a?%74oken=***");
        check("/a?toke%6E=s", "/a?toke%6E=***");
        check("/a?x+key=s", "/a?x+key=***");
        check("/a?x%20key=s", "/a?x%20key=***");
    }

    #[test]
    fn readers_who_differ_about_separators_are_both_served() {
        check("/a?b=c;token=s", "/a?b=c;token=***");
        check("/a?b;token=s", "/a?b;token=***");
        check("/a?token=s;t=u", "/a?token=***");
        check("/a?token=s#t&b=c", "/a?token=***&b=c");
        check("/a?b=c#token=s", "/a?b=c#token=***");
        check("/a?b?token=s", "/a?b?token=s"); // one parameter, named "b?token"
    }

    #[test]
    fn anything_else_is_shown() {
        for text in [
            "",
            "/",
            "/token=s",
            "/a?",
            "/a?token",
            "/a?token&b=c",
            "/a?atoken=s",
            "/a?tokens=s",
            "/a?token%00=s",
            "/a?%7token=s",
            "/a?%=s&%7",
            "/a?&&;;==",
            "/a?b=token",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn a_target_cut_anywhere_shows_none_of_the_value() {
        let redaction = Redaction::of_query(["token"]);
        let text = "/a?b=c&token=SECRET&d=e";
        for end in 0..=text.len() {
            assert!(!redacted(&redaction, &text[..end]).contains('S'));
        }
    }
}
