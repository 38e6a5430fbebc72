//! What the kernel has on account: CPU time and memory of a process with all its children, and steal.

use std::fs;
use std::path::PathBuf;

/// CPU time, and time waited for a core, of all threads of some processes (ns).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Cpu {
    /// On a core.
    pub(super) used: u64,
    /// Runnable and without one: somebody else had it.
    pub(super) waited: u64,
}

/// A process and those that it started, and so on down.
pub(super) fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(member) = family.get(next).copied() {
        for task in tasks(member) {
            let children = fs::read_to_string(task.join("children")).unwrap_or_default();
            family.extend(
                children
                    .split_ascii_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
        next += 1;
    }
    family
}

/// The CPU time of a family.
pub(super) fn cpu(pid: u32) -> Cpu {
    let mut cpu = Cpu::default();
    for task in family(pid).into_iter().flat_map(tasks) {
        let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        let mut fields = text
            .split_ascii_whitespace()
            .map(|field| field.parse().unwrap_or(0));
        cpu.used += fields.next().unwrap_or(0);
        cpu.waited += fields.next().unwrap_or(0);
    }
    cpu
}

/// Private_Dirty of a family, in octets: memory that it alone has and has written to.
///
/// # Errors
///
/// The kernel does not show a process's map to this user.
pub(super) fn private_dirty(pid: u32) -> std::io::Result<u64> {
    let mut sum = 0;
    for member in family(pid) {
        let text = fs::read_to_string(format!("/proc/{member}/smaps_rollup"))?;
        sum += private_dirty_of(&text);
    }
    Ok(sum)
}

fn private_dirty_of(rollup: &str) -> u64 {
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Private_Dirty:"));
    let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// How the time of some cores was spent, since the start of the machine (ticks).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    /// Of these cores, now.
    pub(super) fn now(cores: &[usize]) -> Ticks {
        Ticks::read(&fs::read_to_string("/proc/stat").unwrap_or_default(), cores)
    }

    fn read(stat: &str, cores: &[usize]) -> Ticks {
        let mut ticks = Ticks::default();
        for line in stat.lines() {
            let mut fields = line.split_ascii_whitespace();
            let core = fields
                .next()
                .and_then(|name| name.strip_prefix("cpu")?.parse::<usize>().ok());
            if core.is_some_and(|core| cores.contains(&core)) {
                // user nice system idle iowait irq softirq steal; the guests' behind it are within the first two.
                let fields: Vec<u64> = fields
                    .take(8)
                    .filter_map(|field| field.parse().ok())
                    .collect();
                ticks.all += fields.iter().sum::<u64>();
                ticks.stolen += fields.get(7).copied().unwrap_or(0);
            }
        }
        ticks
    }

    /// The share that the hypervisor took since `earlier`.
    pub(super) fn stolen_since(self, earlier: Ticks) -> f64 {
        let all = self.all.saturating_sub(earlier.all).max(1);
        self.stolen.saturating_sub(earlier.stolen) as f64 / all as f64
    }
}

fn tasks(pid: u32) -> Vec<PathBuf> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    tasks.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_of_the_named_cores() {
        let earlier = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 10 0 10 80 0 0 0 0 0 0\ncpu1 0 0 0 100 0 0 0 0 0 0\nintr 5\n";
        let later = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 60 0 10 80 0 0 0 50 0 0\ncpu1 0 0 0 200 0 0 0 0 0 0\nintr 5\n";
        let stolen =
            |cores: &[usize]| Ticks::read(later, cores).stolen_since(Ticks::read(earlier, cores));
        assert_eq!(stolen(&[0]), 0.5);
        assert_eq!(stolen(&[1]), 0.0);
        assert_eq!(stolen(&[0, 1]), 0.25);
        assert_eq!(stolen(&[]), 0.0);
    }

    #[test]
    fn private_dirty_is_in_octets() {
        let rollup = "Rss:  900 kB\nShared_Dirty:  7 kB\nPrivate_Clean:  8 kB\nPrivate_Dirty:       212 kB\n";
        assert_eq!(private_dirty_of(rollup), 212 * 1024);
        assert_eq!(private_dirty_of(""), 0);
    }

    #[test]
    fn this_process_has_used_a_core_and_dirtied_memory() {
        let pid = std::process::id();
        assert_eq!(family(pid)[0], pid);
        assert!(cpu(pid).used > 0);
        assert!(private_dirty(pid).expect("our own map") > 0);
    }
}
