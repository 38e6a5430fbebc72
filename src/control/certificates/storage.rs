//! Where certificates and keys are kept: small files in groups that are replaced as one.
//!
//! ```text
//!   certificates/example.com ──► .example.com@7f3a…/   chain.pem  key.pem  meta.json      (the link is what is renamed)
//!                                .example.com@91c0…/   the version before, until the next one
//! ```
//!
//! A group is a folder behind a link, and a new version is a new folder: written, synced, and then made the current one
//! by renaming a link over the old link, which is one step for every file system. So whoever is killed at any point
//! leaves the old version or the new one, never the chain of one and the key of the other. A reader asks the link once.
//! (Rejected: exchanging two folders by `renameat2`, which not every file system has; one file for chain and key, which
//! other programs cannot be pointed at.)
//!
//! Folders are 0700, files 0600. What root writes into a folder of the service's belongs to the service.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown, lchown, symlink};
use std::path::{Component, Path, PathBuf};

use super::place::MACHINE_STATE;
use crate::control::inspect::users;

/// Whom the machine's state folder belongs to, where the package made him.
const SERVICE_USER: &str = "hotgate";
/// No file of ours comes near; what is larger is not ours.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// How often a reader looks again when the version it was reading is replaced and gone.
const READ_ROUNDS: u32 = 8;

/// The files of one group, each with its name, in name order.
pub type Files = Vec<(String, Vec<u8>)>;

/// Keeps groups of files, and single files, under names.
///
/// A place is a relative path of plain names parted by `/`, such as `acme/le/certificates/example.com`. Several
/// processes may use one store: each replacement is whole for all of them.
pub trait Storage: Send + Sync {
    /// The files of the group at this place; `None` if there is none.
    ///
    /// # Errors
    ///
    /// It is there and cannot be read.
    fn group(&self, place: &str) -> io::Result<Option<Files>>;

    /// Replaces the group at this place by these files, as one step.
    ///
    /// # Errors
    ///
    /// Nothing was replaced.
    fn put_group(&self, place: &str, files: &[(&str, &[u8])]) -> io::Result<()>;

    /// The names of the groups one step below this place, in order. No such place has none.
    ///
    /// # Errors
    ///
    /// It is there and cannot be listed.
    fn groups(&self, place: &str) -> io::Result<Vec<String>>;

    /// The names of the places that are no groups, one step below this one, in order.
    ///
    /// # Errors
    ///
    /// It is there and cannot be listed.
    fn places(&self, place: &str) -> io::Result<Vec<String>>;

    /// The names of the single files one step below this place, in order.
    ///
    /// # Errors
    ///
    /// It is there and cannot be listed.
    fn files(&self, place: &str) -> io::Result<Vec<String>>;

    /// Forgets the group at this place, if there is one.
    ///
    /// # Errors
    ///
    /// It is still there.
    fn forget_group(&self, place: &str) -> io::Result<()>;

    /// The single file at this place; `None` if there is none.
    ///
    /// # Errors
    ///
    /// It is there and cannot be read.
    fn file(&self, place: &str) -> io::Result<Option<Vec<u8>>>;

    /// Replaces the single file at this place, as one step.
    ///
    /// # Errors
    ///
    /// Nothing was replaced.
    fn put_file(&self, place: &str, octets: &[u8]) -> io::Result<()>;

    /// Forgets the single file at this place, if there is one.
    ///
    /// # Errors
    ///
    /// It is still there.
    fn forget_file(&self, place: &str) -> io::Result<()>;

    /// How this place is shown to people.
    fn shown(&self, place: &str) -> String;
}

/// The store in a folder: the state folder, as a rule.
pub struct FileStore {
    root: PathBuf,
}

impl FileStore {
    /// In this folder, which need not be there yet.
    pub fn new(root: &Path) -> FileStore {
        FileStore {
            root: root.to_owned(),
        }
    }

    fn path(&self, place: &str) -> PathBuf {
        let is_plain = |part| matches!(part, Component::Normal(_));
        assert!(
            !place.is_empty() && Path::new(place).components().all(is_plain),
            "a place stays within the store: {place:?}"
        );
        self.root.join(place)
    }

