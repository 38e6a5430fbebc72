//! The process from start to end: sockets, workers, snapshots, signals.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::acme::clerk::{self, Clerk};
use super::acme::responder::Publication as Answers;
use super::certificates::keeper::Keeper;
use super::certificates::publish::Publication;
use super::endpoints::KnownEndpoints;
use super::limits::{connections_for, raise_descriptor_limit, usable_cpus};
use super::log_output::Place;
use super::log_writer::{LogWriter, Settings as LogSettings};
use super::memory;
use super::ports::{BindError, Bound, bind_when_free};
use crate::config::{AccessLog, Config, LogFormat, LogTarget, Pin, Redact};
use crate::net::buffer;
use crate::net::clock::seed;
use crate::net::ladder::Rung;
use crate::net::mailbox::{Mailbox, mailbox};
use crate::serve::core::{ConnectionLimit, Parts};
use crate::serve::snapshot::{Plan, Snapshot, listener_index, plan};
use crate::serve::worker::{Letter, Setup, run};
use crate::telemetry::counters::CounterBlock;
use crate::telemetry::{LineFormat, Redaction};
use crate::upstream::Endpoints;
use crate::upstream::tokens::Tokens;

/// How long the last lines of the access log may take to be written when the process ends.
const LOG_PATIENCE: Duration = Duration::from_secs(2);
/// CPUs from which on `pin = "auto"` pins.
const PIN_FROM_CPUS: usize = 4;

/// Why the process could not start, or had to end.
#[derive(Debug)]
pub enum Failure {
    /// A port cannot be had.
    Bind(BindError),
    /// The access log cannot be written.
    AccessLog(String),
    /// A worker could not start or has ended by itself.
    Worker(String),
    /// The system refuses something else.
    System(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Bind(error) => error.fmt(f),
            Failure::AccessLog(text) | Failure::Worker(text) => f.write_str(text),
            Failure::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Failure::Bind(error) => Some(error),
            Failure::System(error) => Some(error),
            Failure::AccessLog(_) | Failure::Worker(_) => None,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::System(error)
    }
}

/// Serves until a signal ends it. `ready` is called once every listener accepts, with their addresses.
///
/// # Errors
///
/// See [`Failure`]. Nothing was served if a listener or a worker could not be started.
pub fn serve(config: Config, ready: impl FnOnce(&[SocketAddr])) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(Supervisor::run(config, ready));
    // A look-up that hangs in its helper thread does not keep the process.
    runtime.shutdown_background();
    ended
}

struct Supervisor {
    snapshot: Snapshot,
    /// Parts that workers may still hold: they are freed here, not there.
    retired: Vec<Arc<dyn Any + Send + Sync>>,
    workers: Vec<WorkerHandle>,
    drain_timeout: Duration,
}

struct WorkerHandle {
    mailbox: Mailbox<Letter>,
    thread: Option<JoinHandle<()>>,
}

/// What a worker's thread tells.
enum News {
    Started {
        worker: u16,
        rung: Rung,
        refused: Vec<(Rung, String)>,
    },
    Ended {
        worker: u16,
        result: Result<(), String>,
    },
}

impl Supervisor {
    async fn run(config: Config, ready: impl FnOnce(&[SocketAddr])) -> Result<(), Failure> {
        // Signals first: one that comes while we start is not lost.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut rotate = signal(SignalKind::user_defined1())?;

        let workers = config.server.workers.unwrap_or_else(usable_cpus);
        let descriptors = raise_descriptor_limit();
        let budget = memory::budget();
        buffer::set_large_limit(memory::for_large_buffers(budget));
        tracing::debug!(
            "memory budget {} MiB, a quarter of it for large buffers",
            budget >> 20
        );
        let listeners = config.listeners();
        let mut bound = Vec::new();
        for listener in &listeners {
            let free = bind_when_free(listener.address, workers).await;
            bound.push(free.map_err(Failure::Bind)?);
        }
        let log = start_access_log(&config.log.access)?;

        let Plan {
            routes,
            endpoints: keys,
        } = plan(&config);
        let mut endpoints = KnownEndpoints::start(&keys).await?;
        let config = Arc::new(config);
        let (keeper, publication) = Keeper::start(config.clone());
        let snapshot = Snapshot {
            routes: Arc::new(routes),
            endpoints: endpoints.publication(),
            certificates: publication.certificates,
            states: publication.states,
            challenges: Arc::default(),
        };
        let mut this = Supervisor {
            snapshot,
            retired: Vec::new(),
            workers: Vec::new(),
            drain_timeout: config.server.drain_timeout,
        };
        let (tell, mut news) = unbounded_channel();
        let limit = config
            .server
            .max_connections
            .unwrap_or_else(|| connections_for(descriptors));
        this.start_workers(&config, workers, &bound, log.as_ref(), limit, &tell)?;
        this.all_started(&mut news).await?;
        let addresses: Vec<SocketAddr> = bound.iter().map(|bound| bound.address).collect();
        ready(&addresses);
        let (publish, mut published) = unbounded_channel();
        let clerk_setup = clerk::Setup::of(&config, keeper.book().clone());
        tokio::spawn(keeper.run(publish));
        // Once every worker answers, so that an authority that looks at once finds somebody.
        let mut clerk = Clerk::start(clerk_setup);

        let ended = loop {
            tokio::select! {
                _ = terminate.recv() => break Ok(()),
                _ = interrupt.recv() => break Ok(()),
                _ = hang_up.recv() => {
                    tracing::warn!("SIGHUP: this version cannot reload; restart it for a new configuration");
                    reopen(log.as_ref());
                }
                _ = rotate.recv() => reopen(log.as_ref()),
                () = endpoints.changed() => this.take_endpoints(endpoints.publication()),
                Some(publication) = published.recv() => this.take_certificates(publication),
                Some(answers) = clerk.publications.recv() => this.take_challenges(answers),
                Some(news) = news.recv() => if let News::Ended { worker, result } = news {
                    break Err(Failure::Worker(ended_by_itself(worker, result)));
                },
            }
        };
        // Orders under way end; the next start begins them anew.
        drop(clerk);
        // Listeners are closed by the workers once each has stopped accepting; our own duplicates go now.
        drop(bound);
        this.drain(&mut news, &mut terminate, &mut interrupt).await;
        if let Some(log) = log {
            log.stop(LOG_PATIENCE);
        }
        ended
    }

