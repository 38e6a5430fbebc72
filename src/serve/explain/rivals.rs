//! Why not another one: the sites and paths that would have taken a request too, and what is near where none does.
//!
//! Whether another one would is asked of the routing table itself: of one that holds nothing else.

use super::request::Url;
use crate::config::{Config, HostPattern, Listener, ListenerKind, Route, Site, nearest};
use crate::http::authority::{Authority, HostName};
use crate::http::target::{PathForm, normalize_path};
use crate::policy::route::{ListenerIndex, Table, TableBuilder};

/// As many names as are told one by one.
const NAMES_MAX: usize = 6;

/// The site's number in tables that hold one.
const ALONE: u32 = 0;

fn table(fill: impl FnOnce(&mut TableBuilder, ListenerIndex)) -> Table {
    let mut builder = TableBuilder::new();
    let listener = builder.add_listener();
    fill(&mut builder, listener);
    builder.build()
}

fn would_take(site: &Site, host: &HostName) -> bool {
    let table = table(|builder, listener| {
        match &site.host {
            HostPattern::Exact(name) => builder.exact(listener, name.clone(), ALONE),
            HostPattern::Wildcard(suffix) => builder.wildcard(listener, suffix.clone(), ALONE),
            HostPattern::Any => builder.fallback(listener, ALONE),
        };
    });
    table.site(ListenerIndex(0), host).is_some()
}

/// The sites that this one beats: less exact ones, and those with the same host whose key says less.
pub(super) fn beaten_sites(
    config: &Config,
    listener: &Listener,
    site: &Site,
    host: Option<&HostName>,
) -> Option<String> {
    let host = host?;
    let beaten: Vec<&Site> = config
        .sites
        .iter()
        .filter(|other| other.name != site.name || other.place != site.place)
        .filter(|other| {
            config.is_asked_for(other, listener.kind, &listener.address) && would_take(other, host)
        })
        .collect();
    (!beaten.is_empty()).then(|| format!("it is nearer than {}", named(&beaten)))
}

fn named(sites: &[&Site]) -> String {
    let shown: Vec<String> = sites
        .iter()
        .take(NAMES_MAX)
        .map(|site| format!("{} ({})", site.name, site.place))
        .collect();
    match sites.len().checked_sub(NAMES_MAX) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Why no site of this listener has the host, and what was meant instead, perhaps.
pub(super) fn no_site(config: &Config, listener: &Listener, host: Option<&HostName>) -> String {
    let address = listener.address;
    let Some(host) = host else {
        return format!("the request names no host, and {address} has no fallback `\"*\"`");
    };
    let asked = host.as_str();
    let elsewhere = config
        .sites
        .iter()
        .find(|site| site.host != HostPattern::Any && would_take(site, host));
    if let Some(site) = elsewhere {
        return format!(
            "{} ({}) has {asked:?}, but is not served on {address}",
            site.name, site.place
        );
    }
    let mut known: Vec<(&str, &Site)> = Vec::new();
    for site in listener.sites.iter().map(|index| &config.sites[*index]) {
        match &site.host {
            HostPattern::Exact(name) | HostPattern::Wildcard(name) => {
                known.push((name.as_str(), site));
            }
            HostPattern::Any => {}
        }
    }
    if known.is_empty() {
        return format!("there is no site on {address}");
    }
    let mut near = Vec::new();
    if let Some(HostPattern::Wildcard(suffix)) = under_a_wildcard(&known, asked) {
        near.push(format!("*.{suffix} has one label before it, not more"));
    }
    if let Some(name) = nearest(asked, known.iter().map(|(name, _)| *name))
        && let Some((_, site)) = known.iter().find(|(known, _)| *known == name)
    {
        near.push(format!("the nearest is {} ({})", site.name, site.place));
    }
    let names: Vec<&Site> = known.iter().map(|(_, site)| *site).collect();
    match near.is_empty() {
        false => format!("no site has {asked:?}; {}", near.join("; ")),
        true => format!(
            "no site has {asked:?}; those on {address} are {}",
            named(&names)
        ),
    }
}

/// The URL with the port of a listener that has a site for its host; that the URL's own port has none is known.
pub(super) fn received(url: &Url, listeners: &[Listener], config: &Config) -> Option<String> {
    let authority = Authority::parse(url.authority.as_bytes()).ok()?;
    let has_site = |listener: &&Listener| {
        let mut sites = listener.sites.iter().map(|index| &config.sites[*index]);
        sites.any(|site| would_take(site, &authority.host)) && listener.address.port() != 0
    };
    let found = listeners.iter().find(has_site)?;
    let (scheme, usual) = match found.kind {
        ListenerKind::Plain => ("http", 80),
        ListenerKind::Tls => ("https", 443),
    };
    let port = match found.address.port() {
        port if port == usual => String::new(),
        port => format!(":{port}"),
    };
    Some(format!("{scheme}://{}{port}{}", authority.host, url.target))
}

/// A wildcard whose suffix the name ends with, with more or fewer labels than one before it.
fn under_a_wildcard<'s>(known: &[(&str, &'s Site)], asked: &str) -> Option<&'s HostPattern> {
    let ends = |suffix: &str| {
        asked
            .strip_suffix(suffix)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    known
        .iter()
        .find(|(name, site)| matches!(site.host, HostPattern::Wildcard(_)) && ends(name))
        .map(|(_, site)| &site.host)
}

/// The other paths of the site that take this one, as their keys; `path` is in its one form.
pub(super) fn beaten_paths<'s>(site: &'s Site, chosen: &Route, path: &[u8]) -> Vec<&'s str> {
    site.routes
        .iter()
        .filter(|other| other.pattern != chosen.pattern)
        .filter(|other| {
            let table = table(|builder, _| {
                builder.path(ALONE, other.pattern.clone(), 0, false);
            });
            table.route(ALONE, path).is_some()
        })
        .map(|route| route.name.as_str())
        .collect()
}

/// The path with access rules that another reading of `raw` would belong to.
pub(super) fn guarded_path<'s>(site: &'s Site, chosen: &Route, raw: &[u8]) -> Option<&'s Route> {
    let mut scratch = Vec::new();
    let path = match normalize_path(raw, &mut scratch).ok()? {
        PathForm::AsIs => raw,
        PathForm::Rewritten => &scratch,
    };
    let number_of = |wanted: &Route| {
        let found = site.routes.iter().zip(0u32..);
        let mut found = found.filter(|(route, _)| route.pattern == wanted.pattern);
        found.next().map(|(_, number)| number)
    };
    let chosen = number_of(chosen)?;
    // Of all guards one at a time: it is the one that makes the path ambiguous alone.
    let is_guilty = |route: &&Route| {
        let table = table(|builder, _| {
            for (other, number) in site.routes.iter().zip(0u32..) {
                let is_guarded = other.pattern == route.pattern && other.settings.allow.is_guard();
                builder.path(ALONE, other.pattern.clone(), number, is_guarded);
            }
        });
        table.is_ambiguous(ALONE, path, chosen)
    };
    site.routes.iter().find(is_guilty)
}
