//! Reads one source: the paths and words in it, as far as the rules of the house care.
//!
//! No parser: words and signs, with comments, literals and lifetimes left out; `use` trees taken apart; and which
//! of it stands behind `#[cfg(test)]`. Macros are read as they are written.

/// A word that a rule may be about.
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) in_test: bool,
}

/// A path that stands in a file.
pub(crate) struct Named {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    pub(crate) in_test: bool,
    /// Names of the modules within the file around it.
    pub(crate) within: Vec<String>,
    /// The name under which a `pub use` offers it again.
    pub(crate) offered_as: Option<String>,
}

/// What a text says that matters here.
#[derive(Default)]
pub(crate) struct Scan {
    pub(crate) paths: Vec<Named>,
    pub(crate) words: Vec<Word>,
    /// Modules in files of their own that are declared behind `#[cfg(test)]`.
    pub(crate) test_modules: Vec<String>,
    /// There is an item that is neither `mod` nor `use`.
    pub(crate) has_definitions: bool,
}

impl Scan {
    /// Reads a source.
    pub(crate) fn of(text: &str) -> Scan {
        let tokens = tokens(text);
        let mut scan = Scan::default();
        // One entry a brace that is open: the module that it opened, if it did.
        let mut braces: Vec<Option<(String, bool)>> = Vec::new();
        // `#[cfg(test)]` was read, and what it stands before was not.
        let mut is_marked = false;
        let mut at = 0;
        while at < tokens.len() {
            let word = |offset: usize| tokens.get(at + offset).map_or("", |(text, _)| text);
            let line = tokens[at].1;
            let within: Vec<String> = braces.iter().flatten().map(|(m, _)| m.clone()).collect();
            let in_test = braces.iter().flatten().any(|(_, is_test)| *is_test);
            let before = at.checked_sub(1).map_or("", |before| tokens[before].0);
            match word(0) {
                "#" => {
                    let end = end_of_attribute(&tokens, at);
                    let inside: Vec<&str> = tokens[at..end].iter().map(|(text, _)| *text).collect();
                    let is_cfg = inside.contains(&"cfg") && inside.contains(&"test");
                    is_marked |= is_cfg && !inside.contains(&"not");
                    for (text, line) in &tokens[at..end] {
                        scan.note_word(text, *line, in_test);
                    }
                    at = end;
                    continue;
                }
                "mod" if word(2) == "{" => {
                    braces.push(Some((word(1).to_owned(), is_marked || in_test)));
                    (is_marked, at) = (false, at + 3);
                    continue;
                }
                "mod" if word(2) == ";" => {
                    if is_marked {
                        scan.test_modules.push(word(1).to_owned());
                    }
                    (is_marked, at) = (false, at + 3);
                    continue;
                }
                // `use<'a>` in a type is no import.
                "use" if word(1) != "<" => {
                    let is_offered = before == "pub" || before == ")";
                    let mut tree = UseTree {
                        tokens: &tokens,
                        at: at + 1,
                        leaves: Vec::new(),
                    };
                    tree.read(&[]);
                    for (segments, name, line) in tree.leaves {
                        for segment in &segments {
                            scan.note_word(segment, line, in_test);
                        }
                        scan.paths.push(Named {
                            segments,
                            line,
                            in_test,
                            within: within.clone(),
                            offered_as: name.filter(|_| is_offered && within.is_empty()),
                        });
                    }
                    (is_marked, at) = (false, tree.at);
                    continue;
                }
                "{" => braces.push(None),
                "}" => {
                    braces.pop();
                }
                name if is_word(name) && word(1) == "::" && begins_path(&tokens, at) => {
                    // `pub(in crate::http)` says who sees, not what is seen.
                    let is_visibility = before == "in" && at >= 2 && tokens[at - 2].0 == "(";
                    let mut segments = vec![name.to_owned()];
                    let mut next = at + 1;
                    while let [("::", _), (segment, _), ..] = tokens[next..]
                        && is_word(segment)
                    {
                        segments.push(segment.to_owned());
                        next += 2;
                    }
                    if !is_visibility {
                        scan.paths.push(Named {
                            segments,
                            line,
                            in_test,
                            within,
                            offered_as: None,
                        });
                    }
                }
                _ => {}
            }
            scan.note_word(word(0), line, in_test);
            // Between an attribute and `mod` only `pub` and `pub(…)` may stand.
            let is_visibility =
                ["pub", "(", ")", "crate", "super", "in", "self"].contains(&word(0));
            if !is_visibility {
                is_marked = false;
                let is_empty = [";", "{", "}"].contains(&word(0));
                scan.has_definitions |= !in_test && !is_empty;
            }
            at += 1;
        }
        scan
    }

