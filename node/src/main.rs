//! `orlop`: every daemon, and the person's command line.
//!
//! `main` parses, installs the log, runs one command and turns its error into one line and an exit code: 64 for
//! a wrong command line or configuration, 1 for everything that went wrong later.
#![forbid(unsafe_code)]

mod cli;
mod daemons;
mod layout;
mod network;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::layout::Layout;

/// The log's level when nothing is said of it.
pub(crate) const LOG_LEVEL: &str = "info";

/// EX_USAGE of sysexits.h.
const USAGE: u8 = 64;

/// The lowest deck of a Kubernetes node: runs pods from a folder of manifests, or under a kubelet.
#[derive(Parser)]
#[command(name = "orlop", version, propagate_version = true, arg_required_else_help = true)]
struct CommandLine {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// The folder below which an instance keeps everything; without it the conventional paths of a node hold
    #[arg(long, global = true, value_name = "DIR", env = "ORLOP_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where sockets and state lie, a tmpfs: /run/orlop, or a folder below it that follows from --data-dir
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) run_dir: Option<PathBuf>,
    /// A level (error, warn, info, debug, trace) or directives such as info,cri_shim=debug
    #[arg(long, global = true, value_name = "LEVEL", default_value = LOG_LEVEL)]
    pub(crate) log_level: String,
    /// text or json
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: daemon::LogFormat,
    #[command(flatten)]
    pub(crate) endpoints: cli::Endpoints,
}

impl Global {
    /// Where this instance keeps what.
    pub(crate) fn layout(&self) -> std::io::Result<Layout> {
        let absolute = self.data_dir.as_ref().map(std::path::absolute).transpose()?;
        let layout = Layout::new(absolute.as_deref());
        Ok(match &self.run_dir {
            Some(run) => layout.with_run(std::path::absolute(run)?),
            None => layout,
        })
    }
}

#[derive(Subcommand)]
enum Command {
    /// Runs the CRI daemon: pods and containers for a kubelet, images from registries
    Cri(daemons::cri::Command),
    /// Runs the kubelet: static pods from a folder, over any CRI socket
    Kubelet(daemons::kubelet::Command),
    /// Runs the CRI daemon and the kubelet in one process: a folder of manifests on one machine
    Up(Box<daemons::up::Flags>),
    /// Runs the control plane: the Kubernetes API above a store of its own, or above etcd
    ControlPlane(Box<daemons::control_plane::Command>),
    /// Runs nodes that only seem to be there on an API server: their pods run at once. For scale tests
    SimulateNodes(daemons::simulate_nodes::Command),
    /// Unpacks one image layer from standard input; started by the CRI daemon
    #[command(hide = true)]
    Unpack {
        /// The folder, which must be empty
        folder: PathBuf,
    },
    /// Lists pods and their containers
    Ps(cli::ps::Flags),
    /// Shows all that is known of a pod
    Describe(cli::describe::Flags),
    /// Prints a container's log
    Logs(cli::logs::Flags),
    /// Runs a program in a container
    Exec(cli::exec::Flags),
    /// Connects to a container's own process
    Attach(cli::attach::Flags),
    /// Lists images
    Images(cli::images::Flags),
    /// Fetches an image from its registry
    Pull(cli::pull::Flags),
    /// Imports an image from files
    Import(cli::import::Flags),
    /// Says what this machine can do, what is missing and what that costs
    Doctor(cli::doctor::Flags),
    /// Writes the systemd unit and makes the folders
    Install(cli::install::Flags),
    /// Prints the completion script of a shell
    Completion(cli::completion::Flags),
    /// Prints this program's version, and the daemon's
    Version(cli::version::Flags),
}

impl Command {
    /// A flag that would have no effect is refused.
    fn takes(&self, global: &Global) -> Result<(), Error> {
        let command = match self {
            Self::Cri(_) => "cri",
            Self::Kubelet(_) => "kubelet",
            Self::Up(_) => "up",
            Self::ControlPlane(_) => "control-plane",
            Self::SimulateNodes(_) => "simulate-nodes",
            Self::Doctor(_) => "doctor",
            Self::Completion(_) => "completion",
            _ => return Ok(()),
        };
        let given = [
            ("--cri-endpoint", &global.endpoints.cri_endpoint),
            ("--kubelet-endpoint", &global.endpoints.kubelet_endpoint),
        ];
        match given.iter().find(|(_, value)| value.is_some()) {
            Some((flag, _)) => Err(Error::Usage(format!("{flag} has no effect with orlop {command}"))),
            None => Ok(()),
        }
    }
}

/// The command line; under the name `kubelet`, that of the kubelet.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let called = arguments.first().map(Path::new).and_then(Path::file_name);
    if called == Some(OsStr::new("kubelet")) {
        arguments.insert(1, "kubelet".into());
    }
    arguments
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line or a configuration file is wrong.
    #[error("{0}")]
    Usage(String),
    /// It went wrong later.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// An error with its causes on one line.
    pub(crate) fn failed(error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let more = error.to_string();
            // Some libraries repeat their source in their own text.
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = error.source();
        }
        Self::Failed(text)
    }
}

fn main() -> ExitCode {
    let line = match CommandLine::try_parse_from(arguments()) {
        Ok(line) => line,
        Err(error) => {
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(USAGE),
            };
        }
    };
    let Some(command) = line.command else {
        // clap's own words for it would list the hidden commands too.
        eprintln!("{}", CommandLine::command().render_help());
        return ExitCode::from(USAGE);
    };
    if let Err(error) = command.takes(&line.global) {
        eprintln!("orlop: {error}");
        return ExitCode::from(USAGE);
    }
    let done = match command {
        Command::Cri(flags) => daemons::cri::run(&line.global, &flags),
        Command::Kubelet(flags) => daemons::kubelet::run(&line.global, &flags),
        Command::Up(flags) => daemons::up::run(&line.global, &flags),
        Command::ControlPlane(flags) => daemons::control_plane::run(&line.global, &flags),
        Command::SimulateNodes(command) => daemons::simulate_nodes::run(&line.global, &command),
        // Here the process still has one thread, as its namespaces need.
        Command::Unpack { folder } => Ok(cri_shim::unpack_main(&folder)),
        Command::Ps(flags) => cli::ps::run(&line.global, &flags),
        Command::Describe(flags) => cli::describe::run(&line.global, &flags),
        Command::Logs(flags) => cli::logs::run(&line.global, &flags),
        Command::Exec(flags) => cli::exec::run(&line.global, &flags),
        Command::Attach(flags) => cli::attach::run(&line.global, &flags),
        Command::Images(flags) => cli::images::run(&line.global, &flags),
        Command::Pull(flags) => cli::pull::run(&line.global, &flags),
        Command::Import(flags) => cli::import::run(&line.global, &flags),
        Command::Doctor(flags) => cli::doctor::run(&line.global, &flags),
        Command::Install(flags) => cli::install::run(&line.global, &flags),
        Command::Version(flags) => cli::version::run(&line.global, &flags),
        Command::Completion(flags) => cli::completion::run(CommandLine::command(), &flags),
    };
    done.unwrap_or_else(|error| {
        eprintln!("orlop: {error}");
        ExitCode::from(if matches!(error, Error::Usage(_)) { USAGE } else { 1 })
    })
}
