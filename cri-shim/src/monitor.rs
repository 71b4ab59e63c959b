//! The client of one pod's monitor.
//!
//! ```text
//! requests ──▶ socket (SEQPACKET) ──▶ monitor
//! replies, by id ◀── reader task ◀── socket          events ──▶ the engine
//!                        └── socket closed or process gone ──▶ Happened::Gone, once
//! ```
//! The monitor is held by pidfd ([`Process`]), so that its death is noticed even when its socket stays open in a child
//! of it, and killing it can never hit a process that got its number later.
//!
//! A monitor that does not answer is not dead. What must not wait for one that hangs asks by
//! [`Client::request_unless_hung`]; a connection that ended is made anew while the process lives.

use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api_monitor::{
    ClientMessage, DecodeError, ErrorCode, Event, Exit, MAX_FDS, MAX_MESSAGE, PodStatus, Reply, ReplyError,
    Request, SPOKEN, ServerMessage, VERSION,
};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

mod process;

pub(crate) use process::Process;

/// How long a request may take. Whatever can block in a monitor happens in its workers, and no worker should need
/// longer than the kubelet waits for a call.
const DEADLINE: Duration = Duration::from_secs(110);
/// How long a monitor may take over what it needs no worker for, before it counts as hung; asked twice.
const AWAKE: Duration = Duration::from_secs(1);

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The socket cannot be used.
    #[error("{op} of the monitor's socket: {errno}")]
    Socket {
        /// What was tried.
        op: &'static str,
        /// Why it failed.
        errno: Errno,
    },
    /// The monitor refused.
    #[error(transparent)]
    Refused(#[from] ReplyError),
    /// The monitor is gone.
    #[error("the pod's monitor is gone")]
    Gone,
    /// It does not answer.
    #[error("the pod's monitor did not answer within {} seconds", .0.as_secs())]
    Silent(Duration),
    /// It speaks another protocol.
    #[error("the pod's monitor speaks version {0} of the protocol, which is none of {SPOKEN:?}")]
    Version(u32),
    /// It answered what was not asked.
    #[error("the pod's monitor sent an unexpected answer")]
    Unexpected,
    /// The request is too large.
    #[error(transparent)]
    Encode(#[from] DecodeError),
}

impl Error {
    /// Whether the monitor refused with this code.
    pub(crate) fn is(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Refused(error) if error.code == code)
    }
}

/// What a monitor tells on its own.
#[derive(Debug)]
pub(crate) enum Happened {
    /// An event of its pod.
    Event(Event),
    /// The connection ended: it is gone, and nobody owns the pod's processes any more, or it closed on a client that
    /// read too slowly.
    Gone,
}

type Answer = Result<(Reply, Vec<OwnedFd>), ReplyError>;

#[derive(Default)]
struct Waiting {
    requests: HashMap<u64, oneshot::Sender<Answer>>,
    execs: HashMap<String, oneshot::Sender<Exit>>,
    gone: bool,
}

/// A connection to a monitor.
pub(crate) struct Client {
    socket: AsyncFd<OwnedFd>,
    process: Process,
    next: AtomicU64,
    waiting: Mutex<Waiting>,
    /// It let a request wait and did not say why, and nothing came from it since.
    hung: AtomicBool,
}

impl Client {
    /// Connects, says hello, and from then on passes what happens to `happened`. When this fails the monitor is left
    /// as it is.
    pub(crate) async fn connect(
        path: &Path,
        patience: Duration,
        happened: impl Fn(Happened) + Send + Sync + 'static,
    ) -> Result<(Arc<Self>, PodStatus), Error> {
        let socket = open(path)?;
        let process = Process::behind(&socket)?;
        let socket = watched(socket)?;
        let client = Arc::new(Self {
            socket,
            process,
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            hung: AtomicBool::new(false),
        });
        let reader = Arc::clone(&client);
        let reading = tokio::spawn(async move {
            reader.read(&happened).await;
            reader.abandon();
            happened(Happened::Gone);
        });
        let outcome = client.hello(patience).await;
        if outcome.is_err() {
            reading.abort();
        }
        Ok((client, outcome?))
    }

    async fn hello(&self, patience: Duration) -> Result<PodStatus, Error> {
        match self.request_within(patience, Request::Hello { version: VERSION }, &[]).await? {
            (Reply::Hello { version, pod }, _) if SPOKEN.contains(&version) => Ok(pod),
            (Reply::Hello { version, .. }, _) => Err(Error::Version(version)),
            _ => Err(Error::Unexpected),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The monitor's process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Whether the connection has ended.
    pub(crate) fn gone(&self) -> bool {
        self.waiting().gone
    }

    /// Sends a request and waits for its answer and the descriptors with it.
    pub(crate) async fn request(
        &self,
        request: Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Reply, Vec<OwnedFd>), Error> {
        self.request_within(DEADLINE, request, fds).await
    }

    /// As [`request`](Self::request), but for [`Error::Silent`] as soon as the monitor proves to hang: one that is
    /// awake says hello while its workers take their time. One that hung is not waited for again.
    pub(crate) async fn request_unless_hung(&self, request: Request) -> Result<Reply, Error> {
        if self.hung.load(Ordering::Relaxed) {
            return Err(Error::Silent(Duration::ZERO));
        }
        let asleep = async {
            loop {
                tokio::time::sleep(AWAKE).await;
                let hello = Request::Hello { version: VERSION };
                if let Err(error @ Error::Silent(_)) = self.request_within(AWAKE, hello, &[]).await {
                    self.hung.store(true, Ordering::Relaxed);
                    return error;
                }
            }
        };
        tokio::select! {
            answer = self.request(request, &[]) => answer.map(|(reply, _)| reply),
            error = asleep => Err(error),
        }
    }

    async fn request_within(
        &self,
        deadline: Duration,
        request: Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Reply, Vec<OwnedFd>), Error> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let bytes = ClientMessage { id, request }.encode()?;
        let (sender, answer) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            if waiting.gone {
                return Err(Error::Gone);
            }
            waiting.requests.insert(id, sender);
        }
        let _forgotten = Forgotten { client: self, id };
        let exchange = async {
            self.send(&bytes, fds).await?;
            Ok(answer.await.map_err(|_| Error::Gone)??)
        };
        tokio::time::timeout(deadline, exchange).await.unwrap_or(Err(Error::Silent(deadline)))
    }

