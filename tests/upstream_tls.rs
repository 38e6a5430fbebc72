//! `https://` targets: who is believed, who is refused, and that nothing goes to somebody else in the meantime.

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustls::{
    ServerConfig, ServerConnection,
    crypto::aws_lc_rs::default_provider,
    version::{TLS12, TLS13},
};
use support::{
    Client, Config, Connection, Hotgate, Origin,
    app::program,
    back::{Asked, Back, Serving},
    hotgate::{Folder, free_port},
    let_pass, poll_until,
    tls::{Asker, Authority, Front, Leaf},
    upgrade::{HANDSHAKE, SWITCH, shouting},
};

/// An authority, whose certificate is in a file.
struct Scene {
    folder: Folder,
    authority: Authority,
    ca: PathBuf,
}

impl Scene {
    fn new() -> Scene {
        let (folder, authority) = (Folder::new(), Authority::new("internal root"));
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, authority.pem()).expect("written");
        Scene {
            folder,
            authority,
            ca,
        }
    }

    fn leaf(&self) -> Leaf {
        self.authority.server(&["app.internal"])
    }

    /// An app behind TLS that is what `believing` expects.
    fn back(&self, origin: &Origin) -> Back {
        Serving::of(&self.leaf()).before(origin.port())
    }

    /// The site `a.test`, whose app has to be `app.internal`.
    fn believing(&self, port: u16) -> String {
        site(port, &self.settings())
    }

    fn settings(&self) -> String {
        format!("ca = {:?}, server_name = \"app.internal\"", self.ca)
    }
}

fn site(port: u16, settings: &str) -> String {
    format!(
        "[sites.\"http://a.test\"]\nto = \"https://127.0.0.1:{port}\"\nupstream_tls = {{ {settings} }}\n"
    )
}

/// The reason that the access log has for the one request that was made.
fn reason_of_one(text: &str) -> String {
    let folder = Folder::new();
    let log = folder.path().join("access.log");
    let hotgate = Config::new(text).access_log(&log, "json").start();
    let status = Client::connect(hotgate.address()).get("/secret").status;
    let line = poll_until("a line of the access log", || {
        let text = fs::read_to_string(&log).ok()?;
        text.ends_with('\n').then_some(text)
    });
    let line: serde_json::Value = serde_json::from_str(line.trim()).expect("one line");
    format!("{status} {}", line["reason"].as_str().expect("a reason"))
}

#[test]
fn an_app_is_asked_by_its_name_and_sees_the_clients_host() {
    let scene = Scene::new();
    for version in [&TLS12, &TLS13] {
        let origin = Origin::mirror();
        let back = Serving::of(&scene.leaf())
            .version(version)
            .before(origin.port());
        let hotgate = Hotgate::start(scene.believing(back.port()));
        let mut client = Client::connect(hotgate.address());
        for target in ["/one", "/two", "/three"] {
            assert_eq!(client.get(target).text(), format!("GET {target} "));
        }
        assert_eq!(
            back.asked(),
            [Asked {
                name: Some("app.internal".to_owned()),
                protocols: vec!["http/1.1".to_owned()],
            }],
            "one connection carries them all"
        );
        hotgate.stop();
        let requests = origin.finish()[0].requests();
        assert_eq!(requests[0].field("host"), Some("a.test"));
        assert_eq!(requests[0].field("x-forwarded-proto"), Some("http"));
    }
}

#[test]
fn an_address_is_verified_as_one() {
    let scene = Scene::new();
    let origin = Origin::echo();
    let back = Serving::of(&scene.authority.server(&["127.0.0.1"])).before(origin.port());
    let hotgate = Hotgate::start(site(back.port(), &format!("ca = {:?}", scene.ca)));
    assert_eq!(Client::connect(hotgate.address()).get("/x").text(), "/x");
    assert_eq!(
        back.asked()[0].name,
        None,
        "an address is no name (RFC 6066 §3)"
    );
    let host = format!(
        "[sites.\"http://a.test\"]\nto = \"https://localhost:{}\"\nhost = \"upstream\"\nupstream_tls = {{ {} }}\n",
        back.port(),
        scene.settings().replace("app.internal", "127.0.0.1")
    );
    let hotgate = Hotgate::start(host);
    assert_eq!(Client::connect(hotgate.address()).get("/x").text(), "/x");
    hotgate.stop();
    let seen = origin.finish()[1].requests()[0]
        .field("host")
        .map(str::to_owned);
    assert_eq!(seen, Some(format!("localhost:{}", back.port())));
}

