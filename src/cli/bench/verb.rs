//! The verb itself: its arguments, what it looks for before it begins, and what it says at the end.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::ValueEnum;

use super::certificate::Certificate;
use super::contender::{Contender, What};
use super::cores::{Cores, pin, usable};
use super::fault::{Fault, install};
use super::idle::Connections;
use super::interrupt::end_on_signals;
use super::load::Pacer;
use super::plan::Bench;
use super::process::{Folder, Turn};
use super::profile::Profile;
use super::programs::{self, Kind, Named, Program};
use super::report::{Machine, Report};
use crate::cli::Exit;
use crate::cli::json::print_facts;
use crate::cli::talk::{mention, print, say};
use crate::config::Backend;
use crate::control::limits::raise_descriptor_limit;

/// What `bench` takes.
#[derive(clap::Args)]
pub(in crate::cli) struct BenchArgs {
    /// Proxies to compare with: nginx, haproxy, or NAME=/path/to/it [default: those that are there]
    #[arg(long, value_name = "PROXIES", value_delimiter = ',')]
    against: Vec<Named>,
    /// What to measure [default: everything]
    #[arg(long = "profile", value_name = "PROFILES", value_delimiter = ',')]
    profiles: Vec<Profile>,
    /// Workers of each proxy, one series each
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "1",
          value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: Vec<u16>,
    /// What hotgate runs on: io_uring, epoll, or both
    #[arg(
        long,
        value_name = "BACKENDS",
        value_delimiter = ',',
        default_value = "io_uring"
    )]
    backend: Vec<Ring>,
    /// Does hotgate pipeline in `keepalive` and `tls-keepalive`: off, auto, or both
    #[arg(
        long,
        value_name = "WHETHER",
        value_delimiter = ',',
        default_value = "off,auto"
    )]
    pipeline: Vec<Pipeline>,
    /// Clients of `keepalive`, one series each
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "16,64,256",
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    clients: Vec<u16>,
    /// Weigh connections over TLS in `idle-10k`
    #[arg(long)]
    tls: bool,
    /// How long each proxy is asked in a round, in whole seconds
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = seconds)]
    duration: u64,
    /// Rounds; in each every proxy is asked once
    #[arg(long, value_name = "NUMBER", default_value_t = 11,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Write bench.json and bench.md into this folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// `--backend`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Ring {
    /// io_uring
    #[value(name = "io_uring")]
    IoUring,
    /// epoll
    Epoll,
}

/// `--pipeline`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Pipeline {
    /// One request at a time on each connection to the origin
    Off,
    /// As `pipeline = "auto"` of an upstream
    Auto,
}

/// What a measurement takes beside the load itself: the generator's start and end (s).
const OVERHEAD: f64 = 0.3;
/// What one weighing of a proxy takes, about (s).
const WEIGHING: f64 = 15.0;

/// Measures, and prints what was found.
pub(in crate::cli) fn bench(args: &BenchArgs, is_json: bool) -> Exit {
    if let Some(fault) = misused_tls(args.tls, &args.profiles) {
        say(&format!("error: {fault}"));
        return Exit::Usage;
    }
    match report(args) {
        Ok(report) => {
            if let Some(folder) = &args.out {
                if let Err(fault) = report.write(folder) {
                    say(&format!("error: {fault}"));
                    return Exit::Failed;
                }
                mention(&format!("the report is in {}", folder.display()));
            }
            match is_json {
                true => print_facts(report.facts()),
                false => print(&report.plain()),
            }
            Exit::Fine
        }
        Err(fault) => {
            say(&format!("error: {fault}"));
            Exit::Failed
        }
    }
}

