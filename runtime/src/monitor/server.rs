//! The monitor's one loop: waits, asks [`Pod`](super::pod) what follows, does it.
//!
//! Children are reaped on SIGCHLD. While a worker runs, only known children are: an orphan that nobody knows yet
//! may be the init that the worker is about to name, and its exit must be there when it has. Between workers,
//! everything is reaped. A worker that hangs therefore delays nobody's exit; it only keeps nameless orphans (of
//! containers in the host's PID namespace) as zombies until it ends, which [`WORKER_LIMIT`](super::pod) bounds.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Stdio;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use api_monitor::{ErrorCode, Event, PodConfig, PodStatus, Reply, ReplyError, ServerMessage};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::pipe::{PipeFlags, pipe_with};
use sys::During;
use sys::pidfd::{Ended, PidFd, reap_any, reap_child};
use sys::seqpacket::Listener;

use super::effect::{Carry, Effect, Input, Job, Now, Ticket};
use super::link::Link;
use super::pod::{Pod, refuse};
use super::record;
use super::setup::Made;
use super::worker::Worker;
use crate::logger::protocol::{Command, Report};

mod clients;

use clients::{Clients, FIRST_CLIENT};

const LISTENER: u64 = 0;
const SIGNALS: u64 = 1;
const LOGGER: u64 = 2;
/// A logger that cannot live is not started for ever.
const MAX_LOGGERS: u32 = 64;

/// What the monitor holds.
pub(super) struct Server {
    config: PodConfig,
    pod: Pod,
    made: Made,
    started: Instant,
    epoll: Epoll,
    listener: Listener,
    signals: SignalFd,
    clients: Clients,
    link: Link,
    loggers: u32,
    workers: BTreeMap<u64, Worker>,
    /// By container.
    ends: BTreeMap<String, Ends>,
    /// Terminals of execs, between their worker's end and the reply.
    terminals: BTreeMap<u64, OwnedFd>,
    inputs: VecDeque<Input>,
    ending: bool,
}

/// The monitor's ends of a container's standard streams.
#[derive(Default)]
struct Ends {
    /// The write end of standard input.
    stdin: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
    /// The read ends of stdout and stderr, kept for another logger should this one die.
    sources: Vec<OwnedFd>,
    /// The container's own, until it is created.
    child: Option<[OwnedFd; 3]>,
}

impl Server {
    /// Binds the socket. On failure the pod is undone.
    pub(super) fn new(config: PodConfig, pod: Pod, link: Link, made: Made) -> Result<Self, sys::Error> {
        match Self::open(&config, &link) {
            Ok((epoll, listener, signals)) => Ok(Self {
                config,
                pod,
                made,
                started: Instant::now(),
                epoll,
                listener,
                signals,
                clients: Clients::default(),
                link,
                loggers: 1,
                workers: BTreeMap::new(),
                ends: BTreeMap::new(),
                terminals: BTreeMap::new(),
                inputs: VecDeque::new(),
                ending: false,
            }),
            Err(error) => {
                made.undo();
                Err(error)
            }
        }
    }

