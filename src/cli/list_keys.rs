//! `hotgate list-keys`: every key, where it may stand, its type, default and an example.

use std::fmt::Write;

use serde_json::json;

use super::Exit;
use super::json::print_facts;
use super::talk::{print, say};
use crate::config::catalogue::Key;
use crate::config::{CATALOGUE, schema};

/// What `list-keys` takes.
#[derive(clap::Args)]
pub(super) struct ListKeysArgs {
    /// Only keys with this in their names, or one of the levels all, upstream, defaults, site, path
    filter: Option<String>,
    /// Print the JSON Schema of the configuration instead, for editors
    #[arg(long, conflicts_with = "filter")]
    schema: bool,
}

/// Prints the keys.
pub(super) fn list_keys(args: &ListKeysArgs, is_json: bool) -> Exit {
    if args.schema {
        print(&format!("{:#}\n", schema::schema()));
        return Exit::Fine;
    }
    let filter = args.filter.as_deref().unwrap_or_default();
    let has_level = |key: &Key| key.levels.words().split(", ").any(|word| word == filter);
    let keys: Vec<&Key> = CATALOGUE
        .iter()
        .filter(|key| key.name.contains(filter) || has_level(key))
        .collect();
    if is_json {
        print_facts(json!({ "keys": keys.iter().map(|key| as_json(key)).collect::<Vec<_>>() }));
    } else {
        print(&as_text(&keys));
    }
    if keys.is_empty() {
        say(&format!(
            "no key has {filter:?} in its name\n  = try: hotgate list-keys"
        ));
        return Exit::No;
    }
    Exit::Fine
}

fn as_text(keys: &[&Key]) -> String {
    let mut text = String::new();
    for key in keys {
        let plain = |text: &str| text.replace('`', "");
        let _ = writeln!(text, "{}  [{}]", key.name, key.levels.words());
        let _ = writeln!(text, "    {}", plain(key.meaning));
        let mut facts = vec![plain(&key.kind.words())];
        facts.extend(key.default.map(|default| format!("default {default}")));
        facts.extend((key.bounds != "—").then(|| plain(key.bounds)));
        let _ = writeln!(text, "    {}", facts.join("; "));
        let _ = writeln!(text, "    {} = {}\n", key.name, key.example);
    }
    text
}

fn as_json(key: &Key) -> serde_json::Value {
    let levels = key.levels.words();
    json!({
        "key": key.name,
        "type": key.kind.words().replace('`', ""),
        "default": key.default,
        "bounds": (key.bounds != "—").then(|| key.bounds.replace('`', "")),
        "levels": levels.split(", ").collect::<Vec<_>>(),
        "example": key.example,
        "meaning": key.meaning.replace('`', ""),
    })
}
