//! The simulated world: its chance, its clock, what is to happen next, and the tasks that live in it.
//!
//! One thread, one world. Nothing happens but events, in the order of their moments; between two of them the tasks
//! run that the first has woken. When nobody is ready the clock jumps to the next event, so an hour of waiting costs
//! nothing, and a seed tells all of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::wire::Wires;

/// Where the monotonic clock of each world starts.
const START_NANOS: u64 = 1_000_000_000_000;
/// Where its wall clock starts: 2026.
const WALL_NANOS: u64 = 1_770_000_000_000_000_000;
/// Polls without an event between them: more is a task that wakes itself for ever.
const IDLE_POLLS_MAX: u64 = 200_000;
/// Events that are kept to be shown.
const TRACE_MAX: usize = 60;

const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// How often things go wrong, out of a thousand.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// A completion comes seconds late.
    pub stall: u32,
    /// No descriptor can be had for a connection.
    pub emfile: u32,
    /// A connect is refused, or is never answered.
    pub refuse: u32,
    /// A connection cannot be watched.
    pub unwatched: u32,
    /// The clocks jump now and then.
    pub jumps: bool,
}

impl Faults {
    /// All of them, each rare.
    pub const SOME: Faults = Faults {
        stall: 3,
        emfile: 10,
        refuse: 20,
        unwatched: 5,
        jumps: true,
    };
    /// None: delays and short receives alone.
    pub const NONE: Faults = Faults {
        stall: 0,
        emfile: 0,
        refuse: 0,
        unwatched: 0,
        jumps: false,
    };
}

/// What is to happen.
pub(super) enum Event {
    /// The operation completes, if it can.
    Complete(u64),
    /// A cancel reaches the operation.
    Cancel(u64),
    /// A timer goes off, unless it has been set anew.
    Timer(u64, u64),
    /// A gate sees that a connection is ready.
    Tell(u64),
    /// Octets were sent to somebody who is gone.
    Reset(u64),
    /// A sleeper wakes.
    Wake(Waker),
    /// The clocks jump.
    Jump,
}

#[derive(Clone, Copy)]
struct Traced {
    nanos: u64,
    what: &'static str,
    who: u64,
    result: i64,
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// See the module.
pub(super) struct World {
    state: u64,
    pub(super) faults: Faults,
    nanos: u64,
    wall_offset: u64,
    numbers: u64,
    events: BTreeMap<(u64, u64), Event>,
    steps: u64,
    hash: u64,
    trace: VecDeque<Traced>,
    tasks: BTreeMap<u64, (Option<Task>, Waker, &'static str)>,
    ready: Arc<Mutex<VecDeque<u64>>>,
    pub(super) timers: BTreeMap<u64, TimerState>,
    pub(super) wires: Wires,
    ends_at: u64,
}

/// A timer as the world keeps it.
#[derive(Default)]
pub(super) struct TimerState {
    pub(super) setting: u64,
    pub(super) has_expired: bool,
    pub(super) waker: Option<Waker>,
}

thread_local!(static WORLD: RefCell<Option<World>> = const { RefCell::new(None) });

/// The world of this thread.
pub(super) fn with<R>(act: impl FnOnce(&mut World) -> R) -> R {
    try_with(act).expect("sim::begin was called on this thread")
}

/// As [`with`]; `None` where there is none, or no longer.
pub(super) fn try_with<R>(act: impl FnOnce(&mut World) -> R) -> Option<R> {
    let acted = WORLD.try_with(|world| world.borrow_mut().as_mut().map(act));
    acted.ok().flatten()
}

/// A new world on this thread, but for what outlives it.
pub(super) fn make(seed: u64, faults: Faults) {
    end();
    let mut world = World {
        state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        faults,
        nanos: START_NANOS,
        wall_offset: WALL_NANOS,
        numbers: 0,
        events: BTreeMap::new(),
        steps: 0,
        hash: 0xcbf2_9ce4_8422_2325,
        trace: VecDeque::new(),
        tasks: BTreeMap::new(),
        ready: Arc::default(),
        timers: BTreeMap::new(),
        wires: Wires::default(),
        ends_at: u64::MAX,
    };
    for _ in 0..8 {
        world.random();
    }
    if faults.jumps {
        world.plan_jump();
    }
    WORLD.set(Some(world));
}

/// Ends the world: its tasks are dropped, then all else. True: there was one.
pub fn end() -> bool {
    QUEUED.with_borrow_mut(BTreeMap::clear);
    while let Some(task) = try_with(|world| world.tasks.pop_first()).flatten() {
        drop(task);
    }
    // Outside of the borrow: what it drops may look for it.
    let world = WORLD.with_borrow_mut(Option::take);
    world.is_some()
}

impl World {
    pub(super) fn random(&mut self) -> u64 {
        let mut x = self.state;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.state = x;
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        (self.random() >> 16) % bound
    }

