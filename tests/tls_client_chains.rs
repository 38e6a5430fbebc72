//! Huge chains of client certificates: served up to the size that a handshake message may have, refused at once beyond it,
//! and in no case a burden to the worker (TL-08; RUSTSEC-2023-0053).
//!
//! A client that is not let in has nothing to lose by what it sends: everything here comes before anybody has looked at
//! a signature.

mod support;

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::{
    AlertDescription, ClientConfig, ClientConnection, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use rustls_pki_types::CertificateDer;
use support::{
    Client, Config, DEADLINE, Hotgate, Origin,
    hotgate::Folder,
    let_pass, poll_until, proc,
    tls::{Asker, Authority, Front, Leaf, connection},
};

/// Octets of the largest handshake message that rustls takes (`MAX_HANDSHAKE_SIZE`).
const MESSAGE_BYTES_MAX: usize = 0xffff;

/// `a.test` for everybody, `m.test` for those who show a certificate.
struct Stage {
    hotgate: Hotgate,
    servers: Authority,
    clients: Authority,
    _origin: Origin,
    /// Its files are watched.
    _folder: Folder,
}

impl Stage {
    fn new(handshake: &str) -> Stage {
        let (folder, origin) = (Folder::new(), Origin::saying("hello"));
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let (cert, key) = servers
            .server(&["a.test", "m.test"])
            .write(folder.path(), "site");
        let ca = folder.path().join("clients.pem");
        fs::write(&ca, clients.pem()).expect("ours");
        let port = origin.port();
        let hotgate = Config::new(format!(
            "[timeouts]\nhandshake = \"{handshake}\"\n\
             [sites.\"a.test\"]\nto = {port}\ntls = {{ cert = {cert:?}, key = {key:?} }}\n\
             [sites.\"m.test\"]\nto = {port}\n\
             tls = {{ cert = {cert:?}, key = {key:?}, client_auth = \"require\", client_ca = {ca:?} }}\n"
        ))
        .start();
        Stage {
            hotgate,
            servers,
            clients,
            _origin: origin,
            _folder: folder,
        }
    }

    fn address(&self) -> SocketAddr {
        self.hotgate.listeners()[1]
    }

    fn asker(&self, version: &'static SupportedProtocolVersion, leaf: &Leaf) -> Asker {
        Asker::of(&self.servers).version(version).showing(leaf)
    }

    /// What becomes of a client that shows this.
    fn outcome(&self, config: ClientConfig) -> Outcome {
        let tls = connection(&Arc::new(config), "m.test");
        Outcome::of(&mut stream(self.address()), tls)
    }

    /// Somebody else's connection, open all the while.
    fn bystander(&self) -> Client {
        let config = Asker::of(&self.servers).config();
        Client::connect(Front::new(self.address(), config, "a.test").address())
    }
}

fn stream(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("hotgate accepts");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream.set_write_timeout(Some(DEADLINE)).expect("a timeout");
    stream
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Served,
    Alert(AlertDescription),
    /// Ended without a word that arrived.
    Ended,
}

impl Outcome {
    fn of(socket: &mut TcpStream, mut tls: ClientConnection) -> Outcome {
        tls.writer()
            .write_all(b"GET / HTTP/1.1\r\nHost: m.test\r\n\r\n")
            .expect("room");
        loop {
            while tls.wants_write() {
                // Where it is closed already, what was said before is still there to be read.
                if tls.write_tls(socket).is_err() {
                    break;
                }
            }
            match tls.read_tls(socket) {
                Ok(1..) => {}
                Ok(0) => return Outcome::Ended,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Outcome::Ended;
                }
                Err(error) => panic!("hotgate is silent: {error}"),
            }
            match tls.process_new_packets() {
                Ok(_) => {}
                Err(rustls::Error::AlertReceived(alert)) => return Outcome::Alert(alert),
                Err(error) => panic!("hotgate breaks the protocol: {error}"),
            }
            let mut piece = [0; 64];
            if let Ok(1..) = tls.reader().read(&mut piece) {
                assert!(piece.starts_with(b"HTTP/1.1 200 "), "{piece:?}");
                return Outcome::Served;
            }
        }
    }

    fn is_alert(self) -> bool {
        matches!(self, Outcome::Alert(_))
    }
}

