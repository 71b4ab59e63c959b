//! Makes, limits and removes the cgroups of pods and of their classes.
//!
//! ```text
//! ROOT/kubepods/podUID                 guaranteed pods
//!               burstable/podUID       shares: the sum of what its pods ask for
//!               besteffort/podUID      shares: 2
//! ```
//! The containers' cgroups below are the runtime's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use api_k8s::v1::Pod;
use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
};
use sys::cgroup::{Cgroup, Hierarchies};

use super::{CgroupDriver, class_path, pod_path, uid_of};
use crate::translate::{Node, PodCgroup, QosClass, pod_cgroup, pod_requests, pod_uid, qos_class};

const CLASSES: [QosClass; 3] = [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort];
/// In microseconds.
const CPU_PERIOD: u64 = 100_000;

/// The tree of pod cgroups below one root.
#[derive(Debug)]
pub struct Tree {
    hierarchies: Hierarchies,
    root: String,
    driver: CgroupDriver,
    burstable: Mutex<Burstable>,
}

/// What the burstable class gets for its pods.
#[derive(Debug, Default)]
struct Burstable {
    /// What each asks for, in thousandths of a CPU, by UID.
    millis: BTreeMap<String, i64>,
    /// The sum for which the class was last given its share.
    given: Option<i64>,
}

impl Tree {
    /// Finds the machine's cgroups and makes the classes'.
    ///
    /// With the systemd driver slices are systemd's: the runtime makes them through it, and pods and classes have
    /// no limits of their own, which is said once.
    pub fn open(root: &str, driver: CgroupDriver) -> sys::Result<Self> {
        let hierarchies = Hierarchies::discover()?;
        let tree = Self { hierarchies, root: root.to_owned(), driver, burstable: Mutex::default() };
        if driver == CgroupDriver::Systemd {
            tracing::warn!("cgroups of pods have no limits of their own under the systemd driver");
            return Ok(tree);
        }
        for class in CLASSES {
            tree.at(&class_path(root, driver, class)).create()?;
        }
        tree.share(QosClass::BestEffort, 0)?;
        tree.change(|_| {})?;
        Ok(tree)
    }

    /// Makes a pod's cgroup and sets its limits. Comes before its sandbox; can be repeated.
    pub fn create_pod(&self, pod: &Pod, node: &Node) -> sys::Result<()> {
        if self.driver == CgroupDriver::Systemd {
            return Ok(());
        }
        let cgroup = self.at(&pod_path(&self.root, self.driver, qos_class(pod), pod_uid(pod)));
        cgroup.create()?;
        cgroup.apply(&limits(pod_cgroup(pod, node)))
    }

    /// A pod is on the node now: its class gets a share for it. Can be repeated.
    pub fn count(&self, pod: &Pod) -> sys::Result<()> {
        if qos_class(pod) != QosClass::Burstable {
            return Ok(());
        }
        let millis = pod_requests(pod).cpu.millis();
        self.change(|pods| {
            pods.insert(pod_uid(pod).to_owned(), millis);
        })
    }

    /// A pod is no longer on the node.
    pub fn discount(&self, uid: &str) -> sys::Result<()> {
        self.change(|pods| {
            pods.remove(uid);
        })
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, i64>)) -> sys::Result<()> {
        let mut burstable = self.burstable.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut burstable.millis);
        let millis: i64 = burstable.millis.values().sum();
        if burstable.given != Some(millis) {
            self.share(QosClass::Burstable, millis)?;
            burstable.given = Some(millis);
        }
        Ok(())
    }

    fn share(&self, class: QosClass, millis: i64) -> sys::Result<()> {
        if self.driver == CgroupDriver::Systemd {
            return Ok(());
        }
        let cpu_shares = crate::translate::shares(api_objects::Quantity::from_millis(millis));
        let limits = PodCgroup { cpu_shares, cpu_quota: 0, memory: 0, pids: None };
        self.at(&class_path(&self.root, self.driver, class)).apply(&self::limits(limits))
    }

    /// Kills what is left in a pod's cgroup, whatever its class, and removes it. One that is gone is done.
    pub fn remove_pod(&self, uid: &str) -> sys::Result<()> {
        if self.driver == CgroupDriver::Systemd {
            return Ok(());
        }
        let mut first = Ok(());
        for class in CLASSES {
            let cgroup = self.at(&pod_path(&self.root, self.driver, class, uid));
            if cgroup.folders.iter().any(|folder| folder.path.is_dir()) {
                let done = cgroup.signal(nix::libc::SIGKILL).and_then(|()| cgroup.remove());
                first = first.and(done);
            }
        }
        first
    }

    /// The UIDs of all pods that have a cgroup.
    pub fn pods(&self) -> BTreeSet<String> {
        let mut uids = BTreeSet::new();
        for class in CLASSES {
            for folder in self.at(&class_path(&self.root, self.driver, class)).folders {
                let entries = std::fs::read_dir(&folder.path).into_iter().flatten().flatten();
                let names = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
                uids.extend(names.filter_map(|entry| uid_of(entry.file_name().to_str()?, self.driver)));
            }
        }
        uids
    }

    fn at(&self, path: &str) -> Cgroup {
        Cgroup::new(&self.hierarchies, Path::new(path))
    }
}