    /// True so often out of a thousand.
    pub(super) fn strikes(&mut self, of_thousand: u32) -> bool {
        of_thousand > 0 && self.below(1000) < u64::from(of_thousand)
    }

    /// How much of `most` octets goes through at once: all of it, or less.
    pub(super) fn portion(&mut self, most: usize) -> usize {
        match self.below(3) {
            0 => 1 + self.below(most as u64) as usize,
            _ => most,
        }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn nanos(&self) -> u64 {
        self.nanos
    }

    pub(super) fn wall_nanos(&self) -> u64 {
        self.wall_offset + self.nanos
    }

    /// How long something takes: mostly microseconds, now and then much longer.
    pub(super) fn delay(&mut self) -> u64 {
        if self.strikes(self.faults.stall) {
            return SECOND + self.below(8 * SECOND);
        }
        match self.below(100) {
            0..75 => MICRO + self.below(200 * MICRO),
            75..97 => 200 * MICRO + self.below(5 * MILLI),
            _ => 5 * MILLI + self.below(300 * MILLI),
        }
    }

    pub(super) fn plan(&mut self, after_nanos: u64, event: Event) {
        self.plan_at(self.nanos.saturating_add(after_nanos), event);
    }

    pub(super) fn plan_at(&mut self, at_nanos: u64, event: Event) {
        let number = self.number();
        self.events.insert((at_nanos, number), event);
    }

    pub(super) fn plan_soon(&mut self, event: Event) {
        let delay = self.delay();
        self.plan(delay, event);
    }

    fn plan_jump(&mut self) {
        let wait = 2 * SECOND + self.below(60 * SECOND);
        self.plan(wait, Event::Jump);
    }

    fn jump(&mut self) -> i64 {
        let ahead = match self.below(3) {
            0 => 0,
            _ => self.below(4 * SECOND),
        };
        self.nanos += ahead;
        // The wall clock alone may go back.
        self.wall_offset = WALL_NANOS + self.below(7200 * SECOND);
        self.plan_jump();
        ahead as i64
    }

    /// Remembers what happened: for the hash, and to be shown.
    pub(super) fn trace(&mut self, what: &'static str, who: u64, result: i64) {
        for value in [self.nanos, what.len() as u64, who, result as u64] {
            self.hash = (self.hash ^ value).wrapping_mul(0x0000_0100_0000_01b3);
            self.hash ^= self.hash >> 29;
        }
        if self.trace.len() == TRACE_MAX {
            self.trace.pop_front();
        }
        let nanos = self.nanos;
        self.trace.push_back(Traced {
            nanos,
            what,
            who,
            result,
        });
    }

    /// Lets the next event happen; false when there is none.
    fn step(&mut self) -> bool {
        let Some(((at, _), event)) = self.events.pop_first() else {
            return false;
        };
        self.nanos = self.nanos.max(at);
        self.steps += 1;
        match event {
            Event::Complete(operation) => self.complete(operation),
            Event::Cancel(operation) => self.cancelled(operation),
            Event::Tell(end) => self.tell(end),
            Event::Reset(end) => self.reset(end),
            Event::Timer(timer, setting) => {
                let state = self.timers.get_mut(&timer);
                if let Some(state) = state.filter(|state| state.setting == setting) {
                    state.has_expired = true;
                    if let Some(waker) = state.waker.take() {
                        waker.wake();
                    }
                    self.trace("timer", timer, 0);
                }
            }
            Event::Wake(waker) => {
                waker.wake();
                self.trace("wakes", 0, 0);
            }
            Event::Jump => {
                let ahead = self.jump();
                self.trace("the clocks jump", 0, ahead);
            }
        }
        true
    }
}

struct TaskWaker {
    number: u64,
    is_queued: AtomicBool,
    ready: Arc<Mutex<VecDeque<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::Relaxed) {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            ready.push_back(self.number);
        }
    }
}

impl World {
    fn waker(&mut self, number: u64) -> Arc<TaskWaker> {
        let waker = Arc::new(TaskWaker {
            number,
            is_queued: AtomicBool::new(false),
            ready: self.ready.clone(),
        });
        waker.wake_by_ref();
        waker
    }
}

/// Starts a task in this thread's world.
pub(in crate::net) fn start_task<F: Future<Output = ()> + 'static>(task: F) {
    with(|world| {
        let number = world.number();
        let waker = world.waker(number);
        QUEUED.with_borrow_mut(|queued| queued.insert(number, waker.clone()));
        let name = std::any::type_name::<F>();
        world
            .tasks
            .insert(number, (Some(Box::pin(task)), Waker::from(waker), name));
    });
}

