//! One order: for one name, by one challenge (RFC 8555 §7.4).
//!
//! ```text
//!   newOrder → authorization → answer published or record seen → "look now" → ready → finalize → certificate
//! ```

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::CertificateDer;

use super::account::Accounts;
use super::choice::Kind;
use super::dns::{Provider, Record};
use super::failure::{Failure, Problem, ProblemKind};
use super::nonce::patiently;
use super::responder::{Answering, Responder};
use crate::control::certificates::name::CertName;

/// How long the authority may take to validate.
const VALIDATION_LIMIT: Duration = Duration::from_secs(120);
/// How long the authority may take to sign.
const SIGNING_LIMIT: Duration = Duration::from_secs(120);
/// The profile under which Let's Encrypt signs addresses (and only under it).
const ADDRESS_PROFILE: &str = "shortlived";
/// The longest token that is answered (as SECURITY's AC-01 has it); RFC 8555 §8.1 has it in base64url.
pub const TOKEN_OCTETS_MAX: usize = 128;

/// What an order needs.
pub struct Ask<'a> {
    /// For what.
    pub name: &'a CertName,
    /// How control is shown.
    pub kind: Kind,
    /// Answers http-01 and tls-alpn-01.
    pub responder: &'a Responder,
    /// Writes records for dns-01.
    pub dns: Option<&'a Provider>,
    /// The certificate that this one replaces, if the authority wants to know.
    pub replaces: Option<&'a CertificateDer<'static>>,
}

/// A certificate and its key.
pub struct Issued {
    /// The leaf first.
    pub chain_pem: String,
    /// PKCS #8.
    pub key_pem: String,
}

/// Obtains a certificate. An account that the authority does not know is made anew, once.
///
/// # Errors
///
/// [`Failure`]. **Cancellation**: answers are taken back; a record of dns-01 stays where it is, and harms nobody. An
/// order that was begun is given up, and the authority lets it lapse.
pub async fn obtain(accounts: &Accounts, ask: &Ask<'_>) -> Result<Issued, Failure> {
    let account = accounts.account().await?;
    let first = with_account(accounts, &account, ask).await;
    match first {
        Err(failure) if failure.is_without_account() => {
            accounts.forget(&account).await;
            let account = accounts.account().await?;
            with_account(accounts, &account, ask).await
        }
        other => other,
    }
}

async fn with_account(
    accounts: &Accounts,
    account: &Account,
    ask: &Ask<'_>,
) -> Result<Issued, Failure> {
    let failure = |error| accounts.failure(error);
    let mut order = begin(account, ask).await.map_err(failure)?;
    if order.state().status == OrderStatus::Pending {
        let shown = show_control(accounts, &mut order, ask).await;
        let Shown { answering, record } = shown?;
        let ready = until_ready(accounts, &mut order, ask.kind).await;
        drop(answering);
        if let (Some(record), Some(dns)) = (record, ask.dns)
            && let Err(fault) = dns.remove(&record).await
        {
            tracing::warn!(
                "the record {} could not be removed by {}: {fault}",
                record.name,
                dns.name()
            );
        }
        ready?;
    }
    sign(accounts, &mut order, ask.name).await
}

async fn begin(account: &Account, ask: &Ask<'_>) -> Result<Order, Error> {
    let base = ask.name.base();
    let identifiers = [match base.ip() {
        Some(ip) => Identifier::Ip(ip),
        None => Identifier::Dns(ask.name.to_string()),
    }];
    let may_replace = ask
        .replaces
        .and_then(|leaf| CertificateIdentifier::try_from(leaf).ok());
    let has_profile = base.ip().is_some()
        && account
            .profiles()
            .any(|profile| profile.name == ADDRESS_PROFILE);
    patiently!(async {
        let mut new = NewOrder::new(&identifiers);
        if has_profile {
            new = new.profile(ADDRESS_PROFILE);
        }
        if let Some(replaced) = &may_replace {
            new = new.replaces(replaced.clone());
        }
        account.new_order(&new).await
    })
}

/// What stands while the authority looks.
struct Shown {
    answering: Option<Answering>,
    record: Option<Record>,
}

