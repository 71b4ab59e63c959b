//! nftables over raw nfnetlink: tables, chains, rules and elements, without the `nft` program.
//!
//! Changes travel in a [`Batch`], which the kernel applies as a whole or not at all. Reads are single requests.
//! Attribute and message numbers are those of `linux/netfilter/nf_tables.h`; everything on the wire is big endian.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use rustix::io::Errno;

use crate::error::{Error, errno_of};

mod attributes;
mod batch;
pub mod conntrack;
pub mod expr;
mod read;

#[cfg(test)]
mod tests;

pub use batch::{Batch, Chain, Family, Hook, Key, Set};
pub use read::{ChainInfo, Element, RuleInfo};

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;
const BUFFER: usize = 64 * 1024;

/// An nfnetlink socket of the calling thread's network namespace.
#[derive(Debug)]
pub struct Nft {
    socket: Socket,
    sequence: u32,
}

/// One answer of the kernel: its type and what follows the nfnetlink header.
struct Answer {
    body: Vec<u8>,
    family: u8,
}

impl Nft {
    /// Opens a socket.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Applies a batch. On failure nothing of it was applied, and the error names the first change that was refused.
    pub fn commit(&mut self, batch: &Batch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let fail = |errno| Error::new("committing", batch.describe(), errno);
        let first = self.sequence + 1;
        let bytes = batch.encode(first);
        self.sequence = first + batch.len() as u32 + 1;
        self.socket.send(&bytes, 0).map_err(|error| fail(errno_of(&error)))?;
        let last = first + batch.len() as u32;
        let mut outcome = Ok(());
        // Answers are in the order of the changes, and only the last change asks for one when all is well: it ends the batch.
        loop {
            for (sequence, kind, body) in messages(&self.receive().map_err(fail)?) {
                if kind != NLMSG_ERROR || sequence < first || sequence > last {
                    continue;
                }
                match error_code(body) {
                    None => {}
                    // A refused header means that the batch was not looked at: no answer for its end will come.
                    Some(errno) if sequence == first => return Err(fail(errno)),
                    Some(errno) => {
                        outcome = outcome.and_then(|()| {
                            let (op, target) = batch.change((sequence - first - 1) as usize);
                            Err(Error::new(op, target, errno))
                        });
                    }
                }
                if sequence == last {
                    return outcome;
                }
            }
        }
    }

    /// Waits until the kernel has freed what was deleted, without a lock.
    ///
    /// Closing waits for it as well, a grace period of RCU, but holds the lock of all commits meanwhile: of thirty processes
    /// that each delete something every one would wait for all others. This may take a little longer and is in nobody's way.
    pub fn settle(&self) {
        // membarrier(2) is a grace period by definition. Where the kernel does not offer it, closing waits.
        let _ = rustix::thread::membarrier(rustix::thread::MembarrierCommand::Global);
    }

    /// Sends one read request and collects the answers.
    fn query(
        &mut self,
        subsystem: u8,
        kind: u8,
        family: u8,
        body: &[u8],
        dump: bool,
    ) -> Result<Vec<Answer>, Errno> {
        self.sequence += 1;
        let flags = NLM_F_REQUEST | if dump { NLM_F_DUMP } else { NLM_F_ACK };
        let mut bytes = Vec::new();
        push_message(
            &mut bytes,
            u16::from(subsystem) << 8 | u16::from(kind),
            flags,
            self.sequence,
            family,
            0,
            body,
        );
        self.socket.send(&bytes, 0).map_err(|error| errno_of(&error))?;
        let mut answers = Vec::new();
        loop {
            for (sequence, kind, body) in messages(&self.receive()?) {
                if sequence != self.sequence {
                    continue;
                }
                match kind {
                    NLMSG_DONE => return Ok(answers),
                    NLMSG_ERROR => return error_code(body).map_or(Ok(answers), Err),
                    _ if body.len() >= 4 => {
                        answers.push(Answer { family: body[0], body: body[4..].to_vec() })
                    }
                    _ => {}
                }
            }
        }
    }

    fn receive(&mut self) -> Result<Vec<u8>, Errno> {
        let mut buffer = Vec::with_capacity(BUFFER);
        let length = self.socket.recv(&mut buffer, libc::MSG_TRUNC).map_err(|error| errno_of(&error))?;
        if length > buffer.len() { Err(Errno::MSGSIZE) } else { Ok(buffer) }
    }
}

/// Appends a message with the nfnetlink header: `family`, version 0, and a resource id.
fn push_message(
    bytes: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    resource: u16,
    body: &[u8],
) {
    let length = (HEADER + 4 + body.len()) as u32;
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// The messages of a datagram: sequence number, type, and the bytes after the netlink header.
fn messages(mut bytes: &[u8]) -> Vec<(u32, u16, &[u8])> {
    let mut found = Vec::new();
    while let Some(header) = bytes.get(..HEADER) {
        let number =
            |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = number(0) as usize;
        let Some(body) = bytes.get(HEADER..length) else { break };
        found.push((number(8), u16::from_ne_bytes([header[4], header[5]]), body));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// The errno of an error message; none for an acknowledgement.
fn error_code(body: &[u8]) -> Option<Errno> {
    let code = i32::from_ne_bytes(body.get(..4)?.try_into().ok()?);
    (code != 0).then(|| crate::netlink::refusal(code))
}
