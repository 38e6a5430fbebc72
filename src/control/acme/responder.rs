//! Publishes the answers to challenges, and waits until every worker gives them.
//!
//! The authority is told to look only then: it looks from several places within a second, and a worker that answers
//! 404 to one of them fails the order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rcgen::{Certificate, CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::http::authority::HostName;
use crate::tls::challenges::{ACME_TLS_PROTOCOL, Challenges};

/// A worker that has not taken up a snapshot by then is stuck in something; the order goes on.
const SEEN_LIMIT: Duration = Duration::from_secs(5);

/// New answers, for whoever publishes snapshots.
pub struct Publication {
    /// All that are awaited now.
    pub challenges: Arc<Challenges>,
    /// To be told once every worker gives these answers.
    pub seen: oneshot::Sender<()>,
}

/// Where the answers come from.
#[derive(Clone)]
pub struct Responder {
    shared: Arc<Shared>,
}

struct Shared {
    answers: Mutex<Answers>,
    publish: UnboundedSender<Publication>,
}

#[derive(Default)]
struct Answers {
    next: u64,
    given: BTreeMap<u64, Answer>,
}

enum Answer {
    Http {
        host: HostName,
        token: String,
        key_authorization: String,
    },
    Alpn {
        host: HostName,
        config: Arc<ServerConfig>,
    },
}

/// One answer, given until this is dropped.
pub struct Answering {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.shared
            .change(|answers| drop(answers.given.remove(&self.number)));
    }
}

impl Responder {
    /// Without answers; they are published here.
    pub fn new(publish: UnboundedSender<Publication>) -> Responder {
        let shared = Shared {
            answers: Mutex::default(),
            publish,
        };
        Responder {
            shared: Arc::new(shared),
        }
    }

    /// Answers http-01 for a host. Returns once every worker does. **Cancellation**: the answer is taken back.
    pub async fn answer_http(
        &self,
        host: &HostName,
        token: &str,
        key_authorization: &str,
    ) -> Answering {
        let answer = Answer::Http {
            host: host.clone(),
            token: token.to_owned(),
            key_authorization: key_authorization.to_owned(),
        };
        self.give(answer).await
    }

    /// Answers tls-alpn-01 for a host, with the digest of the key authorization. Returns once every worker does.
    /// **Cancellation**: the answer is taken back.
    ///
    /// # Errors
    ///
    /// No certificate can be made for the host; why, in words.
    pub async fn answer_alpn(&self, host: &HostName, digest: &[u8]) -> Result<Answering, String> {
        let config = Arc::new(alpn_config(host, digest)?);
        Ok(self
            .give(Answer::Alpn {
                host: host.clone(),
                config,
            })
            .await)
    }

    async fn give(&self, answer: Answer) -> Answering {
        let mut number = 0;
        let seen = self.shared.change(|answers| {
            number = answers.next;
            answers.next += 1;
            answers.given.insert(number, answer);
        });
        let answering = Answering {
            shared: self.shared.clone(),
            number,
        };
        match timeout(SEEN_LIMIT, seen).await {
            // The other end is gone only when the process ends.
            Ok(Ok(()) | Err(_)) => {}
            Err(_) => tracing::warn!(
                "a worker has not taken up a challenge within {} s",
                SEEN_LIMIT.as_secs()
            ),
        }
        answering
    }
}

impl Shared {
    /// Changes the answers and publishes them.
    fn change(&self, change: impl FnOnce(&mut Answers)) -> oneshot::Receiver<()> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut answers);
        let mut challenges = Challenges::new();
        for answer in answers.given.values() {
            match answer {
                Answer::Http {
                    host,
                    token,
                    key_authorization,
                } => {
                    challenges.insert_http(host.clone(), token.clone(), key_authorization.clone());
                }
                Answer::Alpn { host, config } => {
                    challenges.insert_alpn(host.clone(), config.clone())
                }
            }
        }
        let (seen, wait) = oneshot::channel();
        // Sent under the lock, so that an older state never follows a newer one. Nobody listens when the process ends.
        let _ = self.publish.send(Publication {
            challenges: Arc::new(challenges),
            seen,
        });
        wait
    }
}

