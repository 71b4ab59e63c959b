//! The client side of the CRI: two services over one or two unix sockets.

mod client;

pub(crate) use client::Client;
pub use client::Error;
