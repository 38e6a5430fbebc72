//! `[upstreams.NAME]`: servers under a name, and how requests go to them.

use std::collections::HashMap;

use super::diagnostic::{Fault, Faults, NO_SERVERS};
use super::keys::{Level, refuse};
use super::model::{EndpointAddress, Upstream};
use super::origins::Origins;
use super::raw::{Entry, entries};
use super::target;
use super::tree::Value;
use crate::policy::pipeline::{DEPTH_MAX, DEPTH_MIN, Pipeline};

/// Endpoints of one route, and so of one upstream. Balancing looks at each of them.
pub(super) const ENDPOINTS_MAX: usize = 256;

/// A name stands in every log line and metric of its upstream.
const NAME_BYTES_MAX: usize = 64;

/// What people write for `servers`; some of it means something else elsewhere.
const FOR_SERVERS: [&str; 9] = [
    "address",
    "addresses",
    "endpoints",
    "hosts",
    "server",
    "targets",
    "to",
    "url",
    "urls",
];

/// What a message says that an upstream is.
const EXPECTED: &str = "a table with `servers`";

/// What a message says that a server is.
const SERVER: &str = "a port, \"HOST:PORT\", \"https://HOST\", \"unix:/PATH\", a table with `address` or a list of these";

/// What a message says that `pipeline` takes.
const PIPELINE: &str = "\"off\", \"auto\" or a number within 2 to 64";

/// All upstreams of the files, by their names.
#[derive(Default)]
pub(super) struct Upstreams {
    /// In the order of the text; those without a fault.
    pub(super) list: Vec<Upstream>,
    /// Where each name is in the list; `None` for one with a fault.
    names: HashMap<String, Option<usize>>,
    /// More may follow: a later layer, or a part that could not be read.
    is_open: bool,
}

/// What a name stands for.
pub(super) enum Named<'u> {
    Upstream(&'u Upstream),
    /// Nothing that could be used, which is told elsewhere or will be.
    Faulty,
    Unknown,
}

impl Upstreams {
    /// Before any was read. Unless they are `whole`, a later layer or a text that cannot be read may have more.
    pub(super) fn none(is_whole: bool) -> Upstreams {
        Upstreams {
            is_open: !is_whole,
            ..Upstreams::default()
        }
    }

    /// Reads `[upstreams]`.
    pub(super) fn read(&mut self, entry: &Entry, faults: &mut Faults) {
        for entry in entry
            .table("a table of upstreams", faults)
            .unwrap_or_default()
        {
            let found = upstream(&entry, !self.is_open, faults);
            let place = found.map(|upstream| {
                self.list.push(upstream);
                self.list.len() - 1
            });
            self.names.insert(entry.name.to_owned(), place);
        }
    }

    pub(super) fn named(&self, name: &str) -> Named<'_> {
        match self.names.get(name) {
            Some(Some(place)) => Named::Upstream(&self.list[*place]),
            Some(None) => Named::Faulty,
            None if self.is_open => Named::Faulty,
            None => Named::Unknown,
        }
    }

    /// Is there one of this name, whatever is wrong with it?
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Those that may be named, in the order of the alphabet.
    pub(super) fn names(&self) -> Vec<&str> {
        let names = self.names.keys().map(String::as_str);
        let mut names: Vec<&str> = names.filter(|name| fault_of_name(name).is_none()).collect();
        names.sort_unstable();
        names
    }
}

/// Why a text cannot be the name of an upstream; `None` if it can.
pub(super) fn fault_of_name(name: &str) -> Option<String> {
    let is_of_names = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() {
        return Some("a name has at least one letter".to_owned());
    }
    if let Some(odd) = name.chars().find(|c| !is_of_names(*c)) {
        return Some(format!(
            "{odd:?} does not belong in a name: letters, digits, `-` and `_` do"
        ));
    }
    if name.len() > NAME_BYTES_MAX {
        return Some(format!("a name has at most {NAME_BYTES_MAX} letters"));
    }
    let is_number = name.bytes().all(|octet| octet.is_ascii_digit());
    is_number.then(|| "digits alone are a port".to_owned())
}

