//! The algorithms: aws-lc-rs, the hybrid of X25519 and ML-KEM-768 before the others, TLS 1.2 and 1.3.
//!
//! Which cipher suite is taken is the client's choice among ours: it knows whether it has AES in hardware.

use std::sync::{Arc, LazyLock};

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::version::{TLS12, TLS13};

/// The versions that are spoken.
pub static VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    Arc::new(CryptoProvider {
        // The first that the client has is taken.
        kx_groups: vec![
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP256R1,
            kx_group::SECP384R1,
        ],
        ..default_provider()
    })
});

/// The process's one provider.
pub fn provider() -> &'static Arc<CryptoProvider> {
    &PROVIDER
}
