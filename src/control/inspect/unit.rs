//! Does the systemd unit grant what the configuration needs? Read from the unit's files; systemd need not run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::finding::{Finding, Mark};
use crate::config::{Action, Config, EndpointAddress, LogTarget};

/// Where units are, the first wins (systemd.unit(5)).
const FOLDERS: [&str; 4] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// systemd's own limit where a unit sets none: 90 s (`DefaultTimeoutStopSec=`).
const STOP_SECONDS: u64 = 90;
/// systemd's hard limit on descriptors where a unit sets none (`DefaultLimitNOFILE=`).
const DESCRIPTORS: u64 = 524_288;
const RING_CALLS: [&str; 3] = ["io_uring_setup", "io_uring_enter", "io_uring_register"];

/// The settings of `[Service]`, in order, drop-ins last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    name: String,
    settings: Vec<(String, String)>,
}

/// Reads a unit by its name (`hotgate`, `hotgate.service`) or a file by its path.
pub fn read(unit: &str) -> Option<Unit> {
    if unit.contains('/') {
        let text = fs::read_to_string(unit).ok()?;
        return Some(with_drop_ins(Path::new(unit), &text, &[]));
    }
    let name = match unit.contains('.') {
        true => unit.to_owned(),
        false => format!("{unit}.service"),
    };
    let path = FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(&name))
        .find(|path| path.is_file())?;
    let text = fs::read_to_string(&path).ok()?;
    let folders: Vec<PathBuf> = FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(format!("{name}.d")))
        .collect();
    Some(with_drop_ins(&path, &text, &folders))
}

fn with_drop_ins(path: &Path, text: &str, folders: &[PathBuf]) -> Unit {
    let mut unit = Unit {
        name: path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        settings: Vec::new(),
    };
    unit.add(text);
    let beside = path.with_file_name(format!("{}.d", unit.name));
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in folders.iter().chain([&beside]) {
        let entries = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        files.extend(entries.filter(|path| path.extension().is_some_and(|ext| ext == "conf")));
    }
    // By name, wherever they are; one of a nearer folder hides its namesake.
    files.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    files.dedup_by_key(|path| path.file_name().map(ToOwned::to_owned));
    for file in files {
        unit.add(&fs::read_to_string(file).unwrap_or_default());
    }
    unit
}

