//! Pebble, a real authority in a box, with the name server that comes with it: every name leads to 127.0.0.1.

use std::{net::SocketAddr, path::PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::place::{Folder, Running, free_port, program};
use crate::support::poll_until;

/// How a Pebble is.
pub(crate) struct Options {
    /// Seconds that its certificates are good for.
    pub(crate) validity: u64,
    /// Nonces in a hundred that it refuses.
    pub(crate) bad_nonces: u32,
    /// A key id and its HMAC key, without which it makes no account.
    pub(crate) binding: Option<(&'static str, &'static str)>,
    /// The port of another name server than its own.
    pub(crate) name_server: Option<u16>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            validity: 3600,
            bad_nonces: 0,
            binding: None,
            name_server: None,
        }
    }
}

/// Where it and its helper listen; kept over a restart.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) directory: u16,
    management: u16,
    /// Where http-01 is looked for.
    pub(crate) http: u16,
    /// Where tls-alpn-01 is looked for.
    pub(crate) tls: u16,
    /// Where the name server listens.
    pub(crate) dns: u16,
    /// Where it is told what to answer.
    pub(crate) dns_management: u16,
}

/// A certificate for localhost, signed by an authority of the test's own: for Pebble's and for a stub's HTTPS.
pub(crate) struct Identity {
    pub(crate) root: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Identity {
    pub(crate) fn new(folder: &Folder) -> Identity {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "test root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
            .expect("a root");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &root).expect("a leaf");
        Identity {
            root: folder.file("root.pem", root.pem()),
            certificate: folder.file("server.pem", leaf.pem()),
            key: folder.file("server.key", key.serialize_pem()),
        }
    }
}

/// A running Pebble.
pub(crate) struct Pebble {
    pub(crate) ports: Ports,
    pub(crate) identity: Identity,
    folder: Folder,
    _name_server: Running,
    pebble: Option<Running>,
    options: Options,
}

impl Pebble {
    /// Starts it, and waits until it answers.
    pub(crate) fn start(options: Options) -> Result<Pebble, String> {
        let mut pebble = Pebble::prepare(options)?;
        pebble.restart();
        Ok(pebble)
    }

    /// Its name server alone, until [`Pebble::restart`].
    pub(crate) fn prepare(options: Options) -> Result<Pebble, String> {
        let name_server = program("pebble-challtestsrv")?;
        program("pebble")?;
        let folder = Folder::new();
        let identity = Identity::new(&folder);
        let ports = Ports {
            directory: free_port(),
            management: free_port(),
            http: free_port(),
            tls: free_port(),
            dns: free_port(),
            dns_management: free_port(),
        };
        let (dns, management) = (
            format!("127.0.0.1:{}", ports.dns),
            format!("127.0.0.1:{}", ports.dns_management),
        );
        let arguments = [
            "-management",
            &management,
            "-dns01",
            &dns,
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
            "-defaultIPv6",
            "",
            "-defaultIPv4",
            "127.0.0.1",
        ];
        let name_server = Running::start(&folder, &name_server, arguments, &[]);
        listens(ports.dns_management);
        listens(ports.dns);
        Ok(Pebble {
            ports,
            identity,
            folder,
            _name_server: name_server,
            pebble: None,
            options,
        })
    }

    /// Starts it (again): it has forgotten everything, and signs with another root.
    pub(crate) fn restart(&mut self) {
        self.pebble = None;
        let Ports {
            directory,
            management,
            http,
            tls,
            dns,
            ..
        } = self.ports;
        let (required, keys) = match self.options.binding {
            Some((id, key)) => (
                true,
                format!(",\"externalAccountMACKeys\":{{\"{id}\":\"{key}\"}}"),
            ),
            None => (false, String::new()),
        };
        let config = format!(
            "{{\"pebble\":{{\"listenAddress\":\"127.0.0.1:{directory}\",\"managementListenAddress\":\"127.0.0.1:{management}\",\
             \"certificate\":\"server.pem\",\"privateKey\":\"server.key\",\"httpPort\":{http},\"tlsPort\":{tls},\
             \"ocspResponderURL\":\"\",\"certificateValidityPeriod\":{},\"externalAccountBindingRequired\":{required}{keys}}}}}",
            self.options.validity
        );
        self.folder.file("pebble.json", config);
        let nonces = self.options.bad_nonces.to_string();
        let environment = [
            ("PEBBLE_VA_NOSLEEP", "1"),
            ("PEBBLE_WFE_NONCEREJECT", nonces.as_str()),
            ("PEBBLE_AUTHZREUSE", "0"),
        ];
        let dns = format!("127.0.0.1:{}", self.options.name_server.unwrap_or(dns));
        let pebble = program("pebble").expect("it was there");
        self.pebble = Some(Running::start(
            &self.folder,
            &pebble,
            ["-config", "pebble.json", "-dnsserver", &dns],
            &environment,
        ));
        listens(directory);
    }

    pub(crate) fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.ports.directory)
    }

    pub(crate) fn resolver(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.dns))
    }

    /// The command for `provider = "exec"` that writes into the name server.
    pub(crate) fn exec_command(&self) -> String {
        format!(
            "case $HOTGATE_DNS_ACTION in add) verb=set-txt;; remove) verb=clear-txt;; esac; \
             curl -sf -d \"{{\\\"host\\\":\\\"$HOTGATE_DNS_NAME.\\\",\\\"value\\\":\\\"$HOTGATE_DNS_VALUE\\\"}}\" \
             http://127.0.0.1:{}/$verb",
            self.ports.dns_management
        )
    }
}

/// Waits until something listens there.
pub(crate) fn listens(port: u16) {
    poll_until(&format!("port {port}"), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    });
}
