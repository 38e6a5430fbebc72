//! Waits until the servers of a zone show a record, because the authority asks them next.
//!
//! The zone's own servers are asked, never a cache: one that has heard "no such record" would repeat it for the zone's
//! negative TTL.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::rr::RecordType;
use tokio::time::{Instant, sleep};

use super::record::Record;
use super::resolver::{Resolver, ask_at, texts};

/// Between two rounds of questions.
const ROUND_PAUSE: Duration = Duration::from_secs(1);
/// As many servers are asked; a zone has two to eight, each with one or two addresses.
const SERVERS_MAX: usize = 16;
/// When by then no server has answered at all, this machine cannot ask (a firewall, a network without port 53), and
/// the authority is asked on good faith.
const SILENCE_LIMIT: Duration = Duration::from_secs(20);

/// A server did not show the record in time.
#[derive(Clone, PartialEq, Debug)]
pub struct NotSeen {
    /// The last that did not: its name and address.
    pub server: String,
}

struct Server {
    name: String,
    address: SocketAddr,
    is_cache: bool,
    has_answered: bool,
    shows_it: bool,
}

/// Waits until every server that answers shows the record.
///
/// # Errors
///
/// One that answers did not show it within `limit`.
pub async fn until_seen(
    resolver: &Resolver,
    record: &Record,
    limit: Duration,
) -> Result<(), NotSeen> {
    let began = Instant::now();
    let mut servers = servers_for(resolver, &record.name).await;
    loop {
        for server in servers.iter_mut().filter(|server| !server.shows_it) {
            let asked = ask_at(
                server.address,
                &record.name,
                RecordType::TXT,
                server.is_cache,
            )
            .await;
            if let Ok(answer) = asked {
                server.has_answered = true;
                server.shows_it = texts(&answer).contains(&record.value);
            }
        }
        let has_any = servers.iter().any(|server| server.has_answered);
        let missing = servers
            .iter()
            .find(|server| server.has_answered && !server.shows_it);
        match missing {
            None if has_any => return Ok(()),
            None if began.elapsed() >= SILENCE_LIMIT.min(limit) => {
                tracing::warn!(
                    "no server of {} answers us; the authority is asked all the same",
                    record.name
                );
                return Ok(());
            }
            Some(server) if began.elapsed() >= limit => {
                return Err(NotSeen {
                    server: server.name.clone(),
                });
            }
            None | Some(_) => sleep(ROUND_PAUSE).await,
        }
    }
}

/// The zone's servers; where they cannot be found out, the resolvers.
async fn servers_for(resolver: &Resolver, name: &str) -> Vec<Server> {
    let mut found = resolver.servers_of(name).await;
    found.truncate(SERVERS_MAX);
    let is_cache = found.is_empty();
    if is_cache {
        found = resolver
            .servers()
            .iter()
            .map(|address| (address.to_string(), *address))
            .collect();
    }
    let server = |(name, address)| Server {
        name,
        address,
        is_cache,
        has_answered: false,
        shows_it: false,
    };
    found.into_iter().map(server).collect()
}
