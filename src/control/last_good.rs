//! The last good copy of each configuration file: what stands in for it while it has faults, on a start too.
//!
//! One file each in `last-good/` of the state folder, named after the path, written beside and renamed, so that a kill
//! at any point leaves the old copy or the new one. Readable by the service alone: a configuration may hold hashes.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files;

/// File systems take 255 octets; the rest is for the suffix of a file in the making.
const NAME_BYTES_MAX: usize = 240;

/// The folder of the copies.
pub struct LastGood {
    folder: PathBuf,
}

/// A copy.
pub struct Copy {
    /// Its text.
    pub text: String,
    /// When it was made, if the file system knows.
    pub made: Option<SystemTime>,
}

impl LastGood {
    /// In this state folder, which need not be there yet.
    pub fn new(state: &Path) -> LastGood {
        LastGood {
            folder: state.join("last-good"),
        }
    }

    /// The copy of a file, if there is one that can be read.
    pub fn copy_of(&self, path: &Path) -> Option<Copy> {
        let place = self.place_of(path)?;
        let text = files::read(&place).ok()?;
        let made = fs::metadata(&place).and_then(|m| m.modified()).ok();
        Some(Copy { text, made })
    }

    /// Has any file a copy? Without one this is a first start.
    pub fn is_empty(&self) -> bool {
        fs::read_dir(&self.folder).map_or(true, |mut entries| entries.next().is_none())
    }

    /// Keeps the texts of files that are in force, and forgets files that are no longer there.
    ///
    /// # Errors
    ///
    /// The folder cannot be written. Older copies are whole all the same.
    pub fn keep(&self, good: &[(PathBuf, String)]) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        for (path, text) in good {
            let Some(place) = self.place_of(path) else {
                continue;
            };
            if fs::read(&place).is_ok_and(|known| known == text.as_bytes()) {
                continue;
            }
            let part = place.with_extension("part");
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&part)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&part, &place)?;
        }
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let name = entry.file_name();
            let original = name.to_str().and_then(path_of);
            if original.is_none_or(|path| !path.exists()) {
                fs::remove_file(entry.path())?;
            }
        }
        fs::File::open(&self.folder)?.sync_all()
    }

    fn place_of(&self, path: &Path) -> Option<PathBuf> {
        let path = std::path::absolute(path).ok()?;
        let name = path.to_str()?.replace('%', "%25").replace('/', "%2F");
        (name.len() <= NAME_BYTES_MAX).then(|| self.folder.join(name))
    }
}

/// The path that a copy's name stands for; nothing for what is no copy.
fn path_of(name: &str) -> Option<PathBuf> {
    let path = name.replace("%2F", "/").replace("%25", "%");
    (path.starts_with('/') && !name.ends_with(".part")).then(|| PathBuf::from(path))
}

/// Where hotgate keeps what must outlive it: what systemd says, else the machine's or the user's state folder.
pub fn state_folder() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    if let Some(folders) = std::env::var_os("STATE_DIRECTORY") {
        let folders = folders.to_string_lossy().into_owned();
        return folders.split(':').next().map(PathBuf::from);
    }
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/hotgate"));
    }
    let home = || absolute("HOME").map(|home| home.join(".local/state"));
    let state = absolute("XDG_STATE_HOME").or_else(home)?;
    Some(state.join("hotgate"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keeps_the_last_text_and_forgets_what_is_gone() {
        let folder = std::env::temp_dir().join(format!("hotgate-good-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        let (a, b) = (folder.join("a%2F.toml"), folder.join("b.toml"));
        for path in [&a, &b] {
            fs::write(path, "").expect("ours");
        }
        let good = LastGood::new(&folder.join("state"));
        assert!(good.is_empty() && good.copy_of(&a).is_none());
        let texts = |a_text: &str| {
            vec![
                (a.clone(), a_text.to_owned()),
                (b.clone(), "b = 1".to_owned()),
            ]
        };
        good.keep(&texts("one")).expect("written");
        good.keep(&texts("two")).expect("written");
        assert!(!good.is_empty());
        assert_eq!(good.copy_of(&a).expect("kept").text, "two");
        fs::remove_file(&b).expect("ours");
        good.keep(&texts("two")[..1]).expect("written");
        assert!(good.copy_of(&b).is_none());
        let state = folder.join("state/last-good");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&state), 0o700);
        let entries: Vec<_> = fs::read_dir(&state).expect("there").flatten().collect();
        assert_eq!(entries.len(), 1);
        assert_eq!(mode(&entries[0].path()), 0o600);
        fs::remove_dir_all(folder).expect("ours");
    }
}
