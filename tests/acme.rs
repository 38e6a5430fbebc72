//! Certificates by ACME, from real authorities: Pebble for each challenge and each trouble, Caddy's as a second one,
//! stubs for what neither has.
//!
//! The clerk of the control plane is driven as the supervisor drives it; a small server answers challenges on the ports
//! that Pebble looks at.

mod support;

#[path = "acme/front.rs"]
mod front;
#[path = "acme/knot.rs"]
mod knot;
#[path = "acme/namespace.rs"]
mod namespace;
#[path = "acme/pebble.rs"]
mod pebble;
#[path = "acme/place.rs"]
mod place;
#[path = "acme/providers.rs"]
mod providers;
#[path = "acme/setup.rs"]
mod setup;
#[path = "acme/site.rs"]
mod site;
#[path = "acme/whole.rs"]
mod whole;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use front::{Asked, Front, Script, answer};
use hickory_proto::rr::RecordType;
use http_body_util::Full;
use hyper::{Response, body::Bytes};
use knot::Knot;

use hotgate::{
    config::{ChallengeChoice, DnsProvider, Eab},
    control::{
        acme::{
            dns::{
                Provider, Record,
                resolver::{Resolver, ask_at, texts},
            },
            http_client::HttpClient,
            renewals,
        },
        certificates::name::CertName,
    },
    http::authority::HostName,
};
use pebble::{Options, Pebble};
use site::{Site, acme, name};

const HOST: &str = "app.example.com";

#[tokio::test]
async fn http_01_and_tls_alpn_01() {
    let pebble = or_skip!(Pebble::start(Options::default()));
    for (challenge, word) in [
        (ChallengeChoice::Http01, "http-01"),
        (ChallengeChoice::TlsAlpn01, "tls-alpn-01"),
    ] {
        let mut acme = acme(&pebble);
        acme.challenge = challenge;
        let site = Site::start(acme, &pebble, &[HOST]).await;
        let held = site.certificate(HOST).await;
        assert_eq!(held.pair.leaf.names, [name(HOST)]);
        assert!(site.attempt(HOST).is_none(), "{word}");
        // The answer is taken back, and what worked is remembered.
        assert!(site.answers_nothing());
        let history =
            fs::read_to_string(site.authority_folder().join("history.json")).expect("kept");
        assert!(
            history.contains(&format!("\"worked\": \"{word}\"")),
            "{history}"
        );
        for file in ["account.json", "history.json"] {
            let mode = fs::metadata(site.authority_folder().join(file))
                .expect("there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        site.end().await;
    }
}

#[tokio::test]
async fn auto_tries_the_next_challenge_and_remembers() {
    let pebble = or_skip!(Pebble::start(Options::default()));
    let resolver = Resolver::new(vec![pebble.resolver()], 53);
    let mut site = Site::silent(acme(&pebble), resolver, &[]);
    // Nothing answers on the port of http-01.
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], place::free_port()));
    site.answer(
        nowhere,
        std::net::SocketAddr::from(([127, 0, 0, 1], pebble.ports.tls)),
    )
    .await;
    site.set_names(&[HOST]);
    let first = site.certificate(HOST).await;
    let history = fs::read_to_string(site.authority_folder().join("history.json")).expect("kept");
    assert!(history.contains("\"worked\": \"tls-alpn-01\""), "{history}");
    assert!(
        history.contains(&format!("\"failed {HOST}\"")),
        "the failed validation is noted: {history}"
    );
    // The next order begins with what worked, also after a restart: no second failure is noted.
    site.restart();
    site.renew(HOST);
    site.another(HOST, Some(first.pair.fingerprint), support::DEADLINE)
        .await;
    let again = fs::read_to_string(site.authority_folder().join("history.json")).expect("kept");
    let failed = |history: &str| {
        let value: serde_json::Value = serde_json::from_str(history).expect("JSON");
        value["limits"][format!("failed {HOST}")]
            .as_array()
            .map(Vec::len)
    };
    assert_eq!((failed(&history), failed(&again)), (Some(1), Some(1)));
}

