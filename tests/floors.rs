//! The house, held: reads the sources and finds what breaks the invariants that `src/lib.rs` states.
//!
//! 1. No import goes up, or sideways between folders; inside a folder the files form no cycle.
//! 2. The pure floors name no socket, file, thread, clock, random source or runtime; the runtime stays in `net/`.
//! 3. `unsafe` stands in the files listed here and nowhere else.
//! 4. Every file opens with `//!`, is named after its subject, and is no longer than one idea.
//!
//! The sources are read as tokens: comments, strings and doc links are no imports. A path counts wherever it stands,
//! in a `use` or in the middle of an expression, and a re-export counts as the file that it leads to. Test parts
//! (`#[cfg(test)] mod`, here or in a file of its own) may name what the pure floors may not, and may look at their
//! whole folder; they may not import from above either.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::Path;

#[path = "floors/reading.rs"]
mod reading;

use reading::{Named, Scan, Word};

/// The folders of `src/` and their floors. `lib.rs` and `main.rs` stand outside.
const FLOORS: [(&str, u32); 13] = [
    ("http", 0),
    ("h1", 1),
    ("policy", 2),
    ("telemetry", 2),
    ("config", 3),
    ("net", 4),
    ("tls", 5),
    ("upstream", 6),
    ("serve", 7),
    ("control", 8),
    ("discover", 8),
    ("cli", 9),
    // No folder, but what the walk calls the two files outside.
    ("", u32::MAX),
];

/// The highest floor that is pure.
const PURE_UP_TO: u32 = 3;

/// What the pure floors never name, as paths.
const IMPURE_PATHS: [&[&str]; 4] = [
    &["std", "fs"],
    &["std", "thread"],
    &["Instant", "now"],
    &["SystemTime", "now"],
];

/// What the pure floors never name, as words.
const IMPURE_WORDS: [&str; 12] = [
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "getrandom",
    "io_uring",
    "monoio",
    "rustix",
    "socket2",
    "tokio",
];

/// The runtime, and where it may be named.
const RUNTIME_WORDS: [&str; 2] = ["monoio", "io_uring"];
const RUNTIME_FOLDER: &str = "net";

/// Where `unsafe` may stand.
const UNSAFE_FILES: [&str; 8] = [
    "control/sandbox.rs",
    "control/upgrade.rs",
    "h1/scan.rs",
    "net/buffer.rs",
    "net/fd.rs",
    "net/ladder.rs",
    "net/listener.rs",
    "net/parking.rs",
];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 5] = ["util", "common", "helpers", "types", "misc"];

/// A longer file holds two ideas.
const LINES_MAX: usize = 700;

#[test]
fn the_sources_keep_the_rules_of_the_house() {
    let house = House::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let offences = house.offences();
    let list: Vec<String> = offences.iter().map(Offence::to_string).collect();
    assert!(
        offences.is_empty(),
        "{} offence(s) against the rules of the house:\n{}",
        offences.len(),
        list.join("\n")
    );
}

/// A checker that looks at nothing finds nothing.
#[test]
fn the_sources_are_all_looked_at() {
    let house = House::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    for (name, floor) in FLOORS {
        let is_there = house.files.keys().any(|file| folder_of(file) == name);
        let is_built = name != "discover";
        assert!(
            is_there || !is_built,
            "no file in folder {name:?}, floor {floor}"
        );
    }
    let imports = house.imports();
    let has = |from: &str, to: &str| imports.iter().any(|i| i.from == from && i.to == to);
    assert!(
        has("serve/dispatch.rs", "http/target.rs"),
        "an import by `use`"
    );
    assert!(
        has("serve/snapshot.rs", "policy/route/table.rs"),
        "an import through a re-export"
    );
    assert!(
        !has("h1/splits.rs", "h1/mod.rs"),
        "no import of what is not there"
    );
}

// The checker's own tests: each plants something and asks what is found.

#[test]
fn finds_an_import_from_a_higher_floor() {
    finds(
        &[
            ("h1/a.rs", "//!\nuse crate::config::b::C;"),
            ("config/b.rs", "//!"),
        ],
        &["src/h1/a.rs:2: imports config/b.rs, from floor 1 up to floor 3"],
    );
    // In a group, in the middle of an expression, by `super`, from a test.
    let up = "src/h1/a.rs:2: imports config/b.rs, from floor 1 up to floor 3";
    let b = ("config/b.rs", "//!");
    for text in [
        "//!\nuse crate::{h1::a::A, config::{b::{self, C}}};",
        "//!\nfn f() -> Vec<crate::config::b::C> {}",
        "//!\npub use super::super::config::b::C as D;",
        "//!\n#[cfg(test)] mod tests { use crate::config::b::C; }",
        "//!\nmod m { fn f() { super::super::super::config::b::f::<u8>() } }",
    ] {
        finds(&[("h1/a.rs", text), b], &[up]);
    }
}

