//! Certificates from outside: files that change under a running hotgate, the local CA before real clients, what is
//! quarantined, what `certs`, `trust` and `check` say. openssl makes the material at run time.

mod support;

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use support::{
    Client, Config, Hotgate,
    hotgate::{BINARY, Folder},
    poll_until,
};

/// Runs a program to its end.
#[track_caller]
fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("STATE_DIRECTORY", folder.join("state"))
        .env("HOME", folder)
        .env_remove("SUDO_USER")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Exit code, standard output and standard error of hotgate.
#[track_caller]
fn hotgate(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = run(folder, BINARY, arguments);
    let code = output.status.code().expect("it was not killed");
    (code, text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn openssl(folder: &Path, arguments: &str) -> String {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let output = run(folder, "openssl", &arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// A self-signed pair `STEM.pem`, `STEM.key`, of this subject and for this name.
fn make(folder: &Path, stem: &str, subject: &str, name: &str) {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={subject} -keyout {stem}.key -out {stem}.pem -addext subjectAltName=DNS:{name}"
        ),
    );
}

/// The subject of what is served for a name; nothing where the handshake fails.
fn served(hotgate: &Hotgate, name: &str) -> Option<String> {
    let address = hotgate.listeners()[1].to_string();
    let arguments = ["s_client", "-connect", &address, "-servername", name];
    let shown = text(&run(hotgate.folder(), "openssl", &arguments).stdout);
    let begin = shown.find("-----BEGIN CERTIFICATE-----")?;
    let end = shown.find("-----END CERTIFICATE-----")? + "-----END CERTIFICATE-----".len();
    let file = hotgate.folder().join(format!("served-{name}.pem"));
    fs::write(&file, &shown[begin..end]).expect("ours");
    let file = file.display().to_string();
    let subject = run(
        hotgate.folder(),
        "openssl",
        &["x509", "-in", &file, "-noout", "-subject"],
    );
    Some(text(&subject.stdout).trim().rsplit("= ").next()?.to_owned())
}

#[track_caller]
fn until_served(hotgate: &Hotgate, name: &str, subject: &str) {
    poll_until(&format!("{name} to be served as {subject}"), || {
        (served(hotgate, name).as_deref() == Some(subject)).then_some(())
    });
}

/// One site of the test's own files, which lie in `folder`.
fn site_of_files(folder: &Path) -> Config {
    let file = |name: &str| folder.join(name).display().to_string();
    Config::new(format!(
        "[sites.\"a.test\"]\nbuiltin = \"whoami\"\ntls = {{ cert = {:?}, key = {:?} }}\n",
        file("a.pem"),
        file("a.key")
    ))
}

#[test]
fn a_changed_pair_is_served_and_a_bad_one_keeps_the_old() {
    let folder = Folder::new();
    let at = |name: &str| folder.path().join(name);
    make(folder.path(), "a", "one", "a.test");
    let hotgate = site_of_files(folder.path()).start();
    until_served(&hotgate, "a.test", "one");

    // Renamed over, one file after the other: what does not match yet is not served, and not complained about.
    make(folder.path(), "b", "two", "a.test");
    for extension in ["pem", "key"] {
        fs::rename(at(&format!("b.{extension}")), at(&format!("a.{extension}"))).expect("ours");
    }
    until_served(&hotgate, "a.test", "two");
    assert!(
        !hotgate.stderr().contains("does not belong"),
        "{}",
        hotgate.stderr()
    );

    // Written in place.
    make(folder.path(), "b", "three", "a.test");
    for extension in ["pem", "key"] {
        fs::copy(at(&format!("b.{extension}")), at(&format!("a.{extension}"))).expect("ours");
    }
    until_served(&hotgate, "a.test", "three");

    // Not good: the one before stays, and one sentence says so.
    fs::write(at("a.pem"), "nonsense").expect("ours");
    let line = hotgate.wait_for_line("the one before stays in use");
    assert!(
        line.contains("a.pem holds no certificate") && line.contains("try:"),
        "{line}"
    );
    fs::remove_file(at("a.key")).expect("ours");
    hotgate.wait_for_line("is not there; the one before stays in use");
    assert_eq!(served(&hotgate, "a.test").as_deref(), Some("three"));

    // Good again.
    make(folder.path(), "a", "four", "a.test");
    until_served(&hotgate, "a.test", "four");
}

#[test]
fn links_that_are_turned_are_followed_as_certbot_and_kubernetes_turn_them() {
    let folder = Folder::new();
    let at = |name: &str| folder.path().join(name);
    for (version, subject) in [("v1", "one"), ("v2", "two")] {
        fs::create_dir(at(version)).expect("ours");
        make(&at(version), "a", subject, "a.test");
    }
    symlink("v1", at("data")).expect("a link");
    for name in ["a.pem", "a.key"] {
        symlink(format!("data/{name}"), at(name)).expect("a link");
    }
    let hotgate = site_of_files(folder.path()).start();
    until_served(&hotgate, "a.test", "one");
    // Kubernetes: one link on the way, both files at once.
    symlink("v2", at("data.new")).expect("a link");
    fs::rename(at("data.new"), at("data")).expect("ours");
    until_served(&hotgate, "a.test", "two");
    // certbot: the link of each file.
    make(&at("v1"), "b", "three", "a.test");
    for (name, target) in [("a.pem", "v1/b.pem"), ("a.key", "v1/b.key")] {
        symlink(target, at("new")).expect("a link");
        fs::rename(at("new"), at(name)).expect("ours");
    }
    until_served(&hotgate, "a.test", "three");
}

#[test]
fn what_cannot_be_used_quarantines_its_site_alone() {
    let folder = Folder::new();
    make(folder.path(), "good", "good", "good.test");
    make(folder.path(), "other", "other", "other.test");
    fs::write(folder.path().join("empty.pem"), "").expect("ours");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let site = |host: &str, cert: &str, key: &str, more: &str| {
        format!(
            "[sites.\"{host}\"]\nbuiltin = \"whoami\"\ntls = {{ cert = {:?}, key = {:?}{more} }}\n",
            at(cert),
            at(key)
        )
    };
    let ca = |name: &str| format!(", client_auth = \"require\", client_ca = {:?}", at(name));
    let config = Config::new(
        site("good.test", "good.pem", "good.key", "")
            + &site("mismatch.test", "good.pem", "other.key", "")
            + &site("gone.test", "gone.pem", "gone.key", "")
            + &site("clients.test", "good.pem", "good.key", &ca("empty.pem"))
            + &site("noclients.test", "good.pem", "good.key", &ca("gone.pem")),
    );
    let hotgate = config.start();
    until_served(&hotgate, "good.test", "good");
    for name in [
        "mismatch.test",
        "gone.test",
        "clients.test",
        "noclients.test",
    ] {
        assert_eq!(served(&hotgate, name), None, "{name}");
        let mut client = Client::connect(hotgate.address());
        client.send(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n").as_bytes());
        let response = client.response();
        assert_eq!(response.status, 503, "{name}");
        hotgate.wait_for_line(&format!("site \"{name}\" is quarantined: "));
        // Nobody outside is told of files.
        assert!(
            !text(&response.body).contains(".pem"),
            "{}",
            text(&response.body)
        );
    }
    // `check` says the same, as warnings.
    let said = config.run("check");
    let told = text(&said.stdout);
    assert_eq!(said.status.code(), Some(0), "{told}{}", text(&said.stderr));
    for part in [
        "! mismatch.test: the key in ",
        "! gone.test: ",
        "gone.pem is not there; quarantined, until it is mended 503 is the answer",
        "! clients.test: ",
        "empty.pem is empty; quarantined",
        "the certificate in ",
        "names good.test, not clients.test",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    // Once there is what was lacking, the site is served, without a reload.
    fs::copy(at("other.pem"), at("gone.pem")).expect("ours");
    fs::copy(at("other.key"), at("gone.key")).expect("ours");
    until_served(&hotgate, "gone.test", "other");
}

/// The local CA before clients that are not ours.
#[test]
fn openssl_curl_python_and_node_believe_the_local_ca_and_hold_it_to_its_constraints() {
    let hotgate = Config::new(
        "[sites]\n\"localhost\" = { builtin = \"whoami\" }\n\"nas\" = { builtin = \"whoami\" }\n\
         \"*.home.lan\" = { builtin = \"whoami\" }\n\"127.0.0.1\" = { builtin = \"whoami\" }\n",
    )
    .start();
    let folder = hotgate.folder().to_owned();
    let ca = folder.join("state/ca");
    let root = ca.join("root.pem").display().to_string();
    let port = hotgate.listeners()[1].port();

    for name in ["localhost", "nas", "x.home.lan"] {
        assert_eq!(
            served(&hotgate, name).as_deref(),
            Some("hotgate local certificate"),
            "{name}"
        );
        let leaf = folder
            .join(format!("served-{name}.pem"))
            .display()
            .to_string();
        let verified = openssl(
            &folder,
            &format!(
                "verify -x509_strict -purpose sslserver -verify_hostname {name} -CAfile {root} {leaf}"
            ),
        );
        assert!(verified.contains(": OK"), "{verified}");
    }
    for name in ["localhost", "nas", "x.home.lan", "127.0.0.1"] {
        let (to, url) = (
            format!("{name}:{port}:127.0.0.1:{port}"),
            format!("https://{name}:{port}/"),
        );
        let curl = run(
            &folder,
            "curl",
            &["-sS", "--cacert", &root, "--connect-to", &to, &url],
        );
        assert!(
            curl.status.success(),
            "curl, {name}: {}",
            text(&curl.stderr)
        );
        let script = format!(
            "import ssl, socket\nc = ssl.create_default_context(cafile={root:?})\n\
             c.wrap_socket(socket.create_connection(('127.0.0.1', {port})), server_hostname='{name}')"
        );
        let python = run(&folder, "python3", &["-c", &script]);
        assert!(
            python.status.success(),
            "Python, {name}: {}",
            text(&python.stderr)
        );
        let script = format!(
            "const tls = require('tls'), fs = require('fs');\n\
             const s = tls.connect({{ host: '127.0.0.1', port: {port}, servername: {}, ca: fs.readFileSync({root:?}),\n\
               checkServerIdentity: (h, c) => tls.checkServerIdentity('{name}', c) }}, () => process.exit(s.authorized ? 0 : 1));\n\
             s.on('error', e => {{ console.error(e.message); process.exit(1); }});",
            if name == "127.0.0.1" {
                "''".to_owned()
            } else {
                format!("'{name}'")
            }
        );
        let node = run(&folder, "node", &["-e", &script]);
        assert!(
            node.status.success(),
            "node, {name}: {}",
            text(&node.stderr)
        );
    }

    // Who steals the key signs for local names alone.
    openssl(
        &folder,
        "ecparam -genkey -name prime256v1 -noout -out stolen.key",
    );
    openssl(
        &folder,
        "req -new -key stolen.key -subj /CN=x -out stolen.csr",
    );
    let key = ca.join("root-key.pem").display().to_string();
    for (name, is_permitted) in [
        ("DNS:app.localhost", true),
        ("DNS:x.nas", true),
        ("IP:192.168.1.9", true),
        ("DNS:example.com", false),
        ("DNS:nas.example.com", false),
        ("DNS:printer", false),
        ("IP:8.8.8.8", false),
    ] {
        fs::write(
            folder.join("ext"),
            format!("subjectAltName={name}\nextendedKeyUsage=serverAuth\n"),
        )
        .expect("ours");
        openssl(
            &folder,
            &format!(
                "x509 -req -in stolen.csr -CA {root} -CAkey {key} -set_serial 7 -days 2 -extfile ext -out stolen.pem"
            ),
        );
        let verified = run(
            &folder,
            "openssl",
            &["verify", "-CAfile", &root, "stolen.pem"],
        );
        assert_eq!(
            verified.status.success(),
            is_permitted,
            "{name}: {}",
            text(&verified.stderr)
        );
        let is_said = text(&verified.stderr).contains("permitted subtree violation");
        assert_eq!(is_said, !is_permitted, "{name}: {}", text(&verified.stderr));
    }
    // Keys are the service's alone.
    for name in ["root.pem", "root-key.pem"] {
        let mode = fs::metadata(ca.join(name))
            .expect("there")
            .permissions()
            .mode()
            & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
}

#[test]
fn chromium_believes_the_local_ca_once_it_is_in_its_database() {
    let hotgate = Config::new(
        "[sites]\n\"localhost\" = { builtin = \"whoami\" }\n\"nas\" = { builtin = \"whoami\" }\n",
    )
    .start();
    let folder = hotgate.folder().to_owned();
    let database = folder.join(".pki/nssdb");
    fs::create_dir_all(&database).expect("ours");
    let database = format!("sql:{}", database.display());
    if Command::new("certutil").arg("--help").output().is_err() {
        skip!("certutil is not here");
    }
    if Command::new("chromium").arg("--version").output().is_err() {
        skip!("chromium is not here");
    }
    assert!(
        run(
            &folder,
            "certutil",
            &["-d", &database, "-N", "--empty-password"]
        )
        .status
        .success()
    );
    let port = hotgate.listeners()[1].port();
    let see = |name: &str| {
        let (url, profile) = (
            format!("https://{name}:{port}/seen"),
            format!("--user-data-dir={}", folder.join("profile").display()),
        );
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            &profile,
            "--host-resolver-rules=MAP nas 127.0.0.1",
            "--dump-dom",
            &url,
        ];
        text(&run(&folder, "chromium", &arguments).stdout).contains("GET /seen")
    };
    assert!(!see("localhost"), "not believed before");
    let root = folder.join("state/ca/root.pem").display().to_string();
    assert!(
        run(
            &folder,
            "certutil",
            &[
                "-d", &database, "-A", "-t", "C,,", "-n", "x", "-a", "-i", &root
            ]
        )
        .status
        .success()
    );
    for name in ["localhost", "nas"] {
        assert!(see(name), "{name}");
    }
}

/// The system's store and a browser's, as copies in a mount namespace of the test's own.
#[test]
fn trust_and_untrust_do_it_once_and_say_what_they_did() {
    let folder = Folder::new();
    let system = "/usr/local/share/ca-certificates";
    if !rustix::process::geteuid().is_root() || !Path::new(system).is_dir() {
        skip!("it takes root and the store of a Debian");
    }
    let top = folder.path().display().to_string();
    if !run(folder.path(), "unshare", &["-m", "true"])
        .status
        .success()
    {
        skip!("no mount namespaces here");
    }
    for name in ["local", "ssl", ".pki/nssdb"] {
        fs::create_dir_all(folder.path().join(name)).expect("ours");
    }
    assert!(
        run(folder.path(), "cp", &["-a", "/etc/ssl/.", "ssl"])
            .status
            .success()
    );
    let has_certutil = Command::new("certutil").arg("--help").output().is_ok();
    if has_certutil {
        let database = format!("sql:{top}/.pki/nssdb");
        assert!(
            run(
                folder.path(),
                "certutil",
                &["-d", &database, "-N", "--empty-password"]
            )
            .status
            .success()
        );
    }
    fs::write(
        folder.path().join("h.toml"),
        "[sites]\n\"nas\" = { builtin = \"whoami\" }\n",
    )
    .expect("ours");
    let script = format!(
        "set -e\nmount --bind {top}/local {system}\nmount --bind {top}/ssl /etc/ssl\n\
         for verb in trust trust untrust untrust; do {BINARY} $verb --json -c h.toml; echo \"=$?\"\n\
         grep -c hotgate <(ls /etc/ssl/certs) || true\n\
         openssl verify -CApath /etc/ssl/certs state/ca/root.pem >verify 2>&1 && echo believed || echo unknown; echo --; done\n"
    );
    let output = run(folder.path(), "unshare", &["-m", "bash", "-c", &script]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    let parts: Vec<&str> = shown.split("--\n").collect();
    for (part, result, is_believed) in [
        (0, "added", true),
        (1, "was_there", true),
        (2, "removed", false),
        (3, "was_not_there", false),
    ] {
        let (facts, rest) = parts[part].split_once("\n=").expect("an exit code");
        let facts: Value =
            serde_json::from_str(facts).unwrap_or_else(|error| panic!("{error}: {facts}"));
        let stores = facts["stores"].as_array().expect("a list");
        assert_eq!(stores.len(), 1 + usize::from(has_certutil), "{facts}");
        for store in stores {
            assert_eq!(store["result"], result, "{facts}");
        }
        assert!(rest.starts_with("0\n"), "{rest}");
        assert_eq!(rest.contains("believed"), is_believed, "{part}: {rest}");
        let links = rest.lines().nth(1).expect("a count");
        assert_eq!(links == "0", !is_believed, "{part}: {rest}");
    }
    // One root for all four, and one that permits what is configured.
    let root = openssl(folder.path(), "x509 -in state/ca/root.pem -noout -text");
    assert!(
        root.contains("DNS:nas\n") && root.contains("X509v3 Name Constraints: critical"),
        "{root}"
    );
    let (code, printed, _) = hotgate(folder.path(), &["trust", "--print", "-c", "h.toml"]);
    assert_eq!(
        (code, printed),
        (
            0,
            fs::read_to_string(folder.path().join("state/ca/root.pem")).expect("there")
        )
    );
}

#[test]
fn imported_certificates_are_served_at_once_and_told_of() {
    let folder = Folder::new();
    let lineage = |name: &str| {
        let live = folder.path().join("le/live").join(name);
        fs::create_dir_all(&live).expect("ours");
        make(&live, "x", name, name);
        fs::rename(live.join("x.pem"), live.join("fullchain.pem")).expect("ours");
        fs::rename(live.join("x.key"), live.join("privkey.pem")).expect("ours");
    };
    lineage("a.example.com");
    lineage("b.example.com");
    // An authority that nobody reaches: what is held is served whatever it does.
    let config = Config::new(
        "[acme]\nca = \"https://127.0.0.1:9/dir\"\n\
         [sites]\n\"a.example.com\" = { builtin = \"whoami\" }\n\"b.example.com\" = { builtin = \"whoami\" }\n",
    );
    let hotgate_ = config.start();
    assert_eq!(served(&hotgate_, "a.example.com"), None);
    let state = hotgate_.folder().to_owned();
    let le = folder.path().join("le").display().to_string();
    let file = state.join("hotgate.toml").display().to_string();
    let (code, out, err) = hotgate(&state, &["certs", "import", "-c", &file, "--certbot", &le]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("✓ a.example.com: copied") && out.contains("✓ b.example.com: copied"),
        "{out}"
    );
    until_served(&hotgate_, "a.example.com", "a.example.com");
    until_served(&hotgate_, "b.example.com", "b.example.com");

    let (code, out, _) = hotgate(&state, &["certs", "--json", "-c", &file]);
    let facts: Value = serde_json::from_str(&out).expect("JSON");
    let rows = facts["certificates"].as_array().expect("a list");
    assert_eq!((code, rows.len()), (0, 2), "{out}");
    for row in rows {
        assert_eq!(
            (&row["state"], &row["source"]),
            (&"held".into(), &"imported".into()),
            "{row}"
        );
        assert_eq!(row["days_left"], 29, "{row}");
    }
    let (code, out, _) = hotgate(&state, &["certs", "a.example.com", "-c", &file]);
    assert!(
        code == 0
            && out.contains("imported, from a.example.com, 29 days left")
            && out.contains("key ECDSA P-256"),
        "{out}"
    );
    let (code, _, err) = hotgate(&state, &["certs", "c.example.com", "-c", &file]);
    assert!(
        code == 4 && err.contains("no site of HTTPS has the name c.example.com"),
        "{code} {err}"
    );
}

#[test]
fn import_refuses_what_cannot_be_served_and_says_why() {
    let folder = Folder::new();
    make(folder.path(), "a", "a", "a.test");
    make(folder.path(), "b", "b", "b.test");
    let check = |cert: &str, key: &str, exit: i32, part: &str| {
        let (code, _, err) = hotgate(folder.path(), &["certs", "import", cert, key]);
        assert_eq!(code, exit, "{err}");
        assert!(err.contains(part) && err.contains("= try: "), "{err}");
    };
    check("a.key", "a.pem", 1, "the two are swapped");
    check(
        "a.pem",
        "b.key",
        1,
        "does not belong to the certificate in a.pem (a)",
    );
    check("a.pem", "c.key", 1, "c.key is not there");
    // Made by openssl: a passphrase in the new form and the old, RSA in PKCS#1, a curve that TLS has no use for.
    openssl(
        folder.path(),
        "pkey -in a.key -aes128 -passout pass:x -out enc.key",
    );
    check("a.pem", "enc.key", 1, "a key with a passphrase");
    openssl(
        folder.path(),
        "genrsa -traditional -aes128 -passout pass:x -out old.key 2048",
    );
    check("a.pem", "old.key", 1, "a key with a passphrase");
    openssl(
        folder.path(),
        "ecparam -genkey -name secp256k1 -noout -out k1.key",
    );
    check("a.pem", "k1.key", 1, "of a kind that TLS has no use for");
    openssl(
        folder.path(),
        "pkcs12 -export -in a.pem -inkey a.key -passout pass:x -out a.p12",
    );
    check("a.p12", "a.key", 1, "openssl pkcs12");
    openssl(folder.path(), "x509 -in a.pem -outform DER -out a.der");
    check("a.der", "a.key", 1, "is a certificate in DER");
    openssl(folder.path(), "req -new -key a.key -subj /CN=a -out a.csr");
    check("a.csr", "a.key", 1, "holds a request for a certificate");
    assert!(
        !folder.path().join("state/imported").exists(),
        "nothing was copied"
    );

    // What can be: keys in each of their forms.
    openssl(folder.path(), "ec -in a.key -out sec1.key");
    assert!(
        fs::read_to_string(folder.path().join("sec1.key"))
            .expect("made")
            .contains("BEGIN EC PRIVATE KEY")
    );
    openssl(folder.path(), "genrsa -traditional -out pkcs1.key 2048");
    assert!(
        fs::read_to_string(folder.path().join("pkcs1.key"))
            .expect("made")
            .contains("BEGIN RSA PRIVATE KEY")
    );
    openssl(
        folder.path(),
        "req -x509 -key pkcs1.key -subj /CN=r -days 9 -addext subjectAltName=DNS:r.test -out r.pem",
    );
    openssl(folder.path(), "genpkey -algorithm ed25519 -out ed.key");
    openssl(
        folder.path(),
        "req -x509 -key ed.key -subj /CN=e -days 9 -addext subjectAltName=DNS:e.test -out e.pem",
    );
    for (cert, key) in [
        ("a.pem", "a.key"),
        ("a.pem", "sec1.key"),
        ("r.pem", "pkcs1.key"),
        ("e.pem", "ed.key"),
    ] {
        let (code, out, err) = hotgate(folder.path(), &["certs", "import", cert, key]);
        assert_eq!(code, 0, "{cert} {key}: {out}{err}");
    }
    let imported: Vec<PathBuf> = ["a.test", "r.test", "e.test"]
        .iter()
        .map(|name| folder.path().join("state/imported").join(name))
        .collect();
    for folder in imported {
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(
            (mode(&folder), mode(&folder.join("key.pem"))),
            (0o700, 0o600)
        );
    }
}

/// RSA beside ECDSA: each client gets what it can verify.
#[test]
fn two_pairs_of_one_name_are_served_by_what_the_client_takes() {
    let folder = Folder::new();
    make(folder.path(), "ec", "ecdsa", "a.test");
    openssl(
        folder.path(),
        "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=rsa -keyout rsa.key -out rsa.pem -addext subjectAltName=DNS:a.test",
    );
    let at = |name: &str| folder.path().join(name).display().to_string();
    let hotgate = Config::new(format!(
        "[sites.\"a.test\"]\nbuiltin = \"whoami\"\ntls = [{{ cert = {:?}, key = {:?} }}, {{ cert = {:?}, key = {:?} }}]\n",
        at("rsa.pem"),
        at("rsa.key"),
        at("ec.pem"),
        at("ec.key")
    ))
    .start();
    let address = hotgate.listeners()[1].to_string();
    for (algorithms, subject) in [
        ("ECDSA+SHA256:RSA-PSS+SHA256", "ecdsa"),
        ("RSA-PSS+SHA256", "rsa"),
        ("ECDSA+SHA256", "ecdsa"),
    ] {
        let arguments = [
            "s_client",
            "-connect",
            &address,
            "-servername",
            "a.test",
            "-sigalgs",
            algorithms,
        ];
        let shown = text(&run(hotgate.folder(), "openssl", &arguments).stdout);
        assert!(
            shown.contains(&format!("CN = {subject}")),
            "{algorithms}: {shown}"
        );
    }
    // One of the two goes bad: at a start the other serves on.
    drop(hotgate);
    fs::write(at("ec.pem"), "").expect("ours");
    let hotgate = Config::new(format!(
        "[sites.\"a.test\"]\nbuiltin = \"whoami\"\ntls = [{{ cert = {:?}, key = {:?} }}, {{ cert = {:?}, key = {:?} }}]\n",
        at("rsa.pem"),
        at("rsa.key"),
        at("ec.pem"),
        at("ec.key")
    ))
    .start();
    until_served(&hotgate, "a.test", "rsa");
    hotgate.wait_for_line("ec.pem is empty");
}
