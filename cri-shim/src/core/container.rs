//! A container as the daemon knows it.
//!
//! ```text
//! Making ──CreateContainer succeeded──▶ Created ──StartContainer──▶ Starting ──executed──▶ Running ──its process ended──▶ Exited ──RemoveContainer──▶ (gone)
//!    │                                     │                          └──refused, killed, monitor's death─────────────────▶
//!    │                                     └──stopped, monitor's death────────────────────────────────────────────────────▶
//!    └──CreateContainer failed, or the daemon died in it──▶ (undone)
//! ```
//! CreateContainer checks everything that can be checked, mounts the root filesystem and writes the OCI bundle;
//! StartContainer lets the runtime make the process of it, and so tells what the runtime has to say against it, as
//! with containerd. A daemon that died while starting finds the container `Created` again, perhaps with its init.
//!
//! The monitor owns the process and tells of its end; a monitor that died leaves `Exited` with code 137 and the
//! reason `Unknown`.

use std::path::PathBuf;

use api_cri::v1::{ContainerConfig, ContainerMetadata, LinuxContainerResources};
use api_monitor::Exit;
use serde::{Deserialize, Serialize};

use crate::core::proto;
use crate::core::user::User;

/// A container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Container {
    /// [`FORMAT`](crate::core::sandbox::FORMAT) of the writer.
    pub format: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// The pod's id.
    pub sandbox: String,
    /// As the kubelet sent it.
    #[serde(with = "proto")]
    pub config: ContainerConfig,
    /// The image's id.
    pub image_id: String,
    /// What people know the image by: `NAME@DIGEST`, or its id.
    pub image_ref: String,
    /// Where it is in its life.
    pub phase: ContainerPhase,
    /// In nanoseconds since the epoch.
    pub created_at: i64,
    /// In nanoseconds since the epoch, 0 before; while `Starting`, when that began.
    pub started_at: i64,
    /// How it ended, once it has.
    pub end: Option<End>,
    /// Who it runs as.
    pub user: User,
    /// The CRI log file.
    pub log_path: Option<PathBuf>,
    /// What StopContainer sends first.
    pub stop_signal: i32,
    /// What is in force, which UpdateContainerResources may have changed.
    #[serde(with = "proto")]
    pub resources: LinuxContainerResources,
    /// The path of its cgroup below each hierarchy.
    pub cgroup: String,
    /// The pid of its first process in the host's namespace; 0 without one.
    pub pid: i32,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ContainerPhase {
    /// CreateContainer is at work.
    Making,
    /// Its bundle waits for StartContainer.
    Created,
    /// StartContainer is at work.
    Starting,
    /// Its program runs.
    Running,
    /// It ended, or never began.
    Exited,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// The exit code, 128 + N for signal N.
    pub code: i32,
    /// In nanoseconds since the epoch.
    pub at: i64,
    /// One CamelCase word; the kubelet looks for `OOMKilled`.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl End {
    /// As its monitor tells it.
    pub(crate) fn of(exit: Exit) -> Self {
        let reason = if exit.oom_killed {
            "OOMKilled"
        } else if exit.code == 0 {
            "Completed"
        } else {
            "Error"
        };
        Self { code: exit.code, at: exit.at, reason: reason.into(), message: String::new() }
    }

    /// Nobody saw the end.
    pub(crate) fn unseen(at: i64, message: &str) -> Self {
        Self { code: 137, at, reason: "Unknown".into(), message: message.into() }
    }

    /// It was stopped before anybody started it, and so never had a process: as if that had been killed.
    pub(crate) fn withdrawn(at: i64) -> Self {
        Self { code: 137, at, reason: "Error".into(), message: "stopped before it was started".into() }
    }

    /// Its program was never executed: code 128 is what containerd reports, and kubelets show the reason.
    pub(crate) fn not_started(at: i64, message: &str) -> Self {
        Self { code: 128, at, reason: "StartError".into(), message: message.into() }
    }
}

impl Container {
    /// The kubelet's name of it.
    pub(crate) fn metadata(&self) -> ContainerMetadata {
        self.config.metadata.clone().unwrap_or_default()
    }

