//! May the service's user reach what the configuration names? Tried by root, as that user.
//!
//! A thread of its own drops groups and ids (each thread has its own, for the kernel) and then really asks, so that
//! folders above, access lists and mount options count. The thread ends with its answers.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io, thread};

use rustix::fs::{Access, access};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::finding::{Finding, Mark};
use super::users::{User, current, group_name};
use crate::config::{Action, CertificateSource, ClientAuth, Config, EndpointAddress, LogTarget};
use crate::control::last_good::state_folder;

/// The bit by which a file is readable for everybody.
const OTHERS_READ: u32 = 0o004;

/// A path and what the service does with it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    path: PathBuf,
    use_of: Use,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// A file is read.
    Read,
    /// A folder's files are listed and read.
    List,
    /// A socket is connected to.
    Connect,
    /// A file is appended to, or made.
    Append,
    /// Files are made in a folder.
    Fill,
}

/// Where the access log is when nobody says another place.
const LOG_FOLDER: &str = "/var/log/hotgate";

/// What stands in the way.
struct Obstacle {
    path: PathBuf,
    /// In the letters of `setfacl`.
    lacks: &'static str,
    is_missing: bool,
}

/// Tries every named path as `user`; `files` are those of the configuration. Only root may ask.
pub fn access_of(user: &User, config: &Config, files: &[PathBuf]) -> Vec<Finding> {
    let named = named(config, files);
    let (asked, who) = (named.clone(), user.clone());
    let answers = thread::spawn(move || {
        become_user(&who)?;
        Ok(asked.iter().map(obstacle).collect::<Vec<_>>())
    });
    let answers: io::Result<Vec<Option<Obstacle>>> = answers
        .join()
        .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
    match answers {
        Ok(answers) => named
            .iter()
            .zip(&answers)
            .map(|(named, obstacle)| finding(user, named, obstacle.as_ref()))
            .collect(),
        Err(error) => vec![Finding::new(
            Mark::Warning,
            "access",
            user.name.clone(),
            format!("cannot try as this user: {error}"),
        )],
    }
}

/// Files with secrets that everybody may read.
pub fn open_secrets(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    for path in &config.secret_files {
        let is_open = fs::metadata(path).is_ok_and(|file| file.mode() & OTHERS_READ != 0);
        if is_open {
            let shown = path.display().to_string();
            found.push(
                Finding::new(
                    Mark::Warning,
                    "open-secret",
                    shown,
                    "every user of this machine may read it",
                )
                .mend(format!("chmod o-r {}", quoted(path))),
            );
        }
    }
    found
}

/// Who this process runs as, and what lets him read a file that he may not.
pub fn mend_for_reading(path: &Path) -> (String, String) {
    let user = current();
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let named = Named {
        path,
        use_of: Use::Read,
    };
    let mend = obstacle(&named).map(|obstacle| mend(&user, &obstacle));
    (user.name.clone(), mend.unwrap_or_default())
}

fn named(config: &Config, files: &[PathBuf]) -> Vec<Named> {
    let mut named: Vec<Named> = Vec::new();
    let mut add = |path: &Path, use_of: Use| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let entry = Named { path, use_of };
        if !named.contains(&entry) {
            named.push(entry);
        }
    };
    for file in files {
        add(file, Use::Read);
        let drop_ins = file.with_file_name("sites.d");
        if drop_ins.is_dir() {
            add(&drop_ins, Use::List);
        }
    }
    for file in &config.secret_files {
        add(file, Use::Read);
    }
    for site in config.sites.iter().filter(|site| site.is_https()) {
        if let CertificateSource::Files(pairs) = &site.tls.source {
            for pair in pairs {
                add(&pair.cert, Use::Read);
                add(&pair.key, Use::Read);
            }
        }
        match &site.tls.client_auth {
            ClientAuth::Request(path) | ClientAuth::Require(path) => add(path, Use::Read),
            ClientAuth::Off => {}
        }
    }
    if let Some(path) = &config.acme.ca_root {
        add(path, Use::Read);
    }
    let routes = config.sites.iter().flat_map(|site| &site.routes);
    for route in routes {
        let upstream_tls = &route.settings.upstream_tls;
        if let Some(path) = &upstream_tls.ca {
            add(path, Use::Read);
        }
        if let Some(pair) = &upstream_tls.cert {
            add(&pair.cert, Use::Read);
            add(&pair.key, Use::Read);
        }
        let Action::Proxy(to) = &route.action else {
            continue;
        };
        for endpoint in &to.addresses {
            if let EndpointAddress::Unix(path) = endpoint {
                add(path, Use::Connect);
            }
        }
    }
    // systemd and the package make these two; what is not there is not asked for.
    let mut add_folder = |folder: &Path| {
        if folder.is_dir() {
            add(folder, Use::Fill);
        }
    };
    if let Some(folder) = state_folder() {
        add_folder(&folder);
    }
    match &config.log.access.path {
        LogTarget::File(path) => add(path, Use::Append),
        LogTarget::Default => add_folder(Path::new(LOG_FOLDER)),
        LogTarget::Stdout | LogTarget::Off => {}
    }
    named
}

