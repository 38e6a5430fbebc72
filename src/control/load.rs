//! From files to a configuration, file by file: the unit of refusal is the file.
//!
//! ```text
//!   read all ──► parse all ──► no fault: in force
//!                   ▲   └──► some files have faults ──► each by its last good copy, or left out ──┐
//!                   └─────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A drop-in with faults and without a copy is left out, the others apply. A main file without a copy refuses the
//! whole: it says where to listen. So does a first start, when there is no copy of anything: then somebody is looking.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files::{self, Files, Found};
use super::last_good::LastGood;
use super::surroundings::MACHINE;
use crate::config::{Config, Diagnostic, File, FileKind, Source, parse_files};

/// Why a file is not used as it stands.
#[derive(Debug)]
pub enum Fault {
    /// It cannot be read.
    Unreadable(PathBuf, io::Error),
    /// Its text is faulty.
    Text(Diagnostic),
}

/// What a file with faults was replaced by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instead {
    /// Its last good copy, of this time.
    Copy(Option<SystemTime>),
    /// Nothing: it has none.
    Nothing,
}

/// A configuration that can be served.
#[derive(Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// What was found.
    pub files: Files,
    /// The texts that are in force as they stand: what may be kept as good.
    pub good: Vec<(PathBuf, String)>,
    /// Every fault of every file, in order; empty unless something stands in.
    pub faults: Vec<Fault>,
    /// The files that are replaced.
    pub replaced: Vec<(PathBuf, Instead)>,
}

/// A configuration that is refused as a whole.
#[derive(Debug)]
pub struct Refused {
    /// What was found; nothing if nobody wrote a configuration.
    pub files: Files,
    /// Every fault of every file, in order.
    pub faults: Vec<Fault>,
    /// Files that would be needed and have no good copy; empty when every fault refuses.
    pub without_copy: Vec<PathBuf>,
}

/// The text of a file as it is used.
enum Text {
    Own(String),
    Copy(String),
    LeftOut,
}

/// Loads the files of `-c`, or the usual ones. With `good`, what has faults is replaced; without, any fault refuses.
///
/// # Errors
///
/// See [`Refused`].
pub fn load(named: &[PathBuf], good: Option<&LastGood>) -> Result<Loaded, Refused> {
    let files = match files::find(named) {
        Ok(files) => files,
        Err((path, error)) => {
            return Err(Refused {
                files: Files::default(),
                faults: vec![Fault::Unreadable(path, error)],
                without_copy: Vec::new(),
            });
        }
    };
    let mut faults = Vec::new();
    let mut replaced: Vec<(PathBuf, Instead)> = Vec::new();
    let mut texts: Vec<Text> = Vec::new();
    let mut faulty = BTreeSet::new();
    for (index, found) in files.found.iter().enumerate() {
        match files::read(&found.path) {
            Ok(text) => texts.push(Text::Own(text)),
            // What discovery has just removed is no fault.
            Err(_) if found.kind == FileKind::Generated => texts.push(Text::LeftOut),
            Err(error) => {
                texts.push(Text::LeftOut);
                faults.push(Fault::Unreadable(found.path.clone(), error));
                faulty.insert(index);
            }
        }
    }
    let mut is_first_round = true;
    loop {
        let found = match parse_texts(&files.found, &texts) {
            Ok(config) if faulty.is_empty() => {
                return Ok(Loaded {
                    config,
                    good: own_texts(&files.found, texts),
                    files,
                    faults,
                    replaced,
                });
            }
            Ok(_) => Vec::new(),
            Err(found) => found,
        };
        for diagnostic in &found {
            faulty.extend(index_of(&files.found, &texts, diagnostic));
        }
        if is_first_round {
            // What only shows once a copy stands in is a fault of that round, not of the files.
            faults.extend(found.into_iter().map(Fault::Text));
            is_first_round = false;
        }
        let Some(good) = good else {
            return Err(Refused {
                files,
                faults,
                without_copy: Vec::new(),
            });
        };
        assert!(
            !faulty.is_empty(),
            "every fault is in a file that is in use"
        );
        let is_first_start = good.is_empty();
        let mut without_copy = Vec::new();
        for index in std::mem::take(&mut faulty) {
            let Found { path, kind, .. } = &files.found[index];
            // A copy that does not go with the others is of no use either.
            let is_used_up = replaced.iter().any(|(known, _)| known == path);
            let copy = good.copy_of(path).filter(|_| !is_used_up);
            replaced.retain(|(known, _)| known != path);
            match copy {
                Some(copy) => {
                    replaced.push((path.clone(), Instead::Copy(copy.made)));
                    texts[index] = Text::Copy(copy.text);
                }
                None => {
                    if *kind == FileKind::Main || is_first_start {
                        without_copy.push(path.clone());
                    }
                    replaced.push((path.clone(), Instead::Nothing));
                    texts[index] = Text::LeftOut;
                }
            }
        }
        if !without_copy.is_empty() {
            return Err(Refused {
                files,
                faults,
                without_copy,
            });
        }
    }
}

fn parse_texts(found: &[Found], texts: &[Text]) -> Result<Config, Vec<Diagnostic>> {
    let names: Vec<String> = found
        .iter()
        .zip(texts)
        .map(|(found, text)| name_of(&found.path, matches!(text, Text::Copy(_))))
        .collect();
    let files: Vec<File> = found
        .iter()
        .zip(texts)
        .zip(&names)
        .filter_map(|((found, text), name)| {
            let (Text::Own(text) | Text::Copy(text)) = text else {
                return None;
            };
            Some(File {
                source: Source { name, text },
                layer: found.layer,
                kind: found.kind,
            })
        })
        .collect();
    parse_files(&files, &MACHINE)
}

/// A copy has the folder of its file, so that relative paths mean the same.
fn name_of(path: &Path, is_copy: bool) -> String {
    let name = path.display().to_string();
    if is_copy {
        format!("{name} (last good copy)")
    } else {
        name
    }
}

/// The file that a fault is in; never one that is left out, so that each round leaves fewer texts to replace.
fn index_of(found: &[Found], texts: &[Text], diagnostic: &Diagnostic) -> Option<usize> {
    found.iter().zip(texts).position(|(found, text)| {
        let is_copy = match text {
            Text::Own(_) => false,
            Text::Copy(_) => true,
            Text::LeftOut => return false,
        };
        *diagnostic.place.source == *name_of(&found.path, is_copy)
    })
}

fn own_texts(found: &[Found], texts: Vec<Text>) -> Vec<(PathBuf, String)> {
    let own = found.iter().zip(texts);
    own.filter(|(found, _)| found.kind != FileKind::Generated)
        .filter_map(|(found, text)| match text {
            Text::Own(text) => Some((found.path.clone(), text)),
            Text::Copy(_) | Text::LeftOut => None,
        })
        .collect()
}
