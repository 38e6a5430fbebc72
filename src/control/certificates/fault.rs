//! Why a certificate cannot be used, or deserves a look: one sentence, and its mend.

use std::fmt;

/// What is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// One sentence in lower case without a full stop; it names the file or the name.
    pub what: String,
    /// What to type or to change; may be empty.
    pub mend: String,
}

impl Fault {
    /// A fault whose mend nobody knows.
    pub fn new(what: impl Into<String>) -> Fault {
        Fault {
            what: what.into(),
            mend: String::new(),
        }
    }

    /// What to do about it.
    pub fn mend(mut self, mend: impl Into<String>) -> Fault {
        self.mend = mend.into();
        self
    }
}

impl fmt::Display for Fault {
    /// On one line, as logs have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match self.mend.is_empty() {
            true => Ok(()),
            false => write!(f, "; try: {}", self.mend.replace('\n', ", ")),
        }
    }
}

impl std::error::Error for Fault {}
