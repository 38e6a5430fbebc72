//! Real programs beside hotgate: apps behind it, clients before it.
//!
//! What `tests/run.sh` installs is found under `target/`; what is absent makes a test skip, never fail.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Read as _, Seek as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use super::{DEADLINE, Hotgate, hotgate::Folder, poll_until};

/// A running program, killed on drop. What it says goes to a file and is shown when the test fails.
pub struct App {
    child: Child,
    name: String,
    said: PathBuf,
    _folder: Folder,
}

impl App {
    /// Starts `command`; its output is kept.
    pub fn start(mut command: Command) -> App {
        let folder = Folder::new();
        let said = folder.path().join("said");
        let file = File::create(&said).expect("a file for the program's output");
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a descriptor can be doubled"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} starts: {error}"));
        App {
            child,
            name,
            said,
            _folder: folder,
        }
    }

    /// Waits until the program accepts connections on the loopback port.
    #[track_caller]
    pub fn wait_for_port(self, port: u16) -> App {
        self.wait_for(&format!("port {port}"), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
    }

    /// Waits until the program accepts connections on the Unix socket.
    #[track_caller]
    pub fn wait_for_socket(self, path: &Path) -> App {
        self.wait_for(&path.display().to_string(), || {
            UnixStream::connect(path).is_ok()
        })
    }

    /// What it has said so far, on both of its outputs.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    #[track_caller]
    fn wait_for(mut self, what: &str, is_there: impl Fn() -> bool) -> App {
        let said = self.said.clone();
        let child = &mut self.child;
        let is_up = poll_until(&format!("{} to listen on {what}", self.name), || {
            let has_ended = child
                .try_wait()
                .expect("a child can be waited for")
                .is_some();
            if has_ended {
                Some(false)
            } else {
                is_there().then_some(true)
            }
        });
        assert!(
            is_up,
            "{} ended at once:\n{}",
            self.name,
            std::fs::read_to_string(said).unwrap_or_default()
        );
        self
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // The children of a pre-forking server go when their parent is asked politely.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::TERM,
        );
        let end = std::time::Instant::now() + std::time::Duration::from_secs(3);
        while std::time::Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            super::let_pass(std::time::Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "--- {} said:\n{}\n---",
                self.name,
                std::fs::read_to_string(&self.said).unwrap_or_default()
            );
        }
    }
}

/// Runs a client to its end, at most [`DEADLINE`] times three, and returns what it printed.
///
/// # Panics
///
/// When it fails; what it said is in the message.
#[track_caller]
pub fn run(mut command: Command) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = finish(&mut command);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{name} failed ({}):\n{out}\n{err}",
        output.status
    );
    out.into_owned()
}

/// Runs `tests/apps/SCRIPT PORT` with hotgate's port, which must say `ok`.
#[track_caller]
pub fn succeeds(mut command: Command, script: &str, hotgate: &Hotgate) {
    command
        .arg(source(script))
        .arg(hotgate.address().port().to_string());
    assert_eq!(run(command).trim(), "ok");
}

#[track_caller]
fn finish(command: &mut Command) -> Output {
    let folder = Folder::new();
    let mut files = ["out", "err"].map(|name| {
        File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(folder.path().join(name))
            .expect("a file for output")
    });
    let [out, err] = &files;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone().expect("a descriptor can be doubled"))
        .stderr(err.try_clone().expect("a descriptor can be doubled"))
        .spawn()
        .expect("a client starts");
    let end = std::time::Instant::now() + DEADLINE * 3;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if std::time::Instant::now() > end {
            let _ = child.kill();
            break child.wait().expect("a child can be waited for");
        }
        super::let_pass(std::time::Duration::from_millis(5));
    };
    let [stdout, stderr] = files.each_mut().map(|file| {
        let mut text = Vec::new();
        file.rewind().expect("a file can be read from its start");
        file.read_to_end(&mut text).expect("a file can be read");
        text
    });
    Output {
        status,
        stdout,
        stderr,
    }
}

/// A command of the tests' Python environment, run among the apps.
pub fn python_command(program: &str) -> Result<Command, String> {
    let mut command = Command::new(python(program)?);
    command
        .current_dir(source(""))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("PYTHONPATH");
    Ok(command)
}

