//! Lists of networks: `["10.0.0.0/8", "192.0.2.7", "private"]`.
//!
//! What comes out is in plain form: IPv4-mapped networks are IPv4, as client addresses are compared.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::diagnostic::{Fault, Faults};
use super::edit;
use super::raw::Entry;

/// Networks in one list. Each request may be compared with each of them.
const NETWORKS_MAX: usize = 1024;

/// `"private"`: this machine, and what no one can reach from the Internet (RFC 1918, RFC 4193, RFC 1122 §3.2.1.3,
/// RFC 4291 §2.5.3); the same as Caddy's `private_ranges`.
const PRIVATE: [&str; 6] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "::1/128",
];

/// The prefix length of `::ffff:0:0/96`, the IPv4-mapped addresses (RFC 4291 §2.5.5.2).
const MAPPED_PREFIX_LEN: u8 = 96;

/// What a message says that the list holds.
pub(super) const EXPECTED: &str = "a list of networks, addresses and \"private\"";

/// Reads the list, which may be empty. Reports every faulty element.
pub(super) fn networks(entry: &Entry, expected: &str, faults: &mut Faults) -> Option<Vec<IpNet>> {
    if entry
        .value
        .as_str()
        .is_some_and(|text| network(text).is_err())
    {
        // Brackets alone would not mend it.
        faults.error(entry.wrong_type(expected));
        return None;
    }
    let items = entry.list(expected, faults)?;
    if items.len() > NETWORKS_MAX {
        let message = format!("`{}` has more than {NETWORKS_MAX} networks", entry.name);
        faults.error(Fault::new("out-of-range", entry.span.clone(), message));
        return None;
    }
    let mut found: Vec<IpNet> = Vec::new();
    let mut is_faulty = false;
    for item in &items {
        let Some(text) = item.string("networks and addresses", faults) else {
            is_faulty = true;
            continue;
        };
        match network(text) {
            Ok(networks) => found.extend(networks),
            Err(error) => {
                is_faulty = true;
                let fault = Fault::new(error.code, item.span.clone(), error.message);
                faults.error(match error.mend {
                    Some(meant) => fault.replace(item.span.clone(), format!("{meant:?}")),
                    None => fault,
                });
            }
        }
    }
    // Twice the same says nothing new; "private" beside one of its parts is no fault.
    found.sort();
    found.dedup();
    (!is_faulty).then_some(found)
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NetworkError {
    code: &'static str,
    message: String,
    mend: Option<String>,
}

fn network(text: &str) -> Result<Vec<IpNet>, NetworkError> {
    let error = |code, message| NetworkError {
        code,
        message,
        mend: None,
    };
    if text == "private" {
        return Ok(PRIVATE
            .iter()
            .filter_map(|network| network.parse().ok())
            .collect());
    }
    if text == "cloudflare" {
        return Err(error(
            "not-supported",
            "\"cloudflare\" is not supported in this version".to_owned(),
        ));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(vec![plain(IpNet::from(address))]);
    }
    let network: IpNet = text.parse().map_err(|_| NetworkError {
        code: "bad-network",
        message: format!("{text:?} is neither a network nor an address"),
        mend: edit::nearest(text, ["private"].into_iter()).map(str::to_owned),
    })?;
    if network != network.trunc() {
        let message = format!("{text:?} has bits after its prefix");
        return Err(NetworkError {
            code: "bad-network",
            message,
            mend: Some(network.trunc().to_string()),
        });
    }
    Ok(vec![plain(network)])
}

fn plain(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else {
        return network;
    };
    let mapped = v6
        .addr()
        .to_ipv4_mapped()
        .zip(v6.prefix_len().checked_sub(MAPPED_PREFIX_LEN));
    match mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok()) {
        Some(v4) => IpNet::V4(v4),
        None => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        #[track_caller]
        fn check(text: &str, expected: Result<&str, Option<&str>>) {
            let found = network(text).map(|networks| networks[0].to_string());
            let found = found.map_err(|error| error.mend);
            let found = found.as_ref().map(String::as_str).map_err(Option::as_deref);
            assert_eq!(found, expected, "{text}");
        }
        check("10.0.0.0/8", Ok("10.0.0.0/8"));
        check("192.0.2.7", Ok("192.0.2.7/32"));
        check("fd00::/8", Ok("fd00::/8"));
        check("::1", Ok("::1/128"));
        check("0.0.0.0/0", Ok("0.0.0.0/0"));
        check("::ffff:10.0.0.0/104", Ok("10.0.0.0/8"));
        check("::ffff:192.0.2.7", Ok("192.0.2.7/32"));
        check("::/0", Ok("::/0"));
        check("10.0.0.1/8", Err(Some("10.0.0.0/8")));
        check("fd00::1/8", Err(Some("fd00::/8")));
        check("10.0.0.0/33", Err(None));
        check("10.0.0/8", Err(None));
        check("localhost", Err(None));
        check("", Err(None));
        check("any", Err(None));
        check("pirvate", Err(Some("private")));
        check("cloudflare", Err(None));
    }

    #[test]
    fn private_is_all_of_its_parts() {
        let private = network("private").expect("a preset");
        assert_eq!(private.len(), PRIVATE.len());
        let has = |address: &str| {
            private.iter().any(|network| {
                network.contains(&address.parse::<IpAddr>().expect("the row is an address"))
            })
        };
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "::1",
            "fd12::1",
        ] {
            assert!(has(address), "{address}");
        }
        for address in [
            "8.8.8.8",
            "172.32.0.1",
            "169.254.1.1",
            "2001:db8::1",
            "fe80::1",
        ] {
            assert!(!has(address), "{address}");
        }
    }
}
