//! The README says what is so: its configurations parse, its tables of keys and of reasons are those of the code.

use hotgate::config::{CATALOGUE, Config, Source, parse};
use hotgate::http::status::Status;
use hotgate::policy::reason::Reason;

const README: &str = include_str!("../README.md");
const ANNOTATED: &str = include_str!("../config/hotgate.toml");

#[test]
fn every_configuration_in_it_parses() {
    let blocks: Vec<&str> = README
        .split("\n```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .collect();
    assert!(blocks.len() >= 3, "found {} blocks", blocks.len());
    for block in &blocks {
        let config = config(block).unwrap_or_else(|fault| panic!("{fault}in\n{block}"));
        assert!(config.warnings.is_empty(), "a warning for\n{block}");
    }
    // The one at the top, which people copy.
    assert_eq!(blocks[0].lines().count(), 2);
}

#[test]
fn the_table_of_reasons_is_the_list_of_reasons() {
    let rows = table("| reason | status | meaning | what to do |");
    let told: Vec<[&str; 3]> = rows
        .iter()
        .map(|row| [literal(row[0]), row[1], row[3]])
        .collect();
    let status_of = |reason: Reason| reason.status().map(Status::code);
    let list = Reason::ALL.map(|reason| {
        let status = status_of(reason).map_or("—".to_owned(), |code| code.to_string());
        (reason.as_str(), status, reason.advice())
    });
    for ((name, status, advice), told) in list.iter().zip(&told) {
        assert_eq!([name, status.as_str(), advice], *told);
    }
    assert_eq!(told.len(), list.len());
    assert!(
        rows.iter().all(|row| !row[2].is_empty()),
        "a reason without a meaning"
    );
}

/// `HOTGATE_BLESS=1 cargo test --test readme` writes the rows anew.
#[test]
fn the_tables_of_keys_are_the_catalogue() {
    let is_blessing = std::env::var_os("HOTGATE_BLESS").is_some();
    let mut text = README.to_owned();
    for key in CATALOGUE {
        let start = format!("| `{}` | ", key.name);
        let line = README
            .lines()
            .find(|line| line.starts_with(&start) && line.matches(" | ").count() == 5);
        let line = line.unwrap_or_else(|| panic!("the README does not have {}", key.name));
        if is_blessing {
            text = text.replace(line, &key.row());
        } else {
            assert_eq!(line, key.row());
        }
    }
    if is_blessing {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"), text)
            .expect("the README can be written");
    }
    assert_eq!(keys().len(), CATALOGUE.len());
}

#[test]
fn the_tables_of_keys_have_every_key() {
    let keys: Vec<Key> = keys();
    let is_told = |name: &str| keys.iter().any(|key| key.name == name);
    let mut table = String::new();
    let mut count = 0;
    for line in ANNOTATED.lines() {
        let line = line.trim_start_matches('#');
        if let Some(header) = line.strip_prefix('[') {
            let header = header.split(']').next().expect("a header has an end");
            table = match header.split('.').next() {
                Some("sites" | "defaults") => String::new(),
                Some("upstreams") => "upstreams.NAME.".to_owned(),
                Some(_) | None => format!("{header}."),
            };
        } else if let Some((name, _)) = line.split_once(" = ")
            && name
                .bytes()
                .all(|octet| octet.is_ascii_lowercase() || b"_.".contains(&octet))
        {
            let name = format!("{table}{name}");
            assert!(is_told(&name), "the README does not know {name}");
            count += 1;
        }
    }
    assert!(count > 30, "found {count} keys in config/hotgate.toml");
}

#[test]
fn every_default_is_what_is_in_force_without_the_key() {
    let (global, site, path) = (at_top("", ""), in_site("", ""), in_path("", ""));
    let upstream = in_upstream("", "");
    let mut count = 0;
    for key in keys() {
        let Some(default) = key.default else { continue };
        count += 1;
        if key.is_global() {
            assert_eq!(at_top(key.name, default), global, "{}", key.name);
        }
        if key.is_of("upstream") {
            assert_eq!(in_upstream(key.name, default), upstream, "{}", key.name);
        }
        if key.is_of("defaults") {
            let of_defaults = in_defaults(key.name, default);
            assert_eq!(of_defaults, global, "{} in [defaults]", key.name);
        }
        if key.is_of("site") {
            assert_eq!(in_site(key.name, default), site, "{} in a site", key.name);
        }
        if key.is_of("path") {
            assert_eq!(in_path(key.name, default), path, "{} in a path", key.name);
        }
    }
    assert!(count > 25, "found {count} defaults");
}

#[test]
fn a_key_is_refused_where_the_table_does_not_have_it() {
    for key in keys() {
        let value = key.default.unwrap_or("3000");
        let is_fine = |found: Result<String, String>| found.is_ok();
        if key.default.is_some() {
            let name = key.name;
            let of_upstream = is_fine(in_upstream(name, value));
            assert_eq!(of_upstream, key.is_of("upstream"), "{name}");
            assert_eq!(is_fine(at_top(name, value)), key.is_global(), "{name}");
            let of_defaults = is_fine(in_defaults(name, value));
            assert_eq!(of_defaults, key.is_of("defaults"), "{name}");
            assert_eq!(is_fine(in_site(name, value)), key.is_of("site"), "{name}");
            assert_eq!(is_fine(in_path(name, value)), key.is_of("path"), "{name}");
        }
    }
}

#[test]
fn bounds_are_the_last_values_that_are_taken() {
    let mut count = 0;
    for key in keys() {
        let read = match key.is_of("upstream") {
            true => in_upstream,
            false if key.is_global() => at_top,
            false => continue,
        };
        let Some((least, most)) = key.bounds else {
            continue;
        };
        count += 1;
        for bound in [least, most] {
            let found = read(key.name, &quoted(bound));
            assert!(found.is_ok(), "{} = {bound}: {found:?}", key.name);
        }
        let beyond = [next(least, -1), next(most, 1)];
        for bound in beyond.into_iter().flatten() {
            let found = read(key.name, &quoted(&bound));
            assert!(found.is_err(), "{} = {bound} is taken", key.name);
        }
    }
    assert!(count > 15, "found {count} bounds");
}

#[test]
fn what_stands_for_another_proxys_line_is_what_this_version_takes() {
    for theirs in ["nginx", "Caddy"] {
        let rows = table(&format!("| {theirs} | hotgate | |"));
        assert!(rows.len() >= 30, "{} rows for {theirs}", rows.len());
        for row in rows {
            let (ours, note) = (row[1], row[2]);
            // Where it stands, before what else there is to say.
            let place = note.split(':').next().unwrap_or(note);
            match place {
                "by itself" => {}
                "command" => is_a_command(literal(ours)),
                // Refused by name: what is not refused any more is not later.
                "later" if ours.contains(" = ") => match config(&placed("site", literal(ours))) {
                    Ok(_) => panic!("{theirs}: {ours} is not later any more"),
                    Err(fault) => assert!(fault.contains("not-supported"), "{ours}: {fault}"),
                },
                "later" => {}
                place => {
                    if let Err(fault) = config(&placed(place, literal(ours))) {
                        panic!("{theirs}: {fault}in {ours}");
                    }
                }
            }
        }
    }
}

/// A file that has this line in the place that a table of the README names.
fn placed(place: &str, line: &str) -> String {
    let site = "[sites.\"a.test\"]";
    match place {
        "site" if line.starts_with("to = ") => format!("{site}\n{line}\n"),
        "site" => format!("{site}\nto = 1\n{line}\n"),
        "paths" => format!(
            "{site}\nto = 1\n{site_paths}\n{line}\n",
            site_paths = "[sites.\"a.test\".paths]"
        ),
        table => {
            let table = table
                .strip_prefix('`')
                .and_then(|rest| rest.strip_suffix('`'));
            let table = table.unwrap_or_else(|| panic!("{place:?} is no place"));
            format!("{table}\n{line}\n")
        }
    }
}

/// Asks the program itself for the help of the verb, which has to know every option.
#[track_caller]
fn is_a_command(line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[0], "hotgate", "{line}");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_hotgate"))
        .args([words[1], "--help"])
        .output()
        .expect("hotgate starts");
    assert!(output.status.success(), "{line}: there is no such verb");
    let help = String::from_utf8_lossy(&output.stdout);
    for option in words.iter().filter(|word| word.starts_with("--")) {
        assert!(help.contains(option), "{line}: {help}");
    }
}

