//! Typed readings of TOML values, each with its place.
//!
//! The tree is walked by hand rather than through serde: a derived reader stops at its first fault, and ranges are
//! lost under `flatten` and `untagged`. Each reading here takes an [`Entry`], returns the value or reports one fault
//! with its mend, and leaves unknown keys to [`super::keys`].

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::diagnostic::{Fault, Faults};
use super::edit;
use super::tree::{Member, Node, Value};
use super::units::{self, UnitError};

/// What a message says that a switch takes.
pub(super) const SWITCH: &str = "`true` or `false`";

/// One key and its value, or one element of a list (which has the list's name, and its own range twice).
#[derive(Clone, Debug)]
pub(super) struct Entry<'t> {
    /// The key's last part, unescaped.
    pub(super) name: &'t str,
    /// Where the key stands.
    pub(super) key: Range<usize>,
    pub(super) value: &'t Value,
    /// Where the value stands; for a table with a header, the header.
    pub(super) span: Range<usize>,
}

/// A table's entries in file order.
pub(super) fn entries(table: &[Member]) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry> = table.iter().map(Entry::of).collect();
    entries.sort_by_key(|entry| entry.key.start);
    entries
}

/// Keeps what is there when the new value was faulty: then there is no configuration anyway.
pub(super) fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

impl<'t> Entry<'t> {
    pub(super) fn of(member: &'t Member) -> Entry<'t> {
        Entry {
            name: &member.name,
            key: member.key.clone(),
            value: &member.value,
            span: member.span.clone(),
        }
    }

    /// Key and value together, as they stand in the text; the key alone for a table with a header.
    pub(super) fn whole(&self) -> Range<usize> {
        if self.span.start >= self.key.end {
            self.key.start..self.span.end
        } else {
            self.key.clone()
        }
    }

    /// `true` or `false`; `expected` where other values are possible too.
    pub(super) fn boolean(&self, expected: &str, faults: &mut Faults) -> Option<bool> {
        if let Value::Boolean(value) = self.value {
            return Some(*value);
        }
        if let Some(Ok(value)) = self.value.as_expanded().map(str::parse) {
            return Some(value);
        }
        let fault = self.wrong_type(expected);
        faults.error(match self.value.as_str() {
            Some("true" | "on" | "yes") => fault.replace(self.span.clone(), "true"),
            Some("false" | "off" | "no") => fault.replace(self.span.clone(), "false"),
            Some(_) | None => fault,
        });
        None
    }

    /// A string. `expected` says what it holds, in the words of a message: "a host name".
    pub(super) fn string(&self, expected: &str, faults: &mut Faults) -> Option<&'t str> {
        let value: &'t Value = self.value;
        let text = value.as_str();
        if text.is_none() {
            faults.error(self.wrong_type(expected));
        }
        text
    }

    /// A whole number within bounds.
    pub(super) fn integer(
        &self,
        bounds: RangeInclusive<u64>,
        expected: &str,
        faults: &mut Faults,
    ) -> Option<u64> {
        let number = match self.value {
            Value::Integer(digits) => digits.to_u64(),
            _ if self.is_expanded_number() => {
                self.value.as_str().and_then(|text| text.parse().ok())
            }
            _ => {
                let fault = self.wrong_type(expected);
                let number = self
                    .value
                    .as_str()
                    .and_then(|text| text.trim().parse::<u64>().ok());
                faults.error(match number.filter(|number| bounds.contains(number)) {
                    Some(number) => fault.replace(self.span.clone(), number.to_string()),
                    None => fault,
                });
                return None;
            }
        };
        let within = number.filter(|number| bounds.contains(number));
        if within.is_none() {
            faults.error(self.out_of_range(bounds.start(), bounds.end()));
        }
        within
    }

    /// A duration within bounds. `expected` is for the message when it is something else altogether.
    pub(super) fn duration(
        &self,
        bounds: RangeInclusive<Duration>,
        expected: &str,
        faults: &mut Faults,
    ) -> Option<Duration> {
        let text = self.with_unit(expected, |number| format!("{number}s"), faults)?;
        let value = units::duration(text)
            .map_err(|error| faults.error(self.bad_unit(error, expected)))
            .ok()?;
        if !bounds.contains(&value) {
            let (least, most) = (
                units::write_duration(*bounds.start()),
                units::write_duration(*bounds.end()),
            );
            faults.error(self.out_of_range(&least, &most));
            return None;
        }
        Some(value)
    }