    /// Makes the folders down to this one that are not there.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        // What is above the store is not ours to close.
        if folder == self.root {
            if let Some(above) = folder.parent() {
                fs::create_dir_all(above)?;
            }
        } else if let Some(above) = folder.parent() {
            self.make_folder(above)?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => return Err(error),
        }
        match folder == self.root {
            true => hand_to_service(folder)?,
            false => self.hand_over(folder)?,
        }
        sync_above(folder)
    }

    /// Gives to the store's owner what root made in it.
    fn hand_over(&self, path: &Path) -> io::Result<()> {
        let owner = fs::metadata(&self.root)?;
        if !rustix::process::geteuid().is_root() || owner.uid() == 0 {
            return Ok(());
        }
        match path.is_symlink() {
            true => lchown(path, Some(owner.uid()), Some(owner.gid())),
            false => chown(path, Some(owner.uid()), Some(owner.gid())),
        }
    }

    fn write(&self, path: &Path, octets: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        self.hand_over(path)?;
        file.write_all(octets)?;
        file.sync_all()
    }

    fn write_version(&self, version: &Path, files: &[(&str, &[u8])]) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(version)?;
        self.hand_over(version)?;
        for (name, octets) in files {
            self.write(&version.join(name), octets)?;
        }
        File::open(version)?.sync_all()
    }
}

