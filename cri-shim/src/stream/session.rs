//! One session: bytes between a WebSocket and the descriptors of a process.
//!
//! ```text
//!            ┌─ input: messages ──▶ stdin or terminal, sizes ──▶ terminal       ends when the client leaves
//! socket ────┤
//!            └─ queue (4 messages) ◀── stdout, stderr or terminal, then Status  ends when the process has
//! ```
//!
//! Whichever ends first ends the session. All output is in the queue before the status is, and the queue is sent
//! before the connection closes.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use api_stream::{CHUNK, Channel, Frame, Protocol, Resize, Status};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;

use super::descriptor::Descriptor;
use super::{Session, StreamError, Streams};

/// Messages that wait for a slow client.
const QUEUE: usize = 4;
/// A dead peer is noticed by a ping that cannot be sent.
const PING: Duration = Duration::from_secs(30);
/// How long after the process's end its pipes may stay silent and open: a child that it left behind holds them.
const LINGER: Duration = Duration::from_millis(200);
/// How long a client may take to answer our close.
const CLOSE: Duration = Duration::from_secs(5);

/// Serves an upgraded connection until the process ends, the client leaves, or the daemon shuts down.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<S>,
    protocol: Protocol,
    wanted: Streams,
    opened: Result<Session, StreamError>,
    shutdown: CancellationToken,
) {
    let (mut sink, mut source) = socket.split();
    let (queue, messages) = mpsc::channel(QUEUE);
    let process = async {
        let status = match opened.and_then(|session| Ends::new(session, wanted)) {
            Ok((ends, exit)) => {
                let input = input(&mut source, protocol, ends.input);
                tokio::select! {
                    status = output(ends.output, exit, &queue) => Some(status),
                    () = input => None,
                }
            }
            Err(error) => Some(Status::failed(error.to_string())),
        };
        if let Some(status) = status {
            // Fails only when the client is gone.
            let _ = queue.send(status.encode()).await;
        }
        drop(queue);
    };
    let session = async {
        let mut sending = std::pin::pin!(send(&mut sink, messages));
        // Sending ends first only when the client is gone; afterwards what is queued still has to leave.
        let sent = tokio::select! {
            sent = &mut sending => sent,
            () = process => sending.await,
        };
        sent.then_some(CloseCode::Normal)
    };
    let code = tokio::select! {
        code = session => code,
        () = shutdown.cancelled() => Some(CloseCode::Away),
    };
    if let Some(code) = code {
        let close = Message::Close(Some(CloseFrame { code, reason: "".into() }));
        let farewell = async {
            sink.send(close).await?;
            while source.next().await.transpose()?.is_some() {}
            Ok::<_, tungstenite::Error>(())
        };
        let _ = timeout(CLOSE, farewell).await;
    }
}

/// The descriptors by direction.
struct Ends {
    input: Input,
    output: Vec<(Channel, Arc<Descriptor>)>,
}

struct Input {
    target: Option<Arc<Descriptor>>,
    terminal: Option<Arc<Descriptor>>,
    closed: Option<Box<dyn FnOnce() + Send>>,
}

type Exit = super::BoxFuture<'static, Result<i32, StreamError>>;

impl Ends {
    fn new(session: Session, wanted: Streams) -> Result<(Self, Exit), StreamError> {
        let Session { stdin, stdout, stderr, terminal, exit, stdin_closed } = session;
        let open = |fd| {
            Descriptor::new(fd)
                .map(Arc::new)
                .map_err(|error| StreamError(format!("watching a stream of the process: {error}")))
        };
        let terminal = terminal.map(open).transpose()?;
        let stdin = stdin.map(open).transpose()?.or_else(|| terminal.clone());
        let stdout = stdout.map(open).transpose()?.or_else(|| terminal.clone());
        let stderr = stderr.map(open).transpose()?;
        let mut output = Vec::new();
        output.extend(stdout.filter(|_| wanted.stdout).map(|fd| (Channel::Stdout, fd)));
        output.extend(stderr.filter(|_| wanted.stderr && !wanted.tty).map(|fd| (Channel::Stderr, fd)));
        let input = Input { target: stdin.filter(|_| wanted.stdin), terminal, closed: stdin_closed };
        Ok((Self { input, output }, exit))
    }
}

