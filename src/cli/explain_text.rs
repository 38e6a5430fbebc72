//! An explanation for people: the request, the decisions one under the other, what is sent, what is in force.
//!
//! Everything is masked piece by piece before it is laid out: a secret that a line's end parts would be shown.

use std::fmt::Write;

use super::columns::{COLUMNS, visible, wrapped};
use crate::config::{Config, Place};
use crate::control::live::Step;
use crate::serve::explain::{Explanation, Forwarded, Outcome, Stage, Target};

/// Columns of a stage's name and the space behind it.
const NAME: usize = 11;
/// Columns before what explains the line above.
const WHY: usize = NAME + 2;
/// Columns of a setting, where a place stands behind it.
const SETTING: usize = 34;

/// All of it.
pub(super) fn as_text(explanation: &Explanation, live: &[Step], config: &Config) -> String {
    let mut page = Page {
        text: String::new(),
        config,
    };
    for line in explanation.request.trim_end().split("\r\n") {
        let line = page.clean(line);
        page.line(&format!("> {line}"));
    }
    page.line("");
    for stage in &explanation.stages {
        page.stage(stage);
    }
    page.line("");
    match &explanation.outcome {
        Outcome::NoListener(other) => {
            page.line("✗ nobody listens there: the connection is refused");
            if let Some(url) = other {
                let url = page.clean(url);
                page.line(&format!("  = try: hotgate explain {url}"));
            }
        }
        Outcome::Refused(reason) => {
            let status = reason.status();
            let status = status.map_or("closed".to_owned(), |status| status.code().to_string());
            page.line(&format!(
                "✗ {status} {}: {}",
                reason.text(),
                reason.sentence()
            ));
            page.paragraph("  = try: ", 9, reason.advice());
        }
        Outcome::Forwarded(forwarded) => page.forwarded(forwarded),
    }
    for step in live {
        let step = page.clean(&step.to_string());
        page.line(&step);
    }
    page.text
}

struct Page<'c> {
    text: String,
    config: &'c Config,
}

impl Page<'_> {
    fn clean(&self, text: &str) -> String {
        visible(&self.config.secrets.mask(text))
    }

    fn line(&mut self, line: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{}", line.trim_end());
    }

    /// `first` and the text, whose further lines begin below it.
    fn paragraph(&mut self, first: &str, indent: usize, text: &str) {
        let mut first = first.to_owned();
        for line in wrapped(text, COLUMNS - indent) {
            self.line(&format!("{first}{line}"));
            first = " ".repeat(indent);
        }
    }

    /// The place behind the line, or below it where there is no room.
    fn placed(&mut self, line: &str, place: Option<&Place>, indent: usize) {
        let Some(place) = place else {
            return self.line(line);
        };
        let place = format!("[{place}]");
        if line.chars().count() + 2 + place.chars().count() <= COLUMNS {
            return self.line(&format!("{line}  {place}"));
        }
        self.line(line);
        self.line(&format!("{:indent$}{place}", ""));
    }

    fn stage(&mut self, stage: &Stage) {
        let decision = wrapped(&self.clean(&stage.decision), COLUMNS - NAME);
        let (last, before) = decision.split_last().expect("there is always one line");
        let mut name = stage.name;
        for line in before {
            self.line(&format!("{name:NAME$}{line}"));
            name = "";
        }
        self.placed(&format!("{name:NAME$}{last}"), stage.place.as_ref(), WHY);
        let why = self.clean(&stage.why);
        self.paragraph(&" ".repeat(WHY), WHY, &why);
    }

    fn forwarded(&mut self, forwarded: &Forwarded) {
        let labels: Vec<&str> = forwarded
            .upstreams
            .iter()
            .map(|one| one.label.as_str())
            .collect();
        let labels = self.clean(&labels.join(", "));
        self.paragraph("✓ ", 2, &format!("passed on to {labels}"));
        self.line("");
        let request_line = forwarded.head().split("\r\n").next().unwrap_or_default();
        self.named("sent", request_line);
        for name in &forwarded.removed {
            self.named("", &format!("- {name}"));
        }
        for (name, old, new) in &forwarded.replaced {
            self.named("", &format!("- {name}: {old}"));
            self.named("", &format!("+ {name}: {new}"));
        }
        for (name, value) in &forwarded.added {
            self.named("", &format!("+ {name}: {value}"));
        }
        let mut name = "upstream";
        for upstream in &forwarded.upstreams {
            let to = match &upstream.target {
                Target::Name(..) => "looked up while hotgate runs".to_owned(),
                Target::BuiltIn => "the built-in origin, within hotgate".to_owned(),
                Target::Unix(_) | Target::Tcp(..) => upstream.target.addresses().join(", then "),
            };
            match to == upstream.label || upstream.label == format!("unix:{to}") {
                true => self.named(name, &upstream.label),
                false => self.named(name, &format!("{}  ({to})", upstream.label)),
            }
            name = "";
        }
        self.paragraph(&format!("{:NAME$}", "retry"), NAME, forwarded.retry);
        self.settings(forwarded);
        let response = "as it came, less the fields that end here; Date if it has none, and framing of hotgate's own";
        self.paragraph(&format!("{:NAME$}", "response"), NAME, response);
    }

    /// A line of data, which is not parted.
    fn named(&mut self, name: &str, text: &str) {
        let text = self.clean(text);
        self.line(&format!("{name:NAME$}{text}"));
    }

    /// What the files say line by line, and what is built in together: of a setting that nobody wrote the value is all
    /// there is to know.
    fn settings(&mut self, forwarded: &Forwarded) {
        let shown = |page: &Self, key: &str, value: &str| page.clean(&format!("{key} = {value}"));
        let mut name = "settings";
        for setting in &forwarded.settings {
            if let Some(place) = &setting.place {
                let text = shown(self, &setting.key, &setting.value);
                self.placed(&format!("{name:NAME$}{text:SETTING$}"), Some(place), WHY);
                name = "";
            }
        }
        let built_in: Vec<String> = forwarded
            .settings
            .iter()
            .filter(|setting| setting.place.is_none())
            .map(|setting| shown(self, &setting.key, &setting.value))
            .collect();
        if !built_in.is_empty() {
            // A setting and its value stay together: the spaces in them are no place to part the line.
            let glued: Vec<String> = built_in
                .iter()
                .map(|text| text.replace(' ', "\u{a0}"))
                .collect();
            let mut first = format!("{name:NAME$}");
            let text = format!("built\u{a0}in: {}", glued.join(", "));
            for line in wrapped(&text, COLUMNS - NAME) {
                self.line(&format!("{first}{}", line.replace('\u{a0}', " ")));
                first = " ".repeat(NAME);
            }
        }
    }
}
