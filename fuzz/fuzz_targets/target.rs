//! Any octets as a request target and as a path: what is taken keeps every promise of `http::target`.
//!
//! No differential partner: what others accept here is what hotgate refuses on purpose.
#![no_main]

use hotgate::http::authority::Authority;
use hotgate::http::fields::Span;
use hotgate::http::method::Method;
use hotgate::http::target::{
    PathForm, TargetForm, folded_octets, normalize_path, other_readings, parse_target,
    same_path_octets,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for method in [Method::Get, Method::Options, Method::Connect] {
        check_target(data, method);
    }
    // Paths also come from the configuration and from rewrites, which no target parser has seen.
    check_path(data);
});

fn check_target(data: &[u8], method: Method) {
    let span = Span::new(0, data.len());
    let Ok(target) = parse_target(data, span, method) else {
        return;
    };
    assert!(
        data.iter()
            .all(|octet| octet.is_ascii_graphic() && *octet != b'#')
    );
    assert_eq!(
        target.form == TargetForm::Authority,
        method == Method::Connect
    );
    if target.form == TargetForm::Asterisk {
        assert!(method == Method::Options && data == b"*");
    }

    // Put together again, the parts are the whole.
    let path = target.path.of(data);
    let mut whole = Vec::new();
    if let Some(scheme) = target.scheme {
        whole.extend_from_slice(scheme.as_str().as_bytes());
        whole.extend_from_slice(b"://");
    }
    if let Some(authority) = target.authority {
        whole.extend_from_slice(authority.of(data));
        assert!(Authority::parse(authority.of(data)).is_ok());
    }
    if target.form == TargetForm::Asterisk {
        whole.push(b'*');
    }
    whole.extend_from_slice(path);
    if let Some(query) = target.query {
        whole.push(b'?');
        whole.extend_from_slice(query.of(data));
    }
    let scheme_octets = target.scheme.map_or(0, |scheme| scheme.as_str().len());
    assert!(whole[..scheme_octets].eq_ignore_ascii_case(&data[..scheme_octets]));
    assert_eq!(whole[scheme_octets..], data[scheme_octets..]);

    match target.form {
        TargetForm::Origin => assert!(path.starts_with(b"/")),
        TargetForm::Absolute => assert!(path.is_empty() || path.starts_with(b"/")),
        TargetForm::Authority | TargetForm::Asterisk => {
            assert!(path.is_empty() && target.query.is_none())
        }
    }
    if !path.is_empty() {
        check_path(path);
    }
}

fn check_path(raw: &[u8]) {
    let mut out = b"left over".to_vec();
    let normal = match normalize_path(raw, &mut out) {
        Ok(PathForm::AsIs) => raw.to_vec(),
        Ok(PathForm::Rewritten) => out,
        Err(_) => return,
    };
    assert!(normal.len() <= raw.len());
    assert_is_resolved(&normal);
    assert!(
        normal
            .iter()
            .all(|octet| octet.is_ascii_graphic() && !b"?#\\".contains(octet))
    );

    let mut again = Vec::new();
    assert_eq!(
        normalize_path(&normal, &mut again),
        Ok(PathForm::AsIs),
        "normalising is idempotent"
    );

    let folded: Vec<u8> = folded_octets(&normal).collect();
    assert!(same_path_octets(&normal, &folded) && same_path_octets(&folded, &normal));
    assert_eq!(normalize_path(&folded, &mut again), Ok(PathForm::AsIs));

    let mut scratch = Vec::new();
    let stopped = other_readings(&normal, &mut scratch, |reading| {
        assert_is_resolved(reading);
        assert!(reading.len() <= normal.len() && reading != normal);
        false
    });
    assert!(!stopped);
}

fn assert_is_resolved(path: &[u8]) {
    assert!(path.starts_with(b"/"));
    let mut segments = path.split(|octet| *octet == b'/');
    assert!(segments.all(|segment| segment != b"." && segment != b".."));
}