/// 0 and `None` leave a limit as it is, which for a new cgroup is none.
fn limits(of: PodCgroup) -> LinuxResources {
    let mut cpu = LinuxCpuBuilder::default().shares(u64::try_from(of.cpu_shares).unwrap_or(0));
    if of.cpu_quota > 0 {
        cpu = cpu.period(CPU_PERIOD).quota(of.cpu_quota);
    }
    let mut resources = LinuxResourcesBuilder::default();
    // The builders fail on fields that are required, of which these have none.
    if let Ok(cpu) = cpu.build() {
        resources = resources.cpu(cpu);
    }
    if of.memory > 0
        && let Ok(memory) = LinuxMemoryBuilder::default().limit(of.memory).build()
    {
        resources = resources.memory(memory);
    }
    if let Some(pids) = of.pids
        && let Ok(pids) = LinuxPidsBuilder::default().limit(pids).build()
    {
        resources = resources.pids(pids);
    }
    resources.build().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::translate::tests::{node, pod};

    /// A tree below a root of its own, removed at the end.
    struct World(Tree, String);

    impl World {
        fn new(name: &str) -> Self {
            let root = format!("/orlop-test-{}-{name}", std::process::id());
            Self(Tree::open(&root, CgroupDriver::Cgroupfs).unwrap(), root)
        }

        /// A file of a cgroup in the tree of one controller.
        fn read(&self, controller: &str, path: &str, file: &str) -> String {
            let cgroup = self.0.at(&format!("{}/{path}", self.1));
            let folder = cgroup
                .folders
                .iter()
                .find(|folder| folder.controllers.split(',').any(|name| name == controller));
            std::fs::read_to_string(folder.unwrap().path.join(file)).unwrap().trim().to_owned()
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            self.0.at(&self.1).remove().unwrap();
        }
    }

    #[test]
    fn a_pods_cgroup_is_limited_and_removed() {
        let world = World::new("pod");
        let mut node = node();
        node.pod_pids_limit = Some(77);
        let pod = pod(json!({"containers": [{"name": "c", "image": "i", "resources": {
            "requests": {"cpu": "100m"}, "limits": {"cpu": "250m", "memory": "64Mi"},
        }}]}));
        world.0.create_pod(&pod, &node).unwrap();
        world.0.create_pod(&pod, &node).unwrap();
        world.0.count(&pod).unwrap();
        world.0.count(&pod).unwrap();
        assert_eq!(world.0.pods(), BTreeSet::from(["u".to_owned()]));
        if world.0.hierarchies.version == sys::cgroup::Version::V1 {
            let path = "kubepods/burstable/podu";
            assert_eq!(world.read("memory", path, "memory.limit_in_bytes"), (64 << 20).to_string());
            assert_eq!(world.read("cpu", path, "cpu.cfs_quota_us"), "25000");
            assert_eq!(world.read("cpu", path, "cpu.shares"), "102");
            assert_eq!(world.read("pids", path, "pids.max"), "77");
            assert_eq!(world.read("cpu", "kubepods/burstable", "cpu.shares"), "102");
            assert_eq!(world.read("cpu", "kubepods/besteffort", "cpu.shares"), "2");
        }
        world.0.discount("u").unwrap();
        world.0.remove_pod("u").unwrap();
        world.0.remove_pod("u").unwrap();
        if world.0.hierarchies.version == sys::cgroup::Version::V1 {
            assert_eq!(world.read("cpu", "kubepods/burstable", "cpu.shares"), "2");
        }
        assert!(world.0.pods().is_empty());
    }

    #[test]
    fn a_pod_without_requests_is_best_effort() {
        let world = World::new("best");
        let pod = pod(json!({"containers": [{"name": "c", "image": "i"}]}));
        world.0.create_pod(&pod, &node()).unwrap();
        assert!(world.0.at(&format!("{}/kubepods/besteffort/podu", world.1)).folders[0].path.is_dir());
    }
}
