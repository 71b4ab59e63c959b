//! The HTTP side: tokens in URLs, the upgrade to WebSocket, and clear answers to everything else.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api_stream::{MAX_MESSAGE, Protocol};
use http::header::{
    CONNECTION, HeaderMap, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderValue, Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::token::Tokens;
use super::{Backend, Request, Session, StreamError, session};

/// How long a client may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What every connection needs.
#[derive(Clone)]
struct Shared {
    tokens: Arc<Tokens<Request>>,
    backend: Arc<dyn Backend>,
    shutdown: CancellationToken,
    sessions: TaskTracker,
}

/// Accepts until cancelled, then waits until every session has ended, which the same token makes them do.
pub(super) async fn serve(
    listener: TcpListener,
    tokens: Arc<Tokens<Request>>,
    backend: Arc<dyn Backend>,
    shutdown: CancellationToken,
) {
    let shared = Shared { tokens, backend, shutdown: shutdown.clone(), sessions: TaskTracker::new() };
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                shared.sessions.spawn(connection(stream, shared.clone()));
            }
            Err(error) => {
                // A full descriptor table, or a client gone before it was accepted: neither ends the server.
                tracing::warn!(%error, "accepting a stream connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    shared.sessions.close();
    shared.sessions.wait().await;
}

async fn connection(stream: TcpStream, shared: Shared) {
    // A key press travels alone; without this Nagle's algorithm holds the next one back.
    let _ = stream.set_nodelay(true);
    let shutdown = shared.shutdown.clone();
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(respond(request, shared).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        result = serving => if let Err(error) = result {
            tracing::debug!(%error, "stream connection");
        },
        () = shutdown.cancelled() => {}
    }
}

type Answer = Response<Full<Bytes>>;

fn refuse(status: StatusCode, text: impl Into<String>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text.into() + "\n")));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

async fn respond(mut request: HttpRequest<Incoming>, shared: Shared) -> Answer {
    let Some((verb, token)) = request.uri().path().strip_prefix('/').and_then(|path| path.split_once('/'))
    else {
        return refuse(StatusCode::NOT_FOUND, "no such path");
    };
    if verb == "portforward" {
        return refuse(StatusCode::NOT_IMPLEMENTED, "port-forward is not implemented");
    }
    // The handshake is judged before the token is taken: a client that speaks the wrong protocol may try again.
    let handshake = match handshake(request.method(), request.headers()) {
        Ok(handshake) => handshake,
        Err(answer) => return answer,
    };
    let Some(wanted) = shared.tokens.take(token).filter(|wanted| verb_of(wanted) == verb) else {
        return refuse(StatusCode::NOT_FOUND, "no such session: its URL is good for one use within a minute");
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let Shared { backend, shutdown, sessions, .. } = shared;
    sessions.spawn(async move {
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!(%error, "upgrading a stream connection"),
        };
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE))
            .write_buffer_size(0)
            .max_write_buffer_size(4 * MAX_MESSAGE);
        let socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        let streams = wanted.streams();
        // The process is started only now, when there is somebody to listen to it.
        let opened = open(&*backend, wanted).await;
        session::run(socket, handshake.protocol, streams, opened, shutdown).await;
    });
    handshake.answer
}

fn verb_of(request: &Request) -> &'static str {
    match request {
        Request::Exec(_) => "exec",
        Request::Attach(_) => "attach",
    }
}

async fn open(backend: &dyn Backend, request: Request) -> Result<Session, StreamError> {
    match request {
        Request::Exec(session) => backend.exec(session).await,
        Request::Attach(session) => backend.attach(session).await,
    }
}

struct Handshake {
    protocol: Protocol,
    answer: Answer,
}

/// The server's half of RFC 6455, section 4.2.
fn handshake(method: &Method, headers: &HeaderMap) -> Result<Handshake, Answer> {
    let has = |name, token: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value: &HeaderValue| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    if has(&UPGRADE, "SPDY/3.1") {
        let text = format!("SPDY is not implemented; upgrade to WebSocket with {}", Protocol::offer());
        return Err(refuse(StatusCode::NOT_IMPLEMENTED, text));
    }
    if method != Method::GET || !has(&UPGRADE, "websocket") || !has(&CONNECTION, "upgrade") {
        return Err(refuse(StatusCode::BAD_REQUEST, "expected a GET that upgrades to WebSocket"));
    }
    if !has(&SEC_WEBSOCKET_VERSION, "13") {
        let mut answer = refuse(StatusCode::UPGRADE_REQUIRED, "expected Sec-WebSocket-Version: 13");
        answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(answer);
    }
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY) else {
        return Err(refuse(StatusCode::BAD_REQUEST, "expected Sec-WebSocket-Key"));
    };
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL);
    let protocol = Protocol::choose(offered.into_iter().filter_map(|value| value.to_str().ok()))
        .map_err(|error| refuse(StatusCode::BAD_REQUEST, error.to_string()))?;
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|_| refuse(StatusCode::BAD_REQUEST, "malformed Sec-WebSocket-Key"))?;
    for (name, value) in [
        (UPGRADE, HeaderValue::from_static("websocket")),
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (SEC_WEBSOCKET_ACCEPT, accept),
        (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol.name())),
    ] {
        answer.headers_mut().insert(name, value);
    }
    Ok(Handshake { protocol, answer })
}
