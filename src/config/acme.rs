//! `[acme]`: where certificates for public names come from, and how control of a name is shown.

use super::diagnostic::{Fault, Faults, INCOMPLETE};
use super::dns;
use super::edit;
use super::keys::{Level, refuse};
use super::local_name::is_local_name;
use super::model_tls::{Acme, ChallengeChoice, Eab, LETSENCRYPT, LETSENCRYPT_STAGING};
use super::raw::{Entry, set};
use super::text::{file, is_https_url, secret, text};
use crate::http::authority::HostName;

/// Certificates that stand for many; each is an order of its own.
const WILDCARDS_MAX: usize = 256;

/// The longest that an address may be (RFC 5321 §4.5.3.1.3, less its brackets).
const EMAIL_BYTES_MAX: usize = 254;

/// Authorities that have a name here.
const AUTHORITIES: [(&str, &str); 2] = [
    ("letsencrypt", LETSENCRYPT),
    ("letsencrypt-staging", LETSENCRYPT_STAGING),
];

/// What a message says that `ca` takes.
const CA: &str = "\"letsencrypt\", \"letsencrypt-staging\" or the https:// URL of a directory";

/// Reads the table onto `acme`. Unless it `is_whole`, a later layer may add what it lacks.
pub(super) fn acme(entry: &Entry, acme: &mut Acme, is_whole: bool, faults: &mut Faults) {
    let before = faults.count();
    let mut asks_for_dns = None;
    for entry in entry.table("a table", faults).unwrap_or_default() {
        match entry.name {
            "email" => set(&mut acme.email, email(&entry, faults).map(Some)),
            "ca" => set(&mut acme.ca, authority(&entry, faults)),
            "ca_root" => set(&mut acme.ca_root, file(&entry, faults).map(Some)),
            "challenge" => {
                let choices = [
                    ("auto", ChallengeChoice::Auto),
                    ("http-01", ChallengeChoice::Http01),
                    ("tls-alpn-01", ChallengeChoice::TlsAlpn01),
                    ("dns-01", ChallengeChoice::Dns01),
                ];
                set(&mut acme.challenge, entry.choice(&choices, faults));
                asks_for_dns = Some(entry);
            }
            "wildcards" => set(&mut acme.wildcards, wildcards(&entry, faults)),
            "on_change" => set(
                &mut acme.on_change,
                text(&entry, "a command", faults).map(|command| Some(command.to_owned())),
            ),
            "eab" => set(&mut acme.eab, eab(&entry, is_whole, faults).map(Some)),
            "dns" => set(&mut acme.dns, dns::dns(&entry, is_whole, faults).map(Some)),
            _ => refuse(&entry, Level::Acme, faults),
        }
    }
    let has_dns = acme.dns.is_some() || !is_whole || faults.count() > before;
    if let (ChallengeChoice::Dns01, Some(entry), false) = (acme.challenge, asks_for_dns, has_dns) {
        let message =
            "the challenge \"dns-01\" needs `[acme.dns]`, which says who writes the records";
        faults.error(Fault::new(INCOMPLETE, entry.span.clone(), message).write(dns::SAMPLE));
    }
}

fn email(entry: &Entry, faults: &mut Faults) -> Option<String> {
    let expected = "an address such as \"me@example.com\"";
    let text = text(entry, expected, faults)?;
    let is_address = |text: &str| {
        let parts = text.rsplit_once('@');
        let is_plain = text.bytes().all(|octet| octet.is_ascii_graphic());
        is_plain
            && text.len() <= EMAIL_BYTES_MAX
            && !text.contains([',', ';', ':', '<', '>'])
            && parts.is_some_and(|(user, host)| {
                !user.is_empty() && HostName::parse(host.as_bytes()).is_ok()
            })
    };
    if is_address(text) {
        return Some(text.to_owned());
    }
    let fault = Fault::new(
        "bad-value",
        entry.span.clone(),
        format!("`email` takes {expected}"),
    );
    let bare = text.strip_prefix("mailto:").filter(|bare| is_address(bare));
    faults.error(match bare {
        Some(bare) => fault.replace(entry.span.clone(), format!("{bare:?}")),
        None => fault,
    });
    None
}

fn authority(entry: &Entry, faults: &mut Faults) -> Option<String> {
    let text = entry.string(CA, faults)?;
    if let Some((_, url)) = AUTHORITIES.iter().find(|(name, _)| *name == text) {
        return Some((*url).to_owned());
    }
    if is_https_url(text) {
        return Some(text.to_owned());
    }
    let fault = Fault::new("bad-value", entry.span.clone(), format!("`ca` takes {CA}"));
    let names = AUTHORITIES.iter().map(|(name, _)| *name);
    let secure = text
        .strip_prefix("http://")
        .map(|rest| format!("https://{rest}"))
        .filter(|url| is_https_url(url));
    let meant = edit::nearest(text, names).map(str::to_owned).or(secure);
    faults.error(match meant {
        Some(meant) => fault.replace(entry.span.clone(), format!("{meant:?}")),
        None => fault,
    });
    None
}

