//! Serves the API on a connection, by HTTP/1.1 or HTTP/2, whichever the client speaks.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::answer::Body;
use crate::apiserver::access::Peer;
use crate::apiserver::server::Server;

/// Requests, watches among them, that a client may have open on one connection.
const STREAMS: u32 = 1000;
/// The first line and the headers of a request must come within.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);
/// The longest first line with all headers, in bytes; more is answered with 431.
const HEADERS: u32 = 256 << 10;
/// A client on HTTP/2 that is not heard of for so long is asked whether it is still there,
const PING_AFTER: Duration = Duration::from_secs(30);
/// and has so long to answer.
const PONG_WITHIN: Duration = Duration::from_secs(15);

/// Serves one connection, at whose other end `peer` is, until the client ends it, or the server is closing and the requests that run are done.
pub async fn connection<I>(server: Arc<Server>, peer: Peer, io: I)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (closing, peer) = (server.closing.clone(), Arc::new(peer));
    let answer = move |request| {
        let (server, peer) = (server.clone(), peer.clone());
        async move { server.answer(&peer, request).await }
    };
    answering(closing, answer, io).await;
}

/// Serves one connection with the answers of `answer`.
pub async fn answering<I, A, F>(closing: CancellationToken, answer: A, io: I)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    let http1 = &mut builder.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).max_buf_size(HEADERS as usize);
    let http2 = &mut builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(STREAMS).max_header_list_size(HEADERS);
    http2.keep_alive_interval(PING_AFTER).keep_alive_timeout(PONG_WITHIN);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // Clients go away in many ways, and none of them is the server's trouble.
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended");
    }
}
