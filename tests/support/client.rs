//! A client that sends exactly the octets it is told to.

use std::{
    io::{self, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};

use super::{
    DEADLINE,
    message::{self, Parsed, Response},
    proc::SocketQueues,
    read_once, show, write_while_taken,
};

/// One connection to hotgate.
pub struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
    at_end: bool,
}

impl Client {
    /// Connects.
    #[track_caller]
    pub fn connect(to: SocketAddr) -> Client {
        let stream =
            TcpStream::connect_timeout(&to, DEADLINE).expect("hotgate accepts a connection");
        Client::over(stream)
    }

    /// Connects with the smallest receive buffer that the kernel grants: a reader that is soon full.
    #[track_caller]
    pub fn with_small_window(to: SocketAddr) -> Client {
        let socket =
            Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket can be made");
        socket
            .set_recv_buffer_size(1)
            .expect("a receive buffer can be small");
        socket
            .connect_timeout(&to.into(), DEADLINE)
            .expect("hotgate accepts a connection");
        Client::over(socket.into())
    }

    fn over(stream: TcpStream) -> Client {
        stream.set_nodelay(true).expect("TCP_NODELAY can be set");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a read timeout can be set");
        stream
            .set_write_timeout(Some(DEADLINE))
            .expect("a write timeout can be set");
        Client {
            stream,
            unread: Vec::new(),
            at_end: false,
        }
    }

    /// The client's own address, as hotgate sees it.
    pub fn address(&self) -> SocketAddr {
        self.stream
            .local_addr()
            .expect("a connected socket has an address")
    }

