//! Workers of this process that serve what a test gives them: certificates and all.
//!
//! The snapshot is the test's own, so that it can be changed under way, and the counters are at hand.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part of it"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use hotgate::config::{Backend, Config, ListenAddress, ListenerKind, Source, parse};
use hotgate::control::ports::bind_for;
use hotgate::http::authority::HostName;
use hotgate::net::mailbox::{Mailbox, mailbox};
use hotgate::policy::route::ListenerIndex;
use hotgate::serve::certificate_states::{CertificateState, CertificateStates};
use hotgate::serve::core::{ConnectionLimit, Parts};
use hotgate::serve::snapshot::{Snapshot, listener_index, plan};
use hotgate::serve::worker::{Letter, Setup, run};
use hotgate::telemetry::counters::{Counter, CounterBlock, sum};
use hotgate::tls::certs::{Certificates, CertificatesBuilder, Entry, Served};
use hotgate::tls::challenges::Challenges;
use hotgate::tls::policy::{ClientPolicy, Policies};
use hotgate::tls::provider::provider;
use hotgate::upstream::tokens::Tokens;
use hotgate::upstream::{Address, Endpoint, Endpoints};
use rustls::sign::CertifiedKey;

use crate::support::{hotgate::backend, poll_until, tls::Leaf};

/// What a test serves.
pub struct Scene {
    pub policies: Policies,
    /// `[timeouts]` and `[sites]`; every port is replaced by the origin's.
    pub text: String,
    pub workers: u16,
    pub origin: u16,
    pub connections: usize,
    /// What is spoken: on the first listener of this kind all comes in.
    pub kind: ListenerKind,
    /// How it is with the certificates, in the order of the sites.
    pub states: Vec<CertificateState>,
}

/// Running workers.
pub struct Running {
    pub address: SocketAddr,
    scene: Scene,
    listener: ListenerIndex,
    workers: Vec<Worker>,
    /// Snapshots that workers may still hold.
    published: Vec<Snapshot>,
}

struct Worker {
    mailbox: Mailbox<Letter>,
    counters: Arc<CounterBlock>,
    thread: Option<JoinHandle<()>>,
}

