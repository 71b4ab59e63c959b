//! `orlop attach`.

use std::process::ExitCode;

use clap::Args;

use super::block_on;
use super::kubelet::Kubelet;
use super::session::{self, Wanted};
use super::whom::OfContainer;
use crate::{Error, Global};

/// To what.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    of: OfContainer,
    /// Passes standard input on, when the container was made with stdin: true
    #[arg(short = 'i', long)]
    stdin: bool,
}

/// Connects to the streams of a container's own process, from now on.
pub(crate) fn run(global: &Global, flags: &Flags) -> Result<ExitCode, Error> {
    let kubelet = Kubelet::new(global)?;
    block_on(async {
        let chosen = flags.of.choose(&kubelet).await?;
        if flags.stdin && !chosen.stdin {
            let name = &chosen.path[2];
            let text = format!("container {name} was made without stdin: true and reads no input");
            return Err(Error::Failed(text));
        }
        let wanted = if chosen.tty && flags.stdin {
            Wanted::new(true, true)
        } else {
            Wanted { stdin: flags.stdin, tty: chosen.tty }
        };
        session::run(&kubelet, &session::target("attach", &chosen.path, &[], wanted), wanted).await
    })
}
