//! Rounds under load: all contenders in turn, again and again, so that a machine that changes changes for all.
//!
//! Each round begins with another contender, and a round in which the hypervisor took more than [`STEAL_MAX`] of the
//! cores' time is void and done again, at most as often as there are rounds.

use super::account::{Cpu, Ticks, cpu, private_dirty};
use super::certificate::Certificate;
use super::contender::Running;
use super::cores::Cores;
use super::fault::Fault;
use super::handshakes::Handshake;
use super::load::{Demand, Load, Pacer, Traffic, handshakes, paced, wrk};
use super::metric::{Metric, Reading};
use super::process::Folder;
use super::programs::Program;
use super::series::Column;
use crate::cli::talk::mention;

/// The share of the cores' time that may be stolen in a round that counts.
pub(super) const STEAL_MAX: f64 = 0.02;
/// How long each is asked before the first round, so that connections and caches are there (s).
const WARM_UP_SECONDS: u64 = 1;

/// The load of one series.
pub(super) struct Work<'a> {
    /// What is asked for.
    pub(super) traffic: Traffic,
    /// On so many connections.
    pub(super) clients: usize,
    /// For so long each time (s).
    pub(super) seconds: u64,
    /// By what.
    pub(super) generator: Generator<'a>,
    /// Workers of each proxy.
    pub(super) workers: usize,
    /// Rounds that are to count.
    pub(super) rounds: usize,
}

