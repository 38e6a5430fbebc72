//! What certificate each site needs.

use crate::config::{CertificateSource, Config, HostPattern, LOCAL_SUFFIXES, PemPair, Site};
use crate::http::authority::HostName;

use super::name::CertName;

/// What a site needs to be served over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it is plain HTTP.
    Nothing,
    /// A certificate that an authority gives out by ACME; several sites may need the same.
    Acme(CertName),
    /// A leaf of the local CA.
    Local(CertName),
    /// These files; never empty.
    Files(Vec<PemPair>),
}

/// What this site of this configuration needs.
///
/// A name below one of `acme.wildcards` needs that wildcard in place of one of its own. A site of every host has no
/// name to ask for: the local CA's leaf for `localhost` stands in for what its file does not give.
pub fn need_of(config: &Config, site: &Site) -> Need {
    if !site.is_https() {
        return Need::Nothing;
    }
    let name = CertName::of_pattern(&site.host);
    match (&site.tls.source, name) {
        (CertificateSource::Files(pairs), _) => Need::Files(pairs.clone()),
        (CertificateSource::Acme, Some(name)) => {
            Need::Acme(wildcard_for(config, &name).unwrap_or(name))
        }
        (CertificateSource::LocalCa, Some(name)) => Need::Local(name),
        (CertificateSource::Acme | CertificateSource::LocalCa, None) => {
            Need::Local(CertName::parse("localhost").expect("a name"))
        }
    }
}

/// Every name that an authority is to be asked for by ACME: each once, in the order of the sites.
pub fn acme_names(config: &Config) -> Vec<CertName> {
    let mut names = Vec::new();
    let mut known = std::collections::HashSet::new();
    for site in &config.sites {
        if let Need::Acme(name) = need_of(config, site)
            && known.insert(name.clone())
        {
            names.push(name);
        }
    }
    names
}

/// What the certificate of a site has to name; `None` for a site of every host.
pub fn site_name(site: &Site) -> Option<CertName> {
    CertName::of_pattern(&site.host)
}

fn wildcard_for(config: &Config, name: &CertName) -> Option<CertName> {
    let covers = |domain: &&HostName| CertName::Wildcard((**domain).clone()).covers(name);
    let domain = config.acme.wildcards.iter().find(covers)?;
    Some(CertName::Wildcard(domain.clone()))
}

/// Is any site of this configuration in need of the local CA?
pub fn needs_local_ca(config: &Config) -> bool {
    let is_local = |site: &Site| matches!(need_of(config, site), Need::Local(_));
    config.sites.iter().any(is_local)
}

/// The names of one label that sites have, and that are no domain of local names: what the local CA's root has to permit one by one.
pub fn single_labels(config: &Config) -> Vec<HostName> {
    let mut names: Vec<HostName> = Vec::new();
    for site in &config.sites {
        if let (HostPattern::Exact(host), Need::Local(_)) = (&site.host, need_of(config, site))
            && !host.as_str().contains('.')
            && host.ip().is_none()
            && !LOCAL_SUFFIXES.contains(&host.as_str())
            && !names.contains(host)
        {
            names.push(host.clone());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, parse};

    fn config(text: &str) -> Config {
        parse(&[Source { name: "f", text }]).unwrap_or_else(|errors| panic!("{}", errors[0]))
    }

    #[test]
    fn each_site_needs_its_own_or_a_wildcard_above_it() {
        let config = config(
            "[sites]\n\"example.com\" = 1\n\"app.example.com\" = 1\n\"*.example.org\" = 1\n\"http://plain.example\" = 1\n\
             \"nas\" = 1\n\"*.lan\" = 1\n\"10.0.0.1\" = 1\n\":8080\" = 1\n",
        );
        let needs = |config: &Config| {
            let shown = |site: &Site| match need_of(config, site) {
                Need::Nothing => "nothing".to_owned(),
                Need::Acme(name) => format!("acme {name}"),
                Need::Local(name) => format!("local {name}"),
                Need::Files(pairs) => format!("{} files", pairs.len()),
            };
            config.sites.iter().map(shown).collect::<Vec<_>>()
        };
        let expected = [
            "acme example.com",
            "acme app.example.com",
            "acme *.example.org",
            "nothing",
            "local nas",
            "local *.lan",
            "local 10.0.0.1",
            "nothing",
        ];
        assert_eq!(needs(&config), expected);
        assert_eq!(single_labels(&config)[0].as_str(), "nas");
        assert_eq!(single_labels(&config).len(), 1);
        let mut config = config;
        let domain = |text: &str| HostName::parse(text.as_bytes()).expect("a host");
        config.acme.wildcards = vec![domain("example.com"), domain("example.org")];
        assert_eq!(
            needs(&config)[1..3],
            ["acme *.example.com", "acme *.example.org"]
        );
        let names: Vec<String> = acme_names(&config)
            .iter()
            .map(CertName::to_string)
            .collect();
        assert_eq!(names, ["example.com", "*.example.com", "*.example.org"]);
    }
}
