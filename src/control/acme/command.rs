//! Commands of the operator's: run by `sh -c`, told by environment, ended when they take too long.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::failure::shown;

/// As much of a command's output as is read. The rest is thrown away, so that the command can go on.
const OUTPUT_BYTES_MAX: usize = 4 << 10;

/// Why a command did not do what it should.
#[derive(Clone, PartialEq, Debug)]
pub enum CommandFault {
    /// It could not be started; why, in words.
    NotStarted(String),
    /// It ended otherwise than with 0.
    Failed {
        /// `exit status: 1`, `signal: 9 (SIGKILL)`.
        status: String,
        /// The last line that it wrote.
        said: String,
    },
    /// It took longer, and was ended.
    Late(Duration),
}

impl fmt::Display for CommandFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandFault::NotStarted(why) => write!(f, "it could not be started: {why}"),
            CommandFault::Failed { status, said } if said.is_empty() => f.write_str(status),
            CommandFault::Failed { status, said } => write!(f, "{status}: {said}"),
            CommandFault::Late(limit) => {
                write!(f, "it took longer than {} s and was ended", limit.as_secs())
            }
        }
    }
}

/// Runs a command line to its end, with these variables beside our own environment.
///
/// # Errors
///
/// [`CommandFault`]. **Cancellation**: it is ended, with all that it started in its process group.
pub async fn run(
    line: &str,
    environment: &[(&str, &str)],
    limit: Duration,
) -> Result<(), CommandFault> {
    let spawned = Command::new("/bin/sh")
        .arg("-c")
        .arg(line)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let child = spawned.map_err(|error| CommandFault::NotStarted(error.to_string()))?;
    let mut group = Group { child };
    let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
    let whole = async {
        let (out, err) = tokio::join!(last_line(stdout), last_line(stderr));
        let status = group.child.wait().await;
        (status, if err.is_empty() { out } else { err })
    };
    match timeout(limit, whole).await {
        Ok((Ok(status), _)) if status.success() => Ok(()),
        Ok((Ok(status), said)) => Err(CommandFault::Failed {
            status: status.to_string(),
            said,
        }),
        Ok((Err(error), _)) => Err(CommandFault::NotStarted(error.to_string())),
        Err(_) => Err(CommandFault::Late(limit)),
    }
}

/// A process with its group, which ends when this is dropped.
struct Group {
    child: Child,
}

impl Drop for Group {
    fn drop(&mut self) {
        // No id: it has ended and was waited for.
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn last_line(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else {
        return String::new();
    };
    let (mut kept, mut piece) = (Vec::new(), [0; 1024]);
    loop {
        match pipe.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                kept.extend_from_slice(&piece[..length]);
                let surplus = kept.len().saturating_sub(OUTPUT_BYTES_MAX);
                kept.drain(..surplus);
            }
        }
    }
    let text = String::from_utf8_lossy(&kept);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    shown(last.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_command_is_told_by_its_environment_and_tells_by_its_end() {
        for (line, expected) in [
            ("test \"$HOTGATE_NAME\" = a.test", ""),
            ("exit 3", "exit status: 3"),
            ("echo first; echo last; exit 1", "exit status: 1: last"),
            ("echo out; echo err >&2; exit 1", "exit status: 1: err"),
            ("kill -9 $$", "signal: 9 (SIGKILL)"),
            (
                "head -c 100000 /dev/zero | tr '\\0' x; exit 1",
                "exit status: 1: xxx",
            ),
        ] {
            let result = run(line, &[("HOTGATE_NAME", "a.test")], LIMIT).await;
            let found = result
                .err()
                .map_or(String::new(), |fault| fault.to_string());
            assert!(
                found.starts_with(expected) && found.is_empty() == expected.is_empty(),
                "{line}: {found}"
            );
        }
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_is_ended_with_all_that_it_started() {
        let file = std::env::temp_dir().join(format!("hotgate-command-{}", std::process::id()));
        let _ = std::fs::remove_file(&file);
        let path = file.display();
        // The shell's child would write the file after the shell is gone.
        let line = format!("(sleep 3; echo late > {path}) & echo $! > {path}.pid; wait");
        let result = run(&line, &[], Duration::from_millis(500)).await;
        assert_eq!(result, Err(CommandFault::Late(Duration::from_millis(500))));
        let pid_file = format!("{path}.pid");
        let pid = std::fs::read_to_string(&pid_file).expect("it was started");
        let stat = format!("/proc/{}/stat", pid.trim());
        let deadline = std::time::Instant::now() + LIMIT;
        let is_gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        while !is_gone() {
            assert!(std::time::Instant::now() < deadline, "it is still there");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!file.exists());
        std::fs::remove_file(pid_file).expect("ours");
    }
}
