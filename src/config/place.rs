//! Texts and places in them.

use std::fmt;
use std::sync::Arc;

/// One configuration text.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file's path as it is shown to people; relative paths in the text are relative to its folder.
    pub name: &'a str,
    /// The whole text.
    pub text: &'a str,
}

/// A place in a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The source's name.
    pub source: Arc<str>,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

impl fmt::Display for Place {
    /// `name:line:column`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source, self.line, self.column)
    }
}
