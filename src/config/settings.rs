//! Settings: read onto a copy of the outer level's, so that the nearest wins.
//!
//! ```text
//!   built-in ◄── [timeouts], [limits] ◄── [defaults]       = Config::defaults
//!      └─ copy ◄── the site's own keys
//!            └─ copy ◄── the path's keys                    = Route::settings
//! ```

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::http::authority::Authority;
use crate::http::chars::{is_plain_name, is_token};
use crate::http::field_name::FieldName;
use crate::policy::middleware::access::Allow;

use super::diagnostic::{Fault, Faults};
use super::hsts::hsts;
use super::keys::{Level, refuse};
use super::model::{HostHeader, Settings};
use super::networks;
use super::origins::Origins;
use super::raw::{Entry, SWITCH, set};
use super::tls::upstream_tls;

/// From the clock's grain to a year, after which a wrong unit is likelier than a wish.
pub(super) const DURATION: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(365 * 86_400);

/// Below 1 KiB a browser's plainest request does not fit; at 64 KiB the buffers of heads end.
const HEADER_SIZE: RangeInclusive<u64> = 1 << 10..=64 << 10;

/// Below 16 a browser's plainest request does not fit; each line costs the scan of all others once.
const HEADER_COUNT: RangeInclusive<u64> = 16..=1024;

/// The largest buffer class; a larger body is streamed.
const REQUEST_BUFFER: RangeInclusive<u64> = 0..=512 << 10;

/// From one piece to what an upstream's answer may hold of memory for one slow client.
const RESPONSE_BUFFER: RangeInclusive<u64> = 16 << 10..=4 << 20;

/// Upgrade tokens of one route.
const UPGRADES_MAX: usize = 16;

// Heads are kept as ranges of 32 bits, and a size fits a usize.
const _: () =
    assert!(*HEADER_SIZE.end() <= u32::MAX as u64 && *RESPONSE_BUFFER.end() <= u32::MAX as u64);

/// Whether timeouts and limits are read for all of hotgate or for one site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// `[timeouts]`, `[limits]`.
    Global,
    /// A site's or a path's own.
    Site,
}

/// Settings, and where each was given.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub(super) settings: Settings,
    pub(super) origins: Origins,
}

/// Reads `[defaults]` onto `given`.
pub(super) fn defaults(entry: &Entry, given: &mut Given, faults: &mut Faults) {
    for entry in entry
        .table("a table of settings", faults)
        .unwrap_or_default()
    {
        if !setting(&entry, given, faults) {
            refuse(&entry, Level::Defaults, faults);
        }
    }
}

/// Reads a setting that sites and paths share onto `given`.
///
/// Returns false, having done nothing, for any other key.
pub(super) fn setting(entry: &Entry, given: &mut Given, faults: &mut Faults) -> bool {
    let settings = &mut given.settings;
    match entry.name {
        "host" => set(&mut settings.host, host(entry, faults)),
        "upgrade" => set(&mut settings.upgrade, upgrade(entry, faults)),
        "log" => set(&mut settings.log, entry.boolean(SWITCH, faults)),
        "underscore_headers" => set(
            &mut settings.underscore_headers,
            entry.boolean(SWITCH, faults),
        ),
        "allow" => set(&mut settings.allow, allow(entry, faults)),
        "hsts" => set(&mut settings.hsts, hsts(entry, faults)),
        "client_cert_header" => set(
            &mut settings.client_cert_header,
            client_cert_header(entry, faults),
        ),
        "upstream_tls" => set(&mut settings.upstream_tls, upstream_tls(entry, faults)),
        "timeouts" => {
            timeouts(entry, Scope::Site, given, faults);
            return true;
        }
        "limits" => {
            limits(entry, Scope::Site, given, faults);
            return true;
        }
        _ => return false,
    }
    let place = faults.place(entry.key.start);
    given.origins.note(entry.name, place);
    true
}

