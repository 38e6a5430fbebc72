//! Who believes in the local CA on this machine: the system's store, and the browsers' own.
//!
//! | kind | root goes to | and then |
//! |---|---|---|
//! | Debian, Ubuntu, Alpine | `/usr/local/share/ca-certificates/` | `update-ca-certificates` |
//! | Fedora, RHEL | `/etc/pki/ca-trust/source/anchors/` | `update-ca-trust extract` |
//! | Arch | `/etc/ca-certificates/trust-source/anchors/` | `trust extract-compat` |
//! | SUSE | `/etc/pki/trust/anchors/` | `update-ca-certificates` |
//! | Chromium, Firefox of the user (NSS) | their databases | `certutil` |
//!
//! curl, Python and most programs read the system's store; node does with `--use-openssl-ca` or `NODE_EXTRA_CA_CERTS`.
//! Doing it twice does it once, and everything says whether it changed anything.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the root is called in every store.
const NICKNAME: &str = "hotgate local CA";
/// The file of the root in the system's store, without its extension.
const FILE: &str = "hotgate-local-ca";

/// A store of the system.
struct System {
    folder: &'static str,
    extension: &'static str,
    refresh: &'static [&'static str],
    /// What it takes beside to forget what is gone.
    forget: &'static [&'static str],
}

const SYSTEMS: [System; 4] = [
    System {
        folder: "/etc/pki/ca-trust/source/anchors",
        extension: "pem",
        refresh: &["update-ca-trust", "extract"],
        forget: &[],
    },
    System {
        folder: "/etc/ca-certificates/trust-source/anchors",
        extension: "pem",
        refresh: &["trust", "extract-compat"],
        forget: &[],
    },
    System {
        folder: "/etc/pki/trust/anchors",
        extension: "pem",
        refresh: &["update-ca-certificates"],
        forget: &["--fresh"],
    },
    System {
        folder: "/usr/local/share/ca-certificates",
        extension: "crt",
        refresh: &["update-ca-certificates"],
        forget: &["--fresh"],
    },
];

/// Where browsers of a user have their databases: below his home, `*` for any folder.
const DATABASES: [&str; 7] = [
    ".pki/nssdb",
    "snap/chromium/current/.pki/nssdb",
    ".mozilla/firefox/*",
    ".config/mozilla/firefox/*",
    "snap/firefox/common/.mozilla/firefox/*",
    ".var/app/org.mozilla.firefox/.mozilla/firefox/*",
    ".var/app/org.chromium.Chromium/data/pki/nssdb",
];

/// A place that decides what is believed.
pub enum Store {
    /// The system's.
    System {
        /// Where the root is, or would be.
        file: PathBuf,
        /// What makes it known.
        refresh: &'static [&'static str],
        /// What it takes beside to forget what is gone.
        forget: &'static [&'static str],
    },
    /// A browser's database.
    Browser(PathBuf),
}

/// What was done with a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The root is in it now.
    Added,
    /// It was in it already.
    WasThere,
    /// It is no longer in it.
    Removed,
    /// It was not in it.
    WasNotThere,
    /// Only root may change it.
    NeedsRoot,
    /// It could not be done, for this reason.
    Failed(String),
}

impl Done {
    /// As `--json` has it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Done::Added => "added",
            Done::WasThere => "was_there",
            Done::Removed => "removed",
            Done::WasNotThere => "was_not_there",
            Done::NeedsRoot => "needs_root",
            Done::Failed(_) => "failed",
        }
    }
}

/// The stores of this machine, and of the user who asks: with sudo, of him who typed it. The system's comes first.
pub fn stores() -> Vec<Store> {
    let system = SYSTEMS
        .iter()
        .find(|system| Path::new(system.folder).is_dir());
    let system = system.map(|system| Store::System {
        file: Path::new(system.folder).join(format!("{FILE}.{}", system.extension)),
        refresh: system.refresh,
        forget: system.forget,
    });
    let mut databases = Vec::new();
    if let Some(home) = home() {
        for pattern in DATABASES {
            let folders = match pattern.strip_suffix("/*") {
                Some(above) => fs::read_dir(home.join(above))
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.path())
                    .collect(),
                None => vec![home.join(pattern)],
            };
            databases.extend(
                folders
                    .into_iter()
                    .filter(|folder| folder.join("cert9.db").exists()),
            );
        }
    }
    databases.sort();
    system
        .into_iter()
        .chain(databases.into_iter().map(Store::Browser))
        .collect()
}

