//! Looking at the machine: `check --ports`, `--deep`, `--unit`, the trial as another user, and `quick`'s checks.

mod support;

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    process::{Command, Stdio},
};

use support::{
    Client, Hotgate, Origin,
    back::Serving,
    hotgate::{BINARY, Folder, free_port},
    tls::Authority,
};

/// Runs `hotgate ARGUMENTS…` in a folder with `h.toml`: exit code, standard output, standard error.
#[track_caller]
fn run(folder: &Folder, text: &str, arguments: &[&str]) -> (i32, String, String) {
    fs::write(folder.path().join("h.toml"), text).expect("a file is written");
    let output = Command::new(BINARY)
        .args(arguments)
        .args(["-c", "h.toml", "-q"])
        .current_dir(folder.path())
        .env("STATE_DIRECTORY", folder.path().join("state"))
        .stdin(Stdio::null())
        .output()
        .expect("hotgate starts");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (
        output.status.code().expect("it was not killed"),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn who_holds_a_port_is_named() {
    let held = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = held.local_addr().expect("bound").port();
    let free = free_port();
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:{port}\", \"127.0.0.1:{free}\", \"127.0.0.2:{port}\"]\n"
    );
    let (code, out, _) = run(&Folder::new(), &text, &["check", "--ports"]);
    assert_eq!(code, 1, "{out}");
    let lines: Vec<&str> = out.lines().collect();
    let pid = std::process::id();
    assert!(
        lines[0].starts_with(&format!("✗ 127.0.0.1:{port}: "))
            && lines[0].contains(&format!("(pid {pid})")),
        "{out}"
    );
    assert!(lines[1].starts_with("  = try: "), "{out}");
    assert_eq!(lines[2], format!("✓ 127.0.0.1:{free}: the port is free"));
    assert_eq!(
        lines[3],
        format!("✓ 127.0.0.2:{port}: the port is free"),
        "another address is another socket"
    );
    let (code, out, _) = run(&Folder::new(), &text, &["check", "--ports", "--json"]);
    let facts: serde_json::Value = serde_json::from_str(&out).expect("one object");
    assert_eq!((code, &facts["ok"]), (1, &false.into()));
    assert_eq!(
        (&facts["findings"][0]["mark"], &facts["findings"][0]["code"]),
        (&"bad".into(), &"port".into())
    );
}

#[test]
fn a_running_hotgate_may_hold_the_port() {
    let hotgate = Hotgate::start("[sites]\n\"http://a.test\" = 1\n");
    let text = format!("[server]\nhttp = [\"{}\"]\n", hotgate.address());
    let (code, out, _) = run(&Folder::new(), &text, &["check", "--ports"]);
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains(&format!(
            "the running hotgate has it, pid {}",
            hotgate.pid()
        )),
        "{out}"
    );
}

#[test]
fn deep_asks_targets_and_names() {
    let origin = Origin::start(|connection| while connection.read_request().is_some() {});
    let (closed, free) = (free_port(), free_port());
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:{free}\"]\n[sites]\n\"http://a.test\" = [{}, {closed}, \"unix:none.sock\"]\n\"http://b.test\" = \"no-such-name.invalid:80\"\n",
        origin.port()
    );
    let (code, out, _) = run(&Folder::new(), &text, &["check", "--deep"]);
    assert_eq!(code, 1);
    for told in [
        format!("✓ 127.0.0.1:{}: takes connections", origin.port()),
        format!("✗ 127.0.0.1:{closed}: refused: nothing listens there"),
        "none.sock is not there".to_owned(),
        "! no-such-name.invalid: the target's name does not resolve".to_owned(),
        "quarantined, until it does 503 is the answer of http://b.test".to_owned(),
        format!("✓ 127.0.0.1:{free}: the port is free"),
    ] {
        assert!(out.contains(&told), "{told}: {out}");
    }
}

#[test]
fn deep_shakes_hands_with_each_target_of_https() {
    let (folder, authority) = (Folder::new(), Authority::new("internal root"));
    fs::write(folder.path().join("ca.pem"), authority.pem()).expect("written");
    let origin = Origin::saying("never asked");
    let back = Serving::of(&authority.server(&["app.internal"])).before(origin.port());
    let site = |host: &str, ca: &str, name: &str| {
        format!(
            "[sites.\"http://{host}\"]\nto = \"https://127.0.0.1:{}\"\nupstream_tls = {{ ca = \"{ca}\", server_name = \"{name}\" }}\n",
            back.port()
        )
    };
    let text = site("a.test", "ca.pem", "app.internal")
        + &site("b.test", "ca.pem", "other.internal")
        + &site("c.test", "none.pem", "app.internal");
    let (code, out, _) = run(&folder, &text, &["check", "--deep"]);
    assert_eq!(code, 1);
    let subject = format!("https://127.0.0.1:{}", back.port());
    for told in [
        format!("✓ {subject}: takes connections, and is whom it has to be"),
        format!("✗ {subject}: invalid peer certificate"),
        "none.pem is not there".to_owned(),
        "`server_name` which name to expect".to_owned(),
    ] {
        assert!(out.contains(&told), "{told}: {out}");
    }
    assert!(origin.finish().iter().all(|record| record.bytes.is_empty()));
}

