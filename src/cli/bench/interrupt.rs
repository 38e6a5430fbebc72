//! Ctrl-C and SIGTERM: nothing that `bench` started outlives it.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use super::process::end_all;

/// From here on SIGINT and SIGTERM end what runs, remove `folder`, and end this process with 1.
///
/// # Errors
///
/// The handlers cannot be installed.
pub(super) fn end_on_signals(folder: PathBuf) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        end_all(&folder);
    });
    Ok(())
}