/// What belongs to a name of a test: `*.` and `*` as in a file, `127.0.0.1` for an address.
pub type Names<'a> = &'a [(&'a str, Entry)];

impl Scene {
    /// One worker in front of `origin`, with this text.
    pub fn new(text: &str, origin: u16) -> Scene {
        Scene {
            policies: Policies::new(),
            text: text.to_owned(),
            workers: 1,
            origin,
            connections: 1000,
            kind: ListenerKind::Tls,
            states: Vec::new(),
        }
    }

    /// On a plain listener, with certificates in these states.
    pub fn plain(mut self, states: &[CertificateState]) -> Scene {
        self.kind = ListenerKind::Plain;
        self.states = states.to_vec();
        self
    }

    /// How many workers.
    pub fn workers(mut self, workers: u16) -> Scene {
        self.workers = workers;
        self
    }

    /// A certificate under a rule.
    pub fn entry(&self, leaves: &[&Leaf], rule: &ClientPolicy) -> Entry {
        let key = |leaf: &&Leaf| {
            let key = provider().key_provider.load_private_key(leaf.private_key());
            Arc::new(CertifiedKey::new(leaf.chain.clone(), key.expect("a key")))
        };
        let policy = self.policies.of(rule).expect("a policy");
        let keys = leaves.iter().map(key).collect();
        Entry::Held(Arc::new(
            Served::new(keys, policy, false).expect("a certificate"),
        ))
    }

    /// Starts the workers.
    pub fn start(self, names: Names<'_>) -> Running {
        let config = self.config();
        let position = config
            .listeners()
            .iter()
            .position(|listener| listener.kind == self.kind);
        let listener = listener_index(position.expect("a listener of this kind"));
        let wanted = ListenAddress::Address(([127, 0, 0, 1], 0).into());
        let bound = bind_for(wanted, usize::from(self.workers)).expect("a free port");
        let snapshot = self.snapshot(listener, names, Challenges::new());
        let tokens = Tokens::new(1);
        let connections = Arc::new(ConnectionLimit::new(self.connections));
        let address = bound.address;
        let mut workers = Vec::new();
        for (number, socket) in (0..).zip(bound.sockets) {
            let (mailbox, slit) = mailbox().expect("a descriptor");
            let counters = Arc::new(CounterBlock::new());
            let setup = Setup {
                parts: Parts {
                    number,
                    snapshot: snapshot.clone(),
                    tokens: tokens.clone(),
                    counters: counters.clone(),
                    access: None,
                    boot: 1,
                    connections: connections.clone(),
                },
                listeners: vec![(socket, listener)],
                slit,
                backend: match backend().as_str() {
                    "epoll" => Backend::Epoll,
                    "io_uring" => Backend::IoUring,
                    _ => Backend::Auto,
                },
            };
            let thread = thread::Builder::new().name(format!("worker-{number}"));
            let thread = thread.spawn(move || run(setup, |_| {}).expect("the worker runs"));
            workers.push(Worker {
                mailbox,
                counters,
                thread: Some(thread.expect("a thread")),
            });
        }
        Running {
            address,
            scene: self,
            listener,
            workers,
            published: vec![snapshot],
        }
    }

    fn config(&self) -> Config {
        let text = &self.text;
        parse(&[Source { name: "test", text }]).unwrap_or_else(|errors| panic!("{}", errors[0]))
    }

    fn snapshot(
        &self,
        listener: ListenerIndex,
        names: Names<'_>,
        challenges: Challenges,
    ) -> Snapshot {
        let plan = plan(&self.config());
        let label: Arc<str> = format!("127.0.0.1:{}", self.origin).into();
        let endpoint = Endpoint {
            label: label.clone(),
            authority: label,
            addresses: vec![Address::Tcp(([127, 0, 0, 1], self.origin).into())],
            security: hotgate::upstream::Security::Plain,
        };
        Snapshot {
            routes: Arc::new(plan.routes),
            endpoints: Arc::new(Endpoints::new(vec![endpoint; plan.endpoints.len()])),
            certificates: Arc::new(certificates(listener, names)),
            challenges: Arc::new(challenges),
            states: Arc::new(CertificateStates::new(self.states.clone())),
        }
    }
}

fn certificates(listener: ListenerIndex, names: Names<'_>) -> Certificates {
    let mut builder = CertificatesBuilder::new();
    while builder.add_listener() != listener {}
    for (name, entry) in names {
        let host = |text: &str| HostName::parse(text.as_bytes()).expect("a host");
        match name.strip_prefix('*') {
            Some("") => builder.fallback(listener, entry.clone()),
            Some(suffix) => builder.wildcard(listener, &host(&suffix[1..]), entry.clone()),
            None => match host(name).ip() {
                Some(ip) => builder.address(listener, ip, entry.clone()),
                None => builder.exact(listener, &host(name), entry.clone()),
            },
        }
    }
    builder.build()
}

impl Running {
    /// What the test serves.
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// Publishes other certificates and challenges.
    pub fn publish(&mut self, names: Names<'_>, challenges: Challenges) {
        let snapshot = self.scene.snapshot(self.listener, names, challenges);
        for worker in &self.workers {
            let letter = Letter::Publish(snapshot.clone());
            assert!(worker.mailbox.post(letter).is_ok(), "the worker runs");
        }
        self.published.push(snapshot);
    }

    /// How often it has happened, on all workers.
    pub fn count(&self, counter: Counter) -> u64 {
        sum(self.workers.iter().map(|worker| &*worker.counters)).of(counter)
    }

    /// Waits until it has happened so often: a peer may hear of it before it is counted.
    #[track_caller]
    pub fn wait_for_count(&self, counter: Counter, expected: u64) {
        poll_until(&format!("{counter:?} to be {expected}"), || {
            (self.count(counter) == expected).then_some(())
        });
    }

    /// How often it has happened on each worker.
    pub fn counts(&self, counter: Counter) -> Vec<u64> {
        let workers = self.workers.iter();
        workers
            .map(|worker| worker.counters.read(counter))
            .collect()
    }

    /// Tells the workers to finish what is under way and end.
    pub fn drain(&self) {
        for worker in &self.workers {
            let _ = worker.mailbox.post(Letter::Drain);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for worker in &self.workers {
            let _ = worker.mailbox.post(Letter::Stop);
        }
        for worker in &mut self.workers {
            let ended = worker.thread.take().map(JoinHandle::join);
            if !thread::panicking() {
                assert!(matches!(ended, None | Some(Ok(()))), "a worker panicked");
                assert_eq!(worker.counters.read(Counter::Panics), 0);
            }
        }
    }
}
