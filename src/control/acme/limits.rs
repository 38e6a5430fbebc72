//! The limits that an authority publishes, kept on our side of the wire: an order that would go beyond one waits.
//!
//! Only Let's Encrypt's are known; other authorities say 429 when they have had enough, and are obeyed. The one limit
//! that holds everywhere is that of failed validations: to repeat those quickly helps nobody. A restart begins with
//! what was noted before it, so that a service that is restarted in a loop does not spend its week's certificates.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

/// Failed validations of one name in an hour (Let's Encrypt: "5 per identifier per account every hour").
const FAILURES: Rate = Rate {
    count: 5,
    window: Duration::from_secs(3600),
};
/// New orders of an account ("300 every 3 hours").
const ORDERS: Rate = Rate {
    count: 300,
    window: Duration::from_secs(3 * 3600),
};
/// New certificates of a registered domain ("50 every 7 days").
const PER_DOMAIN: Rate = Rate {
    count: 50,
    window: WEEK,
};
/// Certificates for exactly the same names ("5 every 7 days").
const DUPLICATES: Rate = Rate {
    count: 5,
    window: WEEK,
};
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// The authority whose limits are known: its hosts end so.
const KNOWN_AUTHORITY: &str = "letsencrypt.org";
/// Its other directory has limits far above these, and is there to be tried out.
const STAGING_HOST: &str = "acme-staging-v02.api.letsencrypt.org";

/// At most `count` in any stretch of time as long as `window`.
#[derive(Clone, Copy)]
struct Rate {
    count: usize,
    window: Duration,
}

/// What an order is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The first certificate of the name, or one that replaces none by name.
    New,
    /// It replaces one that is named to an authority with renewal information: "exempt from all rate limits".
    Replacement,
}

/// What was done lately, and so what may be done now.
#[derive(Clone, PartialEq, Debug)]
pub struct Limits {
    /// Does the authority publish the limits above?
    are_published: bool,
    /// What is noted of the account and of each name and domain: `orders`, `failed NAME`, `issued NAME`, `domain DOMAIN`.
    noted: BTreeMap<String, VecDeque<SystemTime>>,
}

impl Limits {
    /// Those of the authority with this directory, with nothing done yet.
    pub fn of(directory: &str) -> Limits {
        let host = directory
            .strip_prefix("https://")
            .and_then(|rest| rest.split(['/', ':']).next())
            .unwrap_or_default();
        let is_known = host
            .strip_suffix(KNOWN_AUTHORITY)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        Limits {
            are_published: is_known && host != STAGING_HOST,
            noted: BTreeMap::new(),
        }
    }

    /// May a certificate be ordered for this name (`*.` and all) now?
    ///
    /// # Errors
    ///
    /// The moment from which on it may, and which limit it is, in words.
    pub fn may_order(
        &self,
        name: &str,
        purpose: Purpose,
        now: SystemTime,
    ) -> Result<(), (SystemTime, &'static str)> {
        let mut wait: Option<(SystemTime, &'static str)> = None;
        let mut ask = |key: &str, rate: Rate, what: &'static str| {
            if let Some(until) = self.full_until(key, rate, now)
                && wait.is_none_or(|(known, _)| until > known)
            {
                wait = Some((until, what));
            }
        };
        ask(
            &failed(name),
            FAILURES,
            "5 failed validations of a name in an hour",
        );
        if self.are_published && purpose == Purpose::New {
            ask(ACCOUNT, ORDERS, "300 orders in 3 hours");
            ask(
                &domain(name),
                PER_DOMAIN,
                "50 certificates of a domain in a week",
            );
            ask(
                &issued(name),
                DUPLICATES,
                "5 certificates for the same name in a week",
            );
        }
        wait.map_or(Ok(()), Err)
    }

    /// An order goes out.
    pub fn note_order(&mut self, purpose: Purpose, now: SystemTime) {
        if purpose == Purpose::New {
            self.note(ACCOUNT, ORDERS, now);
        }
    }

