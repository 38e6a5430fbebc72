//! What a certificate says: for whom, by whom, from when to when.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

use super::name::CertName;

/// Signatures that no client of today believes, by their object identifiers.
const BROKEN_SIGNATURES: [(&str, &str); 4] = [
    ("1.2.840.113549.1.1.4", "MD5"),
    ("1.2.840.113549.1.1.5", "SHA-1"),
    ("1.2.840.10045.4.1", "SHA-1"),
    ("1.2.840.10040.4.3", "SHA-1"),
];

/// A certificate, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The hosts and addresses that it names, in its order; those that are no hosts are left out.
    pub names: Vec<CertName>,
    /// The common name of its subject, else the whole subject; may be empty.
    pub subject: String,
    /// That of its issuer: the organisation and the common name, as people know it.
    pub issuer: String,
    /// From when on it is valid.
    pub not_before: SystemTime,
    /// Until when.
    pub not_after: SystemTime,
    /// Its serial number in hex, parted by colons.
    pub serial: String,
    /// `ECDSA P-256`, `RSA 2048` and the like.
    pub key: String,
    /// It may sign other certificates.
    pub is_ca: bool,
    /// Its issuer is its subject.
    pub is_self_signed: bool,
    /// It may stand for a server: no extended key usage, or one that says so.
    pub is_for_servers: bool,
    /// It says where the certificate of its issuer is to be had: a public authority's intermediate, as a rule.
    pub names_its_issuer: bool,
    /// The hash of its signature, if that is a broken one.
    pub broken_signature: Option<&'static str>,
    /// Subject and issuer as they stand in it: which certificate is whose issuer.
    subject_octets: Vec<u8>,
    issuer_octets: Vec<u8>,
    /// Its public key, with the kind of key.
    pub public_key: Vec<u8>,
}

impl Leaf {
    /// Reads the whole of `der` as one certificate.
    pub fn read(der: &[u8]) -> Option<Leaf> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut leaf = Leaf {
            names: Vec::new(),
            subject: subject_name(certificate.subject()),
            issuer: issuer_name(certificate.issuer()),
            not_before: moment(certificate.validity().not_before.timestamp()),
            not_after: moment(certificate.validity().not_after.timestamp()),
            serial: certificate.raw_serial_as_string(),
            key: key_name(&certificate),
            is_ca: certificate.is_ca(),
            is_self_signed: certificate.subject().as_raw() == certificate.issuer().as_raw(),
            is_for_servers: true,
            names_its_issuer: false,
            broken_signature: broken_signature(&certificate),
            subject_octets: certificate.subject().as_raw().to_vec(),
            issuer_octets: certificate.issuer().as_raw().to_vec(),
            public_key: certificate.public_key().raw.to_vec(),
        };
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    leaf.names = names.general_names.iter().filter_map(name).collect();
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    leaf.is_for_servers = usage.server_auth || usage.any;
                }
                ParsedExtension::AuthorityInfoAccess(access) => {
                    // id-ad-caIssuers (RFC 5280 §4.2.2.1)
                    leaf.names_its_issuer = access.accessdescs.iter().any(|description| {
                        description.access_method.to_id_string() == "1.3.6.1.5.5.7.48.2"
                    });
                }
                _ => {}
            }
        }
        Some(leaf)
    }

    /// Does it name all of `name`?
    pub fn covers(&self, name: &CertName) -> bool {
        self.names.iter().any(|ours| ours.covers(name))
    }

    /// Was it signed by the subject of `other`, as far as the names say?
    pub fn is_issued_by(&self, other: &Leaf) -> bool {
        self.issuer_octets == other.subject_octets
    }

    /// When two thirds of its time are over: then it is to be renewed.
    pub fn renewal(&self) -> SystemTime {
        let lifetime = self.not_after.duration_since(self.not_before);
        self.not_before + lifetime.unwrap_or_default() * 2 / 3
    }
}

fn moment(seconds: i64) -> SystemTime {
    match u64::try_from(seconds) {
        Ok(seconds) => UNIX_EPOCH + Duration::from_secs(seconds),
        Err(_) => UNIX_EPOCH,
    }
}

fn name(name: &GeneralName<'_>) -> Option<CertName> {
    match name {
        GeneralName::DNSName(text) => CertName::parse(text),
        GeneralName::IPAddress(octets) => {
            let ip = match octets.len() {
                4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(*octets).ok()?)),
                16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(*octets).ok()?)),
                _ => return None,
            };
            Some(CertName::of_ip(ip))
        }
        _ => None,
    }
}

fn subject_name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next();
    match common.and_then(|common| common.as_str().ok()) {
        Some(common) => common.to_owned(),
        None => name.to_string(),
    }
}

/// `Let's Encrypt E7`: the organisation, and the common name where it says more.
fn issuer_name(name: &X509Name<'_>) -> String {
    let organisation = name.iter_organization().next();
    let organisation = organisation.and_then(|organisation| organisation.as_str().ok());
    let common = subject_name(name);
    match organisation {
        Some(organisation) if !common.contains(organisation) => format!("{organisation} {common}"),
        Some(_) | None => common,
    }
}

fn key_name(certificate: &X509Certificate<'_>) -> String {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        // 521 bits fill 66 octets.
        Ok(PublicKey::EC(point)) => format!("ECDSA P-{}", point.key_size().min(521)),
        Ok(_) | Err(_) => match certificate.public_key().algorithm.algorithm.to_id_string() {
            id if id == "1.3.101.112" => "Ed25519".to_owned(),
            id => id,
        },
    }
}

fn broken_signature(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    let id = certificate.signature_algorithm.algorithm.to_id_string();
    let found = BROKEN_SIGNATURES.iter().find(|(known, _)| *known == id);
    found.map(|(_, hash)| *hash)
}
