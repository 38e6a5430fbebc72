//! Sites and listeners together: who is never reached, and which ports are asked to be two things.

use std::collections::HashMap;
use std::ops::Range;

use super::diagnostic::{Fault, Faults};
use super::listen::{Listener, ListenerKind};
use super::model::{Config, HostPattern, Site, SiteScheme};
use super::model_tls::{CertificateSource, ChallengeChoice};
use super::raw::{Entry, entries};
use super::tree::Member;

/// Looks at the merged tree and at what was read from it. `keys` are those of the hand-written sites, in the order of
/// [`Config::sites`]: name and range.
pub(super) fn check(
    tree: &[Member],
    config: &Config,
    keys: &[(String, Range<usize>)],
    faults: &mut Faults,
) {
    let listeners = config.listeners();
    addresses_of_two_kinds(tree, config, &listeners, faults);
    ports_of_two_kinds(config, &listeners, keys, faults);
    unreachable_sites(config, &listeners, keys, faults);
}

/// Looks for what is legal but will not do. Only called when there is no error.
pub(super) fn warn(
    tree: &[Member],
    config: &Config,
    keys: &[(String, Range<usize>)],
    faults: &mut Faults,
) {
    nobody_ends_tls(config, keys, faults);
    wildcards_without_dns(tree, config, keys, faults);
}

/// The value of a key in one of the tables at the top.
fn value_of<'t>(tree: &'t [Member], table: &str, key: &str) -> Option<Entry<'t>> {
    let table = tree.iter().find(|member| member.name == table)?;
    let mut found = entries(table.value.as_table()?).into_iter();
    found.find(|entry| entry.name == key)
}

/// One address for plain HTTP and for TLS.
fn addresses_of_two_kinds(
    tree: &[Member],
    config: &Config,
    listeners: &[Listener],
    faults: &mut Faults,
) {
    let server = &config.server;
    // What nobody asks for is not opened, and in nobody's way.
    let is_opened = |listener: &&Listener| {
        listener.kind == ListenerKind::Tls && server.https.contains(&listener.address)
    };
    for tls in listeners.iter().filter(is_opened) {
        let address = tls.address;
        if address.port() == 0 || !server.http.contains(&address) {
            continue;
        }
        let named = ["https", "http"].map(|key| value_of(tree, "server", key));
        if let Some(entry) = named.into_iter().flatten().next() {
            let message = format!("{address} cannot be in both `http` and `https`");
            let fault = Fault::new("two-kinds", entry.span.clone(), message);
            faults.error(fault.label("an address is for plain HTTP or for TLS"));
        }
    }
}

/// Sites with a port that is for the other kind.
fn ports_of_two_kinds(
    config: &Config,
    listeners: &[Listener],
    keys: &[(String, Range<usize>)],
    faults: &mut Faults,
) {
    for (site, (name, key)) in config.sites.iter().zip(keys) {
        let Some(port) = site.port else { continue };
        let (other, what) = match site.scheme {
            SiteScheme::Https => (ListenerKind::Plain, "plain HTTP"),
            SiteScheme::Http => (ListenerKind::Tls, "HTTPS"),
            SiteScheme::Both => continue,
        };
        let is_there =
            |listener: &&Listener| listener.kind == other && listener.address.port() == port;
        let Some(listener) = listeners.iter().find(is_there) else {
            continue;
        };
        let named = match other {
            ListenerKind::Plain => &config.server.http,
            ListenerKind::Tls => &config.server.https,
        };
        let is_named = named.contains(&listener.address);
        let asks = |other: &&Site| other.port == Some(port) && other.scheme != site.scheme;
        let label = match (is_named, config.sites.iter().find(asks)) {
            // It is told of the one of HTTPS.
            (false, Some(_)) if site.scheme == SiteScheme::Http => continue,
            (false, Some(owner)) => format!("`{}` at {} has it", owner.name, owner.place),
            (_, _) if other == ListenerKind::Plain => "it is one of `server.http`".to_owned(),
            (_, _) => "it is one of `server.https`".to_owned(),
        };
        let message = format!("port {port} of `{name}` is for {what}");
        let fault = Fault::new("two-kinds", key.clone(), message).label(label);
        faults.error(match meant(site, port) {
            Some(meant) => fault.replace(key.clone(), format!("{meant:?}")),
            None => fault,
        });
    }
}

