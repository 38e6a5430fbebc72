//! Which site is served on which listener, plain or over TLS.

use std::collections::HashMap;

use super::model::{Config, HostPattern, ListenAddress, Site, SiteScheme};

/// One address to listen on, with its sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: ListenAddress,
    /// What is spoken there.
    pub kind: ListenerKind,
    /// Indices into [`Config::sites`], rising. No two have the same host; may be empty (then every host is unknown).
    pub sites: Vec<usize>,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListenerKind {
    /// HTTP. A site of HTTPS is not served here, but redirected.
    Plain,
    /// HTTP over TLS.
    Tls,
}

impl Config {
    /// Every listener. The plain ones come first: those of `server.http`, in order, then one on any address for each
    /// port that a plain site names and none of them has, by port. Then those of TLS likewise, of which none is without
    /// a site: a port that nobody asked for is not taken.
    ///
    /// A site with a port of its own (`":8080"`, `"http://h:8080"`, `"h:8443"`) is served on the listeners of its kind
    /// with this port; every other on those of `server.http` or `server.https`. A site of HTTPS has its host on the
    /// plain listeners too, where it redirects. Where two sites have one host on one listener, the one whose key says
    /// more has it: on a plain one plain with a port, plain, without a port, with a port for TLS; on one of TLS with a
    /// port, without.
    pub fn listeners(&self) -> Vec<Listener> {
        let plain = self.of_kind(ListenerKind::Plain).into_iter();
        let tls = self.of_kind(ListenerKind::Tls).into_iter();
        plain
            .chain(tls.filter(|listener| !listener.sites.is_empty()))
            .collect()
    }

    /// Is this site to be served on this listener? It is, unless another one has its host there.
    pub fn is_asked_for(&self, site: &Site, kind: ListenerKind, address: &ListenAddress) -> bool {
        if kind == ListenerKind::Tls && !site.is_https() {
            return false;
        }
        match port_of(site, kind) {
            Some(port) => port == address.port(),
            None => self.addresses(kind).contains(address),
        }
    }

    /// The listeners that the file names.
    fn addresses(&self, kind: ListenerKind) -> &[ListenAddress] {
        match kind {
            ListenerKind::Plain => &self.server.http,
            ListenerKind::Tls => &self.server.https,
        }
    }

    fn of_kind(&self, kind: ListenerKind) -> Vec<Listener> {
        let named = self.addresses(kind);
        let mut ports: Vec<u16> = self
            .sites
            .iter()
            .filter_map(|site| port_of(site, kind))
            .collect();
        ports.sort_unstable();
        ports.dedup();
        ports.retain(|port| !named.iter().any(|address| address.port() == *port));
        let more = ports.into_iter().map(|port| ListenAddress::Any { port });
        let listener = |address: ListenAddress| {
            let mut owners: HashMap<&HostPattern, usize> = HashMap::new();
            for (index, site) in self.sites.iter().enumerate() {
                let is_here = self.is_asked_for(site, kind, &address);
                let owner = owners
                    .get(&site.host)
                    .map(|owner| rank(&self.sites[*owner], kind));
                if is_here && owner.is_none_or(|owner| rank(site, kind) < owner) {
                    owners.insert(&site.host, index);
                }
            }
            let mut sites: Vec<usize> = owners.into_values().collect();
            sites.sort_unstable();
            Listener {
                address,
                kind,
                sites,
            }
        };
        named.iter().copied().chain(more).map(listener).collect()
    }
}

/// The port that a site asks to be served on, on listeners of this kind.
fn port_of(site: &Site, kind: ListenerKind) -> Option<u16> {
    match (site.scheme, kind) {
        (SiteScheme::Http, ListenerKind::Plain) | (SiteScheme::Https, ListenerKind::Tls) => {
            site.port
        }
        (SiteScheme::Http, ListenerKind::Tls)
        | (SiteScheme::Https, ListenerKind::Plain)
        | (SiteScheme::Both, ListenerKind::Plain | ListenerKind::Tls) => None,
    }
}

