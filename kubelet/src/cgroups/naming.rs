//! How cgroups are spelled.

use crate::translate::QosClass;

/// Who makes cgroups, and so how their parents are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupDriver {
    /// Folders: `/kubepods/burstable/podUID`.
    Cgroupfs,
    /// Slices: `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice`.
    Systemd,
}

/// The names from the top of the tree to a class's cgroup. Guaranteed pods lie at the top.
fn tiers(class: QosClass) -> &'static [&'static str] {
    match class {
        QosClass::Guaranteed => &["kubepods"],
        QosClass::Burstable => &["kubepods", "burstable"],
        QosClass::BestEffort => &["kubepods", "besteffort"],
    }
}

/// The cgroup in which the pods of a class lie.
pub fn class_path(root: &str, driver: CgroupDriver, class: QosClass) -> String {
    path(root, driver, tiers(class))
}

/// A pod's cgroup.
pub fn pod_path(root: &str, driver: CgroupDriver, class: QosClass, uid: &str) -> String {
    let name = pod_name(uid, driver);
    let names: Vec<_> = tiers(class).iter().copied().chain([name.as_str()]).collect();
    path(root, driver, &names)
}

/// A pod's cgroup as the runtime wants its containers' parent: the path, or the slice alone.
pub fn pod_parent(root: &str, driver: CgroupDriver, class: QosClass, uid: &str) -> String {
    let path = pod_path(root, driver, class, uid);
    match driver {
        CgroupDriver::Cgroupfs => path,
        CgroupDriver::Systemd => path.rsplit('/').next().unwrap_or_default().to_owned(),
    }
}

/// The UID of the pod whose cgroup has this name, the last part of its path.
pub fn uid_of(name: &str, driver: CgroupDriver) -> Option<String> {
    match driver {
        CgroupDriver::Cgroupfs => name.strip_prefix("pod").map(str::to_owned),
        CgroupDriver::Systemd => {
            let stem = name.strip_suffix(".slice")?;
            stem.rsplit('-').next()?.strip_prefix("pod").map(|uid| uid.replace('_', "-"))
        }
    }
}

fn pod_name(uid: &str, driver: CgroupDriver) -> String {
    match driver {
        CgroupDriver::Cgroupfs => format!("pod{uid}"),
        // A hyphen in a slice's name is a step down.
        CgroupDriver::Systemd => format!("pod{}", uid.replace('-', "_")),
    }
}

fn path(root: &str, driver: CgroupDriver, names: &[&str]) -> String {
    let mut path = root.trim_end_matches('/').to_owned();
    let mut slice = String::new();
    for name in names {
        match driver {
            CgroupDriver::Cgroupfs => path = format!("{path}/{name}"),
            CgroupDriver::Systemd => {
                slice = if slice.is_empty() { (*name).to_owned() } else { format!("{slice}-{name}") };
                path = format!("{path}/{slice}.slice");
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_are_spelled_as_each_driver_does() {
        let burstable = |driver| pod_parent("/", driver, QosClass::Burstable, "a-b");
        assert_eq!(burstable(CgroupDriver::Cgroupfs), "/kubepods/burstable/poda-b");
        assert_eq!(burstable(CgroupDriver::Systemd), "kubepods-burstable-poda_b.slice");
        let path = pod_path("/x", CgroupDriver::Systemd, QosClass::Guaranteed, "u");
        assert_eq!(path, "/x/kubepods.slice/kubepods-podu.slice");
        assert_eq!(class_path("", CgroupDriver::Cgroupfs, QosClass::BestEffort), "/kubepods/besteffort");
    }

    #[test]
    fn a_pods_uid_is_read_back() {
        assert_eq!(uid_of("poda-b", CgroupDriver::Cgroupfs).as_deref(), Some("a-b"));
        assert_eq!(uid_of("kubepods-podu_v.slice", CgroupDriver::Systemd).as_deref(), Some("u-v"));
        assert_eq!(uid_of("burstable", CgroupDriver::Cgroupfs), None);
        assert_eq!(uid_of("kubepods-burstable.slice", CgroupDriver::Systemd), None);
    }
}
