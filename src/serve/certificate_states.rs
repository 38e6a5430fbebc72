//! Whether each site's certificate is held: what a plain request to a site of HTTPS is answered with.
//!
//! A part of the snapshot of its own, because it changes while a certificate is being obtained. Sites are numbered as in
//! the routing table.

/// The states of all sites. Immutable once built.
#[derive(Default)]
pub struct CertificateStates {
    of_site: Box<[CertificateState]>,
}

/// How it is with the certificate of one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateState {
    /// It is served, or none is needed.
    Held,
    /// It is being obtained.
    Obtaining {
        /// Which try it is, from 1.
        attempt: u32,
        /// When it began, in seconds since 1970.
        began: u64,
    },
    /// The last try failed, and there will be another.
    Failed {
        /// Why, in a sentence that anybody may read.
        sentence: Box<str>,
    },
    /// What the configuration names cannot be used: the site is quarantined, and nobody but the log is told why, since
    /// it names files.
    Unusable,
}

impl CertificateStates {
    /// In the order of the sites of the configuration.
    pub fn new(of_site: Vec<CertificateState>) -> CertificateStates {
        CertificateStates {
            of_site: of_site.into(),
        }
    }

    /// Of the site of this number, which the routing table gave.
    pub fn of(&self, site: u32) -> &CertificateState {
        // Nothing is known of any site as long as there is no TLS at all, as in tests.
        self.of_site
            .get(site as usize)
            .unwrap_or(&CertificateState::Held)
    }
}

impl CertificateState {
    /// What a client reads that comes to a site without a certificate, at this second; `None` where it is held.
    pub fn sentence(&self, site: &str, now: u64) -> Option<String> {
        match self {
            CertificateState::Held => None,
            CertificateState::Obtaining { attempt, began } => Some(format!(
                "certificate being obtained (attempt {attempt}, {} s)",
                now.saturating_sub(*began)
            )),
            CertificateState::Failed { sentence } => {
                Some(format!("failed: {sentence}; run: hotgate certs {site}"))
            }
            CertificateState::Unusable => Some(format!(
                "this site is not served: its certificate cannot be used; run: hotgate certs {site}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_sentence() {
        let states = CertificateStates::new(vec![
            CertificateState::Held,
            CertificateState::Obtaining {
                attempt: 2,
                began: 100,
            },
            CertificateState::Failed {
                sentence: "port 80 is closed".into(),
            },
            CertificateState::Unusable,
        ]);
        for (site, expected) in [
            (0, None),
            (1, Some("certificate being obtained (attempt 2, 12 s)")),
            (
                2,
                Some("failed: port 80 is closed; run: hotgate certs a.test"),
            ),
            (
                3,
                Some(
                    "this site is not served: its certificate cannot be used; run: hotgate certs a.test",
                ),
            ),
            (4, None),
        ] {
            assert_eq!(states.of(site).sentence("a.test", 112).as_deref(), expected);
        }
    }
}
