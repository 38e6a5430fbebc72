//! `hotgate bench-paced`: small requests at a fixed rate, each timed from when it was due.
//!
//! For where oha is missing. A request that is due while all connections wait for answers is sent late, and its
//! time counts from when it was due: a proxy that stalls cannot hide it by being asked less. One thread, one epoll.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use serde_json::json;

use super::super::Exit;
use super::super::talk::{conclude, say};
use super::client::{content_length, head_length, status};
use super::statistics::percentile;
use crate::net::clock::precise_nanos;

/// What `bench-paced` takes.
#[derive(clap::Args)]
pub(in crate::cli) struct PacedArgs {
    /// Whom to ask
    #[arg(long, value_name = "ADDRESS")]
    target: SocketAddr,
    /// Requests a second
    #[arg(long)]
    rate: f64,
    /// Connections
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,
    /// For how long
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// For what
    #[arg(long, default_value = "/")]
    path: String,
}

/// How long after the last request was due answers are waited for.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// What one read takes: an answer of these profiles is smaller.
const READ_OCTETS: usize = 64 << 10;
/// Events that one wait brings.
const EVENTS_MAX: usize = 256;

/// Asks, and prints one JSON object.
pub(in crate::cli) fn paced(args: &PacedArgs) -> Exit {
    if !(args.rate.is_finite() && args.rate > 0.0) {
        say("error: --rate is a number above 0");
        return Exit::Usage;
    }
    conclude(args.target, run(args).map(Tally::told))
}

#[derive(Default)]
struct Tally {
    /// Of each answer, in microseconds.
    latencies: Vec<u32>,
    errors: u64,
    seconds: f64,
}

impl Tally {
    fn told(mut self) -> String {
        self.latencies.sort_unstable();
        let told = json!({
            "requests": self.latencies.len(),
            "seconds": self.seconds,
            "p50_us": percentile(&self.latencies, 0.50),
            "p99_us": percentile(&self.latencies, 0.99),
            "errors": self.errors,
        });
        format!("{told}\n")
    }
}

struct Connection {
    stream: TcpStream,
    /// When the request that it carries was due (ns).
    due: u64,
    is_busy: bool,
    /// What has come of the answer.
    octets: Vec<u8>,
}

fn run(args: &PacedArgs) -> io::Result<Tally> {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n",
        args.path, args.target
    );
    let interval = 1e9 / args.rate;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    let timer = Timer::new(&poll)?;
    let mut connections = Vec::new();
    for index in 0..u64::from(args.clients) {
        let connection = Connection::open(args.target)?;
        watch(&poll, &connection, index)?;
        connections.push(connection);
    }
    let mut free: VecDeque<usize> = (0..connections.len()).collect();
    let mut tally = Tally::default();
    let mut buffer = vec![0; READ_OCTETS];
    let mut events = Vec::with_capacity(EVENTS_MAX);
    let began = precise_nanos();
    let end = began + args.seconds * 1_000_000_000;
    let last_wait = end + ANSWER_MAX.as_nanos() as u64;
    let mut sent = 0u64;
    loop {
        let due = began + (sent as f64 * interval) as u64;
        let mut now = precise_nanos();
        if due <= now
            && due < end
            && let Some(index) = free.pop_front()
        {
            sent += 1;
            let connection = &mut connections[index];
            (connection.due, connection.is_busy) = (due, true);
            if connection.stream.write_all(request.as_bytes()).is_err() {
                replace(&poll, connection, index, args.target, &mut free, &mut tally)?;
            }
            continue;
        }
        let is_over = due >= end;
        if (is_over && free.len() == connections.len()) || now > last_wait {
            tally.seconds = (now.max(end) - began) as f64 / 1e9;
            tally.errors += (connections.len() - free.len()) as u64;
            return Ok(tally);
        }
        let until = match free.is_empty() || is_over {
            true => last_wait,
            false => due,
        };
        timer.set(until)?;
        events.clear();
        wait(&poll, &mut events)?;
        now = precise_nanos();
        for event in &events {
            let index = event.data.u64() as usize;
            let Some(connection) = connections.get_mut(index) else {
                timer.take();
                continue;
            };
            match connection.receive(&mut buffer) {
                Ok(true) => {
                    let micros = now.saturating_sub(connection.due) / 1000;
                    tally
                        .latencies
                        .push(u32::try_from(micros).unwrap_or(u32::MAX));
                    connection.is_busy = false;
                    free.push_back(index);
                }
                Ok(false) => {}
                Err(_) => replace(&poll, connection, index, args.target, &mut free, &mut tally)?,
            }
        }
    }
}

impl Connection {
    fn open(target: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(target)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            due: 0,
            is_busy: false,
            octets: Vec::new(),
        })
    }

    /// Reads what is there; true once the answer is whole, and of status 200.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let count = match self.stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        self.octets.extend_from_slice(&buffer[..count]);
        let Some(head) = head_length(&self.octets) else {
            return Ok(false);
        };
        let length = content_length(&self.octets[..head]).ok_or(io::ErrorKind::InvalidData)?;
        match self.octets.len() >= head + length {
            true if self.is_busy && status(&self.octets) == Some(200) => {
                self.octets.clear();
                Ok(true)
            }
            true => Err(io::ErrorKind::InvalidData.into()),
            false => Ok(false),
        }
    }
}

/// A new connection in the place of one that failed.
fn replace(
    poll: &OwnedFd,
    connection: &mut Connection,
    index: usize,
    target: SocketAddr,
    free: &mut VecDeque<usize>,
    tally: &mut Tally,
) -> io::Result<()> {
    // One that was closed while it waited for nothing has cost no request.
    if connection.is_busy {
        tally.errors += 1;
        free.push_back(index);
    }
    *connection = Connection::open(target)?;
    watch(poll, connection, index as u64)
}

fn watch(poll: &OwnedFd, connection: &Connection, index: u64) -> io::Result<()> {
    let data = EventData::new_u64(index);
    Ok(epoll::add(poll, &connection.stream, data, EventFlags::IN)?)
}

fn wait(poll: &OwnedFd, events: &mut Vec<Event>) -> io::Result<()> {
    match epoll::wait(poll, rustix::buffer::spare_capacity(events), None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// When the next request is due: epoll's own limit is in whole milliseconds, in which some thirty are.
struct Timer {
    fd: OwnedFd,
}

impl Timer {
    /// Of no connection's number.
    const INDEX: u64 = u64::MAX;

    fn new(poll: &OwnedFd) -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        epoll::add(poll, &fd, EventData::new_u64(Timer::INDEX), EventFlags::IN)?;
        Ok(Timer { fd })
    }

    /// Goes off at this reading of CLOCK_MONOTONIC (ns), at once if it has passed.
    fn set(&self, at: u64) -> io::Result<()> {
        let time = |nanos: u64| Timespec {
            tv_sec: (nanos / 1_000_000_000) as i64,
            tv_nsec: (nanos % 1_000_000_000) as i64,
        };
        let spec = Itimerspec {
            it_interval: time(0),
            it_value: time(at),
        };
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &spec)?;
        Ok(())
    }

    fn take(&self) {
        // Nothing to read: it was set anew in between.
        let _ = rustix::io::read(&self.fd, &mut [0; 8]);
    }
}
