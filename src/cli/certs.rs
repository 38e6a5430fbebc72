//! `hotgate certs`: how it is with each certificate, and taking over those of others.
//!
//! Read from the state folder and the files of the configuration: it needs no running hotgate and asks none.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::Exit;
use super::certs_dns::{DnsArgs, dns};
use super::certs_renew::{RenewArgs, renew};
use super::columns::{COLUMNS, visible, wrapped};
use super::files::read;
use super::json::print_facts;
use super::state::store;
use super::talk::{mention, print, print_painted, say};
use crate::control::certificates::book::Book;
use crate::control::certificates::fault::Fault;
use crate::control::certificates::files::PemFiles;
use crate::control::certificates::leaf::Leaf;
use crate::control::certificates::local_ca::LocalCa;
use crate::control::certificates::name::CertName;
use crate::control::certificates::pem;
use crate::control::certificates::report::{Row, report};

/// What `certs` takes.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct CertsArgs {
    /// This one alone, with all that is known of it: a name of a certificate, a host, or a site
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(subcommand)]
    verb: Option<CertsVerb>,
}

#[derive(clap::Subcommand)]
enum CertsVerb {
    /// Copy certificates into hotgate's state folder: they are served at once and renewed by ACME when they are due
    Import(ImportArgs),
    /// Get a new certificate now, whatever is left of the one that is held, and wait for it; needs a running hotgate
    Renew(RenewArgs),
    /// Say which record shows control of a name, and try whether [acme.dns] can write it
    Dns(DnsArgs),
}

/// What `certs import` takes.
#[derive(clap::Args)]
struct ImportArgs {
    /// The certificate chain, leaf first
    #[arg(
        value_name = "PEM",
        required_unless_present = "certbot",
        requires = "key"
    )]
    chain: Option<PathBuf>,
    /// Its private key; the same file where it holds both
    #[arg(value_name = "KEY")]
    key: Option<PathBuf>,
    /// Every certificate that certbot has
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "/etc/letsencrypt", conflicts_with_all = ["chain", "key"])]
    certbot: Option<PathBuf>,
}

/// Tells, or imports.
pub(super) fn certs(named: &[PathBuf], args: &CertsArgs, is_json: bool) -> Exit {
    match &args.verb {
        Some(CertsVerb::Import(args)) => import(named, args, is_json),
        Some(CertsVerb::Renew(args)) => renew(named, args, is_json),
        Some(CertsVerb::Dns(args)) => dns(named, args, is_json),
        None => tell(named, args.name.as_deref(), is_json),
    }
}

fn tell(named: &[PathBuf], name: Option<&str>, is_json: bool) -> Exit {
    let config = match read(named) {
        Ok(loaded) => loaded.config,
        Err(exit) => return exit,
    };
    let store = match store(named) {
        Ok(store) => store,
        Err(exit) => return exit,
    };
    let now = SystemTime::now();
    let (book, faults) = Book::open(store.clone(), &config.acme.ca);
    let mut files = PemFiles::default();
    files.load(&config);
    let local_ca = LocalCa::find(store.as_ref());
    let mut rows = report(&config, &book, &files, &local_ca, now);
    if let Some(name) = name {
        rows.retain(|row| is_meant(row, name));
        if rows.is_empty() {
            say(&format!(
                "no site of HTTPS has the name {name}\n  = try: hotgate certs, or hotgate routes"
            ));
            return Exit::No;
        }
    }
    let are_all_good = faults.is_empty() && rows.iter().all(|row| row.state.is_good());
    match is_json {
        true => print_facts(as_json(&rows, &local_ca, &faults)),
        false => print_painted(
            &config
                .secrets
                .mask(&as_text(&rows, name.is_some(), &faults, now)),
        ),
    }
    match are_all_good {
        true => Exit::Fine,
        false => Exit::No,
    }
}

fn is_meant(row: &Row, name: &str) -> bool {
    let is_site = row.sites.iter().any(|site| site == name);
    let names = CertName::parse(name).is_some_and(|name| {
        let own = CertName::parse(&row.name);
        own.is_some_and(|own| own == name || own.covers(&name))
            || row.leaf.as_ref().is_some_and(|leaf| leaf.covers(&name))
    });
    is_site || names
}

