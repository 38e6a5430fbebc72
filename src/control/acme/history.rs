//! What the queue remembers over a restart: one JSON file beside the account.
//!
//! Without it a service that is restarted in a loop would order in a loop. A file that cannot be read is as none.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::choice::Kind;
use super::queue::{Memory, Queue};
use crate::control::certificates::name::CertName;
use crate::control::certificates::storage::Storage;

/// Writes what is to be kept.
///
/// # Errors
///
/// The file cannot be written; the older one is whole.
pub fn keep(queue: &Queue, storage: &dyn Storage, place: &str) -> io::Result<()> {
    storage.put_file(place, encode(queue).as_bytes())
}

/// Takes up what was kept, for the names that the queue has.
pub fn take_up(queue: &mut Queue, storage: &dyn Storage, place: &str) {
    if let Ok(Some(octets)) = storage.file(place)
        && let Ok(text) = String::from_utf8(octets)
    {
        decode(&text, queue);
    }
}

fn encode(queue: &Queue) -> String {
    let names: Map<String, Value> = queue
        .memories()
        .filter(|(_, memory)| **memory != Memory::default())
        .map(|(name, memory)| {
            let value = json!({
                "failures": memory.failures,
                "retry_at": memory.retry_at.map(seconds),
                "not_before": memory.not_before.map(seconds),
                "worked": memory.worked.map(Kind::as_str),
            });
            (name.to_string(), value)
        })
        .collect();
    let limits: BTreeMap<&str, Vec<u64>> = queue
        .limits()
        .noted()
        .map(|(key, times)| (key, times.map(seconds).collect()))
        .collect();
    format!("{:#}\n", json!({ "names": names, "limits": limits }))
}

fn decode(text: &str, queue: &mut Queue) {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let object = |key: &str| value.get(key).and_then(Value::as_object);
    for (name, kept) in object("names").into_iter().flatten() {
        let Some(name) = CertName::parse(name) else {
            continue;
        };
        let failures = kept["failures"]
            .as_u64()
            .and_then(|count| u32::try_from(count).ok());
        let memory = Memory {
            failures: failures.unwrap_or_default(),
            retry_at: moment(&kept["retry_at"]),
            not_before: moment(&kept["not_before"]),
            worked: kept["worked"].as_str().and_then(Kind::parse),
        };
        queue.take_up(&name, memory);
    }
    for (key, times) in object("limits").into_iter().flatten() {
        let times = times.as_array().into_iter().flatten().filter_map(moment);
        queue.limits_mut().take_up(key, times);
    }
}

/// Whole seconds, rounded up: a pause does not get shorter.
fn seconds(moment: SystemTime) -> u64 {
    let since = moment
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    since.as_secs() + u64::from(since.subsec_nanos() > 0)
}

fn moment(value: &Value) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(value.as_u64()?))
}

#[cfg(test)]
mod tests {
    use super::super::limits::{Limits, Purpose};
    use super::*;

    const CA: &str = "https://acme-v02.api.letsencrypt.org/directory";

    fn queue() -> Queue {
        let mut queue = Queue::new(Limits::of(CA));
        let names = ["a.test", "*.b.test", "c.test"]
            .map(|text| (CertName::parse(text).expect("a name"), None));
        queue.set_names(names.into(), SystemTime::UNIX_EPOCH);
        queue
    }

    #[test]
    fn what_is_kept_is_taken_up() {
        let at =
            |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds);
        let mut before = queue();
        let memory = Memory {
            failures: 3,
            retry_at: Some(at(5)),
            not_before: None,
            worked: Some(Kind::Dns01),
        };
        before.take_up(&CertName::parse("*.b.test").expect("a name"), memory);
        before.limits_mut().note_failed("a.test", at(1));
        before.limits_mut().note_order(Purpose::New, at(2));
        let text = encode(&before);
        let mut after = queue();
        decode(&text, &mut after);
        assert_eq!(after.limits(), before.limits());
        let memories = |queue: &Queue| -> Vec<(CertName, Memory)> {
            queue
                .memories()
                .map(|(name, memory)| (name.clone(), *memory))
                .collect()
        };
        assert_eq!(memories(&after), memories(&before));
        assert_eq!(encode(&after), text);
    }

    #[test]
    fn nonsense_is_as_nothing() {
        let empty = encode(&queue());
        for text in [
            "",
            "{",
            "[]",
            "{\"names\": 1, \"limits\": []}",
            "{\"names\": {\"a.test\": 7, \"a b\": {}}, \"limits\": {\"orders\": 7, \"x\": [1]}}",
            "{\"names\": {\"a.test\": {\"failures\": -1, \"retry_at\": 18446744073709551615, \"worked\": \"magic\"}}}",
        ] {
            let mut queue = queue();
            decode(text, &mut queue);
            let found = encode(&queue).replace("\"orders\": []", "");
            let found: Value =
                serde_json::from_str(&found.replace("{\n    \n  }", "{}")).expect("JSON");
            assert_eq!(
                found,
                serde_json::from_str::<Value>(&empty).expect("JSON"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_moment_does_not_come_sooner() {
        let exact = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
        assert_eq!(seconds(exact), 7);
        assert_eq!(seconds(exact + Duration::from_nanos(1)), 8);
    }
}
