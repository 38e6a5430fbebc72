//! The local CA: certificates for names that no public authority signs.
//!
//! Its root is made once, in the state folder, and trusted by `hotgate trust`. Because every machine that trusts it would
//! believe whatever is signed with its key, the root itself says what that may be (name constraints, RFC 5280 §4.2.1.10):
//! names that the public DNS does not have, and private addresses. So who steals the key reads nobody's bank. OpenSSL
//! (curl, Python, node), Chromium and Firefox hold a root that was added by hand to its constraints.
//!
//! A name of one label cannot be told from a public top-level domain by a constraint, so those that the configuration
//! has when the root is made are permitted one by one; a later one needs `hotgate trust --new-root`, which is said.
//! (Rejected: a new root by itself, which would silently lose the trust of every phone; excluding each public domain,
//! which is a list that ages.)
//!
//! Leaves live seven days and are made on control when a site is published, never in a handshake. They are kept in
//! memory alone: making one takes less than a millisecond.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, SanType,
};
use x509_parser::extensions::GeneralName;

use super::fault::Fault;
use super::leaf::Leaf;
use super::name::CertName;
use super::pem::{self, Pair};
use super::storage::Storage;
use crate::config::LOCAL_SUFFIXES;
use crate::http::authority::HostName;

/// The group of the root and its key.
pub const PLACE: &str = "ca";
/// The root, as it is trusted.
pub const ROOT: &str = "root.pem";
/// Its private key.
const ROOT_KEY: &str = "root-key.pem";
/// How long the root is valid.
const ROOT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How long a leaf is valid.
const LEAF_LIFETIME: Duration = Duration::from_secs(7 * 86_400);
/// Clocks that go behind accept what was made just now.
const BACKDATED: Duration = Duration::from_secs(3600);

/// Private addresses: those that [`is_local_name`](crate::config::is_local_name) takes for local.
const SUBNETS: [(&str, u8); 8] = [
    ("10.0.0.0", 8),
    ("172.16.0.0", 12),
    ("192.168.0.0", 16),
    ("127.0.0.0", 8),
    ("169.254.0.0", 16),
    ("::1", 128),
    ("fc00::", 7),
    ("fe80::", 10),
];

/// The authority of this installation.
pub struct LocalCa {
    issuer: Issuer<'static, KeyPair>,
    root: Leaf,
    root_pem: String,
    /// What the root permits: each name, and all below it.
    permitted: Vec<String>,
    shown: String,
}

impl LocalCa {
    /// The authority of this store; it is made if there is none, permitting these names of one label.
    ///
    /// # Errors
    ///
    /// What is stored cannot be used, or nothing can be stored.
    pub fn open(
        storage: &dyn Storage,
        single_labels: &[HostName],
        now: SystemTime,
    ) -> Result<LocalCa, Fault> {
        match LocalCa::find(storage)? {
            Some(ca) => Ok(ca),
            None => LocalCa::make(storage, single_labels, now),
        }
    }

    /// The authority of this store, if it has one.
    ///
    /// # Errors
    ///
    /// What is stored cannot be used.
    pub fn find(storage: &dyn Storage) -> Result<Option<LocalCa>, Fault> {
        let shown = storage.shown(&format!("{PLACE}/{ROOT}"));
        let unusable = |why: String| {
            Fault::new(format!("the local CA in {shown} cannot be used: {why}"))
                .mend("hotgate trust --new-root makes a new one")
        };
        let files = match storage.group(PLACE) {
            Ok(Some(files)) => files,
            Ok(None) => return Ok(None),
            Err(error) => return Err(unusable(error.to_string())),
        };
        let text = |name: &str| {
            let found = files.iter().find(|(known, _)| known == name);
            let text = found.and_then(|(_, octets)| String::from_utf8(octets.clone()).ok());
            text.ok_or_else(|| unusable(format!("{name} is not there")))
        };
        let (root_pem, key) = (text(ROOT)?, text(ROOT_KEY)?);
        let key = KeyPair::from_pem(&key).map_err(|error| unusable(error.to_string()))?;
        LocalCa::of(root_pem, key, &shown)
            .map(Some)
            .map_err(unusable)
    }

