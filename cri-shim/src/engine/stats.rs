//! Usage of containers, read when it is asked for.

use std::path::PathBuf;

use api_cri::v1::{ContainerStats, FilesystemIdentifier, FilesystemUsage, UInt64Value};

use super::{Engine, now};
use crate::core::container::Container;
use crate::core::report;
use crate::core::stats::{self, CgroupFiles};

impl Engine {
    /// The usage of a container; without CPU and memory when it has no cgroup any more.
    pub(crate) fn container_stats(&self, container: &Container) -> ContainerStats {
        let files = self.cgroup_files(&container.cgroup);
        let at = now();
        ContainerStats {
            attributes: Some(report::attributes(container)),
            cpu: stats::cpu(&files, at),
            memory: stats::memory(&files, at),
            writable_layer: self.writable_layer(&container.id, at),
            swap: stats::swap(&files, at),
            io: None,
        }
    }

    fn writable_layer(&self, container: &str, at: i64) -> Option<FilesystemUsage> {
        let (bytes, inodes, mountpoint) = self.rootfs.usage(container)?;
        Some(FilesystemUsage {
            timestamp: at,
            fs_id: Some(FilesystemIdentifier { mountpoint }),
            used_bytes: Some(UInt64Value { value: bytes }),
            inodes_used: Some(UInt64Value { value: inodes }),
        })
    }

    fn cgroup_files(&self, cgroup: &str) -> CgroupFiles {
        let folders = self.performer.cgroup(cgroup).folders;
        let folder = |controller: &str| {
            folders
                .iter()
                .find(|folder| {
                    folder.controllers.is_empty()
                        || folder.controllers.split(',').any(|name| name == controller)
                })
                .map(|folder| folder.path.clone())
        };
        let (memory, cpuacct) = (folder("memory"), folder("cpuacct"));
        CgroupFiles {
            cpu_stat: read(folder("cpu"), &["cpu.stat"]),
            cpuacct_usage: read(cpuacct, &["cpuacct.usage"]),
            memory_usage: read(memory.clone(), &["memory.current", "memory.usage_in_bytes"]),
            memory_limit: read(memory.clone(), &["memory.max", "memory.limit_in_bytes"]),
            memory_stat: read(memory.clone(), &["memory.stat"]),
            swap_usage: read(memory, &["memory.swap.current", "memory.memsw.usage_in_bytes"]),
        }
    }
}

/// The first of the files that is there.
fn read(folder: Option<PathBuf>, names: &[&str]) -> String {
    let Some(folder) = folder else { return String::new() };
    names.iter().find_map(|name| std::fs::read_to_string(folder.join(name)).ok()).unwrap_or_default()
}
