//! Whole texts of another language: nginx.conf, a Caddyfile, YAML, JSON and the like, fed as TOML.
//!
//! Read as TOML each of their lines is a fault. So one message names the language, and shows the first sites that can
//! be seen in the text as hotgate writes them. A text with one header of TOML is never taken for another language: its
//! lines are answered one by one (see [`super::traps`]).
//!
//! Left out on purpose: a true import. What is shown is a beginning, to be seen at a glance.

use super::diagnostic::Fault;
use super::foreign::target_of;
use super::host;
use super::lines::is_toml;

/// Lines that are looked at: enough to know a language.
const LINES_MAX: usize = 1000;

/// Sites that are shown.
const SITES_MAX: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Nginx,
    Caddy,
    Apache,
    Haproxy,
    Json,
    Yaml,
    Variables,
}

/// The one fault of a text in another language. Ranges are of the text, which has faults as TOML.
pub(super) fn recognise(text: &str) -> Option<Fault> {
    let lines: Vec<&str> = text
        .lines()
        .take(LINES_MAX)
        .map(|line| line.trim_start_matches('\u{feff}').trim())
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '}']) && *line != "---")
        .collect();
    let first = lines.first()?;
    let language = language(&lines)?;
    let name = match language {
        Language::Nginx => "an nginx configuration",
        Language::Caddy => "a Caddyfile",
        Language::Apache => "an Apache configuration",
        Language::Haproxy => "an HAProxy configuration",
        Language::Json => "JSON",
        Language::Yaml => "YAML",
        Language::Variables => "a file of environment variables",
    };
    let start = text.find(first)?;
    let fault = Fault::new(
        "other-language",
        start..start + first.len(),
        format!("this is {name}; hotgate's language is TOML"),
    );
    let lines: Vec<String> = sites(language, text)
        .iter()
        .map(|(host, target)| format!("{host:?} = {target}"))
        .collect();
    Some(
        fault
            .label("a site is a line in `[sites]`: the host, and the port or address of its app")
            .write(format!("[sites]\n{}", lines.join("\n"))),
    )
}

fn language(lines: &[&str]) -> Option<Language> {
    let begins = |words: &[&str]| {
        lines.iter().any(|line| {
            let word = line.split(|c: char| c.is_whitespace() || c == '{').next();
            word.is_some_and(|word| words.contains(&word))
        })
    };
    let first = lines.first()?;
    let is_json = first.starts_with(['{', '[']) && lines.iter().any(|line| line.contains("\":"));
    if is_json && !is_toml(first) {
        return Some(Language::Json);
    }
    if lines.iter().all(|line| is_variable(line)) {
        return Some(Language::Variables);
    }
    let is_header = |line: &&str| line.starts_with('[') && is_toml(line);
    let assigned = lines.iter().filter(|line| line.contains(" = ")).count();
    if lines.iter().any(is_header) || assigned * 3 > lines.len() {
        return None;
    }
    if lines.iter().any(|line| line.starts_with("<VirtualHost"))
        || begins(&["ProxyPass", "ServerName"])
    {
        return Some(Language::Apache);
    }
    let ends = |mark: char| lines.iter().any(|line| line.ends_with(mark));
    let is_nginx = begins(&[
        "server",
        "server_name",
        "location",
        "proxy_pass",
        "upstream",
        "listen",
    ]);
    if is_nginx && ends(';') {
        return Some(Language::Nginx);
    }
    let of_haproxy = begins(&["frontend", "backend", "listen", "global", "defaults"]);
    if of_haproxy
        && begins(&[
            "bind",
            "server",
            "mode",
            "default_backend",
            "use_backend",
            "timeout",
        ])
    {
        return Some(Language::Haproxy);
    }
    let yaml = lines.iter().filter(|line| is_yaml(line)).count();
    if yaml * 2 > lines.len() && lines.len() > 1 {
        return Some(Language::Yaml);
    }
    let of_caddy = [
        "reverse_proxy",
        "file_server",
        "php_fastcgi",
        "encode",
        "handle",
        "respond",
        "redir",
    ];
    let has_site = first.ends_with('{') || host::parse(first).is_ok();
    (begins(&of_caddy) && has_site).then_some(Language::Caddy)
}

