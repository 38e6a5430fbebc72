//! A look at the ClientHello (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2) before the handshake begins: whom the client asks for,
//! and which protocols it offers.
//!
//! The certificate, the policy and even whether there is a handshake follow from these, so they are read first, from
//! the same octets that rustls then reads whole. The message may be cut over any number of records and segments; until
//! it is complete nothing is decided, so no cut makes a client somebody else (CVE-2026-32305). What rustls checks is
//! left to it, except where a wrong answer here would select a site: that is refused, with the alert that the standard
//! names.
//!
//! Invariant: the answer is the same for the same octets, however they come.

use std::fmt;

use super::challenges::ACME_TLS_PROTOCOL;
use crate::http::authority::HostName;

/// Octets of a ClientHello, its header included. Browsers send two thousand, half of it for ML-KEM; the largest seen
/// with a long session ticket and padding stay below four.
pub const CLIENT_HELLO_BYTES_MAX: usize = 16 << 10;
/// Octets on the wire that bring it: each record adds five, so a hello of 10 000 octets may come one octet a record.
pub const CLIENT_HELLO_WIRE_BYTES_MAX: usize = 64 << 10;

const RECORD_HEADER_BYTES: usize = 5;
const MESSAGE_HEADER_BYTES: usize = 4;
/// RFC 8446 §5.1: 2^14.
const FRAGMENT_BYTES_MAX: usize = 1 << 14;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const HOST_NAME: u8 = 0;

/// With AES-128-GCM and AES-256-GCM: for TLS 1.3, then for ECDHE with ECDSA and with RSA.
const AES_SUITES: [u16; 6] = [0x1301, 0x1302, 0xc02b, 0xc02c, 0xc02f, 0xc030];
/// The same with ChaCha20-Poly1305.
const CHACHA_SUITES: [u16; 3] = [0x1303, 0xcca9, 0xcca8];

/// What the peek finds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Whom the client asks for.
    pub name: AskedName,
    /// It offers `acme-tls/1` and nothing else: it is an authority that validates a name (RFC 8737 §3).
    pub is_acme: bool,
    /// Of the cipher suites that are ours too, its first is one of ChaCha20: it has no AES in hardware.
    pub prefers_chacha: bool,
}

/// The `server_name` extension (RFC 6066 §3).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::large_enum_variant)] // handed on once in a connection's life
pub enum AskedName {
    /// There is none, or it holds an address, which it must not: rustls passes over that too.
    None,
    /// A name, in its normal form.
    Host(HostName),
    /// Octets that are no name: nobody has it.
    Invalid,
}

/// How far a ClientHello has come.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::large_enum_variant)] // as above
pub enum Progress {
    /// More is needed.
    Incomplete,
    /// It is whole.
    Complete(Hello),
}

/// A look that goes on where it stopped. It walks over whole records, so that octets that trickle in cost no more than
/// those that come at once.
#[derive(Default)]
pub struct Peek {
    /// Octets of records that were walked over.
    walked: usize,
    /// What they held, where the message is in several.
    gathered: Vec<u8>,
}

/// Why what a client sends is no ClientHello.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HelloError {
    /// The first octets are a request in plain HTTP.
    PlainHttp,
    /// The first octets are no record of the handshake, of any version.
    NotTls,
    /// A record longer than a record may be.
    RecordTooLong,
    /// A handshake record without content (RFC 8446 §5.1).
    EmptyRecord,
    /// A record of another kind in the middle of the message.
    Interrupted,
    /// Another message than a ClientHello comes first.
    NotClientHello,
    /// Longer than [`CLIENT_HELLO_BYTES_MAX`], or in more octets than [`CLIENT_HELLO_WIRE_BYTES_MAX`].
    TooLong,
    /// A length in it leads outside, or two names are asked for.
    Malformed,
}

impl HelloError {
    /// The alert that it earns (RFC 8446 §6.2).
    pub fn alert(self) -> Alert {
        match self {
            HelloError::PlainHttp
            | HelloError::NotTls
            | HelloError::NotClientHello
            | HelloError::Interrupted => Alert::UnexpectedMessage,
            HelloError::RecordTooLong => Alert::RecordOverflow,
            HelloError::EmptyRecord | HelloError::TooLong | HelloError::Malformed => {
                Alert::DecodeError
            }
        }
    }
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HelloError::PlainHttp => "plain HTTP on a TLS port",
            HelloError::NotTls => "not TLS",
            HelloError::RecordTooLong => "a record is too long",
            HelloError::EmptyRecord => "a handshake record is empty",
            HelloError::Interrupted => "another record interrupts the ClientHello",
            HelloError::NotClientHello => "no ClientHello",
            HelloError::TooLong => "the ClientHello is too long",
            HelloError::Malformed => "the ClientHello is malformed",
        })
    }
}

