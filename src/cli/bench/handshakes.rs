//! `hotgate bench-handshakes`: a connection over TLS for each request, as fast as it goes, full or resumed.
//!
//! wrk cannot say which of the two it gets. Here each client is a thread that has tickets of its own, or none, and of
//! every handshake it is looked what it was: another kind than was asked for is an error, and counts as no answer.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use rustls::{ClientConfig, HandshakeKind};
use serde_json::json;

use super::super::Exit;
use super::super::talk::conclude;
use super::certificate::NAME;
use super::client::Client;
use super::statistics::percentile;
use super::tls_client::{Tickets, config};
use crate::net::clock::precise_nanos;

/// What `bench-handshakes` takes.
#[derive(clap::Args)]
pub(in crate::cli) struct HandshakesArgs {
    /// Whom to ask
    #[arg(long, value_name = "ADDRESS")]
    target: SocketAddr,
    /// Full handshakes, or resumed ones
    #[arg(long)]
    kind: Handshake,
    /// The certificate that is shown, as PEM
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Clients, each with one connection at a time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    clients: u16,
    /// For how long
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

/// A kind of handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(in crate::cli) enum Handshake {
    /// With a certificate and its signature
    Full,
    /// With a ticket of an earlier one
    Resumed,
}

impl Handshake {
    /// As it is named on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Handshake::Full => "full",
            Handshake::Resumed => "resumed",
        }
    }

    /// Is it what was asked for? A handshake with a second hello is none: it does more than one of the others.
    fn is(self, found: HandshakeKind) -> bool {
        match self {
            Handshake::Full => found == HandshakeKind::Full,
            Handshake::Resumed => found == HandshakeKind::Resumed,
        }
    }

    fn tickets(self) -> Tickets {
        match self {
            Handshake::Full => Tickets::Dropped,
            Handshake::Resumed => Tickets::Kept,
        }
    }
}

/// Asks, and prints one JSON object.
pub(in crate::cli) fn handshakes(args: &HandshakesArgs) -> Exit {
    conclude(args.target, run(args).map(Tally::told))
}

#[derive(Default)]
struct Tally {
    /// From the connect to the answer, in microseconds; of handshakes of the right kind.
    latencies: Vec<u32>,
    /// Handshakes of another kind.
    wrong: u64,
    /// Connections that came to nothing.
    failed: u64,
    seconds: f64,
}

impl Tally {
    fn with(mut self, other: Tally) -> Tally {
        self.latencies.extend(other.latencies);
        self.wrong += other.wrong;
        self.failed += other.failed;
        self.seconds = self.seconds.max(other.seconds);
        self
    }

    fn told(mut self) -> String {
        self.latencies.sort_unstable();
        let told = json!({
            "requests": self.latencies.len(),
            "seconds": self.seconds,
            "p50_us": percentile(&self.latencies, 0.50),
            "p99_us": percentile(&self.latencies, 0.99),
            "errors": self.wrong + self.failed,
            "wrong_kind": self.wrong,
        });
        format!("{told}\n")
    }
}

fn run(args: &HandshakesArgs) -> io::Result<Tally> {
    let configs = (0..args.clients).map(|_| config(&args.certificate, args.kind.tickets()));
    let configs: Vec<Arc<ClientConfig>> = configs.collect::<io::Result<_>>()?;
    if args.kind == Handshake::Resumed {
        // A first ticket for each.
        for config in &configs {
            connect_and_ask(args.target, config)?;
        }
    }
    let began = precise_nanos();
    let end = began + args.seconds * 1_000_000_000;
    let tallies = std::thread::scope(|scope| {
        let threads: Vec<_> = configs
            .iter()
            .map(|config| scope.spawn(move || client(args, config, began, end)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().ok())
            .collect::<Option<Vec<_>>>()
    });
    let tallies = tallies.ok_or(io::Error::other("a client has died"))?;
    Ok(tallies.into_iter().fold(Tally::default(), Tally::with))
}

fn client(args: &HandshakesArgs, config: &Arc<ClientConfig>, began: u64, end: u64) -> Tally {
    let mut tally = Tally::default();
    let mut now = precise_nanos();
    while now < end {
        match connect_and_ask(args.target, config) {
            Ok((kind, answered)) if args.kind.is(kind) => {
                let micros = answered.saturating_sub(now) / 1000;
                let micros = u32::try_from(micros).unwrap_or(u32::MAX);
                tally.latencies.push(micros);
            }
            Ok(_) => tally.wrong += 1,
            Err(_) => tally.failed += 1,
        }
        now = precise_nanos();
    }
    tally.seconds = (now - began) as f64 / 1e9;
    tally
}

/// One connection with one request: what its handshake was, and when the answer was there (ns).
fn connect_and_ask(
    target: SocketAddr,
    config: &Arc<ClientConfig>,
) -> io::Result<(HandshakeKind, u64)> {
    let mut client = Client::connect_over_tls(target, config)?;
    let negotiated = client
        .negotiated()
        .ok_or(io::Error::other("no handshake"))?;
    let answer = client.ask_last(NAME, "/")?;
    if answer.status != 200 {
        return Err(io::Error::other(format!("status {}", answer.status)));
    }
    let answered = precise_nanos();
    // The proxy closes, as with `new-connection`; how it does that is not asked.
    client.wait_for_end();
    Ok((negotiated.kind, answered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_nothing_but_itself() {
        use HandshakeKind::{Full, FullWithHelloRetryRequest, Resumed};
        #[track_caller]
        fn check(kind: Handshake, fits: HandshakeKind) {
            for found in [Full, FullWithHelloRetryRequest, Resumed] {
                assert_eq!(kind.is(found), found == fits, "{found:?}");
            }
            let value = kind.to_possible_value().expect("it is not hidden");
            assert_eq!(value.get_name(), kind.name());
        }
        check(Handshake::Full, Full);
        check(Handshake::Resumed, Resumed);
    }

    #[test]
    fn another_kind_is_an_error_and_no_answer() {
        let one = Tally {
            latencies: vec![300, 100],
            wrong: 2,
            failed: 1,
            seconds: 1.0,
        };
        let other = Tally {
            latencies: vec![200],
            wrong: 1,
            failed: 0,
            seconds: 1.5,
        };
        let told = one.with(other).told();
        let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        assert_eq!((&told["requests"], &told["errors"]), (&json!(3), &json!(4)));
        assert_eq!(
            (&told["wrong_kind"], &told["seconds"]),
            (&json!(3), &json!(1.5))
        );
        assert_eq!(told["p50_us"], json!(200));
    }
}
