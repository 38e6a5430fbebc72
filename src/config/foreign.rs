//! Words of other proxies, answered with hotgate's own, and with the line that says the same here.

use ipnet::IpNet;

use super::diagnostic::Fault;
use super::foreign_words::{Mend, Ours, Value as Kind, WORDS, Word};
use super::host;
use super::raw::Entry;
use super::target;
use super::tree::Value;
use super::units::{self, UnitError};

/// Where an entry with a foreign word stands: that decides how its mend is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    Top,
    Server,
    Timeouts,
    Limits,
    Log,
    /// Among the hosts of `[sites]`; whether the key is in quotes.
    Hosts(bool),
    /// In a site, a path or `[defaults]`.
    Site,
}

/// Words that nobody calls a host, so that they are answered among hosts too. Others need quotes or an `_` less.
const NO_HOSTS: [&str; 6] = [
    "listen", "location", "upstream", "return", "rewrite", "include",
];

/// Fields that hotgate sends to an app by itself, or that go on as they are.
const SENT_ANYWAY: [&str; 8] = [
    "host",
    "upgrade",
    "connection",
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
];

/// The longest of nginx's lists that is multiplied out.
const PIECES_MAX: u64 = 1 << 20;

/// The fault of an entry whose key is such a word.
pub(super) fn fault(entry: &Entry, at: Where) -> Option<Fault> {
    let word = WORDS
        .iter()
        .find(|word| word.theirs.eq_ignore_ascii_case(entry.name))?;
    if !applies(word, entry, at) {
        return None;
    }
    let words = words(entry.value);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let message = format!("`{}` is not a hotgate key", entry.name);
    let fault = Fault::new("unknown-key", entry.key.clone(), message).label(format!(
        "{}; {}",
        whose(word, entry),
        ours(word, &words)
    ));
    Some(match mend(word, &words, entry.value, at) {
        None => fault,
        // A table with a header has no line that could be written anew.
        Some(Written::Line(line)) if entry.span.start >= entry.key.end => {
            fault.replace(entry.whole(), line)
        }
        Some(Written::Line(text) | Written::Lines(text)) => fault.write(text),
    })
}

/// Many words mean something else elsewhere, or could be hosts.
fn applies(word: &Word, entry: &Entry, at: Where) -> bool {
    if let Where::Hosts(is_quoted) = at {
        let is_odd = word.theirs.contains(['_', ' ']);
        return is_odd || !is_quoted && NO_HOSTS.contains(&word.theirs);
    }
    let (text, is_table) = (entry.value.as_str(), entry.value.as_table().is_some());
    match word.theirs {
        "http" => at == Where::Top && is_table,
        "server" => at != Where::Top || entry.value.is_list(),
        "header" => at == Where::Site && text.is_none_or(|text| units::duration(text).is_err()),
        "backend" => text.is_none_or(|text| !["auto", "epoll", "io_uring"].contains(&text)),
        "alias" => text.is_some_and(|text| text.starts_with('/')),
        "user" => !is_table,
        _ => true,
    }
}

fn whose(word: &Word, entry: &Entry) -> String {
    match word.ours {
        Ours::Is(_) | Ours::Later(_) => format!("{} calls it `{}`", word.whose, entry.name),
        Ours::Needless(_) | Ours::Absent(_) => format!("{} has `{}`", word.whose, entry.name),
    }
}

fn ours(word: &Word, words: &[&str]) -> String {
    let is_sent_anyway = || {
        let name = words.first().map(|field| field.to_ascii_lowercase());
        name.is_some_and(|name| SENT_ANYWAY.contains(&name.trim_start_matches('+')))
    };
    match (&word.mend, &word.ours) {
        (Mend::Header, _) if is_sent_anyway() => {
            "here `Host`, `X-Real-IP` and `X-Forwarded-…` are sent, and websockets pass, by themselves: leave the line out".to_owned()
        }
        (_, Ours::Is(text)) => format!("here it is {text}"),
        (_, Ours::Later(text)) => {
            format!("here it is {text}, which this version does not have yet")
        }
        (_, Ours::Needless(text)) => format!("here {text}: leave the line out"),
        (_, Ours::Absent(text)) => format!("hotgate has no such key: {text}"),
    }
}

/// A mend.
enum Written {
    /// Stands in place of the entry.
    Line(String),
    /// Stands elsewhere, under a header of its own.
    Lines(String),
}