impl std::error::Error for HelloError {}

/// An alert that we send ourselves, before there is a handshake; always fatal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Alert {
    /// Another message was due.
    UnexpectedMessage = 10,
    /// A record is too long.
    RecordOverflow = 22,
    /// We know the site, and have nothing to show for it.
    HandshakeFailure = 40,
    /// We do not serve the site.
    AccessDenied = 49,
    /// Lengths and contents do not agree.
    DecodeError = 50,
    /// Something went wrong on our side.
    InternalError = 80,
    /// Nobody has this name here (RFC 6066 §3).
    UnrecognizedName = 112,
}

impl Alert {
    /// The record that carries it.
    pub fn record(self) -> [u8; 7] {
        const ALERT: u8 = 21;
        const FATAL: u8 = 2;
        [ALERT, 3, 3, 0, 2, FATAL, self as u8]
    }
}

impl Peek {
    /// At the first octet of a connection.
    pub fn new() -> Peek {
        Peek::default()
    }

    /// Looks at all that has come: `octets` begins with the connection's first one and only ever grows.
    ///
    /// # Errors
    ///
    /// See [`HelloError`]. It stays one, whatever follows.
    pub fn look(&mut self, octets: &[u8]) -> Result<Progress, HelloError> {
        while let Some(content) = self.next_record(octets)? {
            // Nearly always the message is in one record, and is read where it stands.
            let message = if self.gathered.is_empty() {
                content
            } else {
                self.gathered.extend_from_slice(content);
                &self.gathered
            };
            if let Some(body) = whole_message(message)? {
                return match read(body) {
                    Some(hello) => Ok(Progress::Complete(hello)),
                    None => Err(HelloError::Malformed),
                };
            }
            if self.gathered.is_empty() {
                self.gathered.extend_from_slice(content);
            }
            self.walked += RECORD_HEADER_BYTES + content.len();
        }
        Ok(Progress::Incomplete)
    }

    /// The content of the next record; `None` until it is whole.
    fn next_record<'a>(&self, octets: &'a [u8]) -> Result<Option<&'a [u8]>, HelloError> {
        let record = &octets[self.walked..];
        let is_first = self.walked == 0;
        match record.first() {
            None | Some(&HANDSHAKE) => {}
            Some(b'A'..=b'Z') if is_first => return Err(HelloError::PlainHttp),
            Some(_) if is_first => return Err(HelloError::NotTls),
            Some(_) => return Err(HelloError::Interrupted),
        }
        if record.get(1).is_some_and(|&major| major != 3) {
            return Err(HelloError::NotTls);
        }
        let Some(&[_, _, _, high, low]) = record.first_chunk::<RECORD_HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        match length {
            0 => return Err(HelloError::EmptyRecord),
            1..=FRAGMENT_BYTES_MAX => {}
            _ => return Err(HelloError::RecordTooLong),
        }
        if self.walked + RECORD_HEADER_BYTES + length > CLIENT_HELLO_WIRE_BYTES_MAX {
            return Err(HelloError::TooLong);
        }
        Ok(record[RECORD_HEADER_BYTES..].get(..length))
    }
}

/// The body of the message, once it is whole.
fn whole_message(message: &[u8]) -> Result<Option<&[u8]>, HelloError> {
    if message.first().is_some_and(|&kind| kind != CLIENT_HELLO) {
        return Err(HelloError::NotClientHello);
    }
    let Some(&[_, a, b, c]) = message.first_chunk::<MESSAGE_HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    if MESSAGE_HEADER_BYTES + length > CLIENT_HELLO_BYTES_MAX {
        return Err(HelloError::TooLong);
    }
    Ok(message[MESSAGE_HEADER_BYTES..].get(..length))
}

/// The ClientHello in a message's body; `None` where its lengths do not fit.
fn read(body: &[u8]) -> Option<Hello> {
    const VERSION_AND_RANDOM: usize = 2 + 32;
    let mut fields = Reader(body);
    fields.take(VERSION_AND_RANDOM)?;
    fields.short_vector()?; // the session's id
    let suites = fields.vector()?;
    fields.short_vector()?; // compression methods
    let mut hello = Hello {
        name: AskedName::None,
        is_acme: false,
        prefers_chacha: prefers_chacha(suites),
    };
    if fields.0.is_empty() {
        return Some(hello); // as of old: no extensions
    }
    let mut extensions = Reader(fields.vector()?);
    let (mut has_name, mut has_protocols) = (false, false);
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let content = extensions.vector()?;
        match kind {
            SERVER_NAME if has_name => return None,
            SERVER_NAME => {
                has_name = true;
                hello.name = asked_name(content)?;
            }
            ALPN if has_protocols => return None,
            ALPN => {
                has_protocols = true;
                hello.is_acme = is_acme(content)?;
            }
            _ => {}
        }
    }
    fields.0.is_empty().then_some(hello)
}

