//! What was found on the machine, and what to do about it.

use std::fmt;

/// How good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// As it should be.
    Good,
    /// Deserves a look; a site or a feature may not work.
    Warning,
    /// Does not work.
    Bad,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How good it is.
    pub mark: Mark,
    /// What was asked, in kebab case; does not change between versions.
    pub code: &'static str,
    /// Of what: an address, a name, a path.
    pub subject: String,
    /// What was found; lower case, one line.
    pub what: String,
    /// What to type or to change; may be empty, may be several lines.
    pub mend: String,
}

impl Finding {
    /// A finding without a mend.
    pub fn new(
        mark: Mark,
        code: &'static str,
        subject: impl Into<String>,
        what: impl Into<String>,
    ) -> Finding {
        Finding {
            mark,
            code,
            subject: subject.into(),
            what: what.into(),
            mend: String::new(),
        }
    }

    /// What to do about it.
    pub fn mend(mut self, mend: impl Into<String>) -> Finding {
        self.mend = mend.into();
        self
    }
}

impl Mark {
    /// As `--json` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mark::Good => "good",
            Mark::Warning => "warning",
            Mark::Bad => "bad",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.mark {
            Mark::Good => "✓",
            Mark::Warning => "!",
            Mark::Bad => "✗",
        };
        write!(f, "{mark} {}: {}", self.subject, self.what)?;
        if !self.mend.is_empty() {
            write!(f, "\n  = try: {}", self.mend.replace('\n', "\n         "))?;
        }
        Ok(())
    }
}