fn mend(word: &Word, words: &[&str], value: &Value, at: Where) -> Option<Written> {
    let header = |key: &str, value: &str| Some(setting(key, value, at));
    match word.mend {
        Mend::Nothing => None,
        Mend::To => {
            let targets = targets(words);
            Some(match at {
                Where::Site => Written::Line(format!("to = {targets}")),
                _ => Written::Lines(site_line(words, &targets)),
            })
        }
        Mend::SiteHeader => Some(Written::Lines(format!("[sites.{:?}]", host_of(words)))),
        Mend::SiteLine => Some(Written::Lines(site_line(words, &targets(words)))),
        Mend::Http => Some(listeners(words, at)),
        Mend::AccessLog => match file(words) {
            Some("off") if at == Where::Site => header("log", "false"),
            Some(path) => header("log.access.path", &format!("{path:?}")),
            None => header("log.access.path", "\"stdout\""),
        },
        Mend::LogLevel => header("log.level", &format!("{:?}", level(words))),
        Mend::Header => match words {
            [
                name,
                "$proxy_host" | "{upstream_hostport}" | "{http.reverse_proxy.upstream.hostport}",
                ..,
            ] if name.eq_ignore_ascii_case("host") => header("host", "\"upstream\""),
            [name, host, ..]
                if name.eq_ignore_ascii_case("host")
                    && !host.contains(['$', '{'])
                    && host::parse(host).is_ok() =>
            {
                header("host", &format!("{host:?}"))
            }
            _ => None,
        },
        Mend::Set(key, kind) => header(key, &spelled(kind, words, value)),
        Mend::Entry(key, value) => header(key, value),
    }
}

/// `key = value` as it is written here: `timeouts.connect` in a site, `connect` in `[timeouts]`, else with its header.
fn setting(path: &str, value: &str, at: Where) -> Written {
    let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
    if path == "tls" && at != Where::Site {
        return Written::Lines(format!("[sites.\"example.com\"]\nto = 3000\ntls = {value}"));
    }
    let is_for_all = ["server", "acme", "log", "log.access"].contains(&table)
        || ["timeouts.header", "limits.header_size"].contains(&path);
    let own = match at {
        Where::Top | Where::Hosts(_) | Where::Site => None,
        Where::Server => Some("server"),
        Where::Timeouts => Some("timeouts"),
        Where::Limits => Some("limits"),
        Where::Log => Some("log"),
    };
    match table {
        _ if at == Where::Site && !is_for_all => Written::Line(format!("{path} = {value}")),
        table if own == Some(table) => Written::Line(format!("{key} = {value}")),
        "" => Written::Lines(format!("[defaults]\n{path} = {value}")),
        table => Written::Lines(format!("[{table}]\n{key} = {value}")),
    }
}

/// All words in a value, in order: of lists and tables those of their parts, with the keys of tables.
fn words(value: &Value) -> Vec<String> {
    match value {
        // What came from elsewhere may be a secret, and a part of one is not masked.
        Value::String(text) if text.is_expanded => Vec::new(),
        Value::String(text) => text
            .text
            .split(|c: char| c.is_whitespace() || c == ',')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect(),
        Value::Integer(digits) => vec![digits.as_str().to_owned()],
        Value::Boolean(value) => vec![if *value { "on" } else { "off" }.to_owned()],
        Value::List(items) => items.iter().flat_map(|item| words(&item.value)).collect(),
        Value::Table(members) => members
            .iter()
            .flat_map(|member| {
                let mut all = vec![member.name.clone()];
                all.extend(words(&member.value));
                all
            })
            .collect(),
        Value::Float | Value::Datetime => Vec::new(),
    }
}

