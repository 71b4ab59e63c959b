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
    /// stderr). A reader that is slower than the container loses output rather than stalls it. Answered by
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
    /// Forgets an exited (or never started) container: `delete --force`, and its descriptors closed.
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
    /// Its id, also the OCI container's.
    pub container: String,
    /// The OCI bundle.
    pub bundle: PathBuf,
    /// Another OCI runtime: its program and its global arguments.
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
    fn long_messages_are_refused_on_both_sides() {
        let container = "x".repeat(MAX_MESSAGE);
        let long = ClientMessage { id: 1, request: Request::Start { container } };
        assert!(matches!(long.encode(), Err(DecodeError::TooLong(_))));
        assert!(matches!(ClientMessage::decode(&vec![b' '; MAX_MESSAGE + 1]), Err(DecodeError::TooLong(_))));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = ClientMessage::decode(&bytes);
            let _ = ServerMessage::decode(&bytes);
        }
    }
}
