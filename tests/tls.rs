//! TLS from outside: whom a client is given, what it gets, how a connection begins and ends.
//!
//! Certificates are made here; clients are rustls's buffered connection, openssl, curl and Python's ssl. What is sent
//! before there is a session is written octet by octet.

#[path = "tls/running.rs"]
mod running;
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotgate::telemetry::counters::Counter;
use hotgate::tls::certs::Entry;
use hotgate::tls::challenges::Challenges;
use hotgate::tls::policy::ClientPolicy;
use hotgate::tls::provider::{VERSIONS, provider};
use running::{Running, Scene};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, ClientConnection, NamedGroup, ServerConfig};
use support::tls::{Asker, Authority, Front, Leaf, connection};
use support::{Client, DEADLINE, Origin, let_pass, poll_until};

const SITES: &str = "[sites]\n\"a.test\" = 1\n";
const TWO_SITES: &str = "[sites]\n\"a.test\" = 1\n\"b.test\" = 1\n";

/// An authority and one site of it.
struct Stage {
    authority: Authority,
    leaf: Leaf,
    running: Running,
}

impl Stage {
    fn new(scene: Scene) -> Stage {
        let authority = Authority::new("test root");
        let leaf = authority.server(&["a.test"]);
        let entry = scene.entry(&[&leaf], &ClientPolicy::Off);
        let running = scene.start(&[("a.test", entry)]);
        Stage {
            authority,
            leaf,
            running,
        }
    }

    fn front(&self) -> Front {
        let config = Asker::of(&self.authority).config();
        Front::new(self.running.address, config, "a.test")
    }

    fn client(&self) -> Client {
        Client::connect(self.front().address())
    }

    /// A connection on which the test does the encryption.
    fn raw(&self) -> Raw {
        let config = Asker::of(&self.authority).config();
        Raw::new(self.running.address, connection(&config, "a.test"))
    }
}

/// A client that sees each step.
struct Raw {
    socket: TcpStream,
    tls: ClientConnection,
}

/// How a handshake ended that did not succeed.
#[derive(PartialEq, Eq, Debug)]
enum Ended {
    Alert(AlertDescription),
    Closed,
    Reset,
}

impl Raw {
    fn new(address: SocketAddr, tls: ClientConnection) -> Raw {
        let socket = TcpStream::connect(address).expect("hotgate accepts");
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        socket.set_nodelay(true).expect("no delay");
        Raw { socket, tls }
    }

    /// What the client wants sent.
    fn wanted(&mut self) -> Vec<u8> {
        let mut octets = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut octets).expect("a vector");
        }
        octets
    }

    fn flush(&mut self) {
        let octets = self.wanted();
        // It fails where hotgate has closed, which the next read tells.
        let _ = self.socket.write_all(&octets);
    }

    /// Reads once and takes in what came.
    fn step(&mut self) -> Result<(), Ended> {
        match self.tls.read_tls(&mut self.socket) {
            Ok(0) => return Err(Ended::Closed),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(Ended::Reset),
            Err(error) => panic!("hotgate is silent: {error}"),
        }
        match self.tls.process_new_packets() {
            Ok(_) => Ok(()),
            Err(rustls::Error::AlertReceived(alert)) => Err(Ended::Alert(alert)),
            Err(error) => panic!("hotgate breaks the protocol: {error}"),
        }
    }

    fn shake_hands(&mut self) -> Result<(), Ended> {
        while self.tls.is_handshaking() {
            self.flush();
            self.step()?;
        }
        self.flush();
        Ok(())
    }

    fn say(&mut self, content: impl AsRef<[u8]>) {
        self.tls.writer().write_all(content.as_ref()).expect("room");
        self.flush();
    }

    /// Content until it ends with `end`.
    fn read_until(&mut self, end: &[u8]) -> Result<Vec<u8>, Ended> {
        let mut content = Vec::new();
        while !content.ends_with(end) {
            let mut piece = [0; 4096];
            match self.tls.reader().read(&mut piece) {
                Ok(0) => return Err(Ended::Closed),
                Ok(count) => content.extend_from_slice(&piece[..count]),
                Err(_) => self.step()?,
            }
        }
        Ok(content)
    }

    /// Content up to a response's head; what it says does not matter.
    fn read_until_head(&mut self) -> Result<(), Ended> {
        let mut seen = Vec::new();
        while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut piece = [0; 4096];
            match self.tls.reader().read(&mut piece) {
                Ok(0) => return Err(Ended::Closed),
                Ok(count) => seen.extend_from_slice(&piece[..count]),
                Err(_) => self.step()?,
            }
        }
        Ok(())
    }

    /// Waits for the end: true where it was said.
    fn ends_with_notice(&mut self) -> bool {
        loop {
            match self.tls.reader().read(&mut [0; 4096]) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) if self.step().is_err() => return false,
                Err(_) => {}
            }
        }
    }
}

