//! The server against a real client and real processes.

use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use api_stream::{Channel, Frame, Protocol, Resize, Status};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use rustix::pty::{OpenptFlags, openpt};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::*;

/// Runs the command on this machine; reports how each process ended even when no session waits for it.
struct Local {
    terminal: Mutex<Option<OwnedFd>>,
    ended: mpsc::UnboundedSender<i32>,
}

impl Backend for Local {
    fn exec(&self, session: ExecSession) -> BoxFuture<'_, Result<Session, StreamError>> {
        let terminal = self.terminal.lock().unwrap().take();
        let ended = self.ended.clone();
        Box::pin(async move {
            if let Some(terminal) = terminal {
                let exit = Box::pin(std::future::pending());
                let (stdin, stdout, stderr) = (None, None, None);
                return Ok(Session {
                    stdin,
                    stdout,
                    stderr,
                    terminal: Some(terminal),
                    exit,
                    stdin_closed: None,
                });
            }
            let mut child = tokio::process::Command::new(&session.command[0])
                .args(&session.command[1..])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| StreamError(format!("exec {}: {error}", session.command[0])))?;
            let stdin = child.stdin.take().map(|end| end.into_owned_fd().unwrap());
            let stdout = child.stdout.take().map(|end| end.into_owned_fd().unwrap());
            let stderr = child.stderr.take().map(|end| end.into_owned_fd().unwrap());
            let (tell, told) = tokio::sync::oneshot::channel();
            tokio::spawn(async move {
                let code = child.wait().await.unwrap().code().unwrap_or(-1);
                let _ = ended.send(code);
                let _ = tell.send(code);
            });
            let exit = Box::pin(async move { told.await.map_err(|error| StreamError(error.to_string())) });
            let stdin = stdin.filter(|_| session.streams.stdin);
            Ok(Session { stdin, stdout, stderr, terminal: None, exit, stdin_closed: None })
        })
    }

    fn attach(&self, session: AttachSession) -> BoxFuture<'_, Result<Session, StreamError>> {
        Box::pin(async move { Err(StreamError(format!("container {} is not running", session.container))) })
    }
}

struct World {
    server: StreamServer,
    ended: mpsc::UnboundedReceiver<i32>,
    shutdown: CancellationToken,
}

async fn world(terminal: Option<OwnedFd>) -> World {
    let (tell, ended) = mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let backend = Arc::new(Local { terminal: Mutex::new(terminal), ended: tell });
    let (server, _) =
        StreamServer::start("127.0.0.1:0".parse().unwrap(), backend, shutdown.clone()).await.unwrap();
    World { server, ended, shutdown }
}

impl World {
    fn exec(&self, script: &str) -> String {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };
        self.server.exec_url(ExecSession { container: "c".into(), command, streams }).unwrap()
    }
}

type Client = WebSocketStream<TcpStream>;

async fn dial(url: &str, protocols: &str) -> Result<Client, WebSocketError> {
    let mut request = url.replace("http://", "ws://").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    let address = request.uri().authority().unwrap().to_string();
    let stream = TcpStream::connect(address).await.unwrap();
    Ok(client_async(request, stream).await?.0)
}

async fn connect(url: &str) -> Client {
    dial(url, &Protocol::offer()).await.unwrap()
}

#[derive(Debug, Default, PartialEq)]
struct Outcome {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    code: Option<i32>,
    error: String,
}

/// Reads until the connection closes. The status must be the last message.
async fn outcome(client: &mut Client) -> Outcome {
    let mut outcome = Outcome::default();
    loop {
        let message = timeout(Duration::from_secs(20), client.next()).await.expect("a message in time");
        let Some(Ok(Message::Binary(bytes))) = message else { return outcome };
        assert_eq!((outcome.code, outcome.error.as_str()), (None, ""), "nothing follows the status");
        match Frame::decode(bytes).unwrap() {
            Frame::Data(Channel::Stdout, bytes) => outcome.stdout.extend(bytes),
            Frame::Data(Channel::Stderr, bytes) => outcome.stderr.extend(bytes),
            Frame::Data(Channel::Error, bytes) => match Status::decode(&bytes).exit_code() {
                Ok(code) => outcome.code = Some(code),
                Err(text) => outcome.error = text.into(),
            },
            other => panic!("a server does not send {other:?}"),
        }
    }
}

async fn send(client: &mut Client, frame: Frame) {
    client.send(Message::Binary(frame.encode())).await.unwrap();
}

#[tokio::test]
async fn both_outputs_and_the_exit_code_come_through() {
    let world = world(None).await;
    let mut client = connect(&world.exec("echo out; echo err >&2; exit 3")).await;
    let expected =
        Outcome { stdout: b"out\n".into(), stderr: b"err\n".into(), code: Some(3), error: String::new() };
    assert_eq!(outcome(&mut client).await, expected);
}

