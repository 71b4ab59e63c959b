//! What a monitor knows of its pod, and what follows from what happens. Pure: effects are returned as values.
//!
//! The life of a container; the edges are a client's request (capitals), the end of a worker, the kernel's report
//! of an exit, or the logger's answer:
//!
//! ```text
//! CREATE          log open          worker ok          START           worker ok
//! ──────▶ Opening ────────▶ Creating ────────▶ Created ─────▶ Starting ─────────▶ Running
//!            │ failed          │ failed,        │ │ ▲ worker failed │                │
//!            ▼                 ▼ cleaned up     │ │ └───────────────┤ init exited    │ init exited
//!         (nothing)         (nothing)           │ │ init exited     ▼ (after worker) │
//!                                        DELETE │ └─────────────▶ Draining ◀─────────┘
//!                                               │                   │ log drained, or deadline: Event::Exited
//!                     worker ok                 ▼        DELETE     ▼ (at once, if it came while draining)
//!         (nothing) ◀──────────────────── Deleting ◀───────────── Exited
//!                                               └── worker failed: back ──▶
//! ```
//!
//! A process is registered before its exit is looked for: while a worker runs, only known children are reaped (see
//! [`super::server`]), so that the exit of an init that ends before its worker is still there afterwards.

mod requests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use api_monitor::{ContainerState, ContainerStatus, ErrorCode, Event, Exit, PodStatus, Reply, ReplyError};
use sys::pidfd::Ended;

use super::effect::{Carry, Effect, Input, Job, Now, Started, Ticket};

/// How long a worker may take. Hooks and slow disks count; the kubelet gives up after 2 minutes.
pub(super) const WORKER_LIMIT: Duration = Duration::from_secs(300);
/// How long an exit is held back for the log.
pub(super) const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// See the module's header.
pub(super) struct Pod {
    id: String,
    pid: i32,
    pub(super) pause: Option<i32>,
    containers: BTreeMap<String, Container>,
    /// By pid.
    execs: BTreeMap<i32, Exec>,
    workers: BTreeMap<u64, Worker>,
    reopening: BTreeMap<u64, Ticket>,
    next: u64,
}

struct Container {
    phase: Phase,
    pid: i32,
    started_at: i64,
    input: bool,
    terminal: bool,
    runtime: Option<Vec<String>>,
    memory_cgroup: Option<PathBuf>,
    log_path: Option<PathBuf>,
}

enum Phase {
    Opening {
        to: Ticket,
        bundle: PathBuf,
    },
    Creating,
    Created,
    Starting {
        exit: Option<Exit>,
    },
    Running,
    Draining {
        exit: Exit,
        until: Duration,
        /// Who asked for its deletion meanwhile.
        delete: Option<Ticket>,
    },
    Exited(Exit),
    /// With what it was before: exited, or created.
    Deleting {
        exit: Option<Exit>,
    },
}

struct Exec {
    name: String,
    container: String,
    oom_kills: u64,
}

struct Worker {
    task: Task,
    until: Duration,
}

enum Task {
    Create {
        to: Ticket,
        container: String,
    },
    Start {
        to: Ticket,
        container: String,
        since: i64,
    },
    Exec {
        to: Ticket,
        container: String,
        name: String,
        terminal: bool,
    },
    Delete {
        to: Ticket,
        container: String,
    },
    /// Removes what a failed create left behind, before anybody is told and tries again.
    CleanUp {
        to: Ticket,
        container: String,
        error: ReplyError,
    },
}

type Effects = Vec<Effect>;

impl Pod {
    pub(super) fn new(id: String, pid: i32, pause: Option<i32>) -> Self {
        Self {
            id,
            pid,
            pause,
            containers: BTreeMap::new(),
            execs: BTreeMap::new(),
            workers: BTreeMap::new(),
            reopening: BTreeMap::new(),
            next: 1,
        }
    }

