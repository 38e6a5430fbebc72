//! The order of work: what is started for a profile, what is asked of it, and what is compared.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::certificate::Certificate;
use super::contender::{Contender, Running, pairs, start_origin};
use super::cores::Cores;
use super::fault::Fault;
use super::handshakes::Handshake;
use super::idle::{Connections, connections_for, weigh};
use super::load::Pacer;
use super::metric::Metric;
use super::offer;
use super::process::{Folder, Process};
use super::profile::{LATENCY_RATE, PACED_SHARE, Profile, SITES, START_WORKERS, WEIGHINGS_MAX};
use super::programs::Program;
use super::rounds::{Generator, STEAL_MAX, Work, measure};
use super::series::{Column, Series};
use super::setups::{Setup, Sites};
use super::tls_client::Negotiated;
use crate::cli::talk::mention;

/// Downstream connections that a proxy under load is set up for.
const CONNECTIONS: usize = 2048;
/// A proxy that is only started is set up for the usual thousand.
const START_CONNECTIONS: usize = 1024;
/// Below this share of its rate a paced load was not what it was meant to be.
const PACE_KEPT: f64 = 0.97;
/// Lines of a configuration that a report shows: ten thousand sites are all alike.
const CONFIG_LINES_MAX: usize = 80;

/// What a whole run is made with.
pub(super) struct Bench {
    /// All contenders, rivals first.
    pub(super) contenders: Vec<Contender>,
    /// wrk, if some profile needs it.
    pub(super) wrk: Option<Program>,
    /// What makes load at a fixed rate.
    pub(super) pacer: Pacer,
    /// Cores that may be used.
    pub(super) usable: Vec<usize>,
    /// Clients of `keepalive`, one series each.
    pub(super) clients: Vec<usize>,
    /// What `idle-10k` weighs.
    pub(super) idle: Connections,
    /// What is shown over TLS.
    pub(super) certificate: Certificate,
    /// How long a proxy is asked in a round (s).
    pub(super) seconds: u64,
    /// Rounds that are to count.
    pub(super) rounds: usize,
    /// Descriptors that a process may have.
    pub(super) descriptors: u64,
    /// Where configurations and logs are.
    pub(super) folder: Folder,
    /// The configurations that were used, by what they were used for.
    pub(super) configs: BTreeMap<String, String>,
}

/// The proxies of a profile and their origin. In this order they are ended: proxies first.
struct Stage {
    running: Vec<Running>,
    origin: SocketAddr,
    pairs: Vec<(usize, usize)>,
    /// What a handshake with each came to.
    negotiated: Vec<Negotiated>,
    _process: Process,
}

impl Bench {
    /// Measures one profile with so many workers.
    ///
    /// # Errors
    ///
    /// Something does not start, or does not do what it should.
    pub(super) fn profile(
        &mut self,
        profile: Profile,
        workers: usize,
    ) -> Result<Vec<Series>, Fault> {
        let workers = match profile {
            Profile::Start => START_WORKERS,
            _ => workers,
        };
        let cores = Cores::divide(&self.usable, workers);
        let mut series = match profile {
            Profile::Keepalive => self.keepalive(workers, &cores)?,
            Profile::Sites10k => vec![self.sites(workers, &cores)?],
            Profile::Idle10k => {
                vec![self.weighing(profile, self.idle, workers, &cores)?]
            }
            Profile::WebsocketIdle => {
                vec![self.weighing(profile, Connections::WebSocket, workers, &cores)?]
            }
            Profile::Start => vec![self.weighing(profile, Connections::None, workers, &cores)?],
            Profile::Latency => vec![self.latency(workers, &cores)?],
            Profile::TlsHandshake => self.handshakes(workers, &cores)?,
            Profile::Body64k
            | Profile::Body1m
            | Profile::Upload1m
            | Profile::NewConnection
            | Profile::TlsKeepalive
            | Profile::TlsBody1m => {
                vec![self.plain(profile, workers, &cores)?]
            }
        };
        for series in &mut series {
            if !profile.is_weighing() {
                series.notes.extend(sharing(&cores, workers));
            }
        }
        Ok(series)
    }

