//! A pod sandbox as the daemon knows it.
//!
//! ```text
//! Making ──RunPodSandbox succeeded──▶ Ready ──StopPodSandbox──▶ Stopped ──RemovePodSandbox──▶ (gone)
//!    │                                  └────monitor's death────▶
//!    └──RunPodSandbox failed, or the daemon died in it──▶ (undone)
//! ```
//! `Making` is written before the first effect, so that a daemon which finds it knows that there is something to undo.
//! CRI's READY means `Ready`, and `Ready` means that the monitor lives.
//!
//! Records carry the [`FORMAT`] of the daemon that wrote them. A daemon reads those of [`FORMATS`]. When it meets
//! another one, an upgrade was taken back: it names the file and does not start, for that alone loses nothing. The pods
//! run on under their monitors until a daemon comes that knows them.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use api_cri::v1::{NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata};
use serde::{Deserialize, Serialize};

use crate::core::proto;

/// The version of the state files that are written: raised when an older daemon would misread them.
pub(crate) const FORMAT: u32 = 1;
/// The versions that are read.
pub(crate) const FORMATS: RangeInclusive<u32> = 1..=FORMAT;

/// What every version's record begins with.
#[derive(Debug, Deserialize)]
pub(crate) struct Written {
    /// [`FORMAT`] of the writer.
    pub format: u32,
}

/// A pod sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sandbox {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// As the kubelet sent it.
    #[serde(with = "proto")]
    pub config: PodSandboxConfig,
    /// The RuntimeClass handler; empty for ours.
    pub handler: String,
    /// Where it is in its life.
    pub phase: SandboxPhase,
    /// In nanoseconds since the epoch.
    pub created_at: i64,
    /// The pod's addresses, the primary one first.
    pub ips: Vec<String>,
    /// The pin of the pod's own network namespace; `None` in the host's.
    pub netns: Option<PathBuf>,
    /// The path of the sandbox's own (empty) cgroup below each hierarchy.
    pub cgroup: String,
    /// The monitor's pid, 0 before there is one.
    pub monitor_pid: i32,
    /// PID 1 of a shared PID namespace.
    pub pause_pid: Option<i32>,
    /// Whether everything of a stopped sandbox is gone; a stop that failed half-way is tried again.
    pub torn_down: bool,
}

/// Where a sandbox is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SandboxPhase {
    /// RunPodSandbox is at work.
    Making,
    /// The monitor lives.
    Ready,
    /// Its processes and its network are gone.
    Stopped,
}

impl Sandbox {
    /// The kubelet's name of it; empty only in a file that somebody else wrote.
    pub(crate) fn metadata(&self) -> PodSandboxMetadata {
        self.config.metadata.clone().unwrap_or_default()
    }

    /// The name that a retried RunPodSandbox has again.
    pub(crate) fn name(config: &PodSandboxConfig) -> String {
        let metadata = config.metadata.clone().unwrap_or_default();
        format!("{}_{}_{}_{}", metadata.name, metadata.namespace, metadata.uid, metadata.attempt)
    }

    /// The namespaces that were asked for; POD throughout when nothing was said.
    pub(crate) fn namespaces(&self) -> NamespaceOption {
        namespaces(&self.config)
    }

    /// Whether the pod lives in the host's network.
    pub(crate) fn host_network(&self) -> bool {
        self.namespaces().network() == NamespaceMode::Node
    }
}

/// The namespace options of a configuration.
pub(crate) fn namespaces(config: &PodSandboxConfig) -> NamespaceOption {
    config
        .linux
        .as_ref()
        .and_then(|linux| linux.security_context.as_ref())
        .and_then(|context| context.namespace_options.clone())
        .unwrap_or_default()
}
