//! Answers to challenges of a certificate authority, while it validates a name: http-01 (RFC 8555 §8.3) and tls-alpn-01
//! (RFC 8737).
//!
//! Control publishes them whole, before it tells the authority to look; every worker answers with them. What is not in
//! here is not answered: there is no prefix, no pattern, and nothing of the question comes back in the answer.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::ServerConfig;

use crate::http::authority::HostName;

/// The protocol that a ClientHello offers alone when it asks for a tls-alpn-01 answer (RFC 8737 §6.2).
pub const ACME_TLS_PROTOCOL: &[u8] = b"acme-tls/1";

/// The answers that are awaited now. Immutable once published.
#[derive(Clone, Default)]
pub struct Challenges {
    /// By host: each token with its key authorization. A host has one or two at a time.
    http: HashMap<HostName, Vec<(String, String)>>,
    /// By host: what the handshake is finished with.
    alpn: HashMap<HostName, Arc<ServerConfig>>,
}

impl Challenges {
    /// None.
    pub fn new() -> Challenges {
        Challenges::default()
    }

    /// Answers this token on this host with this key authorization.
    pub fn insert_http(&mut self, host: HostName, token: String, key_authorization: String) {
        self.http
            .entry(host)
            .or_default()
            .push((token, key_authorization));
    }

    /// Answers tls-alpn-01 for this host. The configuration holds the certificate with the digest, and
    /// [`ACME_TLS_PROTOCOL`] as its only protocol.
    pub fn insert_alpn(&mut self, host: HostName, config: Arc<ServerConfig>) {
        self.alpn.insert(host, config);
    }

    /// The key authorization for this token on this host. A token that is awaited for another host is unknown here.
    pub fn http(&self, host: &HostName, token: &[u8]) -> Option<&str> {
        let awaited = self.http.get(host)?;
        awaited
            .iter()
            .find(|(known, _)| known.as_bytes() == token)
            .map(|(_, key_authorization)| key_authorization.as_str())
    }

    /// What a handshake that offers [`ACME_TLS_PROTOCOL`] for this host is finished with.
    pub fn alpn(&self, host: &HostName) -> Option<&Arc<ServerConfig>> {
        self.alpn.get(host)
    }

    /// Is nothing awaited?
    pub fn is_empty(&self) -> bool {
        self.http.is_empty() && self.alpn.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostName {
        HostName::parse(text.as_bytes()).expect("a host")
    }

    #[test]
    fn a_token_is_known_whole_and_on_its_host_alone() {
        let mut challenges = Challenges::new();
        assert!(challenges.is_empty());
        challenges.insert_http(host("a.test"), "token-1".into(), "token-1.thumb".into());
        challenges.insert_http(host("a.test"), "token-2".into(), "token-2.thumb".into());
        challenges.insert_http(host("b.test"), "token-3".into(), "token-3.thumb".into());
        for (name, token, expected) in [
            ("a.test", "token-1", Some("token-1.thumb")),
            ("A.test.", "token-2", Some("token-2.thumb")),
            ("b.test", "token-3", Some("token-3.thumb")),
            ("b.test", "token-1", None),
            ("a.test", "token-", None),
            ("a.test", "token-11", None),
            ("a.test", "TOKEN-1", None),
            ("a.test", "", None),
            ("c.test", "token-1", None),
        ] {
            let found = challenges.http(&host(name), token.as_bytes());
            assert_eq!(found, expected, "{name} {token}");
        }
        assert!(challenges.alpn(&host("a.test")).is_none());
    }
}
