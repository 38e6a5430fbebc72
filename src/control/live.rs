//! Asking an upstream for real: look-up, connect, handshake, first octet, each timed. For `explain --live` and `check --deep`.
//!
//! On the calling thread, with its own small runtime; every wait has a limit.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::upstream_tls::target_tls;
use crate::serve::explain::{Target, TargetTls, Upstream};

/// How long a name may take.
pub const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
/// How long the first octet of a response may take, where the configuration sets no limit.
pub const RESPONSE_LIMIT: Duration = Duration::from_secs(10);
/// What the step after sending is called.
pub const FIRST_OCTET: &str = "first octet of the response";
/// What the step of TLS begins with.
pub const HANDSHAKE: &str = "handshake";
/// As much of a response as is read to find its status line.
const RESPONSE_BYTES_MAX: usize = 8 << 10;

/// What was tried, how long it took, and what came of it.
#[derive(Debug)]
pub struct Step {
    /// `look up app.internal`, `connect to 127.0.0.1:3000`, `first octet`.
    pub what: String,
    /// From its beginning to its end.
    pub took: Duration,
    /// What was found, or why not.
    pub result: Result<String, String>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.took.as_micros();
        let (mark, text) = match &self.result {
            Ok(text) => ("✓", text),
            Err(text) => ("✗", text),
        };
        write!(
            f,
            "{mark} {}: {text} ({}.{:03} ms)",
            self.what,
            micros / 1000,
            micros % 1000
        )
    }
}

/// Connects to an upstream, tries its addresses in turn, shakes hands where it is one of HTTPS, and sends `head` if there
/// is one. The steps end at the first that fails for good.
pub fn ask(upstream: &Upstream, connect_limit: Duration, head: Option<&str>) -> Vec<Step> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let mut steps = Vec::new();
            runtime.block_on(ask_within(upstream, connect_limit, head, &mut steps));
            runtime.shutdown_background();
            steps
        }
        Err(error) => vec![Step {
            what: "start a runtime".to_owned(),
            took: Duration::ZERO,
            result: Err(error.to_string()),
        }],
    }
}

async fn ask_within(
    upstream: &Upstream,
    connect_limit: Duration,
    head: Option<&str>,
    steps: &mut Vec<Step>,
) {
    let addresses: Vec<SocketAddr> = match &upstream.target {
        Target::BuiltIn => {
            steps.push(Step {
                what: "built-in origin".to_owned(),
                took: Duration::ZERO,
                result: Ok("answers within hotgate, while it runs".to_owned()),
            });
            return;
        }
        Target::Unix(path) => {
            let began = Instant::now();
            let connected = limited(connect_limit, UnixStream::connect(path)).await;
            let what = format!("connect to unix:{}", path.display());
            match connected {
                Ok(stream) => {
                    steps.push(done(what, began, "accepted".to_owned()));
                    send(stream, head, steps).await;
                }
                Err(error) => steps.push(failed(what, began, unix_words(path, &error))),
            }
            return;
        }
        Target::Tcp(ips, port) => ips.iter().map(|ip| SocketAddr::new(*ip, *port)).collect(),
        Target::Name(name, port) => {
            let began = Instant::now();
            let what = format!("look up {name}");
            match limited(LOOKUP_LIMIT, lookup_host((name.as_str(), *port))).await {
                Ok(found) => {
                    let mut found: Vec<SocketAddr> = found.collect();
                    found.sort_by_key(|address| (address.is_ipv6(), *address));
                    found.dedup();
                    let shown: Vec<String> = found
                        .iter()
                        .map(|address| address.ip().to_string())
                        .collect();
                    steps.push(done(what, began, shown.join(", ")));
                    found
                }
                Err(error) => {
                    steps.push(failed(what, began, error.to_string()));
                    return;
                }
            }
        }
    };
    if addresses.is_empty() {
        let why = "the name has no address".to_owned();
        steps.push(failed("connect".to_owned(), Instant::now(), why));
    }
    // One limit for all addresses together, as for a worker that dials.
    let deadline = Instant::now() + connect_limit;
    for address in addresses {
        let began = Instant::now();
        let what = format!("connect to {address}");
        let left = deadline.saturating_duration_since(began);
        match limited(left, TcpStream::connect(address)).await {
            Ok(stream) => {
                steps.push(done(what, began, "accepted".to_owned()));
                let Some(tls) = &upstream.tls else {
                    return send(stream, head, steps).await;
                };
                let left = deadline.saturating_duration_since(Instant::now());
                if let Some(stream) = shake_hands(stream, tls, left, steps).await {
                    return send(stream, head, steps).await;
                }
            }
            Err(error) => steps.push(failed(what, began, words(&error))),
        }
    }
}

