//! Any octets as the beginning of a TLS connection: split points agree, and where rustls reads a ClientHello it finds
//! the same name in it.
//!
//! Where we refuse and rustls does not, on purpose: a hello over our limits, and extensions whose lengths do not fit.
#![no_main]

use hotgate::http::authority::HostName;
use hotgate::tls::hello::{AskedName, HelloError, Peek, Progress};
use libfuzzer_sys::fuzz_target;
use rustls::server::Acceptor;

fuzz_target!(|octets: &[u8]| {
    let answer = Peek::new().look(octets);
    assert_eq!(in_pieces(octets), answer);
    let Ok(Progress::Complete(hello)) = answer else {
        return;
    };
    let mut acceptor = Acceptor::default();
    let mut rest = octets;
    while !rest.is_empty() {
        if !matches!(acceptor.read_tls(&mut rest), Ok(1..)) {
            return;
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let name = accepted.client_hello().server_name().map(str::to_owned);
                match hello.name {
                    AskedName::Host(host) => {
                        let theirs = name.expect("they find a name too");
                        assert_eq!(HostName::parse(theirs.as_bytes()), Ok(host));
                    }
                    AskedName::None => assert_eq!(name, None),
                    // Refused before rustls is asked.
                    AskedName::Invalid => {}
                }
                return;
            }
            Err(_) => return,
        }
    }
});

/// The answer to the octets in pieces; their own last ones say how long these are.
fn in_pieces(octets: &[u8]) -> Result<Progress, HelloError> {
    let mut peek = Peek::new();
    let mut end = 0;
    for length in octets.iter().rev().take(6) {
        end = (end + usize::from(*length)).min(octets.len());
        match peek.look(&octets[..end]) {
            Ok(Progress::Incomplete) => {}
            answer => return answer,
        }
    }
    peek.look(octets)
}
