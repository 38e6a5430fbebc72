//! What a configuration may ask of this machine: the environment, files, credentials, our own addresses.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};

use super::files;
use crate::config::{Reference, Surroundings};

/// The machine that this process runs on.
pub const MACHINE: Surroundings<'static> = Surroundings {
    lookup: &lookup,
    is_own_address: &is_own_address,
};

fn lookup(reference: &Reference) -> Result<Option<String>, String> {
    match reference {
        Reference::Variable(name) => match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err("its value is not UTF-8".to_owned()),
        },
        Reference::File(path) => secret(path),
        Reference::Credential(name) => match std::env::var_os("CREDENTIALS_DIRECTORY") {
            Some(folder) => secret(&PathBuf::from(folder).join(name)),
            None => Err(format!(
                "systemd passes no credentials here; a unit has them by LoadCredential={name}:PATH"
            )),
        },
    }
}

/// A file's text without its last line end, which editors add.
fn secret(path: &Path) -> Result<Option<String>, String> {
    let text = files::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("{} is not there", path.display()),
        io::ErrorKind::PermissionDenied => format!("{}: permission denied", path.display()),
        _ => format!("{}: {error}", path.display()),
    })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Some(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

/// An address can be bound here if, and only if, it is ours.
fn is_own_address(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_ours() {
        for (address, expected) in [
            ("127.0.0.1", true),
            ("127.1.2.3", true),
            ("0.0.0.0", true),
            ("192.0.2.200", false),
        ] {
            let ip = address.parse().expect("the row is an address");
            assert_eq!(is_own_address(ip), expected, "{address}");
        }
    }

    #[test]
    fn a_secret_loses_one_line_end() {
        let path = std::env::temp_dir().join(format!("hotgate-secret-{}", std::process::id()));
        for (text, expected) in [
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            ("a", "a"),
            ("", ""),
        ] {
            std::fs::write(&path, text).expect("a temporary file");
            assert_eq!(secret(&path), Ok(Some(expected.to_owned())), "{text:?}");
        }
        std::fs::remove_file(&path).expect("ours");
        assert!(secret(&path).expect_err("gone").ends_with("is not there"));
    }
}
