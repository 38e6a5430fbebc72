//! Stubs of the DNS providers with an HTTP interface, after what these publish of it, each over one set of records.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, body::Bytes, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::front::answer;

/// The zone that the account has.
pub(crate) const ZONE: &str = "example.com";
pub(crate) const TOKEN: &str = "token-of-the-test";

/// Which one.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Cloudflare,
    Hetzner,
    Desec,
}

/// A running stub.
pub(crate) struct Stub {
    port: u16,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// TXT values by whole name.
    records: BTreeMap<String, Vec<String>>,
    /// That many requests are answered 429 first.
    pauses: u32,
    requests: u32,
}

impl Stub {
    pub(crate) async fn start(kind: Kind) -> Stub {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = state.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let shared = shared.clone();
                tokio::spawn(async move {
                    let answer = |request: Request<hyper::body::Incoming>| {
                        let shared = shared.clone();
                        async move {
                            let (head, body) = request.into_parts();
                            let content = body.collect().await.expect("a whole request").to_bytes();
                            let value = serde_json::from_slice(&content).unwrap_or_default();
                            Ok::<_, Infallible>(
                                shared.lock().expect("no panic").answer(kind, &head, &value),
                            )
                        }
                    };
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server
                        .serve_connection(TokioIo::new(stream), service_fn(answer))
                        .await;
                });
            }
        });
        Stub { port, state, task }
    }

    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}/v", self.port)
    }

    /// The values of a name.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        self.state
            .lock()
            .expect("no panic")
            .records
            .get(name)
            .cloned()
            .unwrap_or_default()
    }

    /// Answers so many requests with 429 first.
    pub(crate) fn pause(&self, times: u32) {
        self.state.lock().expect("no panic").pauses = times;
    }

    /// Somebody else's value.
    pub(crate) fn put(&self, name: &str, value: &str) {
        let mut state = self.state.lock().expect("no panic");
        state
            .records
            .entry(name.to_owned())
            .or_default()
            .push(value.to_owned());
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn answer(
        &mut self,
        kind: Kind,
        head: &hyper::http::request::Parts,
        content: &Value,
    ) -> Response<Full<Bytes>> {
        self.requests += 1;
        if self.pauses > 0 {
            self.pauses -= 1;
            return answer(429, &[("Retry-After", "0")], "{}");
        }
        let path = head
            .uri
            .path()
            .strip_prefix("/v")
            .expect("the base")
            .to_owned();
        let query = head.uri.query().unwrap_or_default().to_owned();
        let authorization = head.headers["authorization"]
            .to_str()
            .expect("ASCII")
            .to_owned();
        match kind {
            Kind::Cloudflare => {
                self.cloudflare(&head.method, &path, &query, &authorization, content)
            }
            Kind::Hetzner => self.hetzner(&head.method, &path, &authorization, content),
            Kind::Desec => self.desec(&head.method, &path, &query, &authorization, content),
        }
    }

    fn cloudflare(
        &mut self,
        method: &Method,
        path: &str,
        query: &str,
        authorization: &str,
        content: &Value,
    ) -> Response<Full<Bytes>> {
        let result = |status: u16, result: Value| {
            let value =
                json!({ "success": status < 300, "errors": [], "messages": [], "result": result });
            answer(
                status,
                &[("Content-Type", "application/json")],
                &value.to_string(),
            )
        };
        if authorization != format!("Bearer {TOKEN}") {
            let value = json!({ "success": false, "errors": [{ "code": 9109, "message": "Invalid access token" }], "messages": [], "result": null });
            return answer(403, &[], &value.to_string());
        }
        let parameter = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(&format!("{name}=")).map(str::to_owned))
        };
        let words: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method.as_str(), &words[..]) {
            ("GET", ["zones"]) => {
                let found = parameter("name").as_deref() == Some(ZONE);
                result(
                    200,
                    if found {
                        json!([{ "id": "z1", "name": ZONE, "status": "active" }])
                    } else {
                        json!([])
                    },
                )
            }
            ("GET", ["zones", "z1", "dns_records"]) => {
                let name = parameter("name").expect("a name");
                assert_eq!(parameter("type").as_deref(), Some("TXT"));
                let values = self.records.get(&name).cloned().unwrap_or_default();
                let records: Vec<Value> = values
                    .iter()
                    .map(|value| json!({ "id": format!("{name}|{value}"), "type": "TXT", "name": name, "content": value, "ttl": 60 }))
                    .collect();
                result(200, json!(records))
            }
            ("POST", ["zones", "z1", "dns_records"]) => {
                let (name, value) = (
                    content["name"].as_str().expect("a name"),
                    content["content"].as_str().expect("content"),
                );
                assert_eq!(
                    (content["type"].as_str(), content["ttl"].as_u64()),
                    (Some("TXT"), Some(60))
                );
                assert!(
                    value.starts_with('"') && value.ends_with('"'),
                    "TXT content is in quotes: {value}"
                );
                self.records
                    .entry(name.to_owned())
                    .or_default()
                    .push(value.to_owned());
                result(200, json!({ "id": "r1" }))
            }
            ("DELETE", ["zones", "z1", "dns_records", id]) => {
                let (name, value) = id.split_once('|').expect("an id of ours");
                let value = value.replace("%22", "\"");
                self.records
                    .get_mut(name)
                    .expect("there")
                    .retain(|known| *known != value);
                result(200, json!({ "id": id }))
            }
            _ => result(404, Value::Null),
        }
    }

    fn hetzner(
        &mut self,
        method: &Method,
        path: &str,
        authorization: &str,
        content: &Value,
    ) -> Response<Full<Bytes>> {
        let error = |status: u16, code: &str, message: &str| {
            answer(
                status,
                &[],
                &json!({ "error": { "code": code, "message": message, "details": null } })
                    .to_string(),
            )
        };
        if authorization != format!("Bearer {TOKEN}") {
            return error(401, "unauthorized", "unable to authenticate");
        }
        let action = |command: &str| {
            let action = json!({ "id": 1, "command": command, "status": "running", "progress": 50, "error": null });
            answer(201, &[], &json!({ "action": action }).to_string())
        };
        let words: Vec<&str> = path.trim_matches('/').split('/').collect();
        let ["zones", ZONE, rest @ ..] = &words[..] else {
            return error(404, "not_found", "zone not found");
        };
        let values = |content: &Value| -> Vec<String> {
            let records = content["records"].as_array().expect("records").iter();
            records
                .map(|record| record["value"].as_str().expect("a value").to_owned())
                .collect()
        };
        match (method.as_str(), rest) {
            ("GET", []) => answer(
                200,
                &[],
                &json!({ "zone": { "id": 42, "name": ZONE, "ttl": 10800 } }).to_string(),
            ),
            ("GET", ["rrsets", name, "TXT"]) => match self.records.get(&format!("{name}.{ZONE}")) {
                Some(values) if !values.is_empty() => {
                    let records: Vec<Value> = values
                        .iter()
                        .map(|value| json!({ "value": value, "comment": "" }))
                        .collect();
                    answer(200, &[], &json!({ "rrset": { "id": format!("{name}/TXT"), "name": name, "type": "TXT", "ttl": 60, "records": records, "zone": 42 } }).to_string())
                }
                _ => error(404, "not_found", "rrset not found"),
            },
            ("POST", ["rrsets", name, "TXT", "actions", "add_records"]) => {
                let set = self.records.entry(format!("{name}.{ZONE}")).or_default();
                for value in values(content) {
                    assert!(
                        value.starts_with('"') && value.ends_with('"'),
                        "TXT values are in quotes: {value}"
                    );
                    if set.contains(&value) {
                        return error(422, "uniqueness_error", "record already exists");
                    }
                    set.push(value);
                }
                action("add_rrset_records")
            }
            ("POST", ["rrsets", name, "TXT", "actions", "remove_records"]) => {
                let gone = values(content);
                match self.records.get_mut(&format!("{name}.{ZONE}")) {
                    Some(set) if gone.iter().all(|value| set.contains(value)) => {
                        set.retain(|value| !gone.contains(value));
                        action("remove_rrset_records")
                    }
                    _ => error(404, "not_found", "record not found"),
                }
            }
            _ => error(404, "not_found", "no such endpoint"),
        }
    }

    fn desec(
        &mut self,
        method: &Method,
        path: &str,
        query: &str,
        authorization: &str,
        content: &Value,
    ) -> Response<Full<Bytes>> {
        const MINIMUM_TTL: u64 = 3600;
        if authorization != format!("Token {TOKEN}") {
            return answer(401, &[], &json!({ "detail": "Invalid token." }).to_string());
        }
        let words: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method.as_str(), &words[..]) {
            ("GET", ["domains"]) => {
                let name = query.strip_prefix("owns_qname=").expect("a name");
                let owns = name == ZONE || name.ends_with(&format!(".{ZONE}"));
                let domains = if owns {
                    json!([{ "name": ZONE, "minimum_ttl": MINIMUM_TTL }])
                } else {
                    json!([])
                };
                answer(200, &[], &domains.to_string())
            }
            ("GET", ["domains", ZONE, "rrsets", subname, "TXT"]) => {
                match self.records.get(&format!("{subname}.{ZONE}")) {
                    Some(values) if !values.is_empty() => {
                        let set = json!({ "domain": ZONE, "subname": subname, "type": "TXT", "ttl": MINIMUM_TTL, "records": values });
                        answer(200, &[], &set.to_string())
                    }
                    _ => answer(404, &[], &json!({ "detail": "Not found." }).to_string()),
                }
            }
            ("PATCH", ["domains", ZONE, "rrsets"]) => {
                for set in content.as_array().expect("a list") {
                    if set["ttl"].as_u64() < Some(MINIMUM_TTL) {
                        let said = json!([{ "ttl": ["Ensure this value is greater than or equal to 3600."] }]);
                        return answer(400, &[], &said.to_string());
                    }
                    assert_eq!(set["type"], "TXT");
                    let name = format!("{}.{ZONE}", set["subname"].as_str().expect("a name"));
                    let values = set["records"].as_array().expect("records").iter();
                    let values = values.map(|value| value.as_str().expect("text").to_owned());
                    self.records.insert(name, values.collect());
                }
                answer(200, &[], &content.to_string())
            }
            _ => answer(404, &[], &json!({ "detail": "Not found." }).to_string()),
        }
    }
}
