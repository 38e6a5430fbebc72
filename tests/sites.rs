//! From a request to its app: which site and path it meets, and what the app is told of the client.

mod support;

use support::{Client, Config, Hotgate, Origin, Request, Response, hotgate::free_port};

/// An origin that answers with its own name and the request's target.
fn named(name: &'static str) -> Origin {
    Origin::start(move |connection| {
        connection.serve(|request| format!("{name} {}", request.target))
    })
}

/// An origin that answers with the request head as it came.
fn telling() -> Origin {
    Origin::start(|connection| {
        connection.serve(|request| {
            let lines: Vec<String> = request
                .fields
                .0
                .iter()
                .map(|(name, value)| format!("{name}: {value}\n"))
                .collect();
            format!("{}\n{}", request.line(), lines.concat())
        });
    })
}

/// The request that a [`telling`] origin told of.
fn told(response: &Response) -> Request {
    let text = response.text();
    let (line, fields) = text.split_once('\n').expect("the origin tells lines");
    let (method, target) = line
        .split_once(' ')
        .expect("the origin tells a request line");
    let fields = fields
        .lines()
        .map(|line| line.split_once(": ").expect("the origin tells field lines"));
    Request {
        method: method.to_owned(),
        target: target.to_owned(),
        version: String::new(),
        fields: support::message::Fields(
            fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        ),
        body: Vec::new(),
    }
}

