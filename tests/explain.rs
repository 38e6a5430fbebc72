//! `explain` agrees with what `run` does, and both with a reading of the rules that is too simple to be wrong.
//!
//! Configurations and requests are random, by seed. The naive twin below follows DESIGN's words (exact beats wildcard
//! beats fallback, the longest prefix wins, …) and shares no code with hotgate.

mod support;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    net::Ipv4Addr,
    process::{Command, Stdio},
};

use hotgate::{
    config::{Source, parse},
    serve::explain::{Explanation, Outcome, Query, explain},
};
use support::{
    Client, Config, Origin,
    hotgate::{BINARY, Folder},
};

/// Small numbers that look random and come back by seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // splitmix64, whose low bits are as good as its high ones.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Host {
    Exact(&'static str),
    Wildcard(&'static str),
    Any,
}

#[derive(Clone, Debug)]
struct Site {
    key: String,
    host: Host,
    port: Option<u16>,
    rules: Rules,
    paths: Vec<Path>,
}

#[derive(Clone, Debug)]
struct Path {
    key: String,
    is_exact: bool,
    /// Without a final slash for a prefix.
    path: &'static str,
    rules: Rules,
}

/// What a site or a path says; `None` where it says nothing.
#[derive(Clone, Debug, Default)]
struct Rules {
    to: Option<u16>,
    strip: bool,
    allow: Option<&'static str>,
}

/// The networks that occur, in one spelling each, and the addresses that are in them.
const ALLOWS: [&str; 3] = ["any", "10.0.0.0/8", "192.0.2.7"];
const FROM: [&str; 3] = ["127.0.0.1", "10.1.2.3", "192.0.2.7"];

fn admits(allow: &str, from: &str) -> bool {
    match allow {
        "any" => true,
        "10.0.0.0/8" => from.starts_with("10."),
        address => address == from,
    }
}

/// X-Forwarded-For; nothing for none.
const CHAINS: [&str; 7] = [
    "",
    "",
    "192.0.2.7",
    "10.1.2.3",
    "192.0.2.7, 10.1.2.3",
    "10.1.2.3, 198.51.100.1",
    "192.0.2.7, unknown",
];

/// From the right, the first that is not trusted; what is no address ends the walk.
fn believed<'a>(trusted: &[&str], from: &'a str, chain: &'a str) -> &'a str {
    let is_trusted = |address: &str| {
        (address.starts_with("10.") && trusted.contains(&"10.0.0.0/8"))
            || trusted.contains(&address)
    };
    let mut client = from;
    for hop in chain.split(", ").collect::<Vec<_>>().into_iter().rev() {
        if !is_trusted(client) || !hop.contains('.') {
            break;
        }
        client = hop;
    }
    client
}

const HOSTS: [(&str, Host); 6] = [
    ("a.test", Host::Exact("a.test")),
    ("B.test", Host::Exact("b.test")),
    ("x.b.test", Host::Exact("x.b.test")),
    ("*.b.test", Host::Wildcard("b.test")),
    ("*.test", Host::Wildcard("test")),
    ("*", Host::Any),
];
const ASKED: [&str; 9] = [
    "a.test",
    "A.TEST",
    "b.test.",
    "x.b.test",
    "y.b.test",
    "q.x.b.test",
    "c.test",
    "test",
    "other",
];
/// Key, exact or not, and the path it stands for.
const PATHS: [(&str, bool, &str); 8] = [
    ("/", false, ""),
    ("/api", false, "/api"),
    ("/api/v1/", false, "/api/v1"),
    ("=/api", true, "/api"),
    ("=/api/", true, "/api/"),
    ("/adm%2Fin", false, "/adm%2Fin"),
    ("/admin", false, "/admin"),
    ("=/", true, "/"),
];
/// At most one kind of strange mark in each, so that the twin need not know in which order they are read.
const TARGETS: [&str; 24] = [
    "/",
    "/api",
    "/api/",
    "/apix",
    "/api/v1",
    "/api/v1/x?q=/admin",
    "/api/v2",
    "/admin",
    "/admin/",
    "/adminx",
    "/adm%2fin",
    "/adm%2Fin/x",
    "/%61pi",
    "/api/../admin",
    "/./api/%2e%2e/x",
    "/x/..",
    "//admin",
    "/x//admin",
    "/admin;a=b",
    "/x%2fadmin",
    "/%2fadmin",
    "/../x",
    "/a%2",
    "/%00",
];

fn random_sites(random: &mut Random, ports: &[u16], targets: &[u16]) -> Vec<Site> {
    let mut sites: Vec<Site> = Vec::new();
    for (key, host) in HOSTS {
        if random.chance(3) {
            continue;
        }
        let port = (!ports.is_empty() && random.chance(4))
            .then(|| ports[random.below(ports.len() as u64) as usize]);
        let key = match (&host, port) {
            (Host::Any, Some(port)) => format!(":{port}"),
            (Host::Any, None) => key.to_owned(),
            (_, Some(port)) => format!("http://{key}:{port}"),
            (_, None) => format!("http://{key}"),
        };
        let mut paths: Vec<Path> = Vec::new();
        for (key, is_exact, path) in PATHS {
            if random.chance(3) {
                let strip = !is_exact && !path.is_empty() && random.chance(2);
                let rules = random_rules(random, targets, 2);
                paths.push(Path {
                    key: key.to_owned(),
                    is_exact,
                    path,
                    rules: Rules { strip, ..rules },
                });
            }
        }
        let mut rules = random_rules(random, targets, 3);
        let needs_action = paths.is_empty() || paths.iter().any(|path| path.rules.to.is_none());
        if needs_action && rules.to.is_none() {
            rules.to = Some(targets[0]);
        }
        sites.push(Site {
            key,
            host,
            port,
            rules,
            paths,
        });
    }
    sites
}

fn random_rules(random: &mut Random, targets: &[u16], none_in: u64) -> Rules {
    Rules {
        to: (!random.chance(none_in)).then(|| targets[random.below(targets.len() as u64) as usize]),
        strip: false,
        allow: random.chance(3).then(|| ALLOWS[random.below(3) as usize]),
    }
}

fn toml(sites: &[Site]) -> String {
    let mut text = String::new();
    let rules = |rules: &Rules| {
        let mut lines = Vec::new();
        lines.extend(rules.to.map(|to| format!("to = {to}")));
        lines.extend(rules.strip.then(|| "strip = true".to_owned()));
        lines.extend(rules.allow.map(|allow| match allow {
            "any" => "allow = \"any\"".to_owned(),
            network => format!("allow = [\"{network}\"]"),
        }));
        lines
    };
    for site in sites {
        let _ = writeln!(
            text,
            "[sites.{:?}]\n{}",
            site.key,
            rules(&site.rules).join("\n")
        );
        for path in &site.paths {
            let _ = writeln!(
                text,
                "paths.{:?} = {{ {} }}",
                path.key,
                rules(&path.rules).join(", ")
            );
        }
    }
    text
}

/// What the twin expects: site, path and target port with the path as sent, or site, path and reason.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Expected {
    site: String,
    route: String,
    result: Result<(u16, String), String>,
}

