//! The lists of effects that the operations consist of.
//!
//! Making something and undoing it are two lists; the second is idempotent and serves a failed call, a daemon that
//! died half-way and the ordinary end alike, so the tests that kill the daemon test them all.

use std::collections::BTreeMap;
use std::path::PathBuf;

use api_cri::v1::{IdMapping, NamespaceMode, PodSandboxConfig};
use api_monitor::{NamespaceSource, PodConfig, PodNamespaces, SharedMemory};

use crate::core::container::Container;
use crate::core::dns;
use crate::core::sandbox::{self, Sandbox};
use crate::core::spec::{Host, hostname};
use crate::effects::Effect;
use crate::network::Attachment;
use crate::paths::Paths;

/// The size of a pod's `/dev/shm`, as Docker chose it.
const SHM_BYTES: u64 = 64 << 20;

/// What RunPodSandbox needs to know beside the sandbox.
pub(crate) struct Surroundings<'a> {
    /// The layout.
    pub paths: &'a Paths,
    /// The machine.
    pub host: &'a Host,
    /// The host's `/etc/resolv.conf`.
    pub resolv_conf: &'a str,
    /// `orlop-runtime`.
    pub runtime: PathBuf,
    /// The folders of the cgroup that monitors live in.
    pub monitor_cgroups: Vec<PathBuf>,
    /// The folders of the sandbox's own cgroup.
    pub sandbox_cgroups: Vec<PathBuf>,
}

/// RunPodSandbox, but for writing down that it succeeded.
pub(crate) fn make_sandbox(sandbox: &Sandbox, around: &Surroundings<'_>) -> Vec<Effect> {
    let mut effects = vec![
        Effect::SaveSandbox(Box::new(sandbox.clone())),
        Effect::WritePodFiles {
            sandbox: sandbox.id.clone(),
            resolv_conf: dns::resolv_conf(sandbox.config.dns_config.as_ref(), around.resolv_conf),
            hostname: format!("{}\n", hostname(sandbox, &around.host.hostname)),
        },
        Effect::MakeCgroup { path: sandbox.cgroup.clone() },
        Effect::SpawnMonitor(Box::new(pod_config(sandbox, around))),
    ];
    if let Some(attachment) = attachment(sandbox) {
        effects.push(Effect::AttachNetwork(Box::new(attachment)));
    }
    effects
}

/// What the monitor must forget before it can end: containers that have no process any more.
pub(crate) fn forget_in_monitor<'a>(containers: impl Iterator<Item = &'a Container>) -> Vec<Effect> {
    containers
        .map(|container| Effect::DeleteInMonitor {
            sandbox: container.sandbox.clone(),
            container: container.id.clone(),
        })
        .collect()
}

/// What the network must forget of a sandbox before its namespace goes.
pub(crate) fn detach(sandbox: &Sandbox) -> Vec<Effect> {
    attachment(sandbox).map(|attachment| Effect::DetachNetwork(Box::new(attachment))).into_iter().collect()
}

/// What of a sandbox must go after that, before it counts as stopped.
pub(crate) fn stop_sandbox(sandbox: &Sandbox, paths: &Paths) -> Vec<Effect> {
    let mut effects = vec![
        Effect::EndMonitor { sandbox: sandbox.id.clone() },
        Effect::Unmount { path: paths.pod_files(&sandbox.id).shm },
    ];
    if let Some(path) = sandbox.netns.clone() {
        effects.push(Effect::RemovePin { path });
    }
    effects.push(Effect::RemoveCgroup { path: sandbox.cgroup.clone() });
    effects
}

/// Everything of a sandbox but its containers.
pub(crate) fn remove_sandbox(sandbox: &Sandbox, paths: &Paths) -> Vec<Effect> {
    let mut effects = detach(sandbox);
    effects.extend(stop_sandbox(sandbox, paths));
    effects.push(Effect::ForgetSandbox { sandbox: sandbox.id.clone() });
    effects
}

/// What must go with a container, which has no process any more.
pub(crate) fn remove_container(container: &Container) -> Vec<Effect> {
    vec![
        Effect::DeleteInMonitor { sandbox: container.sandbox.clone(), container: container.id.clone() },
        Effect::RemoveCgroup { path: container.cgroup.clone() },
        Effect::UnmountRootfs { container: container.id.clone() },
        Effect::ForgetContainer { container: container.id.clone() },
    ]
}

