//! The JSON Schema of a configuration file, for editors: completion, types, a word on each key.
//!
//! It knows less than [`super::parse`]: no hosts twice, no merging. What it refuses, `check` refuses too. Keys of a later
//! version are unknown to it as they are to the reader.

use serde_json::{Map, Value, json};

use super::catalogue::{Key, Kind};
use super::catalogue_keys::KEYS as CATALOGUE;
use crate::policy::pipeline::{DEPTH_MAX, DEPTH_MIN};

/// A string with a `${…}` may stand where anything but a table may.
const PLACEHOLDER: &str = "\\$\\{";
/// `super::units::duration`.
const DURATION: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";
/// `super::units::size`.
const SIZE: &str = "^[0-9]+([KMGT]i?)?B$";
/// Site keys: no scheme but http, no path, no blanks.
const HOST: &str = "^(http://)?[^/\\s]+$|\\$\\{";
/// `super::upstreams::fault_of_name`: no dot, no blank, and a character that is no digit.
const NAME: &str = "^[A-Za-z0-9_-]*[A-Za-z_-][A-Za-z0-9_-]*$|\\$\\{";
/// Path keys.
const PATH: &str = "^=?/|\\$\\{";

/// The schema, draft 2020-12.
pub fn schema() -> Value {
    let mut top = Map::new();
    for key in CATALOGUE.iter().filter(|key| key.levels.global) {
        if let (Some(table), name) = key.table() {
            insert(&mut top, table, name, key);
        }
    }
    top.insert(
        "defaults".to_owned(),
        described(
            table(|key| key.levels.defaults),
            "Settings that every site has unless it sets its own",
        ),
    );
    let mut of_upstreams = Map::new();
    for key in CATALOGUE.iter().filter(|key| key.levels.upstream) {
        of_upstreams.insert(key.table().1.to_owned(), of_key(key));
    }
    top.insert(
        "upstreams".to_owned(),
        json!({
            "description": "Name → servers, which sites and paths name in `to`",
            "type": "object",
            "additionalProperties": false,
            "patternProperties": { NAME: {
                "type": "object",
                "additionalProperties": false,
                "properties": of_upstreams,
            } },
        }),
    );
    top.insert(
        "sites".to_owned(),
        json!({
            "description": "Host → what to do: a target, or a table",
            "type": "object",
            "additionalProperties": false,
            "patternProperties": { HOST: { "$ref": "#/$defs/site" } },
        }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hotgate",
        "description": "The configuration of hotgate",
        "type": "object",
        "additionalProperties": false,
        "properties": top,
        "$defs": {
            "address": {
                "anyOf": [
                    { "type": "integer", "minimum": 1, "maximum": 65_535 },
                    { "type": "string", "pattern": "^unix:.+|^(https://)?[^/\\s]+:[0-9]{1,5}$|^https://[^/\\s]+$|\\$\\{" },
                ],
            },
            "target": { "anyOf": [
                { "$ref": "#/$defs/address" },
                { "type": "string", "pattern": NAME },
            ] },
            "server": { "anyOf": [
                { "$ref": "#/$defs/address" },
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["address"],
                    "properties": { "address": { "$ref": "#/$defs/address" } },
                },
            ] },
            "servers": {
                "anyOf": [
                    { "$ref": "#/$defs/server" },
                    { "type": "array", "minItems": 1, "maxItems": 256, "items": { "$ref": "#/$defs/server" } },
                ],
            },
            "targets": {
                "anyOf": [
                    { "$ref": "#/$defs/target" },
                    { "type": "array", "minItems": 1, "maxItems": 256, "items": { "$ref": "#/$defs/target" } },
                ],
            },
            "tls": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "cert": { "type": "string", "minLength": 1 },
                    "key": { "type": "string", "minLength": 1 },
                    "client_auth": { "anyOf": [
                        { "enum": ["off", "request", "require"] },
                        { "type": "string", "pattern": PLACEHOLDER },
                    ] },
                    "client_ca": { "type": "string", "minLength": 1 },
                },
            },
            "site": { "anyOf": [{ "$ref": "#/$defs/targets" }, table(|key| key.levels.site)] },
            "path": { "anyOf": [{ "$ref": "#/$defs/targets" }, table(|key| key.levels.path)] },
        },
    })
}

