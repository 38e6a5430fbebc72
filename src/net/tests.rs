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
use super::parking::{Leaver, Left, Lot};
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

/// Waits until somebody leaves the lot by themselves, and returns all who left with them.
async fn leavers<T>(lot: &Lot<T>) -> Vec<(Leaver<T>, Left)> {
    let (left, somebody) = (RefCell::new(Vec::new()), Notify::new());
    let run = lot.run(|leaver, why| {
        left.borrow_mut().push((leaver, why));
        somebody.notify();
    });
    match race(run, race(somebody.notified(), pause(LATE))).await {
        Either::Left(failed) => panic!("the gate: {failed:?}"),
        Either::Right(Either::Right(())) => panic!("nobody left"),
        Either::Right(Either::Left(())) => {}
    }
    left.into_inner()
}

/// The only one who leaves.
async fn leaver<T>(lot: &Lot<T>) -> (Leaver<T>, Left) {
    let mut left = leavers(lot).await;
    assert_eq!(left.len(), 1, "others left too");
    left.remove(0)
}

/// Does nobody leave for a while?
async fn is_quiet<T>(lot: &Lot<T>) -> bool {
    let run = lot.run(|_, _| panic!("somebody left"));
    matches!(race(run, pause(SOON)).await, Either::Right(()))
}

async fn received(stream: &Stream) -> Vec<u8> {
    let mut receiver = stream.receiver();
    receiver.arm(Buffer::rent(Class::Head));
    let (result, buffer) = receiver.recv().await;
    result.expect("received");
    buffer.window().to_vec()
}

#[test]
fn a_parked_connection_is_told_of_once_when_octets_come_and_loses_none() {
    on_both(|| async {
        let lot = Lot::new().expect("a gate");
        let (mut ours, mut theirs) = pair().await;
        for octets in [b"one", b"two"] {
            let ticket = lot.park(ours, now().after(LATE), octets).expect("parked");
            assert!(is_quiet(&lot).await);
            theirs.write_all(octets).expect("connected");
            let (leaver, why) = leaver(&lot).await;
            assert_eq!(
                (leaver.ticket, why, leaver.kept),
                (ticket, Left::Ready, octets)
            );
            assert!(is_quiet(&lot).await && lot.is_empty());
            ours = leaver.resting.into_stream().expect("registered");
            assert_eq!(received(&ours).await, octets);
        }
    });
}

#[test]
fn octets_that_came_before_parking_are_told_of_too() {
    on_both(|| async {
        let lot = Lot::new().expect("a gate");
        let (ours, mut theirs) = pair().await;
        theirs.write_all(b"early").expect("connected");
        lot.park(ours, now().after(LATE), ()).expect("parked");
        let (leaver, why) = leaver(&lot).await;
        assert_eq!(why, Left::Ready);
        let ours = leaver.resting.into_stream().expect("registered");
        assert_eq!(received(&ours).await, b"early");
    });
}

#[test]
fn parked_connections_leave_when_their_time_is_over() {
    on_both(|| async {
        let lot = Lot::new().expect("a gate");
        let began = now();
        let ((late, _late), (soon, _soon)) = (pair().await, pair().await);
        lot.park(late, began.after(LATE), "late").expect("parked");
        lot.park(soon, began.after(SOON), "soon").expect("parked");
        let (leaver, why) = leaver(&lot).await;
        assert_eq!((why, leaver.kept), (Left::Due, "soon"));
        assert!(now() >= leaver.due && leaver.due >= began.after(SOON));
        assert_eq!(lot.len(), 1);
    });
}

#[test]
fn of_two_that_leave_together_one_may_take_the_other_out() {
    on_both(|| async {
        let lot = Lot::new().expect("a gate");
        for are_due in [false, true] {
            let due = now().after(if are_due { SOON } else { LATE });
            let ((ours, mut theirs), (other, mut its)) = (pair().await, pair().await);
            let first = lot.park(ours, due, None).expect("parked");
            let second = lot.park(other, due, Some(first)).expect("parked");
            lot.with_kept(first, |kept| *kept = Some(second));
            if !are_due {
                theirs.write_all(b"x").expect("connected");
                its.write_all(b"x").expect("connected");
            }
            let (told, somebody) = (Cell::new(0), Notify::new());
            let run = lot.run(|leaver, _| {
                told.set(told.get() + 1);
                let other = leaver.kept.expect("it has another");
                assert!(lot.take(other).is_some(), "the other has left before");
                somebody.notify();
            });
            let waited = race(run, race(somebody.notified(), pause(LATE))).await;
            assert!(matches!(waited, Either::Right(Either::Left(()))));
            assert_eq!((told.get(), lot.len()), (1, 0));
        }
    });
}

