//! Names → addresses, off the workers: once at the start, then again and again.
//!
//! A name that does not resolve never keeps hotgate from starting; its endpoint has no address until it does. One that
//! has resolved keeps its last good addresses while the resolver fails.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{sleep, timeout};

use crate::config::EndpointAddress;
use crate::upstream::{Address, EndpointNumber};

/// How long the start waits for all names together; those that are late are told of as if they had failed.
pub const START_WAIT: Duration = Duration::from_secs(2);
/// How long one look-up may take before it counts as failed. It goes on in its helper thread.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
/// Between two look-ups of a name that fails, or that has no dot: a container's, which comes and goes.
const EAGER_INTERVAL: Duration = Duration::from_secs(1);
/// Between two look-ups of any other name.
const CALM_INTERVAL: Duration = Duration::from_secs(10);

/// What a look-up found, when it differs from what was known.
pub struct Resolved {
    /// Whose addresses.
    pub endpoint: EndpointNumber,
    /// In the order to be tried; empty while the name has never resolved.
    pub addresses: Vec<Address>,
    /// Why there is none, in words.
    pub failure: Option<String>,
}

/// The addresses of an endpoint that needs no look-up, or `None` for a name.
pub fn literal(address: &EndpointAddress) -> Option<Vec<Address>> {
    match address {
        EndpointAddress::Port(port) => Some(vec![
            Address::Tcp(SocketAddr::from(([127, 0, 0, 1], *port))),
            Address::Tcp(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], *port))),
        ]),
        EndpointAddress::Unix(path) => Some(vec![Address::Unix(path.clone())]),
        EndpointAddress::Tcp { host, port } | EndpointAddress::Https { host, port } => {
            let ip = host.parse().ok()?;
            Some(vec![Address::Tcp(SocketAddr::new(ip, *port))])
        }
    }
}

/// Looks a name up for ever and reports every change; the first result is always reported.
pub async fn watch(
    endpoint: EndpointNumber,
    host: String,
    port: u16,
    report: UnboundedSender<Resolved>,
) {
    let mut known: Option<Vec<Address>> = None;
    let mut was_failing = false;
    loop {
        let result = lookup(&host, port).await;
        let is_failing = result.is_err();
        let news = match result {
            Ok(addresses) if known.as_ref() != Some(&addresses) || was_failing => {
                known = Some(addresses.clone());
                Some(Resolved {
                    endpoint,
                    addresses,
                    failure: None,
                })
            }
            Ok(_) => None,
            Err(_) if was_failing => None,
            Err(failure) => {
                let addresses = known.get_or_insert_default().clone();
                Some(Resolved {
                    endpoint,
                    addresses,
                    failure: Some(failure),
                })
            }
        };
        was_failing = is_failing;
        if let Some(news) = news
            && report.send(news).is_err()
        {
            return; // the process ends
        }
        let is_eager = is_failing || !host.contains('.');
        sleep(if is_eager {
            EAGER_INTERVAL
        } else {
            CALM_INTERVAL
        })
        .await;
    }
}

/// getaddrinfo on a helper thread. Sorted, so that a resolver that rotates its answers changes nothing.
async fn lookup(host: &str, port: u16) -> Result<Vec<Address>, String> {
    let found = match timeout(LOOKUP_LIMIT, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => {
            return Err(format!(
                "no answer from the resolver in {} s",
                LOOKUP_LIMIT.as_secs()
            ));
        }
    };
    let mut addresses: Vec<SocketAddr> = found.collect();
    // IPv4 first, as with a bare port: most apps in containers listen there alone.
    addresses.sort_by_key(|address| (address.is_ipv6(), *address));
    addresses.dedup();
    match addresses.is_empty() {
        true => Err("the name has no address".to_owned()),
        false => Ok(addresses.into_iter().map(Address::Tcp).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_need_no_look_up() {
        let addresses = |text: &[&str]| -> Option<Vec<Address>> {
            Some(
                text.iter()
                    .map(|one| Address::Tcp(one.parse().expect("an address")))
                    .collect(),
            )
        };
        let tcp = |host: &str| EndpointAddress::Tcp {
            host: host.to_owned(),
            port: 80,
        };
        assert_eq!(
            literal(&EndpointAddress::Port(3000)),
            addresses(&["127.0.0.1:3000", "[::1]:3000"])
        );
        assert_eq!(literal(&tcp("10.0.0.1")), addresses(&["10.0.0.1:80"]));
        assert_eq!(literal(&tcp("::1")), addresses(&["[::1]:80"]));
        assert_eq!(literal(&tcp("app")), None);
        assert_eq!(literal(&tcp("1.2.3")), None);
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_says_so_once() {
        let (report, mut news) = tokio::sync::mpsc::unbounded_channel();
        let watching = tokio::spawn(watch(
            EndpointNumber(7),
            "no-such-name.invalid".to_owned(),
            80,
            report,
        ));
        let first = news.recv().await.expect("the first result");
        watching.abort();
        assert_eq!(first.endpoint, EndpointNumber(7));
        assert!(first.addresses.is_empty() && first.failure.is_some());
    }
}
