//! `[server]`.

use std::net::{IpAddr, SocketAddr};

use super::diagnostic::{Fault, Faults};
use super::edit;
use super::keys::{Level, refuse};
use super::model::{Backend, ListenAddress, Pin, Server, UnknownHost};
use super::networks;
use super::raw::{Entry, set};
use super::settings::duration;

/// More threads than any machine that this is for has CPUs.
const WORKERS_MAX: u64 = 256;

/// Ten times what one machine holds; a typing error is larger.
const CONNECTIONS_MAX: u64 = 10_000_000;

/// Listeners of `server.http`, and of `server.https`; each worker has one of each.
const LISTENERS_MAX: usize = 64;

/// Reads the table onto `server`.
pub(super) fn server(entry: &Entry, server: &mut Server, faults: &mut Faults) {
    for entry in entry.table("a table", faults).unwrap_or_default() {
        match entry.name {
            "http" => set(&mut server.http, addresses(&entry, 1, 80, faults)),
            // None at all: whoever terminates TLS in front of hotgate has no use for it.
            "https" => set(&mut server.https, addresses(&entry, 0, 443, faults)),
            "public_https" => {
                let port = entry.integer(1..=u64::from(u16::MAX), "a port", faults);
                let port = port.and_then(|port| u16::try_from(port).ok());
                set(&mut server.public_https, port);
            }
            "workers" => set(
                &mut server.workers,
                count_or_auto(&entry, WORKERS_MAX, faults),
            ),
            "pin" => set(&mut server.pin, pin(&entry, faults)),
            "backend" => {
                let choices = [
                    ("auto", Backend::Auto),
                    ("io_uring", Backend::IoUring),
                    ("epoll", Backend::Epoll),
                ];
                set(&mut server.backend, entry.choice(&choices, faults));
            }
            "unknown_host" => {
                set(
                    &mut server.unknown_host,
                    entry.choice(&[("reject", UnknownHost::Reject)], faults),
                );
            }
            "trusted_proxies" => {
                set(
                    &mut server.trusted_proxies,
                    networks::networks(&entry, networks::EXPECTED, faults),
                );
            }
            "max_connections" => set(
                &mut server.max_connections,
                count_or_auto(&entry, CONNECTIONS_MAX, faults),
            ),
            "drain_timeout" => set(&mut server.drain_timeout, duration(&entry, faults)),
            _ => refuse(&entry, Level::Server, faults),
        }
    }
}

fn count_or_auto(entry: &Entry, most: u64, faults: &mut Faults) -> Option<Option<usize>> {
    if entry.value.as_str() == Some("auto") {
        return Some(None);
    }
    if misspelt_auto(entry, "a number or \"auto\"", faults) {
        return None;
    }
    let count = entry.integer(1..=most, "a number or \"auto\"", faults)?;
    usize::try_from(count).ok().map(Some)
}

/// Reports a word that is nearly "auto".
fn misspelt_auto(entry: &Entry, expected: &str, faults: &mut Faults) -> bool {
    let meant = entry
        .value
        .as_str()
        .and_then(|text| edit::nearest(text, ["auto"].into_iter()));
    if meant.is_some() {
        faults.error(entry.bad_value(expected, ["auto"].into_iter()));
    }
    meant.is_some()
}

fn pin(entry: &Entry, faults: &mut Faults) -> Option<Pin> {
    if entry.value.as_str() == Some("auto") {
        return Some(Pin::Auto);
    }
    if misspelt_auto(entry, "`true`, `false` or \"auto\"", faults) {
        return None;
    }
    let is_on = entry.boolean("`true`, `false` or \"auto\"", faults);
    is_on.map(|on| if on { Pin::On } else { Pin::Off })
}