fn wildcards(entry: &Entry, faults: &mut Faults) -> Option<Vec<HostName>> {
    let items = entry.list("a list of names such as [\"example.com\"]", faults)?;
    if items.len() > WILDCARDS_MAX {
        let message = format!("`wildcards` has more than {WILDCARDS_MAX} names");
        faults.error(Fault::new("out-of-range", entry.span.clone(), message));
        return None;
    }
    let mut found: Vec<HostName> = Vec::new();
    let mut is_faulty = false;
    for item in &items {
        match wildcard(item, faults) {
            Some(name) if found.contains(&name) => {}
            Some(name) => found.push(name),
            None => is_faulty = true,
        }
    }
    (!is_faulty).then_some(found)
}

fn wildcard(entry: &Entry, faults: &mut Faults) -> Option<HostName> {
    let text = entry.string("names such as \"example.com\"", faults)?;
    let fault = |message: &str| Fault::new("bad-value", entry.span.clone(), message);
    let refusal = match HostName::parse(text.as_bytes()) {
        Ok(name) if name.ip().is_some() => fault("an address has no names below it"),
        Ok(name) if is_local_name(&name) => {
            let message = format!("no public authority signs `*.{name}`");
            fault(&message)
                .label("it is a local name: hotgate's own authority signs those below it")
        }
        Ok(name) => return Some(name),
        Err(_) => {
            let bare = text.strip_prefix("*.");
            let fault =
                fault("`wildcards` takes names such as \"example.com\", for `*.example.com`");
            match bare.filter(|bare| HostName::parse(bare.as_bytes()).is_ok()) {
                Some(bare) => fault.replace(entry.span.clone(), format!("{bare:?}")),
                None => fault,
            }
        }
    };
    faults.error(refusal);
    None
}

fn eab(entry: &Entry, is_whole: bool, faults: &mut Faults) -> Option<Eab> {
    let expected = "a table with `key_id` and `hmac_key`";
    let before = faults.count();
    let (mut key_id, mut hmac_key) = (None, None);
    for entry in entry.table(expected, faults)? {
        match entry.name {
            "key_id" => key_id = text(&entry, "the id that the authority gave", faults),
            "hmac_key" => hmac_key = base64url(&entry, faults),
            _ => refuse(&entry, Level::Eab, faults),
        }
    }
    if (key_id.is_none() || hmac_key.is_none()) && is_whole && faults.count() == before {
        let message = "`eab` needs both `key_id` and `hmac_key`";
        let fault = Fault::new(INCOMPLETE, entry.key.clone(), message);
        faults.error(fault.label("the authority gives the two together"));
    }
    Some(Eab {
        key_id: key_id?.to_owned(),
        hmac_key: hmac_key?,
    })
}

/// The key as the authority writes it, less its padding.
fn base64url(entry: &Entry, faults: &mut Faults) -> Option<String> {
    let expected = "the key that the authority gave, in base64url";
    let text = secret(entry, expected, faults)?;
    let bare = text.trim_end_matches('=');
    let is_of_alphabet =
        |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
    // One character more than whole octets is a key that was cut.
    if bare.bytes().all(is_of_alphabet) && bare.len() % 4 != 1 {
        return Some(bare.to_owned());
    }
    let message = format!("`{}` takes {expected}", entry.name);
    let fault = Fault::new("bad-value", entry.span.clone(), message);
    faults.error(fault.label("letters, digits, `-` and `_`"));
    None
}

#[cfg(test)]
mod tests {
    use crate::config::{Acme, ChallengeChoice, DnsProvider, Source, parse};

    /// What is read, or the code of the first fault.
    fn read(text: &str) -> Result<Acme, String> {
        match parse(&[Source {
            name: "/f/f.toml",
            text,
        }]) {
            Ok(config) => Ok(config.acme),
            Err(errors) => Err(format!("{} {}", errors[0].code, errors[0].mend)),
        }
    }

    #[test]
    fn all_of_it() {
        let acme = read(
            "[acme]\nemail = \"me@example.com\"\nca = \"https://ca.test:14000/dir\"\nca_root = \"ca.pem\"\n\
             challenge = \"dns-01\"\nwildcards = [\"Example.com\", \"example.com.\", \"b.example\"]\n\
             on_change = \"systemctl reload postfix\"\neab = { key_id = \"kid-1\", hmac_key = \"zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W==\" }\n\
             [acme.dns]\nprovider = \"exec\"\ncommand = \"/usr/local/bin/dns\"",
        )
        .expect("it is fine");
        assert_eq!(acme.email.as_deref(), Some("me@example.com"));
        assert_eq!(acme.ca, "https://ca.test:14000/dir");
        assert_eq!(acme.ca_root.as_deref(), Some("/f/ca.pem".as_ref()));
        assert_eq!(acme.challenge, ChallengeChoice::Dns01);
        let names: Vec<&str> = acme.wildcards.iter().map(|name| name.as_str()).collect();
        assert_eq!(names, ["example.com", "b.example"]);
        assert_eq!(acme.on_change.as_deref(), Some("systemctl reload postfix"));
        let eab = acme.eab.expect("it is there");
        assert_eq!((eab.key_id.as_str(), eab.hmac_key.len()), ("kid-1", 64));
        let command = "/usr/local/bin/dns".to_owned();
        assert_eq!(acme.dns, Some(DnsProvider::Exec { command }));
    }

