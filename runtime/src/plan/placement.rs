//! Where and when a process runs: CPUs, memory nodes, scheduling.

use oci_spec::runtime::{
    ExecCPUAffinity, LinuxMemoryPolicy, LinuxSchedulerFlag, LinuxSchedulerPolicy, MemoryPolicyFlagType,
    MemoryPolicyModeType, Scheduler as Given,
};
use sys::process::{MemoryPolicy, Scheduler};

use crate::error::{Error, Result};

/// The CPUs of a process that joins a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Affinity {
    /// Before it enters the container's cgroup.
    pub(crate) initial: Option<Vec<u32>>,
    /// From then on.
    pub(crate) last: Option<Vec<u32>>,
}

/// More nodes or CPUs than this no kernel has.
const MOST: u32 = 8192;

/// Plans `process.execCPUAffinity`.
pub(super) fn affinity(affinity: &ExecCPUAffinity) -> Result<Affinity> {
    let cpus = |name: &str, text: &Option<String>| {
        let text = text.as_deref().filter(|text| !text.is_empty());
        let parse = |text| {
            numbers(text).ok_or_else(|| {
                Error::refused(
                    format!("process.execCPUAffinity.{name}"),
                    format!("{text:?} is not a list of CPUs"),
                )
            })
        };
        text.map(parse).transpose()
    };
    Ok(Affinity {
        initial: cpus("initial", affinity.initial())?,
        last: cpus("final", affinity.cpu_affinity_final())?,
    })
}

/// Plans `linux.memoryPolicy` (numbers: linux/mempolicy.h).
pub(super) fn memory_policy(policy: &LinuxMemoryPolicy) -> Result<MemoryPolicy> {
    let mode = match policy.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flags = policy.flags().iter().flatten().fold(0, |all, flag| {
        all | match flag {
            MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
            MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
            MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
        }
    });
    let text = policy.nodes().as_deref().unwrap_or_default();
    let nodes = if text.is_empty() { Some(Vec::new()) } else { numbers(text) };
    let nodes = nodes.ok_or_else(|| {
        Error::refused("linux.memoryPolicy.nodes", format!("invalid memory policy node list {text:?}"))
    })?;
    if matches!(mode, 0 | 4) && !nodes.is_empty() {
        let text = format!("this mode requires 0 nodes but got {}", nodes.len());
        return Err(Error::refused("linux.memoryPolicy.nodes", text));
    }
    Ok(MemoryPolicy { mode: mode | flags, nodes })
}

/// Plans `process.scheduler` (numbers: linux/sched.h).
pub(super) fn scheduler(given: &Given) -> Result<Scheduler> {
    let policy = match given.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
        LinuxSchedulerPolicy::SchedIso => {
            return Err(Error::refused("process.scheduler.policy", "Linux has no SCHED_ISO"));
        }
    };
    let mut flags = 0;
    for flag in given.flags().iter().flatten() {
        flags |= match flag {
            LinuxSchedulerFlag::SchedResetOnFork => 0x01,
            LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
            LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
            LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
            LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
            LinuxSchedulerFlag::SchedFlagUtilClampMin | LinuxSchedulerFlag::SchedFlagUtilClampMax => {
                let reason = "the specification has no field for the value to clamp to";
                return Err(Error::refused("process.scheduler.flags", reason));
            }
        };
    }
    let nice = given.nice().unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        return Err(Error::refused("process.scheduler.nice", "must lie between -20 and 19"));
    }
    let priority = u32::try_from(given.priority().unwrap_or(0))
        .map_err(|_| Error::refused("process.scheduler.priority", "must not be negative"))?;
    let deadline = policy == 6;
    let (runtime, deadline_time, period) = (*given.runtime(), *given.deadline(), *given.period());
    if !deadline && [runtime, deadline_time, period].iter().any(|value| value.is_some_and(|value| value != 0))
    {
        return Err(Error::refused(
            "process.scheduler",
            "runtime, deadline and period are of SCHED_DEADLINE",
        ));
    }
    Ok(Scheduler {
        policy,
        flags,
        nice,
        priority,
        runtime: runtime.unwrap_or(0),
        deadline: deadline_time.unwrap_or(0),
        period: period.unwrap_or(0),
    })
}

/// A list such as `0-3,7`.
fn numbers(text: &str) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number < MOST);
        let (from, to) = (number(from)?, number(to)?);
        if from > to {
            return None;
        }
        all.extend(from..=to);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_ranges() {
        assert_eq!(numbers("0-2,7"), Some(vec![0, 1, 2, 7]));
        for text in ["", "x", "2-1", "0-9876543210", "1,", "-1"] {
            assert_eq!(numbers(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = numbers(&text);
        }
    }
}
