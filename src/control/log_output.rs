//! Where access lines go: a file that can be rotated under us, or standard output.
//!
//! A write that fails costs lines and nothing else. They are counted, the failure is told once a second, and every
//! later batch tries again, so logging resumes by itself when the disk has room. Lines stay whole: when a line was
//! written in part, its rest is kept and goes first next time.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Used when the configuration names no file.
pub const DEFAULT_PATH: &str = "/var/log/hotgate/access.log";

/// Read and written by us, read by the group (`adm`), nothing to others: the log holds addresses of people.
const MODE: u32 = 0o640;

/// Pause between two messages about one failing output.
const MESSAGE_PAUSE: Duration = Duration::from_secs(1);

/// Where access lines go, as configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// [`DEFAULT_PATH`] if it can be opened, else standard output.
    Default,
    /// Standard output.
    Stdout,
    /// This file; made if it is not there, only ever appended to.
    File(PathBuf),
}

/// One open output.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    /// As shown in messages.
    name: String,
    /// The rest of a line whose beginning was written. Empty, or ends with a line feed.
    torn: Vec<u8>,
    /// Over all outputs of this log, for whoever asks.
    lines_lost: Arc<AtomicU64>,
    /// `Some` from a failed write to the next that succeeds.
    failing: Option<Failing>,
}

#[derive(Debug)]
struct Failing {
    /// Since the failure began.
    lines_lost: u64,
    message_at: Instant,
}

impl Output {
    /// Opens `place`. Lost lines are added to `lines_lost`.
    ///
    /// # Errors
    ///
    /// The file cannot be opened for appending; the message names it. Never for [`Place::Default`].
    pub(super) fn open(place: &Place, lines_lost: Arc<AtomicU64>) -> io::Result<Output> {
        let (file, name) = match place {
            Place::Default => open_or_stdout(Path::new(DEFAULT_PATH))?,
            Place::Stdout => stdout()?,
            Place::File(path) => open_file(path)?,
        };
        Ok(Output {
            file,
            name,
            torn: Vec::new(),
            lines_lost,
            failing: None,
        })
    }

    /// Opens `place` instead, also if it is the same path: after a rotation another file has the name.
    ///
    /// # Errors
    ///
    /// As for [`Output::open`]; then nothing has changed.
    pub(super) fn replace(&mut self, place: &Place) -> io::Result<()> {
        let mut next = Output::open(place, Arc::clone(&self.lines_lost))?;
        if is_same_file(&self.file, &next.file) {
            next.torn = std::mem::take(&mut self.torn);
        }
        next.failing = self.failing.take();
        *self = next;
        Ok(())
    }

    /// Writes whole lines, none too, after the rest of a line begun earlier. Never fails: what cannot be written is
    /// lost, counted, and told.
    pub(super) fn write(&mut self, lines: &[u8]) {
        debug_assert!(lines.last().is_none_or(|&last| last == b'\n'));
        if self.torn.is_empty() && lines.is_empty() {
            return;
        }
        let torn = std::mem::take(&mut self.torn);
        let (written, result) = write_all(&mut self.file, &torn);
        if let Err(error) = result {
            self.torn = torn[written..].to_vec();
            self.lose(count_lines(lines), &error);
            return;
        }
        let (written, result) = write_all(&mut self.file, lines);
        match result {
            Ok(()) => self.recover(),
            Err(error) => {
                let rest = &lines[written..];
                let begun = written > 0 && lines[written - 1] != b'\n';
                let torn = if begun { line_length(rest) } else { 0 };
                self.torn = rest[..torn].to_vec();
                self.lose(count_lines(&rest[torn..]), &error);
            }
        }
    }

    fn lose(&mut self, lines: u64, error: &io::Error) {
        self.lines_lost.fetch_add(lines, Ordering::Relaxed);
        let now = Instant::now();
        let failing = match &mut self.failing {
            Some(failing) => {
                failing.lines_lost += lines;
                if now.duration_since(failing.message_at) < MESSAGE_PAUSE {
                    return;
                }
                failing.message_at = now;
                failing
            }
            none => none.insert(Failing {
                lines_lost: lines,
                message_at: now,
            }),
        };
        tracing::warn!(
            "access log \"{}\": {error}; {} lines lost so far; requests are not affected",
            self.name,
            failing.lines_lost,
        );
    }

    fn recover(&mut self) {
        if let Some(failing) = self.failing.take() {
            tracing::warn!(
                "access log \"{}\": written again; {} lines were lost",
                self.name,
                failing.lines_lost,
            );
        }
    }
}