#[tokio::test]
async fn version_5_closes_standard_input_alone() {
    let world = world(None).await;
    let mut client = connect(&world.exec("cat; echo end")).await;
    send(&mut client, Frame::Data(Channel::Stdin, Bytes::from_static(b"typed\n"))).await;
    send(&mut client, Frame::Close(Channel::Stdin)).await;
    let outcome = outcome(&mut client).await;
    assert_eq!((outcome.stdout.as_slice(), outcome.code), (&b"typed\nend\n"[..], Some(0)));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_input_and_not_the_process() {
    let mut world = world(None).await;
    let mut client = dial(&world.exec("cat >/dev/null; exit 5"), "v4.channel.k8s.io").await.unwrap();
    send(&mut client, Frame::Data(Channel::Stdin, Bytes::from_static(b"x"))).await;
    drop(client);
    let code =
        timeout(Duration::from_secs(10), world.ended.recv()).await.expect("cat saw the end of its input");
    assert_eq!(code, Some(5));
}

#[tokio::test]
async fn a_slow_client_loses_nothing() {
    let world = world(None).await;
    let mut client = connect(&world.exec("head -c 8000000 /dev/zero | tr '\\0' x; echo end >&2")).await;
    // Every buffer on the way is full by then.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let outcome = outcome(&mut client).await;
    assert_eq!((outcome.stdout.len(), outcome.code), (8_000_000, Some(0)));
    assert_eq!(outcome.stderr, b"end\n");
}

#[tokio::test]
async fn a_child_that_was_left_behind_does_not_hold_the_session() {
    let world = world(None).await;
    let begin = tokio::time::Instant::now();
    let mut client = connect(&world.exec("sleep 5 & echo started")).await;
    let outcome = outcome(&mut client).await;
    assert_eq!((outcome.stdout.as_slice(), outcome.code), (&b"started\n"[..], Some(0)));
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_terminal_is_resized_read_and_written() {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    let world = world(Some(master)).await;
    let streams = Streams { stdin: true, stdout: true, stderr: false, tty: true };
    let session = ExecSession { container: "c".into(), command: vec!["sh".into()], streams };
    let mut client = connect(&world.server.exec_url(session).unwrap()).await;
    client.send(Message::Binary(Resize { width: 99, height: 44 }.encode())).await.unwrap();
    send(&mut client, Frame::Data(Channel::Stdin, Bytes::from_static(b"line\n"))).await;
    // The kernel echoes the line; once it is here, the size that was sent before has been set.
    let mut echo = Vec::new();
    while !echo.ends_with(b"line\r\n") {
        let message = timeout(Duration::from_secs(10), client.next()).await.unwrap().unwrap().unwrap();
        if let Frame::Data(Channel::Stdout, bytes) = Frame::decode(message.into_data()).unwrap() {
            echo.extend(bytes);
        }
    }
    assert_eq!(sys::terminal::size(&slave), Ok((99, 44)));
}

#[tokio::test]
async fn a_failure_to_start_is_told_on_the_error_channel() {
    let world = world(None).await;
    let streams = Streams { stdout: true, ..Streams::default() };
    let url = world.server.attach_url(AttachSession { container: "c1".into(), streams }).unwrap();
    let mut client = connect(&url).await;
    assert_eq!(outcome(&mut client).await.error, "container c1 is not running");
}

async fn refusal(url: &str, protocols: &str) -> (u16, String) {
    let Err(WebSocketError::Http(response)) = dial(url, protocols).await else {
        panic!("expected a refusal")
    };
    let text = String::from_utf8(response.body().clone().unwrap_or_default()).unwrap();
    (response.status().as_u16(), text)
}

#[tokio::test]
async fn a_url_opens_once() {
    let world = world(None).await;
    let url = world.exec("exit 0");
    let mut client = connect(&url).await;
    assert_eq!(outcome(&mut client).await.code, Some(0));
    assert_eq!(refusal(&url, &Protocol::offer()).await.0, 404);
}

#[tokio::test]
async fn a_token_is_good_for_its_own_verb_only() {
    let world = world(None).await;
    let url = world.exec("exit 0").replace("/exec/", "/attach/");
    assert_eq!(refusal(&url, &Protocol::offer()).await.0, 404);
}

#[tokio::test]
async fn an_unknown_subprotocol_is_refused_by_name_and_costs_no_token() {
    let world = world(None).await;
    let url = world.exec("exit 0");
    let (status, text) = refusal(&url, "base64.channel.k8s.io").await;
    assert!(status == 400 && text.contains("base64.channel.k8s.io"), "{status} {text}");
    assert_eq!(outcome(&mut connect(&url).await).await.code, Some(0));
}

#[tokio::test]
async fn spdy_is_refused_by_name() {
    let world = world(None).await;
    let url = world.exec("exit 0");
    let rest = url.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("POST /{path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 501 ") && answer.contains("SPDY"), "{answer}");
}

#[tokio::test]
async fn a_shutdown_closes_the_sessions() {
    let world = world(None).await;
    let mut client = connect(&world.exec("sleep 30")).await;
    let first = client.next().await.unwrap().unwrap();
    assert_eq!(first.into_data(), Frame::encode_data(Channel::Stdout, b""));
    world.shutdown.cancel();
    let message = timeout(Duration::from_secs(5), client.next()).await.expect("a close in time");
    assert!(matches!(message, Some(Ok(Message::Close(Some(_))))), "{message:?}");
}
