//! The protocol between the CRI daemon and a pod's monitor (`orlop-runtime monitor`).
//!
//! A monitor serves one `SOCK_SEQPACKET` unix socket. One datagram is one JSON message of at most
//! [`MAX_MESSAGE`] bytes; descriptors travel beside it as `SCM_RIGHTS`. Replies carry the id of their request;
//! between them the monitor sends [`Event`]s to every client that has said hello. A client that comes late
//! misses nothing: [`Hello`](Request::Hello) is answered with the whole state.
//!
//! Both sides may be of different versions: a daemon is upgraded under monitors that keep running. Unknown
//! fields are ignored, unknown requests are answered with [`ErrorCode::Unsupported`]. What goes further than that (a
//! message, a file of the state directory or their meaning changes) is a new [`VERSION`], and the newer side adapts,
//! for it alone knows both:
//!
//! | | an older peer | a newer peer |
//! |---|---|---|
//! | a daemon, by the version that answers Hello | spoken with, when it is one of [`SPOKEN`] | unknown: its pod is ended without it |
//! | a monitor, by the version in Hello | served, when it is one of [`SPOKEN`]; else Hello is answered with [`ErrorCode::Unsupported`] | served: it knows what it speaks with |
//!
//! | version | what came with it |
//! |---|---|
//! | 1 | |
//! | 2 | the pid file tells when the monitor started ([`Identity`]) |
#![forbid(unsafe_code)]

use std::ops::RangeInclusive;

mod config;
mod message;

pub use config::{
    IdMapping, Identity, NamespaceSource, PodConfig, PodNamespaces, SharedMemory, exit_record, pid_file,
    user_pin,
};
pub use message::{
    ClientMessage, ContainerState, ContainerStatus, CreateRequest, DecodeError, ErrorCode, Event,
    ExecRequest, Exit, PodStatus, Refusal, Reply, ReplyError, Request, ServerMessage,
};

/// The version this crate speaks. A monitor answers [`Request::Hello`] with its own.
pub const VERSION: u32 = 2;

/// The versions of a peer that this crate understands.
pub const SPOKEN: RangeInclusive<u32> = 1..=VERSION;

/// The largest datagram either side sends or accepts, in bytes.
pub const MAX_MESSAGE: usize = 64 << 10;

/// The most descriptors that travel with one message.
pub const MAX_FDS: usize = 4;
