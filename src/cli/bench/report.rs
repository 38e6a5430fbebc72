//! The whole report: as one JSON object, as Markdown, and as files.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::fault::Fault;
use super::metric::Metric;
use super::programs::Program;
use super::rounds::STEAL_MAX;
use super::series::{Column, Comparison, Series};
use super::statistics::METHOD;
use super::text::{Form, legend, notes, series as series_text};
use crate::cli::json::with_version;
use crate::http::date::imf_fixdate;

/// All that a reader needs to believe it, and to repeat it.
pub(super) struct Report {
    /// The words of the command.
    pub(super) command: Vec<String>,
    /// When it began.
    pub(super) began: SystemTime,
    /// The machine.
    pub(super) machine: Machine,
    /// The programs that took part.
    pub(super) programs: Vec<Program>,
    /// What was missing, or was not as asked.
    pub(super) notes: Vec<String>,
    /// How long each was asked in a round (s).
    pub(super) seconds: u64,
    /// What was measured.
    pub(super) series: Vec<Series>,
    /// The configurations, by what they were used for.
    pub(super) configs: BTreeMap<String, String>,
}

/// What it ran on.
pub(super) struct Machine {
    /// The processor, by its own name.
    pub(super) processor: String,
    /// Cores that might be used.
    pub(super) cores: Vec<usize>,
    /// The kernel's version.
    pub(super) kernel: String,
    /// Descriptors that a process may have.
    pub(super) descriptors: u64,
}

impl Machine {
    /// This one.
    pub(super) fn here(cores: &[usize], descriptors: u64) -> Machine {
        let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = about.lines().find(|line| line.starts_with("model name"));
        let name = name.and_then(|line| line.split_once(':'));
        Machine {
            processor: name.map_or("unknown", |(_, name)| name.trim()).to_owned(),
            cores: cores.to_vec(),
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            descriptors,
        }
    }
}

impl Report {
    /// The members of the JSON object.
    pub(super) fn facts(&self) -> Value {
        let programs: Map<String, Value> = self
            .programs
            .iter()
            .map(|program| {
                let about = json!({"path": program.path, "version": program.version_line()});
                (program.name.to_owned(), about)
            })
            .collect();
        let began = self
            .began
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        json!({
            "hotgate": env!("CARGO_PKG_VERSION"),
            "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
            "command": self.command,
            "began_unix": began,
            "seconds_per_round": self.seconds,
            "machine": {
                "processor": self.machine.processor,
                "cores": self.machine.cores,
                "kernel": self.machine.kernel,
                "descriptors": self.machine.descriptors,
            },
            "programs": programs,
            "interval": METHOD,
            "steal_max": STEAL_MAX,
            "notes": self.notes,
            "series": self.series.iter().map(of_series).collect::<Vec<_>>(),
            "configs": self.configs,
        })
    }

    /// For a terminal.
    pub(super) fn plain(&self) -> String {
        let mut text = String::new();
        for series in &self.series {
            text += &series_text(series, Form::Plain);
            text += "\n";
        }
        text += legend(&self.series, Form::Plain).trim_start();
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }

