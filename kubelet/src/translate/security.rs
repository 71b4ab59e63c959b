//! Who a container's processes are and what they may do: the container's `securityContext` over the pod's.

use api_cri::v1::security_profile::ProfileType;
use api_cri::v1::{
    Capability, Int64Value, LinuxContainerSecurityContext, LinuxSandboxSecurityContext, NamespaceMode,
    NamespaceOption, SecurityProfile, SupplementalGroupsPolicy, UserNamespace,
};
use api_k8s::v1::{Container, Pod, PodSecurityContext, SeccompProfile, SecurityContext};

use super::container::Image;
use super::{Node, TranslateError, all_containers, pod_name, pod_namespace, pod_uid, spec};

/// Hidden from containers unless `procMount` is `Unmasked`.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// Read-only for containers unless `procMount` is `Unmasked`.
const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The sandbox's security context. Its own process needs nothing, so its seccomp profile is the runtime's.
pub(crate) fn of_sandbox(pod: &Pod) -> LinuxSandboxSecurityContext {
    let context = spec(pod).security_context.as_ref();
    LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod)),
        run_as_user: context.and_then(|context| context.run_as_user).map(number),
        run_as_group: context.and_then(|context| context.run_as_group).map(number),
        supplemental_groups: groups(context),
        supplemental_groups_policy: groups_policy(context),
        privileged: all_containers(pod).any(is_privileged),
        seccomp: Some(profile(ProfileType::RuntimeDefault, String::new())),
        ..LinuxSandboxSecurityContext::default()
    }
}

/// A container's security context; the image's user counts where neither container nor pod names one.
pub(crate) fn of_container(
    pod: &Pod,
    container: &Container,
    image: &Image,
    node: &Node,
) -> Result<LinuxContainerSecurityContext, TranslateError> {
    verify_non_root(pod, container, image)?;
    let of_pod = spec(pod).security_context.as_ref();
    let own = container.security_context.as_ref();
    let user = run_as_user(pod, container);
    let unmasked = own.and_then(|own| own.proc_mount.as_deref()) == Some("Unmasked");
    let paths = |paths: &[&str]| match unmasked {
        true => Vec::new(),
        false => paths.iter().map(|path| (*path).to_owned()).collect(),
    };
    let group = own.and_then(|own| own.run_as_group).or(of_pod.and_then(|context| context.run_as_group));
    Ok(LinuxContainerSecurityContext {
        capabilities: own.and_then(|own| own.capabilities.as_ref()).map(|capabilities| Capability {
            add_capabilities: capabilities.add.clone().unwrap_or_default(),
            drop_capabilities: capabilities.drop.clone().unwrap_or_default(),
            add_ambient_capabilities: Vec::new(),
        }),
        privileged: is_privileged(container),
        namespace_options: Some(namespaces(pod)),
        run_as_user: user.or(image.uid).map(number),
        run_as_username: if user.is_none() { image.username.clone() } else { String::new() },
        run_as_group: group.map(number),
        readonly_rootfs: own.and_then(|own| own.read_only_root_filesystem).unwrap_or(false),
        supplemental_groups: groups(of_pod),
        supplemental_groups_policy: groups_policy(of_pod),
        no_new_privs: own.and_then(|own| own.allow_privilege_escalation) == Some(false),
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READONLY),
        seccomp: Some(seccomp(of_pod, own, node)),
        ..LinuxContainerSecurityContext::default()
    })
}

fn namespaces(pod: &Pod) -> NamespaceOption {
    let spec = spec(pod);
    let host_or_pod = |host: Option<bool>| match host {
        Some(true) => NamespaceMode::Node,
        _ => NamespaceMode::Pod,
    };
    let pid = match (spec.host_pid, spec.share_process_namespace) {
        (Some(true), _) => NamespaceMode::Node,
        (_, Some(true)) => NamespaceMode::Pod,
        _ => NamespaceMode::Container,
    };
    NamespaceOption {
        network: host_or_pod(spec.host_network).into(),
        pid: pid.into(),
        ipc: host_or_pod(spec.host_ipc).into(),
        target_id: String::new(),
        userns_options: Some(UserNamespace {
            mode: NamespaceMode::Node.into(),
            uids: Vec::new(),
            gids: Vec::new(),
        }),
    }
}

fn number(value: i64) -> Int64Value {
    Int64Value { value }
}

fn profile(profile_type: ProfileType, localhost_ref: String) -> SecurityProfile {
    SecurityProfile { profile_type: profile_type.into(), localhost_ref }
}

fn is_privileged(container: &Container) -> bool {
    container.security_context.as_ref().and_then(|context| context.privileged).unwrap_or(false)
}

/// The volumes' group first, so that files of `fsGroup` are reachable.
fn groups(context: Option<&PodSecurityContext>) -> Vec<i64> {
    let Some(context) = context else { return Vec::new() };
    context.fs_group.iter().chain(context.supplemental_groups.iter().flatten()).copied().collect()
}

fn groups_policy(context: Option<&PodSecurityContext>) -> i32 {
    let policy = match context.and_then(|context| context.supplemental_groups_policy.as_deref()) {
        Some("Strict") => SupplementalGroupsPolicy::Strict,
        _ => SupplementalGroupsPolicy::Merge,
    };
    policy.into()
}

fn seccomp(pod: Option<&PodSecurityContext>, own: Option<&SecurityContext>, node: &Node) -> SecurityProfile {
    let wanted: Option<&SeccompProfile> = own
        .and_then(|own| own.seccomp_profile.as_ref())
        .or(pod.and_then(|context| context.seccomp_profile.as_ref()));
    match wanted.map(|wanted| wanted.type_.as_str()) {
        Some("Localhost") => {
            let name = wanted.and_then(|wanted| wanted.localhost_profile.as_deref()).unwrap_or_default();
            profile(ProfileType::Localhost, node.seccomp_root().join(name).display().to_string())
        }
        Some("RuntimeDefault") => profile(ProfileType::RuntimeDefault, String::new()),
        None if node.seccomp_default => profile(ProfileType::RuntimeDefault, String::new()),
        _ => profile(ProfileType::Unconfined, String::new()),
    }
}

fn run_as_user(pod: &Pod, container: &Container) -> Option<i64> {
    let of_pod = spec(pod).security_context.as_ref().and_then(|context| context.run_as_user);
    container.security_context.as_ref().and_then(|own| own.run_as_user).or(of_pod)
}

/// Whether the container must not run as root.
pub fn effective_run_as_non_root(pod: &Pod, container: &Container) -> bool {
    let of_pod = spec(pod).security_context.as_ref().and_then(|context| context.run_as_non_root);
    container.security_context.as_ref().and_then(|own| own.run_as_non_root).or(of_pod).unwrap_or(false)
}

fn verify_non_root(pod: &Pod, container: &Container, image: &Image) -> Result<(), TranslateError> {
    if !effective_run_as_non_root(pod, container) {
        return Ok(());
    }
    let full = format!("{}_{}({})", pod_name(pod), pod_namespace(pod), pod_uid(pod));
    let place = format!("(pod: {full:?}, container: {})", container.name);
    match (run_as_user(pod, container), image.uid) {
        (Some(0), _) => Err(TranslateError(format!("container's runAsUser breaks non-root policy {place}"))),
        (Some(_), _) => Ok(()),
        (None, Some(0)) => {
            Err(TranslateError(format!("container has runAsNonRoot and image will run as root {place}")))
        }
        (None, None) if !image.username.is_empty() => Err(TranslateError(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {place}",
            image.username
        ))),
        (None, _) => Ok(()),
    }
}
