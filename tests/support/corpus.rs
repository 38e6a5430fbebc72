//! The corpus files: one hostile message a line, fields parted by `¦`.
//!
//! Bytes are written in escapes (`\r \n \t \0 \\ \" \' \xHH`), `{{text*N}}` stands for N repetitions. Lines that begin
//! with `#` are comments. What the fields mean stands at the head of each file.

use std::path::Path;

/// The lines of `tests/corpus/NAME`, each split into its trimmed fields.
pub fn load(name: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            line.split('¦')
                .map(|field| field.trim_matches(' ').to_owned())
                .collect()
        })
        .collect()
}

/// The bytes that a field of the corpus stands for.
///
/// # Panics
///
/// On an escape that is not one of those above: the corpus is ours.
pub fn bytes(field: &str) -> Vec<u8> {
    unescape(&repeat(field))
}

fn repeat(field: &str) -> String {
    let mut out = String::new();
    let mut rest = field;
    while let Some(start) = rest.find("{{") {
        let inside = &rest[start + 2..];
        let end = inside.find("}}").expect("{{ is closed");
        let (text, count) = inside[..end]
            .rsplit_once('*')
            .expect("{{text*N}} has a star");
        out.push_str(&rest[..start]);
        out.push_str(&text.repeat(count.parse().expect("{{text*N}} has a number")));
        rest = &inside[end + 2..];
    }
    out + rest
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'\\' {
            out.push(octet);
            continue;
        }
        out.push(
            match octets.next().expect("an escape is not the last octet") {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'0' => 0,
                b'x' => hex(octets.next()) * 16 + hex(octets.next()),
                quoted @ (b'\\' | b'"' | b'\'') => quoted,
                other => panic!("unknown escape \\{}", char::from(other)),
            },
        );
    }
    out
}

fn hex(digit: Option<u8>) -> u8 {
    let digit = digit
        .and_then(|digit| char::from(digit).to_digit(16))
        .expect("\\x is followed by two hex digits");
    u8::try_from(digit).expect("a hex digit is below 16")
}

/// How a message is cut into writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// One write.
    Whole,
    /// One octet a write.
    Octets,
    /// A cut between every CR and its LF, so that no read ever sees a whole line end first.
    LineEnds,
}

impl Cut {
    /// The pieces of `bytes`, none empty.
    pub fn pieces(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Cut::Whole => vec![bytes],
            Cut::Octets => bytes.chunks(1).collect(),
            Cut::LineEnds => {
                let mut pieces = Vec::new();
                let mut from = 0;
                for at in 1..bytes.len() {
                    if bytes[at - 1] == b'\r' && bytes[at] == b'\n' {
                        pieces.push(&bytes[from..at]);
                        from = at;
                    }
                }
                pieces.push(&bytes[from..]);
                pieces
            }
        }
    }
}
