//! Byte classes of HTTP, with the ABNF above each.
//!
//! Classes with many gaps are bits of one table of 256 octets, so that the parsers together touch four
//! cache lines. Those of nearly one range are comparisons, which the compiler can do sixteen at a time in
//! a loop without an early exit. Everything is decided on single octets; nothing here knows where in a message an octet stands.
//! Non-ASCII octets belong to `field-vchar` alone (obs-text).

/// `token = 1*tchar` (RFC 9110 §5.6.2).
///
/// ```text
/// tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|" / "~"
///       / DIGIT / ALPHA
/// ```
pub const fn is_token(octet: u8) -> bool {
    CLASSES[octet as usize] & TOKEN != 0
}

/// What a field value may hold after the colon, OWS included (RFC 9110 §5.5).
///
/// ```text
/// field-content = field-vchar [ 1*( SP / HTAB / field-vchar ) field-vchar ]
/// field-vchar   = VCHAR / obs-text
/// obs-text      = %x80-FF
/// ```
pub const fn is_field_vchar(octet: u8) -> bool {
    CLASSES[octet as usize] & FIELD_VCHAR != 0
}

/// What a request target may hold: `VCHAR` without `#` (RFC 9112 §3.2).
///
/// Wider than RFC 3986 on purpose: browsers send `|`, `^`, `[`, `]`, `{`, `}`, `"` and, in the query, `\`
/// as they are. A fragment is never sent, and SP, controls and octets from 0x80 are read differently
/// by different servers, so these stay out.
pub const fn is_target(octet: u8) -> bool {
    matches!(octet, 0x21..=0x7e) & (octet != b'#')
}

/// What a normalised path may hold: [`is_target`] without `\` and `?`.
pub const fn is_path(octet: u8) -> bool {
    is_target(octet) & (octet != b'\\') & (octet != b'?')
}

/// `unreserved = ALPHA / DIGIT / "-" / "." / "_" / "~"` (RFC 3986 §2.3).
///
/// Also all that a reg-name may hold here: percent-encoding and sub-delims have no use in a host.
pub const fn is_unreserved(octet: u8) -> bool {
    CLASSES[octet as usize] & UNRESERVED != 0
}

/// `ALPHA / DIGIT / "-"`: a field name that no server folds into another one.
pub const fn is_plain_name(octet: u8) -> bool {
    CLASSES[octet as usize] & PLAIN_NAME != 0
}

/// `OWS = *( SP / HTAB )`, one octet of it (RFC 9110 §5.6.3).
pub const fn is_ows(octet: u8) -> bool {
    octet == b' ' || octet == b'\t'
}

/// `DIGIT = %x30-39` (RFC 5234 §B.1).
pub const fn is_digit(octet: u8) -> bool {
    octet.is_ascii_digit()
}

/// The value of a `HEXDIG`, either case; `None` for any other octet (RFC 5234 §B.1).
pub const fn hex_value(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

/// `text` without SP and HTAB at either end. No other octet counts as white space.
pub const fn trim_ows(text: &[u8]) -> &[u8] {
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        if !is_ows(*first) {
            break;
        }
        rest = tail;
    }
    while let [head @ .., last] = rest {
        if !is_ows(*last) {
            break;
        }
        rest = head;
    }
    rest
}

const TOKEN: u8 = 1;
const FIELD_VCHAR: u8 = 2;
const UNRESERVED: u8 = 4;
const PLAIN_NAME: u8 = 8;

const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut octet = 0u8;
    loop {
        table[octet as usize] = classes_of(octet);
        if octet == u8::MAX {
            return table;
        }
        octet += 1;
    }
}

const fn classes_of(octet: u8) -> u8 {
    let mut bits = 0;
    if matches!(octet, b'\t' | b' ' | 0x21..=0x7e | 0x80..) {
        bits |= FIELD_VCHAR;
    }
    if octet.is_ascii_alphanumeric() {
        bits |= TOKEN | UNRESERVED | PLAIN_NAME;
    }
    if matches!(octet, b'-' | b'.' | b'_' | b'~') {
        bits |= UNRESERVED;
    }
    if octet == b'-' {
        bits |= PLAIN_NAME;
    }
    if matches!(
        octet,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    ) {
        bits |= TOKEN;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The members of a class are exactly the octets of `expected`.
    #[track_caller]
    fn check(is_member: fn(u8) -> bool, expected: &[u8]) {
        for octet in 0..=u8::MAX {
            assert_eq!(
                is_member(octet),
                expected.contains(&octet),
                "octet {octet:#04x}"
            );
        }
    }

    fn octets(ranges: &[(u8, u8)]) -> Vec<u8> {
        ranges
            .iter()
            .flat_map(|(first, last)| *first..=*last)
            .collect()
    }

    #[test]
    fn classes_hold_exactly_what_their_abnf_says() {
        let digits_and_letters = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let with = |more: &[u8]| [digits_and_letters, more].concat();

        check(is_token, &with(b"!#$%&'*+-.^_`|~"));
        check(is_unreserved, &with(b"-._~"));
        check(is_plain_name, &with(b"-"));
        check(is_digit, b"0123456789");
        check(is_ows, b" \t");
        check(
            is_field_vchar,
            &octets(&[(9, 9), (0x20, 0x7e), (0x80, 0xff)]),
        );
        check(is_target, &octets(&[(0x21, 0x22), (0x24, 0x7e)]));
        check(
            is_path,
            &octets(&[(0x21, 0x22), (0x24, 0x3e), (0x40, 0x5b), (0x5d, 0x7e)]),
        );
        check(
            |octet| hex_value(octet).is_some(),
            b"0123456789abcdefABCDEF",
        );
    }

    #[test]
    fn hex_digits_have_their_value_in_either_case() {
        for value in 0..16u8 {
            let digit = char::from_digit(u32::from(value), 16).expect("below 16");
            assert_eq!(hex_value(digit as u8), Some(value));
            assert_eq!(hex_value(digit.to_ascii_uppercase() as u8), Some(value));
        }
    }

    #[track_caller]
    fn check_trim(text: &[u8], expected: &[u8]) {
        assert_eq!(trim_ows(text), expected);
    }

    #[test]
    fn only_spaces_and_tabs_are_trimmed() {
        check_trim(b"", b"");
        check_trim(b" ", b"");
        check_trim(b" \t \t", b"");
        check_trim(b"a", b"a");
        check_trim(b"\ta b \t", b"a b");
        // Who trims more than SP and HTAB reads another value.
        check_trim(b"\x0ba\x0b", b"\x0ba\x0b");
        check_trim(b"\r\na", b"\r\na");
        check_trim(b"\xa0a\xa0", b"\xa0a\xa0");
        check_trim(b"\0a ", b"\0a");
    }
}
