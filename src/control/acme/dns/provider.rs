//! One provider of records: the configuration's, made ready.

use std::time::Duration;

use super::cloudflare::Cloudflare;
use super::desec::Desec;
use super::exec::Exec;
use super::hetzner::Hetzner;
use super::propagation::{self, NotSeen};
use super::record::{Record, RecordFault};
use super::resolver::Resolver;
use super::rfc2136::Rfc2136;
use crate::config::DnsProvider;
use crate::control::acme::failure::Failure;
use crate::control::acme::http_client::HttpClient;
use crate::http::authority::HostName;

/// What the record's name begins with (RFC 8555 §8.4).
const CHALLENGE_LABEL: &str = "_acme-challenge";
/// How long the servers of a zone may take to show a record.
pub const PROPAGATION_LIMIT: Duration = Duration::from_secs(180);

/// Writes records, and knows whom to ask whether they are seen.
pub struct Provider {
    service: Service,
    resolver: Resolver,
}

enum Service {
    Cloudflare(Cloudflare),
    Hetzner(Hetzner),
    Desec(Desec),
    Rfc2136(Rfc2136),
    Exec(Exec),
}

impl Provider {
    /// That of the configuration.
    ///
    /// # Errors
    ///
    /// A key or an algorithm cannot be used.
    pub fn new(
        config: &DnsProvider,
        client: &HttpClient,
        resolver: &Resolver,
    ) -> Result<Provider, RecordFault> {
        let api =
            |api: &Option<String>, usual: &str| api.clone().unwrap_or_else(|| usual.to_owned());
        let service =
            match config {
                DnsProvider::Cloudflare { token, api: base } => Service::Cloudflare(
                    Cloudflare::new(client.clone(), api(base, Cloudflare::API), token),
                ),
                DnsProvider::Hetzner { token, api: base } => {
                    Service::Hetzner(Hetzner::new(client.clone(), api(base, Hetzner::API), token))
                }
                DnsProvider::Desec { token, api: base } => {
                    Service::Desec(Desec::new(client.clone(), api(base, Desec::API), token))
                }
                DnsProvider::Rfc2136 {
                    server,
                    key_name,
                    algorithm,
                    key,
                } => Service::Rfc2136(Rfc2136::new(server, key_name, algorithm, key)?),
                DnsProvider::Exec { command } => Service::Exec(Exec::new(command)),
            };
        Ok(Provider {
            service,
            resolver: resolver.clone(),
        })
    }

    /// As `acme.dns.provider` has it.
    pub fn name(&self) -> &'static str {
        match self.service {
            Service::Cloudflare(_) => "cloudflare",
            Service::Hetzner(_) => "hetzner",
            Service::Desec(_) => "desec",
            Service::Rfc2136(_) => "rfc2136",
            Service::Exec(_) => "exec",
        }
    }

    /// Writes the record for this host and waits until the servers of its zone show it.
    ///
    /// # Errors
    ///
    /// The provider refuses, or the servers do not show the record; then it is removed again. **Cancellation**: the
    /// record may stay.
    pub async fn put(&self, host: &HostName, value: String) -> Result<Record, Failure> {
        let name = self.record_name(host).await;
        let record = Record { name, value };
        self.add(&record)
            .await
            .map_err(|fault| self.failure(&fault))?;
        match propagation::until_seen(&self.resolver, &record, PROPAGATION_LIMIT).await {
            Ok(()) => Ok(record),
            Err(NotSeen { server }) => {
                if let Err(fault) = self.remove(&record).await {
                    tracing::warn!(
                        "the record {} could not be removed by {}: {fault}",
                        record.name,
                        self.name()
                    );
                }
                Err(Failure::NotSeen {
                    record: record.name,
                    server,
                    limit: PROPAGATION_LIMIT,
                })
            }
        }
    }

    /// The name of the record for this host: where `_acme-challenge.HOST` leads to by CNAMEs, which lets another zone
    /// hold the records.
    pub async fn record_name(&self, host: &HostName) -> String {
        let name = challenge_name(host);
        self.resolver.canonical(&name).await.unwrap_or(name)
    }

    /// Adds a record.
    ///
    /// # Errors
    ///
    /// The provider refuses or cannot be reached.
    pub async fn add(&self, record: &Record) -> Result<(), RecordFault> {
        match &self.service {
            Service::Cloudflare(service) => service.add(record).await,
            Service::Hetzner(service) => service.add(record).await,
            Service::Desec(service) => service.add(record).await,
            Service::Rfc2136(service) => service.add(record).await,
            Service::Exec(service) => service.add(record).await,
        }
    }

    /// Removes a record.
    ///
    /// # Errors
    ///
    /// The provider refuses or cannot be reached.
    pub async fn remove(&self, record: &Record) -> Result<(), RecordFault> {
        match &self.service {
            Service::Cloudflare(service) => service.remove(record).await,
            Service::Hetzner(service) => service.remove(record).await,
            Service::Desec(service) => service.remove(record).await,
            Service::Rfc2136(service) => service.remove(record).await,
            Service::Exec(service) => service.remove(record).await,
        }
    }

    fn failure(&self, fault: &RecordFault) -> Failure {
        Failure::Record {
            provider: self.name(),
            why: fault.0.clone(),
        }
    }
}

/// The name of the record that shows control of this host.
pub fn challenge_name(host: &HostName) -> String {
    format!("{CHALLENGE_LABEL}.{host}")
}
