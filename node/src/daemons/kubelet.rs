//! `orlop kubelet`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kubelet::Config;

use super::{private_folder, serve};
use crate::layout::Layout;
use crate::{Error, Global};

/// `orlop kubelet` alone.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Command {
    #[command(flatten)]
    flags: Flags,
    /// A KubeletConfiguration of kubelet.config.k8s.io/v1beta1, as YAML or JSON
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    runtime: Runtime,
    /// The admin endpoint's socket
    #[arg(long, value_name = "SOCKET", value_parser = daemon::socket_path)]
    admin_socket: Option<PathBuf>,
}

/// Which runtime: a kubelet's choice, but not that of `up`, which brings its own.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Runtime {
    /// The CRI runtime's socket, as unix:///PATH
    #[arg(long, value_name = "SOCKET", value_parser = daemon::socket_path)]
    container_runtime_endpoint: Option<PathBuf>,
    /// The CRI image service's socket; the runtime's by default
    #[arg(long, value_name = "SOCKET", value_parser = daemon::socket_path)]
    image_service_endpoint: Option<PathBuf>,
}

/// The flags of the kubelet. Each overrides the KubeletConfiguration, which overrides what follows from
/// `--data-dir`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Flags {
    /// Where pods' volumes and the kubelet's state lie
    #[arg(long, value_name = "DIR")]
    root_dir: Option<PathBuf>,
    /// The folder of static pod manifests
    #[arg(long, visible_alias = "manifests", value_name = "DIR")]
    pod_manifest_path: Option<PathBuf>,
    /// Where the CRI runtime writes the pods' logs
    #[arg(long, value_name = "DIR")]
    pod_logs_dir: Option<PathBuf>,
    /// Where links to the containers' logs go
    #[arg(long, value_name = "DIR")]
    container_logs_dir: Option<PathBuf>,
    /// The node's name; the machine's by default
    #[arg(long, visible_alias = "hostname-override", value_name = "NAME")]
    node_name: Option<String>,
    /// The node's address; found on the machine by default
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    node_ip: Vec<IpAddr>,
    /// The unix socket of the kubelet's API
    #[arg(long, value_name = "SOCKET", value_parser = daemon::socket_path)]
    kubelet_socket: Option<PathBuf>,
    /// Serves the kubelet's API over TCP as well, without authentication
    #[arg(long, value_name = "ADDRESS")]
    kubelet_address: Option<SocketAddr>,
    /// The cgroup under which kubepods is made
    #[arg(long, value_name = "PATH")]
    cgroup_root: Option<String>,
    /// What pods inherit as /etc/resolv.conf
    #[arg(long, value_name = "FILE")]
    resolv_conf: Option<PathBuf>,
}

impl Flags {
    /// The kubelet's configuration: flags over file over layout. Warnings of the file are returned, since the log is
    /// not there yet.
    pub(super) fn config(
        &self,
        layout: &Layout,
        file: Option<&PathBuf>,
    ) -> Result<(Config, Vec<String>), Error> {
        let mut config = Config {
            container_runtime_endpoint: layout.cri_socket(),
            root_dir: layout.kubelet_root.clone(),
            pod_manifest_path: Some(layout.manifests.clone()),
            pod_logs_dir: layout.pod_logs.clone(),
            container_logs_dir: layout.container_logs.clone(),
            listen_socket: layout.kubelet_socket(),
            cgroup_root: layout.cgroup_parent.clone(),
            ..Config::default()
        };
        let usage = |error: &dyn std::fmt::Display| Error::Usage(error.to_string());
        let warnings =
            file.map_or(Ok(Vec::new()), |path| config.apply_file(path)).map_err(|error| usage(&error))?;
        let Self {
            root_dir,
            pod_manifest_path,
            pod_logs_dir,
            container_logs_dir,
            node_name,
            node_ip,
            kubelet_socket,
            kubelet_address,
            cgroup_root,
            resolv_conf,
        } = self.clone();
        set(&mut config.root_dir, root_dir);
        config.pod_manifest_path = pod_manifest_path.or(config.pod_manifest_path);
        set(&mut config.pod_logs_dir, pod_logs_dir);
        set(&mut config.container_logs_dir, container_logs_dir);
        set(&mut config.node_name, node_name);
        set(&mut config.node_ips, (!node_ip.is_empty()).then_some(node_ip));
        set(&mut config.listen_socket, kubelet_socket);
        config.listen_address = kubelet_address.or(config.listen_address);
        set(&mut config.cgroup_root, cgroup_root);
        set(&mut config.resolv_conf, resolv_conf);
        if config.node_name.is_empty() {
            config.node_name = host_name()?;
        }
        Ok((config.checked().map_err(Error::Usage)?, warnings))
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// The machine's name, as a Node's may be written.
fn host_name() -> Result<String, Error> {
    let name = nix::unistd::gethostname().map_err(|errno| Error::Failed(format!("gethostname: {errno}")))?;
    let name =
        name.into_string().map_err(|name| Error::Usage(format!("host name {name:?}: give --node-name")))?;
    Ok(name.trim().to_ascii_lowercase())
}

/// Runs the daemon until it is asked to end.
pub(crate) fn run(global: &Global, command: &Command) -> Result<ExitCode, Error> {
    let layout = global.layout().map_err(|error| Error::failed(&error))?;
    let (mut config, warnings) = command.flags.config(&layout, command.config.as_ref())?;
    let Runtime { container_runtime_endpoint, image_service_endpoint } = command.runtime.clone();
    set(&mut config.container_runtime_endpoint, container_runtime_endpoint);
    config.image_service_endpoint = image_service_endpoint.or(config.image_service_endpoint);
    private_folder(&layout.run)?;
    let admin = command.admin_socket.clone().unwrap_or_else(|| layout.kubelet_admin_socket());
    let sockets = vec![config.listen_socket.clone()];
    serve(global, &admin, sockets, |shutdown, ready| async move {
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        kubelet::run(config, ready, shutdown).await.map_err(|error| Error::failed(&error))
    })
}
