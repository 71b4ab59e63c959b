//! The files of version 2.

use std::path::Path;
use std::time::{Duration, Instant};

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Folder;
use crate::{During, Error, Result, fs};

/// Makes the folder and those above it, handing each controller down as far as possible: a controller that
/// cannot be had is missed when a limit wants it.
pub(super) fn make(folder: &Folder) -> Result<()> {
    let Ok(relative) = folder.path.strip_prefix(&folder.mount) else {
        return Err(Error::new("mkdir", folder.path.display(), Errno::INVAL));
    };
    let mut path = folder.mount.clone();
    for name in relative {
        hand_down(&path)?;
        path.push(name);
        match rustix::fs::mkdir(&path, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::new("mkdir", path.display(), errno)),
        }
    }
    Ok(())
}

fn hand_down(path: &Path) -> Result<()> {
    let available = fs::read(&path.join("cgroup.controllers"))?;
    if available.trim().is_empty() {
        return Ok(());
    }
    let control = path.join("cgroup.subtree_control");
    let enabled = fs::read(&control)?;
    let missing: Vec<_> = available
        .split_whitespace()
        .filter(|name| !enabled.split_whitespace().any(|have| have == *name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let all: Vec<_> = missing.iter().map(|name| format!("+{name}")).collect();
    if fs::write(&control, &all.join(" ")).is_err() {
        // One that cannot be enabled refuses the whole line.
        for one in all {
            let _ = fs::write(&control, &one);
        }
    }
    Ok(())
}

pub(super) fn apply(folder: &Folder, resources: &LinuxResources) -> Result<()> {
    let path = folder.path.as_path();
    if let Some(cpu) = resources.cpu() {
        apply_cpu(path, cpu)?;
    }
    if let Some(memory) = resources.memory() {
        apply_memory(path, memory)?;
    }
    if let Some(limits) = resources.pids() {
        fs::write(&path.join("pids.max"), &pids(limits.limit()))?;
    }
    if let Some(block) = resources.block_io() {
        apply_block(path, block)?;
    }
    for page in resources.hugepage_limits().iter().flatten() {
        let size = page.page_size();
        let reserved = path.join(format!("hugetlb.{size}.rsvd.max"));
        if fs::exists(&reserved) {
            fs::write(&reserved, &page.limit().to_string())?;
        }
        fs::write(&path.join(format!("hugetlb.{size}.max")), &page.limit().to_string())?;
    }
    apply_rdma(path, resources)?;
    for (file, value) in resources.unified().iter().flatten() {
        if file.contains('/') || file.is_empty() {
            return Err(Error::new("unified resource", file, Errno::INVAL));
        }
        for line in value.lines() {
            fs::write(&path.join(file), line)?;
        }
    }
    Ok(())
}

/// Both versions have the same file.
pub(super) fn apply_rdma(path: &Path, resources: &LinuxResources) -> Result<()> {
    for (device, limits) in resources.rdma().iter().flatten() {
        let limit = |limit: Option<u32>| limit.map_or("max".to_owned(), |limit| limit.to_string());
        let line = format!(
            "{device} hca_handle={} hca_object={}",
            limit(limits.hca_handles()),
            limit(limits.hca_objects())
        );
        fs::write(&path.join("rdma.max"), &line)?;
    }
    Ok(())
}

/// -1 is unlimited; 0 cannot be expressed, since the container's own process counts.
pub(super) fn pids(limit: i64) -> String {
    match limit {
        ..0 => "max".to_owned(),
        0 => "1".to_owned(),
        limit => limit.to_string(),
    }
}

/// Version 1's shares (2 to 262144) as version 2's weight (1 to 10000), so that the defaults (1024 and 100)
/// meet: the quadratic through both ends and that point, in the logarithm, which all runtimes agreed on.
pub(super) fn weight(shares: u64) -> u64 {
    if shares == 0 {
        return 0;
    }
    let log = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    // Bounded by the clamp above to 1..=10000.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let weight = 10_f64.powf(exponent).ceil() as u64;
    weight.clamp(1, 10_000)
}

fn apply_cpu(path: &Path, cpu: &LinuxCpu) -> Result<()> {
    if cpu.realtime_period().is_some_and(|value| value != 0)
        || cpu.realtime_runtime().is_some_and(|value| value != 0)
    {
        return Err(Error::new("set realtime limits of", path.display(), Errno::OPNOTSUPP));
    }
    if let Some(idle) = cpu.idle() {
        fs::write(&path.join("cpu.idle"), &idle.to_string())?;
    }
    // An idle cgroup has no weight of its own.
    if let Some(shares) = cpu.shares().filter(|&shares| shares != 0 && cpu.idle() != Some(1)) {
        fs::write(&path.join("cpu.weight"), &weight(shares).to_string())?;
    }
    let quota = cpu.quota().filter(|&quota| quota != 0);
    let period = cpu.period().filter(|&period| period != 0);
    let max = match (quota, period) {
        (None, None) => None,
        (Some(quota), period) => {
            let quota = if quota > 0 { quota.to_string() } else { "max".to_owned() };
            Some(format!("{quota} {}", period.unwrap_or(100_000)))
        }
        (None, Some(period)) => {
            let now = fs::read(&path.join("cpu.max"))?;
            Some(format!("{} {period}", now.split_whitespace().next().unwrap_or("max")))
        }
    };
    let burst = |value: u64| fs::write(&path.join("cpu.max.burst"), &value.to_string());
    let early = cpu.burst().map(burst);
    if let Some(max) = max {
        fs::write(&path.join("cpu.max"), &max)?;
    }
    if let (Some(value), Some(Err(_))) = (cpu.burst(), early) {
        // A burst above the old quota is valid under the new one.
        burst(value)?;
    }
    if let Some(cpus) = cpu.cpus().as_deref().filter(|text| !text.is_empty()) {
        fs::write(&path.join("cpuset.cpus"), cpus)?;
    }
    if let Some(mems) = cpu.mems().as_deref().filter(|text| !text.is_empty()) {
        fs::write(&path.join("cpuset.mems"), mems)?;
    }
    Ok(())
}

/// The specification counts swap as version 1 does, memory included; version 2 counts it alone.
fn swap(limit: Option<i64>, sum: Option<i64>) -> Result<Option<String>, Errno> {
    match (limit, sum) {
        (Some(-1), None | Some(0)) => Ok(Some("max".to_owned())),
        (_, None | Some(0)) => Ok(None),
        (_, Some(..0)) => Ok(Some("max".to_owned())),
        (None | Some(..=0), Some(_)) => Err(Errno::INVAL),
        (Some(limit), Some(sum)) if sum < limit => Err(Errno::INVAL),
        (Some(limit), Some(sum)) => Ok(Some((sum - limit).to_string())),
    }
}

fn apply_memory(path: &Path, memory: &LinuxMemory) -> Result<()> {
    let limit = memory.limit().filter(|&limit| limit != 0);
    if memory.check_before_update() == Some(true)
        && let Some(limit) = limit.and_then(|limit| u64::try_from(limit).ok())
    {
        let usage: u64 = fs::read(&path.join("memory.current"))?.trim().parse().unwrap_or(0);
        if limit < usage {
            return Err(Error::new(
                "rejecting memory limit",
                format!("{limit} (usage {usage})"),
                Errno::BUSY,
            ));
        }
    }
    if let Some(swap) = swap(limit, memory.swap()).during("set swap limit of", path.display())? {
        match fs::write(&path.join("memory.swap.max"), &swap) {
            // A kernel without swap accounting: nothing to limit when none is wanted either.
            Err(error) if error.errno == Errno::NOENT && (swap == "max" || swap == "0") => {}
            result => result?,
        }
    }
    if let Some(limit) = limit {
        let value = if limit < 0 { "max".to_owned() } else { limit.to_string() };
        fs::write(&path.join("memory.max"), &value)?;
    }
    if let Some(reservation) = memory.reservation().filter(|&value| value != 0) {
        let value = if reservation < 0 { "max".to_owned() } else { reservation.to_string() };
        fs::write(&path.join("memory.low"), &value)?;
    }
    Ok(())
}

fn apply_block(path: &Path, block: &LinuxBlockIo) -> Result<()> {
    if let Some(weight) = block.weight().filter(|&weight| weight != 0) {
        let bfq = path.join("io.bfq.weight");
        if fs::exists(&bfq) {
            fs::write(&bfq, &weight.to_string())?;
        } else {
            // From 10..=1000 to 1..=10000.
            let weight = 1 + (u64::from(weight).saturating_sub(10)) * 9999 / 990;
            fs::write(&path.join("io.weight"), &format!("default {weight}"))?;
        }
    }
    for device in block.weight_device().iter().flatten() {
        if let Some(weight) = device.weight() {
            let line = format!("{}:{} {weight}", device.major(), device.minor());
            fs::write(&path.join("io.bfq.weight"), &line)?;
        }
    }
    let throttles = [
        ("rbps", block.throttle_read_bps_device()),
        ("wbps", block.throttle_write_bps_device()),
        ("riops", block.throttle_read_iops_device()),
        ("wiops", block.throttle_write_iops_device()),
    ];
    for (key, devices) in throttles {
        for device in devices.iter().flatten() {
            let line = format!("{}:{} {key}={}", device.major(), device.minor(), device.rate());
            fs::write(&path.join("io.max"), &line)?;
        }
    }
    Ok(())
}

pub(super) fn set_frozen(folder: &Folder, frozen: bool) -> Result<()> {
    let path = folder.path.join("cgroup.events");
    let events = rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .during("open", path.display())?;
    fs::write(&folder.path.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
    let wanted = if frozen { "frozen 1" } else { "frozen 0" };
    let deadline = Instant::now() + Duration::from_secs(2);
    // The kernel signals a change of the file as an exceptional condition (cgroup-v2.rst, "cgroup.events").
    while !fs::read(&path)?.lines().any(|line| line == wanted) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            if frozen {
                fs::write(&folder.path.join("cgroup.freeze"), "0")?;
            }
            return Err(Error::new("freeze", folder.path.display(), Errno::TIMEDOUT));
        }
        let wait = left.min(Duration::from_millis(100));
        let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
        let _ = rustix::event::poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&timeout));
    }
    Ok(())
}

pub(super) fn is_frozen(folder: &Folder) -> Result<bool> {
    match fs::read(&folder.path.join("cgroup.freeze")) {
        Ok(state) => Ok(state.trim() == "1"),
        Err(error) if super::gone(error.errno) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_meet_the_weight_at_both_ends_and_at_the_default() {
        assert_eq!([weight(2), weight(1024), weight(262_144)], [1, 100, 10_000]);
    }

    #[test]
    fn swap_is_what_exceeds_memory() {
        assert_eq!(swap(Some(100), Some(150)), Ok(Some("50".into())));
        assert_eq!(swap(Some(100), Some(100)), Ok(Some("0".into())));
        assert_eq!(swap(Some(100), Some(-1)), Ok(Some("max".into())));
        assert_eq!(swap(Some(-1), None), Ok(Some("max".into())));
        assert_eq!(swap(None, Some(5)), Err(Errno::INVAL));
        assert_eq!(swap(Some(100), Some(50)), Err(Errno::INVAL));
        assert_eq!(swap(Some(100), None), Ok(None));
    }

    #[test]
    fn a_limit_of_no_processes_is_the_smallest_that_exists() {
        assert_eq!([pids(-1), pids(0), pids(7)], ["max", "1", "7"]);
    }
}
