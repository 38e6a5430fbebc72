//! What the providers with an HTTP interface have in common: JSON in, JSON out, a token, pauses that are obeyed.

use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use serde_json::Value;
use tokio::time::sleep;

use super::record::RecordFault;
use crate::control::acme::failure::shown;
use crate::control::acme::http_client::{HttpClient, retry_after};

/// How often a request is repeated that was answered 429.
const ROUNDS: u32 = 5;
/// A longer pause is not waited for within an order.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The pause where the provider does not say.
const PAUSE: Duration = Duration::from_secs(3);
const OUR_NAME: &str = concat!("hotgate/", env!("CARGO_PKG_VERSION"));

/// A provider's interface.
pub struct Rest {
    client: HttpClient,
    base: String,
    /// The whole of the Authorization field.
    authorization: String,
}

/// An answer with a status of success, or 404: for a provider that says in that way that there is nothing.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// What it holds; `Null` without content.
    pub value: Value,
}

impl Rest {
    /// The interface at `base`, without a slash at its end.
    pub fn new(client: HttpClient, base: String, authorization: String) -> Rest {
        Rest {
            client,
            base,
            authorization,
        }
    }

    /// Sends a request, again after each pause that the provider asks for.
    ///
    /// # Errors
    ///
    /// The provider cannot be reached or refuses, with what it says.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        content: Option<&Value>,
    ) -> Result<Answer, RecordFault> {
        let mut round = 0;
        loop {
            let request = self.request(method.clone(), path, content)?;
            let sent = self.client.send(request).await;
            let response = sent.map_err(|fault| {
                RecordFault(format!("{} cannot be reached: {fault}", self.base))
            })?;
            let (status, now) = (response.status(), SystemTime::now());
            if status == StatusCode::TOO_MANY_REQUESTS && round < ROUNDS {
                let until = retry_after(response.headers(), now);
                let pause =
                    until.map_or(PAUSE, |until| until.duration_since(now).unwrap_or_default());
                if pause <= PAUSE_MAX {
                    round += 1;
                    sleep(pause).await;
                    continue;
                }
            }
            let value: Value = serde_json::from_slice(response.body()).unwrap_or_default();
            if status.is_success() || status == StatusCode::NOT_FOUND {
                return Ok(Answer { status, value });
            }
            return Err(self.refusal(status, &value));
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        content: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, RecordFault> {
        let content = content.map(Value::to_string).unwrap_or_default();
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(AUTHORIZATION, &self.authorization)
            .header(USER_AGENT, OUR_NAME)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(content)))
            // The error would say which octet; the token is not to be shown.
            .map_err(|_| {
                RecordFault(format!(
                    "{}{path} or acme.dns.token cannot be sent",
                    self.base
                ))
            })
    }

    fn refusal(&self, status: StatusCode, value: &Value) -> RecordFault {
        let said = said(value);
        let (what, code) = (shown(&said), status.as_u16());
        let what = if what.is_empty() {
            String::new()
        } else {
            format!(": {what}")
        };
        let mend = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "; check acme.dns.token and what it may do"
            }
            StatusCode::TOO_MANY_REQUESTS => "; it is tried again later",
            _ if status.is_server_error() => "; it is tried again later",
            _ => "",
        };
        RecordFault(format!("{} answered {code}{what}{mend}", self.base))
    }
}

/// What a refusal says, in the shapes that the three have it.
fn said(value: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    // Cloudflare: {"errors": [{"code": 1, "message": "…", "error_chain": [{"message": "…"}]}]}
    let messages = |errors: &Value| -> Vec<String> {
        let errors = errors.as_array().into_iter().flatten();
        errors.filter_map(|error| text(&error["message"])).collect()
    };
    if let Some(errors) = value["errors"].as_array() {
        let chains = errors
            .iter()
            .flat_map(|error| messages(&error["error_chain"]));
        return messages(&value["errors"])
            .into_iter()
            .chain(chains)
            .collect::<Vec<_>>()
            .join(", ");
    }
    // Hetzner: {"error": {"code": "…", "message": "…"}}
    if let Some(message) = text(&value["error"]["message"]) {
        return message;
    }
    // deSEC: {"detail": "…"}, or the same by field: {"ttl": ["…"]}, or a list of such.
    text(&value["detail"]).unwrap_or_else(|| match value {
        Value::Null => String::new(),
        other => other.to_string(),
    })
}

/// The zones that a name may be in, the longest first: not the name itself, and none of one label.
pub fn zones_above(name: &str) -> impl Iterator<Item = &str> {
    let dots = name.match_indices('.').map(|(position, _)| position + 1);
    dots.map(|start| &name[start..])
        .filter(|zone| zone.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_from_the_longest() {
        let zones: Vec<&str> = zones_above("_acme-challenge.a.b.example.com").collect();
        assert_eq!(zones, ["a.b.example.com", "b.example.com", "example.com"]);
        assert_eq!(zones_above("localhost").count(), 0);
    }

    #[test]
    fn what_a_refusal_says() {
        for (text, expected) in [
            (
                r#"{"success":false,"errors":[{"code":6003,"message":"Invalid request headers","error_chain":[{"code":6111,"message":"Invalid format for Authorization header"}]}]}"#,
                "Invalid request headers, Invalid format for Authorization header",
            ),
            (
                r#"{"error":{"code":"unauthorized","message":"unable to authenticate"}}"#,
                "unable to authenticate",
            ),
            (r#"{"detail":"Invalid token."}"#, "Invalid token."),
            (
                r#"[{"ttl":["Ensure this value is greater than or equal to 3600."]}]"#,
                r#"[{"ttl":["Ensure this value is greater than or equal to 3600."]}]"#,
            ),
            ("null", ""),
        ] {
            assert_eq!(said(&serde_json::from_str(text).expect("JSON")), expected);
        }
    }
}