#[test]
fn finds_an_import_from_a_folder_of_the_same_floor() {
    finds(
        &[
            ("policy/a.rs", "//!\n\nuse crate::telemetry::b::C;"),
            ("telemetry/b.rs", "//!"),
        ],
        &["src/policy/a.rs:3: imports telemetry/b.rs, sideways on floor 2"],
    );
}

#[test]
fn finds_an_import_through_a_re_export_where_it_leads() {
    finds(
        &[
            ("http/mod.rs", "//!\npub use crate::h1::b::C;"),
            ("http/a.rs", "//!\nuse crate::telemetry::D;"),
            ("telemetry/mod.rs", "//!\npub mod d;\npub use d::D;"),
            ("telemetry/d.rs", "//!"),
            ("h1/b.rs", "//!"),
        ],
        &[
            "src/http/a.rs:2: imports telemetry/d.rs, from floor 0 up to floor 2",
            "src/http/mod.rs:2: imports h1/b.rs, from floor 0 up to floor 1",
        ],
    );
}

#[test]
fn finds_an_import_from_outside_the_floors() {
    finds(
        &[
            ("lib.rs", "//!\npub const A: u8 = 0;"),
            ("cli/a.rs", "//!\nuse crate::A;"),
        ],
        &["src/cli/a.rs:2: imports lib.rs, which stands outside the floors"],
    );
}

#[test]
fn finds_a_cycle_inside_a_folder() {
    finds(
        &[
            ("net/a.rs", "//!\nuse super::b::B;"),
            ("net/b.rs", "//!\n\nfn f() { crate::net::c::g() }"),
            ("net/c.rs", "//!\nuse crate::net::a;"),
            ("net/d.rs", "//!\nuse super::{a, b, c};"),
        ],
        &[
            "src/net/a.rs:2: imports in a cycle: net/a.rs, net/b.rs (line 3), net/c.rs (line 2), net/a.rs",
        ],
    );
    // A folder within a folder belongs to it.
    finds(
        &[
            ("policy/a.rs", "//!\nuse super::route::Table;"),
            ("policy/route/mod.rs", "//!\nmod t;\npub use t::Table;"),
            ("policy/route/t.rs", "//!\nuse super::super::a::A;"),
        ],
        &[
            "src/policy/a.rs:2: imports in a cycle: policy/a.rs, policy/route/t.rs (line 2), policy/a.rs",
        ],
    );
    // A `mod.rs` that defines something is a file as any other.
    finds(
        &[
            ("net/mod.rs", "//!\nmod a;\nfn f() { a::g() }"),
            ("net/a.rs", "//!\nuse super::f;"),
        ],
        &["src/net/a.rs:2: imports in a cycle: net/a.rs, net/mod.rs (line 3), net/a.rs"],
    );
}

#[test]
fn finds_an_import_through_the_folders_own_list() {
    finds(
        &[
            ("net/mod.rs", "//!\npub mod a;\nmod b;\npub use a::A;"),
            ("net/a.rs", "//!"),
            ("net/b.rs", "//!\nuse super::A;\nuse crate::net::*;"),
        ],
        &[
            "src/net/b.rs:2: imports through net/mod.rs, its own folder's list; name the file",
            "src/net/b.rs:3: imports through net/mod.rs, its own folder's list; name the file",
        ],
    );
}

#[test]
fn finds_what_the_pure_floors_may_not_name() {
    #[track_caller]
    fn check(text: &str, word: &str) {
        let found = format!("src/config/a.rs:2: floor 3 is pure and names {word}");
        let text = format!("//!\n{text}");
        finds(&[("config/a.rs", &text)], &[&found]);
    }
    check("use std::fs::File;", "std::fs");
    check("use std::{fmt, fs};", "std::fs");
    check("fn f() { ::std::fs::read(p) }", "std::fs");
    check("use std::thread;", "std::thread");
    check("let t = Instant::now();", "Instant::now");
    check("let t = std::time::Instant::now();", "Instant::now");
    check("f(SystemTime::now)", "SystemTime::now");
    check("use std::net::{IpAddr, TcpStream};", "TcpStream");
    check("fn f(l: TcpListener)", "TcpListener");
    check("fn f(l: &net::UdpSocket)", "UdpSocket");
    check("use std::os::unix::net::UnixStream;", "UnixStream");
    check("use std::os::unix::net::UnixListener;", "UnixListener");
    check("use tokio::sync::mpsc;", "tokio");
    check("rustix::rand::getrandom_like()", "rustix");
    check("getrandom::fill(&mut b)", "getrandom");
    check("use socket2::Socket;", "socket2");
}

