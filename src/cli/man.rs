//! `hotgate man`: hotgate(1) and hotgate.toml(5), made from the arguments and the catalogue of keys.

use std::io;
use std::path::PathBuf;

use clap::{Command, ValueEnum};
use clap_mangen::Man;
use roff::{Roff, bold, italic, roman};

use super::Exit;
use super::talk::{mention, print, say};
use crate::config::CATALOGUE;
use crate::config::catalogue::Key;

/// What `man` takes.
#[derive(clap::Args)]
pub(super) struct ManArgs {
    /// The page
    #[arg(default_value = "hotgate")]
    page: Page,
    /// Write hotgate.1 and hotgate.toml.5 into this folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// A page of the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Page {
    /// hotgate(1): the command
    #[value(name = "hotgate")]
    Command,
    /// hotgate.toml(5): the configuration
    #[value(name = "hotgate.toml")]
    Configuration,
}

/// Exit codes, as in `exit.rs`.
const EXIT_CODES: [(&str, &str); 7] = [
    ("0", "it did what was asked"),
    ("1", "it tried and failed"),
    ("2", "the arguments are wrong"),
    ("3", "hotgate is not running, or cannot be reached"),
    (
        "4",
        "the answer is no: explain finds no site, check --strict has warnings",
    ),
    ("77", "the system does not permit it to this user"),
    ("78", "the configuration is faulty, or not there"),
];

const FILES: [(&str, &str); 5] = [
    ("/etc/hotgate/hotgate.toml", "the configuration"),
    ("/etc/hotgate/sites.d/*.toml", "its drop-ins, in name order"),
    (
        "/run/hotgate-discover/*.toml",
        "generated sites, read by a narrow schema",
    ),
    (
        "/var/lib/hotgate/last-good/",
        "the last good copy of each file",
    ),
    (
        "/var/log/hotgate/access.log",
        "the access log, where its folder is writable",
    ),
];

const SIGNALS: [(&str, &str); 3] = [
    (
        "SIGTERM, SIGINT",
        "drain: accept no more, finish what is under way, end; a second one ends it at once",
    ),
    (
        "SIGHUP",
        "open the access log anew; this version cannot reload",
    ),
    ("SIGUSR1", "open the access log anew"),
];

const ENVIRONMENT: [(&str, &str); 4] = [
    (
        "STATE_DIRECTORY",
        "where the last good copies are kept, as systemd sets it; else XDG_STATE_HOME for a plain user",
    ),
    (
        "XDG_CONFIG_HOME",
        "where a plain user's hotgate/hotgate.toml is",
    ),
    (
        "CREDENTIALS_DIRECTORY",
        "where ${cred:name} is read, as systemd sets it",
    ),
    ("NO_COLOR", "no colours, if it is set and not empty"),
];

/// Prints a page, or writes all.
pub(super) fn man(args: &ManArgs, command: Command) -> Exit {
    let page = |page: Page| match page {
        Page::Command => command_page(command.clone()).map(|text| ascii(&text)),
        Page::Configuration => Ok(ascii(&configuration_page())),
    };
    let Some(folder) = &args.out else {
        return match page(args.page) {
            Ok(text) => {
                print(&text);
                Exit::Fine
            }
            Err(error) => failed(&error),
        };
    };
    for (name, which) in [
        ("hotgate.1", Page::Command),
        ("hotgate.toml.5", Page::Configuration),
    ] {
        let path = folder.join(name);
        if let Err(error) = page(which).and_then(|text| std::fs::write(&path, text)) {
            say(&format!("cannot write {}", path.display()));
            return failed(&error);
        }
        mention(&format!("wrote {}", path.display()));
    }
    Exit::Fine
}

fn failed(error: &io::Error) -> Exit {
    say(&format!("error: {error}"));
    Exit::Failed
}

/// roff reads Latin-1 unless it is told otherwise; this is how it names other characters.
fn ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii() {
            true => ascii.push(c),
            false => ascii.push_str(&format!("\\[u{:04X}]", u32::from(c))),
        }
    }
    ascii
}

