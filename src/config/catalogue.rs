//! What is known of a key: its type, default, bounds, levels. The keys themselves stand in `catalogue_keys`.
//!
//! The one list from which `hotgate list-keys`, the manual page, the JSON Schema and the README's tables are made, and
//! against which the reader's own lists are tested.

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `server.workers`, `timeouts.connect`, `upstreams.NAME.servers`; of sites and paths the name alone: `to`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// The value without it, as TOML; `None` where there is none to write.
    pub default: Option<&'static str>,
    /// In words, with values in back quotes; `—` for none.
    pub bounds: &'static str,
    /// Where it may stand.
    pub levels: Levels,
    /// A value, as TOML.
    pub example: &'static str,
    /// One or two sentences without a final full stop; names and values in back quotes.
    pub meaning: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`
    Switch,
    /// `true`, `false` or `"auto"`
    SwitchOrAuto,
    /// A whole number.
    Count,
    /// A whole number or `"auto"`
    CountOrAuto,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `"30s"`
    Duration,
    /// `"30s"` or `"off"`
    DurationOrOff,
    /// `"64KiB"`
    Size,
    /// `"10MiB"` or `"unlimited"`
    SizeOrUnlimited,
    /// `[":80"]`
    Addresses,
    /// `["10.0.0.0/8", "private"]`
    Networks,
    /// The same, or `"any"`
    NetworksOrAny,
    /// `"keep"`, `"upstream"` or a name.
    Host,
    /// `["websocket"]`
    Protocols,
    /// `["query:token"]`
    Redactions,
    /// A file, `"stdout"` or `"off"`
    LogPath,
    /// `3000`, `"10.0.0.5:3000"`, `"api"`, or a list.
    Targets,
    /// `3000`, `"10.0.0.5:3000"`, `{ address = 3000 }`, or a list.
    Servers,
    /// `"off"`, `"auto"` or a number.
    Pipeline,
    /// A table of paths.
    Paths,
    /// A port.
    Port,
    /// A string of no set form.
    Text,
    /// The path of a file.
    File,
    /// `"letsencrypt"`, `"letsencrypt-staging"` or a URL.
    Authority,
    /// `["example.com"]`
    Names,
    /// A command that `sh -c` runs.
    Command,
    /// `{ cert = "a.pem", key = "a-key.pem" }`, or a list.
    Tls,
    /// `{ ca = "ca.pem", server_name = "app.internal" }`
    UpstreamTls,
    /// `"180d"`, `{ max_age = "180d" }` or `"off"`
    Hsts,
    /// The name of a field line, or `"off"`.
    FieldName,
}

/// Where a key may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// In the table of its name, at the top of a file.
    pub global: bool,
    /// In each table of `[upstreams]`.
    pub upstream: bool,
    /// In `[defaults]`.
    pub defaults: bool,
    /// In a site.
    pub site: bool,
    /// In a path of a site.
    pub path: bool,
}

impl Levels {
    /// In the words of the manual: `all, defaults, site, path`; `upstream`.
    pub fn words(self) -> String {
        let named = [
            (self.global, "all"),
            (self.upstream, "upstream"),
            (self.defaults, "defaults"),
            (self.site, "site"),
            (self.path, "path"),
        ];
        let words: Vec<&str> = named
            .iter()
            .filter(|(is_there, _)| *is_there)
            .map(|(_, word)| *word)
            .collect();
        words.join(", ")
    }
}

impl Kind {
    /// In the words of the manual, values in back quotes.
    pub fn words(self) -> String {
        match self {
            Kind::Switch => "`true` or `false`".to_owned(),
            Kind::SwitchOrAuto => "`true`, `false` or `\"auto\"`".to_owned(),
            Kind::Count => "number".to_owned(),
            Kind::CountOrAuto => "number, or `\"auto\"`".to_owned(),
            Kind::Choice(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
                match words.split_last() {
                    Some((last, [])) => last.clone(),
                    Some((last, others)) => format!("{} or {last}", others.join(", ")),
                    None => String::new(),
                }
            }
            Kind::Duration => "duration".to_owned(),
            Kind::DurationOrOff => "duration, or `\"off\"`".to_owned(),
            Kind::Size => "size".to_owned(),
            Kind::SizeOrUnlimited => "size, or `\"unlimited\"`".to_owned(),
            Kind::Addresses => "list of addresses".to_owned(),
            Kind::Networks => "list of networks".to_owned(),
            Kind::NetworksOrAny => "`\"any\"`, or list of networks".to_owned(),
            Kind::Host => "`\"keep\"`, `\"upstream\"` or a name".to_owned(),
            Kind::Protocols => "list of protocols".to_owned(),
            Kind::Redactions => "list of `\"query:NAME\"`".to_owned(),
            Kind::LogPath => "path, `\"stdout\"` or `\"off\"`".to_owned(),
            Kind::Targets => "target, or a list".to_owned(),
            Kind::Servers => "address, or a list".to_owned(),
            Kind::Pipeline => "`\"off\"`, `\"auto\"` or a number".to_owned(),
            Kind::Paths | Kind::UpstreamTls => "table".to_owned(),
            Kind::Port => "port".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::File => "path".to_owned(),
            Kind::Authority => "`\"letsencrypt\"`, `\"letsencrypt-staging\"` or a URL".to_owned(),
            Kind::Names => "list of names".to_owned(),
            Kind::Command => "command".to_owned(),
            Kind::Tls => "table, or a list".to_owned(),
            Kind::Hsts => "duration, table or `\"off\"`".to_owned(),
            Kind::FieldName => "name, or `\"off\"`".to_owned(),
        }
    }
}