/// Reads a table of timeouts onto `given`.
pub(super) fn timeouts(entry: &Entry, scope: Scope, given: &mut Given, faults: &mut Faults) {
    let timeouts = &mut given.settings.timeouts;
    for entry in entry
        .table("a table of durations", faults)
        .unwrap_or_default()
    {
        match entry.name {
            "handshake" | "header" if scope == Scope::Site => {
                before_site(&entry, Level::Timeouts, faults);
                continue;
            }
            "response" => set(&mut timeouts.response, duration_or_off(&entry, faults)),
            "handshake" => set(&mut timeouts.handshake, duration(&entry, faults)),
            "header" => set(&mut timeouts.header, duration(&entry, faults)),
            "body_idle" => set(&mut timeouts.body_idle, duration(&entry, faults)),
            "write_idle" => set(&mut timeouts.write_idle, duration(&entry, faults)),
            "keepalive" => set(&mut timeouts.keepalive, duration(&entry, faults)),
            "connect" => set(&mut timeouts.connect, duration(&entry, faults)),
            "tunnel_idle" => set(&mut timeouts.tunnel_idle, duration(&entry, faults)),
            "upstream_idle" => set(&mut timeouts.upstream_idle, duration(&entry, faults)),
            _ => {
                refuse(&entry, Level::Timeouts, faults);
                continue;
            }
        }
        let place = faults.place(entry.key.start);
        given
            .origins
            .note(format!("timeouts.{}", entry.name), place);
    }
}

/// Reads a table of limits onto `given`.
pub(super) fn limits(entry: &Entry, scope: Scope, given: &mut Given, faults: &mut Faults) {
    let limits = &mut given.settings.limits;
    for entry in entry.table("a table of sizes", faults).unwrap_or_default() {
        match entry.name {
            "header_size" | "header_count" if scope == Scope::Site => {
                before_site(&entry, Level::Limits, faults);
                continue;
            }
            "header_size" => set(&mut limits.header_size, size(&entry, HEADER_SIZE, faults)),
            "header_count" => {
                let count = entry.integer(HEADER_COUNT, "a number of field lines", faults);
                set(&mut limits.header_count, count.map(octets));
            }
            "upstream_header_size" => set(
                &mut limits.upstream_header_size,
                size(&entry, HEADER_SIZE, faults),
            ),
            "body" => set(&mut limits.body, size_or_unlimited(&entry, faults)),
            "request_buffer" => set(
                &mut limits.request_buffer,
                size(&entry, REQUEST_BUFFER, faults),
            ),
            "response_buffer" => set(
                &mut limits.response_buffer,
                size(&entry, RESPONSE_BUFFER, faults),
            ),
            _ => {
                refuse(&entry, Level::Limits, faults);
                continue;
            }
        }
        let place = faults.place(entry.key.start);
        given.origins.note(format!("limits.{}", entry.name), place);
    }
}

/// A duration that cannot be switched off.
pub(super) fn duration(entry: &Entry, faults: &mut Faults) -> Option<Duration> {
    if entry.value.as_str() == Some("off") {
        let message = format!("`{}` cannot be switched off", entry.name);
        faults.error(
            Fault::new("bad-value", entry.span.clone(), message)
                .label("takes a duration such as \"30s\""),
        );
        return None;
    }
    entry.duration(DURATION, "a duration such as \"30s\"", faults)
}

fn duration_or_off(entry: &Entry, faults: &mut Faults) -> Option<Option<Duration>> {
    if entry.value.as_str() == Some("off") {
        return Some(None);
    }
    entry
        .duration(DURATION, "a duration such as \"30s\", or \"off\"", faults)
        .map(Some)
}

fn size(entry: &Entry, bounds: RangeInclusive<u64>, faults: &mut Faults) -> Option<usize> {
    entry
        .size(bounds, "a size such as \"64KiB\"", faults)
        .map(octets)
}

fn size_or_unlimited(entry: &Entry, faults: &mut Faults) -> Option<Option<u64>> {
    if entry.value.as_str() == Some("unlimited") {
        return Some(None);
    }
    entry
        .size(
            0..=u64::MAX,
            "a size such as \"10MiB\", or \"unlimited\"",
            faults,
        )
        .map(Some)
}

