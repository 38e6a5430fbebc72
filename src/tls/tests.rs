//! A session against rustls's buffered client, in memory: every cut, both versions, both ends.

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::session::{Session, Shaken};
use super::step::Fault;
use crate::net::{Buffer, Class};
use crate::tls::certs::Served;
use crate::tls::policy::{ClientPolicy, Policies};
use crate::tls::provider::provider;

/// Octets of content in a full record.
const RECORD: usize = 1 << 14;

/// Both ends of a connection, with what is under way in between.
struct Pair {
    client: ClientConnection,
    server: Session,
}

fn certificate() -> (Arc<CertifiedKey>, RootCertStore) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["a.test".to_owned()]).expect("a name");
    let leaf = params.self_signed(&key).expect("signed").der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(leaf.clone()).expect("a certificate");
    let der = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let signing = provider().key_provider.load_private_key(der);
    let key = CertifiedKey::new(vec![leaf], signing.expect("a known kind"));
    (Arc::new(key), roots)
}

impl Pair {
    /// Before the handshake.
    fn new(version: &'static SupportedProtocolVersion) -> Pair {
        let (key, roots) = certificate();
        let policy = Policies::new().of(&ClientPolicy::Off).expect("a policy");
        let served = Served::new(vec![key], policy, false).expect("a certificate");
        let config = ClientConfig::builder_with_provider(provider().clone())
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "a.test".try_into().expect("a name");
        Pair {
            client: ClientConnection::new(Arc::new(config), name).expect("a client"),
            server: Session::server(served.config, Buffer::rent(Class::Head)).expect("a session"),
        }
    }

    /// After the handshake, whose octets came in pieces of this size.
    fn shaken(version: &'static SupportedProtocolVersion, piece: usize) -> Pair {
        let mut pair = Pair::new(version);
        let mut shaken = Shaken::Needs;
        while shaken == Shaken::Needs || pair.client.is_handshaking() {
            let sent = pair.taken_from_client();
            assert!(!sent.is_empty(), "the handshake goes on");
            for octets in sent.chunks(piece) {
                pair.receive(octets);
                shaken = pair.server.shake_hands().expect("a handshake");
            }
            pair.bring_to_client();
        }
        assert_eq!(shaken, Shaken::Complete);
        pair
    }

    /// What the client wants sent.
    fn taken_from_client(&mut self) -> Vec<u8> {
        let mut octets = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut octets).expect("a vector");
        }
        octets
    }

    /// The server receives.
    fn receive(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while !rest.is_empty() {
            let mut records = self.server.lend_records(Class::Head);
            let count = rest.len().min(records.receive_room());
            assert!(count > 0 && records.append(&rest[..count]));
            rest = &rest[count..];
            self.server.return_records(records);
        }
    }

    /// The client receives what is owed to it.
    fn bring_to_client(&mut self) {
        if let Some(owed) = self.server.take_owed() {
            self.client_receives(owed.window());
        }
    }

    /// The client receives, and tells what it read.
    fn client_receives(&mut self, mut octets: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        while !octets.is_empty() {
            self.client.read_tls(&mut octets).expect("room");
            self.client.process_new_packets().expect("well-formed");
            // It fails where nothing more has come.
            let _ = self.client.reader().read_to_end(&mut content);
        }
        content
    }

    fn client_says(&mut self, content: &[u8]) -> Vec<u8> {
        self.client.writer().write_all(content).expect("room");
        self.taken_from_client()
    }

    /// Reads content with this much room at a time.
    fn read(&mut self, room: usize) -> Result<Vec<u8>, Fault> {
        let mut content = Vec::new();
        loop {
            let mut into = Buffer::rent(Class::Large);
            let end = into.capacity() - room;
            into.set_window(end, end);
            match self.server.read(&mut into)? {
                0 => return Ok(content),
                _ => content.extend_from_slice(into.window()),
            }
        }
    }
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