/// Unless it `is_whole`, a later layer may give the servers.
fn upstream(entry: &Entry, is_whole: bool, faults: &mut Faults) -> Option<Upstream> {
    if !matches!(entry.value, Value::Table(_)) && Level::Upstream.has(entry.name) {
        let message = format!("`{}` does not belong in `[upstreams]`", entry.name);
        let fault = Fault::new("misplaced-key", entry.key.clone(), message);
        faults
            .error(fault.label("it is a key of an upstream, which has a name: `[upstreams.NAME]`"));
        return None;
    }
    let faults_before = faults.count();
    let why = fault_of_name(entry.name);
    let is_named = why.is_none();
    if let Some(why) = why {
        let message = format!("{:?} is no name of an upstream", entry.name);
        faults.error(Fault::new("bad-name", entry.key.clone(), message).label(why));
    }
    let keys = keys(entry, faults)?;
    let (mut servers, mut pipeline) = (None, Some(Pipeline::Off));
    let mut has_servers = false;
    let mut origins = Origins::default();
    for entry in keys {
        match entry.name {
            "servers" => {
                has_servers = true;
                servers = self::servers(&entry, faults);
            }
            "pipeline" => pipeline = self::pipeline(&entry, faults),
            name if FOR_SERVERS.contains(&name) => {
                let message = format!("`{name}` is not a key of {}", Level::Upstream.name());
                let fault = Fault::new("unknown-key", entry.key.clone(), message);
                let fault = fault.label("did you mean `servers`?");
                faults.error(fault.replace(entry.key.clone(), "servers"));
                continue;
            }
            _ => {
                refuse(&entry, Level::Upstream, faults);
                continue;
            }
        }
        origins.note(entry.name, faults.place(entry.key.start));
    }
    if is_whole && !has_servers && faults.count() == faults_before {
        let message = format!("the upstream `{}` has no `servers`", entry.name);
        let fault = Fault::new(NO_SERVERS, entry.key.clone(), message);
        faults.error(fault.write("servers = [3000]"));
    }
    Some(Upstream {
        name: is_named.then(|| entry.name.to_owned())?,
        servers: servers?,
        pipeline: pipeline?,
        origins,
        place: faults.place(entry.key.start),
    })
}

/// The keys of an upstream. Servers alone are nearly one.
fn keys<'t>(entry: &Entry<'t>, faults: &mut Faults) -> Option<Vec<Entry<'t>>> {
    let is_short = matches!(
        entry.value,
        Value::Integer(_) | Value::String(_) | Value::List(_)
    );
    let source = faults.text(&entry.span).filter(|text| !text.contains('\n'));
    let is_line = entry.span.start >= entry.key.end;
    match source {
        Some(source) if is_short && is_line => {
            let meant = format!("{{ servers = {source} }}");
            let fault = entry.wrong_type(EXPECTED);
            faults.error(fault.replace(entry.span.clone(), meant));
            None
        }
        Some(_) | None => entry.table(EXPECTED, faults),
    }
}

fn servers(entry: &Entry, faults: &mut Faults) -> Option<Vec<EndpointAddress>> {
    let items = match entry.value.is_list() {
        true => entry.list(SERVER, faults)?,
        false => vec![entry.clone()],
    };
    let refusal = match items.len() {
        0 => Some("`servers` is an empty list".to_owned()),
        1..=ENDPOINTS_MAX => None,
        _ => Some(format!("`servers` has more than {ENDPOINTS_MAX} addresses")),
    };
    if let Some(message) = refusal {
        faults.error(Fault::new("bad-target", entry.span.clone(), message));
        return None;
    }
    let mut found: Vec<EndpointAddress> = Vec::new();
    let mut is_faulty = false;
    for item in &items {
        match server(item, faults) {
            Some(address) if found.contains(&address) => {
                let message = format!("the server {address} is given twice");
                faults.error(Fault::new("duplicate-target", item.span.clone(), message));
                is_faulty = true;
            }
            Some(address) => found.push(address),
            None => is_faulty = true,
        }
    }
    (!is_faulty).then_some(found)
}

fn server(entry: &Entry, faults: &mut Faults) -> Option<EndpointAddress> {
    let Some(members) = entry.value.as_table() else {
        return target::address(entry, SERVER, faults);
    };
    let faults_before = faults.count();
    let mut address = None;
    let mut has_address = false;
    for member in entries(members) {
        match member.name {
            "address" => {
                has_address = true;
                let expected = "a port, \"HOST:PORT\" or \"unix:/PATH\"";
                address = target::address(&member, expected, faults);
            }
            _ => refuse(&member, Level::Endpoint, faults),
        }
    }
    if !has_address && faults.count() == faults_before {
        let message = "the server has no `address`";
        let fault = Fault::new(NO_SERVERS, entry.span.clone(), message);
        faults.error(fault.write("{ address = \"10.0.0.2:8000\" }"));
    }
    address
}

