//! Real apps that speak TLS themselves, behind `https://` targets.
//!
//! The same apps and clients as in `apps.rs`, where they speak in the clear.

mod support;

use std::{fs, path::PathBuf, process::Command};

use support::{
    App, Hotgate,
    app::{self, curl, flask, node_script, program, python_command, succeeds},
    hotgate::{Folder, free_port},
    tls::Authority,
};

/// Files of a certificate for `app.internal`.
struct Files {
    folder: Folder,
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
    client: (PathBuf, PathBuf),
}

impl Files {
    fn new() -> Files {
        let (folder, authority) = (Folder::new(), Authority::new("internal root"));
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, authority.pem()).expect("written");
        let (cert, key) = authority
            .server(&["app.internal"])
            .write(folder.path(), "app");
        let client = authority.client("hotgate").write(folder.path(), "hotgate");
        Files {
            folder,
            ca,
            cert,
            key,
            client,
        }
    }

    /// The site of this host, and its app on this port.
    fn serve(&self, host: &str, port: u16, more: &str) -> Hotgate {
        Hotgate::start(format!(
            "[sites.\"http://{host}\"]\nto = \"https://127.0.0.1:{port}\"\n\
             upstream_tls = {{ ca = {:?}, server_name = \"app.internal\"{more} }}\n",
            self.ca
        ))
    }
}

#[test]
fn fastapi_under_uvicorn_exchanges_json_events_and_websockets() {
    let (files, port) = (Files::new(), free_port());
    let (cert, key) = (files.cert.to_string_lossy(), files.key.to_string_lossy());
    let _app = or_skip!(app::fastapi(
        port,
        &[
            "--no-proxy-headers",
            "--ssl-certfile",
            &cert,
            "--ssl-keyfile",
            &key,
        ],
    ));
    let hotgate = files.serve("fastapi.test", port, "");
    for script in [
        "client_httpx.py",
        "client_events.py",
        "client_websockets.py",
    ] {
        succeeds(or_skip!(python_command("python")), script, &hotgate);
    }
}

#[test]
fn flask_under_gunicorn_asks_who_we_are() {
    let (files, port) = (Files::new(), free_port());
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let _app = or_skip!(flask(
        port,
        None,
        &[
            "--certfile",
            &text(&files.cert),
            "--keyfile",
            &text(&files.key),
            "--ca-certs",
            &text(&files.ca),
            "--cert-reqs",
            "2", // ssl.CERT_REQUIRED
        ],
    ));
    let (cert, key) = &files.client;
    let known = files.serve(
        "flask.test",
        port,
        &format!(", cert = {cert:?}, key = {key:?}"),
    );
    let status = |hotgate: &Hotgate| -> Result<String, String> {
        let mut command = curl(hotgate, "flask.test", "/none")?;
        // Not a failure here.
        command.args([
            "--no-fail-with-body",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
        ]);
        Ok(app::run(command))
    };
    // Whatever the app says of the path, it is the app that says it.
    assert_eq!(or_skip!(status(&known)), "404");
    assert_eq!(
        or_skip!(status(&files.serve("flask.test", port, ""))),
        "502"
    );
}

#[test]
fn node_is_asked_by_its_name_and_told_the_clients_host() {
    let (files, port) = (Files::new(), free_port());
    let mut command = or_skip!(node_script("https_app.js"));
    command
        .arg(port.to_string())
        .args([&files.cert, &files.key]);
    let _app = App::start(command).wait_for_port(port);
    let hotgate = files.serve("node.test", port, "");
    for body in [0usize, 1, 100_000, 3_000_000] {
        let upload = files.folder.path().join("upload");
        fs::write(&upload, vec![b'x'; body]).expect("written");
        let mut command = or_skip!(curl(&hotgate, "node.test", "/a?b"));
        command
            .arg("--data-binary")
            .arg(format!("@{}", upload.display()));
        let said = app::run(command);
        let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(said["octets"], body);
        assert_eq!(said["name"], "app.internal");
        assert_eq!(said["version"], "TLSv1.3");
        let host = said["host"].as_str().expect("a host");
        assert!(host.starts_with("node.test:"), "{host}");
    }
}

#[test]
fn nginx_speaks_tls_1_2_and_closes_its_idle_connections() {
    let (files, port) = (Files::new(), free_port());
    let nginx = or_skip!(program("nginx"));
    let folder = files.folder.path();
    let config = format!(
        "daemon off; error_log stderr; pid {folder}/nginx.pid; worker_processes 1;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
         server {{ listen 127.0.0.1:{port} ssl; server_name app.internal; keepalive_timeout 1s;\n\
         ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.2;\n\
         location / {{ return 200 \"$ssl_protocol $ssl_server_name $connection_requests\"; }} }} }}\n",
        files.cert.display(),
        files.key.display(),
        folder = folder.display(),
    );
    fs::write(folder.join("nginx.conf"), config).expect("written");
    let mut command = Command::new(nginx);
    command.arg("-c").arg(folder.join("nginx.conf"));
    let _app = App::start(command).wait_for_port(port);
    let hotgate = files.serve("nginx.test", port, "");
    let ask =
        || curl(&hotgate, "nginx.test", "/").map(|command| app::run(command).trim().to_owned());
    assert_eq!(or_skip!(ask()), "TLSv1.2 app.internal 1");
    assert_eq!(or_skip!(ask()), "TLSv1.2 app.internal 2");
    // It says goodbye after a second; nobody is asked on what it has left.
    support::let_pass(std::time::Duration::from_millis(1500));
    assert_eq!(or_skip!(ask()), "TLSv1.2 app.internal 1");
}
