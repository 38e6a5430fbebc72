//! The command line: what each verb prints, where, and with which exit code.

mod support;

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use hotgate::config::CATALOGUE;
use serde_json::Value;
use support::hotgate::{BINARY, Folder};

/// Runs `hotgate ARGUMENTS…`: exit code, standard output, standard error.
#[track_caller]
fn run(arguments: &[&str]) -> (i32, String, String) {
    run_in(&Folder::new(), arguments)
}

#[track_caller]
fn run_in(folder: &Folder, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(BINARY)
        .args(arguments)
        .current_dir(folder.path())
        .env_remove("NO_COLOR")
        .env("STATE_DIRECTORY", folder.path().join("state"))
        .stdin(Stdio::null())
        .output()
        .expect("hotgate starts");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (
        output.status.code().expect("it was not killed"),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[track_caller]
fn json(text: &str) -> Value {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(value["version"], 1, "every object has its version");
    value
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

#[test]
fn habits_are_answered_with_our_word() {
    for (theirs, ours) in [
        (&["-t"][..], "hotgate check"),
        (&["-T"], "hotgate check"),
        (&["validate"], "hotgate check"),
        (&["configtest"], "hotgate check"),
        (&["adapt", "--config", "Caddyfile"], "hotgate check --dump"),
        (&["start"], "systemctl start hotgate"),
        (&["stop"], "systemctl stop hotgate"),
        (&["-s", "reload"], "systemctl"),
        (
            &["reverse-proxy", "--from", "x"],
            "hotgate quick HOST TARGET",
        ),
    ] {
        let (code, out, said) = run(theirs);
        assert_eq!((code, out.as_str()), (2, ""), "{theirs:?}");
        assert!(
            said.contains(ours) && said.contains("= try:"),
            "{theirs:?}: {said}"
        );
    }
    // A verb of a later version is no typing error.
    let (code, _, said) = run(&["reload"]);
    assert_eq!(code, 2);
    assert!(said.contains("not in this version"), "{said}");
}

#[test]
fn usage_is_told_on_standard_error_and_help_on_standard_output() {
    for arguments in [
        &["chekc"][..],
        &["check", "--colour"],
        &["explain"],
        &["completions", "cmd"],
    ] {
        let (code, out, said) = run(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(
            said.contains("Usage") || said.contains("possible values"),
            "{said}"
        );
    }
    assert!(run(&["chekc"]).2.contains("'check'"), "did you mean");
    for arguments in [&["--help"][..], &["check", "--help"], &["--version"]] {
        let (code, out, said) = run(arguments);
        assert_eq!((code, said.as_str()), (0, ""), "{arguments:?}");
        assert!(out.contains("hotgate"), "{out}");
    }
}

#[test]
fn every_verb_that_prints_facts_has_them_as_json() {
    let folder = Folder::new();
    let text = "[sites.\"http://a.test\"]\nto = 3000\ntimeouts.response = \"9s\"\n[sites.\"http://a.test\".paths]\n\"/x\" = { to = 3001, strip = true }\n";
    fs::write(folder.path().join("h.toml"), text).expect("a file is written");
    let (code, out, _) = run_in(&folder, &["check", "--json", "-c", "h.toml"]);
    let facts = json(&out);
    assert_eq!(code, 0);
    assert_eq!(
        (&facts["ok"], &facts["sites"], &facts["paths"]),
        (&true.into(), &1.into(), &2.into())
    );
    assert_eq!(facts["listeners"], serde_json::json!([":80"]));
    assert_eq!(facts["files"], serde_json::json!(["h.toml"]));

    let (code, out, _) = run_in(&folder, &["routes", "--json", "-c", "h.toml"]);
    let facts = json(&out);
    assert_eq!(code, 0);
    let site = &facts["listeners"][0]["sites"][0];
    assert_eq!(
        (&site["site"], &site["source"]),
        (&"http://a.test".into(), &"h.toml:1:8".into())
    );
    assert_eq!(
        site["paths"][0]["settings"],
        serde_json::json!({ "timeouts.response": "\"9s\"" })
    );
    assert_eq!(site["paths"][1]["targets"], serde_json::json!(["3001"]));
    assert_eq!(
        site["paths"][1]["settings"],
        serde_json::json!({ "strip": "true" })
    );

    let (code, out, _) = run_in(
        &folder,
        &["explain", "--json", "-c", "h.toml", "http://a.test/x/y"],
    );
    let facts = json(&out);
    assert_eq!((code, &facts["outcome"]), (0, &"forwarded".into()));
    let response = facts["settings"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|one| one["key"] == "timeouts.response");
    let response = response.expect("the setting is there");
    assert_eq!(
        (&response["value"], &response["source"]),
        (&"\"9s\"".into(), &"h.toml:3:10".into())
    );
    let (code, out, _) = run_in(
        &folder,
        &["explain", "--json", "-c", "h.toml", "http://b.test/"],
    );
    assert_eq!((code, &json(&out)["reason"]), (4, &"unknown_host".into()));

    let (code, out, _) = run(&["list-keys", "--json"]);
    let facts = json(&out);
    assert_eq!(code, 0);
    assert_eq!(
        facts["keys"].as_array().expect("a list").len(),
        CATALOGUE.len()
    );

    let (code, out, _) = run(&["version", "--json"]);
    let facts = json(&out);
    assert_eq!(
        (code, &facts["hotgate"]),
        (0, &env!("CARGO_PKG_VERSION").into())
    );
    assert!(
        facts["backend"]
            .as_str()
            .expect("a word")
            .contains(['e', 'i']),
        "{facts:#}"
    );
}

#[test]
fn list_keys_filters_by_name_and_by_level() {
    let (code, out, _) = run(&["list-keys", "connect"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("timeouts.connect  [all, defaults, site, path]")
            && out.contains("server.max_connections"),
        "{out}"
    );
    assert!(!out.contains("timeouts.response"), "{out}");
    let (_, out, _) = run(&["list-keys", "defaults"]);
    assert!(
        out.contains("underscore_headers") && !out.contains("server.workers"),
        "{out}"
    );
    assert_eq!(run(&["list-keys", "colour"]).0, 4);
}

#[test]
fn the_manual_is_a_manual() {
    let folder = Folder::new();
    let (code, out, _) = run_in(&folder, &["man", "--out", "."]);
    assert_eq!((code, out.as_str()), (0, ""));
    let command = fs::read_to_string(folder.path().join("hotgate.1")).expect("hotgate(1)");
    let configuration =
        fs::read_to_string(folder.path().join("hotgate.toml.5")).expect("hotgate.toml(5)");
    assert_eq!(run(&["man"]).1, command);
    assert_eq!(run(&["man", "hotgate.toml"]).1, configuration);
    for part in ["EXIT STATUS", "SIGNALS", "FILES", "ENVIRONMENT", "explain"] {
        assert!(command.contains(part), "hotgate(1) lacks {part}");
    }
    let plain = configuration.replace('\\', "");
    for key in CATALOGUE {
        assert!(
            plain.contains(key.name),
            "hotgate.toml(5) lacks {}",
            key.name
        );
    }
    if !is_there("groff") {
        skip!("no groff to read the pages with");
    }
    for name in ["hotgate.1", "hotgate.toml.5"] {
        let output = Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", name])
            .current_dir(folder.path())
            .output()
            .expect("groff starts");
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(String::from_utf8_lossy(&output.stdout).lines().count() > 60);
    }
}

#[test]
fn completions_complete() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, _) = run(&["completions", shell]);
        assert!(code == 0 && out.contains("list-keys"), "{shell}: {out}");
    }
    // Bash itself, asked as it asks when Tab is pressed.
    let script = run(&["completions", "bash"]).1;
    let ask = "\nCOMP_WORDS=(hotgate ch) COMP_CWORD=1; _hotgate hotgate ch hotgate; echo \"${COMPREPLY[@]}\"\n";
    let mut bash = Command::new("bash")
        .arg("--norc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash starts");
    bash.stdin
        .take()
        .expect("piped")
        .write_all((script + ask).as_bytes())
        .expect("bash reads");
    let output = bash.wait_with_output().expect("bash ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "check");
}

#[test]
fn colours_come_when_asked_for_and_not_into_a_pipe() {
    let folder = Folder::new();
    fs::write(folder.path().join("h.toml"), "x = 1\n").expect("a file is written");
    assert!(
        !run_in(&folder, &["check", "-c", "h.toml"])
            .2
            .contains('\u{1b}')
    );
    assert!(
        run_in(&folder, &["check", "--color", "always", "-c", "h.toml"])
            .2
            .contains("\u{1b}[1;31merror[unknown-key]")
    );
    assert!(
        !run_in(&folder, &["-q", "check", "-c", "h.toml"])
            .2
            .contains("reading")
    );
}
