//! The command line: one file a verb. Facts go to standard output, talk to standard error.

mod check;
mod exit;
mod files;
mod quick;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::Exit;

/// A reverse proxy for people who run their own apps on a cheap Linux server.
#[derive(Parser)]
#[command(name = "hotgate", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve in the foreground until SIGTERM or Ctrl-C; a second one ends at once
    Run {
        #[command(flatten)]
        files: ConfigFile,
    },
    /// Read the configuration, say everything that is wrong with it, and serve nothing
    Check {
        #[command(flatten)]
        files: ConfigFile,
    },
    /// Serve a demonstration on http://localhost:8080, for this machine alone
    Quick {
        /// The port to serve it on
        #[arg(long, default_value_t = quick::DEFAULT_PORT, value_name = "PORT")]
        port: u16,
    },
}

#[derive(clap::Args)]
struct ConfigFile {
    /// The configuration [default: /etc/hotgate/hotgate.toml, else ./hotgate.toml]
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Asked-for help goes to standard output and is no fault.
            let _ = error.print();
            let is_fault = error.use_stderr();
            return if is_fault {
                Exit::Usage.into()
            } else {
                Exit::Fine.into()
            };
        }
    };
    let exit = match arguments.verb {
        Verb::Run { files } => run::run(files.config.as_deref()),
        Verb::Check { files } => check::check(files.config.as_deref()),
        Verb::Quick { port } => quick::quick(port),
    };
    exit.into()
}