fn become_user(user: &User) -> io::Result<()> {
    let groups: Vec<Gid> = user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let (gid, uid) = (Gid::from_raw(user.gid), Uid::from_raw(user.uid));
    set_thread_groups(&groups)?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// What keeps the calling thread's user from a path.
fn obstacle(named: &Named) -> Option<Obstacle> {
    let path = named.path.as_path();
    let (path, wanted, lacks) = match named.use_of {
        Use::Read => (path, Access::READ_OK, "r"),
        Use::List => (path, Access::READ_OK | Access::EXEC_OK, "rx"),
        Use::Connect => (path, Access::WRITE_OK, "rw"),
        Use::Append if path.exists() => (path, Access::WRITE_OK, "rw"),
        Use::Append => (path.parent()?, Access::WRITE_OK | Access::EXEC_OK, "rwx"),
        Use::Fill => (path, Access::WRITE_OK | Access::EXEC_OK, "rwx"),
    };
    if access(path, wanted).is_ok() {
        return None;
    }
    // The first folder from the root that may not be passed, else the path itself.
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    let closed = above.into_iter().find(|folder| {
        access(*folder, Access::EXEC_OK).is_err() && access(*folder, Access::EXISTS).is_ok()
    });
    Some(match closed {
        Some(folder) => Obstacle {
            path: folder.to_owned(),
            lacks: "x",
            is_missing: false,
        },
        None => Obstacle {
            path: path.to_owned(),
            lacks,
            is_missing: access(path, Access::EXISTS).is_err(),
        },
    })
}

fn finding(user: &User, named: &Named, obstacle: Option<&Obstacle>) -> Finding {
    let subject = named.path.display().to_string();
    let does = match named.use_of {
        Use::Read => "read it",
        Use::List => "list it",
        Use::Connect => "connect to it",
        Use::Append => "write it",
        Use::Fill => "write into it",
    };
    let Some(obstacle) = obstacle else {
        return Finding::new(
            Mark::Good,
            "access",
            subject,
            format!("{} may {does}", user.name),
        );
    };
    if obstacle.is_missing {
        return Finding::new(Mark::Warning, "access", subject, "it is not there")
            .mend("start the app that makes it, or mend the path");
    }
    let at = obstacle.path.display();
    Finding::new(
        Mark::Bad,
        "access",
        subject,
        format!("{} may not {does}: {at} keeps it out", user.name),
    )
    .mend(mend(user, obstacle))
}

/// The group where that is enough (a change of groups needs a restart), else an entry in the access list.
fn mend(user: &User, obstacle: &Obstacle) -> String {
    let by_group = fs::metadata(&obstacle.path).ok().and_then(|file| {
        let bits = (file.mode() >> 3) & 0o7;
        let wanted = obstacle.lacks.chars().fold(0, |bits, letter| {
            bits | match letter {
                'r' => 0o4,
                'w' => 0o2,
                _ => 0o1,
            }
        });
        // Root's group opens far more than one path.
        (bits & wanted == wanted && file.gid() != 0).then(|| group_name(file.gid()))?
    });
    match by_group {
        Some(group) => format!("adduser {} {group}   (and restart the service)", user.name),
        None => format!(
            "setfacl -m u:{}:{} {}",
            user.name,
            obstacle.lacks,
            quoted(&obstacle.path)
        ),
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    match text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
