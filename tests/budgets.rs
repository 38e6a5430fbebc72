//! What a request costs, counted from outside: ring operations, system calls, wake-ups, memory.
//!
//! The bounds are those that the design promises; none is a time. The figures are printed.

mod support;

use std::{
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use support::{
    Client, Config, Connection, Hotgate, Origin, app,
    hotgate::Folder,
    let_pass, poll_until, proc, site,
    tls::{Over, Way},
};

const REQUESTS: u32 = 10_000;

/// Operations on the ring for one small request: two receives, two sends.
const RING_OPERATIONS_MAX: f64 = 4.0;
/// What the clock and the start of a count add, spread over all requests.
const SLACK: f64 = 0.05;
/// System calls other than `io_uring_enter`, and `io_uring_enter` itself, for one small request of a lone client.
const OTHER_CALLS_MAX: f64 = 0.02;
const ENTERS_MAX: f64 = 4.0;
/// Wake-ups of a worker with nothing to do.
const IDLE_WAKEUPS_PER_SECOND_MAX: f64 = 2.0;
/// Memory that one transfer of any size may take, whatever the direction.
const TRANSFER_KIB_MAX: u64 = 8 * 1024;
/// Clients of the tests of what an idle one takes.
const IDLE_CLIENTS: usize = 2_000;
/// Memory that an idle client may take (octets): its entry is 64 at most, the rest is what the allocator keeps.
const IDLE_CLIENT_BYTES_MAX: u64 = 1024;
/// What a burst may leave behind beside a tenth: lists that stay as long as they once were, the allocator's own pages.
const BURST_SLACK_KIB: u64 = 2 * 1024;
/// How long memory may take to go back after a burst.
const GIVEN_BACK_WAIT: Duration = Duration::from_secs(30);
/// How much a transfer moves.
const TRANSFER: u64 = 1 << 30;
/// A prime, so that a piece lost or doubled shows.
const BLOCK: usize = 1_048_573;

const REQUEST: &str =
    "GET /small HTTP/1.1\r\nHost: a.test\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";

fn small() -> Origin {
    // Answers as fast as the tests can: no parsing, one read and one write a request.
    Origin::start(|connection| {
        let response = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n{}",
            "s".repeat(128)
        );
        while connection.answer_each_head(&response) {}
    })
}

fn ask_many(client: &mut Client, count: u32) {
    for _ in 0..count {
        client.send(REQUEST);
        assert_eq!(client.response_head().status, 200);
        client.read_exactly(128);
    }
}

#[test]
fn a_small_request_takes_four_ring_operations() {
    let origin = small();
    let hotgate = Hotgate::start(site(origin.port()));
    if proc::ring_completions(hotgate.pid()).is_none() {
        skip!("the backend has no ring ({})", support::hotgate::backend());
    }
    let mut client = Client::connect(hotgate.address());
    ask_many(&mut client, 100);
    let completions = || proc::ring_completions(hotgate.pid()).expect("the ring is still there");
    let before = completions();
    ask_many(&mut client, REQUESTS);
    let each = (completions() - before) as f64 / f64::from(REQUESTS);
    println!("ring operations a request: {each:.3}");
    assert!(
        each <= RING_OPERATIONS_MAX + SLACK,
        "{each} ring operations a request"
    );
}

#[test]
fn a_small_request_over_tls_takes_four_ring_operations_too() {
    let origin = small();
    let way = Way::open(Over::Tls, |key, tls| {
        format!("[sites.{key:?}]\nto = {}\n{tls}", origin.port())
    });
    let pid = way.hotgate().pid();
    if proc::ring_completions(pid).is_none() {
        skip!("the backend has no ring ({})", support::hotgate::backend());
    }
    let mut client = Client::connect(way.address());
    ask_many(&mut client, 100);
    let completions = || proc::ring_completions(pid).expect("the ring is still there");
    let before = completions();
    ask_many(&mut client, REQUESTS);
    let each = (completions() - before) as f64 / f64::from(REQUESTS);
    println!("ring operations a request over TLS: {each:.3}");
    assert!(
        each <= RING_OPERATIONS_MAX + SLACK,
        "{each} ring operations a request"
    );
}

