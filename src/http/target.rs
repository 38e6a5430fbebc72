//! The request target: its four forms (RFC 9112 §3.2).
//!
//! Parts it into ranges and refuses what no server should have to interpret. What its path means is
//! decided in [`path`](crate::http::path) and [`path_readings`](crate::http::path_readings), whose items
//! are re-exported here.
//!
//! The form and the method must fit: asterisk-form belongs to OPTIONS alone, authority-form to CONNECT
//! alone, and CONNECT has no other form.

use std::fmt;

use crate::http::authority::{Authority, AuthorityError};
use crate::http::chars::is_target;
use crate::http::fields::Span;
use crate::http::method::Method;
pub use crate::http::path::{PathError, PathForm, folded_octets, normalize_path, same_path_octets};
pub use crate::http::path_readings::other_readings;

/// `request-target = origin-form / absolute-form / authority-form / asterisk-form`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetForm {
    /// `/where?q=now` (RFC 9112 §3.2.1).
    Origin,
    /// `http://a.test/where?q=now` (RFC 9112 §3.2.2).
    Absolute,
    /// `a.test:80` (RFC 9112 §3.2.3).
    Authority,
    /// `*` (RFC 9112 §3.2.4).
    Asterisk,
}

/// The schemes of a target URI (RFC 9110 §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// RFC 9110 §4.2.1.
    Http,
    /// RFC 9110 §4.2.2.
    Https,
}

impl Scheme {
    /// In lower case, without the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// What a missing port means.
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// A request target, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// Which of the four.
    pub form: TargetForm,
    /// Of an absolute-form.
    pub scheme: Option<Scheme>,
    /// Of an absolute- or authority-form; known to parse as an [`Authority`].
    pub authority: Option<Span>,
    /// As sent, beginning with `/`; not normalised. Empty in authority- and asterisk-form, and in an
    /// absolute-form without a path, where it means `/`.
    pub path: Span,
    /// Without the `?`; may be empty. Never interpreted.
    pub query: Option<Span>,
}

impl Target {
    /// Does this ask about the server as a whole?
    ///
    /// An absolute-form of OPTIONS with "an empty path and no query component" is sent on as `*`
    /// (RFC 9112 §3.2.4).
    pub fn is_server_wide(&self, method: Method) -> bool {
        match self.form {
            TargetForm::Asterisk => true,
            TargetForm::Absolute => {
                method == Method::Options && self.path.is_empty() && self.query.is_none()
            }
            TargetForm::Origin | TargetForm::Authority => false,
        }
    }
}

/// Takes apart the target that `span` marks in `bytes`.
///
/// # Errors
///
/// Every one is a 400: see [`TargetError`].
pub fn parse_target(bytes: &[u8], span: Span, method: Method) -> Result<Target, TargetError> {
    let text = span.of(bytes);
    // No early exit: see `chars`.
    if !text.iter().fold(true, |all, octet| all & is_target(*octet)) {
        return Err(TargetError::of_octets(text));
    }
    match (text, method) {
        ([], _) => Err(TargetError::Empty),
        (_, Method::Connect) => parse_authority_form(text, span),
        ([b'/', ..], _) => parse_path_and_query(text, span, 0, TargetForm::Origin),
        ([b'*'], Method::Options) => Ok(Target::bare(TargetForm::Asterisk, span.start)),
        ([b'*'], _) => Err(TargetError::AsteriskNotOptions),
        (_, _) => parse_absolute_form(text, span),
    }
}

impl Target {
    /// Without path and query; the empty path stands at `start`.
    fn bare(form: TargetForm, start: u32) -> Target {
        Target {
            form,
            scheme: None,
            authority: None,
            path: Span { start, len: 0 },
            query: None,
        }
    }
}

/// `authority-form = uri-host ":" port`; the port is required (RFC 9110 §9.3.6).
fn parse_authority_form(text: &[u8], span: Span) -> Result<Target, TargetError> {
    let authority = Authority::parse(text).map_err(TargetError::BadAuthority)?;
    if authority.port.is_none() {
        return Err(TargetError::BadAuthority(AuthorityError::BadPort));
    }
    Ok(Target {
        authority: Some(span),
        ..Target::bare(TargetForm::Authority, span.start)
    })
}