    /// A certificate has come.
    pub fn note_issued(&mut self, name: &str, purpose: Purpose, now: SystemTime) {
        if purpose == Purpose::New {
            self.note(&domain(name), PER_DOMAIN, now);
            self.note(&issued(name), DUPLICATES, now);
        }
    }

    /// The authority has tried to validate the name, in vain.
    pub fn note_failed(&mut self, name: &str, now: SystemTime) {
        self.note(&failed(name), FAILURES, now);
    }

    /// What is noted, to be kept over a restart.
    pub fn noted(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = SystemTime> + '_)> {
        self.noted
            .iter()
            .map(|(key, times)| (key.as_str(), times.iter().copied()))
    }

    /// Takes up what was noted before a restart. What nobody would have noted is passed over.
    pub fn take_up(&mut self, key: &str, times: impl Iterator<Item = SystemTime>) {
        let Some(rate) = rate_of(key) else { return };
        let mut times: Vec<SystemTime> = times.collect();
        times.sort();
        let surplus = times.len().saturating_sub(rate.count);
        self.noted
            .insert(key.to_owned(), times.into_iter().skip(surplus).collect());
    }

    /// Until when this is full.
    fn full_until(&self, key: &str, rate: Rate, now: SystemTime) -> Option<SystemTime> {
        let times = self.noted.get(key)?;
        // No more than `count` are kept: the oldest of a full list decides.
        let oldest = (times.len() >= rate.count)
            .then(|| times.front())
            .flatten()?;
        let until = *oldest + rate.window;
        (until > now).then_some(until)
    }

    fn note(&mut self, key: &str, rate: Rate, now: SystemTime) {
        let times = self.noted.entry(key.to_owned()).or_default();
        times.push_back(now);
        while times.len() > rate.count {
            times.pop_front();
        }
    }
}

const ACCOUNT: &str = "orders";

fn failed(name: &str) -> String {
    format!("failed {name}")
}

fn issued(name: &str) -> String {
    format!("issued {name}")
}

fn domain(name: &str) -> String {
    format!("domain {}", registered_domain(name))
}

fn rate_of(key: &str) -> Option<Rate> {
    if key == ACCOUNT {
        return Some(ORDERS);
    }
    match key.split_once(' ')?.0 {
        "failed" => Some(FAILURES),
        "issued" => Some(DUPLICATES),
        "domain" => Some(PER_DOMAIN),
        _ => None,
    }
}

/// Second-level labels under which many registries of countries hand out names.
const SHARED_LABELS: [&str; 14] = [
    "ac", "asn", "co", "com", "edu", "gob", "gov", "id", "ltd", "me", "net", "nom", "or", "org",
];

