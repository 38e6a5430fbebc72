//! What was measured, round by round, and what follows from it.

use super::cores::Cores;
use super::metric::{Metric, Reading};
use super::statistics::{Spread, median, ratios, spread};

/// Below this share of its cores a proxy was not what limited the load.
pub(super) const SATURATED: f64 = 0.95;

/// One profile, measured in one way, of all contenders.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// The profile.
    pub(super) profile: &'static str,
    /// In which way: clients, load.
    pub(super) case: String,
    /// Workers of each proxy.
    pub(super) workers: usize,
    /// Connections that asked.
    pub(super) clients: usize,
    /// Which cores the proxies had, and which the load.
    pub(super) cores: Cores,
    /// What made the load.
    pub(super) load: String,
    /// Is every proxy asked for as much as it can do?
    pub(super) is_saturating: bool,
    /// The contenders, in the order in which they are shown; each has a reading a round.
    pub(super) columns: Vec<Column>,
    /// Of which ratios are made: places in `columns`, ours first.
    pub(super) pairs: Vec<(usize, usize)>,
    /// Rounds that were thrown away because of steal.
    pub(super) void_rounds: usize,
    /// What has to be known to read it.
    pub(super) notes: Vec<String>,
}

/// One contender's readings.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// One a round, in order.
    pub(super) readings: Vec<Reading>,
}

impl Column {
    /// A number of every round that has it.
    pub(super) fn values(&self, metric: Metric) -> Vec<f64> {
        let readings = self.readings.iter();
        readings
            .filter_map(|reading| reading.get(&metric).copied())
            .collect()
    }

    /// The middle of all rounds; of errors the sum, for none of them is an outlier.
    pub(super) fn summary(&self, metric: Metric) -> Option<f64> {
        let values = self.values(metric);
        match metric {
            Metric::Errors if !values.is_empty() => Some(values.iter().sum()),
            _ => median(&values),
        }
    }
}

/// How one contender compares with another in one number.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    /// Whose number is divided.
    pub(super) ours: String,
    /// By whose.
    pub(super) theirs: String,
    /// Which number.
    pub(super) metric: Metric,
    /// Round by round.
    pub(super) ratios: Vec<f64>,
    /// Their median, with its interval.
    pub(super) spread: Spread,
    /// Rounds in which ours was the worse one.
    pub(super) lost: usize,
}

impl Series {
    /// The numbers that some contender has.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let readings = self.columns.iter().flat_map(|column| &column.readings);
        let mut metrics: Vec<Metric> = readings
            .flat_map(|reading| reading.keys().copied())
            .collect();
        metrics.sort_unstable();
        metrics.dedup();
        metrics
    }

    /// Rounds that count.
    pub(super) fn rounds(&self) -> usize {
        let rounds = self.columns.iter().map(|column| column.readings.len());
        rounds.max().unwrap_or(0)
    }

    /// Every comparison that can be made, in the order of the pairs.
    pub(super) fn comparisons(&self) -> Vec<Comparison> {
        let mut comparisons = Vec::new();
        for (ours, theirs) in &self.pairs {
            let (ours, theirs) = (&self.columns[*ours], &self.columns[*theirs]);
            for metric in Metric::COMPARED {
                // At a fixed rate all do the same number of requests.
                if metric == Metric::Rate && !self.is_saturating {
                    continue;
                }
                let ratios = ratios(&ours.values(metric), &theirs.values(metric));
                let Some(spread) = spread(&ratios) else {
                    continue;
                };
                let is_lost =
                    |ratio: &&f64| (**ratio > 1.0) == metric.is_lower_better() && **ratio != 1.0;
                comparisons.push(Comparison {
                    ours: ours.name.clone(),
                    theirs: theirs.name.clone(),
                    metric,
                    lost: ratios.iter().filter(is_lost).count(),
                    ratios,
                    spread,
                });
            }
        }
        comparisons
    }

    /// Was this contender's core not busy enough for its speed to be its own?
    pub(super) fn is_unsaturated(&self, column: &Column) -> bool {
        let busy = column.summary(Metric::Busy);
        self.is_saturating && busy.is_some_and(|busy| busy < SATURATED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series() -> Series {
        let column = |name: &str, values: [(f64, f64, f64); 3]| Column {
            name: name.to_owned(),
            readings: values
                .into_iter()
                .map(|(cpu, rate, errors)| {
                    Reading::from([
                        (Metric::CpuMicros, cpu),
                        (Metric::Rate, rate),
                        (Metric::Busy, rate / 100.0),
                        (Metric::Errors, errors),
                    ])
                })
                .collect(),
        };
        Series {
            profile: "keepalive",
            case: "64 clients".to_owned(),
            workers: 1,
            clients: 64,
            cores: Cores::divide(&[0, 1], 1),
            load: "wrk".to_owned(),
            is_saturating: true,
            columns: vec![
                column(
                    "nginx",
                    [(10.0, 100.0, 0.0), (10.0, 100.0, 0.0), (20.0, 50.0, 0.0)],
                ),
                column(
                    "hotgate",
                    [(5.0, 90.0, 1.0), (11.0, 110.0, 0.0), (10.0, 50.0, 2.0)],
                ),
            ],
            pairs: vec![(1, 0)],
            void_rounds: 0,
            notes: Vec::new(),
        }
    }

    #[test]
    fn ratios_are_made_round_by_round_and_losses_counted() {
        let found = series().comparisons();
        let metrics: Vec<Metric> = found.iter().map(|found| found.metric).collect();
        assert_eq!(metrics, [Metric::CpuMicros, Metric::Rate]);
        assert_eq!(found[0].ratios, [0.5, 1.1, 0.5]);
        assert_eq!((found[0].spread.median, found[0].lost), (0.5, 1));
        assert_eq!(found[1].ratios, [0.9, 1.1, 1.0]);
        assert_eq!((found[1].spread.median, found[1].lost), (1.0, 1));
    }

    #[test]
    fn errors_are_summed_and_the_rest_is_the_middle() {
        let series = series();
        assert_eq!(series.columns[1].summary(Metric::Errors), Some(3.0));
        assert_eq!(series.columns[1].summary(Metric::CpuMicros), Some(10.0));
        assert_eq!(series.columns[1].summary(Metric::P99), None);
        assert_eq!(series.rounds(), 3);
    }

    #[test]
    fn a_core_that_rests_is_told() {
        let mut series = series();
        assert!(!series.is_unsaturated(&series.columns[0]));
        assert!(series.is_unsaturated(&series.columns[1]));
        series.is_saturating = false;
        assert!(!series.is_unsaturated(&series.columns[1]));
        assert!(
            series
                .comparisons()
                .iter()
                .all(|found| found.metric != Metric::Rate)
        );
    }
}
