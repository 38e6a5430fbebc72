//! Faults of form: lines that are no TOML, answered by what people mean with them.
//!
//! The `toml` crate says where its grammar broke, which tells a person who never read that grammar little: of
//! `*.example.com = 3000` it says that a key has letters and digits. So the faulty line is looked at once more, by
//! itself. Each rule here knows one habit and how the line is written instead; rules are applied until the line is
//! TOML, and a mend that never becomes TOML is not shown.

use std::ops::Range;

use toml::de::DeTable;

use super::diagnostic::Fault;
use super::foreign::{self, Where};
use super::lines::{self, is_toml};
use super::raw::Entry;
use super::slips::{mended, slip};
use super::tree::{Text, Value};

/// A longer line is no slip of a person's, and rules may cost the square of its length.
const LINE_BYTES_MAX: usize = 1000;

/// The fault at `span` of a text, of which the `toml` crate says `message`. Ranges are of the text.
pub(super) fn fault(span: Range<usize>, message: &str, text: &str) -> Fault {
    let found = text.get(span.clone()).unwrap_or("");
    let line = lines::line_at(text, span.start);
    let content = &text[line.clone()];
    if content.len() > LINE_BYTES_MAX {
        return Fault::new("syntax", span, message);
    }
    let table = lines::table_of(text, line.start);
    if message.starts_with("missing comma between array elements") {
        let is_one_line = content.contains('[') && content.trim_end().ends_with(']');
        if !is_one_line {
            return Fault::new("syntax", span, "the list is not closed before this")
                .label("a `,` or a `]` is missing");
        }
    }
    if let Some(fault) = foreign_line(content, line.start, table) {
        return fault;
    }
    let is_keyless = message.starts_with("key with no value");
    if let Some(slip) = slip(content, table, is_keyless) {
        let at = slip.span.start + line.start..slip.span.end + line.start;
        let fault = Fault::new("syntax", at, slip.message).label(slip.label);
        return match mended(slip.mended, table) {
            Some(mended) if mended.is_empty() => fault,
            Some(mended) if mended.contains('\n') => fault.write(mended),
            Some(mended) => fault.replace(line, mended),
            None => fault,
        };
    }
    if message.starts_with("string values must be quoted") && !found.contains(['"', '\n']) {
        let fault = Fault::new("syntax", span.clone(), "text needs quotes");
        return fault.replace(span, format!("\"{}\"", found.trim_end()));
    }
    Fault::new("syntax", span, message)
}

/// A line that begins with another proxy's word and is none of TOML: `proxy_pass http://127.0.0.1:3000;`
fn foreign_line(content: &str, start: usize, table: &str) -> Option<Fault> {
    let (name, rest) = content.split_once(char::is_whitespace)?;
    let rest = rest.trim_end();
    if rest.trim_start().starts_with('=') || rest.is_empty() {
        return None;
    }
    let text = rest.trim_end_matches([';', '{']).replace(['"', '\''], " ");
    let text = text.trim().to_owned();
    let value = Value::String(Text {
        text,
        is_expanded: false,
    });
    let at = match table.split('.').next().unwrap_or("") {
        "" => Where::Top,
        "server" => Where::Server,
        "timeouts" => Where::Timeouts,
        "limits" => Where::Limits,
        "log" if table == "log" => Where::Log,
        "sites" if table == "sites" => Where::Hosts(false),
        "sites" | "defaults" => Where::Site,
        _ => Where::Top,
    };
    let entry = Entry {
        name,
        key: start..start + name.len(),
        value: &value,
        span: start + content.len() - rest.len()..start + content.trim_end().len(),
    };
    foreign::fault(&entry, at)
}

/// A key that is set again in a header after it was a line: `[sites."h".paths]` after `"h" = 3000`. The fault, and where
/// the line is.
pub(super) fn grown_line(again: &Range<usize>, text: &str) -> Option<(Fault, usize)> {
    let key = text.get(again.clone())?;
    let here = lines::line_at(text, again.start);
    let header = &text[here.clone()];
    let is_first_part = header.strip_prefix("[sites.")?.starts_with(key);
    let before = text.get(..here.start)?;
    let mut starts = std::iter::once(0).chain(before.match_indices('\n').map(|(at, _)| at + 1));
    let value_of = |line: &str| {
        line.trim_start()
            .strip_prefix(key)?
            .trim_start()
            .strip_prefix('=')
            .map(str::to_owned)
    };
    let first = starts.find(|start| {
        let line = before[*start..].lines().next().unwrap_or("");
        value_of(line).is_some()
    })?;
    let line = before[first..].lines().next().unwrap_or("");
    let value = value_of(line)?;
    let value = value.trim();
    let value = &value[..lines::value_end(value)];
    let is_inline = DeTable::parse(&format!("k = {value}")).is_ok_and(|table| {
        table
            .get_ref()
            .get("k")
            .is_some_and(|value| value.get_ref().is_table())
    });
    let name = key.trim_matches(['"', '\'']);
    let fault = Fault::new(
        "duplicate-host",
        again.clone(),
        format!("the host `{name}` is a line and a table"),
    );
    let rest = match header.trim_end().strip_suffix(".paths]") {
        Some(_) => format!("\n{}", header.trim_end()),
        None => String::new(),
    };
    let fault = match is_first_part && !is_inline && is_toml(&format!("k = {value}")) {
        true => fault.write(format!("[sites.{key}]\nto = {value}{rest}")),
        false => fault,
    };
    let indent = line.len() - line.trim_start().len();
    Some((fault, first + indent))
}