#[tokio::test]
async fn a_wildcard_by_dns_01_with_a_command() {
    let pebble = or_skip!(Pebble::start(Options::default()));
    or_skip!(place::program("curl"));
    let mut acme = acme(&pebble);
    acme.dns = Some(DnsProvider::Exec {
        command: pebble.exec_command(),
    });
    let site = Site::start(acme, &pebble, &["*.example.com", "example.com"]).await;
    let wildcard = site.certificate("*.example.com").await;
    assert_eq!(wildcard.pair.leaf.names, [name("*.example.com")]);
    assert!(wildcard.pair.leaf.covers(&name(HOST)));
    site.certificate("example.com").await;
}

#[tokio::test]
async fn a_command_that_fails_is_told_of() {
    let pebble = or_skip!(Pebble::start(Options::default()));
    let mut acme = acme(&pebble);
    acme.dns = Some(DnsProvider::Exec {
        command: "echo no such zone >&2; exit 3".to_owned(),
    });
    let site = Site::start(acme, &pebble, &["*.example.com"]).await;
    let (attempt, sentence) = site.failure("*.example.com").await;
    assert!(
        sentence.contains("exit status: 3: no such zone") && sentence.contains("acme.dns.command"),
        "{sentence}"
    );
    let pause = attempt
        .next
        .expect("a next")
        .duration_since(attempt.began)
        .expect("later");
    assert!((295..330).contains(&pause.as_secs()), "{pause:?}");
}

#[tokio::test]
async fn an_account_is_bound_to_another() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let options = Options {
        binding: Some(("kid-1", KEY)),
        ..Options::default()
    };
    let pebble = or_skip!(Pebble::start(options));
    let without = Site::start(acme(&pebble), &pebble, &[HOST]).await;
    let (_, sentence) = without.failure(HOST).await;
    assert!(sentence.contains("set acme.eab"), "{sentence}");
    without.end().await;
    let mut acme = acme(&pebble);
    acme.eab = Some(Eab {
        key_id: "kid-1".to_owned(),
        hmac_key: KEY.to_owned(),
    });
    let with = Site::start(acme, &pebble, &[HOST]).await;
    with.certificate(HOST).await;
    let account = fs::read_to_string(with.authority_folder().join("account.json")).expect("kept");
    assert!(
        account.contains("\"eab_key_id\": \"kid-1\"") && !account.contains(KEY),
        "{account}"
    );
}

