//! Table: all sites of all listeners, immutable once built, and its builder.
//!
//! Listeners are numbered by the table; sites and routes by whoever builds it. Site numbers index a vector, so
//! they should be dense; route numbers are only handed back.

use super::host::Hosts;
use super::path::{Found, PathPattern, Paths, PathsBuilder, RouteMatch};
use crate::http::authority::HostName;
use crate::http::target::other_readings;

/// A listener of one table, as [`TableBuilder::add_listener`] numbers them: 0, 1, …
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ListenerIndex(pub u16);

/// Which site and which route a request belongs to. See the folder's doc.
#[derive(Clone, Debug)]
pub struct Table {
    listeners: Box<[Hosts]>,
    /// By site number.
    sites: Box<[Paths]>,
}

/// Gathers the entries of a [`Table`].
///
/// The methods that add an entry return false if an equal one was there already. Then the first one stays;
/// what the config allows never comes to that.
#[derive(Clone, Debug, Default)]
pub struct TableBuilder {
    listeners: Vec<Hosts>,
    sites: Vec<PathsBuilder>,
}

impl Table {
    /// The site of `host` at this listener: exact beats one-label wildcard beats fallback.
    ///
    /// `None` too for a listener that the table does not have: nothing is served by mistake.
    pub fn site(&self, listener: ListenerIndex, host: &HostName) -> Option<u32> {
        self.listeners
            .get(usize::from(listener.0))?
            .find(host.as_bytes())
    }

    /// The site of a request that names no host, as HTTP/1.0 allows: the fallback.
    pub fn nameless(&self, listener: ListenerIndex) -> Option<u32> {
        self.listeners.get(usize::from(listener.0))?.fallback()
    }

    /// The route of `path` in this site: exact beats prefix, the longest prefix beats the others.
    ///
    /// `path` is normalised (`http::target::normalize_path`) and begins with `/`; no query.
    pub fn route(&self, site: u32, path: &[u8]) -> Option<RouteMatch> {
        let found = self.find(site, path)?;
        Some(RouteMatch {
            route: found.route,
            prefix_len: found.prefix_len,
        })
    }

    /// Would another reading of this path select another entry that has access rules?
    ///
    /// `path` is what selected the route `chosen`. Other readings are those that a less careful application
    /// behind hotgate might have: slashes merged, `%2F` and `%5C` decoded, `;…` cut off. If such a reading
    /// belongs to a guarded entry, the application would hand out what the entry guards, and the answer is 400
    /// (`ambiguous_path`). The other way round does no harm: the chosen entry's rules are kept.
    ///
    /// False at once for a site without access rules and for a path without `//`, `%` and `;`.
    pub fn is_ambiguous(&self, site: u32, path: &[u8], chosen: u32) -> bool {
        let has_guarded = self.paths(site).is_some_and(Paths::has_guarded);
        // An empty Vec allocates nothing; it grows only for a strange path on a guarded site.
        has_guarded
            && other_readings(path, &mut Vec::new(), |reading| {
                self.find(site, reading)
                    .is_some_and(|found| found.guarded && found.route != chosen)
            })
    }

    fn find(&self, site: u32, path: &[u8]) -> Option<Found> {
        self.paths(site)?.find(path)
    }

    fn paths(&self, site: u32) -> Option<&Paths> {
        self.sites.get(index_of(site))
    }
}

impl TableBuilder {
    /// An empty table: no listener, no site.
    pub fn new() -> TableBuilder {
        TableBuilder::default()
    }

    /// Adds a listener, with the next number.
    ///
    /// # Panics
    ///
    /// After 65 536 of them.
    pub fn add_listener(&mut self) -> ListenerIndex {
        let number = u16::try_from(self.listeners.len()).expect("fewer listeners than ports");
        self.listeners.push(Hosts::default());
        ListenerIndex(number)
    }

    /// `host` alone belongs to `site`.
    ///
    /// # Panics
    ///
    /// If the listener is not of this builder; so too below.
    pub fn exact(&mut self, listener: ListenerIndex, host: HostName, site: u32) -> bool {
        self.listeners[usize::from(listener.0)].add_exact(&host, site)
    }

    /// Every name of one label before `suffix` belongs to `site`: `suffix` is `example.com` for `*.example.com`.
    pub fn wildcard(&mut self, listener: ListenerIndex, suffix: HostName, site: u32) -> bool {
        self.listeners[usize::from(listener.0)].add_wildcard(&suffix, site)
    }

    /// All other names belong to `site`.
    pub fn fallback(&mut self, listener: ListenerIndex, site: u32) -> bool {
        self.listeners[usize::from(listener.0)].set_fallback(site)
    }

    /// What `pattern` takes of `site` belongs to `route`. `guarded`: the route has access rules.
    ///
    /// A site whose settings have access rules of their own gives them to all its routes, which are then all guarded.
    pub fn path(&mut self, site: u32, pattern: PathPattern, route: u32, guarded: bool) -> bool {
        let index = index_of(site);
        if index >= self.sites.len() {
            self.sites.resize_with(index + 1, PathsBuilder::default);
        }
        self.sites[index].add(pattern, route, guarded)
    }

    /// The finished table.
    pub fn build(self) -> Table {
        Table {
            listeners: self.listeners.into(),
            sites: self.sites.into_iter().map(PathsBuilder::build).collect(),
        }
    }
}

