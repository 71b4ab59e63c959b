//! The mounts of a container: the kernel's own filesystems, the kubelet's volumes, the sandbox's files.

use std::path::{Component, Path, PathBuf};

use api_cri::v1::{LinuxContainerSecurityContext, Mount as Asked, MountPropagation, NamespaceMode};
use oci_spec::runtime::{Mount, MountBuilder};

use super::{Inputs, namespaces};
use crate::core::failure::Failure;

/// The source of a volume, as it was found on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostMount {
    /// Its path with symbolic links followed.
    pub source: PathBuf,
    /// The mount point that holds it.
    pub mount_point: PathBuf,
    /// Whether that mount is in a peer group (mount_namespaces(7)).
    pub shared: bool,
    /// Whether that mount receives events from a master.
    pub slave: bool,
}

/// All mounts in the order of their making, and the propagation of the root that they need.
pub(super) fn all(
    inputs: &Inputs<'_>,
    security: &LinuxContainerSecurityContext,
) -> Result<(Vec<Mount>, Option<&'static str>), Failure> {
    let asked = &inputs.config.mounts;
    let taken = |path: &str| asked.iter().any(|mount| clean(&mount.container_path) == Path::new(path));
    let mut mounts = Vec::new();
    for (path, mount) in standard(security.privileged)? {
        if !taken(path) {
            mounts.push(mount);
        }
    }
    let mut volumes = Vec::new();
    let mut root = None;
    for (index, mount) in asked.iter().enumerate() {
        let source = inputs
            .sources
            .get(index)
            .ok_or_else(|| Failure::internal("a mount's source was not resolved"))?;
        let (volume, propagation) = volume(index, mount, source)?;
        root = stronger(root, propagation);
        volumes.push(volume);
    }
    let writable = if security.readonly_rootfs { "ro" } else { "rw" };
    let host_ipc = inputs.sandbox.namespaces().ipc() == NamespaceMode::Node;
    let shm = if host_ipc { Path::new("/dev/shm") } else { inputs.files.shm.as_path() };
    for (path, source, access) in [
        ("/etc/hostname", inputs.files.hostname.as_path(), writable),
        ("/etc/resolv.conf", inputs.files.resolv_conf.as_path(), writable),
        ("/dev/shm", shm, "rw"),
    ] {
        if !taken(path) {
            volumes.push(bind(path, source, &["rbind", "rprivate", access])?);
        }
    }
    // A mount hides what lies below it, so parents come first; among equals the kubelet's order stands.
    volumes.sort_by_key(|mount| mount.destination().components().count());
    mounts.extend(volumes);
    Ok((mounts, root))
}

/// The kernel's filesystems that every container sees.
fn standard(privileged: bool) -> Result<Vec<(&'static str, Mount)>, Failure> {
    let sys = if privileged { "rw" } else { "ro" };
    let mount = |path: &'static str, source: &str, options: &[&str]| -> Result<_, Failure> {
        let kind = if source == "tmpfs" { "tmpfs" } else { source };
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        Ok((
            path,
            MountBuilder::default().destination(path).typ(kind).source(source).options(options).build()?,
        ))
    };
    Ok(vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"])?,
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"])?,
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        )?,
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"])?,
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", sys])?,
        mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", sys])?,
    ])
}

fn bind(destination: &str, source: &Path, options: &[&str]) -> Result<Mount, Failure> {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    Ok(MountBuilder::default()
        .destination(destination)
        .typ("bind")
        .source(source)
        .options(options)
        .build()?)
}

fn volume(index: usize, asked: &Asked, host: &HostMount) -> Result<(Mount, Option<&'static str>), Failure> {
    let field = format!("mounts[{index}] ({})", asked.container_path);
    if asked.container_path.is_empty() {
        return Err(Failure::invalid(format!("{field}: container_path is empty")));
    }
    if Path::new(&asked.container_path).components().any(|part| part == Component::ParentDir) {
        return Err(Failure::invalid(format!("{field}: container_path contains \"..\"")));
    }
    let not_shared = || {
        let (path, point) = (host.source.display(), host.mount_point.display());
        format!(
            "path {path:?} is mounted on {point:?} but it is not a shared mount",
            path = path.to_string(),
            point = point.to_string()
        )
    };
    let (propagation, root) = match asked.propagation() {
        MountPropagation::PropagationPrivate => ("rprivate", None),
        MountPropagation::PropagationHostToContainer if host.shared || host.slave => {
            ("rslave", Some("rslave"))
        }
        MountPropagation::PropagationHostToContainer => {
            return Err(Failure::invalid(format!("{} or slave", not_shared())));
        }
        MountPropagation::PropagationBidirectional if host.shared => ("rshared", Some("rshared")),
        MountPropagation::PropagationBidirectional => return Err(Failure::invalid(not_shared())),
    };
    let access = if asked.recursive_read_only {
        if !asked.readonly || root.is_some() {
            return Err(Failure::invalid(format!(
                "{field}: recursive_read_only needs readonly and PROPAGATION_PRIVATE"
            )));
        }
        "rro"
    } else if asked.readonly {
        "ro"
    } else {
        "rw"
    };
    let mut mount = bind(&asked.container_path, &host.source, &["rbind", propagation, access])?;
    if !asked.uid_mappings.is_empty() || !asked.gid_mappings.is_empty() {
        mount.set_uid_mappings(Some(namespaces::id_mappings(&asked.uid_mappings)?));
        mount.set_gid_mappings(Some(namespaces::id_mappings(&asked.gid_mappings)?));
    }
    Ok((mount, root))
}

/// A shared root serves slaves as well, and not the other way round.
fn stronger(first: Option<&'static str>, second: Option<&'static str>) -> Option<&'static str> {
    match (first, second) {
        (Some("rshared"), _) | (_, None) => first,
        _ => second,
    }
}

/// The path without `.` and doubled or trailing slashes.
fn clean(path: &str) -> PathBuf {
    Path::new("/").join(path).components().filter(|part| *part != Component::CurDir).collect()
}
