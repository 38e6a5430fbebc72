//! Can each site be served over TLS: are its files good, do they name it, is a certificate held?

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::finding::{Finding, Mark};
use crate::config::{CertificateSource, Config, Site};
use crate::control::certificates::book::Book;
use crate::control::certificates::fault::Fault;
use crate::control::certificates::files::{PemFiles, client_ca};
use crate::control::certificates::local_ca::LocalCa;
use crate::control::certificates::needs::site_name;
use crate::control::certificates::place;
use crate::control::certificates::report::{Source, State, report};
use crate::control::certificates::storage::FileStore;
use crate::control::upstream_tls::UpstreamFiles;
use crate::serve::snapshot::plan;

/// The bit by which a file is readable for everybody.
const OTHERS_READ: u32 = 0o004;

/// The files that the configuration names: a site is quarantined without them, which is no fault of the configuration.
pub fn files(config: &Config, now: SystemTime) -> Vec<Finding> {
    let mut files = PemFiles::default();
    files.load(config);
    let mut findings = Vec::new();
    let mut told = HashSet::new();
    for site in config.sites.iter().filter(|site| site.is_https()) {
        of_site(site, &files, now, &mut findings);
    }
    for (label, fault) in UpstreamFiles::read(&plan(config).endpoints).unusable() {
        let what = format!("{}; nothing is sent to it, 502 is the answer", fault.what);
        findings.push(Finding::new(Mark::Warning, "upstream", label, what).mend(fault.mend));
    }
    // Sites that share a file share what is wrong with it; what differs names the site.
    findings.retain(|finding| told.insert((finding.subject.clone(), finding.what.clone())));
    findings
}

fn of_site(site: &Site, files: &PemFiles, now: SystemTime, findings: &mut Vec<Finding>) {
    let mut warn = |what: String, mend: &str| {
        findings.push(Finding::new(Mark::Warning, "certificate", &site.name, what).mend(mend));
    };
    let quarantined = |fault: &Fault| {
        format!(
            "{}; quarantined, until it is mended 503 is the answer",
            fault.what
        )
    };
    if let CertificateSource::Files(pairs) = &site.tls.source {
        let results: Vec<_> = pairs.iter().map(|pair| files.pair(pair)).collect();
        let is_served = results.iter().any(Result::is_ok);
        for (result, pair) in results.iter().zip(pairs) {
            match result {
                Ok(good) => {
                    for remark in good.remarks(now, site_name(site).as_ref()) {
                        warn(remark.what, &remark.mend);
                    }
                }
                Err(fault) if is_served => warn(fault.what.clone(), &fault.mend),
                Err(fault) => warn(quarantined(fault), &fault.mend),
            }
            if is_open(&pair.key) {
                let key = pair.key.display();
                warn(
                    format!("every user of this machine may read the key {key}"),
                    &format!("chmod o-r {key}"),
                );
            }
        }
    }
    if let Some(Err(fault)) = client_ca(&site.tls.client_auth).map(|path| files.authorities(path)) {
        warn(quarantined(&fault), &fault.mend);
    }
}

fn is_open(key: &Path) -> bool {
    fs::metadata(key).is_ok_and(|file| file.mode() & OTHERS_READ != 0)
}

/// What is held for the sites whose certificates hotgate itself gets or makes. Read from the state folder, as far as
/// this user may.
pub fn held(config: &Config, named: &[std::path::PathBuf], now: SystemTime) -> Vec<Finding> {
    let Some(place) = place::of(named) else {
        return Vec::new();
    };
    if !place.is_open {
        let folder = place.folder.display().to_string();
        let finding = Finding::new(
            Mark::Warning,
            "certificate",
            folder,
            "this user may not look which certificates are held",
        );
        return vec![finding.mend("sudo hotgate check --deep")];
    }
    let store = Arc::new(FileStore::new(&place.folder));
    let local_ca = LocalCa::find(store.as_ref());
    let (book, faults) = Book::open(store, &config.acme.ca);
    let unreadable = faults.into_iter().map(|fault| {
        Finding::new(Mark::Warning, "certificate", "state folder", fault.what).mend(fault.mend)
    });
    let rows = report(config, &book, &PemFiles::default(), &local_ca, now);
    let of_rows = rows
        .into_iter()
        .filter(|row| row.source != Source::Files)
        .flat_map(|row| {
            let mark = match row.state {
                State::Held => Mark::Good,
                State::OutOfDate | State::Obtaining | State::Failed | State::Unusable => {
                    Mark::Warning
                }
            };
            let error = row
                .attempt
                .as_ref()
                .and_then(|attempt| attempt.error.clone());
            let what = match error {
                Some(error) => format!("{}: {error}", row.words(now)),
                None => row.words(now),
            };
            let state = Finding::new(mark, "certificate", &row.name, what);
            let remarks = row.remarks.into_iter().map(|remark| {
                Finding::new(Mark::Warning, "certificate", row.name.clone(), remark.what)
                    .mend(remark.mend)
            });
            std::iter::once(state).chain(remarks.collect::<Vec<_>>())
        });
    unreadable.chain(of_rows).collect()
}
