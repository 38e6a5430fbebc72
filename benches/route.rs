//! Routing: what a lookup costs with 1, 100 and 10 000 sites, and in a site with 1, 10 and 1 000 paths.
//!
//! The claim is that the number of sites hardly shows. Each case asks for many different names in turn, so that
//! the branch predictor and the nearest cache do not answer, and checks its own answers.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};

use hotgate::http::authority::HostName;
use hotgate::policy::route::{ListenerIndex, PathPattern, Table, TableBuilder};

const SITES: [u32; 3] = [1, 100, 10_000];
const PATHS: [u32; 3] = [1, 10, 1_000];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    hosts(&mut criterion);
    whole(&mut criterion);
    paths(&mut criterion);
    ambiguous(&mut criterion);
    criterion.final_summary();
}

fn hosts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route/host");
    for sites in SITES {
        let (table, listener) = table_of(sites);
        let cases = [
            (
                "exact",
                questions(sites, |site| format!("site{site}.example.com")),
                true,
            ),
            (
                "wildcard",
                questions(sites, |site| format!("www.wild{site}.example.org")),
                true,
            ),
            (
                "unknown",
                questions(sites, |site| format!("site{site}.example.net")),
                false,
            ),
        ];
        for (what, questions, is_known) in cases {
            for (site, host) in &questions {
                let expected = if is_known { Some(*site) } else { None };
                assert_eq!(table.site(listener, host), expected, "{}", host.as_str());
            }
            let mut asked = questions.iter().cycle();
            group.bench_function(BenchmarkId::new(what, sites), |bencher| {
                bencher.iter(|| {
                    let host = asked
                        .next()
                        .map(|(_, host)| host)
                        .expect("a cycle has no end");
                    table.site(listener, black_box(host))
                });
            });
        }
    }
    group.finish();
}

/// Host and path, as each request asks for them.
fn whole(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route/whole");
    for sites in SITES {
        let (table, listener) = table_of(sites);
        let questions = questions(sites, |site| format!("site{site}.example.com"));
        let ask = |host: &HostName, path: &[u8]| {
            let site = table.site(listener, host)?;
            table.route(site, path)
        };
        for (site, host) in &questions {
            let found = ask(host, b"/api/v1/users/17").map(|found| (found.route, found.prefix_len));
            assert_eq!(found, Some((site * 2 + 1, 4)));
        }
        let mut asked = questions.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(sites), |bencher| {
            bencher.iter(|| {
                let host = asked
                    .next()
                    .map(|(_, host)| host)
                    .expect("a cycle has no end");
                ask(black_box(host), black_box(b"/api/v1/users/17"))
            });
        });
    }
    group.finish();
}

fn paths(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route/path");
    for paths in PATHS {
        let mut builder = TableBuilder::new();
        builder.path(0, PathPattern::Prefix(Box::default()), paths, false);
        for path in 0..paths {
            let octets = format!("/app{path}").into_bytes();
            builder.path(0, PathPattern::Prefix(octets.into()), path, false);
        }
        let table = builder.build();
        let last = paths - 1;
        let cases = [
            ("plain", format!("/app{last}/static/js/main.js"), last),
            ("escaped", format!("/app{last}/caf%c3%a9"), last),
            ("other", "/static/js/main.js".to_owned(), paths),
        ];
        for (what, path, route) in cases {
            let found = table.route(0, path.as_bytes()).map(|found| found.route);
            assert_eq!(found, Some(route), "{path}");
            group.bench_function(BenchmarkId::new(what, paths), |bencher| {
                bencher.iter(|| table.route(0, black_box(path.as_bytes())));
            });
        }
    }
    group.finish();
}

fn ambiguous(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route/ambiguous");
    let mut builder = TableBuilder::new();
    builder.path(0, PathPattern::Prefix(Box::default()), 0, false);
    builder.path(0, PathPattern::Prefix(b"/admin"[..].into()), 1, true);
    let table = builder.build();
    let cases = [
        ("plain", "/static/js/main.js", false),
        ("escaped", "/caf%c3%a9", false),
        ("slashes", "//admin", true),
    ];
    for (what, path, expected) in cases {
        assert_eq!(
            table.is_ambiguous(0, path.as_bytes(), 0),
            expected,
            "{path}"
        );
        group.bench_function(what, |bencher| {
            bencher.iter(|| table.is_ambiguous(0, black_box(path.as_bytes()), 0));
        });
    }
    group.finish();
}

/// Sites of two kinds of host and two paths each: route `2 * site` is `/`, `2 * site + 1` is `/api`.
fn table_of(sites: u32) -> (Table, ListenerIndex) {
    let mut builder = TableBuilder::new();
    let listener = builder.add_listener();
    for site in 0..sites {
        builder.exact(listener, name(&format!("site{site}.example.com")), site);
        builder.wildcard(listener, name(&format!("wild{site}.example.org")), site);
        builder.path(site, PathPattern::Prefix(Box::default()), site * 2, false);
        builder.path(
            site,
            PathPattern::Prefix(b"/api"[..].into()),
            site * 2 + 1,
            false,
        );
    }
    (builder.build(), listener)
}

/// One name a site, in an order without a pattern, at most 1 000 of them.
fn questions(sites: u32, spell: impl Fn(u32) -> String) -> Vec<(u32, HostName)> {
    // 7 919 is prime to all numbers of sites, so the first `sites` of these are all different.
    (0..sites.min(1_000))
        .map(|position| position * 7_919 % sites)
        .map(|site| (site, name(&spell(site))))
        .collect()
}

fn name(text: &str) -> HostName {
    HostName::parse(text.as_bytes()).expect("a host name of the bench")
}
