//! The access log's writer: one thread that empties the workers' rings, formats their records, and writes them.
//!
//! ```text
//!   worker 0 ──AccessSink──► ring ─┐
//!   worker 1 ──AccessSink──► ring ─┼─► hotgate-log ──► lines ──► Output
//!   control  ──── orders ──────────┘
//! ```
//!
//! It looks at the rings ten times a second, and at once when one is half full or an order came. A worker never
//! waits for it: while the disk is slow the rings fill up and workers drop records, which they count. Lines of one
//! worker keep their order; those of several are as close to it as a tenth of a second.
//!
//! Left to others: whether there is an access log at all (then nobody starts this thread), and when to reopen it
//! (`control/signals`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::task::{Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use super::log_output::{Output, Place};
use crate::telemetry::access::{AccessRecord, PACKED_BYTES_MAX};
use crate::telemetry::ring::{Consumer, ring};
use crate::telemetry::{AccessSink, LineFormat, Redaction};

/// Size of one worker's ring. An ordinary record takes 300 octets: at 100 000 exchanges a second the half that is
/// left when the writer is woken lasts nine milliseconds, and the whole is small beside what a worker has anyway.
pub const RING_BYTES: usize = 512 * 1024;

const _: () = assert!(RING_BYTES >= 8 * PACKED_BYTES_MAX);

/// How long a line waits at most before it is written.
const PERIOD: Duration = Duration::from_millis(100);

/// Lines are written when this many octets of them are ready, and at the end of each turn.
const WRITE_BYTES: usize = 64 * 1024;

/// Records taken from one ring before it is the next one's turn.
const RECORDS_PER_TURN: usize = 4096;

/// What is written where, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Where lines go.
    pub place: Place,
    /// How a line is written.
    pub format: LineFormat,
    /// What is hidden in it.
    pub redact: Redaction,
}

/// The running writer. Dropping it ends the thread too, once the rings are empty, without waiting for that.
pub struct LogWriter {
    orders: Sender<Order>,
    bell: Arc<Bell>,
    lines_lost: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl LogWriter {
    /// Opens the output and starts the thread.
    ///
    /// # Errors
    ///
    /// The file cannot be opened (the message names it), or there can be no more threads.
    pub fn start(settings: Settings) -> io::Result<LogWriter> {
        LogWriter::start_with(settings, PERIOD)
    }

    fn start_with(settings: Settings, period: Duration) -> io::Result<LogWriter> {
        let lines_lost = Arc::new(AtomicU64::new(0));
        let output = Output::open(&settings.place, Arc::clone(&lines_lost))?;
        let writer = Writer {
            settings,
            output,
            rings: Vec::new(),
            record: Vec::with_capacity(PACKED_BYTES_MAX),
            lines: Vec::with_capacity(2 * WRITE_BYTES),
            lines_lost: Arc::clone(&lines_lost),
        };
        let (orders, received) = mpsc::channel();
        let rung = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&rung);
        let thread = thread::Builder::new()
            .name("hotgate-log".to_owned())
            .spawn(move || writer.run(&received, &heard, period))?;
        let bell = Arc::new(Bell {
            rung,
            thread: thread.thread().clone(),
        });
        Ok(LogWriter {
            orders,
            bell,
            lines_lost,
            thread,
        })
    }

    /// A new worker's end of the log. When it is dropped, its ring goes once it is empty.
    pub fn sink(&self) -> AccessSink {
        let (producer, consumer) = ring(RING_BYTES);
        self.order(Order::Attach(consumer));
        AccessSink::new(producer, Waker::from(Arc::clone(&self.bell)))
    }

    /// Opens the file anew, after a rotation has moved it. What was logged before goes to the old one.
    ///
    /// Returns at once; the outcome comes through the channel, which may be dropped. On failure the old file stays
    /// in use, and that is told in the events log too.
    pub fn reopen(&self) -> Receiver<io::Result<()>> {
        let (answer, outcome) = mpsc::channel();
        self.order(Order::Reopen(answer));
        outcome
    }

    /// Goes on with other settings, as [`LogWriter::reopen`] does; on failure the old settings stay.
    pub fn change(&self, settings: Settings) -> Receiver<io::Result<()>> {
        let (answer, outcome) = mpsc::channel();
        self.order(Order::Change(settings, answer));
        outcome
    }

    /// Lines that could not be written since the start. Those the workers dropped are in their own counters.
    pub fn lines_lost(&self) -> u64 {
        self.lines_lost.load(Ordering::Relaxed)
    }

    /// Writes what the rings hold and ends the thread. The workers have ended, or what they log now may be lost.
    ///
    /// Waits at most `patience`: false if the output took longer (a pipe nobody reads, a hung disk); then the
    /// thread is left behind.
    pub fn stop(self, patience: Duration) -> bool {
        let (answer, ended) = mpsc::channel();
        self.order(Order::Stop(answer));
        if let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(patience) {
            tracing::warn!("access log: still not written after {patience:?}; given up");
            return false;
        }
        self.thread.join().is_ok()
    }

