//! Texts and places in them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One configuration text.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file's path as it is shown to people; relative paths in the text are relative to its folder.
    pub name: &'a str,
    /// The whole text.
    pub text: &'a str,
}

/// A configuration file among others.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Its name and text.
    pub source: Source<'a>,
    /// A file of a higher layer overrides those of lower ones key by key; within a layer nothing is set twice.
    pub layer: u16,
    /// What it may hold.
    pub kind: FileKind,
}

/// What a file may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Everything.
    Main,
    /// Of `sites.d/`: sites, and what sites use.
    DropIn,
    /// Made by discovery: sites in the narrow schema.
    Generated,
}

/// A place in a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// A path as the file means it: relative ones are relative to the file's folder.
pub(super) fn beside(source: &str, path: &Path) -> PathBuf {
    match Path::new(source).parent() {
        Some(folder) => folder.join(path),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths() {
        assert_eq!(
            beside("/etc/hotgate/hotgate.toml", Path::new("a.sock")),
            Path::new("/etc/hotgate/a.sock")
        );
        assert_eq!(
            beside("hotgate.toml", Path::new("a.sock")),
            Path::new("a.sock")
        );
        assert_eq!(
            beside("x/h.toml", Path::new("/run/a.sock")),
            Path::new("/run/a.sock")
        );
        assert_eq!(beside("/", Path::new("a")), Path::new("a"));
    }
}
