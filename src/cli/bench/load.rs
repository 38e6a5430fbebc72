//! Load: wrk as fast as it goes; oha, or where it is missing our own generator, at a fixed rate; handshakes by another.
//!
//! wrk speaks TLS as OpenSSL does; what it offers is ours to say, in a file of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::certificate::Certificate;
use super::contender::ourselves;
use super::fault::Fault;
use super::handshakes::Handshake;
use super::process::{Folder, output};
use super::programs::Program;
use super::setups::site_name;
use super::tls_client::OPENSSL_CONF;

/// How much longer than it was told a generator may take.
const OVERTIME_MAX: Duration = Duration::from_secs(30);

/// What a generator asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Traffic {
    /// The small answer.
    Small,
    /// So many octets.
    Octets(u64),
    /// To send so many.
    Upload(u64),
    /// The small answer on a connection of its own.
    Closing,
    /// The small answer from so many hosts in turn.
    Hosts(usize),
}

/// How a generator asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand<'a> {
    /// Whom.
    pub(super) address: SocketAddr,
    /// For what.
    pub(super) traffic: Traffic,
    /// On so many connections at once.
    pub(super) clients: usize,
    /// For so long (s).
    pub(super) seconds: u64,
    /// Over TLS, if it shows this.
    pub(super) tls: Option<&'a Certificate>,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Load {
    /// Requests that were answered.
    pub(super) requests: f64,
    /// In so many seconds.
    pub(super) seconds: f64,
    /// Half of them within (µs).
    pub(super) p50_us: f64,
    /// 99 of 100 within (µs).
    pub(super) p99_us: f64,
    /// What failed.
    pub(super) errors: f64,
}

/// What makes load at a fixed rate.
#[derive(Clone, Debug)]
pub(super) enum Pacer {
    /// oha, with latencies corrected for what it could not send in time.
    Oha(Program),
    /// `hotgate bench-paced`.
    BuiltIn,
}

impl Pacer {
    /// As reports name it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Pacer::Oha(_) => "oha",
            Pacer::BuiltIn => "hotgate bench-paced",
        }
    }
}

