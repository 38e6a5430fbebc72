//! Which site is served on which listener.

use std::collections::HashMap;

use super::model::{Config, HostPattern, ListenAddress, Site, SiteScheme};

/// One address to listen on, with its sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: ListenAddress,
    /// Indices into [`Config::sites`], rising. No two have the same host; may be empty (then every host is unknown).
    pub sites: Vec<usize>,
}

impl Config {
    /// Every plain HTTP listener: those of `server.http`, in order, then one on any address for each port that a site
    /// names and none of them has, by port.
    ///
    /// A site with a port of its own (`":8080"`, `"http://h:8080"`) is served on the listeners with this port; every
    /// other on those of `server.http`. Where two sites have one host on one listener, the one whose key says more
    /// has it: plain with a port, plain, without a port, with a port for TLS.
    pub fn listeners(&self) -> Vec<Listener> {
        let mut addresses = self.server.http.clone();
        let mut ports: Vec<u16> = self.sites.iter().filter_map(plain_port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports.retain(|port| {
            !self
                .server
                .http
                .iter()
                .any(|address| address.port() == *port)
        });
        addresses.extend(ports.into_iter().map(|port| ListenAddress::Any { port }));

        let listener = |address: ListenAddress| {
            let mut owners: HashMap<&HostPattern, usize> = HashMap::new();
            for (index, site) in self.sites.iter().enumerate() {
                let is_here = self.is_asked_for(site, &address);
                let owner = owners
                    .get(&site.host)
                    .map(|owner| rank(&self.sites[*owner]));
                if is_here && owner.is_none_or(|owner| rank(site) < owner) {
                    owners.insert(&site.host, index);
                }
            }
            let mut sites: Vec<usize> = owners.into_values().collect();
            sites.sort_unstable();
            Listener { address, sites }
        };
        addresses.into_iter().map(listener).collect()
    }

    /// Is this site to be served on this listener? It is, unless another one has its host there.
    pub fn is_asked_for(&self, site: &Site, address: &ListenAddress) -> bool {
        match plain_port(site) {
            Some(port) => port == address.port(),
            None => self.server.http.contains(address),
        }
    }
}

/// The port that a site asks to be served on in plain HTTP.
fn plain_port(site: &Site) -> Option<u16> {
    match site.scheme {
        SiteScheme::Http => site.port,
        SiteScheme::Auto => None,
    }
}

/// Lower wins a host.
fn rank(site: &Site) -> u8 {
    match (site.scheme, site.port) {
        (SiteScheme::Http, Some(_)) => 0,
        (SiteScheme::Http, None) => 1,
        (SiteScheme::Auto, None) => 2,
        (SiteScheme::Auto, Some(_)) => 3,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Source, parse};

    /// `keys` are site keys, `http` is `server.http`; expected is each address with its sites' names.
    #[track_caller]
    fn check(http: &str, keys: &[&str], expected: &[(&str, &[&str])]) {
        let sites: String = keys.iter().map(|key| format!("{key:?} = 3000\n")).collect();
        let text = format!("[server]\nhttp = {http}\n[sites]\n{sites}");
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
                (
                    listener.address.to_string(),
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
    fn sites_by_listener() {
        check("[\":80\"]", &[], &[(":80", &[])]);
        check(
            "[\":80\"]",
            &["a", "http://b", "*"],
            &[(":80", &["a", "http://b", "*"])],
        );
        check(
            "[\":80\"]",
            &["a", ":8080"],
            &[(":80", &["a"]), (":8080", &[":8080"])],
        );
        check("[\":80\"]", &["a", ":80"], &[(":80", &["a", ":80"])]);
        check(
            "[\":80\"]",
            &["http://b:82", "http://a:81"],
            &[
                (":80", &[]),
                (":81", &["http://a:81"]),
                (":82", &["http://b:82"]),
            ],
        );
        // A port that the file binds to one address is not opened to the world.
        check(
            "[\"127.0.0.1:8080\"]",
            &[":8080"],
            &[("127.0.0.1:8080", &[":8080"])],
        );
        check(
            "[\":80\", \"127.0.0.1:81\"]",
            &["a"],
            &[(":80", &["a"]), ("127.0.0.1:81", &["a"])],
        );
        // One host, several keys.
        check("[\":80\"]", &["a", "http://a"], &[(":80", &["http://a"])]);
        check("[\":80\"]", &["a:8443", "a"], &[(":80", &["a"])]);
        check("[\":80\"]", &["a:8443"], &[(":80", &["a:8443"])]);
        check(
            "[\":80\"]",
            &["http://a", "http://a:81"],
            &[(":80", &["http://a"]), (":81", &["http://a:81"])],
        );
        check(
            "[\":80\", \":81\"]",
            &["http://a", "http://a:81"],
            &[(":80", &["http://a"]), (":81", &["http://a:81"])],
        );
        check("[\":80\"]", &["*.a", "b.a"], &[(":80", &["*.a", "b.a"])]);
    }
}
