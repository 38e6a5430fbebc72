//! The whole program: hotgate itself on ports 80 and 443, in a network of the test's own, with Pebble and with Caddy.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    namespace::{InIt, Namespace},
    pebble::Identity,
    place::{Folder, program},
};
use crate::{
    or_skip,
    support::{
        Hotgate,
        hotgate::{BINARY, Folder as Home, backend},
        poll_until,
    },
};

const HOST: &str = "app.example.com";
/// Seconds that Pebble's certificates are good for here.
const VALIDITY: u64 = 12;

/// Pebble in a namespace, on the ports that authorities use.
pub(crate) struct Authority {
    _programs: Vec<InIt>,
    pub(crate) folder: Folder,
    pub(crate) root: PathBuf,
    /// Whom it signs with.
    pub(crate) issuer: PathBuf,
    pub(crate) namespace: Namespace,
}

impl Authority {
    fn pebble() -> Result<Authority, String> {
        Authority::pebble_for(HOST)
    }

    /// In whose namespace this name, too, is the machine itself.
    pub(crate) fn pebble_for(host: &str) -> Result<Authority, String> {
        let (pebble, names, _) = (
            program("pebble")?,
            program("pebble-challtestsrv")?,
            program("curl")?,
        );
        let namespace = Namespace::new(&format!("127.0.0.1 localhost {host}\n"))?;
        let folder = Folder::new();
        let root = Identity::new(&folder).root;
        folder.file(
            "pebble.json",
            format!(
                "{{\"pebble\":{{\"listenAddress\":\"127.0.0.1:14000\",\"managementListenAddress\":\"127.0.0.1:15000\",\
                 \"certificate\":\"server.pem\",\"privateKey\":\"server.key\",\"httpPort\":80,\"tlsPort\":443,\
                 \"ocspResponderURL\":\"\",\"certificateValidityPeriod\":{VALIDITY},\"externalAccountBindingRequired\":false}}}}"
            ),
        );
        let arguments = [
            "-management",
            "127.0.0.1:8055",
            "-dns01",
            "127.0.0.1:53",
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
            "-defaultIPv6",
            "",
            "-defaultIPv4",
            "127.0.0.1",
        ];
        let names = namespace.start(&folder, &names, &arguments, &[]);
        let environment = [("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0")];
        let pebble = namespace.start(
            &folder,
            &pebble,
            &["-config", "pebble.json", "-dnsserver", "127.0.0.1:53"],
            &environment,
        );
        let issuer = folder.file(
            "issuer.pem",
            namespace.fetch(&root, "https://localhost:15000/roots/0"),
        );
        Ok(Authority {
            _programs: vec![names, pebble],
            folder,
            root,
            issuer,
            namespace,
        })
    }

    fn caddy() -> Result<Authority, String> {
        let (caddy, _) = (program("caddy")?, program("curl")?);
        let namespace = Namespace::new(&format!("127.0.0.1 localhost ca.test {HOST}\n"))?;
        let folder = Folder::new();
        folder.file(
            "Caddyfile",
            "{\n  admin off\n  auto_https disable_redirects\n  storage file_system ./data\n  skip_install_trust\n  https_port 8443\n}\n\
             https://ca.test:8443 {\n  tls internal\n  acme_server {\n    lifetime 12h\n  }\n}\n",
        );
        let home = folder.path().display().to_string();
        let caddy = namespace.start(
            &folder,
            &caddy,
            &["run", "--config", "Caddyfile", "--adapter", "caddyfile"],
            &[("HOME", &home)],
        );
        let root = folder.path().join("data/pki/authorities/local/root.crt");
        poll_until("Caddy's root", || root.exists().then_some(()));
        namespace.fetch(&root, "https://ca.test:8443/acme/local/directory");
        Ok(Authority {
            _programs: vec![caddy],
            folder,
            issuer: root.clone(),
            root,
            namespace,
        })
    }

    /// The configuration of hotgate, with these lines in `[acme]`.
    fn config(&self, directory: &str, acme: &str) -> PathBuf {
        let root = self.root.display();
        let text = format!(
            "[server]\nhttp = [\":80\"]\nhttps = [\":443\"]\nworkers = 2\nbackend = \"{}\"\n[log.access]\npath = \"off\"\n\
             [acme]\nca = \"{directory}\"\nca_root = \"{root}\"\n{acme}\n[sites]\n\"{HOST}\" = {{ builtin = \"whoami\" }}\n",
            backend()
        );
        self.folder.file("hotgate.toml", text)
    }

    fn hotgate(&self, config: &Path, home: &Path) -> Command {
        let mut command = self.namespace.command(Path::new(BINARY));
        command.env("STATE_DIRECTORY", home);
        command.args(["-c".as_ref(), config.as_os_str()]);
        command
    }

    fn start(&self, config: &Path, home: &Path) -> Hotgate {
        let mut command = self.hotgate(config, home);
        command.arg("run");
        Hotgate::command(command, Home::new())
    }

    fn verb(&self, config: &Path, home: &Path, verb: &[&str]) -> Output {
        self.hotgate(config, home)
            .args(verb)
            .output()
            .expect("hotgate starts")
    }

