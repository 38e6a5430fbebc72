//! Those that are compared: the rivals, and hotgate in each of its ways.

use std::net::SocketAddr;
use std::process::Command;

use super::client::Client;
use super::fault::Fault;
use super::process::{Folder, Process, free_address};
use super::programs::{Kind, Program};
use super::setups::{self, Setup, Sites, site_name};
use crate::config::Backend;

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Contender {
    /// What it is called in tables; no two are called alike.
    pub(super) name: String,
    /// What it is.
    pub(super) what: What,
}

/// What a contender is.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// Another proxy.
    Rival(Kind, Program),
    /// This binary.
    Hotgate {
        /// What its workers run on.
        backend: Backend,
        /// Does it send several requests on one connection at once?
        pipelines: bool,
    },
}

/// A contender that serves.
pub(super) struct Running {
    /// Its name in tables.
    pub(super) name: String,
    /// Where.
    pub(super) address: SocketAddr,
    /// The process; its children are its own.
    pub(super) process: Process,
    /// How it was set up.
    pub(super) config: String,
}

impl Contender {
    /// Is it hotgate?
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.what, What::Hotgate { .. })
    }

    /// Does it pipeline?
    pub(super) fn pipelines(&self) -> bool {
        matches!(
            self.what,
            What::Hotgate {
                pipelines: true,
                ..
            }
        )
    }

    /// Starts it on these cores in front of `setup.origin`, at an address of its own, and waits until it accepts.
    ///
    /// # Errors
    ///
    /// It does not get so far.
    pub(super) fn start(
        &self,
        setup: Setup,
        cores: &[usize],
        folder: &Folder,
    ) -> Result<Running, Fault> {
        let setup = Setup {
            listen: free_address()?,
            ..setup
        };
        let label = format!("{}-{}", self.name, setup.listen.port());
        let (command, config) = match &self.what {
            What::Rival(Kind::Nginx, program) => {
                let is_root = rustix::process::geteuid().is_root();
                let text = setups::nginx(&setup, folder.path(), &program.version, is_root);
                let file = folder.write(&format!("{label}.conf"), &text)?;
                let mut command = Command::new(&program.path);
                command.arg("-p").arg(folder.path()).arg("-c").arg(file);
                (command, text)
            }
            What::Rival(Kind::Haproxy, program) => {
                let map = match setup.sites {
                    Sites::Any => folder.path().join("map"),
                    Sites::Named(count) => {
                        folder.write(&format!("{label}.map"), &setups::haproxy_map(count))?
                    }
                };
                let text = setups::haproxy(&setup, &map);
                let file = folder.write(&format!("{label}.cfg"), &text)?;
                let mut command = Command::new(&program.path);
                command.arg("-db").arg("-f").arg(file);
                (command, text)
            }
            What::Hotgate { backend, pipelines } => {
                let text = setups::hotgate(&setup, *backend, *pipelines);
                let file = folder.write(&format!("{label}.toml"), &text)?;
                let mut command = ourselves()?;
                command.arg("run").arg("--strict").arg("-c").arg(file);
                // Its copies of good files stay in this folder, and no service manager hears of it.
                command.env("STATE_DIRECTORY", folder.path());
                command.env_remove("NOTIFY_SOCKET");
                (command, text)
            }
        };
        let mut process = Process::start(&label, command, cores, folder)?;
        process.wait_ready(setup.listen)?;
        Ok(Running {
            name: self.name.clone(),
            address: setup.listen,
            process,
            config,
        })
    }
}

impl Running {
    /// Asks it for what the load will ask for, and looks at the answer.
    ///
    /// # Errors
    ///
    /// The answer is not the origin's.
    pub(super) fn check(&self, sites: Sites) -> Result<(), Fault> {
        let wrong = |why: String| Fault::Answer {
            name: self.name.clone(),
            why,
        };
        let host = match sites {
            Sites::Any => self.address.to_string(),
            Sites::Named(count) => site_name(count.saturating_sub(1)),
        };
        let answer = Client::connect(self.address).and_then(|mut client| client.ask(&host, "/"));
        let answer = answer.map_err(|error| wrong(error.to_string()))?;
        match (answer.status, answer.content.len()) {
            (200, 128) => Ok(()),
            (status, octets) => Err(wrong(format!(
                "200 with 128 octets was expected, got {status} with {octets}"
            ))),
        }
    }
}

/// The command that runs this binary.
///
/// # Errors
///
/// The kernel does not say which file that is.
pub(super) fn ourselves() -> Result<Command, Fault> {
    let path = std::env::current_exe().map_err(Fault::while_doing("looking for this binary"))?;
    Ok(Command::new(path))
}

/// Starts an origin with so many threads.
///
/// # Errors
///
/// It does not get as far as to accept.
pub(super) fn start_origin(
    threads: usize,
    cores: &[usize],
    folder: &Folder,
) -> Result<(Process, SocketAddr), Fault> {
    let address = free_address()?;
    let mut command = ourselves()?;
    command
        .arg("bench-origin")
        .arg("--listen")
        .arg(address.to_string());
    command.arg("--threads").arg(threads.to_string());
    let mut process = Process::start(
        &format!("origin-{}", address.port()),
        command,
        cores,
        folder,
    )?;
    process.wait_ready(address)?;
    Ok((process, address))
}
