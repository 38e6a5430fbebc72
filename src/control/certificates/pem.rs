//! A certificate chain and its key from PEM text, checked as far as one can without a client.
//!
//! What is wrong is said as a person would find it: that the two files are swapped, that the key has a passphrase, that
//! the chain stands upside down. A pair that comes out of here can be served; what clients may dislike all the same
//! (a date, a name, a missing intermediate) is a remark and keeps nobody from serving it.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::fault::Fault;
use super::leaf::Leaf;
use super::name::CertName;
use crate::control::inspect::access;

/// A chain of ten certificates is 20 KiB; what is larger is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Fewer days than this are worth a word…
const SOON: Duration = Duration::from_secs(14 * 86_400);
/// …where the certificate lives at least this much longer than that.
const SOON_SHARE: u32 = 3;

/// The mend of a key that TLS has no use for.
const NEW_KEY: &str = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem, and a certificate for it";

/// A key and the chain that goes with it.
#[derive(Clone)]
pub struct Pair {
    /// As rustls serves it.
    pub keys: Arc<CertifiedKey>,
    /// The first certificate of the chain.
    pub leaf: Leaf,
    /// What clients may dislike about the chain, whatever the time is and whatever it is used for.
    remarks: Vec<Fault>,
    /// The same for the same chain and key.
    pub fingerprint: u64,
    /// Where the chain is, as it is shown.
    pub place: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pair({} of {})", self.leaf.serial, self.place)
    }
}

impl Pair {
    /// What deserves a word at this moment, for a site of this name.
    pub fn remarks(&self, now: SystemTime, site: Option<&CertName>) -> Vec<Fault> {
        let mut remarks: Vec<Fault> = self.date_remark(now).into_iter().collect();
        if let Some(site) = site
            && !self.leaf.covers(site)
        {
            let names: Vec<String> = self.leaf.names.iter().map(CertName::to_string).collect();
            let named = match names.as_slice() {
                [] => "no host".to_owned(),
                names => names.join(", "),
            };
            remarks.push(
                Fault::new(format!(
                    "the certificate in {} names {named}, not {site}; browsers refuse it",
                    self.place
                ))
                .mend(format!("a certificate whose subjectAltName has {site}")),
            );
        }
        remarks.extend(self.remarks.iter().cloned());
        remarks
    }

    fn date_remark(&self, now: SystemTime) -> Option<Fault> {
        let (leaf, place) = (&self.leaf, &self.place);
        let remark = |what: String| {
            Some(Fault::new(what).mend("renew it; the new file is noticed by itself"))
        };
        if let Ok(past) = now.duration_since(leaf.not_after) {
            return remark(format!(
                "the certificate in {place} expired {} ago",
                span(past)
            ));
        }
        if let Ok(ahead) = leaf.not_before.duration_since(now)
            && ahead > Duration::ZERO
        {
            return Some(
                Fault::new(format!(
                    "the certificate in {place} is valid only in {}",
                    span(ahead)
                ))
                .mend("look at the clock: timedatectl"),
            );
        }
        let left = leaf.not_after.duration_since(now).unwrap_or_default();
        let lifetime = leaf
            .not_after
            .duration_since(leaf.not_before)
            .unwrap_or_default();
        match left < SOON && left < lifetime / SOON_SHARE {
            true => remark(format!(
                "the certificate in {place} expires in {}",
                span(left)
            )),
            false => None,
        }
    }
}

/// Loads a pair from its files.
///
/// # Errors
///
/// It cannot be served; the sentence names the file and says why.
pub fn load(cert: &Path, key: &Path) -> Result<Pair, Fault> {
    let chain = read(cert)?;
    let key_octets = match cert == key {
        true => chain.clone(),
        false => read(key)?,
    };
    pair(
        &cert.display().to_string(),
        &chain,
        &key.display().to_string(),
        &key_octets,
    )
}

/// A pair from the texts of its files, which are shown as `cert` and `key`.
///
/// # Errors
///
/// See [`load`].
pub fn pair(cert: &str, chain: &[u8], key: &str, key_octets: &[u8]) -> Result<Pair, Fault> {
    let certificates = certificates(cert, chain, key, key_octets)?;
    let keys = private_keys(key, key_octets, cert)?;
    let read = |(der, number): (&CertificateDer<'static>, usize)| {
        Leaf::read(der).ok_or_else(|| {
            Fault::new(format!(
                "certificate {number} in {cert} is not one that can be read"
            ))
            .mend(format!(
                "openssl x509 -in {cert} -noout -text says what it is"
            ))
        })
    };
    let leaves: Vec<Leaf> = certificates
        .iter()
        .zip(1..)
        .map(read)
        .collect::<Result<_, _>>()?;
    let belongs = |leaf: &Leaf| {
        let fits = |key: &&Arc<dyn SigningKey>| {
            key.public_key()
                .is_some_and(|ours| ours.as_ref() == leaf.public_key)
        };
        keys.iter().find(fits).cloned()
    };
    let Some(signing_key) = belongs(&leaves[0]) else {
        let later = leaves.iter().find(|leaf| belongs(leaf).is_some());
        return Err(no_match(cert, key, &leaves[0], later));
    };
    if let Err(error) = ParsedCertificate::try_from(&certificates[0]) {
        return Err(
            Fault::new(format!("the certificate in {cert} cannot be used: {error}"))
                .mend("one of version 3, as every authority of today makes them"),
        );
    }
    let mut hasher = DefaultHasher::new();
    certificates.hash(&mut hasher);
    key_octets.hash(&mut hasher);
    Ok(Pair {
        keys: Arc::new(CertifiedKey::new(certificates, signing_key)),
        remarks: chain_remarks(cert, &leaves),
        leaf: leaves.into_iter().next().expect("there is at least one"),
        fingerprint: hasher.finish(),
        place: cert.to_owned(),
    })
}