    /// Makes a new authority in the place of the one that is there.
    ///
    /// # Errors
    ///
    /// It cannot be stored.
    pub fn make(
        storage: &dyn Storage,
        single_labels: &[HostName],
        now: SystemTime,
    ) -> Result<LocalCa, Fault> {
        let shown = storage.shown(&format!("{PLACE}/{ROOT}"));
        let failed = |why: &dyn std::fmt::Display| {
            Fault::new(format!("cannot make the local CA in {shown}: {why}"))
        };
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let params = root_params(single_labels, now);
        let root_pem = params
            .self_signed(&key)
            .map_err(|error| failed(&error))?
            .pem();
        let key_pem = key.serialize_pem();
        let ca = LocalCa::of(root_pem, key, &shown).map_err(|error| failed(&error))?;
        let files = [
            (ROOT, ca.root_pem.as_bytes()),
            (ROOT_KEY, key_pem.as_bytes()),
        ];
        storage
            .put_group(PLACE, &files)
            .map_err(|error| failed(&error))?;
        Ok(ca)
    }

    fn of(root_pem: String, key: KeyPair, shown: &str) -> Result<LocalCa, String> {
        let (_, text) = x509_parser::pem::parse_x509_pem(root_pem.as_bytes())
            .map_err(|error| error.to_string())?;
        let root = Leaf::read(&text.contents).ok_or("it is not a certificate")?;
        let certificate = text.parse_x509().map_err(|error| error.to_string())?;
        let constraints = certificate
            .name_constraints()
            .map_err(|error| error.to_string())?;
        let permitted =
            constraints.and_then(|constraints| constraints.value.permitted_subtrees.as_ref());
        let permitted = permitted
            .into_iter()
            .flatten()
            .filter_map(|subtree| match &subtree.base {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            });
        let permitted = permitted.collect();
        let issuer = Issuer::from_ca_cert_pem(&root_pem, key).map_err(|error| error.to_string())?;
        Ok(LocalCa {
            issuer,
            root,
            root_pem,
            permitted,
            shown: shown.to_owned(),
        })
    }

    /// The root, as it is trusted.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// What the root says of itself.
    pub fn root(&self) -> &Leaf {
        &self.root
    }

    /// Where the root is kept, as it is shown.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Does the root permit a certificate for this name?
    pub fn permits(&self, name: &CertName) -> bool {
        let domain = match name {
            CertName::Host(host) => match host.ip() {
                Some(_) => return crate::config::is_local_name(host),
                None => host,
            },
            CertName::Wildcard(domain) => domain,
        };
        let domain = domain.as_str();
        self.permitted.iter().any(|base| {
            let above = domain.strip_suffix(base.as_str());
            above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
        })
    }

    /// What clients that trust the root dislike about a leaf for this name.
    pub fn remark(&self, name: &CertName) -> Option<Fault> {
        if let CertName::Wildcard(domain) = name
            && !domain.as_str().contains('.')
        {
            return Some(
                Fault::new(format!("{name} stands directly below a top-level domain: most clients take no such wildcard"))
                    .mend(format!("each host with a key of its own, or a domain in between: *.home.{domain}")),
            );
        }
        if self.permits(name) {
            return None;
        }
        Some(
            Fault::new(format!(
                "the local CA's root in {} was made before there was {name} and does not permit it; clients that trust it refuse the site",
                self.shown
            ))
            .mend("sudo hotgate trust --new-root, and on every other machine the new root; or a name such as that with .lan behind it"),
        )
    }

    /// Makes a leaf for this name, valid from now on.
    ///
    /// # Errors
    ///
    /// No key can be had, or the name stands in no certificate.
    pub fn issue(&self, name: &CertName, now: SystemTime) -> Result<Pair, Fault> {
        let failed = |why: &dyn std::fmt::Display| {
            Fault::new(format!("cannot make a certificate for {name}: {why}"))
        };
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![match name.ip() {
            Some(ip) => SanType::IpAddress(ip),
            None => SanType::DnsName(
                name.to_string()
                    .try_into()
                    .map_err(|error| failed(&error))?,
            ),
        }];
        // No name of a host: where there is no other, OpenSSL would hold a common name that looks like one to the root's
        // constraints, and `127.0.0.1` does.
        params.distinguished_name = common_name("hotgate local certificate".to_owned());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now + LEAF_LIFETIME).into();
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let leaf = params
            .signed_by(&key, &self.issuer)
            .map_err(|error| failed(&error))?;
        let place = format!("the local CA's leaf for {name}");
        pem::pair(
            &place,
            leaf.pem().as_bytes(),
            &place,
            key.serialize_pem().as_bytes(),
        )
    }
}