impl Unit {
    /// Adds what `[Service]` of a file says.
    fn add(&mut self, text: &str) {
        let joined = text.replace("\\\n", " ");
        let mut is_service = false;
        for line in joined.lines().map(str::trim) {
            if line.starts_with('[') {
                is_service = line == "[Service]";
            } else if is_service
                && !line.starts_with(['#', ';'])
                && let Some((key, value)) = line.split_once('=')
            {
                self.settings
                    .push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
    }

    /// The user that the service runs as.
    pub fn user(&self) -> Option<&str> {
        self.last("User")
    }

    fn last(&self, key: &str) -> Option<&str> {
        let found = self.settings.iter().rev().find(|(known, _)| known == key);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The words of a list; an empty assignment begins it anew. `None` when it is not set.
    fn list(&self, key: &str) -> Option<Vec<&str>> {
        let mut list = None;
        for (_, value) in self.settings.iter().filter(|(known, _)| known == key) {
            match value.is_empty() {
                true => list = None,
                false => list
                    .get_or_insert_with(Vec::new)
                    .extend(value.split_whitespace()),
            }
        }
        list
    }

    fn is_on(&self, key: &str) -> bool {
        self.last(key)
            .is_some_and(|value| ["yes", "true", "on", "1"].contains(&value))
    }
}

/// What the unit lacks for this configuration; `files` are those of the configuration.
pub fn unit(unit: &str, config: &Config, files: &[PathBuf]) -> Vec<Finding> {
    match read(unit) {
        Some(read) => compare(&read, config, files),
        None => vec![
            Finding::new(Mark::Bad, "unit", unit, "there is no such unit")
                .mend("name it: hotgate check --unit NAME, or a file by its path"),
        ],
    }
}

fn compare(unit: &Unit, config: &Config, files: &[PathBuf]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |mark: Mark, what: String, lines: &str| {
        let edit = format!(
            "systemctl edit {}, and write\n[Service]\n{lines}",
            unit.name
        );
        found.push(Finding::new(mark, "unit", unit.name.clone(), what).mend(edit));
    };
    let is_root = unit.user().is_none_or(|user| user == "root");
    let low = config
        .listeners()
        .into_iter()
        .map(|listener| listener.address.port())
        .find(|port| (1..1024).contains(port));
    let has_capability = |key| {
        unit.list(key)
            .is_some_and(|list| list.contains(&"CAP_NET_BIND_SERVICE"))
    };
    if let Some(port) = low.filter(|_| !is_root && !has_capability("AmbientCapabilities")) {
        add(
            Mark::Bad,
            format!("port {port} needs CAP_NET_BIND_SERVICE"),
            "AmbientCapabilities=CAP_NET_BIND_SERVICE",
        );
    }
    let sockets = sockets(config);
    let paths = || files.iter().chain(&sockets).chain(&config.secret_files);
    let within =
        |path: &Path, folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
    if unit
        .last("ProtectHome")
        .is_some_and(|value| !["no", "false", "off", "0", "read-only"].contains(&value))
        && let Some(path) = paths().find(|path| within(path, &["/home", "/root", "/run/user"]))
    {
        add(
            Mark::Bad,
            format!("ProtectHome hides {}", path.display()),
            "ProtectHome=read-only",
        );
    }
    if unit.is_on("PrivateTmp")
        && let Some(path) = paths().find(|path| within(path, &["/tmp", "/var/tmp"]))
    {
        add(
            Mark::Bad,
            format!("PrivateTmp hides {}", path.display()),
            "PrivateTmp=no",
        );
    }
    if unit.is_on("PrivateNetwork") {
        add(
            Mark::Bad,
            "PrivateNetwork leaves it without a network".to_owned(),
            "PrivateNetwork=no",
        );
    }
    if let Some(families) = unit
        .list("RestrictAddressFamilies")
        .filter(|list| !list.first().is_some_and(|one| one.starts_with('~')))
    {
        let mut wanted = vec!["AF_INET", "AF_INET6"];
        wanted.extend((!sockets.is_empty()).then_some("AF_UNIX"));
        for family in wanted
            .into_iter()
            .filter(|family| !families.contains(family))
        {
            add(
                Mark::Bad,
                format!("RestrictAddressFamilies lacks {family}"),
                &format!("RestrictAddressFamilies={family}"),
            );
        }
    }
    if let LogTarget::File(path) = &config.log.access.path
        && unit.last("ProtectSystem") == Some("strict")
        && !may_write(unit, path)
    {
        let folder = path.parent().unwrap_or(path).display();
        add(
            Mark::Bad,
            format!(
                "ProtectSystem=strict keeps it from writing {}",
                path.display()
            ),
            &format!("ReadWritePaths={folder}"),
        );
    }
    if let Some(filter) = unit.list("SystemCallFilter")
        && let Some(call) = RING_CALLS.iter().find(|call| !filter.contains(call))
        && !filter.first().is_some_and(|first| first.starts_with('~'))
    {
        add(
            Mark::Warning,
            format!(
                "SystemCallFilter refuses {call}: it will run on epoll, for more processor time"
            ),
            &format!("SystemCallFilter={}", RING_CALLS.join(" ")),
        );
    }
    limits(unit, config, &mut add);
    if !unit
        .list("RestartPreventExitStatus")
        .is_some_and(|list| list.contains(&"78"))
        && unit.last("Restart").is_some_and(|value| value != "no")
    {
        add(
            Mark::Warning,
            "a faulty configuration is restarted again and again".to_owned(),
            "RestartPreventExitStatus=78",
        );
    }
    if unit.last("StateDirectory").is_none() && !is_root {
        add(
            Mark::Warning,
            "it has no folder for the last good copies of the configuration".to_owned(),
            "StateDirectory=hotgate\nStateDirectoryMode=0700",
        );
    }
    other_file(unit, files, &mut found);
    if found.is_empty() {
        found.push(Finding::new(
            Mark::Good,
            "unit",
            unit.name.clone(),
            "grants what the configuration needs",
        ));
    }
    found
}

fn limits(unit: &Unit, config: &Config, add: &mut impl FnMut(Mark, String, &str)) {
    let descriptors = unit.last("LimitNOFILE").and_then(|value| match value {
        "infinity" => Some(u64::MAX),
        value => value.rsplit(':').next()?.parse().ok(),
    });
    let descriptors = descriptors.unwrap_or(DESCRIPTORS);
    if let Some(connections) = config.server.max_connections {
        // A connection may need one upstream as well, and there are logs, rings, listeners.
        let wanted = connections as u64 * 2 + 128;
        if descriptors < wanted {
            add(
                Mark::Warning,
                format!(
                    "LimitNOFILE={descriptors} does not carry server.max_connections = {connections}"
                ),
                &format!("LimitNOFILE={wanted}"),
            );
        }
    }
    let stop = unit
        .last("TimeoutStopSec")
        .map_or(Some(STOP_SECONDS), seconds);
    let drain = config.server.drain_timeout;
    if let Some(stop) = stop.filter(|stop| Duration::from_secs(*stop) <= drain) {
        add(
            Mark::Warning,
            format!(
                "TimeoutStopSec={stop} ends it before server.drain_timeout ({} s) is over",
                drain.as_secs()
            ),
            &format!("TimeoutStopSec={}", drain.as_secs() + 5),
        );
    }
}

/// The unit serves another file than the one that was checked.
fn other_file(unit: &Unit, files: &[PathBuf], found: &mut Vec<Finding>) {
    let Some(start) = unit.last("ExecStart") else {
        return;
    };
    let words: Vec<&str> = start.split_whitespace().collect();
    let named = words
        .iter()
        .position(|word| ["-c", "--config"].contains(word))
        .and_then(|at| words.get(at + 1));
    let served = named.map_or("/etc/hotgate/hotgate.toml", |file| file);
    let is_checked =
        |file: &PathBuf| std::path::absolute(file).is_ok_and(|file| file == Path::new(served));
    if !files.is_empty() && !files.iter().any(is_checked) {
        found.push(
            Finding::new(
                Mark::Warning,
                "unit",
                unit.name.clone(),
                format!("it serves {served}, which is not the file that was checked"),
            )
            .mend(format!("hotgate check -c {served} --unit {}", unit.name)),
        );
    }
}

fn may_write(unit: &Unit, path: &Path) -> bool {
    let below = |folder: &str| path.starts_with(folder.trim_start_matches(['-', '+']));
    let of_logs = |folder: &str| path.starts_with(Path::new("/var/log").join(folder));
    unit.list("ReadWritePaths")
        .is_some_and(|list| list.into_iter().any(below))
        || unit
            .list("LogsDirectory")
            .is_some_and(|list| list.into_iter().any(of_logs))
}

fn sockets(config: &Config) -> Vec<PathBuf> {
    let routes = config.sites.iter().flat_map(|site| &site.routes);
    let endpoints = routes.flat_map(|route| match &route.action {
        Action::Proxy(to) => to.addresses.as_slice(),
        Action::Whoami | Action::None => &[],
    });
    let sockets = endpoints.filter_map(|endpoint| match endpoint {
        EndpointAddress::Unix(path) => Some(path.clone()),
        EndpointAddress::Port(_) | EndpointAddress::Tcp { .. } | EndpointAddress::Https { .. } => {
            None
        }
    });
    sockets.collect()
}

/// systemd.time(7), as far as units use it; `None` for infinity and what is not understood.
fn seconds(text: &str) -> Option<u64> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().ok()?;
    match unit.trim() {
        "" | "s" | "sec" => Some(number),
        "m" | "min" => Some(number * 60),
        "h" => Some(number * 3600),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, parse};

    const FINE: &str = "[Unit]\nUser=nobody\n[Service]\nUser=hotgate\nAmbientCapabilities=CAP_NET_BIND_SERVICE\nStateDirectory=hotgate\nRestart=on-failure\nRestartPreventExitStatus=78\n";

    /// What is found of a unit with these lines behind the fine ones.
    #[track_caller]
    fn check(lines: &str, config: &str, part: &str) {
        let text = format!("{config}\n[sites]\n\"http://a\" = [3000, \"unix:/run/a.sock\"]");
        let config = parse(&[Source {
            name: "f",
            text: &text,
        }])
        .expect("the row's file is fine");
        let mut unit = Unit {
            name: "hotgate.service".to_owned(),
            ..Unit::default()
        };
        unit.add(FINE);
        unit.add(&format!("[Service]\n{lines}"));
        let found = compare(&unit, &config, &[]);
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{told:#?}");
        assert!(told[0].contains(part), "{told:#?}");
    }

    #[test]
    fn each_lack_is_found() {
        check("", "", "✓");
        check(
            "AmbientCapabilities=",
            "",
            "port 80 needs CAP_NET_BIND_SERVICE",
        );
        check("AmbientCapabilities=\nUser=root", "", "✓");
        check("AmbientCapabilities=", "server.http = [\":8080\"]", "✓");
        check("ProtectHome=yes", "", "✓");
        check("PrivateNetwork=yes", "", "PrivateNetwork=no");
        check(
            "RestrictAddressFamilies=AF_INET AF_INET6",
            "",
            "RestrictAddressFamilies=AF_UNIX",
        );
        check(
            "RestrictAddressFamilies=AF_INET\nRestrictAddressFamilies=AF_INET6 AF_UNIX",
            "",
            "✓",
        );
        check(
            "ProtectSystem=strict",
            "log.access.path = \"/srv/log/a.log\"",
            "ReadWritePaths=/srv/log",
        );
        check(
            "ProtectSystem=strict\nReadWritePaths=/srv",
            "log.access.path = \"/srv/log/a.log\"",
            "✓",
        );
        check(
            "ProtectSystem=strict\nLogsDirectory=hotgate",
            "log.access.path = \"/var/log/hotgate/a.log\"",
            "✓",
        );
        check("SystemCallFilter=@system-service", "", "epoll");
        check(
            "SystemCallFilter=@system-service\nSystemCallFilter=io_uring_setup io_uring_enter io_uring_register",
            "",
            "✓",
        );
        check("SystemCallFilter=~@privileged", "", "✓");
        check(
            "LimitNOFILE=1024",
            "server.max_connections = 5000",
            "LimitNOFILE=10128",
        );
        check("TimeoutStopSec=20", "", "TimeoutStopSec=35");
        check("TimeoutStopSec=1min", "", "✓");
        check("TimeoutStopSec=infinity", "", "✓");
        check(
            "RestartPreventExitStatus=",
            "",
            "RestartPreventExitStatus=78",
        );
        check("StateDirectory=", "", "StateDirectory=hotgate");
        check("ExecStart=/usr/bin/hotgate run \\\n -c /x.toml", "", "✓");
    }

    #[test]
    fn hidden_paths_are_found() {
        for (lines, path, part) in [
            (
                "ProtectHome=yes",
                "/home/a/app.sock",
                "ProtectHome hides /home/a/app.sock",
            ),
            (
                "ProtectHome=tmpfs",
                "/run/user/1000/a.sock",
                "ProtectHome hides",
            ),
            (
                "PrivateTmp=true",
                "/tmp/a.sock",
                "PrivateTmp hides /tmp/a.sock",
            ),
        ] {
            let text = format!("[sites]\n\"http://a\" = \"unix:{path}\"");
            let config = parse(&[Source {
                name: "f",
                text: &text,
            }])
            .expect("the row's file is fine");
            let mut unit = Unit::default();
            unit.add(&format!("{FINE}{lines}\n"));
            let found = compare(&unit, &config, &[]);
            assert!(found[0].what.contains(part), "{found:?}");
        }
    }

    #[test]
    fn a_unit_that_serves_another_file_is_told() {
        let config = parse(&[]).expect("no file is no fault");
        let mut unit = Unit::default();
        unit.add(&format!(
            "{FINE}ExecStart=/usr/bin/hotgate run -c /etc/x.toml\n"
        ));
        let found = compare(
            &unit,
            &config,
            &[PathBuf::from("/etc/hotgate/hotgate.toml")],
        );
        assert!(found[0].what.contains("it serves /etc/x.toml"), "{found:?}");
        assert_eq!(
            compare(&unit, &config, &[PathBuf::from("/etc/x.toml")])[0].mark,
            Mark::Good
        );
    }
}
