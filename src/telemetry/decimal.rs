//! Decimal numbers, and addresses made of them, for log lines, without the formatting machinery of `std::fmt`: a line has ten of them.

use std::io::Write;
use std::net::IpAddr;

/// Appends `number` in decimal, without leading zeros.
pub(super) fn put(out: &mut Vec<u8>, number: u64) {
    put_padded(out, number, 1);
}

/// Appends `number` in decimal, with leading zeros up to `width` digits, at most 20.
pub(super) fn put_padded(out: &mut Vec<u8>, number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let start = fill(&mut digits, number).min(digits.len() - width);
    out.extend_from_slice(&digits[start..]);
}

/// Appends a time in nanoseconds as seconds, exactly, without trailing zeros: `0.000929675`, `12`.
pub(super) fn put_seconds(out: &mut Vec<u8>, nanos: u64) {
    put(out, nanos / 1_000_000_000);
    let fraction = nanos % 1_000_000_000;
    if fraction == 0 {
        return;
    }
    let mut digits = [b'0'; 9];
    fill(&mut digits, fraction);
    let zeros = digits
        .iter()
        .rev()
        .take_while(|&&digit| digit == b'0')
        .count();
    out.push(b'.');
    out.extend_from_slice(&digits[..digits.len() - zeros]);
}

/// Appends an address as text, IPv4-mapped ones as IPv4.
pub(super) fn put_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, rest @ ..] = ip.octets();
            put(out, first.into());
            for octet in rest {
                out.push(b'.');
                put(out, octet.into());
            }
        }
        IpAddr::V6(ip) => write!(out, "{ip}").expect("a Vec takes every write"),
    }
}

/// Writes `number` at the end of `digits` and returns where it begins; zero has no digits.
fn fill(digits: &mut [u8], mut number: u64) -> usize {
    let mut start = digits.len();
    while number > 0 {
        start -= 1;
        // A remainder by ten is one digit.
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(write: impl Fn(&mut Vec<u8>), expected: &str) {
        let mut out = b"<".to_vec();
        write(&mut out);
        assert_eq!(String::from_utf8(out), Ok(format!("<{expected}")));
    }

    #[test]
    fn numbers() {
        for number in [0, 1, 9, 10, 99, 100, 65_535, u64::MAX - 1, u64::MAX] {
            check(|out| put(out, number), &number.to_string());
            check(|out| put_padded(out, number, 3), &format!("{number:03}"));
            check(|out| put_padded(out, number, 20), &format!("{number:020}"));
        }
    }

    #[test]
    fn seconds() {
        check(|out| put_seconds(out, 0), "0");
        check(|out| put_seconds(out, 1), "0.000000001");
        check(|out| put_seconds(out, 929_675), "0.000929675");
        check(|out| put_seconds(out, 100_000_000), "0.1");
        check(|out| put_seconds(out, 999_999_999), "0.999999999");
        check(|out| put_seconds(out, 1_000_000_000), "1");
        check(|out| put_seconds(out, 12_500_000_000), "12.5");
        check(
            |out| put_seconds(out, 1_646_861_401_524_102_400),
            "1646861401.5241024",
        );
        check(|out| put_seconds(out, u64::MAX), "18446744073.709551615");
    }

    #[test]
    fn addresses() {
        #[track_caller]
        fn check(ip: &str, expected: &str) {
            let mut out = Vec::new();
            put_ip(&mut out, ip.parse().expect("an address"));
            assert_eq!(str::from_utf8(&out), Ok(expected));
        }
        check("0.0.0.0", "0.0.0.0");
        check("255.10.1.100", "255.10.1.100");
        check("2001:db8::1", "2001:db8::1");
        check("::ffff:192.0.2.1", "192.0.2.1");
    }
}