#[test]
fn a_small_request_takes_no_system_call_but_io_uring_enter() {
    let strace = match app::program("strace") {
        Ok(strace) => strace,
        Err(reason) => skip!("{reason}"),
    };
    let (folder, origin) = (Folder::new(), small());
    let access = folder.path().join("access.log");
    let hotgate = Config::new(site(origin.port()))
        .access_log(&access, "json")
        .start();
    if proc::ring_completions(hotgate.pid()).is_none() {
        skip!("the backend has no ring ({})", support::hotgate::backend());
    }
    let worker = proc::tasks(hotgate.pid())
        .into_iter()
        .find(|task| task.name.contains("worker"))
        .expect("a worker");
    let mut client = Client::connect(hotgate.address());
    ask_many(&mut client, 100);
    let table = folder.path().join("calls");
    let mut tracer = Command::new(strace)
        .args(["-c", "-U", "calls,name", "-p", &worker.id.to_string(), "-o"])
        .arg(&table)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("strace starts");
    let is_traced = || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/task/{}/status", hotgate.pid(), worker.id))
                .ok()?;
        Some(
            status
                .lines()
                .any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0")),
        )
    };
    let attached = poll_until("strace to attach or give up", || {
        let gave_up = tracer
            .try_wait()
            .expect("a child can be waited for")
            .is_some();
        if gave_up {
            Some(false)
        } else {
            is_traced().filter(|&traced| traced)
        }
    });
    if !attached {
        skip!("strace may not trace here");
    }
    ask_many(&mut client, REQUESTS);
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&tracer),
        rustix::process::Signal::INT,
    )
    .expect("strace can be told to stop");
    tracer.wait().expect("a child can be waited for");

    let text = std::fs::read_to_string(&table).expect("strace writes its table");
    let mut calls = (0.0, 0.0);
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(Ok(count)) = words.next().map(str::parse::<f64>) else {
            continue;
        };
        match words.next() {
            Some("io_uring_enter") => calls.0 += count,
            Some("total") | None => {}
            Some(_) => calls.1 += count,
        }
    }
    let (enters, others) = (calls.0 / f64::from(REQUESTS), calls.1 / f64::from(REQUESTS));
    println!(
        "system calls a request, access log on: io_uring_enter {enters:.3}, others {others:.4}\n{text}"
    );
    assert!(enters > 0.0, "strace counted nothing:\n{text}");
    assert!(
        enters <= ENTERS_MAX + SLACK && others <= OTHER_CALLS_MAX,
        "{text}"
    );
}

#[test]
fn an_idle_worker_wakes_at_most_twice_a_second() {
    const WATCHED: Duration = Duration::from_secs(4);
    let origin = small();
    let hotgate = Config::new(site(origin.port())).workers(2).start();
    // Idle, but not unused: with a client and an origin connected.
    let mut client = Client::connect(hotgate.address());
    ask_many(&mut client, 10);
    let wakeups = || {
        let mut workers = proc::tasks(hotgate.pid());
        workers.retain(|task| task.name.contains("worker"));
        workers
    };
    // What the last request left to do is done by then.
    let_pass(Duration::from_millis(1500));
    let (before, started) = (wakeups(), Instant::now());
    let_pass(WATCHED);
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(before.len(), 2, "two threads are named as workers");
    for (before, after) in before.iter().zip(wakeups()) {
        assert_eq!(before.id, after.id);
        let each = (after.voluntary_switches - before.voluntary_switches) as f64 / seconds;
        println!("{}: {each:.2} wake-ups a second", before.name);
        // One more may fall into the time that was watched.
        assert!(
            each <= IDLE_WAKEUPS_PER_SECOND_MAX + 1.0 / seconds,
            "{}: {each} wake-ups a second",
            before.name
        );
    }
}

/// Watches that octets are those of the endless repetition of one block.
struct Pattern {
    block: Vec<u8>,
    at: usize,
}