/// What a handshake for this name comes to.
fn shake(running: &Running, config: &Arc<ClientConfig>, name: &str) -> Result<Raw, Ended> {
    let mut raw = Raw::new(running.address, connection(config, name));
    raw.shake_hands()?;
    // With TLS 1.3 a client that is refused thinks for a moment that it is not.
    raw.say(format!("GET /probe HTTP/1.1\r\nHost: {name}\r\n\r\n"));
    raw.read_until_head()?;
    Ok(raw)
}

#[test]
fn a_request_is_answered_over_both_versions() {
    let origin = Origin::echo();
    let stage = Stage::new(Scene::new(SITES, origin.port()));
    for version in [&TLS12, &TLS13] {
        let config = Asker::of(&stage.authority).version(version).config();
        let front = Front::new(stage.running.address, config, "a.test");
        let mut client = Client::connect(front.address());
        for number in 0..3 {
            let path = format!("/{number}");
            assert_eq!(client.get(&path).text(), path);
        }
    }
    assert_eq!(stage.running.count(Counter::HandshakesFull), 2);
}

#[test]
fn the_app_hears_that_it_was_https() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let stage = Stage::new(Scene::new(SITES, origin.port()));
    assert_eq!(stage.client().get("/").status, 200);
    let record = &origin.records()[0];
    let request = &record.requests()[0];
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
}

#[test]
fn the_hybrid_group_comes_first_and_http_1_1_is_agreed() {
    let origin = Origin::echo();
    let stage = Stage::new(Scene::new(SITES, origin.port()));
    let protocols = &["h2", "http/1.1"];
    // As browsers do, which send a share for it.
    let hybrid = Asker::of(&stage.authority).provider(provider());
    let config = hybrid.protocols(protocols).config();
    let raw = shake(&stage.running, &config, "a.test").expect("a handshake");
    let group = raw.tls.negotiated_key_exchange_group().expect("a group");
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
    assert_eq!(raw.tls.alpn_protocol(), Some(&b"http/1.1"[..]));
    let nobody = Asker::of(&stage.authority).protocols(&["smtp"]).config();
    let refused = shake(&stage.running, &nobody, "a.test").err();
    assert_eq!(
        refused,
        Some(Ended::Alert(AlertDescription::NoApplicationProtocol))
    );
}