    /// For a page.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!(
            "# hotgate bench\n\n`{}`\n\n- {}, {} usable core(s) ({}), Linux {}, {} descriptors a process\n\
             - hotgate {} ({})\n",
            self.command.join(" "),
            self.machine.processor,
            self.machine.cores.len(),
            joined(&self.machine.cores),
            self.machine.kernel,
            self.machine.descriptors,
            env!("CARGO_PKG_VERSION"),
            if cfg!(debug_assertions) {
                "debug build"
            } else {
                "release build"
            },
        );
        for program in &self.programs {
            let _ = writeln!(
                text,
                "- {} ({})",
                program.version_line(),
                program.path.display()
            );
        }
        if let Ok(since) = self.began.duration_since(UNIX_EPOCH) {
            let _ = writeln!(
                text,
                "- begun {}",
                String::from_utf8_lossy(&imf_fixdate(since.as_secs()))
            );
        }
        let _ = writeln!(text, "- {} s a measurement", self.seconds);
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        let _ = write!(text, "\n{}\n", legend(&self.series, Form::Markdown));
        for series in &self.series {
            text += &series_text(series, Form::Markdown);
            text += &round_by_round(series);
            text += "\n";
        }
        text += "## Configurations\n\n";
        for (name, config) in &self.configs {
            let _ = write!(text, "{name}:\n\n```\n{}\n```\n\n", config.trim_end());
        }
        text
    }

    /// Writes `bench.json` and `bench.md` into `folder`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// As mkdir(2), open(2) and write(2).
    pub(super) fn write(&self, folder: &Path) -> Result<(), Fault> {
        let doing = || Fault::while_doing(format!("writing the report into {}", folder.display()));
        std::fs::create_dir_all(folder).map_err(doing())?;
        std::fs::write(folder.join("bench.json"), with_version(self.facts())).map_err(doing())?;
        std::fs::write(folder.join("bench.md"), self.markdown()).map_err(doing())
    }
}

fn of_series(series: &Series) -> Value {
    let metrics = series.metrics();
    let columns: Vec<Value> = series
        .columns
        .iter()
        .map(|column| {
            let medians: Map<String, Value> = metrics
                .iter()
                .filter_map(|metric| {
                    Some((metric.key().to_owned(), json!(column.summary(*metric)?)))
                })
                .collect();
            json!({
                "name": column.name,
                "saturated": !series.is_unsaturated(column),
                "summary": medians,
                "rounds": column.readings.iter().map(of_reading).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "profile": series.profile,
        "case": series.case,
        "workers": series.workers,
        "clients": series.clients,
        "proxy_cores": series.cores.proxy,
        "load_cores": series.cores.load,
        "load": series.load,
        "rounds": series.rounds(),
        "void_rounds": series.void_rounds,
        "contenders": columns,
        "ratios": series.comparisons().iter().map(of_comparison).collect::<Vec<_>>(),
        "notes": notes(series),
    })
}

fn of_reading(reading: &super::metric::Reading) -> Value {
    let members = reading.iter();
    Value::Object(
        members
            .map(|(metric, value)| (metric.key().to_owned(), json!(value)))
            .collect(),
    )
}

fn of_comparison(comparison: &Comparison) -> Value {
    json!({
        "ours": comparison.ours,
        "theirs": comparison.theirs,
        "metric": comparison.metric.key(),
        "rounds": comparison.ratios,
        "median": comparison.spread.median,
        "low": comparison.spread.low,
        "high": comparison.spread.high,
        "coverage": comparison.spread.coverage,
        "lost": comparison.lost,
    })
}

/// Every round of everybody, lost ones too.
fn round_by_round(series: &Series) -> String {
    let metrics = [Metric::Rate, Metric::CpuMicros, Metric::P99, Metric::Busy];
    let metrics: Vec<Metric> = metrics
        .into_iter()
        .filter(|metric| {
            series
                .columns
                .iter()
                .any(|column| !column.values(*metric).is_empty())
        })
        .collect();
    if metrics.is_empty() {
        return String::new();
    }
    let mut text = "\n| round |".to_owned();
    let cells = |column: &Column, round: usize| {
        let reading = column.readings.get(round);
        let values = metrics
            .iter()
            .filter_map(|metric| Some(metric.shown(*reading?.get(metric)?)));
        values.collect::<Vec<_>>().join(", ")
    };
    for column in &series.columns {
        let _ = write!(text, " {} |", column.name);
    }
    let _ = write!(text, "\n|--:|{}\n", "---|".repeat(series.columns.len()));
    for round in 0..series.rounds() {
        let _ = write!(text, "| {} |", round + 1);
        for column in &series.columns {
            let _ = write!(text, " {} |", cells(column, round));
        }
        text += "\n";
    }
    text
}

fn joined(cores: &[usize]) -> String {
    let cores: Vec<String> = cores.iter().map(usize::to_string).collect();
    cores.join(", ")
}