/// `absolute-form = absolute-URI`, of http and https only.
fn parse_absolute_form(text: &[u8], span: Span) -> Result<Target, TargetError> {
    let colon = text
        .iter()
        .position(|octet| matches!(octet, b':' | b'/' | b'?'));
    let Some((scheme, [b':', b'/', b'/', rest @ ..])) = colon.map(|at| text.split_at(at)) else {
        return Err(TargetError::NoForm);
    };
    let scheme = if scheme.eq_ignore_ascii_case(b"http") {
        Scheme::Http
    } else if scheme.eq_ignore_ascii_case(b"https") {
        Scheme::Https
    } else {
        return Err(TargetError::UnknownScheme);
    };
    let start = text.len() - rest.len();
    let ends_authority = |octet: &u8| matches!(octet, b'/' | b'?');
    let end = rest
        .iter()
        .position(ends_authority)
        .map_or(text.len(), |at| start + at);
    Authority::parse(&text[start..end]).map_err(TargetError::BadAuthority)?;
    let base = span.start as usize;
    Ok(Target {
        scheme: Some(scheme),
        authority: Some(Span::new(base + start, base + end)),
        ..parse_path_and_query(text, span, end, TargetForm::Absolute)?
    })
}

/// The path from `start` and the query, in offsets of `text`.
fn parse_path_and_query(
    text: &[u8],
    span: Span,
    start: usize,
    form: TargetForm,
) -> Result<Target, TargetError> {
    let mark = text[start..].iter().position(|octet| *octet == b'?');
    let end = mark.map_or(text.len(), |at| start + at);
    // Browsers turn `\` into `/` in a path and leave it alone in a query.
    if text[start..end].contains(&b'\\') {
        return Err(TargetError::Backslash);
    }
    let base = span.start as usize;
    Ok(Target {
        path: Span::new(base + start, base + end),
        query: mark.map(|_| Span::new(base + end + 1, base + text.len())),
        ..Target::bare(form, span.start)
    })
}

/// Why a text is no target that we take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetError {
    /// Nothing there.
    Empty,
    /// SP, a control, DEL or an octet from 0x80.
    BadOctet,
    /// A `#`: the fragment is "not sent" (RFC 9110 §7.1).
    Fragment,
    /// A `\` before the query.
    Backslash,
    /// Neither `/…`, nor `scheme://…`, nor `*`.
    NoForm,
    /// Another scheme than http and https.
    UnknownScheme,
    /// `*` with another method than OPTIONS.
    AsteriskNotOptions,
    /// No authority, or a bad one, where the form has one.
    BadAuthority(AuthorityError),
}

