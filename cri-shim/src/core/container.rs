//! A container as the daemon knows it.
//!
//! ```text
//! Making ──CreateContainer succeeded──▶ Created ──StartContainer──▶ Running ──its process ended──▶ Exited ──RemoveContainer──▶ (gone)
//!    │                                     └──start failed, killed, monitor's death─────────────────▶
//!    └──CreateContainer failed, or the daemon died in it──▶ (undone)
//! ```
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
    /// In nanoseconds since the epoch, 0 before.
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
    /// Why the runtime could not create it. StartContainer fails with it: that is where containerd would have
    /// found out, and a kubelet shows the two differently.
    pub refused: Option<String>,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ContainerPhase {
    /// CreateContainer is at work.
    Making,
    /// Its init waits for StartContainer.
    Created,
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

    /// Whether there is a process.
    pub(crate) fn alive(&self) -> bool {
        matches!(self.phase, ContainerPhase::Created | ContainerPhase::Running)
    }

    /// StartContainer succeeded. Returns whether anything changed.
    pub(crate) fn started(&mut self, at: i64) -> bool {
        if self.phase != ContainerPhase::Created {
            return false;
        }
        self.phase = ContainerPhase::Running;
        self.started_at = at;
        true
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
}