#[track_caller]
fn ask(hotgate: &Hotgate, host: &str, target: &str) -> Response {
    Client::connect(hotgate.address())
        .ask(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

#[test]
fn a_host_meets_its_site_in_one_normal_form() {
    let (a, b) = (named("a"), named("b"));
    let hotgate = Hotgate::start(format!(
        "[sites]\n\"http://a.test\" = {}\n\"http://B.test.\" = {}\n",
        a.port(),
        b.port()
    ));
    for host in [
        "a.test",
        "A.TEST",
        "a.test.",
        "A.Test.:80",
        "a.test:12345",
        "a.test:",
    ] {
        assert_eq!(ask(&hotgate, host, "/").text(), "a /", "{host}");
    }
    assert_eq!(ask(&hotgate, "b.test", "/").text(), "b /");
}

#[test]
fn an_exact_host_beats_a_wildcard_and_that_beats_the_fallback() {
    let (exact, wild, any) = (named("exact"), named("wild"), named("any"));
    let hotgate = Hotgate::start(format!(
        "[sites]\n\"*\" = {}\n\"http://*.a.test\" = {}\n\"http://x.a.test\" = {}\n",
        any.port(),
        wild.port(),
        exact.port()
    ));
    let check = |host: &str, site: &str| {
        assert_eq!(
            ask(&hotgate, host, "/").text(),
            format!("{site} /"),
            "{host}"
        )
    };
    check("x.a.test", "exact");
    check("X.A.TEST.", "exact");
    check("y.a.test", "wild");
    check("a.test", "any");
    check("y.x.a.test", "any");
    check("127.0.0.1", "any");
    check("[::1]:80", "any");
}

#[test]
fn a_name_that_no_site_has_is_421_and_the_connection_closes() {
    let origin = named("a");
    let hotgate = Hotgate::start(format!("[sites]\n\"http://a.test\" = {}\n", origin.port()));
    for host in ["b.test", "a.test.b", "xa.test", "sub.a.test", "127.0.0.1"] {
        let mut client = Client::connect(hotgate.address());
        let response = client.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(
            (response.status, response.says_close()),
            (421, true),
            "{host}"
        );
        client.expect_close();
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_port_site_takes_any_host_on_its_port_alone() {
    let (here, there) = (named("here"), named("there"));
    let port = free_port();
    let hotgate = Hotgate::start(format!(
        "[sites]\n\"http://a.test\" = {}\n\":{port}\" = {}\n",
        here.port(),
        there.port()
    ));
    let on_port = |host: &str| {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        Client::connect(address).ask(&format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    };
    assert_eq!(on_port("whatever.test").text(), "there /x");
    assert_eq!(on_port("a.test").text(), "there /x");
    assert_eq!(ask(&hotgate, "a.test", "/x").text(), "here /x");
    assert_eq!(ask(&hotgate, "whatever.test", "/x").status, 421);
}

#[test]
fn a_site_with_a_port_of_its_own_listens_there_alone() {
    let (here, there) = (named("here"), named("there"));
    let port = free_port();
    let hotgate = Hotgate::start(format!(
        "[sites]\n\"http://a.test\" = {}\n\"http://b.test:{port}\" = {}\n",
        here.port(),
        there.port()
    ));
    let on_port = |host: &str| {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        Client::connect(address).ask(&format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    };
    assert_eq!(on_port(&format!("b.test:{port}")).text(), "there /x");
    assert_eq!(on_port("a.test").status, 421);
    assert_eq!(ask(&hotgate, "b.test", "/x").status, 421);
    assert_eq!(ask(&hotgate, "a.test", "/x").text(), "here /x");
}

#[test]
fn a_host_without_http_is_sent_to_https_unless_a_plain_one_stands_beside_it() {
    let origin = named("a");
    let port = origin.port();
    let hotgate = Hotgate::start(format!(
        "[sites]\n\"a.test\" = {port}\n\"b.test\" = {port}\n\"http://b.test\" = {port}\n"
    ));
    let sent = ask(&hotgate, "A.test.", "/x?y=1");
    assert_eq!(sent.status, 308);
    assert_eq!(sent.fields.one("Location"), Some("https://a.test/x?y=1"));
    assert_eq!(ask(&hotgate, "b.test", "/x").text(), "a /x");
}

#[test]
fn what_is_meant_for_an_app_over_tls_never_goes_in_the_clear() {
    let origin = named("a");
    let port = origin.port();
    let hotgate = Hotgate::start(format!(
        "[sites]\n\"http://a.test\" = \"https://127.0.0.1:{port}\"\n"
    ));
    let status = ask(&hotgate, "a.test", "/x").status;
    // An app that does not speak TLS waits for a request, and we for its ServerHello.
    assert_eq!(status, 504);
    hotgate.stop();
    let is_secret = |octets: &[u8]| !octets.windows(2).any(|pair| pair == b"/x");
    assert!(origin.finish().iter().all(|one| is_secret(&one.bytes)));
}

#[test]
fn the_longest_path_wins_and_never_half_a_segment() {
    let (root, api, deep, exact) = (named("root"), named("api"), named("deep"), named("exact"));
    let hotgate = Hotgate::start(format!(
        "[sites.\"http://a.test\"]\nto = {}\n[sites.\"http://a.test\".paths]\n\"/api\" = {}\n\"/api/deep/\" = {}\n\"=/api/exact\" = {}\n",
        root.port(),
        api.port(),
        deep.port(),
        exact.port()
    ));
    let check = |target: &str, app: &str| {
        assert_eq!(
            ask(&hotgate, "a.test", target).text(),
            format!("{app} {target}")
        )
    };
    check("/", "root");
    check("/api", "api");
    check("/api/", "api");
    check("/api?x=/api/deep", "api");
    check("/apix", "root");
    check("/API", "root");
    check("/api/deepx", "api");
    check("/api/deep", "deep");
    check("/api/deep/er", "deep");
    check("/api/exact", "exact");
    check("/api/exact/", "api");
    check("/api%2fdeep", "root");
}

#[test]
fn a_site_of_paths_alone_is_404_elsewhere() {
    let origin = named("a");
    let hotgate = Hotgate::start(format!(
        "[sites.\"http://a.test\".paths]\n\"/api\" = {}\n",
        origin.port()
    ));
    assert_eq!(ask(&hotgate, "a.test", "/api/x").text(), "a /api/x");
    assert_eq!(ask(&hotgate, "a.test", "/other").status, 404);
}

#[test]
fn strip_takes_the_prefix_off_and_tells_the_app() {
    let origin = telling();
    let hotgate = Hotgate::start(format!(
        "[sites.\"http://a.test\".paths]\n\"/one/two\" = {{ to = {0}, strip = true }}\n\"/keep\" = {{ to = {0} }}\n",
        origin.port()
    ));
    let check = |target: &str, sent: &str, prefix: Option<&str>| {
        let request = told(&ask(&hotgate, "a.test", target));
        assert_eq!(
            (request.target.as_str(), request.field("x-forwarded-prefix")),
            (sent, prefix),
            "{target}"
        );
    };
    check("/one/two/three?four", "/three?four", Some("/one/two"));
    check("/one/two", "/", Some("/one/two"));
    check("/one/two/", "/", Some("/one/two"));
    check("/one/two?q", "/?q", Some("/one/two"));
    // Two slashes in front would read as the name of a host where the app redirects to the path.
    check("/one/two//evil.test/x", "/evil.test/x", Some("/one/two"));
    check("/keep/x", "/keep/x", None);
}

#[test]
fn the_path_is_matched_and_sent_in_one_form() {
    let origin = named("a");
    let hotgate = Hotgate::start(format!("[sites]\n\"http://a.test\" = {}\n", origin.port()));
    let check = |target: &str, sent: &str| {
        assert_eq!(
            ask(&hotgate, "a.test", target).text(),
            format!("a {sent}"),
            "{target}"
        )
    };
    check("/a/./b", "/a/b");
    check("/a/../b", "/b");
    check("/a/b/..", "/a/");
    check("/a/%2e%2E/b", "/b");
    check("/a/.%2e/b", "/b");
    check("/%61%7e%2D", "/a~-");
    check("/a%2Fb", "/a%2Fb");
    check("/a%2fb", "/a%2fb");
    check("/%C3%a9", "/%C3%a9");
    check("//x//y", "//x//y");
    check("/a;p/b", "/a;p/b");
    check("/...", "/...");
    check("/x?../%2e%zz\"", "/x?../%2e%zz\"");
    check("/%25", "/%25");
    for target in [
        "/..",
        "/a/../../b",
        "/%2e%2e",
        "/%00",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a\\b",
        "/a%5c/..%2e/../../..",
        "/a#b",
    ] {
        assert_eq!(ask(&hotgate, "a.test", target).status, 400, "{target}");
    }
}

#[test]
fn the_app_sees_the_host_that_it_is_configured_to_see() {
    let origin = telling();
    let port = origin.port();
    let hotgate = Hotgate::start(format!(
        "[sites.\"http://keep.test\"]\nto = {port}\n\
         [sites.\"http://up.test\"]\nto = \"localhost:{port}\"\nhost = \"upstream\"\n\
         [sites.\"http://name.test\"]\nto = {port}\nhost = \"inner.example\"\n"
    ));
    let host = |host: &str| {
        let request = support::poll_until("the name localhost to be resolved", || {
            let response = ask(&hotgate, host, "/");
            (response.status != 503).then(|| told(&response))
        });
        (
            request.field("host").map(str::to_owned),
            request.field("x-forwarded-host").map(str::to_owned),
        )
    };
    let some = |host: &str, forwarded: &str| (Some(host.to_owned()), Some(forwarded.to_owned()));
    assert_eq!(
        host("keep.test:8080"),
        some("keep.test:8080", "keep.test:8080")
    );
    assert_eq!(
        host("up.test"),
        some(&format!("localhost:{port}"), "up.test")
    );
    assert_eq!(host("name.test"), some("inner.example", "name.test"));
}

/// Fields with which a client could say who it is.
const CLAIMS: &str = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Proto: https\r\n\
    X-Forwarded-Port: 666\r\nX-Forwarded-Prefix: /evil\r\nX-Forwarded-Server: evil\r\nX-Real-IP: 6.6.6.6\r\n\
    Forwarded: for=6.6.6.6;proto=https\r\nX-Client-IP: 6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\nCF-Connecting-IP: 6.6.6.6\r\n\
    X-Original-URL: /evil\r\nX-Rewrite-URL: /evil\r\nProxy: evil\r\nRemote-User: evil\r\n\
    X-Forwarded-Tls-Client-Cert: evil\r\n";

#[test]
fn what_an_untrusted_client_claims_to_be_is_replaced() {
    let origin = telling();
    let hotgate = Hotgate::start(format!("[sites]\n\"http://a.test\" = {}\n", origin.port()));
    let mut client = Client::connect(hotgate.address());
    let response = client.ask(&format!(
        "GET / HTTP/1.1\r\nHost: a.test:81\r\n{CLAIMS}X-App: kept\r\n\r\n"
    ));
    let request = told(&response);
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
    assert_eq!(request.field("x-forwarded-host"), Some("a.test:81"));
    assert!(
        request
            .field("x-forwarded-port")
            .is_some_and(|port| port != "666")
    );
    assert_eq!(request.field("x-app"), Some("kept"));
    let text = response.text().to_lowercase();
    assert!(
        !text.contains("evil") && !text.contains("6.6.6.6"),
        "{text}"
    );
}

#[test]
fn a_trusted_proxys_word_is_believed_as_far_as_trust_goes() {
    let origin = telling();
    let sites = format!("[sites]\n\"http://a.test\" = {}\n", origin.port());
    let trusting = Config::new(sites.clone())
        .server("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]")
        .start();
    let check = |claimed: &str, believed: &str| {
        let mut client = Client::connect(trusting.address());
        let request = told(&client.ask(&format!(
            "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: {claimed}\r\n\r\n"
        )));
        assert_eq!(request.field("x-real-ip"), Some(believed), "{claimed}");
        assert_eq!(
            request.field("x-forwarded-proto"),
            Some("https"),
            "{claimed}"
        );
        let chain = request
            .field("x-forwarded-for")
            .unwrap_or_default()
            .to_owned();
        assert!(
            chain.ends_with("127.0.0.1") && chain.contains(believed),
            "{claimed}: {chain}"
        );
    };
    check("203.0.113.7", "203.0.113.7");
    check("6.6.6.6, 203.0.113.7", "203.0.113.7");
    check("6.6.6.6, 203.0.113.7, 10.1.2.3", "203.0.113.7");
    check("::ffff:203.0.113.7", "203.0.113.7");
    // A field that CGI would take for its own variable passes from nobody.
    let request = told(
        &Client::connect(trusting.address())
            .ask("GET / HTTP/1.1\r\nHost: a.test\r\nProxy: http://6.6.6.6\r\n\r\n"),
    );
    assert_eq!(request.field("proxy"), None);
    let elsewhere = Config::new(sites)
        .server("trusted_proxies = [\"10.0.0.0/8\"]")
        .start();
    let request = told(
        &Client::connect(elsewhere.address())
            .ask(&format!("GET / HTTP/1.1\r\nHost: a.test\r\n{CLAIMS}\r\n")),
    );
    assert_eq!(request.field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
}

#[test]
fn names_that_an_app_might_take_for_others_are_dropped_unless_wanted() {
    let origin = telling();
    let hotgate = Hotgate::start(format!(
        "[sites.\"http://a.test\"]\nto = {0}\n[sites.\"http://b.test\"]\nto = {0}\nunderscore_headers = true\n",
        origin.port()
    ));
    let fields = "X_Token: t\r\nX.Dot: d\r\nX_Forwarded_For: 6.6.6.6\r\nX-Plain: p\r\n";
    let told_by = |host: &str| {
        let mut client = Client::connect(hotgate.address());
        told(&client.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")))
    };
    let dropped = told_by("a.test");
    assert!(
        !dropped.fields.has("x_token")
            && !dropped.fields.has("x.dot")
            && !dropped.fields.has("x_forwarded_for")
    );
    assert_eq!(dropped.field("x-plain"), Some("p"));
    assert_eq!(told_by("b.test").field("x_token"), Some("t"));
}

#[test]
fn fields_for_this_hop_stop_here_in_both_directions() {
    let origin = Origin::start(|connection| {
        while let Some(request) = connection.read_request() {
            for name in [
                "x-hop",
                "keep-alive",
                "proxy-connection",
                "te",
                "trailer",
                "upgrade",
                "proxy-authorization",
            ] {
                assert!(!request.fields.has(name), "{name}: {:?}", request.fields);
            }
            assert_eq!(request.field("x-end"), Some("2"));
            connection.send(
                "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nProxy-Connection: x\r\n\
                 Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTrailer: X\r\nX-End: 2\r\nServer: app\r\nContent-Length: 2\r\n\r\nok",
            );
        }
    });
    let hotgate = Hotgate::start(format!("[sites]\n\"http://a.test\" = {}\n", origin.port()));
    let mut client = Client::connect(hotgate.address());
    let response = client.ask(
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: x-hop, TE\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nProxy-Connection: x\r\n\
         TE: trailers\r\nTrailer: X\r\nProxy-Authorization: Basic x\r\nX-End: 2\r\n\r\n",
    );
    for name in [
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "upgrade",
        "trailer",
    ] {
        assert!(!response.fields.has(name), "{name}: {:?}", response.fields);
    }
    assert_eq!(
        (
            response.field("x-end"),
            response.field("server"),
            response.text().as_str()
        ),
        (Some("2"), Some("app"), "ok")
    );
}

#[test]
fn an_allow_list_refuses_everybody_else() {
    let origin = named("a");
    let port = origin.port();
    let hotgate = Hotgate::start(format!(
        "[sites.\"http://a.test\"]\nto = {port}\n[sites.\"http://a.test\".paths]\n\
         \"/in\" = {{ to = {port}, allow = [\"127.0.0.0/8\"] }}\n\"/out\" = {{ to = {port}, allow = [\"10.9.9.9/32\", \"fd00::/8\"] }}\n"
    ));
    assert_eq!(ask(&hotgate, "a.test", "/in/x").text(), "a /in/x");
    assert_eq!(ask(&hotgate, "a.test", "/out/x").status, 403);
    assert_eq!(ask(&hotgate, "a.test", "/").text(), "a /");
    assert_eq!(origin.lines(), ["GET /in/x", "GET /"]);
}

#[test]
fn whoami_tells_what_it_received_and_masks_credentials() {
    let hotgate = Hotgate::start("[sites]\n\"http://a.test\" = { builtin = \"whoami\" }\n");
    let mut client = Client::connect(hotgate.address());
    let response = client.ask(
        "GET /who?x=1 HTTP/1.1\r\nHost: a.test\r\nX-Mine: yes\r\nAuthorization: Basic c2VjcmV0\r\nCookie: id=secret\r\n\r\n",
    );
    let text = response.text();
    assert_eq!(response.status, 200);
    assert!(
        text.contains("/who?x=1") && text.to_lowercase().contains("x-mine: yes"),
        "{text}"
    );
    assert!(
        text.to_lowercase().contains("x-forwarded-for: 127.0.0.1"),
        "{text}"
    );
    assert!(
        !text.contains("c2VjcmV0") && !text.contains("secret"),
        "{text}"
    );
}
