//! What of a pod is on the machine: compared before and after, it must be the same.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::runner::{TestError, TestResult};

/// Everything that a pod could leave behind, one line each: mounts, links, routes, nft rules, all below `folders`,
/// and below the cgroup `cgroup` processes and those folders that `counts` is true of.
pub fn machine(
    folders: &[PathBuf],
    cgroup: &str,
    counts: impl Fn(&Path) -> bool,
) -> Result<BTreeSet<String>, TestError> {
    let mut all = BTreeSet::new();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    all.extend(
        mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| format!("mount {point}")),
    );
    for arguments in [&["-o", "link"][..], &["-o", "route"]] {
        let lines = said(Command::new("ip").args(arguments))?;
        // The state of the bridge follows its ports.
        let names =
            lines.lines().filter_map(|line| line.split(" mtu").next()?.split('@').next().map(str::to_owned));
        let steady = |line: String| {
            line.split('<').next().unwrap_or_default().replace("linkdown", "").trim().to_owned()
        };
        all.extend(names.map(|line| format!("link {}", steady(line))));
    }
    let rules = said(Command::new("nft").args(["list", "ruleset"]))?;
    all.extend(rules.lines().map(|line| format!("nft {line}")));
    for folder in folders {
        list(folder, &mut all);
    }
    for folder in cgroups(cgroup) {
        for group in below(&folder) {
            if counts(&group) {
                all.insert(format!("cgroup {}", group.display()));
            }
            all.extend(pids(&group).iter().map(|pid| format!("process {pid} in {}", group.display())));
        }
    }
    Ok(all)
}

/// The output of a command, which must succeed: two failures would be the same machine.
fn said(command: &mut Command) -> Result<String, TestError> {
    let output = command.output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(TestError::Failed(format!("{command:?}: {}: {text}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A folder's content with all below it.
fn list(folder: &Path, all: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // host-local remembers the last address it gave, as the reference does.
        if !name.starts_with("last_reserved_ip") && name != "lock" {
            all.insert(format!("file {}", entry.path().display()));
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(&entry.path(), all);
        }
    }
}

/// Fails with what is there now and was not before, or the other way round.
pub fn compare(before: &BTreeSet<String>, after: &BTreeSet<String>) -> TestResult {
    let differs: Vec<String> = after
        .difference(before)
        .map(|line| format!("left: {line}"))
        .chain(before.difference(after).map(|line| format!("gone: {line}")))
        .collect();
    if differs.is_empty() { Ok(()) } else { Err(TestError::Failed(differs.join("\n"))) }
}

/// The folders of one cgroup, in every tree that has it.
pub fn cgroups(name: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let trees = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    trees.chain([root.to_path_buf()]).map(|tree| tree.join(name)).filter(|folder| folder.is_dir()).collect()
}

/// A cgroup's folder and all below it.
pub fn below(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![folder.to_path_buf()];
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(below(&entry.path()));
        }
    }
    all
}

/// Ends every process of a test and removes its cgroups.
pub fn end_all(cgroup: &str) {
    let folders: Vec<PathBuf> = cgroups(cgroup).iter().flat_map(|folder| below(folder)).collect();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    loop {
        let pids: BTreeSet<i32> = folders.iter().flat_map(|folder| pids(folder)).collect();
        if pids.is_empty() || std::time::Instant::now() > deadline {
            break;
        }
        for pid in pids {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for folder in folders.iter().rev() {
        // Where a controller is not mounted, engines make plain folders with files of the same names.
        let plain = !folder.join("cgroup.procs").exists();
        let _ = if plain { std::fs::remove_dir_all(folder) } else { std::fs::remove_dir(folder) };
    }
}

/// The mount namespace of a process, as the kernel names it.
pub fn mount_namespace(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

/// Ends every other process of a mount namespace: what a peer detached, such as containerd's shims, is in no cgroup of
/// a test, but in its world.
pub fn end_world(namespace: &Path) {
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid.filter(|pid| *pid != std::process::id()) else { continue };
        if mount_namespace(pid).is_some_and(|its| its == namespace) {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}

/// The processes of one cgroup's folder.
pub fn pids(folder: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}