/// The mend that is printed is typed, and then it works.
#[test]
fn root_tries_paths_as_the_services_user() {
    if !is_root() {
        skip!("only root can try as another user");
    }
    let folder = Folder::new();
    let inner = folder.path().join("closed");
    fs::create_dir(&inner).expect("a folder is made");
    let socket = inner.join("app.sock");
    let _listening = UnixListener::bind(&socket).expect("a socket is bound");
    let mode = |path: &std::path::Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    };
    mode(folder.path(), 0o755);
    mode(&inner, 0o700);
    mode(&socket, 0o600);
    fs::write(folder.path().join("secret"), "k-of-this-test\n").expect("a file is written");
    mode(&folder.path().join("secret"), 0o644);
    let text = "[sites]\n\"http://a.test\" = { to = \"unix:closed/app.sock\", host = \"${file:secret}.test\" }\n";
    let check = || run(&folder, text, &["check", "--user", "nobody"]);
    let (code, out, _) = check();
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains(&format!(
            "nobody may not connect to it: {} keeps it out",
            inner.display()
        )),
        "{out}"
    );
    assert!(
        out.contains(&format!("setfacl -m u:nobody:x {}", inner.display())),
        "{out}"
    );
    assert!(
        out.contains("every user of this machine may read it") && out.contains("chmod o-r"),
        "{out}"
    );
    assert!(out.contains("h.toml: nobody may read it"), "{out}");
    // The folder is opened; then the socket is in the way.
    mode(&inner, 0o711);
    let (code, out, _) = check();
    assert!(
        code == 1 && out.contains(&format!("setfacl -m u:nobody:rw {}", socket.display())),
        "{out}"
    );
    mode(&socket, 0o666);
    mode(&folder.path().join("secret"), 0o600);
    let (code, out, _) = check();
    assert!(
        code == 1
            && out.contains("nobody may connect to it")
            && out.contains("setfacl -m u:nobody:r "),
        "{out}"
    );
    mode(&folder.path().join("secret"), 0o644);
    let (code, out, _) = check();
    assert_eq!(code, 0, "{out}");
    assert!(!out.contains('✗'), "{out}");
}

#[test]
fn a_unit_file_is_compared_with_the_configuration() {
    let folder = Folder::new();
    let unit = folder.path().join("hotgate.service");
    let file = folder.path().join("h.toml");
    let write = |lines: &str| {
        let text = format!(
            "[Service]\nUser=nobody\nStateDirectory=hotgate\nExecStart=/usr/bin/hotgate run -c {}\n{lines}",
            file.display()
        );
        fs::write(&unit, text).expect("a file is written");
    };
    let argument = format!("--unit={}", unit.display());
    let check = || {
        run(
            &folder,
            "[sites]\n\"http://a.test\" = 3000\n",
            &["check", &argument],
        )
    };
    write("");
    let (code, out, _) = check();
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("port 80 needs CAP_NET_BIND_SERVICE")
            && out.contains("AmbientCapabilities=CAP_NET_BIND_SERVICE"),
        "{out}"
    );
    // Mended by a drop-in with the very lines that were printed.
    let lines: String = out
        .lines()
        .skip_while(|line| !line.contains("[Service]"))
        .take_while(|line| line.starts_with(' '))
        .map(|line| format!("{}\n", line.trim()))
        .collect();
    fs::create_dir(folder.path().join("hotgate.service.d")).expect("a folder is made");
    fs::write(folder.path().join("hotgate.service.d/override.conf"), lines)
        .expect("a file is written");
    let (code, out, _) = check();
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("✓ hotgate.service: grants what the configuration needs"),
        "{out}"
    );
    let missing = run(&folder, "", &["check", "--unit=no-such-unit"]);
    assert!(
        missing.0 == 1 && missing.1.contains("there is no such unit"),
        "{}",
        missing.1
    );
}

#[test]
fn quick_says_each_check_and_serves() {
    let origin = Origin::start(|connection| {
        while connection.read_request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    let port = free_port();
    let mut command = Command::new(BINARY);
    command.args([
        "quick",
        "app.localhost",
        &origin.port().to_string(),
        "--port",
        &port.to_string(),
    ]);
    let hotgate = Hotgate::quick(command, port);
    let mut client = Client::connect(([127, 0, 0, 1], port).into());
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: app.localhost:{port}\r\n\r\n"
    ));
    assert_eq!(client.response().text(), "hello");
    let said = hotgate.stderr();
    let order = [
        "✓ app.localhost: is a local name".to_owned(),
        format!("✓ 127.0.0.1:{port}: the port is free"),
        format!("✓ 127.0.0.1:{}: takes connections", origin.port()),
        "✓ certificate: none: the site is served over plain HTTP".to_owned(),
        format!("ready: http://app.localhost:{port}"),
    ];
    let mut from = 0;
    for told in order {
        let at = said[from..]
            .find(&told)
            .unwrap_or_else(|| panic!("{told} in its turn: {said}"));
        from += at;
    }
}

#[test]
fn quick_refuses_what_it_cannot_serve() {
    let quick = |arguments: &[&str]| {
        let output = Command::new(BINARY)
            .arg("quick")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("hotgate starts");
        (
            output.status.code().expect("it was not killed"),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, said) = quick(&["bad host", "3000"]);
    assert!(code == 2 && said.contains("error[bad-host]"), "{said}");
    let (code, said) = quick(&["app.localhost", "http://127.0.0.1:3000"]);
    assert!(
        code == 2 && said.contains("= try: hotgate quick app.localhost 3000"),
        "{said}"
    );
    let (code, said) = quick(&["app.localhost"]);
    assert!(code == 2 && said.contains("TARGET"), "{said}");
    let held = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = held.local_addr().expect("bound").port().to_string();
    let (code, said) = quick(&["app.localhost", "3000", "--port", &port]);
    assert!(
        code == 1 && said.contains(&format!("(pid {})", std::process::id())),
        "{said}"
    );
}
