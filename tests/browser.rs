//! A real browser before hotgate: a page with its images, and a WebSocket, in a headless Chromium.
//!
//! `tests/run.sh` installs the browser and its driver; where they are absent the test says so and is skipped.

mod support;

use std::process::Command;

use support::{
    App,
    app::{self, chromium, node_script, page},
    hotgate::{BINARY, free_port},
    poll_until,
};

/// A name that browsers take for this machine without asking anybody.
const HOST: &str = "app.localhost";

/// The command that serves `HOST` on `port` of this machine, in front of the app on port `target`, with an access log
/// in nginx's format on standard output.
fn hotgate(target: u16, port: u16) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["quick", HOST, &target.to_string()]);
    command.args(["--port", &port.to_string()]);
    command
}

#[test]
fn a_page_its_images_and_its_websocket_arrive_in_chromium() {
    let browser = or_skip!(chromium());
    let (target, port) = (free_port(), free_port());
    let _page = or_skip!(page(target));
    let hotgate = App::start(hotgate(target, port)).wait_for_port(port);

    let mut driver = or_skip!(node_script("browser.js"));
    driver.arg(browser).arg(format!("http://{HOST}:{port}/"));
    let told = app::run(driver);
    let shown: serde_json::Value = serde_json::from_str(&told).expect("the driver prints JSON");
    assert_eq!(
        shown,
        serde_json::json!({
            "status": 200,
            "url": format!("http://{HOST}:{port}/"),
            "redirect": null,
            "tls": null,
            "failures": [],
            "images": "20",
            "messages": "hello; octets 1,2,3; text of 100000; closed 1000 cleanly",
            "colour": "rgb(1, 2, 3)",
            "protocol": "http/1.1",
            // The stylesheet, the script and the images.
            "resources": 22,
        })
    );

    // A WebSocket has its line when it ends.
    let is_switch = |line: &str| line.contains("\"GET /api/live/ws HTTP/1.1\" 101 ");
    let log = poll_until("the WebSocket's line in the access log", || {
        Some(hotgate.said()).filter(|log| log.lines().any(is_switch))
    });
    let fine = |target: &str| {
        let line = format!("\"GET {target} HTTP/1.1\" 200 ");
        log.lines().filter(|said| said.contains(&line)).count()
    };
    assert_eq!(
        [fine("/"), fine("/script.js"), fine("/style.css")],
        [1, 1, 1],
        "{log}"
    );
    for number in 0..20 {
        assert_eq!(fine(&format!("/image/{number}.gif")), 1, "{log}");
    }
}