#[tokio::test]
async fn every_second_nonce_is_refused() {
    let options = Options {
        bad_nonces: 50,
        ..Options::default()
    };
    let pebble = or_skip!(Pebble::start(options));
    let names: Vec<String> = (0..8)
        .map(|number| format!("n{number}.example.com"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let site = Site::start(acme(&pebble), &pebble, &names).await;
    for name in names {
        site.certificate(name).await;
    }
}

#[tokio::test]
async fn certificates_of_seconds_are_renewed_again_and_again() {
    const VALIDITY: u64 = 9;
    let options = Options {
        validity: VALIDITY,
        ..Options::default()
    };
    let pebble = or_skip!(Pebble::start(options));
    let site = Site::start(acme(&pebble), &pebble, &[HOST, "b.example.com"]).await;
    let mut held = site.certificate(HOST).await;
    let account = fs::read(site.authority_folder().join("account.json")).expect("kept");
    for round in 0..4 {
        let next = site
            .another(HOST, Some(held.pair.fingerprint), support::DEADLINE)
            .await;
        // The one before was still good.
        assert!(
            SystemTime::now() < held.pair.leaf.not_after,
            "round {round}"
        );
        held = next;
    }
    assert!(
        site.held("b.example.com")
            .is_some_and(|held| SystemTime::now() < held.pair.leaf.not_after)
    );
    assert_eq!(
        fs::read(site.authority_folder().join("account.json")).expect("kept"),
        account
    );
}

#[tokio::test]
async fn an_authority_that_is_down_at_the_start() {
    let mut pebble = or_skip!(Pebble::prepare(Options::default()));
    let site = Site::start(acme(&pebble), &pebble, &[HOST, "b.example.com"]).await;
    let (_, sentence) = site.failure(HOST).await;
    assert!(
        sentence.contains("cannot be reached") && sentence.contains("refused"),
        "{sentence}"
    );
    pebble.restart();
    site.certificate(HOST).await;
    site.certificate("b.example.com").await;
    // Held against nobody.
    let history = fs::read_to_string(site.authority_folder().join("history.json")).expect("kept");
    assert!(!history.contains("\"failures\": 1"), "{history}");
}

#[tokio::test]
async fn an_authority_that_has_forgotten_us() {
    let mut pebble = or_skip!(Pebble::start(Options::default()));
    let site = Site::start(acme(&pebble), &pebble, &[HOST]).await;
    let first = site.certificate(HOST).await;
    let account = fs::read(site.authority_folder().join("account.json")).expect("kept");
    pebble.restart();
    site.renew(HOST);
    site.another(HOST, Some(first.pair.fingerprint), support::DEADLINE)
        .await;
    let next = fs::read(site.authority_folder().join("account.json")).expect("kept");
    assert_ne!(next, account);
    assert_eq!(
        fs::read(site.authority_folder().join("account.json.old")).expect("kept"),
        account
    );
}

#[tokio::test]
async fn a_challenge_port_that_is_closed_is_told_of() {
    let pebble = or_skip!(Pebble::start(Options::default()));
    let mut acme = acme(&pebble);
    acme.challenge = ChallengeChoice::Http01;
    let resolver = Resolver::new(vec![pebble.resolver()], 53);
    let mut site = Site::silent(acme, resolver, &[HOST]);
    let (attempt, sentence) = site.failure(HOST).await;
    assert!(
        sentence.starts_with("http-01 failed: ")
            && sentence.contains("open the port in the firewall"),
        "{sentence}"
    );
    let pause = attempt
        .next
        .expect("a next")
        .duration_since(SystemTime::now())
        .expect("later");
    assert!((280..=300).contains(&pause.as_secs()), "{pause:?}");
    // A restart does not make the pause shorter.
    site.restart();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let again = site.attempt(HOST).and_then(|attempt| attempt.next);
    // What is kept has whole seconds.
    let apart = |next: SystemTime| {
        attempt
            .next
            .and_then(|first| first.duration_since(next).ok())
    };
    assert!(
        again
            .and_then(apart)
            .is_some_and(|apart| apart < Duration::from_secs(1)),
        "{again:?}"
    );
}

#[tokio::test]
async fn renewals_are_asked_for_and_changes_are_told_of() {
    let pebble = or_skip!(Pebble::start(Options::default()));
    let folder = place::Folder::new();
    let out = folder.path().join("changes");
    let mut acme = acme(&pebble);
    acme.on_change = Some(format!(
        "echo \"$HOTGATE_NAME $HOTGATE_CERT $HOTGATE_KEY\" >> {}",
        out.display()
    ));
    let site = Site::start(acme, &pebble, &[HOST]).await;
    let first = site.certificate(HOST).await;
    let asked: CertName = name(HOST);
    renewals::ask(site.book.storage().as_ref(), &asked).expect("written");
    site.another(HOST, Some(first.pair.fingerprint), support::DEADLINE)
        .await;
    assert!(!renewals::is_waiting(site.book.storage().as_ref(), &asked));
    let lines = support::poll_until("two changes", || {
        let text = fs::read_to_string(&out).ok()?;
        (text.lines().count() == 2).then_some(text)
    });
    for line in lines.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, chain, key] = words[..] else {
            panic!("{line}")
        };
        assert_eq!(name, HOST);
        let (chain, key) = (
            fs::read_to_string(chain).expect("there"),
            fs::read_to_string(key).expect("there"),
        );
        assert!(chain.starts_with("-----BEGIN CERTIFICATE") && key.contains("PRIVATE KEY"));
    }
}