    fn keepalive(&mut self, workers: usize, cores: &Cores) -> Result<Vec<Series>, Fault> {
        let profile = Profile::Keepalive;
        let stage = self.stage(profile, workers, cores)?;
        let mut all = Vec::new();
        for clients in self.clients.clone() {
            let case = format!("{clients} clients, as fast as they go");
            let generator = Generator::Wrk(self.wrk()?);
            let fast = self.series(profile, case, clients, generator, workers, cores, &stage)?;
            let (whose, rate) = self.pace_of(&fast);
            all.push(fast);
            let case = format!("{clients} clients, at 70 % of {whose}'s rate");
            let generator = Generator::Paced(&self.pacer, rate.floor().max(1.0));
            all.push(self.series(profile, case, clients, generator, workers, cores, &stage)?);
        }
        Ok(all)
    }

    /// Seven tenths of what nginx does; of the first contender where there is no nginx.
    fn pace_of(&self, fast: &Series) -> (String, f64) {
        let nginx = fast
            .columns
            .iter()
            .find(|column| column.name.starts_with("nginx"));
        let column = nginx.or(fast.columns.first());
        let rate = column
            .and_then(|column| column.summary(Metric::Rate))
            .unwrap_or(1.0);
        let name = column.map_or(String::new(), |column| column.name.clone());
        (name, rate * PACED_SHARE)
    }

    fn plain(&mut self, profile: Profile, workers: usize, cores: &Cores) -> Result<Series, Fault> {
        let stage = self.stage(profile, workers, cores)?;
        let clients = profile.clients();
        let case = format!("{clients} clients, as fast as they go");
        let wrk = self.wrk()?;
        let generator = Generator::Wrk(wrk);
        let mut series = self.series(profile, case, clients, generator, workers, cores, &stage)?;
        if profile.is_over_tls() {
            let offer = offer::of_wrk(wrk, &self.certificate, &cores.load, &self.folder)?;
            series.notes.extend(offer.note());
        }
        Ok(series)
    }

    /// Full ones and resumed ones, each in a series of its own.
    fn handshakes(&mut self, workers: usize, cores: &Cores) -> Result<Vec<Series>, Fault> {
        let profile = Profile::TlsHandshake;
        let stage = self.stage(profile, workers, cores)?;
        let clients = profile.clients();
        let all = [Handshake::Full, Handshake::Resumed].map(|kind| {
            let case = format!(
                "{} handshakes, {clients} clients, as fast as they go",
                kind.name()
            );
            let generator = Generator::Handshakes(kind, &self.certificate);
            self.series(profile, case, clients, generator, workers, cores, &stage)
        });
        all.into_iter().collect()
    }

    fn latency(&mut self, workers: usize, cores: &Cores) -> Result<Series, Fault> {
        let profile = Profile::Latency;
        let stage = self.stage(profile, workers, cores)?;
        let (clients, rate) = (profile.clients(), LATENCY_RATE * workers as f64);
        let case = format!("{clients} clients, {rate:.0} requests a second");
        let generator = Generator::Paced(&self.pacer, rate);
        self.series(profile, case, clients, generator, workers, cores, &stage)
    }

    /// Every contender twice: with one site that takes every host, and with ten thousand.
    fn sites(&mut self, workers: usize, cores: &Cores) -> Result<Series, Fault> {
        let profile = Profile::Sites10k;
        let mut stage = self.stage(profile, workers, cores)?;
        let count = stage.running.len();
        let origin = stage.origin;
        let (mut many, _) = self.start(profile, Sites::Named(SITES), workers, origin, cores)?;
        for running in &mut stage.running {
            running.name += ", 1 site";
        }
        for running in &mut many {
            running.name += ", 10k sites";
        }
        stage.running.append(&mut many);
        // Among those with one site, among those with many, and each with many beside itself with one.
        let among = stage.pairs.clone();
        let many = among
            .iter()
            .map(|(ours, theirs)| (ours + count, theirs + count));
        stage.pairs.extend(many.collect::<Vec<_>>());
        stage
            .pairs
            .extend((0..count).map(|index| (index + count, index)));
        let clients = profile.clients();
        let case = format!("{clients} clients, as fast as they go, 10 000 hosts in turn");
        let generator = Generator::Wrk(self.wrk()?);
        self.series(profile, case, clients, generator, workers, cores, &stage)
    }

