//! Mount options: what each word means to the kernel.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxIdMapping, Mount};
use sys::mount::Attributes;

use crate::error::{Error, Result};

/// One entry of `mounts`.
#[derive(Clone, Debug)]
pub(crate) struct MountPlan {
    /// Absolute in the container.
    pub(crate) destination: PathBuf,
    /// Absolute for a bind; otherwise a name.
    pub(crate) source: PathBuf,
    /// How it is made.
    pub(crate) kind: MountKind,
    /// `MS_*` flags of a new file system.
    pub(crate) flags: u64,
    /// Options that only the file system understands.
    pub(crate) data: String,
    /// What a bind changes on the mount itself.
    pub(crate) attributes: Attributes,
    /// What changes on the mounts below too (`rro`).
    pub(crate) recursive: Attributes,
    /// `MS_SHARED` and so on with `MS_REC`, in order.
    pub(crate) propagation: Vec<u64>,
    /// A tmpfs that starts with what it covers.
    pub(crate) copy_up: bool,
    /// Owners are shown mapped.
    pub(crate) mapping: Option<Mapping>,
}

/// How a mount is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MountKind {
    /// A copy of host mounts.
    Bind {
        /// With what is mounted below.
        recursive: bool,
    },
    /// A new file system.
    New(String),
    /// The container's view of the cgroup trees.
    Cgroup,
}

/// An idmapped mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// Also what is mounted below.
    pub(crate) recursive: bool,
    /// The given ones; `None` takes the container's user namespace.
    pub(crate) ids: Option<(Vec<LinuxIdMapping>, Vec<LinuxIdMapping>)>,
}

/// Words that set or clear a flag of mount(2), with the attribute of mount_setattr(2) that means the same.
const FLAGS: [(&str, bool, u64, u64); 24] = [
    ("ro", true, libc::MS_RDONLY, libc::MOUNT_ATTR_RDONLY),
    ("rw", false, libc::MS_RDONLY, libc::MOUNT_ATTR_RDONLY),
    ("nosuid", true, libc::MS_NOSUID, libc::MOUNT_ATTR_NOSUID),
    ("suid", false, libc::MS_NOSUID, libc::MOUNT_ATTR_NOSUID),
    ("nodev", true, libc::MS_NODEV, libc::MOUNT_ATTR_NODEV),
    ("dev", false, libc::MS_NODEV, libc::MOUNT_ATTR_NODEV),
    ("noexec", true, libc::MS_NOEXEC, libc::MOUNT_ATTR_NOEXEC),
    ("exec", false, libc::MS_NOEXEC, libc::MOUNT_ATTR_NOEXEC),
    ("nodiratime", true, libc::MS_NODIRATIME, libc::MOUNT_ATTR_NODIRATIME),
    ("diratime", false, libc::MS_NODIRATIME, libc::MOUNT_ATTR_NODIRATIME),
    ("nosymfollow", true, libc::MS_NOSYMFOLLOW, libc::MOUNT_ATTR_NOSYMFOLLOW),
    ("symfollow", false, libc::MS_NOSYMFOLLOW, libc::MOUNT_ATTR_NOSYMFOLLOW),
    ("sync", true, libc::MS_SYNCHRONOUS, 0),
    ("async", false, libc::MS_SYNCHRONOUS, 0),
    ("dirsync", true, libc::MS_DIRSYNC, 0),
    ("mand", true, libc::MS_MANDLOCK, 0),
    ("nomand", false, libc::MS_MANDLOCK, 0),
    ("silent", true, libc::MS_SILENT, 0),
    ("loud", false, libc::MS_SILENT, 0),
    ("iversion", true, libc::MS_I_VERSION, 0),
    ("noiversion", false, libc::MS_I_VERSION, 0),
    ("lazytime", true, libc::MS_LAZYTIME, 0),
    ("nolazytime", false, libc::MS_LAZYTIME, 0),
    ("remount", true, libc::MS_REMOUNT, 0),
];

/// Words about access times: one value of a field and not flags. The last one counts.
const ATIME: [(&str, u64, u64); 6] = [
    ("relatime", libc::MS_RELATIME, libc::MOUNT_ATTR_RELATIME),
    ("norelatime", 0, libc::MOUNT_ATTR_RELATIME),
    ("noatime", libc::MS_NOATIME, libc::MOUNT_ATTR_NOATIME),
    ("atime", 0, libc::MOUNT_ATTR_RELATIME),
    ("strictatime", libc::MS_STRICTATIME, libc::MOUNT_ATTR_STRICTATIME),
    ("nostrictatime", 0, libc::MOUNT_ATTR_RELATIME),
];