    /// What Hello is answered with.
    pub(super) fn status(&self) -> PodStatus {
        let containers = self.containers.iter().filter_map(|(id, container)| {
            let state = container.state()?;
            let pid = if matches!(state, ContainerState::Exited(_)) { 0 } else { container.pid };
            Some((id.clone(), ContainerStatus { pid, state, started_at: container.started_at }))
        });
        PodStatus {
            id: self.id.clone(),
            pid: self.pid,
            pause_pid: self.pause,
            containers: containers.collect(),
        }
    }

    /// The processes whose exit concerns somebody. Workers are the shell's.
    pub(super) fn pids(&self) -> Vec<i32> {
        let inits =
            self.containers.values().filter(|container| container.lives()).map(|container| container.pid);
        inits.filter(|&pid| pid > 0).chain(self.execs.keys().copied()).chain(self.pause).collect()
    }

    /// Where the kernel counts the kills that concern a process.
    pub(super) fn memory_cgroup(&self, pid: i32) -> Option<&PathBuf> {
        let exec = self.execs.get(&pid).and_then(|exec| self.containers.get(&exec.container));
        exec.or_else(|| self.containers.values().find(|container| container.pid == pid))?
            .memory_cgroup
            .as_ref()
    }

    /// Where the kernel counts the kills of a container.
    pub(super) fn memory_cgroup_of(&self, container: &str) -> Option<&PathBuf> {
        self.containers.get(container)?.memory_cgroup.as_ref()
    }

    /// What a new logger must be told of: each container whose output may still come, its log's path, and whether
    /// its exit waits for the log.
    pub(super) fn logged(&self) -> Vec<(String, Option<PathBuf>, bool)> {
        let open =
            self.containers.iter().filter(|(_, container)| !matches!(container.phase, Phase::Exited(_)));
        open.map(|(id, container)| {
            let draining = matches!(container.phase, Phase::Draining { .. });
            (id.clone(), container.log_path.clone(), draining)
        })
        .collect()
    }

    /// The logs whose reopening was asked of a logger that is no more.
    pub(super) fn reopenings(&self) -> Vec<u64> {
        self.reopening.keys().copied().collect()
    }