/// A leaf whose validity is over.
fn expired(scene: &Scene) -> Leaf {
    scene.authority.server_until(&["app.internal"], 2020)
}

#[test]
fn whoever_is_not_the_app_gets_no_request() {
    let scene = Scene::new();
    let stranger = Authority::new("another root");
    let (cert, key) = stranger
        .client("hotgate")
        .write(scene.folder.path(), "stranger");
    let settings = scene.settings();
    let name = |name: &str| settings.replace("app.internal", name);
    let check = |what: &str, serving: Serving, settings: &str, expected: &str| {
        let origin = Origin::echo();
        let back = serving.before(origin.port());
        assert_eq!(
            reason_of_one(&site(back.port(), settings)),
            expected,
            "{what}"
        );
        let records = origin.finish();
        assert!(
            records.iter().all(|record| record.bytes.is_empty()),
            "{what}"
        );
    };
    let ours = || Serving::of(&scene.leaf());
    let of = |leaf: Leaf| Serving::of(&leaf);
    check(
        "another authority",
        of(stranger.server(&["app.internal"])),
        &settings,
        "502 upstream_tls:unknown_issuer",
    );
    check(
        "nobody but the system's authorities is believed",
        ours(),
        "server_name = \"app.internal\"",
        "502 upstream_tls:unknown_issuer",
    );
    check(
        "another name",
        ours(),
        &name("other.internal"),
        "502 upstream_tls:wrong_name",
    );
    check(
        "a longer name",
        of(scene.authority.server(&["x.app.internal"])),
        &settings,
        "502 upstream_tls:wrong_name",
    );
    check(
        "its address is not its name",
        ours(),
        &format!("ca = {:?}", scene.ca),
        "502 upstream_tls:wrong_name",
    );
    check(
        "a name that goes on behind NUL",
        of(scene.authority.server(&["app.internal\0.evil.test"])),
        &settings,
        "502 upstream_tls:wrong_name",
    );
    check(
        "a name that goes on before NUL",
        of(scene.authority.server(&["evil.test\0app.internal"])),
        &settings,
        "502 upstream_tls:wrong_name",
    );
    check(
        "out of date",
        of(expired(&scene)),
        &settings,
        "502 upstream_tls:expired",
    );
    check(
        "a client's certificate",
        of(scene.authority.client("app.internal")),
        &settings,
        "502 upstream_tls:bad_certificate",
    );
    check(
        "the app wants to know who we are, and nothing is shown",
        ours().version(&TLS12).clients(scene.authority.roots()),
        &settings,
        "502 upstream_tls:refused",
    );
    check(
        "the app does not believe what is shown",
        ours().version(&TLS12).clients(scene.authority.roots()),
        &format!("{settings}, cert = {cert:?}, key = {key:?}"),
        "502 upstream_tls:refused",
    );
}

/// A listener that does this with each connection.
fn peer(act: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            act(socket);
        }
    });
    port
}

#[test]
fn nothing_is_read_before_the_handshake_is_complete() {
    let scene = Scene::new();
    // TL-10: an answer in the clear, right after accept.
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    let got = Arc::new(Mutex::new(Vec::new()));
    let port = peer({
        let got = got.clone();
        move |mut socket| {
            let _ = socket.write_all(answer.as_bytes());
            let mut hello = Vec::new();
            let _ = socket.read_to_end(&mut hello);
            got.lock().expect("ours").push(hello);
        }
    });
    let reason = reason_of_one(&scene.believing(port));
    assert_eq!(reason, "502 upstream_tls:no_tls");
    let unverified = reason_of_one(&site(port, "verify = false"));
    assert_eq!(unverified, "502 upstream_tls:no_tls");
    poll_until("both connections to end", || {
        (got.lock().expect("ours").len() == 2).then_some(())
    });
    for hello in got.lock().expect("ours").iter() {
        assert_eq!(hello[0], 22, "a handshake's record");
        assert!(
            !hello.windows(7).any(|octets| octets == b"/secret"),
            "asked in the clear"
        );
    }
    let port = peer(drop);
    assert_eq!(
        reason_of_one(&scene.believing(port)),
        "502 upstream_tls:closed"
    );
}

#[test]
fn a_handshake_has_the_time_of_a_connect() {
    let scene = Scene::new();
    let held = Mutex::new(Vec::new());
    let port = peer(move |socket| held.lock().expect("ours").push(socket));
    let text = scene.believing(port) + "timeouts.connect = \"300ms\"\n";
    assert_eq!(reason_of_one(&text), "504 connect_timeout");
}

