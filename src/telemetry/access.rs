//! The access record: what is remembered of one exchange, and its compact form for the way to the log writer.
//!
//! The worker fills an [`AccessRecord`] with borrows, [`AccessRecord::pack`] copies them into one run of octets, and
//! the log writer's thread unpacks and formats it. Packing is on the path of every request: it allocates nothing and
//! formats nothing, it only copies.
//!
//! What a peer sent is cut at [`VALUE_BYTES_MAX`] here and escaped when the line is written. `Authorization` and
//! `Cookie` have no place in the record, so no format can leak them.
//!
//! The packed form, all integers little-endian, never leaves the process:
//!
//! ```text
//!   u64 × 7            times, octet counts, id
//!   u16 × 4, u8 × 2    id's worker, worker, status, peer's port; version; which optional values are there
//!   16 octets × 2      peer, client; IPv4 as mapped IPv6
//!   u16 × 11           lengths of the values
//!   …                  the values, one after the other
//! ```

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::request_id::RequestId;
use crate::http::message::Version;

/// Longest stored part of any one value, in octets. Longer ones are cut, between two characters if they are UTF-8.
pub const VALUE_BYTES_MAX: usize = 2048;

/// A buffer of this size holds every packed record.
pub const PACKED_BYTES_MAX: usize = FIXED_BYTES + VALUES * VALUE_BYTES_MAX;

/// One finished exchange, whatever became of it.
///
/// Values a peer sent are octets as they came, neither checked nor escaped; those from the configuration are text.
/// An optional value is `None` when the field line was absent, and empty when it was there without a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccessRecord<'a> {
    /// When the exchange ended, in nanoseconds since 1970 UTC.
    pub ts_unix_nanos: u64,
    /// From the request's complete head to the response's last octet, in nanoseconds.
    pub duration_nanos: u64,
    /// From picking an endpoint to the end of its response, in nanoseconds; `None` if no upstream was asked.
    pub upstream_duration_nanos: Option<u64>,
    /// The worker that served it.
    pub worker: u16,
    /// The exchange's name.
    pub id: RequestId,
    /// The other end of the connection. IPv4-mapped addresses come back as IPv4.
    pub peer: SocketAddr,
    /// The client as believed, see `http::forwarding::client_address`; the peer if nobody else is.
    pub client_ip: IpAddr,
    /// The request's version; `Http11` if it could not be read.
    pub proto: Version,
    /// The method token; empty if it could not be read.
    pub method: &'a [u8],
    /// The authority as sent; empty if there was none.
    pub host: &'a [u8],
    /// The request target as sent, query included; empty if it could not be read.
    pub uri: &'a [u8],
    /// The name that passed authentication.
    pub user_id: Option<&'a [u8]>,
    /// The request's `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// The request's `Referer`.
    pub referer: Option<&'a [u8]>,
    /// The response's `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// Status sent downstream; 0 if none was.
    pub status: u16,
    /// Octets of the request's content that were read.
    pub bytes_read: u64,
    /// Octets of the response's content that were sent downstream, without the head.
    pub bytes_sent: u64,
    /// The site's key in the configuration; empty if none matched.
    pub site: &'a str,
    /// The path entry as written; empty if none matched.
    pub route: &'a str,
    /// The endpoint that was asked last; empty if none was.
    pub upstream: &'a str,
    /// Why hotgate itself answered or gave up; empty if it did not.
    pub reason: &'a str,
}

/// Values of varying length in a record.
const VALUES: usize = 11;
/// Octets before the first value.
const FIXED_BYTES: usize = 7 * 8 + 4 * 2 + 2 + 2 * 16 + VALUES * 2;

const _: () = assert!(VALUE_BYTES_MAX <= u16::MAX as usize);

/// Stands for [`AccessRecord::upstream_duration_nanos`] being `None`; as a duration it would be 584 years.
const NO_DURATION: u64 = u64::MAX;

