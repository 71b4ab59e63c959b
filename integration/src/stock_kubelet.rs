//! What a stock kubelet needs of a machine that it does not own, and its configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};
use serde_json::{Value, json};

use crate::runner::{TestResult, fail};

/// The node's address in the test's own network.
pub const ADDRESS: &str = "192.168.177.1";
/// Kernel settings of the whole machine that a kubelet changes, and the values that it wants.
const KERNEL: [(&str, &str); 3] = [
    ("/proc/sys/vm/overcommit_memory", "1\n"),
    ("/proc/sys/kernel/panic", "10\n"),
    ("/proc/sys/kernel/panic_on_oops", "1\n"),
];

/// Hides what a kubelet would change on the machine: its fixed folders, and three settings of the kernel.
pub fn prepare_world() -> TestResult {
    for folder in ["/var/lib/kubelet", "/var/log"] {
        std::fs::create_dir_all(folder)?;
        mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    }
    for (index, (setting, value)) in KERNEL.into_iter().enumerate() {
        let file = PathBuf::from(format!("/run/kernel-setting-{index}"));
        std::fs::write(&file, value)?;
        mount(Some(&file), setting, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    }
    // An address that is the node's, and a default route, without which it has none.
    for arguments in [
        "link add up0 type veth peer name up1",
        &format!("addr add {ADDRESS}/24 dev up0"),
        "link set up0 up",
        "link set up1 up",
        "route add default dev up0",
    ] {
        let output = Command::new("ip").args(arguments.split(' ')).output()?;
        if !output.status.success() {
            return fail(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    Ok(())
}

/// The kubelet wants its root cgroup to be there in every hierarchy, and a v1 cpuset is born empty.
pub fn make_cgroup(name: &str) -> TestResult {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return Ok(std::fs::create_dir_all(root.join(name))?);
    }
    for entry in std::fs::read_dir(root)? {
        let tree = entry?.path();
        if !tree.join("cgroup.procs").exists() {
            continue;
        }
        std::fs::create_dir_all(tree.join(name))?;
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(all) = std::fs::read_to_string(tree.join(file)) {
                std::fs::write(tree.join(name).join(file), all)?;
            }
        }
    }
    Ok(())
}

/// Static pods from `manifests` over the CRI socket `runtime`, without authentication on loopback; its cgroups below
/// `cgroup`.
pub fn configuration(manifests: &Path, runtime: &Path, cgroup: &str, gates: &[&str]) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "staticPodPath": manifests,
        "volumePluginDir": manifests.with_file_name("volume-plugins"),
        "containerRuntimeEndpoint": format!("unix://{}", runtime.display()),
        "address": "127.0.0.1",
        "readOnlyPort": 10255,
        "authentication": { "anonymous": { "enabled": true }, "webhook": { "enabled": false } },
        "authorization": { "mode": "AlwaysAllow" },
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", cgroup),
        "enforceNodeAllocatable": [],
        "evictionHard": { "memory.available": "1Mi" },
        "featureGates": gates.iter().map(|gate| (*gate, true)).collect::<BTreeMap<_, _>>(),
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "localStorageCapacityIsolation": false,
        "makeIPTablesUtilChains": false,
        "syncFrequency": "1s",
        "fileCheckFrequency": "1s",
    })
}
