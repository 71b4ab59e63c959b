//! `orlop doctor`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use sys::namespace::Kind;
use sys::probe::{self, Found};

use super::table::Table;
use super::{Format, Output, output};
use crate::{Error, Global};

/// How the result is shown.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    output: Output,
}

/// How much depends on a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Need {
    /// Without it no pod runs.
    Essential,
    /// Without it something that pods ask for fails, or works less well.
    Recommended,
    /// Only what is named.
    Optional,
}

/// One thing to try.
struct Check {
    name: &'static str,
    need: Need,
    /// What its absence costs.
    cost: &'static str,
    probe: fn(&Place) -> Found,
}

/// Where this instance keeps its files.
struct Place {
    /// The nearest folder that exists to where images lie.
    images: PathBuf,
}

const CHECKS: &[Check] = &[
    Check {
        name: "capabilities",
        need: Need::Essential,
        cost: "orlop runs as root with the usual capabilities",
        probe: |_| {
            probe::capabilities(&[
                "CAP_SYS_ADMIN",
                "CAP_NET_ADMIN",
                "CAP_SETUID",
                "CAP_SETGID",
                "CAP_SETPCAP",
                "CAP_CHOWN",
                "CAP_FOWNER",
                "CAP_DAC_OVERRIDE",
                "CAP_KILL",
                "CAP_MKNOD",
                "CAP_SYS_CHROOT",
                "CAP_SYS_PTRACE",
                "CAP_NET_RAW",
            ])
        },
    },
    Check {
        name: "CAP_SYS_RESOURCE",
        need: Need::Recommended,
        cost: "oom_score_adj stays at or above the daemon's own: guaranteed pods are not spared; hard limits cannot rise",
        probe: |_| probe::capabilities(&["CAP_SYS_RESOURCE"]),
    },
    Check {
        name: "mount namespace",
        need: Need::Essential,
        cost: "no container runs",
        probe: |_| probe::namespace(Kind::Mount),
    },
    Check {
        name: "PID namespace",
        need: Need::Essential,
        cost: "no container runs",
        probe: |_| probe::namespace(Kind::Pid),
    },
    Check {
        name: "network namespace",
        need: Need::Essential,
        cost: "only pods with hostNetwork run",
        probe: |_| probe::namespace(Kind::Network),
    },
    Check {
        name: "IPC namespace",
        need: Need::Essential,
        cost: "only pods with hostIPC run",
        probe: |_| probe::namespace(Kind::Ipc),
    },
    Check {
        name: "UTS namespace",
        need: Need::Essential,
        cost: "pods have no hostname of their own",
        probe: |_| probe::namespace(Kind::Uts),
    },
    Check {
        name: "cgroup namespace",
        need: Need::Recommended,
        cost: "containers see the host's cgroup paths",
        probe: |_| probe::namespace(Kind::Cgroup),
    },
    Check {
        name: "user namespace",
        need: Need::Optional,
        cost: "pods with hostUsers: false are refused",
        probe: |_| probe::namespace(Kind::User),
    },
    Check {
        name: "pidfd",
        need: Need::Essential,
        cost: "processes cannot be held and signalled safely (Linux 5.3)",
        probe: |_| probe::pidfd(),
    },
    Check {
        name: "openat2",
        need: Need::Essential,
        cost: "paths cannot be confined to a container (Linux 5.6)",
        probe: |_| probe::openat2(),
    },
    Check {
        name: "mount API",
        need: Need::Essential,
        cost: "no root file system can be put together (Linux 5.12)",
        probe: |_| probe::mount_api(),
    },
    Check {
        name: "overlay",
        need: Need::Essential,
        cost: "images cannot be layered; the images' file system must carry overlay",
        probe: |place| probe::overlay(&place.images),
    },
    Check {
        name: "idmapped mounts",
        need: Need::Optional,
        cost: "pods with hostUsers: false cannot use volumes",
        probe: |place| probe::idmapped_mount(&place.images),
    },
    Check {
        name: "seccomp",
        need: Need::Essential,
        cost: "containers reach every system call; the RuntimeDefault profile is refused",
        probe: |_| probe::seccomp(),
    },
    Check {
        name: "cgroups",
        need: Need::Essential,
        cost: "pods can be neither limited nor ended as a whole",
        probe: |_| probe::cgroups(),
    },
    Check {
        name: "cgroup cpu",
        need: Need::Recommended,
        cost: "CPU requests and limits have no effect",
        probe: |_| probe::controller("cpu"),
    },
    Check {
        name: "cgroup memory",
        need: Need::Recommended,
        cost: "memory limits have no effect, and no OOM kill is reported",
        probe: |_| probe::controller("memory"),
    },
    Check {
        name: "cgroup pids",
        need: Need::Recommended,
        cost: "a fork bomb in a pod reaches the host",
        probe: |_| probe::controller("pids"),
    },
    Check {
        name: "cgroup cpuset",
        need: Need::Optional,
        cost: "containers cannot be pinned to CPUs",
        probe: |_| probe::controller("cpuset"),
    },
    Check {
        name: "cgroup hugetlb",
        need: Need::Optional,
        cost: "huge pages cannot be limited",
        probe: |_| probe::controller("hugetlb"),
    },
    Check {
        name: "device control",
        need: Need::Essential,
        cost: "containers reach the host's devices",
        // Version 1 has a controller for it, version 2 a program.
        probe: |_| probe::controller("devices").or_else(|_| probe::device_program()),
    },
    Check {
        name: "cgroup version 2",
        need: Need::Optional,
        cost: "no kill in one step and no memory.high; cgroups are watched instead of reporting (version 1 works)",
        probe: |_| probe::cgroup_v2(),
    },
    Check {
        name: "bridge and veth",
        need: Need::Essential,
        cost: "pods get no address from the built-in network",
        probe: |_| probe::bridge_and_veth(),
    },
    Check {
        name: "nftables",
        need: Need::Essential,
        cost: "no masquerading and no hostPort",
        probe: |_| probe::nftables(),
    },
    Check {
        name: "pressure (PSI)",
        need: Need::Optional,
        cost: "statistics carry no pressure; boot with psi=1",
        probe: |_| probe::kernel_file("/proc/pressure/memory", "some"),
    },
    Check {
        name: "AppArmor",
        need: Need::Optional,
        cost: "pods with an AppArmor profile are refused",
        probe: |_| probe::kernel_file("/sys/module/apparmor/parameters/enabled", "Y"),
    },
    Check {
        name: "orlop-runtime",
        need: Need::Essential,
        cost: "no container runs; the three binaries belong into one folder",
        probe: |_| beside("orlop-runtime"),
    },
    Check {
        name: "orlop-cni",
        need: Need::Recommended,
        cost: "the built-in network is missing; the three binaries belong into one folder",
        probe: |_| beside("orlop-cni"),
    },
];