/// The words by which wrk hands over its numbers.
const DONE: &str = r#"
done = function(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("\nbench %.0f %.0f %.0f %.0f %.0f\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), failed))
end
"#;

/// Runs wrk with so many threads on these cores.
///
/// # Errors
///
/// It fails, or says what cannot be read.
pub(super) fn wrk(
    program: &Program,
    demand: &Demand<'_>,
    threads: usize,
    cores: &[usize],
    folder: &Folder,
) -> Result<Load, Fault> {
    let script = folder.write("load.lua", &script(demand.traffic))?;
    let mut command = Command::new(&program.path);
    let scheme = match demand.tls {
        None => "http",
        Some(_) => {
            command.env("OPENSSL_CONF", folder.write("openssl.cnf", OPENSSL_CONF)?);
            "https"
        }
    };
    let threads = threads.min(demand.clients).max(1);
    command
        .arg(format!("-t{threads}"))
        .arg(format!("-c{}", demand.clients))
        .arg(format!("-d{}s", demand.seconds))
        .args(["--timeout", "10s", "--latency", "--script"])
        .arg(script)
        .arg(format!(
            "{scheme}://{}{}",
            demand.address,
            path(demand.traffic)
        ));
    let text = output("wrk", command, cores, limit(demand))?;
    of_wrk(&text).ok_or(Fault::Load {
        program: "wrk",
        why: format!("its numbers are missing in: {text}"),
    })
}

/// Asks at `rate` requests a second, on these cores.
///
/// # Errors
///
/// The generator fails, or says what cannot be read.
pub(super) fn paced(
    pacer: &Pacer,
    demand: &Demand<'_>,
    rate: f64,
    cores: &[usize],
) -> Result<Load, Fault> {
    match pacer {
        Pacer::Oha(program) => {
            let mut command = Command::new(&program.path);
            command
                .args(["--no-tui", "--latency-correction"])
                .args(oha_json(&program.path))
                .arg("-q")
                .arg(format!("{rate:.0}"))
                .arg("-c")
                .arg(demand.clients.to_string())
                .arg("-z")
                .arg(format!("{}s", demand.seconds))
                .arg(format!("http://{}{}", demand.address, path(demand.traffic)));
            let text = output("oha", command, cores, limit(demand))?;
            of_oha(&text).ok_or(Fault::Load {
                program: "oha",
                why: format!("its numbers are missing in: {text}"),
            })
        }
        Pacer::BuiltIn => {
            let mut command = ourselves()?;
            command
                .arg("bench-paced")
                .arg("--target")
                .arg(demand.address.to_string())
                .arg("--rate")
                .arg(format!("{rate:.3}"))
                .arg("--clients")
                .arg(demand.clients.to_string())
                .arg("--seconds")
                .arg(demand.seconds.to_string())
                .arg("--path")
                .arg(path(demand.traffic));
            ours("bench-paced", command, demand, cores)
        }
    }
}

/// Has connections over TLS made with handshakes of one kind, on these cores.
///
/// # Errors
///
/// The generator fails, or says what cannot be read.
pub(super) fn handshakes(
    kind: Handshake,
    certificate: &Certificate,
    demand: &Demand<'_>,
    cores: &[usize],
) -> Result<Load, Fault> {
    let mut command = ourselves()?;
    command
        .arg("bench-handshakes")
        .arg("--target")
        .arg(demand.address.to_string())
        .arg("--kind")
        .arg(kind.name())
        .arg("--certificate")
        .arg(&certificate.chain)
        .arg("--clients")
        .arg(demand.clients.to_string())
        .arg("--seconds")
        .arg(demand.seconds.to_string());
    ours("bench-handshakes", command, demand, cores)
}

fn ours(
    program: &'static str,
    command: Command,
    demand: &Demand<'_>,
    cores: &[usize],
) -> Result<Load, Fault> {
    let text = output(program, command, cores, limit(demand))?;
    of_ours(&text).ok_or(Fault::Load {
        program,
        why: format!("its numbers are missing in: {text}"),
    })
}

fn limit(demand: &Demand<'_>) -> Duration {
    Duration::from_secs(demand.seconds) + OVERTIME_MAX
}

fn path(traffic: Traffic) -> String {
    match traffic {
        Traffic::Octets(count) => format!("/bytes/{count}"),
        Traffic::Small | Traffic::Upload(_) | Traffic::Closing | Traffic::Hosts(_) => {
            "/".to_owned()
        }
    }
}

fn script(traffic: Traffic) -> String {
    let how = match traffic {
        Traffic::Small | Traffic::Octets(_) => String::new(),
        Traffic::Upload(count) => {
            format!("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", {count})\n")
        }
        Traffic::Closing => "wrk.headers[\"Connection\"] = \"close\"\n".to_owned(),
        Traffic::Hosts(count) => format!(
            "local requests, last = {{}}, 0\nfor number = 0, {} do\n  \
             requests[number + 1] = \"GET / HTTP/1.1\\r\\nHost: \" .. string.gsub(\"{}\", \"0\", number, 1) .. \"\\r\\n\\r\\n\"\nend\n\
             request = function()\n  last = last % #requests + 1\n  return requests[last]\nend\n",
            count.saturating_sub(1),
            site_name(0),
        ),
    };
    how + DONE
}

fn of_wrk(text: &str) -> Option<Load> {
    let line = text.lines().find_map(|line| line.strip_prefix("bench "))?;
    let numbers = line.split(' ').map(|number| number.parse::<f64>().ok());
    let numbers: Vec<f64> = numbers.collect::<Option<_>>()?;
    let [requests, micros, p50_us, p99_us, errors] = numbers[..] else {
        return None;
    };
    Some(Load {
        requests,
        seconds: micros / 1e6,
        p50_us,
        p99_us,
        errors,
    })
}

/// The option of this oha for JSON: it was renamed in 2025.
fn oha_json(program: &Path) -> &'static [&'static str] {
    let help = Command::new(program).arg("--help").output();
    let is_new =
        help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--output-format"));
    match is_new {
        true => &["--output-format", "json"],
        false => &["--json"],
    }
}

fn of_oha(text: &str) -> Option<Load> {
    let value: Value = serde_json::from_str(text).ok()?;
    let seconds = value["summary"]["total"].as_f64()?;
    let statuses = value["statusCodeDistribution"].as_object()?;
    let count = |is_wanted: fn(&str) -> bool| -> f64 {
        let wanted = statuses.iter().filter(|(status, _)| is_wanted(status));
        wanted.filter_map(|(_, count)| count.as_f64()).sum()
    };
    // Those that were under way at the deadline are cut off by oha itself: they failed for no fault of the proxy.
    let failed = value["errorDistribution"].as_object()?.iter();
    let failed = failed.filter(|(what, _)| !what.contains("deadline"));
    let failed: f64 = failed.filter_map(|(_, count)| count.as_f64()).sum();
    let percentile = |name: &str| Some(value["latencyPercentiles"][name].as_f64()? * 1e6);
    Some(Load {
        requests: count(|status| status.starts_with('2')),
        seconds,
        p50_us: percentile("p50")?,
        p99_us: percentile("p99")?,
        errors: count(|status| !status.starts_with('2')) + failed,
    })
}

fn of_ours(text: &str) -> Option<Load> {
    let value: Value = serde_json::from_str(text).ok()?;
    let number = |name: &str| value[name].as_f64();
    Some(Load {
        requests: number("requests")?,
        seconds: number("seconds")?,
        p50_us: number("p50_us")?,
        p99_us: number("p99_us")?,
        errors: number("errors")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrks_numbers() {
        let text = "Running 1s test\n  Latency 1ms\n\nbench 41000 1000123 1200 4500 3\n";
        let load = of_wrk(text).expect("numbers");
        assert_eq!((load.requests, load.seconds), (41000.0, 1.000_123));
        assert_eq!(
            (load.p50_us, load.p99_us, load.errors),
            (1200.0, 4500.0, 3.0)
        );
        for text in [
            "",
            "bench 1 2 3 4\n",
            "bench 1 2 3 4 x\n",
            "bench 1 2 3 4 5 6\n",
        ] {
            assert_eq!(of_wrk(text), None, "{text}");
        }
    }

    #[test]
    fn ohas_numbers() {
        let text = r#"{"summary": {"successRate": 1.0, "total": 5.0, "requestsPerSec": 30.0},
            "latencyPercentiles": {"p50": 0.001, "p99": 0.0045},
            "statusCodeDistribution": {"200": 148, "502": 2},
            "errorDistribution": {"aborted due to deadline": 7, "connection refused": 1}}"#;
        let load = of_oha(text).expect("numbers");
        assert_eq!(
            (load.requests, load.seconds, load.errors),
            (148.0, 5.0, 3.0)
        );
        assert_eq!((load.p50_us, load.p99_us), (1000.0, 4500.0));
        assert_eq!(of_oha("{}"), None);
    }

    #[test]
    fn our_own_numbers() {
        let text = r#"{"requests": 3, "seconds": 1.5, "p50_us": 200, "p99_us": 300, "errors": 4, "wrong_kind": 3}"#;
        let load = of_ours(text).expect("numbers");
        assert_eq!((load.requests, load.seconds, load.errors), (3.0, 1.5, 4.0));
        assert_eq!((load.p50_us, load.p99_us), (200.0, 300.0));
        assert_eq!(of_ours(r#"{"requests": 3}"#), None);
    }

    #[test]
    fn scripts_hand_over_numbers() {
        for traffic in [
            Traffic::Small,
            Traffic::Octets(5),
            Traffic::Upload(5),
            Traffic::Closing,
            Traffic::Hosts(3),
        ] {
            assert!(script(traffic).ends_with(DONE));
        }
        assert!(script(Traffic::Upload(1 << 20)).contains("1048576"));
        assert!(script(Traffic::Hosts(3)).contains("for number = 0, 2 do"));
    }
}
