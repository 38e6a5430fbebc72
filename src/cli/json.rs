//! What `--json` prints: one object, `version` 1. Keys are added, never changed, while the version stays.

use serde_json::{Map, Value, json};

use super::talk::print;
use crate::config::{Diagnostic, Severity};

/// The version of what is printed.
const VERSION: u32 = 1;

/// Prints the members of `facts`, which is an object, behind the version.
pub(super) fn print_facts(facts: Value) {
    print(&with_version(facts));
}

/// The same as a text, for a file.
pub(super) fn with_version(facts: Value) -> String {
    let mut object = Map::new();
    object.insert("version".to_owned(), json!(VERSION));
    if let Value::Object(members) = facts {
        object.extend(members);
    }
    format!("{:#}\n", Value::Object(object))
}

/// A message as its parts.
pub(super) fn diagnostic(diagnostic: &Diagnostic) -> Value {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    json!({
        "severity": severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "file": &*diagnostic.place.source,
        "line": diagnostic.place.line,
        "column": diagnostic.place.column,
        "label": diagnostic.label,
        "mend": diagnostic.mend,
    })
}
