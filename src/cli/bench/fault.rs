//! Why a comparison could not be made, and what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// What stops `bench`.
#[derive(Debug)]
pub(super) enum Fault {
    /// A program is not there.
    Missing {
        /// Its name.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
        /// Where it was looked for, if it was named.
        named: Option<PathBuf>,
    },
    /// A process did not get as far as to serve.
    NotServing {
        /// Which one.
        name: String,
        /// What happened.
        why: String,
        /// The last of what it said.
        said: String,
    },
    /// A load generator did not do what it was to do.
    Load {
        /// Which one.
        program: &'static str,
        /// What it said.
        why: String,
    },
    /// A proxy under test did not answer as it should.
    Answer {
        /// Which one.
        name: String,
        /// What was wrong.
        why: String,
    },
    /// The system refused something.
    System {
        /// What was tried.
        doing: String,
        /// What came of it.
        error: io::Error,
    },
}

impl Fault {
    /// For `map_err`: what was being done.
    pub(super) fn while_doing(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Fault {
        let doing = doing.into();
        move |error| Fault::System { doing, error }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Missing {
                program,
                package,
                named: None,
            } => write!(
                f,
                "{program} is not on PATH; install it: {}",
                install(package)
            ),
            Fault::Missing {
                program,
                package,
                named: Some(path),
            } => write!(
                f,
                "there is no program at {}; name another, {program}=/path/to/{program}, or install it: {}",
                path.display(),
                install(package)
            ),
            Fault::NotServing { name, why, said } => {
                write!(f, "{name} does not serve: {why}")?;
                said.lines().try_for_each(|line| write!(f, "\n  {line}"))
            }
            Fault::Load { program, why } => write!(f, "{program} failed: {}", why.trim()),
            Fault::Answer { name, why } => write!(f, "{name} answers wrongly: {why}"),
            Fault::System { doing, error } => write!(f, "{doing}: {error}"),
        }
    }
}

/// The command that installs a package: Debian's, where it has it.
pub(super) fn install(package: &str) -> String {
    match package {
        "oha" => "cargo install oha".to_owned(),
        package => format!("apt-get install {package}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let missing = |program, package, named| Fault::Missing {
            program,
            package,
            named,
        };
        assert_eq!(
            missing("wrk", "wrk", None).to_string(),
            "wrk is not on PATH; install it: apt-get install wrk"
        );
        let named = Some(PathBuf::from("/opt/x"));
        let told = missing("nginx", "nginx", named).to_string();
        assert!(told.contains("/opt/x") && told.contains("nginx=/path/to/nginx"));
        assert_eq!(install("oha"), "cargo install oha");
    }
}
