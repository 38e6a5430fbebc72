//! Keeps the certificates that come by ACME: a task of the control thread that orders, renews, and tells.
//!
//! ```text
//!   commands ──▶ clerk ── queue: whose turn ──▶ order (a task) ──▶ book: checked, stored, served ──▶ on_change
//!                  │                                │
//!                  └── history: a file              └── publications: answers to challenges ──▶ every worker
//! ```
//!
//! Serving never waits for any of this: what is held is served whatever the authority does. It ends when its handle is
//! dropped, and with it all orders under way; what they had published is taken back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{Id, JoinSet};
use tokio::time::sleep;

use super::account::Accounts;
use super::ari;
use super::choice::{Kind, Means, candidates};
use super::dns::Provider;
use super::dns::resolver::Resolver;
use super::failure::{Consequence, Failure};
use super::history;
use super::hook::{self, Change};
use super::http_client::HttpClient;
use super::limits::{Limits, Purpose};
use super::order::{Ask, Issued, obtain};
use super::preflight::Preflight;
use super::queue::{Advice, Next, Queue};
use super::renewals;
use super::responder::{Publication, Responder};
use super::schedule::Validity;
use crate::config::{Acme, Config};
use crate::control::certificates::book::{Book, CHAIN, Held, KEY, Origin};
use crate::control::certificates::name::CertName;
use crate::control::certificates::needs::acme_names;

/// How often requests for renewal are looked for, and how long a jump of the clock goes unnoticed at the most.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// What the clerk is given.
pub struct Setup {
    /// `[acme]`.
    pub acme: Acme,
    /// What challenges can be answered with.
    pub means: Means,
    /// Where certificates go; opened for this authority.
    pub book: Book,
    /// Whom to ask about names.
    pub resolver: Resolver,
    /// The names that are wanted.
    pub names: Vec<CertName>,
}

impl Setup {
    /// What a configuration asks for, with the resolvers of this machine.
    pub fn of(config: &Config, book: Book) -> Setup {
        Setup {
            acme: config.acme.clone(),
            means: Means::of(config),
            book,
            resolver: Resolver::system(),
            names: acme_names(config),
        }
    }
}

/// What the clerk is told while it runs.
enum Command {
    Names(Vec<CertName>),
    /// Boxed: a name is held inline, and large.
    Renew(Box<CertName>),
}

/// The clerk's handle. It ends when this is dropped.
pub struct Clerk {
    commands: UnboundedSender<Command>,
    /// Answers to challenges, to be published.
    pub publications: UnboundedReceiver<Publication>,
}

impl Clerk {
    /// Starts it on this thread's tokio runtime.
    pub fn start(setup: Setup) -> Clerk {
        let (commands, told) = unbounded_channel();
        let (publish, publications) = unbounded_channel();
        let work = Work::new(setup, Responder::new(publish), told);
        tokio::spawn(work.run());
        Clerk {
            commands,
            publications,
        }
    }

    /// These names are wanted from now on.
    pub fn set_names(&self, names: Vec<CertName>) {
        let _ = self.commands.send(Command::Names(names));
    }

    /// A new certificate for this name, as soon as the authority's limits allow.
    pub fn renew(&self, name: CertName) {
        let _ = self.commands.send(Command::Renew(Box::new(name)));
    }
}

struct Work {
    acme: Acme,
    means: Means,
    book: Book,
    resolver: Resolver,
    queue: Queue,
    responder: Responder,
    commands: UnboundedReceiver<Command>,
    hook: Option<UnboundedSender<Change>>,
    tools: Option<Arc<Tools>>,
    tries: HashMap<CertName, Try>,
    tasks: JoinSet<Done>,
    /// Whose task it is, should it panic.
    task_names: HashMap<Id, CertName>,
}

/// What orders need; made when the first one is sent.
struct Tools {
    accounts: Accounts,
    responder: Responder,
    dns: Option<Provider>,
    preflight: Preflight,
}

/// An order under way.
struct Try {
    purpose: Purpose,
    /// Challenges that can still be tried.
    kinds: VecDeque<Kind>,
    /// Why the ones before failed.
    failed: Vec<Failure>,
}

enum Done {
    Order(CertName, Kind, Result<Issued, Failure>),
    Window(CertName, Advice),
}

impl Work {
    fn new(setup: Setup, responder: Responder, commands: UnboundedReceiver<Command>) -> Work {
        let Setup {
            acme,
            means,
            book,
            resolver,
            names,
        } = setup;
        let mut work = Work {
            queue: Queue::new(Limits::of(&acme.ca)),
            hook: acme.on_change.clone().map(hook::start),
            acme,
            means,
            book,
            resolver,
            responder,
            commands,
            tools: None,
            tries: HashMap::new(),
            tasks: JoinSet::new(),
            task_names: HashMap::new(),
        };
        work.set_names(names);
        let place = work.history_place();
        history::take_up(&mut work.queue, work.book.storage().as_ref(), &place);
        work
    }