fn report(args: &BenchArgs) -> Result<Report, Fault> {
    let began = SystemTime::now();
    let profiles = match args.profiles.is_empty() {
        true => Profile::value_variants().to_vec(),
        false => without_repeats(&args.profiles),
    };
    let mut notes = Vec::new();
    let rivals = rivals(&args.against, &mut notes)?;
    let wrk = match profiles.iter().any(|profile| profile.needs_wrk()) {
        true => Some(programs::wrk()?),
        false => None,
    };
    let pacer = pacer(&profiles, &mut notes);
    if cfg!(debug_assertions) {
        notes.push(
            "this hotgate is a debug build: its figures say nothing; build it with --release"
                .to_owned(),
        );
    }
    notes
        .iter()
        .for_each(|note| mention(&format!("note: {note}")));
    let mut taking_part: Vec<Program> = rivals.iter().map(|(_, program)| program.clone()).collect();
    taking_part.extend(wrk.clone());
    if let Pacer::Oha(oha) = &pacer {
        taking_part.push(oha.clone());
    }
    let usable = usable();
    let descriptors = raise_descriptor_limit();
    let _turn = Turn::wait(|address| {
        mention(&format!(
            "another hotgate bench is running, it holds {address}; waiting for its end, because two would measure \
             each other"
        ));
    })?;
    // This process only waits, and it does that where it disturbs no proxy.
    let cores = Cores::divide(&usable, 1);
    pin(&cores.load).map_err(Fault::while_doing("choosing cores"))?;
    let folder = Folder::new()?;
    let certificate = Certificate::make(&folder)?;
    end_on_signals(folder.path().to_owned()).map_err(Fault::while_doing("preparing for Ctrl-C"))?;
    let mut bench = Bench {
        contenders: contenders(args, rivals),
        wrk,
        pacer,
        usable: usable.clone(),
        clients: args
            .clients
            .iter()
            .map(|clients| usize::from(*clients))
            .collect(),
        idle: match args.tls {
            false => Connections::Plain,
            true => Connections::Tls,
        },
        certificate,
        seconds: args.duration,
        rounds: usize::from(args.rounds),
        descriptors,
        folder,
        configs: Default::default(),
    };
    let workers = without_repeats(&args.workers);
    mention(&format!(
        "about {:.0} minute(s)",
        (estimate(&bench, &profiles, workers.len()) / 60.0).ceil()
    ));
    let mut series = Vec::new();
    for (index, workers) in workers.iter().enumerate() {
        for profile in &profiles {
            // It has workers of its own.
            if *profile == Profile::Start && index > 0 {
                continue;
            }
            series.extend(bench.profile(*profile, usize::from(*workers))?);
        }
    }
    Ok(Report {
        command: std::iter::once("hotgate".to_owned())
            .chain(std::env::args().skip(1))
            .collect(),
        began,
        machine: Machine::here(&usable, descriptors),
        programs: taking_part,
        notes,
        seconds: args.duration,
        series,
        configs: bench.configs,
    })
}

/// Why `--tls` has no meaning here, if it has none.
fn misused_tls(is_asked: bool, profiles: &[Profile]) -> Option<String> {
    let mut strangers = profiles.iter().filter(|profile| !profile.may_be_over_tls());
    let mend = "it is for `--profile idle-10k` alone";
    match strangers.next() {
        _ if !is_asked => None,
        Some(profile) if profile.is_over_tls() => Some(format!(
            "--tls says nothing of {}, which is over TLS by itself; {mend}",
            profile.name()
        )),
        Some(profile) => Some(format!(
            "--tls has no meaning for {}; {mend}",
            profile.name()
        )),
        None if profiles.is_empty() => {
            Some(format!("--tls has no meaning for all profiles; {mend}"))
        }
        None => None,
    }
}

/// Those that were named, each of which has to be there; without names those that are there.
fn rivals(against: &[Named], notes: &mut Vec<String>) -> Result<Vec<(Kind, Program)>, Fault> {
    if !against.is_empty() {
        let named = against.iter();
        return named
            .map(|named| Ok((named.kind, programs::rival(named)?)))
            .collect();
    }
    let mut found = Vec::new();
    for kind in Kind::ALL {
        match programs::rival(&Named { kind, path: None }) {
            Ok(program) => found.push((kind, program)),
            Err(fault) => notes.push(format!("without {}: {fault}", kind.name())),
        }
    }
    Ok(found)
}

fn pacer(profiles: &[Profile], notes: &mut Vec<String>) -> Pacer {
    match programs::oha() {
        Ok(oha) => Pacer::Oha(oha),
        Err(_) => {
            if profiles.iter().any(|profile| profile.is_paced()) {
                notes.push(format!(
                    "oha is not on PATH ({}): loads at a fixed rate are by the built-in generator, which corrects \
                     latencies as well",
                    install("oha")
                ));
            }
            Pacer::BuiltIn
        }
    }
}

