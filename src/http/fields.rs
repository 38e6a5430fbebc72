//! Field lines as ranges into one head buffer (RFC 9110 §5).
//!
//! A name or a value is a [`Span`], so that a section survives the move of its buffer to the kernel and
//! back; whoever reads one passes the buffer along. Order is kept, lines are never merged. What is known
//! of a name is found out once, while parsing: later questions compare one octet, and "is it there at
//! all" is one bit.
//!
//! Invariant: every span lies in the buffer that the section was filled from.

use crate::http::chars::trim_ows;
pub use crate::http::field_name::FieldName;

/// A range of octets in a head buffer. At most 4 GiB, far above any head.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// The first octet.
    pub start: u32,
    /// How many there are; may be 0.
    pub len: u32,
}

impl Span {
    /// The octets `start..end`.
    ///
    /// # Panics
    ///
    /// In debug builds, when `end < start` or `end` exceeds `u32`; heads are bounded far below.
    #[inline]
    pub fn new(start: usize, end: usize) -> Span {
        debug_assert!(start <= end && u32::try_from(end).is_ok());
        Span {
            start: start as u32,
            len: (end - start) as u32,
        }
    }

    /// Its octets in `bytes`.
    ///
    /// # Panics
    ///
    /// When it does not lie in `bytes`: only a span of another buffer does not.
    #[inline]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end()]
    }

    /// One past the last octet.
    #[inline]
    pub fn end(self) -> usize {
        self.start as usize + self.len as usize
    }

    /// Without any octet.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// `field-line = field-name ":" OWS field-value OWS` (RFC 9112 §5).
#[derive(Clone, Copy, Debug)]
pub struct FieldLine {
    /// A token, as sent.
    pub name: Span,
    /// Without the white space around it; may be empty.
    pub value: Span,
    /// What we know of `name`.
    pub known: FieldName,
}

/// A field section: its lines in the order sent.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    lines: Vec<FieldLine>,
    /// The bit of every name in `lines`.
    seen: u128,
}

impl Fields {
    /// An empty section.
    pub fn new() -> Fields {
        Fields::default()
    }

    /// Empties it and keeps its memory.
    #[inline]
    pub fn clear(&mut self) {
        self.lines.clear();
        self.seen = 0;
    }

    /// Appends a line; `line.known` is [`FieldName::of`] its name.
    #[inline]
    pub fn push(&mut self, line: FieldLine) {
        self.seen |= line.known.bit();
        self.lines.push(line);
    }

    /// Appends `name` and `value` to `bytes` and a line for them to the section.
    ///
    /// For sections that do not come as HTTP/1.1 text. `name` is a token and `value` is trimmed.
    pub fn push_pair(&mut self, bytes: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        let start = bytes.len();
        bytes.extend_from_slice(name);
        let middle = bytes.len();
        bytes.extend_from_slice(value);
        self.push(FieldLine {
            name: Span::new(start, middle),
            value: Span::new(middle, bytes.len()),
            known: FieldName::of(name),
        });
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Without any line.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The lines in the order sent.
    pub fn iter(&self) -> std::slice::Iter<'_, FieldLine> {
        self.lines.iter()
    }

    /// Is there a line of this name? Costs one bit test.
    #[inline]
    pub fn has(&self, known: FieldName) -> bool {
        self.seen & known.bit() != 0
    }

    /// Is there a line of any name in this set ([`FieldName::bit`])?
    #[inline]
    pub fn has_any(&self, names: u128) -> bool {
        self.seen & names != 0
    }

    /// How many lines have this name.
    pub fn count(&self, known: FieldName) -> usize {
        if !self.has(known) {
            return 0;
        }
        self.lines.iter().filter(|line| line.known == known).count()
    }

    /// The value of the first line of this name.
    ///
    /// For a name that has been seen to occur once, or whose repetition does not matter.
    pub fn first<'a>(&self, bytes: &'a [u8], known: FieldName) -> Option<&'a [u8]> {
        self.all(bytes, known).next()
    }

    /// The values of all lines of this name, in order; from either end.
    pub fn all<'a>(
        &self,
        bytes: &'a [u8],
        known: FieldName,
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let lines = if self.has(known) {
            &self.lines[..]
        } else {
            &[]
        };
        let of_name = lines.iter().filter(move |line| line.known == known);
        of_name.map(move |line| line.value.of(bytes))
    }

    /// The values of all lines of this name, whether we know it or not, in order.
    pub fn named<'a>(&'a self, bytes: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let known = FieldName::of(name.as_bytes());
        let is_named = move |line: &&FieldLine| {
            line.known == known
                && (known != FieldName::Other
                    || line.name.of(bytes).eq_ignore_ascii_case(name.as_bytes()))
        };
        self.lines
            .iter()
            .filter(is_named)
            .map(move |line| line.value.of(bytes))
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = &'a FieldLine;
    type IntoIter = std::slice::Iter<'a, FieldLine>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The members of a comma list, without the white space around them; empty ones are skipped