fn as_text(rows: &[Row], is_whole: bool, faults: &[Fault], now: SystemTime) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(line.trim_end());
        text.push('\n');
    };
    if rows.is_empty() {
        line("no site of HTTPS is configured, so no certificate is needed");
    }
    for row in rows {
        line(&format!(
            "{} {}",
            if row.state.is_good() { "✓" } else { "✗" },
            visible(&row.name)
        ));
        let mut tell = |words: &str| {
            for part in wrapped(&visible(words), COLUMNS - 4) {
                line(&format!("    {part}"));
            }
        };
        tell(&row.words(now));
        if !row.place.is_empty() && (is_whole || row.leaf.is_none()) {
            tell(&row.place);
        }
        let has_other_name =
            row.sites.len() > 1 || row.sites.first().is_some_and(|site| *site != row.name);
        if is_whole || has_other_name {
            tell(&format!("for {}", row.sites.join(", ")));
        }
        if let (Some(leaf), true) = (&row.leaf, is_whole) {
            details(leaf).iter().for_each(|detail| tell(detail));
        }
        if let Some(error) = row
            .attempt
            .as_ref()
            .and_then(|attempt| attempt.error.as_ref())
        {
            tell(&format!("! {error}"));
        }
        for remark in &row.remarks {
            tell(&format!("! {}", remark.what));
            if !remark.mend.is_empty() {
                tell(&format!("  = try: {}", remark.mend));
            }
        }
    }
    for fault in faults {
        line(&format!("! {}", visible(&fault.to_string())));
    }
    text
}

fn details(leaf: &Leaf) -> [String; 5] {
    let names: Vec<String> = leaf.names.iter().map(CertName::to_string).collect();
    [
        format!("names {}", names.join(", ")),
        format!("issuer {}", leaf.issuer),
        format!(
            "valid from {} until {}",
            date(leaf.not_before),
            date(leaf.not_after)
        ),
        format!("key {}", leaf.key),
        format!("serial {}", leaf.serial),
    ]
}

fn as_json(rows: &[Row], local_ca: &Result<Option<LocalCa>, Fault>, faults: &[Fault]) -> Value {
    let rows: Vec<Value> = rows.iter().map(row_as_json).collect();
    let ca = match local_ca {
        Ok(Some(ca)) => json!({
            "root": ca.shown(),
            "subject": ca.root().subject,
            "not_after": date(ca.root().not_after),
        }),
        Ok(None) => Value::Null,
        Err(fault) => json!({ "error": fault.what, "mend": fault.mend }),
    };
    json!({
        "certificates": rows,
        "local_ca": ca,
        "faults": faults.iter().map(fault_as_json).collect::<Vec<_>>(),
    })
}

fn row_as_json(row: &Row) -> Value {
    let leaf = row.leaf.as_ref();
    let days = leaf.map(|leaf| {
        let now = SystemTime::now();
        match leaf.not_after.duration_since(now) {
            Ok(left) => i64::try_from(left.as_secs() / 86_400).unwrap_or(i64::MAX),
            Err(past) => {
                -i64::try_from(past.duration().as_secs().div_ceil(86_400)).unwrap_or(i64::MAX)
            }
        }
    });
    json!({
        "name": row.name,
        "sites": row.sites,
        "source": row.source.as_str(),
        "state": row.state.as_str(),
        "place": (!row.place.is_empty()).then_some(&row.place),
        "names": leaf.map(|leaf| leaf.names.iter().map(CertName::to_string).collect::<Vec<_>>()),
        "issuer": leaf.map(|leaf| &leaf.issuer),
        "serial": leaf.map(|leaf| &leaf.serial),
        "key": leaf.map(|leaf| &leaf.key),
        "not_before": leaf.map(|leaf| date(leaf.not_before)),
        "not_after": leaf.map(|leaf| date(leaf.not_after)),
        "days_left": days,
        "renewal": row.renewal.map(date),
        "attempts": row.attempt.as_ref().map_or(0, |attempt| attempt.number),
        "error": row.attempt.as_ref().and_then(|attempt| attempt.error.as_ref()),
        "next_attempt": row.attempt.as_ref().and_then(|attempt| attempt.next).map(date),
        "remarks": row.remarks.iter().map(fault_as_json).collect::<Vec<_>>(),
    })
}

