//! Session tickets: keys that all workers share and that outlive every snapshot.
//!
//! A resumed handshake saves the signature. The state of a session travels with the client, sealed with keys that only
//! this process has: a key seals for half of [`LIFETIME`], opens for the other half, and is then forgotten, so what
//! was recorded on the wire cannot be opened later by taking the process (RFC 8446 appendix C.4, RFC 5077 §5.5).
//! Each client-authentication policy has keys of its own, so a session begun without a certificate is never one of a
//! site that requires it (CVE-2025-23419).
//!
//! A ticket holds the client's whole chain of certificates and comes back in a ClientHello, which has a limit: where it
//! would not fit there is none, and the next handshake is a full one.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

use super::hello::CLIENT_HELLO_BYTES_MAX;

/// How long a ticket is good at the most.
pub const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// Tickets after a TLS 1.3 handshake: browsers open two connections at once, and a ticket is to be used once.
pub const TICKETS_A_HANDSHAKE: usize = 2;
/// Octets of a state that is sealed: several certificates, and little enough that two tickets are no burden.
const STATE_BYTES_MAX: usize = 8 << 10;

// What the ticket itself adds, and the rest of the ClientHello, of which the largest seen has four thousand octets.
const _: () = assert!(STATE_BYTES_MAX + (8 << 10) <= CLIENT_HELLO_BYTES_MAX);

/// Fresh keys, which rotate by themselves.
///
/// # Errors
///
/// The system has no randomness to give.
pub fn keys() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    Ok(Arc::new(Keys(Ticketer::new()?)))
}

/// rustls's keys, which seal no more than may come back.
#[derive(Debug)]
struct Keys(Arc<dyn ProducesTickets>);

impl ProducesTickets for Keys {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, state: &[u8]) -> Option<Vec<u8>> {
        match state.len() {
            ..=STATE_BYTES_MAX => self.0.encrypt(state),
            _ => None,
        }
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_for_no_longer_than_it_says() {
        let keys = keys().expect("randomness");
        assert_eq!(
            Duration::from_secs(keys.lifetime().into()),
            LIFETIME,
            "rustls rotates after half of it"
        );
    }

    #[test]
    fn what_would_not_come_back_is_not_sealed() {
        let keys = keys().expect("randomness");
        for (size, is_sealed) in [
            (STATE_BYTES_MAX - 1, true),
            (STATE_BYTES_MAX, true),
            (STATE_BYTES_MAX + 1, false),
            (1 << 16, false),
        ] {
            let ticket = keys.encrypt(&vec![7; size]);
            assert_eq!(ticket.is_some(), is_sealed, "{size}");
        }
    }

    #[test]
    fn a_ticket_opens_with_its_own_keys_alone() {
        let (ours, others) = (keys().expect("randomness"), keys().expect("randomness"));
        let ticket = ours.encrypt(b"state").expect("sealed");
        assert_eq!(ours.decrypt(&ticket).as_deref(), Some(&b"state"[..]));
        assert_eq!(others.decrypt(&ticket), None);
        let mut bent = ticket.clone();
        bent[20] ^= 1;
        assert_eq!(ours.decrypt(&bent), None);
    }
}
