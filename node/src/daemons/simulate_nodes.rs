//! `orlop simulate-nodes`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use control_plane::client::kubeconfig::Access;
use control_plane::client::remote::Remote;
use control_plane::simulate::{self, Settings};

use crate::{Error, Global};

/// `orlop simulate-nodes`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Command {
    /// How many
    nodes: usize,
    /// The server and who to be there: somebody who may act for others; KUBECONFIG, or ~/.kube/config, by default
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// What their names begin with
    #[arg(long, value_name = "TEXT", default_value = "sim-")]
    prefix: String,
    /// The cores of each
    #[arg(long, value_name = "N", default_value_t = Settings::default().cpus)]
    cpus: u32,
    /// The memory of each in GiB
    #[arg(long, value_name = "N", default_value_t = Settings::default().memory)]
    memory: u32,
    /// The pods that each can take
    #[arg(long, value_name = "N", default_value_t = Settings::default().pods)]
    pods: u32,
}

impl Command {
    fn kubeconfig(&self) -> Result<PathBuf, Error> {
        let named = std::env::var_os("KUBECONFIG").filter(|name| !name.is_empty()).map(PathBuf::from);
        let at_home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".kube/config"));
        let found = self.kubeconfig.clone().or(named).or_else(at_home);
        found.ok_or_else(|| Error::Usage("which server? --kubeconfig names it".to_owned()))
    }
}

/// Runs nodes until it is asked to end.
pub(crate) fn run(global: &Global, command: &Command) -> Result<ExitCode, Error> {
    let access = Access::load(&command.kubeconfig()?).map_err(|error| Error::failed(&error))?;
    let remote = Remote::new(&access).map_err(|error| Error::failed(&error))?;
    let Command { nodes, prefix, cpus, memory, pods, kubeconfig: _ } = command.clone();
    let settings = Settings { nodes, prefix, cpus, memory, pods, ..Settings::default() };
    daemon::init_logs(&global.log_level, global.log_format).map_err(Error::Usage)?;
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let executor = executor.map_err(|error| Error::failed(&error))?;
    executor.block_on(async {
        let shutdown = daemon::on_signals().map_err(|error| Error::failed(&error))?;
        simulate::run_afar(remote, settings, shutdown).await.map_err(|error| Error::failed(&error))
    })?;
    Ok(ExitCode::SUCCESS)
}
