//! A look before an order is sent: what makes it hopeless is told at once, and the authority is not bothered.
//!
//! Three things stop an order: no challenge that could work (`choice`), a name that the DNS says does not exist, a CAA
//! record that forbids the authority. Whatever cannot be found out does not; and neither does an address that is not
//! this machine's, because a CDN, a NAT or a floating address may well lead here. That is only told.

use std::net::{IpAddr, UdpSocket};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{RData, RecordType};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::choice::Kind;
use super::dns::resolver::{Resolver, text_of};
use super::failure::Failure;
use super::http_client::HttpClient;
use crate::control::certificates::name::CertName;

/// What is looked at.
pub struct Preflight {
    resolver: Resolver,
    client: HttpClient,
    directory: String,
    /// What the authority calls itself in CAA records, once it has said so.
    identities: OnceCell<Vec<String>>,
}

/// A property of a CAA record (RFC 8659 §4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Property {
    /// `issue`, `issuewild`, `iodef` and others, in lower case.
    pub tag: String,
    /// As it stands.
    pub value: String,
}

impl Preflight {
    /// For orders at the authority with this directory.
    pub fn new(resolver: Resolver, client: HttpClient, directory: &str) -> Preflight {
        Preflight {
            resolver,
            client,
            directory: directory.to_owned(),
            identities: OnceCell::new(),
        }
    }

    /// Looks whether an order for this name, by this challenge, is hopeless.
    ///
    /// # Errors
    ///
    /// It is. **Cancellation**: nothing is lost.
    pub async fn look(&self, name: &CertName, kind: Kind) -> Result<(), Failure> {
        if name.base().ip().is_some() {
            return Ok(());
        }
        let host = name.base().as_str();
        // A record shows control of a name that has no address.
        if kind != Kind::Dns01 {
            if let Ok(answer) = self.resolver.ask(host, RecordType::A).await
                && answer.metadata.response_code == ResponseCode::NXDomain
            {
                return Err(Failure::NoSuchName {
                    name: host.to_owned(),
                });
            }
            if let Ok(addresses) = self.resolver.addresses(host).await {
                tell_of_strangers(host, &addresses);
            }
        }
        self.look_for_caa(name).await
    }

    async fn look_for_caa(&self, name: &CertName) -> Result<(), Failure> {
        let Some((owner, properties)) = self.relevant_caa(name.base().as_str()).await else {
            return Ok(());
        };
        let identities = self.identities().await;
        let is_wildcard = matches!(name, CertName::Wildcard(_));
        match forbidden(&properties, is_wildcard, identities) {
            None => Ok(()),
            Some(allowed) => Err(Failure::CaaForbids {
                owner,
                allowed,
                authority: identities
                    .first()
                    .cloned()
                    .unwrap_or_else(|| self.directory.clone()),
            }),
        }
    }

    /// The first CAA records from the name upwards (RFC 8659 §3), with their owner.
    async fn relevant_caa(&self, host: &str) -> Option<(String, Vec<Property>)> {
        let mut name = host;
        loop {
            let answer = self.resolver.ask(name, RecordType::CAA).await.ok()?;
            let found = answer
                .answers
                .iter()
                .filter_map(|record| match &record.data {
                    RData::CAA(caa) => Some((
                        text_of(&record.name),
                        Property {
                            tag: caa.tag.to_ascii_lowercase(),
                            value: String::from_utf8_lossy(&caa.value).into_owned(),
                        },
                    )),
                    _ => None,
                });
            let (owners, properties): (Vec<String>, Vec<Property>) = found.unzip();
            if let Some(owner) = owners.into_iter().next() {
                return Some((owner, properties));
            }
            name = name.split_once('.')?.1;
        }
    }

    /// What the authority calls itself (`caaIdentities` of its directory); empty: it does not say, or not yet.
    async fn identities(&self) -> &[String] {
        let asked = self.identities.get_or_try_init(|| async {
            let request = Request::get(&self.directory)
                .body(Full::new(Bytes::new()))
                .map_err(drop)?;
            let response = self.client.send(request).await.map_err(drop)?;
            let directory: Value = serde_json::from_slice(response.body()).map_err(drop)?;
            let identities = directory["meta"]["caaIdentities"]
                .as_array()
                .into_iter()
                .flatten();
            let identities = identities
                .filter_map(Value::as_str)
                .map(str::to_ascii_lowercase);
            Ok::<_, ()>(identities.collect())
        });
        asked.await.map_or(&[], Vec::as_slice)
    }
}