fn root_params(single_labels: &[HostName], now: SystemTime) -> CertificateParams {
    let uname = rustix::system::uname();
    let machine = uname.nodename().to_string_lossy();
    let mut params = CertificateParams::default();
    // A date and a part of a number: a client that knew an older root takes the new one for another.
    let number = crate::net::clock::seed() & 0xffff_ffff;
    params.distinguished_name = common_name(format!("hotgate local CA of {machine}, {number:08x}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Not for mail, code or clients.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let names = LOCAL_SUFFIXES.iter().map(|suffix| (*suffix).to_owned());
    let names = names.chain(single_labels.iter().map(HostName::to_string));
    let mut permitted: Vec<GeneralSubtree> = names.map(GeneralSubtree::DnsName).collect();
    permitted.extend(SUBNETS.iter().map(|(address, prefix)| {
        let address: IpAddr = address.parse().expect("the table has addresses");
        GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, *prefix))
    }));
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: permitted,
        excluded_subtrees: Vec::new(),
    });
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + ROOT_LIFETIME).into();
    params
}

fn common_name(name: String) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::certificates::storage::FileStore;
    use std::path::PathBuf;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("hotgate-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    fn name(text: &str) -> CertName {
        CertName::parse(text).expect("a name")
    }

    #[test]
    fn the_root_is_made_once_and_permits_local_names_alone() {
        let folder = folder("ca");
        let (store, now) = (FileStore::new(&folder), SystemTime::now());
        assert!(
            LocalCa::find(&store)
                .expect("nothing is no fault")
                .is_none()
        );
        let single = HostName::parse(b"nas").expect("a host");
        let first = LocalCa::open(&store, std::slice::from_ref(&single), now).expect("made");
        let again = LocalCa::open(&store, &[], now).expect("found");
        assert_eq!(first.root_pem(), again.root_pem());
        for (text, permitted) in [
            ("localhost", true),
            ("app.localhost", true),
            ("*.lan", true),
            ("*.x.home.arpa", true),
            ("box.tail1234.ts.net", true),
            ("nas", true),
            ("x.nas", true),
            ("printer", false),
            ("mynas", false),
            ("notlocalhost", false),
            ("example.com", false),
            ("*.example.com", false),
            ("192.168.3.4", true),
            ("[fd00::1]", true),
            ("8.8.8.8", false),
            ("[2001:db8::1]", false),
        ] {
            assert_eq!(again.permits(&name(text)), permitted, "{text}");
            assert_eq!(
                again.remark(&name(text)).is_none(),
                permitted && text != "*.lan",
                "{text}"
            );
        }
        let new = LocalCa::make(&store, &[], now).expect("made anew");
        assert_ne!(new.root_pem(), first.root_pem());
        assert_ne!(new.root().subject, first.root().subject);
        assert!(!new.permits(&name("nas")));
        std::fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn a_leaf_lives_seven_days_and_is_renewed_at_two_thirds() {
        let folder = folder("leaf");
        let now = SystemTime::now();
        let ca = LocalCa::open(&FileStore::new(&folder), &[], now).expect("made");
        for text in ["localhost", "*.lan", "10.0.0.1", "[::1]", "app_1.lan"] {
            let name = name(text);
            let pair = ca.issue(&name, now).expect("made");
            assert_eq!(pair.leaf.names, std::slice::from_ref(&name));
            assert_eq!(pair.remarks(now, Some(&name)), [], "{text}");
            let left = pair.leaf.not_after.duration_since(now).expect("ahead");
            assert!(left <= LEAF_LIFETIME && left > LEAF_LIFETIME - Duration::from_secs(2));
            let renewal = pair.leaf.renewal().duration_since(now).expect("ahead");
            assert!(
                renewal > LEAF_LIFETIME / 2 && renewal < LEAF_LIFETIME * 7 / 10,
                "{renewal:?}"
            );
            assert!(
                !pair.leaf.is_ca && !pair.leaf.is_self_signed && pair.leaf.is_issued_by(ca.root())
            );
        }
        std::fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn a_root_that_cannot_be_read_says_so() {
        let folder = folder("badca");
        let store = FileStore::new(&folder);
        store
            .put_group(PLACE, &[(ROOT, b"x"), (ROOT_KEY, b"y")])
            .expect("written");
        let fault = LocalCa::open(&store, &[], SystemTime::now())
            .err()
            .expect("no CA");
        assert!(
            fault.what.starts_with("the local CA in ") && !fault.mend.is_empty(),
            "{fault}"
        );
        store.put_group(PLACE, &[(ROOT, b"x")]).expect("written");
        let fault = LocalCa::find(&store).err().expect("no CA");
        assert!(fault.what.ends_with("root-key.pem is not there"), "{fault}");
        std::fs::remove_dir_all(folder).expect("ours");
    }
}