    /// A size in octets, within bounds.
    pub(super) fn size(
        &self,
        bounds: RangeInclusive<u64>,
        expected: &str,
        faults: &mut Faults,
    ) -> Option<u64> {
        let text = self.with_unit(expected, units::write_size, faults)?;
        let value = units::size(text)
            .map_err(|error| faults.error(self.bad_unit(error, expected)))
            .ok()?;
        if !bounds.contains(&value) {
            let (least, most) = (
                units::write_size(*bounds.start()),
                units::write_size(*bounds.end()),
            );
            faults.error(self.out_of_range(&least, &most));
            return None;
        }
        Some(value)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)], faults: &mut Faults) -> Option<T> {
        let words: Vec<String> = choices
            .iter()
            .map(|(word, _)| format!("{word:?}"))
            .collect();
        let expected = match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        };
        let text = self.string(&expected, faults)?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            faults.error(self.bad_value(&expected, choices.iter().map(|(word, _)| *word)));
        }
        found.map(|(_, value)| *value)
    }

    /// The elements of a list, which may be empty.
    pub(super) fn list(&self, expected: &str, faults: &mut Faults) -> Option<Vec<Entry<'t>>> {
        let value: &'t Value = self.value;
        let Value::List(items) = value else {
            let fault = self.wrong_type(expected);
            let source = faults.text(&self.span).filter(|_| value.as_str().is_some());
            faults.error(match source {
                Some(text) => fault.replace(self.span.clone(), format!("[{text}]")),
                None => fault,
            });
            return None;
        };
        let element = |item: &'t Node| Entry {
            name: self.name,
            key: item.span.clone(),
            value: &item.value,
            span: item.span.clone(),
        };
        Some(items.iter().map(element).collect())
    }

    /// A table's entries in file order.
    pub(super) fn table(&self, expected: &str, faults: &mut Faults) -> Option<Vec<Entry<'t>>> {
        let value: &'t Value = self.value;
        let table = value.as_table();
        if table.is_none() {
            let fault = self.wrong_type(expected);
            faults.error(self.single_header(fault, faults));
        }
        table.map(entries)
    }

    /// Whether the entry is a list because of its header, `[[…]]`.
    pub(super) fn has_double_header(&self, faults: &Faults) -> bool {
        // A list in a list comes after its key, and an element of a list is its own key.
        let is_before_key = self.span.start < self.key.start;
        let header = faults.text(&self.span).filter(|_| is_before_key);
        self.value.is_list() && header.is_some_and(|header| header.starts_with("[["))
    }

    /// The fault with the mend for `[[…]]`, where that is the cause.
    pub(super) fn single_header(&self, fault: Fault, faults: &Faults) -> Fault {
        let header = faults
            .text(&self.span)
            .filter(|_| self.has_double_header(faults));
        let Some(header) = header else { return fault };
        let single = header.replace("[[", "[").replace("]]", "]");
        fault
            .label("double brackets make a list")
            .replace(self.span.clone(), single)
    }

    /// A number that came out of a `${…}`: it may stand where a number may.
    pub(super) fn is_expanded_number(&self) -> bool {
        self.value.as_expanded().is_some_and(|text| {
            !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
        })
    }

    /// The fault of a value of another type.
    pub(super) fn wrong_type(&self, expected: &str) -> Fault {
        let message = format!(
            "`{}` takes {expected}, not {}",
            self.name,
            type_name(self.value)
        );
        Fault::new("wrong-type", self.span.clone(), message)
    }

    /// The fault of a string that is none of the known words, with the nearest of them.
    pub(super) fn bad_value<'c>(
        &self,
        expected: &str,
        words: impl Iterator<Item = &'c str>,
    ) -> Fault {
        let fault = Fault::new(
            "bad-value",
            self.span.clone(),
            format!("`{}` takes {expected}", self.name),
        );
        match self
            .value
            .as_str()
            .and_then(|text| edit::nearest(text, words))
        {
            Some(word) => fault.replace(self.span.clone(), format!("{word:?}")),
            None => fault,
        }
    }

    fn out_of_range(&self, least: impl std::fmt::Display, most: impl std::fmt::Display) -> Fault {
        let message = format!("`{}` must be within {least} to {most}", self.name);
        Fault::new("out-of-range", self.span.clone(), message)
    }

    /// The string that holds a number with its unit; a bare number gets one as a mend.
    fn with_unit(
        &self,
        expected: &str,
        mend: impl Fn(u64) -> String,
        faults: &mut Faults,
    ) -> Option<&'t str> {
        let Value::Integer(digits) = self.value else {
            return self.string(expected, faults);
        };
        let fault = Fault::new(
            "no-unit",
            self.span.clone(),
            format!("`{}` needs a unit", self.name),
        )
        .label(format!("takes {expected}"));
        faults.error(match digits.to_u64() {
            Some(number) => fault.replace(self.span.clone(), format!("{:?}", mend(number))),
            None => fault,
        });
        None
    }

    fn bad_unit(&self, error: UnitError, expected: &str) -> Fault {
        let fault = |code, message: String| Fault::new(code, self.span.clone(), message);
        match error {
            UnitError::NoUnit(mend) => fault("no-unit", format!("`{}` needs a unit", self.name))
                .label(format!("takes {expected}"))
                .replace(self.span.clone(), format!("{mend:?}")),
            UnitError::Misspelt(mend) => {
                fault("bad-unit", format!("`{}` takes {expected}", self.name))
                    .replace(self.span.clone(), format!("{mend:?}"))
            }
            UnitError::Order => fault("bad-unit", format!("`{}` takes {expected}", self.name))
                .label("units go from large to small, each once"),
            UnitError::Unreadable => fault("bad-unit", format!("`{}` takes {expected}", self.name)),
        }
    }
}

/// With its article, for a message.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a number",
        Value::Float => "a fraction",
        Value::Boolean(_) => "a boolean",
        Value::Datetime => "a date",
        Value::List(_) => "a list",
        Value::Table(_) => "a table",
    }
}
