//! `acme.on_change`: run after a certificate changed, one at a time, in the order of the changes.

use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::command::run;
use crate::control::certificates::name::CertName;

/// How long one run may take.
const HOOK_LIMIT: Duration = Duration::from_secs(60);

/// A certificate that changed.
#[derive(Debug)]
pub struct Change {
    /// Its name.
    pub name: CertName,
    /// Where the chain is.
    pub chain: String,
    /// Where the key is.
    pub key: String,
}

/// Starts what runs a command line for each change; it ends, and what is under way with it, when the runtime does.
///
/// The command has `HOTGATE_NAME` (`*.` and all), `HOTGATE_CERT` and `HOTGATE_KEY` (paths of PEM files) in its
/// environment.
pub fn start(line: String) -> UnboundedSender<Change> {
    let (send, changes) = unbounded_channel();
    tokio::spawn(run_for(line, changes));
    send
}

async fn run_for(line: String, mut changes: UnboundedReceiver<Change>) {
    while let Some(change) = changes.recv().await {
        let name = change.name.to_string();
        let environment = [
            ("HOTGATE_NAME", name.as_str()),
            ("HOTGATE_CERT", change.chain.as_str()),
            ("HOTGATE_KEY", change.key.as_str()),
        ];
        match run(&line, &environment, HOOK_LIMIT).await {
            Ok(()) => tracing::info!("acme.on_change for {name}: exit status: 0"),
            Err(fault) => tracing::warn!("acme.on_change for {name}: {fault}"),
        }
    }
}
