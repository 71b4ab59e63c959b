//! Exec and attach for a kubelet: an HTTP server on a loopback address whose URLs carry one-shot tokens.
//!
//! ```text
//! CRI Exec ──▶ exec_url: token ──▶ kubelet dials the URL ──▶ Backend::exec ──▶ Session ──▶ Status, close
//!                        │                                        │                 │
//!                        └─ a minute passed: 404                  └─ failed: 500    └─ client gone: descriptors
//!                                                                                      are closed, the process
//!                                                                                      goes on (a terminal hangs up)
//! ```
//!
//! A token opens one session and nobody else on the machine can guess it; that is all the authentication that a
//! kubelet expects of this server. Memory per session is bounded: a client that does not read stops the copying, and
//! with it only the process that was exec'd. Only WebSocket is spoken (v5 and v4); SPDY and port-forward are
//! refused by name.

mod descriptor;
mod server;
mod session;
mod token;

use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use token::Tokens;

/// What a [`Backend`] answers with.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A process to run in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecSession {
    /// The container's full id.
    pub container: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Which streams, and whether with a terminal.
    pub streams: Streams,
}

/// A container whose own streams are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachSession {
    /// The container's full id.
    pub container: String,
    /// Which streams. `tty` says whether the container was made with a terminal.
    pub streams: Streams,
}

/// What the client wants to have connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// Its input.
    pub stdin: bool,
    /// The output.
    pub stdout: bool,
    /// The error output; none with a terminal.
    pub stderr: bool,
    /// Whether there is a terminal.
    pub tty: bool,
}

/// The descriptors of a running process, and its end. All may be blocking or not; they are made non-blocking.
///
/// Dropping it is what happens when the client leaves: it must not end the process.
pub struct Session {
    /// Where input goes: the write end of a pipe. Without it input goes to the terminal.
    pub stdin: Option<OwnedFd>,
    /// Where output comes from: the read end of a pipe. Without it output comes from the terminal.
    pub stdout: Option<OwnedFd>,
    /// Where error output comes from.
    pub stderr: Option<OwnedFd>,
    /// The terminal's master: resized, and read and written unless `stdin` and `stdout` say otherwise.
    pub terminal: Option<OwnedFd>,
    /// Resolves when the process has ended, with its exit code. For attach: when the container has ended, with 0.
    pub exit: BoxFuture<'static, Result<i32, StreamError>>,
    /// Called once when the client has no more input, after `stdin` was closed (attach to a container with
    /// `stdin_once`).
    pub stdin_closed: Option<Box<dyn FnOnce() + Send>>,
}

/// Why a session could not be made or has no exit code; the text goes to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StreamError(pub String);

/// Starts processes and finds containers; the CRI daemon over a pod's monitor.
pub trait Backend: Send + Sync + 'static {
    /// Starts a process.
    fn exec(&self, session: ExecSession) -> BoxFuture<'_, Result<Session, StreamError>>;
    /// Connects to a container's streams.
    fn attach(&self, session: AttachSession) -> BoxFuture<'_, Result<Session, StreamError>>;
}

/// What a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Request {
    Exec(ExecSession),
    Attach(AttachSession),
}

impl Request {
    fn streams(&self) -> Streams {
        match self {
            Self::Exec(session) => session.streams,
            Self::Attach(session) => session.streams,
        }
    }
}

/// Too many sessions were asked for and not yet opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many exec and attach sessions wait for their client")]
pub struct TooManySessions;

/// Hands out URLs.
#[derive(Clone)]
pub struct StreamServer {
    base: String,
    tokens: Arc<Tokens<Request>>,
}

impl StreamServer {
    /// Listens on `address` (port 0: a free one) and serves until `shutdown` is cancelled. The task ends only then:
    /// its owner treats an earlier end as a failure of the daemon.
    pub async fn start(
        address: SocketAddr,
        backend: Arc<dyn Backend>,
        shutdown: CancellationToken,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let listener = TcpListener::bind(address).await?;
        let base = format!("http://{}", listener.local_addr()?);
        let tokens = Arc::new(Tokens::default());
        let serving = tokio::spawn(server::serve(listener, tokens.clone(), backend, shutdown));
        Ok((Self { base, tokens }, serving))
    }

    /// The URL of a new exec session, good for one use within a minute.
    pub fn exec_url(&self, session: ExecSession) -> Result<String, TooManySessions> {
        self.url("exec", Request::Exec(session))
    }

    /// The URL of a new attach session, good for one use within a minute.
    pub fn attach_url(&self, session: AttachSession) -> Result<String, TooManySessions> {
        self.url("attach", Request::Attach(session))
    }

    fn url(&self, verb: &str, request: Request) -> Result<String, TooManySessions> {
        let token = self.tokens.insert(request)?;
        Ok(format!("{}/{verb}/{token}", self.base))
    }
}

#[cfg(test)]
mod tests;