/// `VIRTUAL_HOST=app.example.com`, also after `export`.
fn is_variable(line: &str) -> bool {
    let line = line.strip_prefix("export ").unwrap_or(line);
    line.split_once('=').is_some_and(|(name, _)| {
        let is_name =
            |octet: u8| octet.is_ascii_uppercase() || octet.is_ascii_digit() || octet == b'_';
        !name.is_empty() && name.bytes().all(is_name)
    })
}

/// `key:`, `key: value`, `- element`.
fn is_yaml(line: &str) -> bool {
    let element = line.strip_prefix("- ");
    let entry = element.unwrap_or(line);
    let is_key = |key: &str| !key.is_empty() && !key.contains(['{', ';', '(']);
    let is_entry = match entry.split_once(": ") {
        Some((key, _)) => is_key(key),
        None => entry.strip_suffix(':').is_some_and(is_key),
    };
    is_entry || element.is_some()
}

/// Host and target of the sites that can be seen, as TOML; one at least, made up where nothing is seen.
fn sites(language: Language, text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let (mut host, mut target): (Option<&str>, Option<String>) = (None, None);
    // Where a host comes first, what came before it is another site's.
    let is_host_first = match language {
        Language::Nginx | Language::Caddy | Language::Apache => true,
        Language::Haproxy | Language::Json | Language::Yaml | Language::Variables => false,
    };
    let mut depth = 0_usize;
    for line in text.lines().take(LINES_MAX) {
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.starts_with('#') {
            continue;
        }
        let new_host = match language {
            Language::Caddy if depth == 0 => words(line).next().filter(|word| is_host(word)),
            Language::Caddy => None,
            _ => after(line, host_keys(language)).find(|word| is_host(word)),
        };
        depth = (depth + line.matches('{').count()).saturating_sub(line.matches('}').count());
        if let Some(new) = new_host {
            host = Some(new);
            if is_host_first {
                target = None;
            }
        }
        let new_target =
            after(line, target_keys(language)).find_map(|word| is_target(word, language));
        let published = || {
            words(line)
                .find_map(published)
                .filter(|_| language == Language::Yaml)
        };
        target = new_target.or_else(published).or(target);
        if let (Some(known), Some(to)) = (host, &target) {
            let name = if known == "_" { "*" } else { known };
            if found.iter().all(|(host, _)| host != name) && found.len() < SITES_MAX {
                found.push((name.to_owned(), to.clone()));
            }
            (host, target) = (None, None);
        }
    }
    if found.is_empty() {
        let host = host.filter(|host| *host != "_").unwrap_or("example.com");
        let target = target.unwrap_or_else(|| "3000".to_owned());
        found.push((host.to_owned(), target));
    }
    found
}

fn host_keys(language: Language) -> &'static [&'static str] {
    match language {
        Language::Nginx => &["server_name"],
        Language::Caddy => &[],
        Language::Apache => &["ServerName"],
        Language::Haproxy => &["hdr", "req.hdr", "hdr_dom"],
        Language::Json => &["host", "hosts"],
        Language::Yaml => &["VIRTUAL_HOST", "Host", "caddy", "host", "domain"],
        Language::Variables => &["VIRTUAL_HOST", "LETSENCRYPT_HOST", "DOMAIN", "HOST"],
    }
}

fn target_keys(language: Language) -> &'static [&'static str] {
    match language {
        Language::Nginx => &["proxy_pass", "uwsgi_pass"],
        Language::Caddy => &["reverse_proxy"],
        Language::Apache => &["ProxyPass"],
        Language::Haproxy => &["server"],
        Language::Json => &["dial", "port", "url"],
        Language::Yaml => &["VIRTUAL_PORT", "port", "url"],
        Language::Variables => &["VIRTUAL_PORT", "PORT"],
    }
}

