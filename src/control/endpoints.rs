//! The endpoints as workers get them: where they are, what is spoken to them, and what changes of it while we run.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use super::resolve::{self, Resolved, START_WAIT};
use super::upstream_tls::UpstreamFiles;
use super::whoami;
use crate::config::EndpointAddress;
use crate::policy::pipeline::Pipeline;
use crate::serve::snapshot::EndpointKey;
use crate::upstream::{Address, Endpoint, EndpointNumber, Endpoints, Security};

/// See the module.
pub(super) struct KnownEndpoints {
    list: Vec<Endpoint>,
    resolved: UnboundedReceiver<Resolved>,
    secured: UnboundedReceiver<Vec<(EndpointNumber, Security)>>,
    // So that neither ends before we do.
    _reports: (
        UnboundedSender<Resolved>,
        UnboundedSender<Vec<(EndpointNumber, Security)>>,
    ),
}

impl KnownEndpoints {
    /// The endpoints with what is known of them at the start, for which names are waited a moment.
    ///
    /// # Errors
    ///
    /// The built-in origin cannot be started.
    pub(super) async fn start(keys: &[EndpointKey]) -> io::Result<KnownEndpoints> {
        let (report, mut resolved) = unbounded_channel();
        let mut list = first_endpoints(keys, &report, &mut resolved).await?;
        let (report_files, secured) = unbounded_channel();
        let files = UpstreamFiles::read(keys);
        files.warn();
        for (number, made) in files.securities() {
            list[number.index()].security = made.unwrap_or(Security::Unusable);
        }
        tokio::spawn(files.watch(report_files.clone()));
        Ok(KnownEndpoints {
            list,
            resolved,
            secured,
            _reports: (report, report_files),
        })
    }

    /// As they are now.
    pub(super) fn publication(&self) -> Arc<Endpoints> {
        Arc::new(Endpoints::new(self.list.clone()))
    }

    /// Waits until something of them is different. **Cancellation**: nothing is lost.
    pub(super) async fn changed(&mut self) {
        loop {
            tokio::select! {
                Some(change) = self.resolved.recv() => {
                    let endpoint = &mut self.list[change.endpoint.index()];
                    note_resolution(endpoint, &change);
                    if endpoint.addresses != change.addresses {
                        endpoint.addresses = change.addresses;
                        return;
                    }
                }
                Some(changes) = self.secured.recv() => {
                    for (number, security) in changes {
                        self.list[number.index()].security = security;
                    }
                    return;
                }
            }
        }
    }
}

async fn first_endpoints(
    keys: &[EndpointKey],
    report: &UnboundedSender<Resolved>,
    resolved: &mut UnboundedReceiver<Resolved>,
) -> io::Result<Vec<Endpoint>> {
    let mut endpoints = Vec::new();
    let mut awaited = 0;
    for (key, number) in keys.iter().zip(0u32..) {
        let (address, addresses) = match key {
            EndpointKey::Whoami => {
                let address = whoami::start().await?;
                (
                    EndpointAddress::Port(address.port()),
                    vec![Address::Tcp(address)],
                )
            }
            EndpointKey::Address(address, ..) => (
                address.clone(),
                resolve::literal(address).unwrap_or_default(),
            ),
        };
        if let (EndpointAddress::Tcp { host, port } | EndpointAddress::Https { host, port }, true) =
            (&address, addresses.is_empty())
        {
            let number = EndpointNumber(number);
            tokio::spawn(resolve::watch(number, host.clone(), *port, report.clone()));
            awaited += 1;
        }
        let security = match &address {
            // Until it is known how: nothing goes to it in the clear.
            EndpointAddress::Https { .. } => Security::Unusable,
            EndpointAddress::Port(_) | EndpointAddress::Tcp { .. } | EndpointAddress::Unix(_) => {
                Security::Plain
            }
        };
        // What it is called depends on its address alone.
        let key = EndpointKey::Address(address, Pipeline::Off, None);
        endpoints.push(Endpoint {
            label: key.label().into(),
            authority: key.authority().into(),
            addresses,
            security,
        });
    }
    let deadline = Instant::now() + START_WAIT;
    while awaited > 0 {
        let Ok(Some(first)) = timeout_at(deadline, resolved.recv()).await else {
            break;
        };
        let endpoint = &mut endpoints[first.endpoint.index()];
        note_resolution(endpoint, &first);
        endpoint.addresses = first.addresses;
        awaited -= 1;
    }
    if awaited > 0 {
        tracing::warn!(
            "{awaited} upstream name(s) not resolved yet; their sites answer 503 until they are"
        );
    }
    Ok(endpoints)
}

fn note_resolution(endpoint: &Endpoint, change: &Resolved) {
    let label = &endpoint.label;
    match (&change.failure, endpoint.addresses.is_empty()) {
        (None, _) => tracing::info!("upstream {label} resolves to {:?}", change.addresses),
        (Some(why), true) => {
            tracing::warn!("upstream {label} does not resolve: {why}; its sites answer 503")
        }
        (Some(why), false) => {
            tracing::warn!("upstream {label} no longer resolves: {why}; its last addresses stay")
        }
    }
}
