//! One world from its seed to its end, and what must hold then.

use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hotgate::config::{Backend, Source, parse};
use hotgate::net::buffer::rented_bytes;
use hotgate::net::mailbox::{Mailbox, mailbox};
use hotgate::net::sim::{self, Bug, Faults, below, found, sleep};
use hotgate::net::spawn;
use hotgate::serve::core::{ConnectionLimit, Parts};
use hotgate::serve::snapshot::{Plan, Snapshot, listener_index, plan};
use hotgate::serve::worker::{Letter, Setup, run as run_worker};
use hotgate::telemetry::CounterBlock;
use hotgate::telemetry::counters::Counter;
use hotgate::tls::certs::{Certificates, CertificatesBuilder, Entry, Served};
use hotgate::tls::connect::EndpointTls;
use hotgate::tls::policy::{ClientPolicy, Policies};
use hotgate::tls::provider::{VERSIONS, provider};
use hotgate::upstream::tokens::Tokens;
use hotgate::upstream::{Address, Endpoint, EndpointNumber, Endpoints, Security};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;

use crate::client::{self, Tally, Way};
use crate::origin::{self, Manners};

const PLAIN: u16 = 9001;
const DEEP: u16 = 9002;
const CONFIG: &str = "\
[upstreams.plain]
servers = [9001]
[upstreams.deep]
servers = [9002]
pipeline = 8
[timeouts]
handshake = \"5s\"
header = \"5s\"
keepalive = \"12s\"
connect = \"3s\"
response = \"20s\"
body_idle = \"15s\"
write_idle = \"30s\"
tunnel_idle = \"30s\"
upstream_idle = \"6s\"
[sites]
\"http://plain.test\" = \"plain\"
\"http://deep.test\" = \"deep\"
\"plain.test\" = \"plain\"
\"deep.test\" = \"deep\"
";
/// No world lasts longer: clients live for minutes, and what they leave is limited by the configuration.
const LIFE_MAX: Duration = Duration::from_secs(3600);
/// What completes late may take so long after the last task.
const SETTLING: Duration = Duration::from_secs(120);

/// What came of a world, or of many.
#[derive(Default, Debug)]
pub(crate) struct Outcome {
    pub(crate) steps: u64,
    pub(crate) hash: u64,
    pub(crate) tally: Tally,
    pub(crate) pipelined: u64,
    pub(crate) reuses: u64,
    /// Connections over TLS.
    pub(crate) secured: u64,
    /// Worlds with an origin over TLS.
    pub(crate) secured_origins: u64,
    pub(crate) findings: Vec<String>,
    pub(crate) trace: String,
}

impl Outcome {
    pub(crate) fn add(&mut self, other: &Outcome) {
        self.steps += other.steps;
        self.pipelined += other.pipelined;
        self.reuses += other.reuses;
        self.secured += other.secured;
        self.secured_origins += other.secured_origins;
        self.tally.add(&other.tally);
    }
}

/// Runs a world in which nothing may be found.
#[track_caller]
pub(crate) fn check(seed: u64, faults: Faults) -> Outcome {
    let outcome = run(seed, faults, None);
    assert!(
        outcome.findings.is_empty(),
        "seed {seed}, after {} steps (SIM_SEED={seed} SIM_STEPS=1):\n{}\n{}",
        outcome.steps,
        outcome.findings.join("\n"),
        outcome.trace
    );
    outcome
}

/// Runs a world and tells what was found.
pub(crate) fn run(seed: u64, faults: Faults, bug: Option<Bug>) -> Outcome {
    sim::begin(seed, faults);
    sim::findings();
    sim::plant(bug);
    let base = rented_bytes();
    let mut outcome = Outcome::default();
    let ended = catch_unwind(AssertUnwindSafe(|| live(faults, &mut outcome)));
    if let Err(panic) = ended {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        found(text.unwrap_or_else(|| "a panic".to_owned()));
    }
    outcome.steps = sim::steps();
    outcome.hash = sim::trace_hash();
    outcome.trace = sim::last_events();
    sim::end();
    sim::plant(None);
    if rented_bytes() != base {
        found(format!("{} octets are still rented", rented_bytes() - base));
    }
    outcome.findings = sim::findings();
    outcome
}

/// One in the clear, and one of TLS.
struct Listeners([TcpListener; 2]);

impl Listeners {
    fn new() -> Listeners {
        let bind = || TcpListener::bind("127.0.0.1:0").expect("a port");
        Listeners([bind(), bind()])
    }
}

