//! TLS for the tests: certificates made at run time, and a client's side of the encryption.
//!
//! [`Front`] listens in the clear and speaks TLS to hotgate, so that every client of the tests can be one over TLS: what
//! it sends and gets, octet for octet, is what stands inside. Its TLS is rustls's buffered connection, which hotgate
//! does not use.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use socket2::SockRef;

use super::{
    hotgate::{Folder, Hotgate},
    let_pass,
};

/// An authority that signs for the length of a test.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    pem: String,
}

/// A certificate with its key.
pub struct Leaf {
    /// Leaf first; the root is not in it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key, DER.
    pub key: Vec<u8>,
    /// The same as text.
    pub chain_pem: String,
    /// The same as text.
    pub key_pem: String,
}

impl Authority {
    /// With a key of its own.
    pub fn new(name: &str) -> Authority {
        let (params, key) = (Authority::params(name), KeyPair::generate().expect("a key"));
        let root = params.self_signed(&key).expect("signed");
        Authority {
            root: root.der().clone(),
            pem: root.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Another one that this one has signed.
    pub fn authority(&self, name: &str) -> Authority {
        let (params, key) = (Authority::params(name), KeyPair::generate().expect("a key"));
        let signed = params.signed_by(&key, &self.issuer).expect("signed");
        Authority {
            root: signed.der().clone(),
            pem: signed.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    /// Its certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.root.clone()
    }

    /// The root, as text.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Whoever believes this authority alone.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).expect("an authority");
        roots
    }

    /// Signs for a server of these names.
    pub fn server(&self, names: &[&str]) -> Leaf {
        self.sign(names, "", KeyPair::generate().expect("a key"))
    }

    /// Signs for a server of these names, until the end of that year.
    pub fn server_until(&self, names: &[&str], year: i32) -> Leaf {
        let until = rcgen::date_time_ymd(year, 12, 31);
        self.sign_until(names, "", KeyPair::generate().expect("a key"), Some(until))
    }

    /// Signs for a server whose key is of RSA (made elsewhere: rcgen makes none).
    pub fn server_with(&self, names: &[&str], key_pem: &str) -> Leaf {
        self.sign(names, "", KeyPair::from_pem(key_pem).expect("a key"))
    }

    /// Signs for a client of this name.
    pub fn client(&self, name: &str) -> Leaf {
        self.sign(&[], name, KeyPair::generate().expect("a key"))
    }

    fn sign(&self, names: &[&str], common_name: &str, key: KeyPair) -> Leaf {
        self.sign_until(names, common_name, key, None)
    }

    fn sign_until(
        &self,
        names: &[&str],
        common_name: &str,
        key: KeyPair,
        until: Option<time::OffsetDateTime>,
    ) -> Leaf {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        if let Some(until) = until {
            params.not_after = until;
        }
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.extended_key_usages = match common_name.is_empty() {
            true => vec![ExtendedKeyUsagePurpose::ServerAuth],
            false => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(&key, &self.issuer).expect("signed");
        Leaf {
            chain: vec![signed.der().clone()],
            key: key.serialize_der(),
            chain_pem: signed.pem(),
            key_pem: key.serialize_pem(),
        }
    }
}

impl Leaf {
    /// The key as rustls wants it.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.clone()).expect("a key")
    }

    /// Writes both files into `folder`, and tells their paths.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (cert, key) = (
            folder.join(format!("{name}.pem")),
            folder.join(format!("{name}-key.pem")),
        );
        std::fs::write(&cert, &self.chain_pem).expect("the certificate is written");
        std::fs::write(&key, &self.key_pem).expect("the key is written");
        (cert, key)
    }
}

/// What a client is made of.
pub struct Asker {
    roots: RootCertStore,
    leaf: Option<(Vec<CertificateDer<'static>>, Vec<u8>)>,
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<Vec<u8>>,
    has_sni: bool,
    provider: Arc<CryptoProvider>,
}

impl Asker {
    /// One that believes this authority.
    pub fn of(authority: &Authority) -> Asker {
        Asker {
            roots: authority.roots(),
            leaf: None,
            versions: vec![&TLS13, &TLS12],
            protocols: vec![b"http/1.1".to_vec()],
            has_sni: true,
            provider: Arc::new(aws_lc_rs::default_provider()),
        }
    }

    /// Shows this certificate when asked.
    pub fn showing(mut self, leaf: &Leaf) -> Asker {
        self.leaf = Some((leaf.chain.clone(), leaf.key.clone()));
        self
    }