/// The key without the port, where the port is the usual one of the other kind.
fn meant(site: &Site, port: u16) -> Option<String> {
    let host = match &site.host {
        HostPattern::Exact(host) => host.to_string(),
        HostPattern::Wildcard(suffix) => format!("*.{suffix}"),
        HostPattern::Any => return None,
    };
    match (site.scheme, port) {
        (SiteScheme::Https, 80) => Some(format!("http://{host}")),
        (SiteScheme::Http, 443) => Some(host),
        (SiteScheme::Https | SiteScheme::Http | SiteScheme::Both, _) => None,
    }
}

/// A site that has another in front of it on every listener of its kind is a fault like a host that is set twice.
fn unreachable_sites(
    config: &Config,
    listeners: &[Listener],
    keys: &[(String, Range<usize>)],
    faults: &mut Faults,
) {
    // Only where one host has several keys, so that ten thousand sites do not cost their square.
    let mut same: HashMap<&HostPattern, Vec<usize>> = HashMap::new();
    for (index, site) in config.sites.iter().enumerate() {
        same.entry(&site.host).or_default().push(index);
    }
    for index in same.into_values().filter(|same| same.len() > 1).flatten() {
        let site = &config.sites[index];
        let kind = match site.scheme {
            SiteScheme::Http => ListenerKind::Plain,
            SiteScheme::Https | SiteScheme::Both => ListenerKind::Tls,
        };
        let asked = listeners.iter().filter(|listener| {
            listener.kind == kind && config.is_asked_for(site, kind, &listener.address)
        });
        let mut asked = asked.peekable();
        let Some(first) = asked.peek() else { continue };
        let owner = first
            .sites
            .iter()
            .find(|other| config.sites[**other].host == site.host);
        let (Some(owner), Some((name, key))) = (owner.copied(), keys.get(index)) else {
            continue;
        };
        if asked.any(|listener| listener.sites.contains(&index)) {
            continue;
        }
        let owner = &config.sites[owner];
        let message = format!("the site `{name}` is never reached");
        let fault = Fault::new("duplicate-host", key.clone(), message);
        faults.error(fault.label(format!(
            "`{}` at {} has its host on every listener",
            owner.name, owner.place
        )));
    }
}

/// `https = []`, and no proxy in front that could end TLS for the sites that are meant to have it.
fn nobody_ends_tls(config: &Config, keys: &[(String, Range<usize>)], faults: &mut Faults) {
    if !config.server.https.is_empty() || !config.server.trusted_proxies.is_empty() {
        return;
    }
    let is_left = |(site, _): &(&Site, _)| site.is_https() && site.port.is_none();
    let mut left = config.sites.iter().zip(keys).filter(is_left);
    if let Some((_, (name, key))) = left.next() {
        let message = format!("`{name}` is HTTPS, and `server.https` is empty");
        let fault = Fault::new("no-https", key.clone(), message);
        let fault = fault
            .label("a proxy that ends TLS in front of hotgate belongs in `server.trusted_proxies`");
        faults.warning(fault.replace(key.clone(), format!("{:?}", format!("http://{name}"))));
    }
}

