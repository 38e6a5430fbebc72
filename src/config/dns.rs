//! `[acme.dns]`: who writes the records of dns-01, and what lets hotgate in.

use super::diagnostic::{Fault, Faults, INCOMPLETE};
use super::keys::{Level, refuse};
use super::model_tls::DnsProvider;
use super::raw::Entry;
use super::text::{is_https_url, secret, text};
use crate::http::authority::{Authority, HostName};

/// A table that is whole, as a mend.
pub(super) const SAMPLE: &str =
    "[acme.dns]\nprovider = \"cloudflare\"\ntoken = \"${cred:dns_token}\"";

/// DNS, where the server's address has no port.
const DNS_PORT: u16 = 53;

/// What may sign updates (RFC 8945 §6), less what is broken.
const ALGORITHMS: [&str; 3] = ["hmac-sha256", "hmac-sha384", "hmac-sha512"];

/// A provider, and the keys of its table beside `provider`: those that it needs, those that it may have.
struct Kind {
    name: &'static str,
    needs: &'static [&'static str],
    may: &'static [&'static str],
}

const KINDS: [Kind; 5] = [
    Kind {
        name: "cloudflare",
        needs: &["token"],
        may: &["api"],
    },
    Kind {
        name: "hetzner",
        needs: &["token"],
        may: &["api"],
    },
    Kind {
        name: "desec",
        needs: &["token"],
        may: &["api"],
    },
    Kind {
        name: "rfc2136",
        needs: &["server", "key_name", "key"],
        may: &["algorithm"],
    },
    Kind {
        name: "exec",
        needs: &["command"],
        may: &[],
    },
];

/// What was read, whoever it is for.
#[derive(Default)]
struct Given {
    token: Option<String>,
    api: Option<String>,
    server: Option<String>,
    key_name: Option<String>,
    algorithm: Option<String>,
    key: Option<String>,
    command: Option<String>,
}

/// Reads the table. Unless it `is_whole`, a later layer may add what it lacks.
pub(super) fn dns(entry: &Entry, is_whole: bool, faults: &mut Faults) -> Option<DnsProvider> {
    let before = faults.count();
    let entries = entry.table("a table with `provider`", faults)?;
    let kind = entries
        .iter()
        .find(|entry| entry.name == "provider")
        .map(|entry| provider(entry, faults));
    let mut given = Given::default();
    for entry in &entries {
        if entry.name == "provider" {
            continue;
        }
        let owned = |text: Option<&str>| text.map(str::to_owned);
        match entry.name {
            "token" => given.token = owned(secret(entry, "a token", faults)),
            "api" => given.api = api(entry, faults),
            "server" => given.server = server(entry, faults),
            "key_name" => given.key_name = key_name(entry, faults),
            "algorithm" => {
                let choices = ALGORITHMS.map(|name| (name, name));
                given.algorithm = owned(entry.choice(&choices, faults));
            }
            "key" => given.key = key(entry, faults),
            "command" => given.command = owned(text(entry, "a command", faults)),
            _ => {
                refuse(entry, Level::Dns, faults);
                continue;
            }
        }
        if let Some(Some(kind)) = &kind
            && !kind.needs.contains(&entry.name)
            && !kind.may.contains(&entry.name)
        {
            let message = format!("`{}` is not for the provider {:?}", entry.name, kind.name);
            let fault = Fault::new("misplaced-key", entry.key.clone(), message);
            let keys: Vec<&str> = kind.needs.iter().chain(kind.may).copied().collect();
            faults.error(fault.label(format!("it has {}", keys.join(", "))));
        }
    }
    let lacks = |name: &&&str| !entries.iter().any(|entry| entry.name == **name);
    let lacking: Option<String> = match &kind {
        None => Some("`[acme.dns]` needs `provider`".to_owned()),
        Some(None) => None,
        Some(Some(kind)) => {
            let lacking = kind.needs.iter().find(lacks);
            lacking.map(|name| format!("the provider {:?} needs `{name}`", kind.name))
        }
    };
    if let Some(message) = lacking.filter(|_| is_whole && faults.count() == before) {
        let fault = Fault::new(INCOMPLETE, entry.key.clone(), message);
        let name = kind.as_ref().and_then(Option::as_ref).map(|kind| kind.name);
        faults.error(fault.write(sample(name)));
    }
    let (token, api) = (given.token, given.api);
    Some(match kind??.name {
        "cloudflare" => DnsProvider::Cloudflare { token: token?, api },
        "hetzner" => DnsProvider::Hetzner { token: token?, api },
        "desec" => DnsProvider::Desec { token: token?, api },
        "rfc2136" => DnsProvider::Rfc2136 {
            server: given.server?,
            key_name: given.key_name?,
            algorithm: given.algorithm.unwrap_or(ALGORITHMS[0].to_owned()),
            key: given.key?,
        },
        _ => DnsProvider::Exec {
            command: given.command?,
        },
    })
}

