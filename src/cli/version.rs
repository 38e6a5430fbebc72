//! `hotgate version`: what this binary is, and with `-v` what it runs on.

use serde_json::json;

use super::Exit;
use super::json::print_facts;
use super::talk::print;
use crate::config::Backend;
use crate::control::limits::usable_cpus;
use crate::net::ladder;

/// The libraries that a report of a fault should name.
const LIBRARIES: [&str; 7] = [
    "monoio", "io-uring", "tokio", "hyper", "toml", "clap", "mimalloc",
];
/// Of the build: the versions are those that were compiled in.
const LOCK: &str = include_str!("../../Cargo.lock");

/// Prints the version; more with `is_verbose`.
pub(super) fn version(is_verbose: bool, is_json: bool) -> Exit {
    let version = env!("CARGO_PKG_VERSION");
    if !is_verbose && !is_json {
        print(&format!("hotgate {version}\n"));
        return Exit::Fine;
    }
    let commit = option_env!("HOTGATE_COMMIT").unwrap_or("unknown");
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let uname = rustix::system::uname();
    let kernel = uname.release().to_string_lossy().into_owned();
    let (backend, refused) = granted();
    let libraries: Vec<(&str, &str)> = LIBRARIES
        .iter()
        .filter_map(|name| Some((*name, locked(name)?)))
        .collect();
    if is_json {
        let libraries: serde_json::Map<String, serde_json::Value> = libraries
            .iter()
            .map(|(name, version)| ((*name).to_owned(), json!(version)))
            .collect();
        print_facts(json!({
            "hotgate": version,
            "commit": commit,
            "target": target,
            "profile": profile,
            "kernel": kernel,
            "cpus": usable_cpus(),
            "backend": backend,
            "refused": refused,
            "libraries": libraries,
        }));
        return Exit::Fine;
    }
    let mut text = format!("hotgate {version}\n");
    let libraries: Vec<String> = libraries
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    for (name, value) in [
        ("commit", commit.to_owned()),
        ("target", format!("{target}, {profile}")),
        (
            "kernel",
            format!("{kernel}, {} usable CPU(s)", usable_cpus()),
        ),
        ("backend", backend),
        (
            "refused",
            match refused.is_empty() {
                true => "nothing better".to_owned(),
                false => refused.join("; "),
            },
        ),
        ("libraries", libraries.join(", ")),
    ] {
        text += &format!("  {name:9}  {value}\n");
    }
    print(&text);
    Exit::Fine
}

/// What the kernel grants a worker, and what it refuses: tried on a thread of its own, as a worker would.
fn granted() -> (String, Vec<String>) {
    let tried = std::thread::spawn(|| {
        let mut granted = None;
        let ran = ladder::block_on(Backend::Auto, |found| {
            granted = Some(found);
            async {}
        });
        ran.map(|()| granted)
    });
    match tried.join() {
        Ok(Ok(Some(granted))) => (
            granted.rung.as_str().to_owned(),
            granted
                .refused
                .into_iter()
                .map(|(rung, why)| format!("{}: {why}", rung.as_str()))
                .collect(),
        ),
        Ok(Err(error)) => (format!("none: {error}"), Vec::new()),
        Ok(Ok(None)) | Err(_) => ("unknown".to_owned(), Vec::new()),
    }
}

/// The version of a package in the lock file: its `version` line follows its `name` line.
fn locked(name: &str) -> Option<&'static str> {
    let (_, rest) = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_library_is_in_the_lock_file() {
        for name in LIBRARIES {
            let version = locked(name).expect(name);
            assert!(
                version.starts_with(|c: char| c.is_ascii_digit()),
                "{name} {version}"
            );
        }
    }
}