    /// The name that a retried CreateContainer has again.
    pub(crate) fn name(sandbox: &str, config: &ContainerConfig) -> String {
        let metadata = config.metadata.clone().unwrap_or_default();
        format!("{sandbox}/{}_{}", metadata.name, metadata.attempt)
    }

    /// Whether it has its end before it.
    pub(crate) fn alive(&self) -> bool {
        matches!(self.phase, ContainerPhase::Created | ContainerPhase::Starting | ContainerPhase::Running)
    }

    /// StartContainer began. Returns whether that was possible.
    pub(crate) fn starting(&mut self, at: i64) -> bool {
        if self.phase != ContainerPhase::Created {
            return false;
        }
        self.phase = ContainerPhase::Starting;
        self.started_at = at;
        true
    }

    /// StartContainer succeeded. Returns whether anything changed: the end may have been told before.
    pub(crate) fn started(&mut self) -> bool {
        if self.phase != ContainerPhase::Starting {
            return false;
        }
        self.phase = ContainerPhase::Running;
        true
    }

    /// StartContainer failed. Returns whether anything changed.
    pub(crate) fn start_failed(&mut self, end: End) -> bool {
        if self.phase == ContainerPhase::Starting {
            self.started_at = 0;
        }
        self.ended(end)
    }

    /// It shall end, and has no process that would have to. Returns whether that is so.
    pub(crate) fn withdrawn(&mut self, end: End) -> bool {
        self.phase == ContainerPhase::Created && self.pid == 0 && self.ended(end)
    }

    /// Its end became known. Returns whether anything changed: the first end stands.
    pub(crate) fn ended(&mut self, end: End) -> bool {
        if self.phase == ContainerPhase::Exited {
            return false;
        }
        self.phase = ContainerPhase::Exited;
        self.pid = 0;
        self.end = Some(end);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_says_how_it_ended_and_memory_comes_first() {
        let exit = |code, oom_killed| Exit { code, signal: None, oom_killed, at: 5 };
        for (exit, reason) in [
            (exit(0, false), "Completed"),
            (exit(3, false), "Error"),
            (exit(137, true), "OOMKilled"),
            (exit(0, true), "OOMKilled"),
        ] {
            assert_eq!(End::of(exit).reason, reason);
        }
    }

    #[test]
    fn a_life_goes_one_way_and_its_first_end_stands() {
        let end = |at| End::not_started(at, "no");
        let mut container = Container { started_at: 0, ..made() };
        assert!(!container.started(), "only what is being started can be");
        assert!(container.alive() && container.starting(7));
        assert!(!container.starting(8) && !container.withdrawn(end(8)), "a start is not taken back");
        assert!(container.started() && !container.started());
        assert_eq!((container.phase, container.started_at), (ContainerPhase::Running, 7));
        assert!(container.ended(end(9)) && !container.ended(end(10)));
        assert!(!container.starting(11) && !container.started() && !container.alive());
        assert_eq!(container.end.map(|end| end.at), Some(9));
    }

    #[test]
    fn what_was_not_started_has_no_start() {
        let mut failed = made();
        assert!(failed.starting(7) && failed.start_failed(End::not_started(8, "no")));
        assert_eq!((failed.phase, failed.started_at), (ContainerPhase::Exited, 0));
        let mut withdrawn = made();
        assert!(withdrawn.withdrawn(End::withdrawn(8)));
        assert_eq!((withdrawn.phase, withdrawn.started_at), (ContainerPhase::Exited, 0));
        // One that an earlier daemon had made a process of has to be killed.
        assert!(!Container { pid: 5, ..made() }.withdrawn(End::withdrawn(8)));
    }

    fn made() -> Container {
        Container {
            format: 1,
            id: "c".into(),
            sandbox: "s".into(),
            config: ContainerConfig::default(),
            image_id: String::new(),
            image_ref: String::new(),
            phase: ContainerPhase::Created,
            created_at: 1,
            started_at: 0,
            end: None,
            user: User::default(),
            log_path: None,
            stop_signal: 15,
            resources: LinuxContainerResources::default(),
            cgroup: String::new(),
            pid: 0,
        }
    }
}