fn provider(entry: &Entry, faults: &mut Faults) -> Option<&'static Kind> {
    let choices: Vec<(&str, &Kind)> = KINDS.iter().map(|kind| (kind.name, kind)).collect();
    entry.choice(&choices, faults)
}

fn sample(provider: Option<&str>) -> String {
    match provider {
        Some("rfc2136") => {
            "[acme.dns]\nprovider = \"rfc2136\"\nserver = \"192.0.2.53\"\nkey_name = \"hotgate\"\nkey = \"${cred:tsig_key}\"".to_owned()
        }
        Some("exec") => {
            "[acme.dns]\nprovider = \"exec\"\ncommand = \"/usr/local/bin/dns-record\"".to_owned()
        }
        Some(name) => SAMPLE.replace("cloudflare", name),
        None => SAMPLE.to_owned(),
    }
}

fn api(entry: &Entry, faults: &mut Faults) -> Option<String> {
    let expected = "the URL that the provider's API begins with";
    let text = text(entry, expected, faults)?;
    // Plain HTTP to this machine alone: the token goes with each request.
    let here = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    let is_here = here.iter().any(|url| {
        text.strip_prefix(url)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    });
    let url = text.replacen("http://", "https://", 1);
    if is_https_url(&url) && (is_here || text.starts_with("https://")) {
        return Some(text.trim_end_matches('/').to_owned());
    }
    let fault = Fault::new(
        "bad-value",
        entry.span.clone(),
        format!("`api` takes {expected}"),
    );
    faults.error(fault.label("https://, or http:// to this machine"));
    None
}

/// `HOST` or `HOST:PORT`, as `HOST:PORT`.
fn server(entry: &Entry, faults: &mut Faults) -> Option<String> {
    let expected = "the name server, as in \"ns1.example.com\" or \"192.0.2.53:53\"";
    let text = text(entry, expected, faults)?;
    match Authority::parse(text.as_bytes()) {
        Ok(Authority { host, port }) => {
            let port = port.unwrap_or(DNS_PORT);
            Some(
                Authority {
                    host,
                    port: Some(port),
                }
                .to_string(),
            )
        }
        Err(_) => {
            let message = format!("`server` takes {expected}");
            faults.error(Fault::new("bad-value", entry.span.clone(), message));
            None
        }
    }
}

fn key_name(entry: &Entry, faults: &mut Faults) -> Option<String> {
    let expected = "the name of the TSIG key";
    let text = text(entry, expected, faults)?;
    match HostName::parse(text.as_bytes()) {
        Ok(name) if name.ip().is_none() => Some(name.as_str().to_owned()),
        Ok(_) | Err(_) => {
            let message = format!("`key_name` takes {expected}");
            faults.error(Fault::new("bad-value", entry.span.clone(), message));
            None
        }
    }
}

/// The key as `tsig-keygen` writes it.
fn key(entry: &Entry, faults: &mut Faults) -> Option<String> {
    let text = secret(entry, "the TSIG key in base64", faults)?;
    let bare = text.trim_end_matches('=');
    let is_of_alphabet =
        |octet: u8| octet.is_ascii_alphanumeric() || octet == b'+' || octet == b'/';
    let is_whole = text.len() % 4 == 0 && text.len() - bare.len() <= 2;
    if is_whole && !bare.is_empty() && bare.bytes().all(is_of_alphabet) {
        return Some(text.to_owned());
    }
    let fault = Fault::new(
        "bad-value",
        entry.span.clone(),
        "`key` takes the TSIG key in base64",
    );
    faults.error(fault.label("as `tsig-keygen` writes it"));
    None
}