fn twin(
    sites: &[Site],
    general: &[u16],
    port: u16,
    host: &str,
    target: &str,
    from: &str,
) -> Expected {
    let refused = |site: &str, route: &str, reason: &str| Expected {
        site: site.to_owned(),
        route: route.to_owned(),
        result: Err(reason.to_owned()),
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (target, String::new()),
    };
    let Some(path) = normal(path) else {
        return refused("", "", "bad_request");
    };
    let host = host.to_lowercase();
    let host = host.trim_end_matches('.');
    let is_here = |site: &&Site| match site.port {
        Some(own) => own == port,
        None => general.contains(&port),
    };
    // One that names the port is nearer than one that does not.
    let nearest = |host: &Host| {
        let mut found: Vec<&Site> = sites
            .iter()
            .filter(is_here)
            .filter(|site| site.host == *host)
            .collect();
        found.sort_by_key(|site| site.port.is_none());
        found.first().copied()
    };
    let exact = sites.iter().find_map(|site| match &site.host {
        Host::Exact(name) if *name == host => nearest(&site.host),
        _ => None,
    });
    let rest = host.split_once('.').map(|(_, rest)| rest);
    let wildcard = || {
        sites.iter().find_map(|site| match &site.host {
            Host::Wildcard(suffix) if Some(*suffix) == rest => nearest(&site.host),
            _ => None,
        })
    };
    let Some(site) = exact.or_else(wildcard).or_else(|| nearest(&Host::Any)) else {
        return refused("", "", "unknown_host");
    };
    let chosen = choose(site, &path);
    let name = chosen.map_or("/", |path| path.key.as_str());
    let site_allow = site.rules.allow;
    let allow_of = |path: Option<&Path>| {
        path.and_then(|path| path.rules.allow)
            .or(site_allow)
            .unwrap_or("any")
    };
    let to = chosen.and_then(|path| path.rules.to).or(site.rules.to);
    for reading in readings(&path) {
        let other = choose(site, &reading);
        let is_other = other.map(|path| &path.key) != chosen.map(|path| &path.key);
        if reading != path && is_other && allow_of(other) != "any" {
            return refused(&site.key, name, "ambiguous_path");
        }
    }
    if !admits(allow_of(chosen), from) {
        return refused(&site.key, name, "address_forbidden");
    }
    let Some(to) = to else {
        return refused(&site.key, name, "no_route");
    };
    let strip = chosen
        .filter(|path| path.rules.strip)
        .map_or(0, |path| path.path.len());
    let mut sent = path[strip..].to_owned();
    while sent.starts_with("//") && strip > 0 {
        sent.remove(0);
    }
    if sent.is_empty() {
        sent = "/".to_owned();
    }
    Expected {
        site: site.key.clone(),
        route: name.to_owned(),
        result: Ok((to, sent + &query)),
    }
}

