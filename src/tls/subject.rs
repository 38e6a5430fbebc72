//! The subject of a client's certificate, as text for a field line.
//!
//! The form of RFC 4514: the most specific attribute first, `CN=alice,OU=staff,O=Example`. Whatever could end an
//! attribute or a field line is escaped, so that two subjects never have one text, and none of them another's name in it.

use std::fmt::Write;

use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Octets of the text. A longer one is left out, for a cut one might be another's.
pub const SUBJECT_BYTES_MAX: usize = 1024;

/// RFC 4514 §3; other kinds of attribute have their number.
const SHORT_NAMES: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// The subject that `leaf` names (DER); `None` where it cannot be told.
pub fn subject_of(leaf: &[u8]) -> Option<Box<str>> {
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf).ok()?;
    text_of(leaf.subject()).filter(|text| text.len() <= SUBJECT_BYTES_MAX && !text.is_empty())
}

fn text_of(name: &X509Name<'_>) -> Option<Box<str>> {
    let mut text = String::new();
    let sets: Vec<_> = name.iter_rdn().collect();
    for (number, set) in sets.iter().rev().enumerate() {
        if number > 0 {
            text.push(',');
        }
        for (number, attribute) in set.iter().enumerate() {
            if number > 0 {
                text.push('+');
            }
            put(&mut text, attribute)?;
        }
    }
    Some(text.into())
}

fn put(text: &mut String, attribute: &AttributeTypeAndValue<'_>) -> Option<()> {
    let kind = attribute.attr_type().to_id_string();
    let name = SHORT_NAMES.iter().find(|(known, _)| *known == kind);
    text.push_str(name.map_or(&kind, |(_, name)| name));
    text.push('=');
    let value = attribute.as_str().ok()?;
    escape(text, value);
    Some(())
}

/// RFC 4514 §2.4; octets outside visible ASCII in hexadecimal too, since a field value holds no others.
fn escape(text: &mut String, value: &str) {
    let last = value.len().saturating_sub(1);
    for (place, octet) in value.bytes().enumerate() {
        match octet {
            b'"' | b'+' | b',' | b';' | b'<' | b'=' | b'>' | b'\\' => {
                text.extend(['\\', char::from(octet)]);
            }
            b'#' if place == 0 => text.push_str("\\#"),
            b' ' if place == 0 || place == last => text.push_str("\\ "),
            b' '..=b'~' => text.push(char::from(octet)),
            _ => {
                let _ = write!(text, "\\{octet:02X}"); // a String takes everything
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    use super::*;

    fn subject(attributes: &[(DnType, &str)]) -> Option<Box<str>> {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in attributes {
            let value = DnValue::Utf8String((*value).to_owned());
            params.distinguished_name.push(kind.clone(), value);
        }
        let key = KeyPair::generate().expect("a key");
        subject_of(params.self_signed(&key).expect("signed").der())
    }

    #[test]
    fn a_subject_is_written_from_the_most_specific_on() {
        let found = subject(&[
            (DnType::OrganizationName, "Example"),
            (DnType::OrganizationalUnitName, "staff"),
            (DnType::CommonName, "alice"),
        ]);
        assert_eq!(found.as_deref(), Some("CN=alice,OU=staff,O=Example"));
    }

    #[test]
    fn what_could_be_read_otherwise_is_escaped() {
        let check = |value: &str, text: Option<&str>| {
            let found = subject(&[(DnType::CommonName, value)]);
            assert_eq!(found.as_deref(), text, "{value:?}");
        };
        check("a,O=admin", Some("CN=a\\,O\\=admin"));
        check("a\r\nX: y", Some("CN=a\\0D\\0AX: y"));
        check("a\0b", Some("CN=a\\00b"));
        check(" a ", Some("CN=\\ a\\ "));
        check("#a+b;c\\\"<>", Some("CN=\\#a\\+b\\;c\\\\\\\"\\<\\>"));
        check("J\u{fc}rgen", Some("CN=J\\C3\\BCrgen"));
        check("", Some("CN="));
        check(&"x".repeat(SUBJECT_BYTES_MAX), None);
    }

    #[test]
    fn what_is_no_certificate_has_no_subject() {
        assert_eq!(subject_of(b"no certificate"), None);
        assert_eq!(subject(&[]), None);
    }
}
