//! The protocol between the CRI daemon and a pod's monitor (`orlop-runtime monitor`).
//!
//! A monitor serves one `SOCK_SEQPACKET` unix socket. One datagram is one JSON message of at most
//! [`MAX_MESSAGE`] bytes; descriptors travel beside it as `SCM_RIGHTS`. Replies carry the id of their request;
//! between them the monitor sends [`Event`]s to every client that has said hello. A client that comes late
//! misses nothing: [`Hello`](Request::Hello) is answered with the whole state.
//!
//! Both sides may be of different versions: a daemon is upgraded under monitors that keep running. Unknown
//! fields are ignored, unknown requests are answered with [`ErrorCode::Unsupported`].
#![forbid(unsafe_code)]

mod config;
mod message;

pub use config::{IdMapping, NamespaceSource, PodConfig, PodNamespaces, SharedMemory, exit_record, user_pin};
pub use message::{
    ClientMessage, ContainerState, ContainerStatus, CreateRequest, DecodeError, ErrorCode, Event,
    ExecRequest, Exit, PodStatus, Refusal, Reply, ReplyError, Request, ServerMessage,
};

/// The version this crate speaks. A monitor answers [`Request::Hello`] with its own.
pub const VERSION: u32 = 1;

/// The largest datagram either side sends or accepts, in bytes.
pub const MAX_MESSAGE: usize = 64 << 10;

/// The most descriptors that travel with one message.
pub const MAX_FDS: usize = 4;
