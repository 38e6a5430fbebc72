//! Heap allocations on the data path, counted: after a connection's first request there are none.
//!
//! The worker runs in this process, so that the allocator can count; its clients and its origin are real sockets on
//! other threads, whose allocations do not count. The access log is on.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use hotgate::config::{Backend, ListenAddress, Source, parse};
use hotgate::control::log_output::Place;
use hotgate::control::log_writer::{LogWriter, Settings};
use hotgate::control::ports::bind_for;
use hotgate::net::mailbox::mailbox;
use hotgate::serve::core::{ConnectionLimit, Parts};
use hotgate::serve::snapshot::{Plan, Snapshot, listener_index, plan};
use hotgate::serve::worker::{Letter, Setup, run};
use hotgate::telemetry::{CounterBlock, LineFormat, Redaction};
use hotgate::upstream::tokens::Tokens;
use hotgate::upstream::{Address, Endpoint, Endpoints};

/// Counts what the threads allocate that have asked for it.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
thread_local!(static IS_COUNTED: Cell<bool> = const { Cell::new(false) });

fn count() {
    if IS_COUNTED.try_with(Cell::get).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's duty.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's duty.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's duty.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An origin that answers every request on every connection with the same small response.
fn start_origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            thread::spawn(move || {
                let mut seen = Vec::new();
                let mut piece = [0; 4096];
                loop {
                    match stream.read(&mut piece) {
                        Ok(0) | Err(_) => return,
                        Ok(count) => seen.extend_from_slice(&piece[..count]),
                    }
                    while let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                        seen.drain(..end + 4);
                        let response = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
                        stream.write_all(response).expect("the proxy reads");
                    }
                }
            });
        }
    });
    address
}

struct Running {
    address: SocketAddr,
    mailbox: hotgate::net::mailbox::Mailbox<Letter>,
    thread: thread::JoinHandle<()>,
}

fn start_worker(backend: Backend, origin: SocketAddr, log: &LogWriter) -> Running {
    let text = "[sites]\n\"*\" = 1\n";
    let config = parse(&[Source { name: "test", text }]).expect("a valid text");
    let Plan { routes, .. } = plan(&config);
    let label: Arc<str> = origin.to_string().into();
    let endpoint = Endpoint {
        label: label.clone(),
        authority: label,
        addresses: vec![Address::Tcp(origin)],
        security: hotgate::upstream::Security::Plain,
    };
    let snapshot = Snapshot {
        routes: Arc::new(routes),
        endpoints: Arc::new(Endpoints::new(vec![endpoint])),
        certificates: Arc::default(),
        challenges: Arc::default(),
        states: Arc::default(),
    };
    let wanted = ListenAddress::Address(([127, 0, 0, 1], 0).into());
    let mut bound = bind_for(wanted, 1).expect("a free port");
    let (mailbox, slit) = mailbox().expect("a descriptor");
    let setup = Setup {
        parts: Parts {
            number: 0,
            snapshot,
            tokens: Tokens::new(1),
            counters: Arc::new(CounterBlock::new()),
            access: Some(log.sink()),
            boot: 1,
            connections: Arc::new(ConnectionLimit::new(100)),
        },
        listeners: vec![(bound.sockets.remove(0), listener_index(0))],
        slit,
        backend,
    };
    let thread = thread::spawn(move || {
        IS_COUNTED.set(true);
        run(setup, |_| {}).expect("the worker runs");
    });
    Running {
        address: bound.address,
        mailbox,
        thread,
    }
}

fn exchange(stream: &mut TcpStream, request: &[u8]) {
    stream.write_all(request).expect("the proxy reads");
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    while !seen.ends_with(b"hello") {
        let count = stream.read(&mut piece).expect("the proxy answers");
        assert!(count > 0, "closed: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..count]);
    }
    assert!(seen.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

fn no_allocation_after_the_first_request(backend: Backend) {
    const REQUESTS: u64 = 500;
    let settings = Settings {
        place: Place::File("/dev/null".into()),
        format: LineFormat::Json,
        redact: Redaction::default(),
    };
    let log = LogWriter::start(settings).expect("/dev/null can be written");
    let origin = start_origin();
    let running = start_worker(backend, origin, &log);
    let requests: [&[u8]; 2] = [
        b"GET /some/path?query=1 HTTP/1.1\r\nHost: app.test\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n",
        b"GET /a/%7Euser/../b HTTP/1.1\r\nHost: APP.test.\r\nUser-Agent: test\r\nReferer: http://x/\r\n\r\n",
    ];
    let mut stream = TcpStream::connect(running.address).expect("the worker accepts");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a valid timeout");
    for request in requests {
        exchange(&mut stream, request);
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    assert!(before > 0, "the allocator counts the worker's thread");
    for number in 0..REQUESTS {
        exchange(&mut stream, requests[usize::from(number % 2 == 0)]);
    }
    let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
    drop(stream);
    assert!(running.mailbox.post(Letter::Drain).is_ok());
    running.thread.join().expect("the worker ends");
    log.stop(Duration::from_secs(1));
    // The worker's own timers may place an entry in a slot that has never been used: not a request's doing.
    let housekeeping = 8;
    assert!(
        made <= housekeeping,
        "{made} allocations in {REQUESTS} requests on {backend:?}"
    );
}

#[test]
fn a_request_allocates_nothing_after_a_connections_first() {
    // One after the other: the counter is one for all.
    no_allocation_after_the_first_request(Backend::Epoll);
    // On a thread of its own: a ring's end interrupts what its thread waits for.
    let probe = || hotgate::net::ladder::block_on(Backend::IoUring, |_| async {});
    match thread::spawn(probe).join().expect("no panic") {
        Ok(()) => no_allocation_after_the_first_request(Backend::IoUring),
        Err(error) => println!("skipped: io_uring allocations: {error}"),
    }
}