    /// One request over TLS that believes the authority alone.
    fn request(&self) -> Output {
        let curl = program("curl").expect("it was there");
        let url = format!("https://{HOST}/");
        self.namespace.run(
            &curl,
            [
                "-sS".as_ref(),
                "-m".as_ref(),
                "10".as_ref(),
                "--cacert".as_ref(),
                self.issuer.as_os_str(),
                url.as_ref(),
            ],
        )
    }

    fn is_served(&self) {
        poll_until("a certificate that is served", || {
            self.request().status.success().then_some(())
        });
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn the_whole_program_by_each_challenge_of_a_port() {
    let authority = or_skip!(Authority::pebble());
    for challenge in ["http-01", "tls-alpn-01"] {
        let home = Folder::new();
        let config = authority.config(
            "https://localhost:14000/dir",
            &format!("challenge = \"{challenge}\""),
        );
        let hotgate = authority.start(&config, home.path());
        authority.is_served();
        hotgate.wait_for_line(&format!("certificate for {HOST} by {challenge}"));
        // What it answers is the app's, and http is sent to https.
        let answer = text(&authority.request());
        assert!(answer.contains("x-forwarded-proto: https"), "{answer}");
        let curl = program("curl").expect("it was there");
        let plain = authority
            .namespace
            .run(&curl, ["-si", &format!("http://{HOST}/a?b")]);
        assert!(
            text(&plain).contains(&format!("https://{HOST}/a?b")),
            "{}",
            text(&plain)
        );
        // A token that nobody awaits is not answered, and nothing of it comes back.
        let url = format!("http://{HOST}/.well-known/acme-challenge/none");
        let unknown = text(&authority.namespace.run(&curl, ["-si", &url]));
        assert!(
            unknown.starts_with("HTTP/1.1 404 ") && !unknown.contains("none."),
            "{unknown}"
        );
    }
}

#[test]
fn short_certificates_are_renewed_under_load_without_a_failed_request() {
    let authority = or_skip!(Authority::pebble());
    let home = Folder::new();
    let config = authority.config("https://localhost:14000/dir", "");
    let hotgate = authority.start(&config, home.path());
    authority.is_served();
    let (began, mut requests) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(3 * VALIDITY) {
        let output = authority.request();
        assert!(
            output.status.success(),
            "request {requests}: {}",
            text(&output)
        );
        requests += 1;
    }
    let renewed = hotgate
        .stderr()
        .matches(&format!("certificate for {HOST} by "))
        .count();
    assert!(
        renewed >= 4,
        "{renewed} certificates in {requests} requests"
    );
}

#[test]
fn a_renewal_by_hand_and_a_restart() {
    let authority = or_skip!(Authority::pebble());
    let home = Folder::new();
    let dns = r#"[acme.dns]
provider = "exec"
command = '''
case $HOTGATE_DNS_ACTION in add) verb=set-txt;; remove) verb=clear-txt;; esac
curl -sf http://127.0.0.1:8055/$verb -d "{\"host\":\"$HOTGATE_DNS_NAME.\",\"value\":\"$HOTGATE_DNS_VALUE\"}"
'''"#;
    let config = authority.config(
        "https://localhost:14000/dir",
        &format!("challenge = \"http-01\"\n{dns}"),
    );
    // Nobody runs: the request waits.
    let output = authority.verb(&config, home.path(), &["certs", "renew", HOST]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(
        text(&output).contains("no hotgate runs with this state folder"),
        "{}",
        text(&output)
    );
    let mut hotgate = authority.start(&config, home.path());
    authority.is_served();
    let output = authority.verb(&config, home.path(), &["certs", "renew", HOST]);
    assert!(
        output.status.success() && text(&output).contains(&format!("✓ {HOST}: renewed")),
        "{}",
        text(&output)
    );
    let output = authority.verb(
        &config,
        home.path(),
        &["certs", "renew", "other.example.com"],
    );
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    // The record of dns-01 is tried without the authority.
    let output = authority.verb(&config, home.path(), &["certs", "dns", HOST]);
    let said = text(&output);
    assert!(
        output.status.success()
            && said.matches('✓').count() == 3
            && said.contains(&format!("_acme-challenge.{HOST}")),
        "{said}"
    );
    // What is held is served at once after a restart, while the authority is away.
    hotgate.signal(Signal::TERM);
    assert!(hotgate.wait_exit().success());
    let gone = authority.config("https://localhost:1/dir", "challenge = \"http-01\"");
    let folders: Vec<_> = fs::read_dir(home.path().join("acme"))
        .expect("kept")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    let _hotgate = authority.start(&gone, home.path());
    assert!(authority.request().status.success());
}

#[test]
fn an_authority_of_caddys() {
    let authority = or_skip!(Authority::caddy());
    for challenge in ["http-01", "tls-alpn-01"] {
        let home = Folder::new();
        let config = authority.config(
            "https://ca.test:8443/acme/local/directory",
            &format!("challenge = \"{challenge}\""),
        );
        let hotgate = authority.start(&config, home.path());
        authority.is_served();
        hotgate.wait_for_line(&format!(
            "certificate for {HOST} by {challenge}, good for 1"
        ));
    }
}
