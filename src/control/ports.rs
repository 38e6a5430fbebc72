//! Listening sockets at start: each port bound once alone, to see whether it is free, then once for each worker.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::config::ListenAddress;
use crate::net::listener::{bind, wildcard};

/// A listener's sockets: one for each worker, all of one SO_REUSEPORT group. The control thread keeps them for the
/// life of the process, and workers get duplicates, so that a worker that ends never closes the queue.
pub struct Bound {
    /// The address as bound: with the port that the system chose, where the file says 0.
    pub address: SocketAddr,
    /// One for each worker.
    pub sockets: Vec<TcpListener>,
}

/// Why a port could not be had.
#[derive(Debug)]
pub struct BindError {
    /// As written in the configuration.
    pub wanted: ListenAddress,
    /// What the system said.
    pub error: io::Error,
    /// Who has it.
    pub holder: Option<Holder>,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindError {
            wanted,
            error,
            holder,
        } = self;
        match (error.kind(), holder) {
            (io::ErrorKind::AddrInUse, Some(holder)) => {
                write!(
                    f,
                    "cannot listen on {wanted}: {holder} has the port; stop it, or choose another"
                )
            }
            (io::ErrorKind::AddrInUse, None) => {
                write!(
                    f,
                    "cannot listen on {wanted}: the port is in use; `ss -ltnp` as root says by whom"
                )
            }
            (io::ErrorKind::PermissionDenied, _) => write!(
                f,
                "cannot listen on {wanted}: ports below 1024 need CAP_NET_BIND_SERVICE; run it as a service or with sudo"
            ),
            (_, _) => write!(f, "cannot listen on {wanted}: {error}"),
        }
    }
}

impl std::error::Error for BindError {}

/// Binds a listener for `workers` workers.
///
/// # Errors
///
/// The port is in use by anybody, or the system does not give it to us.
pub fn bind_for(wanted: ListenAddress, workers: usize) -> Result<Bound, BindError> {
    let result = match wanted {
        ListenAddress::Address(address) => bind_group(address, workers),
        ListenAddress::Any { port } => match bind_group(wildcard(port, true), workers) {
            // No IPv6 on this machine.
            Err(error) if is_without_ipv6(&error) => bind_group(wildcard(port, false), workers),
            other => other,
        },
    };
    result.map_err(|error| {
        let in_use = error.kind() == io::ErrorKind::AddrInUse;
        let holder = in_use.then(|| holder_of(&wanted)).flatten();
        BindError {
            wanted,
            error,
            holder,
        }
    })
}

/// How long a port that nobody seems to hold is waited for, and how often it is tried.
const RELEASE_WAIT: Duration = Duration::from_secs(3);
const RELEASE_PAUSE: Duration = Duration::from_millis(50);

/// As [`bind_for`], and waits for a port that no process holds any more: the kernel takes a ring apart some time after
/// its process has ended, and an accept that was armed on it keeps the socket until then. Without the wait a service
/// that is started again at once would find its own ports in use.
///
/// # Errors
///
/// As [`bind_for`].
pub async fn bind_when_free(wanted: ListenAddress, workers: usize) -> Result<Bound, BindError> {
    let deadline = Instant::now() + RELEASE_WAIT;
    loop {
        match bind_for(wanted, workers) {
            Err(refused)
                if refused.error.kind() == io::ErrorKind::AddrInUse
                    && refused.holder.is_none()
                    && Instant::now() < deadline =>
            {
                sleep(RELEASE_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

fn is_without_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
    )
}

fn bind_group(address: SocketAddr, workers: usize) -> io::Result<Bound> {
    let is_dual_stack = address.ip() == IpAddr::from([0u16; 8]);
    // Alone first: with SO_REUSEPORT a second hotgate would join the group of the first and take half of its clients.
    drop(bind(address, is_dual_stack, false)?);
    let first = bind(address, is_dual_stack, true)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(bind(address, is_dual_stack, true)?);
    }
    Ok(Bound { address, sockets })
}

/// A process that listens on a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its name, as the kernel keeps it.
    pub name: String,
    /// The systemd unit that it belongs to.
    pub unit: Option<String>,
}

impl Holder {
    /// Is it a hotgate that serves?
    pub fn is_hotgate(&self) -> bool {
        self.name == "hotgate" || self.unit.as_deref() == Some("hotgate.service")
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// Who listens on this TCP port, as far as we may know: other users' processes are hidden from plain users.
pub fn holder_of(wanted: &ListenAddress) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inodes: Vec<String> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, wanted))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find_map(|pid| {
        let mut descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        let holds = descriptors.any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|link| {
                inodes
                    .iter()
                    .any(|inode| link.as_os_str() == inode.as_str())
            })
        });
        let name = || {
            fs::read_to_string(format!("/proc/{pid}/comm"))
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        holds.then(|| Holder {
            pid,
            name: name(),
            unit: fs::read_to_string(format!("/proc/{pid}/cgroup"))
                .ok()
                .and_then(|groups| unit_of(&groups)),
        })
    })
}