#[test]
fn finds_the_runtime_outside_of_its_folder() {
    finds(
        &[
            ("serve/a.rs", "//!\nuse monoio::io::AsyncReadRent;"),
            ("tls/connect.rs", "//!\nuse monoio::A;"),
            ("net/b.rs", "//!\nuse monoio::A; use io_uring::B;"),
            ("main.rs", "//!\n\nio_uring::opcode::Nop::new()"),
            (
                "http/c.rs",
                "//!\n#[cfg(test)] mod tests {\n monoio::spawn() }",
            ),
        ],
        &[
            "src/http/c.rs:3: names monoio, which belongs in net/",
            "src/main.rs:3: names io_uring, which belongs in net/",
            "src/serve/a.rs:2: names monoio, which belongs in net/",
            "src/tls/connect.rs:2: names monoio, which belongs in net/",
        ],
    );
}

#[test]
fn finds_unsafe_outside_of_the_listed_files() {
    finds(
        &[
            ("h1/scan.rs", "//!\n#![allow(unsafe_code)]\nunsafe { f() }"),
            ("h1/chunked.rs", "//!\nlet a = unsafe { f() };"),
            ("net/stream.rs", "//!\n#![allow(unsafe_code)]"),
            ("net/fd.rs", "//!\nunsafe impl Send for Fd {}"),
            (
                "net/scan.rs",
                "//!\n#[cfg(test)] mod tests { unsafe fn f() {} }",
            ),
        ],
        &[
            "src/h1/chunked.rs:2: has `unsafe`, which this file may not",
            "src/net/scan.rs:2: has `unsafe`, which this file may not",
            "src/net/stream.rs:2: has `unsafe`, which this file may not",
        ],
    );
}

#[test]
fn finds_files_that_do_not_say_what_they_are_for() {
    let long = format!("//!\n{}", "\n".repeat(LINES_MAX));
    let full = format!("//!\n{}", "\n".repeat(LINES_MAX - 1));
    finds(
        &[
            ("h1/a.rs", "// Notes.\n//! Too late."),
            ("h1/b.rs", ""),
            ("h1/helpers.rs", "//!"),
            ("net/util/mod.rs", "//!"),
            ("http/long.rs", &long),
            ("http/full.rs", &full),
            ("garage/a.rs", "//!"),
            ("loose.rs", "//!"),
        ],
        &[
            "src/garage/a.rs:1: stands on no floor; FLOORS has no folder garage",
            "src/h1/a.rs:1: does not open with `//!`",
            "src/h1/b.rs:1: does not open with `//!`",
            "src/h1/helpers.rs:1: has a name that says nothing, helpers",
            "src/http/long.rs:701: is longer than 700 lines, by 1",
            "src/loose.rs:1: stands on no floor; only lib.rs and main.rs stand outside",
            "src/net/util/mod.rs:1: has a name that says nothing, util",
        ],
    );
}

#[test]
fn takes_no_offence_at_what_is_allowed() {
    finds(
        &[
            ("lib.rs", "//! See [`crate::cli`].\npub mod http;"),
            ("main.rs", "//!\nfn main() { hotgate::cli::main() }"),
            ("http/mod.rs", "//!\npub mod a;\npub mod b;\npub use a::A;"),
            (
                "http/a.rs",
                "//! Not [`crate::net`].\nuse std::net::{IpAddr, SocketAddr};\nuse std::time::Instant;",
            ),
            (
                "http/b.rs",
                r##"//!
/* use crate::cli; /* nested */ unsafe */
use super::a::A; // use crate::cli;
const TEXT: &str = "use crate::cli; unsafe \" monoio";
const RAW: &[u8] = br#"unsafe " std::fs"#;
const QUOTE: (char, char, char) = ('"', '\'', '{');
fn f<'a>(a: &'a A, r#use: u8) -> impl Fn() + use<'a> {}
pub(in crate::http) fn g() {}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::A;
    use std::fs;
    fn f() { std::thread::sleep(Instant::now()) }
}
"##,
            ),
            ("h1/mod.rs", "//!\nmod a;\n#[cfg(test)]\nmod splits;"),
            ("h1/a.rs", "//!\nuse crate::http::{A, b};"),
            ("h1/splits.rs", "//!\nuse std::fs; use super::a::A;"),
            ("cli/mod.rs", "//!\nmod run;\nfn f() { run::run() }"),
            ("cli/run.rs", "//!\nuse crate::h1::a; use crate::serve::S;"),
            ("serve/mod.rs", "//!\npub struct S;\nmod s;"),
            ("serve/s.rs", "//!\nuse super::S;\nuse tokio::T;"),
        ],
        &[],
    );
}

