//! An origin that takes requests as they come, answers them in order, and remembers how many were waiting.
//!
//! Each connection has two threads: one reads all that hotgate sends, whatever has been answered, and one runs the
//! script with an [`Answering`]. A request is outstanding from when it was read until just before its answer is sent, so
//! a count of two is never an accident of timing: hotgate sent a request before it could have the answer to another.

use std::{
    collections::VecDeque,
    io::Write as _,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use socket2::SockRef;

use crate::support::{
    DEADLINE, Request,
    message::{self, Parsed},
    read_once, show,
};

/// Arrivals that an origin remembers, of all its connections; a long run needs the counts alone.
const ARRIVALS_MAX: usize = 100_000;

/// A listening origin.
pub(crate) struct Pipelined {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// What one connection received.
#[derive(Clone, Default, Debug)]
pub(crate) struct Line {
    /// The first of its requests, in order.
    pub(crate) arrivals: Vec<Arrival>,
    /// How many there were in all.
    pub(crate) count: u64,
    /// The most that were outstanding at once.
    pub(crate) outstanding_max: usize,
    /// Did hotgate end it (FIN or RST)?
    pub(crate) ended: bool,
    /// Requests without an answer.
    pub(crate) outstanding: usize,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// `METHOD target`
    pub(crate) line: String,
    /// The first field that its test knows it by; empty without.
    pub(crate) kind: String,
    /// How many were then without an answer, itself included.
    pub(crate) outstanding: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<Line>,
    queues: Vec<VecDeque<Request>>,
    /// For what is said beside the scripts.
    writers: Vec<Option<TcpStream>>,
    /// How many there are in all lines.
    arrivals: usize,
    failures: Vec<String>,
    is_stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `is_so`, as long as `patience`; whether it is.
    fn wait(&self, patience: Duration, mut is_so: impl FnMut(&State) -> bool) -> bool {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), patience, |state| !is_so(state))
            .unwrap_or_else(PoisonError::into_inner);
        is_so(&state)
    }
}

impl Pipelined {
    /// Listens on a free loopback port and runs `script` for every connection.
    pub(crate) fn start(script: impl Fn(&mut Answering) + Send + Sync + 'static) -> Pipelined {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback address can be bound");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let script = Arc::new(script);
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                while let Ok((stream, _)) = listener.accept() {
                    let mut state = shared.lock();
                    if state.is_stopped {
                        return;
                    }
                    let number = state.lines.len();
                    state.lines.push(Line::default());
                    state.queues.push(VecDeque::new());
                    state.writers.push(stream.try_clone().ok());
                    drop(state);
                    let (shared, script) = (Arc::clone(&shared), Arc::clone(&script));
                    std::thread::spawn(move || serve(stream, number, shared, &*script));
                }
            }
        });
        Pipelined {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Answers every request with its target, as [`echo`] does, up to a millisecond late.
    pub(crate) fn echo() -> Pipelined {
        Pipelined::start(|answering| {
            while let Some(request) = answering.next() {
                answering.gather(2);
                answering.answer(echo(&request));
            }
        })
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// What the connections have received so far, in the order in which hotgate opened them.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.shared.lock().lines.clone()
    }

    /// The most that were ever outstanding on one connection.
    pub(crate) fn outstanding_max(&self) -> usize {
        let state = self.shared.lock();
        let most = state.lines.iter().map(|line| line.outstanding_max).max();
        most.unwrap_or(0)
    }

    /// The connections on which this request came, in their order.
    pub(crate) fn connections_of(&self, line: &str) -> Vec<usize> {
        let state = self.shared.lock();
        let mut found = Vec::new();
        for (number, of) in state.lines.iter().enumerate() {
            let here = of.arrivals.iter().filter(|arrival| arrival.line == line);
            found.extend(here.map(|_| number));
        }
        found
    }

    /// Waits until the lines are as `is_so` says.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&[Line]) -> bool) {
        let is_so = self.shared.wait(DEADLINE, |state| {
            is_so(&state.lines) || !state.failures.is_empty()
        });
        self.check();
        assert!(is_so, "the origin waited in vain for {what}");
    }

    /// Sends this on every connection that is open, whatever its script does; which these are.
    pub(crate) fn say_everywhere(&self, text: &str) -> Vec<usize> {
        let state = self.shared.lock();
        let all = state.lines.iter().zip(&state.writers).enumerate();
        let open = all.filter(|(_, (line, _))| !line.ended);
        let told = open.filter(|(_, (_, writer))| {
            let writer = writer.as_ref();
            writer.is_some_and(|mut writer| writer.write_all(text.as_bytes()).is_ok())
        });
        told.map(|(number, _)| number).collect()
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

impl Drop for Pipelined {
    fn drop(&mut self) {
        self.shared.lock().is_stopped = true;
        // A connection of our own wakes the acceptor.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            // It does nothing that could panic.
            let _ = acceptor.join();
        }
        if !std::thread::panicking() {
            self.check();
        }
    }
}

