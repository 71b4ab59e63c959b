//! Requests, replies and events, and their bounded encoding.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::MAX_MESSAGE;

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientMessage {
    /// Chosen by the client, echoed in the reply.
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// What a monitor can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Subscribes the connection to events; answered by [`Reply::Hello`].
    Hello {
        /// The client's [`crate::VERSION`].
        version: u32,
    },
    /// `create` of an OCI bundle in a worker; answered by [`Reply::Created`] with the init's pidfd (and the
    /// terminal, when the bundle asks for one, stays with the monitor).
    Create(CreateRequest),
    /// `start` of a created container; answered by [`Reply::Done`] once its program was executed.
    Start {
        /// The container.
        container: String,
    },
    /// The pidfd of a container's init; answered by [`Reply::Created`].
    Pidfd {
        /// The container.
        container: String,
    },
    /// `exec` in a worker. Standard streams travel with the request, see [`ExecRequest::streams`]; answered by
    /// [`Reply::Created`] with the pidfd and, for a terminal, its master as second descriptor. The end is
    /// reported by [`Event::ExecExited`], never before the reply.
    Exec(ExecRequest),
    /// A copy of a container's output from now on, to the passed descriptors (stdout and, without a terminal,
    /// stderr; none for input alone). They become non-blocking, and are closed at the stream's end. A reader that is slower than the container loses output rather than stalls it. Answered by
    /// [`Reply::Done`] with the terminal's master, or the write end of standard input when `stdin` is set and
    /// the container has one.
    Attach {
        /// The container.
        container: String,
        /// Whether the input is wanted.
        stdin: bool,
    },
    /// Closes the monitor's own end of a container's standard input (`stdin_once`).
    CloseStdin {
        /// The container.
        container: String,
    },
    /// Opens the log file anew, after it was renamed.
    ReopenLog {
        /// The container.
        container: String,
    },
    /// Forgets an exited (or never started) container: `delete --force`, its descriptors closed, its exit record
    /// removed. The exit of one that was never started is not reported any more.
    Delete {
        /// The container.
        container: String,
    },
    /// Ends the monitor, its logger and the pause process. Refused while a container lives.
    Shutdown,
}

/// A container to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateRequest {
    /// Its id, also the OCI container's: 1 to 128 letters, digits and `_-.+`, not beginning with a dot.
    pub container: String,
    /// The OCI bundle.
    pub bundle: PathBuf,
    /// Another OCI runtime: its program and its global arguments, which follow `--root` (the pod's
    /// [`runtime_root`](crate::PodConfig::runtime_root)) and `--log` and may name another root.
    pub runtime: Option<Vec<String>>,
    /// Whether `process.terminal` is set.
    pub terminal: bool,
    /// Whether standard input is a pipe kept open; otherwise it is `/dev/null`.
    pub stdin: bool,
    /// The CRI log file, made with mode 0640; `None` discards the output.
    pub log_path: Option<PathBuf>,
    /// Directories in which the kernel counts out-of-memory kills of the container (its memory cgroup).
    pub memory_cgroup: Option<PathBuf>,
}

/// A further process in a running container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// The container.
    pub container: String,
    /// Names the process in [`Event::ExecExited`]; chosen by the client, unique within the pod.
    pub exec: String,
    /// A file with the OCI `process` object.
    pub process: PathBuf,
    /// Whether it asks for a terminal.
    pub terminal: bool,
    /// Which of stdin, stdout, stderr are passed, in this order; the others are `/dev/null`. None with a terminal.
    pub streams: [bool; 3],
}

/// What a monitor sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerMessage {
    /// The answer to a request.
    Reply {
        /// The request's id.
        id: u64,
        /// What came of it.
        result: Result<Reply, ReplyError>,
    },
    /// Something that happened.
    Event(Event),
}

/// A successful answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Hello`].
    Hello {
        /// The monitor's [`crate::VERSION`].
        version: u32,
        /// Everything it knows.
        pod: PodStatus,
    },
    /// A process exists; its pidfd is the first descriptor.
    Created {
        /// Its pid in the host's namespace.
        pid: i32,
    },
    /// It is done.
    Done,
}

