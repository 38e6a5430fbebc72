//! The programs that are measured against or that make the load: where they are, and which version.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use super::fault::Fault;

/// A proxy to compare with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// nginx.
    Nginx,
    /// HAProxy.
    Haproxy,
}

impl Kind {
    /// All that are known.
    pub(super) const ALL: [Kind; 2] = [Kind::Nginx, Kind::Haproxy];

    /// The program's name, which is also that of its package.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Nginx => "nginx",
            Kind::Haproxy => "haproxy",
        }
    }
}

/// A rival as it was named: `nginx`, or `nginx=/opt/nginx/sbin/nginx`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Named {
    /// What it is.
    pub(super) kind: Kind,
    /// Where it is, if it was said.
    pub(super) path: Option<PathBuf>,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Named, String> {
        let (name, path) = match text.split_once('=') {
            Some((name, path)) => (name, Some(PathBuf::from(path))),
            None => (text, None),
        };
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        let known = Kind::ALL.map(Kind::name).join(", ");
        let kind = kind.ok_or(format!("a rival is one of {known}, or NAME=/path/to/it"))?;
        Ok(Named { kind, path })
    }
}

/// A program that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Program {
    /// Its name.
    pub(super) name: &'static str,
    /// Where it is.
    pub(super) path: PathBuf,
    /// What it says of its version, and of how it was built.
    pub(super) version: String,
}

/// Finds a rival.
///
/// # Errors
///
/// [`Fault::Missing`].
pub(super) fn rival(named: &Named) -> Result<Program, Fault> {
    let name = named.kind.name();
    let flag = match named.kind {
        Kind::Nginx => "-V",
        Kind::Haproxy => "-v",
    };
    find(name, name, named.path.as_deref(), flag)
}

/// Finds wrk.
///
/// # Errors
///
/// [`Fault::Missing`].
pub(super) fn wrk() -> Result<Program, Fault> {
    find("wrk", "wrk", None, "-v")
}

/// Finds oha.
///
/// # Errors
///
/// [`Fault::Missing`].
pub(super) fn oha() -> Result<Program, Fault> {
    find("oha", "oha", None, "--version")
}

fn find(
    name: &'static str,
    package: &'static str,
    named: Option<&Path>,
    flag: &str,
) -> Result<Program, Fault> {
    let path = match named {
        Some(path) => is_executable(path).then(|| path.to_owned()),
        None => on_path(name, std::env::var_os("PATH").as_deref()),
    };
    let path = path.ok_or(Fault::Missing {
        program: name,
        package,
        named: named.map(Path::to_owned),
    })?;
    let output = Command::new(&path)
        .arg(flag)
        .stdin(Stdio::null())
        .output()
        .map_err(Fault::while_doing(format!("starting {}", path.display())))?;
    // nginx tells its version on standard error; wrk ends with 1 after it.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(Program {
        name,
        path,
        version: text,
    })
}

impl Program {
    /// The first line of what it says, without its advertisement.
    pub(super) fn version_line(&self) -> &str {
        let line = self.version.lines().next().unwrap_or_default();
        let line = line.strip_prefix("nginx version: ").unwrap_or(line);
        line.split(" - http").next().unwrap_or(line).trim()
    }
}

/// Where a program is: on the PATH, else where administrators' programs are, which a plain user's PATH leaves out.
fn on_path(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let folders = path.map(|path| std::env::split_paths(path).collect::<Vec<_>>());
    // With an empty PATH the user has said that there are no programs.
    let administrators = path
        .filter(|path| !path.is_empty())
        .map(|_| PathBuf::from("/usr/sbin"));
    let folders = folders
        .unwrap_or_default()
        .into_iter()
        .chain(administrators);
    folders
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rivals_are_named_with_or_without_a_path() {
        #[track_caller]
        fn check(text: &str, kind: Kind, path: Option<&str>) {
            let path = path.map(PathBuf::from);
            assert_eq!(text.parse(), Ok(Named { kind, path }));
        }
        check("nginx", Kind::Nginx, None);
        check("haproxy", Kind::Haproxy, None);
        check(
            "nginx=/opt/nginx/sbin/nginx",
            Kind::Nginx,
            Some("/opt/nginx/sbin/nginx"),
        );
        let refused = "caddy".parse::<Named>().expect_err("not known");
        assert!(refused.contains("nginx, haproxy"), "{refused}");
        assert!("=/x".parse::<Named>().is_err());
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert_eq!(
            on_path("sh", Some(OsStr::new("/nowhere:/bin"))),
            Some(PathBuf::from("/bin/sh"))
        );
        assert_eq!(on_path("sh", Some(OsStr::new(""))), None);
        assert_eq!(on_path("sh", None), None);
        assert_eq!(on_path("no-such-program", Some(OsStr::new("/bin"))), None);
    }

    #[test]
    fn versions_are_one_line() {
        #[track_caller]
        fn check(says: &str, expected: &str) {
            let program = Program {
                name: "x",
                path: PathBuf::new(),
                version: says.to_owned(),
            };
            assert_eq!(program.version_line(), expected);
        }
        check(
            "nginx version: nginx/1.22.1\nbuilt with x\n",
            "nginx/1.22.1",
        );
        check(
            "HAProxy version 2.6.12-1 2026/10/17 - https://haproxy.org/\nStatus\n",
            "HAProxy version 2.6.12-1 2026/10/17",
        );
        check("", "");
    }
}