async fn show_control(
    accounts: &Accounts,
    order: &mut Order,
    ask: &Ask<'_>,
) -> Result<Shown, Failure> {
    let failure = |error| accounts.failure(error);
    let mut shown = Shown {
        answering: None,
        record: None,
    };
    let wanted = match ask.kind {
        Kind::Http01 => ChallengeType::Http01,
        Kind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Kind::Dns01 => ChallengeType::Dns01,
    };
    // There is one name, and so one authorization. The stream keeps its place when it fails for a nonce.
    patiently!(async {
        let mut authorizations = order.authorizations();
        authorizations
            .next()
            .await
            .map_or(Ok(()), |found| found.map(drop))
    })
    .map_err(failure)?;
    let mut authorizations = order.authorizations();
    let Some(authorization) = authorizations.next().await else {
        return Ok(shown);
    };
    let mut authorization = authorization.map_err(failure)?;
    if authorization.status == AuthorizationStatus::Valid {
        return Ok(shown);
    }
    let offered: Vec<String> = authorization
        .challenges
        .iter()
        .map(|challenge| word_of(&challenge.r#type))
        .collect();
    let Some(mut challenge) = authorization.challenge(wanted) else {
        return Err(Failure::NotOffered {
            kind: ask.kind,
            offered,
        });
    };
    let key = challenge.key_authorization();
    let host = ask.name.base();
    match ask.kind {
        Kind::Http01 => {
            if !is_token(challenge.token.as_bytes()) {
                return Err(Failure::Unusable(
                    "the authority's token is not base64url".to_owned(),
                ));
            }
            shown.answering = Some(
                ask.responder
                    .answer_http(host, &challenge.token, key.as_str())
                    .await,
            );
        }
        Kind::TlsAlpn01 => {
            let given = ask.responder.answer_alpn(host, key.digest().as_ref()).await;
            shown.answering = Some(given.map_err(Failure::Unusable)?);
        }
        Kind::Dns01 => {
            let Some(dns) = ask.dns else {
                return Err(Failure::Hopeless(super::choice::Hopeless::NoDns));
            };
            shown.record = Some(dns.put(host, key.dns_value()).await?);
        }
    }
    let ready = patiently!(challenge.set_ready());
    match (ready, &shown.record, ask.dns) {
        (Ok(()), _, _) => Ok(shown),
        (Err(error), record, dns) => {
            if let (Some(record), Some(dns)) = (record, dns) {
                let _ = dns.remove(record).await; // the fault that counts is the other one
            }
            Err(failure(error))
        }
    }
}

/// Waits for the validation. A validation that failed is told with what the authority found.
async fn until_ready(accounts: &Accounts, order: &mut Order, kind: Kind) -> Result<(), Failure> {
    let policy = RetryPolicy::new()
        .initial_delay(Duration::from_millis(250))
        .backoff(1.5)
        .timeout(VALIDATION_LIMIT);
    match patiently!(order.poll_ready(&policy)) {
        Ok(OrderStatus::Ready | OrderStatus::Valid | OrderStatus::Processing) => Ok(()),
        Ok(OrderStatus::Invalid | OrderStatus::Pending) => Err(what_was_found(order, kind).await),
        Err(Error::Timeout(_)) => Err(Failure::Late {
            what: "the validation",
            limit: VALIDATION_LIMIT,
        }),
        // The order's own error says less than that of the challenge.
        Err(Error::Api(problem)) => match accounts.failure(Error::Api(problem)) {
            failure if failure.is_without_account() => Err(failure),
            _ => Err(what_was_found(order, kind).await),
        },
        Err(other) => Err(accounts.failure(other)),
    }
}

async fn what_was_found(order: &mut Order, kind: Kind) -> Failure {
    let mut found = None;
    let asked = patiently!(async {
        let mut authorizations = order.authorizations();
        let Some(authorization) = authorizations.next().await else {
            return Ok(());
        };
        let mut authorization = authorization?;
        authorization.refresh().await?;
        let errors = authorization
            .challenges
            .iter()
            .filter_map(|challenge| challenge.error.as_ref());
        found = errors.map(Problem::of).next();
        Ok(())
    });
    let _: Result<(), Error> = asked; // without an answer it is told without its reason
    let unknown = || Problem {
        kind: ProblemKind::Other,
        detail: "the authority does not say why".to_owned(),
    };
    Failure::Challenge(kind, found.unwrap_or_else(unknown))
}

async fn sign(accounts: &Accounts, order: &mut Order, name: &CertName) -> Result<Issued, Failure> {
    let ours =
        |error: rcgen::Error| Failure::Unusable(format!("no request could be made: {error}"));
    let san = match name.base().ip() {
        Some(ip) => ip.to_string(),
        None => name.to_string(),
    };
    let mut params = CertificateParams::new([san]).map_err(ours)?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate().map_err(ours)?;
    let request = params.serialize_request(&key).map_err(ours)?;
    let failure = |error| accounts.failure(error);
    patiently!(order.finalize_csr(request.der())).map_err(failure)?;
    let policy = RetryPolicy::new()
        .initial_delay(Duration::from_millis(250))
        .backoff(1.5)
        .timeout(SIGNING_LIMIT);
    let chain = patiently!(order.poll_certificate(&policy));
    match chain {
        Ok(chain_pem) => Ok(Issued {
            chain_pem,
            key_pem: key.serialize_pem(),
        }),
        Err(Error::Timeout(_)) => Err(Failure::Late {
            what: "the signing",
            limit: SIGNING_LIMIT,
        }),
        Err(other) => Err(failure(other)),
    }
}

/// `1*128(ALPHA / DIGIT / "-" / "_")`
fn is_token(token: &[u8]) -> bool {
    (1..=TOKEN_OCTETS_MAX).contains(&token.len())
        && token
            .iter()
            .all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
}

fn word_of(kind: &ChallengeType) -> String {
    match kind {
        ChallengeType::Http01 => "http-01".to_owned(),
        ChallengeType::Dns01 => "dns-01".to_owned(),
        ChallengeType::TlsAlpn01 => "tls-alpn-01".to_owned(),
        ChallengeType::Unknown(word) => word.clone(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_base64url() {
        let (longest, longer) = (
            "x".repeat(TOKEN_OCTETS_MAX),
            "x".repeat(TOKEN_OCTETS_MAX + 1),
        );
        for (token, expected) in [
            ("DGyRejmCefe7v4NfDGDKfA", true),
            ("a-b_c", true),
            (&longest, true),
            (&longer, false),
            ("", false),
            ("a/b", false),
            ("a.b", false),
            ("a=", false),
        ] {
            assert_eq!(is_token(token.as_bytes()), expected, "{token}");
        }
    }
}