/// Whether a program lies in this program's folder.
fn beside(name: &str) -> Found {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let path = exe.with_file_name(name);
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => Ok(path.display().to_string()),
        Ok(_) => Err(format!("{} is no file", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// What is shown.
#[derive(Debug, Serialize)]
struct Report {
    kernel: String,
    /// Whether pods can run: nothing essential is missing.
    able: bool,
    checks: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    need: Need,
    available: bool,
    /// What was found, or why it is missing.
    detail: String,
    /// What its absence costs; empty when it is there.
    cost: &'static str,
}

impl Row {
    fn new(check: &Check, found: Found) -> Self {
        let available = found.is_ok();
        let cost = if available { "" } else { check.cost };
        Self {
            name: check.name,
            need: check.need,
            available,
            detail: found.unwrap_or_else(|reason| reason),
            cost,
        }
    }
}

impl Report {
    fn new(kernel: String, checks: Vec<Row>) -> Self {
        let able = checks.iter().all(|row| row.available || row.need != Need::Essential);
        Self { kernel, able, checks }
    }

    fn table(&self, wide: bool) -> String {
        let mut table =
            Table::new(if wide { &["CHECK", "", "NEED", "FOUND"] } else { &["CHECK", "", "FOUND"] });
        for row in &self.checks {
            let verdict = match (row.available, row.need) {
                (true, _) => "ok",
                (false, Need::Essential) => "MISSING",
                (false, Need::Recommended) => "missing",
                (false, Need::Optional) => "-",
            };
            let need = match row.need {
                Need::Essential => "essential",
                Need::Recommended => "recommended",
                Need::Optional => "optional",
            };
            let detail = if row.cost.is_empty() {
                row.detail.clone()
            } else {
                format!("{}: {}", row.detail, row.cost)
            };
            match wide {
                true => table.row([row.name, verdict, need, &detail]),
                false => table.row([row.name, verdict, &detail]),
            }
        }
        let verdict = if self.able { "Pods can run here." } else { "Pods cannot run here: see MISSING." };
        format!("Linux {}\n\n{}\n{verdict}\n", self.kernel, table.render())
    }
}

/// The nearest folder above, or at, the path that exists.
fn existing(path: &Path) -> PathBuf {
    path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).into()
}

/// Tries what the kernel can do, and says what is missing and what that costs. Ends with 1 when pods cannot run.
pub(crate) fn run(global: &Global, flags: &Flags) -> Result<ExitCode, Error> {
    let layout = global.layout().map_err(|error| Error::failed(&error))?;
    let place = Place { images: existing(&layout.root) };
    let rows = CHECKS.iter().map(|check| Row::new(check, (check.probe)(&place))).collect();
    let report = Report::new(probe::kernel(), rows);
    output::show(flags.output.output, &report, |wide| report.table(wide))?;
    if !report.able && flags.output.output == Format::Table {
        eprintln!("orlop: something essential is missing");
    }
    Ok(if report.able { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &'static str, need: Need) -> Check {
        Check { name, need, cost: "something does not work", probe: |_| Ok(String::new()) }
    }

    #[test]
    fn only_what_is_essential_decides() {
        let row = |need, found| Row::new(&check("x", need), found);
        let report = Report::new("6.1".into(), vec![row(Need::Recommended, Err("no".into()))]);
        assert!(report.able);
        let report = Report::new("6.1".into(), vec![row(Need::Essential, Err("no".into()))]);
        assert!(!report.able);
    }

    #[test]
    fn what_is_missing_is_shown_with_its_cost() {
        let rows = vec![
            Row::new(&check("pidfd", Need::Essential), Ok("found".into())),
            Row::new(&check("overlay", Need::Essential), Err("fsopen overlay: no such device".into())),
            Row::new(&check("AppArmor", Need::Optional), Err("off".into())),
        ];
        assert_eq!(
            Report::new("6.1".into(), rows).table(false),
            "\
Linux 6.1

CHECK                FOUND
pidfd      ok        found
overlay    MISSING   fsopen overlay: no such device: something does not work
AppArmor   -         off: something does not work

Pods cannot run here: see MISSING.
"
        );
    }

    #[test]
    fn checks_have_names_of_their_own() {
        let mut names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKS.len());
    }
}