    fn note_word(&mut self, text: &str, line: usize, in_test: bool) {
        if is_word(text) {
            self.words.push(Word {
                text: text.to_owned(),
                line,
                in_test,
            });
        }
    }
}

/// Reads `a::{b, c::{self, D as E}, f::*};` into the paths that it stands for.
struct UseTree<'t> {
    tokens: &'t [(&'t str, usize)],
    at: usize,
    /// Path, name under which it is in scope (none for `*`), line.
    leaves: Vec<(Vec<String>, Option<String>, usize)>,
}

impl UseTree<'_> {
    fn read(&mut self, prefix: &[String]) {
        let mut path = prefix.to_vec();
        loop {
            let Some((token, line)) = self.tokens.get(self.at).copied() else {
                return;
            };
            self.at += 1;
            match token {
                "::" => {}
                "{" => {
                    while !["}", ""].contains(&self.peek()) {
                        self.read(&path);
                    }
                    self.at += 1;
                    return self.skip_separator();
                }
                "*" => {
                    self.leaves.push((path, None, line));
                    return self.skip_separator();
                }
                "self" if !path.is_empty() => {}
                segment => path.push(segment.to_owned()),
            }
            if self.peek() == "::" {
                continue;
            }
            let mut name = path.last().cloned();
            if self.peek() == "as" {
                name = self
                    .tokens
                    .get(self.at + 1)
                    .map(|(text, _)| (*text).to_owned());
                self.at += 2;
            }
            if token != "::" {
                self.leaves.push((path, name, line));
                return self.skip_separator();
            }
        }
    }

    fn peek(&self) -> &str {
        self.tokens.get(self.at).map_or("", |(text, _)| text)
    }

    fn skip_separator(&mut self) {
        if [",", ";"].contains(&self.peek()) {
            self.at += 1;
        }
    }
}

/// Is the word at `at` the first of its path? `std` of `::std::fs` is, `new` of `Vec::<u8>::new` is not.
fn begins_path(tokens: &[(&str, usize)], at: usize) -> bool {
    let before = |offset: usize| at.checked_sub(offset).map_or("", |at| tokens[at].0);
    before(1) != "::" || !(is_word(before(2)) || before(2) == ">")
}

/// Behind the `]` of the attribute that begins at `at`.
fn end_of_attribute(tokens: &[(&str, usize)], at: usize) -> usize {
    let mut depth = 0usize;
    for (position, (text, _)) in tokens.iter().enumerate().skip(at + 1) {
        match *text {
            "[" => depth += 1,
            "]" if depth <= 1 => return position + 1,
            "]" => depth -= 1,
            "!" if depth == 0 => {}
            _ if depth == 0 => return at + 1, // no attribute: a macro's `#`
            _ => {}
        }
    }
    tokens.len()
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// A text's words and signs with their lines, without comments, literals and lifetimes; `::` is one sign.
fn tokens(text: &str) -> Vec<(&str, usize)> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = string(rest) {
            length
        } else if first == '\'' {
            quote(rest)
        } else if let Some(raw) = rest.strip_prefix("r#").filter(|raw| is_word(raw)) {
            // A raw identifier is never a keyword: `r#use` is no import.
            2 + word_length(raw)
        } else if is_word(rest) {
            let length = word_length(rest);
            tokens.push((&rest[..length], line));
            length
        } else if first.is_ascii_digit() {
            word_length(rest)
        } else if rest.starts_with("::") {
            tokens.push(("::", line));
            2
        } else {
            if !first.is_whitespace() {
                tokens.push((&rest[..first.len_utf8()], line));
            }
            first.len_utf8()
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the string literal that `text` begins with, if it does.
fn string(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""];
    for prefix in prefix {
        let Some(rest) = text.strip_prefix(prefix) else {
            continue;
        };
        let hashes = if prefix.ends_with('r') {
            rest.bytes().take_while(|octet| *octet == b'#').count()
        } else {
            0
        };
        let Some(inside) = rest[hashes..].strip_prefix('"') else {
            continue;
        };
        let start = text.len() - inside.len();
        if prefix.ends_with('r') {
            let end = format!("\"{}", "#".repeat(hashes));
            let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
            return Some(start + length);
        }
        return Some(start + escaped_until(inside, '"'));
    }
    None
}

/// A character literal, or the sign and name of a lifetime.
fn quote(text: &str) -> usize {
    let inside = &text[1..];
    let mut chars = inside.chars();
    let (first, second) = (chars.next(), chars.next());
    if first == Some('\\') || second == Some('\'') {
        return 1 + escaped_until(inside, '\'');
    }
    1 + word_length(inside)
}

/// Octets up to the first `end` without a backslash before it, and with it.
fn escaped_until(text: &str, end: char) -> usize {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == end {
            return at + c.len_utf8();
        }
    }
    text.len()
}
