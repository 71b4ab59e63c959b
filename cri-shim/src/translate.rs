//! The translation from CRI to OCI alone, for the comparison with what containerd makes of the same configuration.
//!
//! Not an interface: it lets `tests/golden.rs` reach what the daemon itself uses, without running anything.

use std::path::PathBuf;

use api_cri::v1::{
    ContainerConfig, ContainerStatus, PodSandboxConfig, PodSandboxStatus, RunPodSandboxRequest,
};

use crate::core::container::{Container, ContainerPhase};
use crate::core::sandbox::{FORMAT, Sandbox, SandboxPhase};
use crate::core::spec::{self, DeviceNode, Host, HostMount, ImageDefaults, Inputs, NodeKind, PodFiles};
use crate::core::user::{self, Accounts};
use crate::core::{cgroup_path, plan, refuse, report, signal};
use crate::effects::Effect;
use crate::paths::Paths;

/// A machine, an image and the paths of a recording.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The host's name.
    pub hostname: String,
    /// The capabilities that the recording daemon had, with their prefix.
    pub capabilities: Vec<String>,
    /// Whether it could limit swap.
    pub swap: bool,
    /// Whether it could limit huge pages.
    pub hugetlb: bool,
    /// Whether its limits live in the second version of cgroups.
    pub cgroup2: bool,
    /// Whether SELinux confined there.
    pub selinux: bool,
    /// Whether its mounts were shared.
    pub shared_mounts: bool,
    /// The lowest `oom_score_adj` it could give.
    pub lowest_oom_score_adj: Option<i32>,
    /// The image's command.
    pub image_cmd: Vec<String>,
    /// The image's `/etc/passwd`.
    pub passwd: String,
    /// The image's `/etc/group`.
    pub group: String,
    /// The ids as the recording spells them.
    pub sandbox_id: String,
    /// The ids as the recording spells them.
    pub container_id: String,
    /// Where the sandbox's `hostname` and `resolv.conf` were.
    pub files: PathBuf,
    /// Where its `shm` was.
    pub shm: PathBuf,
    /// The host's devices: path, `c` or `b`, major, minor, mode.
    pub devices: Vec<(String, char, u32, u32, u32)>,
}

/// What RunPodSandbox does, one line each, and the status of the pod as it runs.
pub fn plan_pod(
    request: &RunPodSandboxRequest,
    recording: &Recording,
) -> Result<(Vec<String>, PodSandboxStatus), String> {
    let config = request.config.clone().unwrap_or_default();
    let host = host(recording);
    refuse::sandbox(&config, &request.runtime_handler, &host).map_err(|failure| failure.message)?;
    let mut sandbox = sandbox(&config, recording)?;
    if !sandbox.host_network() {
        sandbox.netns = Some("netns".into());
    }
    let effects = plan::make_sandbox(
        &sandbox,
        &plan::Surroundings {
            paths: &Paths::new("state".as_ref()),
            host: &host,
            resolv_conf: "",
            runtime: "orlop-runtime".into(),
            monitor_cgroups: Vec::new(),
            sandbox_cgroups: Vec::new(),
        },
    );
    // The record repeats the request, whatever is made of it.
    let done = effects.iter().filter(|effect| !matches!(effect, Effect::SaveSandbox(_)));
    Ok((done.map(|effect| format!("{effect:?}")).collect(), report::sandbox(&sandbox)))
}

fn host(recording: &Recording) -> Host {
    Host {
        hostname: recording.hostname.clone(),
        capabilities: recording.capabilities.iter().filter_map(|name| spec::capability(name)).collect(),
        swap: recording.swap,
        hugetlb: recording.hugetlb,
        cgroup2: recording.cgroup2,
        selinux: recording.selinux,
        lowest_oom_score_adj: recording.lowest_oom_score_adj,
        ..Host::default()
    }
}

fn sandbox(config: &PodSandboxConfig, recording: &Recording) -> Result<Sandbox, String> {
    let spelled = config.linux.as_ref().map(|linux| linux.cgroup_parent.as_str()).unwrap_or_default();
    let parent = cgroup_path::parent(spelled, "/").map_err(|failure| failure.message)?;
    Ok(Sandbox {
        format: FORMAT,
        id: recording.sandbox_id.clone(),
        config: config.clone(),
        handler: String::new(),
        phase: SandboxPhase::Ready,
        created_at: 1,
        ips: Vec::new(),
        netns: None,
        cgroup: format!("{parent}/{}", recording.sandbox_id),
        monitor_pid: 1,
        pause_pid: Some(1),
        torn_down: false,
    })
}

/// The OCI specification as JSON, and the status of the container as it runs.
pub fn translate(
    sandbox: &PodSandboxConfig,
    container: &ContainerConfig,
    recording: &Recording,
) -> Result<(String, ContainerStatus), String> {
    let text = |failure: crate::core::failure::Failure| failure.message;
    let host = host(recording);
    refuse::sandbox(sandbox, "", &host).map_err(text)?;
    refuse::container(container, &host).map_err(text)?;
    let sandbox = self::sandbox(sandbox, recording)?;
    let parent = sandbox.cgroup.strip_suffix(&recording.sandbox_id).unwrap_or_default();
    let image = ImageDefaults { cmd: recording.image_cmd.clone(), ..ImageDefaults::default() };
    let accounts = Accounts { passwd: recording.passwd.clone(), group: recording.group.clone() };
    let user = user::resolve(&spec::security(container), "", &accounts).map_err(text)?;
    let sources: Vec<HostMount> = container
        .mounts
        .iter()
        .map(|mount| HostMount {
            source: mount.host_path.clone().into(),
            shared: recording.shared_mounts,
            ..HostMount::default()
        })
        .collect();
    let devices = recording.devices.iter().map(|(path, kind, major, minor, mode)| DeviceNode {
        path: path.clone(),
        kind: if *kind == 'b' { NodeKind::Block } else { NodeKind::Character },
        major: *major,
        minor: *minor,
        mode: *mode,
        uid: 0,
        gid: 0,
        access: String::new(),
    });
    let cgroup = format!("{parent}{}", recording.container_id);
    let spec = spec::container(&Inputs {
        sandbox: &sandbox,
        config: container,
        image: &image,
        image_name: container
            .image
            .as_ref()
            .map(|image| image.user_specified_image.as_str())
            .unwrap_or_default(),
        user: &user,
        host: &host,
        sources: &sources,
        devices: &devices.collect::<Vec<_>>(),
        localhost_seccomp: None,
        files: &PodFiles {
            hostname: recording.files.join("hostname"),
            resolv_conf: recording.files.join("resolv.conf"),
            shm: recording.shm.clone(),
        },
        rootfs: "rootfs".into(),
        cgroup: &cgroup,
        target_pid: None,
    })
    .map_err(text)?;
    let status = report::container(&Container {
        format: FORMAT,
        id: recording.container_id.clone(),
        sandbox: sandbox.id.clone(),
        config: container.clone(),
        image_id: String::new(),
        image_ref: String::new(),
        phase: ContainerPhase::Running,
        created_at: 1,
        started_at: 1,
        end: None,
        user,
        log_path: None,
        stop_signal: signal::to_stop(container.stop_signal(), ""),
        resources: container.linux.as_ref().and_then(|linux| linux.resources.clone()).unwrap_or_default(),
        cgroup,
        pid: 1,
    });
    Ok((serde_json::to_string(&spec).map_err(|error| error.to_string())?, status))
}
