//! What becomes of each field.

/// A field's path, or the beginning of several with `.*`, and what becomes of it.
pub(crate) type Row = (&'static str, Treatment);

/// What becomes of a field. Values are JSON; without one, some value that is not the default is made up.
pub(crate) enum Treatment {
    /// Changes what is made, when it has this value and the others have theirs.
    Acts { value: Option<&'static str>, given: &'static [(&'static str, &'static str)] },
    /// Is repeated in the status.
    Told(Option<&'static str>),
    /// Is refused by its name.
    Refused(Option<&'static str>),
    /// Is left alone on purpose, for this reason.
    Inert(&'static str),
    /// Acts where this test cannot look; the integration test of this name does.
    Seen(&'static str),
    /// Acts where this test cannot look; the case of critest with these words does.
    Suite(&'static str),
}

use Treatment::{Inert, Refused, Seen, Suite, Told};

const ACTS: Treatment = Treatment::Acts { value: None, given: &[] };

const fn acts(value: &'static str) -> Treatment {
    Treatment::Acts { value: Some(value), given: &[] }
}

const fn given(others: &'static [(&'static str, &'static str)], value: &'static str) -> Treatment {
    Treatment::Acts { value: Some(value), given: others }
}

const NO_PROCESS: Treatment =
    Inert("of a sandbox's own container, and there is none: each container says it of itself");
const JOINED: Treatment = Inert("a container joins the namespace that its sandbox was made with");
const OF_USERNS: Treatment = Inert("means nothing without a user namespace, and asking for one is refused");

/// RunPodSandboxRequest.
pub(crate) const POD: &[Row] = &[
    ("runtime_handler", Refused(None)),
    ("config.metadata.name", ACTS),
    ("config.metadata.uid", ACTS),
    ("config.metadata.namespace", ACTS),
    ("config.metadata.attempt", Told(None)),
    ("config.hostname", ACTS),
    ("config.log_directory", Seen("a_pod_lives_and_leaves_nothing")),
    ("config.dns_config.servers", ACTS),
    ("config.dns_config.searches", ACTS),
    ("config.dns_config.options", ACTS),
    ("config.port_mappings.protocol", ACTS),
    ("config.port_mappings.container_port", ACTS),
    ("config.port_mappings.host_port", ACTS),
    ("config.port_mappings.host_ip", ACTS),
    ("config.labels", Told(None)),
    ("config.annotations", Told(None)),
    ("config.linux.cgroup_parent", acts("\"/x\"")),
    ("config.linux.security_context.namespace_options.network", acts("2")),
    ("config.linux.security_context.namespace_options.pid", ACTS),
    ("config.linux.security_context.namespace_options.ipc", acts("2")),
    (
        "config.linux.security_context.namespace_options.target_id",
        Inert("of the mode TARGET, which a sandbox cannot have"),
    ),
    ("config.linux.security_context.namespace_options.userns_options.mode", Refused(Some("0"))),
    ("config.linux.security_context.namespace_options.userns_options.uids.*", OF_USERNS),
    ("config.linux.security_context.namespace_options.userns_options.gids.*", OF_USERNS),
    ("config.linux.security_context.selinux_options.*", Refused(None)),
    ("config.linux.security_context.run_as_user.value", NO_PROCESS),
    ("config.linux.security_context.run_as_group.value", NO_PROCESS),
    ("config.linux.security_context.readonly_rootfs", NO_PROCESS),
    ("config.linux.security_context.supplemental_groups", NO_PROCESS),
    ("config.linux.security_context.supplemental_groups_policy", NO_PROCESS),
    ("config.linux.security_context.privileged", NO_PROCESS),
    ("config.linux.security_context.seccomp.*", NO_PROCESS),
    ("config.linux.security_context.apparmor.profile_type", Refused(Some("2"))),
    (
        "config.linux.security_context.apparmor.localhost_ref",
        Inert("of the type Localhost, which is refused"),
    ),
    ("config.linux.security_context.seccomp_profile_path", NO_PROCESS),
    ("config.linux.sysctls", ACTS),
    (
        "config.linux.overhead.*",
        Inert("the kubelet has applied it to the pod's cgroup; sandboxes in machines need it"),
    ),
    (
        "config.linux.resources.*",
        Inert("the kubelet has applied it to the pod's cgroup; sandboxes in machines need it"),
    ),
    ("config.windows.*", Refused(None)),
];

/// CreateContainerRequest.
pub(crate) const CONTAINER: &[Row] = &[
    ("pod_sandbox_id", Seen("a_pod_lives_and_leaves_nothing")),
    ("sandbox_config.*", Inert("the sandbox has what RunPodSandbox was given")),
    ("config.metadata.name", ACTS),
    ("config.metadata.attempt", Told(None)),
    ("config.image.image", Seen("a_pod_lives_and_leaves_nothing")),
    ("config.image.annotations", Inert("the protocol gives them no meaning to runtimes")),
    ("config.image.user_specified_image", ACTS),
    ("config.image.runtime_handler", Inert("all handlers start from the same layers")),
    ("config.image.image_ref", Inert("`image` is the reference that counts")),
    ("config.command", ACTS),
    ("config.args", ACTS),
    ("config.working_dir", acts("\"/x\"")),
    ("config.envs.key", ACTS),
    ("config.envs.value", ACTS),
    ("config.mounts.container_path", acts("\"/x\"")),
    ("config.mounts.host_path", acts("\"/x\"")),
    ("config.mounts.readonly", acts("false")),
    (
        "config.mounts.selinux_relabel",
        Inert("containers have the daemon's label, so a volume needs no other"),
    ),
    ("config.mounts.propagation", ACTS),
    ("config.mounts.uidMappings.*", ACTS),
    ("config.mounts.gidMappings.*", ACTS),
    ("config.mounts.recursive_read_only", ACTS),
    ("config.mounts.image.*", Refused(None)),
    ("config.mounts.image_sub_path", Refused(None)),
    ("config.devices.container_path", Seen("a_device_has_the_place_and_the_permissions_asked_for")),
    ("config.devices.host_path", Seen("a_device_has_the_place_and_the_permissions_asked_for")),
    ("config.devices.permissions", Seen("a_device_has_the_place_and_the_permissions_asked_for")),
    ("config.labels", Told(None)),
    ("config.annotations", Told(None)),
    ("config.log_path", Seen("a_pod_lives_and_leaves_nothing")),
    ("config.stdin", Suite("runtime should support attach")),
    ("config.stdin_once", Suite("runtime should support attach")),
    ("config.tty", ACTS),
    ("config.linux.resources.cpu_period", ACTS),
    ("config.linux.resources.cpu_quota", ACTS),
    ("config.linux.resources.cpu_shares", ACTS),
    ("config.linux.resources.memory_limit_in_bytes", ACTS),
    ("config.linux.resources.oom_score_adj", ACTS),
    ("config.linux.resources.cpuset_cpus", ACTS),
    ("config.linux.resources.cpuset_mems", ACTS),
    ("config.linux.resources.hugepage_limits.page_size", ACTS),
    ("config.linux.resources.hugepage_limits.limit", ACTS),
    ("config.linux.resources.unified", ACTS),
    ("config.linux.resources.memory_swap_limit_in_bytes", ACTS),
    ("config.linux.security_context.capabilities.add_capabilities", acts("[\"SYS_ADMIN\"]")),
    ("config.linux.security_context.capabilities.drop_capabilities", acts("[\"CHOWN\"]")),
    ("config.linux.security_context.capabilities.add_ambient_capabilities", acts("[\"CHOWN\"]")),
    ("config.linux.security_context.privileged", ACTS),
    ("config.linux.security_context.namespace_options.network", JOINED),
    ("config.linux.security_context.namespace_options.pid", ACTS),
    ("config.linux.security_context.namespace_options.ipc", JOINED),
    (
        "config.linux.security_context.namespace_options.target_id",
        Seen("a_container_joins_the_processes_of_another"),
    ),
    ("config.linux.security_context.namespace_options.userns_options.mode", Refused(Some("0"))),
    ("config.linux.security_context.namespace_options.userns_options.uids.*", OF_USERNS),
    ("config.linux.security_context.namespace_options.userns_options.gids.*", OF_USERNS),
    ("config.linux.security_context.selinux_options.*", Refused(None)),
    ("config.linux.security_context.run_as_user.value", ACTS),
    (
        "config.linux.security_context.run_as_group.value",
        given(&[("config.linux.security_context.run_as_user.value", "7")], "8"),
    ),
    ("config.linux.security_context.run_as_username", acts("\"member\"")),
    ("config.linux.security_context.readonly_rootfs", ACTS),
    ("config.linux.security_context.supplemental_groups", ACTS),
    (
        "config.linux.security_context.supplemental_groups_policy",
        given(&[("config.linux.security_context.run_as_username", "\"member\"")], "1"),
    ),
    ("config.linux.security_context.no_new_privs", ACTS),
    ("config.linux.security_context.masked_paths", ACTS),
    ("config.linux.security_context.readonly_paths", ACTS),
    ("config.linux.security_context.seccomp.profile_type", acts("0")),
    (
        "config.linux.security_context.seccomp.localhost_ref",
        Suite("should support seccomp localhost profile"),
    ),
    ("config.linux.security_context.apparmor.profile_type", Refused(Some("2"))),
    (
        "config.linux.security_context.apparmor.localhost_ref",
        Inert("of the type Localhost, which is refused"),
    ),
    ("config.linux.security_context.apparmor_profile", Refused(None)),
    ("config.linux.security_context.seccomp_profile_path", acts("\"runtime/default\"")),
    ("config.windows.*", Refused(None)),
    ("config.CDI_devices.*", Refused(None)),
    ("config.stop_signal", Told(None)),
];
