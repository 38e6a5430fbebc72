//! The command line: one file a verb. Facts go to standard output, talk to standard error.

mod bench;
mod certs;
mod certs_dns;
mod certs_renew;
mod check;
mod columns;
mod completions;
mod exit;
mod explain;
mod explain_text;
mod files;
mod habits;
mod json;
mod list_keys;
mod man;
mod quick;
mod routes;
mod run;
mod state;
mod talk;
mod trust;
mod version;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

pub use exit::Exit;
use talk::{Color, say, set_manner};

/// A reverse proxy for people who run their own apps on a cheap Linux server.
#[derive(Parser)]
#[command(name = "hotgate", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(flatten)]
    general: General,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb takes.
#[derive(clap::Args)]
struct General {
    /// A configuration file, with the `sites.d` beside it; may repeat, a later one overrides key by key
    /// [default: /etc/hotgate/hotgate.toml]
    #[arg(short = 'c', long = "config", value_name = "FILE", global = true)]
    config: Vec<PathBuf>,
    /// Print facts as one JSON object
    #[arg(long, global = true)]
    json: bool,
    /// Colours on a terminal
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    color: Color,
    /// Say less
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Say more: `run` logs debug events, `check` tells what is fine too, `version` what it runs on
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve in the foreground until SIGTERM or Ctrl-C; a second one ends at once
    Run(run::RunArgs),
    /// Read the configuration, say everything that is wrong with it, and serve nothing
    Check(check::CheckArgs),
    /// Say what would become of a request, stage by stage, and why
    #[command(override_usage = "hotgate explain [OPTIONS] [METHOD] URL")]
    Explain(explain::ExplainArgs),
    /// List every site and path with its action and where it stands
    Routes,
    /// Say how it is with each certificate: from whom, how long, when it is renewed, why not
    #[command(
        override_usage = "hotgate certs [OPTIONS] [NAME]\n       hotgate certs import PEM KEY\n       hotgate certs import --certbot [DIR]"
    )]
    Certs(certs::CertsArgs),
    /// Have the local CA believed by this machine and the browsers of its user
    Trust(trust::TrustArgs),
    /// Have it believed no longer
    Untrust,
    /// List every key of the configuration: where it may stand, type, default, an example
    ListKeys(list_keys::ListKeysArgs),
    /// Print a script that completes hotgate's words in a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual: hotgate(1) or hotgate.toml(5)
    Man(man::ManArgs),
    /// Measure CPU, speed and memory beside other proxies, on this machine
    Bench(bench::BenchArgs),
    /// The origin behind the proxies that `bench` compares
    #[command(hide = true)]
    BenchOrigin(bench::OriginArgs),
    /// The load at a fixed rate of `bench`
    #[command(hide = true)]
    BenchPaced(bench::PacedArgs),
    /// The load of handshakes of `bench`
    #[command(hide = true)]
    BenchHandshakes(bench::HandshakesArgs),
    /// Print the version; with -v what it runs on
    Version,
    /// Serve a site without a file, each check said aloud; without HOST a demonstration on http://localhost:8080
    Quick(quick::QuickArgs),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    if let Some(answer) = std::env::args_os()
        .nth(1)
        .and_then(|word| habits::answer(word.to_str()?))
    {
        say(&answer);
        return Exit::Usage.into();
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Asked-for help goes to standard output and is no fault.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Fine.into(),
                _ => Exit::Usage.into(),
            };
        }
    };
    let General {
        config,
        json,
        color,
        quiet,
        verbose,
    } = arguments.general;
    set_manner(quiet, color);
    let exit = match arguments.verb {
        Verb::Run(args) => run::run(&config, &args, verbose),
        Verb::Check(args) => check::check(&config, &args, verbose > 0, json),
        Verb::Explain(args) => explain::explain(&config, &args, json),
        Verb::Certs(args) => certs::certs(&config, &args, json),
        Verb::Trust(args) => trust::trust(&config, &args, json),
        Verb::Untrust => trust::untrust(json),
        Verb::ListKeys(args) => list_keys::list_keys(&args, json),
        Verb::Completions(args) => completions::completions(&args, Arguments::command()),
        Verb::Man(args) => man::man(&args, Arguments::command()),
        Verb::Bench(args) => bench::bench(&args, json),
        Verb::BenchOrigin(args) => bench::origin(&args),
        Verb::BenchPaced(args) => bench::paced(&args),
        Verb::BenchHandshakes(args) => bench::handshakes(&args),
        Verb::Version => version::version(verbose > 0, json),
        Verb::Routes => routes::routes(&config, json),
        Verb::Quick(args) => quick::quick(&args),
    };
    exit.into()
}
