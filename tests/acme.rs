//! Certificates by ACME, from real authorities: Pebble for each challenge and each trouble, Caddy's as a second one,
//! stubs for what neither has.
//!
//! The clerk of the control plane is driven as the supervisor drives it; a small server answers challenges on the ports
//! that Pebble looks at.

mod support;

#[path = "acme/pebble.rs"]
mod pebble;
#[path = "acme/place.rs"]
mod place;
#[path = "acme/site.rs"]
mod site;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

use hotgate::{
    config::{ChallengeChoice, DnsProvider, Eab},
    control::{acme::renewals, certificates::name::CertName},
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
    let resolver =
        hotgate::control::acme::dns::resolver::Resolver::new(vec![pebble.resolver()], 53);
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
    let resolver =
        hotgate::control::acme::dns::resolver::Resolver::new(vec![pebble.resolver()], 53);
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
