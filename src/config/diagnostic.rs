//! What is wrong, where, and how to mend it: the messages of [`super::parse`], in one format.
//!
//! ```text
//! error[unknown-key]: `proxy_pass` is not a hotgate key
//!   --> /etc/hotgate/hotgate.toml:7:1
//!    |
//!  7 | proxy_pass = "http://127.0.0.1:3000"
//!    | ^^^^^^^^^^ nginx calls it `proxy_pass`; here it is `to`
//!    |
//!    = try: to = 3000
//! ```
//!
//! Readers report to [`Faults`] with a range of octets, counted over all sources, one behind the other; source, line,
//! column, excerpt ([`super::excerpt`]) and the mended line are worked out here, once. What is quoted from a file is shown without control
//! characters, so that a file cannot write to a terminal, and what came from a secret file as `***`.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::excerpt::{Line, line_starts, visible};
use super::place::{Place, Source};
use super::secrets::Secrets;

/// Faults kept of one source. A text of nothing but faults must not make a report a hundred times its size.
const FAULTS_MAX: usize = 200;

/// The code of a site or path without an action.
pub(super) const NO_ACTION: &str = "no-action";

/// The code of an upstream that lacks servers, and of a server that lacks an address: likewise.
pub(super) const NO_SERVERS: &str = "no-servers";

/// The code of a table that lacks a key: likewise.
pub(super) const INCOMPLETE: &str = "incomplete";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is used as it is.
    Warning,
}

/// One fault or warning, ready to be shown with `Display`: several lines, without a final line feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The kind of fault, in kebab case (`unknown-key`); does not change between versions.
    pub code: &'static str,
    /// What is wrong; lower case, one line.
    pub message: String,
    /// Where it begins.
    pub place: Place,
    /// The line it begins in, or the part of a long line around it; tabs are spaces.
    pub excerpt: String,
    /// Where the excerpt's marks are, in characters from its start; never empty.
    pub marks: Range<usize>,
    /// What stands beside the marks; may be empty.
    pub label: String,
    /// What to write instead; may be empty, may be several lines.
    pub mend: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let width = self.place.line.to_string().len();
        let bar = " ".repeat(width + 2);
        writeln!(f, "{severity}[{}]: {}", self.code, self.message)?;
        writeln!(f, "{}--> {}", " ".repeat(width + 1), self.place)?;
        writeln!(f, "{bar}|")?;
        writeln!(
            f,
            "{}",
            format!(" {} | {}", self.place.line, self.excerpt).trim_end()
        )?;
        let marks = format!(
            "{}{}",
            " ".repeat(self.marks.start),
            "^".repeat(self.marks.len())
        );
        write!(f, "{}", format!("{bar}| {marks} {}", self.label).trim_end())?;
        if !self.mend.is_empty() {
            write!(f, "\n{bar}|\n{bar}= try: ")?;
            let indent = format!("\n{bar}       ");
            write!(f, "{}", self.mend.replace('\n', &indent))?;
        }
        Ok(())
    }
}

/// A fault as a reader sees it: a range of octets.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    code: &'static str,
    span: Range<usize>,
    message: String,
    label: String,
    mend: Mend,
}

/// How a fault is mended.
#[derive(Clone, Debug)]
enum Mend {
    /// There is no one answer.
    Unknown,
    /// Write this.
    Text(String),
    /// Write the line as it is, with this range replaced.
    Replace(Range<usize>, String),
}

impl Fault {
    /// A fault of the octets in `span`.
    pub(super) fn new(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Fault {
        Fault {
            code,
            span,
            message: message.into(),
            label: String::new(),
            mend: Mend::Unknown,
        }
    }

    /// The same fault with ranges that are counted from `base` on.
    pub(super) fn shifted(mut self, base: usize) -> Fault {
        let shift = |span: Range<usize>| span.start + base..span.end + base;
        self.span = shift(self.span);
        if let Mend::Replace(span, text) = self.mend {
            self.mend = Mend::Replace(shift(span), text);
        }
        self
    }

    /// What stands beside the marks.
    pub(super) fn label(mut self, label: impl Into<String>) -> Fault {
        self.label = label.into();
        self
    }

    /// The mend, written out.
    pub(super) fn write(mut self, text: impl Into<String>) -> Fault {
        self.mend = Mend::Text(text.into());
        self
    }

    /// The mend is the faulty line with `span` replaced by `text`.
    pub(super) fn replace(mut self, span: Range<usize>, text: impl Into<String>) -> Fault {
        self.mend = Mend::Replace(span, text.into());
        self
    }
}

/// Collects the faults of all sources.
pub(super) struct Faults<'s> {
    sources: Vec<Text<'s>>,
    found: Vec<Found>,
    /// Ranges of which enough was said.
    poisoned: Vec<Range<usize>>,
    /// What is not to be shown.
    pub(super) secrets: Secrets,
}

/// A source and where its octets are counted from.
struct Text<'s> {
    source: Source<'s>,
    name: Arc<str>,
    base: usize,
    /// Where its lines begin: ten thousand sites ask for their places.
    line_starts: Vec<usize>,
    /// How many faults it has.
    faults: usize,
}

