//! The files of version 1.

use std::path::Path;
use std::time::{Duration, Instant};

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};
use rustix::io::Errno;

use super::Folder;
use super::devices::DeviceRules;
use crate::{During, Error, Result, fs};

/// Makes the folder and those above it. A cpuset is born empty and nothing can enter it: it inherits.
pub(super) fn make(folder: &Folder) -> Result<()> {
    let cpuset = folder.has("cpuset");
    match rustix::fs::mkdir(&folder.path, rustix::fs::Mode::from_raw_mode(0o755)) {
        Ok(()) if !cpuset => return Ok(()),
        Ok(()) | Err(Errno::EXIST | Errno::NOENT) => {}
        Err(errno) => return Err(Error::new("mkdir", folder.path.display(), errno)),
    }
    std::fs::create_dir_all(&folder.path).during("mkdir", folder.path.display())?;
    if cpuset { inherit_cpuset(&folder.path, &folder.mount) } else { Ok(()) }
}

fn inherit_cpuset(path: &Path, mount: &Path) -> Result<()> {
    if path == mount {
        return Ok(());
    }
    let Some(parent) = path.parent() else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if !fs::read(&path.join(file))?.trim().is_empty() {
            continue;
        }
        let mut value = fs::read(&parent.join(file))?;
        if value.trim().is_empty() {
            inherit_cpuset(parent, mount)?;
            value = fs::read(&parent.join(file))?;
        }
        fs::write(&path.join(file), value.trim())?;
    }
    Ok(())
}

pub(super) fn apply(folder: &Folder, resources: &LinuxResources) -> Result<()> {
    let path = folder.path.as_path();
    if let Some(cpu) = resources.cpu() {
        if folder.has("cpu") {
            apply_cpu(path, cpu)?;
        }
        if folder.has("cpuset") {
            write_some(path, "cpuset.cpus", cpu.cpus().as_deref().filter(|text| !text.is_empty()))?;
            write_some(path, "cpuset.mems", cpu.mems().as_deref().filter(|text| !text.is_empty()))?;
        }
    }
    if let Some(memory) = resources.memory()
        && folder.has("memory")
    {
        apply_memory(path, memory)?;
    }
    if let Some(pids) = resources.pids()
        && folder.has("pids")
    {
        fs::write(&path.join("pids.max"), &super::v2::pids(pids.limit()))?;
    }
    if let Some(block) = resources.block_io()
        && folder.has("blkio")
    {
        apply_block(path, block)?;
    }
    if let Some(pages) = resources.hugepage_limits()
        && folder.has("hugetlb")
    {
        for page in pages {
            let size = page.page_size();
            // Reservations fail early where usage would end in SIGBUS; old kernels lack the file.
            write_known(path, &format!("hugetlb.{size}.rsvd.limit_in_bytes"), Some(page.limit()))?;
            fs::write(&path.join(format!("hugetlb.{size}.limit_in_bytes")), &page.limit().to_string())?;
        }
    }
    if let Some(network) = resources.network() {
        if folder.has("net_cls") {
            write_some(path, "net_cls.classid", network.class_id())?;
        }
        if folder.has("net_prio") {
            for priority in network.priorities().iter().flatten() {
                let line = format!("{} {}", priority.name(), priority.priority());
                fs::write(&path.join("net_prio.ifpriomap"), &line)?;
            }
        }
    }
    if folder.has("rdma") {
        super::v2::apply_rdma(path, resources)?;
    }
    Ok(())
}

fn apply_cpu(path: &Path, cpu: &LinuxCpu) -> Result<()> {
    write_some(path, "cpu.shares", cpu.shares().filter(|&shares| shares != 0))?;
    let quota = cpu.quota().filter(|&quota| quota != 0);
    let period = cpu.period().filter(|&period| period != 0);
    // The kernel checks the pair at each write, against the parent's ratio too: an order that fails in one
    // direction works in the other.
    if let Some(period) = period {
        let result = fs::write(&path.join("cpu.cfs_period_us"), &period.to_string());
        match (result, quota) {
            (Err(error), Some(quota)) if error.errno == Errno::INVAL => {
                fs::write(&path.join("cpu.cfs_quota_us"), &quota.to_string())?;
                fs::write(&path.join("cpu.cfs_period_us"), &period.to_string())?;
            }
            (result, _) => result?,
        }
    }
    if let Some(burst) = cpu.burst() {
        let result = fs::write(&path.join("cpu.cfs_burst_us"), &burst.to_string());
        write_some(path, "cpu.cfs_quota_us", quota)?;
        if result.is_err() {
            // A burst above the old quota is valid under the new one.
            fs::write(&path.join("cpu.cfs_burst_us"), &burst.to_string())?;
        }
    } else {
        write_some(path, "cpu.cfs_quota_us", quota)?;
    }
    let period = || write_some(path, "cpu.rt_period_us", cpu.realtime_period().filter(|&value| value != 0));
    // The runtime has to fit into the period at every moment: a shorter period comes after its runtime.
    let early = period();
    write_some(path, "cpu.rt_runtime_us", cpu.realtime_runtime().filter(|&value| value != 0))?;
    if early.is_err() {
        period()?;
    }
    write_some(path, "cpu.idle", cpu.idle())
}