/// Compares what is found in these files, by their paths in `src/`, with what should be.
#[track_caller]
fn finds(files: &[(&str, &str)], expected: &[&str]) {
    let files = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let found: Vec<String> = House::new(files)
        .offences()
        .iter()
        .map(Offence::to_string)
        .collect();
    assert_eq!(found, expected);
}

/// One breach of a rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Offence {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {}", self.file, self.line, self.what)
    }
}

/// All sources, by their path in `src/`.
struct House {
    files: BTreeMap<String, File>,
    /// The file that each module is.
    modules: BTreeMap<Vec<String>, String>,
    /// What a module re-exports: its name there, and the path that it leads to.
    re_exports: BTreeMap<(Vec<String>, String), Vec<String>>,
}

struct File {
    text: String,
    module: Vec<String>,
    paths: Vec<Named>,
    words: Vec<Word>,
    /// Declared behind `#[cfg(test)]`.
    is_test: bool,
    /// Declares modules and re-exports, and nothing else.
    is_list: bool,
}

/// One file's use of another.
struct Import {
    from: String,
    to: String,
    line: usize,
    in_test: bool,
    /// Its own folder's `mod.rs`, if the path went through that.
    through: Option<String>,
}

impl House {
    fn read(root: &Path) -> House {
        let mut files = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder of the sources") {
                let path = entry.expect("an entry of the folder").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(root).expect("below the root");
                    let text = std::fs::read_to_string(&path).expect("a source is text");
                    files.push((name.display().to_string(), text));
                }
            }
        }
        House::new(files)
    }

    fn new(sources: impl IntoIterator<Item = (String, String)>) -> House {
        let mut house = House {
            files: BTreeMap::new(),
            modules: BTreeMap::new(),
            re_exports: BTreeMap::new(),
        };
        let mut test_modules = Vec::new();
        for (path, text) in sources {
            let module = module_of(&path);
            let scan = Scan::of(&text);
            test_modules.extend(scan.test_modules.iter().map(|name| child(&module, name)));
            if path != "main.rs" {
                house.modules.insert(module.clone(), path.clone());
            }
            let file = File {
                is_list: path.ends_with("mod.rs") && !scan.has_definitions,
                is_test: false,
                text,
                module,
                paths: scan.paths,
                words: scan.words,
            };
            house.files.insert(path, file);
        }
        for module in test_modules {
            let path = house.modules.get(&module);
            if let Some(file) = path.and_then(|path| house.files.get_mut(path)) {
                file.is_test = true;
            }
        }
        for file in house.files.values() {
            for named in &file.paths {
                let target = house.absolute(file, named);
                if let (Some(name), Some(target)) = (&named.offered_as, target) {
                    let key = (file.module.clone(), name.clone());
                    house.re_exports.insert(key, target);
                }
            }
        }
        house
    }

    /// Every offence, by file and line.
    fn offences(&self) -> Vec<Offence> {
        let mut offences = BTreeSet::new();
        let mut add = |file: &str, line, what| {
            offences.insert(Offence {
                file: file.to_owned(),
                line,
                what,
            });
        };
        for (path, file) in &self.files {
            check_shape(path, file, &mut add);
            check_words(path, file, &mut add);
        }
        let imports = self.imports();
        for import in &imports {
            self.check_import(import, &mut add);
        }
        check_cycles(&imports, &mut add);
        offences.into_iter().collect()
    }

    fn check_import(&self, import: &Import, add: &mut impl FnMut(&str, usize, String)) {
        let Import { from, to, line, .. } = import;
        let is_test = import.in_test || self.files[from].is_test;
        if folder_of(from) == folder_of(to) {
            let list = import
                .through
                .as_ref()
                .filter(|list| self.files[*list].is_list && !is_test);
            if let Some(list) = list {
                let what = format!("imports through {list}, its own folder's list; name the file");
                add(from, *line, what);
            }
            return;
        }
        if folder_of(to).is_empty() {
            let what = format!("imports {to}, which stands outside the floors");
            return add(from, *line, what);
        }
        let (Some(own), Some(other)) = (floor_of(from), floor_of(to)) else {
            return; // a folder without a floor is an offence of its own
        };
        if other > own {
            let what = format!("imports {to}, from floor {own} up to floor {other}");
            add(from, *line, what);
        } else if other == own {
            add(
                from,
                *line,
                format!("imports {to}, sideways on floor {own}"),
            );
        }
    }

    /// Who imports whom, `main.rs` and `lib.rs` left out.
    fn imports(&self) -> Vec<Import> {
        let mut imports = Vec::new();
        for (path, file) in &self.files {
            if folder_of(path).is_empty() {
                continue;
            }
            for named in &file.paths {
                let Some(target) = self.absolute(file, named) else {
                    continue;
                };
                let (to, passed) = self.follow(&target);
                // A list that offers what its own files have does not import it.
                let is_offer = named.offered_as.is_some() && folder_of(&to) == folder_of(path);
                if to == *path || is_offer {
                    continue;
                }
                let is_above = |list: &String| file.module.starts_with(&self.files[list].module);
                imports.push(Import {
                    from: path.clone(),
                    through: passed
                        .into_iter()
                        .find(|list| list != path && is_above(list)),
                    to,
                    line: named.line,
                    in_test: named.in_test || file.is_test,
                });
            }
        }
        imports
    }

    /// The path from the crate's root; `None` for one that leads out of the crate, or to what is in scope.
    fn absolute(&self, file: &File, named: &Named) -> Option<Vec<String>> {
        let here: Vec<String> = [&file.module[..], &named.within[..]].concat();
        let mut segments = &named.segments[..];
        let mut base = match segments.first()?.as_str() {
            "crate" => Vec::new(),
            "self" => here,
            "super" => {
                let mut base = here;
                while segments.get(1).is_some_and(|next| next == "super") {
                    base.pop();
                    segments = &segments[1..];
                }
                base.pop();
                base
            }
            name => {
                let is_child = self.modules.contains_key(&child(&here, name));
                is_child.then_some(())?;
                return Some([&here[..], segments].concat());
            }
        };
        base.extend_from_slice(&segments[1..]);
        Some(base)
    }

    /// The file that a path from the root leads to, and the files whose re-exports or items it was found by.
    fn follow(&self, path: &[String]) -> (String, Vec<String>) {
        /// More re-exports of re-exports than anybody writes.
        const HOPS_MAX: usize = 8;
        let (mut path, mut passed) = (path.to_vec(), Vec::new());
        for _ in 0..HOPS_MAX {
            let known = |length: &usize| self.modules.contains_key(&path[..*length]);
            let depth = (0..=path.len()).rev().find(known).unwrap_or(0);
            let (module, rest) = path.split_at(depth);
            let file = self.modules.get(module).cloned();
            passed.extend(file.clone());
            let again = rest.first().and_then(|name| {
                let key = (module.to_vec(), name.clone());
                self.re_exports.get(&key)
            });
            match again {
                Some(target) => path = [target, &rest[1..]].concat(),
                None => return (file.unwrap_or_else(|| "lib.rs".to_owned()), passed),
            }
        }
        panic!("re-exports in a circle at {}", path.join("::"));
    }
}