/// Exact, else the longest prefix that ends at a segment.
fn choose<'s>(site: &'s Site, path: &str) -> Option<&'s Path> {
    let fold = |path: &str| path.replace("%2f", "%2F");
    let path = fold(path);
    let exact = site
        .paths
        .iter()
        .find(|entry| entry.is_exact && entry.path == path);
    let takes = |entry: &&Path| {
        !entry.is_exact && (path == entry.path || path.starts_with(&format!("{}/", entry.path)))
    };
    let longest = || {
        site.paths
            .iter()
            .filter(takes)
            .max_by_key(|entry| entry.path.len())
    };
    exact.or_else(longest)
}

/// Dot segments resolved, unreserved characters decoded; nothing for what is 400.
fn normal(path: &str) -> Option<String> {
    if path.contains("%00") || path.contains('\\') {
        return None;
    }
    let mut decoded = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let hex = rest.get(at + 1..at + 3)?;
        let octet = u8::from_str_radix(hex, 16).ok()?;
        decoded += &rest[..at];
        match octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            true => decoded.push(char::from(octet)),
            false => decoded += &rest[at..at + 3],
        }
        rest = &rest[at + 3..];
    }
    decoded += rest;
    resolved(&decoded)
}

fn resolved(path: &str) -> Option<String> {
    let mut out: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        match *segment {
            "." if is_last => out.push(""),
            "." => {}
            ".." => {
                out.pop()?;
                if is_last {
                    out.push("");
                }
            }
            segment => out.push(segment),
        }
    }
    Some(format!("/{}", out.join("/")))
}

/// As a server might read it that merges slashes, or decodes `%2F`, or cuts parameters.
fn readings(path: &str) -> Vec<String> {
    let mut merged = path.to_owned();
    while merged.contains("//") {
        merged = merged.replace("//", "/");
    }
    let decoded = path.replace("%2f", "/").replace("%2F", "/");
    let mut decoded_and_merged = decoded.clone();
    while decoded_and_merged.contains("//") {
        decoded_and_merged = decoded_and_merged.replace("//", "/");
    }
    let cut = path.split(';').next().unwrap_or(path).to_owned();
    vec![merged, decoded, decoded_and_merged, cut]
}