const HAS_USER_ID: u8 = 1;
const HAS_USER_AGENT: u8 = 2;
const HAS_REFERER: u8 = 4;
const HAS_CONTENT_TYPE: u8 = 8;

impl<'a> AccessRecord<'a> {
    /// Writes the packed form to the start of `out` and returns its length, or `None` if `out` is too small, which
    /// it never is with [`PACKED_BYTES_MAX`] octets.
    pub fn pack(&self, out: &mut [u8]) -> Option<usize> {
        let values: [&[u8]; VALUES] = [
            capped(self.method),
            capped(self.host),
            capped(self.uri),
            capped(self.user_id.unwrap_or_default()),
            capped(self.user_agent.unwrap_or_default()),
            capped(self.referer.unwrap_or_default()),
            capped(self.content_type.unwrap_or_default()),
            capped(self.site.as_bytes()),
            capped(self.route.as_bytes()),
            capped(self.upstream.as_bytes()),
            capped(self.reason.as_bytes()),
        ];
        let length = FIXED_BYTES + values.iter().map(|value| value.len()).sum::<usize>();
        let (fixed, mut rest) = out
            .get_mut(..length)?
            .split_first_chunk_mut::<FIXED_BYTES>()?;

        let at = &mut 0;
        put(fixed, at, self.ts_unix_nanos.to_le_bytes());
        put(fixed, at, self.duration_nanos.to_le_bytes());
        let upstream_duration = self.upstream_duration_nanos.unwrap_or(NO_DURATION);
        put(fixed, at, upstream_duration.to_le_bytes());
        put(fixed, at, self.bytes_read.to_le_bytes());
        put(fixed, at, self.bytes_sent.to_le_bytes());
        put(fixed, at, self.id.boot.to_le_bytes());
        put(fixed, at, self.id.serial.to_le_bytes());
        put(fixed, at, self.id.worker.to_le_bytes());
        put(fixed, at, self.worker.to_le_bytes());
        put(fixed, at, self.status.to_le_bytes());
        put(fixed, at, self.peer.port().to_le_bytes());
        put(fixed, at, [version_code(self.proto)]);
        put(fixed, at, [self.presence()]);
        put(fixed, at, mapped(self.peer.ip()));
        put(fixed, at, mapped(self.client_ip));
        for value in values {
            // Lossless: `capped` keeps it within u16.
            put(fixed, at, (value.len() as u16).to_le_bytes());
            let (place, after) = rest.split_at_mut(value.len());
            place.copy_from_slice(value);
            rest = after;
        }
        debug_assert!(*at == FIXED_BYTES && rest.is_empty());
        Some(length)
    }

