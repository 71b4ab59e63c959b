//! When and where a thread runs: CPUs, policies, I/O priority, memory nodes. All of it survives execve(2).

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::last;

/// For sched_setattr(2); the meaning of each field is the kernel's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduler {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// Of the policies that are not real-time.
    pub nice: i32,
    /// Of the real-time policies.
    pub priority: u32,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub runtime: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub deadline: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub period: u64,
}

/// For set_mempolicy(2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPolicy {
    /// `MPOL_*` with `MPOL_F_*`.
    pub mode: u32,
    /// The nodes that it is about.
    pub nodes: Vec<u32>,
}

/// The first version of the kernel's `struct sched_attr`, which every kernel takes.
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets this thread's scheduling policy and what belongs to it.
pub fn set_scheduler(scheduler: &Scheduler) -> Result<(), Errno> {
    let &Scheduler { policy, flags, nice, priority, runtime, deadline, period } = scheduler;
    let attributes = Attributes { size: 48, policy, flags, nice, priority, runtime, deadline, period };
    // SAFETY: the struct has the size that its first field says, and outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if result == 0 { Ok(()) } else { Err(last()) }
}

/// Sets on which nodes this thread's memory lies.
pub fn set_memory_policy(policy: &MemoryPolicy) -> Result<(), Errno> {
    let words = policy.nodes.iter().max().map_or(0, |&most| most as usize / 64 + 1);
    let mut mask = vec![0_u64; words];
    for &node in &policy.nodes {
        mask[node as usize / 64] |= 1 << (node % 64);
    }
    // The kernel takes one bit less than it is told.
    let bits = if mask.is_empty() { 0 } else { mask.len() * 64 + 1 };
    let pointer = if mask.is_empty() { std::ptr::null() } else { mask.as_ptr() };
    // SAFETY: the kernel reads `bits - 1` bits, which the mask has; without a mask it reads none.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, policy.mode, pointer, bits) };
    if result == 0 { Ok(()) } else { Err(last()) }
}

/// Lets this thread run on these CPUs only.
pub fn set_cpu_affinity(cpus: &[u32]) -> Result<(), Errno> {
    let mut set = rustix::thread::CpuSet::new();
    for &cpu in cpus.iter().filter(|&&cpu| (cpu as usize) < rustix::thread::CpuSet::MAX_CPU) {
        set.set(cpu as usize);
    }
    rustix::thread::sched_setaffinity(None, &set)
}

/// Lets this thread run on every CPU of its cpuset, whatever it inherited. Best effort, as nothing breaks without.
pub fn reset_cpu_affinity() {
    let mut all = rustix::thread::CpuSet::new();
    (0..rustix::thread::CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
    let _ = rustix::thread::sched_setaffinity(None, &all);
}

/// Sets the I/O priority of this thread (ioprio_set(2)); the class is in the bits from 13 on.
pub fn set_io_priority(value: i32) -> Result<(), Errno> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    // SAFETY: ioprio_set takes no pointers.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) };
    if result == 0 { Ok(()) } else { Err(last()) }
}