/// A row of the tables of keys.
struct Key {
    name: &'static str,
    /// TOML.
    default: Option<&'static str>,
    /// The least and the most, if the table gives both.
    bounds: Option<(&'static str, &'static str)>,
    levels: &'static str,
}

impl Key {
    fn is_global(&self) -> bool {
        self.is_of("all")
    }

    fn is_of(&self, level: &str) -> bool {
        self.levels.split(", ").any(|of| of == level)
    }
}

fn keys() -> Vec<Key> {
    let rows = table("| key | type | default | bounds | where | meaning |");
    let key = |row: &Vec<&'static str>| Key {
        name: literal(row[0]),
        default: row[2].starts_with('`').then(|| literal(row[2])),
        bounds: row[3]
            .split_once(" to ")
            .filter(|(least, _)| least.starts_with('`'))
            .map(|(least, most)| (literal(least), literal(most))),
        levels: row[4],
    };
    rows.iter().map(key).collect()
}

/// The rows of every table with this head, without it.
fn table(head: &str) -> Vec<Vec<&'static str>> {
    let mut rows = Vec::new();
    for rest in README.split(&format!("\n{head}\n")).skip(1) {
        let lines = rest
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with('|'));
        rows.extend(lines.map(|line| {
            let cells = line.trim_matches('|').split(" | ");
            cells.map(str::trim).collect::<Vec<_>>()
        }));
    }
    let columns = head.matches(" | ").count() + 1;
    assert!(!rows.is_empty(), "no table {head}");
    for row in &rows {
        assert_eq!(row.len(), columns, "{row:?}");
    }
    rows
}

