//! A clerk with its book, and a small server that answers challenges as the workers do.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use hotgate::{
    config::Acme,
    control::{
        acme::{
            choice::{Means, Port},
            clerk::{Clerk, Setup},
            dns::resolver::Resolver,
        },
        certificates::{
            book::{Attempt, Book, Held},
            name::CertName,
            storage::FileStore,
        },
    },
    http::authority::{Authority, HostName},
    tls::challenges::Challenges,
};
use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::JoinHandle,
};
use tokio_rustls::LazyConfigAcceptor;

use super::{pebble::Pebble, place::Folder};
use crate::support::DEADLINE;

/// Ports 80 and 443 are held, and records can be written where `acme` says how.
pub(crate) fn means(acme: &Acme) -> Means {
    Means {
        http: Port::Held,
        tls: Port::Held,
        has_dns: acme.dns.is_some(),
    }
}

/// The configuration for a Pebble.
pub(crate) fn acme(pebble: &Pebble) -> Acme {
    Acme {
        ca: pebble.directory(),
        ca_root: Some(pebble.identity.root.clone()),
        email: Some("ops@example.com".to_owned()),
        ..Acme::default()
    }
}

pub(crate) fn name(text: &str) -> CertName {
    CertName::parse(text).expect("a name")
}

/// A clerk at work.
pub(crate) struct Site {
    pub(crate) book: Book,
    pub(crate) state: Folder,
    setup: (Acme, Resolver, Vec<CertName>, Means),
    /// Dropped, the clerk ends.
    publishing: Option<JoinHandle<()>>,
    answering: Vec<JoinHandle<()>>,
    published: Arc<Mutex<Arc<Challenges>>>,
    tell: Option<UnboundedSender<Tell>>,
}

/// What the clerk is told by its handle.
enum Tell {
    Renew(Box<CertName>),
    Names(Vec<CertName>),
}

impl Site {
    /// Answers challenges on these ports.
    pub(crate) async fn start(acme: Acme, pebble: &Pebble, names: &[&str]) -> Site {
        let resolver = Resolver::new(vec![pebble.resolver()], 53);
        let mut site = Site::silent(acme, resolver, names);
        site.answer(
            SocketAddr::from(([127, 0, 0, 1], pebble.ports.http)),
            SocketAddr::from(([127, 0, 0, 1], pebble.ports.tls)),
        )
        .await;
        site
    }

    /// Answers no challenge.
    pub(crate) fn silent(acme: Acme, resolver: Resolver, names: &[&str]) -> Site {
        let state = Folder::new();
        let names: Vec<CertName> = names.iter().map(|text| name(text)).collect();
        let held = means(&acme);
        let mut site = Site {
            book: open(&state, &acme),
            state,
            setup: (acme, resolver, names, held),
            publishing: None,
            answering: Vec::new(),
            published: Arc::default(),
            tell: None,
        };
        site.restart();
        site
    }

