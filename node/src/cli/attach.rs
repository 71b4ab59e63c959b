//! `orlop attach`.

use std::process::ExitCode;

use clap::Args;

use super::kubelet::Kubelet;
use super::session::{self, Wanted};
use super::{block_on, pod};
use crate::{Error, Global};

/// To what.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// The pod: NAME or NAMESPACE/NAME
    pod: String,
    /// The container; without it the first one
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Passes standard input on, when the container was made with stdin: true
    #[arg(short = 'i', long)]
    stdin: bool,
}

/// Connects to the streams of a container's own process, from now on.
pub(crate) fn run(global: &Global, flags: &Flags) -> Result<ExitCode, Error> {
    let kubelet = Kubelet::new(global)?;
    block_on(async {
        let pods = kubelet.pods().await?;
        let pod = pod::find(&pods, &flags.pod)?;
        let (container, note) = pod.container(flags.container.as_deref())?;
        if let Some(note) = note {
            eprintln!("orlop: {note}");
        }
        if flags.stdin && !container.stdin {
            let text =
                format!("container {} was made without stdin: true and reads no input", container.name);
            return Err(Error::Failed(text));
        }
        let wanted = Wanted { stdin: flags.stdin, tty: container.tty && flags.stdin };
        let wanted =
            if wanted.tty { Wanted::new(true, true) } else { Wanted { tty: container.tty, ..wanted } };
        let path = [&*pod.metadata.namespace, &*pod.metadata.name, &*container.name];
        session::run(&kubelet, &session::target("attach", path, &[], wanted), wanted).await
    })
}
