//! `hotgate bench-origin`: the origin behind the proxies that are compared, cheap enough not to be what is measured.
//!
//! One task a connection, all heads of one receive answered with one send. It knows so much of HTTP as proxies send
//! it: heads, Content-Length, Connection: close. Paths:
//!
//! | path | answer |
//! |---|---|
//! | `/` | 128 octets |
//! | `/bytes/N` | N octets |
//! | `/ws` | 101, then every octet comes back |
//! | `/hold` | 128 octets, but only after `/release` was asked for |
//! | `/held` | how many are being held |
//! | `/release` | lets go of those that are held |
//!
//! The last three are about one thread's connections: whoever uses them starts the origin with one thread.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::super::Exit;
use super::super::talk::say;
use super::request::{Asked, Read, Request, read_request};
use crate::config::Backend;
use crate::control::limits::raise_descriptor_limit;
use crate::net::deadline::run_wheel;
use crate::net::ladder;
use crate::net::listener::{Accepted, accept_until, bind};
use crate::net::{Buffer, Class, Notify, Receiver, Sender, Stream, spawn};

/// What `bench-origin` takes.
#[derive(clap::Args)]
pub(in crate::cli) struct OriginArgs {
    /// Where it listens
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Threads, each with a ring and a listener of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
}

/// Holds the heads that a proxy sends at once, also pipelined ones.
const INPUT: Class = Class::Piece;
/// Octets before a large answer's content, for its head.
const HEAD_ROOM: usize = 256;
/// The accept key for [`WEBSOCKET_KEY`]: RFC 6455 §1.3 works both out.
const WEBSOCKET_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// The one key that `/ws` is asked with; computing the answer to any other would take SHA-1.
pub(super) const WEBSOCKET_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Serves until it is killed.
pub(in crate::cli) fn origin(args: &OriginArgs) -> Exit {
    raise_descriptor_limit();
    let bound = (0..args.threads).map(|_| bind(args.listen, false, true));
    let listeners: Vec<TcpListener> = match bound.collect() {
        Ok(listeners) => listeners,
        Err(error) => {
            say(&format!("error: cannot listen on {}: {error}", args.listen));
            return Exit::Failed;
        }
    };
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|listener| std::thread::spawn(|| ladder::block_on(Backend::Auto, |_| serve(listener))))
        .collect();
    for thread in threads {
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => say(&format!("error: {error}")),
            Err(_) => say("error: a thread of the origin has died"),
        }
    }
    Exit::Failed
}

async fn serve(listener: TcpListener) {
    let wheel = async {
        if let Err(error) = run_wheel().await {
            say(&format!("error: the origin's timer: {error}"));
        }
    };
    spawn(wheel, || {});
    let (gate, never) = (Rc::new(Gate::default()), Notify::new());
    let hand_over = |accepted| match accepted {
        Accepted::Connection(stream, _) => {
            let connection = Connection::new(&stream, gate.clone());
            // A peer that has gone ends its connection and nothing else.
            spawn(async { drop(connection.serve().await) }, || {});
        }
        Accepted::Failed(error) => say(&format!("warning: the origin's accept: {error}")),
    };
    if let Err(error) = accept_until(listener, &never, hand_over).await {
        say(&format!("error: the origin cannot accept: {error}"));
    }
}

/// The answers that are held back until somebody asks for their release.
#[derive(Default)]
struct Gate {
    held: Cell<usize>,
    releases: Cell<u64>,
    waiters: RefCell<Vec<Waker>>,
}