/// What the network is told of a pod; `None` in the host's network.
pub(crate) fn attachment(sandbox: &Sandbox) -> Option<Attachment> {
    let netns = sandbox.netns.clone()?;
    let metadata = sandbox.metadata();
    let port_mappings = sandbox
        .config
        .port_mappings
        .iter()
        .filter(|mapping| mapping.host_port != 0)
        .map(|mapping| api_cni::PortMapping {
            host_port: u16::try_from(mapping.host_port).unwrap_or_default(),
            container_port: u16::try_from(mapping.container_port).unwrap_or_default(),
            protocol: mapping.protocol().as_str_name().to_lowercase(),
            host_ip: mapping.host_ip.clone(),
        })
        .collect();
    let dns = sandbox.config.dns_config.as_ref().map(|dns| api_cni::Dns {
        nameservers: dns.servers.clone(),
        search: dns.searches.clone(),
        options: dns.options.clone(),
        ..api_cni::Dns::default()
    });
    Some(Attachment {
        sandbox_id: sandbox.id.clone(),
        netns,
        pod_name: metadata.name,
        pod_namespace: metadata.namespace,
        pod_uid: metadata.uid,
        port_mappings,
        bandwidth: None,
        dns,
        cgroup_path: format!("/{}", sandbox.cgroup),
    })
}

fn pod_config(sandbox: &Sandbox, around: &Surroundings<'_>) -> PodConfig {
    let options = sandbox.namespaces();
    let own = |mode: NamespaceMode, pin: Option<PathBuf>| match mode {
        NamespaceMode::Node => NamespaceSource::Host,
        _ => NamespaceSource::New { pin },
    };
    let shares_ipc = options.ipc() == NamespaceMode::Node;
    let pid = match options.pid() {
        NamespaceMode::Pod => NamespaceSource::New { pin: None },
        _ => NamespaceSource::Host,
    };
    let host_network = sandbox.host_network();
    let user = options.userns_options.as_ref().filter(|user| user.mode() == NamespaceMode::Pod);
    PodConfig {
        version: api_monitor::VERSION,
        id: sandbox.id.clone(),
        socket: around.paths.socket(&sandbox.id),
        state_dir: around.paths.monitor(&sandbox.id),
        runtime: around.runtime.clone(),
        runtime_root: around.paths.runtime(),
        namespaces: PodNamespaces {
            net: own(options.network(), sandbox.netns.clone()),
            ipc: own(options.ipc(), None),
            // A pod in the host's network keeps the host's name.
            uts: if host_network { NamespaceSource::Host } else { NamespaceSource::New { pin: None } },
            pid,
            user: user.map(|user| (id_mappings(&user.uids), id_mappings(&user.gids))),
        },
        hostname: (!host_network).then(|| hostname(sandbox, &around.host.hostname).to_owned()),
        sysctls: sysctls(&sandbox.config, user.is_some()),
        shared_memory: (!shares_ipc)
            .then(|| SharedMemory { path: around.paths.pod_files(&sandbox.id).shm, bytes: SHM_BYTES }),
        monitor_cgroups: around.monitor_cgroups.clone(),
        pause_cgroups: around.sandbox_cgroups.clone(),
    }
}

fn id_mappings(mappings: &[IdMapping]) -> Vec<api_monitor::IdMapping> {
    let convert = |mapping: &IdMapping| api_monitor::IdMapping {
        container_id: mapping.container_id,
        host_id: mapping.host_id,
        size: mapping.length,
    };
    mappings.iter().map(convert).collect()
}

/// The pod's own, and the two that let ordinary users listen on low ports and ping, unless the pod says otherwise.
fn sysctls(config: &PodSandboxConfig, user_namespace: bool) -> BTreeMap<String, String> {
    let asked = config.linux.as_ref().map(|linux| linux.sysctls.clone()).unwrap_or_default();
    let mut all: BTreeMap<String, String> = asked.into_iter().collect();
    if sandbox::namespaces(config).network() != NamespaceMode::Node {
        all.entry("net.ipv4.ip_unprivileged_port_start".into()).or_insert_with(|| "0".into());
        // A range that the user namespace does not map whole is refused by the kernel.
        if !user_namespace {
            all.entry("net.ipv4.ping_group_range".into()).or_insert_with(|| "0 2147483647".into());
        }
    }
    all
}
