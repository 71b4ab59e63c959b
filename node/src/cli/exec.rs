//! `orlop exec`.

use std::process::ExitCode;

use clap::Args;

use super::block_on;
use super::kubelet::Kubelet;
use super::session::{self, Wanted};
use super::whom::OfContainer;
use crate::{Error, Global};

/// What to run, and where.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    of: OfContainer,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// Passes standard input on
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Gives the program a terminal
    #[arg(short, long)]
    tty: bool,
}

/// Runs a program in a container; ends with the program's exit code.
pub(crate) fn run(global: &Global, flags: &Flags) -> Result<ExitCode, Error> {
    let kubelet = Kubelet::new(global)?;
    block_on(async {
        let chosen = flags.of.choose(&kubelet).await?;
        let wanted = Wanted::new(flags.stdin, flags.tty);
        session::run(&kubelet, &session::target("exec", &chosen.path, &flags.command, wanted), wanted).await
    })
}