impl Gate {
    async fn wait(&self) {
        let release = self.releases.get();
        self.held.set(self.held.get() + 1);
        poll_fn(|cx| {
            if self.releases.get() != release {
                return Poll::Ready(());
            }
            self.waiters.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
        self.held.set(self.held.get() - 1);
    }

    fn release(&self) {
        self.releases.set(self.releases.get() + 1);
        self.waiters.take().into_iter().for_each(Waker::wake);
    }
}

struct Connection {
    receiver: Receiver,
    sender: Sender,
    /// Answers that have not been sent yet.
    output: Option<Buffer>,
    gate: Rc<Gate>,
}

/// Does the connection go on?
#[derive(PartialEq, Eq)]
enum Next {
    Request,
    End,
}

impl Connection {
    fn new(stream: &Stream, gate: Rc<Gate>) -> Connection {
        Connection {
            receiver: stream.receiver(),
            sender: stream.sender(),
            output: None,
            gate,
        }
    }

    async fn serve(mut self) -> io::Result<()> {
        let mut input = Buffer::rent(INPUT);
        // A request whose body is still on its way, and how much of it.
        let mut waiting: Option<(Request, u64)> = None;
        loop {
            if let Some((request, left)) = waiting.take() {
                let here = left.min(input.len() as u64);
                input.consume(here as usize);
                if here < left {
                    waiting = Some((request, left - here));
                } else if self.answer(&request, &mut input).await? == Next::End {
                    return self.flush().await;
                } else {
                    continue;
                }
            } else {
                match read_request(input.window()) {
                    Read::Whole(request) => {
                        input.consume(request.head_octets);
                        let body = request.body_octets;
                        waiting = Some((request, body));
                        continue;
                    }
                    Read::Incomplete if input.len() == input.capacity() => return Ok(()),
                    Read::Incomplete => {}
                    Read::Bad => {
                        self.append(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                            .await?;
                        return self.flush().await;
                    }
                }
            }
            // More is needed. The receive is armed before the answers leave, so that both cost one system call.
            let due = waiting.as_ref().map_or(0, |(_, left)| *left);
            self.receiver.arm(emptied(input, due));
            self.flush().await?;
            let (result, buffer) = self.receiver.recv().await;
            input = buffer;
            if result? == 0 {
                return Ok(());
            }
        }
    }

    async fn answer(&mut self, request: &Request, input: &mut Buffer) -> io::Result<Next> {
        match request.asked {
            Asked::Small => self.append(SMALL.as_bytes()).await?,
            Asked::Octets(count) => self.send_octets(count).await?,
            Asked::Hold => {
                self.flush().await?;
                self.gate.wait().await;
                self.append(SMALL.as_bytes()).await?;
            }
            Asked::Held => {
                let held = self.gate.held.get().to_string();
                let head = head("200 OK", held.len() as u64);
                self.append(format!("{head}{held}").as_bytes()).await?;
            }
            Asked::Release => {
                self.gate.release();
                self.append(head("204 No Content", 0).as_bytes()).await?;
            }
            Asked::WebSocket => {
                self.append(switching().as_bytes()).await?;
                self.flush().await?;
                self.echo(input).await?;
                return Ok(Next::End);
            }
            Asked::Unknown => self.append(head("404 Not Found", 0).as_bytes()).await?,
        }
        Ok(match request.closes {
            true => Next::End,
            false => Next::Request,
        })
    }

    /// Puts octets behind the answers that are to be sent; sends those first when there is no more room.
    async fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        let output = self.output.get_or_insert_with(|| Buffer::rent(INPUT));
        if output.append(octets) {
            return Ok(());
        }
        self.flush().await?;
        let output = self.output.insert(Buffer::rent(INPUT));
        assert!(output.append(octets), "an answer fits into a fresh buffer");
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        match self.output.take() {
            Some(output) => send(&self.sender, output).await.map(drop),
            None => Ok(()),
        }
    }

    /// A head and `count` octets. What they are is of no meaning: they are what the block happens to hold.
    async fn send_octets(&mut self, count: u64) -> io::Result<()> {
        self.flush().await?;
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        let class = Class::holding(wanted.saturating_add(HEAD_ROOM)).unwrap_or(Class::Giant);
        let mut block = Buffer::rent(class);
        let head = head("200 OK", count);
        let start = HEAD_ROOM - head.len();
        block.set_window(start, HEAD_ROOM);
        block.window_mut().copy_from_slice(head.as_bytes());
        let (room, mut left) = (block.capacity() - HEAD_ROOM, wanted);
        let mut start = start;
        loop {
            let piece = left.min(room);
            block.set_window(start, HEAD_ROOM + piece);
            block = send(&self.sender, block).await?;
            (start, left) = (HEAD_ROOM, left - piece);
            if left == 0 {
                return Ok(());
            }
        }
    }

    async fn echo(&mut self, input: &mut Buffer) -> io::Result<()> {
        let mut buffer = Buffer::rent(Class::Head);
        // What came right behind the head fits only if it is small, and frames that are sent here are.
        if buffer.append(input.window()) && !buffer.is_empty() {
            buffer = send(&self.sender, buffer).await?;
        }
        loop {
            buffer.set_window(0, 0);
            self.receiver.arm(buffer);
            let (result, received) = self.receiver.recv().await;
            if result? == 0 {
                return Ok(());
            }
            buffer = send(&self.sender, received).await?;
        }
    }
}

/// Sends the whole window and gives the buffer back.
async fn send(sender: &Sender, mut buffer: Buffer) -> io::Result<Buffer> {
    while !buffer.is_empty() {
        let (result, back) = sender.send_some(buffer).await;
        buffer = back;
        result?;
    }
    Ok(buffer)
}

/// A buffer with the same window and room behind it; a large one where a body of `due` octets is awaited.
fn emptied(input: Buffer, due: u64) -> Buffer {
    let wanted = match due {
        0 => INPUT,
        due if due <= INPUT.bytes() as u64 => INPUT,
        _ => Class::Huge,
    };
    if input.class() == wanted && input.is_empty() {
        let mut input = input;
        input.set_window(0, 0);
        return input;
    }
    if input.class() == wanted && input.start() == 0 {
        return input;
    }
    input.moved_to(wanted)
}

fn head(status: &str, octets: u64) -> String {
    format!(
        "HTTP/1.1 {status}\r\nServer: bench-origin\r\nContent-Type: text/plain\r\nContent-Length: {octets}\r\n\r\n"
    )
}

fn switching() -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {WEBSOCKET_ACCEPT}\r\n\r\n"
    )
}

/// The answer to `/`, head and all: made once, at compile time.
const SMALL: &str = "HTTP/1.1 200 OK\r\nServer: bench-origin\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n\
                     0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
                     0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_answer_is_as_long_as_it_says() {
        let (_, content) = SMALL.split_once("\r\n\r\n").expect("a head");
        assert_eq!(content.len(), 128);
        assert!(SMALL.starts_with(&head("200 OK", 128)));
        assert!(head("200 OK", u64::MAX).len() <= HEAD_ROOM);
    }

    #[test]
    fn a_partial_head_keeps_its_octets_and_gets_room() {
        let mut input = Buffer::rent(INPUT);
        let end = input.capacity();
        input.set_window(end - 5, end);
        input.window_mut().copy_from_slice(b"GET /");
        let input = emptied(input, 0);
        assert_eq!((input.start(), input.window()), (0, &b"GET /"[..]));
        // A whole body in sight, and back again.
        let mut large = emptied(Buffer::rent(INPUT), 1 << 20);
        assert_eq!(large.class(), Class::Huge);
        assert!(large.append(b"GET"));
        assert_eq!(emptied(large, 0).class(), INPUT);
    }
}
