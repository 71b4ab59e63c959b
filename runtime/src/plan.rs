//! From config.json to what will be done: everything is validated here, and nothing is touched.

#[cfg(test)]
mod fields;
mod mounts;
mod placement;
mod process;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    Hook, LinuxDeviceType, LinuxIdMapping, LinuxNamespaceType, LinuxPersonality, LinuxPersonalityDomain,
    LinuxResources, Spec,
};
use sys::cgroup::DeviceRules;
use sys::namespace::Kind;
use sys::process::MemoryPolicy;

use crate::error::{Error, Result};
use crate::seccomp::{self, Filter};

pub(crate) use mounts::{Mapping, MountKind, MountPlan, option_names};
pub(crate) use process::{CAPABILITIES, ProcessPlan, Terminal, capability_name};

/// Everything that `create` does.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The specification's version of the document.
    pub(crate) oci_version: String,
    /// Absolute.
    pub(crate) rootfs: PathBuf,
    /// Whether the root file system is read-only for the container.
    pub(crate) read_only_root: bool,
    /// `MS_*` flags of `rootfsPropagation`, when it is given.
    pub(crate) root_propagation: Option<u64>,
    /// Namespaces to make.
    pub(crate) new: Vec<Kind>,
    /// Namespaces to join.
    pub(crate) join: Vec<(Kind, PathBuf)>,
    /// Lines for `timens_offsets` of a new time namespace.
    pub(crate) time_offsets: Vec<String>,
    /// User and group ids of a new user namespace.
    pub(crate) mappings: Option<(Vec<LinuxIdMapping>, Vec<LinuxIdMapping>)>,
    /// In order.
    pub(crate) mounts: Vec<MountPlan>,
    /// Nodes to make.
    pub(crate) devices: Vec<DevicePlan>,
    /// Files and folders to hide.
    pub(crate) masked: Vec<PathBuf>,
    /// Files and folders to make read-only.
    pub(crate) read_only: Vec<PathBuf>,
    /// The host name.
    pub(crate) hostname: Option<String>,
    /// The NIS domain name.
    pub(crate) domainname: Option<String>,
    /// Kernel parameters: their file below `/proc/sys`, and the value.
    pub(crate) sysctls: Vec<(PathBuf, String)>,
    /// As given; relative means below the runtime's own cgroup.
    pub(crate) cgroup: PathBuf,
    /// Limits.
    pub(crate) resources: LinuxResources,
    /// Device rules.
    pub(crate) device_rules: DeviceRules,
    /// The program to run.
    pub(crate) process: ProcessPlan,
    /// System calls that it may make.
    pub(crate) seccomp: Option<Filter>,
    /// The execution domain.
    pub(crate) personality: Option<u32>,
    /// Where its memory lies.
    pub(crate) memory_policy: Option<MemoryPolicy>,
    /// The six lists.
    pub(crate) hooks: HookLists,
    /// For hooks and `state`.
    pub(crate) annotations: BTreeMap<String, String>,
}