impl Pattern {
    fn new() -> Pattern {
        // No run of it equals another: a plain counter would hide a shift by 256.
        let block = (0..BLOCK)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        Pattern { block, at: 0 }
    }

    #[track_caller]
    fn check(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            let length = octets.len().min(BLOCK - self.at);
            assert!(
                octets[..length] == self.block[self.at..self.at + length],
                "the content was changed"
            );
            self.at = (self.at + length) % BLOCK;
            octets = &octets[length..];
        }
    }

    /// Hands out pieces of the pattern until `total` octets have gone.
    fn pieces(&self, total: u64, mut send: impl FnMut(&[u8]) -> bool) {
        let mut left = total;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK);
            if !send(&self.block[..length]) {
                return;
            }
            left -= u64::try_from(length).expect("a length fits into 64 bits");
        }
    }
}

/// The most memory that hotgate held while `transfer` ran, over what it held before.
fn growth_kib(hotgate: &Hotgate, passed: &AtomicU64, transfer: impl FnOnce() + Send) -> u64 {
    let before = proc::private_dirty_kib(hotgate.pid());
    let mut most = before;
    std::thread::scope(|scope| {
        let running = scope.spawn(transfer);
        while !running.is_finished() {
            most = most.max(proc::private_dirty_kib(hotgate.pid()));
            let_pass(Duration::from_millis(10));
        }
        running.join().expect("the transfer does not panic");
    });
    assert_eq!(
        passed.load(Ordering::SeqCst),
        TRANSFER,
        "not everything came through"
    );
    most - before
}

fn warm(hotgate: &Hotgate) {
    assert_eq!(Client::connect(hotgate.address()).get("/small").status, 200);
}

/// Sends a gibibyte for `/down` and swallows one for `/up`; counts what came.
fn generator(passed: &Arc<AtomicU64>) -> Origin {
    let passed = Arc::clone(passed);
    Origin::start(move |connection: &mut Connection| {
        while let Some(request) = connection.read_head() {
            match request.target.as_str() {
                "/down" => {
                    connection.send(format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {TRANSFER}\r\n\r\n"
                    ));
                    Pattern::new().pieces(TRANSFER, |piece| connection.send(piece));
                }
                "/chunks" => {
                    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                    Pattern::new().pieces(TRANSFER, |piece| {
                        connection.send(format!("{:x}\r\n", piece.len()))
                            && connection.send(piece)
                            && connection.send("\r\n")
                    });
                    connection.send("0\r\n\r\n");
                }
                "/up" => {
                    let mut pattern = Pattern::new();
                    passed.store(
                        connection.discard(TRANSFER, |octets| pattern.check(octets)),
                        Ordering::SeqCst,
                    );
                    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                }
                _ => {
                    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                }
            }
        }
    })
}

#[test]
fn a_gibibyte_down_takes_no_memory() {
    let passed = Arc::new(AtomicU64::new(0));
    let origin = generator(&passed);
    let hotgate = Hotgate::start(site(origin.port()));
    warm(&hotgate);
    let growth = growth_kib(&hotgate, &passed, || {
        let mut client = Client::connect(hotgate.address());
        client.send("GET /down HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(
            client.response_head().field("content-length"),
            Some(TRANSFER.to_string().as_str())
        );
        let mut pattern = Pattern::new();
        passed.store(
            client.discard(TRANSFER, |octets| pattern.check(octets)),
            Ordering::SeqCst,
        );
    });
    println!("a gibibyte down: {growth} KiB more");
    assert!(
        growth <= TRANSFER_KIB_MAX,
        "{growth} KiB more while a gibibyte went down"
    );
}