    #[test]
    fn authorities() {
        #[track_caller]
        fn check(ca: &str, expected: Result<&str, &str>) {
            let found = read(&format!("[acme]\nca = {ca:?}")).map(|acme| acme.ca);
            let expected = expected.map(str::to_owned);
            let expected = expected.map_err(|mend| match mend {
                "" => "bad-value ".to_owned(),
                mend => format!("bad-value ca = {mend:?}"),
            });
            assert_eq!(found, expected, "{ca}");
        }
        check(
            "letsencrypt",
            Ok("https://acme-v02.api.letsencrypt.org/directory"),
        );
        check(
            "letsencrypt-staging",
            Ok("https://acme-staging-v02.api.letsencrypt.org/directory"),
        );
        check("https://ca.test/dir?x=1", Ok("https://ca.test/dir?x=1"));
        check("https://[::1]:14000/dir", Ok("https://[::1]:14000/dir"));
        check("letsencypt", Err("letsencrypt"));
        check("http://ca.test/dir", Err("https://ca.test/dir"));
        check("https://", Err(""));
        check("https://a b/", Err(""));
        check("https://ca.test:99999/", Err(""));
        check("ca.test", Err(""));
        check("", Err(""));
    }

    #[test]
    #[rustfmt::skip]
    fn refusals() {
        #[track_caller]
        fn check(line: &str, expected: &str) {
            let error = read(&format!("[acme]\n{line}")).expect_err("the row is refused");
            let (code, mend) = error.split_once(' ').expect("code and mend");
            assert_eq!(format!("{code} {}", mend.lines().next().unwrap_or_default()).trim_end(), expected, "{line}");
        }
        check("email = \"mailto:me@example.com\"", "bad-value email = \"me@example.com\"");
        check("email = \"me\"",                    "bad-value");
        check("email = \"@example.com\"",          "bad-value");
        check("email = \"a@b, c@d\"",              "bad-value");
        check("email = \"\"",                      "bad-value");
        check("email = 3",                         "wrong-type");
        check("challenge = \"http\"",              "bad-value challenge = \"http-01\"");
        check("challenge = \"dns-01\"",            "incomplete [acme.dns]");
        check("wildcards = [\"*.example.com\"]",   "bad-value wildcards = [\"example.com\"]");
        check("wildcards = [\"nas.lan\"]",         "bad-value");
        check("wildcards = [\"192.0.2.1\"]",       "bad-value");
        check("wildcards = \"example.com\"",       "wrong-type wildcards = [\"example.com\"]");
        check("on_change = \"\"",                  "bad-value");
        check("ca_root = \"\"",                    "bad-value");
        check("eab = { key_id = \"k\" }",          "incomplete");
        check("eab = { key_id = \"k\", hmac_key = \"a/b+\" }", "bad-value");
        check("eab = { key_id = \"k\", hmac_key = \"abcde\" }", "bad-value");
        check("domains = [\"a.example\"]",         "unknown-key");
    }

    #[test]
    fn a_later_layer_may_add_what_is_lacking() {
        use crate::config::{File, FileKind, Surroundings, parse_files};
        let file = |text, layer| File {
            source: Source { name: "f", text },
            layer,
            kind: FileKind::Main,
        };
        let base = "[acme]\nchallenge = \"dns-01\"\neab = { key_id = \"k\" }\ndns = { provider = \"desec\" }";
        let more = "[acme]\neab.hmac_key = \"YWJj\"\ndns.token = \"t\"";
        let both = [file(base, 0), file(more, 1)];
        let config = parse_files(&both, &Surroundings::NONE).expect("together they are whole");
        let token = "t".to_owned();
        assert_eq!(
            config.acme.dns,
            Some(DnsProvider::Desec { token, api: None })
        );
        assert_eq!(config.acme.eab.expect("it is there").hmac_key, "YWJj");
        assert!(parse_files(&both[..1], &Surroundings::NONE).is_err());
    }

    #[test]
    fn what_lets_somebody_in_is_in_no_print() {
        let text = "[acme]\neab = { key_id = \"kid\", hmac_key = \"c2VjcmV0LWhtYWM\" }\n\
            [acme.dns]\nprovider = \"rfc2136\"\nserver = \"ns.test\"\nkey_name = \"k\"\nkey = \"c2VjcmV0LXRzaWc=\"";
        let config = parse(&[Source { name: "f", text }]).expect("it is fine");
        let printed = format!("{}\n{:?}", config.dump(), config.acme);
        for secret in ["c2VjcmV0LWhtYWM", "c2VjcmV0LXRzaWc"] {
            assert!(!printed.contains(secret), "{printed}");
        }
        assert!(config.dump().contains("key_id = \"kid\""));
    }
}