fn apply_memory(path: &Path, memory: &LinuxMemory) -> Result<()> {
    let limit = memory.limit().filter(|&limit| limit != 0);
    // Unlimited memory with an unnamed swap limit means unlimited swap: the sum cannot be below the part.
    let swap = memory.swap().filter(|&swap| swap != 0).or(limit.filter(|&limit| limit == -1));
    if memory.check_before_update() == Some(true)
        && let Some(limit) = limit
        && let Ok(limit) = u64::try_from(limit)
    {
        let usage: u64 = fs::read(&path.join("memory.usage_in_bytes"))?.trim().parse().unwrap_or(0);
        if limit < usage {
            return Err(Error::new(
                "rejecting memory limit",
                format!("{limit} (usage {usage})"),
                Errno::BUSY,
            ));
        }
    }
    let (file, sum) = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes");
    match (limit, swap) {
        (Some(limit), Some(swap)) => {
            // memory <= memory+swap must hold after each write: which first depends on where the limits stand.
            let first = fs::write(&path.join(file), &limit.to_string());
            write_known(path, sum, Some(swap))?;
            if first.is_err() {
                set_limit(path, file, limit)?;
            }
        }
        (Some(limit), None) => set_limit(path, file, limit)?,
        (None, swap) => write_known(path, sum, swap)?,
    }
    write_some(path, "memory.soft_limit_in_bytes", memory.reservation().filter(|&value| value != 0))?;
    if memory.disable_oom_killer() == Some(true) {
        fs::write(&path.join("memory.oom_control"), "1")?;
    }
    // `u64::MAX` is how some callers say "unset".
    write_some(path, "memory.swappiness", memory.swappiness().filter(|&value| value <= 100))
}

/// EBUSY means that the kernel could not reclaim enough: say what is in use.
fn set_limit(path: &Path, file: &str, limit: i64) -> Result<()> {
    fs::write(&path.join(file), &limit.to_string()).map_err(|error| {
        let read = |file: &str| fs::read(&path.join(file)).unwrap_or_default().trim().to_owned();
        let (usage, peak) = (read("memory.usage_in_bytes"), read("memory.max_usage_in_bytes"));
        let target = format!("{} to {limit} (current usage: {usage}, peak usage: {peak})", error.target);
        Error::new("set memory limit", target, error.errno)
    })
}

fn apply_block(path: &Path, block: &LinuxBlockIo) -> Result<()> {
    // The weight's file is called after the scheduler that implements it.
    let weight = |name: &str| {
        let bfq = format!("blkio.bfq.{name}");
        if fs::exists(&path.join(&bfq)) { bfq } else { format!("blkio.{name}") }
    };
    write_some(path, &weight("weight"), block.weight().filter(|&weight| weight != 0))?;
    write_some(path, "blkio.leaf_weight", block.leaf_weight().filter(|&weight| weight != 0))?;
    for device in block.weight_device().iter().flatten() {
        let line = |weight: Option<u16>| {
            weight.map(|weight| format!("{}:{} {weight}", device.major(), device.minor()))
        };
        write_some(path, &weight("weight_device"), line(device.weight()))?;
        write_some(path, "blkio.leaf_weight_device", line(device.leaf_weight()))?;
    }
    let throttle = |file: &str, devices: &Option<Vec<LinuxThrottleDevice>>| -> Result<()> {
        for device in devices.iter().flatten() {
            let line = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            fs::write(&path.join(file), &line)?;
        }
        Ok(())
    };
    throttle("blkio.throttle.read_bps_device", block.throttle_read_bps_device())?;
    throttle("blkio.throttle.write_bps_device", block.throttle_write_bps_device())?;
    throttle("blkio.throttle.read_iops_device", block.throttle_read_iops_device())?;
    throttle("blkio.throttle.write_iops_device", block.throttle_write_iops_device())
}

/// Everything is denied, then each rule is told to the kernel in its order.
pub(super) fn apply_devices(folder: &Folder, rules: &DeviceRules) -> Result<()> {
    let write = |allow: bool, rule: &str| {
        fs::write(&folder.path.join(if allow { "devices.allow" } else { "devices.deny" }), rule)
    };
    if !rules.allows_all() {
        write(false, "a")?;
    }
    rules.0.iter().try_for_each(|rule| write(rule.allow, &rule.to_v1()))
}

pub(super) fn set_frozen(folder: &Folder, frozen: bool) -> Result<()> {
    let path = folder.path.join("freezer.state");
    let wanted = if frozen { "FROZEN" } else { "THAWED" };
    // The state stays FREEZING as long as some process forks or sleeps uninterruptibly; writing again and
    // thawing now and then helps, and version 1 offers nothing to wait for.
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut pause = Duration::from_micros(50);
    loop {
        fs::write(&path, wanted)?;
        if fs::read(&path)?.trim() == wanted {
            return Ok(());
        }
        if Instant::now() > deadline {
            if frozen {
                fs::write(&path, "THAWED")?;
            }
            return Err(Error::new("freeze", path.display(), Errno::TIMEDOUT));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

pub(super) fn is_frozen(folder: &Folder) -> Result<bool> {
    match fs::read(&folder.path.join("freezer.state")) {
        Ok(state) => Ok(matches!(state.trim(), "FROZEN" | "FREEZING")),
        Err(error) if super::gone(error.errno) => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_some(path: &Path, file: &str, value: Option<impl ToString>) -> Result<()> {
    value.map_or(Ok(()), |value| fs::write(&path.join(file), &value.to_string()))
}

/// Like [`write_some`], for a file that some kernels lack.
fn write_known(path: &Path, file: &str, value: Option<i64>) -> Result<()> {
    match write_some(path, file, value) {
        Err(error) if error.errno == Errno::NOENT => Ok(()),
        result => result,
    }
}
