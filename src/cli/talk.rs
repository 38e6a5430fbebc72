//! Talk: what is said on standard error, and how. Facts go to standard output by the verbs themselves.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use clap::ValueEnum;

use super::Exit;

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How this process talks: set once from the arguments.
#[derive(Clone, Copy, Debug, Default)]
struct Manner {
    is_quiet: bool,
    color: Color,
}

static MANNER: OnceLock<Manner> = OnceLock::new();

/// Sets how it is talked, once, before anything is said.
pub(super) fn set_manner(is_quiet: bool, color: Color) {
    // A second call in one process keeps the first.
    let _ = MANNER.set(Manner { is_quiet, color });
}

fn manner() -> Manner {
    MANNER.get().copied().unwrap_or_default()
}

/// Says what has to be said; standard error that is closed does not stop us.
pub(super) fn say(text: &str) {
    let text = match has_color(&io::stderr()) {
        true => painted(text),
        false => text.to_owned(),
    };
    let _ = writeln!(io::stderr(), "{text}");
}

/// Says what `-q` keeps quiet.
pub(super) fn mention(text: &str) {
    if !manner().is_quiet {
        say(text);
    }
}

/// Prints facts. A reader that has gone (`| head`) is no fault.
pub(super) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints facts with the marks of [`painted`] where standard output is a terminal.
pub(super) fn print_painted(text: &str) {
    match has_color(&io::stdout()) {
        true => print(&painted(text)),
        false => print(text),
    }
}

fn has_color(stream: &impl IsTerminal) -> bool {
    match manner().color {
        Color::Always => true,
        Color::Never => false,
        // no-color.org: set and not empty.
        Color::Auto => {
            std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
                && stream.is_terminal()
        }
    }
}

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const GREEN: &str = "\x1b[32m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// The same text with colours, line by line: severities, carets, mends, marks.
fn painted(text: &str) -> String {
    let lines = text.split('\n').map(painted_line);
    lines.collect::<Vec<_>>().join("\n")
}

fn painted_line(line: &str) -> String {
    let heads = [
        ("error", RED),
        ("warning", YELLOW),
        ("✗", RED),
        ("!", YELLOW),
        ("✓", GREEN),
    ];
    for (head, color) in heads {
        if let Some(rest) = line.strip_prefix(head) {
            // `error[code]:` as a whole, and no word that only begins so.
            let end = match rest.find(": ") {
                Some(end) if rest.starts_with(['[', ':']) => end,
                Some(_) | None if rest.starts_with(' ') => 0,
                Some(_) | None => return line.to_owned(),
            };
            return format!("{color}{head}{}{PLAIN}{}", &rest[..end], &rest[end..]);
        }
    }
    let inner = line.trim_start();
    let indent = &line[..line.len() - inner.len()];
    if inner.starts_with("= try:") || inner.starts_with("-->") {
        return format!("{indent}{CYAN}{inner}{PLAIN}");
    }
    if let Some(at) = line.find("| ").filter(|_| inner.starts_with("| ")) {
        let (bar, marked) = line.split_at(at + 2);
        if marked.trim_start().starts_with('^') {
            return format!("{bar}{RED}{marked}{PLAIN}");
        }
    }
    line.to_owned()
}

/// Prints what came of asking `whom`, or says why nothing did.
pub(super) fn conclude(whom: impl Display, outcome: io::Result<String>) -> Exit {
    match outcome {
        Ok(text) => {
            print(&text);
            Exit::Fine
        }
        Err(error) => {
            say(&format!("error: {whom}: {error}"));
            Exit::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paint_adds_colours_and_changes_no_letter() {
        let text = "error[c]: m\n  --> f:1:2\n   |\n 1 | a\n   | ^ label\n   |\n   = try: b\nwarning[w]: x\n✓ fine\n! so so\n✗ bad\nerrors: 3\nplain";
        let painted = painted(text);
        let mut plain = painted.clone();
        for color in [RED, YELLOW, GREEN, CYAN, PLAIN] {
            plain = plain.replace(color, "");
        }
        assert_eq!(plain, text);
        assert!(painted.starts_with("\x1b[1;31merror[c]\x1b[0m: m"));
        assert!(painted.contains("\x1b[1;31m^ label\x1b[0m"));
        assert!(painted.ends_with("errors: 3\nplain"));
    }
}
