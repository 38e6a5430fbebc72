//! What TLS has to do with it: whose certificate is shown, whom the site lets in, why a plain request is sent away, and
//! whom the app has to be.

use super::Stage;
use crate::config::{
    Acme, CertificateSource, ClientAuth, Config, HostPattern, Route, Site, SiteScheme,
};
use crate::policy::Reason;
use crate::serve::dispatch::{Client, Refused};
use crate::serve::respond::Own;
use crate::serve::snapshot::EndpointKey;

/// On a listener of TLS.
pub(super) fn certificate_stages(config: &Config, site: &Site) -> Vec<Stage> {
    let (decision, why) = match &site.tls.source {
        CertificateSource::Files(pairs) => {
            let files: Vec<String> = pairs
                .iter()
                .map(|pair| pair.cert.display().to_string())
                .collect();
            (files.join(", "), "`tls.cert` of the site".to_owned())
        }
        CertificateSource::LocalCa => (
            "of hotgate's own authority".to_owned(),
            "no public authority signs this name; `hotgate trust` makes this machine believe it"
                .to_owned(),
        ),
        CertificateSource::Acme => (
            format!("by ACME, from {}", config.acme.ca),
            match wildcard_of(site, &config.acme) {
                Some(name) => format!("`*.{name}` is in acme.wildcards"),
                None => "a public name, and the site has no `tls.cert`".to_owned(),
            },
        ),
    };
    let place = match &site.tls.source {
        CertificateSource::Files(pairs) => pairs.first().map(|pair| &pair.place),
        CertificateSource::LocalCa | CertificateSource::Acme => Some(&site.place),
    };
    let mut stages = vec![Stage {
        name: "cert",
        decision,
        why,
        place: place.cloned(),
    }];
    let asked = match &site.tls.client_auth {
        ClientAuth::Off => None,
        ClientAuth::Request(ca) => Some(("asked for a certificate, and let in without", ca)),
        ClientAuth::Require(ca) => Some(("let in with a certificate alone", ca)),
    };
    stages.extend(asked.map(|(decision, ca)| Stage {
        name: "clients",
        decision: decision.to_owned(),
        why: format!(
            "`tls.client_auth`; one is good that {} has signed",
            ca.display()
        ),
        place: Some(site.place.clone()),
    }));
    stages
}

/// The name of `acme.wildcards` that the site's own is right below.
fn wildcard_of<'a>(site: &Site, acme: &'a Acme) -> Option<&'a str> {
    let HostPattern::Exact(host) = &site.host else {
        return None;
    };
    let (_, rest) = host.as_str().split_once('.')?;
    let mut names = acme.wildcards.iter().map(|name| name.as_str());
    names.find(|name| *name == rest)
}

/// Towards an app of HTTPS.
pub(super) fn upstream_stage(route: &Route, endpoints: &[&EndpointKey]) -> Option<Stage> {
    let names: Vec<String> = endpoints
        .iter()
        .filter_map(|key| key.tls())
        .map(|(host, tls)| format!("`{}`", tls.server_name.as_deref().unwrap_or(host)))
        .collect();
    if names.is_empty() {
        return None;
    }
    let settings = &route.settings.upstream_tls;
    let who = match settings.verify {
        true => format!("verified as {}", names.join(", ")),
        false => "whoever answers".to_owned(),
    };
    let shown = match &settings.cert {
        None => String::new(),
        Some(pair) => format!("; {} is shown to it", pair.cert.display()),
    };
    let why = match (settings.verify, &settings.ca) {
        (false, _) => "`verify = false` in `upstream_tls`".to_owned(),
        (true, Some(path)) => format!("one is good that {} has signed", path.display()),
        (true, None) => "one is good that an authority of the system has signed".to_owned(),
    };
    Some(Stage {
        name: "app_tls",
        decision: format!("{who}{shown}"),
        why,
        place: route.origins.of("upstream_tls").cloned(),
    })
}

/// On a plain listener; nothing for a site of plain HTTP.
pub(super) fn redirect_stage(
    site: &Site,
    client: &Client,
    refused: Option<&Refused>,
) -> Option<Stage> {
    match site.scheme {
        SiteScheme::Https => {}
        SiteScheme::Http | SiteScheme::Both => return None,
    }
    let (decision, why) = match refused {
        Some(Refused {
            reason: Reason::HttpsRedirect,
            own: Own::Location(location),
        }) => (
            format!("to {}", String::from_utf8_lossy(location)),
            "the site is HTTPS; with `http://` in front of its key it would be served here"
                .to_owned(),
        ),
        Some(_) | None if client.is_trusted => (
            "none".to_owned(),
            format!(
                "{} is in server.trusted_proxies and says X-Forwarded-Proto: https, or this is an ACME challenge",
                client.peer
            ),
        ),
        Some(_) | None => (
            "none".to_owned(),
            "an authority may ask for an ACME challenge by plain HTTP".to_owned(),
        ),
    };
    Some(Stage {
        name: "redirect",
        decision,
        why,
        place: Some(site.place.clone()),
    })
}
