//! Where the certificates of a configuration are kept, for verbs that run beside the service.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::control::files::{self, MACHINE_FILE};
use crate::control::last_good::state_folder;

/// The service's state folder, as systemd makes it.
pub const MACHINE_STATE: &str = "/var/lib/hotgate";

/// A state folder.
pub struct Place {
    /// Where.
    pub folder: PathBuf,
    /// This user may read and write in it, or make it.
    pub is_open: bool,
}

/// That of the configuration that these `-c` name: the machine's for the machine's file, whoever asks; else the user's.
pub fn of(named: &[PathBuf]) -> Option<Place> {
    let own = state_folder();
    let machine = Path::new(MACHINE_STATE);
    let is_machines = || {
        let files = files::find(named)
            .map(|files| files.found)
            .unwrap_or_default();
        files
            .first()
            .is_some_and(|found| found.path == Path::new(MACHINE_FILE))
    };
    let is_told = std::env::var_os("STATE_DIRECTORY").is_some();
    let folder = match !is_told && machine.is_dir() && is_machines() {
        true => machine.to_owned(),
        false => own?,
    };
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    let is_there = folder.symlink_metadata().is_ok();
    let is_open = !is_there || access(&folder, wanted).is_ok();
    Some(Place { folder, is_open })
}
