//! One normal form: a host is the same host as a Host field, as a server name of TLS and as a key of the configuration.
//!
//! If two of these read a name differently, a request is served by a site whose certificate or rules are another's.

use hotgate::config::{HostPattern, Source, parse};
use hotgate::http::authority::{Authority, HostName};

/// What one of the readers makes of a spelling: the host in its normal form.
fn as_field(text: &str) -> Option<String> {
    let authority = Authority::parse(text.as_bytes()).ok()?;
    Some(authority.host.to_string())
}

/// A server name of TLS has no port, and a name is all it may be (RFC 6066 §3); it comes through the same parser.
fn as_server_name(text: &str) -> Option<String> {
    HostName::parse(text.as_bytes())
        .ok()
        .filter(|host| host.ip().is_none())
        .map(|host| host.to_string())
}

fn as_key(text: &str) -> Option<String> {
    // No port is another kind's.
    let server = "http = [\":1\"]\nhttps = [\":2\"]";
    let text = format!("[server]\n{server}\n[sites]\n{} = 3000", toml_string(text));
    let config = parse(&[Source {
        name: "f.toml",
        text: &text,
    }]);
    let config = config.ok()?;
    let [site] = config.sites.as_slice() else {
        return None;
    };
    match &site.host {
        HostPattern::Exact(host) => Some(host.to_string()),
        HostPattern::Wildcard(_) | HostPattern::Any => None,
    }
}

fn toml_string(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// All three read `text` as `host`; `None` is refused by all.
#[track_caller]
fn check(text: &str, host: Option<&str>) {
    check_each(text, host, host, host);
}

/// The three differ, for the reason beside the row.
#[track_caller]
fn check_each(text: &str, field: Option<&str>, server_name: Option<&str>, key: Option<&str>) {
    assert_eq!(as_field(text).as_deref(), field, "{text:?} as a field");
    assert_eq!(
        as_server_name(text).as_deref(),
        server_name,
        "{text:?} as a server name"
    );
    assert_eq!(as_key(text).as_deref(), key, "{text:?} as a key");
}

#[test]
fn names_are_one_name() {
    let example = Some("example.com");
    check("example.com", example);
    check("Example.COM", example);
    check("EXAMPLE.COM", example);
    check("example.com.", example);
    check("Example.Com.", example);
    check("localhost", Some("localhost"));
    check("LOCALHOST.", Some("localhost"));
    check("app_1.example", Some("app_1.example"));
    check("xn--bcher-kva.example", Some("xn--bcher-kva.example"));
    check("XN--Bcher-KVA.example", Some("xn--bcher-kva.example"));
    check("1and1.example", Some("1and1.example"));
    check("a-.example", Some("a-.example"));
}

#[test]
fn what_is_no_name_is_refused_by_all() {
    for text in [
        "",
        ".",
        "..",
        ".example.com",
        "example..com",
        "example.com..",
        "a b.example",
        " example.com",
        "example.com ",
        "a,b.example",
        "user@example.com",
        "exa%6dple.com",
        "example.com/",
        "example.com/x",
        "a\\b",
        "a\"b",
        "a\tb",
        "a\u{0}b",
        "a\u{7f}b",
        "$host",
        "a!b",
        "[::1",
        "::1]",
        "[]",
        "[::x]",
        "[fe80::1%25eth0]",
        "[v1.x]",
        "::1",
    ] {
        check(text, None);
    }
    let longest = format!("{}.example", "a".repeat(247));
    check(&longest, Some(&longest));
    check(&format!("a{longest}"), None);
}

#[test]
fn unicode_is_for_keys_alone() {
    // Host and server name are ASCII on the wire (RFC 9110 §7.2, RFC 6066 §3); in a file a person writes the name as it
    // is read. What UTS #46 makes of it is what the client sends.
    let key = |text, host| check_each(text, None, None, Some(host));
    key("bücher.example", "xn--bcher-kva.example");
    key("BÜCHER.example.", "xn--bcher-kva.example");
    key("bu\u{308}cher.example", "xn--bcher-kva.example");
    key("例え.example", "xn--r8jz45g.example");
    key("straße.example", "xn--strae-oqa.example");
    // A fullwidth dot and letters are those of ASCII.
    key("ｅxample。com", "example.com");
    // What UTS #46 refuses is refused.
    check("a\u{ad}\u{200b}.b\u{fffd}", None);
    check("bü cher.example", None);
    check("\u{2028}.example", None);
}

#[test]
fn addresses_are_one_address() {
    // A server name is never an address (RFC 6066 §3: "Literal IPv4 and IPv6 addresses are not permitted").
    let address = |text, host| check_each(text, Some(host), None, Some(host));
    address("192.0.2.1", "192.0.2.1");
    address("[::1]", "[::1]");
    address("[0:0:0:0:0:0:0:1]", "[::1]");
    address("[2001:DB8::0:1]", "[2001:db8::1]");
    address("[2001:0db8:0000::0001]", "[2001:db8::1]");
    address("[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]");
    address("[::FFFF:C000:201]", "[::ffff:192.0.2.1]");
}

#[test]
fn a_port_changes_no_host() {
    // A server name has no port.
    let both = |text, host| check_each(text, Some(host), None, Some(host));
    both("example.com:8443", "example.com");
    both("Example.com.:443", "example.com");
    both("[::1]:8080", "[::1]");
    both("192.0.2.1:80", "192.0.2.1");
    both("example.com:00080", "example.com");
    for text in [
        "example.com:0",
        "example.com:65536",
        "example.com:+80",
        "example.com:-1",
        "example.com:http",
        "example.com:80:80",
        "[::1]:",
        "[::1]80",
    ] {
        let field = if text == "[::1]:" {
            Some("[::1]")
        } else {
            None
        };
        check_each(text, field, None, None);
    }
    // RFC 3986 §3.2.3: a field may have an empty port; in a file it is a slip.
    check_each("example.com:", Some("example.com"), None, None);
    // Of digits, a field's port has five at most, so that a reader of other code cannot wrap it.
    check_each("example.com:000080", None, None, Some("example.com"));
}

#[test]
fn what_keys_alone_say() {
    // A scheme, a wildcard, any host: those are words of the configuration.
    let exact = |text, host| check_each(text, None, None, Some(host));
    exact("http://example.com", "example.com");
    exact("http://Example.com.:8080", "example.com");
    for text in ["*", "*.example.com", ":8080"] {
        check(text, None);
    }
}