#[test]
fn agrees_with_the_naive_twin_on_random_configurations() {
    const GENERAL: [u16; 2] = [80, 8081];
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut asked = 0;
    for seed in 0..1500 {
        let mut random = Random(seed);
        let sites = random_sites(&mut random, &[8081, 8082], &[3001, 3002, 3003]);
        let trusted: &[&str] = match random.below(3) {
            0 => &[],
            1 => &["10.0.0.0/8"],
            _ => &["10.0.0.0/8", "127.0.0.1"],
        };
        let text = format!(
            "[server]\nhttp = [\":80\", \"127.0.0.1:8081\"]\ntrusted_proxies = {trusted:?}\n{}",
            toml(&sites)
        );
        let config = match parse(&[Source {
            name: "f.toml",
            text: &text,
        }]) {
            Ok(config) => config,
            // Two plain sites with one host on every listener of theirs.
            Err(errors) if errors.iter().all(|error| error.code == "duplicate-host") => continue,
            Err(errors) => panic!("{}\n{text}", errors[0]),
        };
        for _ in 0..4 {
            let port = [80, 8081, 8082][random.below(3) as usize];
            let (host, target) = (random.one_of(&ASKED), random.one_of(&TARGETS));
            let from = random.one_of(&FROM);
            let chain = random.one_of(&CHAINS);
            let url = format!("http://ignored:{port}{target}");
            let mut fields = vec![format!("Host: {host}")];
            if !chain.is_empty() {
                fields.push(format!("X-Forwarded-For: {chain}"));
            }
            let query = Query {
                method: "GET",
                url: &url,
                from: from.parse().expect("an address"),
                fields: &fields,
                listener: None,
            };
            let found = explain(&config, &query).expect("the query can be asked");
            let is_open =
                GENERAL.contains(&port) || sites.iter().any(|site| site.port == Some(port));
            if !is_open {
                assert!(
                    matches!(found.outcome, Outcome::NoListener(_)),
                    "{text}\n{query:?}"
                );
                continue;
            }
            asked += 1;
            let client = believed(trusted, from, chain);
            let expected = twin(&sites, &GENERAL, port, host, target, client);
            let (word, told) = told(&found);
            *outcomes.entry(word).or_default() += 1;
            let result = match &expected.result {
                Ok((to, path)) => format!("127.0.0.1:{to} {path} for {client}"),
                Err(reason) => reason.clone(),
            };
            let expected = format!("{} {} {result}", expected.site, expected.route);
            assert_eq!(told, expected, "seed {seed}\n{text}\n{query:?}\n{found:?}");
        }
    }
    assert!(asked > 4000, "{asked} is no test");
    for word in [
        "forwarded",
        "unknown_host",
        "no_route",
        "ambiguous_path",
        "address_forbidden",
        "bad_request",
    ] {
        assert!(
            outcomes.get(word).is_some_and(|count| *count > 20),
            "{word}: {outcomes:?}"
        );
    }
}

/// The outcome's kind, and all that the twin knows of it.
fn told(found: &Explanation) -> (String, String) {
    let (word, result) = match &found.outcome {
        Outcome::NoListener(_) => ("no_listener", "no_listener".to_owned()),
        Outcome::Refused(reason) => (reason.as_str(), reason.as_str().to_owned()),
        Outcome::Forwarded(forwarded) => {
            let path = forwarded.head().split(' ').nth(1).unwrap_or_default();
            let real_ip = forwarded
                .added
                .iter()
                .find(|(name, _)| name == "X-Real-IP")
                .map_or("nobody", |(_, value)| value);
            let to = &forwarded.upstreams[0].label;
            ("forwarded", format!("{to} {path} for {real_ip}"))
        }
    };
    let of = |name: &Option<String>| name.clone().unwrap_or_default();
    let told = format!("{} {} {result}", of(&found.site), of(&found.route));
    (word.to_owned(), told)
}