/// FastAPI under uvicorn with `arguments`.
#[track_caller]
pub fn fastapi(port: u16, arguments: &[&str]) -> Result<App, String> {
    let mut command = python_command("uvicorn")?;
    command.args([
        "fastapi_app:app",
        "--host",
        "127.0.0.1",
        "--port",
        &port.to_string(),
    ]);
    command.args(["--log-level", "warning"]).args(arguments);
    Ok(App::start(command).wait_for_port(port))
}

/// Flask under gunicorn with `arguments`; counting needs `redis`, its socket.
#[track_caller]
pub fn flask(port: u16, redis: Option<&Path>, arguments: &[&str]) -> Result<App, String> {
    let mut command = python_command("gunicorn")?;
    command.args([
        "flask_app:app",
        "-b",
        &format!("127.0.0.1:{port}"),
        "--log-level",
        "warning",
        "--no-control-socket",
    ]);
    command.args(arguments);
    if let Some(socket) = redis {
        command.env("REDIS_SOCKET", socket);
    }
    Ok(App::start(command).wait_for_port(port))
}

/// Redis on a Unix socket.
#[track_caller]
pub fn redis(socket: &Path) -> Result<App, String> {
    let mut command = Command::new(program("redis-server")?);
    command
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(socket);
    Ok(App::start(command).wait_for_socket(socket))
}

/// The Express app that calls itself `name`.
#[track_caller]
pub fn express(port: u16, name: &str) -> Result<App, String> {
    let mut command = node_script("express_app.js")?;
    command.args([&port.to_string(), name]);
    Ok(App::start(command).wait_for_port(port))
}

/// The page with images and a WebSocket.
#[track_caller]
pub fn page(port: u16) -> Result<App, String> {
    let mut command = node_script("page_app.js")?;
    command.arg(port.to_string());
    Ok(App::start(command).wait_for_port(port))
}

/// `node tests/apps/SCRIPT`, with the tests' packages.
pub fn node_script(script: &str) -> Result<Command, String> {
    let (node, modules) = node()?;
    let mut command = Command::new(node);
    command.arg(source(script)).env("NODE_PATH", modules);
    Ok(command)
}

/// `curl` for `host` on hotgate, failing on a status from 400 on.
pub fn curl(hotgate: &Hotgate, host: &str, path: &str) -> Result<Command, String> {
    let port = hotgate.address().port();
    let mut command = Command::new(program("curl")?);
    command.args([
        "-sS",
        "--fail-with-body",
        "--max-time",
        "20",
        "--noproxy",
        "*",
    ]);
    command.args([
        "--resolve",
        &format!("{host}:{port}:127.0.0.1"),
        &format!("http://{host}:{port}{path}"),
    ]);
    Ok(command)
}

/// `tests/apps/NAME`.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/apps")
        .join(name)
}

/// A program of the tests' Python environment (`python`, `uvicorn`, `gunicorn`); `Err` says what to do for it.
pub fn python(program: &str) -> Result<PathBuf, String> {
    let folder = std::env::var_os("HOTGATE_TEST_VENV").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-venv"),
        PathBuf::from,
    );
    let path = folder.join("bin").join(program);
    if path.exists() {
        Ok(path)
    } else {
        Err(format!(
            "{} is absent; tests/run.sh installs it",
            path.display()
        ))
    }
}

/// `node`, to be run where the tests' packages are found; `Err` says what to do for it.
pub fn node() -> Result<(PathBuf, PathBuf), String> {
    let modules = std::env::var_os("HOTGATE_TEST_NODE")
        .map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-node"),
            PathBuf::from,
        )
        .join("node_modules");
    for package in ["express", "ws"] {
        if !modules.join(package).exists() {
            return Err(format!(
                "{} has no {package}; tests/run.sh installs it",
                modules.display()
            ));
        }
    }
    Ok((program("node")?, modules))
}

/// Chromium, under the names that distributions give it, where its driver is too.
pub fn chromium() -> Result<PathBuf, String> {
    let (_, modules) = node()?;
    if !modules.join("playwright-core").exists() {
        return Err(format!(
            "{} has no playwright-core; tests/run.sh installs it",
            modules.display()
        ));
    }
    ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .find_map(|name| program(name).ok())
        .ok_or_else(|| "no chromium is installed".to_owned())
}

/// A program on the PATH, or where Debian puts what only root runs.
pub fn program(name: impl AsRef<OsStr>) -> Result<PathBuf, String> {
    let name = name.as_ref();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| format!("{} is not installed", name.to_string_lossy()))
}
