//! HTTPS towards authorities and DNS providers: one request, one whole response, within limits.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use instant_acme::{BodyWrapper, BytesResponse};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::time::timeout;

/// From the connect to the last octet.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// The longest response that is read; a chain has a few KiB, a list of zones a few hundred.
const RESPONSE_BYTES_MAX: usize = 1 << 20;
/// How long a connection is kept for the next request. Orders come in bursts.
const IDLE_LIMIT: Duration = Duration::from_secs(20);

/// A client with its own trust anchors. A clone shares its connections.
#[derive(Clone)]
pub struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Why there is no response.
#[derive(Clone, PartialEq, Debug)]
pub enum HttpFault {
    /// No trust anchor could be read; why, in words.
    NoRoots(String),
    /// Not connected, or cut off; why, in words.
    Unreached(String),
    /// Not whole within the time of a request.
    Late,
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpFault::NoRoots(why) => write!(f, "no trust anchors: {why}"),
            HttpFault::Unreached(why) => f.write_str(why),
            HttpFault::Late => write!(f, "no answer within {} s", REQUEST_LIMIT.as_secs()),
        }
    }
}

impl Error for HttpFault {}

impl HttpClient {
    /// One that trusts what the system trusts, and beside it the certificates of this PEM file.
    ///
    /// # Errors
    ///
    /// [`HttpFault::NoRoots`]: the file cannot be read, or the system trusts nobody.
    pub fn new(extra_roots: Option<&Path>) -> Result<HttpClient, HttpFault> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        if let Some(path) = extra_roots {
            add_from(path, &mut roots)
                .map_err(|why| HttpFault::NoRoots(format!("{}: {why}", path.display())))?;
        }
        if roots.is_empty() {
            let why = "the system has none; install the package ca-certificates";
            return Err(HttpFault::NoRoots(why.to_owned()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| HttpFault::NoRoots(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Plain http is for another base URL of a DNS provider, on loopback; `acme.ca` is always https.
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .build(connector);
        Ok(HttpClient { client })
    }

    /// Sends a request and reads the whole response, whatever its status.
    ///
    /// # Errors
    ///
    /// [`HttpFault::Unreached`], [`HttpFault::Late`]. **Cancellation**: the connection is closed.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, HttpFault> {
        let exchange = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|error| unreached(&error))?;
            let (head, body) = response.into_parts();
            let limited = Limited::new(body, RESPONSE_BYTES_MAX);
            let content = limited
                .collect()
                .await
                .map_err(|error| unreached(&*error))?;
            Ok(Response::from_parts(head, content.to_bytes()))
        };
        timeout(REQUEST_LIMIT, exchange)
            .await
            .unwrap_or(Err(HttpFault::Late))
    }
}

fn add_from(path: &Path, roots: &mut RootCertStore) -> Result<(), String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let before = roots.len();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    match roots.len() > before {
        true => Ok(()),
        false => Err("it holds no certificate".to_owned()),
    }
}

/// The last in the chain of causes says what happened; those before it say which layer noticed.
fn unreached(error: &(dyn Error + 'static)) -> HttpFault {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    HttpFault::Unreached(last.to_string())
}

/// Until when a response asks not to be asked again (RFC 9110 §10.2.3).
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<SystemTime> {
    let value = headers.get(RETRY_AFTER)?.as_bytes().trim_ascii();
    let text = std::str::from_utf8(value).ok()?;
    match text.bytes().all(|octet| octet.is_ascii_digit()) {
        true => now.checked_add(Duration::from_secs(text.parse().ok()?)),
        false => httpdate::parse_http_date(text).ok(),
    }
}

/// An [`HttpClient`] for the protocol's crate.
pub struct Transport(pub HttpClient);

/// What the protocol's crate would not tell us apart. It hands this back as it is.
#[derive(Debug)]
pub enum TransportFault {
    /// No response.
    Http(HttpFault),
    /// 429 or 5xx.
    Busy {
        /// Which.
        status: u16,
        /// Until when.
        until: Option<SystemTime>,
        /// What it says.
        detail: Option<String>,
    },
    /// A refusal that is no problem document.
    Odd {
        /// Its status.
        status: u16,
    },
}

impl fmt::Display for TransportFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransportFault::Http(fault) => fault.fmt(f),
            TransportFault::Busy { status, .. } | TransportFault::Odd { status } => {
                write!(f, "status {status}")
            }
        }
    }
}

