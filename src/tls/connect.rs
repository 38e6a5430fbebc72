//! The handshake of a connection to an app, where we are the client.
//!
//! Nothing of the app is read before it is complete, so what a stream from here brings was encrypted by whoever has the
//! certificate (CVE-2026-1642). Whom that may be the configuration says, which is made on the control thread.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, Error, InvalidMessage};

use super::session::Session;
use super::step::Fault;
use super::stream::Stream;
use super::wire::{Wire, WireFault};
use crate::net;

/// Whom an endpoint has to be, and what is shown to it.
#[derive(Clone, Debug)]
pub struct EndpointTls {
    /// The authorities that are believed, and what is shown of us.
    pub config: Arc<ClientConfig>,
    /// The name or address that is asked for and verified.
    pub name: ServerName<'static>,
}

/// Why there is no connection.
#[derive(Debug)]
pub struct ConnectError(WireFault);

impl ConnectError {
    /// One word, as it stands in the log.
    pub fn as_str(&self) -> &'static str {
        match &self.0 {
            WireFault::Gone => "closed",
            WireFault::TooLong => "too_long",
            WireFault::Failed(Fault::Tls(error)) => of_error(error),
            WireFault::Failed(Fault::Fragmented | Fault::Renegotiation | Fault::Over) => "failed",
        }
    }
}

fn of_error(error: &Error) -> &'static str {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) => "no_tls",
        Error::AlertReceived(_) => "refused",
        Error::PeerIncompatible(_) => "incompatible",
        Error::NoCertificatesPresented => "no_certificate",
        _ => "failed",
    }
}

fn of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::UnknownIssuer => "unknown_issuer",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "wrong_name"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "not_valid_yet"
        }
        _ => "bad_certificate",
    }
}

/// Shakes hands on a connection that has just been made.
///
/// **Cancellation**: the connection must be closed.
///
/// # Errors
///
/// The endpoint does not speak TLS, has nothing in common with us, or is not whom it has to be. It was told, as far as
/// it can be.
pub async fn connect(stream: net::Stream, endpoint: &EndpointTls) -> Result<Stream, ConnectError> {
    let session = Session::client(endpoint.config.clone(), endpoint.name.clone());
    let mut session = session.map_err(|fault| ConnectError(WireFault::Failed(fault)))?;
    let mut wire = Wire::new(&stream);
    wire.shake_hands(&mut session, false)
        .await
        .map_err(ConnectError)?;
    drop(wire);
    Ok(Stream::encrypted(stream, session, None))
}
