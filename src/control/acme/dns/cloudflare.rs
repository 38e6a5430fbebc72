//! `provider = "cloudflare"`: its API v4, with a token that may read zones and edit DNS.
//!
//! Every answer is `{"success": …, "errors": […], "result": …}`. A record is an object of its own with an id; TXT content
//! is in quotes, and comes back with or without them.

use hyper::Method;
use serde_json::{Value, json};

use super::record::{RECORD_TTL, Record, RecordFault};
use super::rest::{Rest, zones_above};
use crate::control::acme::http_client::HttpClient;

/// The interface.
pub struct Cloudflare {
    rest: Rest,
}

impl Cloudflare {
    /// Where it is.
    pub const API: &str = "https://api.cloudflare.com/client/v4";

    /// With this token.
    pub fn new(client: HttpClient, base: String, token: &str) -> Cloudflare {
        Cloudflare {
            rest: Rest::new(client, base, format!("Bearer {token}")),
        }
    }

    /// Adds a record, unless it is there.
    pub async fn add(&self, record: &Record) -> Result<(), RecordFault> {
        let zone = self.zone_of(&record.name).await?;
        if !self.ids(&zone, record).await?.is_empty() {
            return Ok(());
        }
        let content = json!({
            "type": "TXT",
            "name": record.name,
            "content": format!("\"{}\"", record.value),
            "ttl": RECORD_TTL,
        });
        let path = format!("/zones/{zone}/dns_records");
        self.rest
            .ask(Method::POST, &path, Some(&content))
            .await
            .map(drop)
    }

    /// Removes a record, if it is there.
    pub async fn remove(&self, record: &Record) -> Result<(), RecordFault> {
        let zone = self.zone_of(&record.name).await?;
        for id in self.ids(&zone, record).await? {
            let path = format!("/zones/{zone}/dns_records/{id}");
            self.rest.ask(Method::DELETE, &path, None).await?;
        }
        Ok(())
    }

    /// The id of the zone that holds this name: the longest that the token sees.
    async fn zone_of(&self, name: &str) -> Result<String, RecordFault> {
        for candidate in zones_above(name) {
            let path = format!("/zones?name={candidate}&status=active");
            let answer = self.rest.ask(Method::GET, &path, None).await?;
            if let Some(id) = answer.value["result"][0]["id"].as_str() {
                return Ok(id.to_owned());
            }
        }
        Err(RecordFault(format!(
            "the token sees no active zone that holds {name}; give it the permissions Zone:Read and DNS:Edit for that zone"
        )))
    }

    async fn ids(&self, zone: &str, record: &Record) -> Result<Vec<String>, RecordFault> {
        let path = format!(
            "/zones/{zone}/dns_records?type=TXT&name={}&per_page=100",
            record.name
        );
        let answer = self.rest.ask(Method::GET, &path, None).await?;
        let records = answer.value["result"].as_array().into_iter().flatten();
        let is_it = |found: &&Value| {
            let content = found["content"].as_str().unwrap_or_default();
            content.trim_matches('"') == record.value
        };
        let ids = records
            .filter(is_it)
            .filter_map(|found| found["id"].as_str());
        Ok(ids.map(str::to_owned).collect())
    }
}
