//! `hotgate certs renew NAME`: a request that one process leaves in the state folder and the running one takes up.
//!
//! One empty file a name, `renew/FOLDER`; gone once it was taken up. Who may write into the state folder may ask.

use std::io;

use crate::control::certificates::name::CertName;
use crate::control::certificates::storage::Storage;

/// Where requests are.
const PLACE: &str = "renew";

/// Leaves a request.
///
/// # Errors
///
/// The state folder cannot be written.
pub fn ask(storage: &dyn Storage, name: &CertName) -> io::Result<()> {
    storage.put_file(&place(name), b"")
}

/// Has this request not been taken up yet?
pub fn is_waiting(storage: &dyn Storage, name: &CertName) -> bool {
    matches!(storage.file(&place(name)), Ok(Some(_)))
}

/// Takes up what was asked for.
pub fn take(storage: &dyn Storage) -> Vec<CertName> {
    let found = storage.files(PLACE).unwrap_or_default();
    let mut names = Vec::new();
    for file in found {
        let taken = storage.forget_file(&format!("{PLACE}/{file}"));
        match (CertName::of_folder(&file), taken) {
            (Some(name), Ok(())) => names.push(name),
            (None, Ok(())) => {}
            // It would be asked for again and again.
            (_, Err(error)) => tracing::warn!("cannot take up the request {PLACE}/{file}: {error}"),
        }
    }
    names
}

fn place(name: &CertName) -> String {
    format!("{PLACE}/{}", name.folder())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::certificates::storage::FileStore;

    #[test]
    fn what_is_asked_for_is_taken_up_once() {
        let folder = std::env::temp_dir().join(format!("hotgate-renew-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let store = FileStore::new(&folder);
        assert!(take(&store).is_empty());
        let names =
            ["*.example.com", "a.example.com"].map(|text| CertName::parse(text).expect("a name"));
        for name in &names {
            ask(&store, name).expect("written");
            ask(&store, name).expect("written");
            assert!(is_waiting(&store, name));
        }
        let mut taken = take(&store);
        taken.sort();
        assert_eq!(taken, names);
        assert!(take(&store).is_empty() && !is_waiting(&store, &names[0]));
        std::fs::remove_dir_all(folder).expect("ours");
    }
}
