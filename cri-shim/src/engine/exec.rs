//! ExecSync, and the process side of exec and attach.
//!
//! ```text
//!            the monitor's worker made it           it ends (the monitor reaps)       streams end, or 500 ms
//!   asked ───────────────────────────────▶ running ────────────────────────────▶ ended ──────────────▶ answered
//!     │ refused, or the runtime failed       │ ExecSync's deadline: killed with its children
//!     └──────────────▶ error ◀───────────────┴─ the monitor is gone
//! ```

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use api_cri::v1::ExecSyncResponse;
use api_monitor::{ExecRequest, Exit, Reply, Request};
use futures_util::future::FutureExt as _;
use oci_spec::runtime::Spec;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;

use super::{Engine, new_id};
use crate::core::container::{Container, ContainerPhase};
use crate::core::failure::{Code, Failure};
use crate::core::spec;
use crate::disk;
use crate::monitor;
use crate::stream::{AttachSession, Backend, BoxFuture, ExecSession, Session, StreamError};

/// The most that ExecSync returns of each stream; the rest is read and discarded.
const LARGEST_OUTPUT: usize = 16 << 20;
/// How long output is waited for after the process has ended: a child that it left may hold the pipe for ever.
const DRAIN: Duration = Duration::from_millis(500);

/// A process that runs in a container.
struct Running {
    pid: i32,
    pidfd: OwnedFd,
    terminal: Option<OwnedFd>,
    end: oneshot::Receiver<Exit>,
}

impl Engine {
    fn running_container(&self, id: &str) -> Result<Container, Failure> {
        let container = self.state().container(id)?.clone();
        if container.phase == ContainerPhase::Running {
            Ok(container)
        } else {
            Err(Failure::state(format!("container {} is not running", container.id)))
        }
    }

    /// Starts a process whose present streams are `fds`, in the order of `streams`.
    async fn exec(
        &self,
        container: &Container,
        command: &[String],
        terminal: bool,
        streams: [bool; 3],
        fds: &[BorrowedFd<'_>],
    ) -> Result<Running, Failure> {
        let spec: Spec = disk::read_json(&self.performer.paths.spec(&container.id))?;
        let init = spec.process().as_ref().ok_or_else(|| Failure::internal("a bundle without a process"))?;
        let process = spec::exec(init, command, terminal)?;
        let exec = new_id()?;
        let path = self.performer.paths.exec(&container.id, &exec);
        disk::write_json(&path, &process)?;
        let monitor = self.performer.monitor(&container.sandbox)?;
        let end = monitor.exec_end(&exec);
        let request =
            ExecRequest { container: container.id.clone(), exec, process: path.clone(), terminal, streams };
        let answer = monitor.request(Request::Exec(request), fds).await;
        disk::remove_file(&path)?;
        let (reply, fds) = answer?;
        let mut fds = fds.into_iter();
        let (Reply::Created { pid }, Some(pidfd)) = (reply, fds.next()) else {
            return Err(monitor::Error::Unexpected.into());
        };
        Ok(Running { pid, pidfd, terminal: fds.next(), end })
    }

    /// Runs a command to its end. A `limit` of zero is none.
    pub(crate) async fn exec_sync(
        &self,
        id: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<ExecSyncResponse, Failure> {
        let container = self.running_container(id)?;
        let (out, out_end) = pipe()?;
        let (err, err_end) = pipe()?;
        let fds = [out_end.as_fd(), err_end.as_fd()];
        let running = self.exec(&container, command, false, [false, true, true], &fds).await?;
        drop((out_end, err_end));
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let exit = {
            let reading = async { tokio::join!(read(out, &mut stdout), read(err, &mut stderr)) };
            let finished = finish(running.end, reading);
            let limit = if limit.is_zero() { Duration::MAX } else { limit };
            match tokio::time::timeout(limit, finished).await {
                Ok(exit) => exit?,
                Err(_) => {
                    kill_with_children(running.pid, &running.pidfd);
                    let text = format!(
                        "command {:?} timed out after {} seconds",
                        command.join(" "),
                        limit.as_secs()
                    );
                    return Err(Failure::new(Code::DeadlineExceeded, text));
                }
            }
        };
        Ok(ExecSyncResponse { stdout, stderr, exit_code: exit.code })
    }

    async fn exec_session(self: Arc<Self>, session: ExecSession) -> Result<Session, Failure> {
        let container = self.running_container(&session.container)?;
        let streams = session.streams;
        if streams.tty {
            let mut running = self.exec(&container, &session.command, true, [false; 3], &[]).await?;
            return Ok(Session {
                stdin: None,
                stdout: None,
                stderr: None,
                terminal: running.terminal.take(),
                exit: exit_code(running),
                stdin_closed: None,
            });
        }
        let (stdin_end, stdin) = pair(streams.stdin)?;
        let (stdout, stdout_end) = pair(streams.stdout)?;
        let (stderr, stderr_end) = pair(streams.stderr)?;
        let ends = [stdin_end, stdout_end, stderr_end];
        let fds: Vec<BorrowedFd<'_>> = ends.iter().flatten().map(|fd| fd.as_fd()).collect();
        let wanted = [streams.stdin, streams.stdout, streams.stderr];
        let running = self.exec(&container, &session.command, false, wanted, &fds).await?;
        drop(ends);
        Ok(Session { stdin, stdout, stderr, terminal: None, exit: exit_code(running), stdin_closed: None })
    }

    async fn attach_session(self: Arc<Self>, session: AttachSession) -> Result<Session, Failure> {
        let container = self.running_container(&session.container)?;
        let streams = session.streams;
        let stdin = streams.stdin && container.config.stdin;
        let (stdout, stdout_end) = pair(streams.stdout || streams.tty)?;
        let (stderr, stderr_end) = pair(streams.stderr && !streams.tty)?;
        let ends = [stdout_end, stderr_end];
        let fds: Vec<BorrowedFd<'_>> = ends.iter().flatten().map(|fd| fd.as_fd()).collect();
        let monitor = self.performer.monitor(&container.sandbox)?;
        let request = Request::Attach { container: container.id.clone(), stdin };
        let (_, given) = monitor.request(request, &fds).await?;
        drop(ends);
        let given = given.into_iter().next();
        let (terminal, input) = if container.config.tty { (given, None) } else { (None, given) };
        let id = container.id.clone();
        let engine = Arc::clone(&self);
        let ended = async move {
            let mut changed = engine.changed.subscribe();
            while engine
                .state()
                .container(&id)
                .is_ok_and(|container| container.phase == ContainerPhase::Running)
            {
                if changed.changed().await.is_err() {
                    break;
                }
            }
            Ok(0)
        };
        let once = container.config.stdin_once && stdin;
        let closed = once.then(|| -> Box<dyn FnOnce() + Send> {
            Box::new(move || {
                let close = Request::CloseStdin { container: container.id };
                // Nothing waits for it, and a monitor that is gone has closed it.
                tokio::spawn(async move { monitor.request(close, &[]).await.map(drop) });
            })
        });
        Ok(Session { stdin: input, stdout, stderr, terminal, exit: ended.boxed(), stdin_closed: closed })
    }
}

/// The daemon as the stream server sees it.
pub(crate) struct Streams(pub(crate) Arc<Engine>);

impl Backend for Streams {
    fn exec(&self, session: ExecSession) -> BoxFuture<'_, Result<Session, StreamError>> {
        let engine = Arc::clone(&self.0);
        Box::pin(
            async move { engine.exec_session(session).await.map_err(|failure| StreamError(failure.message)) },
        )
    }

    fn attach(&self, session: AttachSession) -> BoxFuture<'_, Result<Session, StreamError>> {
        let engine = Arc::clone(&self.0);
        Box::pin(async move {
            engine.attach_session(session).await.map_err(|failure| StreamError(failure.message))
        })
    }
}