#[test]
fn a_parked_connection_whose_peer_closes_or_resets_is_told_of() {
    on_both(|| async {
        let lot = Lot::new().expect("a gate");
        for linger in [None, Some(Duration::ZERO)] {
            let (ours, theirs) = pair().await;
            let set = socket2::SockRef::from(&theirs).set_linger(linger);
            set.expect("a TCP socket");
            lot.park(ours, now().after(LATE), ()).expect("parked");
            assert!(is_quiet(&lot).await);
            drop(theirs);
            let (leaver, why) = leaver(&lot).await;
            assert_eq!(why, Left::Ready);
            assert!(!leaver.resting.is_silent());
        }
    });
}

#[test]
fn one_that_is_taken_out_is_not_told_of_and_its_ticket_is_no_longer_good() {
    on_both(|| async {
        let lot = Lot::new().expect("a gate");
        let (ours, mut theirs) = pair().await;
        let first = lot.park(ours, now().after(SOON), 1).expect("parked");
        let leaver = lot.take(first).expect("it is there");
        assert!(leaver.resting.is_silent());
        theirs.write_all(b"hello").expect("connected");
        assert!(is_quiet(&lot).await && lot.take(first).is_none());
        let ours = leaver.resting.into_stream().expect("registered");
        assert_eq!(received(&ours).await, b"hello");

        // The place is used again.
        let second = lot.park(ours, now().after(LATE), 2).expect("parked");
        assert_ne!(first, second);
        assert!(lot.take(first).is_none() && lot.with_kept(first, |_| ()).is_none());
        assert_eq!(lot.with_kept(second, |kept| *kept += 1), Some(()));
        assert_eq!(lot.take(second).expect("it is there").kept, 3);
    });
}

#[test]
fn one_that_is_taken_out_after_the_gate_noticed_it_is_not_told_of() {
    on_both(|| async {
        let lot = Lot::new().expect("a gate");
        let (ours, mut theirs) = pair().await;
        let ticket = lot.park(ours, now().after(LATE), ()).expect("parked");
        theirs.write_all(b"hello").expect("connected");
        let leaver = lot.take(ticket).expect("it is there");
        assert!(!leaver.resting.is_silent());
        assert!(is_quiet(&lot).await);
    });
}

#[test]
fn all_of_a_kind_are_taken_out_together() {
    on_both(|| async {
        let lot = Lot::new().expect("a gate");
        let mut peers = Vec::new();
        for number in 0..6 {
            let (ours, theirs) = pair().await;
            lot.park(ours, now().after(LATE), number).expect("parked");
            peers.push(theirs);
        }
        let mut taken = Vec::new();
        lot.take_all(|number| number % 2 == 0, |leaver| taken.push(leaver.kept));
        assert_eq!((taken, lot.len()), (vec![0, 2, 4], 3));
        assert_eq!(peers[0].read(&mut [0]).expect("the end"), 0);
        lot.take_all(|_| true, drop);
        assert!(lot.is_empty() && is_quiet(&lot).await);
    });
}

#[test]
fn a_stream_with_another_handle_is_not_parked_and_what_was_to_be_kept_comes_back() {
    on_both(|| async {
        let lot = Lot::new().expect("a gate");
        let (ours, mut theirs) = pair().await;
        let other = ours.clone();
        assert_eq!(lot.park(ours, now().after(LATE), "kept"), Err("kept"));
        assert!(lot.is_empty());
        theirs.write_all(b"hello").expect("connected");
        assert_eq!(received(&other).await, b"hello");
        lot.park(other, now().after(LATE), "kept")
            .expect("the last handle");
    });
}

#[test]
fn a_lot_that_gave_memory_back_parks_again() {
    /// More than a block of the table.
    const MANY: usize = 300;
    on_both(|| async {
        let lot = Lot::new().expect("a gate");
        let mut parked = Vec::new();
        for number in 0..MANY {
            let (ours, theirs) = pair().await;
            let ticket = lot.park(ours, now().after(LATE), number).expect("parked");
            parked.push((ticket, theirs));
        }
        // Of the second block nobody stays, of the first every other.
        let mut streams = Vec::new();
        lot.take_all(
            |number| *number >= 250 || number % 2 == 1,
            |leaver| streams.push((leaver.kept, leaver.resting.into_stream())),
        );
        lot.trim();
        assert_eq!(lot.len(), 125);
        for (number, stream) in streams {
            let stream = stream.expect("registered");
            let ticket = lot.park(stream, now().after(LATE), number).expect("parked");
            parked[number].0 = ticket;
        }
        assert_eq!(lot.len(), MANY);
        for (number, (ticket, theirs)) in parked.iter_mut().enumerate() {
            theirs.write_all(b"x").expect("connected");
            let (leaver, why) = leaver(&lot).await;
            assert_eq!(
                (leaver.ticket, leaver.kept, why),
                (*ticket, number, Left::Ready)
            );
        }
        lot.trim();
        let (ours, mut theirs) = pair().await;
        lot.park(ours, now().after(LATE), 0).expect("parked");
        theirs.write_all(b"x").expect("connected");
        assert_eq!(leaver(&lot).await.1, Left::Ready);
    });
}