    fn start_workers(
        &mut self,
        config: &Config,
        workers: usize,
        bound: &[Bound],
        log: Option<&LogWriter>,
        limit: usize,
        tell: &UnboundedSender<News>,
    ) -> Result<(), Failure> {
        let (boot, tokens) = (seed(), Tokens::new(self.snapshot.endpoints.len()));
        let connections = Arc::new(ConnectionLimit::new(limit));
        let cores = cores_to_pin(config.server.pin);
        for number in 0..workers {
            let (mailbox, slit) = mailbox()?;
            let mut listeners = Vec::new();
            for (position, listener) in bound.iter().enumerate() {
                listeners.push((
                    listener.sockets[number].try_clone()?,
                    listener_index(position),
                ));
            }
            let setup = Setup {
                parts: Parts {
                    number: u16::try_from(number).expect("the configuration allows far fewer"),
                    snapshot: self.snapshot.clone(),
                    tokens: tokens.clone(),
                    counters: Arc::new(CounterBlock::new()),
                    access: log.map(LogWriter::sink),
                    boot,
                    connections: connections.clone(),
                },
                listeners,
                slit,
                backend: config.server.backend,
            };
            let core = (!cores.is_empty()).then(|| cores[number % cores.len()]);
            let thread = start_thread(setup, core, tell.clone())?;
            self.workers.push(WorkerHandle {
                mailbox,
                thread: Some(thread),
            });
        }
        Ok(())
    }

    /// Waits until every worker accepts, and says what they run on.
    async fn all_started(&self, news: &mut UnboundedReceiver<News>) -> Result<(), Failure> {
        for _ in &self.workers {
            match news.recv().await {
                Some(News::Started {
                    worker: 0,
                    rung,
                    refused,
                }) => {
                    tracing::info!("{} worker(s) on {}", self.workers.len(), rung.as_str());
                    for (better, why) in refused {
                        tracing::warn!("{} refused: {why}", better.as_str());
                    }
                }
                Some(News::Started { .. }) => {}
                Some(News::Ended { worker, result }) => {
                    return Err(Failure::Worker(ended_by_itself(worker, result)));
                }
                None => return Err(Failure::Worker("no worker could be started".to_owned())),
            }
        }
        Ok(())
    }

    /// A name resolves to something else, or there are other files of TLS: publishes the endpoints anew.
    fn take_endpoints(&mut self, endpoints: Arc<Endpoints>) {
        let old = std::mem::replace(&mut self.snapshot.endpoints, endpoints);
        self.retired.push(old);
        self.publish();
    }

    /// A certificate has come, changed, or is being obtained: publishes them anew.
    fn take_certificates(&mut self, publication: Publication) {
        let Publication {
            certificates,
            states,
            ..
        } = publication;
        let old = std::mem::replace(&mut self.snapshot.certificates, certificates);
        self.retired.push(old);
        let old = std::mem::replace(&mut self.snapshot.states, states);
        self.retired.push(old);
        self.publish();
    }

    /// Challenges are to be answered, or no longer: publishes them, and tells when every worker has them.
    fn take_challenges(&mut self, answers: Answers) {
        let Answers { challenges, seen } = answers;
        let old = std::mem::replace(&mut self.snapshot.challenges, challenges);
        self.retired.push(old);
        self.publish();
        let mark: Arc<dyn Any + Send + Sync> = Arc::new(Seen(Some(seen)));
        self.post_to_all(|| Letter::Mark(mark.clone()));
    }