/// 200 with the request's target as its body.
pub(crate) fn echo(request: &Request) -> String {
    let text = match request.method.as_str() {
        "HEAD" => "",
        _ => request.target.as_str(),
    };
    let length = request.target.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}")
}

fn serve(stream: TcpStream, number: usize, shared: Arc<Shared>, script: &dyn Fn(&mut Answering)) {
    // A connection that is gone already is found out by the first read.
    let _ = stream.set_nodelay(true);
    let reader = stream.try_clone().map(|stream| {
        let shared = Arc::clone(&shared);
        std::thread::spawn(move || read(stream, number, &shared))
    });
    let mut answering = Answering {
        number,
        stream: Some(stream),
        reader: reader.ok(),
        shared,
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| script(&mut answering)));
    if let Err(payload) = outcome {
        let text = payload.downcast_ref::<String>().cloned();
        let failure = format!("connection {number}: {}", text.unwrap_or_default());
        answering.shared.lock().failures.push(failure);
        answering.shared.changed.notify_all();
    }
    // What hotgate still sends is read to its end.
    if let Some(reader) = answering.reader.take() {
        let _ = reader.join();
    }
    answering.shared.lock().writers[number] = None;
}

fn read(mut stream: TcpStream, number: usize, shared: &Shared) {
    let mut buffer = vec![0; 64 * 1024];
    let mut unread = Vec::new();
    loop {
        let length = read_once(&mut stream, &mut buffer).unwrap_or(0);
        unread.extend_from_slice(&buffer[..length]);
        let mut state = shared.lock();
        loop {
            match message::parse_request(&unread) {
                Parsed::Complete(request, length) => {
                    unread.drain(..length);
                    arrived(&mut state, number, request);
                }
                Parsed::Incomplete => break,
                Parsed::Malformed(why) => {
                    let failure = format!("no request: {why} in {}", show(&unread));
                    state.failures.push(failure);
                    unread.clear();
                    break;
                }
            }
        }
        state.lines[number].ended |= length == 0;
        drop(state);
        shared.changed.notify_all();
        if length == 0 {
            return;
        }
    }
}

fn arrived(state: &mut State, number: usize, request: Request) {
    let line = &mut state.lines[number];
    line.count += 1;
    line.outstanding += 1;
    line.outstanding_max = line.outstanding_max.max(line.outstanding);
    if state.arrivals < ARRIVALS_MAX {
        state.arrivals += 1;
        line.arrivals.push(Arrival {
            line: request.line(),
            kind: request.field("x-kind").unwrap_or_default().to_owned(),
            outstanding: line.outstanding,
        });
    }
    state.queues[number].push_back(request);
}

/// One connection from hotgate, in the hands of the script.
pub(crate) struct Answering {
    /// 0 for the first one that hotgate opened, and so on.
    pub(crate) number: usize,
    stream: Option<TcpStream>,
    reader: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl Answering {
    /// The next request to be answered; `None` when hotgate has ended the connection.
    pub(crate) fn next(&mut self) -> Option<Request> {
        let number = self.number;
        let long = Duration::from_secs(120);
        self.shared.wait(long, |state| {
            !state.queues[number].is_empty() || state.lines[number].ended
        });
        self.shared.lock().queues[number].pop_front()
    }

    /// The targets of the requests behind the one that was taken last.
    pub(crate) fn behind(&self) -> Vec<String> {
        let state = self.shared.lock();
        let queue = state.queues[self.number].iter();
        queue.map(|request| request.target.clone()).collect()
    }

    /// Waits a millisecond at most for so many to be outstanding here. It is what makes an answer late.
    pub(crate) fn gather(&self, count: usize) {
        let number = self.number;
        self.shared.wait(Duration::from_millis(1), |state| {
            state.lines[number].outstanding >= count
        });
    }

    /// Sends the answer to the request that was taken last; false when hotgate has ended the connection.
    pub(crate) fn answer(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.shared.lock().lines[self.number].outstanding -= 1;
        self.send(bytes)
    }

    /// Sends what is no answer, or not all of one.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let stream = self.stream.as_mut();
        stream.is_some_and(|stream| stream.write_all(bytes.as_ref()).is_ok())
    }

    /// Ends our side alone; hotgate's is still read.
    pub(crate) fn half_close(&mut self) {
        if let Some(stream) = &self.stream {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    /// Ends the connection by RST.
    pub(crate) fn reset(&mut self) {
        let Some(stream) = self.stream.take() else {
            return;
        };
        // An error means that hotgate was faster.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        // Every other descriptor has to go as well for the reset to leave.
        self.shared.lock().writers[self.number] = None;
        let _ = stream.shutdown(Shutdown::Read);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