/// About what a registrar sells: the last two labels, or three below the likes of `co.uk`. The public suffix list would
/// know better; who errs here waits a little longer, or is told 429 and waits then.
fn registered_domain(name: &str) -> &str {
    let mut dots = name.rmatch_indices('.').map(|(position, _)| position);
    let (Some(last), before) = (dots.next(), dots.next()) else {
        return name;
    };
    let Some(before) = before else { return name };
    let (top, second) = (&name[last + 1..], &name[before + 1..last]);
    if top.len() == 2 && SHARED_LABELS.contains(&second) {
        let start = dots.next().map_or(0, |dot| dot + 1);
        return &name[start..];
    }
    &name[before + 1..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = "https://acme-v02.api.letsencrypt.org/directory";

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    #[track_caller]
    fn waits(limits: &Limits, name: &str, purpose: Purpose, now: u64, until: Option<u64>) {
        let found = limits.may_order(name, purpose, at(now)).err();
        assert_eq!(found.map(|(until, _)| until), until.map(at), "{found:?}");
    }

    #[test]
    fn five_failures_of_a_name_are_enough_for_an_hour_everywhere() {
        for directory in [CA, "https://localhost:14000/dir"] {
            let mut limits = Limits::of(directory);
            for minute in 0..5 {
                waits(&limits, "a.example.com", Purpose::New, minute * 60, None);
                limits.note_failed("a.example.com", at(minute * 60));
            }
            for purpose in [Purpose::New, Purpose::Replacement] {
                waits(&limits, "a.example.com", purpose, 300, Some(3600));
            }
            waits(&limits, "b.example.com", Purpose::New, 300, None);
            waits(&limits, "a.example.com", Purpose::New, 3599, Some(3600));
            waits(&limits, "a.example.com", Purpose::New, 3600, None);
        }
    }

    #[test]
    fn an_account_has_three_hundred_orders_in_three_hours() {
        let mut limits = Limits::of(CA);
        for second in 0..300 {
            waits(&limits, "a.example.com", Purpose::New, second, None);
            limits.note_order(Purpose::New, at(second));
        }
        waits(&limits, "a.example.com", Purpose::New, 400, Some(3 * 3600));
        // A named replacement is exempt.
        waits(&limits, "a.example.com", Purpose::Replacement, 400, None);
        limits.note_order(Purpose::Replacement, at(400));
        waits(&limits, "a.example.com", Purpose::New, 3 * 3600, None);
        limits.note_order(Purpose::New, at(3 * 3600));
        waits(
            &limits,
            "a.example.com",
            Purpose::New,
            3 * 3600,
            Some(3 * 3600 + 1),
        );
    }

    #[test]
    fn a_domain_and_a_name_have_certificates_for_a_week() {
        let week = WEEK.as_secs();
        let mut limits = Limits::of(CA);
        for number in 0..5 {
            limits.note_issued("*.example.com", Purpose::New, at(number));
        }
        waits(&limits, "*.example.com", Purpose::New, 10, Some(week));
        waits(&limits, "example.com", Purpose::New, 10, None);
        for number in 5..50 {
            limits.note_issued(&format!("{number}.example.com"), Purpose::New, at(number));
        }
        waits(&limits, "other.example.com", Purpose::New, 60, Some(week));
        waits(&limits, "other.example.org", Purpose::New, 60, None);
        waits(&limits, "other.example.com", Purpose::Replacement, 60, None);
    }

    #[test]
    fn other_authorities_say_themselves_when_it_is_enough() {
        for directory in [
            "https://localhost:14000/dir",
            "https://acme-staging-v02.api.letsencrypt.org/directory",
            "https://notletsencrypt.org/directory",
        ] {
            let mut limits = Limits::of(directory);
            for number in 0..400 {
                limits.note_order(Purpose::New, at(number));
                limits.note_issued("a.example.com", Purpose::New, at(number));
            }
            waits(&limits, "a.example.com", Purpose::New, 400, None);
        }
    }

    #[test]
    fn a_restart_changes_nothing() {
        let mut limits = Limits::of(CA);
        for number in 0..7 {
            limits.note_order(Purpose::New, at(number));
            limits.note_issued("a.example.com", Purpose::New, at(number));
            limits.note_failed("b.example.com", at(number));
        }
        let mut again = Limits::of(CA);
        let kept: Vec<(String, Vec<SystemTime>)> = limits
            .noted()
            .map(|(key, times)| (key.to_owned(), times.collect()))
            .collect();
        for (key, times) in kept {
            again.take_up(&key, times.into_iter().rev());
        }
        assert_eq!(again, limits);
        again.take_up("nonsense", [at(0)].into_iter());
        again.take_up("nonsense of a key", [at(0)].into_iter());
        assert_eq!(again, limits);
    }

    #[test]
    fn what_a_registrar_sells() {
        for (name, expected) in [
            ("example.com", "example.com"),
            ("www.example.com", "example.com"),
            ("*.a.b.example.com", "example.com"),
            ("example.co.uk", "example.co.uk"),
            ("www.example.co.uk", "example.co.uk"),
            ("co.uk", "co.uk"),
            ("www.example.de", "example.de"),
            ("shop.com.example", "com.example"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(registered_domain(name), expected, "{name}");
        }
    }
}