/// Answers the first request for an order in the authority's place.
struct FirstOrder {
    answer: Mutex<Option<(u16, &'static str)>>,
}

impl Script for FirstOrder {
    fn instead(&self, asked: &Asked) -> Option<Response<Full<Bytes>>> {
        if !asked.path.ends_with("/order-plz") {
            return None;
        }
        let (status, pause) = self.answer.lock().expect("no panic").take()?;
        let problem =
            r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many of you"}"#;
        Some(answer(status, &[("Retry-After", pause)], problem))
    }
}

#[tokio::test]
async fn an_authority_that_asks_for_a_pause() {
    let pebble = or_skip!(Pebble::start(Options::default()));
    // 503 is about all, and over soon; 429 is about the name.
    let script = FirstOrder {
        answer: Mutex::new(Some((503, "7"))),
    };
    let front = Front::start(&pebble, script).await;
    let mut own = acme(&pebble);
    own.ca = front.directory();
    let site = Site::start(own, &pebble, &[HOST]).await;
    let (_, sentence) = site.failure(HOST).await;
    assert!(
        sentence.contains("answered 503: too many of you"),
        "{sentence}"
    );
    site.certificate(HOST).await;
    let orders = front.asked("/order-plz");
    let apart = orders[1].at.duration_since(orders[0].at).expect("in order");
    assert!((6..15).contains(&apart.as_secs()), "{apart:?}");
    site.end().await;

    let script = FirstOrder {
        answer: Mutex::new(Some((429, "7200"))),
    };
    let front = Front::start(&pebble, script).await;
    let mut own = acme(&pebble);
    own.ca = front.directory();
    let site = Site::start(own, &pebble, &[HOST, "b.example.com"]).await;
    let (attempt, sentence) = site.failure(HOST).await;
    assert!(
        sentence.contains("429: too many of you") && sentence.contains("acme.wildcards"),
        "{sentence}"
    );
    let pause = attempt
        .next
        .expect("a next")
        .duration_since(SystemTime::now())
        .expect("later");
    assert!((7100..=7200).contains(&pause.as_secs()), "{pause:?}");
    // The other name goes on, and what is asked for does not come before the pause is over.
    site.certificate("b.example.com").await;
    site.renew(HOST);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(site.held(HOST).is_none());
}

/// An authority with renewal information, which Pebble has not.
struct Renewal {
    /// The window, in seconds from now.
    window: (i64, i64),
    replaced: Mutex<Vec<String>>,
}

impl Script for Renewal {
    fn instead(&self, asked: &Asked) -> Option<Response<Full<Bytes>>> {
        asked.path.strip_prefix("/renewal-info/")?;
        let moment = |seconds: i64| {
            let moment = time_of(seconds);
            format!("\"{moment}\"")
        };
        let (start, end) = self.window;
        let text = format!(
            "{{\"suggestedWindow\":{{\"start\":{},\"end\":{}}}}}",
            moment(start),
            moment(end)
        );
        Some(answer(200, &[("Retry-After", "21600")], &text))
    }

    fn change(&self, asked: &Asked, value: &mut serde_json::Value) {
        if asked.path == "/dir" {
            let base = value["newOrder"]
                .as_str()
                .expect("a link")
                .replace("/order-plz", "/renewal-info");
            value["renewalInfo"] = base.into();
        }
        if let Some(replaces) = asked.payload["replaces"].as_str() {
            self.replaced
                .lock()
                .expect("no panic")
                .push(replaces.to_owned());
            value["replaces"] = replaces.into();
        }
    }
}

/// RFC 3339, as `date` writes it.
fn time_of(seconds: i64) -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs() as i64;
    let output = std::process::Command::new("date")
        .args([
            "-u",
            "-d",
            &format!("@{}", now + seconds),
            "+%Y-%m-%dT%H:%M:%SZ",
        ])
        .output()
        .expect("date is everywhere");
    String::from_utf8(output.stdout)
        .expect("ASCII")
        .trim()
        .to_owned()
}

#[tokio::test]
async fn renewal_when_the_authority_wants_it() {
    let pebble = or_skip!(Pebble::start(Options {
        validity: 120,
        ..Options::default()
    }));
    // At two thirds it would be 80 seconds; the least time between two is 10.
    let script = Renewal {
        window: (2, 4),
        replaced: Mutex::default(),
    };
    let front = Front::start(&pebble, script).await;
    let mut own = acme(&pebble);
    own.ca = front.directory();
    let site = Site::start(own, &pebble, &[HOST]).await;
    let first = site.certificate(HOST).await;
    let began = SystemTime::now();
    site.another(HOST, Some(first.pair.fingerprint), Duration::from_secs(40))
        .await;
    let took = began.elapsed().expect("later").as_secs();
    assert!((8..35).contains(&took), "{took}");
    // The order names what it replaces: the first two parts of RFC 9773 §4.1's identifier.
    let orders = front.asked("/order-plz");
    let replaces: Vec<Option<&str>> = orders
        .iter()
        .map(|order| order.payload["replaces"].as_str())
        .collect();
    let asked = front
        .asked("")
        .into_iter()
        .find(|asked| asked.path.starts_with("/renewal-info/"))
        .expect("asked");
    assert_eq!(
        replaces[..2],
        [None, asked.path.strip_prefix("/renewal-info/")]
    );
}

