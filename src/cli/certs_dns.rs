//! `hotgate certs dns NAME`: which record shows control of a name, who would write it, and whether that works.
//!
//! With `[acme.dns]` it is tried: a record of no meaning is written, looked for at the zone's servers, and removed. No
//! authority is asked.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::Exit;
use super::files::read;
use super::json::print_facts;
use super::talk::{print, say};
use crate::config::Config;
use crate::control::acme::dns::propagation::{self, NotSeen};
use crate::control::acme::dns::provider::{PROPAGATION_LIMIT, challenge_name};
use crate::control::acme::dns::resolver::Resolver;
use crate::control::acme::dns::{Provider, Record};
use crate::control::acme::http_client::HttpClient;
use crate::control::certificates::name::CertName;
use crate::net::clock::seed;

/// What `certs dns` takes.
#[derive(clap::Args)]
pub(super) struct DnsArgs {
    /// A host, or the name of a certificate: `*.example.com`
    #[arg(value_name = "NAME")]
    name: String,
}

/// One thing that was done, and what came of it.
struct Step {
    what: String,
    result: Result<(), String>,
}

/// Tells, and tries.
pub(super) fn dns(named: &[PathBuf], args: &DnsArgs, is_json: bool) -> Exit {
    let config = match read(named) {
        Ok(loaded) => loaded.config,
        Err(exit) => return exit,
    };
    let Some(name) = CertName::parse(&args.name).filter(|name| name.ip().is_none()) else {
        say(&format!(
            "{} is no name that the DNS could have",
            args.name.escape_default()
        ));
        return Exit::Usage;
    };
    let Some(provider) = config.acme.dns.as_ref().map(|dns| dns.name()) else {
        return tell_without_provider(&name, is_json);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let (record, steps) = match runtime {
        Ok(runtime) => {
            let tried = runtime.block_on(try_it(&config, &name));
            runtime.shutdown_background();
            tried
        }
        Err(error) => {
            say(&format!("cannot start: {error}"));
            return Exit::Failed;
        }
    };
    let works = steps.iter().all(|step| step.result.is_ok());
    if is_json {
        print_facts(json!({
            "name": name.to_string(),
            "record": record,
            "type": "TXT",
            "provider": provider,
            "works": works,
            "steps": steps.iter().map(as_json).collect::<Vec<_>>(),
        }));
    } else {
        for step in &steps {
            let line = match &step.result {
                Ok(()) => format!("✓ {}\n", step.what),
                Err(why) => format!("✗ {}: {why}\n", step.what),
            };
            print(&config.secrets.mask(&line));
        }
    }
    if works { Exit::Fine } else { Exit::Failed }
}

fn as_json(step: &Step) -> Value {
    json!({ "what": step.what, "error": step.result.as_ref().err() })
}

fn tell_without_provider(name: &CertName, is_json: bool) -> Exit {
    let record = challenge_name(name.base());
    if is_json {
        print_facts(json!({
            "name": name.to_string(),
            "record": record,
            "type": "TXT",
            "provider": Value::Null,
            "works": false,
            "steps": [],
        }));
        return Exit::No;
    }
    print(&format!(
        "{record} has to be a TXT record while an authority looks, with a value that is another for each order\n"
    ));
    say(
        "nobody is named who writes it\n  = try: [acme.dns] with provider = \"cloudflare\", \"hetzner\", \"desec\", \"rfc2136\" or \"exec\"",
    );
    Exit::No
}

/// Writes, looks, removes. The name of the record comes with the steps.
async fn try_it(config: &Config, name: &CertName) -> (String, Vec<Step>) {
    let usual = challenge_name(name.base());
    let mut steps = Vec::new();
    let mut done = |what: String, result: Result<(), String>| {
        let is_fine = result.is_ok();
        steps.push(Step { what, result });
        is_fine
    };
    let resolver = Resolver::system();
    let provider = match provider(config, &resolver) {
        Ok(provider) => provider,
        Err(why) => {
            done("make ready".to_owned(), Err(why));
            return (usual, steps);
        }
    };
    let record = Record {
        name: provider.record_name(name.base()).await,
        value: format!("hotgate-test-{:016x}", seed()),
    };
    let led = match record.name == usual {
        true => String::new(),
        false => format!(", to which {usual} leads"),
    };
    let added = provider
        .add(&record)
        .await
        .map_err(|fault| fault.to_string());
    let what = format!(
        "{} writes the TXT record {}{led}",
        provider.name(),
        record.name
    );
    if done(what, added) {
        let seen = propagation::until_seen(&resolver, &record, PROPAGATION_LIMIT).await;
        let seen = seen.map_err(|NotSeen { server }| {
            format!(
                "{server} does not show it after {} s",
                PROPAGATION_LIMIT.as_secs()
            )
        });
        done(
            "every server of its zone that answers shows it".to_owned(),
            seen,
        );
        let removed = provider
            .remove(&record)
            .await
            .map_err(|fault| fault.to_string());
        done(format!("{} removes it", provider.name()), removed);
    }
    (record.name, steps)
}

fn provider(config: &Config, resolver: &Resolver) -> Result<Provider, String> {
    let client =
        HttpClient::new(config.acme.ca_root.as_deref()).map_err(|fault| fault.to_string())?;
    let dns = config.acme.dns.as_ref().ok_or("there is no [acme.dns]")?;
    Provider::new(dns, &client, resolver).map_err(|fault| fault.to_string())
}
