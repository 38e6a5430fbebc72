//! What the black-box tests stand on: the binary as a child process, a scripted origin, a raw client.
//!
//! Everything here speaks to `hotgate` from outside, over real sockets on port 0, and shares no code with
//! it: [`message`] is a parser too simple to be wrong, so that a fault in hotgate's own cannot hide itself.
//!
//! - [`Hotgate`] starts the binary with a configuration, waits until it serves, and ends it on drop.
//! - [`Origin`] runs one script per connection and keeps, byte for byte, what each connection received.
//! - [`Client`] sends bytes exactly as told and reads responses or the close.
//! - [`skip`] is the one way for a test to say that it could not run.
//!
//! Nothing sleeps to be safe: a test waits for an event, and every wait ends at [`DEADLINE`].
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "every test binary compiles this folder and uses its own part of it"
)]

pub mod app;
pub mod back;
pub mod client;
pub mod corpus;
pub mod event;
pub mod hotgate;
pub mod message;
pub mod origin;
pub mod proc;
pub mod skip;
pub mod tls;
pub mod upgrade;

use std::{
    io::{self, Read, Write},
    time::{Duration, Instant},
};

pub use self::{
    app::App,
    client::Client,
    event::Event,
    hotgate::{Config, Hotgate},
    message::{Request, Response},
    origin::{Connection, Origin, Record},
};

/// How long a test waits for something that has to happen. Generous, because a loaded machine is not a fault.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Lets `duration` pass, for rules that are about time itself (idle limits, keep-alive limits).
pub fn let_pass(duration: Duration) {
    let end = Instant::now() + duration;
    while let Some(left) = end
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
    {
        std::thread::park_timeout(left);
    }
}

/// Asks again and again until `look` has an answer; for what offers no event to wait on (`/proc`, a child's exit).
///
/// # Panics
///
/// At [`DEADLINE`], with `what` in the message.
#[track_caller]
pub fn poll_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            Instant::now() < end,
            "waited {DEADLINE:?} in vain for {what}"
        );
        let_pass(Duration::from_millis(5));
    }
}

/// Reads, and reads again when a signal came in between (a stopped and continued machine is enough: `signal(7)`).
pub fn read_once(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Writes as much as goes within the socket's write timeout of the last progress; how much that was.
pub fn write_while_taken(stream: &mut impl Write, bytes: &[u8]) -> usize {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(length) => sent += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    sent
}

/// The one site `a.test` in front of `port`.
pub fn site(port: u16) -> String {
    format!("[sites]\n\"http://a.test\" = {port}\n")
}

/// Bytes as text for messages: escapes for what is not printable, the middle left out when it is long.
pub fn show(bytes: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 1200;
    if bytes.len() <= SHOWN_BYTES_MAX {
        return bytes.escape_ascii().to_string();
    }
    let (head, tail) = (
        &bytes[..SHOWN_BYTES_MAX / 2],
        &bytes[bytes.len() - SHOWN_BYTES_MAX / 2..],
    );
    format!(
        "{} … {} octets … {}",
        head.escape_ascii(),
        bytes.len() - head.len() - tail.len(),
        tail.escape_ascii()
    )
}