thread_local!(static LISTENERS: Listeners = Listeners::new());

/// The name's certificate. Its signatures are all of one length, so that a world's records are.
struct Identity {
    key: Arc<CertifiedKey>,
    roots: RootCertStore,
}

impl Identity {
    fn new() -> Identity {
        let names = ["plain.test", "deep.test"].map(str::to_owned);
        let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
        let params = CertificateParams::new(names).expect("names");
        let leaf = params.self_signed(&key).expect("signed").der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(leaf.clone()).expect("a certificate");
        let der = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let signing = provider().key_provider.load_private_key(der);
        let key = CertifiedKey::new(vec![leaf], signing.expect("a known kind"));
        Identity {
            key: Arc::new(key),
            roots,
        }
    }

    /// Clients of one world share what they remember of sessions, and of no other world's.
    fn client(&self) -> Arc<ClientConfig> {
        let config = ClientConfig::builder_with_provider(provider().clone())
            .with_protocol_versions(&VERSIONS)
            .expect("versions")
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        Arc::new(config)
    }

    /// Of an origin; each world's has sessions of its own.
    fn server(&self) -> Arc<ServerConfig> {
        let config = ServerConfig::builder_with_provider(provider().clone())
            .with_protocol_versions(&VERSIONS)
            .expect("versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(self.key.clone())));
        Arc::new(config)
    }

    fn certificates(&self) -> Certificates {
        let policy = Policies::new().of(&ClientPolicy::Off).expect("a policy");
        let served = Served::new(vec![self.key.clone()], policy, false).expect("a certificate");
        let entry = Entry::Held(Arc::new(served));
        let mut builder = CertificatesBuilder::new();
        builder.add_listener();
        let listener = builder.add_listener();
        builder.fallback(listener, entry);
        builder.build()
    }
}

thread_local!(static IDENTITY: Identity = Identity::new());

fn live(faults: Faults, outcome: &mut Outcome) {
    let base = rented_bytes();
    let rude = match faults.stall {
        0 => 0,
        _ => [0, 3, 10][below(3) as usize],
    };
    let (counters, tokens) = (Arc::new(CounterBlock::new()), Tokens::new(2));
    let (mailbox, slit) = mailbox().expect("simulated");
    let [plain, secured] = LISTENERS.with(|Listeners(listeners)| {
        listeners
            .each_ref()
            .map(|listener| listener.try_clone().expect("a descriptor"))
    });
    let port_of = |listener: &TcpListener| listener.local_addr().expect("bound").port();
    let ways = [
        Way {
            port: port_of(&plain),
            config: None,
        },
        Way {
            port: port_of(&secured),
            config: Some(IDENTITY.with(Identity::client)),
        },
    ];
    let are_secured = [below(3) == 0, below(3) == 0];
    outcome.secured_origins = u64::from(are_secured.contains(&true));
    for (port, is_secured) in [PLAIN, DEEP].into_iter().zip(are_secured) {
        let tls = is_secured.then(|| IDENTITY.with(Identity::server));
        origin::start(address(port), Manners { rude }, tls);
    }
    let tally = Rc::new(Cell::new(Tally::default()));
    start_clients(&ways, mailbox, &tally);
    let setup = Setup {
        parts: Parts {
            number: 0,
            snapshot: snapshot(are_secured),
            tokens: tokens.clone(),
            counters: counters.clone(),
            access: None,
            boot: 1,
            connections: Arc::new(ConnectionLimit::new(60)),
        },
        listeners: vec![(plain, listener_index(0)), (secured, listener_index(1))],
        slit,
        backend: Backend::Auto,
    };
    sim::ends_in(LIFE_MAX);
    run_worker(setup, |_| {}).expect("the worker runs");
    sim::settle(SETTLING);
    let get = |counter| counters.read(counter);
    outcome.tally = tally.get();
    outcome.pipelined = get(Counter::PipelinedRequests);
    outcome.reuses = get(Counter::UpstreamReuses);
    outcome.secured = get(Counter::HandshakesFull) + get(Counter::HandshakesResumed);
    let expect = |is_so: bool, what: String| {
        if !is_so {
            found(what);
        }
    };
    let (accepted, closed) = (
        get(Counter::ConnectionsAccepted),
        get(Counter::ConnectionsClosed),
    );
    expect(
        accepted == closed,
        format!("{accepted} accepted, {closed} closed"),
    );
    expect(
        get(Counter::Panics) == 0,
        format!("{} panics", get(Counter::Panics)),
    );
    let (opened, ended) = (get(Counter::TunnelsOpened), get(Counter::TunnelsClosed));
    expect(
        opened == ended,
        format!("{opened} tunnels opened, {ended} closed"),
    );
    for number in 0..2 {
        let open = tokens.open(EndpointNumber(number));
        expect(
            open == 0,
            format!("{open} tokens of endpoint {number} are still out"),
        );
    }
    let open = sim::open_sockets();
    expect(open.is_empty(), format!("sockets {open:?} are still open"));
    let rented = rented_bytes() - base;
    expect(
        rented == 0,
        format!("{rented} octets are rented after the drain"),
    );
    // What lives as long as the worker, and the origins.
    let is_lasting =
        |name: &&str| name.contains("serve::worker::live") || name.contains("origin::start");
    let left: Vec<&str> = sim::tasks()
        .into_iter()
        .filter(|name| !is_lasting(name))
        .collect();
    expect(left.is_empty(), format!("tasks are left: {left:?}"));
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn snapshot(are_secured: [bool; 2]) -> Snapshot {
    let source = Source {
        name: "sim",
        text: CONFIG,
    };
    let config = parse(&[source]).unwrap_or_else(|errors| panic!("{}", errors[0]));
    let Plan { routes, .. } = plan(&config);
    let [plain, deep] = are_secured.map(|is_secured| match is_secured {
        false => Security::Plain,
        true => Security::Tls(Arc::new(EndpointTls {
            config: IDENTITY.with(Identity::client),
            name: "plain.test".try_into().expect("a name"),
        })),
    });
    let endpoint = |port, security| {
        let label: Arc<str> = address(port).to_string().into();
        Endpoint {
            label: label.clone(),
            authority: label,
            addresses: vec![Address::Tcp(address(port))],
            security,
        }
    };
    Snapshot {
        routes: Arc::new(routes),
        endpoints: Arc::new(Endpoints::new(vec![
            endpoint(PLAIN, plain),
            endpoint(DEEP, deep),
        ])),
        certificates: Arc::new(IDENTITY.with(Identity::certificates)),
        challenges: Arc::default(),
        states: Arc::default(),
    }
}

/// Starts the clients one after the other; when all have gone, or in the middle of it, the worker is told to drain.
fn start_clients(ways: &[Way; 2], mailbox: Mailbox<Letter>, tally: &Rc<Cell<Tally>>) {
    let count = 10 + below(60);
    let drain = Rc::new(RefCell::new(Some(mailbox)));
    let tell = |drain: &Rc<RefCell<Option<Mailbox<Letter>>>>| {
        if let Some(mailbox) = drain.borrow_mut().take() {
            assert!(mailbox.post(Letter::Drain).is_ok());
        }
    };
    let is_early = below(3) == 0;
    // All at once they share connections; spread out they are parked, and find others parked.
    let spread_ms = 1 + below([20, 20, 20_000][below(3) as usize]);
    let is_busy = below(3) == 0;
    let plain_hosts = if is_busy { 0 } else { 1 + below(4) };
    let running = Rc::new(Cell::new(count));
    let secured_of_four = below(4);
    let mut hosts = vec![];
    for _ in 0..count {
        let host = ["plain.test", "deep.test"][usize::from(below(5) >= plain_hosts)];
        hosts.push((host, ways[usize::from(below(4) < secured_of_four)].clone()));
    }
    for (number, (host, way)) in (1u16..).zip(hosts) {
        let (tally, running, drain) = (tally.clone(), running.clone(), drain.clone());
        let wait = Duration::from_millis(below(spread_ms));
        let live = async move {
            sleep(wait).await;
            let mut own = Tally::default();
            let from = SocketAddr::from(([10, 0, 0, 1], 20_000 + number));
            client::live(way, from, host, is_busy, &mut own).await;
            let mut sum = tally.get();
            sum.add(&own);
            tally.set(sum);
            running.set(running.get() - 1);
            if running.get() == 0 {
                tell(&drain);
            }
        };
        // In a box: it may be larger than a task's house.
        spawn(Box::pin(live), || found("a client panicked".to_owned()));
    }
    if is_early {
        let wait = Duration::from_millis(below(spread_ms + 20_000));
        let early = async move {
            sleep(wait).await;
            tell(&drain);
        };
        spawn(early, || found("draining panicked".to_owned()));
    }
}