/// A device node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DevicePlan {
    /// Absolute in the container.
    pub(crate) path: PathBuf,
    /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`.
    pub(crate) kind: DeviceKind,
    /// Device numbers.
    pub(crate) major: u32,
    /// Device numbers.
    pub(crate) minor: u32,
    /// Permission bits.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
}

/// What kind of node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceKind {
    Character,
    Block,
    Fifo,
}

/// Hooks by the time at which they run.
#[derive(Debug, Default)]
pub(crate) struct HookLists {
    /// `prestart`, then `createRuntime`.
    pub(crate) create_runtime: Vec<(&'static str, Vec<Hook>)>,
    /// In the container's namespaces, before its root is.
    pub(crate) create_container: Vec<Hook>,
    /// In the container, before its program.
    pub(crate) start_container: Vec<Hook>,
    /// In the runtime's namespaces, after the start.
    pub(crate) poststart: Vec<Hook>,
    /// In the runtime's namespaces, after the removal.
    pub(crate) poststop: Vec<Hook>,
}

/// What every container has, as the specification's default devices demand.
const DEFAULT_DEVICES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

impl Plan {
    /// Plans a container of a bundle.
    pub(crate) fn new(id: &str, bundle: &Path, spec: &Spec) -> Result<Self> {
        let root = spec.root().as_ref().ok_or_else(|| Error::refused("root", "is missing"))?;
        let linux = spec.linux().as_ref().ok_or_else(|| Error::refused("linux", "is missing"))?;
        let process = spec.process().as_ref().ok_or_else(|| Error::refused("process", "is missing"))?;
        check_version(spec.version())?;
        refuse_unimplemented(linux)?;

        let mut new = Vec::new();
        let mut join: Vec<(Kind, PathBuf)> = Vec::new();
        for namespace in linux.namespaces().iter().flatten() {
            let kind = kind(namespace.typ());
            if new.contains(&kind) || join.iter().any(|(have, _)| *have == kind) {
                return Err(Error::refused("linux.namespaces", format!("{kind:?} is given twice")));
            }
            match namespace.path().as_ref().filter(|path| !path.as_os_str().is_empty()) {
                None => new.push(kind),
                Some(path) => join.push((kind, path.clone())),
            }
        }
        join.sort();
        if !new.contains(&Kind::Mount) {
            return Err(Error::refused("linux.namespaces", "a new mount namespace is required"));
        }
        let user = new.contains(&Kind::User);
        let mappings = (
            linux.uid_mappings().clone().unwrap_or_default(),
            linux.gid_mappings().clone().unwrap_or_default(),
        );
        if user && (mappings.0.is_empty() || mappings.1.is_empty()) {
            return Err(Error::refused(
                "linux.uidMappings",
                "a new user namespace needs mappings of users and groups",
            ));
        }
        let has = |kind| new.contains(&kind) || join.iter().any(|(have, _)| *have == kind);
        let hostname = spec.hostname().clone().filter(|name| !name.is_empty());
        if hostname.is_some() && !has(Kind::Uts) {
            return Err(Error::refused("hostname", "unable to set hostname without a private UTS namespace"));
        }
        let domainname = spec.domainname().clone().filter(|name| !name.is_empty());
        if domainname.is_some() && !has(Kind::Uts) {
            return Err(Error::refused(
                "domainname",
                "unable to set domainname without a private UTS namespace",
            ));
        }
        let sysctls =
            linux.sysctl().iter().flatten().map(|(name, value)| Ok((sysctl(name, &has)?, value.clone())));
        let resources = linux.resources().clone().unwrap_or_default();
        let seccomp = linux.seccomp().as_ref().map(seccomp::compile).transpose()?;
        let absolute = |path: &Path| if path.is_absolute() { path.to_path_buf() } else { bundle.join(path) };
        let rootfs = absolute(root.path());
        let mounts: Result<_> = spec
            .mounts()
            .iter()
            .flatten()
            .map(|mount| Ok(MountPlan::new(mount, bundle)?.inside(&rootfs)))
            .collect();
        let default_cgroup = PathBuf::from(format!("/{id}"));

        Ok(Self {
            oci_version: spec.version().clone(),
            rootfs,
            read_only_root: root.readonly().unwrap_or(false),
            root_propagation: linux
                .rootfs_propagation()
                .as_deref()
                .filter(|text| !text.is_empty())
                .map(propagation)
                .transpose()?,
            mounts: mounts?,
            devices: devices(linux)?,
            masked: paths(linux.masked_paths()),
            read_only: paths(linux.readonly_paths()),
            hostname,
            domainname,
            sysctls: sysctls.collect::<Result<_>>()?,
            cgroup: linux
                .cgroups_path()
                .clone()
                .filter(|path| !path.as_os_str().is_empty())
                .unwrap_or(default_cgroup),
            device_rules: DeviceRules::new(resources.devices().as_deref().unwrap_or_default()),
            resources,
            process: ProcessPlan::new(process)?,
            seccomp,
            time_offsets: time_offsets(linux, new.contains(&Kind::Time))?,
            memory_policy: linux.memory_policy().as_ref().map(placement::memory_policy).transpose()?,
            personality: linux.personality().as_ref().map(|personality| match personality.domain() {
                LinuxPersonalityDomain::PerLinux => 0,
                // PER_LINUX32
                LinuxPersonalityDomain::PerLinux32 => 8,
            }),
            hooks: hooks(spec),
            annotations: spec
                .annotations()
                .iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            mappings: user.then_some(mappings),
            new,
            join,
        })
    }

    /// Whether the container's processes are in a user namespace that is not ours.
    pub(crate) fn has_user_namespace(&self) -> bool {
        self.has(Kind::User)
    }

    /// Whether the cgroup tree that they see begins below the machine's.
    pub(crate) fn has_cgroup_namespace(&self) -> bool {
        self.has(Kind::Cgroup)
    }

    fn has(&self, kind: Kind) -> bool {
        self.new.contains(&kind) || self.join.iter().any(|(have, _)| *have == kind)
    }
}

/// Each once: a second cover over the first hides nothing more.
fn paths(list: &Option<Vec<String>>) -> Vec<PathBuf> {
    let mut seen = std::collections::HashSet::new();
    list.iter().flatten().map(PathBuf::from).filter(|path| seen.insert(path.clone())).collect()
}

fn check_version(version: &str) -> Result<()> {
    // Within a major version every document is understood, since unknown properties are ignored.
    match version.split('.').next() {
        Some("1") => Ok(()),
        _ => Err(Error::refused("ociVersion", format!("{version:?} is not supported"))),
    }
}

fn refuse_unimplemented(linux: &oci_spec::runtime::Linux) -> Result<()> {
    let flags =
        |personality: &LinuxPersonality| personality.flags().as_ref().is_some_and(|flags| !flags.is_empty());
    let refused = [
        ("linux.intelRdt", linux.intel_rdt().is_some()),
        ("linux.netDevices", linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty())),
        ("linux.mountLabel", linux.mount_label().as_ref().is_some_and(|label| !label.is_empty())),
        // The specification knows none.
        ("linux.personality.flags", linux.personality().as_ref().is_some_and(flags)),
    ];
    match refused.iter().find(|(_, given)| *given) {
        Some((field, _)) => Err(Error::refused(*field, "is not implemented")),
        None => Ok(()),
    }
}

fn kind(kind: LinuxNamespaceType) -> Kind {
    match kind {
        LinuxNamespaceType::Mount => Kind::Mount,
        LinuxNamespaceType::Cgroup => Kind::Cgroup,
        LinuxNamespaceType::Uts => Kind::Uts,
        LinuxNamespaceType::Ipc => Kind::Ipc,
        LinuxNamespaceType::User => Kind::User,
        LinuxNamespaceType::Pid => Kind::Pid,
        LinuxNamespaceType::Network => Kind::Network,
        LinuxNamespaceType::Time => Kind::Time,
    }
}

/// In the order of the clocks' names. The kernel takes offsets only while the namespace is empty.
fn time_offsets(linux: &oci_spec::runtime::Linux, new: bool) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (clock, offset) in linux.time_offsets().iter().flatten() {
        let field = || format!("linux.timeOffsets[{clock}]");
        if !new {
            return Err(Error::refused(field(), "needs a new time namespace"));
        }
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(Error::refused(field(), "is neither monotonic nor boottime"));
        }
        lines.push(format!("{clock} {} {}", offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0)));
    }
    lines.sort();
    Ok(lines)
}

fn propagation(text: &str) -> Result<u64> {
    mounts::propagation(text).ok_or_else(|| {
        Error::refused(
            "linux.rootfsPropagation",
            format!("{text:?} is not one of shared, slave, private, unbindable"),
        )
    })
}

/// A parameter of the host must not be changed from a container's description.
fn sysctl(name: &str, has: &impl Fn(Kind) -> bool) -> Result<PathBuf> {
    // Both separators are in use; where the first one is a slash, dots belong to names (interface `eth0.1`).
    let first = name.find(['.', '/']).map(|at| name.as_bytes()[at]);
    let path = if first == Some(b'/') { name.to_owned() } else { name.replace('.', "/") };
    if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(Error::refused(format!("linux.sysctl[{name}]"), "is not a parameter's name"));
    }
    const IPC: [&str; 8] = [
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
    ];
    let namespace = if IPC.contains(&path.as_str()) || path.starts_with("fs/mqueue/") {
        Kind::Ipc
    } else if path.starts_with("net/") {
        Kind::Network
    } else if path == "kernel/domainname" || path == "kernel/hostname" {
        Kind::Uts
    } else if path.starts_with("user/") {
        Kind::User
    } else {
        return Err(Error::refused(
            format!("linux.sysctl[{name}]"),
            format!("sysctl {name:?} is not in a separate kernel namespace"),
        ));
    };
    if !has(namespace) {
        let reason = format!("sysctl {name:?} is not allowed in the hosts {namespace:?} namespace");
        return Err(Error::refused(format!("linux.sysctl[{name}]"), reason));
    }
    Ok(PathBuf::from(path))
}

fn devices(linux: &oci_spec::runtime::Linux) -> Result<Vec<DevicePlan>> {
    let mut devices: Vec<_> = DEFAULT_DEVICES
        .iter()
        .map(|&(path, major, minor)| DevicePlan {
            path: path.into(),
            kind: DeviceKind::Character,
            major,
            minor,
            mode: 0o666,
            uid: 0,
            gid: 0,
        })
        .collect();
    for device in linux.devices().iter().flatten() {
        let field = || format!("linux.devices[{}]", device.path().display());
        let number = |number: i64| {
            u32::try_from(number).map_err(|_| Error::refused(field(), "the device number is out of range"))
        };
        let kind = match device.typ() {
            LinuxDeviceType::C | LinuxDeviceType::U => DeviceKind::Character,
            LinuxDeviceType::B => DeviceKind::Block,
            LinuxDeviceType::P => DeviceKind::Fifo,
            LinuxDeviceType::A => return Err(Error::refused(field(), "type a is for cgroup rules only")),
        };
        let plan = DevicePlan {
            path: device.path().clone(),
            kind,
            major: number(device.major())?,
            minor: number(device.minor())?,
            mode: device.file_mode().unwrap_or(0o666) & 0o7777,
            uid: device.uid().unwrap_or(0),
            gid: device.gid().unwrap_or(0),
        };
        devices.retain(|have| have.path != plan.path);
        devices.push(plan);
    }
    Ok(devices)
}

#[allow(deprecated)] // `prestart` is deprecated, and used.
fn hooks(spec: &Spec) -> HookLists {
    let Some(hooks) = spec.hooks() else { return HookLists::default() };
    let list = |hooks: &Option<Vec<Hook>>| hooks.clone().unwrap_or_default();
    HookLists {
        create_runtime: vec![
            ("prestart", list(hooks.prestart())),
            ("createRuntime", list(hooks.create_runtime())),
        ],
        create_container: list(hooks.create_container()),
        start_container: list(hooks.start_container()),
        poststart: list(hooks.poststart()),
        poststop: list(hooks.poststop()),
    }
}

#[cfg(test)]
mod tests;
