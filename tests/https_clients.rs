//! node and a real browser as clients of an HTTPS site: they come in where they believe its authority, and only there.
//!
//! openssl, curl and Python are in `tls_peers.rs`.

mod support;

use std::{fs, process::Command};

use serde_json::{Value, json};
use support::{
    App, Config, Hotgate,
    app::{self, chromium, express, node_script, page, program},
    hotgate::{Folder, free_port},
    tls::Authority,
};

/// The one site `localhost`, a name that every client finds, and its authority's root in a file.
struct Stage {
    hotgate: Hotgate,
    root: String,
    http: u16,
    https: u16,
    folder: Folder,
    _app: App,
}

impl Stage {
    /// In front of an app that is started on the port it is told.
    fn new(app: impl Fn(u16) -> Result<App, String>) -> Result<Stage, String> {
        let [target, http, https] = [(); 3].map(|()| free_port());
        let app = app(target)?;
        let (folder, authority) = (Folder::new(), Authority::new("test root"));
        let (cert, key) = authority
            .server(&["localhost"])
            .write(folder.path(), "site");
        let root = folder.path().join("root.pem");
        fs::write(&root, authority.pem()).expect("ours");
        let hotgate = Config::new(format!(
            "[sites.\"localhost\"]\nto = {target}\ntls = {{ cert = {cert:?}, key = {key:?} }}\n"
        ))
        .http(&[&format!("127.0.0.1:{http}")])
        .https(&[&format!("127.0.0.1:{https}")])
        .server(&format!("public_https = {https}"))
        .start();
        Ok(Stage {
            hotgate,
            root: root.display().to_string(),
            http,
            https,
            folder,
            _app: app,
        })
    }
}

#[test]
fn node_and_its_fetch_come_in_where_they_believe_the_authority() {
    let stage = or_skip!(Stage::new(|port| express(port, "app")));
    for root in [Some(&stage.root), None] {
        let mut client = or_skip!(node_script("client_https.js"));
        client.args([stage.http, stage.https].map(|port| port.to_string()));
        client.arg(root.map_or("none", String::as_str));
        client.env_remove("NODE_EXTRA_CA_CERTS");
        if let Some(root) = root {
            client.env("NODE_EXTRA_CA_CERTS", root);
        }
        assert_eq!(app::run(client), "ok\n");
    }
    // Whoever does not believe us says so in an alert, and that harms nobody.
    assert_eq!(
        support::client::Client::connect(stage.hotgate.address())
            .get("/")
            .status,
        421
    );
}

#[test]
fn chromium_comes_in_where_the_authority_is_in_its_database() {
    let browser = or_skip!(chromium());
    let certutil = or_skip!(program("certutil"));
    let stage = or_skip!(Stage::new(page));
    let database = stage.folder.path().join(".pki/nssdb");
    fs::create_dir_all(&database).expect("ours");
    let database = format!("sql:{}", database.display());
    let certutil = |arguments: &[&str]| {
        let mut command = Command::new(&certutil);
        command.args(["-d", &database]).args(arguments);
        app::run(command);
    };
    certutil(&["-N", "--empty-password"]);

    let see = |url: &str| -> Result<Value, String> {
        let mut driver = node_script("browser.js")?;
        driver.arg(&browser).arg(url);
        driver.env("HOME", stage.folder.path());
        driver.env_remove("XDG_DATA_HOME");
        let told = app::run(driver);
        Ok(serde_json::from_str(&told).expect("the driver prints JSON"))
    };
    let (plain, secure) = (
        format!("http://localhost:{}/", stage.http),
        format!("https://localhost:{}/", stage.https),
    );
    for url in [&plain, &secure] {
        let shown = or_skip!(see(url));
        assert_eq!(shown, json!({"refused": "net::ERR_CERT_AUTHORITY_INVALID"}));
    }

    certutil(&[
        "-A",
        "-t",
        "C,,",
        "-n",
        "test root",
        "-a",
        "-i",
        &stage.root,
    ]);
    for (url, redirect) in [(&secure, Value::Null), (&plain, json!(308))] {
        let shown = or_skip!(see(url));
        assert_eq!(
            shown,
            json!({
                "status": 200,
                "url": secure,
                "redirect": redirect,
                "tls": "TLS 1.3",
                "failures": [],
                "images": "20",
                "messages": "hello; octets 1,2,3; text of 100000; closed 1000 cleanly",
                "colour": "rgb(1, 2, 3)",
                // What ALPN has agreed on.
                "protocol": "http/1.1",
                "resources": 22,
            })
        );
    }
}
