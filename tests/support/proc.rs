//! What `/proc` tells of another process: its memory, its rings, its wake-ups, its sockets' queues.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Memory that belongs to the process alone and was written to, in KiB.
pub fn private_dirty_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .expect("smaps_rollup of a running child");
    number_after(&text, "Private_Dirty:").expect("smaps_rollup has Private_Dirty")
}

/// Completions that the process's rings have delivered since they were made, all rings together (modulo 2^32
/// each); `None` when it has no ring.
pub fn ring_completions(pid: u32) -> Option<u64> {
    let mut sum = None;
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("fd folder of a running child")
        .flatten()
    {
        let is_ring = fs::read_link(entry.path())
            .is_ok_and(|target| target.to_string_lossy().contains("io_uring"));
        if !is_ring {
            continue;
        }
        let info = format!("/proc/{pid}/fdinfo/{}", entry.file_name().to_string_lossy());
        let text = fs::read_to_string(info).expect("fdinfo of an open ring");
        let tail = number_after(&text, "CqTail:").expect("fdinfo of a ring has CqTail");
        sum = Some(sum.unwrap_or(0) + tail);
    }
    sum
}

/// Connections that the process has parked: what its epoll descriptors watch for one event alone (`proc(5)`, fdinfo).
pub fn parked(pid: u32) -> usize {
    const EPOLLIN: u64 = 1;
    const EPOLLONESHOT: u64 = 1 << 30;
    let folder = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("fdinfo of a running child");
    let mut seen = Vec::new();
    for entry in folder.flatten() {
        // One that is closed in the meantime counts for nothing.
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let is_armed = |line: &&str| {
            let events = line.split_once("events:").map(|(_, rest)| rest.trim());
            let events = events.and_then(|rest| rest.split_ascii_whitespace().next());
            let events = events.and_then(|word| u64::from_str_radix(word, 16).ok());
            // Once it has been told of, the kernel takes all of them away but the flag.
            events.is_some_and(|bits| bits & EPOLLONESHOT != 0 && bits & EPOLLIN != 0)
        };
        let watched = text.lines().filter(|line| line.starts_with("tfd:"));
        seen.extend(watched.filter(is_armed).map(str::to_owned));
    }
    // A gate has two descriptors, which tell the same.
    seen.sort_unstable();
    seen.dedup();
    seen.len()
}

/// One thread of a process.
pub struct Task {
    /// The kernel's name for it (at most 15 octets).
    pub name: String,
    /// Its thread id.
    pub id: u32,
    /// How often it went to sleep of its own accord: once per wake-up.
    pub voluntary_switches: u64,
}

/// All threads of the process.
pub fn tasks(pid: u32) -> Vec<Task> {
    let mut tasks = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))
        .expect("task folder of a running child")
        .flatten()
    {
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else {
            continue;
        };
        let name = status
            .lines()
            .find_map(|line| line.strip_prefix("Name:"))
            .unwrap_or("")
            .trim()
            .to_owned();
        tasks.push(Task {
            name,
            id: entry
                .file_name()
                .to_string_lossy()
                .parse()
                .expect("a task's folder is its number"),
            voluntary_switches: number_after(&status, "voluntary_ctxt_switches:")
                .expect("status counts switches"),
        });
    }
    tasks
}

/// Asks the kernel how much of what was sent to a socket its process has not read yet (`sock_diag(7)`, one exact
/// look-up: `/proc/net/tcp` lists thousands of connections of finished tests).
pub struct SocketQueues(Option<Socket>);

impl SocketQueues {
    /// Opens the way to ask; where there is none, everything counts as read.
    pub fn open() -> SocketQueues {
        const AF_NETLINK: i32 = 16;
        const NETLINK_SOCK_DIAG: i32 = 4;
        SocketQueues(
            Socket::new(
                Domain::from(AF_NETLINK),
                Type::RAW,
                Some(Protocol::from(NETLINK_SOCK_DIAG)),
            )
            .ok(),
        )
    }

    /// Has the process at `local` read all that its peer `remote` has sent on this TCP connection?
    ///
    /// True also where that cannot be told (IPv6, no such connection any more).
    pub fn is_read(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.unread(local, remote).is_none_or(|octets| octets == 0)
    }

    fn unread(&self, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
        /// Of `nlmsghdr` + `inet_diag_req_v2`.
        const REQUEST_BYTES: usize = 72;
        /// Where `idiag_rqueue` stands in `nlmsghdr` + `inet_diag_msg`.
        const RECEIVE_QUEUE: usize = 72;
        const SOCK_DIAG_BY_FAMILY: u16 = 20;
        let (IpAddr::V4(local_ip), IpAddr::V4(remote_ip)) = (local.ip(), remote.ip()) else {
            return None;
        };
        let mut request = [0; REQUEST_BYTES];
        request[0..4].copy_from_slice(&72_u32.to_ne_bytes());
        request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        request[6..8].copy_from_slice(&1_u16.to_ne_bytes()); // NLM_F_REQUEST: one answer, no list
        request[16] = 2; // AF_INET
        request[17] = 6; // IPPROTO_TCP
        request[20..24].fill(0xff); // in any state
        request[24..26].copy_from_slice(&local.port().to_be_bytes());
        request[26..28].copy_from_slice(&remote.port().to_be_bytes());
        request[28..32].copy_from_slice(&local_ip.octets());
        request[44..48].copy_from_slice(&remote_ip.octets());
        request[64..72].fill(0xff); // whatever its cookie
        let mut socket = self.0.as_ref()?;
        socket.write_all(&request).ok()?;
        let mut answer = [0; 1024];
        let length = socket.read(&mut answer).ok()?;
        let is_found =
            length >= RECEIVE_QUEUE + 4 && answer[4..6] == SOCK_DIAG_BY_FAMILY.to_ne_bytes();
        let octets: [u8; 4] = answer[RECEIVE_QUEUE..RECEIVE_QUEUE + 4].try_into().ok()?;
        is_found.then(|| u32::from_ne_bytes(octets))
    }
}

/// The first number behind `label` at the start of a line.
fn number_after(text: &str, label: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(label))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}
