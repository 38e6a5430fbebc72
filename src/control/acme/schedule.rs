//! When a certificate is ordered: renewal, back-off, the pauses that an authority asks for. Pure: the time is an argument.
//!
//! All intervals follow from the lifetime of the certificate, so that one of two minutes is renewed again and again by
//! the same rules as one of ninety days.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, SystemTime};

/// The first pause after a failed order; each further failure doubles it.
const BACK_OFF_FIRST: Duration = Duration::from_secs(5 * 60);
/// The longest pause between two orders that fail.
const BACK_OFF_MAX: Duration = Duration::from_secs(24 * 3600);
/// The first pause after an order that was held back before the authority was asked: cheap to try, and mended soon.
const HELD_BACK_FIRST: Duration = Duration::from_secs(60);
/// The longest pause between two looks at what holds an order back.
const HELD_BACK_MAX: Duration = Duration::from_secs(3600);
/// The first pause after the authority could not be reached.
const UNREACHED_FIRST: Duration = Duration::from_secs(5);
/// The longest pause until it is tried again.
const UNREACHED_MAX: Duration = Duration::from_secs(30 * 60);
/// A pause that an authority asks for is not believed beyond this; the longest window of a published limit.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// A failed renewal of a certificate that lives shorter than this is tried again sooner than [`BACK_OFF_FIRST`].
/// `BACK_OFF_FIRST` times [`PARTS`]: up to here the two rules agree.
const SHORT_LIFETIME: Duration = Duration::from_secs(3600);
/// A lifetime is looked at in this many parts: one is the least interval between two certificates of a name, and what
/// is left at the least when a renewal begins.
const PARTS: u32 = 12;
/// How much earlier than two thirds of the lifetime a renewal may begin, as a share of it.
const SPREAD: f64 = 0.05;
/// How often renewal information is asked for when the authority does not say (RFC 9773 §4.3.2 has no default).
pub const ARI_INTERVAL: Duration = Duration::from_secs(6 * 3600);
/// Renewal information is asked for at most this often, whatever the authority says (RFC 9773 §4.3.2: "clients SHOULD
/// set reasonable limits").
const ARI_INTERVAL_MIN: Duration = Duration::from_secs(60);
/// And at least this often (the same section).
const ARI_INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);

const _: () = assert!(SHORT_LIFETIME.as_secs() == BACK_OFF_FIRST.as_secs() * PARTS as u64);

/// From when until when a certificate is valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    /// Its first moment.
    pub not_before: SystemTime,
    /// Its last.
    pub not_after: SystemTime,
}

impl Validity {
    /// Zero, should the end lie before the beginning.
    pub fn lifetime(&self) -> Duration {
        self.not_after
            .duration_since(self.not_before)
            .unwrap_or_default()
    }
}

/// When the authority would like a certificate to be renewed (RFC 9773 §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Not before.
    pub start: SystemTime,
    /// Not after.
    pub end: SystemTime,
}

/// A fraction in `0..1` that is always the same for this name and this certificate: names spread, a restart changes
/// nothing.
pub fn fraction_of(name: &str, validity: &Validity) -> f64 {
    let mut hasher = DefaultHasher::new();
    (name, validity.not_after).hash(&mut hasher);
    // 53 bits: what a double holds exactly.
    (hasher.finish() >> 11) as f64 / (1u64 << 53) as f64
}

/// When to renew: at a point of the authority's window, else shortly before two thirds of the lifetime. Never so late
/// that a failed attempt leaves no time for another.
///
/// `fraction` is [`fraction_of`]. A window in the past means now (RFC 9773 §4.2).
pub fn renewal(validity: &Validity, window: Option<&Window>, fraction: f64) -> SystemTime {
    let lifetime = validity.lifetime();
    let latest = validity.not_after - lifetime / PARTS;
    let wished = match window.map(|window| (window, window.end.duration_since(window.start))) {
        Some((window, Ok(length))) => window.start + length.mul_f64(fraction),
        // A window that ends before it begins is none.
        Some((_, Err(_))) | None => {
            validity.not_before + lifetime.mul_f64(2.0 / 3.0 - SPREAD * fraction)
        }
    };
    wished.min(latest)
}

/// The least time between two certificates of a name: an authority that always says "now" is not believed twice in a
/// row.
pub fn interval_min(lifetime: Duration) -> Duration {
    (lifetime / PARTS).min(BACK_OFF_MAX)
}

/// The pause after `failures` orders in a row that failed; `failures` is at least 1. `lifetime` is that of the
/// certificate that is held.
///
/// Five minutes, doubling up to a day. A certificate that lives shorter than an hour would be gone by then: its pauses
/// are in proportion.
pub fn back_off(failures: u32, lifetime: Option<Duration>) -> Duration {
    match lifetime {
        Some(lifetime) if lifetime < SHORT_LIFETIME => {
            doubled(lifetime / PARTS, failures, lifetime / 3)
        }
        Some(_) | None => doubled(BACK_OFF_FIRST, failures, BACK_OFF_MAX),
    }
}

/// The pause after `times` looks in a row that found the order hopeless.
pub fn held_back(times: u32) -> Duration {
    doubled(HELD_BACK_FIRST, times, HELD_BACK_MAX)
}

/// The pause after `times` attempts in a row that did not reach the authority.
pub fn unreached(times: u32) -> Duration {
    doubled(UNREACHED_FIRST, times, UNREACHED_MAX)
}

/// The moment until which the authority asks to be left alone, within reason.
pub fn obeyed(retry_after: SystemTime, now: SystemTime) -> SystemTime {
    retry_after.min(now + RETRY_AFTER_MAX)
}

