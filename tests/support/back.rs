//! TLS for an app: [`Back`] speaks TLS to hotgate and passes what is inside on to an origin in the clear.
//!
//! Its TLS is rustls's buffered connection, which hotgate does not use.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use rustls::{
    RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
    crypto::aws_lc_rs::{self, sign::any_supported_type},
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use super::tls::{Leaf, Manners, Passed, carry};

/// What a ClientHello asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The name, if there was one.
    pub name: Option<String>,
    /// The protocols, in their order.
    pub protocols: Vec<String>,
}

/// What an app's TLS is made of.
pub struct Serving {
    leaf: CertifiedKey,
    versions: Vec<&'static SupportedProtocolVersion>,
    clients: Option<RootCertStore>,
    manners: Manners,
}

impl Serving {
    /// One that shows this certificate.
    pub fn of(leaf: &Leaf) -> Serving {
        let key = any_supported_type(&leaf.private_key()).expect("a key");
        Serving {
            leaf: CertifiedKey::new(leaf.chain.clone(), key),
            versions: vec![&TLS13, &TLS12],
            clients: None,
            manners: Manners::Orderly,
        }
    }

    /// With this version alone.
    pub fn version(mut self, version: &'static SupportedProtocolVersion) -> Serving {
        self.versions = vec![version];
        self
    }

    /// Lets only clients in that one of these has signed for.
    pub fn clients(mut self, roots: RootCertStore) -> Serving {
        self.clients = Some(roots);
        self
    }

    /// Ends its connections without a word.
    pub fn curt(mut self) -> Serving {
        self.manners = Manners::Curt;
        self
    }

    /// In front of the origin on this port.
    pub fn before(self, origin: u16) -> Back {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.versions)
            .expect("versions");
        let config = match self.clients {
            None => config.with_no_client_auth(),
            Some(roots) => config.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .expect("authorities"),
            ),
        };
        let mut config = config.with_cert_resolver(Arc::new(Resolver {
            leaf: Arc::new(self.leaf),
            asked: asked.clone(),
        }));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let address = listener.local_addr().expect("bound");
        let (manners, goodbyes) = (self.manners, Arc::new(AtomicUsize::new(0)));
        let (counted, passed) = (goodbyes.clone(), Passed::default());
        let to_hotgate = passed.clone();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(socket) = socket else { return };
                let tls = ServerConnection::new(config.clone()).expect("a server");
                let (counted, to_hotgate) = (counted.clone(), to_hotgate.clone());
                thread::spawn(move || {
                    if let Ok(plain) = TcpStream::connect(("127.0.0.1", origin))
                        && carry(plain, socket, tls.into(), manners, &to_hotgate)
                    {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Back {
            address,
            asked,
            goodbyes,
            passed,
        }
    }
}

/// A listener of TLS in front of an origin in the clear. The origin's connections are those of the listener, one for one.
pub struct Back {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    goodbyes: Arc<AtomicUsize>,
    passed: Passed,
}

impl Back {
    /// Its port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections hotgate has ended with close_notify so far.
    pub fn goodbyes(&self) -> usize {
        self.goodbyes.load(Ordering::Relaxed)
    }

    /// How many octets of the origin's it has sent on to hotgate.
    pub fn passed(&self) -> u64 {
        self.passed.count()
    }

    /// What each connection asked for, in their order.
    pub fn asked(&self) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}

#[derive(Debug)]
struct Resolver {
    leaf: Arc<CertifiedKey>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let asked = Asked {
            name: hello.server_name().map(str::to_owned),
            protocols: hello.alpn().into_iter().flatten().map(text).collect(),
        };
        let mut all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(asked);
        Some(self.leaf.clone())
    }
}
