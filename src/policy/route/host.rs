//! Hosts of one listener: exact name, then one-label wildcard, then fallback.
//!
//! `*.example.com` has exactly one label for its star: `a.example.com`, but neither `example.com` nor
//! `a.b.example.com`. Names are compared octet by octet; [`HostName`] is already the one normal form.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::http::authority::HostName;

/// Names to sites. Boxed octets rather than [`HostName`], whose 255 octets in place would spread 10 000
/// names over 2.5 MB of cache.
type Names = HashMap<Box<[u8]>, u32, BuildHasherDefault<NameHasher>>;

/// The hosts of one listener.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    exact: Names,
    /// By what stands behind `*.`.
    wildcard: Names,
    fallback: Option<u32>,
}

impl Hosts {
    /// False if the name was there already; then the first site keeps it. So too below.
    pub(super) fn add_exact(&mut self, host: &HostName, site: u32) -> bool {
        add(&mut self.exact, host, site)
    }

    /// `suffix` is the name without `*.`.
    pub(super) fn add_wildcard(&mut self, suffix: &HostName, site: u32) -> bool {
        add(&mut self.wildcard, suffix, site)
    }

    pub(super) fn set_fallback(&mut self, site: u32) -> bool {
        let is_first = self.fallback.is_none();
        self.fallback.get_or_insert(site);
        is_first
    }

    /// The site of all names that no other site has.
    pub(super) fn fallback(&self) -> Option<u32> {
        self.fallback
    }

    /// The site of `host`, which is in normal form.
    pub(super) fn find(&self, host: &[u8]) -> Option<u32> {
        if let Some(&site) = self.exact.get(host) {
            return Some(site);
        }
        if !self.wildcard.is_empty()
            && let Some(suffix) = after_first_label(host)
            && let Some(&site) = self.wildcard.get(suffix)
        {
            return Some(site);
        }
        self.fallback
    }
}

fn add(names: &mut Names, host: &HostName, site: u32) -> bool {
    let name: Box<[u8]> = host.as_bytes().into();
    let is_first = !names.contains_key(&name);
    names.entry(name).or_insert(site);
    is_first
}

/// `b.c` of `a.b.c`; nothing of `a` and of `.b`.
fn after_first_label(host: &[u8]) -> Option<&[u8]> {
    let dot = host.iter().position(|&octet| octet == b'.')?;
    if dot == 0 {
        None
    } else {
        Some(&host[dot + 1..])
    }
}

/// Eight octets a step: mix in, multiply to 128 bits, fold the halves (as wyhash does). A name of 20 octets costs
/// a few nanoseconds, of which SipHash takes a multiple. Not to be used where a peer chooses the stored keys.
#[derive(Clone, Copy, Debug)]
struct NameHasher(u64);

impl Default for NameHasher {
    fn default() -> NameHasher {
        // The fraction of the golden ratio: no pattern, and not 0, which multiplication would keep.
        NameHasher(0x9e37_79b9_7f4a_7c15)
    }
}