    fn weighing(
        &mut self,
        profile: Profile,
        connections: Connections,
        workers: usize,
        cores: &Cores,
    ) -> Result<Series, Fault> {
        let allowed = connections_for(self.descriptors);
        let (wanted, case) = match connections {
            Connections::None => (START_CONNECTIONS, "after a start, nothing asked".to_owned()),
            Connections::Plain => (allowed, format!("{allowed} idle connections")),
            Connections::Tls => (allowed, format!("{allowed} idle connections over TLS")),
            Connections::WebSocket => (allowed, format!("{allowed} idle WebSockets")),
        };
        if wanted == 0 {
            return Err(Fault::System {
                doing: format!(
                    "{}: {} descriptors a process are too few; raise them: ulimit -n 20000",
                    profile.name(),
                    self.descriptors
                ),
                error: std::io::ErrorKind::QuotaExceeded.into(),
            });
        }
        let rounds = self.rounds.min(WEIGHINGS_MAX);
        mention(&format!("{}: {case}, {workers} worker(s)", profile.name()));
        // One thread: the origin counts what it holds for each of its threads alone.
        let (_origin, origin) = start_origin(1, &cores.load, &self.folder)?;
        let contenders = self.contenders_of(profile);
        let setup = Setup {
            listen: origin,
            origin,
            workers,
            connections: wanted,
            sites: Sites::Any,
            tls: (connections == Connections::Tls).then_some(&self.certificate),
        };
        let weighed = weigh(&contenders, connections, rounds, setup, cores, &self.folder)?;
        let pairs = pairs(&contenders);
        let mut notes: Vec<String> = told(&weighed.negotiated).into_iter().collect();
        for (column, config) in weighed.columns.iter().zip(&weighed.configs) {
            let of_tls = setup.tls.map_or("", |_| " --tls");
            let key = format!(
                "{}, {workers} worker(s), {}{of_tls}",
                column.name,
                profile.name()
            );
            self.configs.insert(key, shortened(config));
        }
        if connections != Connections::None && wanted < 10_000 {
            notes.push(format!(
                "{wanted} connections and not 10000: a process may have {} descriptors, and a proxy needs two for each",
                self.descriptors
            ));
        }
        Ok(Series {
            profile: profile.name(),
            case,
            workers,
            clients: if connections == Connections::None {
                0
            } else {
                wanted
            },
            cores: cores.clone(),
            load: "none".to_owned(),
            is_saturating: false,
            columns: weighed.columns,
            pairs,
            void_rounds: 0,
            notes,
        })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each is a dimension of the measurement"
    )]
    fn series(
        &self,
        profile: Profile,
        case: String,
        clients: usize,
        generator: Generator<'_>,
        workers: usize,
        cores: &Cores,
        stage: &Stage,
    ) -> Result<Series, Fault> {
        mention(&format!(
            "{}: {case}, {workers} worker(s), {}",
            profile.name(),
            generator.name()
        ));
        let work = Work {
            traffic: profile.traffic(),
            clients,
            seconds: self.seconds,
            generator,
            workers,
            rounds: self.rounds,
        };
        let measured = measure(&stage.running, &work, cores, &self.folder)?;
        let mut notes: Vec<String> = told(&stage.negotiated).into_iter().collect();
        if measured.stolen_rounds > 0 {
            notes.push(format!(
                "in {} round(s) more than {:.0} % of the cores' time was stolen, and they count all the same: {} had \
                 been thrown away for it",
                measured.stolen_rounds,
                STEAL_MAX * 100.0,
                measured.void_rounds
            ));
        }
        if let Generator::Paced(_, rate) = generator {
            notes.extend(
                measured
                    .columns
                    .iter()
                    .filter_map(|column| behind(column, rate)),
            );
        }
        Ok(Series {
            profile: profile.name(),
            case,
            workers,
            clients,
            cores: cores.clone(),
            load: generator.name(),
            is_saturating: generator.is_saturating(),
            columns: measured.columns,
            pairs: stage.pairs.clone(),
            void_rounds: measured.void_rounds,
            notes,
        })
    }

    /// Starts an origin and, in front of it, every contender of the profile.
    fn stage(&mut self, profile: Profile, workers: usize, cores: &Cores) -> Result<Stage, Fault> {
        let (process, origin) = start_origin(cores.load_threads(), &cores.load, &self.folder)?;
        let (running, negotiated) = self.start(profile, Sites::Any, workers, origin, cores)?;
        Ok(Stage {
            running,
            origin,
            negotiated,
            pairs: pairs(&self.contenders_of(profile)),
            _process: process,
        })
    }

    fn start(
        &mut self,
        profile: Profile,
        sites: Sites,
        workers: usize,
        origin: SocketAddr,
        cores: &Cores,
    ) -> Result<(Vec<Running>, Vec<Negotiated>), Fault> {
        let setup = Setup {
            listen: origin,
            origin,
            workers,
            connections: CONNECTIONS,
            sites,
            tls: profile.is_over_tls().then_some(&self.certificate),
        };
        let (mut all, mut negotiated) = (Vec::new(), Vec::new());
        for contender in self.contenders_of(profile) {
            let running = contender.start(setup, &cores.proxy, &self.folder)?;
            negotiated.extend(running.check(sites)?);
            all.push(running);
        }
        for running in &all {
            let of_sites = match sites {
                Sites::Any => "",
                Sites::Named(_) => ", sites-10k",
            };
            let of_tls = running.tls.as_ref().map_or("", |_| ", over TLS");
            let key = format!("{}, {workers} worker(s){of_sites}{of_tls}", running.name);
            self.configs
                .entry(key)
                .or_insert_with(|| shortened(&running.config));
        }
        Ok((all, negotiated))
    }

    fn contenders_of(&self, profile: Profile) -> Vec<&Contender> {
        let contenders = self.contenders.iter();
        contenders
            .filter(|contender| profile.has_pipelining() || !contender.pipelines())
            .collect()
    }

    fn wrk(&self) -> Result<&Program, Fault> {
        self.wrk.as_ref().ok_or(Fault::Missing {
            program: "wrk",
            package: "wrk",
            named: None,
        })
    }
}

