//! HTTP/1.1 messages as the tests read them: strict, slow, and independent of the code under test.
//!
//! Only what a careful recipient must accept is accepted (CRLF, one framing, canonical lengths); anything else is
//! [`Parsed::Malformed`] with a sentence, because what hotgate sends has to be beyond doubt.

use super::show;

/// What reading one message from the front of some bytes came to.
pub enum Parsed<T> {
    /// The message, and how many octets it took.
    Complete(T, usize),
    /// More octets are needed.
    Incomplete,
    /// No continuation can make this a message.
    Malformed(String),
}

/// A request as an origin sees it.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub version: String,
    pub fields: Fields,
    /// Content, after the transfer coding is removed.
    pub body: Vec<u8>,
}

/// A response as a client sees it.
#[derive(Clone, Debug)]
pub struct Response {
    pub version: String,
    pub status: u16,
    pub fields: Fields,
    /// Content, after the transfer coding is removed.
    pub body: Vec<u8>,
}

/// Field lines in order; octets above 0x7f become the Latin-1 characters of the same number.
#[derive(Clone, Debug, Default)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// All values of the field, in order; the name is compared without regard to case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The value of the field, which must not stand twice.
    #[track_caller]
    pub fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(
            all.len() <= 1,
            "field {name} stands {} times: {all:?}",
            all.len()
        );
        all.first().copied()
    }

    /// Does the field occur?
    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }
}

impl Request {
    /// The value of the field, which must not stand twice.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.one(name)
    }

    /// `METHOD target`, for comparisons.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

impl Response {
    /// The value of the field, which must not stand twice.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.one(name)
    }

    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Does the response end the connection by its own word?
    pub fn says_close(&self) -> bool {
        self.fields.all("connection").iter().any(|value| {
            value
                .split(',')
                .any(|option| option.trim().eq_ignore_ascii_case("close"))
        })
    }
}

/// The request at the front of `bytes`, its body included.
pub fn parse_request(bytes: &[u8]) -> Parsed<Request> {
    match parse_request_head(bytes) {
        Parsed::Complete(mut request, head_length) => {
            match parse_body(&request.fields, &bytes[head_length..]) {
                Parsed::Complete(body, body_length) => {
                    request.body = body;
                    Parsed::Complete(request, head_length + body_length)
                }
                Parsed::Incomplete => Parsed::Incomplete,
                Parsed::Malformed(why) => Parsed::Malformed(why),
            }
        }
        other => other,
    }
}

/// The request head at the front of `bytes`; the body is left empty and unread.
pub fn parse_request_head(bytes: &[u8]) -> Parsed<Request> {
    let (lines, length) = match head_lines(bytes) {
        Parsed::Complete(lines, length) => (lines, length),
        Parsed::Incomplete => return Parsed::Incomplete,
        Parsed::Malformed(why) => return Parsed::Malformed(why),
    };
    let words: Vec<&str> = lines[0].split(' ').collect();
    let [method, target, version] = words[..] else {
        return Parsed::Malformed(format!("request line is not three words: {:?}", lines[0]));
    };
    if !version.starts_with("HTTP/1.") || method.is_empty() || target.is_empty() {
        return Parsed::Malformed(format!("request line: {:?}", lines[0]));
    }
    match parse_fields(&lines[1..]) {
        Ok(fields) => {
            let (method, target, version) =
                (method.to_owned(), target.to_owned(), version.to_owned());
            Parsed::Complete(
                Request {
                    method,
                    target,
                    version,
                    fields,
                    body: Vec::new(),
                },
                length,
            )
        }
        Err(why) => Parsed::Malformed(why),
    }
}

/// The response at the front of `bytes`.
///
/// `to_head`: it answers a HEAD request. `at_end`: no octet will follow, so that a body without a length is
/// complete; a body shorter than its framing says stays incomplete.
pub fn parse_response(bytes: &[u8], to_head: bool, at_end: bool) -> Parsed<Response> {
    let (mut response, head_length) = match parse_response_head(bytes) {
        Parsed::Complete(response, length) => (response, length),
        other => return other,
    };
    let content = &bytes[head_length..];
    if to_head || response.status < 200 || matches!(response.status, 204 | 304) {
        return Parsed::Complete(response, head_length);
    }
    if !response.fields.has("transfer-encoding") && !response.fields.has("content-length") {
        if !at_end {
            return Parsed::Incomplete;
        }
        response.body = content.to_vec();
        return Parsed::Complete(response, bytes.len());
    }
    match parse_body(&response.fields, content) {
        Parsed::Complete(body, length) => {
            response.body = body;
            Parsed::Complete(response, head_length + length)
        }
        Parsed::Incomplete => Parsed::Incomplete,
        Parsed::Malformed(why) => Parsed::Malformed(why),
    }
}

