//! The state folder, for verbs that look into it beside the service.

use std::path::PathBuf;
use std::sync::Arc;

use super::Exit;
use super::columns::visible;
use super::talk::say;
use crate::control::certificates::place::{self, Place};
use crate::control::certificates::storage::{FileStore, Storage};

/// Where certificates are kept, if this user may look.
pub(super) fn store(named: &[PathBuf]) -> Result<Arc<dyn Storage>, Exit> {
    let Some(Place { folder, is_open }) = place::of(named) else {
        say("there is no state folder: neither XDG_STATE_HOME nor HOME is set");
        return Err(Exit::Failed);
    };
    if !is_open {
        let command: Vec<String> = std::env::args().skip(1).collect();
        say(&format!(
            "{} is open to root and the service alone\n  = try: sudo hotgate {}",
            folder.display(),
            visible(&command.join(" "))
        ));
        return Err(Exit::Permission);
    }
    Ok(Arc::new(FileStore::new(&folder)))
}
