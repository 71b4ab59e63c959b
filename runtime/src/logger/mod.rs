//! The logger: a process beside the monitor that writes what a pod's containers print.
//!
//! It is apart because a write to a log may wait for a slow disk, which must delay neither a reaping nor a probe.
//! It holds the read ends of the containers' pipes; when the monitor dies it goes on until they are closed, so that
//! no line is lost.

mod file;
mod line;
mod output;
pub(crate) mod protocol;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::signal::{SigSet, Signal};
use sys::seqpacket::{Connection, MAX_FDS};

use self::file::LogFile;
use self::output::{Flow, Output};
use self::protocol::{Command, Report};

/// The largest message between the monitor and its logger, in bytes: a path and two names.
pub(crate) const MAX_MESSAGE: usize = 16 << 10;
const CONTROL: u64 = 0;
/// How long the end of a terminal is waited for. The kernel hands a terminal's last output on from a work queue, so
/// that "nothing there" does not mean that nothing comes, as it does with a pipe.
const TERMINAL_END: Duration = Duration::from_millis(500);

/// Runs the logger; its connection to the monitor is its standard input.
pub(crate) fn main() -> ExitCode {
    // A signal to the whole session, say at shutdown, must not cost the last lines.
    let mut ignored = SigSet::empty();
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
        ignored.add(signal);
    }
    let run = || -> io::Result<()> {
        ignored.thread_block()?;
        let control = io::stdin().as_fd().try_clone_to_owned()?;
        Logger::new(Connection::from(control))?.run()
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

struct Logger {
    epoll: Rc<Epoll>,
    /// `None` after the monitor's death.
    monitor: Option<Connection>,
    outputs: BTreeMap<String, Entry>,
    /// By epoll token: whose stream it is, and which.
    tokens: BTreeMap<u64, (String, usize)>,
    next_token: u64,
}

struct Entry {
    output: Output,
    terminal: bool,
    /// Until when the end of the terminal is waited for.
    draining: Option<Instant>,
}

impl Logger {
    fn new(monitor: Connection) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&monitor, EpollEvent::new(EpollFlags::EPOLLIN, CONTROL))?;
        monitor.set_nonblocking(true)?;
        Ok(Self {
            epoll: Rc::new(epoll),
            monitor: Some(monitor),
            outputs: BTreeMap::new(),
            tokens: BTreeMap::new(),
            next_token: CONTROL + 1,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); 16];
        while self.monitor.is_some() || self.outputs.values().any(|entry| entry.output.is_open()) {
            let timeout = self
                .outputs
                .values()
                .filter_map(|entry| entry.draining)
                .min()
                .map(|at| at.saturating_duration_since(Instant::now()).as_millis());
            let timeout = timeout.map_or(-1, |left| i32::try_from(left + 1).unwrap_or(i32::MAX));
            let ready = match self.epoll.wait(&mut events, timeout_of(timeout)) {
                Ok(ready) => ready,
                Err(nix::Error::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            for event in &events[..ready] {
                match event.data() {
                    CONTROL => self.control()?,
                    token => self.pump(token),
                }
            }
            self.finish_drains();
        }
        Ok(())
    }

    fn pump(&mut self, token: u64) {
        let Some((container, index)) = self.tokens.get(&token) else { return };
        let flow = self.outputs.get_mut(container).map_or(Flow::Ended, |entry| entry.output.pump(*index));
        if flow == Flow::Ended {
            self.tokens.remove(&token);
        }
    }

    fn control(&mut self) -> io::Result<()> {
        let mut buffer = [0; MAX_MESSAGE];
        while let Some(monitor) = &self.monitor {
            match monitor.recv(&mut buffer) {
                Ok(received) if received.len == 0 => {
                    self.epoll.delete(monitor)?;
                    self.monitor = None;
                }
                Ok(received) => {
                    if let Ok(command) = serde_json::from_slice(&buffer[..received.len]) {
                        self.obey(command, received.fds);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.monitor = None,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn obey(&mut self, command: Command, fds: Vec<OwnedFd>) {
        debug_assert!(fds.len() <= MAX_FDS);
        match command {
            Command::Open { container, path } => {
                let (log, error) = match LogFile::open(path.clone()) {
                    Ok(log) => (log, None),
                    Err(error) => (LogFile::closed(path), Some(error.to_string())),
                };
                let entry = Entry { output: Output::new(log), terminal: false, draining: None };
                self.outputs.insert(container.clone(), entry);
                let added = self.add_sources(&container, fds).err().map(|error| error.to_string());
                self.report(&Report::Opened { container, error: error.or(added) });
            }
            Command::Terminal { container } => {
                if let Some(entry) = self.outputs.get_mut(&container) {
                    entry.terminal = true;
                }
                // A terminal that cannot be watched has no output; there is nobody left to tell.
                let _ = self.add_sources(&container, fds);
            }
            Command::Attach { container } => {
                if let Some(entry) = self.outputs.get_mut(&container) {
                    for (index, sink) in fds.into_iter().take(2).enumerate() {
                        // One who passed what cannot be written to gets nothing.
                        let _ = entry.output.add_sink(index, sink);
                    }
                }
            }
            Command::Reopen { container, token } => {
                let result =
                    self.outputs.get_mut(&container).map_or(Ok(()), |entry| entry.output.log.reopen());
                self.report(&Report::Reopened { token, error: result.err().map(|error| error.to_string()) });
            }
            Command::Drain { container } => {
                if let Some(entry) = self.outputs.get_mut(&container) {
                    entry.output.drain();
                    let wait = if entry.terminal { TERMINAL_END } else { Duration::ZERO };
                    entry.draining = Some(Instant::now() + wait);
                } else {
                    self.report(&Report::Drained { container });
                }
            }
            Command::Close { container } => {
                if let Some(mut entry) = self.outputs.remove(&container) {
                    entry.output.drain();
                }
                self.tokens.retain(|_, (name, _)| *name != container);
            }
        }
    }

    fn add_sources(&mut self, container: &str, fds: Vec<OwnedFd>) -> io::Result<()> {
        let Some(entry) = self.outputs.get_mut(container) else { return Ok(()) };
        for (index, fd) in fds.into_iter().take(2).enumerate() {
            entry.output.add_source(index, fd, &self.epoll, self.next_token)?;
            self.tokens.insert(self.next_token, (container.to_owned(), index));
            self.next_token += 1;
        }
        Ok(())
    }

    fn finish_drains(&mut self) {
        let now = Instant::now();
        let mut drained = Vec::new();
        for (container, entry) in &mut self.outputs {
            if entry.draining.is_some_and(|until| until <= now || !entry.output.is_open()) {
                entry.draining = None;
                entry.output.drain();
                drained.push(container.clone());
            }
        }
        for container in drained {
            self.report(&Report::Drained { container });
        }
    }

    /// A monitor that does not read, or is gone, needs no report: it waits with a deadline.
    fn report(&self, report: &Report) {
        if let (Some(monitor), Ok(bytes)) = (&self.monitor, serde_json::to_vec(report)) {
            let _ = monitor.send(&bytes, &[]);
        }
    }
}

fn timeout_of(milliseconds: i32) -> nix::sys::epoll::EpollTimeout {
    milliseconds.try_into().unwrap_or(nix::sys::epoll::EpollTimeout::NONE)
}