/// Client to process. Returns when the client has left.
async fn input(
    source: &mut (impl Stream<Item = Result<Message, tungstenite::Error>> + Unpin),
    protocol: Protocol,
    mut input: Input,
) {
    while let Some(message) = source.next().await {
        let bytes = match message {
            Ok(Message::Binary(bytes)) => bytes,
            Ok(Message::Close(_)) => break,
            // Control messages are answered by the library; text is no channel's.
            Ok(_) => continue,
            Err(error) => {
                tracing::debug!(%error, "reading a stream");
                break;
            }
        };
        match Frame::decode(bytes) {
            Ok(Frame::Data(Channel::Stdin, bytes)) => {
                let Some(target) = &input.target else { continue };
                // The process closed its input or has ended: its output still counts.
                if target.write_all(&bytes).await.is_err() {
                    input.target = None;
                }
            }
            Ok(Frame::Data(Channel::Resize, bytes)) => {
                if let (Some(terminal), Ok(size)) = (&input.terminal, Resize::decode(&bytes))
                    && let Err(error) = terminal.resize(size)
                {
                    tracing::debug!(%error, "resizing a terminal");
                }
            }
            Ok(Frame::Close(Channel::Stdin)) if protocol.closes_channels() => close_input(&mut input),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "a stream's client");
                break;
            }
        }
    }
    close_input(&mut input);
}

fn close_input(input: &mut Input) {
    // A terminal stays: its other uses, output and size, go on.
    input.target = None;
    if let Some(closed) = input.closed.take() {
        closed();
    }
}

/// Process to client. Returns when the process has ended and all that it wrote is queued.
async fn output(sources: Vec<(Channel, Arc<Descriptor>)>, exit: Exit, queue: &mpsc::Sender<Bytes>) -> Status {
    // Tells the client that the process runs, before it writes anything.
    if let Some((channel, _)) = sources.first() {
        let _ = queue.send(Frame::encode_data(*channel, b"")).await;
    }
    let (ended, end) = watch::channel(false);
    let exited = async {
        let status = match exit.await {
            Ok(code) => Status::exited(code),
            Err(error) => Status::failed(error.to_string()),
        };
        let _ = ended.send(true);
        status
    };
    let copies = sources.into_iter().map(|(channel, source)| copy(channel, source, queue, end.clone()));
    let (status, _) = tokio::join!(exited, futures_util::future::join_all(copies));
    status
}

/// One output until its end; after the process's end only until it is silent.
async fn copy(
    channel: Channel,
    source: Arc<Descriptor>,
    queue: &mpsc::Sender<Bytes>,
    mut end: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let silent = async {
            if end.wait_for(|ended| *ended).await.is_err() {
                pending::<()>().await;
            }
            tokio::time::sleep(LINGER).await;
        };
        let read = tokio::select! {
            biased;
            read = source.read(&mut buffer) => read,
            () = silent => return,
        };
        match read {
            Ok(0) => return,
            Ok(count) => {
                if queue.send(Frame::encode_data(channel, &buffer[..count])).await.is_err() {
                    return;
                }
            }
            Err(error) => return tracing::debug!(%error, ?channel, "reading output"),
        }
    }
}

/// Sends what is queued until the queue is closed; pings meanwhile. `false` when the client is gone.
async fn send(
    sink: &mut (impl Sink<Message, Error = tungstenite::Error> + Unpin),
    mut messages: mpsc::Receiver<Bytes>,
) -> bool {
    let mut pings = tokio::time::interval_at(Instant::now() + PING, PING);
    loop {
        let message = tokio::select! {
            message = messages.recv() => match message {
                Some(bytes) => Message::Binary(bytes),
                None => return true,
            },
            _ = pings.tick() => Message::Ping(Bytes::new()),
        };
        if sink.send(message).await.is_err() {
            return false;
        }
    }
}