#[test]
fn an_unverified_app_is_served_and_warned_of() {
    let origin = Origin::echo();
    let leaf = Authority::new("nobody's").server(&["whoever"]);
    let back = Serving::of(&leaf).before(origin.port());
    let text = site(back.port(), "verify = false");
    let checked = Config::new(text.clone()).run("check");
    let told = String::from_utf8_lossy(&checked.stderr).into_owned()
        + &String::from_utf8_lossy(&checked.stdout);
    assert!(
        checked.status.success() && told.contains("`verify = false` lets anybody"),
        "{told}"
    );
    let hotgate = Hotgate::start(text);
    assert_eq!(Client::connect(hotgate.address()).get("/x").text(), "/x");
}

#[test]
fn an_app_that_wants_to_know_who_we_are_is_shown_a_certificate() {
    let scene = Scene::new();
    for version in [&TLS12, &TLS13] {
        let origin = Origin::echo();
        let serving = Serving::of(&scene.leaf())
            .version(version)
            .clients(scene.authority.roots());
        let back = serving.before(origin.port());
        let (cert, key) = scene
            .authority
            .client("hotgate")
            .write(scene.folder.path(), "hotgate");
        let settings = format!("{}, cert = {cert:?}, key = {key:?}", scene.settings());
        let hotgate = Hotgate::start(site(back.port(), &settings));
        assert_eq!(Client::connect(hotgate.address()).get("/x").text(), "/x");
        // In TLS 1.3 the refusal comes behind a handshake that looked complete.
        let hotgate = Hotgate::start(scene.believing(back.port()));
        assert_eq!(Client::connect(hotgate.address()).get("/x").status, 502);
    }
}

#[test]
fn bodies_of_every_size_pass_both_ways_unchanged() {
    let scene = Scene::new();
    let origin = Origin::start(|connection| {
        while let Some(request) = connection.read_request() {
            let body = &request.body;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            if !connection.send(head) || !connection.send(body) {
                return;
            }
        }
    });
    let back = scene.back(&origin);
    let hotgate = Hotgate::start(scene.believing(back.port()));
    let mut client = Client::connect(hotgate.address());
    let content: Vec<u8> = (0..3 << 20).map(|at: u32| (at % 251) as u8).collect();
    for length in [0, 1, 100, 16_383, 16_384, 16_385, 70_000, 1 << 20, 3 << 20] {
        let body = &content[..length];
        client.send(format!(
            "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n"
        ));
        let mut reader = client.reader();
        thread::scope(|scope| {
            scope.spawn(|| client.send(body));
            let response = reader.response();
            assert!(
                response.status == 200 && response.body == body,
                "{length} octets"
            );
        });
    }
    assert_eq!(back.asked().len(), 1);
}

/// Answers until the end of the connection.
fn unbounded(connection: &mut Connection) {
    if connection.read_request().is_some() {
        connection.send("HTTP/1.1 200 OK\r\n\r\nall of it");
        connection.close();
    }
}

#[test]
fn an_end_counts_where_the_app_says_so() {
    let scene = Scene::new();
    let origin = Origin::start(unbounded);
    let back = scene.back(&origin);
    let hotgate = Hotgate::start(scene.believing(back.port()));
    let mut client = Client::connect(hotgate.address());
    assert_eq!(client.get("/x").text(), "all of it");
    // Without close_notify anybody on the way may have cut it off (RFC 8446 §6.1).
    let origin = Origin::start(unbounded);
    let back = Serving::of(&scene.leaf()).curt().before(origin.port());
    let hotgate = Hotgate::start(scene.believing(back.port()));
    let mut client = Client::connect(hotgate.address());
    client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let rest = String::from_utf8_lossy(&client.rest()).into_owned();
    assert!(
        rest.starts_with("HTTP/1.1 200") && !rest.ends_with("0\r\n\r\n"),
        "the client sees that it is cut off: {rest}"
    );
}

