//! A record for dns-01, and why it could not be written.

use std::fmt;

/// How long others may keep the record: as short as the providers take.
pub const RECORD_TTL: u32 = 60;

/// A TXT record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Without a dot at the end.
    pub name: String,
    /// One string, base64url.
    pub value: String,
}

/// What went wrong at a provider, and what to do about it, in words.
#[derive(Clone, PartialEq, Debug)]
pub struct RecordFault(pub String);

impl fmt::Display for RecordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