fn pipeline(entry: &Entry, faults: &mut Faults) -> Option<Pipeline> {
    if let Value::Boolean(is_on) = entry.value {
        let meant = if *is_on { "\"auto\"" } else { "\"off\"" };
        let fault = entry.wrong_type(PIPELINE);
        faults.error(fault.replace(entry.span.clone(), meant));
        return None;
    }
    match entry.value.as_str() {
        Some("off") => return Some(Pipeline::Off),
        Some("auto") => return Some(Pipeline::Auto),
        Some("on" | "true" | "yes") => {
            let fault = entry.bad_value(PIPELINE, std::iter::empty());
            faults.error(fault.replace(entry.span.clone(), "\"auto\""));
            return None;
        }
        Some(text) if !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit()) => {}
        Some(_) => {
            faults.error(entry.bad_value(PIPELINE, ["off", "auto"].into_iter()));
            return None;
        }
        None => {}
    }
    let bounds = u64::from(DEPTH_MIN)..=u64::from(DEPTH_MAX);
    let depth = entry.integer(bounds, PIPELINE, faults)?;
    u8::try_from(depth).ok().map(Pipeline::Depth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        Config, Diagnostic, File, FileKind, Source, Surroundings, parse, parse_files,
    };

    fn read(text: &str) -> Result<Config, Vec<Diagnostic>> {
        parse(&[Source { name: "f", text }])
    }

    #[test]
    fn names() {
        #[track_caller]
        fn check(name: &str, is_name: bool) {
            assert_eq!(fault_of_name(name).is_none(), is_name, "{name:?}");
            let text = format!("[upstreams.{name:?}]\nservers = 1");
            assert_eq!(read(&text).is_ok(), is_name, "{text}");
        }
        check("a", true);
        check("API-2_b", true);
        check("3a", true);
        check("-", true);
        check(&"a".repeat(NAME_BYTES_MAX), true);
        check("", false);
        check("3000", false);
        check("a.b", false);
        check("a:80", false);
        check("a b", false);
        check("é", false);
        check(&"a".repeat(NAME_BYTES_MAX + 1), false);
    }

    #[test]
    fn servers_are_addresses() {
        /// The servers as they are shown; empty: refused.
        #[track_caller]
        fn check(servers: &str, expected: &[&str]) {
            let found = read(&format!("[upstreams.a]\nservers = {servers}"));
            let shown = found.map(|config| {
                let servers = config.upstreams[0].servers.iter();
                servers.map(ToString::to_string).collect::<Vec<_>>()
            });
            assert_eq!(shown.unwrap_or_default(), expected, "{servers}");
        }
        check("3000", &["3000"]);
        check("\"10.0.0.2:8000\"", &["10.0.0.2:8000"]);
        check("[\"unix:/run/a.sock\"]", &["unix:/run/a.sock"]);
        check(
            "[3000, { address = \"a_b:80\" }, { address = 1 }]",
            &["3000", "a_b:80", "1"],
        );
        check("{ address = 3000 }", &["3000"]);
        check("[]", &[]);
        check("0", &[]);
        check("true", &[]);
        check("[3000, 3000]", &[]);
        check("[3000, { address = 3000 }]", &[]);
        check("\"a\"", &[]);
        check("[{}]", &[]);
        check("[{ address = [1] }]", &[]);
        check("[{ address = 1, weight = 2 }]", &[]);
        check("[[1]]", &[]);
        let list = |count: usize| {
            let ports: Vec<String> = (1..=count).map(|port| port.to_string()).collect();
            format!("[{}]", ports.join(", "))
        };
        let is_taken = |count| read(&format!("[upstreams.a]\nservers = {}", list(count))).is_ok();
        assert!(is_taken(ENDPOINTS_MAX) && !is_taken(ENDPOINTS_MAX + 1));
    }

    #[test]
    fn pipelines() {
        #[track_caller]
        fn check(pipeline: &str, expected: Option<Pipeline>) {
            let found = read(&format!(
                "[upstreams.a]\nservers = 1\npipeline = {pipeline}"
            ));
            let found = found.ok().map(|config| config.upstreams[0].pipeline);
            assert_eq!(found, expected, "{pipeline}");
        }
        check("\"off\"", Some(Pipeline::Off));
        check("\"auto\"", Some(Pipeline::Auto));
        check("2", Some(Pipeline::Depth(2)));
        check("64", Some(Pipeline::Depth(64)));
        check("0", None);
        check("1", None);
        check("65", None);
        check("-2", None);
        check("256", None);
        check("\"8\"", None);
        check("\"on\"", None);
        check("\"\"", None);
        check("true", None);
        check("false", None);
        check("[2]", None);
        let config = read("[upstreams.a]\nservers = 1").expect("it is fine");
        assert_eq!(config.upstreams[0].pipeline, Pipeline::Off);
    }

    #[test]
    fn names_and_values_may_come_from_the_environment() {
        let text = "[upstreams.\"a${X}\"]\nservers = [\"${X}\", { address = \"h:${X}\" }]\npipeline = \"${X}\"\n\
            [sites]\n\"http://h\" = \"a${X}\"";
        let surroundings = Surroundings {
            lookup: &|_| Ok(Some("8".to_owned())),
            ..Surroundings::NONE
        };
        let file = File {
            source: Source { name: "f", text },
            layer: 0,
            kind: FileKind::Main,
        };
        let config = parse_files(&[file], &surroundings).expect("it is fine");
        let upstream = &config.upstreams[0];
        let servers: Vec<String> = upstream.servers.iter().map(ToString::to_string).collect();
        assert_eq!(
            (
                upstream.name.as_str(),
                servers.join("+").as_str(),
                upstream.pipeline
            ),
            ("a8", "8+h:8", Pipeline::Depth(8))
        );
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
}
