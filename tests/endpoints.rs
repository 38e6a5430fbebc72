//! The endpoints of a site: ports, names, Unix sockets, lists; those that are down or do not resolve.

mod support;

use support::{Client, Config, Hotgate, Origin, hotgate::free_port, site};

#[test]
fn a_get_goes_to_the_other_server_when_one_refuses() {
    let origin = Origin::echo();
    let dead = free_port();
    let hotgate = Hotgate::start(format!(
        "[sites]\n\"http://a.test\" = [{dead}, {}]\n",
        origin.port()
    ));
    let mut client = Client::connect(hotgate.address());
    for n in 0..6 {
        assert_eq!(client.get(&format!("/{n}")).text(), format!("/{n}"));
    }
    assert_eq!(
        origin.lines(),
        (0..6).map(|n| format!("GET /{n}")).collect::<Vec<_>>()
    );
}

/// The servers of an upstream in turn, and beside them what `to` has of its own.
#[test]
fn a_site_may_name_an_upstream() {
    let (one, two, three) = (Origin::echo(), Origin::echo(), Origin::echo());
    let hotgate = Hotgate::start(format!(
        "[upstreams.pair]\nservers = [{}, {{ address = \"127.0.0.1:{}\" }}]\n\
         [sites.\"http://a.test\"]\nto = \"pair\"\npaths.\"/three\" = [\"pair\", {}]\n",
        one.port(),
        two.port(),
        three.port()
    ));
    let mut client = Client::connect(hotgate.address());
    for n in 0..4 {
        assert_eq!(client.get(&format!("/{n}")).text(), format!("/{n}"));
    }
    assert_eq!([one.lines().len(), two.lines().len()], [2, 2]);
    for _ in 0..3 {
        assert_eq!(client.get("/three").text(), "/three");
    }
    let lines = [one, two, three].map(|origin| origin.lines().len());
    assert_eq!(lines, [3, 3, 1]);
}

/// An address that two upstreams have, with and without `pipeline`, serves both, each over connections of its own.
#[test]
fn upstreams_with_one_address_and_another_pipeline_share_no_connection() {
    let origin = Origin::echo();
    let hotgate = Hotgate::start(format!(
        "[upstreams.plain]\nservers = {port}\n[upstreams.deep]\nservers = {port}\npipeline = 8\n\
         [sites.\"http://a.test\"]\nto = \"plain\"\npaths.\"/deep\" = \"deep\"\n",
        port = origin.port()
    ));
    let mut client = Client::connect(hotgate.address());
    for path in ["/", "/deep", "/", "/deep"] {
        assert_eq!(client.get(path).text(), path);
    }
    assert_eq!(origin.connections(), 2);
}

#[test]
fn what_was_never_sent_goes_to_the_other_server_whatever_its_method() {
    let origin = Origin::mirror();
    let dead = free_port();
    let hotgate = Hotgate::start(format!(
        "[sites]\n\"http://a.test\" = [{dead}, {}]\n",
        origin.port()
    ));
    let mut client = Client::connect(hotgate.address());
    for method in [
        "PUT", "DELETE", "POST", "PATCH", "PUT", "DELETE", "POST", "PATCH",
    ] {
        let response = client.ask(&format!(
            "{method} /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello"
        ));
        assert_eq!(response.text(), format!("{method} /x hello"));
    }
    assert_eq!(origin.lines().len(), 8);
}

#[test]
fn a_get_goes_to_the_other_server_when_one_ends_without_an_answer() {
    let cutter = Origin::start(|connection| {
        connection.read_request();
        connection.close();
    });
    let origin = Origin::echo();
    let hotgate = Hotgate::start(format!(
        "[sites]\n\"http://a.test\" = [{}, {}]\n",
        cutter.port(),
        origin.port()
    ));
    let mut client = Client::connect(hotgate.address());
    for n in 0..4 {
        assert_eq!(client.get(&format!("/{n}")).text(), format!("/{n}"));
    }
}

