//! What happens in a pod, and what is to be done about it: the words of [`super::pod`].

use std::path::PathBuf;
use std::time::Duration;

use api_monitor::{Event, Exit, Reply, ReplyError, Request};
use sys::pidfd::Ended;

/// Where a reply goes: the connection, and the request's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) client: u64,
    pub(super) id: u64,
}

/// The time, twice.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Now {
    /// Nanoseconds since the epoch.
    pub(super) wall: i64,
    /// Since the monitor's start.
    pub(super) uptime: Duration,
}

/// What happens.
#[derive(Debug)]
pub(super) enum Input {
    Request {
        from: Ticket,
        request: Request,
        fds: usize,
    },
    LogOpened {
        container: String,
        error: Option<String>,
    },
    LogReopened {
        token: u64,
        error: Option<String>,
    },
    LogDrained {
        container: String,
    },
    WorkerEnded {
        worker: u64,
        outcome: Result<Started, String>,
    },
    Reaped {
        pid: i32,
        ended: Ended,
        oom_kills: u64,
    },
    /// Time has passed.
    Tick,
}

/// What a worker brought about: a process, for `create` and `exec`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Started {
    pub(super) pid: i32,
    /// How often the kernel had killed in the container's cgroup before.
    pub(super) oom_kills: u64,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    Reply {
        to: Ticket,
        result: Result<Reply, ReplyError>,
        carry: Carry,
    },
    Broadcast(Event),
    /// Makes the container's pipes and has its log opened.
    OpenLog {
        container: String,
        terminal: bool,
        stdin: bool,
        path: Option<PathBuf>,
    },
    ReopenLog {
        container: String,
        token: u64,
    },
    /// Hands the request's descriptors to the logger.
    AttachLog {
        container: String,
    },
    DrainLog {
        container: String,
    },
    Work {
        worker: u64,
        job: Job,
        runtime: Option<Vec<String>>,
    },
    KillWorker {
        worker: u64,
    },
    /// Writes the exit down, so that it outlives the monitor.
    Record {
        container: String,
        exit: Exit,
    },
    CloseStdin {
        container: String,
    },
    /// Closes all that belongs to the container.
    Forget {
        container: String,
    },
    End,
}

/// What goes with a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Carry {
    Nothing,
    /// A pidfd.
    Process {
        pid: i32,
    },
    /// A pidfd, and the terminal that the worker got.
    Terminal {
        pid: i32,
        worker: u64,
    },
    /// The container's terminal, or the write end of its standard input.
    Input {
        container: String,
    },
}

/// An invocation of the OCI runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Create { container: String, bundle: PathBuf, terminal: bool },
    Start { container: String },
    Exec { container: String, process: PathBuf, terminal: bool, streams: [bool; 3] },
    Delete { container: String },
}

impl Job {
    pub(super) fn container(&self) -> &str {
        match self {
            Self::Create { container, .. }
            | Self::Start { container }
            | Self::Exec { container, .. }
            | Self::Delete { container } => container,
        }
    }
}