/// A table of those keys of sites that a level has.
fn table(is_there: fn(&Key) -> bool) -> Value {
    let mut properties = Map::new();
    for key in CATALOGUE.iter().filter(|key| is_there(key)) {
        match key.name.split_once('.') {
            Some((table, name)) => insert(&mut properties, table, name, key),
            None => {
                properties.insert(key.name.to_owned(), of_key(key));
            }
        }
    }
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// Puts a key into a table of `properties`, which may itself be in one: `log.access`.
fn insert(properties: &mut Map<String, Value>, table: &str, name: &str, key: &Key) {
    let (outer, inner) = match table.split_once('.') {
        Some((outer, inner)) => (outer, Some(inner)),
        None => (table, None),
    };
    let entry = properties.entry(outer).or_insert_with(
        || json!({ "type": "object", "additionalProperties": false, "properties": {} }),
    );
    let Some(Value::Object(properties)) = entry.get_mut("properties") else {
        return;
    };
    match inner {
        Some(inner) => insert(properties, inner, name, key),
        None => {
            properties.insert(name.to_owned(), of_key(key));
        }
    }
}

fn of_key(key: &Key) -> Value {
    let meaning = key.meaning.replace('`', "");
    let text = match key.default {
        Some(default) => format!("{meaning}. Default: {default}"),
        None => meaning,
    };
    described(of_kind(key.kind), &text)
}

fn described(mut schema: Value, text: &str) -> Value {
    if let Value::Object(members) = &mut schema {
        members.insert("description".to_owned(), json!(text));
    }
    schema
}

fn of_kind(kind: Kind) -> Value {
    let placeholder = json!({ "type": "string", "pattern": PLACEHOLDER });
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let list = |item: Value| json!({ "type": "array", "items": item });
    match kind {
        Kind::Switch => json!({ "anyOf": [{ "type": "boolean" }, placeholder] }),
        Kind::SwitchOrAuto => {
            json!({ "anyOf": [{ "type": "boolean" }, { "const": "auto" }, placeholder] })
        }
        Kind::Count => json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, placeholder] }),
        Kind::CountOrAuto => {
            json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, { "const": "auto" }, placeholder] })
        }
        Kind::Choice(words) => json!({ "anyOf": [{ "enum": words }, placeholder] }),
        Kind::Duration => json!({ "anyOf": [text(DURATION), placeholder] }),
        Kind::DurationOrOff => {
            json!({ "anyOf": [text(DURATION), { "const": "off" }, placeholder] })
        }
        Kind::Size => json!({ "anyOf": [text(SIZE), placeholder] }),
        Kind::SizeOrUnlimited => {
            json!({ "anyOf": [text(SIZE), { "const": "unlimited" }, placeholder] })
        }
        Kind::Addresses => list(text(":[0-9]{1,5}$|\\$\\{")),
        Kind::Networks => list(text("^[0-9a-fA-F:.]+(/[0-9]{1,3})?$|^private$|\\$\\{")),
        Kind::NetworksOrAny => json!({ "anyOf": [{ "const": "any" }, of_kind(Kind::Networks)] }),
        Kind::Host | Kind::LogPath | Kind::Text | Kind::File | Kind::Command | Kind::FieldName => {
            json!({ "type": "string", "minLength": 1 })
        }
        Kind::Port => json!({ "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": 65_535 },
            placeholder,
        ] }),
        Kind::Authority => json!({ "anyOf": [
            { "enum": ["letsencrypt", "letsencrypt-staging"] },
            text("^https://[^\\s]+$|\\$\\{"),
        ] }),
        Kind::Names => list(text("^[^*/:\\s]+$|\\$\\{")),
        Kind::Tls => json!({ "anyOf": [
            { "$ref": "#/$defs/tls" },
            { "type": "array", "minItems": 1, "maxItems": 8, "items": { "$ref": "#/$defs/tls" } },
        ] }),
        Kind::UpstreamTls => json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "ca": { "type": "string", "minLength": 1 },
                "server_name": { "type": "string", "minLength": 1 },
                "verify": of_kind(Kind::Switch),
                "cert": { "type": "string", "minLength": 1 },
                "key": { "type": "string", "minLength": 1 },
            },
        }),
        Kind::Hsts => json!({ "anyOf": [
            text(DURATION),
            { "const": "off" },
            placeholder,
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["max_age"],
                "properties": {
                    "max_age": of_kind(Kind::Duration),
                    "subdomains": of_kind(Kind::Switch),
                    "preload": of_kind(Kind::Switch),
                },
            },
        ] }),
        Kind::Protocols => list(json!({ "type": "string", "minLength": 1 })),
        Kind::Redactions => list(text("^query:.+|\\$\\{")),
        Kind::Targets => json!({ "$ref": "#/$defs/targets" }),
        Kind::Servers => json!({ "$ref": "#/$defs/servers" }),
        Kind::Pipeline => json!({ "anyOf": [
            { "enum": ["off", "auto"] },
            { "type": "integer", "minimum": DEPTH_MIN, "maximum": DEPTH_MAX },
            placeholder,
        ] }),
        Kind::Paths => json!({
            "type": "object",
            "additionalProperties": false,
            "patternProperties": { PATH: { "$ref": "#/$defs/path" } },
        }),
    }
}