impl NameHasher {
    fn mix(&mut self, word: u64) {
        // Any odd number with its bits well spread; this is wyhash's second secret.
        const FACTOR: u64 = 0x8ebc_6af0_9c88_c6e3;
        let product = u128::from(self.0 ^ word) * u128::from(FACTOR);
        // Lossless in sum: the two halves of the product.
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, octets: &[u8]) {
        let (words, rest) = octets.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            // The length comes by `write_usize`, so that zeros at the end are no ambiguity.
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_usize(&mut self, length: usize) {
        // Lossless: 64-bit and smaller targets alone.
        self.mix(length as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::super::random::Random;
    use super::*;

    fn name(text: &str) -> HostName {
        HostName::parse(text.as_bytes()).expect("a host name of the test")
    }

    fn hosts() -> Hosts {
        let mut hosts = Hosts::default();
        assert!(hosts.add_exact(&name("example.com"), 1));
        assert!(hosts.add_exact(&name("a.example.com"), 2));
        assert!(hosts.add_wildcard(&name("example.com"), 3));
        assert!(hosts.add_wildcard(&name("b.example.com"), 4));
        assert!(hosts.add_exact(&name("localhost"), 5));
        assert!(hosts.add_exact(&name("192.0.2.7"), 6));
        assert!(hosts.add_exact(&name("[2001:db8::7]"), 7));
        hosts
    }

    #[test]
    #[rustfmt::skip]
    fn exact_then_wildcard_then_fallback() {
        //    host                    site      with a fallback
        check("example.com",          Some(1),  Some(1));
        check("a.example.com",        Some(2),  Some(2));
        check("x.example.com",        Some(3),  Some(3));
        check("b.example.com",        Some(3),  Some(3));
        check("x.b.example.com",      Some(4),  Some(4));
        check("x.y.example.com",      None,     Some(9));
        check("x.y.b.example.com",    None,     Some(9));
        check("xexample.com",         None,     Some(9));
        check("example.co",           None,     Some(9));
        check("example.comm",         None,     Some(9));
        check("com",                  None,     Some(9));
        check("localhost",            Some(5),  Some(5));
        check("x.localhost",          None,     Some(9));
        check("192.0.2.7",            Some(6),  Some(6));
        check("192.0.2.8",            None,     Some(9));
        check("[2001:db8::7]",        Some(7),  Some(7));
        check("[2001:db8::8]",        None,     Some(9));
    }

    #[track_caller]
    fn check(host: &str, site: Option<u32>, site_with_fallback: Option<u32>) {
        let mut hosts = hosts();
        assert_eq!(hosts.find(name(host).as_bytes()), site);
        assert!(hosts.set_fallback(9));
        assert_eq!(hosts.find(name(host).as_bytes()), site_with_fallback);
    }

    #[test]
    fn what_is_no_host_name_finds_nothing() {
        for octets in [&b""[..], b".", b".example.com", b"..", b"a."] {
            assert_eq!(hosts().find(octets), None);
        }
    }

    #[test]
    fn the_first_of_two_stays() {
        let mut hosts = hosts();
        assert!(!hosts.add_exact(&name("EXAMPLE.com."), 11));
        assert!(!hosts.add_wildcard(&name("example.com"), 12));
        assert!(hosts.set_fallback(13));
        assert!(!hosts.set_fallback(14));
        assert_eq!(hosts.find(b"example.com"), Some(1));
        assert_eq!(hosts.find(b"x.example.com"), Some(3));
        assert_eq!(hosts.find(b"z"), Some(13));
    }

    /// Random names of few labels, so that collisions and near misses are common, against a walk over all
    /// entries.
    #[test]
    fn agrees_with_the_naive_twin() {
        let mut random = Random(11);
        let mut hits = [0_usize; 2];
        for _ in 0..500 {
            let mut hosts = Hosts::default();
            let mut entries = Vec::new();
            for site in 0..random.below(24) {
                let (host, is_wildcard) = (random_host(&mut random), random.below(2) == 0);
                if is_wildcard {
                    hosts.add_wildcard(&name(&host), site);
                } else {
                    hosts.add_exact(&name(&host), site);
                }
                entries.push((host, is_wildcard, site));
            }
            let fallback = if random.below(2) == 0 { None } else { Some(99) };
            if let Some(site) = fallback {
                hosts.set_fallback(site);
            }
            for _ in 0..100 {
                let host = random_host(&mut random);
                let expected = naive_find(&entries, &host).or(fallback);
                assert_eq!(
                    hosts.find(host.as_bytes()),
                    expected,
                    "{host} in {entries:?}"
                );
                hits[usize::from(expected.is_some())] += 1;
            }
        }
        assert!(
            hits.iter().all(|&count| count > 1_000),
            "{hits:?} is no test"
        );
    }

    fn naive_find(entries: &[(String, bool, u32)], host: &str) -> Option<u32> {
        let labels: Vec<&str> = host.split('.').collect();
        for wanted in [false, true] {
            for (name, is_wildcard, site) in entries {
                let skipped = usize::from(*is_wildcard);
                let matches = labels.len() > skipped && labels[skipped..].join(".") == *name;
                if *is_wildcard == wanted && matches {
                    return Some(*site);
                }
            }
        }
        None
    }

    fn random_host(random: &mut Random) -> String {
        let labels: Vec<&str> = (0..1 + random.below(3))
            .map(|_| random.one_of(&["a", "b", "ab", "a-b", "x1"]))
            .collect();
        labels.join(".")
    }

    #[test]
    fn names_that_look_alike_spread_over_the_table() {
        const NAMES: usize = 16_384;
        let build = BuildHasherDefault::<NameHasher>::default();
        let mut buckets = vec![0_usize; NAMES];
        let mut tags = HashSet::new();
        for number in 0..NAMES {
            let hash = build.hash_one(format!("site{number}.example.com").as_bytes());
            // The two parts that a std table looks at: the low bits and the top seven.
            buckets[(hash % NAMES as u64) as usize] += 1;
            tags.insert(hash >> 57);
        }
        let fullest = buckets.iter().copied().max();
        assert!(
            fullest.is_some_and(|count| count <= 10),
            "{fullest:?} of {NAMES} in one bucket"
        );
        assert_eq!(tags.len(), 128);
    }

    #[test]
    fn the_length_is_part_of_the_hash() {
        let build = BuildHasherDefault::<NameHasher>::default();
        assert_ne!(build.hash_one(&b"ab"[..]), build.hash_one(&b"ab\0"[..]));
    }
}