// Beside the world, so that a poll finds its flag without naming the waker's type twice.
thread_local!(static QUEUED: RefCell<BTreeMap<u64, Arc<TaskWaker>>> = const { RefCell::new(BTreeMap::new()) });

/// The number that the future of [`block_on`] has.
const MAIN: u64 = 0;

/// Lets the world go on until `main` has ended. Panics when nothing is left to happen, or too much time has passed.
pub(super) fn block_on(main: impl Future<Output = ()>) {
    let mut main = pin!(main);
    let own = with(|world| world.waker(MAIN));
    QUEUED.with_borrow_mut(|queued| queued.insert(MAIN, own.clone()));
    let own = Waker::from(own);
    let mut polls = 0;
    loop {
        while let Some(number) = next_ready() {
            polls += 1;
            assert!(
                polls < IDLE_POLLS_MAX,
                "task {number} wakes itself for ever"
            );
            QUEUED.with_borrow(|queued| {
                if let Some(waker) = queued.get(&number) {
                    waker.is_queued.store(false, Ordering::Relaxed);
                }
            });
            if number == MAIN {
                if main
                    .as_mut()
                    .poll(&mut Context::from_waker(&own))
                    .is_ready()
                {
                    return;
                }
            } else {
                poll_task(number);
            }
        }
        polls = 0;
        let (has_stepped, is_late) = with(|world| (world.step(), world.nanos > world.ends_at));
        assert!(
            has_stepped,
            "a hang: nobody is ready, and nothing will happen"
        );
        assert!(!is_late, "a hang: the world's time is over");
    }
}

fn next_ready() -> Option<u64> {
    with(|world| {
        // A poll takes a microsecond.
        world.nanos += MICRO;
        let mut ready = world.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.pop_front()
    })
}

fn poll_task(number: u64) {
    let taken = with(|world| {
        let (task, waker, _) = world.tasks.get_mut(&number)?;
        Some((task.take()?, waker.clone()))
    });
    let Some((mut task, waker)) = taken else {
        return; // it has ended
    };
    let is_over = task
        .as_mut()
        .poll(&mut Context::from_waker(&waker))
        .is_ready();
    if is_over {
        drop(task);
        with(|world| world.tasks.remove(&number));
        QUEUED.with_borrow_mut(|queued| queued.remove(&number));
    } else {
        with(|world| {
            if let Some((place, ..)) = world.tasks.get_mut(&number) {
                *place = Some(task);
            }
        });
    }
}

/// Lets the world go on for a while without anybody to wait for.
pub fn settle(wait: Duration) {
    block_on(sleep(wait));
}

/// No world lasts longer than this from now on: what is not over then hangs.
pub fn ends_in(wait: Duration) {
    with(|world| world.ends_at = world.nanos.saturating_add(wait.as_nanos() as u64));
}

/// Waits for so long, to the nanosecond.
pub async fn sleep(wait: Duration) {
    let at = with(|world| world.nanos.saturating_add(wait.as_nanos() as u64));
    let mut is_planned = false;
    poll_fn(|cx| {
        with(|world| {
            if world.nanos >= at {
                return Poll::Ready(());
            }
            if !is_planned {
                is_planned = true;
                world.plan_at(at, Event::Wake(cx.waker().clone()));
            }
            Poll::Pending
        })
    })
    .await;
}

/// A number below `bound`, of the world's chance.
pub fn below(bound: u64) -> u64 {
    with(|world| world.below(bound))
}

/// Nanoseconds of the world's monotonic clock.
pub fn nanos() -> u64 {
    with(|world| world.nanos)
}

/// Leaves a line in the trace.
pub fn remark(what: &'static str, who: u64, result: i64) {
    with(|world| world.trace(what, who, result));
}

/// Events that have happened.
pub fn steps() -> u64 {
    with(|world| world.steps)
}

/// A digest of all that has happened.
pub fn trace_hash() -> u64 {
    with(|world| world.hash)
}

/// The last events, a line each.
pub fn last_events() -> String {
    with(|world| {
        let mut text = String::new();
        for Traced {
            nanos,
            what,
            who,
            result,
        } in &world.trace
        {
            let seconds = (nanos - START_NANOS) as f64 / 1e9;
            let _ = writeln!(text, "{seconds:13.6} {what} {who}: {result}");
        }
        text
    })
}

/// What the tasks that live are made of, as the compiler names it.
pub fn tasks() -> Vec<&'static str> {
    with(|world| world.tasks.values().map(|(_, _, name)| *name).collect())
}