#[test]
fn idle_connections_rest_and_are_used_again() {
    let scene = Scene::new();
    let origin = Origin::echo();
    let back = scene.back(&origin);
    let hotgate = Hotgate::start(scene.believing(back.port()));
    let mut client = Client::connect(hotgate.address());
    for pause in [0, 300, 1500, 2500] {
        let_pass(Duration::from_millis(pause));
        assert_eq!(client.get("/x").text(), "/x", "after {pause} ms");
    }
    assert_eq!(
        back.asked().len(),
        1,
        "tickets on an idle connection are nothing unasked for"
    );
    let_pass(Duration::from_millis(4500));
    assert_eq!(client.get("/x").text(), "/x");
    assert_eq!(back.asked().len(), 2, "its idle limit is over");
    assert_eq!(back.goodbyes(), 1, "a parked one says goodbye");
    let text = scene.believing(back.port()) + "timeouts.upstream_idle = \"1s\"\n";
    let hotgate = Hotgate::start(text);
    assert_eq!(Client::connect(hotgate.address()).get("/x").text(), "/x");
    poll_until("a warm one to say goodbye", || {
        (back.goodbyes() == 2).then_some(())
    });
}

#[test]
fn a_connection_that_the_app_has_closed_carries_nothing() {
    let scene = Scene::new();
    let origin = Origin::start(|connection| {
        if connection.read_request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        connection.close();
    });
    let curt = Serving::of(&scene.leaf()).curt();
    for back in [scene.back(&origin), curt.before(origin.port())] {
        let hotgate = Hotgate::start(scene.believing(back.port()));
        let mut client = Client::connect(hotgate.address());
        for asked in 1..=4 {
            let post = "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx";
            assert_eq!(client.ask(post).status, 200);
            assert_eq!(back.asked().len(), asked);
            let_pass(Duration::from_millis(100));
        }
    }
}

#[test]
fn a_tunnel_passes_rests_and_ends_whichever_end_is_encrypted() {
    let scene = Scene::new();
    let origin = shouting();
    let back = scene.back(&origin);
    let (cert, key) = scene
        .authority
        .server(&["a.test"])
        .write(scene.folder.path(), "site");
    let secured = scene
        .believing(back.port())
        .replace("http://a.test", "a.test")
        + &format!("tls = {{ cert = {cert:?}, key = {key:?} }}\n");
    let plain = Hotgate::start(scene.believing(back.port()));
    let secured = Hotgate::start(secured);
    let tls = *secured.listeners().last().expect("a listener of TLS");
    let front = Front::new(tls, Asker::of(&scene.authority).config(), "a.test");
    for address in [plain.address(), front.address()] {
        let mut client = Client::connect(address);
        client.send(HANDSHAKE);
        assert_eq!(client.response_head().status, 101);
        for (word, pause) in [("hello", 0), ("again", 0), ("rested", 3000), ("last", 3000)] {
            let_pass(Duration::from_millis(pause));
            client.send(word);
            assert_eq!(
                client.read_exactly(word.len()),
                word.to_ascii_uppercase().as_bytes()
            );
        }
        client.half_close();
        assert_eq!(client.rest(), b"");
    }
}

/// An app whose TLS is in the hands of the test: `act` gets the connection once its handshake is complete.
fn by_hand(
    leaf: &Leaf,
    act: impl Fn(&mut ServerConnection, &mut TcpStream) + Send + Sync + 'static,
) -> u16 {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("a version")
        .with_no_client_auth()
        .with_single_cert(leaf.chain.clone(), leaf.private_key())
        .expect("a certificate");
    let config = Arc::new(config);
    peer(move |mut socket| {
        let mut tls = ServerConnection::new(config.clone()).expect("a server");
        while tls.is_handshaking() {
            if tls.complete_io(&mut socket).is_err() {
                return;
            }
        }
        act(&mut tls, &mut socket);
    })
}

#[test]
fn a_tunnel_with_half_a_record_of_the_app_is_over_in_time() {
    let scene = Scene::new();
    let port = by_hand(&scene.leaf(), |tls, socket| {
        let mut request = [0; 4096];
        let mut stream = rustls::Stream::new(tls, socket);
        let count = stream.read(&mut request).expect("a request");
        assert!(count > 0);
        stream.write_all(SWITCH.as_bytes()).expect("sent");
        stream.flush().expect("sent");
        let mut record = Vec::new();
        tls.writer().write_all(b"never whole").expect("room");
        tls.write_tls(&mut record).expect("a vector takes all");
        socket.write_all(&record[..record.len() - 5]).expect("sent");
        // Held until hotgate gives up.
        let _ = socket.read(&mut request);
    });
    let text = scene.believing(port) + "timeouts.tunnel_idle = \"2s\"\n";
    let hotgate = Hotgate::start(text);
    let mut client = Client::connect(hotgate.address());
    client.send(HANDSHAKE);
    assert_eq!(client.response_head().status, 101);
    client.expect_close();
}