fn text(length: usize) -> Vec<u8> {
    (0..length)
        .map(|place| (place.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

#[test]
fn content_passes_both_ways_however_it_is_cut() {
    for version in VERSIONS {
        for piece in [1, 7, 100, 4096] {
            let mut pair = Pair::shaken(version, piece);
            for length in [1, 100, RECORD, 40_000] {
                let content = text(length);
                let sent = pair.client_says(&content);
                let mut read = Vec::new();
                for octets in sent.chunks(piece) {
                    pair.receive(octets);
                    read.extend(pair.read(1000).expect("content"));
                }
                assert!(read == content, "{length} octets in pieces of {piece}");
                assert!(!pair.server.is_ready() && !pair.server.is_amid_record());

                let sealed = pair.server.write(&content).expect("sealed");
                let got = pair.client_receives(sealed.window());
                assert!(got == content, "{length} octets back");
            }
        }
    }
}

#[test]
fn what_has_no_room_waits() {
    let mut pair = Pair::shaken(&rustls::version::TLS13, 4096);
    let content = text(3 * RECORD);
    let sent = pair.client_says(&content);
    pair.receive(&sent);
    for room in [1, 10, 1000, RECORD + 1] {
        let mut into = Buffer::rent(Class::Large);
        let end = into.capacity() - room;
        into.set_window(end, end);
        let count = pair.server.read(&mut into).expect("content");
        assert!(count == room && pair.server.is_ready(), "{room}");
    }
    assert_eq!(
        pair.read(1 << 16).expect("content").len(),
        content.len() - 1011 - RECORD - 1
    );
    assert!(!pair.server.is_ready() && !pair.server.is_amid_record());
}

#[test]
fn as_much_content_is_sealed_at_once_as_its_block_holds() {
    for version in VERSIONS {
        let mut pair = Pair::shaken(version, 4096);
        for class in [Class::Head, Class::Piece, Class::Large, Class::Huge] {
            let most = Session::content_bytes(class);
            let sealed = pair.server.write(&text(most)).expect("sealed");
            assert_eq!(sealed.class(), class, "{most}");
            assert!(most > class.bytes() * 9 / 10, "{most} in {class:?}");
            assert_eq!(pair.client_receives(sealed.window()).len(), most);
        }
    }
}

#[test]
fn an_end_is_told_and_heard() {
    for version in VERSIONS {
        let mut pair = Pair::shaken(version, 4096);
        let mut sent = pair.client_says(b"last");
        pair.client.send_close_notify();
        sent.extend(pair.taken_from_client());
        sent.extend_from_slice(b"behind it anything");
        pair.receive(&sent);
        assert_eq!(pair.read(100).expect("content"), b"last");
        assert!(pair.server.has_peer_closed() && pair.server.is_ready());
        // Our side may go on.
        let sealed = pair.server.write(b"answer").expect("sealed");
        assert_eq!(pair.client_receives(sealed.window()), b"answer");
        let words = pair.server.close().expect("something to say");
        assert_eq!(pair.client_receives(words.window()), b"");
        let end = pair.client.reader().read(&mut [0; 1]);
        assert!(matches!(end, Ok(0)), "{end:?}");
        assert!(pair.server.close().is_none() && pair.server.write(b"x").is_err());
    }
}

#[test]
fn key_updates_are_answered_and_their_flood_is_refused() {
    let mut pair = Pair::shaken(&rustls::version::TLS13, 4096);
    for round in 0..3 {
        pair.client.refresh_traffic_keys().expect("TLS 1.3");
        let sent = pair.client_says(b"ping");
        pair.receive(&sent);
        assert_eq!(pair.read(100).expect("content"), b"ping", "{round}");
        let sealed = pair.server.write(b"pong").expect("sealed");
        assert_eq!(pair.client_receives(sealed.window()), b"pong");
    }
    for _ in 0..10_000 {
        pair.client.refresh_traffic_keys().expect("TLS 1.3");
    }
    let sent = pair.taken_from_client();
    let mut refused = None;
    for octets in sent.chunks(1000) {
        pair.receive(octets);
        refused = pair.read(100).err();
        if refused.is_some() {
            break;
        }
    }
    assert!(matches!(refused, Some(Fault::Tls(_))), "{refused:?}");
    assert!(pair.read(100).is_err() && pair.server.write(b"x").is_err());
}

#[test]
fn a_bent_record_ends_the_session_with_an_alert() {
    for version in VERSIONS {
        let mut pair = Pair::shaken(version, 4096);
        let mut sent = pair.client_says(b"hello");
        let last = sent.len() - 1;
        sent[last] ^= 1;
        pair.receive(&sent);
        assert!(matches!(pair.read(100), Err(Fault::Tls(_))));
        let alert = pair.server.close().expect("an alert");
        let mut octets = alert.window();
        pair.client.read_tls(&mut octets).expect("room");
        let told = pair.client.process_new_packets();
        let is_told = matches!(told, Err(rustls::Error::AlertReceived(_)));
        assert!(is_told, "{version:?}: {told:?}");
        assert!(matches!(pair.read(100), Err(Fault::Over)));
    }
}

#[test]
fn a_record_that_announces_too_much_is_not_waited_for() {
    let mut pair = Pair::shaken(&rustls::version::TLS13, 4096);
    pair.receive(&[23, 3, 3, 0xff, 0xff, 0]);
    assert!(matches!(pair.read(100), Err(Fault::Tls(_))));
}

#[test]
fn a_handshake_that_is_none_fails_with_an_alert() {
    let mut pair = Pair::new(&rustls::version::TLS13);
    pair.receive(&[22, 3, 3, 0, 4, 20, 0, 0, 0]);
    assert!(matches!(pair.server.shake_hands(), Err(Fault::Tls(_))));
    assert!(pair.server.take_owed().is_some(), "an alert");
}
