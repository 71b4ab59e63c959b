//! `orlop completion`.

use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use super::output;
use crate::Error;

/// For which shell.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// The shell. For bash: orlop completion bash >/etc/bash_completion.d/orlop
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script by which a shell completes `orlop`.
pub(crate) fn run(mut command: clap::Command, flags: &Flags) -> Result<ExitCode, Error> {
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut command, "orlop", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
