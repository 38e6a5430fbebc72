//! Escaping: octets from a peer become text that can neither end a log line, close a quote, nor drive the terminal
//! of whoever reads it (CVE-2009-4487).
//!
//! Two spellings, one question: which octets are plain. It is the same for both, and values are plain nearly always,
//! so that is asked first and for the whole value at once.

const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";
const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Appends `value` as the inside of a JSON string (RFC 8259 §7), valid for any octets.
///
/// UTF-8 stays as it is, except for controls (also DEL and U+0080–U+009F, among them CSI) and U+2028, U+2029, which
/// end a line for some readers. An octet that is not UTF-8 becomes `\u00XX` of its value, so that it can still be
/// recognised; a replacement character would say less.
pub(super) fn put_json(out: &mut Vec<u8>, value: &[u8]) {
    if is_plain(value) {
        out.extend_from_slice(value);
        return;
    }
    for chunk in value.utf8_chunks() {
        let text = chunk.valid();
        let mut shown = 0; // octets of `text` already appended
        for (at, character) in text.char_indices() {
            if !must_escape(character) {
                continue;
            }
            out.extend_from_slice(&text.as_bytes()[shown..at]);
            put_json_escape(out, character);
            shown = at + character.len_utf8();
        }
        out.extend_from_slice(&text.as_bytes()[shown..]);
        for &octet in chunk.invalid() {
            put_json_escape(out, char::from(octet));
        }
    }
}

/// Appends `value` as nginx writes a variable into its log: `\xHH` for `"`, `\` and all but printable ASCII
/// (`ngx_http_log_escape`).
pub(super) fn put_nginx(out: &mut Vec<u8>, value: &[u8]) {
    if is_plain(value) {
        out.extend_from_slice(value);
        return;
    }
    for &octet in value {
        if is_plain_octet(octet) {
            out.push(octet);
        } else {
            out.extend_from_slice(b"\\x");
            put_hex(out, octet, HEX_UPPER);
        }
    }
}

/// Printable ASCII but `"` and `\`.
#[inline]
fn is_plain_octet(octet: u8) -> bool {
    octet.wrapping_sub(0x20) < 0x5F && octet != b'"' && octet != b'\\'
}

/// No early exit within a block, so that the compiler compares many octets with one instruction.
fn is_plain(value: &[u8]) -> bool {
    let all = |octets: &[u8]| {
        octets
            .iter()
            .fold(true, |plain, &octet| plain & is_plain_octet(octet))
    };
    let (blocks, rest) = value.as_chunks::<32>();
    blocks.iter().all(|block| all(block)) && all(rest)
}

fn must_escape(character: char) -> bool {
    character.is_control() || matches!(character, '"' | '\\' | '\u{2028}' | '\u{2029}')
}

/// `character` is one that [`must_escape`] names or stands for one octet; either is below U+10000.
fn put_json_escape(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        other => {
            let [.., high, low] = u32::from(other).to_be_bytes();
            out.extend_from_slice(b"\\u");
            put_hex(out, high, HEX_LOWER);
            put_hex(out, low, HEX_LOWER);
        }
    }
}

fn put_hex(out: &mut Vec<u8>, octet: u8, digits: &[u8; 16]) {
    out.push(digits[usize::from(octet >> 4)]);
    out.push(digits[usize::from(octet & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: &[u8]) -> String {
        let mut out = Vec::new();
        put_json(&mut out, value);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    fn nginx(value: &[u8]) -> String {
        let mut out = Vec::new();
        put_nginx(&mut out, value);
        String::from_utf8(out).expect("the escaped form is ASCII")
    }

    #[track_caller]
    fn check(value: &[u8], expected_json: &str, expected_nginx: &str) {
        assert_eq!(json(value), expected_json);
        assert_eq!(nginx(value), expected_nginx);
    }

    #[test]
    fn spellings() {
        check(b"", "", "");
        check(b"/a?b=c~", "/a?b=c~", "/a?b=c~");
        check(b"say \"hi\"", r#"say \"hi\""#, r"say \x22hi\x22");
        check(br"a\b", r"a\\b", r"a\x5Cb");
        check(b"\x1b[2J", r"\u001b[2J", r"\x1B[2J");
        check(b"a\r\nb\tc", r"a\r\nb\tc", r"a\x0D\x0Ab\x09c");
        check(b"\0\x7f", r"\u0000\u007f", r"\x00\x7F");
        check("é😀".as_bytes(), "é😀", r"\xC3\xA9\xF0\x9F\x98\x80");
        check(
            "\u{2028}\u{2029}".as_bytes(),
            r"\u2028\u2029",
            r"\xE2\x80\xA8\xE2\x80\xA9",
        );
        check("\u{9b}2J".as_bytes(), r"\u009b2J", r"\xC2\x9B2J");
        check(b"a\xFFb\xC3", r"a\u00ffb\u00c3", r"a\xFFb\xC3");
        check(b"\xE2\x80", r"\u00e2\u0080", r"\xE2\x80");
        check(b"\xED\xA0\x80", r"\u00ed\u00a0\u0080", r"\xED\xA0\x80"); // a surrogate
        check(b"\xC0\xAF", r"\u00c0\u00af", r"\xC0\xAF"); // an overlong slash
    }

    #[test]
    fn every_octet_at_every_place_of_a_block_is_seen() {
        for octet in 0..=u8::MAX {
            for length in [1, 31, 32, 33, 70] {
                for at in 0..length {
                    let mut value = vec![b'a'; length];
                    value[at] = octet;
                    let plain = (0x20..0x7F).contains(&octet) && octet != b'"' && octet != b'\\';
                    assert_eq!(is_plain(&value), plain, "{octet:#x} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn a_json_reader_gets_every_pair_of_octets_back() {
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                let value = [first, second];
                let escaped = json(&value);
                let expected = str::from_utf8(&value).map_or_else(
                    |_| value.map(char::from).iter().collect::<String>(),
                    str::to_owned,
                );
                let read: String =
                    serde_json::from_str(&format!("\"{escaped}\"")).expect("valid JSON");
                assert_eq!(read, expected);
                assert!(!escaped.chars().any(char::is_control));
                assert!(
                    nginx(&value)
                        .bytes()
                        .all(|octet| (0x20..0x7F).contains(&octet))
                );
            }
        }
    }
}