fn check_shape(path: &str, file: &File, add: &mut impl FnMut(&str, usize, String)) {
    if !file.text.starts_with("//!") {
        add(path, 1, "does not open with `//!`".to_owned());
    }
    let mut names = path.trim_end_matches(".rs").split('/');
    if let Some(name) = names.find(|name| EMPTY_NAMES.contains(name)) {
        add(path, 1, format!("has a name that says nothing, {name}"));
    }
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        let what = format!("is longer than {LINES_MAX} lines, by {}", lines - LINES_MAX);
        add(path, LINES_MAX + 1, what);
    }
    if floor_of(path).is_none() {
        let folder = folder_of(path);
        add(
            path,
            1,
            format!("stands on no floor; FLOORS has no folder {folder}"),
        );
    } else if folder_of(path).is_empty() && !["lib.rs", "main.rs"].contains(&path) {
        add(
            path,
            1,
            "stands on no floor; only lib.rs and main.rs stand outside".to_owned(),
        );
    }
}

fn check_words(path: &str, file: &File, add: &mut impl FnMut(&str, usize, String)) {
    let pure_floor = floor_of(path).filter(|floor| *floor <= PURE_UP_TO);
    let mut impure = |line, what: &str| {
        if let Some(floor) = pure_floor {
            add(
                path,
                line,
                format!("floor {floor} is pure and names {what}"),
            );
        }
    };
    for named in file.paths.iter().filter(|n| !n.in_test && !file.is_test) {
        let names = |banned: &&&[&str]| {
            let mut windows = named.segments.windows(banned.len());
            windows.any(|window| window == **banned)
        };
        if let Some(banned) = IMPURE_PATHS.iter().find(names) {
            impure(named.line, &banned.join("::"));
        }
    }
    for word in file.words.iter().filter(|w| !w.in_test && !file.is_test) {
        if IMPURE_WORDS.contains(&&*word.text) {
            impure(word.line, &word.text);
        }
    }
    let may_name_runtime = folder_of(path) == RUNTIME_FOLDER;
    let is_test_of = |word: &Word| word.in_test || file.is_test;
    for word in &file.words {
        let is_told = pure_floor.is_some() && !is_test_of(word);
        if RUNTIME_WORDS.contains(&&*word.text) && !may_name_runtime && !is_told {
            let what = format!("names {}, which belongs in {RUNTIME_FOLDER}/", word.text);
            add(path, word.line, what);
        }
        let is_unsafe = ["unsafe", "unsafe_code"].contains(&&*word.text);
        if is_unsafe && !UNSAFE_FILES.contains(&path) {
            let what = "has `unsafe`, which this file may not".to_owned();
            add(path, word.line, what);
        }
    }
}

