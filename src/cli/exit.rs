//! Exit codes: the same for every verb.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// It did what was asked.
    Fine,
    /// It tried and failed.
    Failed,
    /// The arguments are wrong.
    Usage,
    /// No hotgate runs here, or its socket cannot be reached.
    NotRunning,
    /// It did what was asked, and the answer is no.
    No,
    /// The system does not permit it to this user.
    Permission,
    /// The configuration is invalid (EX_CONFIG of sysexits.h: systemd does not restart on it).
    Config,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Fine => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotRunning => 3,
            Exit::No => 4,
            Exit::Permission => 77,
            Exit::Config => 78,
        })
    }
}