/// The targets in `http://127.0.0.1:3000/`, as hotgate writes them; 3000 where there is none to see.
fn targets(words: &[&str]) -> String {
    let mut found: Vec<String> = Vec::new();
    for target in words.iter().filter_map(|word| target_of(word)) {
        if !found.contains(&target) {
            found.push(target);
        }
    }
    match found.as_slice() {
        [] => "3000".to_owned(),
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// The target in one word: also `http://app`, which means port 80.
pub(super) fn target_of(word: &str) -> Option<String> {
    target::spelling(word).or_else(|| {
        let authority = word.strip_prefix("http://")?.split('/').next()?;
        let target = format!("{authority}:80");
        let is_target = target::parse(&target).is_ok() && !authority.contains('$');
        is_target.then(|| format!("{target:?}"))
    })
}

fn site_line(words: &[&str], targets: &str) -> String {
    format!("[sites]\n{:?} = {targets}", host_of(words))
}

/// The first host of a list of names, or in a rule of Traefik's.
fn host_of<'w>(words: &[&'w str]) -> &'w str {
    let in_rule = |word: &&'w str| {
        let after = word.split_once("Host(")?.1;
        let name = after.trim_start_matches(['`', '"', '\'']);
        name.split(['`', '"', '\'', ')'])
            .next()
            .filter(|name| host::parse(name).is_ok())
    };
    if let Some(host) = words.iter().find_map(in_rule) {
        return host;
    }
    let is_host = |word: &&&'w str| {
        host::parse(word).is_ok()
            && (word.contains(['.', '*']) || ["_", "localhost"].contains(word))
    };
    let first = words.iter().find(is_host);
    match first.copied() {
        // nginx's usual name for "any other host".
        Some("_") => "*",
        Some(word) if target::spelling(word).is_none() => word,
        Some(_) | None => "example.com",
    }
}

/// `http = [":80"]`, `https = [":443"]`, or both: 443 is for TLS, and so is every port of a line that says so.
fn listeners(words: &[&str], at: Where) -> Written {
    let port = |word: &&str| {
        let port = word.rsplit(':').next()?.parse::<u16>().ok()?;
        (port > 0).then_some(port)
    };
    let mut ports: Vec<u16> = words.iter().filter_map(port).collect();
    ports.dedup();
    let is_all_tls = words.contains(&"ssl");
    let (tls, plain): (Vec<u16>, Vec<u16>) = ports
        .into_iter()
        .partition(|port| is_all_tls || *port == 443);
    let line = |key: &str, ports: &[u16]| {
        let ports: Vec<String> = ports.iter().map(|port| format!("\":{port}\"")).collect();
        format!("{key} = [{}]", ports.join(", "))
    };
    let lines = match (plain.as_slice(), tls.as_slice()) {
        ([], []) => line("http", &[80]),
        (plain, []) => line("http", plain),
        ([], tls) => line("https", tls),
        (plain, tls) => format!("{}\n{}", line("http", plain), line("https", tls)),
    };
    match at {
        Where::Server => Written::Line(lines),
        Where::Top
        | Where::Timeouts
        | Where::Limits
        | Where::Log
        | Where::Hosts(_)
        | Where::Site => Written::Lines(format!("[server]\n{lines}")),
    }
}

/// A table with a certificate and its key, one of which is theirs.
fn pair(words: &[&str], is_key: bool) -> String {
    let usual = match is_key {
        true => "/etc/hotgate/example.com-key.pem",
        false => "/etc/hotgate/example.com.pem",
    };
    let theirs = words.first().copied().unwrap_or(usual);
    let stem = theirs.rsplit_once('.').map_or(theirs, |(stem, _)| stem);
    let (cert, key) = match is_key {
        true => (
            format!("{}.pem", stem.trim_end_matches("-key")),
            theirs.to_owned(),
        ),
        false => (theirs.to_owned(), format!("{stem}-key.pem")),
    };
    format!("{{ cert = {cert:?}, key = {key:?} }}")
}

/// The file that a log goes to: a path, or "off".
fn file<'w>(words: &[&'w str]) -> Option<&'w str> {
    let is_file = |word: &&&str| **word == "off" || word.starts_with('/') && !word.ends_with('/');
    let found = words.iter().find(is_file).copied();
    match found {
        Some("/dev/stdout" | "/dev/stderr") => Some("stdout"),
        found => found,
    }
}

fn level(words: &[&str]) -> &'static str {
    let level = |word: &&str| match word.to_ascii_lowercase().as_str() {
        "emerg" | "alert" | "crit" | "error" => Some("error"),
        "warn" => Some("warn"),
        "notice" | "info" => Some("info"),
        "debug" => Some("debug"),
        _ => word.starts_with("trace").then_some("trace"),
    };
    words.iter().find_map(level).unwrap_or("info")
}

