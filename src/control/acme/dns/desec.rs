//! `provider = "desec"`: deSEC's API v1, with a token of the account.
//!
//! Records are a set, which is written whole; an empty one is no set. The shortest TTL is the domain's `minimum_ttl`.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::record::{RECORD_TTL, Record, RecordFault};
use super::rest::Rest;
use crate::control::acme::http_client::HttpClient;

/// The shortest TTL where the domain does not say.
const USUAL_TTL_MIN: u64 = 3600;

/// The interface.
pub struct Desec {
    rest: Rest,
    /// A set is read and written back: two orders must not do that at the same time.
    turn: tokio::sync::Mutex<()>,
}

struct Set {
    domain: String,
    /// Relative to the domain.
    subname: String,
    ttl: u64,
    values: Vec<String>,
}

impl Desec {
    /// Where it is.
    pub const API: &str = "https://desec.io/api/v1";

    /// With this token.
    pub fn new(client: HttpClient, base: String, token: &str) -> Desec {
        let rest = Rest::new(client, base, format!("Token {token}"));
        Desec {
            rest,
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Adds a record, unless it is there.
    pub async fn add(&self, record: &Record) -> Result<(), RecordFault> {
        let value = format!("\"{}\"", record.value);
        self.change(record, |values| match values.contains(&value) {
            true => false,
            false => {
                values.push(value);
                true
            }
        })
        .await
    }

    /// Removes a record, if it is there.
    pub async fn remove(&self, record: &Record) -> Result<(), RecordFault> {
        let value = format!("\"{}\"", record.value);
        self.change(record, |values| {
            let before = values.len();
            values.retain(|known| *known != value);
            values.len() < before
        })
        .await
    }

    /// Reads the set, lets it be changed, and writes it back if it was.
    async fn change(
        &self,
        record: &Record,
        edit: impl FnOnce(&mut Vec<String>) -> bool,
    ) -> Result<(), RecordFault> {
        let _turn = self.turn.lock().await;
        let mut set = self.set_of(record).await?;
        if !edit(&mut set.values) {
            return Ok(());
        }
        let content = json!([{
            "subname": set.subname,
            "type": "TXT",
            "ttl": set.ttl,
            "records": set.values,
        }]);
        let path = format!("/domains/{}/rrsets/", set.domain);
        self.rest
            .ask(Method::PATCH, &path, Some(&content))
            .await
            .map(drop)
    }

    async fn set_of(&self, record: &Record) -> Result<Set, RecordFault> {
        let path = format!("/domains/?owns_qname={}", record.name);
        let answer = self.rest.ask(Method::GET, &path, None).await?;
        let owner = &answer.value[0];
        let subname = owner["name"].as_str().and_then(|domain| {
            let rest = record.name.strip_suffix(domain)?.strip_suffix('.')?;
            Some((domain.to_owned(), rest.to_owned()))
        });
        let Some((domain, subname)) = subname else {
            return Err(RecordFault(format!(
                "the token's account has no domain that holds {}; take a token of the account with that domain",
                record.name
            )));
        };
        let minimum = owner["minimum_ttl"].as_u64().unwrap_or(USUAL_TTL_MIN);
        let path = format!("/domains/{domain}/rrsets/{subname}/TXT/");
        let answer = self.rest.ask(Method::GET, &path, None).await?;
        let values = match answer.status {
            StatusCode::NOT_FOUND => Vec::new(),
            _ => {
                let records = answer.value["records"].as_array().into_iter().flatten();
                records
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            }
        };
        Ok(Set {
            domain,
            subname,
            ttl: minimum.max(u64::from(RECORD_TTL)),
            values,
        })
    }
}