/// The certificates of a file of authorities, for the verification of clients or upstreams; never empty.
///
/// # Errors
///
/// There is none in it, or one of them is not what it should be.
pub fn load_authorities(path: &Path) -> Result<Arc<RootCertStore>, Fault> {
    let shown = path.display().to_string();
    let octets = read(path)?;
    let mut roots = RootCertStore::empty();
    for (der, number) in certificates(&shown, &octets, &shown, &octets)?
        .into_iter()
        .zip(1..)
    {
        roots.add(der).map_err(|error| {
            Fault::new(format!(
                "certificate {number} in {shown} is no authority's: {error}"
            ))
        })?;
    }
    Ok(Arc::new(roots))
}

/// The octets of a file.
///
/// # Errors
///
/// In words, with the mend where only a permission is missing.
pub fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    use io::Read;
    let mut octets = Vec::new();
    let shown = path.display();
    let result = fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut octets));
    match result {
        Ok(_) if octets.len() as u64 > FILE_BYTES_MAX => {
            Err(Fault::new(format!("{shown} is larger than 1 MiB")))
        }
        Ok(_) => Ok(octets),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::NotFound => Fault::new(format!("{shown} is not there"))
                .mend("mend the path, or put the file there; it is noticed by itself"),
            io::ErrorKind::PermissionDenied => {
                let (user, mend) = access::mend_for_reading(path);
                Fault::new(format!("{user} may not read {shown}")).mend(mend)
            }
            io::ErrorKind::IsADirectory => Fault::new(format!("{shown} is a folder, not a file")),
            _ => Fault::new(format!("cannot read {shown}: {error}")),
        }),
    }
}

/// The certificates of a PEM text; never empty.
fn certificates(
    cert: &str,
    text: &[u8],
    key: &str,
    key_text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found = labels(text);
    let has = |wanted: &str| found.iter().any(|label| label == wanted);
    if has("CERTIFICATE") {
        let decoded: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        return match decoded {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            Ok(_) | Err(_) => Err(damaged(cert)),
        };
    }
    let fault = |what: &str| Fault::new(format!("{cert} {what}"));
    if found.is_empty() {
        return Err(match text {
            [] => fault("is empty").mend("the certificate's PEM text, with its intermediates behind it"),
            [0x30, ..] if Leaf::read(text).is_some() => fault("is a certificate in DER, not in PEM")
                .mend(format!("openssl x509 -inform DER -in {cert} -out {cert}.pem")),
            [0x30, ..] => fault("is binary, not PEM text")
                .mend(format!("if it is PKCS#12: openssl pkcs12 -in {cert} -nodes -out {cert}.pem, and this as `cert` and `key`")),
            _ => fault("holds no certificate").mend("PEM text, which begins with -----BEGIN CERTIFICATE-----"),
        });
    }
    if found
        .iter()
        .any(|label| label.contains("CERTIFICATE REQUEST"))
    {
        return Err(
            fault("holds a request for a certificate, not the certificate")
                .mend("the file that the authority sent back for it"),
        );
    }
    if found.iter().any(|label| label.ends_with("PRIVATE KEY")) {
        let are_swapped =
            labels(key_text).iter().any(|label| label == "CERTIFICATE") && cert != key;
        return Err(match are_swapped {
            true => fault(
                "holds the key, and the file of the key holds the certificate: the two are swapped",
            )
            .mend(format!("cert = \"{key}\", key = \"{cert}\"")),
            false => fault("holds a private key and no certificate")
                .mend("the certificate's PEM text, with its intermediates behind it"),
        });
    }
    Err(match found.first().map_or("", String::as_str) {
        "TRUSTED CERTIFICATE" => fault("holds openssl's own form of a certificate")
            .mend(format!("openssl x509 -in {cert} -out {cert}.pem")),
        "PKCS7" => fault("holds PKCS#7, not plain certificates").mend(format!(
            "openssl pkcs7 -print_certs -in {cert} -out {cert}.pem"
        )),
        other => fault(&format!("holds {other}, and no certificate")),
    })
}

