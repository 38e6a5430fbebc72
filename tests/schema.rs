//! The JSON Schema that editors use: it is what the binary prints, it takes all that we ship, and it refuses what it can
//! see to be wrong.
//!
//! `HOTGATE_BLESS=1 cargo test --test schema` writes `config/hotgate.schema.json` anew.

use std::fs;
use std::path::{Path, PathBuf};

use hotgate::config::schema::schema;
use serde_json::Value;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// TOML as JSON; nothing for what is no TOML.
fn json(text: &str) -> Option<Value> {
    fn of(value: toml::Value) -> Value {
        match value {
            toml::Value::String(text) => Value::String(text),
            toml::Value::Integer(number) => Value::from(number),
            toml::Value::Float(number) => Value::from(number),
            toml::Value::Boolean(value) => Value::Bool(value),
            toml::Value::Datetime(date) => Value::String(date.to_string()),
            toml::Value::Array(items) => items.into_iter().map(of).collect(),
            toml::Value::Table(table) => {
                let members = table.into_iter().map(|(key, value)| (key, of(value)));
                Value::Object(members.collect())
            }
        }
    }
    Some(of(toml::Value::Table(text.parse().ok()?)))
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema()).expect("the schema is a schema")
}

fn toml_files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join(folder)).expect("the folder is in the repository");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "toml"))
        .collect()
}

#[test]
fn the_file_is_what_the_binary_prints() {
    let path = repository().join("config/hotgate.schema.json");
    let printed = format!("{:#}\n", schema());
    if std::env::var_os("HOTGATE_BLESS").is_some() {
        fs::write(&path, &printed).expect("the schema can be written");
    }
    let file = fs::read_to_string(path).unwrap_or_default();
    assert!(
        file == printed,
        "config/hotgate.schema.json is stale: HOTGATE_BLESS=1 cargo test --test schema"
    );
}

#[test]
fn takes_all_that_we_ship() {
    let validator = validator();
    let mut texts: Vec<(String, String)> = Vec::new();
    for folder in ["config", "config/examples", "config/examples/sites.d"] {
        for path in toml_files(folder) {
            let text = fs::read_to_string(&path).expect("the file can be read");
            // With every default uncommented as well.
            let uncommented: Vec<&str> = text
                .lines()
                .map(|line| {
                    line.strip_prefix('#')
                        .filter(|rest| !rest.starts_with([' ', '#', ':']))
                        .unwrap_or(line)
                })
                .collect();
            if folder == "config" {
                texts.push((
                    format!("{} uncommented", path.display()),
                    uncommented.join("\n"),
                ));
            }
            texts.push((path.display().to_string(), text));
        }
    }
    let readme =
        fs::read_to_string(repository().join("README.md")).expect("the README can be read");
    for block in readme
        .split("\n```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
    {
        texts.push((format!("README: {block}"), block.to_owned()));
    }
    assert!(texts.len() > 15, "{} texts", texts.len());
    for (name, text) in texts {
        let value = json(&text).unwrap_or_else(|| panic!("{name} is no TOML"));
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}

#[test]
fn refuses_what_it_can_see() {
    #[track_caller]
    fn check(text: &str) {
        let value = json(text).expect("the row is TOML");
        assert!(!validator().is_valid(&value), "taken: {text}");
        let source = hotgate::config::Source { name: "f", text };
        assert!(
            hotgate::config::parse(&[source]).is_err(),
            "the reader takes {text}"
        );
    }
    check("colour = 1");
    check("[server]\nworker = 2");
    check("[server]\nworkers = \"many\"");
    check("[server]\nworkers = 0");
    check("[server]\nhttp = [80]");
    check("[server]\nhttp = \":80\"");
    check("[server]\nbackend = \"uring\"");
    check("[timeouts]\nconnect = 3");
    check("[timeouts]\nconnect = \"3 s\"");
    check("[timeouts]\nconnect = \"off\"");
    check("[limits]\nbody = \"10m\"");
    check("[sites]\n\"https://h\" = 1");
    check("[sites]\n\"h/x\" = 1");
    check("[sites]\n\"h\" = 0");
    check("[sites]\n\"h\" = 99999");
    check("[sites]\n\"h\" = true");
    check("[sites]\n\"h\" = []");
    check("[sites]\n\"h\" = { proxy_pass = 1 }");
    check("[sites]\n\"h\" = { to = 1, strip = true }");
    check("[sites.h]\nto = 1\ntimeouts.header = \"1s\"");
    check("[sites.h.paths]\n\"api\" = 1");
    check("[sites.h]\nto = 1\nallow = [\"localhost\"]");
    check("[sites.h]\nto = 1\nlog = \"off\"");
    check("[defaults]\nto = 1");
    check("[log.access]\nredact = [\"token\"]");
    check("[upstreams.a]\nservers = []");
    check("[upstreams.a]\nservers = \"b\"");
    check("[upstreams.a]\nservers = [{ adress = 1 }]");
    check("[upstreams.a]\nservers = 1\npipeline = 65");
    check("[upstreams.a]\nservers = 1\npipeline = true");
    check("[upstreams.\"a.b\"]\nservers = 1");
    check("[upstreams.1]\nservers = 1");
    check("[upstreams]\na = 1");
}

#[test]
fn refuses_the_structural_faults_of_the_golden_files() {
    for name in ["unknown-keys", "wrong-types", "misplaced"] {
        let path = repository().join(format!("tests/config/{name}.toml"));
        let text = fs::read_to_string(path).expect("the golden file");
        let value = json(&text).expect("its faults are not of form");
        assert!(!validator().is_valid(&value), "{name} is taken");
    }
}
