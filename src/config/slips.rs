//! The slips that one line can have, each with what it is called and how the line is written instead.
//!
//! Rules are ordered by certainty. A mended line may have further slips; [`mended`] applies rules until it is TOML.

use std::net::Ipv6Addr;
use std::ops::Range;

use super::host;
use super::lines::{self, Line, is_toml};
use super::target;

/// A line has few faults; more are another language.
const RULES_PER_LINE_MAX: usize = 6;

/// Keys that are on or off; others that can be switched off take "off".
const SWITCHES: [&str; 5] = ["log", "underscore_headers", "strip", "pin", "watch"];

/// What a rule finds in a line.
pub(super) struct Slip {
    /// In the line.
    pub(super) span: Range<usize>,
    pub(super) message: String,
    /// May be empty.
    pub(super) label: &'static str,
    /// The line without this slip; it may have others.
    pub(super) mended: String,
}

/// Applies rules until the line is TOML, which may make two lines of it. Empty where it is to be left out.
pub(super) fn mended(line: String, table: &str) -> Option<String> {
    let mut line = line;
    for _ in 0..RULES_PER_LINE_MAX {
        if is_toml(&line) {
            return Some(line);
        }
        if let Some((first, second)) = line.split_once('\n') {
            let second = mended(second.to_owned(), table)?;
            return is_toml(first).then(|| format!("{first}\n{second}"));
        }
        let next = slip(&line, table, true)?.mended;
        if next == line {
            return None;
        }
        line = next;
    }
    is_toml(&line).then_some(line)
}

/// The first slip of a line, in the order of certainty.
pub(super) fn slip(line: &str, table: &str, is_keyless: bool) -> Option<Slip> {
    let line = Line::of(line);
    quotes(&line)
        .or_else(|| comment(&line))
        .or_else(|| header(&line))
        .or_else(|| brace(&line))
        .or_else(|| key_and_value(&line, table))
        .or_else(|| separator(&line, table, is_keyless))
}

fn quotes(line: &Line) -> Option<Slip> {
    let is_curly = |c: char| {
        matches!(
            c,
            '“' | '”' | '„' | '‟' | '«' | '»' | '‘' | '’' | '‚' | '′' | '″'
        )
    };
    let (at, c) = line.bare().find(|(_, c)| is_curly(*c))?;
    let places: Vec<usize> = line
        .bare()
        .filter(|(_, c)| is_curly(*c))
        .map(|(at, _)| at)
        .collect();
    let straight = |(at, c): (usize, char)| match places.contains(&at) {
        true => '"',
        false => c,
    };
    Some(Slip {
        span: at..at + c.len_utf8(),
        message: format!("the quote {c} is not the one of a keyboard"),
        label: "TOML's quotes are straight: \"",
        mended: line.text.char_indices().map(straight).collect(),
    })
}

fn comment(line: &Line) -> Option<Slip> {
    let marks = ["//", "/*", "<!--", "--", ";", "* "];
    let mark = marks.iter().find(|mark| line.text.starts_with(**mark))?;
    let rest = line.text[mark.len()..]
        .trim_start_matches(['/', ';', '-', '*'])
        .trim();
    Some(Slip {
        span: 0..mark.trim().len(),
        message: "a comment begins with `#`".to_owned(),
        label: "",
        mended: format!(
            "# {}",
            rest.trim_end_matches("*/")
                .trim_end_matches("-->")
                .trim_end()
        ),
    })
}

