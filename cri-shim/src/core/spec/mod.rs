//! From a container's CRI configuration and its image's to the OCI specification.
//!
//! What a workload can observe is what containerd 2.3 makes of the same configuration: the golden comparison holds
//! the two side by side. Everything read from the machine is an argument.

mod capabilities;
mod devices;
mod mounts;
mod namespaces;
mod process;
mod resources;
mod seccomp;
mod syscalls;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use api_cri::v1::{ContainerConfig, LinuxContainerSecurityContext};
use oci_spec::OciSpecError;
use oci_spec::runtime::{Capability, LinuxBuilder, LinuxSeccomp, RootBuilder, Spec, SpecBuilder};

pub(crate) use capabilities::parse as capability;
pub(crate) use devices::{DeviceNode, NodeKind};
pub(crate) use mounts::HostMount;
pub(crate) use process::{exec, hostname};
pub(crate) use resources::{limit, linux as linux_resources};
pub(crate) use seccomp::wanted as wanted_seccomp;

use crate::core::failure::Failure;
use crate::core::sandbox::Sandbox;
use crate::core::user::User;

/// What of an image's configuration a container inherits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImageDefaults {
    /// `KEY=value`.
    pub env: Vec<String>,
    /// Runs when the container names no command.
    pub entrypoint: Vec<String>,
    /// Its arguments when the container names neither command nor arguments.
    pub cmd: Vec<String>,
    /// `user[:group]` by name or id.
    pub user: String,
    /// Empty for `/`.
    pub working_dir: String,
    /// Empty for SIGTERM.
    pub stop_signal: String,
}

/// What the machine is like, read once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    /// The host's name, which containers in its network see.
    pub hostname: String,
    /// The capabilities this daemon can give.
    pub capabilities: Vec<Capability>,
    /// Whether huge pages can be limited.
    pub hugetlb: bool,
    /// Whether swap can be limited.
    pub swap: bool,
    /// Whether limits live in the second version of cgroups.
    pub cgroup2: bool,
    /// The lowest `oom_score_adj` this daemon may set: its own, without CAP_SYS_RESOURCE.
    pub lowest_oom_score_adj: Option<i32>,
    /// Whether AppArmor confines here.
    pub apparmor: bool,
    /// Whether SELinux confines here.
    pub selinux: bool,
}

/// The files that a sandbox lends to its containers.
#[derive(Clone, Debug)]
pub(crate) struct PodFiles {
    /// `/etc/hostname`.
    pub hostname: PathBuf,
    /// `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// `/dev/shm`, unless it is the host's.
    pub shm: PathBuf,
}

/// Everything a specification is made of.
pub(crate) struct Inputs<'a> {
    /// The pod.
    pub sandbox: &'a Sandbox,
    /// What the kubelet asked for.
    pub config: &'a ContainerConfig,
    /// What the image says.
    pub image: &'a ImageDefaults,
    /// The image as the user wrote it.
    pub image_name: &'a str,
    /// Who runs.
    pub user: &'a User,
    /// The machine.
    pub host: &'a Host,
    /// The mount's sources in the order of the configuration: resolved, and where they are mounted.
    pub sources: &'a [HostMount],
    /// The nodes of the devices asked for; all of the host's for a privileged container.
    pub devices: &'a [DeviceNode],
    /// The profile that a Localhost seccomp profile names.
    pub localhost_seccomp: Option<LinuxSeccomp>,
    /// The sandbox's files.
    pub files: &'a PodFiles,
    /// The root filesystem.
    pub rootfs: PathBuf,
    /// Below each hierarchy.
    pub cgroup: &'a str,
    /// The pid of the container whose PID namespace is shared (TARGET).
    pub target_pid: Option<i32>,
}

impl Inputs<'_> {
    fn security(&self) -> LinuxContainerSecurityContext {
        security(self.config)
    }
}

/// The security context of a container; all defaults when it has none.
pub(crate) fn security(config: &ContainerConfig) -> LinuxContainerSecurityContext {
    config.linux.as_ref().and_then(|linux| linux.security_context.clone()).unwrap_or_default()
}

impl From<OciSpecError> for Failure {
    fn from(error: OciSpecError) -> Self {
        Self::internal(format!("building the OCI specification: {error}"))
    }
}

/// The OCI specification of a container.
pub(crate) fn container(inputs: &Inputs<'_>) -> Result<Spec, Failure> {
    let security = inputs.security();
    let (mounts, rootfs_propagation) = mounts::all(inputs, &security)?;
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces::all(inputs, &security)?)
        .cgroups_path(format!("/{}", inputs.cgroup))
        .resources(resources::all(inputs, &security)?)
        .devices(devices::nodes(inputs.devices)?)
        .masked_paths(if security.privileged { Vec::new() } else { security.masked_paths.clone() })
        .readonly_paths(if security.privileged { Vec::new() } else { security.readonly_paths.clone() })
        .build()?;
    let (uids, gids) = namespaces::mappings(&security)?;
    if !uids.is_empty() {
        linux.set_uid_mappings(Some(uids)).set_gid_mappings(Some(gids));
    }
    linux.set_rootfs_propagation(rootfs_propagation.map(str::to_owned));
    linux.set_seccomp(seccomp::profile(inputs, &security)?);
    let spec = SpecBuilder::default()
        // Every runtime in use takes this version, crun 1.8 no later one; nothing here needs a newer.
        .version("1.0.2")
        .root(RootBuilder::default().path(inputs.rootfs.clone()).readonly(security.readonly_rootfs).build()?)
        .process(process::init(inputs, &security)?)
        .mounts(mounts)
        .annotations(annotations(inputs))
        .linux(linux)
        .build()?;
    Ok(without_defaults(spec))
}

/// oci-spec's builders fill what is unset; a container here has what was asked for and no more.
fn without_defaults(mut spec: Spec) -> Spec {
    spec.set_hostname(None);
    spec
}

/// The annotations by which hooks and sandboxed runtimes know a CRI container.
fn annotations(inputs: &Inputs<'_>) -> HashMap<String, String> {
    let pod = inputs.sandbox.metadata();
    let container = inputs.config.metadata.clone().unwrap_or_default();
    let known: BTreeMap<&str, &str> = BTreeMap::from([
        ("container-type", "container"),
        ("container-name", container.name.as_str()),
        ("image-name", inputs.image_name),
        ("sandbox-id", inputs.sandbox.id.as_str()),
        ("sandbox-name", pod.name.as_str()),
        ("sandbox-namespace", pod.namespace.as_str()),
        ("sandbox-uid", pod.uid.as_str()),
    ]);
    known.into_iter().map(|(key, value)| (format!("io.kubernetes.cri.{key}"), value.to_owned())).collect()
}
