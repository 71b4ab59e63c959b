//! `orlop up`: the CRI daemon and the kubelet in one process, for one machine and a folder of manifests.
//!
//! They meet over the CRI socket as they would in two processes, so that each can be replaced, killed and looked
//! into by itself.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{beside_this_program, cri, kubelet, private_folder, serve};
use crate::{Error, Global, network};

/// The flags of both daemons.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Flags {
    #[command(flatten)]
    cri: cri::Flags,
    #[command(flatten)]
    kubelet: kubelet::Flags,
    /// The CRI daemon's configuration, TOML
    #[arg(long, value_name = "FILE")]
    cri_config: Option<PathBuf>,
    /// The kubelet's configuration, a KubeletConfiguration
    #[arg(long, value_name = "FILE")]
    kubelet_config: Option<PathBuf>,
    /// The admin endpoint's socket
    #[arg(long, value_name = "SOCKET", value_parser = daemon::socket_path)]
    admin_socket: Option<PathBuf>,
    #[command(flatten)]
    network: network::Flags,
}

/// Runs both until they are asked to end. Pods go on without them.
pub(crate) fn run(global: &Global, flags: &Flags) -> Result<ExitCode, Error> {
    let mut layout = global.layout().map_err(|error| Error::failed(&error))?;
    let explicit = flags.network.apply(&mut layout)?;
    let cri = flags.cri.config(global, &layout, flags.cri_config.as_ref())?;
    let (mut kubelet, warnings) = flags.kubelet.config(&layout, flags.kubelet_config.as_ref())?;
    kubelet.container_runtime_endpoint.clone_from(&cri.listen);
    kubelet.image_service_endpoint = None;
    private_folder(&layout.run)?;
    if let Some(manifests) = &kubelet.pod_manifest_path {
        std::fs::create_dir_all(manifests)
            .map_err(|error| Error::Failed(format!("making {}: {error}", manifests.display())))?;
    }
    let plugins = cri.cni_bin_dirs.first().cloned().unwrap_or_else(|| layout.cni_bin.clone());
    let conf_dir = cri.cni_conf_dir.clone();
    let admin = flags.admin_socket.clone().or_else(|| cri.admin.clone());
    let admin = admin.unwrap_or_else(|| layout.admin_socket());
    let sockets = vec![cri.listen.clone(), kubelet.listen_socket.clone()];
    // Before the network is touched: a running instance's is not a second one's to change.
    let claim = cri_shim::Claim::take(cri).map_err(|error| Error::failed(&error))?;
    let place = network::Place { conf_dir: &conf_dir, bin_dir: &plugins };
    let provided = network::provide(&layout, &place, &beside_this_program("orlop-cni"), explicit)?;
    serve(global, &admin, sockets, |shutdown, ready| async move {
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        if let Some(file) = provided {
            tracing::info!(file = %file.display(), cidr = %layout.pod_cidr, "wrote the CNI configuration");
        }
        // Whichever ends first takes the other with it, so that a supervisor sees one whole.
        let stop = shutdown.child_token();
        let runtime = async {
            let _stop = stop.clone().drop_guard();
            cri_shim::run(claim, stop.clone()).await.map_err(|error| Error::failed(&error))
        };
        let node = async {
            let _stop = stop.clone().drop_guard();
            ::kubelet::run(kubelet, ready, stop.clone()).await.map_err(|error| Error::failed(&error))
        };
        let (runtime, node) = tokio::join!(runtime, node);
        runtime.and(node)
    })
}