/// What asks.
#[derive(Clone, Copy)]
pub(super) enum Generator<'a> {
    /// wrk, as fast as it goes.
    Wrk(&'a Program),
    /// One at a fixed rate (requests a second).
    Paced(&'a Pacer, f64),
    /// `hotgate bench-handshakes`, as fast as it goes.
    Handshakes(Handshake, &'a Certificate),
}

impl Generator<'_> {
    /// As reports name it.
    pub(super) fn name(&self) -> String {
        match self {
            Generator::Wrk(_) => "wrk".to_owned(),
            Generator::Paced(pacer, rate) => format!("{} at {rate:.0}/s", pacer.name()),
            Generator::Handshakes(..) => "hotgate bench-handshakes".to_owned(),
        }
    }

    /// Does it ask for as much as a proxy can do?
    pub(super) fn is_saturating(&self) -> bool {
        match self {
            Generator::Wrk(_) | Generator::Handshakes(..) => true,
            Generator::Paced(..) => false,
        }
    }
}

/// What came of all rounds.
pub(super) struct Measured {
    /// A column for each contender, in their order.
    pub(super) columns: Vec<Column>,
    /// Rounds that were thrown away because of steal.
    pub(super) void_rounds: usize,
    /// Rounds with as much steal that count all the same, because too many had been thrown away.
    pub(super) stolen_rounds: usize,
}

/// Measures everybody in every round.
///
/// # Errors
///
/// A generator fails, or a process cannot be looked at.
pub(super) fn measure(
    contenders: &[Running],
    work: &Work<'_>,
    cores: &Cores,
    folder: &Folder,
) -> Result<Measured, Fault> {
    for running in contenders {
        let demand = demand(running, work, WARM_UP_SECONDS);
        ask(&demand, work, cores, folder)?;
    }
    let mut columns: Vec<Column> = contenders
        .iter()
        .map(|running| Column {
            name: running.name.clone(),
            readings: Vec::new(),
        })
        .collect();
    let (mut void_rounds, mut stolen_rounds) = (0, 0);
    let mut round = 0;
    while round < work.rounds {
        let mut readings = vec![Reading::new(); contenders.len()];
        let mut stolen = 0.0f64;
        for turn in 0..contenders.len() {
            let index = (turn + round) % contenders.len();
            let running = &contenders[index];
            let ticks = Ticks::now(&cores.all());
            let reading = read(running, work, cores, folder)?;
            let share = Ticks::now(&cores.all()).stolen_since(ticks);
            stolen = stolen.max(share);
            tell(round, work, running, &reading, share);
            readings[index] = reading;
        }
        if stolen > STEAL_MAX && void_rounds < work.rounds {
            void_rounds += 1;
            mention(&format!(
                "  round {} is void: {:.1} % of the cores' time was stolen; once more",
                round + 1,
                stolen * 100.0
            ));
            continue;
        }
        if stolen > STEAL_MAX {
            stolen_rounds += 1;
        }
        for (column, reading) in columns.iter_mut().zip(readings) {
            column.readings.push(reading);
        }
        round += 1;
    }
    Ok(Measured {
        columns,
        void_rounds,
        stolen_rounds,
    })
}

fn read(
    running: &Running,
    work: &Work<'_>,
    cores: &Cores,
    folder: &Folder,
) -> Result<Reading, Fault> {
    let pid = running.process.pid();
    let demand = demand(running, work, work.seconds);
    let before = cpu(pid);
    let load = ask(&demand, work, cores, folder)?;
    let after = cpu(pid);
    if load.requests == 0.0 {
        return Err(Fault::Answer {
            name: running.name.clone(),
            why: format!("not one request was answered, {} failed", load.errors),
        });
    }
    let used = Cpu {
        used: after.used.saturating_sub(before.used),
        waited: after.waited.saturating_sub(before.waited),
    };
    let memory = private_dirty(pid).map_err(Fault::while_doing(format!(
        "reading the memory of {}",
        running.name
    )))?;
    Ok(reading(work, &load, used, memory))
}

fn reading(work: &Work<'_>, load: &Load, cpu: Cpu, memory: u64) -> Reading {
    let seconds = load.seconds.max(f64::MIN_POSITIVE);
    let cores = work.workers as f64;
    let used = cpu.used as f64 / 1e9;
    let mut reading = Reading::from([
        (Metric::Requests, load.requests),
        (Metric::Rate, load.requests / seconds),
        (Metric::CpuMicros, used / load.requests * 1e6),
        (Metric::P50, load.p50_us),
        (Metric::P99, load.p99_us),
        (Metric::Busy, used / seconds / cores),
        (Metric::Waited, cpu.waited as f64 / 1e9 / seconds / cores),
        (Metric::PrivateDirty, memory as f64),
        (Metric::Errors, load.errors),
    ]);
    if let Traffic::Octets(octets) | Traffic::Upload(octets) = work.traffic {
        let gigabytes = load.requests * octets as f64 / 1e9;
        reading.insert(Metric::CpuSecondsPerGb, used / gigabytes);
    }
    reading
}

fn demand<'a>(running: &'a Running, work: &Work<'_>, seconds: u64) -> Demand<'a> {
    Demand {
        address: running.address,
        traffic: work.traffic,
        clients: work.clients,
        seconds,
        tls: running.tls.as_ref(),
    }
}

fn ask(
    demand: &Demand<'_>,
    work: &Work<'_>,
    cores: &Cores,
    folder: &Folder,
) -> Result<Load, Fault> {
    match work.generator {
        Generator::Wrk(program) => wrk(program, demand, cores.load_threads(), &cores.load, folder),
        Generator::Paced(pacer, rate) => paced(pacer, demand, rate, &cores.load),
        Generator::Handshakes(kind, certificate) => {
            handshakes(kind, certificate, demand, &cores.load)
        }
    }
}

fn tell(round: usize, work: &Work<'_>, running: &Running, reading: &Reading, stolen: f64) {
    let shown = |metric: Metric| metric.shown(reading.get(&metric).copied().unwrap_or(0.0));
    mention(&format!(
        "  {:>2}/{} {:18} {:>8}/s {:>10}/request  core {:>5}  p50 {:>8}  p99 {:>8}  errors {}{}",
        round + 1,
        work.rounds,
        running.name,
        shown(Metric::Rate),
        shown(Metric::CpuMicros),
        shown(Metric::Busy),
        shown(Metric::P50),
        shown(Metric::P99),
        shown(Metric::Errors),
        match stolen > 0.001 {
            true => format!("  stolen {:.1} %", stolen * 100.0),
            false => String::new(),
        }
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_what_the_load_and_the_kernel_say() {
        let pacer = Pacer::BuiltIn;
        let work = Work {
            traffic: Traffic::Octets(1_000_000),
            clients: 16,
            seconds: 2,
            generator: Generator::Paced(&pacer, 1000.0),
            workers: 2,
            rounds: 1,
        };
        let load = Load {
            requests: 2000.0,
            seconds: 2.0,
            p50_us: 900.0,
            p99_us: 1800.0,
            errors: 1.0,
        };
        let cpu = Cpu {
            used: 1_000_000_000,
            waited: 400_000_000,
        };
        let reading = reading(&work, &load, cpu, 4096);
        #[track_caller]
        fn check(reading: &Reading, metric: Metric, expected: f64) {
            assert!((reading[&metric] - expected).abs() < 1e-9, "{reading:?}");
        }
        check(&reading, Metric::Rate, 1000.0);
        check(&reading, Metric::CpuMicros, 500.0);
        check(&reading, Metric::Busy, 0.25);
        check(&reading, Metric::Waited, 0.1);
        check(&reading, Metric::CpuSecondsPerGb, 0.5);
        check(&reading, Metric::PrivateDirty, 4096.0);
        assert_eq!(work.generator.name(), "hotgate bench-paced at 1000/s");
    }
}