/// Lossless: hotgate is for 64-bit machines.
fn index_of(site: u32) -> usize {
    site as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        HostName::parse(text.as_bytes()).expect("a host name of the test")
    }

    fn prefix(path: &str) -> PathPattern {
        PathPattern::Prefix(path.as_bytes().into())
    }

    fn exact(path: &str) -> PathPattern {
        PathPattern::Exact(path.as_bytes().into())
    }

    const OPEN: bool = false;
    const GUARDED: bool = true;

    #[test]
    fn listeners_have_hosts_of_their_own() {
        let mut builder = TableBuilder::new();
        let first = builder.add_listener();
        let second = builder.add_listener();
        assert!(builder.exact(first, name("a.test"), 0));
        assert!(builder.exact(second, name("a.test"), 1));
        assert!(builder.wildcard(second, name("a.test"), 2));
        assert!(builder.fallback(second, 3));
        assert!(!builder.exact(second, name("a.test"), 4));
        let table = builder.build();
        assert_eq!(table.site(first, &name("A.test.")), Some(0));
        assert_eq!(table.site(second, &name("a.test")), Some(1));
        assert_eq!(table.site(second, &name("x.a.test")), Some(2));
        assert_eq!(table.site(second, &name("b.test")), Some(3));
        assert_eq!(table.site(first, &name("b.test")), None);
        assert_eq!(table.site(ListenerIndex(2), &name("a.test")), None);
    }

    #[test]
    fn sites_have_paths_of_their_own() {
        let mut builder = TableBuilder::new();
        assert!(builder.path(3, prefix(""), 30, OPEN));
        assert!(builder.path(3, prefix("/x"), 31, OPEN));
        assert!(builder.path(1, exact("/x"), 10, OPEN));
        assert!(!builder.path(1, exact("/x"), 11, OPEN));
        let table = builder.build();
        let route = |site, path: &str| table.route(site, path.as_bytes());
        assert_eq!(
            route(3, "/x/y"),
            Some(RouteMatch {
                route: 31,
                prefix_len: 2
            })
        );
        assert_eq!(
            route(3, "/y"),
            Some(RouteMatch {
                route: 30,
                prefix_len: 0
            })
        );
        assert_eq!(
            route(1, "/x"),
            Some(RouteMatch {
                route: 10,
                prefix_len: 2
            })
        );
        assert_eq!(route(1, "/y"), None);
        assert_eq!(route(0, "/x"), None);
        assert_eq!(route(4, "/x"), None);
    }

    #[test]
    #[rustfmt::skip]
    fn ambiguous_paths() {
        //    path                    route  ambiguous
        check("/",                    0,     false);
        check("/x//y",                0,     false);
        check("/x;y",                 0,     false);
        check("/%2fx",                0,     false);
        check("/admin",               1,     false);
        check("/admin/x",             1,     false);
        check("//admin",              0,     true);
        check("//admin/x",            0,     true);
        check("//administrator",      0,     false);
        check("/%2fadmin",            0,     true);
        check("/x%2f..%2fadmin",      0,     true);
        check("/x%2F..%2Fadmin",      0,     true);
        check("/x%5c..%5cadmin",      0,     true);
        check("/admin;x",             0,     true);
        check("/admin;x/y",           0,     true);
        check("//admin;x",            0,     true);
        check("/public/admin",        2,     false);
        check("/public%2fadmin",      0,     false);
        check("/admin%2fx",           0,     true);
        check("/%61dmin",             0,     false); // not normalised: never comes here
        // The chosen entry has rules of its own: other readings must not escape into a second guarded one.
        check("/admin/;x",            1,     false);
        check("/admin//x",            1,     false);
        check("/admin/x%2f..%2f..%2fx",    1, false);
        check("/admin/%2f..%2f..%2f/top",  1, true);
        check("/top",                 3,     false);
        check("/top/",                0,     false);
        check("/top;x",               0,     true);
        check("//top",                0,     true);
    }

    #[track_caller]
    fn check(path: &str, route: u32, ambiguous: bool) {
        let table = guarded_table();
        let found = table.route(0, path.as_bytes()).map(|found| found.route);
        assert_eq!(found, Some(route), "the route");
        assert_eq!(table.is_ambiguous(0, path.as_bytes(), route), ambiguous);
    }

    fn guarded_table() -> Table {
        let mut builder = TableBuilder::new();
        builder.path(0, prefix(""), 0, OPEN);
        builder.path(0, prefix("/admin"), 1, GUARDED);
        builder.path(0, prefix("/public"), 2, OPEN);
        builder.path(0, exact("/top"), 3, GUARDED);
        builder.build()
    }

    #[test]
    fn nothing_is_ambiguous_where_nothing_is_guarded() {
        let mut builder = TableBuilder::new();
        builder.path(0, prefix(""), 0, OPEN);
        builder.path(0, prefix("/admin"), 1, OPEN);
        let table = builder.build();
        for path in ["//admin", "/%2fadmin", "/admin;x", "/x%2f..%2fadmin"] {
            assert!(!table.is_ambiguous(0, path.as_bytes(), 0), "{path}");
            assert!(!table.is_ambiguous(7, path.as_bytes(), 0), "{path}");
        }
    }

    #[test]
    fn a_site_that_is_guarded_whole_is_not_ambiguous_to_itself() {
        let mut builder = TableBuilder::new();
        builder.path(0, prefix(""), 0, GUARDED);
        let table = builder.build();
        for path in ["//admin", "/%2fadmin", "/admin;x", "/a%2f..%2fb"] {
            assert!(!table.is_ambiguous(0, path.as_bytes(), 0), "{path}");
        }
    }
}