/// A number that its bounds keep within 32 bits.
fn octets(number: u64) -> usize {
    usize::try_from(number).expect("bounded by a u32")
}

fn before_site(entry: &Entry, level: Level, faults: &mut Faults) {
    let message = format!("`{}` is the same for all sites", entry.name);
    let fault = Fault::new("misplaced-key", entry.key.clone(), message);
    faults.error(fault.label(format!(
        "it acts before the site is known; it belongs in {}",
        level.name()
    )));
}

fn host(entry: &Entry, faults: &mut Faults) -> Option<HostHeader> {
    let expected = "\"keep\", \"upstream\" or a host name";
    match entry.string(expected, faults)? {
        "keep" => Some(HostHeader::Keep),
        "upstream" => Some(HostHeader::Upstream),
        text => match Authority::parse(text.as_bytes()) {
            Ok(authority) => Some(HostHeader::Name(authority.to_string())),
            Err(_) => {
                let message = format!("`host` takes {expected}");
                faults.error(Fault::new("bad-value", entry.span.clone(), message));
                None
            }
        },
    }
}

fn upgrade(entry: &Entry, faults: &mut Faults) -> Option<Vec<String>> {
    let items = entry.list("a list of protocols such as [\"websocket\"]", faults)?;
    if items.len() > UPGRADES_MAX {
        let message = format!("`upgrade` has more than {UPGRADES_MAX} protocols");
        faults.error(Fault::new("out-of-range", entry.span.clone(), message));
        return None;
    }
    let mut tokens = Vec::new();
    let mut is_faulty = false;
    for item in &items {
        let text = item.string("names of protocols", faults);
        // RFC 9110 §7.8: protocol-name ["/" protocol-version], both tokens; names have no case.
        let is_protocol = |text: &str| {
            text.splitn(2, '/')
                .all(|token| !token.is_empty() && token.bytes().all(is_token))
        };
        match text {
            // HTTP/2 over an upgrade is another framing on a connection that we would no longer read.
            Some(text) if text.eq_ignore_ascii_case("h2c") => {
                faults.error(Fault::new(
                    "bad-value",
                    item.span.clone(),
                    "`h2c` is never passed on",
                ));
                is_faulty = true;
            }
            Some(text) if is_protocol(text) => tokens.push(text.to_ascii_lowercase()),
            Some(text) => {
                faults.error(Fault::new(
                    "bad-value",
                    item.span.clone(),
                    format!("{text:?} names no protocol"),
                ));
                is_faulty = true;
            }
            None => is_faulty = true,
        }
    }
    tokens.dedup();
    (!is_faulty).then_some(tokens)
}

fn allow(entry: &Entry, faults: &mut Faults) -> Option<Allow> {
    let expected = "\"any\" or a list of networks, addresses and \"private\"";
    if entry.value.as_str() == Some("any") {
        return Some(Allow::Any);
    }
    let found = networks::networks(entry, expected, faults)?;
    if found.is_empty() {
        faults.error(Fault::new(
            "bad-value",
            entry.span.clone(),
            "`allow` is an empty list, so nobody could come in",
        ));
        return None;
    }
    Some(Allow::Nets(found))
}

