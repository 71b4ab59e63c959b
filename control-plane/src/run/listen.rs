//! Connections: over TCP by TLS, where the client is whoever its certificate or token says, and over a unix socket,
//! which only root can reach and where it is the superuser.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use rustls::ServerConfig;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::apiserver::access::{Peer, Shown};
use crate::apiserver::auth::User;
use crate::apiserver::http::answer::Answer;
use crate::apiserver::http::{request, serve};
use crate::apiserver::server::Server;

use super::snapshot;

/// A handshake must be done within.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// After a failed accept, for want of descriptors perhaps.
const PAUSE: Duration = Duration::from_millis(50);
/// Connections that are served at once.
const MOST: usize = 10_000;

/// Serves a connection over TCP.
pub(super) fn secured(
    server: &Arc<Server>,
    tls: &Arc<ServerConfig>,
    (stream, from): (TcpStream, SocketAddr),
    connections: &mut JoinSet<()>,
) {
    if !is_room(connections) {
        return;
    }
    let (server, acceptor) = (server.clone(), TlsAcceptor::from(tls.clone()));
    connections.spawn(async move {
        // Answers are written whole.
        let _ = stream.set_nodelay(true);
        let closing = server.closing.clone();
        let handshake = tokio::select! {
            done = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)) => done,
            () = closing.cancelled() => return,
        };
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%from, %error, "a handshake failed"),
            Err(_) => return tracing::debug!(%from, "a handshake took too long"),
        };
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let shown = Shown::new(certificates.iter().map(|der| der.to_vec()).collect());
        serve::connection(server, Peer::Shown(shown), stream).await;
    });
}

/// Serves a connection over the socket.
pub(super) fn local(
    server: &Arc<Server>,
    (stream, _): (UnixStream, tokio::net::unix::SocketAddr),
    connections: &mut JoinSet<()>,
) {
    if !is_room(connections) {
        return;
    }
    let server = server.clone();
    let (closing, peer) = (server.closing.clone(), Arc::new(Peer::Known(User::master())));
    let answer = move |request: Request<Incoming>| {
        let (server, peer) = (server.clone(), peer.clone());
        async move {
            if request.uri().path() == snapshot::PATH && request.method() == Method::POST {
                return saved(&server, request.into_body()).await.into_response();
            }
            server.answer(&peer, request).await
        }
    };
    connections.spawn(serve::answering(closing, answer, stream));
}

/// Writes the snapshot that is asked for.
async fn saved(server: &Server, body: Incoming) -> Answer {
    let path = match request::read(body).await {
        Ok(path) => path,
        Err(status) => return Answer::text(status.code, status.message),
    };
    match snapshot::answer(&**server.caches.store(), &path).await {
        Ok(count) => Answer::text(StatusCode::OK, count.to_string()),
        Err(error) => Answer::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// The next connection. An accept that failed, for want of descriptors perhaps, would fail again at once.
pub(super) async fn next<T, F: Future<Output = io::Result<T>>>(accept: impl Fn() -> F) -> T {
    loop {
        match accept().await {
            Ok(accepted) => return accepted,
            Err(error) => tracing::warn!(%error, "accepting a connection"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether one connection more can be served.
fn is_room(connections: &JoinSet<()>) -> bool {
    let room = connections.len() < MOST;
    if !room {
        tracing::warn!(most = MOST, "a connection is refused: too many are open");
    }
    room
}