/// The home of the user who asks.
fn home() -> Option<PathBuf> {
    match std::env::var("SUDO_USER") {
        Ok(user) if rustix::process::geteuid().is_root() && user != "root" => {
            let passwd = fs::read_to_string("/etc/passwd").ok()?;
            let line = passwd
                .lines()
                .find(|line| line.split(':').next() == Some(&user))?;
            line.split(':').nth(5).map(PathBuf::from)
        }
        Ok(_) | Err(_) => std::env::var_os("HOME").map(PathBuf::from),
    }
}

impl Store {
    /// As it is shown.
    pub fn shown(&self) -> String {
        match self {
            Store::System { file, .. } => file.display().to_string(),
            Store::Browser(folder) => format!("browser database {}", folder.display()),
        }
    }

    /// Has this root believed.
    pub fn add(&self, root_pem: &str) -> Done {
        match self {
            Store::System { file, refresh, .. } => {
                if fs::read_to_string(file).is_ok_and(|known| known == root_pem) {
                    return Done::WasThere;
                }
                finish(
                    write(file, root_pem).and_then(|()| run(refresh, &[])),
                    Done::Added,
                )
            }
            Store::Browser(folder) => {
                match self.known(folder) {
                    Ok(Some(known)) if is_same(&known, root_pem) => return Done::WasThere,
                    Ok(Some(_)) => {
                        if let Err(error) = certutil(folder, &["-D", "-n", NICKNAME], None) {
                            return Done::Failed(error.to_string());
                        }
                    }
                    Ok(None) => {}
                    Err(error) => return Done::Failed(error.to_string()),
                }
                let added = certutil(
                    folder,
                    &["-A", "-t", "C,,", "-n", NICKNAME, "-a"],
                    Some(root_pem),
                );
                finish(added.map(drop), Done::Added)
            }
        }
    }

    /// Has the root, whichever it is, no longer believed.
    pub fn remove(&self) -> Done {
        match self {
            Store::System {
                file,
                refresh,
                forget,
            } => match fs::remove_file(file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Done::WasNotThere,
                removed => finish(removed.and_then(|()| run(refresh, forget)), Done::Removed),
            },
            Store::Browser(folder) => match self.known(folder) {
                Ok(None) => Done::WasNotThere,
                Ok(Some(_)) => finish(
                    certutil(folder, &["-D", "-n", NICKNAME], None).map(drop),
                    Done::Removed,
                ),
                Err(error) => Done::Failed(error.to_string()),
            },
        }
    }

    /// The root that a browser's database has.
    fn known(&self, folder: &Path) -> io::Result<Option<String>> {
        match certutil(folder, &["-L", "-n", NICKNAME, "-a"], None) {
            Ok(text) => Ok(Some(text)),
            // It says so by its exit code alone, like every other fault: that the database can be read at all decides.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
            Err(_) => certutil(folder, &["-L"], None).map(|_| None),
        }
    }
}

fn finish(result: io::Result<()>, done: Done) -> Done {
    match result {
        Ok(()) => done,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Done::NeedsRoot,
        Err(error) => Done::Failed(error.to_string()),
    }
}

/// Readable by everybody: that is what it is for.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let part = file.with_extension("part");
    let mut made = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(&part)?;
    made.write_all(text.as_bytes())?;
    made.set_permissions(fs::Permissions::from_mode(0o644))?;
    made.sync_all()?;
    fs::rename(&part, file)
}

fn run(command: &[&str], more: &[&str]) -> io::Result<()> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let output = Command::new(program)
        .args(arguments)
        .args(more)
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::other(format!("{program} is not installed")),
        _ => error,
    })?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "{program}: {}",
            last_line(&output.stderr)
        ))),
    }
}

/// Runs certutil on a database, as the user whose it is. [`io::ErrorKind::NotFound`]: there is no certutil.
fn certutil(folder: &Path, arguments: &[&str], input: Option<&str>) -> io::Result<String> {
    let owner = fs::metadata(folder)?;
    let mut command = Command::new("certutil");
    command
        .arg("-d")
        .arg(format!("sql:{}", folder.display()))
        .args(arguments);
    if rustix::process::geteuid().is_root() && owner.uid() != 0 {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() {
        Stdio::piped()
    } else {
        Stdio::null()
    });
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(
            io::ErrorKind::NotFound,
            "certutil is not installed (apt install libnss3-tools, dnf install nss-tools)",
        ),
        _ => error,
    })?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // One that ends early says why by its exit code.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(io::Error::other(format!(
            "certutil: {}",
            last_line(&output.stderr)
        ))),
    }
}

fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    line.unwrap_or("it failed and said nothing")
        .trim()
        .to_owned()
}

/// The same certificate, whatever the line ends.
fn is_same(one: &str, other: &str) -> bool {
    let plain = |text: &str| text.split_whitespace().collect::<String>();
    plain(one) == plain(other)
}