impl MountPlan {
    /// Plans one entry.
    pub(crate) fn new(mount: &Mount, bundle: &Path) -> Result<Self> {
        let field = format!("mounts[{}]", mount.destination().display());
        // Older documents have relative destinations; they mean the same.
        let destination = Path::new("/").join(mount.destination());
        let kind = mount.typ().clone().unwrap_or_default();
        let mut plan = Self {
            destination,
            source: mount.source().clone().unwrap_or_else(|| PathBuf::from(&kind)),
            kind: match kind.as_str() {
                "bind" => MountKind::Bind { recursive: false },
                "cgroup" | "cgroup2" => MountKind::Cgroup,
                _ => MountKind::New(kind.clone()),
            },
            flags: 0,
            data: String::new(),
            attributes: Attributes::default(),
            recursive: Attributes::default(),
            propagation: Vec::new(),
            copy_up: false,
            mapping: None,
        };
        let mut data = Vec::new();
        for option in mount.options().iter().flatten() {
            if !plan.option(option) {
                data.push(option.as_str());
            }
        }
        plan.data = data.join(",");
        let ids = (
            mount.uid_mappings().clone().unwrap_or_default(),
            mount.gid_mappings().clone().unwrap_or_default(),
        );
        if !ids.0.is_empty() || !ids.1.is_empty() {
            let recursive = plan.mapping.as_ref().is_some_and(|mapping| mapping.recursive);
            plan.mapping = Some(Mapping { recursive, ids: Some(ids) });
        }
        match &plan.kind {
            MountKind::Bind { .. } => {
                if plan.source.as_os_str().is_empty() {
                    return Err(Error::refused(field, "a bind mount needs a source"));
                }
                plan.source = bundle.join(&plan.source);
            }
            MountKind::New(kind) if kind.is_empty() => return Err(Error::refused(field, "a type is needed")),
            _ if plan.mapping.is_some() => {
                return Err(Error::refused(field, "only bind mounts can be idmapped"));
            }
            _ => {}
        }
        if plan.copy_up && plan.kind != MountKind::New("tmpfs".to_owned()) {
            return Err(Error::refused(field, "tmpcopyup is for tmpfs"));
        }
        Ok(plan)
    }

    /// Some callers give the destination as the host sees it, and runc takes it.
    pub(crate) fn inside(mut self, rootfs: &Path) -> Self {
        if rootfs != Path::new("/")
            && let Ok(rest) = self.destination.strip_prefix(rootfs)
        {
            self.destination = Path::new("/").join(rest);
        }
        self
    }

    /// Whether the option is the kernel's and not the file system's.
    fn option(&mut self, option: &str) -> bool {
        match option {
            "defaults" => return true,
            "bind" => {
                self.kind =
                    MountKind::Bind { recursive: matches!(self.kind, MountKind::Bind { recursive: true }) }
            }
            "rbind" => self.kind = MountKind::Bind { recursive: true },
            "tmpcopyup" => self.copy_up = true,
            "idmap" => self.mapping = Some(Mapping { recursive: false, ids: None }),
            "ridmap" => self.mapping = Some(Mapping { recursive: true, ids: None }),
            _ => {
                if let Some(flags) = propagation(option) {
                    self.propagation.push(flags);
                } else if let Some((_, set, flag, attribute)) =
                    FLAGS.iter().find(|(name, ..)| *name == option)
                {
                    if *set {
                        self.flags |= flag
                    } else {
                        self.flags &= !flag
                    }
                    change(&mut self.attributes, *set, *attribute);
                } else if let Some((_, flag, attribute)) = ATIME.iter().find(|(name, ..)| *name == option) {
                    self.flags =
                        self.flags & !(libc::MS_RELATIME | libc::MS_NOATIME | libc::MS_STRICTATIME) | flag;
                    set_atime(&mut self.attributes, *attribute);
                } else if let Some(name) = option.strip_prefix('r')
                    && let Some((_, set, _, attribute)) =
                        FLAGS.iter().find(|(have, _, _, attr)| *have == name && *attr != 0)
                {
                    change(&mut self.recursive, *set, *attribute);
                } else if let Some(name) = option.strip_prefix('r')
                    && let Some((_, _, attribute)) = ATIME.iter().find(|(have, ..)| *have == name)
                {
                    set_atime(&mut self.recursive, *attribute);
                } else {
                    return false;
                }
            }
        }
        true
    }
}

