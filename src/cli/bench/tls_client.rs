//! TLS as the bench's own clients speak it, and as wrk is told to: one version, one group, one cipher suite.
//!
//! A client that offers one of each leaves a proxy no choice, so that all do the same work. They are what browsers take
//! of a server with a P-256 certificate and no hybrid group. Clients know the certificate octet by octet and do not
//! look at signatures: verifying one takes longer than making it, and the load is to be cheaper than the proxy.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, HandshakeKind, NamedGroup, ProtocolVersion,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// The same offer in the words of OpenSSL, for wrk: a file that `OPENSSL_CONF` names.
pub(super) const OPENSSL_CONF: &str = "openssl_conf = bench\n\n[bench]\nssl_conf = modules\n\n[modules]\n\
    system_default = offer\n\n[offer]\nMinProtocol = TLSv1.3\nCiphersuites = TLS_AES_128_GCM_SHA256\n\
    Groups = X25519\n";

/// Tickets of one client: OpenSSL brings one or two a handshake, and each is used once.
const TICKETS_MAX: usize = 8;

/// What a client does with the tickets that it gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tickets {
    /// Forgets them: every handshake is a full one.
    Dropped,
    /// Comes back with them.
    Kept,
}

/// The configuration of a client that knows the certificate in this file.
///
/// # Errors
///
/// As open(2), or there is none in it.
pub(super) fn config(chain: &Path, tickets: Tickets) -> io::Result<Arc<ClientConfig>> {
    let known = CertificateDer::from_pem_file(chain).map_err(io::Error::other)?;
    let provider = CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![kx_group::X25519],
        ..default_provider()
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?;
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Known(known)))
        .with_no_client_auth();
    config.resumption = match tickets {
        Tickets::Dropped => Resumption::disabled(),
        Tickets::Kept => Resumption::in_memory_sessions(TICKETS_MAX),
    };
    Ok(Arc::new(config))
}

/// What a handshake came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Negotiated {
    /// Full or resumed.
    pub(super) kind: HandshakeKind,
    version: ProtocolVersion,
    suite: rustls::CipherSuite,
    group: NamedGroup,
}

impl Negotiated {
    /// Of a connection; `None` before its handshake is complete.
    pub(super) fn of(connection: &ClientConnection) -> Option<Negotiated> {
        Some(Negotiated {
            kind: connection.handshake_kind()?,
            version: connection.protocol_version()?,
            suite: connection.negotiated_cipher_suite()?.suite(),
            group: connection.negotiated_key_exchange_group()?.name(),
        })
    }
}

impl fmt::Display for Negotiated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Negotiated {
            version,
            suite,
            group,
            ..
        } = self;
        let words = [
            format!("{version:?}"),
            format!("{suite:?}"),
            format!("{group:?}"),
        ];
        f.write_str(&words.join(", "))
    }
}

/// The name that is asked for.
pub(super) fn name() -> ServerName<'static> {
    ServerName::try_from(super::certificate::NAME).expect("it is a name")
}

/// Takes one certificate, whoever shows it.
#[derive(Debug)]
struct Known(CertificateDer<'static>);

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match *end_entity == self.0 {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::General("it is another certificate".to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
