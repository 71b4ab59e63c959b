//! The seccomp profile of a container.

use std::collections::HashSet;

use api_cri::v1::{LinuxContainerSecurityContext, SecurityProfile, security_profile::ProfileType};
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};

use super::{Inputs, syscalls};
use crate::core::failure::Failure;

const ENOSYS: u32 = 38;
/// `AF_ALG` reaches the kernel's crypto drivers, `AF_VSOCK` the hypervisor.
const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;
/// The `CLONE_NEW*` flags of clone(2) that need no argument structure.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;
/// Execution domains without effect on anybody else: Linux, UNAME26, PER_LINUX32 and both, and "only tell".
const PERSONALITIES: &[u64] = &[0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// What a capability adds to the profile.
const BY_CAPABILITY: &[(Capability, &[&str])] = &[
    (Capability::DacReadSearch, &["open_by_handle_at"]),
    (
        Capability::SysAdmin,
        &[
            "bpf",
            "clone",
            "clone3",
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "lookup_dcookie",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "perf_event_open",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "syslog",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    (Capability::SysBoot, &["reboot"]),
    (Capability::SysChroot, &["chroot"]),
    (Capability::SysModule, &["delete_module", "init_module", "finit_module"]),
    (Capability::SysPacct, &["acct"]),
    (
        Capability::SysPtrace,
        &["kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace"],
    ),
    (Capability::SysRawio, &["iopl", "ioperm"]),
    (Capability::SysTime, &["settimeofday", "stime", "clock_settime", "clock_settime64"]),
    (Capability::SysTtyConfig, &["vhangup"]),
    (Capability::SysNice, &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"]),
    (Capability::Syslog, &["syslog"]),
    (Capability::Bpf, &["bpf"]),
    (Capability::Perfmon, &["perf_event_open"]),
];

/// The profile that the security context names; none for a privileged container or without one.
pub(super) fn profile(
    inputs: &Inputs<'_>,
    security: &LinuxContainerSecurityContext,
) -> Result<Option<LinuxSeccomp>, Failure> {
    if security.privileged {
        return Ok(None);
    }
    match wanted(security)?.map(|profile| profile.profile_type()) {
        None | Some(ProfileType::Unconfined) => Ok(None),
        Some(ProfileType::RuntimeDefault) => {
            let sets = super::capabilities::sets(security, &inputs.host.capabilities)?;
            Ok(Some(runtime_default(&sets.bounding().clone().unwrap_or_default())?))
        }
        Some(ProfileType::Localhost) => match &inputs.localhost_seccomp {
            Some(profile) => Ok(Some(profile.clone())),
            None => Err(Failure::internal("the Localhost seccomp profile was not read")),
        },
    }
}

/// The profile asked for, also by the older field that named it with a word.
pub(crate) fn wanted(security: &LinuxContainerSecurityContext) -> Result<Option<SecurityProfile>, Failure> {
    if let Some(profile) = &security.seccomp {
        return Ok(Some(profile.clone()));
    }
    #[allow(deprecated, reason = "kubelets before 1.22 send nothing else")]
    let word = security.seccomp_profile_path.as_str();
    let (kind, file) = match word {
        "" => return Ok(None),
        "unconfined" => (ProfileType::Unconfined, ""),
        "runtime/default" | "docker/default" => (ProfileType::RuntimeDefault, ""),
        _ => match word.strip_prefix("localhost/") {
            Some(file) => (ProfileType::Localhost, file),
            None => return Err(Failure::invalid(format!("seccomp_profile_path {word:?} names no profile"))),
        },
    };
    Ok(Some(SecurityProfile { profile_type: kind.into(), localhost_ref: file.into() }))
}

/// The default profile for a process with these capabilities.
pub(super) fn runtime_default(capabilities: &HashSet<Capability>) -> Result<LinuxSeccomp, OciSpecError> {
    use LinuxSeccompOperator::{ScmpCmpEq, ScmpCmpGt, ScmpCmpLt, ScmpCmpMaskedEq};
    let names = syscalls::ALWAYS.concat();
    let mut rules = vec![
        allow(&names, None)?,
        // Since 4.8 a tracer cannot escape the filter of its tracee, so tracing within the container is harmless.
        allow(&["process_vm_readv", "process_vm_writev", "ptrace"], None)?,
        allow(&["arch_prctl", "modify_ldt"], None)?,
        allow(&["socket"], Some(argument(0, AF_ALG, None, ScmpCmpLt)?))?,
        allow(&["socket"], Some(argument(0, AF_ALG + 1, None, ScmpCmpEq)?))?,
        allow(&["socket"], Some(argument(0, AF_VSOCK, None, ScmpCmpGt)?))?,
    ];
    for personality in PERSONALITIES {
        rules.push(allow(&["personality"], Some(argument(0, *personality, None, ScmpCmpEq)?))?);
    }
    for (capability, names) in BY_CAPABILITY {
        if capabilities.contains(capability) {
            rules.push(allow(names, None)?);
        }
    }
    if !capabilities.contains(&Capability::SysAdmin) {
        rules.push(allow(&["clone"], Some(argument(0, CLONE_NAMESPACES, Some(0), ScmpCmpMaskedEq)?))?);
        // The flags of clone3 lie in memory, where a filter cannot look: ENOSYS sends libc back to clone.
        rules.push(
            LinuxSyscallBuilder::default()
                .names(vec!["clone3".to_owned()])
                .action(LinuxSeccompAction::ScmpActErrno)
                .errno_ret(ENOSYS)
                .build()?,
        );
    }
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .architectures(architectures())
        .syscalls(rules)
        .build()
}

fn architectures() -> Vec<Arch> {
    if cfg!(target_arch = "aarch64") {
        vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm]
    } else {
        vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32]
    }
}

fn allow(names: &[&str], argument: Option<LinuxSeccompArg>) -> Result<LinuxSyscall, OciSpecError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let rule = LinuxSyscallBuilder::default().names(names).action(LinuxSeccompAction::ScmpActAllow);
    match argument {
        Some(argument) => rule.args(vec![argument]).build(),
        None => rule.build(),
    }
}

fn argument(
    index: usize,
    value: u64,
    second: Option<u64>,
    op: LinuxSeccompOperator,
) -> Result<LinuxSeccompArg, OciSpecError> {
    let builder = LinuxSeccompArgBuilder::default().index(index).value(value).op(op);
    match second {
        Some(second) => builder.value_two(second).build(),
        None => builder.build(),
    }
}
