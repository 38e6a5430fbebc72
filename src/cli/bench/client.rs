//! A client that asks one thing at a time: for controls, checks, and the many connections that do nothing.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::origin::WEBSOCKET_KEY;
use super::tls_client::{Negotiated, name};

/// The longest wait for an answer, also of a machine that is busy with ten thousand others.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// No head of an answer is longer.
const HEAD_OCTETS_MAX: usize = 16 << 10;

/// One connection.
pub(super) struct Client {
    stream: Stream,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// An answer.
pub(super) struct Answer {
    /// Its status.
    pub(super) status: u16,
    /// Its content.
    pub(super) content: Vec<u8>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// As connect(2).
    pub(super) fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = Stream::Plain(open(address)?);
        Ok(Client { stream })
    }

    /// Connects, and shakes hands to the end.
    ///
    /// # Errors
    ///
    /// As connect(2), or the handshake fails.
    pub(super) fn connect_over_tls(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
    ) -> io::Result<Client> {
        let mut socket = open(address)?;
        let connection = ClientConnection::new(config.clone(), name());
        let mut connection = connection.map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        let stream = Stream::Tls(Box::new(StreamOwned::new(connection, socket)));
        Ok(Client { stream })
    }

    /// What the handshake came to; `None` of a plain connection.
    pub(super) fn negotiated(&self) -> Option<Negotiated> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => Negotiated::of(&stream.conn),
        }
    }

    /// Asks for a path and waits for the answer.
    ///
    /// # Errors
    ///
    /// The connection breaks, or the answer is none.
    pub(super) fn ask(&mut self, host: &str, path: &str) -> io::Result<Answer> {
        self.send(host, path)?;
        self.receive()
    }

    /// Asks for a path on a connection that is to end with the answer.
    ///
    /// # Errors
    ///
    /// The connection breaks, or the answer is none.
    pub(super) fn ask_last(&mut self, host: &str, path: &str) -> io::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        self.stream.write_all(request.as_bytes())?;
        self.receive()
    }

    /// Waits until the other side has closed, however it does that.
    pub(super) fn wait_for_end(mut self) {
        let mut rest = [0; 512];
        while self.stream.read(&mut rest).is_ok_and(|count| count > 0) {}
    }

    /// Asks for a path; the answer is waited for later.
    ///
    /// # Errors
    ///
    /// As send(2).
    pub(super) fn send(&mut self, host: &str, path: &str) -> io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.stream.write_all(request.as_bytes())
    }

    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// The connection breaks, or the answer is none.
    pub(super) fn receive(&mut self) -> io::Result<Answer> {
        let (head, mut content) = self.head()?;
        let status = status(&head).ok_or(io::ErrorKind::InvalidData)?;
        let length = content_length(&head).ok_or(io::ErrorKind::InvalidData)?;
        let missing = length
            .checked_sub(content.len())
            .ok_or(io::ErrorKind::InvalidData)?;
        let start = content.len();
        content.resize(start + missing, 0);
        self.stream.read_exact(&mut content[start..])?;
        Ok(Answer { status, content })
    }

    /// Turns the connection into a WebSocket, and sees that what is sent comes back.
    ///
    /// # Errors
    ///
    /// The connection breaks, the answer is not 101, or something else comes back.
    pub(super) fn become_websocket(&mut self, host: &str) -> io::Result<()> {
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {WEBSOCKET_KEY}\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes())?;
        let (head, _) = self.head()?;
        match status(&head) {
            Some(101) => {}
            status => {
                return Err(io::Error::other(format!(
                    "101 was expected, got {status:?}"
                )));
            }
        }
        // A masked text frame of two octets with a mask of zeros.
        let frame = *b"\x81\x82\0\0\0\0hi";
        self.stream.write_all(&frame)?;
        let mut back = [0; 8];
        self.stream.read_exact(&mut back)?;
        match back == frame {
            true => Ok(()),
            false => Err(io::Error::other("the echo is not what was sent")),
        }
    }

    /// A head, and what came with it of the content.
    fn head(&mut self) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let mut octets = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            octets.extend_from_slice(&buffer[..count]);
            if let Some(length) = head_length(&octets) {
                let content = octets.split_off(length);
                return Ok((octets, content));
            }
            if octets.len() > HEAD_OCTETS_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }
}

fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    Ok(stream)
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(into),
            Stream::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(octets),
            Stream::Tls(stream) => stream.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// How long the head at the front is, with its empty line; `None` until it is whole.
pub(super) fn head_length(octets: &[u8]) -> Option<usize> {
    let end = octets.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(end + 4)
}

/// The status in a head.
pub(super) fn status(head: &[u8]) -> Option<u16> {
    let digits = head.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// How long the content is by its head: as stated, or nothing where none may be. `None` when it cannot be known.
pub(super) fn content_length(head: &[u8]) -> Option<usize> {
    if matches!(status(head), Some(204 | 304 | 100..=199)) {
        return Some(0);
    }
    let name = b"content-length:";
    head.split(|octet| *octet == b'\n').find_map(|line| {
        let (start, value) = line.split_at_checked(name.len())?;
        let value = std::str::from_utf8(value.trim_ascii()).ok()?;
        start
            .eq_ignore_ascii_case(name)
            .then(|| value.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        #[track_caller]
        fn check(text: &str, head: Option<usize>, found: Option<u16>, length: Option<usize>) {
            let octets = text.as_bytes();
            assert_eq!(head_length(octets), head);
            assert_eq!((status(octets), content_length(octets)), (found, length));
        }
        check("", None, None, None);
        check("HTTP/1.1 200 OK\r\n", None, Some(200), None);
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            Some(38),
            Some(200),
            Some(5),
        );
        check(
            "HTTP/1.0 502 x\r\ncontent-length:0\r\n\r\n",
            Some(36),
            Some(502),
            Some(0),
        );
        check(
            "HTTP/1.1 204 No Content\r\n\r\n",
            Some(27),
            Some(204),
            Some(0),
        );
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            Some(38),
            Some(200),
            None,
        );
        check("SSH-2.0\r\n\r\n", Some(11), None, None);
    }
}