    /// When [`Input::Tick`] is next due, by the uptime.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let drains = self.containers.values().filter_map(|container| match container.phase {
            Phase::Draining { until, .. } => Some(until),
            _ => None,
        });
        drains.chain(self.workers.values().map(|worker| worker.until)).min()
    }

    /// Takes what happened; gives what is to be done about it, in order.
    pub(super) fn apply(&mut self, input: Input, now: Now) -> Effects {
        let mut out = Vec::new();
        match input {
            Input::Request { from, request, fds } => {
                if let Err(error) = self.request(from, request, fds, now, &mut out) {
                    out.push(Effect::Reply { to: from, result: Err(error), carry: Carry::Nothing });
                }
            }
            Input::LogOpened { container, error } => self.log_opened(container, error, now, &mut out),
            Input::LogReopened { token, error } => {
                if let Some(to) = self.reopening.remove(&token) {
                    let result = error.map_or(Ok(Reply::Done), |text| {
                        Err(refuse(ErrorCode::Internal, format!("reopen the log: {text}")))
                    });
                    out.push(Effect::Reply { to, result, carry: Carry::Nothing });
                }
            }
            Input::LogDrained { container } => self.drained(&container, now, &mut out),
            Input::WorkerEnded { worker, outcome } => self.worker_ended(worker, outcome, now, &mut out),
            Input::Reaped { pid, ended, oom_kills } => self.reaped(pid, ended, oom_kills, now, &mut out),
            Input::Tick => self.tick(now, &mut out),
        }
        out
    }

    fn log_opened(&mut self, id: String, error: Option<String>, now: Now, out: &mut Effects) {
        let Some(container) = self.containers.get_mut(&id) else { return };
        let Phase::Opening { to, bundle } = &container.phase else { return };
        let (to, bundle) = (*to, bundle.clone());
        if let Some(text) = error {
            self.containers.remove(&id);
            out.push(Effect::Forget { container: id.clone() });
            let result = Err(refuse(ErrorCode::Internal, format!("open the log of container {id}: {text}")));
            out.push(Effect::Reply { to, result, carry: Carry::Nothing });
            return;
        }
        container.phase = Phase::Creating;
        let job = Job::Create { container: id.clone(), bundle, terminal: container.terminal };
        self.work(Task::Create { to, container: id }, job, now, out);
    }

    fn worker_ended(&mut self, number: u64, outcome: Result<Started, String>, now: Now, out: &mut Effects) {
        let Some(Worker { task, .. }) = self.workers.remove(&number) else { return };
        let result = outcome.map_err(|text| refuse(ErrorCode::Runtime, text));
        match task {
            Task::Create { to, container: id } => {
                let Some(container) = self.containers.get_mut(&id) else { return };
                match result {
                    Ok(Started { pid, .. }) => {
                        container.phase = Phase::Created;
                        container.pid = pid;
                        let result = Ok(Reply::Created { pid });
                        out.push(Effect::Reply { to, result, carry: Carry::Process { pid } });
                    }
                    Err(error) => {
                        let task = Task::CleanUp { to, container: id.clone(), error };
                        self.work(task, Job::Delete { container: id }, now, out);
                    }
                }
            }
            Task::Start { to, container: id, since } => {
                let ok = result.is_ok();
                out.push(Effect::Reply { to, result: result.map(|_| Reply::Done), carry: Carry::Nothing });
                let Some(container) = self.containers.get_mut(&id) else { return };
                let Phase::Starting { exit } = container.phase else { return };
                container.phase = if ok { Phase::Running } else { Phase::Created };
                if ok {
                    container.started_at = since;
                }
                if let Some(exit) = exit {
                    container.drain(&id, exit, now, out);
                }
            }
            Task::Exec { to, container, name, terminal } => {
                let reply = result.map(|Started { pid, oom_kills }| {
                    self.execs.insert(pid, Exec { name, container, oom_kills });
                    pid
                });
                let carry = match reply {
                    Ok(pid) if terminal => Carry::Terminal { pid, worker: number },
                    Ok(pid) => Carry::Process { pid },
                    Err(_) => Carry::Nothing,
                };
                out.push(Effect::Reply { to, result: reply.map(|pid| Reply::Created { pid }), carry });
            }
            Task::Delete { to, container: id } => {
                let Some(container) = self.containers.get_mut(&id) else { return };
                if result.is_ok() {
                    self.containers.remove(&id);
                    self.execs.retain(|_, exec| exec.container != id);
                    out.push(Effect::Forget { container: id });
                } else if let Phase::Deleting { exit } = container.phase {
                    container.phase = exit.map_or(Phase::Created, Phase::Exited);
                }
                out.push(Effect::Reply { to, result: result.map(|_| Reply::Done), carry: Carry::Nothing });
            }
            Task::CleanUp { to, container: id, error } => {
                self.containers.remove(&id);
                out.push(Effect::Forget { container: id });
                out.push(Effect::Reply { to, result: Err(error), carry: Carry::Nothing });
            }
        }
    }

    fn reaped(&mut self, pid: i32, ended: Ended, oom_kills: u64, now: Now, out: &mut Effects) {
        let mut exit =
            Exit { code: ended.code(), signal: ended.signal(), oom_killed: oom_kills > 0, at: now.wall };
        if self.pause == Some(pid) {
            self.pause = None;
            exit.oom_killed = false;
            out.push(Effect::Broadcast(Event::PauseExited { exit }));
        } else if let Some(exec) = self.execs.remove(&pid) {
            exit.oom_killed = exit.signal.is_some() && oom_kills > exec.oom_kills;
            out.push(Effect::Broadcast(Event::ExecExited { exec: exec.name, exit }));
        } else if let Some((id, container)) =
            self.containers.iter_mut().find(|(_, container)| container.pid == pid && container.lives())
        {
            out.push(Effect::Record { container: id.clone(), exit });
            match &mut container.phase {
                Phase::Starting { exit: known } | Phase::Deleting { exit: known } => *known = Some(exit),
                _ => container.drain(id, exit, now, out),
            }
        }
    }

    fn drained(&mut self, id: &str, now: Now, out: &mut Effects) {
        let Some(container) = self.containers.get_mut(id) else { return };
        if let Phase::Draining { exit, delete, .. } = container.phase {
            container.phase = Phase::Exited(exit);
            out.push(Effect::CloseStdin { container: id.to_owned() });
            out.push(Effect::Broadcast(Event::Exited { container: id.to_owned(), exit }));
            if let Some(to) = delete {
                self.delete(to, id, Some(exit), now, out);
            }
        }
    }

    fn delete(&mut self, to: Ticket, id: &str, exit: Option<Exit>, now: Now, out: &mut Effects) {
        if let Some(container) = self.containers.get_mut(id) {
            container.phase = Phase::Deleting { exit };
            self.work(
                Task::Delete { to, container: id.into() },
                Job::Delete { container: id.into() },
                now,
                out,
            );
        }
    }

    fn tick(&mut self, now: Now, out: &mut Effects) {
        let late = self.containers.iter().filter_map(|(id, container)| match container.phase {
            Phase::Draining { until, .. } if until <= now.uptime => Some(id.clone()),
            _ => None,
        });
        for id in late.collect::<Vec<_>>() {
            self.drained(&id, now, out);
        }
        for (&worker, entry) in &mut self.workers {
            if entry.until <= now.uptime {
                // Its end is reported as any worker's.
                entry.until = now.uptime + WORKER_LIMIT;
                out.push(Effect::KillWorker { worker });
            }
        }
    }

    fn find(&mut self, id: &str) -> Result<&mut Container, ReplyError> {
        self.containers
            .get_mut(id)
            .ok_or_else(|| refuse(ErrorCode::NotFound, format!("no container {id:.128}")))
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn work(&mut self, task: Task, job: Job, now: Now, out: &mut Effects) {
        let runtime = self.containers.get(job.container()).and_then(|container| container.runtime.clone());
        let worker = self.number();
        self.workers.insert(worker, Worker { task, until: now.uptime + WORKER_LIMIT });
        out.push(Effect::Work { worker, job, runtime });
    }
}

