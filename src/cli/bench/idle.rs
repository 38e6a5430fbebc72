//! Memory: after a start, and for each of many connections that do nothing.
//!
//! What counts is Private_Dirty, memory that a process alone has and has written to, of the proxy with its children.
//! The kernel's own memory for sockets is not in it: it is the same for all.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::account::private_dirty;
use super::client::Client;
use super::contender::{Contender, Running};
use super::cores::Cores;
use super::fault::Fault;
use super::metric::{Metric, Reading};
use super::process::{Folder, pause};
use super::series::Column;
use super::setups::{Setup, Sites};
use super::tls_client::Negotiated;
use crate::cli::talk::mention;

/// Connections that a profile would like to have.
const CONNECTIONS_WANTED: usize = 10_000;
/// Descriptors that are no connections: of logs, listeners, libraries.
const DESCRIPTOR_RESERVE: u64 = 256;
/// How long a connection has been idle when it is weighed.
const IDLE: Duration = Duration::from_secs(3);
/// How long a proxy rests after its start before it is weighed.
const REST: Duration = Duration::from_secs(1);
/// How long it may take until all requests are with the origin.
const HELD_MAX: Duration = Duration::from_secs(60);

/// What the connections are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Connections {
    /// Each has made a request; then all are busy at once.
    Plain,
    /// The same over TLS.
    Tls,
    /// Each is a WebSocket that has echoed.
    WebSocket,
    /// There are none: what a start takes.
    None,
}

/// What came of all weighings.
pub(super) struct Weighed {
    /// A column for each contender, in their order.
    pub(super) columns: Vec<Column>,
    /// How each was set up, in the same order.
    pub(super) configs: Vec<String>,
    /// What a handshake with each came to.
    pub(super) negotiated: Vec<Negotiated>,
}

/// How many connections so many descriptors a process allow: a proxy may need two for each.
pub(super) fn connections_for(descriptors: u64) -> usize {
    let connections = descriptors.saturating_sub(DESCRIPTOR_RESERVE) / 2;
    usize::try_from(connections)
        .unwrap_or(usize::MAX)
        .min(CONNECTIONS_WANTED)
}

/// Weighs every contender so many times, each time anew from its start.
///
/// # Errors
///
/// One does not start, or does not carry the connections.
pub(super) fn weigh(
    contenders: &[&Contender],
    connections: Connections,
    rounds: usize,
    setup: Setup<'_>,
    cores: &Cores,
    folder: &Folder,
) -> Result<Weighed, Fault> {
    let mut configs = vec![String::new(); contenders.len()];
    let mut negotiated = Vec::new();
    let mut columns: Vec<Column> = contenders
        .iter()
        .map(|contender| Column {
            name: contender.name.clone(),
            readings: Vec::new(),
        })
        .collect();
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let index = (turn + round) % contenders.len();
            let running = contenders[index].start(setup, &cores.proxy, folder)?;
            if connections != Connections::None {
                negotiated.extend(running.check(Sites::Any)?);
            }
            let reading = match connections {
                Connections::None => start(&running)?,
                Connections::Plain | Connections::Tls => busy_and_idle(&running, setup)?,
                Connections::WebSocket => websockets(&running, setup)?,
            };
            tell(round, rounds, &running, &reading);
            configs[index].clone_from(&running.config);
            columns[index].readings.push(reading);
        }
    }
    Ok(Weighed {
        columns,
        configs,
        negotiated,
    })
}

fn start(running: &Running) -> Result<Reading, Fault> {
    pause(REST);
    Ok(Reading::from([(Metric::PrivateDirty, memory(running)?)]))
}

