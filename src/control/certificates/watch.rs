//! Notices that files have changed, however it is done: written in place, renamed over, or by a link on the way to them
//! that is turned elsewhere, as certbot and Kubernetes do.
//!
//! What is watched are folders, since a watch on a file follows the file and not its name: the folder of each file, and
//! the folder of every link that the path goes through. What an event says is not looked at; whoever waits looks at the
//! files. Where nothing can be watched (too many watches, a network file system), the look that is due now and then
//! anyway has to do.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use tokio::net::unix::pipe;
use tokio::time::{Instant, timeout_at};

/// How long nothing may happen before it counts as done: whoever writes a pair writes two files.
const QUIET: Duration = Duration::from_millis(100);
/// Files in a folder where something always happens are looked at this often.
const QUIET_MAX: Duration = Duration::from_secs(1);
/// More links than this are a circle, as for the kernel.
const LINKS_MAX: usize = 40;

/// Watches the folders that some paths lead through.
pub struct Watch {
    inotify: Option<Inotify>,
    watched: HashSet<PathBuf>,
    /// What has changed was noticed and not told yet.
    has_changed: bool,
}

struct Inotify {
    descriptor: OwnedFd,
    /// The same one, as the runtime waits for it: it is read as a pipe is.
    events: pipe::Receiver,
}

impl Watch {
    /// Watches nothing yet. Belongs to the runtime that it is made on.
    pub fn new() -> Watch {
        let inotify = Inotify::new();
        if let Err(error) = &inotify {
            tracing::warn!("files are not watched but looked at once a minute: {error}");
        }
        Watch {
            inotify: inotify.ok(),
            watched: HashSet::new(),
            has_changed: false,
        }
    }

    /// Watches these files too, which need not be there. To be called again after each change: the links may lead
    /// elsewhere now, and a folder may be a new one under an old name.
    pub fn follow(&mut self, files: &[PathBuf]) {
        let Some(inotify) = &self.inotify else {
            return;
        };
        let interest = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            // A permission that was lacking.
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        for folder in files.iter().flat_map(|file| folders_on_the_way(file)) {
            // A folder that is watched already is watched once: the kernel counts by file, not by name.
            match add_watch(&inotify.descriptor, &folder, interest) {
                Ok(_) => {
                    self.watched.insert(folder);
                }
                Err(error) if self.watched.remove(&folder) => {
                    tracing::warn!("{} is no longer watched: {error}", folder.display());
                }
                Err(_) => {}
            }
        }
    }

    /// Waits until something has changed in the folders, and nothing for a moment after.
    ///
    /// Cancellation: what has changed is told to whoever waits next.
    pub async fn changed(&mut self) {
        let Some(inotify) = &self.inotify else {
            return std::future::pending().await;
        };
        if !self.has_changed {
            inotify.take_events().await;
            self.has_changed = true;
        }
        let last = Instant::now() + QUIET_MAX;
        loop {
            let until = (Instant::now() + QUIET).min(last);
            let is_quiet = timeout_at(until, inotify.take_events()).await.is_err();
            if is_quiet || Instant::now() >= last {
                break;
            }
        }
        self.has_changed = false;
    }
}

impl Inotify {
    fn new() -> io::Result<Inotify> {
        let descriptor = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let same = std::fs::File::from(descriptor.try_clone()?);
        Ok(Inotify {
            descriptor,
            events: pipe::Receiver::from_file_unchecked(same)?,
        })
    }

    /// Waits for events and reads all of them away.
    ///
    /// Cancellation: nothing is read.
    async fn take_events(&self) {
        if self.events.readable().await.is_err() {
            return std::future::pending().await;
        }
        let mut events = [0u8; 4096];
        // Until there is nothing more, which takes the readiness back.
        while self
            .events
            .try_read(&mut events)
            .is_ok_and(|count| count > 0)
        {}
    }
}

impl Default for Watch {
    fn default() -> Watch {
        Watch::new()
    }
}

