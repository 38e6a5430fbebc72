//! What a configuration says of TLS: certificates and where they come from, whom to believe, on both sides.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::place::Place;
use crate::http::authority::HostName;

/// What `acme.ca = "letsencrypt"` stands for.
pub const LETSENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// What `acme.ca = "letsencrypt-staging"` stands for.
pub const LETSENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// `tls` of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteTls {
    /// Where its certificate comes from.
    pub source: CertificateSource,
    /// What it asks of clients.
    pub client_auth: ClientAuth,
}

/// Where a site's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// By ACME, from the authority of `[acme]`: public names.
    Acme,
    /// From hotgate's own authority: names that no other one signs (see [`is_local_name`](super::is_local_name)).
    LocalCa,
    /// These files; never empty. Several serve one name with keys of several kinds.
    Files(Vec<PemPair>),
}

/// A certificate chain and its key, each a PEM file; relative paths are already joined to the source's folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PemPair {
    /// The leaf first.
    pub cert: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
    /// Where the pair is named.
    pub place: Place,
}

/// `tls.client_auth` with `tls.client_ca`: the PEM file of the authorities whose client certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientAuth {
    /// Clients are asked for none.
    Off,
    /// Asked for, and verified if it comes.
    Request(PathBuf),
    /// No handshake without one.
    Require(PathBuf),
}

/// `[acme]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// Where the authority writes to.
    pub email: Option<String>,
    /// The URL of the authority's directory, always `https://`.
    pub ca: String,
    /// A PEM file with what else may sign the certificate of the authority's own HTTPS.
    pub ca_root: Option<PathBuf>,
    /// How control of a name is shown.
    pub challenge: ChallengeChoice,
    /// Names whose `*.NAME` is one certificate in place of one for each name below: without `*.`, no two alike.
    pub wildcards: Vec<HostName>,
    /// Run by `sh -c` after a certificate changed.
    pub on_change: Option<String>,
    /// What binds the account to another one at the authority (RFC 8555 §7.3.4).
    pub eab: Option<Eab>,
    /// `[acme.dns]`: who writes the records of dns-01.
    pub dns: Option<DnsProvider>,
}

/// `acme.challenge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeChoice {
    /// What can work, in order; what worked is remembered.
    Auto,
    /// RFC 8555 §8.3.
    Http01,
    /// RFC 8737.
    TlsAlpn01,
    /// RFC 8555 §8.4; needs [`Acme::dns`].
    Dns01,
}

/// `acme.eab`.
#[derive(Clone, PartialEq, Eq)]
pub struct Eab {
    /// As the authority gave it.
    pub key_id: String,
    /// As the authority gave it, in base64url; valid, without padding.
    pub hmac_key: String,
}

/// `[acme.dns]`. `api` is another base URL than the provider's own.
#[derive(Clone, PartialEq, Eq)]
pub enum DnsProvider {
    /// `cloudflare`
    Cloudflare {
        /// What lets hotgate in.
        token: String,
        /// Without a slash at its end.
        api: Option<String>,
    },
    /// `hetzner`
    Hetzner {
        /// What lets hotgate in.
        token: String,
        /// Without a slash at its end.
        api: Option<String>,
    },
    /// `desec`
    Desec {
        /// What lets hotgate in.
        token: String,
        /// Without a slash at its end.
        api: Option<String>,
    },
    /// `rfc2136`: dynamic updates, signed with TSIG.
    Rfc2136 {
        /// `HOST:PORT`; HOST is a name or an IP literal.
        server: String,
        /// The TSIG key's name.
        key_name: String,
        /// `hmac-sha256` and the like, as RFC 8945 §6 names them.
        algorithm: String,
        /// In base64, valid.
        key: String,
    },
    /// `exec`: run by `sh -c` for each record.
    Exec {
        /// Never empty.
        command: String,
    },
}

/// `hsts` (RFC 6797 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// In whole seconds.
    pub max_age: Duration,
    /// `includeSubDomains`
    pub subdomains: bool,
    /// `preload`; only ever true with `subdomains` and a year.
    pub preload: bool,
}

/// `upstream_tls`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamTls {
    /// A PEM file of the authorities that are believed; without it the system's.
    pub ca: Option<PathBuf>,
    /// The name that is asked for and verified; without it the endpoint's own.
    pub server_name: Option<String>,
    /// Whether the endpoint must show a certificate for its name.
    pub verify: bool,
    /// What hotgate shows of itself.
    pub cert: Option<PemPair>,
}

impl Default for UpstreamTls {
    /// Verified against the system's authorities.
    fn default() -> UpstreamTls {
        UpstreamTls {
            ca: None,
            server_name: None,
            verify: true,
            cert: None,
        }
    }
}

impl Default for SiteTls {
    /// Of a public name.
    fn default() -> SiteTls {
        SiteTls {
            source: CertificateSource::Acme,
            client_auth: ClientAuth::Off,
        }
    }
}

impl Default for Acme {
    /// The `[acme]` of an empty file.
    fn default() -> Acme {
        Acme {
            email: None,
            ca: LETSENCRYPT.to_owned(),
            ca_root: None,
            challenge: ChallengeChoice::Auto,
            wildcards: Vec::new(),
            on_change: None,
            eab: None,
            dns: None,
        }
    }
}

impl DnsProvider {
    /// As `acme.dns.provider` has it.
    pub fn name(&self) -> &'static str {
        match self {
            DnsProvider::Cloudflare { .. } => "cloudflare",
            DnsProvider::Hetzner { .. } => "hetzner",
            DnsProvider::Desec { .. } => "desec",
            DnsProvider::Rfc2136 { .. } => "rfc2136",
            DnsProvider::Exec { .. } => "exec",
        }
    }
}

// What lets somebody in is in no log, whoever prints a configuration.

impl fmt::Debug for Eab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Eab({:?})", self.key_id)
    }
}

impl fmt::Debug for DnsProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DnsProvider({})", self.name())
    }
}