/// `CipherSuite cipher_suites<2..2^16-2>`, the client's favourite first. What is not ours, as GREASE (RFC 8701), which
/// browsers put there to be passed over, says nothing; an odd octet at the end is rustls's to refuse.
fn prefers_chacha(suites: &[u8]) -> bool {
    let mut suites = suites
        .chunks_exact(2)
        .map(|id| u16::from_be_bytes([id[0], id[1]]));
    let first = suites.find(|id| AES_SUITES.contains(id) || CHACHA_SUITES.contains(id));
    first.is_some_and(|id| CHACHA_SUITES.contains(&id))
}

/// `ServerName server_name_list<1..2^16-1>`: one host name, of type 0, and no other type was ever defined.
fn asked_name(content: &[u8]) -> Option<AskedName> {
    let mut content = Reader(content);
    let mut list = Reader(content.vector()?);
    if list.take(1)? != [HOST_NAME] {
        // Its form is unknown, and with it where a next one would begin.
        return Some(AskedName::Invalid);
    }
    let name = list.vector()?;
    if name.is_empty() || !list.0.is_empty() || !content.0.is_empty() {
        return None;
    }
    Some(match HostName::parse(name) {
        Ok(host) if host.ip().is_some() => AskedName::None,
        Ok(host) => AskedName::Host(host),
        Err(_) => AskedName::Invalid,
    })
}

/// `ProtocolName protocol_name_list<2..2^16-1>` (RFC 7301 §3.1), of which each has one octet or more.
fn is_acme(content: &[u8]) -> Option<bool> {
    let mut content = Reader(content);
    let mut list = Reader(content.vector()?);
    let (mut count, mut has_acme) = (0, false);
    while !list.0.is_empty() {
        let protocol = list.short_vector().filter(|name| !name.is_empty())?;
        has_acme |= protocol == ACME_TLS_PROTOCOL;
        count += 1;
    }
    (count > 0 && content.0.is_empty()).then_some(has_acme && count == 1)
}

