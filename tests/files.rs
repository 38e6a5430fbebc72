//! Which files are read, which override which, and what becomes of one that is faulty: from the outside.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use support::{
    Client, Hotgate, Origin,
    hotgate::{BINARY, Folder, backend},
};

/// An origin that answers everything with `name`.
fn origin(name: &'static str) -> Origin {
    Origin::start(move |connection| {
        while connection.read_request().is_some() {
            let length = name.len();
            connection.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}"
            ));
        }
    })
}

/// A configuration folder: `hotgate.toml` with a server section, and what else the test writes.
struct Files {
    folder: Folder,
}

impl Files {
    fn new(text: &str) -> Files {
        let files = Files {
            folder: Folder::new(),
        };
        let backend = backend();
        files.write(
            "hotgate.toml",
            &format!("[server]\nhttp = [\"127.0.0.1:0\"]\nworkers = 1\nbackend = \"{backend}\"\n[log.access]\npath = \"off\"\n{text}"),
        );
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("in the folder")).expect("a folder is made");
        fs::write(path, text).expect("a file is written");
    }

    /// `hotgate VERB -c hotgate.toml` with more arguments.
    fn command(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .arg(verb)
            .arg("-c")
            .arg(self.path("hotgate.toml"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("STATE_DIRECTORY", self.path("state"))
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn start(&self) -> Hotgate {
        Hotgate::command(self.command("run", &[]), Folder::new())
    }

    /// Runs it to its end, and gives back the exit code and what it said.
    #[track_caller]
    fn run(&self, verb: &str, arguments: &[&str]) -> (i32, String, String) {
        ended(
            self.command(verb, arguments)
                .output()
                .expect("hotgate starts"),
        )
    }
}

#[track_caller]
fn ended(output: Output) -> (i32, String, String) {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (
        output.status.code().expect("it was not killed"),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[track_caller]
fn ask(hotgate: &Hotgate, host: &str) -> (u16, String) {
    let mut client = Client::connect(hotgate.address());
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let response = client.response();
    (response.status, response.text())
}

#[test]
fn drop_ins_are_read_in_name_order_and_said() {
    let (a, b) = (origin("a"), origin("b"));
    let files = Files::new(&format!("[sites]\n\"http://a.test\" = {}\n", a.port()));
    files.write(
        "sites.d/20-b.toml",
        &format!("[sites]\n\"http://b.test\" = {}\n", b.port()),
    );
    files.write(
        "sites.d/10-defaults.toml",
        "[defaults]\nhost = \"inner.test\"\n",
    );
    files.write("sites.d/c.conf", "this is not TOML");
    let hotgate = files.start();
    assert_eq!(ask(&hotgate, "a.test"), (200, "a".to_owned()));
    assert_eq!(ask(&hotgate, "b.test"), (200, "b".to_owned()));
    let said = hotgate.stderr();
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("reading ") || line.starts_with("not read"))
        .collect();
    let reading = |name: &str| format!("reading {}", files.path(name).display());
    assert_eq!(
        lines,
        [
            reading("hotgate.toml"),
            reading("sites.d/10-defaults.toml"),
            reading("sites.d/20-b.toml"),
            format!(
                "not read: {} (its name does not end in .toml)",
                files.path("sites.d/c.conf").display()
            ),
        ]
    );
    // `[defaults]` of a drop-in hold for all sites.
    let request = a.records();
    let head = String::from_utf8_lossy(&request[0].bytes).into_owned();
    assert!(head.contains("Host: inner.test\r\n"), "{head}");
}

#[test]
fn a_second_name_overrides_the_first_key_by_key() {
    let (a, b) = (origin("base"), origin("production"));
    let files = Files::new(&format!(
        "[sites]\n\"http://a.test\" = {{ to = {0}, host = \"inner.test\" }}\n\"http://b.test\" = {0}\n",
        a.port()
    ));
    files.write(
        "production/over.toml",
        &format!("[sites]\n\"http://A.test\" = {}\n", b.port()),
    );
    let over = files.path("production/over.toml");
    let command = files.command("run", &["-c", &over.to_string_lossy()]);
    let hotgate = Hotgate::command(command, Folder::new());
    assert_eq!(ask(&hotgate, "a.test").1, "production");
    assert_eq!(ask(&hotgate, "b.test").1, "base");
    let head = String::from_utf8_lossy(&b.records()[0].bytes).into_owned();
    assert!(
        head.contains("Host: inner.test\r\n"),
        "what is not overridden stays: {head}"
    );
}

#[test]
fn values_come_from_the_environment_and_from_files() {
    let (a, b) = (origin("a"), origin("b"));
    let files = Files::new(
        "[sites]\n\"http://${NAME}.test\" = \"${PORT}\"\n\"http://b.test\" = { to = \"127.0.0.1:${file:port}\", host = \"${cred:host}\" }\n\"http://c.test\" = \"${NONE:-127.0.0.1:1}\"\n",
    );
    files.write("port", &format!("{}\n", b.port()));
    files.write("credentials/host", "secret-name.test\n");
    let surroundings = |command: &mut Command| {
        command
            .env("NAME", "a")
            .env("PORT", a.port().to_string())
            .env("CREDENTIALS_DIRECTORY", files.path("credentials"));
    };
    let mut command = files.command("run", &[]);
    surroundings(&mut command);
    let hotgate = Hotgate::command(command, Folder::new());
    assert_eq!(ask(&hotgate, "a.test").1, "a");
    assert_eq!(ask(&hotgate, "b.test").1, "b");
    assert_eq!(ask(&hotgate, "c.test").0, 502);
    let head = String::from_utf8_lossy(&b.records()[0].bytes).into_owned();
    assert!(head.contains("Host: secret-name.test\r\n"), "{head}");

    let mut dump = files.command("check", &["--dump"]);
    surroundings(&mut dump);
    let (code, dumped, _) = ended(dump.output().expect("hotgate starts"));
    assert_eq!(code, 0);
    assert!(
        !dumped.contains("secret-name") && dumped.contains("host = \"***\""),
        "{dumped}"
    );

    // Without them, each is a fault with its place.
    let (code, _, said) = files.run("check", &[]);
    assert_eq!(code, 78);
    for told in [
        "`${NAME}` is not set",
        "`${PORT}` is not set",
        "`${cred:host}` cannot be read",
        "3 errors in",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[test]
fn all_faults_of_all_files_are_told_in_order() {
    let files = Files::new("[sites]\n\"http://a.test\" = { to = 1, colour = 2 }\n");
    files.write(
        "sites.d/a.toml",
        "[sites]\n\"http://b.test\" = 0\n\"http://a.test\" = 3\n",
    );
    files.write("sites.d/b.toml", "[sites\n");
    let (code, out, said) = files.run("check", &[]);
    assert_eq!((code, out.as_str()), (78, ""));
    let heads: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("error") || line.contains("--> "))
        .collect();
    let shown: Vec<String> = heads
        .iter()
        .map(|line| line.replace(&format!("{}/", files.folder.path().display()), ""))
        .collect();
    let places: Vec<&str> = shown
        .iter()
        .filter_map(|line| line.trim_start().strip_prefix("--> "))
        .collect();
    assert_eq!(places[0], "hotgate.toml:8:29", "{said}");
    assert_eq!(places[1], "sites.d/a.toml:2:19", "{said}");
    assert_eq!(places[2], "sites.d/a.toml:3:1", "{said}");
    assert!(places[3].starts_with("sites.d/b.toml:1:"), "{said}");
    assert!(said.contains("in 3 files; nothing was applied"), "{said}");
    // And the same as JSON.
    let (code, out, _) = files.run("check", &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("one object");
    assert_eq!(
        (code, &json["version"], &json["ok"]),
        (78, &1.into(), &false.into())
    );
    let diagnostics = json["diagnostics"].as_array().expect("a list");
    let codes: Vec<&str> = diagnostics
        .iter()
        .filter_map(|one| one["code"].as_str())
        .collect();
    assert_eq!(
        codes,
        ["unknown-key", "bad-target", "duplicate-host", "syntax"]
    );
    assert_eq!(
        (&diagnostics[1]["line"], &diagnostics[1]["column"]),
        (&2.into(), &19.into())
    );
}

#[test]
fn a_first_start_with_a_fault_refuses() {
    let files = Files::new("[sites]\n\"http://a.test\" = 1\n");
    files.write("sites.d/a.toml", "[sites]\n\"http://b.test\" = 0\n");
    let (code, _, said) = files.run("run", &[]);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("has no good copy"), "{said}");
    assert!(!files.path("state").exists(), "nothing was in force");
}

#[test]
fn a_faulty_file_is_replaced_by_its_last_good_copy_on_start_too() {
    let (a, b) = (origin("a"), origin("b"));
    let files = Files::new(&format!("[sites]\n\"http://a.test\" = {}\n", a.port()));
    let good = format!("[sites]\n\"http://b.test\" = {}\n", b.port());
    files.write("sites.d/b.toml", &good);
    drop(files.start());
    // A fault in one file, a new faulty file, and a new good one.
    files.write("sites.d/b.toml", &good.replace("b.test", "b test"));
    files.write("sites.d/c.toml", "[sites]\n\"http://c.test\" = \n");
    files.write(
        "sites.d/d.toml",
        &format!("[sites]\n\"http://d.test\" = {}\n", a.port()),
    );
    let hotgate = files.start();
    assert_eq!(ask(&hotgate, "a.test").1, "a");
    assert_eq!(ask(&hotgate, "b.test").1, "b");
    assert_eq!(ask(&hotgate, "c.test").0, 421);
    assert_eq!(ask(&hotgate, "d.test").1, "a");
    let said = hotgate.stderr();
    for told in [
        "error[bad-host]",
        "error[syntax]",
        "b.toml has faults: its last good copy",
        "c.toml has faults and no good copy: it is left out",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    drop(hotgate);
    // The faulty text was not kept as good.
    let hotgate = files.start();
    assert_eq!(ask(&hotgate, "b.test").1, "b");
    drop(hotgate);
    // `--strict` and `check` take no copies.
    let (code, _, said) = files.run("run", &["--strict"]);
    assert_eq!(code, 78, "{said}");
    assert!(!said.contains("last good copy"), "{said}");
    assert_eq!(files.run("check", &[]).0, 78);
}

#[test]
fn a_faulty_main_file_is_replaced_by_its_copy() {
    let a = origin("a");
    let files = Files::new(&format!("[sites]\n\"http://a.test\" = {}\n", a.port()));
    drop(files.start());
    let text = fs::read_to_string(files.path("hotgate.toml")).expect("ours");
    files.write(
        "hotgate.toml",
        &text.replace("workers = 1", "workers = one"),
    );
    let hotgate = files.start();
    assert_eq!(ask(&hotgate, "a.test").1, "a");
    drop(hotgate);
    // A file that cannot be read as text is a faulty file as well.
    fs::write(files.path("hotgate.toml"), b"\xff").expect("ours");
    let hotgate = files.start();
    assert_eq!(ask(&hotgate, "a.test").1, "a");
    assert!(
        hotgate.stderr().contains("line 1 is not UTF-8"),
        "{}",
        hotgate.stderr()
    );
}

/// `b.toml` moves a host to `c.toml`, but with a fault: its copy still has the host, so `c.toml` is the one in the way.
#[test]
fn copies_that_do_not_go_with_the_others_do_not_stop_the_start() {
    let (a, b) = (origin("a"), origin("b"));
    let files = Files::new(&format!("[sites]\n\"http://a.test\" = {}\n", a.port()));
    files.write(
        "sites.d/b.toml",
        &format!("[sites]\n\"http://b.test\" = {}\n", b.port()),
    );
    drop(files.start());
    files.write("sites.d/b.toml", "[sites]\n\"http://x.test\" = 0\n");
    files.write(
        "sites.d/c.toml",
        &format!("[sites]\n\"http://b.test\" = {}\n", a.port()),
    );
    let hotgate = files.start();
    assert_eq!(ask(&hotgate, "a.test").1, "a");
    assert_eq!(ask(&hotgate, "b.test").1, "b");
}

/// Well written but unusable now: no fault of the file, and nobody else's trouble.
#[test]
fn a_site_whose_target_does_not_resolve_is_alone_in_its_trouble() {
    let a = origin("a");
    let files = Files::new(&format!(
        "[sites]\n\"http://a.test\" = {}\n\"http://b.test\" = \"no-such-name.invalid:80\"\n",
        a.port()
    ));
    let hotgate = files.start();
    assert_eq!(ask(&hotgate, "a.test"), (200, "a".to_owned()));
    assert_eq!(ask(&hotgate, "b.test").0, 503);
    hotgate.wait_for_line("no-such-name.invalid:80 does not resolve");
    let (code, out, _) = files.run("check", &["--deep"]);
    assert!(
        out.contains("quarantined, until it does 503 is the answer of http://b.test"),
        "{code} {out}"
    );
}

#[test]
fn a_name_that_is_given_twice_counts_once() {
    let a = origin("a");
    let files = Files::new(&format!("[sites]\n\"http://a.test\" = {}\n", a.port()));
    let same = files.path("hotgate.toml");
    let twice = ["-c", same.to_str().expect("a path of ours")];
    let hotgate = Hotgate::command(files.command("run", &twice), Folder::new());
    assert_eq!(ask(&hotgate, "a.test").1, "a");
    drop(hotgate);
    files.write("hotgate.toml", "[sites\n");
    let hotgate = Hotgate::command(files.command("run", &twice), Folder::new());
    assert_eq!(ask(&hotgate, "a.test").1, "a", "from the last good copy");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let missing = Path::new("/nonexistent/hotgate.toml");
    for verb in ["run", "check"] {
        let output = Command::new(BINARY)
            .arg(verb)
            .arg("-c")
            .arg(missing)
            .output();
        let (code, out, said) = ended(output.expect("hotgate starts"));
        assert_eq!((code, out.as_str()), (78, ""));
        assert!(
            said.contains("error[unreadable]: cannot read /nonexistent/hotgate.toml"),
            "{said}"
        );
    }
}

#[test]
fn check_strict_says_no_to_warnings() {
    let files =
        Files::new("[sites]\n\"http://a.test\" = { to = 1, allow = [\"0.0.0.0/0\", \"::/0\"] }\n");
    let (code, out, said) = files.run("check", &[]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("ok: 1 site(s)") && said.contains("warning[useless-rule]"),
        "{out}{said}"
    );
    assert_eq!(files.run("check", &["--strict"]).0, 4);
    let quiet = Files::new("[sites]\n\"http://a.test\" = 1\n");
    assert_eq!(quiet.run("check", &["--strict"]).0, 0);
}

/// What `--dump` prints is a configuration: the same one.
#[test]
fn a_dump_is_in_force_as_the_original() {
    let files = Files::new(
        "[defaults]\nlog = false\n[sites.\"http://a.test\"]\nto = 3000\ntimeouts.connect = \"7s\"\n[sites.\"http://a.test\".paths]\n\"/x\" = { to = [1, 2], strip = true }\n",
    );
    let (code, dump, _) = files.run("check", &["--dump"]);
    assert_eq!(code, 0);
    assert!(
        dump.contains("timeouts.connect = \"7s\"") && dump.contains("hotgate.toml:11:1"),
        "{dump}"
    );
    files.write("again/hotgate.toml", &dump);
    let again = files.path("again/hotgate.toml");
    let output = Command::new(BINARY)
        .args(["check", "--dump", "-c"])
        .arg(&again)
        .output();
    let (code, twice, said) = ended(output.expect("hotgate starts"));
    assert_eq!(code, 0, "{said}");
    let values = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split(" # ").next().unwrap_or("").trim_end().to_owned())
            .collect()
    };
    assert_eq!(values(&dump), values(&twice));
}

/// Without a name: the machine's file, its drop-ins, and what discovery wrote, in a mount namespace of the test's own.
#[test]
fn without_a_name_the_machines_files_are_read() {
    if !rustix::process::geteuid().is_root() {
        skip!("only root may mount a folder over /etc in a namespace of its own");
    }
    let (a, b) = (origin("a"), origin("b"));
    let files = Files::new(&format!("[sites]\n\"http://a.test\" = {}\n", a.port()));
    files.write(
        "sites.d/b.toml",
        &format!("[sites]\n\"http://b.test\" = {}\n", b.port()),
    );
    files.write(
        "discover/docker.toml",
        &format!(
            "[sites]\n\"http://c.test\" = {0}\n\"http://a.test\" = {0}\n\"http://d.test\" = {{ builtin = \"whoami\" }}\n",
            b.port()
        ),
    );
    // tmpfs for what overlayfs may not take from another overlay.
    let script = "set -e
        mount --make-rprivate /
        mount -t tmpfs none /mnt
        mkdir /mnt/upper /mnt/work
        mount -t overlay none -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc
        mount -t tmpfs none /run
        rm -rf /etc/hotgate
        mkdir /etc/hotgate
        cp -r hotgate.toml sites.d /etc/hotgate/
        cp -r discover /run/hotgate-discover
        exec \"$0\" run";
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", script, BINARY])
        .current_dir(files.folder.path())
        .env("STATE_DIRECTORY", files.path("state"));
    if !may_unshare(files.folder.path()) {
        skip!("this machine allows no mount namespace with an overlay over /etc");
    }
    let hotgate = Hotgate::command(command, Folder::new());
    assert_eq!(
        ask(&hotgate, "a.test").1,
        "a",
        "the hand-written file keeps its host"
    );
    assert_eq!(ask(&hotgate, "b.test").1, "b");
    assert_eq!(ask(&hotgate, "c.test").1, "b");
    assert_eq!(ask(&hotgate, "d.test").0, 421);
    let said = hotgate.stderr();
    for told in [
        "reading /etc/hotgate/hotgate.toml",
        "reading /etc/hotgate/sites.d/b.toml",
        "reading /run/hotgate-discover/docker.toml",
        "the generated site `http://a.test` is left out",
        "`builtin` is not for generated sites",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
}

fn may_unshare(folder: &Path) -> bool {
    let script = "mount --make-rprivate / && mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w && mount -t overlay none -o lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w /etc";
    let status = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .current_dir(folder)
        .output();
    status.is_ok_and(|output| output.status.success())
}