fn contenders(args: &BenchArgs, rivals: Vec<(Kind, Program)>) -> Vec<Contender> {
    let mut contenders: Vec<Contender> = Vec::new();
    for (kind, program) in rivals {
        let alike = contenders
            .iter()
            .filter(|other| other.name.starts_with(kind.name()))
            .count();
        let name = match alike {
            0 => kind.name().to_owned(),
            more => format!("{}-{}", kind.name(), more + 1),
        };
        contenders.push(Contender {
            name,
            what: What::Rival(kind, program),
        });
    }
    for ring in without_repeats(&args.backend) {
        // Off before auto, whatever the order of the words: the one is compared with the other.
        for pipeline in [Pipeline::Off, Pipeline::Auto] {
            if args.pipeline.contains(&pipeline) {
                let (backend, suffix) = match ring {
                    Ring::IoUring => (Backend::IoUring, ""),
                    Ring::Epoll => (Backend::Epoll, "-epoll"),
                };
                let pipelines = pipeline == Pipeline::Auto;
                let auto = if pipelines { "-auto" } else { "" };
                contenders.push(Contender {
                    name: format!("hotgate{suffix}{auto}"),
                    what: What::Hotgate { backend, pipelines },
                });
            }
        }
    }
    contenders
}

/// How long it will take, in seconds.
fn estimate(bench: &Bench, profiles: &[Profile], workers: usize) -> f64 {
    let all = bench.contenders.len() as f64;
    let pipelining = bench
        .contenders
        .iter()
        .filter(|contender| contender.pipelines())
        .count() as f64;
    let once = bench.seconds as f64 + OVERHEAD;
    let rounds = bench.rounds as f64;
    let seconds = profiles.iter().map(|profile| match profile {
        Profile::Keepalive => all * bench.clients.len() as f64 * 2.0 * (rounds * once + 1.0),
        Profile::TlsKeepalive => all * (rounds * once + 1.0),
        Profile::TlsHandshake => (all - pipelining) * 2.0 * (rounds * once + 1.0),
        Profile::Sites10k => (all - pipelining) * 2.0 * (rounds * once + 1.0),
        profile if profile.is_weighing() => (all - pipelining) * rounds.min(3.0) * WEIGHING,
        _ => (all - pipelining) * (rounds * once + 1.0),
    });
    seconds.sum::<f64>() * workers as f64
}

fn without_repeats<T: Copy + PartialEq>(all: &[T]) -> Vec<T> {
    let mut once = Vec::new();
    for one in all {
        if !once.contains(one) {
            once.push(*one);
        }
    }
    once
}

/// `5s`, `2m` or `5`: whole seconds, because wrk knows no others.
fn seconds(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix('m') {
        Some(digits) => (digits, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let number = digits
        .parse::<u64>()
        .ok()
        .filter(|_| !digits.starts_with('+'));
    let seconds = number.and_then(|number| number.checked_mul(unit));
    seconds
        .filter(|seconds| (1..=3600).contains(seconds))
        .ok_or("it is whole seconds from 1s to 3600s, as in 5s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        #[track_caller]
        fn check(text: &str, expected: Option<u64>) {
            assert_eq!(seconds(text).ok(), expected);
        }
        check("5s", Some(5));
        check("5", Some(5));
        check("2m", Some(120));
        check("3600s", Some(3600));
        check("3601s", None);
        check("0s", None);
        check("+5s", None);
        check("500ms", None);
        check("1.5s", None);
        check("", None);
        check("s", None);
    }

    #[test]
    fn tls_is_for_one_profile() {
        #[track_caller]
        fn check(profiles: &[Profile], expected: Option<&str>) {
            let found = misused_tls(true, profiles);
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            let found = found.unwrap_or_default();
            assert!(found.contains(expected.unwrap_or_default()), "{found}");
            assert_eq!(misused_tls(false, profiles), None);
        }
        check(&[Profile::Idle10k], None);
        check(&[], Some("for all profiles"));
        check(&[Profile::Keepalive], Some("for keepalive;"));
        check(
            &[Profile::Idle10k, Profile::Start],
            Some("for start; it is for `--profile idle-10k` alone"),
        );
        check(
            &[Profile::TlsHandshake],
            Some("of tls-handshake, which is over TLS by itself"),
        );
    }

    #[test]
    fn repeats_are_left_out_and_the_order_stays() {
        assert_eq!(without_repeats(&[2, 1, 2, 1]), [2, 1]);
    }
}