    fn order(&self, order: Order) {
        // Refused only if the thread has died; whoever waits for an answer learns it from the closed channel.
        let _ = self.orders.send(order);
        self.bell.thread.unpark();
    }
}

enum Order {
    Attach(Consumer),
    Reopen(Sender<io::Result<()>>),
    Change(Settings, Sender<io::Result<()>>),
    Stop(Sender<()>),
}

/// Wakes the writer for a worker. Of many calls only the first since the writer last looked makes a system call.
struct Bell {
    rung: Arc<AtomicBool>,
    thread: Thread,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // A swap, and one on the other side too: either the writer's comes later and then it sees what was pushed
        // before this call, or ours does and then we see that it has to be woken.
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

/// The thread's own.
struct Writer {
    settings: Settings,
    output: Output,
    rings: Vec<Consumer>,
    record: Vec<u8>,
    lines: Vec<u8>,
    lines_lost: Arc<AtomicU64>,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>, rung: &AtomicBool, period: Duration) {
        loop {
            match orders.try_recv() {
                Ok(Order::Attach(ring)) => self.rings.push(ring),
                Ok(Order::Reopen(answer)) => {
                    let settings = self.settings.clone();
                    // Who asked may have gone.
                    let _ = answer.send(self.change(settings));
                }
                Ok(Order::Change(settings, answer)) => {
                    let _ = answer.send(self.change(settings));
                }
                Ok(Order::Stop(answer)) => {
                    self.finish();
                    let _ = answer.send(());
                    return;
                }
                Err(TryRecvError::Disconnected) => {
                    self.finish();
                    return;
                }
                Err(TryRecvError::Empty) => {
                    rung.swap(false, Ordering::AcqRel);
                    if self.turn() == Turn::Emptied {
                        thread::park_timeout(period);
                    }
                }
            }
        }
    }

    fn change(&mut self, settings: Settings) -> io::Result<()> {
        self.turn();
        let outcome = self.output.replace(&settings.place);
        match &outcome {
            Ok(()) => self.settings = settings,
            Err(error) => tracing::error!("{error}; the old access log stays in use"),
        }
        outcome
    }

    fn finish(mut self) {
        while self.turn() == Turn::MoreToDo {}
    }

    /// Writes what is in the rings, a bounded part of each.
    fn turn(&mut self) -> Turn {
        let mut turn = Turn::Emptied;
        let mut rings = std::mem::take(&mut self.rings);
        rings.retain(|ring| {
            // Asked first: what a dropped producer pushed is seen by the `pop`s that follow.
            let abandoned = ring.is_abandoned();
            let emptied = self.empty(ring);
            if !emptied {
                turn = Turn::MoreToDo;
            }
            !(abandoned && emptied)
        });
        self.rings = rings;
        self.write();
        turn
    }