/// The words of a line, without what parts them in any of these languages.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let is_gap = |c: char| c.is_whitespace() || ",;\"'`(){}=|".contains(c);
    line.split(is_gap).filter(|word| !word.is_empty())
}

/// The words after one of these keys.
fn after<'l>(line: &'l str, keys: &'l [&str]) -> impl Iterator<Item = &'l str> {
    let is_key = move |word: &&str| {
        let name = word.trim_end_matches(':');
        let last = name.rsplit('.').next().unwrap_or(name);
        keys.contains(&name) || keys.contains(&last)
    };
    words(line).skip_while(move |word| !is_key(word)).skip(1)
}

fn is_host(word: &str) -> bool {
    let is_name = word.contains(['.', '*', ':']) || ["_", "localhost"].contains(&word);
    is_name && host::parse(word).is_ok()
}

/// A target as hotgate writes it. A bare number is a port only where nothing but a port can stand.
fn is_target(word: &str, language: Language) -> Option<String> {
    let may_be_port = match language {
        Language::Json | Language::Yaml | Language::Variables => true,
        Language::Nginx | Language::Caddy | Language::Apache | Language::Haproxy => false,
    };
    target_of(word).filter(|_| may_be_port || word.contains(':'))
}

/// A port as Docker publishes it: `3000:80` is reached as 3000.
fn published(word: &str) -> Option<String> {
    let (ours, theirs) = word.rsplit_once(':')?;
    theirs.parse::<u16>().ok()?;
    let port: u16 = ours.rsplit(':').next()?.parse().ok()?;
    (port > 0).then(|| port.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages() {
        #[track_caller]
        fn check(text: &str, expected: Option<Language>) {
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            assert_eq!(language(&lines), expected, "{text}");
        }
        check("server {\nlisten 80;\n}", Some(Language::Nginx));
        check(
            "server_name a.b;\nproxy_pass http://a:1;",
            Some(Language::Nginx),
        );
        check("a.b {\nreverse_proxy :1\n}", Some(Language::Caddy));
        check(":80\nfile_server", Some(Language::Caddy));
        check("frontend x\nbind *:80", Some(Language::Haproxy));
        check("<VirtualHost *:80>\nServerName a.b", Some(Language::Apache));
        check("a: 1\nb:\n- c", Some(Language::Yaml));
        check("{\n\"a\": 1\n}", Some(Language::Json));
        check("A=b\nexport C_1=d", Some(Language::Variables));
        // TOML with faults, answered line by line.
        check("[sites]\nproxy_pass http://a:1;\nserver_name a.b;", None);
        check("[sites]\nto: 1\nb: 2", None);
        check("\"a.b\" = 3000\n\"c.d\": 3001", None);
        check("to: 3000", None);
        check("some words", None);
        check("", None);
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for text in [
            "server {\nproxy_pass http://a;\n}",
            "server {\nserver_name _;\nproxy_pass http://10.0.0.5:80;\n}",
            "server {\nserver_name ~^(x)\\.a$;\nproxy_pass http://$up;\n}",
            ":80 {\nreverse_proxy app:1 app:2\n}",
            "a: b\nports:\n- 127.0.0.1:8080:80\nVIRTUAL_HOST: \"x.y\"",
        ] {
            let fault = recognise(text).expect("the row is another language");
            let sources = [crate::config::Source { name: "f", text }];
            let mut faults = crate::config::diagnostic::Faults::new(&sources);
            faults.error(fault);
            let mend = &faults.into_errors_and_warnings().0[0].mend;
            let sources = [crate::config::Source {
                name: "f",
                text: mend,
            }];
            crate::config::parse(&sources).unwrap_or_else(|errors| panic!("{mend}\n{}", errors[0]));
        }
    }
}