/// A fault and where it is, over all sources.
struct Found {
    source: usize,
    offset: usize,
    /// It is of no octet: of a value that the text does not have.
    is_of_nothing: bool,
    diagnostic: Diagnostic,
}

impl<'s> Faults<'s> {
    /// No faults yet.
    pub(super) fn new(sources: &[Source<'s>]) -> Faults<'s> {
        let mut base = 0;
        let text = |source: &Source<'s>| {
            let text = Text {
                source: *source,
                name: Arc::from(source.name),
                base,
                line_starts: line_starts(source.text),
                faults: 0,
            };
            // One more than its octets, so that the end of a text is not the start of the next.
            base += source.text.len() + 1;
            text
        };
        Faults {
            sources: sources.iter().map(text).collect(),
            found: Vec::new(),
            poisoned: Vec::new(),
            secrets: Secrets::default(),
        }
    }

    /// Where the octets of this source are counted from.
    pub(super) fn base(&self, source: usize) -> usize {
        self.sources[source].base
    }

    /// The source that an offset is in, by its number.
    pub(super) fn source_of(&self, offset: usize) -> usize {
        // The first begins at 0.
        self.sources
            .partition_point(|text| text.base <= offset)
            .saturating_sub(1)
    }

    /// The name of the source that an offset is in: relative paths are relative to its folder.
    pub(super) fn name_of(&self, offset: usize) -> &'s str {
        self.sources
            .get(self.source_of(offset))
            .map_or("", |text| text.source.name)
    }