#[test]
fn an_app_that_asks_to_renegotiate_is_not_waited_for() {
    let scene = Scene::new();
    let openssl = or_skip!(program("openssl"));
    let (cert, key) = scene.leaf().write(scene.folder.path(), "app");
    let port = free_port();
    let mut server = Command::new(openssl)
        .args([
            "s_server",
            "-tls1_2",
            "-accept",
            &format!("127.0.0.1:{port}"),
        ])
        .arg("-cert")
        .arg(cert)
        .arg("-key")
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl starts");
    let (mut commands, said) = (
        server.stdin.take().expect("piped"),
        server.stdout.take().expect("piped"),
    );
    let mut lines = BufReader::new(said).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("ACCEPT")), "it listens");
    // What it says is read to the end, or it would stop; a request makes it ask.
    let asking = thread::spawn(move || {
        for line in lines {
            if line.starts_with("GET /x") {
                commands.write_all(b"r\n").expect("it listens to us");
            }
        }
        drop(commands);
    });
    let hotgate = Hotgate::start(scene.believing(port));
    let response = Client::connect(hotgate.address()).get("/x");
    let _ = server.kill();
    let _ = server.wait();
    asking.join().expect("no panic");
    assert_eq!(response.status, 502);
}

#[test]
fn pipelined_requests_share_an_encrypted_connection() {
    let scene = Scene::new();
    let origin = Origin::echo();
    let back = scene.back(&origin);
    let text = format!(
        "[upstreams.app]\nservers = \"https://127.0.0.1:{}\"\npipeline = 8\n\
         [sites.\"http://a.test\"]\nto = \"app\"\nupstream_tls = {{ {} }}\n",
        back.port(),
        scene.settings()
    );
    let hotgate = Hotgate::start(text);
    thread::scope(|scope| {
        for client in 0..16 {
            let address = hotgate.address();
            scope.spawn(move || {
                let mut asking = Client::connect(address);
                for number in 0..100 {
                    let target = format!("/{client}/{number}");
                    assert_eq!(asking.get(&target).text(), target);
                }
            });
        }
    });
    let connections = back.asked().len();
    assert!(connections <= 16, "{connections} connections");
}

#[test]
fn two_sites_with_other_rules_for_one_app_share_nothing() {
    let scene = Scene::new();
    let origin = Origin::echo();
    let back = scene.back(&origin);
    let port = back.port();
    let other = site(port, "").replace("http://a.test", "http://b.test");
    let hotgate = Hotgate::start(scene.believing(port) + &other);
    let mut client = Client::connect(hotgate.address());
    assert_eq!(client.get("/x").text(), "/x");
    // The connection that stands is of no use to a site that does not believe it.
    let refused = client.ask("GET /x HTTP/1.1\r\nHost: b.test\r\n\r\n");
    assert_eq!(refused.status, 502);
}

/// Asks until the site answers so.
fn until(hotgate: &Hotgate, status: u16) {
    poll_until(&format!("{status} is the answer"), || {
        let answer = Client::connect(hotgate.address()).get("/x");
        (answer.status == status).then_some(())
    });
}

fn replace(path: &Path, text: &str) {
    let part = path.with_extension("part");
    fs::write(&part, text).expect("written");
    fs::rename(part, path).expect("renamed");
}

#[test]
fn a_file_that_comes_later_or_changes_is_taken_without_a_restart() {
    let scene = Scene::new();
    let origin = Origin::echo();
    let back = scene.back(&origin);
    fs::remove_file(&scene.ca).expect("ours");
    let text = scene.believing(back.port());
    assert_eq!(reason_of_one(&text), "502 upstream_tls:unusable");
    let checked = Config::new(text.clone()).run("check");
    let told = String::from_utf8_lossy(&checked.stdout).into_owned()
        + &String::from_utf8_lossy(&checked.stderr);
    assert!(
        checked.status.success() && told.contains("ca.pem is not there; nothing is sent to it"),
        "{told}"
    );
    let hotgate = Hotgate::start(text);
    hotgate.wait_for_line("ca.pem is not there");
    until(&hotgate, 502);
    replace(&scene.ca, scene.authority.pem());
    until(&hotgate, 200);
    // Another authority: whom it did not sign for is out, whatever connection to it stands.
    replace(&scene.ca, Authority::new("the next root").pem());
    until(&hotgate, 502);
    replace(&scene.ca, scene.authority.pem());
    until(&hotgate, 200);
    // What is no certificate changes nothing.
    replace(&scene.ca, "nothing");
    hotgate.wait_for_line("the one before stays in use");
    until(&hotgate, 200);
}
