//! `${…}` in strings and keys, expanded once, after parsing.
//!
//! ```text
//!   ${VAR}  ${VAR:-default}     the environment
//!   ${file:/path}               a file's text, without its last line end
//!   ${cred:name}                a credential that systemd passed on (LoadCredential=)
//!   $${                         `${` itself; a `$` elsewhere is a `$`, because password hashes have them
//! ```
//!
//! What stands in the environment and in files is asked for through [`Surroundings`]: this floor opens nothing. What
//! came from `file:` and `cred:` is a secret and prints as `***` ([`super::secrets`]).

use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::diagnostic::{Fault, Faults};
use super::place::beside;
use super::tree::Text;

/// What a configuration asks of the machine that it is read on.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Looks up what a `${…}` names: `Ok(None)` for a variable that is not set, else the reason why it cannot be had.
    pub lookup: &'a dyn Fn(&Reference) -> Result<Option<String>, String>,
    /// Is this an address of this machine? (Generated sites may not point at our own listeners.)
    pub is_own_address: &'a dyn Fn(IpAddr) -> bool,
}

/// What a `${…}` names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// `${NAME}`
    Variable(String),
    /// `${file:PATH}`; relative paths are already joined to the source's folder.
    File(PathBuf),
    /// `${cred:NAME}`
    Credential(String),
}

impl Surroundings<'static> {
    /// No variable is set, no file is there, and only loopback is this machine's.
    pub const NONE: Surroundings<'static> = Surroundings {
        lookup: &|reference| match reference {
            Reference::Variable(_) => Ok(None),
            Reference::File(_) | Reference::Credential(_) => Err("not found".to_owned()),
        },
        is_own_address: &|address| address.is_loopback() || address.is_unspecified(),
    };
}

/// Expands the strings of one source after the other.
pub(super) struct Expander<'a> {
    surroundings: Surroundings<'a>,
    /// The source's name: what relative paths are relative to.
    source: &'a str,
    /// Nothing is expanded.
    is_literal: bool,
    /// Files that were named, whether or not they could be read.
    pub(super) files: Vec<PathBuf>,
}

impl<'a> Expander<'a> {
    pub(super) fn new(surroundings: Surroundings<'a>) -> Expander<'a> {
        Expander {
            surroundings,
            source: "",
            is_literal: false,
            files: Vec::new(),
        }
    }

    /// For generated files: every string stays as it is.
    pub(super) fn literal() -> Expander<'static> {
        Expander {
            is_literal: true,
            ..Expander::new(Surroundings::NONE)
        }
    }

    /// Strings are of this source from now on.
    pub(super) fn enter(&mut self, source: &'a str) {
        self.source = source;
    }

    /// The text with each `${…}` replaced. Where one cannot be, that is reported, the text stays as it is, and nothing
    /// else is said of it.
    pub(super) fn expand(&mut self, text: &str, span: &Range<usize>, faults: &mut Faults) -> Text {
        if self.is_literal || !text.contains("${") {
            return Text {
                text: text.to_owned(),
                is_expanded: false,
            };
        }
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        let mut is_expanded = false;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                expanded.push_str(&rest[..at - 1]);
                expanded.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            expanded.push_str(&rest[..at]);
            let inside = &rest[at + 2..];
            let value = match inside.find('}') {
                Some(end) => {
                    rest = &inside[end + 1..];
                    self.value(&inside[..end], faults)
                }
                None => Err(Refusal::new("bad-placeholder", "`${` has no `}`")
                    .label("a `${` that is meant as it stands is written `$${`")),
            };
            match value {
                Ok(value) => expanded.push_str(&value),
                Err(refusal) => {
                    let fault = Fault::new(refusal.code, span.clone(), refusal.message);
                    faults.error(fault.label(refusal.label));
                    faults.poison(span.clone());
                    return Text {
                        text: text.to_owned(),
                        is_expanded: false,
                    };
                }
            }
            is_expanded = true;
        }
        expanded.push_str(rest);
        Text {
            text: expanded,
            is_expanded,
        }
    }

    /// What stands between `${` and `}`, looked up.
    fn value(&mut self, inside: &str, faults: &mut Faults) -> Result<String, Refusal> {
        let (reference, default) = if let Some(path) = inside.strip_prefix("file:") {
            let path = Some(path).filter(|path| !path.is_empty() && !path.contains('\0'));
            let path =
                path.ok_or_else(|| Refusal::new("bad-placeholder", "`${file:…}` names no file"))?;
            let path = beside(self.source, Path::new(path));
            self.files.push(path.clone());
            (Reference::File(path), None)
        } else if let Some(name) = inside.strip_prefix("cred:") {
            let is_name = !name.is_empty() && !name.contains(['/', '\0']) && !name.starts_with('.');
            if !is_name {
                return Err(Refusal::new(
                    "bad-placeholder",
                    "`${cred:…}` names no credential",
                ));
            }
            (Reference::Credential(name.to_owned()), None)
        } else {
            let (name, default) = match inside.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (inside, None),
            };
            if !is_variable(name) {
                let message = format!("`${{{inside}}}` names no variable");
                return Err(Refusal::new("bad-placeholder", message)
                    .label("write ${NAME}, ${NAME:-default}, ${file:/path} or ${cred:name}; `$${` for a `${` as it stands"));
            }
            (Reference::Variable(name.to_owned()), default)
        };
        match ((self.surroundings.lookup)(&reference), default) {
            (Ok(Some(value)), _) => {
                match reference {
                    Reference::Variable(_) => {}
                    Reference::File(_) | Reference::Credential(_) => {
                        faults.secrets.add(value.trim());
                        faults.secrets.add(&value);
                    }
                }
                Ok(value)
            }
            (Ok(None), Some(default)) => Ok(default.to_owned()),
            (Ok(None), None) => Err(Refusal::new(
                "unset-variable",
                format!("`${{{inside}}}` is not set"),
            )
            .label(match &reference {
                Reference::Variable(name) => {
                    format!("set it in the environment, or give a default: ${{{name}:-…}}")
                }
                Reference::File(_) | Reference::Credential(_) => String::new(),
            })),
            (Err(why), _) => Err(Refusal::new(
                "unreadable",
                format!("`${{{inside}}}` cannot be read: {why}"),
            )),
        }
    }
}

