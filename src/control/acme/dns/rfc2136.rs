//! `provider = "rfc2136"`: dynamic updates (RFC 2136) signed with a shared key (TSIG, RFC 8945), as BIND, Knot, PowerDNS
//! and others take them.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use data_encoding::BASE64;
use hickory_proto::op::update_message::{append, delete_by_rdata};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::{TsigAlgorithm, TsigError};
use hickory_proto::rr::{Name, RData, Record as Resource, RecordSet, RecordType, TSigner};

use super::record::{RECORD_TTL, Record, RecordFault};
use super::resolver::{ask_at, by_tcp, dns_name, text_of, zone_in};

/// How far the clocks may be apart (RFC 8945 §10: "RECOMMENDED").
const FUDGE_SECONDS: u16 = 300;
/// How long an update may take: servers write it to their disk first.
const UPDATE_LIMIT: Duration = Duration::from_secs(20);

/// A server with its key.
pub struct Rfc2136 {
    server: String,
    signer: TSigner,
}

impl Rfc2136 {
    /// This server (`HOST:PORT`), with this key.
    ///
    /// # Errors
    ///
    /// The name is none, or the algorithm is not one of the three that RFC 8945 §6 wants used.
    pub fn new(
        server: &str,
        key_name: &str,
        algorithm: &str,
        key: &str,
    ) -> Result<Rfc2136, RecordFault> {
        let fault = |why: String| RecordFault(why);
        let algorithm = match algorithm {
            "hmac-sha256" => TsigAlgorithm::HmacSha256,
            "hmac-sha384" => TsigAlgorithm::HmacSha384,
            "hmac-sha512" => TsigAlgorithm::HmacSha512,
            other => {
                return Err(fault(format!(
                    "{other:?} is no algorithm for acme.dns.algorithm; take hmac-sha256, hmac-sha384 or hmac-sha512"
                )));
            }
        };
        let name = dns_name(key_name)
            .ok_or_else(|| fault(format!("acme.dns.key_name {key_name:?} is no DNS name")))?;
        let key = BASE64
            .decode(key.as_bytes())
            .map_err(|_| fault("acme.dns.key is not base64".to_owned()))?;
        let signer = TSigner::new(key, algorithm, name, FUDGE_SECONDS)
            .map_err(|error| fault(error.to_string()))?;
        Ok(Rfc2136 {
            server: server.to_owned(),
            signer,
        })
    }

    /// Adds a record; one that is there stays.
    pub async fn add(&self, record: &Record) -> Result<(), RecordFault> {
        self.update(record, |set, zone| append(set, zone, false, false))
            .await
    }

    /// Removes a record, if it is there.
    pub async fn remove(&self, record: &Record) -> Result<(), RecordFault> {
        self.update(record, |set, zone| delete_by_rdata(set, zone, false))
            .await
    }

