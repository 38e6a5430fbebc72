//! What the machine lets this process have: descriptors, cores.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept back for everything but connections: listeners, rings, logs, name look-ups.
const DESCRIPTOR_RESERVE: u64 = 128;
/// Connections where the system sets no limit on descriptors.
const CONNECTIONS_MAX: u64 = 1 << 20;

/// Raises the soft limit on descriptors to the hard one and returns it.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let granted = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    granted.unwrap_or(u64::MAX)
}

/// How many downstream connections so many descriptors carry: each may need one upstream as well.
pub fn connections_for(descriptors: u64) -> usize {
    let connections =
        (descriptors.saturating_sub(DESCRIPTOR_RESERVE) / 2).clamp(16, CONNECTIONS_MAX);
    usize::try_from(connections).unwrap_or(usize::MAX)
}

/// Usable CPUs: affinity and the cgroup's quota are taken into account.
pub fn usable_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_may_need_two_descriptors() {
        assert_eq!(connections_for(20_000), (20_000 - 128) / 2);
        assert_eq!(connections_for(0), 16);
        assert_eq!(connections_for(u64::MAX), 1 << 20);
    }
}
