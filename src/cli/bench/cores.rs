//! Which cores the proxies have, and which the load and the origin.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A division of the machine's cores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cores {
    /// The proxy's: one for each of its workers, where there are so many.
    pub(super) proxy: Vec<usize>,
    /// The load's and the origin's.
    pub(super) load: Vec<usize>,
}

impl Cores {
    /// Divides `usable`, which is not empty, for proxies with so many workers.
    pub(super) fn divide(usable: &[usize], workers: usize) -> Cores {
        let proxy: Vec<usize> = usable.iter().copied().take(workers).collect();
        let rest = &usable[proxy.len()..];
        // Without a core of its own the load has all of them: it is said, and such a round is no measure of speed.
        let load = if rest.is_empty() { usable } else { rest };
        Cores {
            proxy,
            load: load.to_vec(),
        }
    }

    /// Do load and proxy share cores?
    pub(super) fn are_shared(&self) -> bool {
        self.load.iter().any(|core| self.proxy.contains(core))
    }

    /// Threads for the load, and as many for the origin: half of the load's cores each.
    pub(super) fn load_threads(&self) -> usize {
        self.load.len().div_ceil(2)
    }

    /// All of them, each once.
    pub(super) fn all(&self) -> Vec<usize> {
        let mut all = [self.proxy.as_slice(), self.load.as_slice()].concat();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The cores that this process may use.
pub(super) fn usable() -> Vec<usize> {
    let allowed = sched_getaffinity(None).ok();
    let cores = allowed.map(|set| {
        (0..CpuSet::MAX_CPU)
            .filter(|core| set.is_set(*core))
            .collect()
    });
    cores
        .filter(|cores: &Vec<usize>| !cores.is_empty())
        .unwrap_or_else(|| vec![0])
}

/// Keeps the calling thread, and what it starts from here on, on these cores.
///
/// # Errors
///
/// As sched_setaffinity(2).
pub(super) fn pin(cores: &[usize]) -> std::io::Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisions() {
        #[track_caller]
        fn check(usable: &[usize], workers: usize, proxy: &[usize], load: &[usize], shared: bool) {
            let cores = Cores::divide(usable, workers);
            assert_eq!(
                (cores.proxy.as_slice(), cores.load.as_slice()),
                (proxy, load)
            );
            assert_eq!(cores.are_shared(), shared);
        }
        check(&[0, 1], 1, &[0], &[1], false);
        check(&[0, 1], 2, &[0, 1], &[0, 1], true);
        check(&[0, 1, 2], 2, &[0, 1], &[2], false);
        check(&[4, 6, 7, 9], 1, &[4], &[6, 7, 9], false);
        check(&[3], 1, &[3], &[3], true);
        check(&[3], 4, &[3], &[3], true);
    }

    #[test]
    fn load_and_origin_share_the_rest() {
        assert_eq!(Cores::divide(&[0, 1], 1).load_threads(), 1);
        assert_eq!(Cores::divide(&[0, 1, 2, 3, 4], 1).load_threads(), 2);
        assert_eq!(Cores::divide(&[0, 1], 2).all(), [0, 1]);
    }
}
