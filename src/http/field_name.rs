//! The field names that hotgate itself reads, sets or deletes, as one octet each.
//!
//! [`FieldName::of`] runs once for every field line of every message, so it costs one probe of a table
//! and one comparison: a hash over the length and three letters has no collision among the names known,
//! which the compiler checks while it builds the table. Matching on the length and comparing with each
//! candidate was the rival; eight names of six letters make it slower and not simpler.
//!
//! A name is in the list when some rule asks for it. Everything else is [`FieldName::Other`].

/// One line a name: the variant and its canonical spelling.
macro_rules! field_names {
    ($($variant:ident = $spelling:literal,)*) => {
        /// A field name that some rule of ours asks for (RFC 9110 §5.1); names have no case.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        #[repr(u8)]
        pub enum FieldName {
            /// Any name without a variant of its own.
            #[default]
            Other,
            $(#[doc = concat!("`", $spelling, "`")] $variant,)*
        }

        impl FieldName {
            /// Every known name, [`FieldName::Other`] first; each stands at its own discriminant.
            pub const ALL: &'static [FieldName] = &[FieldName::Other, $(FieldName::$variant),*];
        }

        /// Canonical spellings, by discriminant.
        const SPELLINGS: &[&str] = &["", $($spelling),*];
    };
}

field_names! {
    Accept = "Accept",
    AcceptEncoding = "Accept-Encoding",
    AcceptRanges = "Accept-Ranges",
    Age = "Age",
    AltSvc = "Alt-Svc",
    Authorization = "Authorization",
    CacheControl = "Cache-Control",
    CfConnectingIp = "CF-Connecting-IP",
    Connection = "Connection",
    ContentEncoding = "Content-Encoding",
    ContentLength = "Content-Length",
    ContentRange = "Content-Range",
    ContentType = "Content-Type",
    Cookie = "Cookie",
    Date = "Date",
    Etag = "ETag",
    Expect = "Expect",
    Expires = "Expires",
    Forwarded = "Forwarded",
    Host = "Host",
    Http2Settings = "HTTP2-Settings",
    IfMatch = "If-Match",
    IfModifiedSince = "If-Modified-Since",
    IfNoneMatch = "If-None-Match",
    IfRange = "If-Range",
    IfUnmodifiedSince = "If-Unmodified-Since",
    KeepAlive = "Keep-Alive",
    LastModified = "Last-Modified",
    Location = "Location",
    Origin = "Origin",
    Pragma = "Pragma",
    Proxy = "Proxy",
    ProxyAuthenticate = "Proxy-Authenticate",
    ProxyAuthorization = "Proxy-Authorization",
    ProxyConnection = "Proxy-Connection",
    Range = "Range",
    Referer = "Referer",
    RemoteUser = "Remote-User",
    RetryAfter = "Retry-After",
    SecWebSocketAccept = "Sec-WebSocket-Accept",
    SecWebSocketKey = "Sec-WebSocket-Key",
    Server = "Server",
    SetCookie = "Set-Cookie",
    StrictTransportSecurity = "Strict-Transport-Security",
    Te = "TE",
    Trailer = "Trailer",
    TransferEncoding = "Transfer-Encoding",
    TrueClientIp = "True-Client-IP",
    Upgrade = "Upgrade",
    UserAgent = "User-Agent",
    Vary = "Vary",
    Via = "Via",
    WwwAuthenticate = "WWW-Authenticate",
    XAccelBuffering = "X-Accel-Buffering",
    XClientIp = "X-Client-IP",
    XForwardedFor = "X-Forwarded-For",
    XForwardedHost = "X-Forwarded-Host",
    XForwardedPort = "X-Forwarded-Port",
    XForwardedPrefix = "X-Forwarded-Prefix",
    XForwardedProto = "X-Forwarded-Proto",
    XForwardedProtocol = "X-Forwarded-Protocol",
    XForwardedScheme = "X-Forwarded-Scheme",
    XForwardedServer = "X-Forwarded-Server",
    XForwardedSsl = "X-Forwarded-Ssl",
    XForwardedTlsClientCert = "X-Forwarded-Tls-Client-Cert",
    XForwardedTlsClientCertInfo = "X-Forwarded-Tls-Client-Cert-Info",
    XOriginalUrl = "X-Original-URL",
    XRealIp = "X-Real-IP",
    XRequestId = "X-Request-ID",
    XRewriteUrl = "X-Rewrite-URL",
}

impl FieldName {
    /// The known name that `name` spells in any mixture of case, else [`FieldName::Other`].
    ///
    /// `name` is a whole field name; it may be empty or no token at all.
    #[inline]
    pub fn of(name: &[u8]) -> FieldName {
        if name.len() < SPELLING_OCTETS_MIN || name.len() > SPELLING_OCTETS_MAX {
            return FieldName::Other;
        }
        let known = SLOTS[slot_of(name)];
        if is_same(name, known.as_str().as_bytes()) {
            known
        } else {
            FieldName::Other
        }
    }

    /// The canonical spelling; empty for [`FieldName::Other`], whose spelling the message holds.
    pub const fn as_str(self) -> &'static str {
        SPELLINGS[self as usize]
    }

    /// This name as a member of a set: one bit of 128.
    #[inline]
    pub const fn bit(self) -> u128 {
        1 << self as u8
    }
}