/// `Some(None)` is off.
fn client_cert_header(entry: &Entry, faults: &mut Faults) -> Option<Option<String>> {
    let expected = "a header's name such as \"X-Client-Cert-Subject\", or \"off\"";
    let name = entry.string(expected, faults)?;
    if name == "off" {
        return Some(None);
    }
    let is_name = !name.is_empty() && name.bytes().all(is_plain_name);
    let may_be_set = match FieldName::of(name.as_bytes()) {
        FieldName::Other
        | FieldName::XForwardedTlsClientCert
        | FieldName::XForwardedTlsClientCertInfo => true,
        _ => false, // it has a meaning of its own
    };
    let fault = |message: String| Fault::new("bad-value", entry.span.clone(), message);
    match (is_name, may_be_set) {
        (true, true) => return Some(Some(name.to_owned())),
        (true, false) => {
            let message = format!("`{name}` has a meaning of its own");
            faults.error(fault(message).label("take a name that nobody else uses"));
        }
        (false, _) => {
            let message = format!("`{}` takes {expected}", entry.name);
            faults.error(fault(message).label("letters, digits and `-`"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, File, FileKind, Route, Source, Surroundings, parse, parse_files};

    #[track_caller]
    fn config(texts: &[&str]) -> Config {
        let sources: Vec<Source> = texts
            .iter()
            .map(|text| Source {
                name: "f.toml",
                text,
            })
            .collect();
        parse(&sources).unwrap_or_else(|errors| panic!("{}", errors[0]))
    }

    /// Each text is a layer of its own.
    #[track_caller]
    fn layers(texts: &[&str]) -> Config {
        let files: Vec<File> = texts
            .iter()
            .zip(0u16..)
            .map(|(text, layer)| File {
                source: Source {
                    name: "f.toml",
                    text,
                },
                layer,
                kind: FileKind::Main,
            })
            .collect();
        parse_files(&files, &Surroundings::NONE).unwrap_or_else(|errors| panic!("{}", errors[0]))
    }

    #[track_caller]
    fn route<'c>(config: &'c Config, name: &str) -> &'c Route {
        config.sites[0]
            .routes
            .iter()
            .find(|route| route.name == name)
            .expect("the path is there")
    }

    #[test]
    fn the_nearest_wins() {
        /// The last two are `timeouts.connect`, in seconds, of the site and of its path.
        #[track_caller]
        fn check(global: &str, site: &str, path: &str, of_site: u64, of_path: u64) {
            let text = format!(
                "{global}\n[sites.\"http://h\"]\nto = 1\n{site}\n[sites.\"http://h\".paths]\n\"/p\" = {{ {path} }}"
            );
            let config = config(&[&text]);
            let connect = |name| route(&config, name).settings.timeouts.connect.as_secs();
            assert_eq!((connect("/"), connect("/p")), (of_site, of_path));
        }
        let (global, site, path) = (
            "timeouts.connect = \"7s\"",
            "timeouts.connect = \"8s\"",
            "timeouts.connect = \"9s\"",
        );
        check("", "", "", 3, 3);
        check(global, "", "", 7, 7);
        check("", site, "", 8, 8);
        check("", "", path, 3, 9);
        check(global, site, "", 8, 8);
        check(global, "", path, 7, 9);
        check(global, site, path, 8, 9);
        check(global, "timeouts.response = \"1s\"", path, 7, 9);
        check(
            global,
            "timeouts = { connect = \"8s\" }",
            "timeouts = { response = \"1s\" }",
            8,
            8,
        );
    }

    #[test]
    fn a_later_layer_overrides_key_by_key() {
        let config = layers(&[
            "[timeouts]\nconnect = \"1s\"\nkeepalive = \"1m\"\n[server]\nworkers = 1\npin = true\n[sites]\n\"http://h\" = 1",
            "[timeouts]\nconnect = \"2s\"\n[server]\nworkers = 2\n[log]\nlevel = \"debug\"",
        ]);
        let timeouts = &route(&config, "/").settings.timeouts;
        assert_eq!(
            (timeouts.connect.as_secs(), timeouts.keepalive.as_secs()),
            (2, 60)
        );
        assert_eq!(
            (config.server.workers, config.server.pin),
            (Some(2), crate::config::Pin::On)
        );
        assert_eq!(config.defaults.timeouts, *timeouts);
        assert_eq!(config.log.level, crate::config::Level::Debug);
    }

    #[test]
    fn every_setting_has_effect_and_can_be_taken_back() {
        let config = config(&["
            [limits]
            header_size = \"8KiB\"
            header_count = 100
            [sites.\"http://h\"]
            to = 1
            host = \"App.internal.:8080\"
            upgrade = [\"WebSocket\", \"foo/2\"]
            log = false
            underscore_headers = true
            allow = [\"10.0.0.0/8\", \"::1\"]
            timeouts = { body_idle = \"1s\", write_idle = \"2s\", keepalive = \"3s\", response = \"4s\", tunnel_idle = \"5s\", upstream_idle = \"6s\" }
            limits = { upstream_header_size = \"2KiB\", body = \"0B\", request_buffer = \"0B\", response_buffer = \"32KiB\" }
            [sites.\"http://h\".paths]
            \"/p\" = { host = \"keep\", upgrade = [], log = true, underscore_headers = false, allow = \"any\", strip = true, timeouts.response = \"off\", limits.body = \"unlimited\" }
            \"=/q\" = { host = \"upstream\" }
        "]);
        let site = &route(&config, "/").settings;
        assert_eq!(site.host, HostHeader::Name("app.internal:8080".to_owned()));
        assert_eq!(site.upgrade, ["websocket", "foo/2"]);
        assert!(!site.log && site.underscore_headers && !site.strip);
        let nets = ["10.0.0.0/8", "::1/128"].map(|net| net.parse().expect("the row is a network"));
        assert_eq!(site.allow, Allow::Nets(nets.to_vec()));
        let seconds = [
            site.timeouts.body_idle,
            site.timeouts.write_idle,
            site.timeouts.keepalive,
            site.timeouts.response.unwrap_or_default(),
            site.timeouts.tunnel_idle,
            site.timeouts.upstream_idle,
        ];
        assert_eq!(
            seconds.map(|duration| duration.as_secs()),
            [1, 2, 3, 4, 5, 6]
        );
        assert_eq!(
            (site.limits.header_size, site.limits.header_count),
            (8192, 100)
        );
        assert_eq!(
            (site.limits.upstream_header_size, site.limits.body),
            (2048, Some(0))
        );
        assert_eq!(
            (site.limits.request_buffer, site.limits.response_buffer),
            (0, 32_768)
        );

        let path = &route(&config, "/p").settings;
        assert_eq!(path.host, HostHeader::Keep);
        assert_eq!((path.upgrade.len(), &path.allow), (0, &Allow::Any));
        assert!(path.log && !path.underscore_headers && path.strip);
        assert_eq!((path.timeouts.response, path.limits.body), (None, None));
        assert_eq!(path.timeouts.keepalive, site.timeouts.keepalive);
        assert_eq!(route(&config, "=/q").settings.host, HostHeader::Upstream);
    }

    #[test]
    fn bounds() {
        #[track_caller]
        fn check(line: &str, is_fine: bool) {
            let text = format!("{line}\n");
            assert_eq!(
                parse(&[Source {
                    name: "f",
                    text: &text
                }])
                .is_ok(),
                is_fine,
                "{line}"
            );
        }
        for (key, below, least, most, above) in [
            ("timeouts.header", "0s", "1ms", "365d", "365d1ms"),
            ("server.drain_timeout", "0s", "1ms", "365d", "365d1ms"),
            ("limits.header_size", "1023B", "1024B", "64KiB", "65537B"),
            (
                "limits.upstream_header_size",
                "1023B",
                "1024B",
                "64KiB",
                "65537B",
            ),
            (
                "limits.response_buffer",
                "16383B",
                "16KiB",
                "4MiB",
                "4194305B",
            ),
        ] {
            check(&format!("{key} = {below:?}"), false);
            check(&format!("{key} = {least:?}"), true);
            check(&format!("{key} = {most:?}"), true);
            check(&format!("{key} = {above:?}"), false);
        }
        for (key, below, least, most, above) in [
            ("limits.header_count", 15, 16, 1024, 1025),
            ("server.workers", 0, 1, 256, 257),
            ("server.max_connections", 0, 1, 10_000_000, 10_000_001),
            ("sites.\"http://h\"", 0, 1, 65_535, 65_536),
        ] {
            check(&format!("{key} = {below}"), false);
            check(&format!("{key} = {least}"), true);
            check(&format!("{key} = {most}"), true);
            check(&format!("{key} = {above}"), false);
        }
        check("limits.request_buffer = \"512KiB\"", true);
        check("limits.request_buffer = \"524289B\"", false);
    }
}