/// Reports, for each file that is in a cycle, the shortest one that it is in, unless an import of it was reported
/// already: what ends that cycle may end this one.
fn check_cycles(imports: &[Import], add: &mut impl FnMut(&str, usize, String)) {
    let mut edges: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for import in imports {
        if folder_of(&import.from) == folder_of(&import.to) && !import.in_test {
            let targets = edges.entry(&import.from).or_default();
            let line = targets.entry(&import.to).or_insert(import.line);
            *line = import.line.min(*line);
        }
    }
    let mut seen = BTreeSet::new();
    for start in edges.keys() {
        let Some(cycle) = shortest_cycle(start, &edges) else {
            continue;
        };
        let next = |at: usize| cycle[(at + 1) % cycle.len()];
        let is_new = |at| seen.insert((cycle[at], next(at)));
        if (0..cycle.len())
            .map(is_new)
            .filter(|is_new| *is_new)
            .count()
            < cycle.len()
        {
            continue;
        }
        let line_of = |at: usize| edges[cycle[at]][next(at)];
        let mut what = format!("imports in a cycle: {start}");
        for (at, file) in cycle.iter().enumerate().skip(1) {
            what += &format!(", {file} (line {})", line_of(at));
        }
        add(start, line_of(0), format!("{what}, {start}"));
    }
}

/// The files of the shortest way from `start` back to it, `start` first.
fn shortest_cycle<'a>(
    start: &'a str,
    edges: &BTreeMap<&'a str, BTreeMap<&'a str, usize>>,
) -> Option<Vec<&'a str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(file) = waiting.pop_front() {
        for next in edges.get(file).into_iter().flat_map(BTreeMap::keys) {
            if *next == start {
                let mut cycle = vec![file];
                while let Some(before) = came_from.get(cycle[cycle.len() - 1]) {
                    cycle.push(before);
                }
                cycle.reverse();
                return Some(cycle);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, file);
                waiting.push_back(next);
            }
        }
    }
    None
}

/// `"policy"` of `policy/route/mod.rs`; empty for a file that is in no folder.
fn folder_of(path: &str) -> &str {
    path.split_once('/').map_or("", |(folder, _)| folder)
}

fn floor_of(path: &str) -> Option<u32> {
    let mut floors = FLOORS.iter();
    let found = floors.find(|(folder, _)| *folder == folder_of(path));
    found.map(|(_, floor)| *floor)
}

/// `["policy", "route"]` of `policy/route/mod.rs`.
fn module_of(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = path
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    let is_folders_own = ["mod", "lib", "main"].contains(&&*parts[parts.len() - 1]);
    if is_folders_own {
        parts.pop();
    }
    parts
}

fn child(module: &[String], name: &str) -> Vec<String> {
    let mut path = module.to_vec();
    path.push(name.to_owned());
    path
}