/// The real thing: what the binary explains is what it then does, octet for octet, and what its log says.
#[test]
fn agrees_with_what_run_does() {
    const REQUESTS: usize = 50;
    let origin = Origin::start(|connection| {
        while connection.read_request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 5000..5020 {
        let mut random = Random(seed);
        let sites = random_sites(&mut random, &[], &[origin.port()]);
        let folder = Folder::new();
        let log = folder.path().join("access.log");
        let trusted = ["", "trusted_proxies = [\"127.0.0.1\"]"][random.below(2) as usize];
        let defaults = random.one_of(&[
            "",
            "host = \"upstream\"",
            "host = \"app.internal\"",
            "underscore_headers = true",
            "upgrade = []",
            "limits.body = \"1KiB\"",
        ]);
        let running = Config::new(format!("[defaults]\n{defaults}\n{}", toml(&sites)))
            .server(trusted)
            .access_log(&log, "json");
        let hotgate = running.start();
        let file = folder.path().join("same.toml");
        fs::write(&file, running.toml()).expect("a file is written");
        let mut explained = Vec::new();
        for _ in 0..REQUESTS {
            let (host, target) = (random.one_of(&ASKED), random.one_of(&TARGETS));
            let method = random.one_of(&["GET", "POST", "DELETE", "PROPFIND"]);
            let mut fields = vec![format!("Host: {host}"), "Accept: */*".to_owned()];
            for field in [
                "X-Forwarded-For: 10.1.2.3",
                "X_Bad: 1",
                "Connection: keep-alive, X-Hop",
                "X-Hop: 1",
                "X-Real-IP: 6.6.6.6",
                "Forwarded: for=6.6.6.6",
                "Cookie: a=b",
                "Host: second.test",
                "Bad Name: x",
                "TE: trailers",
                "Connection: upgrade",
                "Upgrade: h2c, WebSocket",
                "Content-Length: 0",
                "Content-Length: +1",
                "Expect: 200-maybe",
                "No colon",
            ] {
                if random.chance(5) {
                    fields.push(field.to_owned());
                }
            }
            let answer = explained_by_binary(
                &file,
                &hotgate.address().to_string(),
                method,
                target,
                &fields,
            );
            let before = origin
                .records()
                .iter()
                .map(|record| record.bytes.len())
                .sum::<usize>();
            let mut client = Client::connect(hotgate.address());
            client.send(format!(
                "{method} {target} HTTP/1.1\r\n{}\r\n\r\n",
                fields.join("\r\n")
            ));
            let response = client.response();
            let outcome = answer["outcome"].as_str().expect("an outcome").to_owned();
            *outcomes.entry(outcome.clone()).or_default() += 1;
            match outcome.as_str() {
                "forwarded" => {
                    assert_eq!(response.status, 200, "{answer:#}");
                    let records = origin.records();
                    let all: Vec<u8> = records
                        .iter()
                        .flat_map(|record| record.bytes.clone())
                        .collect();
                    assert_eq!(
                        all.len(),
                        before + answer["sent"].as_str().expect("a head").len()
                    );
                    let sent = answer["sent"].as_str().expect("a head");
                    let received = records
                        .iter()
                        .any(|record| String::from_utf8_lossy(&record.bytes).ends_with(sent));
                    assert!(received, "nobody received\n{sent}");
                }
                "refused" => assert_eq!(
                    u64::from(response.status),
                    answer["status"].as_u64().expect("a status"),
                    "{answer:#}"
                ),
                other => panic!("{other}: {answer:#}"),
            }
            explained.push(answer);
        }
        let mut hotgate = hotgate;
        hotgate.signal(rustix::process::Signal::TERM);
        hotgate.wait_exit();
        let text = fs::read_to_string(&log).expect("the access log");
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines.len(), REQUESTS);
        for (line, answer) in lines.iter().zip(&explained) {
            let reason = answer["reason"].as_str().unwrap_or_default();
            assert_eq!(line["reason"].as_str(), Some(reason), "{line}\n{answer:#}");
            let said = |key: &str| answer[key].as_str().unwrap_or_default();
            let upstream = answer["upstreams"][0]["label"].as_str();
            assert_eq!(
                [&line["site"], &line["route"], &line["upstream"]],
                [said("site"), said("route"), upstream.unwrap_or_default()],
                "{line}\n{answer:#}"
            );
        }
    }
    assert!(
        outcomes["forwarded"] > 100 && outcomes["refused"] > 100,
        "{outcomes:?}"
    );
}

fn explained_by_binary(
    file: &std::path::Path,
    address: &str,
    method: &str,
    target: &str,
    fields: &[String],
) -> serde_json::Value {
    let mut command = Command::new(BINARY);
    command
        .args(["explain", "--json", "-q", "--listener", "127.0.0.1:0", "-c"])
        .arg(file);
    for field in fields {
        command.args(["-H", field]);
    }
    command.args([
        "--from",
        &Ipv4Addr::LOCALHOST.to_string(),
        method,
        &format!("http://{address}{target}"),
    ]);
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("hotgate starts");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    })
}