    /// Speaks this version alone.
    pub fn version(mut self, version: &'static SupportedProtocolVersion) -> Asker {
        self.versions = vec![version];
        self
    }

    /// Offers these protocols.
    pub fn protocols(mut self, protocols: &[&str]) -> Asker {
        self.protocols = protocols
            .iter()
            .map(|name| name.as_bytes().into())
            .collect();
        self
    }

    /// With these algorithms.
    pub fn provider(mut self, provider: &Arc<CryptoProvider>) -> Asker {
        self.provider = provider.clone();
        self
    }

    /// Asks for nobody.
    pub fn nameless(mut self) -> Asker {
        self.has_sni = false;
        self
    }

    /// The configuration; sessions are remembered by it.
    pub fn config(self) -> Arc<ClientConfig> {
        let config = ClientConfig::builder_with_provider(self.provider)
            .with_protocol_versions(&self.versions)
            .expect("versions")
            .with_root_certificates(self.roots);
        let mut config = match self.leaf {
            Some((chain, key)) => config
                .with_client_auth_cert(chain, PrivateKeyDer::try_from(key).expect("a key"))
                .expect("a certificate"),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = self.protocols;
        config.enable_sni = self.has_sni;
        Arc::new(config)
    }
}

/// A client's connection that is not begun.
pub fn connection(config: &Arc<ClientConfig>, name: &str) -> ClientConnection {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    ClientConnection::new(config.clone(), name).expect("a client")
}

/// A listener in the clear in front of hotgate's TLS.
pub struct Front {
    address: SocketAddr,
}

impl Front {
    /// In front of `target`, asking for `name`.
    pub fn new(target: SocketAddr, config: Arc<ClientConfig>, name: &str) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let address = listener.local_addr().expect("bound");
        let name = name.to_owned();
        thread::spawn(move || {
            for plain in listener.incoming() {
                let Ok(plain) = plain else { return };
                let tls = connection(&config, &name);
                thread::spawn(move || {
                    if let Ok(socket) = TcpStream::connect(target) {
                        carry(
                            plain,
                            socket,
                            tls.into(),
                            Manners::Orderly,
                            &Passed::default(),
                        );
                    }
                });
            }
        });
        Front { address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// How an end that has finished is told to the one that speaks TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manners {
    /// With close_notify.
    Orderly,
    /// The connection ends without a word, as some apps do it.
    Curt,
}

/// Octets that have come in the clear and were passed on encrypted.
#[derive(Clone, Default)]
pub struct Passed(Arc<AtomicU64>);

impl Passed {
    /// How many; all there ever will be, where nothing more is passed on.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Carries octets both ways until both ends have finished: in the clear on one side, encrypted on the other. Did the
/// encrypted one say goodbye?
pub(super) fn carry(
    plain: TcpStream,
    socket: TcpStream,
    tls: rustls::Connection,
    manners: Manners,
    passed: &Passed,
) -> bool {
    let _ = plain.set_nodelay(true);
    let _ = socket.set_nodelay(true);
    let shared = Arc::new(Carried {
        socket,
        tls: Mutex::new(tls),
        sending: Mutex::new(()),
        has_ended: AtomicBool::new(false),
    });
    shared.send(|_| {});
    let (up, mut from) = (shared.clone(), plain.try_clone().expect("a descriptor"));
    let passed = passed.0.clone();
    thread::spawn(move || {
        up.carry_up(&mut from, manners, &passed);
        passed.store(u64::MAX, Ordering::SeqCst);
    });
    let (mut plain, mut octets) = (plain, vec![0; 64 << 10]);
    loop {
        let count = (&shared.socket).read(&mut octets).unwrap_or_default();
        let Some((content, has_ended)) = shared.received(&octets[..count]) else {
            break;
        };
        if !content.is_empty() && plain.write_all(&content).is_err() {
            return false;
        }
        if has_ended {
            let _ = plain.shutdown(Shutdown::Write);
            return true;
        }
        if count == 0 {
            break;
        }
        shared.send(|_| {});
    }
    shared.has_ended.store(true, Ordering::Relaxed);
    // It ended without a word: so does this.
    let _ = SockRef::from(&plain).set_linger(Some(Duration::ZERO));
    let _ = plain.shutdown(Shutdown::Both);
    false
}

struct Carried {
    socket: TcpStream,
    tls: Mutex<rustls::Connection>,
    /// Held while octets are sent, so that they leave in order.
    sending: Mutex<()>,
    /// Nothing more is read.
    has_ended: AtomicBool,
}

impl Carried {
    fn is_handshaking(&self) -> bool {
        let tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        tls.is_handshaking() && !self.has_ended.load(Ordering::Relaxed)
    }