fn fault_as_json(fault: &Fault) -> Value {
    json!({ "what": fault.what, "mend": fault.mend })
}

/// `2026-11-25T12:00:00Z` (RFC 3339).
fn date(moment: SystemTime) -> String {
    let seconds = moment
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let moment = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let moment = moment.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (day, time) = (moment.date(), moment.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        day.year(),
        u8::from(day.month()),
        day.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// A pair that is to be imported.
struct Wanted {
    chain: PathBuf,
    key: PathBuf,
}

fn import(named: &[PathBuf], args: &ImportArgs, is_json: bool) -> Exit {
    let wanted = match (&args.certbot, &args.chain, &args.key) {
        (Some(folder), _, _) => match of_certbot(folder) {
            Ok(wanted) => wanted,
            Err(exit) => return exit,
        },
        (None, Some(chain), Some(key)) => vec![Wanted {
            chain: chain.clone(),
            key: key.clone(),
        }],
        (None, _, _) => return Exit::Usage,
    };
    let store = match store(named) {
        Ok(store) => store,
        Err(exit) => return exit,
    };
    // Whose authority it is does not matter here.
    let (book, _) = Book::open(store, "");
    let results: Vec<(&Wanted, Result<String, Fault>)> = wanted
        .iter()
        .map(|wanted| (wanted, import_one(&book, wanted)))
        .collect();
    if is_json {
        print_facts(
            json!({ "imported": results.iter().map(|(wanted, result)| json!({
            "from": wanted.chain,
            "name": result.as_ref().ok(),
            "error": result.as_ref().err().map(|fault| &fault.what),
            "mend": result.as_ref().err().map(|fault| &fault.mend),
        })).collect::<Vec<_>>() }),
        );
    } else {
        for (wanted, result) in &results {
            match result {
                Ok(name) => print(&format!(
                    "✓ {name}: copied from {}\n",
                    wanted.chain.display()
                )),
                Err(fault) => say(&format!("✗ {}\n  = try: {}", fault.what, fault.mend)),
            }
        }
    }
    let failed = results.iter().filter(|(_, result)| result.is_err()).count();
    if failed == 0 {
        mention(
            "a running hotgate takes them up by itself; when they are due it renews them by ACME",
        );
        return Exit::Fine;
    }
    let is_permission = |path: &Path| {
        std::fs::File::open(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    match wanted
        .iter()
        .any(|wanted| is_permission(&wanted.chain) || is_permission(&wanted.key))
    {
        true => Exit::Permission,
        false => Exit::Failed,
    }
}

fn import_one(book: &Book, wanted: &Wanted) -> Result<String, Fault> {
    // Read as they are named, so that a fault names these files and not their copies.
    pem::load(&wanted.chain, &wanted.key)?;
    let (chain, key) = (pem::read(&wanted.chain)?, pem::read(&wanted.key)?);
    let from = wanted.chain.display().to_string();
    book.import(&from, &chain, &key)
        .map(|held| held.name.to_string())
}

/// certbot's lineages: `live/NAME/{fullchain,privkey}.pem`.
fn of_certbot(folder: &Path) -> Result<Vec<Wanted>, Exit> {
    let live = folder.join("live");
    let entries = std::fs::read_dir(&live).map_err(|error| {
        let (mend, exit) = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                ("sudo hotgate certs import --certbot", Exit::Permission)
            }
            _ => (
                "hotgate certs import --certbot DIR, the folder that holds certbot's `live`",
                Exit::Failed,
            ),
        };
        say(&format!(
            "cannot read {}: {error}\n  = try: {mend}",
            live.display()
        ));
        exit
    })?;
    let folders = entries.flatten().map(|entry| entry.path());
    let mut wanted: Vec<Wanted> = folders
        .map(|folder| Wanted {
            chain: folder.join("fullchain.pem"),
            key: folder.join("privkey.pem"),
        })
        .filter(|wanted| wanted.chain.symlink_metadata().is_ok())
        .collect();
    wanted.sort_by(|one, other| one.chain.cmp(&other.chain));
    if wanted.is_empty() {
        say(&format!("{} holds no certificate", live.display()));
        return Err(Exit::Failed);
    }
    Ok(wanted)
}
