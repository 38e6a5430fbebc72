//! The binary under test as a child process.

use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread::JoinHandle,
};

use rustix::process::{Pid, Signal};

use super::{DEADLINE, poll_until};

/// The binary that cargo built for this test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_hotgate");

/// A configuration file in the making: the server's lines, the access log, and the test's own text.
pub struct Config {
    http: Vec<String>,
    https: Vec<String>,
    workers: u32,
    server: String,
    access: String,
    text: String,
}

impl Config {
    /// `text` holds everything but `[server]` and `[log.access]`, most of all `[sites]`.
    pub fn new(text: impl Into<String>) -> Config {
        Config {
            http: vec!["127.0.0.1:0".to_owned()],
            https: vec!["127.0.0.1:0".to_owned()],
            workers: 1,
            server: String::new(),
            access: "path = \"off\"\n".to_owned(),
            text: text.into(),
        }
    }

    /// The plain listeners; one on a free loopback port when this is not called.
    pub fn http(mut self, listeners: &[&str]) -> Config {
        self.http = listeners
            .iter()
            .map(|&listener| listener.to_owned())
            .collect();
        self
    }

    /// The listeners of TLS, which are taken only for sites of HTTPS; one on a free loopback port when this is not called.
    pub fn https(mut self, listeners: &[&str]) -> Config {
        self.https = listeners
            .iter()
            .map(|&listener| listener.to_owned())
            .collect();
        self
    }

    /// How many workers; one when this is not called, so that a test knows who shares a pool.
    pub fn workers(mut self, workers: u32) -> Config {
        self.workers = workers;
        self
    }

    /// One more line for `[server]`.
    pub fn server(mut self, line: &str) -> Config {
        self.server.push_str(line);
        self.server.push('\n');
        self
    }

    /// Writes the access log to `path` in `format` (`json` or `combined`); off when this is not called.
    pub fn access_log(mut self, path: &Path, format: &str) -> Config {
        self.access = format!("path = {path:?}\nformat = \"{format}\"\n");
        self
    }

    /// One more line for `[log.access]`.
    pub fn access(mut self, line: &str) -> Config {
        self.access.push_str(line);
        self.access.push('\n');
        self
    }

    /// The whole file.
    pub fn toml(&self) -> String {
        let Config {
            http,
            https,
            workers,
            server,
            access,
            text,
        } = self;
        let backend = backend();
        format!(
            "[server]\nhttp = {http:?}\nhttps = {https:?}\nworkers = {workers}\nbackend = \"{backend}\"\n{server}\n[log.access]\n{access}\n{text}"
        )
    }

    /// Starts hotgate and waits until it serves.
    ///
    /// # Panics
    ///
    /// When it ends or stays silent instead; its stderr is in the message.
    #[track_caller]
    pub fn start(&self) -> Hotgate {
        Hotgate::launch(&self.toml())
    }

    /// Runs `hotgate VERB -c FILE` to its end.
    pub fn run(&self, verb: &str) -> Output {
        let folder = Folder::new();
        let file = folder.path().join("hotgate.toml");
        std::fs::write(&file, self.toml()).expect("the configuration file is written");
        Command::new(BINARY)
            .arg(verb)
            .arg("-c")
            .arg(&file)
            .env("STATE_DIRECTORY", folder.path().join("state"))
            .stdin(Stdio::null())
            .output()
            .expect("hotgate starts")
    }
}

/// Which backend the tests are to run on: what `HOTGATE_TEST_BACKEND` says, else `auto`.
pub fn backend() -> String {
    std::env::var("HOTGATE_TEST_BACKEND").unwrap_or_else(|_| "auto".to_owned())
}

/// A loopback port that nobody listens on at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

/// A running hotgate. Dropping it kills the process and checks that it never panicked.
pub struct Hotgate {
    child: Child,
    listeners: Vec<SocketAddr>,
    talk: Arc<Talk>,
    reader: Option<JoinHandle<()>>,
    folder: Folder,
}

/// What the child has said on stderr so far.
#[derive(Default)]
struct Talk {
    lines: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

impl Hotgate {
    /// Starts hotgate on one free loopback port, with `text` (most of all `[sites]`) as its configuration.
    #[track_caller]
    pub fn start(text: impl Into<String>) -> Hotgate {
        Config::new(text).start()
    }