/// POSIX's names of variables.
fn is_variable(name: &str) -> bool {
    name.bytes()
        .all(|octet| octet.is_ascii_alphanumeric() || octet == b'_')
        && !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
}

struct Refusal {
    code: &'static str,
    message: String,
    label: String,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal {
            code,
            message: message.into(),
            label: String::new(),
        }
    }

    fn label(mut self, label: impl Into<String>) -> Refusal {
        self.label = label.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    fn lookup(reference: &Reference) -> Result<Option<String>, String> {
        match reference {
            Reference::Variable(name) => Ok(match name.as_str() {
                "PORT" => Some("3000".to_owned()),
                "EMPTY" => Some(String::new()),
                "TRICK" => Some("${PORT}".to_owned()),
                _ => None,
            }),
            Reference::File(path) if path == Path::new("/etc/hotgate/key") => {
                Ok(Some("s3cret".to_owned()))
            }
            Reference::File(_) => Err("no such file".to_owned()),
            Reference::Credential(name) if name == "token" => Ok(Some("t0ken".to_owned())),
            Reference::Credential(_) => Err("no such credential".to_owned()),
        }
    }

    #[test]
    fn spellings() {
        #[track_caller]
        fn check(text: &str, expected: Result<&str, &str>) {
            let sources = [Source {
                name: "f",
                text: "",
            }];
            let mut faults = Faults::new(&sources);
            let surroundings = Surroundings {
                lookup: &lookup,
                ..Surroundings::NONE
            };
            let mut expander = Expander::new(surroundings);
            expander.enter("/etc/hotgate/hotgate.toml");
            let found = expander.expand(text, &(0..0), &mut faults);
            let (errors, _) = faults.into_errors_and_warnings();
            let found = match errors.as_slice() {
                [] => Ok(found.text.as_str()),
                [fault, ..] => Err(fault.code),
            };
            assert_eq!(found, expected, "{text}");
        }
        check("3000", Ok("3000"));
        check("${PORT}", Ok("3000"));
        check("a${PORT}b${PORT}c", Ok("a3000b3000c"));
        check("${EMPTY}", Ok(""));
        check("${EMPTY:-x}", Ok(""));
        check("${NONE:-x}", Ok("x"));
        check("${NONE:-}", Ok(""));
        check("${NONE:-a:-b}", Ok("a:-b"));
        check("${file:/etc/hotgate/key}", Ok("s3cret"));
        check("${file:key}", Ok("s3cret"));
        check("${cred:token}", Ok("t0ken"));
        // Once: what is put in is not looked at again.
        check("${TRICK}", Ok("${PORT}"));
        check("$${PORT}", Ok("${PORT}"));
        check("$$${PORT}", Ok("$${PORT}"));
        check("$argon2id$v=19$m=1$x", Ok("$argon2id$v=19$m=1$x"));
        check("$PORT $$ {} }", Ok("$PORT $$ {} }"));
        check("${NONE}", Err("unset-variable"));
        check("${}", Err("bad-placeholder"));
        check("${PORT", Err("bad-placeholder"));
        check("${1A}", Err("bad-placeholder"));
        check("${a b}", Err("bad-placeholder"));
        check("${env.PORT}", Err("bad-placeholder"));
        check("${file:}", Err("bad-placeholder"));
        check("${file:/none}", Err("unreadable"));
        check("${cred:}", Err("bad-placeholder"));
        check("${cred:../x}", Err("bad-placeholder"));
        check("${cred:none}", Err("unreadable"));
    }

    /// Found by fuzzing: the fault of the variable was dropped as noise, and that of the form as a second one there.
    #[test]
    fn a_fault_of_form_at_an_unset_variable_is_told() {
        let text = "[sites]\n\"a\" = [\"b}\n\"${NAME}.example\" = 3000\n\n[x]\ny:1\n";
        let errors = crate::config::parse(&[Source { name: "f", text }]).expect_err("malformed");
        assert!(errors.iter().any(|error| error.code == "syntax"));
    }
}