    /// Takes a turn's worth of records from one ring. False if there are more.
    fn empty(&mut self, ring: &Consumer) -> bool {
        for _ in 0..RECORDS_PER_TURN {
            if !ring.pop(&mut self.record) {
                return true;
            }
            match AccessRecord::unpack(&self.record) {
                Some(record) => {
                    let settings = &self.settings;
                    settings
                        .format
                        .write(&record, &mut self.lines, &settings.redact);
                }
                // Only a bug packs what cannot be unpacked; it must not end the log.
                None => {
                    self.lines_lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            if self.lines.len() >= WRITE_BYTES {
                self.write();
            }
        }
        false
    }

    fn write(&mut self) {
        self.output.write(&self.lines);
        self.lines.clear();
    }
}

#[derive(PartialEq, Eq)]
enum Turn {
    Emptied,
    MoreToDo,
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd;
    use std::path::PathBuf;

    use super::*;
    use crate::telemetry::access::tests::PLAIN;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A folder that no other test has, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let name = format!("hotgate-log-writer-{}-{name}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).expect("a folder");
            Scratch(folder)
        }

        fn json(&self, file: &str) -> Settings {
            Settings {
                place: Place::File(self.0.join(file)),
                format: LineFormat::Json,
                redact: Redaction::default(),
            }
        }

        /// The `host` of each line of a JSON log.
        #[track_caller]
        fn hosts(&self, file: &str) -> Vec<String> {
            fs::read_to_string(self.0.join(file))
                .expect("the log is there")
                .lines()
                .map(|line| {
                    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
                    line["request"]["host"].as_str().expect("text").to_owned()
                })
                .collect()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn host(host: &str) -> AccessRecord<'_> {
        AccessRecord {
            host: host.as_bytes(),
            ..PLAIN
        }
    }

    #[track_caller]
    fn wait(outcome: &Receiver<io::Result<()>>) -> io::Result<()> {
        outcome.recv_timeout(PATIENCE).expect("an answer")
    }

    #[test]
    fn what_was_pushed_is_written_before_the_end() {
        let scratch = Scratch::new("end");
        let writer = LogWriter::start(scratch.json("log")).expect("it starts");
        let sinks = [writer.sink(), writer.sink()];
        assert!(sinks[0].push(&host("a")));
        assert!(sinks[1].push(&host("b")));
        assert!(sinks[0].push(&host("c")));
        assert!(writer.stop(PATIENCE));
        let mut hosts = scratch.hosts("log");
        hosts.sort();
        assert_eq!(hosts, ["a", "b", "c"]);
        assert!(sinks[0].push(&host("d")), "a late worker takes no harm");
    }

    #[test]
    fn a_line_is_written_without_being_asked_for() {
        let scratch = Scratch::new("period");
        let writer = LogWriter::start(scratch.json("log")).expect("it starts");
        let sink = writer.sink();
        assert!(sink.push(&host("a")));
        while scratch.hosts("log").is_empty() {
            thread::yield_now();
        }
        assert_eq!(scratch.hosts("log"), ["a"]);
        assert!(writer.stop(PATIENCE));
    }

    #[test]
    fn a_rotated_log_goes_on_in_a_new_file() {
        let scratch = Scratch::new("rotate");
        let writer = LogWriter::start(scratch.json("log")).expect("it starts");
        let sink = writer.sink();
        assert!(sink.push(&host("a")));
        fs::rename(scratch.0.join("log"), scratch.0.join("log.1")).expect("it is there");
        wait(&writer.reopen()).expect("it opens");
        assert!(sink.push(&host("b")));
        wait(&writer.reopen()).expect("it opens again");
        assert!(writer.stop(PATIENCE));
        assert_eq!(scratch.hosts("log.1"), ["a"]);
        assert_eq!(scratch.hosts("log"), ["b"]);
    }

    #[test]
    fn a_log_that_cannot_be_opened_leaves_the_old_one_in_use() {
        let scratch = Scratch::new("keep");
        let writer = LogWriter::start(scratch.json("log")).expect("it starts");
        let sink = writer.sink();
        let error = wait(&writer.change(scratch.json("no/such"))).expect_err("no such folder");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(sink.push(&host("a")));
        assert!(writer.stop(PATIENCE));
        assert_eq!(scratch.hosts("log"), ["a"]);
        assert!(LogWriter::start(scratch.json("no/such")).is_err());
    }

    #[test]
    fn settings_change_between_two_lines() {
        let scratch = Scratch::new("change");
        let writer = LogWriter::start(scratch.json("log")).expect("it starts");
        let sink = writer.sink();
        assert!(sink.push(&host("a")));
        let combined = Settings {
            format: LineFormat::Combined,
            redact: Redaction::of_query(["b"]),
            ..scratch.json("combined")
        };
        wait(&writer.change(combined)).expect("it opens");
        assert!(sink.push(&host("b")));
        assert!(writer.stop(PATIENCE));
        assert_eq!(scratch.hosts("log"), ["a"]);
        let text = fs::read_to_string(scratch.0.join("combined")).expect("it is there");
        assert!(text.contains("\"GET /a?b=*** HTTP/1.1\" 200"));
    }

    #[test]
    fn a_full_disk_costs_lines_and_nothing_else() {
        let scratch = Scratch::new("full");
        let full = Settings {
            place: Place::File("/dev/full".into()),
            ..scratch.json("")
        };
        let writer = LogWriter::start(full).expect("it starts");
        let sink = writer.sink();
        for _ in 0..3 {
            assert!(sink.push(&host("a")));
        }
        wait(&writer.reopen()).expect("it opens");
        assert_eq!(writer.lines_lost(), 3);
        wait(&writer.change(scratch.json("log"))).expect("it opens");
        assert!(sink.push(&host("b")));
        assert!(writer.stop(PATIENCE));
        assert_eq!(scratch.hosts("log"), ["b"]);
    }

    #[test]
    fn a_worker_at_half_full_need_not_wait_for_the_period() {
        const RECORDS: usize = 20_000;
        let scratch = Scratch::new("wake");
        let hour = Duration::from_secs(3600);
        let writer = LogWriter::start_with(scratch.json("log"), hour).expect("it starts");
        let names = ["a", "b", "c"];
        thread::scope(|scope| {
            for name in names {
                let sink = writer.sink();
                scope.spawn(move || {
                    for i in 0..RECORDS {
                        let name = format!("{name}{i}");
                        while !sink.push(&host(&name)) {
                            thread::yield_now();
                        }
                    }
                });
            }
        });
        assert!(writer.stop(PATIENCE));
        let hosts = scratch.hosts("log");
        assert_eq!(hosts.len(), names.len() * RECORDS);
        for name in names {
            let of_one = hosts.iter().filter(|host| host.starts_with(name));
            assert!(
                of_one.eq((0..RECORDS)
                    .map(|i| format!("{name}{i}"))
                    .collect::<Vec<_>>()
                    .iter())
            );
        }
    }

    #[test]
    fn an_output_that_takes_nothing_does_not_hold_up_the_end() {
        let (reader, pipe) = io::pipe().expect("a pipe");
        let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
        let stuck = Settings {
            place: Place::File(path.into()),
            format: LineFormat::Json,
            redact: Redaction::default(),
        };
        let writer = LogWriter::start(stuck).expect("it starts");
        let sink = writer.sink();
        // A pipe holds 64 KiB.
        while sink.push(&host(&"a".repeat(1000))) {}
        assert!(!writer.stop(Duration::from_millis(50)));
        drop(reader);
    }
}