/// When renewal information is to be asked for again. `advised` is the authority's Retry-After.
pub fn ask_again(now: SystemTime, advised: Option<Duration>) -> SystemTime {
    now + advised.map_or(ARI_INTERVAL, |advised| {
        advised.clamp(ARI_INTERVAL_MIN, ARI_INTERVAL_MAX)
    })
}

fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    let factor = 1u32.checked_shl(times.saturating_sub(1));
    factor
        .and_then(|factor| first.checked_mul(factor))
        .map_or(most, |pause| pause.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60;
    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    fn valid(seconds: u64) -> Validity {
        Validity {
            not_before: at(0),
            not_after: at(seconds),
        }
    }

    #[test]
    #[rustfmt::skip]
    fn renews_at_two_thirds_or_when_the_authority_says() {
        //    lifetime   window                              fraction  expected
        check(90 * DAY,  None,                               0.0,      60 * DAY);
        check(90 * DAY,  None,                               0.5,      60 * DAY - 9 * DAY / 4);
        check(120,       None,                               0.0,      80);
        check(120,       None,                               0.999,    74);
        check(90 * DAY,  Some((30 * DAY, 32 * DAY)),         0.0,      30 * DAY);
        check(90 * DAY,  Some((30 * DAY, 32 * DAY)),         0.5,      31 * DAY);
        // A window of no length is a moment.
        check(90 * DAY,  Some((30 * DAY, 30 * DAY)),         0.7,      30 * DAY);
        // One that ends before it begins is none.
        check(90 * DAY,  Some((32 * DAY, 30 * DAY)),         0.0,      60 * DAY);
        // One that lies behind the end would let the certificate lapse.
        check(120,       Some((500, 600)),                   0.0,      110);
        check(0,         None,                               0.3,      0);
    }

    #[track_caller]
    fn check(lifetime: u64, window: Option<(u64, u64)>, fraction: f64, expected: u64) {
        let window = window.map(|(start, end)| Window {
            start: at(start),
            end: at(end),
        });
        let found = renewal(&valid(lifetime), window.as_ref(), fraction);
        let found = found
            .duration_since(at(0))
            .expect("not before its beginning");
        assert_eq!(found.as_secs_f64().round() as u64, expected);
    }

    #[test]
    fn pauses_double_up_to_their_limit() {
        #[rustfmt::skip]
        let rows = [
            // failures  lifetime        pause
            (1,          None,           5 * MINUTE),
            (2,          None,           10 * MINUTE),
            (3,          None,           20 * MINUTE),
            (9,          None,           1280 * MINUTE),
            (10,         None,           DAY),
            (33,         None,           DAY),
            (u32::MAX,   None,           DAY),
            (1,          Some(90 * DAY), 5 * MINUTE),
            (10,         Some(90 * DAY), DAY),
            (1,          Some(HOUR),     5 * MINUTE),
            // From here down in proportion.
            (1,          Some(120),      10),
            (2,          Some(120),      20),
            (3,          Some(120),      40),
            (9,          Some(120),      40),
            (1,          Some(0),        0),
        ];
        for (failures, lifetime, expected) in rows {
            let found = back_off(failures, lifetime.map(Duration::from_secs));
            assert_eq!(
                found,
                Duration::from_secs(expected),
                "{failures} {lifetime:?}"
            );
        }
        let seconds = |pause: Duration| pause.as_secs();
        assert_eq!(
            [1, 2, 7].map(held_back).map(seconds),
            [MINUTE, 2 * MINUTE, HOUR]
        );
        assert_eq!([1, 2, 20].map(unreached).map(seconds), [5, 10, 30 * MINUTE]);
    }

    #[test]
    fn an_authority_is_obeyed_within_reason() {
        for (asked, expected) in [
            (30, 30),
            (7 * DAY, 7 * DAY),
            (7 * DAY + 1, 7 * DAY),
            (400 * DAY, 7 * DAY),
        ] {
            assert_eq!(obeyed(at(asked), at(0)), at(expected), "{asked}");
        }
        for (advised, expected) in [
            (None, 6 * HOUR),
            (Some(0), MINUTE),
            (Some(59), MINUTE),
            (Some(61), 61),
            (Some(2 * DAY), DAY),
        ] {
            let found = ask_again(at(0), advised.map(Duration::from_secs));
            assert_eq!(found, at(expected), "{advised:?}");
        }
    }

    #[test]
    fn names_spread_and_a_restart_changes_nothing() {
        let fractions: Vec<f64> = (0..1000)
            .map(|number| fraction_of(&format!("{number}.example.com"), &valid(90 * DAY)))
            .collect();
        assert!(
            fractions
                .iter()
                .all(|fraction| (0.0..1.0).contains(fraction))
        );
        let early = fractions.iter().filter(|fraction| **fraction < 0.5).count();
        assert!((400..600).contains(&early), "{early} of 1000 in one half");
        let again = fraction_of("7.example.com", &valid(90 * DAY));
        assert_eq!(fractions[7], again);
        assert_ne!(again, fraction_of("7.example.com", &valid(91 * DAY)));
    }

    #[test]
    fn two_certificates_of_a_name_are_apart() {
        for (lifetime, expected) in [(0, 0), (120, 10), (6 * DAY, 12 * HOUR), (90 * DAY, DAY)] {
            let found = interval_min(Duration::from_secs(lifetime));
            assert_eq!(found, Duration::from_secs(expected), "{lifetime}");
        }
    }
}
