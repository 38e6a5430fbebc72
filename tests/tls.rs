//! TLS from outside: whom a client is given, what it gets, how a connection begins and ends.
//!
//! Certificates are made here; clients are rustls's buffered connection, openssl, curl and Python's ssl.

#[path = "tls/running.rs"]
mod running;
mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use hotgate::telemetry::counters::Counter;
use hotgate::tls::challenges::Challenges;
use hotgate::tls::policy::ClientPolicy;
use rustls::AlertDescription;
use rustls::version::{TLS12, TLS13};

use hotgate::tls::certs::Entry;
use running::{Names, Running, Scene};
use support::tls::{Asker, Authority, Front, connection};
use support::{Client, DEADLINE, Origin, let_pass, poll_until};

const SITES: &str = "[sites]\n\"a.test\" = 1\n";

/// An authority and one site of it.
struct Stage {
    authority: Authority,
    running: Running,
}

impl Stage {
    fn new(scene: Scene) -> Stage {
        let authority = Authority::new("test root");
        let leaf = authority.server(&["a.test"]);
        let entry = scene.entry(&[&leaf], &ClientPolicy::Off);
        let running = scene.start(&[("a.test", entry)]);
        Stage { authority, running }
    }

    fn front(&self) -> Front {
        Front::new(
            self.running.address,
            Asker::of(&self.authority).config(),
            "a.test",
        )
    }

    fn client(&self) -> Client {
        Client::connect(self.front().address())
    }
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
            assert_eq!(
                client.get(&format!("/{number}")).text(),
                format!("/{number}")
            );
        }
    }
    assert_eq!(stage.running.count(Counter::HandshakesFull), 2);
}