    async fn update(
        &self,
        record: &Record,
        message: impl Fn(RecordSet, Name) -> Message,
    ) -> Result<(), RecordFault> {
        let name = dns_name(&record.name)
            .ok_or_else(|| RecordFault(format!("{:?} is no DNS name", record.name)))?;
        let mut last = RecordFault(format!("acme.dns.server {} has no address", self.server));
        for address in self.addresses().await? {
            let zone = match self.zone_of(address, &record.name).await {
                Ok(zone) => zone,
                Err(fault) => {
                    last = fault;
                    continue;
                }
            };
            let text = RData::TXT(TXT::new(vec![record.value.clone()]));
            let set = RecordSet::from(Resource::from_rdata(name.clone(), RECORD_TTL, text));
            match self.send(address, message(set, zone.clone()), &zone).await {
                Ok(()) => return Ok(()),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, RecordFault> {
        let found = tokio::net::lookup_host(&self.server).await;
        let found = found
            .map_err(|error| RecordFault(format!("acme.dns.server {}: {error}", self.server)))?;
        Ok(found.collect())
    }

    /// The zone that holds a name, as this server has it.
    async fn zone_of(&self, address: SocketAddr, name: &str) -> Result<Name, RecordFault> {
        let mut rest = name;
        loop {
            let asked = ask_at(address, rest, RecordType::SOA, false).await;
            let answer = asked
                .map_err(|why| RecordFault(format!("acme.dns.server {}: {why}", self.server)))?;
            if let (true, Some(zone), Some(own)) = (
                answer.metadata.authoritative,
                zone_in(&answer),
                dns_name(name),
            ) && zone.zone_of(&own)
            {
                return Ok(zone);
            }
            rest = match rest.split_once('.') {
                Some((_, rest)) => rest,
                None => {
                    return Err(RecordFault(format!(
                        "acme.dns.server {} has no zone that holds {name}",
                        self.server
                    )));
                }
            };
        }
    }

    async fn send(
        &self,
        address: SocketAddr,
        mut message: Message,
        zone: &Name,
    ) -> Result<(), RecordFault> {
        let fault = |why: &dyn std::fmt::Display| {
            RecordFault(format!("acme.dns.server {}: {why}", self.server))
        };
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let verifier = message
            .finalize(&self.signer, now.as_secs())
            .map_err(|error| fault(&error))?;
        let octets = message.to_vec().map_err(|error| fault(&error))?;
        let answer = by_tcp(address, &octets, UPDATE_LIMIT)
            .await
            .map_err(|why| fault(&why))?;
        let read = Message::from_vec(&answer).map_err(|error| fault(&error))?;
        if read.metadata.id != message.metadata.id {
            return Err(fault(&"it answered something else"));
        }
        // Some refusals cannot be signed (RFC 8945 §5.3.2): they are believed, since nothing follows from them.
        if read.metadata.response_code != ResponseCode::NoError {
            return Err(fault(&self.refusal(&read, zone)));
        }
        match verifier.map(|mut verifier| verifier.verify(&answer)) {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(fault(&format!(
                "its answer is not signed with the key: {error}"
            ))),
            None => Err(fault(&"its answer cannot be checked")),
        }
    }

    fn refusal(&self, answer: &Message, zone: &Name) -> String {
        let (key, zone) = (text_of(self.signer.signer_name()), text_of(zone));
        let error = answer.signature().and_then(|record| record.data.error);
        match (answer.metadata.response_code, error) {
            // Knot says so of a key that it knows, too.
            (_, Some(TsigError::BadKey)) => format!(
                "it does not know the key {key}, or does not let it change {zone}; allow it updates there, or check \
                 acme.dns.key_name and acme.dns.algorithm"
            ),
            (_, Some(TsigError::BadSig)) => {
                format!("the key {key} is another one there; check acme.dns.key")
            }
            (_, Some(TsigError::BadTime)) => {
                "its clock and ours are more than 5 minutes apart; set them right".to_owned()
            }
            (ResponseCode::Refused | ResponseCode::NotAuth, _) => {
                format!("the key {key} may not change {zone}; allow it updates there")
            }
            (ResponseCode::NotImp, _) => format!("{zone} does not take updates there"),
            (code, _) => format!("it answered {code} to an update of {zone}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked_before_they_are_used() {
        let fault = |name: &str, algorithm: &str, key: &str| {
            Rfc2136::new("127.0.0.1:53", name, algorithm, key)
                .err()
                .map_or(String::new(), |fault| fault.0)
        };
        for (name, algorithm, key, expected) in [
            ("acme.", "hmac-sha256", "c2VjcmV0", ""),
            ("acme", "hmac-sha512", "c2VjcmV0", ""),
            (
                "acme",
                "hmac-md5",
                "c2VjcmV0",
                "\"hmac-md5\" is no algorithm",
            ),
            (
                "a..b",
                "hmac-sha256",
                "c2VjcmV0",
                "acme.dns.key_name \"a..b\" is no DNS name",
            ),
            (
                "acme",
                "hmac-sha256",
                "c2Vj cmV0",
                "acme.dns.key is not base64",
            ),
        ] {
            let found = fault(name, algorithm, key);
            assert!(
                found.starts_with(expected) && found.is_empty() == expected.is_empty(),
                "{found}"
            );
        }
    }
}