/// Wildcard certificates are signed for a record in DNS alone (RFC 8555 §8.4, and every public authority's rules).
fn wildcards_without_dns(
    tree: &[Member],
    config: &Config,
    keys: &[(String, Range<usize>)],
    faults: &mut Faults,
) {
    let acme = &config.acme;
    let lack = match (acme.challenge, &acme.dns) {
        (ChallengeChoice::Auto | ChallengeChoice::Dns01, Some(_)) => return,
        (ChallengeChoice::Http01 | ChallengeChoice::TlsAlpn01, Some(_)) => {
            "`acme.challenge` is another one"
        }
        (_, None) => "`[acme.dns]` says who writes the record",
    };
    let warning = |name: &str, span: Range<usize>| {
        let message = format!("no certificate for `{name}`: a wildcard needs the challenge dns-01");
        Fault::new("no-dns-01", span, message)
            .label(lack)
            .write("[acme.dns]\nprovider = \"cloudflare\"\ntoken = \"${cred:dns_token}\"")
    };
    if let Some(entry) = value_of(tree, "acme", "wildcards")
        && let Some(first) = acme.wildcards.first()
    {
        faults.warning(warning(&format!("*.{first}"), entry.span.clone()));
    }
    for (site, (_, key)) in config.sites.iter().zip(keys) {
        if let (HostPattern::Wildcard(suffix), CertificateSource::Acme, true) =
            (&site.host, &site.tls.source, site.is_https())
        {
            faults.warning(warning(&format!("*.{suffix}"), key.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Source, parse};

    /// Code and place of each error, or of each warning.
    #[track_caller]
    fn check(server: &str, keys: &[&str], expected: &[&str]) {
        let sites: String = keys.iter().map(|key| format!("{key:?} = 3000\n")).collect();
        let text = format!("[server]\n{server}\n[sites]\n{sites}");
        let source = Source {
            name: "f",
            text: &text,
        };
        let found = match parse(&[source]) {
            Ok(config) => config.warnings,
            Err(errors) => errors,
        };
        let found: Vec<String> = found
            .iter()
            .map(|one| format!("{} {} {}", one.place.line, one.code, one.mend))
            .map(|line| {
                line.lines()
                    .next()
                    .unwrap_or_default()
                    .trim_end()
                    .to_owned()
            })
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_port_is_of_one_kind() {
        check("", &["a", "http://a:8080", ":8081", "b:8443"], &[]);
        check("", &["a:80"], &["4 two-kinds \"http://a\" = 3000"]);
        check("", &["a", ":443"], &["5 two-kinds"]);
        check("", &["a", "http://b:443"], &["5 two-kinds \"b\" = 3000"]);
        check("", &[":8080", "a:8080"], &["5 two-kinds"]);
        check("", &["a:8080", ":8080"], &["4 two-kinds"]);
        check("http = [\":81\"]", &["a:80"], &[]);
        // Nobody asks for 443 there.
        check("", &["http://a:443"], &[]);
        check("http = [\":443\"]", &["http://a"], &[]);
        check("http = [\":443\"]", &["a"], &["2 two-kinds"]);
        check(
            "http = [\":8443\"]\nhttps = [\":8443\"]",
            &["a"],
            &["3 two-kinds"],
        );
        check(
            "http = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]",
            &["a"],
            &[],
        );
    }

    #[test]
    fn nobody_is_never_reached() {
        check("", &["a", "http://a"], &[]);
        check("", &["a", "a:8443"], &[]);
        check("", &["a", "a:443"], &["4 duplicate-host"]);
        check("", &["http://a", "http://a:80"], &["4 duplicate-host"]);
        check("", &["*", ":80"], &["4 duplicate-host"]);
    }

    #[test]
    fn somebody_ends_tls() {
        check("https = []", &["http://a"], &[]);
        check("https = []", &["a:8443"], &[]);
        check("https = []", &["a"], &["4 no-https \"http://a\" = 3000"]);
        check("https = []\ntrusted_proxies = [\"private\"]", &["a"], &[]);
    }

    #[test]
    fn wildcards_need_dns() {
        let dns = "[acme.dns]\nprovider = \"exec\"\ncommand = \"x\"";
        check("", &["*.example.com"], &["4 no-dns-01 [acme.dns]"]);
        check("", &["*.nas.lan", "http://*.example.com"], &[]);
        check(dns, &["*.example.com"], &[]);
        check(
            &format!("[acme]\nchallenge = \"http-01\"\n{dns}"),
            &["*.example.com"],
            &["8 no-dns-01 [acme.dns]"],
        );
        check(
            "[acme]\nwildcards = [\"example.com\"]",
            &["a.example.com"],
            &["3 no-dns-01 [acme.dns]"],
        );
    }
}
