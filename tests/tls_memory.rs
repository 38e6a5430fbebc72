//! What an idle connection over TLS takes of the heap, counted on the worker's own thread.

#![allow(unsafe_code)]

#[path = "tls/running.rs"]
mod running;
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::TcpStream;
use std::sync::atomic::{AtomicI64, Ordering};

use hotgate::telemetry::counters::Counter;
use hotgate::tls::policy::ClientPolicy;
use running::Scene;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use support::tls::{Asker, Authority, connection};
use support::{Origin, poll_until, proc};

/// What is promised of each (octets).
const IDLE_BYTES_MAX: i64 = 4 << 10;
/// Enough that what the worker keeps for itself does not count.
const CLIENTS: i64 = 200;

/// Counts what live blocks of the workers' threads take, as it was asked for.
struct Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);

fn is_worker() -> bool {
    // The name is in the kernel's hands, which allocates nothing here.
    let mut name = [0u8; 16];
    // SAFETY: PR_GET_NAME writes at most 16 octets, into an array of that size.
    let result = unsafe { libc_prctl(16, name.as_mut_ptr() as usize, 0, 0, 0) };
    result == 0 && name.starts_with(b"worker-")
}

unsafe extern "C" {
    #[link_name = "prctl"]
    fn libc_prctl(option: i32, a: usize, b: usize, c: usize, d: usize) -> i32;
}

fn count(octets: usize, sign: i64) {
    if is_worker() {
        LIVE.fetch_add(sign * octets as i64, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's duty.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller's duty.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: the caller's duty.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn an_idle_connection_takes_no_more_than_is_promised() {
    for version in [&TLS13, &TLS12] {
        measure(version);
    }
}

fn measure(version: &'static SupportedProtocolVersion) {
    let origin = Origin::echo();
    let scene = Scene::new("[sites]\n\"a.test\" = 1\n", origin.port());
    let authority = Authority::new("test root");
    let entry = scene.entry(&[&authority.server(&["a.test"])], &ClientPolicy::Off);
    let running = scene.start(&[("a.test", entry)]);
    let config = Asker::of(&authority).version(version).config();
    let connect = || {
        let socket = TcpStream::connect(running.address).expect("accepted");
        let mut stream = rustls::StreamOwned::new(connection(&config, "a.test"), socket);
        std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .expect("hotgate reads");
        let mut seen = [0; 4096];
        assert!(std::io::Read::read(&mut stream, &mut seen).expect("an answer") > 0);
        stream
    };
    let parked = || proc::parked(std::process::id());
    // The worker's own tables have their size after the first ones.
    let warm: Vec<_> = (0..CLIENTS).map(|_| connect()).collect();
    poll_until("the first to be parked", || {
        (parked() as i64 >= CLIENTS).then_some(())
    });
    let before = LIVE.load(Ordering::Relaxed);
    let known = parked() as i64;
    let idle: Vec<_> = (0..CLIENTS).map(|_| connect()).collect();
    poll_until("all to be parked", || {
        (parked() as i64 >= known + CLIENTS).then_some(())
    });
    let each = (LIVE.load(Ordering::Relaxed) - before) / CLIENTS;
    println!("an idle connection of {version:?}: {each} octets");
    assert!(each > 500, "they are counted");
    assert!(each <= IDLE_BYTES_MAX, "{each} octets each");
    let open = running.count(Counter::ConnectionsAccepted);
    drop((warm, idle));
    poll_until("all to be gone", || {
        (running.count(Counter::ConnectionsClosed) == open).then_some(())
    });
}