/// A set of names, as the sum of their bits.
pub const fn set_of(names: &[FieldName]) -> u128 {
    let mut bits = 0;
    let mut index = 0;
    while index < names.len() {
        bits |= names[index].bit();
        index += 1;
    }
    bits
}

// One bit a name in `FieldName::bit`.
const _: () = assert!(SPELLINGS.len() <= 128);

const SPELLING_OCTETS_MIN: usize = 2;
const SPELLING_OCTETS_MAX: usize = 32;

const SLOT_BITS: u32 = 8;

/// Found by trying random odd numbers until no two names shared a slot. When a name is added and the
/// assertion in `slots` fails, try others.
const MULTIPLIER: u32 = 0x8eb9_1395;

/// Where a name of at least two octets would stand. Setting bit 5 folds the case of letters; that it
/// also folds some other octets does no harm, because the whole name is compared afterwards.
#[inline]
const fn slot_of(name: &[u8]) -> usize {
    let key = (name[0] | 0x20) as u32
        | ((name[name.len() / 2] | 0x20) as u32) << 8
        | ((name[name.len() - 2] | 0x20) as u32) << 16
        | (name.len() as u32) << 24;
    (key.wrapping_mul(MULTIPLIER) >> (u32::BITS - SLOT_BITS)) as usize
}

/// Does `name` spell `spelling`, which holds only letters, digits and `-`?
///
/// Compares the longest word that fits at either end; in the middle the two may overlap. The parser's
/// time goes to this more than to anything else of its own, and most names are short: octet by octet, or
/// eight at a time with the rest one by one, took a fifth of it more.
#[inline]
fn is_same(name: &[u8], spelling: &[u8]) -> bool {
    const _: () = assert!(SPELLING_OCTETS_MIN == 2 && SPELLING_OCTETS_MAX <= 32);
    name.len() == spelling.len()
        && match name.len() {
            16.. => is_same_at_ends::<16>(name, spelling),
            8..16 => is_same_at_ends::<8>(name, spelling),
            4..8 => is_same_at_ends::<4>(name, spelling),
            0..4 => is_same_at_ends::<2>(name, spelling),
        }
}

/// Are the first and the last `N` octets the same but for the case of letters? All of a text of at most
/// `2 * N` octets.
#[inline]
fn is_same_at_ends<const N: usize>(name: &[u8], spelling: &[u8]) -> bool {
    is_same_word::<N>(name.first_chunk(), spelling.first_chunk())
        && is_same_word::<N>(name.last_chunk(), spelling.last_chunk())
}

/// Letters are those octets of a spelling that have bit 6, and the two cases of a letter differ in bit 5 and
/// no other: so the two may differ there alone.
#[inline]
fn is_same_word<const N: usize>(name: Option<&[u8; N]>, spelling: Option<&[u8; N]>) -> bool {
    const LETTERS: u128 = u128::from_ne_bytes([0x40; 16]);
    let word = |octets: &[u8; N]| {
        let mut word = [0; 16];
        word[..N].copy_from_slice(octets);
        u128::from_ne_bytes(word)
    };
    match (name, spelling) {
        (Some(name), Some(spelling)) => {
            let case_bits = (word(spelling) & LETTERS) >> 1;
            (word(name) ^ word(spelling)) & !case_bits == 0
        }
        (_, _) => false,
    }
}

static SLOTS: [FieldName; 1 << SLOT_BITS] = slots();