    async fn run(mut self) {
        loop {
            self.take_up_requests();
            let wait = self.begin_what_is_due();
            // Without names there is nothing to look for.
            let has_names = self.queue.memories().next().is_some();
            tokio::select! {
                Some(ended) = self.tasks.join_next_with_id() => {
                    match ended {
                        Ok((id, done)) => {
                            self.task_names.remove(&id);
                            self.handle(done).await;
                        }
                        Err(error) => self.handle_panic(error.id()),
                    }
                }
                command = self.commands.recv() => match command {
                    Some(Command::Names(names)) => self.set_names(names),
                    Some(Command::Renew(name)) => self.renew(&name),
                    None => return,
                },
                () = sleep(wait), if has_names => {}
            }
        }
    }

    fn set_names(&mut self, names: Vec<CertName>) {
        let now = SystemTime::now();
        let held = |name: CertName| {
            let held = self.book.current(&name, now).map(|held| validity_of(&held));
            (name, held)
        };
        let names = names.into_iter().map(held).collect();
        self.queue.set_names(names, now);
    }

    fn take_up_requests(&mut self) {
        for name in renewals::take(self.book.storage().as_ref()) {
            self.renew(&name);
        }
    }

    fn renew(&mut self, name: &CertName) {
        match self.queue.renew_now(name) {
            true => tracing::info!("a new certificate for {name} was asked for"),
            false => tracing::warn!(
                "a new certificate for {name} was asked for, but no site gets one by ACME"
            ),
        }
    }

    /// Begins all that may begin now; returns how long nothing can.
    fn begin_what_is_due(&mut self) -> Duration {
        loop {
            let now = SystemTime::now();
            match self.queue.poll(now) {
                Next::Order(name, purpose) => self.begin(name, purpose),
                Next::AskWindow(name) => self.ask_window(name),
                Next::Wait(until) => {
                    let wait = until.and_then(|until| until.duration_since(now).ok());
                    return wait.map_or(LOOK_INTERVAL, |wait| wait.min(LOOK_INTERVAL));
                }
            }
        }
    }

    fn begin(&mut self, name: CertName, purpose: Purpose) {
        self.book.begun(&name);
        // Should the process be killed now, the order counts all the same.
        self.keep_history();
        let worked = self.queue.worked(&name);
        match candidates(self.acme.challenge, &name, self.means, worked) {
            Ok(kinds) => {
                let started = Try {
                    purpose,
                    kinds: kinds.into(),
                    failed: Vec::new(),
                };
                self.tries.insert(name.clone(), started);
                self.try_next(name);
            }
            Err(hopeless) => self.fail(&name, Failure::Hopeless(hopeless)),
        }
    }

    /// Sends an order by the next challenge that can be tried.
    fn try_next(&mut self, name: CertName) {
        let Some(started) = self.tries.get_mut(&name) else {
            return;
        };
        let Some(kind) = started.kinds.pop_front() else {
            return;
        };
        let purpose = started.purpose;
        let tools = match self.tools() {
            Ok(tools) => tools,
            Err(failure) => {
                self.tries.remove(&name);
                return self.fail(&name, failure);
            }
        };
        let replaces = match purpose {
            Purpose::New => None,
            Purpose::Replacement => self.leaf(&name),
        };
        let own = name.clone();
        let task = self.tasks.spawn(async move {
            let result = tools.order(&own, kind, replaces.as_ref()).await;
            Done::Order(own, kind, result)
        });
        self.task_names.insert(task.id(), name);
    }

    fn ask_window(&mut self, name: CertName) {
        let now = SystemTime::now();
        let (Ok(tools), Some(leaf)) = (self.tools(), self.leaf(&name)) else {
            self.queue.handle_window(&name, Advice::None, now);
            return;
        };
        let own = name.clone();
        let task = self.tasks.spawn(async move {
            let advice = ari::advice(&tools.accounts, &leaf).await;
            Done::Window(own, advice)
        });
        self.task_names.insert(task.id(), name);
    }

    async fn handle(&mut self, done: Done) {
        match done {
            Done::Window(name, advice) => {
                self.queue.handle_window(&name, advice, SystemTime::now())
            }
            Done::Order(name, kind, Ok(issued)) => {
                let Some(finished) = self.tries.remove(&name) else {
                    return;
                };
                self.install(&name, kind, finished.purpose, &issued);
            }
            Done::Order(name, _, Err(failure)) => {
                if failure.consequence() == Consequence::Unreached
                    && let Some(tools) = &self.tools
                {
                    // What its directory said may have changed meanwhile.
                    tools.accounts.let_go().await;
                }
                self.failed_by_one(name, failure);
            }
        }
    }

    /// A challenge failed: another one, if one is left and the authority's limit allows it.
    fn failed_by_one(&mut self, name: CertName, failure: Failure) {
        let may_go_on = match failure.consequence() {
            Consequence::Validation => true,
            Consequence::Counted => matches!(failure, Failure::NotOffered { .. }),
            Consequence::HeldBack | Consequence::Unreached => false,
        };
        let Some(started) = self.tries.get_mut(&name) else {
            return;
        };
        let is_validation = failure.consequence() == Consequence::Validation;
        if may_go_on
            && !started.kinds.is_empty()
            && (!is_validation || self.queue.may_try_again(&name, SystemTime::now()))
        {
            started.failed.push(failure);
            return self.try_next(name);
        }
        let before = self.tries.remove(&name).map(|started| started.failed);
        for earlier in before.into_iter().flatten() {
            tracing::warn!("{name}: {earlier}");
        }
        self.fail(&name, failure);
    }

