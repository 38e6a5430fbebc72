//! Questions to name servers, one at a time: the resolvers of this machine, or any server by its address.
//!
//! For what getaddrinfo does not tell: CAA, TXT, SOA, and whether a name does not exist or could not be asked for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

/// The port of name servers.
const PORT: u16 = 53;
/// How long a server may take to answer once.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// How often each resolver is asked before the next.
const ROUNDS: usize = 2;
/// What an answer by UDP may have (RFC 9715: no fragments).
const UDP_BYTES_MAX: u16 = 1232;
/// How many CNAMEs are followed.
const ALIASES_MAX: usize = 8;
/// Where the machine's resolvers stand.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// As resolv.conf(5) has it.
const RESOLVERS_MAX: usize = 3;

/// Whom to ask.
#[derive(Clone, Debug)]
pub struct Resolver {
    servers: Arc<[SocketAddr]>,
    /// The port of servers that are found by name.
    port: u16,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Unanswered {
    /// No server answered in time; why the last did not, in words.
    Silent(String),
    /// The last one answered with this code.
    Refused(ResponseCode),
    /// The name is none.
    BadName,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::Silent(why) => f.write_str(why),
            Unanswered::Refused(code) => write!(f, "{code}"),
            Unanswered::BadName => f.write_str("no DNS name"),
        }
    }
}

impl Resolver {
    /// The resolvers of this machine; without a word of them, the one on loopback.
    pub fn system() -> Resolver {
        let text = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
        Resolver::new(name_servers(&text), PORT)
    }

    /// These resolvers; servers that are found by name are asked on this port.
    pub fn new(servers: Vec<SocketAddr>, port: u16) -> Resolver {
        Resolver {
            servers: servers.into(),
            port,
        }
    }

    /// The resolvers.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// Asks the resolvers, one after the other. That a name does not exist is an answer.
    ///
    /// # Errors
    ///
    /// [`Unanswered`]: none knows.
    pub async fn ask(&self, name: &str, kind: RecordType) -> Result<Message, Unanswered> {
        let mut last = Unanswered::Silent("there is no resolver".to_owned());
        for _ in 0..ROUNDS {
            for server in self.servers.iter() {
                match ask_at(*server, name, kind, true).await {
                    Ok(answer) if is_definite(&answer) => return Ok(answer),
                    Ok(answer) => last = Unanswered::Refused(answer.metadata.response_code),
                    Err(why) => last = why,
                }
            }
        }
        Err(last)
    }

    /// Where a name leads to by CNAMEs; `None` when that cannot be found out.
    pub async fn canonical(&self, name: &str) -> Option<String> {
        let mut name = name.to_owned();
        for _ in 0..ALIASES_MAX {
            let answer = self.ask(&name, RecordType::CNAME).await.ok()?;
            let own = dns_name(&name)?;
            let target = answer.answers.iter().find_map(|record| match &record.data {
                RData::CNAME(target) if record.name == own => Some(text_of(&target.0)),
                _ => None,
            });
            match target {
                Some(target) => name = target,
                None => return Some(name),
            }
        }
        None
    }

    /// The servers of the zone that holds a name, each address of each; empty when they cannot be found out.
    pub async fn servers_of(&self, name: &str) -> Vec<(String, SocketAddr)> {
        let Some(zone) = self.zone_of(name).await else {
            return Vec::new();
        };
        let Ok(answer) = self.ask(&zone, RecordType::NS).await else {
            return Vec::new();
        };
        let names = answer
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::NS(target) => Some(text_of(&target.0)),
                _ => None,
            });
        let mut servers = Vec::new();
        for name in names {
            for ip in self.addresses(&name).await.unwrap_or_default() {
                servers.push((format!("{name} ({ip})"), SocketAddr::new(ip, self.port)));
            }
        }
        servers
    }

    /// The addresses of a name; empty: it has none, or does not exist.
    ///
    /// # Errors
    ///
    /// No resolver knows.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Unanswered> {
        let (v4, v6) = tokio::join!(
            self.ask(name, RecordType::A),
            self.ask(name, RecordType::AAAA)
        );
        let found = |answer: &Message| -> Vec<IpAddr> {
            let ips = answer
                .answers
                .iter()
                .filter_map(|record| record.data.ip_addr());
            ips.collect()
        };
        match (v4, v6) {
            (Ok(v4), Ok(v6)) => Ok([found(&v4), found(&v6)].concat()),
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(found(&one)),
            (Err(why), Err(_)) => Err(why),
        }
    }

    /// The zone that holds a name: the owner of the SOA that an answer has, whether the name exists or not.
    async fn zone_of(&self, name: &str) -> Option<String> {
        let mut name = name;
        loop {
            if let Ok(answer) = self.ask(name, RecordType::SOA).await
                && let Some(zone) = zone_in(&answer)
            {
                return Some(text_of(&zone));
            }
            name = name.split_once('.')?.1;
        }
    }
}

/// The zone that an answer to a question for an SOA is from.
pub fn zone_in(answer: &Message) -> Option<Name> {
    let records = answer.answers.iter().chain(&answer.authorities);
    let mut owners = records.filter(|record| record.record_type() == RecordType::SOA);
    owners.next().map(|record| record.name.clone())
}

