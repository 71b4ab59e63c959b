//! The connections. There are few, and none is waited for: one that does not read is closed, since it can connect
//! again and be told everything.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use api_monitor::{ClientMessage, ErrorCode, MAX_MESSAGE, Reply, ReplyError, Request, SPOKEN, ServerMessage};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use sys::seqpacket::{Connection, Listener};

use super::super::effect::Ticket;
use super::super::pod::refuse;

/// The first epoll token of a client; the ones below are the server's.
pub(super) const FIRST_CLIENT: u64 = 16;
/// How many requests of one client are taken before the others have their turn.
pub(super) const TURN: usize = 8;
const MAX_CLIENTS: usize = 16;

/// All connections, by epoll token.
#[derive(Default)]
pub(super) struct Clients {
    connections: BTreeMap<u64, Client>,
    accepted: u64,
}

struct Client {
    connection: Connection,
    /// It has said hello and hears of events.
    listens: bool,
}

impl Clients {
    /// Accepts whoever waits. When there are too many, the oldest goes: it is the likeliest to be a leftover.
    pub(super) fn accept(&mut self, listener: &Listener, epoll: &Epoll) {
        // An error is one of the connection that waited, or a lack of descriptors that passes.
        while let Ok(Some(connection)) = listener.accept() {
            if self.connections.len() >= MAX_CLIENTS {
                self.connections.pop_first();
            }
            let token = FIRST_CLIENT + self.accepted;
            self.accepted += 1;
            if epoll.add(&connection, EpollEvent::new(EpollFlags::EPOLLIN, token)).is_ok() {
                self.connections.insert(token, Client { connection, listens: false });
            }
        }
    }

    /// The next request of a client, or the error to answer with. A client that has gone is forgotten.
    #[allow(clippy::type_complexity)] // One caller, which takes it apart at once.
    pub(super) fn receive(
        &mut self,
        token: u64,
    ) -> Option<(Ticket, Result<Request, ReplyError>, Vec<OwnedFd>)> {
        let client = self.connections.get_mut(&token)?;
        // As small as the message, which is nearly always: a buffer for the longest would stay part of the heap.
        let mut buffer = Vec::new();
        let received = client.connection.next_len().and_then(|length| {
            buffer.resize(length.min(MAX_MESSAGE), 0);
            client.connection.recv(&mut buffer)
        });
        let received = match received {
            Ok(received) if received.len > 0 => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Ok(_) | Err(_) => {
                self.connections.remove(&token);
                return None;
            }
        };
        let mut from = Ticket { client: token, id: 0 };
        let decoded = if received.truncated {
            let text = format!("the message is over {MAX_MESSAGE} bytes, or carries too many descriptors");
            Err(refuse(ErrorCode::Invalid, text))
        } else {
            match ClientMessage::decode_or_refuse(&buffer[..received.len]) {
                Ok(message) => {
                    from.id = message.id;
                    client.listens |=
                        matches!(message.request, Request::Hello { version } if version >= *SPOKEN.start());
                    Ok(message.request)
                }
                Err(refusal) => {
                    from.id = refusal.id;
                    Err(refuse(refusal.error.code, refusal.error.message))
                }
            }
        };
        Some((from, decoded, received.fds))
    }

    /// Answers a request, if its client is still there.
    pub(super) fn reply(&mut self, to: Ticket, result: Result<Reply, ReplyError>, fds: &[BorrowedFd<'_>]) {
        self.send(to.client, &ServerMessage::Reply { id: to.id, result }, fds);
    }

    /// Tells everybody who listens.
    pub(super) fn broadcast(&mut self, message: &ServerMessage) {
        let listening: Vec<u64> =
            self.connections.iter().filter(|(_, client)| client.listens).map(|(&token, _)| token).collect();
        for token in listening {
            self.send(token, message, &[]);
        }
    }

    fn send(&mut self, token: u64, message: &ServerMessage, fds: &[BorrowedFd<'_>]) {
        let Some(client) = self.connections.get(&token) else { return };
        let sent =
            message.encode().map_err(io::Error::other).and_then(|bytes| client.connection.send(&bytes, fds));
        if sent.is_err() {
            self.connections.remove(&token);
        }
    }
}