#[tokio::test]
async fn providers_write_and_remove_records() {
    use providers::{Kind, Stub, TOKEN};
    let client = HttpClient::new(Some(&root_of_nobody().1)).expect("roots");
    let resolver = Resolver::new(Vec::new(), 53);
    let config = |kind: Kind, token: &str, base: String| {
        let (token, api) = (token.to_owned(), Some(base));
        match kind {
            Kind::Cloudflare => DnsProvider::Cloudflare { token, api },
            Kind::Hetzner => DnsProvider::Hetzner { token, api },
            Kind::Desec => DnsProvider::Desec { token, api },
        }
    };
    let record = |value: &str| Record {
        name: "_acme-challenge.a.b.example.com".to_owned(),
        value: value.to_owned(),
    };
    for kind in [Kind::Cloudflare, Kind::Hetzner, Kind::Desec] {
        let stub = Stub::start(kind).await;
        let provider =
            Provider::new(&config(kind, TOKEN, stub.base()), &client, &resolver).expect("usable");
        let name = &record("").name;
        stub.put(name, "\"somebody else's\"");
        let values = || stub.values(name);
        // A pause that is asked for is obeyed; adding twice is no fault; others' values stay.
        stub.pause(2);
        provider.add(&record("one")).await.expect("added");
        provider.add(&record("two")).await.expect("added");
        provider.add(&record("one")).await.expect("there already");
        assert_eq!(
            values(),
            ["\"somebody else's\"", "\"one\"", "\"two\""],
            "{}",
            provider.name()
        );
        provider.remove(&record("one")).await.expect("removed");
        provider
            .remove(&record("one"))
            .await
            .expect("not there any more");
        assert_eq!(
            values(),
            ["\"somebody else's\"", "\"two\""],
            "{}",
            provider.name()
        );
        // Its refusals are sentences.
        let strange = Record {
            name: "_acme-challenge.example.org".to_owned(),
            value: "x".to_owned(),
        };
        let fault = provider
            .add(&strange)
            .await
            .expect_err("no such zone")
            .to_string();
        assert!(
            fault.contains("_acme-challenge.example.org") && fault.contains("token"),
            "{fault}"
        );
        let wrong =
            Provider::new(&config(kind, "wrong", stub.base()), &client, &resolver).expect("usable");
        let fault = wrong
            .add(&record("three"))
            .await
            .expect_err("no token")
            .to_string();
        assert!(
            fault.contains("check acme.dns.token") && !fault.contains("wrong"),
            "{fault}"
        );
        let nowhere = format!("http://127.0.0.1:{}", place::free_port());
        let lost =
            Provider::new(&config(kind, TOKEN, nowhere), &client, &resolver).expect("usable");
        let fault = lost
            .add(&record("three"))
            .await
            .expect_err("nobody there")
            .to_string();
        assert!(fault.contains("cannot be reached"), "{fault}");
    }
}

/// A root that signs nothing here: for a client on a system without any.
fn root_of_nobody() -> (place::Folder, std::path::PathBuf) {
    let folder = place::Folder::new();
    let root = pebble::Identity::new(&folder).root;
    (folder, root)
}

fn rfc2136(knot: &Knot, key: (&str, &str)) -> DnsProvider {
    DnsProvider::Rfc2136 {
        server: format!("127.0.0.1:{}", knot.port),
        key_name: key.0.to_owned(),
        algorithm: "hmac-sha256".to_owned(),
        key: key.1.to_owned(),
    }
}

