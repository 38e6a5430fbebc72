//! The name that a certificate is for: a host, an address, or every host one label below a domain.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

use crate::config::HostPattern;
use crate::http::authority::HostName;

/// What a folder of a wildcard is called in front of its domain: no host has a `+`, and no shell expands it.
const WILDCARD_FOLDER: &str = "wildcard+";

/// What one certificate is asked for, and what it names.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CertName {
    /// A host or an address.
    Host(HostName),
    /// `*.DOMAIN`: exactly one label before this domain, which is without `*.`.
    Wildcard(HostName),
}

impl CertName {
    /// Reads `example.com`, `*.example.com`, `192.0.2.1`, `[2001:db8::1]` or `2001:db8::1`.
    pub fn parse(text: &str) -> Option<CertName> {
        if let Some(domain) = text.strip_prefix("*.") {
            let domain = HostName::parse(domain.as_bytes()).ok()?;
            return domain.ip().is_none().then_some(CertName::Wildcard(domain));
        }
        match text.parse::<IpAddr>() {
            Ok(ip) => Some(CertName::of_ip(ip)),
            Err(_) => HostName::parse(text.as_bytes()).ok().map(CertName::Host),
        }
    }

    /// An address.
    pub fn of_ip(ip: IpAddr) -> CertName {
        let text = match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        CertName::Host(HostName::parse(text.as_bytes()).expect("an address is a host"))
    }

    /// What a site's host needs; `None` for a site of every host.
    pub fn of_pattern(pattern: &HostPattern) -> Option<CertName> {
        match pattern {
            HostPattern::Exact(host) => Some(CertName::Host(host.clone())),
            HostPattern::Wildcard(domain) => Some(CertName::Wildcard(domain.clone())),
            HostPattern::Any => None,
        }
    }

    /// The host, or for a wildcard its domain: what an authority wants to be shown control of.
    pub fn base(&self) -> &HostName {
        match self {
            CertName::Host(host) | CertName::Wildcard(host) => host,
        }
    }

    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            CertName::Host(host) => host.ip(),
            CertName::Wildcard(_) => None,
        }
    }

    /// Is a certificate that names this good for all of `other`?
    pub fn covers(&self, other: &CertName) -> bool {
        match (self, other) {
            (CertName::Host(ours), CertName::Host(theirs))
            | (CertName::Wildcard(ours), CertName::Wildcard(theirs)) => ours == theirs,
            (CertName::Wildcard(domain), CertName::Host(host)) => host
                .as_str()
                .split_once('.')
                .is_some_and(|(_, rest)| rest == domain.as_str() && host.ip().is_none()),
            (CertName::Host(_), CertName::Wildcard(_)) => false,
        }
    }

    /// The folder that holds it; [`CertName::of_folder`] reads it.
    pub fn folder(&self) -> String {
        match self {
            CertName::Host(host) => host.to_string(),
            CertName::Wildcard(domain) => format!("{WILDCARD_FOLDER}{domain}"),
        }
    }

    /// The name that a folder is for.
    pub fn of_folder(folder: &str) -> Option<CertName> {
        match folder.strip_prefix(WILDCARD_FOLDER) {
            Some(domain) => CertName::parse(&format!("*.{domain}")),
            None => CertName::parse(folder).filter(|name| matches!(name, CertName::Host(_))),
        }
    }
}

impl fmt::Display for CertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertName::Host(host) => host.fmt(f),
            CertName::Wildcard(domain) => write!(f, "*.{domain}"),
        }
    }
}

impl Ord for CertName {
    /// By what follows the first label's `*`, so that a wildcard stands before the hosts below it.
    fn cmp(&self, other: &CertName) -> Ordering {
        self.to_string().cmp(&other.to_string())
    }
}

impl PartialOrd for CertName {
    fn partial_cmp(&self, other: &CertName) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn what_a_name_covers() {
        #[track_caller]
        fn check(ours: &str, theirs: &str, expected: bool) {
            let name = |text| CertName::parse(text).expect("the row is a name");
            assert_eq!(name(ours).covers(&name(theirs)), expected, "{ours} {theirs}");
        }
        check("a.test",       "a.test",       true);
        check("A.TEST.",      "a.test",       true);
        check("a.test",       "b.test",       false);
        check("a.test",       "x.a.test",     false);
        check("*.a.test",     "x.a.test",     true);
        check("*.a.test",     "a.test",       false);
        check("*.a.test",     "y.x.a.test",   false);
        check("*.a.test",     "*.a.test",     true);
        check("*.a.test",     "*.b.test",     false);
        check("x.a.test",     "*.a.test",     false);
        check("*.0.0.1",      "127.0.0.1",    false);
        check("192.0.2.1",    "192.0.2.1",    true);
        check("2001:db8::1",  "[2001:db8::1]", true);
    }

    #[test]
    fn folders_are_names_again() {
        for text in [
            "a.test",
            "*.a.test",
            "192.0.2.1",
            "[::1]",
            "nas",
            "app_1.lan",
        ] {
            let name = CertName::parse(text).expect("the row is a name");
            assert_eq!(CertName::of_folder(&name.folder()), Some(name.clone()));
            assert_eq!(name.to_string(), text);
            assert!(!name.folder().contains(['/', '*']));
        }
        for folder in [
            "",
            ".a.test.x1",
            "*.a.test",
            "wildcard+",
            "wildcard+::1",
            "a b",
            "..",
        ] {
            assert_eq!(CertName::of_folder(folder), None, "{folder:?}");
        }
        for text in ["*.192.0.2.1", "*.[::1]", "a.*.test", "*"] {
            assert_eq!(CertName::parse(text), None, "{text:?}");
        }
    }
}