fn header(line: &Line) -> Option<Slip> {
    let inner = line.text.strip_prefix('[')?;
    if inner.starts_with('[') {
        return None;
    }
    let close = line.bare().find(|(_, c)| *c == ']').map(|(at, _)| at);
    if close.is_some_and(|close| line.text[1..close].parse::<Ipv6Addr>().is_ok()) {
        // A host without quotes.
        return None;
    }
    let Some(close) = close else {
        let end = line
            .bare()
            .find(|(_, c)| *c == '#')
            .map_or(line.text.len(), |(at, _)| at);
        let inner = line.text[1..end].trim_end();
        return Some(Slip {
            span: 0..1 + inner.len(),
            message: "the header is not closed".to_owned(),
            label: "a `]` is missing",
            mended: format!("[{inner}]"),
        });
    };
    let (inner, rest) = (&line.text[1..close], line.text[close + 1..].trim());
    if !is_toml(&format!("[{inner}]")) {
        let meant = header_of(inner.trim())?;
        return Some(Slip {
            span: 1..close,
            message: "a host in a header needs quotes, after `sites.`".to_owned(),
            label: "",
            mended: format!("[{meant}] {rest}").trim_end().to_owned(),
        });
    }
    if rest.is_empty() || rest.starts_with('#') {
        return None;
    }
    Some(Slip {
        span: close + 1..line.text.len(),
        message: "a header has a line of its own".to_owned(),
        label: "",
        mended: format!(
            "[{inner}]\n{}",
            rest.trim_start_matches([':', ';', ',']).trim_start()
        )
        .trim_end()
        .to_owned(),
    })
}

/// `sites "h"`, `sites.*.h`, `sites.http://h:80.paths`, `http://h` → `sites."…"`.
fn header_of(inner: &str) -> Option<String> {
    let after = inner
        .strip_prefix("sites")
        .or_else(|| inner.strip_prefix("site"));
    let host = after
        .unwrap_or(inner)
        .trim_start_matches(['.', ' ', ':', '=']);
    let (host, tail) = match host.strip_suffix(".paths") {
        Some(host) => (host, ".paths"),
        None => (host, ""),
    };
    let host = host.trim_matches(['"', '\'', ' ']);
    host::parse(host)
        .ok()
        .map(|_| format!("sites.{host:?}{tail}"))
}

fn brace(line: &Line) -> Option<Slip> {
    let text = line.text.trim_end_matches([';', ',']);
    if text == "}" {
        return Some(Slip {
            span: 0..1,
            message: "no brace closes a table".to_owned(),
            label: "leave the line out; a table ends where the next header begins",
            mended: String::new(),
        })
        .filter(|_| line.text.len() <= 2);
    }
    let before = text.strip_suffix('{')?.trim_end();
    if before.is_empty() || line.bare().any(|(_, c)| c == '=') {
        return None;
    }
    let meant = before.trim_matches(['[', ']', '"', '\'']);
    let mended = match host::parse(meant) {
        Ok(_) if meant.contains(['.', ':', '*']) => format!("[sites.{meant:?}]"),
        Ok(_) | Err(_) => format!("[{meant}]"),
    };
    Some(Slip {
        span: text.len() - 1..text.len(),
        message: "a table begins with a header in brackets, not with a brace".to_owned(),
        label: "and it ends where the next header begins",
        mended,
    })
}

/// Rules for a line with an `=`.
fn key_and_value(line: &Line, table: &str) -> Option<Slip> {
    let text = line.text;
    if let Some(open) = line.unclosed {
        return Some(unclosed(text, open));
    }
    let (equals, _) = line.bare().find(|(_, c)| *c == '=')?;
    let key = text[..equals].trim_end_matches(':').trim_end();
    let after = text[equals + 1..].trim_start_matches(['=', '>']);
    let value_start = text.len() - after.trim_start().len();
    let value = &text[value_start..];
    let line_with = |key: &str, value: &str| format!("{key} = {value}");
    if key.is_empty() {
        return Some(Slip {
            span: equals..equals + 1,
            message: "the key is missing before the `=`".to_owned(),
            label: "",
            mended: String::new(),
        });
    }
    if key.len() < text[..equals].trim_end().len() || after.len() < text.len() - equals - 1 {
        return Some(Slip {
            span: key.len()..value_start,
            message: "one `=` stands between a key and its value".to_owned(),
            label: "",
            mended: line_with(key, value),
        });
    }
    if !is_toml(&format!("{key} = 1")) {
        let name = key.trim_matches(['"', '\'']);
        let is_path = name.starts_with('/') || table.ends_with("paths");
        return Some(Slip {
            span: 0..key.len(),
            message: format!("{} needs quotes", if is_path { "a path" } else { "a host" }),
            label: match key.contains(char::is_whitespace) {
                true => "a key without quotes has no spaces",
                false => "without quotes a key has letters, digits, `_` and `-` alone",
            },
            mended: line_with(&format!("{name:?}"), value),
        });
    }
    let end = lines::value_end(value);
    let (value, rest) = (&value[..end], value[end..].trim());
    if value.is_empty() {
        return Some(Slip {
            span: equals..equals + 1,
            message: "the value is missing after the `=`".to_owned(),
            label: "",
            mended: with_target(key, table),
        });
    }
    if !is_toml(&format!("k = {value}")) {
        return bad_value(key, value, value_start, rest);
    }
    trailing(text, &line_with(key, value), value_start + end, rest)
}