    fn publish(&mut self) {
        self.retired.retain(|part| Arc::strong_count(part) > 1);
        for worker in &self.workers {
            // A full box means a worker that no longer runs; its end is news of its own.
            let _ = worker.mailbox.post(Letter::Publish(self.snapshot.clone()));
        }
    }

    /// Lets the workers finish what is under way; a second signal or the time limit ends them at once.
    async fn drain(
        mut self,
        news: &mut UnboundedReceiver<News>,
        terminate: &mut tokio::signal::unix::Signal,
        interrupt: &mut tokio::signal::unix::Signal,
    ) {
        tracing::info!(
            "draining, for at most {:?}; a second signal ends it now",
            self.drain_timeout
        );
        // Counted before they are told: each that runs now sends one `Ended`, however soon.
        let mut running = self
            .workers
            .iter()
            .filter(|worker| worker.is_running())
            .count();
        self.post_to_all(|| Letter::Drain);
        let deadline = Instant::now() + self.drain_timeout;
        while running > 0 {
            tokio::select! {
                Some(told) = news.recv() => if let News::Ended { .. } = told { running -= 1 },
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                () = sleep_until(deadline) => {
                    tracing::warn!("drain_timeout is over; what is still under way is cut off");
                    break;
                }
            }
        }
        self.post_to_all(|| Letter::Stop);
        let stop_deadline = Instant::now() + STOP_LIMIT;
        while running > 0 {
            match timeout_at(stop_deadline, news.recv()).await {
                Ok(Some(News::Ended { .. })) => running -= 1,
                Ok(Some(News::Started { .. })) => {}
                Ok(None) | Err(_) => return, // the process ends all the same
            }
        }
        for thread in self
            .workers
            .iter_mut()
            .filter_map(|worker| worker.thread.take())
        {
            let _ = thread.join();
        }
    }

    fn post_to_all(&self, letter: impl Fn() -> Letter) {
        for worker in &self.workers {
            let _ = worker.mailbox.post(letter());
        }
    }
}

/// Tells that something was seen when the last worker drops it: one that runs has reached it, another never will.
struct Seen(Option<oneshot::Sender<()>>);

impl Drop for Seen {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            let _ = tell.send(()); // whoever waited has given up
        }
    }
}

/// How long a worker that was told to stop at once may take.
const STOP_LIMIT: Duration = Duration::from_secs(2);

impl WorkerHandle {
    fn is_running(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }
}

fn start_thread(
    setup: Setup,
    core: Option<core_affinity::CoreId>,
    tell: UnboundedSender<News>,
) -> io::Result<JoinHandle<()>> {
    let worker = setup.parts.number;
    std::thread::Builder::new()
        .name(format!("worker-{worker}"))
        .spawn(move || {
            if let Some(core) = core {
                core_affinity::set_for_current(core);
            }
            let started = tell.clone();
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                run(setup, |granted| {
                    // Nobody listens only when the process is ending.
                    let _ = started.send(News::Started {
                        worker,
                        rung: granted.rung,
                        refused: granted.refused.clone(),
                    });
                })
            }));
            let result = match result {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("it panicked".to_owned()),
            };
            let _ = tell.send(News::Ended { worker, result });
        })
}

fn ended_by_itself(worker: u16, result: Result<(), String>) -> String {
    match result {
        Ok(()) => format!("worker {worker} has ended by itself"),
        Err(why) => format!("worker {worker}: {why}"),
    }
}

fn cores_to_pin(pin: Pin) -> Vec<core_affinity::CoreId> {
    let wanted = match pin {
        Pin::On => true,
        Pin::Off => false,
        Pin::Auto => usable_cpus() >= PIN_FROM_CPUS,
    };
    if wanted {
        core_affinity::get_core_ids().unwrap_or_default()
    } else {
        Vec::new()
    }
}

/// Opens the access log's file anew, after it was moved away.
fn reopen(log: Option<&LogWriter>) {
    if let Some(log) = log {
        // Whether it worked is said by the writer itself; nobody here waits for it.
        drop(log.reopen());
        tracing::info!("access log reopened");
    }
}

fn start_access_log(log: &AccessLog) -> Result<Option<LogWriter>, Failure> {
    let place = match &log.path {
        LogTarget::Off => return Ok(None),
        LogTarget::Default => Place::Default,
        LogTarget::Stdout => Place::Stdout,
        LogTarget::File(path) => Place::File(path.clone()),
    };
    let format = match log.format {
        LogFormat::Json => LineFormat::Json,
        LogFormat::Combined => LineFormat::Combined,
    };
    let names = log.redact.iter().map(|Redact::Query(name)| name);
    let settings = LogSettings {
        place,
        format,
        redact: Redaction::of_query(names),
    };
    let writer = LogWriter::start(settings)
        .map_err(|error| Failure::AccessLog(format!("cannot write the access log: {error}")))?;
    Ok(Some(writer))
}
