//! The two sides of an upgrade to WebSocket, and an app that takes one up.

use super::{Origin, Request};

/// A client's request for it.
pub const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
/// An app's consent.
pub const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: x\r\n\r\n";

/// Has the request this connection option?
pub fn has_option(request: &Request, option: &str) -> bool {
    request.fields.all("connection").iter().any(|value| {
        value
            .split(',')
            .any(|it| it.trim().eq_ignore_ascii_case(option))
    })
}

/// An origin that switches and then sends back what it gets, in capitals.
pub fn shouting() -> Origin {
    Origin::start(|connection| {
        let Some(request) = connection.read_head() else {
            return;
        };
        if request.field("upgrade").is_none() {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain");
            return;
        }
        assert!(has_option(&request, "upgrade"), "{:?}", request.fields);
        connection.send(SWITCH);
        loop {
            let octets = connection.read_exactly(1);
            if octets.is_empty() || !connection.send(octets.to_ascii_uppercase()) {
                connection.half_close();
                return;
            }
        }
    })
}
