//! The text as a tree of our own: strings expanded, every part with its range.
//!
//! The `toml` crate's tree borrows from one text and its ranges are of that text. Configuration comes from several
//! files that are merged before they are read, so here the values are owned, and a range counts octets over all
//! sources, one behind the other (see [`super::diagnostic::Faults`], which turns it back into file and line).
//! [`super::grow`] makes it.

use std::ops::Range;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    String(Text),
    Integer(Digits),
    Float,
    Boolean(bool),
    Datetime,
    List(Vec<Node>),
    /// In the order of the text.
    Table(Vec<Member>),
}

/// A string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    /// It had a `${…}`: then a number may stand in it where a number is wanted.
    pub(super) is_expanded: bool,
}

/// A whole number as written: it may be larger than any type of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digits {
    pub(super) digits: String,
    pub(super) radix: u32,
}

/// An element of a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Range<usize>,
}

/// One key of a table and its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    /// Unescaped and expanded.
    pub(super) name: String,
    /// Where the key's last part stands.
    pub(super) key: Range<usize>,
    pub(super) value: Value,
    /// Where the value stands; for a table with a header, the header.
    pub(super) span: Range<usize>,
}

impl Digits {
    pub(super) fn as_str(&self) -> &str {
        &self.digits
    }

    /// The number, if it is one of ours.
    pub(super) fn to_u64(&self) -> Option<u64> {
        u64::from_str_radix(&self.digits, self.radix).ok()
    }
}

impl Value {
    pub(super) fn as_str(&self) -> Option<&str> {
        let Value::String(text) = self else {
            return None;
        };
        Some(&text.text)
    }

    pub(super) fn as_integer(&self) -> Option<&Digits> {
        let Value::Integer(digits) = self else {
            return None;
        };
        Some(digits)
    }

    pub(super) fn as_table(&self) -> Option<&[Member]> {
        let Value::Table(members) = self else {
            return None;
        };
        Some(members)
    }

    /// The text of a string that had a `${…}`.
    pub(super) fn as_expanded(&self) -> Option<&str> {
        let Value::String(text) = self else {
            return None;
        };
        text.is_expanded.then_some(text.text.as_str())
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self, Value::List(_))
    }
}
