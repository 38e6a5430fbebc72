//! An origin that does what a script says, and remembers what it was sent.
//!
//! Each connection gets a thread that runs the script with a [`Connection`]. When the script returns, the
//! connection is read to its end, so that every octet hotgate ever sent is in the [`Record`]; a script that wants
//! the connection closed says so. A script that panics fails the test at [`Origin::finish`] or on drop.

use std::{
    any::Any,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use super::{
    DEADLINE,
    message::{self, Parsed, Request},
    read_once, show, write_while_taken,
};

/// How long a connection may be silent before its script fails. Longer than any test's own waits.
const READ_PATIENCE: Duration = Duration::from_secs(120);

/// A listening origin.
pub struct Origin {
    address: Address,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What one connection received.
#[derive(Clone, Default, Debug)]
pub struct Record {
    /// Every octet, in order.
    pub bytes: Vec<u8>,
    /// Did hotgate end it (FIN or RST)?
    pub ended: bool,
}

impl Record {
    /// The whole requests in it.
    ///
    /// # Panics
    ///
    /// On bytes that are not requests, or on an incomplete one at the end.
    #[track_caller]
    pub fn requests(&self) -> Vec<Request> {
        match message::requests(&self.bytes) {
            Ok((requests, [])) => requests,
            Ok((_, rest)) => panic!("the origin holds an incomplete request: {}", show(rest)),
            Err(why) => panic!("the origin received what is no request: {why}"),
        }
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    records: Vec<Record>,
    threads: Vec<JoinHandle<()>>,
    failures: Vec<String>,
    stop: Option<Stop>,
}

/// How the acceptor knows that it is to stop.
enum Stop {
    /// At the connection from this address, behind all others in the queue.
    At(SocketAddr),
    /// At the next connection (a Unix peer has no address to tell it by).
    AtNext,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Script = Arc<dyn Fn(&mut Connection) + Send + Sync>;

impl Origin {
    /// Listens on a free loopback port and runs `script` for every connection.
    pub fn start(script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Origin {
        Origin::on("127.0.0.1:0", script)
    }

    /// The same on a given address.
    pub fn on(address: &str, script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Origin {
        let listener = TcpListener::bind(address).expect("a loopback address can be bound");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let accept = move || {
            let (stream, peer) = listener.accept()?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(READ_PATIENCE))?;
            stream.set_write_timeout(Some(READ_PATIENCE))?;
            Ok((Stream::Tcp(stream), Some(peer)))
        };
        Origin::run(Address::Tcp(address), accept, Arc::new(script))
    }

    /// The same on a Unix socket.
    pub fn on_path(
        path: &Path,
        script: impl Fn(&mut Connection) + Send + Sync + 'static,
    ) -> Origin {
        let listener = UnixListener::bind(path).expect("a Unix socket can be bound");
        Origin::run(
            Address::Unix(path.to_owned()),
            move || Ok((Stream::Unix(listener.accept()?.0), None)),
            Arc::new(script),
        )
    }

    /// Answers every request with the same bytes, whatever it is.
    pub fn answering(response: impl Into<Vec<u8>>) -> Origin {
        let response = response.into();
        Origin::start(
            move |connection| {
                while connection.read_request().is_some() && connection.send(&response) {}
            },
        )
    }

    /// Answers every request with 200 and `text` as its body.
    pub fn saying(text: &'static str) -> Origin {
        Origin::start(move |connection| connection.serve(|_| text.to_owned()))
    }

    /// Answers every request with 200 and the request's target as its body.
    pub fn echo() -> Origin {
        Origin::start(|connection| connection.serve(|request| request.target.clone()))
    }

    /// Answers every request with 200 and a body of its method, its target and its body.
    pub fn mirror() -> Origin {
        Origin::start(|connection| {
            connection.serve(|request| {
                format!(
                    "{} {}",
                    request.line(),
                    String::from_utf8_lossy(&request.body)
                )
            });
        })
    }

    fn run(
        address: Address,
        accept: impl Fn() -> io::Result<(Stream, Option<SocketAddr>)> + Send + 'static,
        script: Script,
    ) -> Origin {
        let shared = Arc::new(Shared::default());
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                while let Ok((stream, peer)) = accept() {
                    let mut state = shared.lock();
                    match state.stop {
                        Some(Stop::AtNext) => return,
                        Some(Stop::At(knock)) if peer == Some(knock) => return,
                        Some(Stop::At(_)) | None => {}
                    }
                    let number = state.records.len();
                    state.records.push(Record::default());
                    let mut connection = Connection {
                        number,
                        stream,
                        unread: Vec::new(),
                        is_closed: false,
                        shared: Arc::clone(&shared),
                    };
                    let script = Arc::clone(&script);
                    state.threads.push(std::thread::spawn(move || {
                        let outcome = catch_unwind(AssertUnwindSafe(|| {
                            script(&mut connection);
                            connection.read_to_end();
                        }));
                        if let Err(payload) = outcome {
                            let failure = format!("connection {number}: {}", panic_text(&*payload));
                            connection.shared.lock().failures.push(failure);
                        }
                        connection.shared.changed.notify_all();
                    }));
                    drop(state);
                    shared.changed.notify_all();
                }
            }
        });
        Origin {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Its TCP port.
    pub fn port(&self) -> u16 {
        match self.address {
            Address::Tcp(address) => address.port(),
            Address::Unix(_) => panic!("an origin on a Unix socket has no port"),
        }
    }

    /// How many connections hotgate has opened so far.
    pub fn connections(&self) -> usize {
        self.shared.lock().records.len()
    }

    /// What they have received so far.
    pub fn records(&self) -> Vec<Record> {
        self.shared.lock().records.clone()
    }

    /// The request lines received so far (`METHOD target`), those of the first connection first.
    #[track_caller]
    pub fn lines(&self) -> Vec<String> {
        self.records()
            .iter()
            .flat_map(Record::requests)
            .map(|request| request.line())
            .collect()
    }

    /// Waits until the records are as `is_so` says.
    #[track_caller]
    pub fn wait_until(&self, what: &str, mut is_so: impl FnMut(&[Record]) -> bool) {
        let state = self.shared.lock();
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(state, DEADLINE, |state| {
                state.failures.is_empty() && !is_so(&state.records)
            })
            .unwrap_or_else(PoisonError::into_inner);
        if is_so(&state.records) {
            return;
        }
        let records: Vec<String> = state
            .records
            .iter()
            .map(|record| format!("  ended: {}, {}", record.ended, show(&record.bytes)))
            .collect();
        panic!(
            "the origin waited in vain for {what}\n{}\n{}",
            state.failures.join("\n"),
            records.join("\n")
        );
    }

    /// Everything that was ever received. Call it when hotgate has been stopped: it waits for the end of every
    /// connection, those still in the accept queue too.
    #[track_caller]
    pub fn finish(mut self) -> Vec<Record> {
        self.stop();
        let threads = std::mem::take(&mut self.shared.lock().threads);
        for thread in threads {
            let _ = thread.join();
        }
        self.check();
        self.records()
    }

    /// Stops accepting, after all that have connected already.
    fn stop(&mut self) {
        let Some(acceptor) = self.acceptor.take() else {
            return;
        };
        // A connection of our own wakes it. The lock is held until the acceptor can tell it from hotgate's.
        let mut state = self.shared.lock();
        let _knock: Box<dyn Any> = match &self.address {
            Address::Tcp(address) => {
                let knock = TcpStream::connect(address).expect("our own listener accepts");
                state.stop = Some(Stop::At(
                    knock
                        .local_addr()
                        .expect("a connected socket has an address"),
                ));
                Box::new(knock)
            }
            Address::Unix(path) => {
                state.stop = Some(Stop::AtNext);
                Box::new(UnixStream::connect(path))
            }
        };
        drop(state);
        let _ = acceptor.join();
    }

    #[track_caller]
    fn check(&self) {
        let failures = self.shared.lock().failures.join("\n");
        assert!(
            failures.is_empty(),
            "the origin's script failed: {failures}"
        );
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop();
        if !std::thread::panicking() {
            self.check();
        }
    }
}

/// One connection from hotgate, in the hands of the script.
pub struct Connection {
    /// 0 for the first one that hotgate opened, and so on.
    pub number: usize,
    stream: Stream,
    unread: Vec<u8>,
    is_closed: bool,
    shared: Arc<Shared>,
}

impl Connection {
    /// The next request with its body; `None` when hotgate ends the connection or what came is no request.
    pub fn read_request(&mut self) -> Option<Request> {
        self.read_message(message::parse_request)
    }

    /// The next request head; what follows it stays unread.
    pub fn read_head(&mut self) -> Option<Request> {
        self.read_message(message::parse_request_head)
    }

    fn read_message(&mut self, parse: impl Fn(&[u8]) -> Parsed<Request>) -> Option<Request> {
        loop {
            match parse(&self.unread) {
                Parsed::Complete(request, length) => {
                    self.unread.drain(..length);
                    return Some(request);
                }
                Parsed::Incomplete => self.fill().then_some(())?,
                Parsed::Malformed(_) => return None,
            }
        }
    }

    /// The next `count` octets, whatever they are; fewer only when hotgate ends the connection.
    pub fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count && self.fill() {}
        let count = count.min(self.unread.len());
        self.unread.drain(..count).collect()
    }

    /// Reads and drops `count` octets without keeping them, for bodies too large to record; the octets that came,
    /// fewer only when hotgate ends the connection.
    pub fn discard(&mut self, count: u64, mut look: impl FnMut(&[u8])) -> u64 {
        let mut buffer = vec![0; 256 * 1024];
        let mut got = 0;
        while got < count {
            let want = usize::try_from(count - got)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let piece = if self.unread.is_empty() {
                match read_once(&mut self.stream, &mut buffer[..want]) {
                    Ok(0) | Err(_) => break,
                    Ok(length) => &buffer[..length],
                }
            } else {
                let held = self.unread.len().min(want);
                buffer[..held].copy_from_slice(&self.unread[..held]);
                self.unread.drain(..held);
                &buffer[..held]
            };
            look(piece);
            got += u64::try_from(piece.len()).expect("a length fits into 64 bits");
        }
        got
    }

    /// Reads until hotgate ends the connection.
    pub fn read_to_end(&mut self) {
        if !self.is_closed {
            while self.fill() {}
        }
    }

    /// What was read and not yet taken by a `read_…`.
    pub fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Sends; false when hotgate has ended the connection.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends as much as goes within `patience` of the last progress; how much that was.
    pub fn send_while_taken(&mut self, bytes: &[u8], patience: Duration) -> usize {
        self.stream.set_write_timeout(patience);
        let sent = write_while_taken(&mut self.stream, bytes);
        self.stream.set_write_timeout(READ_PATIENCE);
        sent
    }

    /// Answers requests with 200 and the body that `body` makes of each, until hotgate ends the connection.
    pub fn serve(&mut self, body: impl Fn(&Request) -> String) {
        while let Some(request) = self.read_request() {
            let text = body(&request);
            let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
            if request.method != "HEAD" {
                response.push_str(&text);
            }
            if !self.send(response) {
                return;
            }
        }
    }

    /// Answers one request without a body, unrecorded and unread; false when hotgate ends the connection. For counting,
    /// where the origin must not be what takes the time.
    pub fn answer_each_head(&mut self, response: &str) -> bool {
        let mut buffer = [0; 4096];
        let mut held = std::mem::take(&mut self.unread);
        while !held.ends_with(b"\r\n\r\n") {
            match read_once(&mut self.stream, &mut buffer) {
                Ok(0) | Err(_) => {
                    self.is_closed = true;
                    return false;
                }
                Ok(length) => held.extend_from_slice(&buffer[..length]),
            }
        }
        self.send(response)
    }

    /// Ends the connection: FIN, and nothing is read any more.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.stream.shutdown(Shutdown::Both);
    }

    /// Ends our side alone; hotgate's is still read.
    pub fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection by RST (TCP only).
    pub fn reset(&mut self) {
        self.is_closed = true;
        let Stream::Tcp(stream) = &self.stream else {
            panic!("only TCP has a reset")
        };
        socket2::SockRef::from(stream)
            .set_linger(Some(Duration::ZERO))
            .expect("SO_LINGER can be set");
        // The descriptor's last copy must go for the reset to leave: put another in its place.
        let (spare, _) = UnixStream::pair().expect("a pair of sockets can be made");
        self.stream = Stream::Unix(spare);
    }

    /// Reads once more into the record; false at the end.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        let length = match read_once(&mut self.stream, &mut buffer) {
            Ok(length) => length,
            Err(error) if is_timeout(&error) => {
                panic!("hotgate neither sent nor closed for {READ_PATIENCE:?}")
            }
            Err(_) => 0,
        };
        let mut state = self.shared.lock();
        let record = &mut state.records[self.number];
        if length == 0 {
            record.ended = true;
        } else {
            record.bytes.extend_from_slice(&buffer[..length]);
            self.unread.extend_from_slice(&buffer[..length]);
        }
        drop(state);
        self.shared.changed.notify_all();
        length > 0
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn shutdown(&self, how: Shutdown) {
        // An error means that the peer was faster.
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(how),
            Stream::Unix(stream) => stream.shutdown(how),
        };
    }

    fn set_write_timeout(&self, timeout: Duration) {
        match self {
            Stream::Tcp(stream) => stream.set_write_timeout(Some(timeout)),
            Stream::Unix(stream) => stream.set_write_timeout(Some(timeout)),
        }
        .expect("a write timeout can be set");
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "a panic without text".to_owned())
}
