//! Processes that `bench` starts: on their cores, in a folder of their own, and all ended when it ends.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::account::family;
use super::cores::pin;
use super::fault::Fault;

/// How long a process may take until it accepts connections: a proxy reads ten thousand sites in that time.
const START_MAX: Duration = Duration::from_secs(60);
/// How long one may take to end before it is killed.
const END_MAX: Duration = Duration::from_secs(5);
/// Between two looks at something that offers no event.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The port that says that a `bench` is running.
const TURN_PORT: u16 = 21_899;
/// How long another `bench` is waited for: longer than one of everything takes.
const TURN_MAX: Duration = Duration::from_secs(2 * 3600);
const TURN_INTERVAL: Duration = Duration::from_millis(200);
/// The first port that is tried: below those that the kernel gives to outgoing connections.
const FIRST_PORT: u16 = 21_900;
const LAST_PORT: u16 = 31_900;
/// Lines of a process's own words that a message quotes.
const SAID_LINES_MAX: usize = 8;

/// Those that run, for [`end_all`].
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A folder for configurations and logs that goes when it is dropped.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes one that only this user may enter.
    ///
    /// # Errors
    ///
    /// As mkdir(2).
    pub(super) fn new() -> Result<Folder, Fault> {
        Folder::at(format!("hotgate-bench-{}", std::process::id()))
    }

    /// One for a test, which shares its process with others.
    #[cfg(test)]
    pub(super) fn of_test(name: &str) -> Folder {
        let made = Folder::at(format!("hotgate-bench-{}-{name}", std::process::id()));
        made.expect("the folder for temporary files can be written to")
    }

    fn at(name: String) -> Result<Folder, Fault> {
        let path = std::env::temp_dir().join(name);
        let doing = format!("making the folder {}", path.display());
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(Fault::while_doing(doing))?;
        Ok(Folder { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file into it and returns its path.
    ///
    /// # Errors
    ///
    /// As open(2) and write(2).
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Fault> {
        let path = self.path.join(name);
        fs::write(&path, text)
            .map_err(Fault::while_doing(format!("writing {}", path.display())))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It lies in the folder for temporary files: what cannot be removed goes with the rest.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A running process, ended on drop with all that it started.
pub(super) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` on these cores, its words in a log of that name.
    ///
    /// # Errors
    ///
    /// The program cannot be started.
    pub(super) fn start(
        name: &str,
        mut command: Command,
        cores: &[usize],
        folder: &Folder,
    ) -> Result<Process, Fault> {
        let log = folder.path.join(format!("{name}.log"));
        let doing = format!("starting {name}");
        let words = File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
        let (out, err) = words.map_err(Fault::while_doing(doing.clone()))?;
        command
            .current_dir(&folder.path)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        let child = spawn_on(&mut command, cores).map_err(Fault::while_doing(doing))?;
        Ok(Process {
            name: name.to_owned(),
            child,
            log,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it accepts connections at `address`.
    ///
    /// # Errors
    ///
    /// It has ended, or takes too long.
    pub(super) fn wait_ready(&mut self, address: SocketAddr) -> Result<(), Fault> {
        let began = Instant::now();
        loop {
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.not_serving(format!("it ended with {status}")));
            }
            if began.elapsed() > START_MAX {
                let why = format!(
                    "nothing listens on {address} after {} s",
                    START_MAX.as_secs()
                );
                return Err(self.not_serving(why));
            }
            pause(LOOK_INTERVAL);
        }
    }

    fn not_serving(&self, why: String) -> Fault {
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let last = &lines[lines.len().saturating_sub(SAID_LINES_MAX)..];
        Fault::NotServing {
            name: self.name.clone(),
            why,
            said: last.join("\n"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let family = family(self.pid());
        signal(self.pid(), Signal::TERM);
        let began = Instant::now();
        while began.elapsed() < END_MAX {
            if let Ok(Some(_)) = self.child.try_wait() {
                break;
            }
            pause(LOOK_INTERVAL);
        }
        if let Ok(None) = self.child.try_wait() {
            // With its children, which a killed parent would leave behind. None of them has been waited for by us,
            // so that their numbers are still theirs or nobody's.
            family.into_iter().for_each(|pid| signal(pid, Signal::KILL));
            let _ = self.child.wait();
        }
        forget(self.pid());
    }
}

/// Runs a command on these cores to its end, which is to come within `limit`.
///
/// # Errors
///
/// It cannot be started, fails, or does not end.
pub(super) fn output(
    program: &'static str,
    mut command: Command,
    cores: &[usize],
    limit: Duration,
) -> Result<String, Fault> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let failed = |why: String| Fault::Load { program, why };
    let mut child =
        spawn_on(&mut command, cores).map_err(Fault::while_doing(format!("starting {program}")))?;
    let pid = child.id();
    let began = Instant::now();
    // What it prints fits into a pipe: it does not wait for us to read.
    while let Ok(None) = child.try_wait() {
        if began.elapsed() > limit {
            signal(pid, Signal::KILL);
        }
        pause(LOOK_INTERVAL);
    }
    forget(pid);
    let output = child
        .wait_with_output()
        .map_err(Fault::while_doing(format!("reading from {program}")))?;
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(failed(format!(
            "{} ({})",
            text(&output.stderr),
            output.status
        ))),
    }
}

/// Ends whatever runs, removes `folder`, and ends this process with 1.
///
/// The list stays locked to the end, so that nothing can be started that is not on it.
pub(super) fn end_all(folder: &Path) -> ! {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let began = Instant::now();
    // A proxy that lets connections finish is told a second time that there is no time for that.
    for _ in 0..2 {
        running.iter().for_each(|pid| signal(*pid, Signal::TERM));
        let until = began.elapsed() + END_MAX / 2;
        while began.elapsed() < until && !running.is_empty() {
            running.retain(|pid| !has_ended(*pid));
            pause(LOOK_INTERVAL);
        }
    }
    let families = running.iter().flat_map(|pid| family(*pid));
    families.for_each(|pid| signal(pid, Signal::KILL));
    // It lies among the temporary files: what cannot be removed goes with the rest.
    let _ = fs::remove_dir_all(folder);
    std::process::exit(1);
}

/// Has a child of ours ended, or has somebody else seen to it already?
fn has_ended(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_none_or(|pid| !matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None)))
}

/// The right to measure, held by one process of a machine at a time.
pub(super) struct Turn {
    _held: TcpListener,
}

impl Turn {
    /// Waits until no other `bench` runs: two at once would measure each other. `tell` hears of it if one does.
    ///
    /// # Errors
    ///
    /// It takes longer than [`TURN_MAX`].
    pub(super) fn wait(tell: impl FnOnce(SocketAddr)) -> Result<Turn, Fault> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, TURN_PORT));
        let (began, mut tell) = (Instant::now(), Some(tell));
        loop {
            // A port and no file: it is free again however its holder ends, and belongs to no user's folder.
            let error = match TcpListener::bind(address) {
                Ok(held) => return Ok(Turn { _held: held }),
                Err(error) => error,
            };
            if error.kind() != io::ErrorKind::AddrInUse || began.elapsed() > TURN_MAX {
                let doing = format!("waiting for the end of another hotgate bench, at {address}");
                return Err(Fault::System { doing, error });
            }
            if let Some(tell) = tell.take() {
                tell(address);
            }
            pause(TURN_INTERVAL);
        }
    }
}

/// A port of 127.0.0.1 that nobody listens on, another one each time.
///
/// # Errors
///
/// All are taken.
pub(super) fn free_address() -> Result<SocketAddr, Fault> {
    static NEXT: AtomicU16 = AtomicU16::new(FIRST_PORT);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if port > LAST_PORT {
            return Err(Fault::System {
                doing: "looking for a free port".to_owned(),
                error: io::ErrorKind::AddrInUse.into(),
            });
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
}

/// Lets time pass.
pub(super) fn pause(duration: Duration) {
    let end = Instant::now() + duration;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}

/// Starts a command from a thread that is kept on these cores, so that the child never runs on others.
fn spawn_on(command: &mut Command, cores: &[usize]) -> io::Result<Child> {
    // Locked before it is started: [`end_all`] must know of it or forbid it.
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let started = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            pin(cores)?;
            command.spawn()
        });
        thread.join()
    });
    let child = started.map_err(|_| io::Error::other("the thread that starts it has died"))??;
    running.push(child.id());
    Ok(child)
}

fn forget(pid: u32) {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.retain(|running| *running != pid);
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // One that has ended needs none.
        let _ = kill_process(pid, signal);
    }
}
