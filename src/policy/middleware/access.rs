//! Access by address: which clients a route admits (`allow =`).
//!
//! The address asked about is the client's as believed (`http::forwarding::client_address`), not the peer's.
//! If this errs on the bold side, somebody is let in, so an empty list admits nobody and what is not listed
//! is refused.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::http::forwarding::plain;

/// Prefix length of `::ffff:0:0/96`, below which all addresses are IPv4-mapped (RFC 4291 §2.5.5.2).
const MAPPED_PREFIX_LEN: u8 = 96;

/// The clients that a route admits.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Allow {
    /// `allow = "any"`, the default.
    #[default]
    Any,
    /// Those in one of these nets. Host bits are ignored: `10.0.0.1/8` is `10.0.0.0/8`. Empty admits nobody.
    ///
    /// An IPv4 client is matched by IPv4 nets, and by nets of IPv4-mapped addresses; never by `::/0`, which
    /// would surprise whoever wrote it to mean "all of IPv6".
    Nets(Vec<IpNet>),
}

impl Allow {
    /// Is a client with this address admitted? An IPv4-mapped address counts as the IPv4 address that it is.
    pub fn permits(&self, client: IpAddr) -> bool {
        match self {
            Allow::Any => true,
            Allow::Nets(nets) => {
                let client = plain(client);
                nets.iter().any(|net| net_has(net, client))
            }
        }
    }

    /// Does this refuse anybody? Such a route is guarded, in the sense of `TableBuilder::path`.
    pub fn is_guard(&self) -> bool {
        match self {
            Allow::Any => false,
            Allow::Nets(_) => true,
        }
    }
}

/// `client` is not IPv4-mapped.
fn net_has(net: &IpNet, client: IpAddr) -> bool {
    match (net, client) {
        (IpNet::V4(net), IpAddr::V4(client)) => net.contains(&client),
        (IpNet::V6(net), IpAddr::V6(client)) => net.contains(&client),
        (IpNet::V6(net), IpAddr::V4(client)) => {
            net.prefix_len() >= MAPPED_PREFIX_LEN && net.contains(&client.to_ipv6_mapped())
        }
        (IpNet::V4(_), IpAddr::V6(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn nets() {
        //    client                   nets                              admitted
        check("10.1.2.3",              &["10.0.0.0/8"],                  true);
        check("10.0.0.0",              &["10.0.0.0/8"],                  true);
        check("10.255.255.255",        &["10.0.0.0/8"],                  true);
        check("11.0.0.0",              &["10.0.0.0/8"],                  false);
        check("9.255.255.255",         &["10.0.0.0/8"],                  false);
        check("10.1.2.3",              &["10.9.9.9/8"],                  true);
        check("192.0.2.7",             &["192.0.2.7/32"],                true);
        check("192.0.2.8",             &["192.0.2.7/32"],                false);
        check("192.0.2.8",             &["0.0.0.0/0"],                   true);
        check("2001:db8::1",           &["2001:db8::/32"],               true);
        check("2001:db9::1",           &["2001:db8::/32"],               false);
        check("2001:db8::1",           &["10.0.0.0/8", "2001:db8::/32"], true);
        check("10.1.2.3",              &["2001:db8::/32", "10.0.0.0/8"], true);
        check("2001:db8::1",           &["0.0.0.0/0"],                   false);
        check("192.0.2.8",             &["::/0"],                        false);
        check("::1",                   &["127.0.0.0/8"],                 false);
        check("::1",                   &["::1/128"],                     true);
        // IPv4-mapped, on either side.
        check("::ffff:10.1.2.3",       &["10.0.0.0/8"],                  true);
        check("::ffff:11.1.2.3",       &["10.0.0.0/8"],                  false);
        check("10.1.2.3",              &["::ffff:10.0.0.0/104"],         true);
        check("::ffff:10.1.2.3",       &["::ffff:10.0.0.0/104"],         true);
        check("11.1.2.3",              &["::ffff:10.0.0.0/104"],         false);
        check("10.1.2.3",              &["::ffff:0:0/96"],               true);
        check("10.1.2.3",              &["::fffe:0:0/95"],               false);
        check("::ffff:10.1.2.3",       &["::/0"],                        false);
        // The deprecated IPv4-compatible form is another address.
        check("::10.1.2.3",            &["10.0.0.0/8"],                  false);
        check("10.1.2.3",              &[],                              false);
        check("2001:db8::1",           &[],                              false);
    }

    #[track_caller]
    fn check(client: &str, nets: &[&str], admitted: bool) {
        let client = client.parse().expect("an address of the test");
        let nets = nets
            .iter()
            .map(|net| net.parse().expect("a net of the test"))
            .collect();
        let allow = Allow::Nets(nets);
        assert!(allow.is_guard());
        assert_eq!(allow.permits(client), admitted);
        assert!(Allow::Any.permits(client));
    }

    #[test]
    fn by_default_all_are_admitted() {
        assert_eq!(Allow::default(), Allow::Any);
        assert!(!Allow::Any.is_guard());
    }
}
