//! Any octets as `host[:port]`: what is taken has one form, and that form is itself taken.
#![no_main]

use hotgate::http::authority::{Authority, HOST_OCTETS_MAX, HostName};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(host) = HostName::parse(data) {
        check_host(&host);
        assert_eq!(
            HostName::parse(&data.to_ascii_uppercase()),
            Ok(host.clone()),
            "hosts have no case"
        );
        // A host alone is an authority without a port.
        let authority = Authority { host, port: None };
        assert_eq!(Authority::parse(data), Ok(authority));
    }

    let Ok(authority) = Authority::parse(data) else {
        return;
    };
    check_host(&authority.host);
    assert_ne!(authority.port, Some(0));
    assert!(
        !data
            .iter()
            .any(|octet| b"@,/\\%?# \t\r\n\0".contains(octet))
    );
    assert_eq!(
        Authority::parse(authority.to_string().as_bytes()),
        Ok(authority.clone())
    );
    assert!(authority.is_same(&authority, 80));
});

fn check_host(host: &HostName) {
    let text = host.as_str();
    assert_eq!(text.as_bytes(), host.as_bytes());
    assert!((1..=HOST_OCTETS_MAX).contains(&text.len()));
    assert!(!text.bytes().any(|octet| octet.is_ascii_uppercase()));
    assert!(!text.starts_with('.') && !text.ends_with('.') && !text.contains(".."));
    assert_eq!(text.starts_with('['), text.ends_with(']'));
    assert_eq!(HostName::parse(text.as_bytes()).as_ref(), Ok(host));
    if let Some(ip) = host.ip() {
        assert_eq!(ip.is_ipv6(), text.starts_with('['));
        assert_eq!(
            text.trim_start_matches('[').trim_end_matches(']'),
            ip.to_string()
        );
    } else {
        assert!(!text.starts_with('['));
    }
}
