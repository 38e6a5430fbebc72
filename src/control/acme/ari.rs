//! When an authority would like a certificate to be renewed (RFC 9773).

use std::time::{Duration, SystemTime};

use instant_acme::{CertificateIdentifier, Error};
use rustls_pki_types::CertificateDer;

use super::account::Accounts;
use super::queue::Advice;
use super::schedule::Window;

/// Asks. The authority need not know the account for it, but its directory says where.
///
/// **Cancellation**: nothing is lost.
pub async fn advice(accounts: &Accounts, leaf: &CertificateDer<'_>) -> Advice {
    let Ok(identifier) = CertificateIdentifier::try_from(leaf) else {
        // Without an authority key identifier it cannot be asked for.
        return Advice::None;
    };
    let Ok(account) = accounts.account().await else {
        return Advice::Failed;
    };
    match account.renewal_info(&identifier).await {
        Ok((info, again)) => {
            let window = Window {
                start: moment(info.suggested_window.start.unix_timestamp()),
                end: moment(info.suggested_window.end.unix_timestamp()),
            };
            Advice::Window(window, Some(again))
        }
        Err(Error::Unsupported(_)) => Advice::None,
        Err(error) => {
            tracing::debug!("renewal information: {error}");
            Advice::Failed
        }
    }
}

fn moment(unix_seconds: i64) -> SystemTime {
    let seconds = u64::try_from(unix_seconds).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