/// The private keys of a PEM text; never empty.
fn private_keys(key: &str, text: &[u8], cert: &str) -> Result<Vec<Arc<dyn SigningKey>>, Fault> {
    let found = labels(text);
    let fault = |what: &str| Fault::new(format!("{key} {what}"));
    let is_encrypted = found.iter().any(|label| label == "ENCRYPTED PRIVATE KEY")
        || text.windows(10).any(|window| window == b",ENCRYPTED");
    if is_encrypted {
        return Err(fault("holds a key with a passphrase, which nobody can type at a start")
            .mend(format!("openssl pkey -in {key} -out {key}.plain && chmod 600 {key}.plain, and this as `key`")));
    }
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) = section.map_err(|_| damaged(key))?;
        let Some(der) = PrivateKeyDer::from_pem(kind, der) else {
            continue;
        };
        keys.push(any_supported_type(&der).map_err(|_| {
            fault("holds a key of a kind that TLS has no use for: it takes RSA from 2048 bits on, ECDSA on P-256, P-384 and P-521, and Ed25519")
                .mend(NEW_KEY)
        })?);
    }
    if !keys.is_empty() {
        return Ok(keys);
    }
    if found.is_empty() {
        return Err(match text {
            [] => fault("is empty").mend(format!(
                "the private key's PEM text, with which {cert} was asked for"
            )),
            [0x30, ..] => fault("is binary, not PEM text")
                .mend(format!("openssl pkey -inform DER -in {key} -out {key}.pem")),
            _ => fault("holds no key")
                .mend("PEM text, which begins with -----BEGIN PRIVATE KEY-----"),
        });
    }
    Err(match found.first().map_or("", String::as_str) {
        "OPENSSH PRIVATE KEY" => fault("holds a key for SSH, not for TLS").mend(NEW_KEY),
        "PUBLIC KEY" => fault("holds a public key, and the private one is needed"),
        "CERTIFICATE" => fault("holds a certificate and no key").mend(format!(
            "the private key's PEM text, with which {cert} was asked for"
        )),
        other => fault(&format!("holds {other}, and no private key")),
    })
}

/// Why none of the keys belongs to the first certificate; `later` is another one of the chain that one belongs to.
fn no_match(cert: &str, key: &str, first: &Leaf, later: Option<&Leaf>) -> Fault {
    if let Some(leaf) = later {
        return Fault::new(format!(
            "the chain in {cert} stands in the wrong order: {} comes first, and the key belongs to {}",
            first.subject, leaf.subject
        ))
        .mend(format!("put the certificate of {} first, its issuer behind it", leaf.subject));
    }
    if first.is_ca {
        return Fault::new(format!(
            "{cert} begins with the certificate of an authority ({}), not with a site's",
            first.subject
        ))
        .mend("the site's own certificate first, its issuer behind it");
    }
    Fault::new(format!(
        "the key in {key} does not belong to the certificate in {cert} ({})",
        first.subject
    ))
    .mend(format!(
        "the key that it was asked for with: openssl x509 -in {cert} -noout -pubkey and openssl pkey -in {key} -pubout print the same"
    ))
}

/// What clients may dislike about a chain.
fn chain_remarks(cert: &str, leaves: &[Leaf]) -> Vec<Fault> {
    let mut remarks = Vec::new();
    let leaf = &leaves[0];
    if !leaf.is_for_servers {
        remarks.push(Fault::new(format!("the certificate in {cert} is not meant for servers (extendedKeyUsage); browsers refuse it")));
    }
    if let Some(hash) = leaf.broken_signature {
        remarks.push(Fault::new(format!(
            "the certificate in {cert} is signed with {hash}; browsers refuse it"
        )));
    }
    if leaves.len() == 1 && leaf.names_its_issuer && !leaf.is_self_signed {
        remarks.push(
            Fault::new(format!(
                "{cert} lacks the intermediate of {}; many clients refuse it",
                leaf.issuer
            ))
            .mend("the file with the whole chain; certbot calls it fullchain.pem"),
        );
    }
    let is_broken = leaves.windows(2).any(|two| !two[0].is_issued_by(&two[1]));
    if is_broken {
        remarks.push(
            Fault::new(format!(
                "the chain in {cert} is not one: each certificate is to be followed by its issuer"
            ))
            .mend("the leaf first, then its issuer, then that one's"),
        );
    }
    remarks
}

fn damaged(file: &str) -> Fault {
    Fault::new(format!("the PEM text in {file} is damaged"))
        .mend("copy the file anew; a line may be missing or cut")
}

/// The labels of all sections, in order.
fn labels(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let label = |line: &str| {
        Some(
            line.trim()
                .strip_prefix("-----BEGIN ")?
                .strip_suffix("-----")?
                .to_owned(),
        )
    };
    text.lines().filter_map(label).collect()
}

/// A span of time in its largest unit.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