/// What was negotiated: the same with everybody, because clients leave no choice; else everything is said.
fn told(negotiated: &[Negotiated]) -> Option<String> {
    let mut said: Vec<String> = negotiated.iter().map(Negotiated::to_string).collect();
    said.dedup();
    (!said.is_empty()).then(|| {
        format!(
            "negotiated: {}; the certificate is of ECDSA on P-256",
            said.join(" and ")
        )
    })
}

fn sharing(cores: &Cores, workers: usize) -> Option<String> {
    cores.are_shared().then(|| {
        format!(
            "{workers} worker(s) on {} core(s): load and proxy share them, so that requests/s and latencies are of \
             both together; CPU a request is the proxy's own",
            cores.all().len()
        )
    })
}

fn behind(column: &Column, rate: f64) -> Option<String> {
    let found = column.summary(Metric::Rate)?;
    (found < rate * PACE_KEPT).then(|| {
        format!(
            "{}: {found:.0} requests a second came through of the {rate:.0} that were asked for",
            column.name
        )
    })
}

fn shortened(config: &str) -> String {
    let lines: Vec<&str> = config.lines().collect();
    match lines.len().checked_sub(CONFIG_LINES_MAX) {
        None | Some(0) => config.to_owned(),
        Some(more) => format!(
            "{}\n# … and {more} lines more\n",
            lines[..CONFIG_LINES_MAX].join("\n")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_configurations_are_cut() {
        let short = "a\nb\n";
        assert_eq!(shortened(short), short);
        let long = "line\n".repeat(CONFIG_LINES_MAX + 5);
        assert!(shortened(&long).ends_with("line\n# … and 5 lines more\n"));
    }
}
