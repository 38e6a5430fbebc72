//! TLS towards apps: whom to believe, whom to expect, and what to show of ourselves.
//!
//! What the configuration names is read here and made into what a worker shakes hands by. Files that change are read
//! anew, as those of sites are; one that is faulty leaves what was read before in use. Where nothing good was ever read,
//! nothing is spoken to the endpoint: not in the clear, and not to somebody who cannot be told from another.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use super::certificates::fault::Fault;
use super::certificates::files::{Changes, Named, PemFiles, load_patiently};
use super::certificates::watch::Watch;
use crate::config::UpstreamTls;
use crate::serve::explain::TargetTls;
use crate::serve::snapshot::EndpointKey;
use crate::tls::connect::EndpointTls;
use crate::tls::provider::{VERSIONS, provider};
use crate::upstream::{EndpointNumber, Security};

/// Files are looked at this often however quiet it is.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What the system believes; read when it is first asked for.
static SYSTEM: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
});

/// Endpoints with TLS, and the files that they need.
pub struct UpstreamFiles {
    endpoints: Vec<Wanted>,
    files: PemFiles,
}

struct Wanted {
    number: EndpointNumber,
    label: String,
    host: String,
    settings: UpstreamTls,
}

impl UpstreamFiles {
    /// Those among the endpoints of a configuration; their files have been read.
    pub fn read(keys: &[EndpointKey]) -> UpstreamFiles {
        let endpoints = keys.iter().zip(0u32..).filter_map(|(key, number)| {
            let (host, settings) = key.tls()?;
            Some(Wanted {
                number: EndpointNumber(number),
                label: key.label(),
                host: host.to_owned(),
                settings: settings.clone(),
            })
        });
        let mut this = UpstreamFiles {
            endpoints: endpoints.collect(),
            files: PemFiles::default(),
        };
        this.look();
        this
    }

    /// What is spoken to each endpoint, or why nothing can be.
    pub fn securities(&self) -> impl Iterator<Item = (EndpointNumber, Result<Security, Fault>)> {
        self.endpoints.iter().map(|wanted| {
            let made = endpoint_tls(&wanted.host, &wanted.settings, &self.files);
            (wanted.number, made.map(|tls| Security::Tls(Arc::new(tls))))
        })
    }

    /// The endpoints to which nothing can be spoken now, and why.
    pub fn unusable(&self) -> impl Iterator<Item = (&str, Fault)> {
        let all = self.endpoints.iter().zip(self.securities());
        all.filter_map(|(wanted, (_, made))| Some((wanted.label.as_str(), made.err()?)))
    }

    /// Says which they are.
    pub fn warn(&self) {
        for (label, fault) in self.unusable() {
            tracing::warn!("upstream {label} is not spoken to, its sites answer 502: {fault}");
        }
    }

    /// Reports each change of the files, for as long as somebody listens. Ends at once where there are none.
    pub async fn watch(mut self, report: UnboundedSender<Vec<(EndpointNumber, Security)>>) {
        let paths = self.named().paths();
        if paths.is_empty() {
            return;
        }
        let mut watch = Watch::new();
        loop {
            watch.follow(&paths);
            // Once before anything is waited for: what changed since they were read was watched by nobody.
            let changes = load_patiently(|| self.look()).await;
            changes.tell();
            if changes.is_new {
                let now = self.securities();
                let now = now.map(|(number, made)| (number, made.unwrap_or(Security::Unusable)));
                if report.send(now.collect()).is_err() {
                    return;
                }
            }
            let _ = timeout(LOOK_EVERY, watch.changed()).await; // looked at in either case
        }
    }

    fn look(&mut self) -> Changes {
        let named = self.named();
        self.files.load_named(named)
    }

    fn named(&self) -> Named {
        named(self.endpoints.iter().map(|wanted| &wanted.settings))
    }
}

/// The files that settings name.
fn named<'a>(all: impl Iterator<Item = &'a UpstreamTls>) -> Named {
    let mut named = Named::default();
    for settings in all {
        named.authorities.extend(settings.ca.clone());
        settings.cert.iter().for_each(|pair| named.add_pair(pair));
    }
    named
}

/// What a handshake with this target goes by, with the files as they are now.
///
/// # Errors
///
/// See [`endpoint_tls`].
pub fn target_tls(target: &TargetTls) -> Result<EndpointTls, Fault> {
    let mut files = PemFiles::default();
    files.load_named(named(std::iter::once(&target.settings)));
    endpoint_tls(&target.host, &target.settings, &files)
}

/// What a handshake with this host goes by.
///
/// # Errors
///
/// A file cannot be used, or nobody is believed.
pub fn endpoint_tls(
    host: &str,
    settings: &UpstreamTls,
    files: &PemFiles,
) -> Result<EndpointTls, Fault> {
    let wanted = settings.server_name.as_deref().unwrap_or(host);
    let name = ServerName::try_from(wanted.to_owned()).map_err(|_| {
        Fault::new(format!("no certificate can be for {wanted}"))
            .mend("`upstream_tls.server_name` says which name to expect")
    })?;
    let unusable = |error: rustls::Error| Fault::new(format!("TLS cannot be set up: {error}"));
    let builder = ClientConfig::builder_with_provider(provider().clone())
        .with_protocol_versions(&VERSIONS)
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier(settings, files)?);
    let mut config = match &settings.cert {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let keys = files.pair(pair)?.keys.clone();
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(keys)))
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(EndpointTls {
        config: Arc::new(config),
        name,
    })
}

fn verifier(
    settings: &UpstreamTls,
    files: &PemFiles,
) -> Result<Arc<dyn ServerCertVerifier>, Fault> {
    if !settings.verify {
        return Ok(Arc::new(Anybody));
    }
    let roots = match &settings.ca {
        Some(path) => files.authorities(path)?,
        None => SYSTEM.clone(),
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider().clone()).build();
    Ok(verifier.map_err(|_| {
        Fault::new("the system believes no certificate authority")
            .mend("install the package ca-certificates, or name a file in `upstream_tls.ca`")
    })?)
}

/// `verify = false`: whoever has the key of the certificate that he shows.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