#[test]
fn a_gibibyte_in_chunks_takes_no_memory() {
    let passed = Arc::new(AtomicU64::new(0));
    let origin = generator(&passed);
    let hotgate = Hotgate::start(site(origin.port()));
    warm(&hotgate);
    let growth = growth_kib(&hotgate, &passed, || {
        let mut client = Client::connect(hotgate.address());
        // To a client of 1.0 the content goes without chunks, so that it can be compared as it comes.
        client.send("GET /chunks HTTP/1.0\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.response_head().status, 200);
        let mut pattern = Pattern::new();
        passed.store(
            client.discard(TRANSFER, |octets| pattern.check(octets)),
            Ordering::SeqCst,
        );
    });
    println!("a gibibyte in chunks: {growth} KiB more");
    assert!(
        growth <= TRANSFER_KIB_MAX,
        "{growth} KiB more while a gibibyte went down in chunks"
    );
}

#[test]
fn a_gibibyte_up_takes_no_memory() {
    let passed = Arc::new(AtomicU64::new(0));
    let origin = generator(&passed);
    let hotgate = Hotgate::start(site(origin.port()));
    warm(&hotgate);
    let growth = growth_kib(&hotgate, &passed, || {
        let mut client = Client::connect(hotgate.address());
        client.send(format!(
            "POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: {TRANSFER}\r\n\r\n"
        ));
        Pattern::new().pieces(TRANSFER, |piece| client.try_send(piece));
        assert_eq!(client.response().text(), "ok");
    });
    println!("a gibibyte up: {growth} KiB more");
    assert!(
        growth <= TRANSFER_KIB_MAX,
        "{growth} KiB more while a gibibyte went up"
    );
}

/// Waits until so many connections are parked.
fn wait_parked(hotgate: &Hotgate, clients: usize) {
    poll_until("all clients to be parked", || {
        (proc::parked(hotgate.pid()) >= clients).then_some(())
    });
}

#[test]
fn an_idle_client_takes_a_few_hundred_octets() {
    let origin = small();
    let hotgate = Hotgate::start(site(origin.port()));
    warm(&hotgate);
    let_pass(Duration::from_secs(2));
    let before = proc::private_dirty_kib(hotgate.pid());
    let mut clients = Vec::new();
    for _ in 0..IDLE_CLIENTS {
        let mut client = Client::connect(hotgate.address());
        ask_many(&mut client, 1);
        clients.push(client);
    }
    wait_parked(&hotgate, IDLE_CLIENTS);
    let started = Instant::now();
    loop {
        let growth = proc::private_dirty_kib(hotgate.pid()).saturating_sub(before);
        let each = growth * 1024 / IDLE_CLIENTS as u64;
        if each <= IDLE_CLIENT_BYTES_MAX {
            println!("an idle client: {each} octets");
            break;
        }
        assert!(
            started.elapsed() < GIVEN_BACK_WAIT,
            "{each} octets an idle client"
        );
        let_pass(Duration::from_millis(100));
    }
}

#[test]
fn memory_goes_back_after_two_thousand_large_responses() {
    const BODY: usize = 256 * 1024;
    let origin = Origin::start(|connection| {
        let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n");
        response.push_str(&"b".repeat(BODY));
        while connection.answer_each_head(&response) {}
    });
    let hotgate = Hotgate::start(site(origin.port()));
    warm(&hotgate);
    let_pass(Duration::from_secs(2));
    let before = proc::private_dirty_kib(hotgate.pid());
    let mut clients = Vec::new();
    for _ in 0..IDLE_CLIENTS {
        let mut client = Client::connect(hotgate.address());
        client.send(REQUEST);
        clients.push(client);
    }
    // All are under way at once: nobody reads before the last has asked.
    let most = proc::private_dirty_kib(hotgate.pid());
    for client in &mut clients {
        assert_eq!(client.response_head().status, 200);
        let got = client.discard(BODY as u64, |_| ());
        assert_eq!(got, BODY as u64);
    }
    let bound = before + before / 10 + BURST_SLACK_KIB;
    let started = Instant::now();
    loop {
        let now = proc::private_dirty_kib(hotgate.pid());
        if now <= bound {
            println!("a burst: {before} KiB before, {most} within, {now} after");
            break;
        }
        assert!(
            started.elapsed() < GIVEN_BACK_WAIT,
            "{before} KiB before, {most} within, {now} after"
        );
        let_pass(Duration::from_millis(100));
    }
}
