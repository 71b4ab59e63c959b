//! What becomes of a document, as far as it can be seen without a container.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxResources, Spec};
use sys::cgroup::{Cgroup, Folder, Version};

use crate::plan::Plan;

/// The plan but for its limits, and the files of both versions' cgroups that the limits end up in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    plan: String,
    pub(super) files: BTreeMap<String, String>,
}

/// Plans a document, and applies its limits to folders that look like cgroups.
pub(super) fn outcome(spec: &Spec) -> Result<Outcome, String> {
    let mut plan = Plan::new("c", Path::new("/bundle"), spec).map_err(|error| error.to_string())?;
    let resources = std::mem::take(&mut plan.resources);
    let mut files = BTreeMap::new();
    for version in [Version::V1, Version::V2] {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        files.extend(limits(version, folder.path(), &resources)?);
    }
    let filter = plan.seccomp.as_ref().map(|filter| {
        let code = |one: &sys::process::BpfInstruction| (one.code, one.jt, one.jf, one.k);
        filter.program.iter().map(code).collect::<Vec<_>>()
    });
    let mut text = String::new();
    let _ = write!(text, "{plan:?} {filter:?}");
    Ok(Outcome { plan: text, files })
}

/// Every file that a limit may be written to.
const V1: &str = "cpu.shares cpu.cfs_period_us cpu.cfs_quota_us cpu.cfs_burst_us cpu.rt_period_us cpu.rt_runtime_us cpu.idle \
    cpuset.cpus cpuset.mems memory.limit_in_bytes memory.memsw.limit_in_bytes memory.soft_limit_in_bytes memory.oom_control \
    memory.swappiness memory.usage_in_bytes pids.max blkio.weight blkio.leaf_weight blkio.weight_device \
    blkio.leaf_weight_device blkio.throttle.read_bps_device blkio.throttle.write_bps_device \
    blkio.throttle.read_iops_device blkio.throttle.write_iops_device hugetlb.2MB.limit_in_bytes \
    hugetlb.1GB.limit_in_bytes net_cls.classid net_prio.ifpriomap rdma.max";
const V2: &str = "cpu.weight cpu.max cpu.max.burst cpu.idle cpuset.cpus cpuset.mems memory.max memory.swap.max memory.low \
    memory.current pids.max io.weight io.bfq.weight io.max hugetlb.2MB.max hugetlb.1GB.max rdma.max memory.high";
const CONTROLLERS: &str = "cpu,cpuset,memory,pids,blkio,hugetlb,net_cls,net_prio,rdma";
/// What a check against use finds in use.
const USED: &str = "1000000";

fn limits(
    version: Version,
    path: &Path,
    resources: &LinuxResources,
) -> Result<BTreeMap<String, String>, String> {
    let names = if version == Version::V1 { V1 } else { V2 };
    for name in names.split_whitespace() {
        let used = matches!(name, "memory.usage_in_bytes" | "memory.current");
        std::fs::write(path.join(name), if used { USED } else { "" }).map_err(|error| error.to_string())?;
    }
    let controllers = if version == Version::V1 { CONTROLLERS } else { "" };
    let folder = Folder { controllers: controllers.to_owned(), mount: path.into(), path: path.into() };
    let cgroup = Cgroup { version, folders: vec![folder] };
    let mut files = BTreeMap::new();
    // The whole document has something in it that each version lacks.
    if let Some(field) = cgroup.lacks(resources) {
        files.insert(format!("{version:?} refuses"), field.to_owned());
    }
    if let Err(error) = cgroup.apply(resources) {
        files.insert(format!("{version:?} fails"), error.op.to_owned());
    }
    for name in names.split_whitespace() {
        let text = std::fs::read_to_string(path.join(name)).map_err(|error| error.to_string())?;
        files.insert(format!("{} {name}", if version == Version::V1 { "v1" } else { "v2" }), text);
    }
    Ok(files)
}

/// The text of a test function of ours.
pub(super) fn body_of(name: &str) -> Option<String> {
    let ours = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let wanted = format!("fn {name}()");
    search(&ours.join("../integration/tests/runtime"), &wanted)
        .or_else(|| search(&ours.join("src/seccomp"), &wanted))
}

fn search(folder: &Path, wanted: &str) -> Option<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).find_map(|path| {
        let text = std::fs::read_to_string(&path).ok()?;
        let start = text.find(wanted)?;
        let end = text[start..].find("\n}\n").map_or(text.len(), |end| start + end);
        Some(text[start..end].to_owned())
    })
}