    fn open(config: &PodConfig, link: &Link) -> Result<(Epoll, Listener, SignalFd), sys::Error> {
        let mut mask = SigSet::empty();
        // The first two are for the loop. The others are blocked and never read: a signal to everybody at shutdown
        // must not end the owner of processes that are still ending. SIGPIPE is ignored by Rust's runtime.
        for signal in [Signal::SIGCHLD, Signal::SIGTERM] {
            mask.add(signal);
        }
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(io::Error::from)
            .during("signalfd", "SIGCHLD")?;
        for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
            mask.add(signal);
        }
        mask.thread_block().map_err(io::Error::from).during("block", "signals")?;
        let listener = Listener::bind(&config.socket).during("bind", config.socket.display())?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(io::Error::from)
            .during("epoll_create", "")?;
        for (fd, token) in [(listener.as_fd(), LISTENER), (signals.as_fd(), SIGNALS), (link.as_fd(), LOGGER)]
        {
            epoll
                .add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))
                .map_err(io::Error::from)
                .during("epoll_ctl", token)?;
        }
        Ok((epoll, listener, signals))
    }

    /// What the ready line says.
    pub(super) fn status(&self) -> PodStatus {
        self.pod.status()
    }

    /// Undoes the pod, when nobody could be told of it.
    pub(super) fn abandon(self) {
        // The one thing beside the pod's; its folder goes as well.
        let _ = std::fs::remove_file(&self.config.socket);
        self.made.undo();
    }

    /// Serves until [`Shutdown`](api_monitor::Request::Shutdown).
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); 16];
        // A child may have ended before SIGCHLD was watched for.
        self.reap();
        while !self.ending {
            let timeout = self.pod.deadline().map_or(EpollTimeout::NONE, |at| {
                let left = at.saturating_sub(self.started.elapsed()).as_millis() + 1;
                EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX)
            });
            let ready = match self.epoll.wait(&mut events, timeout) {
                Ok(ready) => ready,
                Err(nix::Error::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            for event in &events[..ready] {
                match event.data() {
                    LISTENER => self.clients.accept(&self.listener, &self.epoll),
                    SIGNALS => self.signalled(),
                    LOGGER => self.heard_logger(),
                    token => self.serve(token),
                }
            }
            self.happen(Input::Tick);
        }
        // Removed so that a client does not wait for an answer of nobody.
        let _ = std::fs::remove_file(&self.config.socket);
        self.link.end();
        Ok(())
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Now { wall: i64::try_from(wall).unwrap_or(i64::MAX), uptime: self.started.elapsed() }
    }

    /// Takes what happened, and what follows from it, and what follows from that.
    fn happen(&mut self, input: Input) {
        self.happen_with(input, Vec::new());
    }

    fn happen_with(&mut self, input: Input, mut fds: Vec<OwnedFd>) {
        self.inputs.push_back(input);
        while let Some(input) = self.inputs.pop_front() {
            let now = self.now();
            for effect in self.pod.apply(input, now) {
                self.perform(effect, &mut fds);
            }
        }
    }

    fn signalled(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if signal.ssi_signo == Signal::SIGTERM as u32 {
                // As a client's Shutdown: refused while a container lives.
                let from = Ticket { client: 0, id: 0 };
                self.happen(Input::Request { from, request: api_monitor::Request::Shutdown, fds: 0 });
            }
        }
        self.reap();
    }

    fn reap(&mut self) {
        loop {
            let mut progress = false;
            let workers: Vec<(u64, i32)> =
                self.workers.iter().map(|(&id, worker)| (id, worker.pid)).collect();
            for (id, pid) in workers {
                if let Ok(Some(ended)) = reap_child(pid) {
                    self.worker_ended(id, ended);
                    progress = true;
                }
            }
            for pid in self.pod.pids() {
                if let Ok(Some(ended)) = reap_child(pid) {
                    self.ended(pid, ended);
                    progress = true;
                }
            }
            if let Ok(Some(_)) = reap_child(self.link.pid) {
                self.replace_logger();
                progress = true;
            }
            while self.workers.is_empty()
                && let Some((pid, ended)) = reap_any()
            {
                if pid == self.link.pid {
                    self.replace_logger()
                } else {
                    self.ended(pid, ended)
                }
                progress = true;
            }
            if !progress {
                return;
            }
        }
    }

    fn ended(&mut self, pid: i32, ended: Ended) {
        let oom_kills = self.pod.memory_cgroup(pid).map_or(0, |folder| record::oom_kills(folder));
        self.happen(Input::Reaped { pid, ended, oom_kills });
    }

    fn worker_ended(&mut self, number: u64, ended: Ended) {
        let Some(worker) = self.workers.remove(&number) else { return };
        let container = worker.creates.clone();
        let (outcome, terminal) = worker.finish(ended);
        if let Some(terminal) = terminal {
            match container {
                Some(container) => self.adopt_terminal(container, terminal),
                None => drop(self.terminals.insert(number, terminal)),
            }
        }
        self.happen(Input::WorkerEnded { worker: number, outcome });
        self.terminals.remove(&number);
    }

    fn adopt_terminal(&mut self, container: String, terminal: OwnedFd) {
        // A logger that is stalled now never reads this terminal; the container then waits when its buffer is full,
        // as it does with a pipe that nobody reads. A logger that dies is replaced and told again.
        let _ = self.link.send(&Command::Terminal { container: container.clone() }, &[terminal.as_fd()]);
        self.ends.entry(container).or_default().terminal = Some(terminal);
    }

    fn heard_logger(&mut self) {
        loop {
            match self.link.receive() {
                Ok(Some(Report::Opened { container, error })) => {
                    self.happen(Input::LogOpened { container, error })
                }
                Ok(Some(Report::Reopened { token, error })) => {
                    self.happen(Input::LogReopened { token, error })
                }
                Ok(Some(Report::Drained { container })) => self.happen(Input::LogDrained { container }),
                Ok(None) => return,
                Err(_) => {
                    // Its end is seen by SIGCHLD; until then a closed connection would wake the loop all the time.
                    let _ = self.epoll.delete(&self.link);
                    return;
                }
            }
        }
    }

    /// Starts another logger and hands it everything. The lines that the old one had begun are lost.
    fn replace_logger(&mut self) {
        let _ = self.epoll.delete(&self.link);
        if self.loggers >= MAX_LOGGERS {
            return;
        }
        let Ok(link) = Link::start() else { return };
        self.loggers += 1;
        self.link = link;
        // Without its answers the deadlines of the pod hold.
        let _ = self.epoll.add(&self.link, EpollEvent::new(EpollFlags::EPOLLIN, LOGGER));
        for (container, path, draining) in self.pod.logged() {
            let Some(ends) = self.ends.get(&container) else { continue };
            let sources: Vec<BorrowedFd<'_>> = ends.sources.iter().map(AsFd::as_fd).collect();
            let _ = self.link.send(&Command::Open { container: container.clone(), path }, &sources);
            if let Some(terminal) = &ends.terminal {
                let container = container.clone();
                let _ = self.link.send(&Command::Terminal { container }, &[terminal.as_fd()]);
            }
            if draining {
                let _ = self.link.send(&Command::Drain { container }, &[]);
            }
        }
        for token in self.pod.reopenings() {
            self.happen(Input::LogReopened { token, error: None });
        }
    }

    fn perform(&mut self, effect: Effect, fds: &mut Vec<OwnedFd>) {
        match effect {
            Effect::Reply { to, result, carry } => self.reply(to, result, &carry),
            Effect::Broadcast(event) => self.broadcast(event),
            Effect::OpenLog { container, terminal, stdin, path } => {
                if let Err(error) = self.open_log(&container, terminal, stdin, path) {
                    let error = Some(error.to_string());
                    self.inputs.push_back(Input::LogOpened { container, error });
                }
            }
            Effect::ReopenLog { container, token } => {
                if let Err(error) = self.link.send(&Command::Reopen { container, token }, &[]) {
                    let error = Some(error.to_string());
                    self.inputs.push_back(Input::LogReopened { token, error });
                }
            }
            Effect::AttachLog { container } => {
                let passed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
                // A logger that is stalled shows nothing to anybody; the client sees its descriptors closed.
                let _ = self.link.send(&Command::Attach { container }, &passed);
                fds.clear();
            }
            Effect::DrainLog { container } => {
                // Without an answer the deadline holds.
                let _ = self.link.send(&Command::Drain { container }, &[]);
            }
            Effect::Work { worker, job, runtime } => {
                if let Err(error) = self.work(worker, &job, runtime.as_deref(), fds) {
                    let outcome = Err(error.to_string());
                    self.inputs.push_back(Input::WorkerEnded { worker, outcome });
                }
            }
            Effect::KillWorker { worker } => {
                if let Some(worker) = self.workers.get(&worker)
                    && let Ok(process) = PidFd::open(worker.pid)
                {
                    // It cannot be gone: it was not reaped.
                    let _ = process.signal(Signal::SIGKILL as i32);
                }
            }
            Effect::Record { container, exit } => {
                // A tmpfs that is full costs the record; the exit is still reported to whoever is connected.
                let _ = record::write(&self.config.state_dir, &container, &exit);
            }
            Effect::CloseStdin { container } => {
                if let Some(ends) = self.ends.get_mut(&container) {
                    ends.stdin = None;
                }
            }
            Effect::Forget { container } => {
                self.ends.remove(&container);
                // A record that stays is one of a container that the daemon has forgotten.
                let _ = record::remove(&self.config.state_dir, &container);
                let _ = self.link.send(&Command::Close { container }, &[]);
            }
            Effect::End => self.ending = true,
        }
    }

    fn open_log(
        &mut self,
        container: &str,
        terminal: bool,
        stdin: bool,
        path: Option<std::path::PathBuf>,
    ) -> io::Result<()> {
        let mut ends = Ends::default();
        if !terminal {
            let (stdout, child_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
            let (stderr, child_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
            let child_stdin = if stdin {
                let (child_stdin, stdin) = pipe_with(PipeFlags::CLOEXEC)?;
                ends.stdin = Some(stdin);
                child_stdin
            } else {
                std::fs::File::open("/dev/null")?.into()
            };
            ends.sources = vec![stdout, stderr];
            ends.child = Some([child_stdin, child_stdout, child_stderr]);
        }
        let sources: Vec<BorrowedFd<'_>> = ends.sources.iter().map(AsFd::as_fd).collect();
        self.link.send(&Command::Open { container: container.to_owned(), path }, &sources)?;
        self.ends.insert(container.to_owned(), ends);
        Ok(())
    }

    fn work(
        &mut self,
        number: u64,
        job: &Job,
        runtime: Option<&[String]>,
        fds: &mut Vec<OwnedFd>,
    ) -> io::Result<()> {
        let mut streams = [Stdio::null(), Stdio::null(), Stdio::null()];
        match job {
            Job::Create { container, .. } => {
                if let Some(child) = self.ends.get_mut(container).and_then(|ends| ends.child.take()) {
                    streams = child.map(Stdio::from);
                }
            }
            Job::Exec { streams: passed, .. } => {
                let wanted = streams.iter_mut().zip(passed).filter(|(_, passed)| **passed);
                for ((stream, _), fd) in wanted.zip(fds.drain(..)) {
                    *stream = fd.into();
                }
            }
            Job::Start { .. } | Job::Delete { .. } => {}
        }
        let cgroup = self.pod.memory_cgroup_of(job.container());
        let oom_kills = cgroup.map_or(0, |folder| record::oom_kills(folder));
        let worker = Worker::start(&self.config, number, job, runtime, streams, oom_kills)?;
        self.workers.insert(number, worker);
        Ok(())
    }

    fn broadcast(&mut self, event: Event) {
        self.clients.broadcast(&ServerMessage::Event(event));
    }

    fn reply(&mut self, to: Ticket, result: Result<Reply, ReplyError>, carry: &Carry) {
        let carried = self.carried(carry);
        let (result, fds) = match carried {
            Ok(fds) => (result, fds),
            Err(error) => (Err(refuse(ErrorCode::Internal, error.to_string())), Vec::new()),
        };
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        self.clients.reply(to, result, &fds);
    }

    fn carried(&mut self, carry: &Carry) -> Result<Vec<OwnedFd>, sys::Error> {
        Ok(match carry {
            Carry::Nothing => Vec::new(),
            Carry::Process { pid } => vec![PidFd::open(*pid)?.into()],
            Carry::Terminal { pid, worker } => {
                [Some(PidFd::open(*pid)?.into()), self.terminals.remove(worker)]
                    .into_iter()
                    .flatten()
                    .collect()
            }
            Carry::Input { container } => {
                let ends = self.ends.get(container);
                let end = ends.and_then(|ends| ends.terminal.as_ref().or(ends.stdin.as_ref()));
                let copy = end.map(OwnedFd::try_clone).transpose().during("duplicate", "the input")?;
                copy.into_iter().collect()
            }
        })
    }

    fn serve(&mut self, token: u64) {
        debug_assert!(token >= FIRST_CLIENT);
        for _ in 0..clients::TURN {
            let Some((from, decoded, fds)) = self.clients.receive(token) else { return };
            match decoded {
                Ok(request) => {
                    let count = fds.len();
                    self.happen_with(Input::Request { from, request, fds: count }, fds);
                }
                Err(error) => self.clients.reply(from, Err(error), &[]),
            }
        }
    }
}
