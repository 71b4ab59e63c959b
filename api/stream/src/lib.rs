//! The channels of exec and attach over WebSocket, as Kubernetes' remotecommand has them.
//!
//! A binary message is one byte naming the channel, then the payload. Both sides speak in any order:
//!
//! ```text
//! client ── 0 stdin ──────────▶ server      stdout 1, stderr 2 ──▶ client
//! client ── 4 resize (JSON) ──▶ server      error 3 (one JSON Status, then the connection closes) ──▶ client
//! client ── 255, 0 (v5: no more stdin) ──▶ server
//! ```
//!
//! `v4.channel.k8s.io` and `v5.channel.k8s.io` differ only in the close signal: in v4 a client cannot end standard
//! input but by leaving. Pure: bytes in, values out. SPDY/3.1 and port-forward are not spoken yet; whoever offers
//! only those is told so by [`NegotiationError`].
#![forbid(unsafe_code)]

mod frame;
mod negotiate;
mod status;

pub use frame::{Channel, DecodeError, Frame, Resize};
pub use negotiate::{NegotiationError, Protocol};
pub use status::{Cause, Details, Status};

/// The longest message that a side accepts, in bytes. kubectl sends 32 KiB at a time.
pub const MAX_MESSAGE: usize = 1 << 20;

/// How much output goes into one message, in bytes.
pub const CHUNK: usize = 32 << 10;