    fn handle_panic(&mut self, id: Id) {
        if let Some(name) = self.task_names.remove(&id) {
            self.queue
                .handle_window(&name, Advice::Failed, SystemTime::now());
            if self.tries.remove(&name).is_some() {
                let why = "a fault of hotgate ended the order; please report it with the lines above in the log";
                self.fail(&name, Failure::Unusable(why.to_owned()));
            }
        }
    }

    fn fail(&mut self, name: &CertName, failure: Failure) {
        let now = SystemTime::now();
        let next = self.queue.handle_failed(name, &failure, now);
        let pause = next.duration_since(now).unwrap_or_default();
        tracing::warn!(
            "no certificate for {name}: {failure}; next attempt in {} s",
            pause.as_secs()
        );
        self.book.failed(name, &failure.to_string(), next);
        self.keep_history();
    }

    fn install(&mut self, name: &CertName, kind: Kind, purpose: Purpose, issued: &Issued) {
        let now = SystemTime::now();
        let before = self.own(name).map(|held| held.pair.fingerprint);
        let installed =
            self.book
                .install(name, issued.chain_pem.as_bytes(), issued.key_pem.as_bytes());
        let Some(held) = self
            .own(name)
            .filter(|held| Some(held.pair.fingerprint) != before)
        else {
            let why = installed
                .err()
                .map_or("it is the one that is held".to_owned(), |fault| {
                    fault.to_string()
                });
            return self.fail(
                name,
                Failure::Unusable(format!("the certificate was not taken: {why}")),
            );
        };
        let validity = validity_of(&held);
        self.queue.handle_issued(name, validity, kind, purpose, now);
        self.keep_history();
        let left = validity.not_after.duration_since(now).unwrap_or_default();
        tracing::info!(
            "certificate for {name} by {kind}, good for {} h",
            left.as_secs() / 3600
        );
        if let Err(fault) = installed {
            tracing::error!(
                "the certificate for {name} is served, but lost with the next start: {fault}"
            );
        }
        if let Some(hook) = &self.hook {
            let storage = self.book.storage();
            let place = format!(
                "{}/certificates/{}",
                self.book.authority_place(),
                name.folder()
            );
            let shown = |file: &str| storage.shown(&format!("{place}/{file}"));
            let change = Change {
                name: name.clone(),
                chain: shown(CHAIN),
                key: shown(KEY),
            };
            let _ = hook.send(change); // its task ends only with this one
        }
    }

    /// What this authority gave out for a name.
    fn own(&self, name: &CertName) -> Option<Arc<Held>> {
        let held = self.book.current(name, SystemTime::now());
        held.filter(|held| held.origin == Origin::Acme)
    }

    fn leaf(&self, name: &CertName) -> Option<CertificateDer<'static>> {
        let held = self.own(name)?;
        held.pair.keys.cert.first().cloned()
    }

    fn tools(&mut self) -> Result<Arc<Tools>, Failure> {
        if let Some(tools) = &self.tools {
            return Ok(tools.clone());
        }
        let client = HttpClient::new(self.acme.ca_root.as_deref());
        let client = client.map_err(|fault| Failure::Unusable(format!("acme.ca_root: {fault}")))?;
        let storage = self.book.storage().clone();
        let dns = self
            .acme
            .dns
            .as_ref()
            .map(|config| Provider::new(config, &client, &self.resolver));
        let tools = Arc::new(Tools {
            accounts: Accounts::new(
                &self.acme,
                storage,
                &self.book.authority_place(),
                client.clone(),
            ),
            responder: self.responder.clone(),
            dns: dns
                .transpose()
                .map_err(|fault| Failure::Unusable(fault.to_string()))?,
            preflight: Preflight::new(self.resolver.clone(), client, &self.acme.ca),
        });
        self.tools = Some(tools.clone());
        Ok(tools)
    }

    fn keep_history(&self) {
        let place = self.history_place();
        if let Err(error) = history::keep(&self.queue, self.book.storage().as_ref(), &place) {
            tracing::warn!("{}: {error}", self.book.storage().shown(&place));
        }
    }

    fn history_place(&self) -> String {
        format!("{}/history.json", self.book.authority_place())
    }
}

impl Tools {
    async fn order(
        &self,
        name: &CertName,
        kind: Kind,
        replaces: Option<&CertificateDer<'static>>,
    ) -> Result<Issued, Failure> {
        self.preflight.look(name, kind).await?;
        let ask = Ask {
            name,
            kind,
            responder: &self.responder,
            dns: self.dns.as_ref(),
            replaces,
        };
        obtain(&self.accounts, &ask).await
    }
}

fn validity_of(held: &Held) -> Validity {
    Validity {
        not_before: held.pair.leaf.not_before,
        not_after: held.pair.leaf.not_after,
    }
}