impl Key {
    /// The row of the manual's tables.
    pub fn row(&self) -> String {
        let default = self
            .default
            .map_or("—".to_owned(), |value| format!("`{value}`"));
        format!(
            "| `{}` | {} | {default} | {} | {} | {} |",
            self.name,
            self.kind.words(),
            self.bounds,
            self.levels.words(),
            self.meaning
        )
    }

    /// The table that it stands in at the top of a file, and its name there: `("log.access", "path")`. Of a key of
    /// sites and paths the table is `None`.
    pub fn table(&self) -> (Option<&'static str>, &'static str) {
        match self.name.rsplit_once('.') {
            Some((table, name)) => (Some(table), name),
            None => (None, self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::CATALOGUE as KEYS;
    use crate::config::keys::Level;
    use crate::config::{Source, parse};

    /// The names of the catalogue's keys that stand directly in a table of this level.
    fn names(level: Level) -> BTreeSet<String> {
        let of_table = |table: &str| {
            let keys = KEYS
                .iter()
                .filter(|key| key.levels.global && key.table().0 == Some(table));
            keys.map(|key| key.table().1.to_owned()).collect()
        };
        let of_sites = |is_there: fn(Levels) -> bool| {
            let keys = KEYS.iter().filter(|key| is_there(key.levels));
            keys.map(|key| key.name.split('.').next().unwrap_or(key.name).to_owned())
                .collect()
        };
        match level {
            Level::Top => {
                let tables = KEYS.iter().filter_map(|key| key.table().0);
                let tables =
                    tables.map(|table| table.split('.').next().unwrap_or(table).to_owned());
                tables
                    .chain(["sites".to_owned(), "defaults".to_owned()])
                    .collect()
            }
            Level::Acme => {
                let own = ["eab", "dns"].map(str::to_owned);
                own.into_iter().chain(of_table("acme")).collect()
            }
            Level::Eab => of_table("acme.eab"),
            Level::Dns => of_table("acme.dns"),
            Level::Server => of_table("server"),
            Level::Timeouts => of_table("timeouts"),
            Level::Limits => of_table("limits"),
            Level::Log => ["level", "access"].map(str::to_owned).into(),
            Level::Access => of_table("log.access"),
            Level::Upstream => {
                let keys = KEYS.iter().filter(|key| key.levels.upstream);
                keys.map(|key| key.table().1.to_owned()).collect()
            }
            // The long form of what `servers` takes; what stands in other tables that are one value.
            Level::Endpoint => ["address".to_owned()].into(),
            Level::Tls => ["cert", "key", "client_auth", "client_ca"]
                .map(str::to_owned)
                .into(),
            Level::UpstreamTls => {
                let keys = ["ca", "server_name", "verify", "cert", "key"];
                keys.map(str::to_owned).into()
            }
            Level::Hsts => ["max_age", "subdomains", "preload"]
                .map(str::to_owned)
                .into(),
            Level::Defaults => of_sites(|levels| levels.defaults),
            Level::Site => of_sites(|levels| levels.site),
            Level::Path => of_sites(|levels| levels.path),
        }
    }

    #[test]
    fn the_reader_knows_these_keys_and_no_others() {
        for (level, keys) in crate::config::keys::KEYS {
            let read: BTreeSet<String> = keys.iter().map(|key| (*key).to_owned()).collect();
            assert_eq!(read, names(level), "{level:?}");
        }
    }

    /// What a table is not whole without.
    fn beside(key: &str) -> &'static str {
        match key {
            "acme.eab.key_id" => "hmac_key = \"YWJj\"",
            "acme.eab.hmac_key" => "key_id = \"k\"",
            "acme.dns.provider" => "token = \"t\"",
            "acme.dns.token" => "provider = \"desec\"",
            "acme.dns.api" => "provider = \"desec\"\ntoken = \"t\"",
            "acme.dns.command" => "provider = \"exec\"",
            "acme.dns.server" => "provider = \"rfc2136\"\nkey_name = \"k\"\nkey = \"YWJj\"",
            "acme.dns.key_name" => "provider = \"rfc2136\"\nserver = \"s\"\nkey = \"YWJj\"",
            "acme.dns.key" => "provider = \"rfc2136\"\nserver = \"s\"\nkey_name = \"k\"",
            "acme.dns.algorithm" => {
                "provider = \"rfc2136\"\nserver = \"s\"\nkey_name = \"k\"\nkey = \"YWJj\""
            }
            _ => "",
        }
    }

    /// Example and default of each key are taken wherever it may stand, and nowhere else.
    #[test]
    fn values_are_taken_at_every_level_and_at_no_other() {
        let mut count = 0;
        for key in KEYS {
            let values = [Some(key.example), key.default];
            for value in values.into_iter().flatten() {
                let needs_action = !["to", "builtin", "paths"].contains(&key.name);
                let action = if needs_action { "to = 1\n" } else { "" };
                let rows = [
                    (
                        key.levels.global,
                        match key.table() {
                            (Some(_), name) if key.levels.upstream => format!("{name} = {value}"),
                            (Some(table), name) => {
                                format!("[{table}]\n{name} = {value}\n{}", beside(key.name))
                            }
                            (None, name) => format!("{name} = {value}"),
                        },
                    ),
                    (
                        key.levels.upstream,
                        match key.table().1 {
                            "servers" => format!("[upstreams.a]\nservers = {value}"),
                            name => format!("[upstreams.a]\nservers = 1\n{name} = {value}"),
                        },
                    ),
                    (
                        key.levels.defaults,
                        format!("[defaults]\n{} = {value}", key.name),
                    ),
                    (
                        key.levels.site,
                        format!("[sites.\"h\"]\n{action}{} = {value}", key.name),
                    ),
                    (
                        key.levels.path,
                        format!("[sites.\"h\".paths.\"/p\"]\n{action}{} = {value}", key.name),
                    ),
                ];
                for (is_there, text) in rows {
                    let parsed = parse(&[Source {
                        name: "f",
                        text: &text,
                    }]);
                    assert_eq!(parsed.is_ok(), is_there, "{text}\n{parsed:?}");
                    count += 1;
                }
            }
        }
        assert!(count > 200, "{count} is no test");
    }
}
