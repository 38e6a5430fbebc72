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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::{ServerConfig, ServerConnection};
    use rustls_pki_types::PrivateKeyDer;

    use super::super::certificate::{Certificate, NAME};
    use super::super::process::Folder;
    use super::*;

    fn server(chain: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_no_client_auth();
        let config = builder.with_single_cert(vec![chain], key);
        Arc::new(config.expect("a key that fits"))
    }

    /// A handshake in memory, with the tickets behind it.
    fn shake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Result<Negotiated, Error> {
        let mut client = ClientConnection::new(client.clone(), name()).expect("a client");
        let mut server = ServerConnection::new(server.clone()).expect("a server");
        while client.wants_write() || server.wants_write() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).expect("memory");
            }
            let mut wire = wire.as_slice();
            while !wire.is_empty() {
                server.read_tls(&mut wire).expect("memory");
                server.process_new_packets().expect("a client of ours");
            }
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).expect("memory");
            }
            let mut wire = wire.as_slice();
            while !wire.is_empty() {
                client.read_tls(&mut wire).expect("memory");
                client.process_new_packets()?;
            }
        }
        Ok(Negotiated::of(&client).expect("a handshake"))
    }

    #[test]
    fn tickets_and_the_certificate_are_what_clients_are_told() {
        let folder = Folder::of_test("tls-client");
        let certificate = Certificate::make(&folder).expect("a certificate");
        let chain = CertificateDer::from_pem_file(&certificate.chain).expect("PEM");
        let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("PEM");
        let known = server(chain, key);
        for (tickets, second) in [
            (Tickets::Dropped, HandshakeKind::Full),
            (Tickets::Kept, HandshakeKind::Resumed),
        ] {
            let client = config(&certificate.chain, tickets).expect("a certificate");
            let first = shake(&client, &known).expect("the certificate is known");
            assert_eq!(first.kind, HandshakeKind::Full, "{tickets:?}");
            let words = first.to_string();
            assert_eq!(words, "TLSv1_3, TLS13_AES_128_GCM_SHA256, X25519");
            for _ in 0..3 {
                let next = shake(&client, &known).expect("the certificate is known");
                assert_eq!(next.kind, second, "{tickets:?}");
            }
        }
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![NAME.to_owned()]).expect("a name");
        let other = params.self_signed(&key).expect("signed").der().clone();
        let other = server(other, PrivateKeyDer::Pkcs8(key.serialize_der().into()));
        let client = config(&certificate.chain, Tickets::Dropped).expect("a certificate");
        let refused = shake(&client, &other).expect_err("it is another");
        assert!(refused.to_string().contains("another certificate"));
    }
}