impl Drop for Output {
    /// A line that was begun and never finished counts as lost.
    fn drop(&mut self) {
        if !self.torn.is_empty() {
            self.lines_lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn open_file(path: &Path) -> io::Result<(File, String)> {
    let name = path.display().to_string();
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(MODE)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("access log \"{name}\": {error}")))?;
    Ok((file, name))
}

fn open_or_stdout(path: &Path) -> io::Result<(File, String)> {
    open_file(path).or_else(|error| {
        tracing::info!("{error}; access lines go to standard output");
        stdout()
    })
}

/// A descriptor of its own, because `io::Stdout` flushes at every line feed.
fn stdout() -> io::Result<(File, String)> {
    let descriptor = io::stdout().as_fd().try_clone_to_owned()?;
    Ok((File::from(descriptor), "stdout".to_owned()))
}

/// False if that cannot be known.
fn is_same_file(one: &File, other: &File) -> bool {
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

/// Writes until all is written or a write fails; says how many octets were, because `Write::write_all` does not.
fn write_all(file: &mut impl Write, octets: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < octets.len() {
        match file.write(&octets[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Octets up to the first line feed and with it.
fn line_length(octets: &[u8]) -> usize {
    octets
        .iter()
        .position(|&octet| octet == b'\n')
        .map_or(octets.len(), |end| end + 1)
}

fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|&&octet| octet == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A path that no other test has, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let name = format!("hotgate-log-output-{}-{name}", std::process::id());
            Scratch(std::env::temp_dir().join(name))
        }

        fn text(&self) -> String {
            fs::read_to_string(&self.0).expect("the file is there")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn open(path: &Path) -> (Output, Arc<AtomicU64>) {
        let lost = Arc::new(AtomicU64::new(0));
        let place = Place::File(path.to_owned());
        let output = Output::open(&place, Arc::clone(&lost)).expect("it opens");
        (output, lost)
    }

    /// An output into a socket that refuses instead of waiting: a disk that fills up and gets room again.
    fn small_disk() -> (Output, UnixStream, Arc<AtomicU64>) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        ours.set_nonblocking(true).expect("it is a socket");
        theirs.set_nonblocking(true).expect("it is a socket");
        let (mut output, lost) = open(Path::new("/dev/null"));
        output.file = File::from(OwnedFd::from(ours));
        (output, theirs, lost)
    }

    fn read_all(stream: &mut UnixStream, into: &mut Vec<u8>) {
        let error = stream.read_to_end(into).expect_err("the other end is open");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_file_is_made_with_its_mode_and_appended_to() {
        let scratch = Scratch::new("append");
        for line in ["one\n", "two\n"] {
            let (mut output, lost) = open(&scratch.0);
            output.write(line.as_bytes());
            assert_eq!(lost.load(Ordering::Relaxed), 0);
        }
        assert_eq!(scratch.text(), "one\ntwo\n");
        let mode = fs::metadata(&scratch.0).expect("it is there").mode();
        assert_eq!(mode & 0o137, 0, "others may nothing, the group may read");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let place = Place::File("/nonexistent/access.log".into());
        let error = Output::open(&place, Arc::default()).expect_err("there is no such folder");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("\"/nonexistent/access.log\""));
    }

    #[test]
    fn the_default_is_standard_output_where_its_file_cannot_be() {
        let (_, name) = open_or_stdout(Path::new("/nonexistent/access.log")).expect("stdout");
        assert_eq!(name, "stdout");
        let scratch = Scratch::new("default");
        let (_, name) = open_or_stdout(&scratch.0).expect("the file");
        assert_eq!(name, scratch.0.display().to_string());
    }

    #[test]
    fn a_full_disk_costs_lines_that_are_counted() {
        let (mut output, lost) = open(Path::new("/dev/full"));
        output.write(b"one\ntwo\n");
        output.write(b"three\n");
        output.write(b"");
        assert_eq!(lost.load(Ordering::Relaxed), 3);
        assert_eq!(output.failing.as_ref().map(|f| f.lines_lost), Some(3));

        let scratch = Scratch::new("full");
        let place = Place::File(scratch.0.clone());
        output.replace(&place).expect("it opens");
        output.write(b"four\n");
        assert!(output.failing.is_none());
        assert_eq!(scratch.text(), "four\n");
        assert_eq!(lost.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn lines_stay_whole_while_a_disk_fills_up_and_empties_again() {
        let (mut output, mut disk, lost) = small_disk();
        let mut shown = Vec::new();
        let mut total = 0;
        for round in 0..4 {
            // More than a socket holds, in lines of all lengths.
            let lines: Vec<u8> = (0..4000)
                .flat_map(|i| format!("{round}:{i}:{}\n", "x".repeat(i % 701)).into_bytes())
                .collect();
            output.write(&lines);
            output.write(b"lost\n");
            total += 4001;
            assert!(output.failing.is_some());
            read_all(&mut disk, &mut shown);
        }
        output.write(b"end\n");
        assert!(output.failing.is_none(), "it resumes by itself");
        read_all(&mut disk, &mut shown);
        drop(output);

        let text = String::from_utf8(shown).expect("whole lines are text");
        assert!(text.ends_with("\nend\n"));
        for line in text.lines().filter(|&line| line != "end") {
            let mut parts = line.split(':').skip(1);
            let length: usize = parts.next().expect("i").parse().expect("a number");
            assert_eq!(parts.next().map(str::len), Some(length % 701));
        }
        let shown = text.lines().count() as u64 - 1;
        assert_eq!(shown + lost.load(Ordering::Relaxed), total);
    }

    #[test]
    fn the_rest_of_a_line_follows_its_beginning_and_nothing_else() {
        let scratch = Scratch::new("torn");
        let (mut output, lost) = open(&scratch.0);
        output.torn = b"rest\n".to_vec();
        let place = Place::File(scratch.0.clone());
        output.replace(&place).expect("it opens");
        output.write(b"next\n");
        assert_eq!(scratch.text(), "rest\nnext\n", "the same file");

        output.torn = b"rest\n".to_vec();
        fs::remove_file(&scratch.0).expect("it is there");
        output.replace(&place).expect("it opens");
        output.write(b"next\n");
        assert_eq!(scratch.text(), "next\n", "another file");
        assert_eq!(lost.load(Ordering::Relaxed), 1);
    }
}
