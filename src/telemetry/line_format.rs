//! How an access line is written: `log.access.format`.

use super::access::AccessRecord;
use super::combined::write_combined;
use super::json::write_json;
use super::redact::Redaction;

/// The formats there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LineFormat {
    /// One JSON object a line, see [`write_json`].
    #[default]
    Json,
    /// nginx's `combined`, see [`write_combined`].
    Combined,
}

impl LineFormat {
    /// Appends one line, line feed included.
    pub fn write(self, record: &AccessRecord<'_>, out: &mut Vec<u8>, redact: &Redaction) {
        match self {
            LineFormat::Json => write_json(record, out, redact),
            LineFormat::Combined => write_combined(record, out, redact),
        }
    }
}
