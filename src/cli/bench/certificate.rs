//! The certificate that all proxies of a bench show: ECDSA on P-256, made anew each time, of no authority.

use std::io;
use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

use super::fault::Fault;
use super::process::Folder;

/// The one name in it, which clients ask for.
pub(super) const NAME: &str = "bench.test";

/// A certificate and its key, as files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Certificate {
    /// The certificate, PEM.
    pub(super) chain: PathBuf,
    /// Its key, PEM.
    pub(super) key: PathBuf,
    /// Both in one file, as HAProxy reads them.
    pub(super) both: PathBuf,
}

impl Certificate {
    /// Makes one in `folder`, which only this user may enter.
    ///
    /// # Errors
    ///
    /// There is no randomness, or a file cannot be written.
    pub(super) fn make(folder: &Folder) -> Result<Certificate, Fault> {
        let (chain, key) = pair().map_err(|error| Fault::System {
            doing: "making a certificate".to_owned(),
            error: io::Error::other(error),
        })?;
        Ok(Certificate {
            chain: folder.write("bench.pem", &chain)?,
            key: folder.write("bench-key.pem", &key)?,
            both: folder.write("bench-both.pem", &format!("{chain}{key}"))?,
        })
    }

    /// One that is nowhere, for configurations that nobody reads.
    #[cfg(test)]
    pub(super) fn nowhere() -> Certificate {
        Certificate {
            chain: PathBuf::from("/f/bench.pem"),
            key: PathBuf::from("/f/bench-key.pem"),
            both: PathBuf::from("/f/bench-both.pem"),
        }
    }
}

/// A certificate and its key in PEM.
fn pair() -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let params = CertificateParams::new(vec![NAME.to_owned()])?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}