/// Adds certificates of `each` octets to the leaf's, and one that fills up the message to `size` octets.
fn fill(leaf: &mut Leaf, version: &SupportedProtocolVersion, size: usize, each: usize) {
    // RFC 5246 §7.4.2: a list of certificates. RFC 8446 §4.4.2 has a context before it and extensions behind each.
    let (list, entry) = match version.version {
        rustls::ProtocolVersion::TLSv1_3 => (1 + 3, 3 + 2),
        _ => (3, 3),
    };
    let mut left = size - list - (entry + leaf.chain[0].len());
    while left >= 2 * (entry + each) {
        leaf.chain.push(CertificateDer::from(vec![0x30; each]));
        left -= entry + each;
    }
    let last = vec![0x30; left - entry];
    leaf.chain.push(CertificateDer::from(last));
}

#[test]
fn a_chain_is_served_up_to_its_limit_and_refused_beyond_it() {
    // None of them is a matter of time: a test waits for twenty seconds.
    let stage = Stage::new("1h");
    let mut bystander = stage.bystander();
    for version in [&TLS12, &TLS13] {
        //    octets of the message          of each certificate   is served
        for (size, each, is_served) in [
            (MESSAGE_BYTES_MAX - 1, 2000, true),
            (MESSAGE_BYTES_MAX, 2000, true),
            (MESSAGE_BYTES_MAX, 1, true),
            (MESSAGE_BYTES_MAX + 1, 2000, false),
            (MESSAGE_BYTES_MAX + 1, 1, false),
            (200_000, 2000, false),
            (200_000, 190_000, false),
            (1 << 20, 2000, false),
        ] {
            let mut leaf = stage.clients.client("alice");
            fill(&mut leaf, version, size, each);
            let config = stage.asker(version, &leaf).config();
            let outcome = stage.outcome((*config).clone());
            let what = format!("{version:?}, {size} octets, {each} each: {outcome:?}");
            // rustls has no alert for a message that is too long (`HandshakePayloadTooLarge`): the connection is closed.
            let expected = if is_served {
                Outcome::Served
            } else {
                Outcome::Ended
            };
            assert_eq!(outcome, expected, "{what}");
            assert_eq!(bystander.get("/").status, 200, "{what}");
        }
    }
}

/// The state of a session has the client's chain in it, and a ticket comes back in a ClientHello, which may not be as large.
#[test]
fn who_was_let_in_with_a_large_chain_is_let_in_again() {
    let stage = Stage::new("10s");
    for version in [&TLS12, &TLS13] {
        for size in [1000, 7000, 8500, 15_000, 17_000, 40_000, MESSAGE_BYTES_MAX] {
            let mut leaf = stage.clients.client("alice");
            fill(&mut leaf, version, size, 2000);
            let config = stage.asker(version, &leaf).config();
            for time in ["first", "second", "third"] {
                // Sessions are remembered in what the copies share.
                let outcome = stage.outcome((*config).clone());
                assert_eq!(
                    outcome,
                    Outcome::Served,
                    "{version:?}, {size} octets, {time}"
                );
            }
        }
    }
}

/// rustls sends no records smaller than this; with TLS 1.3 that is nearly twice the octets on the wire.
#[test]
fn a_chain_in_the_smallest_records_is_served() {
    let stage = Stage::new("10s");
    let mut bystander = stage.bystander();
    for version in [&TLS12, &TLS13] {
        let mut leaf = stage.clients.client("alice");
        fill(&mut leaf, version, MESSAGE_BYTES_MAX, 2000);
        let mut config = (*stage.asker(version, &leaf).config()).clone();
        config.max_fragment_size = Some(64);
        assert_eq!(stage.outcome(config), Outcome::Served, "{version:?}");
        assert_eq!(bystander.get("/").status, 200);
    }
}

