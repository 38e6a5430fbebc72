//! Names that the public DNS does not have: no certificate authority signs them, and nobody looks them up.

use std::net::IpAddr;

use crate::http::authority::HostName;

/// Ends of names that are for local use, by registry (RFC 2606, 6761, 6762, 8375, ICANN's `.internal`) or by habit.
pub const LOCAL_SUFFIXES: [&str; 13] = [
    "localhost",
    "local",
    "lan",
    "home",
    "home.arpa",
    "internal",
    "intranet",
    "corp",
    "private",
    "test",
    "invalid",
    "fritz.box",
    "ts.net",
];

/// Is this name or address of no meaning outside its own network? Single labels are.
pub fn is_local_name(host: &HostName) -> bool {
    if let Some(ip) = host.ip() {
        return match ip {
            IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
            IpAddr::V6(v6) => {
                v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()
            }
        };
    }
    let name = host.as_str();
    !name.contains('.')
        || LOCAL_SUFFIXES.iter().any(|suffix| {
            name.strip_suffix(suffix)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses() {
        for (text, expected) in [
            ("localhost", true),
            ("app.localhost", true),
            ("nas", true),
            ("nas.local", true),
            ("x.home.arpa", true),
            ("a.b.fritz.box", true),
            ("box.tail1234.ts.net", true),
            ("app.test", true),
            ("127.0.0.1", true),
            ("192.168.1.2", true),
            ("[::1]", true),
            ("[fd00::1]", true),
            ("example.com", false),
            ("local.example.com", false),
            ("mylocal", true),
            ("example.mylocal", false),
            ("arpa.example", false),
            ("8.8.8.8", false),
            ("[2001:db8::1]", false),
        ] {
            let host = HostName::parse(text.as_bytes()).expect("the row is a host");
            assert_eq!(is_local_name(&host), expected, "{text}");
        }
    }
}