/// A refused or failed request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ReplyError {
    /// What a caller may branch on.
    pub code: ErrorCode,
    /// For people: operation, target and cause.
    pub message: String,
}

/// The kinds of failure a caller branches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// No such container.
    NotFound,
    /// A container or exec of that name exists.
    AlreadyExists,
    /// The container's state does not allow it.
    WrongState,
    /// The message was malformed, or carried the wrong descriptors.
    Invalid,
    /// This monitor does not know the request.
    Unsupported,
    /// The OCI runtime refused; the message is its own.
    Runtime,
    /// A system call of the monitor failed.
    Internal,
}

/// Everything a monitor knows of its pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodStatus {
    /// The sandbox's id.
    pub id: String,
    /// The monitor's pid; it sits in the pod's net, ipc and uts namespaces.
    pub pid: i32,
    /// The pause process, when the pod shares a PID namespace.
    pub pause_pid: Option<i32>,
    /// By id.
    pub containers: BTreeMap<String, ContainerStatus>,
}

/// One container as its monitor sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// The init's pid; 0 once it has exited.
    pub pid: i32,
    /// Where it is in its life.
    pub state: ContainerState,
    /// When it was started, in nanoseconds since the epoch; 0 before.
    pub started_at: i64,
}

/// The life of a container's process, as its monitor sees it.
///
/// ```text
/// Created ──Start──▶ Running ──kernel──▶ Exited ──Delete──▶ (forgotten)
///    └───────────────kernel──────────────▶
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// The init waits for `start`.
    Created,
    /// Its program runs.
    Running,
    /// It ended.
    Exited(Exit),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code, 128 + N for signal N.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the kernel killed for memory in its cgroup.
    pub oom_killed: bool,
    /// When, in nanoseconds since the epoch.
    pub at: i64,
}

/// Something that happened in the pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A container's init ended, and its output has been written to the log.
    Exited {
        /// The container.
        container: String,
        /// How.
        exit: Exit,
    },
    /// An exec'd process ended.
    ExecExited {
        /// The exec's name.
        exec: String,
        /// How.
        exit: Exit,
    },
    /// The pause process ended: the pod is over.
    PauseExited {
        /// How.
        exit: Exit,
    },
}

/// Why a datagram was refused.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Longer than [`MAX_MESSAGE`].
    #[error("message of {0} bytes is over the limit of {MAX_MESSAGE}")]
    TooLong(usize),
    /// Not the JSON it should be.
    #[error("malformed message")]
    Malformed(#[from] serde_json::Error),
}

/// Why a request was not understood, and the id to answer with; 0 when even that is missing.
#[derive(Debug)]
pub struct Refusal {
    /// Of the request.
    pub id: u64,
    /// The answer: [`ErrorCode::Unsupported`] for a request of a newer client, else [`ErrorCode::Invalid`].
    pub error: ReplyError,
}

impl Request {
    /// The names of all requests, as they are written.
    pub const NAMES: [&str; 10] = [
        "hello",
        "create",
        "start",
        "pidfd",
        "exec",
        "attach",
        "close_stdin",
        "reopen_log",
        "delete",
        "shutdown",
    ];
}

impl ClientMessage {
    /// Reads one datagram, or says what to answer to it.
    pub fn decode_or_refuse(bytes: &[u8]) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Envelope {
            id: u64,
            request: serde_json::Value,
        }
        let error = match Self::decode(bytes) {
            Ok(message) => return Ok(message),
            Err(error) => error,
        };
        let text = match &error {
            DecodeError::TooLong(_) => error.to_string(),
            DecodeError::Malformed(cause) => format!("{error}: {cause}"),
        };
        let refusal = |id, code| Refusal { id, error: ReplyError { code, message: text } };
        let Ok(Envelope { id, request }) = decode::<Envelope>(bytes) else {
            return Err(refusal(0, ErrorCode::Invalid));
        };
        let name = match &request {
            serde_json::Value::String(name) => Some(name),
            serde_json::Value::Object(object) if object.len() == 1 => object.keys().next(),
            _ => None,
        };
        let newer = name.is_some_and(|name| !Request::NAMES.contains(&name.as_str()));
        Err(refusal(id, if newer { ErrorCode::Unsupported } else { ErrorCode::Invalid }))
    }
}

