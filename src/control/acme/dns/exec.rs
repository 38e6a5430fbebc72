//! `provider = "exec"`: a command of the operator's writes the records.
//!
//! It is run by `sh -c`, once to add a record and once to remove it, with
//!
//! | variable | is |
//! |---|---|
//! | `HOTGATE_DNS_ACTION` | `add` or `remove` |
//! | `HOTGATE_DNS_NAME` | the record's name, without a dot at its end: `_acme-challenge.example.com` |
//! | `HOTGATE_DNS_VALUE` | the TXT record's one string |
//!
//! and has to end with 0 once the record was handed to the zone's servers. Other values of the same name stay.

use std::time::Duration;

use super::record::{Record, RecordFault};
use crate::control::acme::command::run;

/// How long one run may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// The command.
pub struct Exec {
    line: String,
}

impl Exec {
    /// This command line.
    pub fn new(line: &str) -> Exec {
        Exec {
            line: line.to_owned(),
        }
    }

    /// Runs it to add a record.
    pub async fn add(&self, record: &Record) -> Result<(), RecordFault> {
        self.run("add", record).await
    }

    /// Runs it to remove a record.
    pub async fn remove(&self, record: &Record) -> Result<(), RecordFault> {
        self.run("remove", record).await
    }

    async fn run(&self, action: &str, record: &Record) -> Result<(), RecordFault> {
        let environment = [
            ("HOTGATE_DNS_ACTION", action),
            ("HOTGATE_DNS_NAME", record.name.as_str()),
            ("HOTGATE_DNS_VALUE", record.value.as_str()),
        ];
        run(&self.line, &environment, COMMAND_LIMIT)
            .await
            .map_err(|fault| {
                RecordFault(format!(
                    "the command of acme.dns failed to {action} it: {fault}; see acme.dns.command"
                ))
            })
    }
}
