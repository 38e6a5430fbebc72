//! Session tickets: keys that all workers share and that outlive every snapshot.
//!
//! A resumed handshake saves the signature. The state of a session travels with the client, sealed with keys that only
//! this process has: a key seals for half of [`LIFETIME`], opens for the other half, and is then forgotten, so what
//! was recorded on the wire cannot be opened later by taking the process (RFC 8446 appendix C.4, RFC 5077 §5.5).
//! Each client-authentication policy has keys of its own, so a session begun without a certificate is never one of a
//! site that requires it (CVE-2025-23419).

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

/// How long a ticket is good at the most.
pub const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// Tickets after a TLS 1.3 handshake: browsers open two connections at once, and a ticket is to be used once.
pub const TICKETS_A_HANDSHAKE: usize = 2;

/// Fresh keys, which rotate by themselves.
///
/// # Errors
///
/// The system has no randomness to give.
pub fn keys() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    Ticketer::new()
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
