//! This terminal connected to a process in a container: exec and attach.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use api_stream::{CHUNK, Channel, Frame, Protocol, Resize, Status};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Bytes;
use nix::sys::termios::{self, SetArg, Termios};
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::kubelet::{Kubelet, encode};
use super::websocket;
use crate::Error;

/// What is connected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Our standard input.
    pub(super) stdin: bool,
    /// Whether the process has a terminal.
    pub(super) tty: bool,
}

impl Wanted {
    /// With a terminal only when we are on one ourselves: says so when that changes what was asked for.
    pub(super) fn new(stdin: bool, tty: bool) -> Self {
        if tty && !(stdin && io::stdin().is_terminal()) {
            eprintln!("orlop: no terminal for the process, since the standard input is none");
            return Self { stdin, tty: false };
        }
        Self { stdin, tty }
    }

    /// The query's part that says it.
    fn query(self) -> String {
        let mut query = String::from("output=1");
        if self.stdin {
            query.push_str("&input=1");
        }
        // A terminal has one output.
        query.push_str(if self.tty { "&tty=1" } else { "&error=1" });
        query
    }
}

/// The path and query of a session.
pub(super) fn target(verb: &str, path: &[String; 3], command: &[String], wanted: Wanted) -> String {
    let [namespace, pod, container] = path.each_ref().map(|name| encode(name));
    let command: String = command.iter().map(|argument| format!("&command={}", encode(argument))).collect();
    format!("/{verb}/{namespace}/{pod}/{container}?{}{command}", wanted.query())
}

/// Connects until the process has ended; its exit code becomes ours.
pub(super) async fn run(kubelet: &Kubelet, target: &str, wanted: Wanted) -> Result<ExitCode, Error> {
    let (socket, protocol) = websocket::open(kubelet, target).await?;
    // Only from here on, so that an error before it is printed as usual.
    let raw = wanted.tty.then(RawTerminal::enter).transpose()?;
    let ended = relay(socket, protocol, wanted).await;
    drop(raw);
    match ended?.exit_code() {
        // Larger ones do not exist on Linux; a foreign runtime's is cut as the kernel would.
        Ok(code) => Ok(ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))),
        Err(text) => Err(Error::Failed(text.to_owned())),
    }
}

async fn relay(
    mut socket: WebSocketStream<UnixStream>,
    protocol: Protocol,
    wanted: Wanted,
) -> Result<Status, Error> {
    let mut input = wanted.stdin.then(read_input);
    let mut resized = wanted.tty.then(|| signal(SignalKind::window_change())).transpose();
    let resized = resized.as_mut().map_err(|error| Error::failed(error))?;
    if wanted.tty {
        send_size(&mut socket).await?;
    }
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    if let Some(status) = receive(bytes)? {
                        return Ok(status);
                    }
                }
                Some(Ok(Message::Close(_))) | None => {
                    return Err(Error::Failed("the connection closed before the exit code came".into()));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Error::failed(&error)),
            },
            bytes = next_input(&mut input) => match bytes {
                Some(bytes) => send(&mut socket, Frame::Data(Channel::Stdin, bytes)).await?,
                None => {
                    input = None;
                    if protocol.closes_channels() {
                        send(&mut socket, Frame::Close(Channel::Stdin)).await?;
                    }
                }
            },
            () = next_signal(resized) => send_size(&mut socket).await?,
        }
    }
}

/// Prints output; the status that ends the session.
fn receive(bytes: Bytes) -> Result<Option<Status>, Error> {
    let frame = Frame::decode(bytes).map_err(|error| Error::failed(&error))?;
    let written = match frame {
        Frame::Data(Channel::Stdout, bytes) => write(io::stdout().lock(), &bytes),
        Frame::Data(Channel::Stderr, bytes) => write(io::stderr().lock(), &bytes),
        Frame::Data(Channel::Error, bytes) if !bytes.is_empty() => return Ok(Some(Status::decode(&bytes))),
        _ => Ok(()),
    };
    written.map_err(|error| Error::Failed(format!("writing the output: {error}")))?;
    Ok(None)
}

fn write(mut target: impl io::Write, bytes: &[u8]) -> io::Result<()> {
    target.write_all(bytes)?;
    target.flush()
}

async fn send(socket: &mut WebSocketStream<UnixStream>, frame: Frame) -> Result<(), Error> {
    let sent = socket.send(Message::Binary(frame.encode())).await;
    sent.map_err(|error| Error::Failed(format!("sending input: {error}")))
}

async fn send_size(socket: &mut WebSocketStream<UnixStream>) -> Result<(), Error> {
    // Whoever runs us may have closed the terminal meanwhile.
    let Ok((width, height)) = sys::terminal::size(io::stdin()) else { return Ok(()) };
    let sent = socket.send(Message::Binary(Resize { width, height }.encode())).await;
    sent.map_err(|error| Error::Failed(format!("sending the terminal's size: {error}")))
}

/// Standard input in pieces. Read on a thread of its own, since a terminal cannot be read without blocking; the
/// thread ends with the process.
fn read_input() -> mpsc::Receiver<Bytes> {
    let (pieces, input) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut buffer = vec![0; CHUNK];
        let mut stdin = io::stdin().lock();
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    if pieces.blocking_send(Bytes::copy_from_slice(&buffer[..count])).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A terminal that hung up: the input is over.
                Err(_) => return,
            }
        }
    });
    input
}

async fn next_input(input: &mut Option<mpsc::Receiver<Bytes>>) -> Option<Bytes> {
    match input {
        Some(input) => input.recv().await,
        None => std::future::pending().await,
    }
}

async fn next_signal(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

/// Our terminal without echo, line editing and signals, until dropped.
struct RawTerminal(Termios);

impl RawTerminal {
    fn enter() -> Result<Self, Error> {
        let stdin = io::stdin();
        let before = termios::tcgetattr(&stdin).map_err(|error| Error::failed(&error))?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(&stdin, SetArg::TCSADRAIN, &raw).map_err(|error| Error::failed(&error))?;
        Ok(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // The terminal may be gone, and then nobody minds its mode.
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.0);
        let _ = io::stdout().flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_carries_path_streams_and_command() {
        let command = ["sh".to_owned(), "-c".to_owned(), "echo a&b".to_owned()];
        let path = &["default", "web-node1", "main"].map(String::from);
        assert_eq!(
            target("exec", path, &command, Wanted { stdin: false, tty: false }),
            "/exec/default/web-node1/main?output=1&error=1&command=sh&command=-c&command=echo%20a%26b"
        );
        assert_eq!(
            target("attach", path, &[], Wanted { stdin: true, tty: true }),
            "/attach/default/web-node1/main?output=1&input=1&tty=1"
        );
    }
}