    #[track_caller]
    fn launch(toml: &str) -> Hotgate {
        let folder = Folder::new();
        let file = folder.path().join("hotgate.toml");
        std::fs::write(&file, toml).expect("the configuration file is written");
        let mut command = Command::new(BINARY);
        command.arg("run").arg("-c").arg(&file);
        Hotgate::command(command, folder)
    }

    /// Starts `hotgate quick …`, which does not list its listeners, on this loopback port.
    #[track_caller]
    pub fn quick(command: Command, port: u16) -> Hotgate {
        let mut hotgate = Hotgate::serving(command, Folder::new());
        hotgate.listeners = vec![SocketAddr::from(([127, 0, 0, 1], port))];
        hotgate
    }

    /// Starts a command that serves, and waits until it does. Its state is kept in `folder`, unless it says otherwise.
    #[track_caller]
    pub fn command(command: Command, folder: Folder) -> Hotgate {
        let mut hotgate = Hotgate::serving(command, folder);
        hotgate.listeners = hotgate
            .stderr()
            .lines()
            .filter_map(|line| {
                line.split_once("listening on ")?
                    .1
                    .split_ascii_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .collect();
        assert!(
            !hotgate.listeners.is_empty(),
            "no `listening on` line:\n{}",
            hotgate.stderr()
        );
        hotgate
    }

    #[track_caller]
    fn serving(mut command: Command, folder: Folder) -> Hotgate {
        if !command
            .get_envs()
            .any(|(name, _)| name == "STATE_DIRECTORY")
        {
            command.env("STATE_DIRECTORY", folder.path().join("state"));
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("hotgate starts");
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let talk = Arc::new(Talk::default());
        let reader = std::thread::spawn({
            let talk = Arc::clone(&talk);
            move || {
                for line in stderr.split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    talk.lines
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                        .push(line);
                    talk.changed.notify_all();
                }
                talk.lines.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
                talk.changed.notify_all();
            }
        });
        let hotgate = Hotgate {
            child,
            listeners: Vec::new(),
            talk,
            reader: Some(reader),
            folder,
        };
        hotgate.wait_for("`ready`", |line| line.starts_with("ready"));
        hotgate
    }

    /// The first listener.
    pub fn address(&self) -> SocketAddr {
        self.listeners[0]
    }

    /// All listeners, in the order in which they were announced.
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A folder that lives as long as this hotgate, for its log files and the like.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything said on stderr so far.
    pub fn stderr(&self) -> String {
        self.talk
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .join("\n")
    }

    /// Waits for a line on stderr that contains `needle`, and returns it.
    #[track_caller]
    pub fn wait_for_line(&self, needle: &str) -> String {
        self.wait_for(needle, |line| line.contains(needle))
    }

    #[track_caller]
    fn wait_for(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let talk = self
            .talk
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_missing =
            |talk: &mut (Vec<String>, bool)| !talk.1 && !talk.0.iter().any(|line| is_it(line));
        let (talk, _) = self
            .talk
            .changed
            .wait_timeout_while(talk, DEADLINE, is_missing)
            .unwrap_or_else(PoisonError::into_inner);
        match talk.0.iter().find(|line| is_it(line)) {
            Some(line) => line.clone(),
            None => panic!(
                "hotgate did not say {what}; it said:\n{}",
                talk.0.join("\n")
            ),
        }
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal)
            .expect("a child that was not reaped can be signalled");
    }

    /// Waits for the process to end by itself.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        poll_until("hotgate to end", || {
            child.try_wait().expect("a child can be waited for")
        })
    }

    /// Has the process ended?
    pub fn has_ended(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child can be waited for")
            .is_some()
    }

    /// Ends the process at once; everything it had sent has then reached its peers' sockets.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Hotgate {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let stderr = self.stderr();
        if std::thread::panicking() {
            eprintln!("--- hotgate said:\n{stderr}\n---");
        } else {
            assert!(
                !stderr.contains("panicked at"),
                "hotgate panicked:\n{stderr}"
            );
        }
    }
}

/// A folder of its own under the system's temporary one, removed on drop.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes it.
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("hotgate-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder can be made");
        Folder(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Folder {
    fn default() -> Self {
        Folder::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
