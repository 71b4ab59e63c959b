//! Usage of a container from the text of its cgroup's files.

use api_cri::v1::{CpuUsage, MemoryUsage, SwapUsage, UInt64Value};

/// What was read of a cgroup. Missing files are empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct CgroupFiles {
    /// `cpu.stat` of version 2.
    pub cpu_stat: String,
    /// `cpuacct.usage` of version 1.
    pub cpuacct_usage: String,
    /// `memory.current`, or `memory.usage_in_bytes`.
    pub memory_usage: String,
    /// `memory.max`, or `memory.limit_in_bytes`.
    pub memory_limit: String,
    /// `memory.stat`.
    pub memory_stat: String,
    /// `memory.swap.current`, or `memory.memsw.usage_in_bytes`.
    pub swap_usage: String,
}

/// A limit from which on version 1 means "none": the largest multiple of a page that it can say.
const UNLIMITED: u64 = i64::MAX as u64 - 4095;

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).and_then(number)
}

fn value(value: Option<u64>) -> Option<UInt64Value> {
    value.map(|value| UInt64Value { value })
}

/// Time on CPUs, since the container began.
pub(crate) fn cpu(files: &CgroupFiles, at: i64) -> Option<CpuUsage> {
    let nanoseconds = number(&files.cpuacct_usage)
        .or_else(|| Some(field(&files.cpu_stat, "usage_usec")?.saturating_mul(1000)))?;
    Some(CpuUsage {
        timestamp: at,
        usage_core_nano_seconds: value(Some(nanoseconds)),
        usage_nano_cores: None,
        psi: None,
    })
}

/// Memory: the working set is what cannot be reclaimed at once, as the kubelet's eviction counts it.
pub(crate) fn memory(files: &CgroupFiles, at: i64) -> Option<MemoryUsage> {
    let usage = number(&files.memory_usage)?;
    let stat = |v1: &str, v2: &str| field(&files.memory_stat, v1).or_else(|| field(&files.memory_stat, v2));
    let inactive = stat("total_inactive_file", "inactive_file").unwrap_or(0);
    let working_set = usage.saturating_sub(inactive);
    let limit = number(&files.memory_limit).filter(|limit| *limit < UNLIMITED);
    Some(MemoryUsage {
        timestamp: at,
        working_set_bytes: value(Some(working_set)),
        available_bytes: value(limit.map(|limit| limit.saturating_sub(working_set))),
        usage_bytes: value(Some(usage)),
        rss_bytes: value(stat("total_rss", "anon")),
        page_faults: value(stat("total_pgfault", "pgfault")),
        major_page_faults: value(stat("total_pgmajfault", "pgmajfault")),
        psi: None,
    })
}

/// Swap, where the kernel counts it.
pub(crate) fn swap(files: &CgroupFiles, at: i64) -> Option<SwapUsage> {
    let counted = number(&files.swap_usage)?;
    // Version 1 counts memory and swap together.
    let usage = if files.cpu_stat.is_empty() || !files.cpuacct_usage.is_empty() {
        counted.saturating_sub(number(&files.memory_usage)?)
    } else {
        counted
    };
    Some(SwapUsage { timestamp: at, swap_available_bytes: None, swap_usage_bytes: value(Some(usage)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_tell_the_same() {
        let v1 = CgroupFiles {
            cpuacct_usage: "5000\n".into(),
            memory_usage: "100\n".into(),
            memory_limit: "9223372036854771712\n".into(),
            memory_stat: "inactive_file 1\ntotal_inactive_file 30\ntotal_rss 7\n".into(),
            swap_usage: "120\n".into(),
            ..CgroupFiles::default()
        };
        let v2 = CgroupFiles {
            cpu_stat: "usage_usec 5\nuser_usec 1\n".into(),
            memory_usage: "100".into(),
            memory_limit: "max".into(),
            memory_stat: "anon 7\ninactive_file 30\n".into(),
            swap_usage: "20".into(),
            ..CgroupFiles::default()
        };
        for files in [v1, v2] {
            assert_eq!(cpu(&files, 1).unwrap().usage_core_nano_seconds.unwrap().value, 5000);
            let memory = memory(&files, 1).unwrap();
            assert_eq!((memory.working_set_bytes.unwrap().value, memory.rss_bytes.unwrap().value), (70, 7));
            assert_eq!(memory.available_bytes, None);
            assert_eq!(swap(&files, 1).unwrap().swap_usage_bytes.unwrap().value, 20);
        }
    }

    #[test]
    fn a_cgroup_that_is_gone_tells_nothing() {
        assert!(cpu(&CgroupFiles::default(), 1).is_none() && memory(&CgroupFiles::default(), 1).is_none());
    }
}
