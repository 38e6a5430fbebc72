//! `provider = "hetzner"`: DNS in the Hetzner Cloud API (`/v1/zones`), with a read-and-write token of the project. The
//! older API at dns.hetzner.com, with tokens of its own, is gone.
//!
//! Records are values of a set, `rrsets/NAME/TXT` with NAME relative to the zone; a change is an action that is under way
//! for a moment.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::record::{RECORD_TTL, Record, RecordFault};
use super::rest::{Answer, Rest, zones_above};
use crate::control::acme::failure::shown;
use crate::control::acme::http_client::HttpClient;

/// The interface.
pub struct Hetzner {
    rest: Rest,
}

impl Hetzner {
    /// Where it is.
    pub const API: &str = "https://api.hetzner.cloud/v1";

    /// With this token.
    pub fn new(client: HttpClient, base: String, token: &str) -> Hetzner {
        Hetzner {
            rest: Rest::new(client, base, format!("Bearer {token}")),
        }
    }

    /// Adds a record, unless it is there.
    pub async fn add(&self, record: &Record) -> Result<(), RecordFault> {
        let set = self.set_of(&record.name).await?;
        let found = self.rest.ask(Method::GET, &set, None).await?;
        let value = quoted(record);
        let mut values = found.value["rrset"]["records"]
            .as_array()
            .into_iter()
            .flatten();
        if values.any(|known| known["value"] == value.as_str()) {
            return Ok(());
        }
        let content = json!({ "ttl": RECORD_TTL, "records": [{ "value": value }] });
        let path = format!("{set}/actions/add_records");
        let answer = self.rest.ask(Method::POST, &path, Some(&content)).await?;
        done(&answer, "add")
    }

    /// Removes a record, if it is there.
    pub async fn remove(&self, record: &Record) -> Result<(), RecordFault> {
        let set = self.set_of(&record.name).await?;
        let content = json!({ "records": [{ "value": quoted(record) }] });
        let path = format!("{set}/actions/remove_records");
        let answer = self.rest.ask(Method::POST, &path, Some(&content)).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(()),
            _ => done(&answer, "remove"),
        }
    }

    /// The path of the set that a record belongs to.
    async fn set_of(&self, name: &str) -> Result<String, RecordFault> {
        for zone in zones_above(name) {
            let answer = self
                .rest
                .ask(Method::GET, &format!("/zones/{zone}"), None)
                .await?;
            if answer.status != StatusCode::NOT_FOUND {
                let relative = &name[..name.len() - zone.len() - 1];
                return Ok(format!("/zones/{zone}/rrsets/{relative}/TXT"));
            }
        }
        Err(RecordFault(format!(
            "the token's project has no zone that holds {name}; take a token of the project with that zone"
        )))
    }
}

fn quoted(record: &Record) -> String {
    format!("\"{}\"", record.value)
}

/// An action that has failed already says so; one that is under way is waited for where the record is looked for.
fn done(answer: &Answer, action: &str) -> Result<(), RecordFault> {
    let failed = |error: &Value| {
        let message = error["message"].as_str().unwrap_or("without a reason");
        RecordFault(format!(
            "it failed to {action} the record: {}",
            shown(message)
        ))
    };
    match (answer.status, &answer.value["action"]) {
        (StatusCode::NOT_FOUND, _) => Err(failed(&answer.value["error"])),
        (_, found) if found["status"] == "error" => Err(failed(&found["error"])),
        _ => Ok(()),
    }
}
