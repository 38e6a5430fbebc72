//! This folder's promises, tried on real sockets and on both drivers.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use super::buffer::{Buffer, Class, rented_bytes};
use super::clock::now;
use super::deadline::{Deadline, end_idle_waits, pause, run_wheel};
use super::ladder::block_on;
use super::listener::{Accepted, accept_until, bind};
use super::mailbox::mailbox;
use super::stream::{Stream, is_cancelled};
use super::task::{Either, Notify, race, spawn};
use super::{connect, deadline};
use crate::config::Backend;

/// Runs the test on epoll, and on the ring where this kernel grants one.
fn on_both<F: Future<Output = ()>>(test: impl Fn() -> F) {
    for backend in [Backend::Epoll, Backend::IoUring] {
        let has_run = Cell::new(false);
        let result = block_on(backend, |_| async {
            spawn(async { run_wheel().await.expect("a timer") }, || {});
            test().await;
            has_run.set(true);
        });
        match result {
            Ok(()) => assert!(has_run.get()),
            Err(error) => {
                assert_eq!(backend, Backend::IoUring, "{error}");
                println!("skipped: io_uring: {error}");
            }
        }
    }
}

/// A connection: our end on the ring, the other an ordinary socket.
async fn pair() -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let ours = connect::tcp(address).await.expect("it listens");
    let (theirs, _) = listener.accept().expect("connected");
    (ours, theirs)
}

fn buffer_of(octets: &[u8]) -> Buffer {
    let mut buffer = Buffer::rent(Class::Head);
    assert!(buffer.append(octets));
    buffer
}

const SOON: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(20);

#[test]
fn a_receive_that_nobody_waits_for_any_more_loses_nothing() {
    on_both(|| async {
        let (ours, mut theirs) = pair().await;
        let mut receiver = ours.receiver();
        receiver.arm(Buffer::rent(Class::Head));
        for _ in 0..3 {
            let lost = race(receiver.recv(), pause(SOON)).await;
            assert!(matches!(lost, Either::Right(())));
        }
        theirs.write_all(b"hello").expect("connected");
        let (result, buffer) = receiver.recv().await;
        assert_eq!(result.expect("received"), 5);
        assert_eq!(buffer.window(), b"hello");
    });
}

#[test]
fn a_receive_appends_behind_the_window() {
    on_both(|| async {
        let (ours, mut theirs) = pair().await;
        let mut receiver = ours.receiver();
        theirs.write_all(b"world").expect("connected");
        receiver.arm(buffer_of(b"hello "));
        let (result, buffer) = receiver.recv().await;
        assert_eq!(result.expect("received"), 5);
        assert_eq!(buffer.window(), b"hello world");
    });
}

#[test]
fn disarming_gives_the_buffer_back_or_what_had_come() {
    on_both(|| async {
        let base = rented_bytes();
        let (ours, mut theirs) = pair().await;
        let mut receiver = ours.disarmable_receiver();
        assert!(receiver.disarm().await.is_none());
        for _ in 0..3 {
            receiver.arm(Buffer::rent(Class::Head));
            let (result, buffer) = receiver.disarm().await.expect("it was armed");
            assert!(is_cancelled(&result.expect_err("nothing had come")));
            assert!(buffer.is_empty());
        }
        // What has come in the meantime is not lost, whichever of the two wins.
        receiver.arm(Buffer::rent(Class::Head));
        theirs.write_all(b"hello").expect("connected");
        let (result, buffer) = match receiver.disarm().await.expect("it was armed") {
            (Err(error), buffer) if is_cancelled(&error) => {
                receiver.arm(buffer);
                receiver.recv().await
            }
            received => received,
        };
        assert_eq!(
            (result.expect("received"), buffer.window()),
            (5, &b"hello"[..])
        );
        drop(buffer);
        assert_eq!(rented_bytes(), base, "a buffer was kept");
    });
}

#[test]
fn a_stream_that_is_cold_wakes_for_octets() {
    on_both(|| async {
        let (ours, mut theirs) = pair().await;
        let asleep = race(ours.readable(), pause(SOON)).await;
        assert!(matches!(asleep, Either::Right(())));
        theirs.write_all(b"x").expect("connected");
        let deadline = Deadline::new();
        deadline.set(LATE);
        assert!(
            deadline
                .limit(ours.readable())
                .await
                .expect("in time")
                .is_ok()
        );
    });
}