impl Storage for FileStore {
    fn group(&self, place: &str) -> io::Result<Option<Files>> {
        let link = self.path(place);
        for _ in 0..READ_ROUNDS {
            let target = match fs::read_link(&link) {
                Ok(target) => target,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                // Put there by hand, or by a backup that does not keep links: a folder as it stands.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput && link.is_dir() => {
                    PathBuf::from(link.file_name().unwrap_or_default())
                }
                Err(error) => return Err(error),
            };
            match read_version(&link.with_file_name(&target)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => return other.map(Some),
            }
        }
        Err(io::Error::other(format!(
            "{} leads to nothing",
            link.display()
        )))
    }

    fn put_group(&self, place: &str, files: &[(&str, &[u8])]) -> io::Result<()> {
        let link = self.path(place);
        let folder = link.parent().unwrap_or(&self.root).to_owned();
        self.make_folder(&folder)?;
        let name = name_of(&link);
        let current = fs::read_link(&link).ok();
        let version_name = format!(".{name}@{}", random_name());
        let version = folder.join(&version_name);
        let written = self.write_version(&version, files).and_then(|()| {
            let fresh = folder.join(format!(".{name}@{}.link", random_name()));
            symlink(&version_name, &fresh)?;
            self.hand_over(&fresh)?;
            if link.is_dir() && !link.is_symlink() {
                // A folder put there by hand: it makes room, and stays beside as the version before.
                fs::rename(&link, folder.join(format!(".{name}@{}", random_name())))?;
            }
            fs::rename(&fresh, &link)?;
            sync_above(&link)
        });
        if let Err(error) = written {
            let _ = fs::remove_dir_all(&version);
            return Err(error);
        }
        // The version before stays for whoever is reading it; older ones, and what a kill left half made, go.
        tidy(
            &folder,
            &name,
            &[Some(PathBuf::from(version_name)), current],
        );
        Ok(())
    }

    fn groups(&self, place: &str) -> io::Result<Vec<String>> {
        list(&self.path(place), |entry| {
            entry.is_symlink() || entry.join("chain.pem").exists()
        })
    }

    fn places(&self, place: &str) -> io::Result<Vec<String>> {
        list(&self.path(place), |entry| {
            entry.is_dir() && !entry.is_symlink()
        })
    }

    fn files(&self, place: &str) -> io::Result<Vec<String>> {
        list(&self.path(place), |entry| {
            entry.is_file() && !entry.is_symlink()
        })
    }

    fn forget_group(&self, place: &str) -> io::Result<()> {
        let link = self.path(place);
        match fs::remove_file(&link) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        sync_above(&link)?;
        tidy(link.parent().unwrap_or(&self.root), &name_of(&link), &[]);
        Ok(())
    }

    fn file(&self, place: &str) -> io::Result<Option<Vec<u8>>> {
        match read(&self.path(place)) {
            Ok(octets) => Ok(Some(octets)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn put_file(&self, place: &str, octets: &[u8]) -> io::Result<()> {
        let path = self.path(place);
        self.make_folder(path.parent().unwrap_or(&self.root))?;
        let part = path.with_file_name(format!(".{}@{}.part", name_of(&path), random_name()));
        let written = self
            .write(&part, octets)
            .and_then(|()| fs::rename(&part, &path));
        match written {
            Ok(()) => sync_above(&path),
            Err(error) => {
                let _ = fs::remove_file(&part);
                Err(error)
            }
        }
    }

    fn forget_file(&self, place: &str) -> io::Result<()> {
        match fs::remove_file(self.path(place)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn shown(&self, place: &str) -> String {
        self.path(place).display().to_string()
    }
}

/// Gives the machine's state folder, made by root before the service has ever run, to the service's user.
fn hand_to_service(folder: &Path) -> io::Result<()> {
    let is_machines = folder == Path::new(MACHINE_STATE) && rustix::process::geteuid().is_root();
    match users::user(SERVICE_USER) {
        Some(user) if is_machines => chown(folder, Some(user.uid), Some(user.gid)),
        Some(_) | None => Ok(()),
    }
}

/// The files of a version, in name order.
fn read_version(folder: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string() {
            files.push((name, read(&entry.path())?));
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    let file = File::open(path)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut octets)?;
    match octets.len() as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::other(format!(
            "{} is larger than 1 MiB",
            path.display()
        ))),
        false => Ok(octets),
    }
}

/// Names that are not hidden and are of this kind, in order.
fn list(folder: &Path, is_of_kind: impl Fn(&Path) -> bool) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
            && is_of_kind(&entry.path())
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Removes the versions of a group that are not to stay. What cannot be removed is tried again at the next version.
fn tidy(folder: &Path, name: &str, stay: &[Option<PathBuf>]) {
    let prefix = format!(".{name}@");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_ours = entry
            .file_name()
            .to_str()
            .is_some_and(|entry| entry.starts_with(&prefix));
        let stays = stay
            .iter()
            .flatten()
            .any(|version| version.as_os_str() == entry.file_name());
        if is_ours && !stays {
            let path = entry.path();
            let _ = match path.is_dir() && !path.is_symlink() {
                true => fs::remove_dir_all(path),
                false => fs::remove_file(path),
            };
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Makes a rename in its folder outlast a loss of power.
fn sync_above(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(above) => File::open(above)?.sync_all(),
        None => Ok(()),
    }
}

/// Sixteen letters that no other version has.
fn random_name() -> String {
    format!("{:016x}", crate::net::clock::seed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("hotgate-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    /// Every file and folder below, with its mode.
    fn modes(folder: &Path, found: &mut Vec<(String, u32)>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_symlink() {
                continue;
            }
            let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
            found.push((path.display().to_string(), mode));
            if path.is_dir() {
                modes(&path, found);
            }
        }
    }

    #[test]
    fn a_group_is_replaced_as_one_and_closed_to_others() {
        let folder = folder("store");
        let store = FileStore::new(&folder.join("state"));
        let place = "acme/le/certificates/a.test";
        assert_eq!(store.group(place).expect("nothing is no fault"), None);
        assert!(
            store
                .groups("acme/le/certificates")
                .expect("none")
                .is_empty()
        );
        for round in [&b"one"[..], b"two", b"three"] {
            store
                .put_group(place, &[("key.pem", round), ("chain.pem", round)])
                .expect("written");
            let files = store.group(place).expect("read").expect("there");
            let expected = ["chain.pem", "key.pem"].map(|name| (name.to_owned(), round.to_vec()));
            assert_eq!(files, expected);
        }
        store
            .put_file("acme/le/account.json", b"{}")
            .expect("written");
        store
            .put_file("acme/le/account.json", b"[]")
            .expect("written");
        let account = store.file("acme/le/account.json").expect("read");
        assert_eq!(account.as_deref(), Some(&b"[]"[..]));
        assert_eq!(
            store.groups("acme/le/certificates").expect("listed"),
            ["a.test"]
        );
        assert_eq!(store.places("acme").expect("listed"), ["le"]);
        // The path that other programs are given leads to the newest.
        let path = folder.join("state").join(place).join("chain.pem");
        assert_eq!(fs::read(path).expect("through the link"), b"three");
        let mut found = Vec::new();
        modes(&folder, &mut found);
        // The link's version, the one before, and their four files, the account; five folders above.
        assert_eq!(found.len(), 11, "{found:?}");
        for (path, mode) in found
            .iter()
            .filter(|(path, _)| *path != folder.display().to_string())
        {
            let expected = if Path::new(path).is_dir() {
                0o700
            } else {
                0o600
            };
            assert_eq!(*mode, expected, "{path}");
        }
        store.forget_group(place).expect("forgotten");
        store.forget_group(place).expect("again");
        assert_eq!(store.group(place).expect("nothing is no fault"), None);
        store
            .forget_file("acme/le/account.json")
            .expect("forgotten");
        assert_eq!(store.file("acme/le/account.json").expect("nothing"), None);
        fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn a_folder_put_there_by_hand_is_a_group() {
        let folder = folder("hand");
        let store = FileStore::new(&folder);
        let place = folder.join("c/a.test");
        fs::create_dir_all(&place).expect("a folder");
        fs::write(place.join("chain.pem"), "old").expect("ours");
        assert_eq!(store.groups("c").expect("listed"), ["a.test"]);
        let files = store.group("c/a.test").expect("read").expect("there");
        assert_eq!(files, [("chain.pem".to_owned(), b"old".to_vec())]);
        store
            .put_group("c/a.test", &[("chain.pem", b"new")])
            .expect("written");
        let files = store.group("c/a.test").expect("read").expect("there");
        assert_eq!(files, [("chain.pem".to_owned(), b"new".to_vec())]);
        fs::remove_dir_all(folder).expect("ours");
    }

    const CHILD: &str = "HOTGATE_TEST_STORE";
    const SIZE: usize = 3000;

    /// No test of its own: what the next one starts and kills.
    #[test]
    fn writes_until_killed() {
        let Some(folder) = std::env::var_os(CHILD) else {
            return;
        };
        let store = FileStore::new(Path::new(&folder));
        for round in 0u64.. {
            let text = format!("{round:x}\n").repeat(SIZE);
            let octets = text.as_bytes();
            store
                .put_group("c/a.test", &[("chain.pem", octets), ("key.pem", octets)])
                .expect("written");
            store.put_file("account.json", octets).expect("written");
            println!("wrote {round}");
        }
    }

    #[test]
    fn a_kill_at_any_point_leaves_one_whole_version() {
        let folder = folder("kill");
        let store = FileStore::new(&folder);
        let program = std::env::current_exe().expect("this program");
        for kill in 0..200u64 {
            let mut child = Command::new(&program)
                .args(["--exact", "--nocapture"])
                .arg("control::certificates::storage::tests::writes_until_killed")
                .env(CHILD, &folder)
                .stdout(Stdio::piped())
                .spawn()
                .expect("this program again");
            // Held until the end: a closed pipe would end the child by a panic of its own.
            let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
            let written = lines
                .by_ref()
                .map(|line| line.expect("a line"))
                .filter(|line| line.contains("wrote"))
                .nth(usize::try_from(kill % 3).expect("small"));
            assert!(written.is_some(), "the child writes");
            // At another point of a write each time.
            let until = Instant::now() + Duration::from_micros(kill * 97 % 4000);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            child.kill().expect("it runs until then");
            child.wait().expect("it is ours");
            let files = store.group("c/a.test").expect("read").expect("there");
            let [(_, chain), (_, key)] = &files[..] else {
                panic!("kill {kill}: {} files", files.len());
            };
            assert_eq!(chain, key, "kill {kill}");
            let account = store.file("account.json").expect("read").expect("there");
            for text in [chain, &account] {
                let text = std::str::from_utf8(text).expect("text");
                let first = text.lines().next().expect("a line");
                assert_eq!(text, format!("{first}\n").repeat(SIZE), "kill {kill}");
            }
        }
        // What the killed ones left half made is gone after the next version.
        store
            .put_group("c/a.test", &[("chain.pem", b"x")])
            .expect("written");
        let left = fs::read_dir(folder.join("c")).expect("there").count();
        assert!(left <= 3, "{left} entries");
        fs::remove_dir_all(folder).expect("ours");
    }
}
