//! Sites of HTTPS from outside: what a plain request gets, what an authority gets, what only goes out over TLS, and who
//! is at the wrong door.

#[path = "tls/running.rs"]
mod running;
mod support;

use std::sync::Arc;

use hotgate::http::authority::HostName;
use hotgate::serve::certificate_states::CertificateState;
use hotgate::tls::certs::Entry;
use hotgate::tls::challenges::Challenges;
use hotgate::tls::policy::ClientPolicy;
use running::{Running, Scene};
use support::tls::{Asker, Authority, Front};
use support::{Client, Origin, Response};

/// An origin that answers with target and scheme as it is told, and with a field of its own.
fn origin() -> Origin {
    Origin::start(|connection| {
        if let Some(request) = connection.read_request() {
            let scheme = request.fields.one("X-Forwarded-Proto").unwrap_or("none");
            let text = format!("{} {scheme}", request.target);
            let length = text.len();
            connection.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nStrict-Transport-Security: max-age=1\r\nConnection: close\r\n\r\n{text}"
            ));
        }
    })
}

#[track_caller]
fn ask(running: &Running, host: &str, target: &str, more: &str) -> Response {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
    Client::connect(running.address).ask(&request)
}

#[test]
fn a_plain_request_is_sent_to_https() {
    let origin = origin();
    let text = "[server]\npublic_https = 444\n[sites]\n\"a.test\" = 1\n\"*.w.test\" = 1\n\"b.test:8443\" = 1\n\
                \"http://c.test\" = 1\n\"*\" = 1\n";
    let running = Scene::new(text, origin.port()).plain(&[]).start(&[]);
    #[track_caller]
    fn check(running: &Running, host: &str, target: &str, expected: &str) {
        let response = ask(running, host, target, "");
        assert_eq!(response.status, 308, "{host} {target}");
        assert_eq!(response.fields.one("Location"), Some(expected));
        assert!(!response.fields.has("Strict-Transport-Security"));
        assert!(!response.says_close());
    }
    check(
        &running,
        "a.test",
        "/x?y=%20z",
        "https://a.test:444/x?y=%20z",
    );
    check(&running, "A.TEST.:80", "/", "https://a.test:444/");
    check(
        &running,
        "n.w.test",
        "//x/../y",
        "https://n.w.test:444//x/../y",
    );
    check(&running, "b.test", "/", "https://b.test:8443/");
    check(
        &running,
        "a.test",
        "http://a.test?q",
        "https://a.test:444/?q",
    );
    assert_eq!(ask(&running, "c.test", "/x", "").text(), "/x http");
    assert_eq!(ask(&running, "else.test", "/x", "").text(), "/x http");
    // What is no request is not sent anywhere.
    assert_eq!(ask(&running, "a.test", "/%zz", "").status, 400);
    // A body is no reason to lose the method; the connection carries on behind it.
    let mut client = Client::connect(running.address);
    let post = "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(client.ask(post).status, 308);
    assert_eq!(client.ask(post).status, 308);
    assert_eq!(origin.connections(), 2);
}

