//! What outlives the monitor: exits on the pod's tmpfs. And what the kernel counts of them.

use std::fs;
use std::io;
use std::path::Path;

use api_monitor::{Exit, exit_record};

/// Writes an exit down: whole or not at all, without waiting for any disk.
pub(super) fn write(state_dir: &Path, container: &str, exit: &Exit) -> io::Result<()> {
    let path = exit_record(state_dir, container);
    let draft = state_dir.join(".exit");
    fs::write(&draft, serde_json::to_vec(exit)?)?;
    fs::rename(draft, path)
}

/// Removes what [`write`] left; nothing there is fine.
pub(super) fn remove(state_dir: &Path, container: &str) -> io::Result<()> {
    match fs::remove_file(exit_record(state_dir, container)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// How many processes the kernel killed in a memory cgroup because it had reached its limit: `memory.events` of
/// version 2, `memory.oom_control` of version 1 (since Linux 4.13). 0 when the cgroup is gone.
pub(super) fn oom_kills(cgroup: &Path) -> u64 {
    ["memory.events", "memory.oom_control"]
        .iter()
        .find_map(|name| fs::read_to_string(cgroup.join(name)).ok())
        .map_or(0, |text| count(&text))
}

fn count(text: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kills_are_found_in_both_versions() {
        assert_eq!(count("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"), 2);
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), 1);
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\n"), 0);
        assert_eq!(oom_kills(Path::new("/nonexistent")), 0);
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let exit = Exit { code: 137, signal: Some(9), oom_killed: true, at: 5 };
        write(folder.path(), "c", &exit).unwrap();
        let bytes = fs::read(exit_record(folder.path(), "c")).unwrap();
        assert_eq!(serde_json::from_slice::<Exit>(&bytes).unwrap(), exit);
        remove(folder.path(), "c").unwrap();
        remove(folder.path(), "c").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