/// The key with a target, where it takes one; else nothing.
fn with_target(key: &str, table: &str) -> String {
    let takes_target = key == "to" || table == "sites" || table.ends_with("paths");
    match takes_target {
        true => format!("{key} = 3000"),
        false => String::new(),
    }
}

/// A quote that nothing closes.
fn unclosed(text: &str, open: usize) -> Slip {
    let quote = &text[open..open + 1];
    let before_equals = text[open..].find('=').map(|at| open + at);
    let mended = match before_equals {
        Some(equals) if open == 0 => {
            format!("{}{quote} {}", text[..equals].trim_end(), &text[equals..])
        }
        Some(_) | None => format!("{}{quote}", text.trim_end_matches([';', ',', ' '])),
    };
    Slip {
        span: open..open + 1,
        message: "the quote is not closed on this line".to_owned(),
        label: "",
        mended,
    }
}

/// A value that is none of TOML: mostly text without quotes.
fn bad_value(key: &str, value: &str, start: usize, rest: &str) -> Option<Slip> {
    let span = start..start + value.len();
    let join = |value: &str| format!("{key} = {value} {rest}").trim_end().to_owned();
    if value.starts_with('"') {
        let inner = value.trim_matches('"');
        let at = value.find('\\')?;
        let mended = match inner.contains('\'') {
            true => format!("{:?}", inner),
            false => format!("'{inner}'"),
        };
        return Some(Slip {
            span: start + at..start + (at + 2).min(value.len()),
            message: "in double quotes a `\\` begins an escape".to_owned(),
            label: "in single quotes it stands for itself; else it is written `\\\\`",
            mended: join(&mended),
        });
    }
    let name = key.rsplit('.').next().unwrap_or(key);
    let spelled = spelled(name, value);
    let message = match spelled.as_str() {
        text if is_comma_missing(text, value) => "commas part the elements of a list",
        "true" | "false" => "a switch is `true` or `false`",
        text if text.starts_with(['"', '[']) => "text needs quotes",
        text if value.ends_with(text) && value.starts_with('0') => "a number has no zeros in front",
        _ => "text needs quotes; a port of this machine is a number alone",
    };
    Some(Slip {
        span,
        message: message.to_owned(),
        label: "",
        mended: join(&spelled),
    })
}

/// Whether two lists differ in their commas alone.
fn is_comma_missing(list: &str, other: &str) -> bool {
    let elements = |text: &str| text.replace([',', ' ', '\t'], "");
    list.starts_with('[') && elements(list) == elements(other)
}

/// A bare word as a value of this key.
fn spelled(key: &str, value: &str) -> String {
    if let Some(inner) = value
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let elements = inner
            .split([',', ' '])
            .map(str::trim)
            .filter(|element| !element.is_empty());
        let elements: Vec<String> = elements.map(|element| spelled(key, element)).collect();
        return format!("[{}]", elements.join(", "));
    }
    if is_toml(&format!("k = {value}")) {
        return value.to_owned();
    }
    let is_switch = SWITCHES.contains(&key);
    match value.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" => return "true".to_owned(),
        "false" => return "false".to_owned(),
        "off" | "no" if is_switch => return "false".to_owned(),
        "off" | "no" => return "\"off\"".to_owned(),
        _ => {}
    }
    let digits = value.trim_start_matches('0');
    if !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return digits.to_owned();
    }
    let is_target = key == "to" || key.starts_with(['"', '\'']);
    match target::spelling(value) {
        Some(target) if is_target || value.starts_with(':') => target,
        Some(_) | None => format!("{value:?}"),
    }
}