/// The later word about the same attribute counts.
fn change(attributes: &mut Attributes, set: bool, attribute: u64) {
    if set {
        attributes.set |= attribute;
        attributes.clear &= !attribute;
    } else {
        attributes.clear |= attribute;
        attributes.set &= !attribute;
    }
}

/// The kernel wants the whole field cleared where any value of it is set.
fn set_atime(attributes: &mut Attributes, value: u64) {
    attributes.set = attributes.set & !libc::MOUNT_ATTR__ATIME | value;
    attributes.clear |= libc::MOUNT_ATTR__ATIME;
}

/// Words about propagation, as mount(2) flags.
pub(super) fn propagation(word: &str) -> Option<u64> {
    Some(match word {
        "private" => libc::MS_PRIVATE,
        "rprivate" => libc::MS_PRIVATE | libc::MS_REC,
        "slave" => libc::MS_SLAVE,
        "rslave" => libc::MS_SLAVE | libc::MS_REC,
        "shared" => libc::MS_SHARED,
        "rshared" => libc::MS_SHARED | libc::MS_REC,
        "unbindable" => libc::MS_UNBINDABLE,
        "runbindable" => libc::MS_UNBINDABLE | libc::MS_REC,
        _ => return None,
    })
}

/// Names of every option that is understood, for `features`.
pub(crate) fn option_names() -> Vec<String> {
    let plain = FLAGS
        .iter()
        .map(|(name, ..)| (*name).to_owned())
        .chain(ATIME.iter().map(|(name, ..)| (*name).to_owned()));
    let recursive = FLAGS
        .iter()
        .filter(|(.., attribute)| *attribute != 0)
        .map(|(name, ..)| format!("r{name}"))
        .chain(ATIME.iter().map(|(name, ..)| format!("r{name}")));
    let others = [
        "bind",
        "rbind",
        "defaults",
        "tmpcopyup",
        "idmap",
        "ridmap",
        "private",
        "rprivate",
        "slave",
        "rslave",
    ];
    let more = ["shared", "rshared", "unbindable", "runbindable"];
    let mut names: Vec<_> =
        plain.chain(recursive).chain(others.iter().chain(&more).map(|name| (*name).to_owned())).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(kind: &str, options: &[&str]) -> Result<MountPlan> {
        let mount = serde_json::json!({"destination": "/d", "type": kind, "source": "s", "options": options});
        MountPlan::new(&serde_json::from_value(mount).unwrap(), Path::new("/b"))
    }

    #[test]
    fn options_of_the_file_system_stay_in_order() {
        let plan = plan("tmpfs", &["nosuid", "size=1m", "noexec", "mode=755"]).unwrap();
        assert_eq!(plan.data, "size=1m,mode=755");
        assert_eq!(plan.flags, libc::MS_NOSUID | libc::MS_NOEXEC);
    }

    #[test]
    fn a_bind_is_recursive_with_either_word_and_relative_to_the_bundle() {
        assert_eq!(plan("", &["rbind"]).unwrap().kind, MountKind::Bind { recursive: true });
        assert_eq!(plan("bind", &["rbind", "bind"]).unwrap().kind, MountKind::Bind { recursive: true });
        assert_eq!(plan("bind", &[]).unwrap().source, Path::new("/b/s"));
    }

    #[test]
    fn the_later_word_counts() {
        let plan = plan("bind", &["ro", "rw", "rro"]).unwrap();
        assert_eq!(plan.attributes, Attributes { clear: libc::MOUNT_ATTR_RDONLY, ..Attributes::default() });
        assert_eq!(plan.recursive, Attributes { set: libc::MOUNT_ATTR_RDONLY, ..Attributes::default() });
        assert!(plan.propagation.is_empty());
    }

    #[test]
    fn propagation_is_no_recursive_attribute() {
        let plan = plan("bind", &["rslave", "rprivate"]).unwrap();
        assert_eq!(plan.propagation, [libc::MS_SLAVE | libc::MS_REC, libc::MS_PRIVATE | libc::MS_REC]);
        assert_eq!(plan.recursive, Attributes::default());
    }

    #[test]
    fn access_times_are_one_field() {
        let plan = plan("bind", &["noatime", "rstrictatime"]).unwrap();
        assert_eq!(plan.attributes.set, libc::MOUNT_ATTR_NOATIME);
        assert_eq!(plan.attributes.clear, libc::MOUNT_ATTR__ATIME);
        assert_eq!(plan.recursive.set, libc::MOUNT_ATTR_STRICTATIME);
    }
}