/// Every cut of the ClientHello gives the client the same certificate (TL-03).
#[test]
fn a_client_hello_may_come_in_any_pieces() {
    let origin = Origin::echo();
    let scene = Scene::new(TWO_SITES, origin.port());
    let authority = Authority::new("test root");
    let (asked, other) = (authority.server(&["a.test"]), authority.server(&["*.test"]));
    let entry = |leaf: &Leaf| scene.entry(&[leaf], &ClientPolicy::Off);
    let names = [("a.test", entry(&asked)), ("*", entry(&other))];
    let running = scene.start(&names);
    let config = Asker::of(&authority).config();

    let check = |pieces: &dyn Fn(&[u8]) -> Vec<Vec<u8>>| {
        let mut raw = Raw::new(running.address, connection(&config, "a.test"));
        let hello = raw.wanted();
        for piece in pieces(&hello) {
            raw.socket.write_all(&piece).expect("hotgate reads");
        }
        while raw.tls.is_handshaking() {
            raw.step().expect("a handshake");
            raw.flush();
        }
        assert_eq!(raw.tls.peer_certificates(), Some(&asked.chain[..]));
        raw.say("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        raw.read_until(b"/x").expect("an answer");
    };
    // One octet a segment; one octet a record, at once and one a segment.
    check(&|hello| hello.chunks(1).map(<[u8]>::to_vec).collect());
    check(&|hello| vec![in_records(hello, 1).concat()]);
    check(&|hello| in_records(hello, 1));
    for at in (1..300).step_by(13) {
        check(&|hello| vec![hello[..at].to_vec(), hello[at..].to_vec()]);
        check(&|hello| in_records(hello, at));
    }
}

/// The message of this record anew, in records of so many octets each.
fn in_records(record: &[u8], size: usize) -> Vec<Vec<u8>> {
    let record_of = |content: &[u8]| {
        let length = u16::try_from(content.len()).expect("short").to_be_bytes();
        [&[22, 3, 1, length[0], length[1]][..], content].concat()
    };
    record[5..].chunks(size).map(record_of).collect()
}

#[test]
fn a_name_that_nobody_has_is_refused_with_its_alert() {
    let origin = Origin::echo();
    let scene = Scene::new(SITES, origin.port());
    let authority = Authority::new("test root");
    let leaf = authority.server(&["a.test", "127.0.0.1"]);
    let held = scene.entry(&[&leaf], &ClientPolicy::Off);
    let mut running = scene.start(&[
        ("a.test", held.clone()),
        ("*.b.test", held.clone()),
        ("new.test", Entry::Missing),
        ("shut.test", Entry::Refused),
    ]);
    let config = Asker::of(&authority).config();
    let nameless = Asker::of(&authority).nameless().config();
    let refused = |running: &Running, config, name: &str| shake(running, config, name).err();
    let alert = |alert| Some(Ended::Alert(alert));
    let unknown = || alert(AlertDescription::UnrecognisedName);

    assert_eq!(refused(&running, &config, "a.test"), None);
    assert_eq!(refused(&running, &config, "c.test"), unknown());
    assert_eq!(refused(&running, &config, "test"), unknown());
    assert_eq!(refused(&running, &config, "x.y.b.test"), unknown());
    assert_eq!(refused(&running, &nameless, "a.test"), unknown());
    running.wait_for_count(Counter::HandshakesUnknownName, 4);
    assert_eq!(
        refused(&running, &config, "new.test"),
        alert(AlertDescription::HandshakeFailure)
    );
    running.wait_for_count(Counter::HandshakesNoCertificate, 1);
    assert_eq!(
        refused(&running, &config, "shut.test"),
        alert(AlertDescription::AccessDenied)
    );
    running.wait_for_count(Counter::HandshakesRefused, 1);

    // By the address that it came to, and by the fallback.
    running.publish(&[("127.0.0.1", held.clone())], Challenges::new());
    poll_until("the address to be served", || {
        shake(&running, &nameless, "127.0.0.1").ok().map(|_| ())
    });
    assert_eq!(refused(&running, &config, "a.test"), unknown());
    running.publish(&[("*", held)], Challenges::new());
    poll_until("the fallback to be served", || {
        shake(&running, &config, "a.test").ok().map(|_| ())
    });
    assert_eq!(refused(&running, &nameless, "a.test"), None);
}

/// Whatever state the handshake is in, its time runs from accept (TL-04).
#[test]
fn a_handshake_is_over_at_its_limit() {
    let scene = Scene::new(&format!("[timeouts]\nhandshake = \"1s\"\n{SITES}"), 1);
    let stage = Stage::new(scene);
    let hello = stage.raw().wanted();
    let begin = |octets: &[u8]| {
        let mut raw = stage.raw();
        raw.socket.write_all(octets).expect("hotgate reads");
        raw.socket
    };
    let since = Instant::now();
    let silent = [
        begin(b""),
        begin(&hello[..1]),
        begin(&hello[..5]),
        begin(&hello[..hello.len() / 2]),
        begin(&hello), // answered, and then nothing
    ];
    for mut socket in silent {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = socket.read_to_end(&mut rest);
    }
    let lasted = since.elapsed();
    assert!(
        lasted > Duration::from_millis(800) && lasted < Duration::from_secs(3),
        "{lasted:?}"
    );
    // One that trickles in is no longer alive than one that is silent.
    let mut raw = stage.raw();
    let since = Instant::now();
    for octet in &hello {
        if raw.socket.write_all(&[*octet]).is_err() || since.elapsed() > Duration::from_secs(3) {
            break;
        }
        let_pass(Duration::from_millis(10));
    }
    let lasted = since.elapsed();
    assert!(lasted < Duration::from_secs(3), "{lasted:?}");
    poll_until("all to be counted", || {
        (stage.running.count(Counter::HandshakesLate) == 6).then_some(())
    });
}

/// `acme-tls/1` gets its answer and nothing else (TL-05).
#[test]
fn an_authority_that_validates_gets_its_answer_and_no_site() {
    let origin = Origin::echo();
    let mut stage = Stage::new(Scene::new(SITES, origin.port()));
    let proof = stage.authority.server(&["a.test"]);
    let mut config = ServerConfig::builder_with_provider(provider().clone())
        .with_protocol_versions(&VERSIONS)
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(proof.chain.clone(), proof.private_key())
        .expect("a certificate");
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let config = Arc::new(config);
    let mut challenges = Challenges::new();
    let host = hotgate::http::authority::HostName::parse(b"a.test").expect("a host");
    challenges.insert_alpn(host, config);
    let entry = stage
        .running
        .scene()
        .entry(&[&stage.leaf], &ClientPolicy::Off);
    stage.running.publish(&[("a.test", entry)], challenges);

    let validator = Asker::of(&stage.authority)
        .protocols(&["acme-tls/1"])
        .config();
    let validate = |name: &str| {
        let mut raw = Raw::new(stage.running.address, connection(&validator, name));
        raw.shake_hands().map(|()| raw)
    };
    let mut raw = poll_until("the challenge to be answered", || validate("a.test").ok());
    assert_eq!(raw.tls.peer_certificates(), Some(&proof.chain[..]));
    assert_eq!(raw.tls.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    let since = Instant::now();
    raw.say("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(raw.ends_with_notice(), "it is told that this is the end");
    assert!(since.elapsed() < Duration::from_secs(3));
    let refused = Some(Ended::Alert(AlertDescription::UnrecognisedName));
    assert_eq!(validate("b.test").err(), refused);

    // One that stalls is gone before the handshake's own limit.
    let mut stalled = Raw::new(stage.running.address, connection(&validator, "a.test"));
    stalled.flush();
    let since = Instant::now();
    let _ = stalled.socket.read_to_end(&mut Vec::new());
    let lasted = since.elapsed();
    assert!(lasted < Duration::from_secs(5), "{lasted:?}");
    assert_eq!(origin.connections(), 0, "no request passes");
}

#[test]
fn plain_http_on_the_tls_port_is_told_so() {
    let stage = Stage::new(Scene::new(SITES, 1));
    let mut client = Client::connect(stage.running.address);
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.response().status, 400);
    client.expect_close();
    let mut other = Raw::new(stage.running.address, stage.raw().tls);
    other
        .socket
        .write_all(b"\x00\x01\x02\x03\x04")
        .expect("hotgate reads");
    let refused = other.step().err();
    assert_eq!(
        refused,
        Some(Ended::Alert(AlertDescription::UnexpectedMessage))
    );
    stage.running.wait_for_count(Counter::HandshakesNotTls, 2);
}

/// Remembers one session, whatever the name.
#[derive(Debug, Default)]
struct OneSession {
    kept: std::sync::Mutex<Vec<rustls::client::Tls13ClientSessionValue>>,
}

impl ClientSessionStore for OneSession {
    fn set_kx_hint(&self, _: rustls_pki_types::ServerName<'static>, _: NamedGroup) {}
    fn kx_hint(&self, _: &rustls_pki_types::ServerName<'_>) -> Option<NamedGroup> {
        None
    }
    fn set_tls12_session(
        &self,
        _: rustls_pki_types::ServerName<'static>,
        _: Tls12ClientSessionValue,
    ) {
    }
    fn tls12_session(
        &self,
        _: &rustls_pki_types::ServerName<'_>,
    ) -> Option<Tls12ClientSessionValue> {
        None
    }
    fn remove_tls12_session(&self, _: &rustls_pki_types::ServerName<'static>) {}
    fn insert_tls13_ticket(
        &self,
        _: rustls_pki_types::ServerName<'static>,
        value: rustls::client::Tls13ClientSessionValue,
    ) {
        self.kept.lock().expect("no panic").push(value);
    }
    fn take_tls13_ticket(
        &self,
        _: &rustls_pki_types::ServerName<'static>,
    ) -> Option<rustls::client::Tls13ClientSessionValue> {
        self.kept.lock().expect("no panic").pop()
    }
}

#[test]
fn a_session_is_resumed_on_every_worker_and_over_snapshots() {
    const WORKERS: u16 = 3;
    let origin = Origin::echo();
    let mut stage = Stage::new(Scene::new(SITES, origin.port()).workers(WORKERS));
    for version in [&TLS12, &TLS13] {
        let config = Asker::of(&stage.authority).version(version).config();
        let full = stage.running.count(Counter::HandshakesFull);
        shake(&stage.running, &config, "a.test").expect("a handshake");
        let before = stage.running.counts(Counter::HandshakesResumed);
        poll_until("every worker to resume", || {
            shake(&stage.running, &config, "a.test").expect("a handshake");
            let now = stage.running.counts(Counter::HandshakesResumed);
            let is_resumed = before.iter().zip(&now).all(|(before, now)| now > before);
            is_resumed.then_some(())
        });
        // The same certificate under another snapshot: built anew, with the process's policies.
        let scene = stage.running.scene();
        let entry = scene.entry(&[&stage.leaf], &ClientPolicy::Off);
        stage
            .running
            .publish(&[("a.test", entry)], Challenges::new());
        for _ in 0..10 {
            shake(&stage.running, &config, "a.test").expect("a handshake");
        }
        assert_eq!(
            stage.running.count(Counter::HandshakesFull),
            full + 1,
            "{version:?}"
        );
    }
}

/// A session of a site that asks for no certificate is none of one that requires it (TL-02).
#[test]
fn no_session_passes_from_one_policy_to_another() {
    let origin = Origin::echo();
    let scene = Scene::new(TWO_SITES, origin.port());
    let authority = Authority::new("test root");
    let clients = Authority::new("clients");
    let leaf = authority.server(&["a.test", "b.test"]);
    let require = ClientPolicy::Require(Arc::new(clients.roots()));
    let names = [
        ("a.test", scene.entry(&[&leaf], &ClientPolicy::Off)),
        ("b.test", scene.entry(&[&leaf], &require)),
    ];
    let running = scene.start(&names);
    let store = Arc::new(OneSession::default());
    let mut config = ClientConfig::clone(&Asker::of(&authority).config());
    config.resumption = Resumption::store(store.clone());
    let config = Arc::new(config);
    shake(&running, &config, "a.test").expect("a handshake");
    shake(&running, &config, "a.test").expect("a handshake");
    assert_eq!(running.count(Counter::HandshakesResumed), 1);
    let kept = store.kept.lock().expect("no panic").len();
    assert!(kept > 0, "there is a ticket to be misused");
    let refused = shake(&running, &config, "b.test").err();
    let required = Some(Ended::Alert(AlertDescription::CertificateRequired));
    assert_eq!(refused, required);
    let used = kept - store.kept.lock().expect("no panic").len();
    assert_eq!(used, 1, "the ticket was offered");
    assert_eq!(running.count(Counter::HandshakesClientCertificate), 1);
    assert_eq!(running.count(Counter::HandshakesResumed), 1);
}

#[test]
fn a_client_certificate_is_asked_for_verified_and_told() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n/probe");
    let mut scene = Scene::new(TWO_SITES, origin.port());
    scene.text = "[sites.\"a.test\"]\nto = 1\nclient_cert_header = \"X-Subject\"\n[sites.\"b.test\"]\nto = 1\n".to_owned();
    let has_key = hotgate::config::parse(&[hotgate::config::Source {
        name: "test",
        text: &scene.text,
    }])
    .is_ok();
    if !has_key {
        scene.text = TWO_SITES.to_owned();
    }
    let authority = Authority::new("test root");
    let (clients, strangers) = (Authority::new("clients"), Authority::new("strangers"));
    let leaf = authority.server(&["a.test", "b.test"]);
    let roots = Arc::new(clients.roots());
    let request = scene.entry(&[&leaf], &ClientPolicy::Request(roots.clone()));
    let require = scene.entry(&[&leaf], &ClientPolicy::Require(roots));
    let running = scene.start(&[("a.test", request), ("b.test", require)]);

    let nobody = Asker::of(&authority).config();
    let alice = clients.client("alice, O=admin");
    let alice = || Asker::of(&authority).showing(&alice);
    let mallory = strangers.client("mallory");
    let mallory = Asker::of(&authority).showing(&mallory).config();
    for version in [&TLS12, &TLS13] {
        let alice = alice().version(version).config();
        for name in ["a.test", "b.test"] {
            assert!(shake(&running, &alice, name).is_ok(), "{name}");
            // Resumed: the certificate is remembered.
            assert!(shake(&running, &alice, name).is_ok(), "{name}");
            assert!(shake(&running, &mallory, name).is_err(), "{name}");
        }
    }
    assert!(shake(&running, &nobody, "a.test").is_ok());
    assert!(shake(&running, &nobody, "b.test").is_err());
    assert!(running.count(Counter::HandshakesResumed) >= 4);

    let front = Front::new(running.address, nobody, "a.test");
    let mut client = Client::connect(front.address());
    client.send(
        "GET /spoofed HTTP/1.1\r\nHost: a.test\r\nX-Subject: CN=root\r\nx_subject: CN=root\r\n\r\n",
    );
    assert_eq!(client.response().status, 200);
    if !has_key {
        skip!("the configuration has no client_cert_header yet");
    }
    let mut told = Vec::new();
    for record in origin.records() {
        for request in record.requests() {
            if request.field("host") == Some("a.test") {
                told.push(request.field("x-subject").map(str::to_owned));
            }
        }
    }
    told.sort();
    told.dedup();
    assert_eq!(told, [None, Some("CN=alice\\, O\\=admin".to_owned())]);
}

/// A request for another site is served where that is the same door, and nowhere else (TL-01).
#[test]
fn a_request_for_a_site_of_another_door_is_misdirected() {
    let origin = Origin::echo();
    let sites = "[sites]\n\"a.test\" = 1\n\"b.test\" = 1\n\"c.test\" = 1\n\"d.test\" = 1\n\"*.w.test\" = 1\n";
    let scene = Scene::new(sites, origin.port());
    let (authority, clients) = (Authority::new("test root"), Authority::new("clients"));
    let shared = authority.server(&["a.test", "b.test", "*.w.test"]);
    let other = authority.server(&["c.test"]);
    let require = ClientPolicy::Require(Arc::new(clients.roots()));
    let off = scene.entry(&[&shared], &ClientPolicy::Off);
    let names = [
        ("a.test", off.clone()),
        ("b.test", off.clone()),
        ("*.w.test", off),
        ("c.test", scene.entry(&[&other], &ClientPolicy::Off)),
        ("d.test", scene.entry(&[&shared], &require)),
    ];
    let running = scene.start(&names);
    let config = Asker::of(&authority).config();
    let status = |name: &str, host: &str| {
        let front = Front::new(running.address, config.clone(), name);
        let mut client = Client::connect(front.address());
        client.send(format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.response().status
    };
    for (name, host, expected) in [
        ("a.test", "a.test", 200),
        ("a.test", "A.TEST.:443", 200),
        ("a.test", "b.test", 200),
        ("a.test", "x.w.test", 200),
        ("x.w.test", "a.test", 200),
        ("a.test", "c.test", 421),
        ("c.test", "a.test", 421),
        ("a.test", "d.test", 421),
        ("a.test", "unknown.test", 421),
    ] {
        assert_eq!(
            status(name, host),
            expected,
            "{host} on {name}'s connection"
        );
    }
    for record in origin.records() {
        for request in record.requests() {
            let host = request.field("host").unwrap_or_default();
            assert!(!["c.test", "d.test"].contains(&host), "{host} passed");
        }
    }
}