#[test]
fn who_has_a_hundred_possible_issuers_is_refused_without_trying_them_all() {
    let stage = Stage::new("10s");
    let mut bystander = stage.bystander();
    // All of this name, signed by whom we believe; and none of them has signed the leaf.
    let possible = stage.clients.authority("middle").certificate();
    let mut leaf = Authority::new("middle").client("mallory");
    let room = MESSAGE_BYTES_MAX / (possible.len() + 5) - 2;
    assert!(room > 100, "{room}");
    leaf.chain.extend(vec![possible; room]);
    // A ladder of authorities that leads to nobody we know.
    let mut rung = Authority::new("nobody");
    let mut ladder = vec![rung.certificate()];
    for _ in 0..100 {
        rung = rung.authority("rung");
        ladder.insert(0, rung.certificate());
    }
    let mut climber = rung.client("mallory");
    climber.chain.extend(ladder);
    for (what, leaf) in [("possible issuers", leaf), ("a ladder", climber)] {
        for version in [&TLS12, &TLS13] {
            let config = stage.asker(version, &leaf).config();
            let outcome = stage.outcome((*config).clone());
            assert!(outcome.is_alert(), "{what}, {version:?}: {outcome:?}");
            assert_eq!(bystander.get("/").status, 200, "{what}");
        }
    }
}

/// Many who begin such a chain and leave it unfinished: each costs what has come of it, until its time is over.
#[test]
fn unfinished_chains_take_bounded_memory_until_the_deadline() {
    const CLIENTS: u64 = 60;
    /// What a handshake may keep waiting, and something for rustls beside it.
    const EACH_KIB_MAX: u64 = 128 + 32;
    let stage = Stage::new("3s");
    let mut bystander = stage.bystander();
    let mut leaf = stage.clients.client("alice");
    fill(&mut leaf, &TLS12, MESSAGE_BYTES_MAX, 2000);
    let config = stage.asker(&TLS12, &leaf).config();
    assert_eq!(stage.outcome((*config).clone()), Outcome::Served);
    assert_eq!(bystander.get("/").status, 200);
    let pid = stage.hotgate.pid();
    let before = proc::private_dirty_kib(pid);

    let begun: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let (mut socket, mut tls) = (stream(stage.address()), connection(&config, "m.test"));
            // The client's second flight has the chain in it.
            let mut flights = Vec::new();
            while flights.len() < MESSAGE_BYTES_MAX {
                flights.clear();
                while tls.wants_write() {
                    tls.write_tls(&mut flights).expect("a vector");
                }
                if flights.len() < MESSAGE_BYTES_MAX {
                    socket.write_all(&flights).expect("hotgate reads");
                    tls.read_tls(&mut socket).expect("hotgate answers");
                    tls.process_new_packets().expect("a handshake");
                }
            }
            socket
                .write_all(&flights[..MESSAGE_BYTES_MAX - 100])
                .expect("hotgate reads");
            socket
        })
        .collect();
    // Until all are at an end; others are served meanwhile.
    let mut most = 0;
    for mut socket in begun {
        socket.set_nonblocking(true).expect("a socket");
        poll_until("the end of an unfinished handshake", || {
            most = most.max(proc::private_dirty_kib(pid));
            assert_eq!(bystander.get("/").status, 200);
            match socket.read(&mut [0; 64]) {
                Ok(0) => Some(()),
                Ok(_) => None,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                Err(_) => Some(()),
            }
        });
    }
    let each = most.saturating_sub(before) / CLIENTS;
    println!("an unfinished chain: {each} KiB each, from {before} to {most} KiB");
    assert!(
        most > before + CLIENTS * 32,
        "they were there: {before} to {most} KiB"
    );
    assert!(each <= EACH_KIB_MAX, "{each} KiB each");
    // And it is given back.
    let slack = 4 << 10;
    poll_until("the memory to be given back", || {
        let _ = bystander.get("/");
        let_pass(std::time::Duration::from_millis(50));
        (proc::private_dirty_kib(pid) <= before + slack).then_some(())
    });
    assert_eq!(stage.outcome((*config).clone()), Outcome::Served);
}