    /// The octets of a range, as written.
    pub(super) fn text(&self, span: &Range<usize>) -> Option<&'s str> {
        let text = self.sources.get(self.source_of(span.start))?;
        let range = span.start.checked_sub(text.base)?..span.end.checked_sub(text.base)?;
        text.source.text.get(range)
    }

    /// The place of an offset.
    pub(super) fn place(&self, offset: usize) -> Place {
        let text = &self.sources[self.source_of(offset)];
        let (line, column) = text.line(offset).position();
        Place {
            source: text.name.clone(),
            line,
            column,
        }
    }

    /// Adds an error.
    pub(super) fn error(&mut self, fault: Fault) {
        self.add(Severity::Error, fault);
    }

    /// Adds a warning.
    pub(super) fn warning(&mut self, fault: Fault) {
        self.add(Severity::Warning, fault);
    }

    /// Nothing more is to be said of what stands here.
    pub(super) fn poison(&mut self, span: Range<usize>) {
        self.poisoned.push(span);
    }

    fn add(&mut self, severity: Severity, fault: Fault) {
        let is_poisoned = |range: &Range<usize>| range.contains(&fault.span.start);
        let source = self.source_of(fault.span.start);
        let text = &self.sources[source];
        if text.faults >= FAULTS_MAX || self.poisoned.iter().any(is_poisoned) {
            return;
        }
        let line = text.line(fault.span.start);
        let local = |span: &Range<usize>| {
            span.start.saturating_sub(text.base)..span.end.saturating_sub(text.base)
        };
        let (excerpt, marks) = line.excerpt(&local(&fault.span));
        let mend = match fault.mend {
            Mend::Unknown => String::new(),
            Mend::Text(text) => text,
            Mend::Replace(span, with) => line.replace(&local(&span), &with),
        };
        let shown = |text: &str| visible(&self.secrets.mask(text));
        let diagnostic = Diagnostic {
            severity,
            code: fault.code,
            message: shown(&fault.message),
            place: self.place(fault.span.start),
            excerpt,
            marks,
            label: shown(&fault.label),
            mend: mend.lines().map(shown).collect::<Vec<_>>().join("\n"),
        };
        let (offset, is_of_nothing) = (fault.span.start, fault.span.is_empty());
        // A site that several layers have a part of is read once with each of them.
        let is_known = |found: &Found| found.offset == offset && found.diagnostic == diagnostic;
        if self.found.iter().any(is_known) {
            return;
        }
        self.sources[source].faults += 1;
        self.found.push(Found {
            source,
            offset,
            is_of_nothing,
            diagnostic,
        });
    }

    /// How many there are so far, of all sources.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// Whether one of them is an error.
    pub(super) fn has_errors(&self) -> bool {
        let is_error = |found: &Found| found.diagnostic.severity == Severity::Error;
        self.found.iter().any(is_error)
    }

    /// Whether one of them is an error of this source.
    pub(super) fn has_errors_in(&self, source: usize) -> bool {
        let is_error =
            |found: &Found| found.source == source && found.diagnostic.severity == Severity::Error;
        self.found.iter().any(is_error)
    }

    /// Takes the faults back that were found after there were `count`.
    pub(super) fn take_after(&mut self, count: usize) -> Vec<Diagnostic> {
        let taken = self.found.drain(count..).collect::<Vec<_>>();
        for found in &taken {
            self.sources[found.source].faults -= 1;
        }
        taken.into_iter().map(|found| found.diagnostic).collect()
    }

    /// Drops the errors of this source from an octet of it on: what follows from a syntax error is noise.
    pub(super) fn forget_after(&mut self, source: usize, octet: usize) {
        self.forget_lacks(source, octet..octet);
    }

    /// The same from the end of a range on; and within it what is lacking, which may stand in the part that could not
    /// be read.
    pub(super) fn forget_lacks(&mut self, source: usize, octets: Range<usize>) {
        let base = self.base(source);
        let (start, end) = (base + octets.start, base + octets.end);
        // What was said of these ranges may be what is dropped now.
        self.poisoned.clear();
        self.found.retain(|found| {
            let is_lack = found.is_of_nothing
                || [NO_ACTION, NO_SERVERS, INCOMPLETE].contains(&found.diagnostic.code);
            let is_before = found.offset < end && !is_lack;
            found.source != source || is_before || (found.offset < start && !found.is_of_nothing)
        });
    }

    /// Drops what was said of this offset: something better is.
    pub(super) fn forget_at(&mut self, offset: usize) {
        let sources = &mut self.sources;
        self.found.retain(|found| {
            let is_kept = found.offset != offset;
            sources[found.source].faults -= usize::from(!is_kept);
            is_kept
        });
    }

    /// Errors and warnings apart, each in file order.
    pub(super) fn into_errors_and_warnings(mut self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        self.found.sort_by_key(|found| found.offset);
        let all = self.found.into_iter().map(|found| found.diagnostic);
        all.partition(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

impl<'s> Text<'s> {
    /// The line of an offset that is counted over all sources.
    fn line(&self, offset: usize) -> Line<'s> {
        Line::at(
            self.source.text,
            &self.line_starts,
            offset.saturating_sub(self.base),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, fault: Fault, rendered: &str) {
        let sources = [Source {
            name: "f.toml",
            text,
        }];
        let mut faults = Faults::new(&sources);
        faults.error(fault);
        let (errors, warnings) = faults.into_errors_and_warnings();
        assert!(warnings.is_empty());
        assert_eq!(errors[0].to_string(), rendered);
    }

    #[test]
    fn the_one_format() {
        check(
            "\n\n\n\n\n\nproxy_pass = 1",
            Fault::new("unknown-key", 6..16, "`proxy_pass` is not a hotgate key")
                .label("here")
                .write("to = 3000"),
            "error[unknown-key]: `proxy_pass` is not a hotgate key\n  --> f.toml:7:1\n   |\n 7 | proxy_pass = 1\n   | ^^^^^^^^^^ here\n   |\n   = try: to = 3000",
        );
        check(
            &format!("{}  ü = 5 # x\r\n", "\n".repeat(11)),
            Fault::new("c", 18..19, "m").replace(18..19, "\"5s\"\nor none"),
            "error[c]: m\n   --> f.toml:12:7\n    |\n 12 |   ü = 5 # x\n    |       ^\n    |\n    = try: ü = \"5s\"\n           or none # x",
        );
    }

    #[test]
    fn places_at_the_edges() {
        check(
            "",
            Fault::new("c", 0..0, "m"),
            "error[c]: m\n  --> f.toml:1:1\n   |\n 1 |\n   | ^",
        );
        check(
            "a",
            Fault::new("c", 9..99, "m"),
            "error[c]: m\n  --> f.toml:1:2\n   |\n 1 | a\n   |  ^",
        );
        check(
            "a\n",
            Fault::new("c", 2..2, "m"),
            "error[c]: m\n  --> f.toml:2:1\n   |\n 2 |\n   | ^",
        );
        check(
            "ab\ncd",
            Fault::new("c", 1..5, "m"),
            "error[c]: m\n  --> f.toml:1:2\n   |\n 1 | ab\n   |  ^",
        );
    }

    #[test]
    fn hides_what_would_move_a_cursor() {
        check(
            "\u{1b}[31m\t\u{202e}x",
            Fault::new("c", 0..1, "\u{7}m"),
            "error[c]:  m\n  --> f.toml:1:1\n   |\n 1 |  [31m  x\n   | ^",
        );
    }

    #[test]
    fn sorts_by_source_then_place_and_keeps_a_bound() {
        let sources = [
            Source {
                name: "a",
                text: "xy",
            },
            Source {
                name: "b",
                text: "xy",
            },
        ];
        let mut faults = Faults::new(&sources);
        for (source, at) in [(1, 1), (0, 1), (1, 0), (0, 0)] {
            let at = faults.base(source) + at;
            faults.error(Fault::new("c", at..at, "m"));
        }
        faults.warning(Fault::new("w", 0..0, "m"));
        let (errors, warnings) = faults.into_errors_and_warnings();
        let places: Vec<String> = errors.iter().map(|error| error.place.to_string()).collect();
        assert_eq!(places, ["a:1:1", "a:1:2", "b:1:1", "b:1:2"]);
        assert_eq!(warnings.len(), 1);

        let mut faults = Faults::new(&sources);
        (0..FAULTS_MAX * 2)
            .for_each(|number| faults.error(Fault::new("c", 0..0, format!("m{number}"))));
        assert_eq!(faults.into_errors_and_warnings().0.len(), FAULTS_MAX);
    }
}
