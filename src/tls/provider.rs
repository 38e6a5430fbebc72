//! The algorithms: aws-lc-rs, on some processors with the cipher suites of ring; the hybrid of X25519 and ML-KEM-768 before
//! the others; TLS 1.2 and 1.3.
//!
//! Which cipher suite is taken follows from one thing that the client knows and we do not, whether it has AES in hardware:
//! one that puts ChaCha20 first gets it, any other the first of ours that it has (see [`super::certs::Served::config_for`]).

use std::sync::{Arc, LazyLock};

use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// The versions that are spoken.
pub static VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// As browsers have them. AES-128 goes first: ten rounds in the place of fourteen, and nobody breaks either.
macro_rules! suites {
    ($library:ident) => {{
        use $library::cipher_suite;
        let suites: Vec<SupportedCipherSuite> = vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ];
        suites
    }};
}

/// Does ring encrypt records faster than aws-lc here? Both have code for vector AES, ring with AVX2, aws-lc with AVX-512
/// alone (benches/README.md, *ring beside aws-lc-rs*). Where neither applies they are alike.
fn seals_faster_with_ring() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected;
        is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq")
            && is_x86_feature_detected!("avx2")
            && !is_x86_feature_detected!("avx512f")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    Arc::new(CryptoProvider {
        cipher_suites: match seals_faster_with_ring() {
            false => suites!(aws_lc_rs),
            true => suites!(ring),
        },
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
