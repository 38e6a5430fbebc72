//! Medians, and how far they may be trusted.
//!
//! The interval is the distribution-free one of the median, by order statistics (that of the sign test): between the
//! k-th smallest and the k-th largest value lies the median of whatever the values were drawn from, with a chance of
//! 1 − 2·P(Bin(n, ½) < k). It supposes that rounds are alike and independent, and nothing of how they scatter. k is
//! the largest that gives 95 %; below six values there is none, and the extremes stand there with what they give.

/// What the interval is called in reports.
pub(super) const METHOD: &str = "order statistics of the median (sign test)";
/// The chance that an interval is to have.
const COVERAGE_WANTED: f64 = 0.95;

/// A median and its interval.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Spread {
    /// The median.
    pub(super) median: f64,
    /// The interval's lower end.
    pub(super) low: f64,
    /// Its upper end.
    pub(super) high: f64,
    /// The chance that it holds the true median: at least 0.95 from six values on.
    pub(super) coverage: f64,
}

/// The middle value, or the mean of the two; `None` of nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The median with its interval; `None` of nothing.
pub(super) fn spread(values: &[f64]) -> Option<Spread> {
    let sorted = sorted(values);
    let median = median(&sorted)?;
    let (rank, coverage) = rank(sorted.len());
    Some(Spread {
        median,
        low: sorted[rank - 1],
        high: sorted[sorted.len() - rank],
        coverage,
    })
}

/// Each value of one by the value of the other in the same round. What cannot be divided is left out.
pub(super) fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    let pairs = ours.iter().zip(theirs);
    pairs
        .filter(|(_, theirs)| **theirs > 0.0)
        .map(|(ours, theirs)| ours / theirs)
        .collect()
}

/// The value below which `share` of all lie, of values in ascending order; 0 of nothing.
pub(super) fn percentile(sorted: &[u32], share: f64) -> u32 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    let index = rank.clamp(1, sorted.len().max(1)) - 1;
    sorted.get(index).copied().unwrap_or(0)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The largest rank from both ends with the coverage that is wanted, and the coverage it has; of one value at least.
fn rank(count: usize) -> (usize, f64) {
    let below = |rank: usize| -> f64 {
        // P(Bin(count, ½) < rank)
        let mut chance = 0.5f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
        let mut sum = 0.0;
        for k in 0..rank {
            sum += chance;
            chance *= (count - k) as f64 / (k + 1) as f64;
        }
        sum
    };
    let mut rank = 1;
    while rank < count.div_ceil(2) && 1.0 - 2.0 * below(rank + 1) >= COVERAGE_WANTED {
        rank += 1;
    }
    (rank, (1.0 - 2.0 * below(rank)).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        #[track_caller]
        fn check(values: &[f64], expected: Option<f64>) {
            assert_eq!(median(values), expected);
        }
        check(&[], None);
        check(&[3.0], Some(3.0));
        check(&[3.0, 1.0], Some(2.0));
        check(&[9.0, 1.0, 2.0], Some(2.0));
        check(&[4.0, 1.0, 3.0, 2.0], Some(2.5));
    }

    /// Ranks and coverages as in tables of the sign test.
    #[test]
    fn ranks() {
        #[track_caller]
        fn check(count: usize, expected: usize, coverage: f64) {
            let (rank, found) = rank(count);
            assert_eq!(rank, expected);
            assert!((found - coverage).abs() < 0.0005, "{found}");
        }
        check(1, 1, 0.0);
        check(2, 1, 0.5);
        check(3, 1, 0.75);
        check(5, 1, 0.9375);
        check(6, 1, 0.9688);
        check(8, 1, 0.9922);
        check(9, 2, 0.9609);
        check(11, 2, 0.9883);
        check(12, 3, 0.9614);
        check(20, 6, 0.9586);
        check(25, 8, 0.9567);
    }

    #[test]
    fn intervals() {
        let values: Vec<f64> = (1..=11).map(f64::from).collect();
        let found = spread(&values).expect("values");
        assert_eq!((found.low, found.median, found.high), (2.0, 6.0, 10.0));
        let one = spread(&[0.5]).expect("a value");
        assert_eq!((one.low, one.median, one.high), (0.5, 0.5, 0.5));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        assert_eq!(ratios(&[1.0, 9.0], &[2.0, 3.0]), [0.5, 3.0]);
        assert_eq!(ratios(&[1.0, 9.0], &[0.0, 3.0]), [3.0]);
        assert_eq!(ratios(&[1.0, 9.0], &[2.0]), [0.5]);
    }

    #[test]
    fn percentiles() {
        #[track_caller]
        fn check(sorted: &[u32], share: f64, expected: u32) {
            assert_eq!(percentile(sorted, share), expected);
        }
        check(&[], 0.99, 0);
        check(&[7], 0.5, 7);
        check(&[1, 2, 3, 4], 0.5, 2);
        check(&[1, 2, 3, 4], 0.99, 4);
        check(&[1, 2, 3, 4], 0.0, 1);
        let hundred: Vec<u32> = (1..=100).collect();
        check(&hundred, 0.99, 99);
    }
}