/// Lower wins a host.
fn rank(site: &Site, kind: ListenerKind) -> u8 {
    match (kind, site.scheme, site.port) {
        (ListenerKind::Plain, SiteScheme::Http, Some(_)) => 0,
        (ListenerKind::Plain, SiteScheme::Http | SiteScheme::Both, _) => 1,
        (ListenerKind::Plain, SiteScheme::Https, None) => 2,
        (ListenerKind::Plain, SiteScheme::Https, Some(_)) => 3,
        (ListenerKind::Tls, _, Some(_)) => 0,
        (ListenerKind::Tls, _, None) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::ListenerKind;
    use crate::config::{Source, parse};

    /// `keys` are site keys, `server` stands in `[server]`; expected is each address with its sites' names, one of TLS
    /// with `tls` in front.
    #[track_caller]
    fn check(server: &str, keys: &[&str], expected: &[(&str, &[&str])]) {
        let sites: String = keys.iter().map(|key| format!("{key:?} = 3000\n")).collect();
        let pair = "[sites.\"*\"]\nto = 1\ntls = { cert = \"a\", key = \"b\" }";
        let sites = sites.replace("\"*+tls\" = 3000\n", pair);
        let text = format!("[server]\n{server}\n[sites]\n{sites}");
        let config = parse(&[Source {
            name: "f.toml",
            text: &text,
        }])
        .expect("the row is fine");
        let listeners = config.listeners();
        let name = |index: &usize| config.sites[*index].name.as_str();
        let found: Vec<(String, Vec<&str>)> = listeners
            .iter()
            .map(|listener| {
                let kind = match listener.kind {
                    ListenerKind::Plain => "",
                    ListenerKind::Tls => "tls ",
                };
                (
                    format!("{kind}{}", listener.address),
                    listener.sites.iter().map(name).collect(),
                )
            })
            .collect();
        let expected: Vec<(String, Vec<&str>)> = expected
            .iter()
            .map(|(address, sites)| ((*address).to_owned(), sites.to_vec()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn plain_sites_by_listener() {
        check("", &[], &[(":80", &[])]);
        check("", &["http://b", "*"], &[(":80", &["http://b", "*"])]);
        check(
            "",
            &["http://a", ":8080"],
            &[(":80", &["http://a"]), (":8080", &[":8080"])],
        );
        check("", &["http://a", ":80"], &[(":80", &["http://a", ":80"])]);
        check(
            "",
            &["http://b:82", "http://a:81"],
            &[
                (":80", &[]),
                (":81", &["http://a:81"]),
                (":82", &["http://b:82"]),
            ],
        );
        // A port that the file binds to one address is not opened to the world.
        check(
            "http = [\"127.0.0.1:8080\"]",
            &[":8080"],
            &[("127.0.0.1:8080", &[":8080"])],
        );
        check(
            "http = [\":80\", \"127.0.0.1:81\"]",
            &["http://a"],
            &[(":80", &["http://a"]), ("127.0.0.1:81", &["http://a"])],
        );
        check(
            "",
            &["http://a", "http://a:81"],
            &[(":80", &["http://a"]), (":81", &["http://a:81"])],
        );
        check(
            "http = [\":80\", \":81\"]",
            &["http://a", "http://a:81"],
            &[(":80", &["http://a"]), (":81", &["http://a:81"])],
        );
    }

    /// A site of HTTPS has its host on the plain listeners too, unless a plain site has it there.
    #[test]
    fn sites_of_https_by_listener() {
        check("", &["a"], &[(":80", &["a"]), ("tls :443", &["a"])]);
        check(
            "",
            &["a", "http://a"],
            &[(":80", &["http://a"]), ("tls :443", &["a"])],
        );
        check(
            "",
            &["a", "http://a:81"],
            &[
                (":80", &["a"]),
                (":81", &["http://a:81"]),
                ("tls :443", &["a"]),
            ],
        );
        check(
            "",
            &["*.a", "b.a", "http://*.b"],
            &[
                (":80", &["*.a", "b.a", "http://*.b"]),
                ("tls :443", &["*.a", "b.a"]),
            ],
        );
        check(
            "",
            &["a:8443"],
            &[(":80", &["a:8443"]), ("tls :8443", &["a:8443"])],
        );
        check(
            "",
            &["a:8443", "a", "b:8444"],
            &[
                (":80", &["a", "b:8444"]),
                ("tls :443", &["a"]),
                ("tls :8443", &["a:8443"]),
                ("tls :8444", &["b:8444"]),
            ],
        );
        check(
            "https = [\":443\", \"[::1]:8443\"]",
            &["a", "b:8443"],
            &[
                (":80", &["a", "b:8443"]),
                ("tls :443", &["a"]),
                ("tls [::1]:8443", &["a", "b:8443"]),
            ],
        );
        check(
            "https = []\ntrusted_proxies = [\"::1\"]",
            &["a"],
            &[(":80", &["a"])],
        );
        check(
            "",
            &["*", "a"],
            &[(":80", &["*", "a"]), ("tls :443", &["a"])],
        );
        check(
            "",
            &["a", "*+tls"],
            &[(":80", &["a", "*"]), ("tls :443", &["a", "*"])],
        );
    }
}