/// `least` of them at least; `usual` is the port of an example.
fn addresses(
    entry: &Entry,
    least: usize,
    usual: u16,
    faults: &mut Faults,
) -> Option<Vec<ListenAddress>> {
    let expected = format!("a list of addresses such as [\":{usual}\"]");
    if let Some(port) = entry.value.as_integer() {
        let fault = entry.wrong_type(&expected);
        let mend = format!("[\":{}\"]", port.as_str());
        faults.error(fault.replace(entry.span.clone(), mend));
        return None;
    }
    let items = entry.list(&expected, faults)?;
    if !(least..=LISTENERS_MAX).contains(&items.len()) {
        let message = format!(
            "`{}` must have {least} to {LISTENERS_MAX} addresses",
            entry.name
        );
        faults.error(Fault::new("out-of-range", entry.span.clone(), message));
        return None;
    }
    let mut found: Vec<ListenAddress> = Vec::new();
    let mut is_faulty = false;
    for item in &items {
        match address(item, usual, faults) {
            Some(address) if found.contains(&address) => {
                let message = format!("the address \"{address}\" is given twice");
                faults.error(Fault::new("duplicate-address", item.span.clone(), message));
                is_faulty = true;
            }
            Some(address) => found.push(address),
            None => is_faulty = true,
        }
    }
    (!is_faulty).then_some(found)
}

fn address(entry: &Entry, usual: u16, faults: &mut Faults) -> Option<ListenAddress> {
    let expected =
        format!("addresses such as \":{usual}\", \"192.0.2.1:{usual}\" or \"[::1]:{usual}\"");
    if let Some(port) = entry.value.as_integer() {
        let fault = entry.wrong_type(&expected);
        faults.error(fault.replace(entry.span.clone(), format!("\":{}\"", port.as_str())));
        return None;
    }
    let text = entry.string(&expected, faults)?;
    let found = parse_address(text);
    if found.is_none() {
        let fault = Fault::new(
            "bad-address",
            entry.span.clone(),
            format!("`{}` takes {expected}", entry.name),
        );
        faults.error(match meant_address(text, usual) {
            Some(address) => fault.replace(entry.span.clone(), format!("\"{address}\"")),
            None => fault,
        });
    }
    found
}

fn parse_address(text: &str) -> Option<ListenAddress> {
    if let Some(port) = text.strip_prefix(':') {
        let is_number = port.bytes().all(|octet| octet.is_ascii_digit());
        let port = port.parse::<u16>().ok().filter(|_| is_number)?;
        return Some(ListenAddress::Any { port });
    }
    let address: SocketAddr = text.parse().ok()?;
    // A zone (`%eth0`) is a number of this boot.
    (!text.contains('%')).then_some(ListenAddress::Address(address))
}

/// `"80"`, `"*:80"`, `"localhost:80"`, `"127.0.0.1"`, `"::1"`.
fn meant_address(text: &str, usual: u16) -> Option<ListenAddress> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ListenAddress::Address(SocketAddr::new(ip, usual)));
    }
    if let Some(port) = text.strip_prefix("localhost:") {
        return parse_address(&format!("127.0.0.1:{port}"));
    }
    parse_address(&format!(":{}", text.strip_prefix("*:").unwrap_or(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        #[track_caller]
        fn check(text: &str, expected: Option<&str>, meant: Option<&str>) {
            let shown = |address: ListenAddress| address.to_string();
            assert_eq!(
                parse_address(text).map(shown).as_deref(),
                expected,
                "{text}"
            );
            if expected.is_none() {
                assert_eq!(
                    meant_address(text, 80).map(shown).as_deref(),
                    meant,
                    "{text}"
                );
            }
        }
        check(":80", Some(":80"), None);
        check(":65535", Some(":65535"), None);
        check("192.0.2.1:80", Some("192.0.2.1:80"), None);
        check("0.0.0.0:80", Some("0.0.0.0:80"), None);
        check("[::1]:8080", Some("[::1]:8080"), None);
        check("[::]:80", Some("[::]:80"), None);
        check("80", None, Some(":80"));
        check("*:80", None, Some(":80"));
        check("localhost:8080", None, Some("127.0.0.1:8080"));
        check("192.0.2.1", None, Some("192.0.2.1:80"));
        check("::1", None, Some("[::1]:80"));
        check(":0", Some(":0"), None);
        check(":65536", None, None);
        check(":+80", None, None);
        check(":", None, None);
        check("", None, None);
        check("192.0.2.1:0", Some("192.0.2.1:0"), None);
        check("[fe80::1%1]:80", None, None);
        check("example.com:80", None, None);
        check("unix:/run/h.sock", None, None);
    }
}