#[test]
fn a_large_send_arrives_whole_and_in_order() {
    on_both(|| async {
        const PIECES: usize = 40;
        let (ours, mut theirs) = pair().await;
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).expect("readable");
            all
        });
        let sender = ours.sender();
        for number in 0..PIECES {
            let mut buffer = Buffer::rent(Class::Large);
            let size = buffer.capacity();
            buffer.block_mut().fill(number as u8);
            buffer.set_window(0, size);
            while !buffer.is_empty() {
                let (result, back) = sender.send_some(buffer).await;
                assert!(result.expect("sent") > 0);
                buffer = back;
            }
        }
        sender.finish();
        let all = reader.join().expect("the reader");
        assert_eq!(all.len(), PIECES * Class::Large.bytes());
        let in_order =
            |(number, piece): (usize, &[u8])| piece.iter().all(|octet| *octet == number as u8);
        assert!(all.chunks(Class::Large.bytes()).enumerate().all(in_order));
    });
}

#[test]
fn the_end_and_a_reset_are_told_apart() {
    on_both(|| async {
        let (ours, theirs) = pair().await;
        let mut receiver = ours.receiver();
        receiver.arm(Buffer::rent(Class::Head));
        drop(theirs);
        assert_eq!(receiver.recv().await.0.expect("the end"), 0);

        let (ours, theirs) = pair().await;
        let mut receiver = ours.receiver();
        receiver.arm(Buffer::rent(Class::Head));
        let linger = socket2::SockRef::from(&theirs).set_linger(Some(Duration::ZERO));
        linger.expect("a TCP socket");
        drop(theirs);
        let error = receiver.recv().await.0.expect_err("a reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_unix_socket_is_dialled() {
    on_both(|| async {
        let path = std::env::temp_dir().join(format!("hotgate-net-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        let ours = connect::unix(&path).await.expect("it listens");
        let (mut theirs, _) = listener.accept().expect("connected");
        theirs.write_all(b"hello").expect("connected");
        let mut receiver = ours.receiver();
        receiver.arm(Buffer::rent(Class::Head));
        assert_eq!(receiver.recv().await.1.window(), b"hello");
        std::fs::remove_file(&path).expect("there");
        let refused = connect::unix(&path).await;
        assert!(refused.is_err());
    });
}

#[test]
fn deadlines_come_in_order_and_can_be_moved() {
    on_both(|| async {
        let began = now();
        let (short, long) = (Deadline::new(), Deadline::new());
        short.set(SOON);
        long.set(LATE);
        short.over().await;
        assert!(short.is_over() && !long.is_over());
        assert!(now().since(began) >= SOON);
        long.set(SOON);
        long.over().await;
        assert!(now().since(began) < LATE);
    });
}

#[test]
fn draining_ends_idle_waits_alone() {
    on_both(|| async {
        let (idle, busy) = (Deadline::new(), Deadline::new());
        idle.set_idle(LATE);
        busy.set(LATE);
        end_idle_waits();
        idle.over().await;
        assert!(!busy.is_over());
        assert!(
            deadline::Deadline::default()
                .limit(std::future::ready(1))
                .await
                == Some(1)
        );
    });
}

#[test]
fn a_panic_ends_its_own_task() {
    on_both(|| async {
        let (noted, still_runs) = (Rc::new(Cell::new(false)), Rc::new(Notify::new()));
        let (note, run) = (noted.clone(), still_runs.clone());
        spawn(async { panic!("planted by a test") }, move || {
            note.set(true)
        });
        spawn(async move { run.notify() }, || {});
        still_runs.notified().await;
        assert!(noted.get());
    });
}

#[test]
fn letters_from_another_thread_arrive_in_order() {
    on_both(|| async {
        let (mailbox, slit) = mailbox().expect("a descriptor");
        let inbox = slit.open().expect("registered");
        let poster = std::thread::spawn(move || {
            (0..100).for_each(|letter| mailbox.post(letter).expect("room"));
        });
        for expected in 0..100 {
            assert_eq!(inbox.next().await.expect("a letter"), expected);
        }
        poster.join().expect("the poster");
    });
}

#[test]
fn connections_in_the_queue_are_served_when_accepting_stops() {
    on_both(|| async {
        const CLIENTS: usize = 5;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = bind(address, false, true).expect("a port");
        let address = listener.local_addr().expect("bound");
        let connect = || TcpStream::connect(address).expect("it listens");
        let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect()).collect();
        let (stop, seen) = (Notify::new(), RefCell::new(Vec::new()));
        stop.notify();
        let hand_over = |accepted| match accepted {
            Accepted::Connection(_, peer) => seen.borrow_mut().push(peer),
            Accepted::Failed(error) => panic!("{error}"),
        };
        accept_until(listener, &stop, hand_over)
            .await
            .expect("registered");
        let expected: Vec<SocketAddr> = clients
            .iter()
            .map(|client| client.local_addr().expect("open"))
            .collect();
        assert_eq!(seen.take(), expected);
        assert!(
            TcpStream::connect(address).is_err(),
            "the listener is still there"
        );
    });
}