const fn slots() -> [FieldName; 1 << SLOT_BITS] {
    let mut slots = [FieldName::Other; 1 << SLOT_BITS];
    let mut index = 1;
    while index < SPELLINGS.len() {
        let spelling = SPELLINGS[index].as_bytes();
        assert!(spelling.len() >= SPELLING_OCTETS_MIN && spelling.len() <= SPELLING_OCTETS_MAX);
        let slot = slot_of(spelling);
        assert!(
            matches!(slots[slot], FieldName::Other),
            "two names share a slot"
        );
        slots[slot] = FieldName::ALL[index];
        index += 1;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The naive twin: compare with every name.
    fn naive_of(name: &[u8]) -> FieldName {
        let is_same = |known: &&FieldName| known.as_str().as_bytes().eq_ignore_ascii_case(name);
        let known = FieldName::ALL.iter().skip(1).find(is_same);
        known.copied().unwrap_or(FieldName::Other)
    }

    #[track_caller]
    fn check(name: &[u8], expected: FieldName) {
        assert_eq!(FieldName::of(name), expected, "{}", name.escape_ascii());
        assert_eq!(naive_of(name), expected, "{}", name.escape_ascii());
    }

    #[test]
    fn every_name_is_found_in_any_case() {
        for (index, known) in FieldName::ALL.iter().enumerate().skip(1) {
            let spelling = known.as_str().as_bytes();
            assert_eq!(*known as usize, index);
            assert!(
                spelling
                    .iter()
                    .all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-')
            );
            let mixed: Vec<u8> = spelling
                .iter()
                .enumerate()
                .map(|(at, octet)| {
                    if at % 2 == 0 {
                        octet.to_ascii_lowercase()
                    } else {
                        octet.to_ascii_uppercase()
                    }
                })
                .collect();
            check(spelling, *known);
            check(&spelling.to_ascii_lowercase(), *known);
            check(&spelling.to_ascii_uppercase(), *known);
            check(&mixed, *known);
        }
    }

    #[test]
    fn no_near_miss_is_taken_for_a_name() {
        for known in &FieldName::ALL[1..] {
            let spelling = known.as_str().as_bytes();
            let prefix = [b" ", spelling].concat();
            let suffix = [spelling, b" "].concat();
            check(&prefix, FieldName::Other);
            check(&suffix, FieldName::Other);
            check(&[spelling, spelling].concat(), FieldName::Other);
            // One octet changed, at each place, to each other octet.
            for at in 0..spelling.len() {
                for octet in 0..=u8::MAX {
                    let mut near = spelling.to_vec();
                    near[at] = octet;
                    assert_eq!(
                        FieldName::of(&near),
                        naive_of(&near),
                        "{}",
                        near.escape_ascii()
                    );
                }
                let mut shorter = spelling.to_vec();
                shorter.remove(at);
                assert_eq!(
                    FieldName::of(&shorter),
                    naive_of(&shorter),
                    "{}",
                    shorter.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn strangers_are_other() {
        check(b"", FieldName::Other);
        check(b"X", FieldName::Other);
        check(b"\0\0", FieldName::Other);
        check(b"Sec-Fetch-Mode", FieldName::Other);
        check(b"X_Forwarded_For", FieldName::Other);
        check(b"Transfer_Encoding", FieldName::Other);
        check(b"Transfer-Encoding\0", FieldName::Other);
        check(b"Transfer\rEncoding", FieldName::Other);
        check(b"Transfer-Encoding ", FieldName::Other);
        check(b"\x0bTransfer-Encoding", FieldName::Other);
        check(b"Content-Lengt\xe8", FieldName::Other);
        check(b"\xc8ost", FieldName::Other);
        check(b"TransferEncoding", FieldName::Other);
        check(&[b'x'; 33], FieldName::Other);
        check(&[b'-'; 4096], FieldName::Other);
        for octets in [0usize, 1, 2, 3, 31, 32, 33] {
            check(&vec![b'\r'; octets], FieldName::Other);
        }
    }

    #[test]
    fn other_has_no_spelling_and_each_name_its_own_bit() {
        assert_eq!(FieldName::Other.as_str(), "");
        assert_eq!(set_of(&[]), 0);
        let all = set_of(FieldName::ALL);
        assert_eq!(all.count_ones() as usize, FieldName::ALL.len());
        assert_eq!(
            set_of(&[FieldName::Host, FieldName::Host]),
            FieldName::Host.bit()
        );
    }
}