/// The value as TOML.
fn spelled(kind: Kind, words: &[&str], value: &Value) -> String {
    match kind {
        Kind::Seconds(usual) => format!("{:?}", duration(words, "s").as_deref().unwrap_or(usual)),
        Kind::Millis(usual) => format!("{:?}", duration(words, "ms").as_deref().unwrap_or(usual)),
        Kind::Size(least, most, usual) => {
            let size = words.iter().find_map(|word| size(word));
            size_within(size, least, most, usual)
        }
        Kind::Bytes(usual) => {
            let octets = words.iter().find_map(|word| word.parse::<u64>().ok());
            size_within(octets, 0, u64::MAX, usual)
        }
        Kind::Product(least, most, usual) => {
            let product = match words {
                [count, one, ..] => {
                    let count = count
                        .parse::<u64>()
                        .ok()
                        .filter(|count| *count <= PIECES_MAX);
                    count
                        .zip(size(one))
                        .map(|(count, one)| count.saturating_mul(one))
                }
                _ => None,
            };
            size_within(product, least, most, usual)
        }
        Kind::Count(usual) => {
            let count = words.iter().find_map(|word| word.parse::<u16>().ok());
            match count.filter(|count| *count > 0) {
                Some(count) => count.to_string(),
                None => usual.to_owned(),
            }
        }
        Kind::Networks => {
            let network = |word: &&str| match word.parse::<std::net::IpAddr>() {
                Ok(address) => Some(address.to_string()),
                Err(_) => word
                    .parse::<IpNet>()
                    .ok()
                    .map(|net| net.trunc().to_string()),
            };
            let found: Vec<String> = words
                .iter()
                .filter_map(network)
                .map(|network| format!("{network:?}"))
                .collect();
            match found.is_empty() {
                true => "[\"private\"]".to_owned(),
                false => format!("[{}]", found.join(", ")),
            }
        }
        Kind::Switch(on, off) => {
            let is_off = words
                .iter()
                .any(|word| ["off", "false", "no"].contains(&word.to_ascii_lowercase().as_str()))
                || *value == Value::Boolean(false);
            if is_off { off } else { on }.to_owned()
        }
        Kind::Text(usual) => format!("{:?}", words.first().copied().unwrap_or(usual)),
        Kind::InTable(key, usual) => {
            let theirs = words.first().copied().unwrap_or(usual);
            format!("{{ {key} = {theirs:?} }}")
        }
        Kind::Pair => pair(words, false),
        Kind::PairOfKey => pair(words, true),
        Kind::ClientCa => {
            let is_file = |word: &&&str| word.contains('/');
            let ca = words.iter().find(is_file).copied();
            let ca = ca.unwrap_or("/etc/hotgate/clients.pem");
            format!("{{ client_auth = \"require\", client_ca = {ca:?} }}")
        }
        Kind::LogFormat => {
            let is_combined = words
                .iter()
                .any(|word| ["combined", "common", "main"].contains(word));
            format!("{:?}", if is_combined { "combined" } else { "json" })
        }
    }
}

/// The first duration, in our spelling; a bare number is in `unit`. Zero is none.
fn duration(words: &[&str], unit: &str) -> Option<String> {
    let year = std::time::Duration::from_secs(365 * 86_400);
    let one = |word: &&str| {
        let is_bare = !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_digit());
        let text = format!("{word}{}", if is_bare { unit } else { "" });
        let text = match units::duration(&text) {
            Ok(duration) if unit == "ms" => units::write_duration(duration),
            Ok(_) => text,
            Err(UnitError::Misspelt(mend)) => mend,
            Err(UnitError::NoUnit(_) | UnitError::Order | UnitError::Unreadable) => return None,
        };
        let is_within = |duration: &std::time::Duration| !duration.is_zero() && *duration <= year;
        units::duration(&text).ok().filter(is_within).map(|_| text)
    };
    words.iter().find_map(one)
}

/// A size as nginx writes it: a bare number is in octets.
fn size(text: &str) -> Option<u64> {
    match units::size(text) {
        Ok(size) => Some(size),
        Err(UnitError::Misspelt(mend) | UnitError::NoUnit(mend)) => units::size(&mend).ok(),
        Err(UnitError::Order | UnitError::Unreadable) => None,
    }
}

/// In quotes and within bounds. No size at all is written `usual`; 0 is "unlimited" where there is no most.
fn size_within(size: Option<u64>, least: u64, most: u64, usual: &str) -> String {
    let text = match size {
        None => usual.to_owned(),
        Some(0) if most == u64::MAX => "unlimited".to_owned(),
        Some(size) => units::write_size(size.clamp(least, most)),
    };
    format!("{text:?}")
}