#[test]
fn who_speaks_for_a_client_of_https_is_served_if_he_is_trusted() {
    let origin = origin();
    let text = |trusted: &str| {
        format!(
            "[server]\ntrusted_proxies = [{trusted}]\n[sites]\n\"a.test\" = 1\n\
             [sites.\"m.test\"]\nto = 1\ntls = {{ client_auth = \"require\", client_ca = \"ca.pem\" }}\n"
        )
    };
    let says = |scheme: &str| format!("X-Forwarded-Proto: {scheme}\r\n");
    let trusting = Scene::new(&text("\"127.0.0.1\""), origin.port());
    let trusting = trusting.plain(&[]).start(&[]);
    assert_eq!(
        ask(&trusting, "a.test", "/x", &says("https")).text(),
        "/x https"
    );
    assert_eq!(ask(&trusting, "a.test", "/x", &says("http")).status, 308);
    assert_eq!(ask(&trusting, "a.test", "/x", "").status, 308);
    // Whoever must show a certificate shows it to us.
    assert_eq!(ask(&trusting, "m.test", "/x", &says("https")).status, 308);
    let other = Scene::new(&text("\"192.0.2.1\""), origin.port());
    let other = other.plain(&[]).start(&[]);
    assert_eq!(ask(&other, "a.test", "/x", &says("https")).status, 308);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_site_without_a_certificate_says_what_it_waits_for() {
    let origin = origin();
    let failed = "the authority says: no \"A\" record for <b>b.test</b>";
    let states = [
        CertificateState::Obtaining {
            attempt: 2,
            began: 0,
        },
        CertificateState::Failed {
            sentence: failed.into(),
        },
        CertificateState::Held,
    ];
    let text = "[sites]\n\"a.test\" = 1\n\"b.test\" = 1\n\"c.test\" = 1\n";
    let running = Scene::new(text, origin.port()).plain(&states).start(&[]);
    let waiting = ask(&running, "a.test", "/", "");
    assert_eq!(waiting.status, 503);
    assert!(
        waiting
            .text()
            .contains("certificate being obtained (attempt 2, ")
    );
    assert!(waiting.fields.has("Retry-After"));
    let told = ask(&running, "b.test", "/", "Accept: application/json\r\n").text();
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(
        told["message"],
        format!("failed: {failed}; run: hotgate certs b.test")
    );
    let shown = ask(&running, "b.test", "/", "Accept: text/html\r\n").text();
    assert!(!shown.contains("<b>"), "{shown}");
    assert_eq!(ask(&running, "c.test", "/", "").status, 308);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn an_authority_gets_its_answer_before_anything_else() {
    let origin = origin();
    let text = "[sites]\n\"http://b.test\" = 1\n[sites.\"a.test\"]\nto = 1\nallow = [\"192.0.2.1\"]\n\
        [sites.\"c.test\"]\nto = 1\npaths.\"/.well-known/acme-challenge\" = 1\n";
    let waiting = CertificateState::Obtaining {
        attempt: 1,
        began: 0,
    };
    let states = [CertificateState::Held, waiting.clone(), waiting];
    let mut running = Scene::new(text, origin.port()).plain(&states).start(&[]);
    let path = "/.well-known/acme-challenge/token";
    // An app is asked only where its site says so, or has no HTTPS.
    let unknown = ask(&running, "a.test", path, "");
    assert_eq!((unknown.status, origin.connections()), (404, 0));
    assert_eq!(ask(&running, "b.test", path, "").status, 200);
    assert_eq!(ask(&running, "c.test", path, "").status, 200);
    assert_eq!(ask(&running, "c.test", "/", "").status, 503);
    let mut challenges = Challenges::new();
    let host = HostName::parse(b"a.test").expect("a host");
    challenges.insert_http(host, "token".to_owned(), "token.thumb".to_owned());
    running.publish(&[], challenges);
    let answer = support::poll_until("the answer to be known", || {
        Some(ask(&running, "a.test", path, "")).filter(|answer| answer.status == 200)
    });
    assert_eq!(answer.text(), "token.thumb");
    let media = answer.fields.one("Content-Type");
    assert_eq!(media, Some("application/octet-stream"));
    for (host, target) in [
        ("b.test", path),
        ("a.test", "/.well-known/acme-challenge/toke"),
        ("a.test", "/.well-known/acme-challenge/token/"),
        ("a.test", "/.well-known/acme-challenge/"),
        ("a.test", "/x/token"),
    ] {
        let answer = ask(&running, host, target, "");
        assert!(!answer.text().contains("thumb"), "{host} {target}");
    }
}

/// Leaves of one authority, and workers that serve them over TLS.
struct Doors {
    authority: Authority,
    running: Running,
}

const DOORS: &str = "[defaults]\nhsts = \"1h\"\n[sites]\n\"a.test\" = 1\n\"b.test\" = 1\n\"c.test\" = 1\n\
    \"127.0.0.1\" = 1\n\"waits.test\" = 1\n\"closed.test\" = 1\n\
    [sites.\"m.test\"]\nto = 1\ntls = { client_auth = \"require\", client_ca = \"ca.pem\" }\n\
    [sites.\"s.test\".paths]\n\"/x\" = 1\n";

impl Doors {
    /// a and b share a certificate, m has it too but lets nobody in without one of his own.
    fn open(origin: &Origin) -> Doors {
        let authority = Authority::new("test root");
        let shared = authority.server(&["a.test", "b.test", "m.test"]);
        let own = authority.server(&["c.test", "s.test"]);
        let address = authority.server(&["127.0.0.1"]);
        let scene = Scene::new(DOORS, origin.port());
        let clients = ClientPolicy::Require(Arc::new(authority.roots()));
        let (off, own) = (&ClientPolicy::Off, [&own]);
        let of_address = scene.entry(&[&address], off);
        let running = {
            let names = [
                ("a.test", scene.entry(&[&shared], off)),
                ("b.test", scene.entry(&[&shared], off)),
                ("c.test", scene.entry(&own, off)),
                ("s.test", scene.entry(&own, off)),
                ("127.0.0.1", of_address),
                ("m.test", scene.entry(&[&shared], &clients)),
                ("waits.test", Entry::Missing),
                ("closed.test", Entry::Refused),
            ];
            scene.start(&names)
        };
        Doors { authority, running }
    }

    /// What a client gets that asks for `name` in its handshake and for `host` in its request.
    #[track_caller]
    fn ask(&self, name: &str, host: &str, target: &str) -> Response {
        let config = Asker::of(&self.authority).config();
        let front = Front::new(self.running.address, config, name);
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        Client::connect(front.address()).ask(&request)
    }
}

#[test]
fn what_goes_out_over_tls_says_so() {
    let origin = origin();
    let doors = Doors::open(&origin);
    let answer = doors.ask("a.test", "a.test", "/x");
    assert_eq!(answer.text(), "/x https");
    // In place of the app's own, once.
    let hsts = answer.fields.all("Strict-Transport-Security");
    assert_eq!(hsts, ["max-age=3600"]);
    let own = doors.ask("s.test", "s.test", "/none");
    assert_eq!(own.status, 404);
    let hsts = own.fields.all("Strict-Transport-Security");
    assert_eq!(hsts, ["max-age=3600"]);
}

#[test]
fn a_request_at_the_wrong_door_is_sent_away() {
    let origin = origin();
    let doors = Doors::open(&origin);
    //    handshake     Host
    for (name, host) in [
        ("a.test", "a.test"),
        ("a.test", "A.TEST.:443"),
        ("a.test", "b.test"),
        ("127.0.0.1", "127.0.0.1"),
    ] {
        let answer = doors.ask(name, host, "/x");
        assert_eq!(answer.status, 200, "{name} {host}");
    }
    let seen = origin.connections();
    for (name, host) in [
        ("a.test", "c.test"),
        ("c.test", "a.test"),
        ("a.test", "m.test"),
        ("a.test", "127.0.0.1"),
        ("127.0.0.1", "a.test"),
        ("a.test", "waits.test"),
        ("a.test", "closed.test"),
        ("a.test", "else.test"),
    ] {
        let answer = doors.ask(name, host, "/x");
        assert_eq!(answer.status, 421, "{name} {host}");
        assert!(answer.says_close(), "{name} {host}");
    }
    assert_eq!(origin.connections(), seen, "somebody came in");
}

#[test]
fn a_renewed_certificate_costs_nobody_his_connection() {
    let origin = Origin::echo();
    let authority = Authority::new("test root");
    let first = authority.server(&["a.test"]);
    let second = authority.server(&["a.test"]);
    let scene = Scene::new("[sites]\n\"a.test\" = 1\n\"b.test\" = 1\n", origin.port());
    let before = scene.entry(&[&first], &ClientPolicy::Off);
    let after = scene.entry(&[&second], &ClientPolicy::Off);
    let mut running = scene.start(&[("a.test", before.clone()), ("b.test", before)]);
    let front = Front::new(running.address, Asker::of(&authority).config(), "a.test");
    let mut client = Client::connect(front.address());
    let request = |host: &str| format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n");
    assert_eq!(client.ask(&request("a.test")).status, 200);
    assert_eq!(client.ask(&request("b.test")).status, 200);
    running.publish(
        &[("a.test", after.clone()), ("b.test", after)],
        Challenges::new(),
    );
    // Once the worker has the new ones it is the name that was asked for, and no other.
    support::poll_until("the new certificate", || {
        let mut other = Client::connect(front.address());
        let status = other.ask(&request("b.test")).status;
        (status == 200).then_some(())
    });
    assert_eq!(client.ask(&request("a.test")).status, 200);
    assert_eq!(client.ask(&request("b.test")).status, 421);
}