    /// Sends everything in one write if the kernel takes it.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("hotgate takes what it is sent");
    }

    /// Sends; false when hotgate has ended the connection.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends as much as goes within `patience` of the last progress; how much that was.
    pub fn send_while_taken(&mut self, bytes: &[u8], patience: Duration) -> usize {
        self.stream
            .set_write_timeout(Some(patience))
            .expect("a write timeout can be set");
        let sent = write_while_taken(&mut self.stream, bytes);
        self.stream
            .set_write_timeout(Some(DEADLINE))
            .expect("a write timeout can be set");
        sent
    }

    /// Sends each piece when hotgate has read the one before, as far as the kernel tells. False when hotgate ended
    /// the connection before the last.
    pub fn send_pieces(&mut self, pieces: &[&[u8]]) -> bool {
        /// Past this many pieces the rest goes out unwatched: it is filler, and asking the kernel takes time.
        const WATCHED_PIECES_MAX: usize = 400;
        /// How often the kernel is asked before the piece counts as refused for now.
        const LOOKS_MAX: u32 = 300;
        let queues = SocketQueues::open();
        let hotgate = self.stream.peer_addr().ok();
        for (index, piece) in pieces.iter().enumerate() {
            if self.stream.write_all(piece).is_err() {
                return false;
            }
            if let Some(hotgate) = hotgate.filter(|_| index < WATCHED_PIECES_MAX) {
                let mut looks = 0;
                while looks < LOOKS_MAX && !queues.is_read(hotgate, self.address()) {
                    std::thread::yield_now();
                    looks += 1;
                }
            }
        }
        true
    }

    /// Sends `GET target` for `a.test` and returns the response.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"))
    }

    /// Sends one request and returns its final response.
    #[track_caller]
    pub fn ask(&mut self, request: &str) -> Response {
        self.send(request);
        if request.starts_with("HEAD ") {
            self.head_response()
        } else {
            self.response()
        }
    }

    /// The next final response; interim ones before it are dropped.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        loop {
            let response = self.next_response(false);
            if response.status >= 200 || response.status == 101 {
                return response;
            }
        }
    }

    /// The next response, interim or final.
    #[track_caller]
    pub fn any_response(&mut self) -> Response {
        self.next_response(false)
    }

    /// The next response, which answers a HEAD request.
    #[track_caller]
    pub fn head_response(&mut self) -> Response {
        self.next_response(true)
    }

    #[track_caller]
    fn next_response(&mut self, to_head: bool) -> Response {
        loop {
            match message::parse_response(&self.unread, to_head, self.at_end) {
                Parsed::Complete(response, length) => {
                    self.unread.drain(..length);
                    return response;
                }
                Parsed::Incomplete if self.at_end => panic!(
                    "the connection ended inside a response: {}",
                    show(&self.unread)
                ),
                Parsed::Incomplete => {
                    if let Err(error) = self.fill() {
                        panic!("no response: {error}; so far: {}", show(&self.unread));
                    }
                }
                Parsed::Malformed(why) => {
                    panic!("malformed response: {why}\n  in {}", show(&self.unread))
                }
            }
        }
    }

    /// The next response head; what follows it stays unread.
    #[track_caller]
    pub fn response_head(&mut self) -> Response {
        loop {
            match message::parse_response_head(&self.unread) {
                Parsed::Complete(response, length) => {
                    self.unread.drain(..length);
                    return response;
                }
                Parsed::Incomplete => {
                    let more = self.fill();
                    assert!(
                        matches!(more, Ok(true)),
                        "no response head: {more:?}; so far: {}",
                        show(&self.unread)
                    );
                }
                Parsed::Malformed(why) => {
                    panic!("malformed response: {why}\n  in {}", show(&self.unread))
                }
            }
        }
    }

    /// The next `count` octets.
    #[track_caller]
    pub fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            let more = self.fill();
            assert!(
                matches!(more, Ok(true)),
                "wanted {count} octets: {more:?}; so far: {}",
                show(&self.unread)
            );
        }
        self.unread.drain(..count).collect()
    }

    /// Reads and drops octets until `count` have passed by; how many did.
    pub fn discard(&mut self, count: u64, mut look: impl FnMut(&[u8])) -> u64 {
        let mut buffer = vec![0; 256 * 1024];
        let held = std::mem::take(&mut self.unread);
        look(&held);
        let mut got = u64::try_from(held.len()).expect("a length fits into 64 bits");
        while got < count {
            match read_once(&mut self.stream, &mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(length) => {
                    look(&buffer[..length]);
                    got += u64::try_from(length).expect("a length fits into 64 bits");
                }
            }
        }
        got
    }

    /// Everything until hotgate ends the connection.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        loop {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return std::mem::take(&mut self.unread),
                Err(error) => panic!(
                    "the connection stays open: {error}; so far: {}",
                    show(&self.unread)
                ),
            }
        }
    }

    /// Waits for the end of the connection, before which nothing more may come.
    #[track_caller]
    pub fn expect_close(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "before the close came: {}", show(&rest));
    }

    /// Is there nothing to read within `patience`, and no end either?
    pub fn is_silent(&mut self, patience: Duration) -> bool {
        self.stream
            .set_read_timeout(Some(patience))
            .expect("a read timeout can be set");
        let more = self.fill();
        self.stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a read timeout can be set");
        self.unread.is_empty() && matches!(&more, Err(error) if is_timeout(error))
    }

    /// Ends our side (FIN); hotgate's is still read.
    pub fn half_close(&mut self) {
        // An error means that hotgate was faster.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection by RST.
    pub fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("SO_LINGER can be set");
    }

    /// The socket, for a thread of its own that reads while this client writes.
    pub fn reader(&self) -> Client {
        let stream = self
            .stream
            .try_clone()
            .expect("a descriptor can be doubled");
        Client {
            stream,
            unread: Vec::new(),
            at_end: false,
        }
    }

    /// Appends to `out` what comes next; false at the end of the connection. `Err` says that it stays open and silent.
    pub fn read_more(&mut self, out: &mut Vec<u8>) -> Result<bool, String> {
        let more = self.fill().map_err(|error| {
            format!("the connection stays open: {error}; so far: {}", show(out))
        })?;
        out.append(&mut self.unread);
        Ok(more)
    }

    /// Reads once more; false at the end of the connection (FIN or RST).
    fn fill(&mut self) -> io::Result<bool> {
        if self.at_end {
            return Ok(false);
        }
        let mut buffer = [0; 64 * 1024];
        match read_once(&mut self.stream, &mut buffer) {
            Ok(0) => self.at_end = true,
            Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
            Err(error) if is_timeout(&error) => return Err(error),
            Err(_) => self.at_end = true,
        }
        Ok(!self.at_end)
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