/// The response head at the front of `bytes`; the body is left empty and unread.
pub fn parse_response_head(bytes: &[u8]) -> Parsed<Response> {
    let (lines, length) = match head_lines(bytes) {
        Parsed::Complete(lines, length) => (lines, length),
        Parsed::Incomplete => return Parsed::Incomplete,
        Parsed::Malformed(why) => return Parsed::Malformed(why),
    };
    let mut words = lines[0].splitn(3, ' ');
    let version = words.next().unwrap_or("").to_owned();
    let digits = words.next().unwrap_or("");
    let status = digits.parse().ok().filter(|_| digits.len() == 3);
    let (true, Some(status)) = (matches!(version.as_str(), "HTTP/1.0" | "HTTP/1.1"), status) else {
        return Parsed::Malformed(format!("status line: {:?}", lines[0]));
    };
    match parse_fields(&lines[1..]) {
        Ok(fields) => Parsed::Complete(
            Response {
                version,
                status,
                fields,
                body: Vec::new(),
            },
            length,
        ),
        Err(why) => Parsed::Malformed(why),
    }
}

/// All requests in `bytes`, and what is left that is not a whole request.
pub fn requests(bytes: &[u8]) -> Result<(Vec<Request>, &[u8]), String> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        match parse_request(rest) {
            Parsed::Complete(request, length) => {
                found.push(request);
                rest = &rest[length..];
            }
            Parsed::Incomplete => break,
            Parsed::Malformed(why) => return Err(format!("{why}\n  in {}", show(bytes))),
        }
    }
    Ok((found, rest))
}

/// The lines of a head without their CRLF, and its length with the empty line.
fn head_lines(bytes: &[u8]) -> Parsed<Vec<String>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Parsed::Incomplete;
    };
    let head = latin1(&bytes[..end]);
    let lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
    if let Some(line) = lines
        .iter()
        .find(|line| line.chars().any(|c| matches!(c, '\r' | '\n' | '\0')))
    {
        return Parsed::Malformed(format!("a bare CR, LF or NUL in {line:?}"));
    }
    Parsed::Complete(lines, end + 4)
}

fn parse_fields(lines: &[String]) -> Result<Fields, String> {
    let mut fields = Fields::default();
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("a field line without colon: {line:?}"))?;
        if name.is_empty()
            || !name
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet))
        {
            return Err(format!("field name: {line:?}"));
        }
        if value.chars().any(|c| (c < ' ' && c != '\t') || c == '\x7f') {
            return Err(format!("field value: {line:?}"));
        }
        fields
            .0
            .push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    Ok(fields)
}

/// The body that `fields` announce, from the front of `bytes`.
fn parse_body(fields: &Fields, bytes: &[u8]) -> Parsed<Vec<u8>> {
    let (lengths, codings) = (
        fields.all("content-length"),
        fields.all("transfer-encoding"),
    );
    match (&lengths[..], &codings[..]) {
        ([], []) => Parsed::Complete(Vec::new(), 0),
        ([length], []) => {
            let Some(size) = length
                .parse::<usize>()
                .ok()
                .filter(|size| size.to_string() == *length)
            else {
                return Parsed::Malformed(format!(
                    "Content-Length {length:?} is not in canonical form"
                ));
            };
            if bytes.len() < size {
                return Parsed::Incomplete;
            }
            Parsed::Complete(bytes[..size].to_vec(), size)
        }
        ([], ["chunked"]) => parse_chunks(bytes),
        _ => Parsed::Malformed(format!(
            "doubtful framing: Content-Length {lengths:?}, Transfer-Encoding {codings:?}"
        )),
    }
}

/// `chunk* "0" CRLF CRLF` with nothing optional: no extensions, no trailer section (both end at hotgate).
fn parse_chunks(bytes: &[u8]) -> Parsed<Vec<u8>> {
    let mut content = Vec::new();
    let mut at = 0;
    loop {
        let Some(line_length) = bytes[at..].windows(2).position(|window| window == b"\r\n") else {
            return if bytes.len() - at > 16 {
                Parsed::Malformed("an endless chunk size".to_owned())
            } else {
                Parsed::Incomplete
            };
        };
        let line = latin1(&bytes[at..at + line_length]);
        let is_hex = !line.is_empty() && line.bytes().all(|octet| octet.is_ascii_hexdigit());
        let Some(size) = usize::from_str_radix(&line, 16)
            .ok()
            .filter(|&size| is_hex && size < 1 << 40)
        else {
            return Parsed::Malformed(format!("chunk size {line:?}"));
        };
        let data = at + line_length + 2;
        let Some(end) = bytes.get(data + size..data + size + 2) else {
            return Parsed::Incomplete;
        };
        if end != b"\r\n" {
            return Parsed::Malformed(format!(
                "a chunk of {size} ends in {:?}, not CRLF",
                latin1(end)
            ));
        }
        content.extend_from_slice(&bytes[data..data + size]);
        at = data + size + 2;
        if size == 0 {
            return Parsed::Complete(content, at);
        }
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&octet| char::from(octet)).collect()
}