/// The folders in which a change may make this path lead to another file: those of every link on the way and of the file
/// itself; where the way ends early, the last folder that is there.
fn folders_on_the_way(path: &Path) -> Vec<PathBuf> {
    let Ok(path) = std::path::absolute(path) else {
        return Vec::new();
    };
    let mut folders = Vec::new();
    let mut links = 0;
    let mut rest: Vec<PathBuf> = path
        .components()
        .rev()
        .map(|part| PathBuf::from(part.as_os_str()))
        .collect();
    let mut reached = PathBuf::from("/");
    while let Some(part) = rest.pop() {
        match part.components().next() {
            Some(Component::RootDir) => {
                reached = PathBuf::from("/");
                continue;
            }
            Some(Component::ParentDir) => {
                reached.pop();
                continue;
            }
            Some(Component::Normal(_)) => {}
            Some(Component::CurDir | Component::Prefix(_)) | None => continue,
        }
        let next = reached.join(&part);
        let Ok(found) = next.symlink_metadata() else {
            folders.push(reached);
            break;
        };
        if found.is_symlink() && links < LINKS_MAX {
            links += 1;
            folders.push(reached.clone());
            let target = std::fs::read_link(&next).unwrap_or_default();
            rest.extend(
                target
                    .components()
                    .rev()
                    .map(|part| PathBuf::from(part.as_os_str())),
            );
            continue;
        }
        if rest.is_empty() {
            folders.push(reached.clone());
        }
        reached = next;
    }
    folders.dedup();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("hotgate-watch-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        folder.canonicalize().expect("there")
    }

    #[test]
    fn every_link_on_the_way_counts() {
        let top = folder("way");
        for folder in ["live/a", "archive/a", "data.1"] {
            fs::create_dir_all(top.join(folder)).expect("a folder");
        }
        symlink("../../archive/a/cert1.pem", top.join("live/a/cert.pem")).expect("a link");
        fs::write(top.join("archive/a/cert1.pem"), "x").expect("a file");
        symlink("data.1", top.join("data")).expect("a link");
        symlink("data/cert.pem", top.join("cert.pem")).expect("a link");
        fs::write(top.join("data.1/cert.pem"), "x").expect("a file");
        symlink("loop", top.join("loop")).expect("a link");
        #[track_caller]
        fn check(top: &Path, path: &str, expected: &[&str]) {
            let found = folders_on_the_way(&top.join(path));
            let expected: Vec<PathBuf> = expected
                .iter()
                .map(|folder| top.join(folder))
                .map(|folder| folder.components().collect())
                .collect();
            assert_eq!(found, expected, "{path}");
        }
        check(&top, "archive/a/cert1.pem", &["archive/a"]);
        check(&top, "archive/a/not-there", &["archive/a"]);
        check(&top, "archive/b/c/not-there", &["archive"]);
        check(&top, "live/a/cert.pem", &["live/a", "archive/a"]);
        check(&top, "cert.pem", &["", "data.1"]);
        check(&top, "live/../cert.pem", &["", "data.1"]);
        assert_eq!(
            folders_on_the_way(&top.join("loop")),
            std::slice::from_ref(&top)
        );
        fs::remove_dir_all(top).expect("ours");
    }

    #[tokio::test]
    async fn each_way_of_changing_a_file_is_noticed() {
        let top = folder("change");
        let file = top.join("cert.pem");
        let mut watch = Watch::new();
        let files = [file.clone()];
        watch.follow(&files);
        let write = |path: &Path, text: &str| fs::write(path, text).expect("ours");
        let rename = |from: &Path, to: &Path| fs::rename(from, to).expect("ours");
        type Change<'a> = Box<dyn Fn() + 'a>;
        let changes: [(&str, Change); 6] = [
            ("made", Box::new(|| write(&file, "1"))),
            ("written in place", Box::new(|| write(&file, "2"))),
            (
                "renamed over",
                Box::new(|| {
                    write(&top.join("part"), "3");
                    rename(&top.join("part"), &file);
                }),
            ),
            (
                "a link in its place",
                Box::new(|| {
                    fs::create_dir_all(top.join("v1")).expect("a folder");
                    write(&top.join("v1/cert.pem"), "4");
                    symlink("v1", top.join("data")).expect("a link");
                    fs::remove_file(&file).expect("ours");
                    symlink("data/cert.pem", &file).expect("a link");
                }),
            ),
            (
                "a link on the way turned",
                Box::new(|| {
                    fs::create_dir_all(top.join("v2")).expect("a folder");
                    write(&top.join("v2/cert.pem"), "5");
                    symlink("v2", top.join("data.new")).expect("a link");
                    rename(&top.join("data.new"), &top.join("data"));
                }),
            ),
            (
                "written in place behind the links",
                Box::new(|| write(&top.join("v2/cert.pem"), "6")),
            ),
        ];
        for (what, change) in changes {
            change();
            tokio::time::timeout(Duration::from_secs(10), watch.changed())
                .await
                .unwrap_or_else(|_| panic!("{what}"));
            watch.follow(&files);
        }
        // Nothing more is told once all is told, and reading is no change.
        fs::read(&file).expect("there");
        let quiet = tokio::time::timeout(QUIET * 3, watch.changed()).await;
        assert!(quiet.is_err(), "no change, and told of one");
        fs::remove_dir_all(top).expect("ours");
    }
}
