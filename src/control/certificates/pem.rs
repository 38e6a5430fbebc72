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
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::CertificateDer;

use super::fault::Fault;
use super::leaf::Leaf;
use super::name::CertName;
use super::sections::{certificates, private_keys};
use crate::control::inspect::access;

/// A chain of ten certificates is 20 KiB; what is larger is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Fewer days than this are worth a word…
const SOON: Duration = Duration::from_secs(14 * 86_400);
/// …where the certificate lives at least this much longer than that.
const SOON_SHARE: u32 = 3;

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

/// Why none of the keys belongs to the first certificate; `later` is another one of the chain that one belongs to.
fn no_match(cert: &str, key: &str, first: &Leaf, later: Option<&Leaf>) -> Fault {
    if let Some(leaf) = later {
        return Fault::new(format!(
            "the chain in {cert} stands in the wrong order: {} comes first, and the key belongs to {}",
            first.subject, leaf.subject
        ))
        .mend(format!("put the certificate of {} first, its issuer behind it", leaf.subject));
    }
    // `openssl req -x509` makes sites' certificates that may sign; they name a host all the same.
    if first.is_ca && first.names.is_empty() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls_pki_types::PrivateKeyDer;

    const DAY: Duration = Duration::from_secs(86_400);

    struct Made {
        ca: String,
        leaf: String,
        key: String,
        other_key: String,
        self_signed: String,
        request: String,
        leaf_der: Vec<u8>,
        key_der: Vec<u8>,
    }

    fn params(names: &[&str], from: i64, days: u64) -> CertificateParams {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        let now = SystemTime::now();
        let begin = match u32::try_from(from) {
            Ok(days) => now + DAY * days,
            Err(_) => now - DAY * u32::try_from(-from).expect("few"),
        };
        params.not_before = begin.into();
        params.not_after = (begin + DAY * u32::try_from(days).expect("few")).into();
        params
    }

    fn made() -> Made {
        let mut ca = params(&[], 0, 3650);
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name = named("test CA");
        let ca =
            CertifiedIssuer::self_signed(ca, KeyPair::generate().expect("a key")).expect("signed");
        let key = KeyPair::generate().expect("a key");
        let mut leaf = params(&["a.test"], 0, 90);
        leaf.distinguished_name = named("a.test");
        let signed = leaf.signed_by(&key, &ca).expect("signed");
        let mut alone = leaf.clone();
        alone.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Made {
            ca: ca.pem(),
            leaf_der: signed.der().to_vec(),
            leaf: signed.pem(),
            self_signed: alone.self_signed(&key).expect("signed").pem(),
            request: leaf
                .serialize_request(&key)
                .expect("signed")
                .pem()
                .expect("text"),
            key: key.serialize_pem(),
            key_der: key.serialize_der(),
            other_key: KeyPair::generate().expect("a key").serialize_pem(),
        }
    }

    fn named(name: &str) -> rcgen::DistinguishedName {
        let mut subject = rcgen::DistinguishedName::new();
        subject.push(rcgen::DnType::CommonName, name);
        subject
    }

    #[track_caller]
    fn refused(cert: impl AsRef<[u8]>, key: impl AsRef<[u8]>, what: &str, mend: &str) {
        let fault = pair("c.pem", cert.as_ref(), "k.pem", key.as_ref()).expect_err(what);
        assert_eq!(fault.what, what);
        assert!(
            fault.mend.contains(mend) && (mend.is_empty() == fault.mend.is_empty()),
            "{}",
            fault.mend
        );
    }

    #[test]
    fn a_pair_that_can_be_served() {
        let made = made();
        let (chain, now) = (format!("{}{}", made.leaf, made.ca), SystemTime::now());
        let read = pair("c.pem", chain.as_bytes(), "k.pem", made.key.as_bytes()).expect("a pair");
        assert_eq!(read.keys.cert.len(), 2);
        assert_eq!(
            (read.leaf.subject.as_str(), read.leaf.issuer.as_str()),
            ("a.test", "test CA")
        );
        assert_eq!(read.leaf.key, "ECDSA P-256");
        assert_eq!(read.remarks(now, CertName::parse("a.test").as_ref()), []);
        // Both in one file, with talk between; the key first; line ends of another system.
        let both = format!("Bag Attributes\n{}subject=x\n{chain}", made.key);
        for both in [both.clone(), both.replace('\n', "\r\n")] {
            let again = pair("b.pem", both.as_bytes(), "b.pem", both.as_bytes()).expect("a pair");
            assert_eq!(again.keys.cert, read.keys.cert);
        }
        // As `openssl req -x509` makes them: it may sign, and its key is given.
        pair(
            "c.pem",
            made.self_signed.as_bytes(),
            "k.pem",
            made.key.as_bytes(),
        )
        .expect("a pair");
        // SEC1, and several keys of which one belongs.
        let der = PrivateKeyDer::try_from(made.key_der.as_slice()).expect("PKCS#8");
        assert!(matches!(der, PrivateKeyDer::Pkcs8(_)));
        let two = format!("{}{}", made.other_key, made.key);
        pair("c.pem", chain.as_bytes(), "k.pem", two.as_bytes()).expect("a pair");
    }

    #[test]
    fn what_is_no_pair_says_why() {
        let made = made();
        let (leaf, key, ca) = (&made.leaf, &made.key, &made.ca);
        refused("", key, "c.pem is empty", "PEM text");
        refused(
            "hello",
            key,
            "c.pem holds no certificate",
            "-----BEGIN CERTIFICATE-----",
        );
        refused(
            &made.leaf_der,
            key,
            "c.pem is a certificate in DER, not in PEM",
            "openssl x509 -inform DER -in c.pem",
        );
        refused(
            [0x30, 0x82, 1],
            key,
            "c.pem is binary, not PEM text",
            "openssl pkcs12 -in c.pem",
        );
        refused(
            &made.request,
            key,
            "c.pem holds a request for a certificate, not the certificate",
            "the authority sent back",
        );
        refused(
            key,
            leaf,
            "c.pem holds the key, and the file of the key holds the certificate: the two are swapped",
            "cert = \"k.pem\"",
        );
        refused(
            key,
            key,
            "c.pem holds a private key and no certificate",
            "intermediates",
        );
        refused(
            leaf.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
            key,
            "c.pem holds openssl's own form of a certificate",
            "openssl x509",
        );
        refused(
            leaf.replace("CERTIFICATE", "PKCS7"),
            key,
            "c.pem holds PKCS#7, not plain certificates",
            "openssl pkcs7",
        );
        refused(
            leaf.replace("MII", "M!I"),
            key,
            "the PEM text in c.pem is damaged",
            "copy",
        );
        refused(
            &leaf[..leaf.len() - 40],
            key,
            "the PEM text in c.pem is damaged",
            "copy",
        );
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        refused(
            format!("{leaf}{no_certificate}"),
            key,
            "certificate 2 in c.pem is not one that can be read",
            "openssl x509",
        );
        refused(leaf, "", "k.pem is empty", "private key");
        refused(
            leaf,
            "hello",
            "k.pem holds no key",
            "-----BEGIN PRIVATE KEY-----",
        );
        refused(
            leaf,
            &made.key_der,
            "k.pem is binary, not PEM text",
            "openssl pkey -inform DER",
        );
        refused(
            leaf,
            leaf,
            "k.pem holds a certificate and no key",
            "private key",
        );
        refused(
            leaf,
            key.replace("PRIVATE", "ENCRYPTED PRIVATE"),
            "k.pem holds a key with a passphrase, which nobody can type at a start",
            "openssl pkey -in k.pem",
        );
        let old_form = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        refused(
            leaf,
            old_form,
            "k.pem holds a key with a passphrase, which nobody can type at a start",
            "openssl pkey -in k.pem",
        );
        refused(
            leaf,
            key.replace("PRIVATE", "OPENSSH PRIVATE"),
            "k.pem holds a key for SSH, not for TLS",
            "openssl genpkey",
        );
        refused(
            leaf,
            key.replace("PRIVATE", "PUBLIC"),
            "k.pem holds a public key, and the private one is needed",
            "",
        );
        let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        refused(
            leaf,
            no_key,
            "k.pem holds a key of a kind that TLS has no use for: it takes RSA from 2048 bits on, ECDSA on P-256, P-384 and P-521, and Ed25519",
            "openssl genpkey",
        );
        refused(
            leaf,
            &made.other_key,
            "the key in k.pem does not belong to the certificate in c.pem (a.test)",
            "openssl x509 -in c.pem -noout -pubkey",
        );
        refused(
            ca,
            key,
            "c.pem begins with the certificate of an authority (test CA), not with a site's",
            "site's own",
        );
        refused(
            format!("{ca}{leaf}"),
            key,
            "the chain in c.pem stands in the wrong order: test CA comes first, and the key belongs to a.test",
            "put the certificate of a.test first",
        );
    }

    #[test]
    fn what_deserves_a_word() {
        let now = SystemTime::now();
        let site = CertName::parse("a.test");
        #[track_caller]
        fn check(
            params: &CertificateParams,
            more: &str,
            at: SystemTime,
            site: Option<&CertName>,
            words: &[&str],
        ) {
            let key = KeyPair::generate().expect("a key");
            let text = params.self_signed(&key).expect("signed").pem() + more;
            let read = pair(
                "c.pem",
                text.as_bytes(),
                "k.pem",
                key.serialize_pem().as_bytes(),
            )
            .expect("a pair");
            let remarks = read.remarks(at, site);
            assert_eq!(remarks.len(), words.len(), "{remarks:?}");
            for (remark, word) in remarks.iter().zip(words) {
                assert!(remark.what.contains(word), "{remark} {word}");
            }
        }
        let fine = params(&["a.test"], -1, 90);
        check(&fine, "", now, site.as_ref(), &[]);
        check(&fine, "", now + DAY * 74, site.as_ref(), &[]);
        check(
            &fine,
            "",
            now + DAY * 76,
            site.as_ref(),
            &["expires in 12 days"],
        );
        check(
            &fine,
            "",
            now + DAY * 92,
            site.as_ref(),
            &["expired 3 days ago"],
        );
        check(
            &fine,
            "",
            now - DAY * 3,
            site.as_ref(),
            &["is valid only in 47 h"],
        );
        // A short life is renewed by whoever makes it: that it is short is no news.
        check(&params(&["a.test"], -1, 7), "", now, site.as_ref(), &[]);
        check(
            &fine,
            "",
            now,
            CertName::parse("b.test").as_ref(),
            &["names a.test, not b.test"],
        );
        check(
            &params(&[], -1, 90),
            "",
            now,
            site.as_ref(),
            &["names no host, not a.test"],
        );
        check(&params(&[], -1, 90), "", now, None, &[]);
        let mut clients = fine.clone();
        clients.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        check(&clients, "", now, site.as_ref(), &["not meant for servers"]);
        check(
            &fine,
            &made().ca,
            now,
            site.as_ref(),
            &["is not one: each certificate"],
        );
        check(
            &fine,
            "",
            now + DAY * 92,
            CertName::parse("b.test").as_ref(),
            &["expired", "not b.test"],
        );
    }

    #[test]
    fn authorities_are_read_or_refused_as_a_whole() {
        let folder = std::env::temp_dir().join(format!("hotgate-roots-{}", std::process::id()));
        let made = made();
        let check = |text: &str| {
            std::fs::write(&folder, text).expect("ours");
            load_authorities(&folder)
        };
        let two = format!("{}{}", made.ca, made.leaf);
        assert_eq!(check(&made.ca).expect("one").len(), 1);
        assert_eq!(check(&two).expect("rustls takes any").len(), 2);
        for text in [
            "",
            "hello",
            &made.key,
            &made.request,
            &made.ca[..made.ca.len() - 40],
        ] {
            let fault = check(text).expect_err("none");
            assert!(fault.what.contains("hotgate-roots-"), "{fault}");
        }
        std::fs::remove_file(&folder).expect("ours");
        let fault = load_authorities(&folder).expect_err("gone");
        assert!(fault.what.ends_with("is not there") && !fault.mend.is_empty());
    }
}
