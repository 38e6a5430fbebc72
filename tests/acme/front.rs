//! A stub in front of Pebble: it notes what is asked, answers in Pebble's place where a test wants it to, and may change
//! what Pebble says.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use data_encoding::BASE64URL_NOPAD;
use hotgate::control::acme::http_client::HttpClient;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use super::pebble::Pebble;

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// What was signed; `Null` without content.
    pub(crate) payload: Value,
    pub(crate) at: SystemTime,
}

/// What the stub does of its own.
pub(crate) trait Script: Send + Sync + 'static {
    /// An answer in Pebble's place.
    fn instead(&self, asked: &Asked) -> Option<Response<Full<Bytes>>>;

    /// Changes what Pebble answered.
    fn change(&self, _asked: &Asked, _value: &mut Value) {}
}

/// A running stub.
pub(crate) struct Front {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Front {
    pub(crate) async fn start(pebble: &Pebble, script: impl Script) -> Front {
        let certificate =
            CertificateDer::from_pem_file(&pebble.identity.certificate).expect("ours");
        let key = PrivateKeyDer::from_pem_file(&pebble.identity.key).expect("ours");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("they belong together");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let state = Arc::new(State {
            own: format!("localhost:{port}"),
            pebble: format!("https://localhost:{}", pebble.ports.directory),
            client: HttpClient::new(Some(&pebble.identity.root)).expect("roots"),
            asked: asked.clone(),
            script: Box::new(script),
        });
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (acceptor, state) = (acceptor.clone(), state.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let answer = |request| {
                        let state = state.clone();
                        async move { Ok::<_, Infallible>(state.answer(request).await) }
                    };
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server
                        .serve_connection(TokioIo::new(stream), service_fn(answer))
                        .await;
                });
            }
        });
        Front { port, asked, task }
    }

    pub(crate) fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// The requests so far whose path ends so.
    pub(crate) fn asked(&self, end: &str) -> Vec<Asked> {
        let asked = self.asked.lock().expect("no panic");
        asked
            .iter()
            .filter(|asked| asked.path.ends_with(end))
            .cloned()
            .collect()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct State {
    own: String,
    pebble: String,
    client: HttpClient,
    asked: Arc<Mutex<Vec<Asked>>>,
    script: Box<dyn Script>,
}

impl State {
    async fn answer(&self, request: Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let content = body.collect().await.expect("a whole request").to_bytes();
        let signed: Value = serde_json::from_slice(&content).unwrap_or_default();
        let payload = signed["payload"]
            .as_str()
            .and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
        let asked = Asked {
            path: head.uri.path().to_owned(),
            payload: payload
                .and_then(|octets| serde_json::from_slice(&octets).ok())
                .unwrap_or_default(),
            at: SystemTime::now(),
        };
        self.asked.lock().expect("no panic").push(asked.clone());
        if let Some(answer) = self.script.instead(&asked) {
            return answer;
        }
        let mut on = Request::builder().method(head.method).uri(format!(
            "{}{}",
            self.pebble,
            head.uri.path()
        ));
        for (name, value) in &head.headers {
            if name != "host" && name != "content-length" {
                on = on.header(name, value);
            }
        }
        // Pebble's links lead to whom it was asked as.
        let on = on
            .header("host", &self.own)
            .body(Full::new(content))
            .expect("a request");
        let answer = self.client.send(on).await.expect("Pebble answers");
        let (mut head, content) = answer.into_parts();
        let content = match serde_json::from_slice::<Value>(&content) {
            Ok(mut value) => {
                self.script.change(&asked, &mut value);
                Bytes::from(value.to_string())
            }
            Err(_) => content,
        };
        head.headers.remove("content-length");
        head.headers.remove("transfer-encoding");
        Response::from_parts(head, Full::new(content))
    }
}

/// An answer of the stub's own.
pub(crate) fn answer(status: u16, fields: &[(&str, &str)], content: &str) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response
        .body(Full::new(Bytes::from(content.to_owned())))
        .expect("a response")
}