impl TargetError {
    /// As logs and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            TargetError::Empty => "empty_target",
            TargetError::BadOctet => "bad_target_octet",
            TargetError::Fragment => "fragment",
            TargetError::Backslash => "backslash",
            TargetError::NoForm => "bad_target",
            TargetError::UnknownScheme => "unknown_scheme",
            TargetError::AsteriskNotOptions => "asterisk_not_options",
            TargetError::BadAuthority(error) => error.as_str(),
        }
    }

    /// `text` has an octet that is not [`is_target`].
    fn of_octets(text: &[u8]) -> TargetError {
        match text.iter().copied().find(|octet| !is_target(*octet)) {
            Some(b'#') => TargetError::Fragment,
            Some(_) | None => TargetError::BadOctet,
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for TargetError {}

#[cfg(test)]
mod tests {
    use super::AuthorityError as A;
    use super::TargetError::*;
    use super::*;

    const LINE_START: &str = "METHOD ";

    fn parse(method: &str, target: &[u8]) -> (Vec<u8>, Result<Target, TargetError>) {
        let line = [LINE_START.as_bytes(), target, b" HTTP/1.1\r\n"].concat();
        let span = Span::new(LINE_START.len(), LINE_START.len() + target.len());
        let parsed = parse_target(&line, span, Method::of(method.as_bytes()));
        (line, parsed)
    }

    /// `parts` are scheme, authority, path, query; `-` for one that is absent.
    #[track_caller]
    fn accepts(method: &str, target: &str, form: TargetForm, parts: [&str; 4]) {
        let (line, parsed) = parse(method, target.as_bytes());
        let parsed = parsed.expect("a target");
        let shown = |span: Option<Span>| {
            span.map_or("-".to_owned(), |span| {
                String::from_utf8_lossy(span.of(&line)).into_owned()
            })
        };
        let found = [
            parsed.scheme.map_or("-", Scheme::as_str).to_owned(),
            shown(parsed.authority),
            shown(Some(parsed.path)),
            shown(parsed.query),
        ];
        assert_eq!(parsed.form, form);
        assert_eq!(found, parts);
    }

    #[track_caller]
    fn refuses(method: &str, target: &[u8], error: TargetError) {
        assert_eq!(
            parse(method, target).1,
            Err(error),
            "{}",
            target.escape_ascii()
        );
    }

    #[test]
    #[rustfmt::skip]
    fn each_form_is_taken_apart() {
        use TargetForm::*;
        accepts("GET",     "/",                        Origin,    ["-", "-", "/", "-"]);
        accepts("GET",     "/a/b?c=d",                 Origin,    ["-", "-", "/a/b", "c=d"]);
        accepts("GET",     "/a?",                      Origin,    ["-", "-", "/a", ""]);
        accepts("GET",     "/a?b?c/../d\\e",           Origin,    ["-", "-", "/a", "b?c/../d\\e"]);
        accepts("GET",     "//evil.test/x",            Origin,    ["-", "-", "//evil.test/x", "-"]);
        accepts("GET",     "/?http://b.test/",         Origin,    ["-", "-", "/", "http://b.test/"]);
        accepts("GET",     "/a|b[c]{d}^\"e\"<f>`",     Origin,    ["-", "-", "/a|b[c]{d}^\"e\"<f>`", "-"]);
        accepts("OPTIONS", "/x",                       Origin,    ["-", "-", "/x", "-"]);
        accepts("GET",     "/*",                       Origin,    ["-", "-", "/*", "-"]);
        accepts("PROPFIND", "/dav",                    Origin,    ["-", "-", "/dav", "-"]);
        accepts("GET",     "http://a.test/x",          Absolute,  ["http", "a.test", "/x", "-"]);
        accepts("GET",     "HTTPS://A.test:8443/x?y",  Absolute,  ["https", "A.test:8443", "/x", "y"]);
        accepts("GET",     "http://a.test",            Absolute,  ["http", "a.test", "", "-"]);
        accepts("GET",     "http://a.test?q",          Absolute,  ["http", "a.test", "", "q"]);
        accepts("GET",     "http://a.test?q/r",        Absolute,  ["http", "a.test", "", "q/r"]);
        accepts("GET",     "http://[::1]:80/",         Absolute,  ["http", "[::1]:80", "/", "-"]);
        accepts("GET",     "http://a.test//b@c:d",     Absolute,  ["http", "a.test", "//b@c:d", "-"]);
        accepts("OPTIONS", "*",                        Asterisk,  ["-", "-", "", "-"]);
        accepts("CONNECT", "a.test:443",               Authority, ["-", "a.test:443", "", "-"]);
        accepts("CONNECT", "[::1]:443",                Authority, ["-", "[::1]:443", "", "-"]);
    }

    #[test]
    #[rustfmt::skip]
    fn what_has_no_form_is_refused() {
        refuses("GET",     b"",                        Empty);
        refuses("OPTIONS", b"",                        Empty);
        refuses("CONNECT", b"",                        Empty);
        refuses("GET",     b"x/y",                     NoForm);
        refuses("GET",     b"a.test:443",              NoForm);
        refuses("GET",     b"a.test",                  NoForm);
        refuses("GET",     b"@evil.test/",             NoForm);
        refuses("GET",     b"?q",                      NoForm);
        refuses("GET",     b"?x://a.test",             NoForm);
        refuses("GET",     b"%2fa",                    NoForm);
        refuses("GET",     b"http:/a.test/",           NoForm);
        refuses("GET",     b"http:a.test",             NoForm);
        refuses("GET",     b"http",                    NoForm);
        refuses("GET",     b"http:",                   NoForm);
        refuses("GET",     b"mailto:a@a.test",         NoForm);
        refuses("OPTIONS", b"**",                      NoForm);
        refuses("OPTIONS", b"*/",                      NoForm);
        refuses("OPTIONS", b"*?q",                     NoForm);
        refuses("GET",     b"file:///etc/passwd",      UnknownScheme);
        refuses("GET",     b"ftp://a.test/",           UnknownScheme);
        refuses("GET",     b"httpx://a.test/",         UnknownScheme);
        refuses("GET",     b"://a.test/",              UnknownScheme);
        refuses("GET",     b"ws://a.test/",            UnknownScheme);
        refuses("GET",     b"*",                       AsteriskNotOptions);
        refuses("options", b"*",                       AsteriskNotOptions);
        refuses("GET",     b"http://",                 BadAuthority(A::Empty));
        refuses("GET",     b"http:///x",               BadAuthority(A::Empty));
        refuses("GET",     b"http://?x",               BadAuthority(A::Empty));
        refuses("GET",     b"http://:80/x",            BadAuthority(A::Empty));
        refuses("GET",     b"http://u@a.test/x",       BadAuthority(A::Userinfo));
        refuses("GET",     b"http://a.test:99999/x",   BadAuthority(A::BadPort));
        refuses("GET",     b"http://a.test,b.test/",   BadAuthority(A::BadOctet));
        refuses("GET",     b"http://a.test\\@b.test/", BadAuthority(A::Userinfo));
        refuses("GET",     b"http://a.test\\b/",       BadAuthority(A::BadOctet));
        refuses("GET",     b"http://a%2etest/",        BadAuthority(A::BadOctet));
        refuses("CONNECT", b"a.test",                  BadAuthority(A::BadPort));
        refuses("CONNECT", b"a.test:",                 BadAuthority(A::BadPort));
        refuses("CONNECT", b"a.test:0",                BadAuthority(A::BadPort));
        refuses("CONNECT", b"/",                       BadAuthority(A::BadOctet));
        refuses("CONNECT", b"*",                       BadAuthority(A::BadOctet));
        refuses("CONNECT", b"http://a.test/",          BadAuthority(A::BadPort));
    }

    #[test]
    #[rustfmt::skip]
    fn octets_that_servers_read_differently_are_refused() {
        refuses("GET",     b"/a b",                    BadOctet);
        refuses("GET",     b"/a\tb",                   BadOctet);
        refuses("GET",     b"/\0",                     BadOctet);
        refuses("GET",     b"/a\rb",                   BadOctet);
        refuses("GET",     b"/a\nb",                   BadOctet);
        refuses("GET",     b"/a\x7f",                  BadOctet);
        refuses("GET",     b"/caf\xc3\xa9",            BadOctet);
        refuses("GET",     b"/?q=\xff",                BadOctet);
        refuses("GET",     b"/?q= ",                   BadOctet);
        refuses("OPTIONS", b"*\0",                     BadOctet);
        refuses("GET",     b"/#frag",                  Fragment);
        refuses("GET",     b"/?q#frag",                Fragment);
        refuses("GET",     b"#",                       Fragment);
        refuses("GET",     b"http://a.test#@b.test/",  Fragment);
        refuses("GET",     b"/a\\b",                   Backslash);
        refuses("GET",     b"/\\evil.test",            Backslash);
        refuses("GET",     b"/a\\?q",                  Backslash);
        refuses("GET",     b"http://a.test/\\..",      Backslash);
        refuses("GET",     b"\\",                      NoForm);
    }

    #[track_caller]
    fn check_server_wide(method: &str, target: &str, expected: bool) {
        let parsed = parse(method, target.as_bytes()).1.expect("a target");
        assert_eq!(
            parsed.is_server_wide(Method::of(method.as_bytes())),
            expected
        );
    }

    #[test]
    #[rustfmt::skip]
    fn an_absolute_form_of_options_may_mean_the_asterisk() {
        check_server_wide("OPTIONS", "*",                true);
        check_server_wide("OPTIONS", "http://a.test",    true);
        check_server_wide("OPTIONS", "http://a.test/",   false);
        check_server_wide("OPTIONS", "http://a.test?",   false);
        check_server_wide("OPTIONS", "/",                false);
        check_server_wide("GET",     "http://a.test",    false);
        check_server_wide("CONNECT", "a.test:443",       false);
    }
}
