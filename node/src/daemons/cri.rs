//! `orlop cri`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use cri_shim::{Config, ConfigFile};

use super::{beside_this_program, private_folder, serve};
use crate::layout::Layout;
use crate::{Error, Global};

/// Read when neither it nor a data folder is named.
const CONVENTIONAL_FILE: &str = "/etc/orlop/orlop.toml";

/// `orlop cri` alone.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Command {
    #[command(flatten)]
    flags: Flags,
    /// A TOML file with the same keys as the flags; /etc/orlop/orlop.toml by default, when there is no --data-dir
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The admin endpoint's socket
    #[arg(long, value_name = "SOCKET", value_parser = daemon::socket_path)]
    admin_socket: Option<PathBuf>,
}

/// The flags of the CRI daemon. Each overrides the configuration file, which overrides what follows from
/// `--data-dir`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Flags {
    /// The socket of both CRI services, as unix:///PATH
    #[arg(long, value_name = "SOCKET")]
    listen: Option<PathBuf>,
    /// Where images and the writable layers of containers lie
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Where the state of pods lies; a tmpfs
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// CNI configuration
    #[arg(long, value_name = "DIR")]
    cni_conf_dir: Option<PathBuf>,
    /// CNI plugins; may be given more than once
    #[arg(long, value_name = "DIR")]
    cni_bin_dir: Vec<PathBuf>,
    /// libcni's cache of results
    #[arg(long, value_name = "DIR")]
    cni_cache_dir: Option<PathBuf>,
    /// hosts.toml folders, one per registry
    #[arg(long, value_name = "DIR")]
    registry_config_dir: Option<PathBuf>,
    /// The cgroup of monitors, and of pods that name no parent
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
    /// Where network namespaces are pinned
    #[arg(long, value_name = "DIR")]
    netns_dir: Option<PathBuf>,
    /// The OCI runtime and monitor
    #[arg(long, value_name = "FILE")]
    runtime: Option<PathBuf>,
    /// Where exec and attach are served to the kubelet
    #[arg(long, value_name = "ADDRESS")]
    stream_address: Option<SocketAddr>,
}

/// What follows from the layout alone.
fn defaults(layout: &Layout) -> Config {
    Config {
        listen: layout.cri_socket(),
        root: layout.root.join("cri"),
        state: layout.state.clone(),
        cni_conf_dir: layout.cni_conf.clone(),
        cni_bin_dirs: vec![layout.cni_bin.clone()],
        cni_cache_dir: layout.cni_cache.clone(),
        registry_config_dir: layout.registry_config.clone(),
        // The kubelet has its pods below the root, as everywhere; what is ours alone does not lie there.
        cgroup_parent: match layout.cgroup_parent.as_str() {
            "/" => "/orlop".to_owned(),
            own => own.to_owned(),
        },
        netns_dir: layout.netns.clone(),
        runtime: beside_this_program("orlop-runtime"),
        stream_address: SocketAddr::from(([127, 0, 0, 1], 0)),
        admin: None,
    }
}

impl Flags {
    /// The daemon's configuration: flags over file over layout.
    pub(super) fn config(
        &self,
        global: &Global,
        layout: &Layout,
        file: Option<&PathBuf>,
    ) -> Result<Config, Error> {
        let file: ConfigFile = match (file, &global.data_dir) {
            (Some(path), _) => daemon::load_toml(path, false),
            // An instance with a folder of its own takes nothing from the machine's.
            (None, Some(_)) => Ok(ConfigFile::default()),
            (None, None) => daemon::load_toml(Path::new(CONVENTIONAL_FILE), true),
        }
        .map_err(|error| Error::Usage(error.to_string()))?;
        let Self {
            listen,
            root,
            state,
            cni_conf_dir,
            cni_bin_dir,
            cni_cache_dir,
            registry_config_dir,
            cgroup_parent,
            netns_dir,
            runtime,
            stream_address,
        } = self.clone();
        let flags = ConfigFile {
            listen,
            root,
            state,
            cni_conf_dir,
            cni_bin_dirs: (!cni_bin_dir.is_empty()).then_some(cni_bin_dir),
            cni_cache_dir,
            registry_config_dir,
            cgroup_parent,
            netns_dir,
            runtime,
            stream_address,
            admin: None,
        };
        defaults(layout).with(file).with(flags).checked().map_err(Error::Usage)
    }
}

/// Runs the daemon until it is asked to end.
pub(crate) fn run(global: &Global, command: &Command) -> Result<ExitCode, Error> {
    let layout = global.layout().map_err(|error| Error::failed(&error))?;
    let config = command.flags.config(global, &layout, command.config.as_ref())?;
    private_folder(&layout.run)?;
    let named = command.admin_socket.clone().or_else(|| config.admin.clone());
    let admin = named.unwrap_or_else(|| layout.cri_admin_socket());
    let sockets = vec![config.listen.clone()];
    let claim = cri_shim::Claim::take(config).map_err(|error| Error::failed(&error))?;
    serve(global, &admin, sockets, |shutdown, _| async move {
        cri_shim::run(claim, shutdown).await.map_err(|error| Error::failed(&error))
    })
}
