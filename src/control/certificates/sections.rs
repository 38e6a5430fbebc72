//! What a PEM text holds: certificates, keys, or something else, which is then said by its name.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::SigningKey;
use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::fault::Fault;
use super::leaf::Leaf;

/// The mend of a key that TLS has no use for.
const NEW_KEY: &str = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem, and a certificate for it";

/// The certificates of a PEM text; never empty. The files are shown as `cert` and `key`; the key's text is looked at only
/// to see whether the two are swapped.
///
/// # Errors
///
/// It holds none, or is damaged.
pub fn certificates(
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
///
/// # Errors
///
/// It holds none that can be used as it is.
pub fn private_keys(key: &str, text: &[u8], cert: &str) -> Result<Vec<Arc<dyn SigningKey>>, Fault> {
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
