//! A file of `config/examples/` on its way to a test.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part of it"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    Hotgate,
    hotgate::{BINARY, Folder, backend},
};

/// A file of `config/examples/` on its way to a test.
pub struct Example {
    /// Where it stands for the test, with its drop-ins, and the access log.
    folder: Folder,
    /// The file, then its drop-ins: name and text.
    files: Vec<(String, String)>,
    environment: Vec<(&'static str, String)>,
    /// Of the second file: lines of `[server]`, and what stands behind it.
    server: String,
    rest: String,
}

impl Example {
    pub fn load(name: &str) -> Example {
        Example {
            folder: Folder::new(),
            files: vec![(name.to_owned(), shipped(name))],
            environment: Vec::new(),
            server: "https = [\"127.0.0.1:0\"]\n".to_owned(),
            rest: String::new(),
        }
    }

    /// With the test's own port in `line`, which ends in the example's and stands in one of its files once.
    #[track_caller]
    pub fn with_port(mut self, line: &str, port: u16) -> Example {
        let digits = line.trim_end_matches(|c: char| c.is_ascii_digit());
        assert_ne!(digits, line, "{line} does not end in a port");
        let count: usize = self
            .files
            .iter()
            .map(|(_, text)| text.matches(line).count())
            .sum();
        assert_eq!(count, 1, "{line}\n{:?}", self.files);
        for (_, text) in &mut self.files {
            *text = text.replace(line, &format!("{digits}{port}"));
        }
        self
    }

    /// With this host served by plain HTTP: what is tested here is the app behind it, not its certificate.
    #[track_caller]
    pub fn plain(mut self, host: &str) -> Example {
        let forms = [format!("\n\"{host}\" = "), format!("[sites.\"{host}\"")];
        let is_there = |text: &str| forms.iter().any(|form| text.contains(form));
        assert!(self.files.iter().any(|(_, text)| is_there(text)), "{host}");
        for (_, text) in &mut self.files {
            for form in &forms {
                *text = text.replace(form, &form.replacen('"', "\"http://", 1));
            }
            // A plain site has no certificate.
            let lines = text.lines().filter(|line| !line.starts_with("tls = "));
            *text = lines.flat_map(|line| [line, "\n"]).collect();
        }
        self
    }

    /// With another of the shipped files, in the folder `sites.d/` beside it.
    pub fn with_drop_in(mut self, name: &str) -> Example {
        let name = format!("sites.d/{name}");
        let text = shipped(&name);
        self.files.push((name, text));
        self
    }

    /// With a variable of its environment.
    pub fn with_variable(mut self, name: &'static str, value: u16) -> Example {
        self.environment.push((name, value.to_string()));
        self
    }

    /// Believes what the test says of its clients, who are elsewhere.
    pub fn believing_forwarded(mut self) -> Example {
        self.server += "trusted_proxies = [\"127.0.0.1\"]\n";
        self
    }

    /// With HTTPS on this port of the loopback interface, which redirects name too.
    pub fn over_tls(mut self, port: u16) -> Example {
        self.server = format!("https = [\"127.0.0.1:{port}\"]\npublic_https = {port}\n");
        self
    }

    /// With another file in the place of one that it names.
    #[track_caller]
    pub fn with_file(mut self, named: &str, file: &Path) -> Example {
        let (named, file) = (format!("{named:?}"), format!("{file:?}"));
        assert!(self.files.iter().any(|(_, text)| text.contains(&named)));
        for (_, text) in &mut self.files {
            *text = text.replace(&named, &file);
        }
        self
    }

    /// With more in the second file.
    pub fn and(mut self, text: &str) -> Example {
        self.rest += text;
        self
    }

    /// The access log.
    pub fn access(folder: &Path) -> PathBuf {
        folder.join("access.log")
    }

    /// Serves it on a free port of the loopback interface.
    #[track_caller]
    pub fn start(self) -> Hotgate {
        let command = self.command(&["run"]);
        Hotgate::command(command, self.folder)
    }

    /// What hotgate says of it, and how it ends.
    #[track_caller]
    pub fn ask(&self, verb: &[&str]) -> (Option<i32>, String) {
        let output = self.command(verb).output().expect("hotgate starts");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    fn command(&self, verb: &[&str]) -> Command {
        let folder = self.folder.path();
        let machine = format!(
            "[server]\nhttp = [\"127.0.0.1:0\"]\nworkers = 1\nbackend = \"{}\"\n{}\n[log.access]\npath = {:?}\n{}",
            backend(),
            self.server,
            Example::access(folder),
            self.rest
        );
        // In a folder of its own: what stands in `sites.d/` belongs to one file.
        let machine = ("machine/hotgate.toml".to_owned(), machine);
        let mut command = Command::new(BINARY);
        command.arg("-c").arg(folder.join(&self.files[0].0));
        command.arg("-c").arg(folder.join(&machine.0));
        command.args(verb);
        command.env("STATE_DIRECTORY", folder.join("state"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        for (name, text) in self.files.iter().chain([&machine]) {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("it stands in a folder"))
                .and_then(|()| fs::write(&path, text))
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        command
    }
}

/// The text of a file of `config/examples/`.
#[track_caller]
fn shipped(name: &str) -> String {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    fs::read_to_string(examples.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
