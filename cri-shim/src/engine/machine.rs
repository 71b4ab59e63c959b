//! What is read from the machine for `core` to decide on.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use api_cri::v1::security_profile::ProfileType;
use api_cri::v1::{ContainerConfig, LinuxContainerSecurityContext, MountPropagation};
use oci_spec::runtime::{Capability, LinuxSeccomp};
use rustix::fs::{Mode, OFlags};
use sys::cgroup::{Hierarchies, Version};

use crate::core::failure::Failure;
use crate::core::spec::{DeviceNode, Host, HostMount, NodeKind, security, wanted_seccomp};
use crate::core::user::Accounts;
use crate::disk;

/// The largest `/etc/passwd` that is read: it is the image's, and the image is not ours.
const LARGEST_ACCOUNTS: u64 = 4 << 20;
/// Where relative names of Localhost seccomp profiles are found.
const SECCOMP: &str = "/var/lib/kubelet/seccomp";

/// Looks at the machine, once.
pub(crate) fn host(hierarchies: &Hierarchies) -> Host {
    let tree = |controller: &str, file: &str| {
        hierarchies.trees.iter().any(|tree| {
            tree.controllers.split(',').any(|name| name == controller) && tree.own.join(file).exists()
        })
    };
    let v2 = hierarchies.version == Version::V2;
    let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let own_score =
        std::fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse().ok());
    let capabilities = capabilities();
    Host {
        hostname: std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
        hugetlb: if v2 {
            controllers.split_whitespace().any(|name| name == "hugetlb")
        } else {
            tree("hugetlb", "")
        },
        swap: if v2 {
            Path::new("/proc/swaps").exists()
        } else {
            tree("memory", "memory.memsw.limit_in_bytes")
        },
        cgroup2: v2,
        lowest_oom_score_adj: if capabilities.contains(&Capability::SysResource) { None } else { own_score },
        capabilities,
        apparmor: Path::new("/sys/kernel/security/apparmor").exists(),
        // The filesystem is mounted there by whoever loads a policy.
        selinux: Path::new("/sys/fs/selinux/enforce").exists(),
    }
}

/// The capabilities that this daemon can give: its bounding set.
fn capabilities() -> Vec<Capability> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .unwrap_or_default();
    NUMBERED
        .iter()
        .enumerate()
        .filter(|(number, _)| bits & (1 << number) != 0)
        .map(|(_, capability)| *capability)
        .collect()
}

/// All capabilities by their number in the kernel.
const NUMBERED: [Capability; 41] = {
    use Capability as C;
    [
        C::Chown,
        C::DacOverride,
        C::DacReadSearch,
        C::Fowner,
        C::Fsetid,
        C::Kill,
        C::Setgid,
        C::Setuid,
        C::Setpcap,
        C::LinuxImmutable,
        C::NetBindService,
        C::NetBroadcast,
        C::NetAdmin,
        C::NetRaw,
        C::IpcLock,
        C::IpcOwner,
        C::SysModule,
        C::SysRawio,
        C::SysChroot,
        C::SysPtrace,
        C::SysPacct,
        C::SysAdmin,
        C::SysBoot,
        C::SysNice,
        C::SysResource,
        C::SysTime,
        C::SysTtyConfig,
        C::Mknod,
        C::Lease,
        C::AuditWrite,
        C::AuditControl,
        C::Setfcap,
        C::MacOverride,
        C::MacAdmin,
        C::Syslog,
        C::WakeAlarm,
        C::BlockSuspend,
        C::AuditRead,
        C::Perfmon,
        C::Bpf,
        C::CheckpointRestore,
    ]
};

/// The host's resolver configuration. systemd-resolved's stub at 127.0.0.53 cannot be reached from a pod, its real one can.
pub(super) fn resolv_conf() -> String {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    if text.lines().any(|line| line.trim() == "nameserver 127.0.0.53") {
        return std::fs::read_to_string("/run/systemd/resolve/resolv.conf").unwrap_or(text);
    }
    text
}

/// The image's user files, resolved inside of its root.
pub(super) fn accounts(rootfs: &Path) -> Result<Accounts, Failure> {
    let root = sys::fs::Root::open(rootfs).map_err(|error| Failure::internal(error.to_string()))?;
    let read = |path: &str| -> Result<String, Failure> {
        use std::io::Read as _;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let Ok(fd) = root.open_at(Path::new(path), flags, Mode::empty()) else { return Ok(String::new()) };
        let file = std::fs::File::from(fd);
        // A pipe or a device in its place must not be read.
        if !file.metadata().is_ok_and(|found| found.is_file()) {
            return Ok(String::new());
        }
        let mut bytes = Vec::new();
        file.take(LARGEST_ACCOUNTS)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::internal(format!("reading the image's /{path}: {error}")))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Accounts { passwd: read("etc/passwd")?, group: read("etc/group")? })
}

/// The sources of mounts that nobody made: runtimes have made folders of them since Docker.
pub(super) fn missing_sources(config: &ContainerConfig) -> Vec<PathBuf> {
    config.mounts.iter().map(|mount| PathBuf::from(&mount.host_path)).filter(|path| !path.exists()).collect()
}

