//! A naive reader of HTTP/1.1, of either side: it believes what it reads and waits for more.

use std::io;
use std::rc::Rc;

use hotgate::net::sim::below;

use crate::end::End;

/// A connection and what was received on it and not yet read.
pub(crate) struct Line {
    pub(crate) peer: Rc<End>,
    pub(crate) seen: Vec<u8>,
}

/// A head: its first line, and its field lines with names in lower case.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) first: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|(known, _)| known == name)
            .map(|(_, value)| &**value)
    }
}

/// How a body is delimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// Why there is no more to be read.
#[derive(Debug)]
pub(crate) enum Cut {
    /// The end, or a reset, in the middle, with what was read of the body until then.
    Gone(Vec<u8>),
    /// It cannot be read.
    Nonsense(String),
}

impl Line {
    pub(crate) fn new(peer: End) -> Line {
        Line {
            peer: Rc::new(peer),
            seen: Vec::new(),
        }
    }

    /// Receives some more; 0 at the end.
    pub(crate) async fn more(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 << 10];
        let most = match below(4) {
            0 => 1 + below(50) as usize,
            _ => piece.len(),
        };
        let count = self.peer.read(&mut piece[..most]).await?;
        self.seen.extend_from_slice(&piece[..count]);
        Ok(count)
    }

    async fn must_get_more(&mut self) -> Result<(), Cut> {
        match self.more().await {
            Ok(count) if count > 0 => Ok(()),
            Ok(_) | Err(_) => Err(Cut::Gone(Vec::new())),
        }
    }

    /// The next head; `None` when nothing came any more.
    pub(crate) async fn head(&mut self) -> Result<Option<Head>, Cut> {
        let end = loop {
            if let Some(end) = self.seen.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            match self.more().await {
                Ok(count) if count > 0 => {}
                Ok(_) | Err(_) if self.seen.is_empty() => return Ok(None),
                Ok(_) | Err(_) => return Err(Cut::Gone(Vec::new())),
            }
        };
        let head: Vec<u8> = self.seen.drain(..end + 4).collect();
        let nonsense = |_| Cut::Nonsense(format!("a head of {:?}", &head[..head.len().min(80)]));
        let text = String::from_utf8(head.clone()).map_err(nonsense)?;
        let mut lines = text.trim_end().split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let fields = lines.filter_map(|line| line.split_once(':'));
        let fields =
            fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        Ok(Some(Head {
            first,
            fields: fields.collect(),
        }))
    }

    /// A body that is delimited so.
    pub(crate) async fn body(&mut self, framing: Framing) -> Result<Vec<u8>, Cut> {
        match framing {
            Framing::Length(length) => {
                while self.seen.len() < length {
                    if self.must_get_more().await.is_err() {
                        return Err(Cut::Gone(std::mem::take(&mut self.seen)));
                    }
                }
                Ok(self.seen.drain(..length).collect())
            }
            Framing::Chunked => {
                let mut body = Vec::new();
                loop {
                    let Ok(line) = self.line().await else {
                        return Err(Cut::Gone(body));
                    };
                    let size = line.split(';').next().unwrap_or_default().trim();
                    let size = usize::from_str_radix(size, 16)
                        .map_err(|_| Cut::Nonsense(format!("a chunk head of {line:?}")))?;
                    if size == 0 {
                        while !self.line().await?.is_empty() {}
                        return Ok(body);
                    }
                    while self.seen.len() < size + 2 {
                        if self.must_get_more().await.is_err() {
                            body.extend(self.seen.drain(..).take(size));
                            return Err(Cut::Gone(body));
                        }
                    }
                    body.extend(self.seen.drain(..size));
                    let end: Vec<u8> = self.seen.drain(..2).collect();
                    if end != b"\r\n" {
                        return Err(Cut::Nonsense(format!("a chunk that ends with {end:?}")));
                    }
                }
            }
            Framing::UntilClose => loop {
                match self.more().await {
                    Ok(0) => return Ok(std::mem::take(&mut self.seen)),
                    Ok(_) => {}
                    Err(_) => return Err(Cut::Gone(std::mem::take(&mut self.seen))),
                }
            },
        }
    }

    async fn line(&mut self) -> Result<String, Cut> {
        loop {
            if let Some(end) = self.seen.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.seen.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.must_get_more().await?;
        }
    }
}

/// The framing that a head states, if it states one.
pub(crate) fn stated(head: &Head) -> Option<Framing> {
    let codings = head.field("transfer-encoding").unwrap_or_default();
    if codings.eq_ignore_ascii_case("chunked") {
        return Some(Framing::Chunked);
    }
    let length = head.field("content-length")?;
    length.parse().ok().map(Framing::Length)
}

/// A body in chunks at random cuts.
pub(crate) fn chunked(mut body: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    while !body.is_empty() {
        let size = 1 + below(body.len() as u64) as usize;
        octets.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        octets.extend_from_slice(&body[..size]);
        octets.extend_from_slice(b"\r\n");
        body = &body[size..];
    }
    octets.extend_from_slice(b"0\r\n\r\n");
    octets
}
