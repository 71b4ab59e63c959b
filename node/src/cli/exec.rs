//! `orlop exec`.

use std::process::ExitCode;

use clap::Args;

use super::kubelet::Kubelet;
use super::session::{self, Wanted};
use super::{block_on, pod};
use crate::{Error, Global};

/// What to run, and where.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// The pod: NAME or NAMESPACE/NAME
    pod: String,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// The container; without it the first one
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
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
        let pods = kubelet.pods().await?;
        let pod = pod::find(&pods, &flags.pod)?;
        let (container, note) = pod.container(flags.container.as_deref())?;
        if let Some(note) = note {
            eprintln!("orlop: {note}");
        }
        let wanted = Wanted::new(flags.stdin, flags.tty);
        let path = [&*pod.metadata.namespace, &*pod.metadata.name, &*container.name];
        session::run(&kubelet, &session::target("exec", path, &flags.command, wanted), wanted).await
    })
}