/// What is left of some octets.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        let octets = self.take(2)?;
        Some(u16::from_be_bytes([octets[0], octets[1]]))
    }

    /// Octets behind a length of two octets.
    fn vector(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::from(length))
    }

    /// Octets behind a length of one.
    fn short_vector(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(octets: &[u8]) -> Vec<u8> {
        let length = u16::try_from(octets.len()).expect("short");
        [&length.to_be_bytes()[..], octets].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector(content)].concat()
    }

    fn sni(name: &str) -> Vec<u8> {
        let entry = [&[HOST_NAME][..], &vector(name.as_bytes())].concat();
        extension(SERVER_NAME, &vector(&entry))
    }

    fn alpn(protocols: &[&str]) -> Vec<u8> {
        let mut list = Vec::new();
        for protocol in protocols {
            list.push(u8::try_from(protocol.len()).expect("short"));
            list.extend_from_slice(protocol.as_bytes());
        }
        extension(ALPN, &vector(&list))
    }

    /// A message of these extensions.
    fn message(extensions: &[u8]) -> Vec<u8> {
        message_with(&[0x13, 1, 0x13, 2], extensions)
    }

    /// A message of these cipher suites and extensions.
    fn message_with(suites: &[u8], extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend_from_slice(&[7; 32]);
        body.extend_from_slice(&[32]);
        body.extend_from_slice(&[9; 32]);
        body.extend_from_slice(&vector(suites));
        body.extend_from_slice(&[1, 0]);
        body.extend_from_slice(&vector(extensions));
        framed(CLIENT_HELLO, &body)
    }

    fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).expect("short").to_be_bytes();
        [&[kind, length[1], length[2], length[3]][..], body].concat()
    }

    /// Cuts a message into records of at most `size` octets.
    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let record = |content: &[u8]| [&[HANDSHAKE, 3, 1][..], &vector(content)].concat();
        message.chunks(size).flat_map(record).collect()
    }

    fn whole(octets: &[u8]) -> Result<Progress, HelloError> {
        Peek::new().look(octets)
    }

    /// The answer where the octets come in pieces: at every cut, and one by one.
    #[track_caller]
    fn check_splits(octets: &[u8]) -> Result<Progress, HelloError> {
        let answer = whole(octets);
        let resume = |mut peek: Peek, ends: &mut dyn Iterator<Item = usize>| {
            for end in ends {
                match peek.look(&octets[..end]) {
                    Ok(Progress::Incomplete) => {}
                    answer => return answer,
                }
            }
            Ok(Progress::Incomplete)
        };
        for cut in 0..=octets.len() {
            let ends = &mut [cut, octets.len()].into_iter();
            assert_eq!(resume(Peek::new(), ends), answer, "cut at {cut}");
        }
        let each = &mut (0..=octets.len());
        assert_eq!(resume(Peek::new(), each), answer, "one by one");
        answer
    }

    fn host(text: &str) -> AskedName {
        AskedName::Host(HostName::parse(text.as_bytes()).expect("a host"))
    }

    fn found(name: AskedName, is_acme: bool) -> Result<Progress, HelloError> {
        Ok(Progress::Complete(Hello {
            name,
            is_acme,
            prefers_chacha: false,
        }))
    }

    #[test]
    fn what_a_client_asks_for() {
        #[track_caller]
        fn check(what: &str, extensions: &[Vec<u8>], name: AskedName, is_acme: bool) {
            let message = message(&extensions.concat());
            for size in [1, 2, 5, 100, FRAGMENT_BYTES_MAX] {
                let answer = check_splits(&records(&message, size));
                assert_eq!(answer, found(name.clone(), is_acme), "{what}, {size}");
            }
        }
        let other = || extension(43, &[2, 3, 4]);
        check("nobody", &[other()], AskedName::None, false);
        check("a name", &[other(), sni("a.test")], host("a.test"), false);
        check(
            "a name otherwise spelled",
            &[sni("A.TEST."), other()],
            host("a.test"),
            false,
        );
        check("an address", &[sni("127.0.0.1")], AskedName::None, false);
        check("no name", &[sni("a test")], AskedName::Invalid, false);
        check("a NUL in it", &[sni("a.test\0")], AskedName::Invalid, false);
        let protocols = |list: &[&str]| [sni("a.test"), alpn(list)];
        check(
            "http",
            &protocols(&["h2", "http/1.1"]),
            host("a.test"),
            false,
        );
        check("acme", &protocols(&["acme-tls/1"]), host("a.test"), true);
        check(
            "acme among others",
            &protocols(&["acme-tls/1", "http/1.1"]),
            host("a.test"),
            false,
        );
        check(
            "another acme",
            &protocols(&["acme-tls/11"]),
            host("a.test"),
            false,
        );
        let unknown_kind = extension(SERVER_NAME, &vector(&[1, 0, 1, b'x']));
        check(
            "another kind of name",
            &[unknown_kind],
            AskedName::Invalid,
            false,
        );
    }

    #[test]
    fn who_has_no_aes_in_hardware() {
        #[track_caller]
        fn check(what: &str, suites: &[u8], prefers_chacha: bool) {
            let octets = records(&message_with(suites, &[]), FRAGMENT_BYTES_MAX);
            let Ok(Progress::Complete(hello)) = whole(&octets) else {
                panic!("{what}: no hello");
            };
            assert_eq!(hello.prefers_chacha, prefers_chacha, "{what}");
        }
        check("AES first", &[0x13, 1, 0x13, 3], false);
        check("ChaCha20 first", &[0x13, 3, 0x13, 1], true);
        check("behind GREASE", &[0x4a, 0x4a, 0x13, 3, 0x13, 1], true);
        check("behind what is not ours", &[0, 0x2f, 0xcc, 0xa8], true);
        check("TLS 1.2, AES first", &[0xc0, 0x2b, 0xcc, 0xa9], false);
        check("TLS 1.2, ChaCha20 first", &[0xcc, 0xa9, 0xc0, 0x2b], true);
        check("nothing of ours", &[0, 0x2f], false);
        check("nothing", &[], false);
        check("half a suite", &[0x13], false);
    }

    #[test]
    fn what_follows_the_hello_changes_nothing() {
        let mut octets = records(&message(&sni("a.test")), FRAGMENT_BYTES_MAX);
        octets.extend_from_slice(&[20, 3, 3, 0, 1, 1, 0xff, 0xff]);
        assert_eq!(check_splits(&octets), found(host("a.test"), false));
        let two = [message(&sni("a.test")), message(&sni("b.test"))].concat();
        let answer = check_splits(&records(&two, FRAGMENT_BYTES_MAX));
        assert_eq!(answer, found(host("a.test"), false));
    }

    #[test]
    fn a_hello_without_extensions_asks_for_nobody() {
        let mut body = message(&[]);
        body.truncate(body.len() - 2);
        let octets = records(
            &framed(CLIENT_HELLO, &body[MESSAGE_HEADER_BYTES..]),
            FRAGMENT_BYTES_MAX,
        );
        assert_eq!(check_splits(&octets), found(AskedName::None, false));
    }

    #[test]
    fn what_is_no_hello_is_refused() {
        use HelloError as E;
        #[track_caller]
        fn check(what: &str, octets: &[u8], error: HelloError) {
            assert_eq!(check_splits(octets), Err(error), "{what}");
            let more = [octets, &[0; 100]].concat();
            assert_eq!(whole(&more), Err(error), "{what}, and more");
        }
        let hello = |extensions: &[u8]| records(&message(extensions), FRAGMENT_BYTES_MAX);
        check("http", b"GET / HTTP/1.1\r\n\r\n", E::PlainHttp);
        check("something", b"\0\0", E::NotTls);
        check("SSL 2", &[0x80, 0x2e, 1, 3, 1], E::NotTls);
        check("an alert", &[21, 3, 3, 0, 2, 1, 0], E::NotTls);
        check("TLS 4", &[22, 4, 0, 0, 1, 1], E::NotTls);
        check("an empty record", &[22, 3, 1, 0, 0], E::EmptyRecord);
        check(
            "a long record",
            &[22, 3, 1, 0x40, 1, 1, 0, 0],
            E::RecordTooLong,
        );
        check(
            "a ServerHello",
            &[22, 3, 1, 0, 4, 2, 0, 0, 0],
            E::NotClientHello,
        );
        let mut interrupted = records(&message(&sni("a.test")), 20);
        interrupted[25] = 23;
        check("application data between", &interrupted, E::Interrupted);
        check("nothing in it", &[22, 3, 1, 0, 4, 1, 0, 0, 0], E::Malformed);
        check(
            "two names",
            &hello(&[sni("a.test"), sni("b.test")].concat()),
            E::Malformed,
        );
        let entry = |name: &str| [&[HOST_NAME][..], &vector(name.as_bytes())].concat();
        let pair = vector(&[entry("a.test"), entry("b.test")].concat());
        check(
            "two names in one",
            &hello(&extension(SERVER_NAME, &pair)),
            E::Malformed,
        );
        check("an empty name", &hello(&sni("")), E::Malformed);
        check(
            "an empty list of names",
            &hello(&extension(SERVER_NAME, &[0, 0])),
            E::Malformed,
        );
        check("an empty protocol", &hello(&alpn(&[""])), E::Malformed);
        check("no protocol", &hello(&alpn(&[])), E::Malformed);
        check(
            "two lists of protocols",
            &hello(&[alpn(&["h2"]), alpn(&["h2"])].concat()),
            E::Malformed,
        );
        let mut long = hello(&sni("a.test"));
        let last = long.len() - 10;
        long[last] = 0xff; // the name's length
        check("a length that leads outside", &long, E::Malformed);
        let behind = [&message(&[])[MESSAGE_HEADER_BYTES..], &[0]].concat();
        check(
            "an octet behind",
            &records(&framed(CLIENT_HELLO, &behind), FRAGMENT_BYTES_MAX),
            E::Malformed,
        );
    }

    #[test]
    fn a_hello_may_be_so_large_and_no_larger() {
        let padded = |size: usize| {
            let bare = message(&extension(21, &[])).len();
            message(&extension(21, &vec![0; size - bare]))
        };
        let largest = padded(CLIENT_HELLO_BYTES_MAX);
        assert_eq!(largest.len(), CLIENT_HELLO_BYTES_MAX);
        let answer = |message: &[u8], size: usize| whole(&records(message, size));
        assert_eq!(answer(&largest, 1000), found(AskedName::None, false));
        let larger = padded(CLIENT_HELLO_BYTES_MAX + 1);
        assert_eq!(answer(&larger, 1000), Err(HelloError::TooLong));
        // One octet a record: six times as many on the wire.
        let fits = CLIENT_HELLO_WIRE_BYTES_MAX / 6;
        assert_eq!(answer(&padded(fits), 1), found(AskedName::None, false));
        assert_eq!(answer(&padded(fits + 1), 1), Err(HelloError::TooLong));
    }

    #[test]
    fn what_is_incomplete_stays_so() {
        let octets = records(&message(&sni("a.test")), 7);
        for end in 0..octets.len() {
            assert_eq!(whole(&octets[..end]), Ok(Progress::Incomplete), "{end}");
        }
    }
}
