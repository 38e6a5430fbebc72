//! Why a head was refused: the misdeed, where it stands, and the status it earns.

use crate::http::status::Status;

/// A head that no further octets can make valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// The misdeed.
    pub kind: ParseErrorKind,
    /// Of the offending octet, from the first octet of the message (a leading CRLF counts). For a limit:
    /// of the first octet beyond it.
    pub offset: usize,
}

/// What a head was refused for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParseErrorKind {
    /// LF that no CR precedes (RFC 9112 §2.2 lets a recipient take it as a line end; two readers then differ).
    BareLf,
    /// CR that no LF follows (RFC 9112 §2.2).
    BareCr,
    /// More than the one empty line that may precede a request line (RFC 9112 §2.2).
    TooManyLeadingLines,
    /// The method is not a token (RFC 9110 §9.1). A TLS handshake on a plain port ends up here.
    BadMethod,
    /// The method is longer than [`METHOD_BYTES_MAX`](super::request::METHOD_BYTES_MAX).
    MethodTooLong,
    /// The request line is longer than [`REQUEST_LINE_BYTES_MAX`](super::request::REQUEST_LINE_BYTES_MAX).
    RequestLineTooLong,
    /// The target is empty, or holds an octet no target may hold: control, `#`, DEL, above ASCII (RFC 9112 §3.2).
    BadTarget,
    /// The line ends after the target, as in HTTP/0.9.
    MissingVersion,
    /// Not `HTTP/` DIGIT `.` DIGIT, or something stands after it (RFC 9112 §2.3). A space in the target ends
    /// up here.
    BadVersion,
    /// A version other than 1.0 and 1.1.
    UnsupportedVersion,
    /// The status is not three digits from 100 to 599 followed by SP or CR (RFC 9112 §4, RFC 9110 §15).
    BadStatus,
    /// A control octet in the reason phrase (RFC 9112 §4).
    BadReason,
    /// White space at the beginning of a field line: obsolete folding (RFC 9112 §5.2), or before the first
    /// one (§2.2).
    LeadingSpace,
    /// A field line that begins with its colon (RFC 9112 §5).
    EmptyName,
    /// The field name is not a token (RFC 9110 §5.1).
    BadName,
    /// White space between field name and colon (RFC 9112 §5.1), or within what should be the name.
    SpaceBeforeColon,
    /// A field line that ends before its colon.
    MissingColon,
    /// A control octet other than HTAB in a field value (RFC 9110 §5.5).
    BadValue,
    /// More field lines than [`HeadLimits::fields`](super::HeadLimits::fields).
    TooManyFields,
    /// The head does not end within [`HeadLimits::head_bytes`](super::HeadLimits::head_bytes).
    HeadTooLarge,
}

impl ParseErrorKind {
    /// What the sender of such a request is answered. (A response refused for the same is always a 502.)
    pub fn status(self) -> Status {
        match self {
            Self::BareLf
            | Self::BareCr
            | Self::TooManyLeadingLines
            | Self::BadMethod
            | Self::BadTarget
            | Self::MissingVersion
            | Self::BadVersion
            | Self::BadStatus
            | Self::BadReason
            | Self::LeadingSpace
            | Self::EmptyName
            | Self::BadName
            | Self::SpaceBeforeColon
            | Self::MissingColon
            | Self::BadValue => Status::BAD_REQUEST,
            Self::MethodTooLong => Status::NOT_IMPLEMENTED,
            Self::RequestLineTooLong => Status::URI_TOO_LONG,
            Self::UnsupportedVersion => Status::HTTP_VERSION_NOT_SUPPORTED,
            Self::TooManyFields | Self::HeadTooLarge => Status::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }

    /// The name in log and metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BareLf => "bare_lf",
            Self::BareCr => "bare_cr",
            Self::TooManyLeadingLines => "too_many_leading_lines",
            Self::BadMethod => "bad_method",
            Self::MethodTooLong => "method_too_long",
            Self::RequestLineTooLong => "request_line_too_long",
            Self::BadTarget => "bad_target",
            Self::MissingVersion => "missing_version",
            Self::BadVersion => "bad_version",
            Self::UnsupportedVersion => "unsupported_version",
            Self::BadStatus => "bad_status",
            Self::BadReason => "bad_reason",
            Self::LeadingSpace => "leading_space",
            Self::EmptyName => "empty_name",
            Self::BadName => "bad_name",
            Self::SpaceBeforeColon => "space_before_colon",
            Self::MissingColon => "missing_colon",
            Self::BadValue => "bad_value",
            Self::TooManyFields => "too_many_fields",
            Self::HeadTooLarge => "head_too_large",
        }
    }

    /// The error of this kind at this offset. Kept out of the parser's hot code.
    #[cold]
    pub(super) fn at(self, offset: usize) -> ParseError {
        ParseError { kind: self, offset }
    }
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at octet {}", self.kind.as_str(), self.offset)
    }
}

impl std::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: ParseErrorKind, status: u16, name: &str) {
        assert_eq!(kind.status().code(), status);
        assert_eq!(kind.as_str(), name);
    }

    #[test]
    fn each_misdeed_earns_its_status() {
        check(ParseErrorKind::BareLf, 400, "bare_lf");
        check(ParseErrorKind::BadTarget, 400, "bad_target");
        check(
            ParseErrorKind::RequestLineTooLong,
            414,
            "request_line_too_long",
        );
        check(ParseErrorKind::TooManyFields, 431, "too_many_fields");
        check(ParseErrorKind::HeadTooLarge, 431, "head_too_large");
        check(ParseErrorKind::MethodTooLong, 501, "method_too_long");
        check(
            ParseErrorKind::UnsupportedVersion,
            505,
            "unsupported_version",
        );
    }

    #[test]
    fn an_error_reads_well() {
        assert_eq!(
            ParseErrorKind::BareCr.at(17).to_string(),
            "bare_cr at octet 17"
        );
    }
}
