//! The built-in origin: a real HTTP server on a loopback port of its own that echoes the request it received.
//!
//! It answers `builtin = "whoami"` sites over a TCP connection, through the whole proxy path, so that what it shows is
//! what an app would see. Credentials are masked.

use std::convert::Infallible;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

/// Field lines whose values are credentials.
const MASKED: [&str; 5] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-api-key",
    "x-auth-token",
];
/// How long accepting rests after a failure.
const ACCEPT_REST: Duration = Duration::from_millis(200);
/// Longer than any upstream connection of ours stays idle.
const HEADER_LIMIT: Duration = Duration::from_secs(3600);

/// Starts it on this thread's tokio runtime; returns where it listens.
///
/// # Errors
///
/// No loopback port can be had.
pub async fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(answer(stream))),
                Err(_) => tokio::time::sleep(ACCEPT_REST).await,
            }
        }
    });
    Ok(address)
}

async fn answer(stream: TcpStream) {
    let mut server = hyper::server::conn::http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_LIMIT);
    // A proxy that goes away in the middle is no news.
    let _ = server
        .serve_connection(TokioIo::new(stream), service_fn(echo))
        .await;
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, mut body) = request.into_parts();
    let mut octets = 0;
    while let Some(Ok(frame)) = body.frame().await {
        octets += frame.data_ref().map_or(0, Bytes::len);
    }
    let mut text = format!("{} {} {:?}\n", head.method, head.uri, head.version);
    for (name, value) in &head.headers {
        let shown = if is_masked(name) {
            "***".to_owned()
        } else {
            shown(value)
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name}: {shown}");
    }
    let _ = writeln!(text, "\nbody: {octets} octets");
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    Ok(response)
}

fn is_masked(name: &HeaderName) -> bool {
    MASKED.contains(&name.as_str())
}

/// Text as it is; other octets escaped.
fn shown(value: &HeaderValue) -> String {
    value.as_bytes().escape_ascii().to_string()
}
