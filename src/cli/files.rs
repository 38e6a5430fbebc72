//! Loading the configuration, and telling what was read and what is wrong with it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Exit;
use super::talk::{mention, say};
use crate::config::{Config, Diagnostic, FileKind, Source, parse};
use crate::control::files::{Files, MACHINE_FILE};
use crate::control::last_good::LastGood;
use crate::control::load::{Fault, Instead, Loaded, Refused, load};

/// Drop-ins that are listed by name when it is said what is read.
const LISTED_MAX: usize = 20;

/// Loads the configuration so that any fault refuses it. Faults and warnings have been told when this returns.
///
/// # Errors
///
/// The exit code that the fault earns.
pub(super) fn read(named: &[PathBuf]) -> Result<Loaded, Exit> {
    match load(named, None) {
        Ok(loaded) => {
            tell_files(&loaded.files);
            tell_warnings(&loaded.config);
            Ok(loaded)
        }
        Err(refused) => Err(tell_refused(&refused)),
    }
}

/// Loads the configuration; what has faults is replaced by its last good copy or left out, which is told.
///
/// # Errors
///
/// The exit code that the fault earns.
pub(super) fn read_as_far_as_good(named: &[PathBuf], good: &LastGood) -> Result<Loaded, Exit> {
    let loaded = load(named, Some(good)).map_err(|refused| tell_refused(&refused))?;
    tell_files(&loaded.files);
    loaded.faults.iter().for_each(tell_fault);
    for (path, instead) in &loaded.replaced {
        let path = path.display();
        say(&match instead {
            Instead::Copy(made) => format!(
                "{path} has faults: its last good copy{} is in force instead",
                made.map(|made| format!(", {} old,", age(made)))
                    .unwrap_or_default()
            ),
            Instead::Nothing => {
                format!("{path} has faults and no good copy: it is left out, the others apply")
            }
        });
    }
    tell_warnings(&loaded.config);
    Ok(loaded)
}

/// Parses a text of our own and tells what is to be said of it.
///
/// # Errors
///
/// [`Exit::Config`], after every fault was told.
pub(super) fn parse_and_tell(name: &str, text: &str) -> Result<Config, Exit> {
    parse(&[Source { name, text }]).map_err(|faults| {
        for fault in &faults {
            say(&fault.to_string());
        }
        Exit::Config
    })
}

/// What was wrong, in words, and the exit code that it earns.
pub(super) fn tell_refused(refused: &Refused) -> Exit {
    tell_files(&refused.files);
    if refused.files.found.is_empty()
        && let [Fault::Unreadable(path, error)] = refused.faults.as_slice()
        && error.kind() == io::ErrorKind::NotFound
        && path == Path::new(MACHINE_FILE)
    {
        say(&no_configuration());
        return Exit::Config;
    }
    refused.faults.iter().for_each(tell_fault);
    say(&summary(&refused.faults));
    for path in &refused.without_copy {
        say(&format!(
            "{} has no good copy that could stand in",
            path.display()
        ));
    }
    exit_of(&refused.faults)
}

fn no_configuration() -> String {
    let here = Path::new("hotgate.toml");
    let is_here = here.exists();
    let mend = match is_here {
        true => "hotgate run -c hotgate.toml",
        false => "hotgate run -c FILE, or hotgate quick",
    };
    format!(
        "no configuration: neither {MACHINE_FILE} nor a file in sites.d beside it is there\n  = try: {mend}"
    )
}

/// 77 where only a permission is missing.
pub(super) fn exit_of(faults: &[Fault]) -> Exit {
    let is_permission = |fault: &Fault| match fault {
        Fault::Unreadable(_, error) => error.kind() == io::ErrorKind::PermissionDenied,
        Fault::Text(_) => false,
    };
    match !faults.is_empty() && faults.iter().all(is_permission) {
        true => Exit::Permission,
        false => Exit::Config,
    }
}

fn summary(faults: &[Fault]) -> String {
    let mut files: Vec<&str> = faults
        .iter()
        .filter_map(|fault| match fault {
            Fault::Unreadable(path, _) => path.to_str(),
            Fault::Text(diagnostic) => Some(&*diagnostic.place.source),
        })
        .collect();
    files.sort_unstable();
    files.dedup();
    let errors = match faults.len() {
        1 => "1 error".to_owned(),
        count => format!("{count} errors"),
    };
    match files.as_slice() {
        [file] => format!("{errors} in {file}; nothing was applied"),
        files => format!("{errors} in {} files; nothing was applied", files.len()),
    }
}

fn tell_fault(fault: &Fault) {
    say(&match fault {
        Fault::Unreadable(path, error) => unreadable(path, error),
        Fault::Text(diagnostic) => diagnostic.to_string(),
    });
}

/// A file that cannot be read, in the format of all faults.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    let mend = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "\n  = try: sudo, or let this user read it; `hotgate check` as root says how"
        }
        _ => "",
    };
    format!("error[unreadable]: cannot read {path}: {error}\n  --> {path}{mend}")
}

fn tell_files(files: &Files) {
    let drop_ins = files
        .found
        .iter()
        .filter(|found| found.kind == FileKind::DropIn)
        .count();
    for found in &files.found {
        if found.kind != FileKind::DropIn || drop_ins <= LISTED_MAX {
            mention(&format!("reading {}", found.path.display()));
        }
    }
    if drop_ins > LISTED_MAX {
        mention(&format!("reading {drop_ins} files of sites.d"));
    }
    for path in &files.ignored {
        mention(&format!(
            "not read: {} (its name does not end in .toml)",
            path.display()
        ));
    }
}

fn tell_warnings(config: &Config) {
    config
        .warnings
        .iter()
        .map(Diagnostic::to_string)
        .for_each(|warning| say(&warning));
}

/// How long ago, in the largest unit that fits.
fn age(made: SystemTime) -> String {
    let seconds = made.elapsed().unwrap_or_default().as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
