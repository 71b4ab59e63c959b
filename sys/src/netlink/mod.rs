//! Interfaces, addresses and routes over a blocking rtnetlink socket.
//!
//! A netlink socket belongs to the namespace that it was opened in, wherever its owner is later: one short visit to a pod's
//! namespace is enough, and everything else goes through the kept socket. The kernel handles a request within `send`,
//! so the answer is there when `recv` asks.

use std::io;
use std::path::Path;

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::io::Errno;

use crate::error::errno_of;
use crate::netns::NetNs;

mod address;
mod link;

#[cfg(test)]
mod tests;

pub use address::RouteSpec;
pub use link::{Link, Peer};

/// The kernel never sends a longer datagram to a dump that reads with a buffer of this size.
const BUFFER: usize = 64 * 1024;

/// An rtnetlink socket.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// A socket in the calling thread's network namespace.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// A socket in another network namespace.
    pub fn open_in(ns: &NetNs) -> io::Result<Self> {
        ns.run(Self::open)
    }

    /// Sends one request and collects its answers up to the acknowledgement or the end of the dump.
    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, Errno> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map_err(|error| errno_of(&error))?;
        let mut answers = Vec::new();
        loop {
            let mut buffer = Vec::with_capacity(BUFFER);
            let length = self.socket.recv(&mut buffer, libc::MSG_TRUNC).map_err(|error| errno_of(&error))?;
            if length > buffer.len() {
                return Err(Errno::MSGSIZE);
            }
            if take(self.sequence, &buffer, &mut answers)? {
                return Ok(answers);
            }
        }
    }
}

/// Reads one datagram; true at the end of the answer. Messages of another sequence number are left-overs.
fn take(sequence: u32, mut bytes: &[u8], answers: &mut Vec<RouteNetlinkMessage>) -> Result<bool, Errno> {
    while bytes.len() >= 16 {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes).map_err(|_| Errno::BADMSG)?;
        let length = (message.header.length as usize).next_multiple_of(4);
        if message.header.sequence_number == sequence {
            match message.payload {
                NetlinkPayload::Error(error) => {
                    let code = error.raw_code();
                    return if code == 0 { Ok(true) } else { Err(refusal(code)) };
                }
                NetlinkPayload::Done(_) => return Ok(true),
                NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                _ => {}
            }
        }
        bytes = bytes.get(length.max(16)..).unwrap_or_default();
    }
    Ok(false)
}

/// The errno of an answer's negative code; `EIO` for a number that is none.
pub(crate) fn refusal(code: i32) -> Errno {
    match code.checked_neg() {
        Some(errno @ 1..4096) => Errno::from_raw_os_error(errno),
        _ => Errno::IO,
    }
}

/// Brings up `lo` in the network namespace at a path.
pub fn loopback_up(netns: &Path) -> io::Result<()> {
    let mut netlink = Netlink::open_in(&NetNs::open(netns)?)?;
    // Loopback is the first interface of every namespace: the kernel gives it index 1.
    netlink.set_up(1, true).map_err(|error| error.errno.into())
}
