//! Words of other proxies, answered with hotgate's own.

use super::diagnostic::Fault;
use super::host;
use super::raw::Entry;
use super::target;
use super::units::{self, UnitError};

/// One word that people bring along.
struct Word {
    /// The word, as its proxy writes it.
    theirs: &'static str,
    /// Whose it is.
    whose: &'static str,
    /// What hotgate has instead, in the words of a message.
    ours: &'static str,
    mend: Mend,
}

/// How an entry with the word is written here.
enum Mend {
    /// `to = 3000`
    To,
    /// `[sites."example.com"]`
    SiteHeader,
    /// `[server]` and `http = [":80"]`
    Http,
    /// `limits.body = "10MiB"`
    Body,
}

const WORDS: [Word; 5] = [
    Word {
        theirs: "proxy_pass",
        whose: "nginx",
        ours: "`to`",
        mend: Mend::To,
    },
    Word {
        theirs: "reverse_proxy",
        whose: "Caddy",
        ours: "`to`",
        mend: Mend::To,
    },
    Word {
        theirs: "server_name",
        whose: "nginx",
        ours: "the site's key",
        mend: Mend::SiteHeader,
    },
    Word {
        theirs: "listen",
        whose: "nginx",
        ours: "`http` in `[server]`",
        mend: Mend::Http,
    },
    Word {
        theirs: "client_max_body_size",
        whose: "nginx",
        ours: "`limits.body`",
        mend: Mend::Body,
    },
];

/// The fault of an entry whose key is such a word.
pub(super) fn fault(entry: &Entry) -> Option<Fault> {
    let word = WORDS.iter().find(|word| word.theirs == entry.name)?;
    let message = format!("`{}` is not a hotgate key", word.theirs);
    let label = format!(
        "{} calls it `{}`; here it is {}",
        word.whose, word.theirs, word.ours
    );
    let fault = Fault::new("unknown-key", entry.key.clone(), message).label(label);
    let text = entry.value.as_str().unwrap_or("");
    Some(match word.mend {
        Mend::To => fault.replace(entry.whole(), format!("to = {}", target_of(text))),
        Mend::SiteHeader => fault.write(format!("[sites.{:?}]", host_of(text))),
        Mend::Http => fault.write(format!("[server]\nhttp = [{:?}]", address_of(entry, text))),
        Mend::Body => fault.replace(entry.whole(), format!("limits.body = {:?}", size_of(text))),
    })
}

/// The target in `http://127.0.0.1:3000/`, as hotgate writes it; 3000 where there is none to see.
fn target_of(text: &str) -> String {
    let words = text.split_whitespace().map(target::spelling);
    words.flatten().next().unwrap_or_else(|| "3000".to_owned())
}

fn host_of(text: &str) -> &str {
    match text
        .split_whitespace()
        .find(|word| host::parse(word).is_ok())
    {
        // nginx's usual name for "any other host".
        Some("_") => "*",
        Some(word) => word,
        None => "example.com",
    }
}

fn address_of(entry: &Entry, text: &str) -> String {
    let word = text.split_whitespace().next().unwrap_or("");
    let number = entry
        .value
        .as_integer()
        .map(|digits| digits.as_str())
        .unwrap_or(word);
    match number
        .rsplit(':')
        .next()
        .and_then(|port| port.parse::<u16>().ok())
        .filter(|port| *port > 0)
    {
        Some(port) => format!(":{port}"),
        None => ":80".to_owned(),
    }
}

fn size_of(text: &str) -> String {
    match units::size(text) {
        Err(UnitError::Misspelt(mend) | UnitError::NoUnit(mend)) if !mend.starts_with('0') => mend,
        Err(UnitError::Misspelt(_) | UnitError::NoUnit(_)) => "unlimited".to_owned(),
        Ok(_) => text.to_owned(),
        Err(UnitError::Unreadable | UnitError::Order) => "10MiB".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::expand::Expander;
    use crate::config::grow::grow;
    use toml::de::DeTable;

    #[test]
    fn mends_what_was_written() {
        #[track_caller]
        fn check(text: &str, mend: &str) {
            let sources = [crate::config::Source { name: "f", text }];
            let mut faults = crate::config::diagnostic::Faults::new(&sources);
            let tree = DeTable::parse(text).expect("the row is TOML");
            let tree = grow(tree.get_ref(), 0, &mut Expander::literal(), &mut faults);
            let entries = crate::config::raw::entries(&tree);
            faults.error(fault(&entries[0]).expect("the row has a foreign word"));
            assert_eq!(faults.into_errors_and_warnings().0[0].mend, mend);
        }
        check("proxy_pass = \"http://127.0.0.1:3000\"", "to = 3000");
        check("proxy_pass = \"http://127.0.0.1:3000/\"", "to = 3000");
        check(
            "proxy_pass = \"http://10.0.0.5:3000\"",
            "to = \"10.0.0.5:3000\"",
        );
        check(
            "proxy_pass = \"http://unix:/run/a.sock:\"",
            "to = \"unix:/run/a.sock\"",
        );
        check("proxy_pass = true", "to = 3000");
        check("reverse_proxy = \"localhost:8080\"", "to = 8080");
        check(
            "reverse_proxy = \"/api/* 10.0.0.5:80\"",
            "to = \"10.0.0.5:80\"",
        );
        check(
            "server_name = \"example.com www.example.com\"",
            "[sites.\"example.com\"]",
        );
        check("server_name = \"_\"", "[sites.\"*\"]");
        check("listen = 8080", "[server]\nhttp = [\":8080\"]");
        check(
            "listen = \"[::]:8080 default_server\"",
            "[server]\nhttp = [\":8080\"]",
        );
        check("listen = []", "[server]\nhttp = [\":80\"]");
        check("client_max_body_size = \"10m\"", "limits.body = \"10MiB\"");
        check(
            "client_max_body_size = \"0\"",
            "limits.body = \"unlimited\"",
        );
    }
}