#[test]
fn a_refused_connection_is_502_and_the_site_recovers_by_itself() {
    let port = free_port();
    let hotgate = Hotgate::start(site(port));
    let mut client = Client::connect(hotgate.address());
    assert_eq!(client.get("/").status, 502);
    assert_eq!(
        client
            .ask("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx")
            .status,
        502
    );
    let _origin = Origin::on(&format!("127.0.0.1:{port}"), |connection| {
        connection.serve(|_| "back".to_owned())
    });
    assert_eq!(client.get("/").text(), "back");
}

#[test]
fn a_name_that_does_not_resolve_makes_its_site_503_and_leaves_the_others_alone() {
    let origin = Origin::echo();
    let hotgate = Hotgate::start(format!(
        "[sites]\n\"http://lost.test\" = \"no-such-host.invalid:80\"\n\"http://a.test\" = {}\n",
        origin.port()
    ));
    let mut client = Client::connect(hotgate.address());
    assert_eq!(client.get("/").text(), "/");
    assert_eq!(
        client
            .ask("GET / HTTP/1.1\r\nHost: lost.test\r\n\r\n")
            .status,
        503
    );
    assert_eq!(client.get("/again").text(), "/again");
}

#[test]
fn a_name_that_resolves_is_an_endpoint_like_any_other() {
    let origin = Origin::echo();
    let hotgate = Hotgate::start(format!(
        "[sites]\n\"http://a.test\" = \"localhost:{}\"\n",
        origin.port()
    ));
    // The name is looked up while hotgate serves already.
    let mut client = Client::connect(hotgate.address());
    let text = support::poll_until("the name to be resolved", || {
        let response = client.get("/x");
        (response.status != 503).then(|| response.text())
    });
    assert_eq!(text, "/x");
}

#[test]
fn a_port_means_ipv4_first_and_then_ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        skip!("this machine has no IPv6 loopback");
    }
    let origin = Origin::on("[::1]:0", |connection| {
        connection.serve(|_| "six".to_owned())
    });
    let hotgate = Hotgate::start(site(origin.port()));
    assert_eq!(Client::connect(hotgate.address()).get("/").text(), "six");
}

#[test]
fn a_unix_socket_is_an_endpoint_and_a_dead_one_is_502() {
    let folder = support::hotgate::Folder::new();
    let (live, dead) = (
        folder.path().join("live.sock"),
        folder.path().join("dead.sock"),
    );
    drop(std::os::unix::net::UnixListener::bind(&dead).expect("a Unix socket can be bound"));
    let origin = Origin::on_path(&live, |connection| {
        connection.serve(|request| request.target.clone())
    });
    let hotgate = Hotgate::start(format!(
        "[sites]\n\"http://a.test\" = \"unix:{}\"\n\"http://dead.test\" = \"unix:{}\"\n\"http://none.test\" = \"unix:{}\"\n",
        live.display(),
        dead.display(),
        folder.path().join("none.sock").display()
    ));
    let mut client = Client::connect(hotgate.address());
    assert_eq!(client.get("/a").text(), "/a");
    assert_eq!(client.get("/b").text(), "/b");
    assert_eq!(origin.connections(), 1);
    for host in ["dead.test", "none.test"] {
        assert_eq!(
            client
                .ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                .status,
            502,
            "{host}"
        );
    }
}

#[test]
fn a_list_is_served_in_turn() {
    let origins: Vec<Origin> = (0..3).map(|_| Origin::echo()).collect();
    let ports: Vec<u16> = origins.iter().map(Origin::port).collect();
    let hotgate = Config::new(format!("[sites]\n\"http://a.test\" = {ports:?}\n")).start();
    let mut client = Client::connect(hotgate.address());
    for n in 0..30 {
        assert_eq!(client.get(&format!("/{n}")).status, 200);
    }
    for origin in &origins {
        assert_eq!(origin.lines().len(), 10);
    }
}