/// The values of the TXT records in an answer.
pub fn texts(answer: &Message) -> Vec<String> {
    let texts = answer
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        });
    texts
        .map(|octets| String::from_utf8_lossy(&octets).into_owned())
        .collect()
}

/// A name as the protocol has it, absolute.
pub fn dns_name(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// A name as we write it: in lower case, without a dot at its end.
pub fn text_of(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

/// Asks one server once, by UDP, and by TCP when the answer does not fit.
///
/// # Errors
///
/// [`Unanswered`]. An answer of any code is one.
pub async fn ask_at(
    server: SocketAddr,
    name: &str,
    kind: RecordType,
    is_recursive: bool,
) -> Result<Message, Unanswered> {
    let name = dns_name(name).ok_or(Unanswered::BadName)?;
    let mut question = Message::query();
    question.metadata.recursion_desired = is_recursive;
    question.add_query(Query::query(name, kind));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_BYTES_MAX);
    question.set_edns(edns);
    let silent = |why: String| Unanswered::Silent(format!("{server}: {why}"));
    let octets = question.to_vec().map_err(|_| Unanswered::BadName)?;
    let is_ours = |answer: &Message| {
        answer.metadata.id == question.metadata.id && answer.queries == question.queries
    };
    let answer = by_udp(server, &octets, &is_ours).await.map_err(silent)?;
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    let octets = by_tcp(server, &octets, ANSWER_LIMIT)
        .await
        .map_err(silent)?;
    match Message::from_vec(&octets) {
        Ok(answer) if is_ours(&answer) => Ok(answer),
        Ok(_) | Err(_) => Err(silent("it answered something else".to_owned())),
    }
}

async fn by_udp(
    server: SocketAddr,
    question: &[u8],
    is_ours: &impl Fn(&Message) -> bool,
) -> Result<Message, String> {
    let words = |error: std::io::Error| error.to_string();
    let any = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    // A port of its own for each question, and connected: nobody else's answer comes in.
    let socket = UdpSocket::bind((any, 0)).await.map_err(words)?;
    socket.connect(server).await.map_err(words)?;
    socket.send(question).await.map_err(words)?;
    let deadline = Instant::now() + ANSWER_LIMIT;
    let mut octets = [0; 4096];
    loop {
        let length = match timeout_at(deadline, socket.recv(&mut octets)).await {
            Ok(received) => received.map_err(words)?,
            Err(_) => return Err(format!("no answer within {} s", ANSWER_LIMIT.as_secs())),
        };
        if let Ok(answer) = Message::from_vec(&octets[..length])
            && is_ours(&answer)
        {
            return Ok(answer);
        }
    }
}

/// Sends a message by TCP and returns the answer (RFC 1035 §4.2.2), as it came.
///
/// # Errors
///
/// Not connected, or no whole answer in time; why, in words.
pub async fn by_tcp(
    server: SocketAddr,
    message: &[u8],
    limit: Duration,
) -> Result<Vec<u8>, String> {
    let exchange = async {
        let length = u16::try_from(message.len()).map_err(|_| std::io::ErrorKind::InvalidInput)?;
        let mut stream = TcpStream::connect(server).await?;
        stream
            .write_all(&[&length.to_be_bytes(), message].concat())
            .await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    };
    match timeout(limit, exchange).await {
        Ok(result) => result.map_err(|error: std::io::Error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
    }
}

/// Does an answer say what is, rather than that it could not be found out?
fn is_definite(answer: &Message) -> bool {
    matches!(
        answer.metadata.response_code,
        ResponseCode::NoError | ResponseCode::NXDomain
    )
}

/// The `nameserver` lines of resolv.conf(5); scoped addresses, which only their link knows, are passed over.
fn name_servers(text: &str) -> Vec<SocketAddr> {
    let found = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => words.next()?.parse::<IpAddr>().ok(),
            _ => None,
        }
    });
    let mut servers: Vec<SocketAddr> = found
        .map(|ip| SocketAddr::new(ip, PORT))
        .take(RESOLVERS_MAX)
        .collect();
    if servers.is_empty() {
        servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_those_of_the_file() {
        for (text, expected) in [
            ("", "127.0.0.1:53"),
            (
                "# nameserver 192.0.2.9\nsearch lan\nnameserver 192.0.2.1",
                "192.0.2.1:53",
            ),
            (
                "nameserver\t2001:db8::1\nnameserver fe80::1%eth0\nnameserver nonsense\nnameserver",
                "[2001:db8::1]:53",
            ),
            (
                "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4",
                "192.0.2.1:53 192.0.2.2:53 192.0.2.3:53",
            ),
        ] {
            let found: Vec<String> = name_servers(text)
                .iter()
                .map(SocketAddr::to_string)
                .collect();
            assert_eq!(found.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn names_are_written_in_one_way() {
        for (text, expected) in [
            ("A.Example.COM.", "a.example.com"),
            ("_acme-challenge.a.test", "_acme-challenge.a.test"),
        ] {
            assert_eq!(
                dns_name(text).map(|name| text_of(&name)).as_deref(),
                Some(expected)
            );
        }
        assert!(dns_name("a..b").is_none());
    }
}