#[cfg(test)]
mod tests {
    use crate::config::{DnsProvider, Source, parse};

    fn read(table: &str) -> Result<DnsProvider, String> {
        let text = format!("[acme.dns]\n{}", table.replace("; ", "\n"));
        match parse(&[Source {
            name: "f",
            text: &text,
        }]) {
            Ok(config) => Ok(config.acme.dns.expect("it was given")),
            Err(errors) => Err(format!("{}: {}", errors[0].code, errors[0].message)),
        }
    }

    #[test]
    fn providers() {
        let (token, api) = ("t0k".to_owned(), None);
        assert_eq!(
            read("provider = \"cloudflare\"; token = \"t0k\""),
            Ok(DnsProvider::Cloudflare { token, api })
        );
        let (token, api) = ("t0k".to_owned(), Some("http://127.0.0.1:99/v1".to_owned()));
        assert_eq!(
            read("provider = \"hetzner\"; token = \"t0k\"; api = \"http://127.0.0.1:99/v1/\""),
            Ok(DnsProvider::Hetzner { token, api })
        );
        #[track_caller]
        fn server(written: &str, expected: &str, algorithm: &str) {
            let more = match algorithm {
                "hmac-sha256" => String::new(),
                other => format!("; algorithm = {other:?}"),
            };
            let table = format!(
                "provider = \"rfc2136\"; server = {written:?}; key_name = \"Key.\"; key = \"YWJj\"{more}"
            );
            let expected = DnsProvider::Rfc2136 {
                server: expected.to_owned(),
                key_name: "key".to_owned(),
                algorithm: algorithm.to_owned(),
                key: "YWJj".to_owned(),
            };
            assert_eq!(read(&table), Ok(expected));
        }
        server("ns.test", "ns.test:53", "hmac-sha256");
        server("192.0.2.53:5353", "192.0.2.53:5353", "hmac-sha512");
        server("[::1]:53", "[::1]:53", "hmac-sha256");
    }

    #[test]
    #[rustfmt::skip]
    fn refusals() {
        #[track_caller]
        fn check(table: &str, expected: &str) {
            assert_eq!(read(table), Err(expected.to_owned()), "{table}");
        }
        check("token = \"t\"", "incomplete: `[acme.dns]` needs `provider`");
        check("provider = \"desec\"", "incomplete: the provider \"desec\" needs `token`");
        check("provider = \"exec\"; token = \"t\"; command = \"c\"", "misplaced-key: `token` is not for the provider \"exec\"");
        check("provider = \"rfc2136\"; server = \"ns.test\"; key = \"YWJj\"", "incomplete: the provider \"rfc2136\" needs `key_name`");
        check("provider = \"desec\"; token = \"\"", "bad-value: `token` takes a token");
        check("provider = \"desec\"; token = \"a b\"", "bad-value: `token` has blanks or other odd characters");
        check("provider = \"desec\"; token = \"t\"; api = \"http://api.example\"", "bad-value: `api` takes the URL that the provider's API begins with");
        check("provider = \"desec\"; token = \"t\"; api = \"http://127.0.0.1.example\"", "bad-value: `api` takes the URL that the provider's API begins with");
        check("provider = \"rfc2136\"; server = \"ns.test\"; key_name = \"k\"; key = \"YWJ\"", "bad-value: `key` takes the TSIG key in base64");
        check("provider = \"rfc2136\"; server = \"a b\"; key_name = \"k\"; key = \"YWJj\"", "bad-value: `server` takes the name server, as in \"ns1.example.com\" or \"192.0.2.53:53\"");
        check("provider = \"route53\"; token = \"t\"", "bad-value: `provider` takes \"cloudflare\", \"hetzner\", \"desec\", \"rfc2136\" or \"exec\"");
    }
}