fn busy_and_idle(running: &Running, setup: Setup<'_>) -> Result<Reading, Fault> {
    pause(REST);
    let before = memory(running)?;
    let host = running.host();
    let mut clients = Vec::with_capacity(setup.connections);
    for number in 0..setup.connections {
        let asked = running.connect().and_then(|mut client| {
            let answer = client.ask(&host, "/")?;
            Ok((client, answer))
        });
        match asked {
            Ok((client, answer)) if answer.status == 200 => clients.push(client),
            Ok((_, answer)) => return Err(broken(running, number, &answer.status.to_string())),
            Err(error) => return Err(broken(running, number, &error.to_string())),
        }
    }
    pause(IDLE);
    let idle = memory(running)?;
    for (number, client) in clients.iter_mut().enumerate() {
        let sent = client.send(&host, "/hold");
        sent.map_err(|error| broken(running, number, &error.to_string()))?;
    }
    release_when_all_are_held(running, setup.origin, clients.len())?;
    for (number, client) in clients.iter_mut().enumerate() {
        match client.receive() {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => return Err(broken(running, number, &answer.status.to_string())),
            Err(error) => return Err(broken(running, number, &error.to_string())),
        }
    }
    pause(IDLE);
    let after_busy = memory(running)?;
    let each = |octets: f64| (octets - before) / clients.len() as f64;
    Ok(Reading::from([
        (Metric::Connections, clients.len() as f64),
        (Metric::IdleOctets, each(idle)),
        (Metric::IdleOctetsAfterBusy, each(after_busy)),
        (Metric::PrivateDirty, after_busy),
    ]))
}

/// Waits until the origin holds that many requests, and lets go of them.
fn release_when_all_are_held(
    running: &Running,
    origin: SocketAddr,
    wanted: usize,
) -> Result<(), Fault> {
    let doing = || Fault::while_doing("asking the origin");
    let mut control = Client::connect(origin).map_err(doing())?;
    let host = origin.to_string();
    let began = Instant::now();
    loop {
        let answer = control.ask(&host, "/held").map_err(doing())?;
        let held = String::from_utf8_lossy(&answer.content)
            .parse()
            .unwrap_or(0usize);
        if held >= wanted {
            control.ask(&host, "/release").map_err(doing())?;
            return Ok(());
        }
        if began.elapsed() > HELD_MAX {
            return Err(Fault::Answer {
                name: running.name.clone(),
                why: format!("of {wanted} requests at once {held} came to the origin"),
            });
        }
        pause(Duration::from_millis(50));
    }
}

fn websockets(running: &Running, setup: Setup<'_>) -> Result<Reading, Fault> {
    pause(REST);
    let before = memory(running)?;
    let host = running.host();
    let mut clients = Vec::with_capacity(setup.connections);
    for number in 0..setup.connections {
        let opened = running.connect().and_then(|mut client| {
            client.become_websocket(&host)?;
            Ok(client)
        });
        clients.push(opened.map_err(|error| broken(running, number, &error.to_string()))?);
    }
    pause(IDLE);
    let idle = memory(running)?;
    Ok(Reading::from([
        (Metric::Connections, clients.len() as f64),
        (Metric::IdleOctets, (idle - before) / clients.len() as f64),
        (Metric::PrivateDirty, idle),
    ]))
}

fn memory(running: &Running) -> Result<f64, Fault> {
    let doing = format!("reading the memory of {}", running.name);
    let octets = private_dirty(running.process.pid()).map_err(Fault::while_doing(doing))?;
    Ok(octets as f64)
}

fn broken(running: &Running, number: usize, what: &str) -> Fault {
    Fault::Answer {
        name: running.name.clone(),
        why: format!("on connection {}: {what}", number + 1),
    }
}

fn tell(round: usize, rounds: usize, running: &Running, reading: &Reading) {
    let shown: Vec<String> = reading
        .iter()
        .filter_map(|(metric, value)| Some(format!("{} {}", metric.title()?, metric.shown(*value))))
        .collect();
    mention(&format!(
        "  {:>2}/{rounds} {:18} {}",
        round + 1,
        running.name,
        shown.join("  ")
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_limit_connections() {
        assert_eq!(connections_for(20_000), (20_000 - 256) / 2);
        assert_eq!(connections_for(1024), 384);
        assert_eq!(connections_for(100), 0);
        assert_eq!(connections_for(u64::MAX), CONNECTIONS_WANTED);
    }
}