fn exit_code(running: Running) -> BoxFuture<'static, Result<i32, StreamError>> {
    Box::pin(async move {
        running.end.await.map(|exit| exit.code).map_err(|_| StreamError(monitor::Error::Gone.to_string()))
    })
}

/// The read and the write end.
fn pipe() -> Result<(OwnedFd, OwnedFd), Failure> {
    pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Failure::internal(format!("making a pipe: {errno}")))
}

fn pair(wanted: bool) -> Result<(Option<OwnedFd>, Option<OwnedFd>), Failure> {
    Ok(if wanted { pipe().map(|(read, write)| (Some(read), Some(write)))? } else { (None, None) })
}

/// Waits for the end of a process, and a little longer for output that a child of it may never end.
async fn finish(
    end: oneshot::Receiver<Exit>,
    reading: impl Future<Output = ((), ())>,
) -> Result<Exit, Failure> {
    tokio::pin!(end, reading);
    let gone = |_| Failure::from(monitor::Error::Gone);
    tokio::select! {
        _ = &mut reading => end.await.map_err(gone),
        exit = &mut end => {
            let exit = exit.map_err(gone)?;
            let _ = tokio::time::timeout(DRAIN, reading).await;
            Ok(exit)
        }
    }
}

/// Reads to the end and keeps what may be kept.
async fn read(end: OwnedFd, kept: &mut Vec<u8>) {
    let Ok(mut pipe) = Receiver::from_owned_fd(end) else { return };
    let mut chunk = vec![0; 32 << 10];
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        let room = LARGEST_OUTPUT - kept.len();
        kept.extend_from_slice(chunk.get(..length.min(room)).unwrap_or_default());
    }
}

/// Kills a process and what it started: a probe that timed out must leave nothing behind.
fn kill_with_children(pid: i32, pidfd: &OwnedFd) {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        next += 1;
        let tasks = disk::names(format!("/proc/{parent}/task").as_ref()).unwrap_or_default();
        for task in tasks {
            let children =
                std::fs::read_to_string(format!("/proc/{parent}/task/{task}/children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
    }
    // The children first, by descriptors taken while their parent lives, so that no number can have changed hands.
    let children: Vec<OwnedFd> =
        family.iter().skip(1).filter_map(|pid| sys::process::pidfd(*pid).ok()).collect();
    for target in children.iter().chain([pidfd]) {
        if let Err(errno) = sys::process::send_signal(target, crate::core::signal::SIGKILL)
            && errno != rustix::io::Errno::SRCH
        {
            tracing::warn!(pid, %errno, "killing a command that timed out");
        }
    }
}