    /// Starts the clerk (again), over the same state.
    pub(crate) fn restart(&mut self) {
        if let Some(before) = self.publishing.take() {
            before.abort();
        }
        let (acme, resolver, names, means) = self.setup.clone();
        self.book = open(&self.state, &acme);
        let mut clerk = Clerk::start(Setup {
            acme,
            means,
            book: self.book.clone(),
            resolver,
            names,
        });
        let published = self.published.clone();
        let (tell, mut told) = unbounded_channel();
        self.tell = Some(tell);
        self.publishing = Some(tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(publication) = clerk.publications.recv() => {
                        *published.lock().expect("no panic") = publication.challenges;
                        let _ = publication.seen.send(());
                    }
                    Some(told) = told.recv() => match told {
                        Tell::Renew(name) => clerk.renew(*name),
                        Tell::Names(names) => clerk.set_names(names),
                    },
                    else => return,
                }
            }
        }));
    }

    pub(crate) fn renew(&self, text: &str) {
        self.tell(Tell::Renew(Box::new(name(text))));
    }

    pub(crate) fn set_names(&mut self, names: &[&str]) {
        self.setup.2 = names.iter().map(|text| name(text)).collect();
        self.tell(Tell::Names(self.setup.2.clone()));
    }

    fn tell(&self, what: Tell) {
        let tell = self.tell.as_ref().expect("it was started");
        assert!(tell.send(what).is_ok(), "it runs");
    }

    /// Answers on these addresses, as every worker does.
    pub(crate) async fn answer(&mut self, http: SocketAddr, tls: SocketAddr) {
        let http = TcpListener::bind(http).await.expect("the port of http-01");
        let published = self.published.clone();
        self.answering.push(tokio::spawn(async move {
            loop {
                let (stream, _) = http.accept().await.expect("a connection");
                let published = published.clone();
                let answer = move |request: Request<hyper::body::Incoming>| {
                    let challenges = published.lock().expect("no panic").clone();
                    async move { Ok::<_, Infallible>(over_http(&request, &challenges)) }
                };
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(async move {
                    let _ = server
                        .serve_connection(TokioIo::new(stream), service_fn(answer))
                        .await;
                });
            }
        }));
        let tls = TcpListener::bind(tls)
            .await
            .expect("the port of tls-alpn-01");
        let published = self.published.clone();
        self.answering.push(tokio::spawn(async move {
            loop {
                let (stream, _) = tls.accept().await.expect("a connection");
                let challenges = published.lock().expect("no panic").clone();
                tokio::spawn(async move {
                    let acceptor =
                        LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
                    let Ok(start) = acceptor.await else { return };
                    let host = start.client_hello().server_name().map(str::to_owned);
                    let host = host.and_then(|host| HostName::parse(host.as_bytes()).ok());
                    let Some(config) = host.and_then(|host| challenges.alpn(&host).cloned()) else {
                        return;
                    };
                    let _ = start.into_stream(config).await;
                });
            }
        }));
    }

    pub(crate) fn held(&self, text: &str) -> Option<Arc<Held>> {
        self.book.current(&name(text), SystemTime::now())
    }

    pub(crate) fn attempt(&self, text: &str) -> Option<Attempt> {
        self.book.attempt(&name(text))
    }

    /// Waits for a certificate.
    pub(crate) async fn certificate(&self, text: &str) -> Arc<Held> {
        self.another(text, None, DEADLINE).await
    }

    /// Waits for a certificate other than this one.
    pub(crate) async fn another(
        &self,
        text: &str,
        known: Option<u64>,
        limit: Duration,
    ) -> Arc<Held> {
        let end = SystemTime::now() + limit;
        loop {
            if let Some(held) = self.held(text)
                && Some(held.pair.fingerprint) != known
            {
                return held;
            }
            let error = self.attempt(text).and_then(|attempt| attempt.error);
            assert!(
                SystemTime::now() < end,
                "no certificate for {text}: {error:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until an attempt has failed, and returns it with its sentence.
    pub(crate) async fn failure(&self, text: &str) -> (Attempt, String) {
        let end = SystemTime::now() + DEADLINE;
        loop {
            if let Some(attempt) = self.attempt(text)
                && let (Some(error), Some(_)) = (attempt.error.clone(), attempt.next)
            {
                return (attempt, error);
            }
            assert!(SystemTime::now() < end, "no failure for {text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn authority_folder(&self) -> PathBuf {
        self.state.path().join(self.book.authority_place())
    }

    /// Are there challenges that would be answered now?
    pub(crate) fn answers_nothing(&self) -> bool {
        self.published.lock().expect("no panic").is_empty()
    }
}

impl Site {
    /// Ends it, and waits until its ports are free.
    pub(crate) async fn end(mut self) {
        for task in self.answering.drain(..) {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for task in self.publishing.iter().chain(&self.answering) {
            task.abort();
        }
    }
}

fn open(state: &Folder, acme: &Acme) -> Book {
    let (book, faults) = Book::open(Arc::new(FileStore::new(state.path())), &acme.ca);
    assert!(faults.is_empty(), "{faults:?}");
    book
}

fn over_http(
    request: &Request<hyper::body::Incoming>,
    challenges: &Challenges,
) -> Response<Full<Bytes>> {
    let host = request
        .headers()
        .get("host")
        .and_then(|host| Authority::parse(host.as_bytes()).ok());
    let token = request
        .uri()
        .path()
        .strip_prefix("/.well-known/acme-challenge/");
    let found = host
        .zip(token)
        .and_then(|(host, token)| challenges.http(&host.host, token.as_bytes()));
    let (status, text) = found.map_or((404, ""), |text| (200, text));
    Response::builder()
        .status(status)
        .body(Full::new(Bytes::from(text.to_owned())))
        .expect("a response")
}