/// What stands after a whole value.
fn trailing(text: &str, line: &str, at: usize, rest: &str) -> Option<Slip> {
    if rest.is_empty() || rest.starts_with('#') {
        return None;
    }
    let start = text.len() - text[at..].trim_start().len();
    let mark = &rest[..rest.chars().next().map_or(0, char::len_utf8)];
    let after = rest.trim_start_matches([';', ',']).trim();
    let slip = |length, message: &str, label, mended| Slip {
        span: start..start + length,
        message: message.to_owned(),
        label,
        mended,
    };
    if after.is_empty() || after.starts_with('#') {
        let message = match mark {
            ";" => "a line has no `;` at its end",
            _ => "a `,` stands within lists and braces alone",
        };
        return Some(slip(
            1,
            message,
            "",
            format!("{line} {after}").trim_end().to_owned(),
        ));
    }
    let next = Line::of(after);
    let is_key = next
        .bare()
        .find(|(_, c)| *c == '=')
        .is_some_and(|(equals, _)| is_toml(&format!("{} = 1", after[..equals].trim_end())));
    if is_key {
        let message = "each key has a line of its own";
        return Some(slip(rest.len(), message, "", format!("{line}\n{after}")));
    }
    let prose = after.trim_start_matches(['/', '-', ';']).trim_start();
    let message = "a comment begins with `#`";
    Some(slip(rest.len(), message, "", format!("{line} # {prose}")))
}