    /// Reads what [`AccessRecord::pack`] wrote; the values borrow from `packed`. `None` if it is anything else.
    pub fn unpack(packed: &'a [u8]) -> Option<AccessRecord<'a>> {
        let (fixed, mut rest) = packed.split_first_chunk::<FIXED_BYTES>()?;
        let at = &mut 0;
        let ts_unix_nanos = u64::from_le_bytes(take(fixed, at));
        let duration_nanos = u64::from_le_bytes(take(fixed, at));
        let upstream_duration = u64::from_le_bytes(take(fixed, at));
        let bytes_read = u64::from_le_bytes(take(fixed, at));
        let bytes_sent = u64::from_le_bytes(take(fixed, at));
        let boot = u64::from_le_bytes(take(fixed, at));
        let serial = u64::from_le_bytes(take(fixed, at));
        let id_worker = u16::from_le_bytes(take(fixed, at));
        let worker = u16::from_le_bytes(take(fixed, at));
        let status = u16::from_le_bytes(take(fixed, at));
        let port = u16::from_le_bytes(take(fixed, at));
        let [version] = take(fixed, at);
        let [presence] = take(fixed, at);
        let peer_ip = Ipv6Addr::from(take::<16>(fixed, at)).to_canonical();
        let client_ip = Ipv6Addr::from(take::<16>(fixed, at)).to_canonical();
        let mut values = [&[][..]; VALUES];
        for value in &mut values {
            let length = usize::from(u16::from_le_bytes(take(fixed, at)));
            (*value, rest) = rest.split_at_checked(length)?;
        }
        if !rest.is_empty() {
            return None;
        }
        let [
            method,
            host,
            uri,
            user_id,
            user_agent,
            referer,
            content_type,
            site,
            route,
            upstream,
            reason,
        ] = values;
        let optional = |bit: u8, value: &'a [u8]| (presence & bit != 0).then_some(value);
        Some(AccessRecord {
            ts_unix_nanos,
            duration_nanos,
            upstream_duration_nanos: (upstream_duration != NO_DURATION)
                .then_some(upstream_duration),
            worker,
            id: RequestId {
                boot,
                worker: id_worker,
                serial,
            },
            peer: SocketAddr::new(peer_ip, port),
            client_ip,
            proto: version_of(version)?,
            method,
            host,
            uri,
            user_id: optional(HAS_USER_ID, user_id),
            user_agent: optional(HAS_USER_AGENT, user_agent),
            referer: optional(HAS_REFERER, referer),
            content_type: optional(HAS_CONTENT_TYPE, content_type),
            status,
            bytes_read,
            bytes_sent,
            site: str::from_utf8(site).ok()?,
            route: str::from_utf8(route).ok()?,
            upstream: str::from_utf8(upstream).ok()?,
            reason: str::from_utf8(reason).ok()?,
        })
    }

    fn presence(&self) -> u8 {
        let bit = |value: Option<&[u8]>, bit: u8| if value.is_some() { bit } else { 0 };
        bit(self.user_id, HAS_USER_ID)
            | bit(self.user_agent, HAS_USER_AGENT)
            | bit(self.referer, HAS_REFERER)
            | bit(self.content_type, HAS_CONTENT_TYPE)
    }
}

/// The first octets of `value`, at most [`VALUE_BYTES_MAX`], not ending within a UTF-8 character.
#[inline]
fn capped(value: &[u8]) -> &[u8] {
    if value.len() <= VALUE_BYTES_MAX {
        return value;
    }
    // A character has at most three continuation octets; where there are more it is not UTF-8 and cuts anywhere.
    let end = (VALUE_BYTES_MAX - 3..=VALUE_BYTES_MAX)
        .rev()
        .find(|&end| value[end] & 0xC0 != 0x80)
        .unwrap_or(VALUE_BYTES_MAX);
    &value[..end]
}

fn mapped(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn version_code(version: Version) -> u8 {
    match version {
        Version::Http10 => 10,
        Version::Http11 => 11,
    }
}

fn version_of(code: u8) -> Option<Version> {
    match code {
        10 => Some(Version::Http10),
        11 => Some(Version::Http11),
        _ => None,
    }
}

#[inline]
fn put<const N: usize>(fixed: &mut [u8; FIXED_BYTES], at: &mut usize, octets: [u8; N]) {
    fixed[*at..*at + N].copy_from_slice(&octets);
    *at += N;
}

#[inline]
fn take<const N: usize>(fixed: &[u8; FIXED_BYTES], at: &mut usize) -> [u8; N] {
    let octets = fixed[*at..]
        .first_chunk()
        .expect("the fixed part holds what `put` wrote");
    *at += N;
    *octets
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An ordinary exchange, for the tests of the formats too.
    pub(crate) const PLAIN: AccessRecord<'static> = AccessRecord {
        ts_unix_nanos: 1_795_392_694_123_456_789,
        duration_nanos: 929_675,
        upstream_duration_nanos: Some(800_000),
        worker: 3,
        id: RequestId {
            boot: 77,
            worker: 3,
            serial: 1,
        },
        peer: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7)), 41342),
        client_ip: IpAddr::V6(Ipv6Addr::LOCALHOST),
        proto: Version::Http11,
        method: b"GET",
        host: b"example.com",
        uri: b"/a?b=c",
        user_id: None,
        user_agent: Some(b"curl/8.5.0"),
        referer: Some(b""),
        content_type: Some(b"text/html"),
        status: 200,
        bytes_read: 0,
        bytes_sent: 10_900,
        site: "example.com",
        route: "/",
        upstream: "127.0.0.1:3000",
        reason: "",
    };

    #[track_caller]
    fn check(record: AccessRecord<'_>) {
        let mut packed = [0; PACKED_BYTES_MAX];
        let length = record.pack(&mut packed).expect("it fits");
        assert_eq!(AccessRecord::unpack(&packed[..length]), Some(record));
        assert_eq!(record.pack(&mut packed[..length]), Some(length));
        assert_eq!(record.pack(&mut packed[..length - 1]), None);
        for shorter in 0..length {
            assert_eq!(AccessRecord::unpack(&packed[..shorter]), None);
        }
        assert_eq!(AccessRecord::unpack(&packed[..length + 1]), None);
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        check(PLAIN);
        check(AccessRecord {
            user_id: Some(b"alice"),
            user_agent: None,
            referer: None,
            content_type: None,
            upstream_duration_nanos: None,
            ..PLAIN
        });
        check(AccessRecord {
            proto: Version::Http10,
            method: b"",
            host: b"\xFF\0\r\n",
            uri: &[b'/'; VALUE_BYTES_MAX],
            status: 0,
            reason: "bad_request:bare_lf",
            ..PLAIN
        });
        check(AccessRecord {
            ts_unix_nanos: u64::MAX,
            duration_nanos: u64::MAX,
            bytes_read: u64::MAX,
            bytes_sent: u64::MAX,
            worker: u16::MAX,
            status: u16::MAX,
            ..PLAIN
        });
    }

    #[test]
    fn a_mapped_peer_comes_back_as_ipv4() {
        let mut packed = [0; PACKED_BYTES_MAX];
        let record = AccessRecord {
            peer: "[::ffff:192.0.2.1]:5".parse().expect("an address"),
            ..PLAIN
        };
        let length = record.pack(&mut packed).expect("it fits");
        let back = AccessRecord::unpack(&packed[..length]).expect("it was packed");
        assert_eq!(back.peer, "192.0.2.1:5".parse().expect("an address"));
    }

    #[test]
    fn values_are_cut_at_the_limit_and_between_characters() {
        #[track_caller]
        fn check(value: &[u8], expected: usize) {
            assert_eq!(capped(value), &value[..expected]);
        }
        let max = VALUE_BYTES_MAX;
        check(&vec![b'a'; max - 1], max - 1);
        check(&vec![b'a'; max], max);
        check(&vec![b'a'; max + 1], max);
        // Two, three and four octets a character, at every offset.
        for (character, width) in [("é", 2), ("€", 3), ("😀", 4)] {
            for offset in 0..width {
                let text = "a".repeat(offset) + &character.repeat(max);
                check(text.as_bytes(), max - (max - offset) % width);
            }
        }
        // Not UTF-8: cut at the limit.
        check(&vec![0x80; max + 9], max);
        check(&vec![0xFF; max + 9], max);
    }

    #[test]
    fn the_largest_record_fits_its_buffer() {
        let long = "é".repeat(VALUE_BYTES_MAX);
        let value = long.as_bytes();
        let record = AccessRecord {
            method: value,
            host: value,
            uri: value,
            user_id: Some(value),
            user_agent: Some(value),
            referer: Some(value),
            content_type: Some(value),
            site: &long,
            route: &long,
            upstream: &long,
            reason: &long,
            ..PLAIN
        };
        let mut packed = [0; PACKED_BYTES_MAX];
        assert_eq!(record.pack(&mut packed), Some(PACKED_BYTES_MAX));
        let back = AccessRecord::unpack(&packed).expect("it was packed");
        assert_eq!(back.reason, "é".repeat(VALUE_BYTES_MAX / 2));
    }
}