/// Do these records forbid an authority of these names (RFC 8659 §4.2, §4.3)? Then whom they allow.
///
/// Who does not say what it is called may be any of those named; it is forbidden only where nobody is.
fn forbidden(
    properties: &[Property],
    is_wildcard: bool,
    identities: &[String],
) -> Option<Vec<String>> {
    let with_tag = |tag: &str| -> Vec<&Property> {
        properties
            .iter()
            .filter(|property| property.tag == tag)
            .collect()
    };
    let (issue, wild) = (with_tag("issue"), with_tag("issuewild"));
    // "issuewild properties take precedence over each issue property" for wildcards.
    let relevant = match is_wildcard && !wild.is_empty() {
        true => wild,
        false => issue,
    };
    if relevant.is_empty() {
        return None;
    }
    let domain = |property: &&Property| {
        let domain = property.value.split(';').next().unwrap_or_default().trim();
        (!domain.is_empty()).then(|| domain.to_ascii_lowercase())
    };
    let allowed: Vec<String> = relevant.iter().filter_map(domain).collect();
    let is_allowed = match identities.is_empty() {
        true => !allowed.is_empty(),
        false => allowed.iter().any(|domain| identities.contains(domain)),
    };
    (!is_allowed).then_some(allowed)
}

/// Tells of addresses that are not this machine's.
fn tell_of_strangers(host: &str, addresses: &[IpAddr]) {
    let strangers: Vec<String> = addresses
        .iter()
        .filter(|ip| !is_ours(**ip))
        .map(IpAddr::to_string)
        .collect();
    if !strangers.is_empty() {
        tracing::warn!(
            "{host} leads to {}, which is no address of this machine; fine behind a CDN or a NAT that leads here, else \
             correct its A and AAAA records",
            strangers.join(", ")
        );
    }
}

/// An address of this machine can be bound; nothing is sent.
fn is_ours(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn caa_by_the_letter() {
        //    records                                                     wildcard  we are          forbidden, allowed are
        check(&[],                                                        false,    &["ca.test"],   None);
        check(&["iodef mailto:a@b.test"],                                 false,    &["ca.test"],   None);
        check(&["issue ca.test"],                                         false,    &["ca.test"],   None);
        check(&["issue CA.test; validationmethods=dns-01"],               false,    &["ca.test"],   None);
        check(&["issue other.test", "issue ca.test"],                     false,    &["ca.test"],   None);
        check(&["issue other.test"],                                      false,    &["ca.test"],   Some(&["other.test"]));
        check(&["issue ;"],                                               false,    &["ca.test"],   Some(&[]));
        check(&["issue other.test"],                                      false,    &["x", "other.test"], None);
        // Wildcards by issuewild where there is one, else by issue.
        check(&["issue ca.test"],                                         true,     &["ca.test"],   None);
        check(&["issue ca.test", "issuewild other.test"],                 true,     &["ca.test"],   Some(&["other.test"]));
        check(&["issue other.test", "issuewild ca.test"],                 true,     &["ca.test"],   None);
        check(&["issuewild ;"],                                           true,     &["ca.test"],   Some(&[]));
        check(&["issuewild ;"],                                           false,    &["ca.test"],   None);
        // Who is not named may be anybody, but not nobody.
        check(&["issue other.test"],                                      false,    &[],            None);
        check(&["issue ;"],                                               false,    &[],            Some(&[]));
    }

    #[track_caller]
    fn check(records: &[&str], is_wildcard: bool, identities: &[&str], expected: Option<&[&str]>) {
        let properties: Vec<Property> = records
            .iter()
            .map(|record| {
                let (tag, value) = record.split_once(' ').expect("the row has both");
                Property {
                    tag: tag.to_owned(),
                    value: value.to_owned(),
                }
            })
            .collect();
        let identities: Vec<String> = identities.iter().map(|name| (*name).to_owned()).collect();
        let found = forbidden(&properties, is_wildcard, &identities);
        let expected =
            expected.map(|allowed| allowed.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(found, expected);
    }

    #[test]
    fn an_address_is_ours_when_it_can_be_bound() {
        for (ip, expected) in [
            ("127.0.0.1", true),
            ("203.0.113.7", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_ours(ip.parse().expect("an address")), expected, "{ip}");
        }
    }
}