#[tokio::test]
async fn dynamic_updates_of_a_real_name_server() {
    let knot = or_skip!(Knot::start());
    let (_folder, root) = root_of_nobody();
    let client = HttpClient::new(Some(&root)).expect("roots");
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], knot.port));
    // It is its own resolver, and the zone's name server on the same port.
    let resolver = Resolver::new(vec![address], knot.port);
    let provider = Provider::new(&rfc2136(&knot, knot::KEY), &client, &resolver).expect("usable");
    let texts = async |name: &str| {
        let answer = ask_at(address, name, RecordType::TXT, false)
            .await
            .expect("an answer");
        let mut texts = texts(&answer);
        texts.sort();
        texts
    };
    let app = HostName::parse(HOST.as_bytes()).expect("a host");
    let one = provider
        .put(&app, "one".to_owned())
        .await
        .expect("written and seen");
    let two = provider
        .put(&app, "two".to_owned())
        .await
        .expect("written and seen");
    assert_eq!(one.name, "_acme-challenge.app.example.com");
    assert_eq!(texts(&one.name).await, ["one", "two"]);
    provider.add(&one).await.expect("there already");
    provider.remove(&one).await.expect("removed");
    provider.remove(&one).await.expect("not there any more");
    assert_eq!(texts(&one.name).await, ["two"]);
    provider.remove(&two).await.expect("removed");
    assert!(texts(&one.name).await.is_empty());
    // A CNAME leads to where the record has to stand.
    let alias = HostName::parse(b"alias.example.com").expect("a host");
    let led = provider
        .put(&alias, "led".to_owned())
        .await
        .expect("written and seen");
    assert_eq!(led.name, "_acme-challenge.elsewhere.example.com");
    // Refusals are sentences.
    let wrong = ("acme", "d3JvbmcgYnV0IGFzIGxvbmcgYXMgdGhlIG90aGVyLi4=");
    for (key, expected) in [
        (wrong, "the key acme is another one there"),
        (("stranger", knot::KEY.1), "does not know the key stranger"),
        (
            knot::POWERLESS,
            "the key reader, or does not let it change example.com",
        ),
    ] {
        let provider = Provider::new(&rfc2136(&knot, key), &client, &resolver).expect("usable");
        let fault = provider.add(&one).await.expect_err("refused").to_string();
        assert!(fault.contains(expected), "{fault}");
    }
    let outside = Record {
        name: "_acme-challenge.example.org".to_owned(),
        value: "x".to_owned(),
    };
    let fault = provider
        .add(&outside)
        .await
        .expect_err("refused")
        .to_string();
    assert!(
        fault.contains("has no zone that holds _acme-challenge.example.org"),
        "{fault}"
    );
}

#[tokio::test]
async fn a_wildcard_by_dynamic_updates() {
    let knot = or_skip!(Knot::start());
    let pebble = or_skip!(Pebble::start(Options {
        name_server: Some(knot.port),
        ..Options::default()
    }));
    let mut own = acme(&pebble);
    own.dns = Some(rfc2136(&knot, knot::KEY));
    own.challenge = ChallengeChoice::Dns01;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], knot.port));
    let site = Site::silent(
        own,
        Resolver::new(vec![address], knot.port),
        &["*.example.com", "example.com"],
    );
    site.certificate("*.example.com").await;
    site.certificate("example.com").await;
    let answer = ask_at(
        address,
        "_acme-challenge.example.com",
        RecordType::TXT,
        false,
    )
    .await
    .expect("an answer");
    assert!(texts(&answer).is_empty(), "the records are removed");
}

#[tokio::test]
async fn hopeless_orders_are_not_sent() {
    let knot = or_skip!(Knot::start());
    let pebble = or_skip!(Pebble::start(Options::default()));
    let front = Front::start(
        &pebble,
        Renewal {
            window: (0, 0),
            replaced: Mutex::default(),
        },
    )
    .await;
    let mut own = acme(&pebble);
    own.ca = front.directory();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], knot.port));
    let names = ["nowhere.example.com", "*.example.com"];
    let site = Site::silent(own, Resolver::new(vec![address], knot.port), &names);
    let (_, sentence) = site.failure("nowhere.example.com").await;
    assert!(
        sentence.contains("no name nowhere.example.com"),
        "{sentence}"
    );
    let (attempt, sentence) = site.failure("*.example.com").await;
    assert!(
        sentence.contains("needs the dns-01 challenge"),
        "{sentence}"
    );
    let pause = attempt
        .next
        .expect("a next")
        .duration_since(attempt.began)
        .expect("later");
    assert!((58..70).contains(&pause.as_secs()), "{pause:?}");
    assert!(front.asked("/order-plz").is_empty());
}