impl Error for TransportFault {}

impl instant_acme::HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let failed = |fault| instant_acme::Error::Other(Box::new(fault));
            let (head, body) = request.into_parts();
            let content = match body.collect().await {
                Ok(content) => content.to_bytes(),
                Err(never) => match never {},
            };
            let request = Request::from_parts(head, Full::new(content));
            let response = client.send(request).await;
            let response = response.map_err(|fault| failed(TransportFault::Http(fault)))?;
            match told_apart(&response, SystemTime::now()) {
                Some(fault) => Err(failed(fault)),
                None => Ok(BytesResponse::from(response.map(Full::new))),
            }
        })
    }
}

fn told_apart(response: &Response<Bytes>, now: SystemTime) -> Option<TransportFault> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    let document = serde_json::from_slice::<instant_acme::Problem>(response.body()).ok();
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        return Some(TransportFault::Busy {
            status: status.as_u16(),
            until: retry_after(response.headers(), now),
            detail: document.and_then(|problem| problem.detail),
        });
    }
    document.is_none().then_some(TransportFault::Odd {
        status: status.as_u16(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<&str>, body: &'static str) -> Response<Bytes> {
        let mut response = Response::builder().status(status);
        if let Some(value) = retry_after {
            response = response.header(RETRY_AFTER, value);
        }
        response
            .body(Bytes::from_static(body.as_bytes()))
            .expect("a response")
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_700);
        for (value, expected) in [
            (Some("0"), Some(0)),
            (Some("120"), Some(120)),
            (Some(" 7 "), Some(7)),
            (Some("Sun, 06 Nov 1994 08:49:37 GMT"), Some(77)),
            (Some("-1"), None),
            (Some("soon"), None),
            (Some(""), None),
            (Some("99999999999999999999"), None),
            (None, None),
        ] {
            let found = retry_after(answer(503, value, "").headers(), now);
            let expected = expected.map(|seconds| now + Duration::from_secs(seconds));
            assert_eq!(found, expected, "{value:?}");
        }
    }

    #[test]
    fn answers_are_told_apart() {
        const PROBLEM: &str =
            r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"enough"}"#;
        let kind =
            |status, body| match told_apart(&answer(status, Some("5"), body), SystemTime::now()) {
                None => "passed on".to_owned(),
                Some(TransportFault::Busy {
                    status,
                    until,
                    detail,
                }) => {
                    format!("busy {status} {} {detail:?}", until.is_some())
                }
                Some(other) => format!("{other:?}"),
            };
        for (status, body, expected) in [
            (200, "", "passed on"),
            (201, "no JSON", "passed on"),
            (400, PROBLEM, "passed on"),
            (403, PROBLEM, "passed on"),
            (404, "<html>", "Odd { status: 404 }"),
            (429, PROBLEM, "busy 429 true Some(\"enough\")"),
            (429, "", "busy 429 true None"),
            (500, "<html>", "busy 500 true None"),
            (503, PROBLEM, "busy 503 true Some(\"enough\")"),
        ] {
            assert_eq!(kind(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_root_file_must_hold_a_certificate() {
        let path = std::env::temp_dir().join(format!("hotgate-root-{}.pem", std::process::id()));
        let fault = |path: &Path| {
            HttpClient::new(Some(path))
                .err()
                .map(|fault| fault.to_string())
        };
        assert!(fault(&path).is_some_and(|text| text.contains(&path.display().to_string())));
        std::fs::write(&path, "").expect("ours");
        assert!(fault(&path).is_some_and(|text| text.ends_with("it holds no certificate")));
        std::fs::remove_file(path).expect("ours");
    }
}