    /// Registers interest in an exec's end; call it before the request.
    pub(crate) fn exec_end(&self, exec: &str) -> oneshot::Receiver<Exit> {
        let (sender, end) = oneshot::channel();
        let mut waiting = self.waiting();
        // A dropped sender tells the waiter that the monitor is gone.
        if !waiting.gone {
            waiting.execs.insert(exec.to_owned(), sender);
        }
        end
    }

    async fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Error> {
        loop {
            let mut ready = self.socket.writable().await.map_err(|_| Error::Gone)?;
            let sent = ready.try_io(|socket| {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
                let mut ancillary = SendAncillaryBuffer::new(&mut space);
                if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
                    return Err(Errno::TOOMANYREFS.into());
                }
                let data = [IoSlice::new(bytes)];
                Ok(rustix::net::sendmsg(socket.get_ref(), &data, &mut ancillary, SendFlags::NOSIGNAL)?)
            });
            match sent {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => match Errno::from_io_error(&error).unwrap_or(Errno::IO) {
                    Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => return Err(Error::Gone),
                    errno => return Err(Error::Socket { op: "writing", errno }),
                },
                Err(_not_ready) => {}
            }
        }
    }

    async fn read(&self, happened: &(impl Fn(Happened) + Sync)) {
        let mut buffer = vec![0; MAX_MESSAGE];
        loop {
            // What it wrote before its end is read first: `biased` asks the socket before the process.
            let ready = tokio::select! {
                biased;
                ready = self.socket.readable() => ready,
                () = self.process.ended() => return,
            };
            let Ok(mut ready) = ready else { return };
            let received = ready.try_io(|socket| receive(socket.get_ref(), &mut buffer));
            match received {
                Ok(Ok(Some((length, fds)))) => {
                    let Some(bytes) = buffer.get(..length) else { return };
                    match ServerMessage::decode(bytes) {
                        Ok(message) => self.dispatch(message, fds, happened),
                        // A newer monitor may tell of what this daemon does not know.
                        Err(error) => tracing::debug!(%error, "a message of a monitor"),
                    }
                }
                Ok(Ok(None)) => return,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "reading from a monitor");
                    return;
                }
                Err(_not_ready) => {}
            }
        }
    }

    fn dispatch(&self, message: ServerMessage, fds: Vec<OwnedFd>, happened: &impl Fn(Happened)) {
        self.hung.store(false, Ordering::Relaxed);
        match message {
            ServerMessage::Reply { id, result } => {
                if let Some(sender) = self.waiting().requests.remove(&id) {
                    // A caller that gave up waiting dropped its end.
                    let _ = sender.send(result.map(|reply| (reply, fds)));
                }
            }
            ServerMessage::Event(Event::ExecExited { exec, exit }) => {
                if let Some(sender) = self.waiting().execs.remove(&exec) {
                    let _ = sender.send(exit);
                }
            }
            ServerMessage::Event(event) => happened(Happened::Event(event)),
        }
    }

    fn abandon(&self) {
        let mut waiting = self.waiting();
        waiting.gone = true;
        waiting.requests.clear();
        waiting.execs.clear();
    }
}

/// Forgets a request whose caller has its answer, or gave up.
struct Forgotten<'a> {
    client: &'a Client,
    id: u64,
}

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        self.client.waiting().requests.remove(&self.id);
    }
}

/// A connection to a monitor's socket. `EAGAIN` when more of them wait than it takes: it hangs.
fn open(path: &Path) -> Result<OwnedFd, Error> {
    let during = |op| move |errno| Error::Socket { op, errno };
    let address = SocketAddrUnix::new(path).map_err(during("naming"))?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(during("making"))?;
    rustix::net::connect(&socket, &address).map_err(during("connecting"))?;
    Ok(socket)
}

#[allow(
    deprecated,
    reason = "its unsafe successor guards against types that change their descriptor; OwnedFd does not"
)]
fn watched(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>, Error> {
    AsyncFd::try_new(fd).map_err(|error| Error::Socket {
        op: "watching",
        errno: Errno::from_io_error(&error.into_parts().1).unwrap_or(Errno::IO),
    })
}

/// One datagram; `None` at the end of the connection.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> std::io::Result<Option<(usize, Vec<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut data = [IoSliceMut::new(buffer)];
    let message = rustix::net::recvmsg(socket, &mut data, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let fds = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    if message.bytes == 0 {
        return Ok(None);
    }
    if message.flags.contains(ReturnFlags::TRUNC) {
        return Err(std::io::Error::other("a datagram over the protocol's limit"));
    }
    Ok(Some((message.bytes, fds)))
}
