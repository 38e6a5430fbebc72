//! One line of a text that may be no TOML: where its quotes, its value and its table are.

use std::ops::Range;

use toml::de::DeTable;

/// A line without indent and end.
pub(super) struct Line<'t> {
    pub(super) text: &'t str,
    /// Where a quote begins that the line does not close.
    pub(super) unclosed: Option<usize>,
    /// Octets within quotes, the quotes among them, and those of a comment.
    covered: Vec<Range<usize>>,
}

impl<'t> Line<'t> {
    pub(super) fn of(text: &'t str) -> Line<'t> {
        let mut covered = Vec::new();
        let mut open: Option<(usize, char)> = None;
        let mut is_escaped = false;
        for (at, c) in text.char_indices() {
            match open {
                None if c == '"' || c == '\'' => open = Some((at, c)),
                None if c == '#' => {
                    covered.push(at + 1..text.len());
                    break;
                }
                None => {}
                Some(_) if is_escaped => is_escaped = false,
                Some((_, '"')) if c == '\\' => is_escaped = true,
                Some((start, quote)) if c == quote => {
                    covered.push(start..at + 1);
                    open = None;
                }
                Some(_) => {}
            }
        }
        let unclosed = open.map(|(start, _)| start);
        covered.extend(unclosed.map(|start| start..text.len()));
        Line {
            text,
            unclosed,
            covered,
        }
    }

    /// Characters outside quotes and comments; the `#` of a comment is one.
    pub(super) fn bare(&self) -> impl Iterator<Item = (usize, char)> + '_ {
        let is_bare =
            |(at, _): &(usize, char)| !self.covered.iter().any(|range| range.contains(at));
        self.text.char_indices().filter(is_bare)
    }
}

/// Whether a text is TOML by itself.
pub(super) fn is_toml(text: &str) -> bool {
    DeTable::parse(text).is_ok()
}

/// The line that an octet stands in, without indent and end.
pub(super) fn line_at(text: &str, at: usize) -> Range<usize> {
    let at = text.floor_char_boundary(at);
    let start = text[..at].rfind('\n').map_or(0, |feed| feed + 1);
    let end = text[start..]
        .find('\n')
        .map_or(text.len(), |feed| start + feed);
    let line = text[start..end].trim_start_matches('\u{feff}').trim_start();
    let indented = end - line.len();
    indented..indented + line.trim_end().len()
}

/// The name of the table that a line is in, as its header has it; empty at the top. `line` is where the line begins.
pub(super) fn table_of(text: &str, line: usize) -> &str {
    let header = text[..line]
        .lines()
        .rev()
        .find_map(|line| line.trim_start().strip_prefix('['));
    header.map_or("", |header| {
        let header = header.trim_start_matches('[');
        header.split(']').next().unwrap_or("").trim()
    })
}

/// Where the value that a text begins with ends: after the quote or bracket that closes it, else before what follows a
/// word.
pub(super) fn value_end(text: &str) -> usize {
    let line = Line::of(text);
    let comment = line
        .bare()
        .find(|(_, c)| *c == '#')
        .map_or(text.len(), |(at, _)| at);
    let whole = text[..comment].trim_end().len();
    match text.chars().next() {
        Some('"' | '\'') => {
            let closed = (1..=whole)
                .filter(|end| text.is_char_boundary(*end))
                .find(|end| Line::of(&text[..*end]).unclosed.is_none());
            closed.unwrap_or(whole)
        }
        Some('[' | '{') => {
            let mut depth = 0_usize;
            for (at, c) in line.bare() {
                match c {
                    '[' | '{' => depth += 1,
                    ']' | '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if depth == 0 {
                    return at + 1;
                }
            }
            whole
        }
        Some(_) => {
            let word = text[..whole]
                .find(|c: char| c.is_whitespace() || c == ',' || c == ';')
                .unwrap_or(whole);
            let is_one = is_toml(&format!("k = {}", &text[..word]))
                || text[..word].starts_with(|c: char| c.is_ascii_digit())
                || text[word..whole].contains('=')
                || text[word..whole].trim_start().starts_with("//");
            if is_one {
                word
            } else {
                text[..whole].trim_end_matches([';', ',']).len()
            }
        }
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_values_end() {
        #[track_caller]
        fn check(value: &str, rest: &str) {
            assert_eq!(
                value_end(&format!("{value}{rest}")),
                value.len(),
                "{value}{rest}"
            );
        }
        check("3000", "");
        check("3000", " # x");
        check("3000", " the app");
        check("3000", ";");
        check("75s", ", x = 1");
        check("\"a # b\"", " # c");
        check("\"a\\\"b\"", " c");
        check("'a\\'", " c");
        check("[1, [2, \"]\"]]", " x");
        check("{ a = 1 }", ", b");
        check("[1, 2", "");
        check("\"open", "");
        check("/var/my app", " # x");
        check("a", " b = 1");
        check("", "");
        check("ü", "");
    }

    #[test]
    fn lines_and_their_tables() {
        let text = "\u{feff}a = 1\r\n[sites.\"h\"] # x\n\n  b = 2  \n";
        assert_eq!(&text[line_at(text, 4)], "a = 1");
        assert_eq!(table_of(text, 3), "");
        let at = text.find('b').expect("it is there");
        assert_eq!(&text[line_at(text, at + 3)], "b = 2");
        assert_eq!(table_of(text, at), "sites.\"h\"");
        assert_eq!(line_at(text, 900), text.len()..text.len());
    }
}
