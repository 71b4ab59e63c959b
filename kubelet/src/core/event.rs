//! What happens to a pod, what it wants done, and what is seen of it in the runtime.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use super::probe::Outcome;

/// Which of a container's probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: i32,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
}

/// One run of a container: what the runtime calls it, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) attempt: u32,
    /// The sandbox it runs in.
    pub(crate) sandbox: String,
    pub(crate) image: String,
    /// The digest that the runtime resolved the image to.
    pub(crate) image_id: String,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) exit: Option<Exit>,
    /// User and groups of its first process, when the runtime says.
    pub(crate) user: Option<(i64, i64, Vec<i64>)>,
}

/// Why a container could not be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    /// `ErrImagePull`, `CreateContainerError`, …
    pub(crate) reason: String,
    pub(crate) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContainerState {
    Created,
    Running,
    Exited,
}

/// A container as the runtime shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerSeen {
    pub(crate) name: String,
    pub(crate) state: ContainerState,
    /// With its exit when it has ended.
    pub(crate) run: Run,
}

/// A sandbox as the runtime shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SandboxSeen {
    pub(crate) id: String,
    pub(crate) attempt: u32,
    pub(crate) ready: bool,
    pub(crate) ips: Vec<IpAddr>,
}

/// What the runtime shows of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) sandboxes: Vec<SandboxSeen>,
    pub(crate) containers: Vec<ContainerSeen>,
    /// When the runtime was asked, if the answer is complete: what is older and missing is gone.
    pub(crate) complete_at: Option<Duration>,
}

/// A container that was created and, unless `failure` says why not, started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) run: Run,
    pub(crate) failure: Option<Failure>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A delay is over.
    Tick,
    Seen(Seen),
    SandboxCreated {
        id: String,
        attempt: u32,
        ips: Vec<IpAddr>,
    },
    SandboxFailed {
        message: String,
    },
    SandboxStopped {
        id: String,
        result: Result<(), String>,
    },
    /// `Err`: nothing of it exists in the runtime.
    ContainerStarted {
        index: usize,
        result: Result<Started, Failure>,
    },
    PostStartDone {
        index: usize,
        id: String,
        result: Result<(), String>,
    },
    /// It has ended; how is not known when the runtime has forgotten it.
    ContainerStopped {
        index: usize,
        id: String,
        result: Result<Option<Exit>, String>,
    },
    ProbeDone {
        index: usize,
        id: String,
        kind: ProbeKind,
        outcome: Outcome,
    },
    Finished {
        result: Result<(), String>,
    },
    CleanedUp {
        result: Result<(), String>,
    },
    /// The pod is no longer wanted.
    End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Folders, volumes and cgroups of the pod, then its sandbox.
    CreateSandbox {
        attempt: u32,
    },
    /// Ends what is left in a sandbox that died, and removes it.
    StopSandbox {
        id: String,
    },
    /// Image, container, start.
    StartContainer {
        index: usize,
        attempt: u32,
        sandbox: String,
        ips: Vec<IpAddr>,
        sandbox_attempt: u32,
    },
    PostStart {
        index: usize,
        id: String,
    },
    /// `preStop`, then the stop signal, then the kill; all within `grace`.
    StopContainer {
        index: usize,
        id: String,
        grace: Duration,
        why: String,
    },
    /// A dead container that nobody asks for any more, with its log.
    RemoveContainer {
        index: usize,
        id: String,
        attempt: u32,
    },
    Probe {
        index: usize,
        id: String,
        kind: ProbeKind,
    },
    /// Image pulls for this pod are of no more use.
    CancelPulls,
    /// The pod has run to its end: its sandbox and its resources go, its containers stay for their logs.
    Finish {
        sandboxes: Vec<String>,
    },
    /// Nothing of the pod stays.
    CleanUp {
        sandboxes: Vec<String>,
    },
    /// The pod's state is worth keeping over a restart of the kubelet.
    Save,
}
