//! `hotgate trust` and `hotgate untrust`: whether this machine believes in the local CA.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::Exit;
use super::json::print_facts;
use super::state::store;
use super::talk::{print, say};
use crate::config::Config;
use crate::control::certificates::fault::Fault;
use crate::control::certificates::local_ca::LocalCa;
use crate::control::certificates::needs::single_labels;
use crate::control::certificates::place::MACHINE_STATE;
use crate::control::certificates::storage::Storage;
use crate::control::certificates::trust_stores::{Done, Store, stores};
use crate::control::load::load;

/// What `trust` takes.
#[derive(clap::Args)]
pub(super) struct TrustArgs {
    /// Make a new root in the place of the old one, which permits every name that is configured now
    #[arg(long)]
    new_root: bool,
    /// Print the root for another machine or a phone, and change nothing here
    #[arg(long, conflicts_with = "new_root")]
    print: bool,
}

/// Has the local CA believed by the system and the user's browsers.
pub(super) fn trust(named: &[PathBuf], args: &TrustArgs, is_json: bool) -> Exit {
    let store = match store(named) {
        Ok(store) => store,
        Err(exit) => return exit,
    };
    let ca = match local_ca(named, store.as_ref(), args) {
        Ok(ca) => ca,
        Err(fault) => {
            say(&format!("error: {}", fault.what));
            if !fault.mend.is_empty() {
                say(&format!("  = try: {}", fault.mend));
            }
            return Exit::Failed;
        }
    };
    if args.print {
        print(ca.root_pem());
        return Exit::Fine;
    }
    let done = stores().into_iter().map(|store| {
        let done = store.add(ca.root_pem());
        (store, done)
    });
    let done: Vec<(Store, Done)> = done.collect();
    if !is_json {
        print(&format!(
            "local CA \"{}\", {}\n",
            ca.root().subject,
            ca.shown()
        ));
    }
    tell(&done, is_json, Some(&ca), "trust")
}

/// Has no local CA believed any more.
pub(super) fn untrust(is_json: bool) -> Exit {
    let done = stores().into_iter().map(|store| {
        let done = store.remove();
        (store, done)
    });
    tell(&done.collect::<Vec<_>>(), is_json, None, "untrust")
}

fn local_ca(named: &[PathBuf], storage: &dyn Storage, args: &TrustArgs) -> Result<LocalCa, Fault> {
    // Without a configuration that can be read the root permits no name of one label, and nothing else is lost.
    let config: Option<Config> = load(named, None).ok().map(|loaded| loaded.config);
    let names = config.as_ref().map(single_labels).unwrap_or_default();
    match args.new_root {
        true => LocalCa::make(storage, &names, SystemTime::now()),
        false => LocalCa::open(storage, &names, SystemTime::now()),
    }
}

/// The line for root, who has another state folder of his own than this user.
fn as_root(ca: Option<&LocalCa>, verb: &str) -> String {
    let root = ca.map(|ca| Path::new(ca.shown()));
    let folder = root.and_then(|root| root.parent()?.parent());
    match folder {
        Some(folder) if folder != Path::new(MACHINE_STATE) => {
            let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
            let program = std::env::current_exe().unwrap_or_else(|_| "hotgate".into());
            format!(
                "sudo env STATE_DIRECTORY={} {} {verb}",
                folder.display(),
                program.display()
            )
        }
        Some(_) | None => format!("sudo hotgate {verb}"),
    }
}

fn tell(done: &[(Store, Done)], is_json: bool, ca: Option<&LocalCa>, verb: &str) -> Exit {
    let needs_root = done.iter().any(|(_, done)| *done == Done::NeedsRoot);
    let has_failed = done.iter().any(|(_, done)| matches!(done, Done::Failed(_)));
    if is_json {
        let of_store = |(store, done): &(Store, Done)| -> Value {
            json!({
                "kind": match store { Store::System { .. } => "system", Store::Browser(_) => "browser" },
                "place": store.shown(),
                "result": done.as_str(),
                "why": match done { Done::Failed(why) => Some(why), _ => None },
            })
        };
        print_facts(json!({
            "root": ca.map(LocalCa::shown),
            "subject": ca.map(|ca| &ca.root().subject),
            "stores": done.iter().map(of_store).collect::<Vec<_>>(),
        }));
    } else {
        for (store, done) in done {
            let place = store.shown();
            match done {
                Done::Added => print(&format!("✓ {place}: added\n")),
                Done::WasThere => print(&format!("✓ {place}: was there already\n")),
                Done::Removed => print(&format!("✓ {place}: removed\n")),
                Done::WasNotThere => print(&format!("✓ {place}: was not there\n")),
                Done::NeedsRoot => say(&format!(
                    "✗ {place}: only root may change it\n  = try: {}",
                    as_root(ca, verb)
                )),
                Done::Failed(why) => say(&format!("✗ {place}: {why}")),
            }
        }
        if !done
            .iter()
            .any(|(store, _)| matches!(store, Store::System { .. }))
        {
            say("! no store of the system is known here: install ca-certificates");
        }
        let is_there = done
            .iter()
            .any(|(_, done)| matches!(done, Done::Added | Done::WasThere));
        if is_there {
            print(
                "another machine or a phone: `hotgate trust --print` prints what it has to install\n",
            );
        }
    }
    match (needs_root, has_failed || done.is_empty()) {
        (true, _) => Exit::Permission,
        (false, true) => Exit::Failed,
        (false, false) => Exit::Fine,
    }
}
