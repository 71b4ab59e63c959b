//! Users, groups, capabilities, resource limits.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Gid, Pid, Resource, Rlimit, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::{During, Result};

/// The five sets of capabilities(7), as bits by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The limit of what execve(2) can ever give.
    pub bounding: u64,
    /// What is checked.
    pub effective: u64,
    /// What may become effective.
    pub permitted: u64,
    /// What survives execve(2) of a file that has it too.
    pub inheritable: u64,
    /// What survives execve(2) of an ordinary file.
    pub ambient: u64,
}

/// The highest capability number that any supported kernel can know.
const LAST: u32 = 63;

/// Keeps the permitted capabilities across the change to a user other than root.
pub fn keep_capabilities() -> Result<()> {
    rustix::thread::set_keep_capabilities(true).during("prctl", "PR_SET_KEEPCAPS")
}

/// Becomes a user, with exactly these groups.
pub fn become_user(uid: u32, gid: u32, groups: Option<&[u32]>) -> Result<()> {
    if let Some(groups) = groups {
        let groups: Vec<Gid> = groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
        rustix::thread::set_thread_groups(&groups).during("setgroups", format_args!("{groups:?}"))?;
    }
    let gid = Gid::from_raw(gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid).during("setgid", gid.as_raw())?;
    let uid = Uid::from_raw(uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid).during("setuid", uid.as_raw())
}

/// Drops from the bounding set what is not wanted. Needs `CAP_SETPCAP`, so it comes before [`set_capabilities`].
pub fn limit_bounding(bounding: u64) -> Result<()> {
    for number in 0..=LAST {
        if bounding & (1 << number) != 0 {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(
            1 << number,
        )) {
            Ok(()) => {}
            // The first number that this kernel does not know.
            Err(Errno::INVAL) => break,
            result => result.during("drop capability", number)?,
        }
    }
    Ok(())
}

/// Sets the effective, permitted, inheritable and ambient sets to exactly these. Returns the numbers of the
/// ambient capabilities that the kernel did not give.
pub fn set_capabilities(capabilities: &Capabilities) -> Result<Vec<u32>> {
    let sets = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(capabilities.effective),
        permitted: CapabilitySet::from_bits_retain(capabilities.permitted),
        inheritable: CapabilitySet::from_bits_retain(capabilities.inheritable),
    };
    rustix::thread::set_capabilities(None, sets).during("capset", format_args!("{capabilities:x?}"))?;
    rustix::thread::clear_ambient_capability_set().during("clear", "ambient capabilities")?;
    let mut refused = Vec::new();
    for number in (0..=LAST).filter(|number| capabilities.ambient & (1 << number) != 0) {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if rustix::thread::configure_capability_in_ambient_set(capability, true).is_err() {
            refused.push(number);
        }
    }
    Ok(refused)
}

/// Keeps other processes from tracing this one and from reading its descriptors, until execve(2).
pub fn set_not_dumpable() -> Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).during("prctl", "PR_SET_DUMPABLE")
}

/// Sets a resource limit of a process (0 is this one); `u64::MAX` is infinity.
pub fn set_limit(pid: i32, resource: Resource, soft: u64, hard: u64) -> Result<(), Errno> {
    let value = |limit| if limit == u64::MAX { None } else { Some(limit) };
    let limits = Rlimit { current: value(soft), maximum: value(hard) };
    rustix::process::prlimit(Pid::from_raw(pid), resource, limits).map(|_| ())
}