/// (RFC 9110 §5.6.1.2: "MUST parse and ignore a reasonable number of empty list elements").
///
/// For lists of tokens: a comma inside a quoted string parts two members here.
pub fn list_members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let members = value.split(|octet| *octet == b',').map(trim_ows);
    members.filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> (Fields, Vec<u8>) {
        let mut bytes = b"GET / HTTP/1.1\r\n".to_vec();
        let mut fields = Fields::new();
        for (name, value) in pairs {
            fields.push_pair(&mut bytes, name.as_bytes(), value.as_bytes());
        }
        (fields, bytes)
    }

    #[test]
    fn a_span_is_its_octets() {
        let bytes = b"Host: a.test";
        assert_eq!(Span::new(0, 4).of(bytes), b"Host");
        assert_eq!(Span::new(6, 12).of(bytes), b"a.test");
        assert_eq!(Span::new(6, 12).end(), 12);
        assert_eq!(Span::new(12, 12).of(bytes), b"");
        assert!(Span::new(12, 12).is_empty());
        assert!(!Span::new(11, 12).is_empty());
        assert_eq!(Span::default().of(b""), b"");
    }

    #[test]
    fn lines_are_found_by_what_is_known_and_by_name() {
        let (fields, bytes) = fields(&[
            ("Host", "a.test"),
            ("X-Foo", "1"),
            ("cookie", "a=1"),
            ("COOKIE", "b=2"),
            ("x-foo", ""),
        ]);
        assert_eq!(fields.len(), 5);
        assert!(!fields.is_empty());
        assert!(
            fields.has(FieldName::Host)
                && fields.has(FieldName::Cookie)
                && fields.has(FieldName::Other)
        );
        assert!(
            !fields.has(FieldName::Te)
                && !fields.has_any(FieldName::Te.bit() | FieldName::Via.bit())
        );
        assert!(fields.has_any(FieldName::Te.bit() | FieldName::Host.bit()));

        assert_eq!(fields.first(&bytes, FieldName::Host), Some(&b"a.test"[..]));
        assert_eq!(fields.first(&bytes, FieldName::Cookie), Some(&b"a=1"[..]));
        assert_eq!(fields.first(&bytes, FieldName::Te), None);
        assert_eq!(fields.count(FieldName::Cookie), 2);
        assert_eq!(fields.count(FieldName::Te), 0);
        assert_eq!(
            fields.all(&bytes, FieldName::Cookie).next_back(),
            Some(&b"b=2"[..])
        );

        let values = |name| fields.named(&bytes, name).collect::<Vec<_>>();
        assert_eq!(values("X-FOO"), [&b"1"[..], b""]);
        assert_eq!(values("Cookie"), [b"a=1", b"b=2"]);
        assert!(values("X-Fo").is_empty());
        assert!(values("X-Fooo").is_empty());
        assert!(values("TE").is_empty());
        assert!(values("").is_empty());

        let names: Vec<_> = fields.iter().map(|line| line.name.of(&bytes)).collect();
        assert_eq!(
            names,
            [&b"Host"[..], b"X-Foo", b"cookie", b"COOKIE", b"x-foo"]
        );
    }

    #[test]
    fn a_cleared_section_remembers_nothing() {
        let (mut fields, bytes) = fields(&[("Host", "a.test"), ("TE", "trailers")]);
        fields.clear();
        assert!(fields.is_empty());
        assert!(!fields.has(FieldName::Host));
        assert_eq!(fields.first(&bytes, FieldName::Host), None);
        assert_eq!((&fields).into_iter().count(), 0);
    }

    #[track_caller]
    fn check_list(value: &str, expected: &[&str]) {
        let members: Vec<_> = list_members(value.as_bytes()).collect();
        let expected: Vec<_> = expected.iter().map(|member| member.as_bytes()).collect();
        assert_eq!(members, expected);
    }

    #[test]
    #[rustfmt::skip]
    fn members_of_a_comma_list() {
        check_list("close",                  &["close"]);
        check_list("close, X-Foo",           &["close", "X-Foo"]);
        check_list("close,X-Foo",            &["close", "X-Foo"]);
        check_list("\tclose \t,\t X-Foo ",   &["close", "X-Foo"]);
        check_list("a b, c",                 &["a b", "c"]);
        check_list("",                       &[]);
        check_list(" ",                      &[]);
        check_list(",",                      &[]);
        check_list(" , ,\t,",                &[]);
        check_list(",chunked",               &["chunked"]);
        check_list("chunked,",               &["chunked"]);
        check_list("a,, ,b",                 &["a", "b"]);
        // Other octets are no white space and no separators.
        check_list("\x0ba, b\x0c",           &["\x0ba", "b\x0c"]);
        check_list("a; b",                   &["a; b"]);
    }
}