/// The mounts' sources, with links followed, and for those that propagate the mounts that hold them.
pub(super) fn sources(config: &ContainerConfig) -> Result<Vec<HostMount>, Failure> {
    let propagates = |mount: &api_cri::v1::Mount| mount.propagation() != MountPropagation::PropagationPrivate;
    let table = if config.mounts.iter().any(propagates) {
        std::fs::read_to_string("/proc/self/mountinfo")
            .map_err(|error| Failure::internal(format!("reading mountinfo: {error}")))?
    } else {
        String::new()
    };
    config
        .mounts
        .iter()
        .map(|mount| {
            let source = std::fs::canonicalize(&mount.host_path).map_err(|error| {
                Failure::invalid(format!("the mount's host_path {:?}: {error}", mount.host_path))
            })?;
            Ok(held_by(&table, source))
        })
        .collect()
}

/// The mount that holds a path: the last of the longest mount points above it (proc_pid_mountinfo(5)).
fn held_by(mountinfo: &str, source: PathBuf) -> HostMount {
    let mut found = HostMount { source, ..HostMount::default() };
    for line in mountinfo.lines() {
        let mut fields = line.split(' ');
        let Some(point) = fields.nth(4).map(unescape) else { continue };
        if !found.source.starts_with(&point)
            || point.components().count() < found.mount_point.components().count()
        {
            continue;
        }
        let optional: Vec<&str> = fields.skip(1).take_while(|field| *field != "-").collect();
        found.shared = optional.iter().any(|field| field.starts_with("shared:"));
        found.slave = optional.iter().any(|field| field.starts_with("master:"));
        found.mount_point = point;
    }
    found
}

/// The kernel writes blanks and backslashes as `\` and three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(3).unwrap_or((part, ""));
        match u8::from_str_radix(digits, 8) {
            Ok(byte) => plain.push(char::from(byte)),
            Err(_) => plain.push_str(digits),
        }
        plain.push_str(rest);
    }
    plain.into()
}

/// The device nodes that a container is given: all of the host's for a privileged one.
pub(super) fn devices(config: &ContainerConfig) -> Result<Vec<DeviceNode>, Failure> {
    let mut nodes = Vec::new();
    if security(config).privileged {
        collect(Path::new("/dev"), Path::new("/dev"), "", &mut nodes);
        return Ok(nodes);
    }
    for (index, device) in config.devices.iter().enumerate() {
        let field = format!("config.devices[{index}]");
        if !device.permissions.bytes().all(|byte| b"rwm".contains(&byte)) {
            return Err(Failure::invalid(format!(
                "{field}.permissions {:?} is not of \"rwm\"",
                device.permissions
            )));
        }
        let source = std::fs::canonicalize(&device.host_path).map_err(|error| {
            Failure::invalid(format!("{field}.host_path {:?}: {error}", device.host_path))
        })?;
        let before = nodes.len();
        collect(&source, Path::new(&device.container_path), &device.permissions, &mut nodes);
        if nodes.len() == before {
            return Err(Failure::invalid(format!("{field}.host_path {:?} is no device", device.host_path)));
        }
    }
    Ok(nodes)
}

/// The nodes at a path, or in the folder that it is. What a container has of its own is left out.
fn collect(source: &Path, path: &Path, access: &str, nodes: &mut Vec<DeviceNode>) {
    let Ok(found) = std::fs::symlink_metadata(source) else { return };
    if found.is_dir() {
        const OWN: &[&str] = &["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"];
        let Ok(entries) = std::fs::read_dir(source) else { return };
        let mut names: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
        names.sort();
        for name in names.iter().filter(|name| name.to_str().is_none_or(|name| !OWN.contains(&name))) {
            collect(&source.join(name), &path.join(name), access, nodes);
        }
        return;
    }
    let kind = found.file_type();
    let kind = match (kind.is_char_device(), kind.is_block_device()) {
        (true, _) => NodeKind::Character,
        (_, true) => NodeKind::Block,
        _ => return,
    };
    // The console is the container's own terminal.
    if path == Path::new("/dev/console") {
        return;
    }
    let device = found.rdev();
    nodes.push(DeviceNode {
        path: path.display().to_string(),
        kind,
        major: rustix::fs::major(device),
        minor: rustix::fs::minor(device),
        mode: found.mode() & 0o7777,
        uid: found.uid(),
        gid: found.gid(),
        access: access.to_owned(),
    });
}

/// The profile that a Localhost seccomp profile names.
pub(super) fn localhost_seccomp(
    security: &LinuxContainerSecurityContext,
) -> Result<Option<LinuxSeccomp>, Failure> {
    match wanted_seccomp(security)? {
        Some(profile) if profile.profile_type() == ProfileType::Localhost && !security.privileged => {
            let path = Path::new(SECCOMP).join(&profile.localhost_ref);
            Ok(Some(
                disk::read_json(&path)
                    .map_err(|error| Failure::invalid(format!("seccomp profile: {error}")))?,
            ))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_that_holds_a_path_is_the_last_of_the_longest() {
        let table = "1 0 8:1 / / rw - ext4 a rw\n2 1 0:5 / /a rw shared:3 - tmpfs t rw\n3 1 0:6 / /a\\040b rw master:9 - tmpfs t rw\n4 2 0:7 / /a rw shared:5 master:3 - tmpfs t rw\n";
        let at = |path: &str| held_by(table, path.into());
        assert_eq!(
            at("/a/x"),
            HostMount { source: "/a/x".into(), mount_point: "/a".into(), shared: true, slave: true }
        );
        assert_eq!(at("/a b/x").mount_point, Path::new("/a b"));
        assert_eq!((at("/b").mount_point.as_path(), at("/b").shared), (Path::new("/"), false));
    }
}