async fn shake_hands(
    stream: TcpStream,
    tls: &TargetTls,
    limit: Duration,
    steps: &mut Vec<Step>,
) -> Option<TlsStream<TcpStream>> {
    let began = Instant::now();
    let settings = &tls.settings;
    let name = settings.server_name.as_deref().unwrap_or(&tls.host);
    let what = format!("{HANDSHAKE} with {name}");
    let endpoint = match target_tls(tls) {
        Ok(endpoint) => endpoint,
        Err(fault) => {
            steps.push(failed(what, began, fault.to_string()));
            return None;
        }
    };
    let connector = TlsConnector::from(endpoint.config);
    match limited(limit, connector.connect(endpoint.name, stream)).await {
        Ok(stream) => {
            let by = match (settings.verify, &settings.ca) {
                (false, _) => "not verified".to_owned(),
                (true, None) => "believed by the system".to_owned(),
                (true, Some(path)) => format!("believed by {}", path.display()),
            };
            let version = stream.get_ref().1.protocol_version();
            let version = match version {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
                Some(_) | None => "TLS 1.2",
            };
            steps.push(done(what, began, format!("{version}, {by}")));
            Some(stream)
        }
        Err(error) => {
            steps.push(failed(what, began, words(&error)));
            None
        }
    }
}

async fn send(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    head: Option<&str>,
    steps: &mut Vec<Step>,
) {
    let Some(head) = head else { return };
    let began = Instant::now();
    let what = FIRST_OCTET.to_owned();
    let mut response = Vec::new();
    let answered = limited(RESPONSE_LIMIT, async {
        stream.write_all(head.as_bytes()).await?;
        stream.read_buf(&mut response).await
    });
    match answered.await {
        Ok(0) => steps.push(failed(
            what,
            began,
            "it closed without an answer".to_owned(),
        )),
        Err(error) => steps.push(failed(what, began, words(&error))),
        Ok(_) => {
            let took = began.elapsed();
            // The status line may come in pieces.
            while !response.contains(&b'\n') && response.len() < RESPONSE_BYTES_MAX {
                match limited(RESPONSE_LIMIT, stream.read_buf(&mut response)).await {
                    Ok(count) if count > 0 => {}
                    Ok(_) | Err(_) => break,
                }
            }
            let line = response.split(|octet| *octet == b'\n').next();
            let line = String::from_utf8_lossy(line.unwrap_or_default());
            let shown: String = line
                .trim_end()
                .chars()
                .filter(|c| !c.is_control())
                .collect();
            steps.push(Step {
                what,
                took,
                result: Ok(shown),
            });
        }
    }
}

async fn limited<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn done(what: String, began: Instant, result: String) -> Step {
    Step {
        what,
        took: began.elapsed(),
        result: Ok(result),
    }
}

fn failed(what: String, began: Instant, why: String) -> Step {
    Step {
        what,
        took: began.elapsed(),
        result: Err(why),
    }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused: nothing listens there".to_owned(),
        io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        io::ErrorKind::ConnectionReset => "it reset the connection".to_owned(),
        _ => error.to_string(),
    }
}

fn unix_words(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("{} is not there", path.display()),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => words(error),
    }
}
