//! What the built-in origin reads of a request: where its head ends, how long its body is, what it asks for.
//!
//! Not the proxy's own parser, so that origin and proxy do not share a fault, and so much cheaper as an origin that
//! trusts its one client may be.

/// A request's head, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Request {
    /// Octets of the head, with its empty line.
    pub(super) head_octets: usize,
    /// Octets of the body behind it.
    pub(super) body_octets: u64,
    /// What is asked for.
    pub(super) asked: Asked,
    /// Is the connection to be closed after the answer?
    pub(super) closes: bool,
}

/// What a path asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// The small answer.
    Small,
    /// So many octets.
    Octets(u64),
    /// A connection whose octets come back.
    WebSocket,
    /// The small answer, once it is released.
    Hold,
    /// How many are held.
    Held,
    /// To release those that are held.
    Release,
    /// Nothing that is here.
    Unknown,
}

/// What stands at the front of the octets received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Read {
    /// A whole head.
    Whole(Request),
    /// The beginning of one, or nothing.
    Incomplete,
    /// None that this origin takes.
    Bad,
}

/// Reads the head at the front of `octets`.
pub(super) fn read_request(octets: &[u8]) -> Read {
    let Some(mut end) = line_end(octets, 0) else {
        return Read::Incomplete;
    };
    let Some(asked) = asked(&octets[..end]) else {
        return Read::Bad;
    };
    let mut request = Request {
        head_octets: 0,
        body_octets: 0,
        asked,
        closes: false,
    };
    loop {
        let start = end;
        let Some(next) = line_end(octets, start) else {
            return Read::Incomplete;
        };
        end = next;
        let line = octets[start..end].trim_ascii_end();
        match line.first() {
            None => break,
            Some(b'C' | b'c' | b'T' | b't') => {}
            Some(_) => continue,
        }
        if let Some(value) = value_of(line, b"content-length:") {
            match number(value) {
                Some(count) => request.body_octets = count,
                None => return Read::Bad,
            }
        } else if let Some(value) = value_of(line, b"connection:") {
            request.closes |= value.eq_ignore_ascii_case(b"close");
        } else if value_of(line, b"transfer-encoding:").is_some() {
            return Read::Bad;
        }
    }
    request.head_octets = end;
    Read::Whole(request)
}

/// The place behind the line that begins at `start`.
fn line_end(octets: &[u8], start: usize) -> Option<usize> {
    let length = octets[start..].iter().position(|octet| *octet == b'\n')?;
    Some(start + length + 1)
}

/// What the request line asks for; `None` where it is none, or of a method whose answer has no content.
fn asked(line: &[u8]) -> Option<Asked> {
    let mut words = line.trim_ascii_end().split(|octet| *octet == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if method == b"HEAD" || !version.starts_with(b"HTTP/1.") {
        return None;
    }
    let path = target.split(|octet| *octet == b'?').next()?;
    Some(match path {
        b"/" => Asked::Small,
        b"/ws" => Asked::WebSocket,
        b"/hold" => Asked::Hold,
        b"/held" => Asked::Held,
        b"/release" => Asked::Release,
        path => match path.strip_prefix(b"/bytes/").and_then(number) {
            Some(count) => Asked::Octets(count),
            None => Asked::Unknown,
        },
    })
}

/// The value of a field line whose name and colon are these, in lower case.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start
        .eq_ignore_ascii_case(name)
        .then(|| value.trim_ascii_start())
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits)
        .ok()
        .filter(|_| is_number)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        #[track_caller]
        fn check(text: &str, asked: Asked, body_octets: u64, closes: bool) {
            let whole = Read::Whole(Request {
                head_octets: text.len(),
                body_octets,
                asked,
                closes,
            });
            assert_eq!(read_request(text.as_bytes()), whole);
            // What follows changes nothing, and no part of it is a whole.
            let more = format!("{text}GET /held HTTP/1.1\r\n\r\n");
            assert_eq!(read_request(more.as_bytes()), whole);
            for end in 0..text.len() {
                assert_eq!(
                    read_request(&text.as_bytes()[..end]),
                    Read::Incomplete,
                    "{end}"
                );
            }
        }
        use Asked::*;
        check("GET / HTTP/1.1\r\n\r\n", Small, 0, false);
        check("GET /?q=/ws HTTP/1.1\r\nHost: a\r\n\r\n", Small, 0, false);
        check("GET /bytes/65536 HTTP/1.1\r\n\r\n", Octets(65536), 0, false);
        check("GET /bytes/ HTTP/1.1\r\n\r\n", Unknown, 0, false);
        check("GET /bytes/+1 HTTP/1.1\r\n\r\n", Unknown, 0, false);
        check("GET /favicon.ico HTTP/1.1\r\n\r\n", Unknown, 0, false);
        check(
            "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n",
            Small,
            5,
            false,
        );
        check(
            "GET /hold HTTP/1.1\r\nConnection: close\r\n\r\n",
            Hold,
            0,
            true,
        );
        check(
            "GET /held HTTP/1.0\r\nCONNECTION:Close\r\n\r\n",
            Held,
            0,
            true,
        );
        check(
            "GET /release HTTP/1.1\r\nConnection: keep-alive\r\n\r\n",
            Release,
            0,
            false,
        );
        check(
            "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            WebSocket,
            0,
            false,
        );
    }

    #[test]
    fn what_is_not_taken() {
        #[track_caller]
        fn check(text: &str) {
            assert_eq!(read_request(text.as_bytes()), Read::Bad);
        }
        check("HEAD / HTTP/1.1\r\n\r\n");
        check("GET /\r\n\r\n");
        check("\r\n");
        check("GET / HTTP/2\r\n\r\n");
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        check("POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n");
        check("POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n");
        check("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n");
    }
}
