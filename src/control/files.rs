//! Which files are the configuration, and their texts.
//!
//! Without a name: `/etc/hotgate/hotgate.toml`, `/etc/hotgate/sites.d/*.toml` and what discovery wrote; for a plain user
//! without these `./hotgate.toml`, else the one in his configuration folder. With names: those, each with the `sites.d`
//! beside it, and nothing else; each name is a layer over the one before.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::config::FileKind;

/// The machine's configuration.
pub const MACHINE_FILE: &str = "/etc/hotgate/hotgate.toml";
/// Where discovery writes its sites.
pub const GENERATED_FOLDER: &str = "/run/hotgate-discover";
/// The folder beside a file that holds its drop-ins.
const DROP_INS: &str = "sites.d";
/// A hundred thousand sites fit; what is larger was not written for us.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// A file of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// As it is shown and opened.
    pub path: PathBuf,
    /// Rises with each name given.
    pub layer: u16,
    /// What it may hold.
    pub kind: FileKind,
}

/// What there is to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// In the order in which they are read.
    pub found: Vec<Found>,
    /// Files of `sites.d` that are not read, because their names do not end in `.toml`.
    pub ignored: Vec<PathBuf>,
}

/// Finds the files; `named` are those of `-c`, none for the usual ones.
///
/// # Errors
///
/// The path of a folder that cannot be listed, or, with [`io::ErrorKind::NotFound`], the places where no file was.
pub fn find(named: &[PathBuf]) -> Result<Files, (PathBuf, io::Error)> {
    let mut files = Files::default();
    if !named.is_empty() {
        for (path, layer) in named.iter().zip(0u16..) {
            files.add(path, layer)?;
        }
        return Ok(files);
    }
    let machine = Path::new(MACHINE_FILE);
    // One that we may not see is there: it is reported when it is read.
    let is_there = machine.try_exists().unwrap_or(true);
    if is_there || drop_in_folder(machine).is_dir() {
        files.add(machine, 0)?;
        if !is_there {
            // Drop-ins alone are a configuration too.
            files.found.retain(|found| found.path != machine);
        }
    } else if let Some(path) = users_file() {
        files.add(&path, 0)?;
    }
    // Another process's folder: what it is like, and what else is in it, is no matter of the configuration.
    let generated = list(Path::new(GENERATED_FOLDER)).unwrap_or_default();
    files
        .found
        .extend(generated.read.into_iter().map(|path| Found {
            path,
            layer: 0,
            kind: FileKind::Generated,
        }));
    if files.found.is_empty() {
        return Err((machine.to_owned(), io::ErrorKind::NotFound.into()));
    }
    Ok(files)
}

/// What a plain user has instead of the machine's file.
fn users_file() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return None;
    }
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let folder = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute())
        .or(home);
    let of_user = folder.map(|folder| folder.join("hotgate/hotgate.toml"));
    std::iter::once(PathBuf::from("./hotgate.toml"))
        .chain(of_user)
        .find(|path| path.exists())
}

impl Files {
    fn add(&mut self, path: &Path, layer: u16) -> Result<(), (PathBuf, io::Error)> {
        // Named twice it would override itself.
        if self.found.iter().any(|found| found.path == path) {
            return Ok(());
        }
        self.found.push(Found {
            path: path.to_owned(),
            layer,
            kind: FileKind::Main,
        });
        let drop_ins = list(&drop_in_folder(path))?;
        for path in drop_ins.ignored {
            if !self.ignored.contains(&path) {
                self.ignored.push(path);
            }
        }
        for path in drop_ins.read {
            // Two names in one folder have their drop-ins in common: they belong to the first.
            if self.found.iter().all(|found| found.path != path) {
                self.found.push(Found {
                    path,
                    layer,
                    kind: FileKind::DropIn,
                });
            }
        }
        Ok(())
    }
}

/// A folder's files, each kind in name order.
#[derive(Default)]
struct Listed {
    read: Vec<PathBuf>,
    ignored: Vec<PathBuf>,
}

/// Parts the `*.toml` of a folder from the rest; hidden files are nobody's configuration. No folder has no files.
fn list(folder: &Path) -> Result<Listed, (PathBuf, io::Error)> {
    let failed = |error| (folder.to_owned(), error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Listed::default()),
        Err(error) => return Err(failed(error)),
    };
    let mut listed = Listed::default();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        match name.ends_with(".toml") {
            true => listed.read.push(entry.path()),
            false => listed.ignored.push(entry.path()),
        }
    }
    listed.read.sort();
    listed.ignored.sort();
    Ok(listed)
}

fn drop_in_folder(file: &Path) -> PathBuf {
    file.with_file_name(DROP_INS)
}

/// The text of a file.
///
/// # Errors
///
/// It cannot be read, is larger than 32 MiB, or is not UTF-8.
pub fn read(path: &Path) -> io::Result<String> {
    let mut octets = Vec::new();
    let file = fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than 32 MiB"));
    }
    String::from_utf8(octets).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at]
            .iter()
            .filter(|o| **o == b'\n')
            .count()
            + 1;
        io::Error::other(format!("line {line} is not UTF-8"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a folder with these files, gone at the end of the test.
    fn folder(name: &str, files: &[&str]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("hotgate-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        for file in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
            fs::write(path, "").expect("a file");
        }
        folder
    }

    #[test]
    fn a_name_brings_its_drop_ins_in_name_order() {
        let files = [
            "a.toml",
            "b.toml",
            "sites.d/z.toml",
            "sites.d/b.toml",
            "sites.d/.x.toml",
            "sites.d/c.conf",
            "sites.d/d.toml~",
        ];
        let folder = folder("files", &files);
        let found = find(&[folder.join("a.toml"), folder.join("b.toml")]).expect("all can be read");
        let told: Vec<(String, u16, FileKind)> = found
            .found
            .iter()
            .map(|found| {
                let path = found.path.strip_prefix(&folder).expect("in the folder");
                (path.display().to_string(), found.layer, found.kind)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("a.toml".to_owned(), 0, FileKind::Main),
                ("sites.d/b.toml".to_owned(), 0, FileKind::DropIn),
                ("sites.d/z.toml".to_owned(), 0, FileKind::DropIn),
                ("b.toml".to_owned(), 1, FileKind::Main),
            ]
        );
        let ignored = ["sites.d/c.conf", "sites.d/d.toml~"].map(|name| folder.join(name));
        assert_eq!(found.ignored, ignored);
        fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn what_is_no_text_says_where() {
        let folder = folder("text", &["a.toml"]);
        let path = folder.join("a.toml");
        fs::write(&path, b"a = 1\nb = \"\xff\"").expect("ours");
        assert_eq!(
            read(&path).expect_err("not UTF-8").to_string(),
            "line 2 is not UTF-8"
        );
        assert_eq!(
            read(&folder).expect_err("a folder").to_string(),
            "it is a folder"
        );
        fs::remove_dir_all(folder).expect("ours");
    }
}
