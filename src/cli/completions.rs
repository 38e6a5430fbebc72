//! `hotgate completions`: what a shell needs to complete our words.

use clap::Command;
use clap_complete::{Shell, generate};

use super::Exit;
use super::talk::print;

/// What `completions` takes.
#[derive(clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script, which the shell is to source.
pub(super) fn completions(args: &CompletionsArgs, mut command: Command) -> Exit {
    let mut script = Vec::new();
    generate(args.shell, &mut command, "hotgate", &mut script);
    print(&String::from_utf8_lossy(&script));
    Exit::Fine
}
