//! Those that are compared: the rivals, and hotgate in each of its ways.

use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use rustls::ClientConfig;

use super::certificate::{Certificate, NAME};
use super::client::Client;
use super::fault::Fault;
use super::process::{Folder, Process, free_address};
use super::programs::{Kind, Program};
use super::setups::{self, Setup, Sites, site_name};
use super::tls_client::{Negotiated, Tickets, config};
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
    /// What it shows, if it speaks TLS.
    pub(super) tls: Option<Certificate>,
    /// How it is spoken to then.
    asker: Option<Arc<ClientConfig>>,
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
        setup: Setup<'_>,
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
        let asker = setup.tls.map(config_of).transpose()?;
        let mut process = Process::start(&label, command, cores, folder)?;
        process.wait_ready(setup.listen)?;
        Ok(Running {
            name: self.name.clone(),
            address: setup.listen,
            process,
            config,
            tls: setup.tls.cloned(),
            asker,
        })
    }
}

impl Running {
    /// Connects to it as its clients do.
    ///
    /// # Errors
    ///
    /// As connect(2), or the handshake fails.
    pub(super) fn connect(&self) -> io::Result<Client> {
        match &self.asker {
            None => Client::connect(self.address),
            Some(config) => Client::connect_over_tls(self.address, config),
        }
    }

    /// Its name as clients say it, where it takes every host.
    pub(super) fn host(&self) -> String {
        match self.tls {
            None => self.address.to_string(),
            Some(_) => NAME.to_owned(),
        }
    }

    /// Asks it for what the load will ask for, looks at the answer, and says what a handshake with it came to.
    ///
    /// # Errors
    ///
    /// The answer is not the origin's.
    pub(super) fn check(&self, sites: Sites) -> Result<Option<Negotiated>, Fault> {
        let wrong = |why: String| Fault::Answer {
            name: self.name.clone(),
            why,
        };
        let host = match sites {
            Sites::Any => self.host(),
            Sites::Named(count) => site_name(count.saturating_sub(1)),
        };
        let asked = self.connect().and_then(|mut client| {
            let answer = client.ask(&host, "/")?;
            Ok((answer, client.negotiated()))
        });
        let (answer, negotiated) = asked.map_err(|error| wrong(error.to_string()))?;
        match (answer.status, answer.content.len()) {
            (200, 128) => Ok(negotiated),
            (status, octets) => Err(wrong(format!(
                "200 with 128 octets was expected, got {status} with {octets}"
            ))),
        }
    }
}

/// Of which two a ratio is made: each of ours beside each rival, and those of ours that pipeline beside those that do
/// not. Places in `contenders`, ours first.
pub(super) fn pairs(contenders: &[&Contender]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for (ours, contender) in contenders
        .iter()
        .enumerate()
        .filter(|(_, one)| one.is_ours())
    {
        for (theirs, rival) in contenders.iter().enumerate() {
            if !rival.is_ours() || (contender.pipelines() && theirs + 1 == ours) {
                pairs.push((ours, theirs));
            }
        }
    }
    pairs
}

/// A client of one connection: it has no use for tickets.
fn config_of(certificate: &Certificate) -> Result<Arc<ClientConfig>, Fault> {
    let doing = format!("reading {}", certificate.chain.display());
    config(&certificate.chain, Tickets::Dropped).map_err(Fault::while_doing(doing))
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn ours_are_compared_with_rivals_and_pipelining_with_none() {
        let program = Program {
            name: "nginx",
            path: PathBuf::new(),
            version: String::new(),
        };
        let rival = Contender {
            name: "nginx".to_owned(),
            what: What::Rival(Kind::Nginx, program),
        };
        let ours = |pipelines| Contender {
            name: "hotgate".to_owned(),
            what: What::Hotgate {
                backend: Backend::IoUring,
                pipelines,
            },
        };
        let (off, auto) = (ours(false), ours(true));
        assert_eq!(pairs(&[&rival, &off]), [(1, 0)]);
        assert_eq!(pairs(&[&rival, &off, &auto]), [(1, 0), (2, 0), (2, 1)]);
        assert_eq!(pairs(&[&rival, &rival, &off]), [(2, 0), (2, 1)]);
        assert!(pairs(&[&off]).is_empty());
    }
}
