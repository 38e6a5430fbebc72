//! The memory budget: how much of this machine, or of the cgroup that it runs in, the process may count on.
//!
//! Half of it. The other half is the kernel's: the socket buffers of as many connections, the page cache, and the apps
//! on the same box. What is told to the data plane is a quarter of the budget: the most that large buffers take
//! together, after which bodies go on in small pieces.

use std::fs;

/// Where a cgroup's limit is found, version 2 first.
const CGROUP_LIMITS: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];
/// Assumed where nothing can be read: the smallest VPS that is sold.
const UNKNOWN_BYTES: u64 = 512 << 20;

/// The budget in octets.
pub(super) fn budget() -> u64 {
    let total = fs::read_to_string("/proc/meminfo").ok();
    let total = total.as_deref().and_then(total_of).unwrap_or(UNKNOWN_BYTES);
    let limits = CGROUP_LIMITS
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    let limits = limits.filter_map(|text| limit_of(&text));
    limits.fold(total, u64::min) / 2
}

/// What large buffers may take together.
pub(super) fn for_large_buffers(budget: u64) -> usize {
    usize::try_from(budget / 4).unwrap_or(usize::MAX)
}

/// `MemTotal` of /proc/meminfo, in octets.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// A cgroup's limit; none is written as `max` (version 2) or as a number beyond all memory (version 1).
fn limit_of(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_read() {
        let meminfo = "MemTotal:         491520 kB\nMemFree:           12345 kB\n";
        assert_eq!(total_of(meminfo), Some(480 << 20));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        assert_eq!(total_of("MemTotal: lots\n"), None);
        assert_eq!(limit_of("max\n"), None);
        assert_eq!(limit_of("134217728\n"), Some(128 << 20));
        assert_eq!(
            limit_of("9223372036854771712\n"),
            Some(9_223_372_036_854_771_712)
        );
    }

    #[test]
    fn this_machine_has_a_budget() {
        assert!(budget() > 0);
        assert_eq!(for_large_buffers(128 << 20), 32 << 20);
    }
}
