//! What is measured, and how each number is called, shown and compared.

use std::collections::BTreeMap;

/// One kind of number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Metric {
    /// Requests that were answered in the round.
    Requests,
    /// The same, a second.
    Rate,
    /// CPU of the proxy, all its processes and threads, a request (µs).
    CpuMicros,
    /// The same for a gigabyte of bodies (s).
    CpuSecondsPerGb,
    /// Half of the answers came within it (µs).
    P50,
    /// 99 of 100 came within it (µs).
    P99,
    /// How much of its cores the proxy used.
    Busy,
    /// How long, of the round, its threads waited for a core.
    Waited,
    /// Private_Dirty of all its processes (octets).
    PrivateDirty,
    /// Connections that were open.
    Connections,
    /// User memory for each of them, idle after a request (octets).
    IdleOctets,
    /// User memory for each, idle again after all had been busy at once (octets).
    IdleOctetsAfterBusy,
    /// Connects, reads, writes and statuses that failed, and answers that came too late.
    Errors,
}

/// What one round found of one contender.
pub(super) type Reading = BTreeMap<Metric, f64>;

impl Metric {
    /// The member of the JSON.
    pub(super) fn key(self) -> &'static str {
        match self {
            Metric::Requests => "requests",
            Metric::Rate => "requests_per_second",
            Metric::CpuMicros => "cpu_us_per_request",
            Metric::CpuSecondsPerGb => "cpu_seconds_per_gb",
            Metric::P50 => "p50_us",
            Metric::P99 => "p99_us",
            Metric::Busy => "core_busy",
            Metric::Waited => "core_waited",
            Metric::PrivateDirty => "private_dirty_bytes",
            Metric::Connections => "connections",
            Metric::IdleOctets => "user_bytes_per_connection",
            Metric::IdleOctetsAfterBusy => "user_bytes_per_connection_after_busy",
            Metric::Errors => "errors",
        }
    }

    /// The column of the table; `None` for what only the JSON has.
    pub(super) fn title(self) -> Option<&'static str> {
        match self {
            Metric::Requests | Metric::Waited => None,
            Metric::Rate => Some("requests/s"),
            Metric::CpuMicros => Some("CPU/request"),
            Metric::CpuSecondsPerGb => Some("CPU/GB"),
            Metric::P50 => Some("p50"),
            Metric::P99 => Some("p99"),
            Metric::Busy => Some("core"),
            Metric::PrivateDirty => Some("Private_Dirty"),
            Metric::Connections => Some("connections"),
            Metric::IdleOctets => Some("user bytes each"),
            Metric::IdleOctetsAfterBusy => Some("after all were busy"),
            Metric::Errors => Some("errors"),
        }
    }

    /// The value as people read it.
    pub(super) fn shown(self, value: f64) -> String {
        match self {
            Metric::Requests | Metric::Rate | Metric::Connections | Metric::Errors => {
                format!("{value:.0}")
            }
            Metric::CpuMicros => format!("{value:.2} µs"),
            Metric::CpuSecondsPerGb => format!("{value:.3} s"),
            Metric::P50 | Metric::P99 => micros(value),
            Metric::Busy | Metric::Waited => format!("{:.0} %", value * 100.0),
            Metric::PrivateDirty => octets(value),
            Metric::IdleOctets | Metric::IdleOctetsAfterBusy => format!("{value:.0} B"),
        }
    }

    /// Of which the ratios are worth reading; those of the table itself first.
    pub(super) const COMPARED: [Metric; 8] = [
        Metric::CpuMicros,
        Metric::CpuSecondsPerGb,
        Metric::Rate,
        Metric::P50,
        Metric::P99,
        Metric::PrivateDirty,
        Metric::IdleOctets,
        Metric::IdleOctetsAfterBusy,
    ];

    /// Is a ratio over 1 a loss?
    pub(super) fn is_lower_better(self) -> bool {
        self != Metric::Rate && self != Metric::Requests
    }
}

fn micros(value: f64) -> String {
    match value {
        value if value < 1e3 => format!("{value:.0} µs"),
        value if value < 1e6 => format!("{:.2} ms", value / 1e3),
        value => format!("{:.2} s", value / 1e6),
    }
}

fn octets(value: f64) -> String {
    match value / 1024.0 {
        kib if kib < 1024.0 => format!("{kib:.0} KiB"),
        kib => format!("{:.1} MiB", kib / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_with_their_units() {
        #[track_caller]
        fn check(metric: Metric, value: f64, expected: &str) {
            assert_eq!(metric.shown(value), expected);
        }
        check(Metric::Rate, 41234.6, "41235");
        check(Metric::CpuMicros, 13.256, "13.26 µs");
        check(Metric::P50, 999.0, "999 µs");
        check(Metric::P99, 1250.0, "1.25 ms");
        check(Metric::P99, 2_500_000.0, "2.50 s");
        check(Metric::Busy, 0.994, "99 %");
        check(Metric::PrivateDirty, 1023.0 * 1024.0, "1023 KiB");
        check(Metric::PrivateDirty, 1536.0 * 1024.0, "1.5 MiB");
        check(Metric::IdleOctets, 64.4, "64 B");
    }
}
