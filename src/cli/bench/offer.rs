//! What wrk really offers over TLS: read from a ClientHello of its own.
//!
//! It is told by a file of OpenSSL's, which a wrk that was built with another library does not read. So it is not
//! supposed but looked at.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::server::Acceptor;
use rustls::{CipherSuite, NamedGroup};

use super::certificate::Certificate;
use super::fault::Fault;
use super::load::{Demand, Traffic, wrk};
use super::process::{Folder, pause};
use super::programs::Program;

/// How long a hello is waited for: longer than wrk runs.
const HELLO_MAX: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// What a client would take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Offer {
    suites: Vec<CipherSuite>,
    groups: Vec<NamedGroup>,
}

impl Offer {
    /// What is to be known of it, if it is not what our own clients offer.
    pub(super) fn note(&self) -> Option<String> {
        let wanted = Offer {
            suites: vec![CipherSuite::TLS13_AES_128_GCM_SHA256],
            groups: vec![NamedGroup::X25519],
        };
        (*self != wanted).then(|| {
            format!(
                "wrk does not offer what it was told to ({:?} and {:?}), so that its connections may have others: {:?} \
                 and {:?}",
                wanted.suites, wanted.groups, self.suites, self.groups
            )
        })
    }
}

/// Has wrk connect to us, and reads what it offers.
///
/// # Errors
///
/// It sends no hello, or cannot be started.
pub(super) fn of_wrk(
    program: &Program,
    certificate: &Certificate,
    cores: &[usize],
    folder: &Folder,
) -> Result<Offer, Fault> {
    let doing = || Fault::while_doing("reading what wrk offers");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(doing())?;
    listener.set_nonblocking(true).map_err(doing())?;
    let demand = Demand {
        address: listener.local_addr().map_err(doing())?,
        traffic: Traffic::Small,
        clients: 1,
        seconds: 1,
        tls: Some(certificate),
    };
    let reader: JoinHandle<io::Result<_>> = std::thread::spawn(move || first_hello(&listener));
    // That nobody answers it is no matter here.
    wrk(program, &demand, 1, cores, folder)?;
    let read = reader.join().unwrap_or(Err(io::ErrorKind::Other.into()));
    let (offer, _open) = read.map_err(doing())?;
    Ok(offer)
}

/// The first connection that says something; wrk makes one before, to see that somebody is there.
fn first_hello(listener: &TcpListener) -> io::Result<(Offer, TcpStream)> {
    let began = Instant::now();
    while began.elapsed() < HELLO_MAX {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(HELLO_MAX))?;
                if let Some(offer) = hello(&stream)? {
                    return Ok((offer, stream));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => pause(LOOK_INTERVAL),
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// `None`: it was closed.
fn hello(mut stream: &TcpStream) -> io::Result<Option<Offer>> {
    let mut acceptor = Acceptor::default();
    loop {
        if acceptor.read_tls(&mut stream)? == 0 {
            return Ok(None);
        }
        let accepted = acceptor
            .accept()
            .map_err(|(error, _)| io::Error::other(error))?;
        let Some(accepted) = accepted else { continue };
        let hello = accepted.client_hello();
        // The mark of RFC 5746 stands among the suites and is none.
        let suites = hello.cipher_suites().iter().copied();
        let suites = suites.filter(|it| *it != CipherSuite::TLS_EMPTY_RENEGOTIATION_INFO_SCSV);
        return Ok(Some(Offer {
            suites: suites.collect(),
            groups: hello.named_groups().unwrap_or_default().to_vec(),
        }));
    }
}

#[cfg(test)]
mod tests {
    use rustls::ClientConnection;

    use super::super::tls_client::{Tickets, config, name};
    use super::*;

    #[test]
    fn our_own_clients_offer_one_of_each() {
        let folder = Folder::of_test("offer");
        let certificate = Certificate::make(&folder).expect("a certificate");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        // One that says nothing comes first.
        drop(TcpStream::connect(address).expect("accepted"));
        let mut socket = TcpStream::connect(address).expect("accepted");
        let config = config(&certificate.chain, Tickets::Dropped).expect("a certificate");
        let mut client = ClientConnection::new(config, name()).expect("a client");
        client.write_tls(&mut socket).expect("sent");
        let (offer, _open) = first_hello(&listener).expect("a hello");
        assert_eq!(offer.note(), None);
        let more = Offer {
            groups: vec![NamedGroup::secp256r1, NamedGroup::X25519],
            ..offer
        };
        let note = more.note().expect("it is another");
        assert!(note.contains("secp256r1, X25519"), "{note}");
    }
}