/// What a handshake with `acme-tls/1` is finished with.
fn alpn_config(host: &HostName, digest: &[u8]) -> Result<ServerConfig, String> {
    let words = |error: rustls::Error| error.to_string();
    let (certificate, key) = alpn_certificate(host, digest).map_err(|error| error.to_string())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = provider.key_provider.load_private_key(key).map_err(words)?;
    // rustls' own look at a certificate does not know the critical extension; it is passed by.
    let served = CertifiedKey::new(vec![certificate.der().clone()], key);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(words)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(served)));
    config.alpn_protocols = vec![ACME_TLS_PROTOCOL.to_vec()];
    Ok(config)
}

/// A self-signed certificate for this name alone, with the digest in a critical extension (RFC 8737 §3).
fn alpn_certificate(
    host: &HostName,
    digest: &[u8],
) -> Result<(Certificate, KeyPair), rcgen::Error> {
    let name = host.as_str().trim_matches(['[', ']']);
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    fn host(text: &str) -> HostName {
        HostName::parse(text.as_bytes()).expect("a host")
    }

    async fn seen(publications: &mut UnboundedReceiver<Publication>) -> Arc<Challenges> {
        let publication = publications.recv().await.expect("a publication");
        let _ = publication.seen.send(());
        publication.challenges
    }

    #[tokio::test]
    async fn an_answer_is_given_once_all_have_it_and_until_it_is_dropped() {
        let (publish, mut publications) = unbounded_channel();
        let responder = Responder::new(publish);
        let (a, b) = (host("a.test"), host("b.test"));
        let mut giving = Box::pin(responder.answer_http(&a, "token", "token.thumb"));
        tokio::select! {
            biased;
            _ = &mut giving => panic!("nobody has seen it"),
            publication = publications.recv() => {
                let publication = publication.expect("a publication");
                assert_eq!(publication.challenges.http(&a, b"token"), Some("token.thumb"));
                let _ = publication.seen.send(());
            }
        }
        let first = giving.await;
        let (second, with_both) =
            tokio::join!(responder.answer_alpn(&b, &[7; 32]), seen(&mut publications));
        assert!(with_both.http(&a, b"token").is_some());
        let config = with_both.alpn(&b).expect("answered");
        assert_eq!(config.alpn_protocols, [b"acme-tls/1"]);
        drop(first);
        let without = seen(&mut publications).await;
        assert!(without.http(&a, b"token").is_none() && without.alpn(&b).is_some());
        drop(second);
        assert!(seen(&mut publications).await.is_empty());
    }

    #[tokio::test]
    async fn an_order_that_is_given_up_takes_its_answer_back() {
        let (publish, mut publications) = unbounded_channel();
        let responder = Responder::new(publish);
        let own = host("a.test");
        {
            let giving = Box::pin(responder.answer_http(&own, "token", "token.thumb"));
            let publication = tokio::select! {
                biased;
                _ = giving => panic!("nobody has seen it"),
                publication = publications.recv() => publication.expect("a publication"),
            };
            assert!(!publication.challenges.is_empty());
        }
        assert!(seen(&mut publications).await.is_empty());
    }

    #[test]
    fn the_certificate_of_an_answer_names_the_host_and_holds_the_digest() {
        for (text, san) in [
            ("a.test", "DNSName"),
            ("[2001:db8::1]", "IPAddress"),
            ("203.0.113.7", "IPAddress"),
        ] {
            let own = host(text);
            assert!(alpn_config(&own, &[7; 32]).is_ok(), "{text}");
            let (der, _) = alpn_certificate(&own, &[7; 32]).expect("a certificate");
            let (_, parsed) = x509_parser::parse_x509_certificate(der.der()).expect("readable");
            let names = parsed
                .subject_alternative_name()
                .expect("one")
                .expect("there");
            let names: Vec<String> = names
                .value
                .general_names
                .iter()
                .map(|name| format!("{name:?}"))
                .collect();
            assert!(names.len() == 1 && names[0].starts_with(san), "{names:?}");
            // RFC 8737 §3: the extension is critical, an OCTET STRING of the 32 octets.
            let extension = parsed
                .extensions()
                .iter()
                .find(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.1.31")
                .expect("there");
            assert!(extension.critical);
            assert_eq!(extension.value, [&[4, 32][..], &[7; 32]].concat());
        }
    }
}