/// The service in a file like /proc/PID/cgroup: `0::/system.slice/nginx.service`.
fn unit_of(groups: &str) -> Option<String> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let unit = path.rsplit('/').find(|part| part.ends_with(".service"))?;
    // A user's own manager is no unit that could be stopped for this.
    (!unit.starts_with("user@")).then(|| unit.to_owned())
}

/// The inodes of sockets that listen where `wanted` would, from a table like /proc/net/tcp.
fn listening_inodes(table: &str, wanted: &ListenAddress) -> Vec<u64> {
    const LISTEN: &str = "0A";
    let inode_of = |line: &str| {
        let mut columns = line.split_whitespace();
        let (local, state) = (columns.nth(1)?, columns.nth(1)?);
        let inode = columns.nth(5)?;
        let local = local_address(local)?;
        let is_in_the_way = match wanted {
            ListenAddress::Any { port } => local.port() == *port,
            ListenAddress::Address(address) => {
                let (ours, theirs) = (address.ip().to_canonical(), local.ip().to_canonical());
                local.port() == address.port()
                    && (ours == theirs || ours.is_unspecified() || theirs.is_unspecified())
            }
        };
        (is_in_the_way && state == LISTEN)
            .then(|| inode.parse().ok())
            .flatten()
    };
    table.lines().skip(1).filter_map(inode_of).collect()
}

/// `0100007F:1F90` is 127.0.0.1:8080: words of 32 bits in the machine's order, the port in its own.
fn local_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        Some(
            u32::from_str_radix(ip.get(at..at + 8)?, 16)
                .ok()?
                .to_ne_bytes(),
        )
    };
    let ip = match ip.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let mut octets = [0u8; 16];
            for (index, four) in octets.chunks_mut(4).enumerate() {
                four.copy_from_slice(&word(index * 8)?);
            }
            IpAddr::from(octets)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000     0        0 4343 1 0 100 0 0 10 0
   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4444 1 0 100 0 0 10 0
";

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        #[track_caller]
        fn check(wanted: &str, inodes: &[u64]) {
            let wanted = match wanted.strip_prefix(':') {
                Some(port) => ListenAddress::Any {
                    port: port.parse().expect("a port"),
                },
                None => ListenAddress::Address(wanted.parse().expect("an address")),
            };
            assert_eq!(listening_inodes(TABLE, &wanted), inodes, "{wanted}");
        }
        check(":8080", &[4242]);
        check("127.0.0.1:8080", &[4242]);
        check("0.0.0.0:8080", &[4242]);
        check("[::]:8080", &[4242]);
        check("192.0.2.1:8080", &[]);
        check(":80", &[4444]);
        check("192.0.2.1:80", &[4444]);
        check(":81", &[]);
    }

    #[test]
    fn units_of_control_groups() {
        for (groups, unit) in [
            ("0::/system.slice/nginx.service\n", Some("nginx.service")),
            (
                "0::/system.slice/docker.service/x\n",
                Some("docker.service"),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope\n",
                None,
            ),
            ("0::/init.scope\n", None),
            ("1:name=systemd:/system.slice/a.service\n", None),
        ] {
            assert_eq!(unit_of(groups).as_deref(), unit, "{groups}");
        }
    }

    #[test]
    fn a_port_in_use_is_seen_and_its_holder_named() {
        let held = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = held.local_addr().expect("bound");
        let Err(refused) = bind_for(ListenAddress::Address(address), 2) else {
            panic!("bound a port that is in use")
        };
        assert_eq!(refused.error.kind(), io::ErrorKind::AddrInUse);
        let holder = refused.holder.as_ref().expect("our own process");
        assert_eq!(holder.pid, std::process::id());
        assert!(
            refused
                .to_string()
                .contains(&format!("(pid {})", holder.pid))
        );
    }

    #[test]
    fn every_worker_gets_a_socket_of_the_same_port() {
        let bound =
            bind_for(ListenAddress::Address(([127, 0, 0, 1], 0).into()), 3).expect("a free port");
        assert_eq!(bound.sockets.len(), 3);
        for socket in &bound.sockets {
            assert_eq!(socket.local_addr().expect("bound"), bound.address);
        }
    }
}
