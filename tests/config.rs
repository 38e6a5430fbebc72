//! Configuration, from the outside: what is said of bad files, word for word, and that the files we ship are fine.
//!
//! `tests/config/NAME.toml` stands beside `NAME.txt`, the messages that it earns; with none, `NAME.txt` is empty. After
//! a wanted change `HOTGATE_BLESS=1 cargo test --test config` writes the messages anew, and the diff is the review.

use std::fs;
use std::path::{Path, PathBuf};

use hotgate::config::{
    Action, CATALOGUE, Config, Destination, Diagnostic, EndpointAddress, Source, Target, parse,
};
use hotgate::policy::pipeline::Pipeline;

const EXAMPLES: &str = "config/examples";
const EXAMPLE_DROP_INS: &str = "config/examples/sites.d";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.toml` of a folder, in name order.
#[track_caller]
fn toml_files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join(folder)).expect("the folder is in the repository");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} has no files");
    files
}

/// Parses one file under its own short name.
#[track_caller]
fn load(path: &Path) -> Result<Config, Vec<Diagnostic>> {
    let text = fs::read_to_string(path).expect("the file can be read");
    let name = path
        .file_name()
        .expect("a file has a name")
        .to_string_lossy();
    parse(&[Source {
        name: &name,
        text: &text,
    }])
}

/// The messages with an empty line between them; nothing for none.
fn rendered(diagnostics: &[Diagnostic]) -> String {
    let messages: Vec<String> = diagnostics
        .iter()
        .map(|diagnostic| format!("{diagnostic}\n"))
        .collect();
    messages.join("\n")
}

#[track_caller]
fn load_shipped(path: &Path) -> Config {
    load(path).unwrap_or_else(|errors| panic!("{}", rendered(&errors)))
}

#[test]
fn messages_are_as_written_down() {
    let is_blessing = std::env::var_os("HOTGATE_BLESS").is_some();
    let mut differing = Vec::new();
    for file in toml_files("tests/config") {
        let messages = match load(&file) {
            Ok(config) => rendered(&config.warnings),
            Err(errors) => rendered(&errors),
        };
        let golden = file.with_extension("txt");
        if is_blessing {
            fs::write(&golden, &messages).expect("the golden file can be written");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if messages != expected {
            differing.push(format!(
                "{}: expected\n{expected}\nfound\n{messages}",
                file.display()
            ));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn faults_come_in_file_order_and_point_into_the_text() {
    for file in toml_files("tests/config") {
        let text = fs::read_to_string(&file).expect("the file can be read");
        let Err(errors) = load(&file) else { continue };
        assert!(
            errors.is_sorted_by_key(|error| (error.place.line, error.place.column)),
            "{}",
            file.display()
        );
        for error in errors {
            let line = text
                .split('\n')
                .nth(error.place.line as usize - 1)
                .expect("the line is there");
            assert!(
                error.place.column as usize <= line.chars().count() + 1,
                "{error}"
            );
        }
    }
}

#[test]
fn the_annotated_file_changes_nothing() {
    let path = repository().join("config/hotgate.toml");
    let config = load_shipped(&path);
    let empty = parse(&[]).expect("no source is no fault");
    assert_eq!(
        format!("{:?}", config.server),
        format!("{:?}", empty.server)
    );
    assert_eq!(
        format!("{:?}", config.defaults),
        format!("{:?}", empty.defaults)
    );
    assert_eq!(config.acme, empty.acme);
    assert_eq!(format!("{:?}", config.log), format!("{:?}", empty.log));
}

/// With every `#key = value` uncommented: each default is spelt right and is the default.
#[test]
fn the_annotated_file_names_every_default() {
    let path = repository().join("config/hotgate.toml");
    let text = fs::read_to_string(path).expect("the file can be read");
    // Prose has a space after the mark.
    let uncommented: String = text
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| !rest.starts_with([' ', '#', ':']) && !rest.is_empty())
                .unwrap_or(line)
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_ne!(uncommented, text);
    let config = parse(&[Source {
        name: "hotgate.toml",
        text: &uncommented,
    }])
    .unwrap_or_else(|errors| panic!("{}", rendered(&errors)));
    let empty = parse(&[]).expect("no source is no fault");
    assert_eq!(
        format!("{:?}", config.server),
        format!("{:?}", empty.server)
    );
    assert_eq!(
        format!("{:?}", config.defaults),
        format!("{:?}", empty.defaults)
    );
    assert_eq!(config.log.level, empty.log.level);
    assert_eq!(config.log.access.format, empty.log.access.format);
    for site in &config.sites {
        for route in &site.routes {
            let mut settings = route.settings.clone();
            settings.strip = false;
            assert_eq!(
                format!("{settings:?}"),
                format!("{:?}", empty.defaults),
                "{} {}",
                site.name,
                route.name
            );
        }
    }
    // A key that the file forgets is a key that nobody finds.
    for key in CATALOGUE {
        let last = key.name.rsplit('.').next().expect("a name has a part");
        let is_there = |key: &str| {
            uncommented.lines().any(|line| {
                line.trim_start().starts_with(&format!("{key} ="))
                    || line.contains(&format!(" {key} ="))
            })
        };
        let is_told = is_there(key.name) || is_there(last) || last == "paths";
        assert!(is_told, "config/hotgate.toml lacks {}", key.name);
    }
}

#[test]
fn the_examples_are_fine() {
    for file in toml_files(EXAMPLES)
        .iter()
        .chain(&toml_files(EXAMPLE_DROP_INS))
    {
        let config = load_shipped(file);
        assert!(!config.sites.is_empty(), "{}", file.display());
        assert!(
            config.warnings.is_empty(),
            "{}: {}",
            file.display(),
            rendered(&config.warnings)
        );
    }
}

#[test]
fn the_smallest_example() {
    let config = load_shipped(&repository().join("config/examples/smallest.toml"));
    let [site] = config.sites.as_slice() else {
        panic!("one site")
    };
    let [route] = site.routes.as_slice() else {
        panic!("one route")
    };
    let address = EndpointAddress::Port(3000);
    assert_eq!(
        route.action,
        Action::Proxy(Destination {
            targets: vec![Target::Address(address.clone())],
            addresses: vec![address],
            pipeline: Pipeline::Off,
        })
    );
    // Plain, to redirect, and TLS.
    assert_eq!(config.listeners().len(), 2);
}

/// A text that is cut anywhere, or lacks any one character, is answered without a panic, and in place.
#[test]
fn survives_every_cut() {
    for file in toml_files("tests/config")
        .iter()
        .chain(&toml_files(EXAMPLES))
        .chain(&toml_files(EXAMPLE_DROP_INS))
    {
        let text = fs::read_to_string(file).expect("the file can be read");
        for (at, c) in text.char_indices() {
            for text in [
                text[..at].to_owned(),
                format!("{}{}", &text[..at], &text[at + c.len_utf8()..]),
            ] {
                let Err(errors) = parse(&[Source {
                    name: "f.toml",
                    text: &text,
                }]) else {
                    continue;
                };
                for error in errors {
                    let line = text
                        .split('\n')
                        .nth(error.place.line as usize - 1)
                        .expect("the line is there");
                    assert!(
                        error.place.column as usize <= line.chars().count() + 1,
                        "{error}"
                    );
                }
            }
        }
    }
}