impl Container {
    /// `None` while it is being made.
    fn state(&self) -> Option<ContainerState> {
        match self.phase {
            Phase::Opening { .. } | Phase::Creating => None,
            Phase::Created | Phase::Starting { .. } | Phase::Deleting { exit: None } => {
                Some(ContainerState::Created)
            }
            Phase::Running => Some(ContainerState::Running),
            // Not yet told to anybody: the end of the log comes first.
            Phase::Draining { .. } if self.started_at == 0 => Some(ContainerState::Created),
            Phase::Draining { .. } => Some(ContainerState::Running),
            Phase::Exited(exit) | Phase::Deleting { exit: Some(exit) } => Some(ContainerState::Exited(exit)),
        }
    }

    /// Whether its init was not reaped yet, as far as is known.
    fn lives(&self) -> bool {
        matches!(
            self.phase,
            Phase::Created | Phase::Starting { exit: None } | Phase::Running | Phase::Deleting { exit: None }
        )
    }

    fn drain(&mut self, id: &str, exit: Exit, now: Now, out: &mut Effects) {
        self.phase = Phase::Draining { exit, until: now.uptime + DRAIN_LIMIT, delete: None };
        out.push(Effect::DrainLog { container: id.to_owned() });
    }

    fn refuse(&self, what: &str, id: &str) -> ReplyError {
        let state = match self.phase {
            Phase::Opening { .. } | Phase::Creating => "being created",
            Phase::Created => "created",
            Phase::Starting { .. } => "being started",
            Phase::Running => "running",
            Phase::Draining { .. } => "ending",
            Phase::Exited(_) => "exited",
            Phase::Deleting { .. } => "being deleted",
        };
        refuse(ErrorCode::WrongState, format!("{what} container {id}: it is {state}"))
    }
}

/// An error for a client; its text is bounded, so that the reply fits into a message.
pub(super) fn refuse(code: ErrorCode, message: impl Into<String>) -> ReplyError {
    let mut message = message.into();
    let end = (0..=message.len().min(8 << 10)).rev().find(|&end| message.is_char_boundary(end)).unwrap_or(0);
    message.truncate(end);
    ReplyError { code, message }
}

#[cfg(test)]
mod tests;