/// The text of a cell that is code.
fn literal(cell: &'static str) -> &'static str {
    let inside = cell
        .strip_prefix('`')
        .and_then(|rest| rest.strip_suffix('`'));
    inside.unwrap_or_else(|| panic!("{cell:?} is no code"))
}

/// A number as it is, a size or a duration in quotes.
fn quoted(value: &str) -> String {
    match value.bytes().all(|octet| octet.is_ascii_digit()) {
        true => value.to_owned(),
        false => format!("{value:?}"),
    }
}

/// The value one step further: of a number, of a size in octets, of a duration in milliseconds. None below zero.
fn next(value: &str, step: i64) -> Option<String> {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at(digits);
    let (scale, unit) = match unit {
        "" => (1, ""),
        "B" => (1, "B"),
        "KiB" => (1 << 10, "B"),
        "MiB" => (1 << 20, "B"),
        "ms" => (1, "ms"),
        "d" => (86_400_000, "ms"),
        other => panic!("{other} is no unit of a bound"),
    };
    let number: i64 = number.parse().expect("a bound begins with a number");
    let beyond = number * scale + step;
    (beyond >= 0).then(|| format!("{beyond}{unit}"))
}

/// What a text with this key at its top comes to; without a name, what one without comes to.
fn at_top(name: &str, value: &str) -> Result<String, String> {
    let config = config(&line(name, value))?;
    Ok(format!(
        "{:?} {:?} {:?} {:?}",
        config.server, config.acme, config.log, config.defaults
    ))
}

/// An upstream whose name is NAME, as in the table.
fn in_upstream(name: &str, value: &str) -> Result<String, String> {
    let name = name.rsplit('.').next().unwrap_or(name);
    let servers = if name == "servers" {
        ""
    } else {
        "servers = 1\n"
    };
    let text = format!("[upstreams.NAME]\n{servers}{}", line(name, value));
    let found = config(&text)?.upstreams;
    let facts = found.iter().map(|one| (&one.servers, one.pipeline));
    Ok(format!("{:?}", facts.collect::<Vec<_>>()))
}

fn in_defaults(name: &str, value: &str) -> Result<String, String> {
    let config = config(&format!("[defaults]\n{}", line(name, value)))?;
    Ok(format!(
        "{:?} {:?} {:?} {:?}",
        config.server, config.acme, config.log, config.defaults
    ))
}

fn in_site(name: &str, value: &str) -> Result<String, String> {
    let text = format!("[sites.\"http://h\"]\nto = 1\n{}", line(name, value));
    Ok(routes(&config(&text)?))
}

fn in_path(name: &str, value: &str) -> Result<String, String> {
    let entry = line(name, value);
    let separator = if entry.is_empty() { "" } else { ", " };
    let paths = "[sites.\"http://h\".paths]";
    let text = format!("{paths}\n\"/p\" = {{ to = 1{separator}{entry} }}");
    Ok(routes(&config(&text)?))
}

fn line(name: &str, value: &str) -> String {
    match name {
        "" => String::new(),
        name => format!("{name} = {value}"),
    }
}

/// Actions and settings, without the places where they stand.
fn routes(config: &Config) -> String {
    let routes = config.sites.iter().flat_map(|site| &site.routes);
    routes
        .map(|route| format!("{:?} {:?}\n", route.action, route.settings))
        .collect()
}

fn config(text: &str) -> Result<Config, String> {
    let source = Source {
        name: "README.md",
        text,
    };
    parse(&[source]).map_err(|faults| faults.iter().map(|fault| format!("{fault}\n")).collect())
}