fn command_page(command: Command) -> io::Result<String> {
    let mut out = Vec::new();
    let verbs: Vec<Command> = command.get_subcommands().cloned().collect();
    let man = Man::new(command);
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for verb in verbs.iter().filter(|verb| !verb.is_hide_set()) {
        let mut usage = verb.clone().disable_help_flag(true);
        let usage = usage.render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").to_owned();
        roff.control("TP", []);
        roff.text([bold(format!("hotgate {usage}"))]);
        let about = verb
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        roff.text([roman(about)]);
        for argument in verb
            .get_arguments()
            .filter(|argument| !argument.is_global_set())
        {
            let Some(help) = argument.get_help() else {
                continue;
            };
            let name = match (argument.get_long(), argument.get_short()) {
                (Some(long), _) => format!("--{long}"),
                (None, Some(short)) => format!("-{short}"),
                (None, None) => argument.get_id().to_string().to_uppercase(),
            };
            roff.control("br", []);
            roff.text([italic(name), roman(format!(": {help}"))]);
        }
    }
    section(&mut roff, "EXIT STATUS", &EXIT_CODES);
    section(&mut roff, "SIGNALS", &SIGNALS);
    section(&mut roff, "FILES", &FILES);
    section(&mut roff, "ENVIRONMENT", &ENVIRONMENT);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("hotgate.toml"), roman("(5)")]);
    out.extend_from_slice(roff.to_roff().as_bytes());
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn section(roff: &mut Roff, title: &str, rows: &[(&str, &str)]) {
    roff.control("SH", [title]);
    for (name, meaning) in rows {
        roff.control("TP", []);
        roff.text([bold(*name)]);
        roff.text([roman(*meaning)]);
    }
}

fn configuration_page() -> String {
    let mut roff = Roff::new();
    let version = format!("hotgate {}", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["hotgate.toml", "5", "", &version]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("hotgate.toml - configuration of hotgate(1)")]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(
        "The file is TOML. [sites] maps hosts to targets; a target is a port of this machine, HOST:PORT, unix:/PATH, \
         or a list of these. To grow, a line becomes a table. The smallest useful file:",
    )]);
    roff.control("PP", []);
    roff.control("nf", []);
    roff.text([roman("    [sites]")]);
    roff.text([roman("    \"http://app.example.com\" = 3000")]);
    roff.control("fi", []);
    roff.control("PP", []);
    roff.text([roman(
        "Drop-ins in sites.d/ beside the file hold [sites], [upstreams] and [defaults]. ${VAR}, ${VAR:-default}, ${file:/path} and \
         ${cred:name} are expanded in string values and keys; $${ is ${ as it stands. Durations are written as \"1m30s\", \
         sizes as \"64KiB\". Every fault is told by hotgate check.",
    )]);
    keys(&mut roff, "KEYS OF THE WHOLE", |key| key.levels.global);
    keys(&mut roff, "KEYS OF UPSTREAMS", |key| key.levels.upstream);
    keys(&mut roff, "KEYS OF SITES AND PATHS", |key| {
        !key.levels.global && !key.levels.upstream
    });
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("hotgate"), roman("(1)")]);
    roff.to_roff()
}

fn keys(roff: &mut Roff, title: &str, is_there: fn(&Key) -> bool) {
    roff.control("SH", [title]);
    for key in CATALOGUE.iter().filter(|key| is_there(key)) {
        let plain = |text: &str| text.replace('`', "");
        roff.control("TP", []);
        roff.text([bold(key.name), roman(format!(" ({})", key.levels.words()))]);
        let default = key
            .default
            .map(|value| format!(", default {value}"))
            .unwrap_or_default();
        let bounds = match key.bounds {
            "—" => String::new(),
            bounds => format!(", {}", plain(bounds)),
        };
        let kind = plain(&key.kind.words());
        roff.text([italic(format!("{kind}{default}{bounds}"))]);
        roff.control("br", []);
        roff.text([roman(format!("{}.", plain(key.meaning)))]);
        roff.control("br", []);
        roff.text([roman(format!("Example: {} = {}", key.name, key.example))]);
    }
}