/// A line without `=`: `key: value`, `key value`, `key`.
fn separator(line: &Line, table: &str, is_keyless: bool) -> Option<Slip> {
    let text = line.text;
    if line.bare().any(|(_, c)| c == '=') || text.starts_with(['[', ']', '{', '}']) {
        return None;
    }
    let is_end = |at: usize| text[at + 1..].is_empty() || text[at + 1..].starts_with([' ', '\t']);
    let is_first = |at: usize| !text[..at].trim_end().contains(char::is_whitespace);
    let colon = line
        .bare()
        .find(|(at, c)| *c == ':' && is_end(*at))
        .map(|(at, _)| at);
    let space = line
        .bare()
        .find(|(_, c)| c.is_whitespace())
        .map(|(at, _)| at);
    let (at, message) = match (colon, space) {
        (Some(colon), _) if is_first(colon) || text.starts_with('"') => {
            (colon, "a `=` stands between a key and its value, not a `:`")
        }
        (_, Some(space)) if is_keyless => (space, "a `=` stands between a key and its value"),
        (_, None) if is_keyless => {
            return Some(Slip {
                span: 0..text.len(),
                message: "the `=` and the value are missing".to_owned(),
                label: "",
                mended: with_target(text, table),
            });
        }
        _ => return None,
    };
    let value = text[at + 1..].trim();
    Some(Slip {
        span: at..at + 1,
        message: message.to_owned(),
        label: "",
        mended: format!("{} = {value}", text[..at].trim_end()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a line in a table becomes; nothing where no rule knows it.
    #[track_caller]
    fn check(table: &str, line: &str, expected: &str) {
        let found = slip(line, table, true).and_then(|slip| mended(slip.mended, table));
        assert_eq!(found.unwrap_or_default(), expected, "{line}");
        assert!(is_toml(expected), "{expected}");
    }

    #[test]
    fn keys() {
        check("sites", "*.x = 1", "\"*.x\" = 1");
        check("sites", "http://h = 1", "\"http://h\" = 1");
        check("sites", "localhost:8080 = 1", "\"localhost:8080\" = 1");
        check("sites", "[::1]:80 = 1", "\"[::1]:80\" = 1");
        check("sites.\"h\".paths", "/api = 3000", "\"/api\" = 3000");
        check(
            "sites.\"h\".paths",
            "/a/{id} = { to = 1 }",
            "\"/a/{id}\" = { to = 1 }",
        );
        check("sites", "bücher.example = 1", "\"bücher.example\" = 1");
        check("sites", "\"h = 3000", "\"h\" = 3000");
        check("sites", "'h = 3000", "'h' = 3000");
        check("sites", "= 3000", "");
        check("sites", "“h” = 3000", "\"h\" = 3000");
        check("sites", "«h» = „10.0.0.5:80”;", "\"h\" = \"10.0.0.5:80\"");
    }

    #[test]
    fn separators() {
        check("", "to: 3000", "to = 3000");
        check("", "to : 3000", "to = 3000");
        check("", "to 3000", "to = 3000");
        check("", "to\t3000", "to = 3000");
        check("", "to := 3000", "to = 3000");
        check("", "to == 3000", "to = 3000");
        check("", "to => 3000,", "to = 3000");
        check("", "log: off", "log = false");
        check("", "timeouts.response: off", "timeouts.response = \"off\"");
        check("", "host: my app", "host = \"my app\"");
        check("sites", "\"h\" 10.0.0.5:80", "\"h\" = \"10.0.0.5:80\"");
        check("sites", "\"h\"", "\"h\" = 3000");
        check("server", "workers", "");
    }

    #[test]
    fn values() {
        check("", "to = :3000", "to = 3000");
        check("", "to = localhost:3000", "to = 3000");
        check("", "to = http://10.0.0.5:3000/", "to = \"10.0.0.5:3000\"");
        check("", "to = unix:/run/a.sock", "to = \"unix:/run/a.sock\"");
        check("", "to = 03000", "to = 3000");
        check("", "to =", "to = 3000");
        check("", "path =", "");
        check(
            "",
            "path = /var/log/my app.log",
            "path = \"/var/log/my app.log\"",
        );
        check("", "path = \"C:\\d\"", "path = 'C:\\d'");
        check("", "path = \"it's C:\\d\"", "path = \"it's C:\\\\d\"");
        check("", "path = \"/var/log", "path = \"/var/log\"");
        check("", "connect = 3000ms # slow", "connect = \"3000ms\" # slow");
        check("", "log = Off", "log = false");
        check("", "log = TRUE", "log = true");
        check("", "response = No", "response = \"off\"");
        check("", "a = [x, 1, \"y\"]", "a = [\"x\", 1, \"y\"]");
        check("", "a = [1 2]", "a = [1, 2]");
    }

    #[test]
    fn what_follows_a_value() {
        check("", "to = 3000;", "to = 3000");
        check("", "to = 3000, # app", "to = 3000 # app");
        check("", "to = 3000 // app", "to = 3000 # app");
        check("", "to = 3000 the app", "to = 3000 # the app");
        check("", "to = \"a:1\" -- app", "to = \"a:1\" # app");
        check("", "to = 3000, log = false", "to = 3000\nlog = false");
        check("", "to = 3000; log = off;", "to = 3000\nlog = false");
    }

    #[test]
    fn headers_and_comments() {
        check("", "[sites", "[sites]");
        check("", "[sites # all", "[sites]");
        check("", "[sites]:", "[sites]");
        check("", "[sites \"h\"]", "[sites.\"h\"]");
        check("", "[sites.*.h]", "[sites.\"*.h\"]");
        check(
            "",
            "[sites.http://h:80.paths]",
            "[sites.\"http://h:80\".paths]",
        );
        check("", "[sites.h:80", "[sites.\"h:80\"]");
        check("", "[http://h]", "[sites.\"http://h\"]");
        check("", "[]", "");
        check("", "app.example.com {", "[sites.\"app.example.com\"]");
        check("", "server {", "[server]");
        check("", "}", "");
        check("", "// x", "# x");
        check("", "; x", "# x");
        check("", "/* x */", "# x");
    }
}
