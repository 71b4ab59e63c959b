//! The client side of the CRI: two services over one or two unix sockets, and what they show.

mod client;
pub(crate) mod observe;
mod watch;

pub(crate) use client::Client;
pub use client::Error;
pub(crate) use watch::{Report, Watch};
