//! A network of the test's own, where ports 80, 443 and 53 are free, and its own resolv.conf and hosts hold.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use super::place::{Folder, program};
use crate::support::poll_until;

/// It is gone when dropped; what runs in it has to be ended before.
pub(crate) struct Namespace {
    name: String,
    ip: PathBuf,
}

impl Namespace {
    /// With loopback, and these files in the place of `/etc/resolv.conf` and `/etc/hosts`.
    pub(crate) fn new(hosts: &str) -> Result<Namespace, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let ip = program("ip")?;
        let name = format!(
            "hg-acme-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        if !rustix::process::geteuid().is_root() {
            return Err("a network namespace needs root".to_owned());
        }
        let etc = Path::new("/etc/netns").join(&name);
        fs::create_dir_all(&etc).map_err(|error| format!("{}: {error}", etc.display()))?;
        fs::write(etc.join("resolv.conf"), "nameserver 127.0.0.1\n").expect("ours");
        fs::write(etc.join("hosts"), hosts).expect("ours");
        let namespace = Namespace { name, ip };
        namespace.ip(&["netns", "add", &namespace.name])?;
        namespace.ip(&["-n", &namespace.name, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    fn ip(&self, arguments: &[&str]) -> Result<(), String> {
        let output = Command::new(&self.ip)
            .args(arguments)
            .output()
            .map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!(
                "ip {arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    }

    /// A program that will run in it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(&self.ip);
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a program in it to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Output {
        let mut command = self.command(program);
        command.args(arguments).stdin(Stdio::null());
        command.output().expect("it starts")
    }

    /// A program that goes on in it; killed when dropped. What it says goes into a file of the folder.
    pub(crate) fn start(
        &self,
        folder: &Folder,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> InIt {
        let name = program
            .file_name()
            .expect("a program has a name")
            .to_string_lossy();
        let log = fs::File::create(folder.path().join(format!("{name}.log"))).expect("ours");
        let child = self
            .command(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("it starts");
        InIt(child)
    }

    /// What curl gets, waiting until it gets something with a status of success.
    pub(crate) fn fetch(&self, root: &Path, url: &str) -> String {
        let curl = program("curl").expect("it was there");
        poll_until(url, || {
            let output = self.run(
                &curl,
                [
                    "-sf".as_ref(),
                    "--cacert".as_ref(),
                    root.as_os_str(),
                    url.as_ref(),
                ],
            );
            output
                .status
                .success()
                .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.ip(&["netns", "del", &self.name]);
        let _ = fs::remove_dir_all(Path::new("/etc/netns").join(&self.name));
    }
}

/// A program in a namespace.
pub(crate) struct InIt(std::process::Child);

impl Drop for InIt {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