macro_rules! codec {
    ($($message:ty),*) => {$(
        impl $message {
            /// One datagram.
            pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
                encode(self)
            }

            /// Reads one datagram.
            pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                decode(bytes)
            }
        }
    )*};
}
codec!(ClientMessage, ServerMessage);

fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, DecodeError> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MAX_MESSAGE { Err(DecodeError::TooLong(bytes.len())) } else { Ok(bytes) }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(DecodeError::TooLong(bytes.len()));
    }
    Ok(serde_json::from_slice(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_as_it_was_written() {
        let message = ClientMessage {
            id: 7,
            request: Request::Exec(ExecRequest {
                container: "c".into(),
                exec: "e".into(),
                process: "/run/p.json".into(),
                terminal: false,
                streams: [false, true, true],
            }),
        };
        assert_eq!(ClientMessage::decode(&message.encode().unwrap()).unwrap(), message);
    }

    #[test]
    fn a_newer_peer_may_add_fields() {
        let bytes = br#"{"id":1,"request":{"start":{"container":"c","later":true}},"more":0}"#;
        let message = ClientMessage::decode(bytes).unwrap();
        assert_eq!(message.request, Request::Start { container: "c".into() });
    }

    #[test]
    fn a_request_of_a_newer_client_is_unsupported_and_a_broken_one_invalid() {
        for (bytes, id, code) in [
            (&br#"{"id":3,"request":{"checkpoint":{}}}"#[..], 3, ErrorCode::Unsupported),
            (br#"{"id":3,"request":"freeze"}"#, 3, ErrorCode::Unsupported),
            (br#"{"id":3,"request":{"start":{}}}"#, 3, ErrorCode::Invalid),
            (br#"{"id":3,"request":"start"}"#, 3, ErrorCode::Invalid),
            (br#"{"id":3,"request":7}"#, 3, ErrorCode::Invalid),
            (br#"{"request":"shutdown"}"#, 0, ErrorCode::Invalid),
            (b"\xff", 0, ErrorCode::Invalid),
        ] {
            let refusal = ClientMessage::decode_or_refuse(bytes).unwrap_err();
            assert_eq!((refusal.id, refusal.error.code), (id, code), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn the_names_of_requests_are_complete() {
        let container = String::from("c");
        let runtime = None;
        let (log_path, memory_cgroup) = (None, None);
        let create = CreateRequest {
            container: container.clone(),
            bundle: PathBuf::new(),
            runtime,
            terminal: false,
            stdin: false,
            log_path,
            memory_cgroup,
        };
        let exec = ExecRequest {
            container: container.clone(),
            exec: String::new(),
            process: PathBuf::new(),
            terminal: false,
            streams: [false; 3],
        };
        let all = [
            Request::Hello { version: 1 },
            Request::Create(create),
            Request::Start { container: container.clone() },
            Request::Pidfd { container: container.clone() },
            Request::Exec(exec),
            Request::Attach { container: container.clone(), stdin: false },
            Request::CloseStdin { container: container.clone() },
            Request::ReopenLog { container: container.clone() },
            Request::Delete { container },
            Request::Shutdown,
        ];
        let names = all.map(|request| match serde_json::to_value(&request).unwrap() {
            serde_json::Value::String(name) => name,
            value => value.as_object().unwrap().keys().next().unwrap().clone(),
        });
        assert_eq!(names, Request::NAMES);
    }

    #[test]
    fn long_messages_are_refused_on_both_sides() {
        let container = "x".repeat(MAX_MESSAGE);
        let long = ClientMessage { id: 1, request: Request::Start { container } };
        assert!(matches!(long.encode(), Err(DecodeError::TooLong(_))));
        assert!(matches!(ClientMessage::decode(&vec![b' '; MAX_MESSAGE + 1]), Err(DecodeError::TooLong(_))));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = ClientMessage::decode_or_refuse(&bytes);
            let _ = ServerMessage::decode(&bytes);
        }
    }
}