    /// What comes in the clear, until it ends.
    fn carry_up(&self, from: &mut TcpStream, manners: Manners, passed: &AtomicU64) {
        let mut piece = vec![0; 16 << 10];
        loop {
            match from.read(&mut piece) {
                Ok(count @ 1..) => {
                    let is_sent = self.send(|tls| {
                        tls.writer().write_all(&piece[..count]).expect("no limit");
                    });
                    if !is_sent {
                        return;
                    }
                    let _ = passed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |before| {
                        Some(before.saturating_add(count as u64))
                    });
                }
                Ok(_) => {
                    // In the middle of a handshake it would be the end of it.
                    while self.is_handshaking() {
                        let_pass(Duration::from_millis(1));
                    }
                    match manners {
                        Manners::Orderly => {
                            self.send(|tls| tls.send_close_notify());
                        }
                        Manners::Curt => {
                            let _ = self.socket.shutdown(Shutdown::Write);
                        }
                    }
                    return;
                }
                Err(_) => {
                    let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
                    let _ = self.socket.shutdown(Shutdown::Both);
                    return;
                }
            }
        }
    }

    fn send(&self, act: impl FnOnce(&mut rustls::Connection)) -> bool {
        let _turn = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut octets = Vec::new();
        {
            let mut tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
            tls.set_buffer_limit(None);
            act(&mut tls);
            while tls.wants_write() {
                tls.write_tls(&mut octets).expect("a vector takes all");
            }
        }
        (&self.socket).write_all(&octets).is_ok()
    }

    /// What these octets say, and whether the peer has finished; `None` after a breach.
    fn received(&self, mut octets: &[u8]) -> Option<(Vec<u8>, bool)> {
        let mut tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut content = Vec::new();
        let mut has_ended = false;
        while !octets.is_empty() {
            tls.read_tls(&mut octets).ok()?;
            has_ended |= tls.process_new_packets().ok()?.peer_has_closed();
            let mut piece = [0; 16 << 10];
            while let Ok(count @ 1..) = tls.reader().read(&mut piece) {
                content.extend_from_slice(&piece[..count]);
            }
            if has_ended {
                break;
            }
        }
        Some((content, has_ended))
    }
}

/// How the rows of a corpus come to hotgate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// In the clear.
    Plain,
    /// Encrypted: the same octets inside.
    Tls,
    /// In the clear, and encrypted on the way to the app.
    TlsToApp,
}

impl Over {
    /// What the name of a test begins with.
    pub fn prefix(self) -> &'static str {
        match self {
            Over::Plain => "",
            Over::Tls => "tls_",
            Over::TlsToApp => "app_tls_",
        }
    }
}

/// A running hotgate with the site `a.test`, and the way to it.
pub struct Way {
    hotgate: Hotgate,
    front: Option<Front>,
}

impl Way {
    /// `text` makes the configuration of the site's key and of its line about TLS, which may be empty.
    #[track_caller]
    pub fn open(over: Over, text: impl Fn(&str, &str) -> String) -> Way {
        if over != Over::Tls {
            let hotgate = Hotgate::start(text("http://a.test", ""));
            return Way {
                hotgate,
                front: None,
            };
        }
        let (folder, authority) = (Folder::new(), Authority::new("test root"));
        let (cert, key) = authority.server(&["a.test"]).write(folder.path(), "a");
        let line = format!("tls = {{ cert = {cert:?}, key = {key:?} }}\n");
        let hotgate = Hotgate::start(text("a.test", &line));
        let address = *hotgate.listeners().last().expect("a listener of TLS");
        let front = Front::new(address, Asker::of(&authority).config(), "a.test");
        Way {
            hotgate,
            front: Some(front),
        }
    }

    /// Where a client connects, in the clear.
    pub fn address(&self) -> SocketAddr {
        let front = self.front.as_ref().map(Front::address);
        front.unwrap_or(self.hotgate.address())
    }

    /// The process.
    pub fn hotgate(&self) -> &Hotgate {
        &self.hotgate
    }

    /// Ends hotgate at once.
    pub fn stop(self) {
        self.hotgate.stop();
    }
}
