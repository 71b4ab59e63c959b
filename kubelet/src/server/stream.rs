//! `/exec` and `/attach`: the runtime says where it serves the stream, and the upgraded connection is passed on
//! byte for byte, whatever protocol the client and the runtime agree on.

use api_cri::v1 as cri;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Refused, Server};

/// `[uid,] container` behind the namespace and the pod.
type Names = Path<Vec<String>>;

pub(super) async fn exec(
    State(server): State<Server>,
    names: Names,
    request: Request,
) -> Result<Response, Refused> {
    let id = running(&server, &names.0)?;
    let query = Streams::of(request.uri())?;
    if query.command.is_empty() {
        return Err(Refused(StatusCode::BAD_REQUEST, "you must specify at least one command".into()));
    }
    let Streams { command, input, output, error, tty } = query;
    let asked =
        cri::ExecRequest { container_id: id, cmd: command, tty, stdin: input, stdout: output, stderr: error };
    let url = server.client.runtime.clone().exec(asked).await.map_err(|status| refused(&status))?;
    pass_on(&url.into_inner().url, request).await
}

pub(super) async fn attach(
    State(server): State<Server>,
    names: Names,
    request: Request,
) -> Result<Response, Refused> {
    let id = running(&server, &names.0)?;
    let Streams { input, output, error, tty, .. } = Streams::of(request.uri())?;
    let asked = cri::AttachRequest { container_id: id, stdin: input, tty, stdout: output, stderr: error };
    let url = server.client.runtime.clone().attach(asked).await.map_err(|status| refused(&status))?;
    pass_on(&url.into_inner().url, request).await
}

fn running(server: &Server, names: &[String]) -> Result<String, Refused> {
    let (namespace, name, uid, container) = match names {
        [namespace, name, container] => (namespace, name, None, container),
        [namespace, name, uid, container] => (namespace, name, Some(uid.as_str()), container),
        _ => return Err(Refused(StatusCode::NOT_FOUND, "no such path".into())),
    };
    let (shown, index) = server.container(namespace, name, uid, container)?;
    let id = shown.pod.containers[index].running().map(ToOwned::to_owned);
    let text = || format!("container \"{container}\" in pod \"{name}\" is not running");
    id.ok_or_else(|| Refused(StatusCode::BAD_REQUEST, text()))
}

fn refused(status: &tonic::Status) -> Refused {
    Refused(StatusCode::INTERNAL_SERVER_ERROR, crate::images::said(status))
}

/// The query of exec and attach.
#[derive(Debug, Default, PartialEq, Eq)]
struct Streams {
    command: Vec<String>,
    input: bool,
    output: bool,
    error: bool,
    tty: bool,
}

impl Streams {
    fn of(uri: &Uri) -> Result<Self, Refused> {
        let pairs: Vec<(String, String)> = axum::extract::Query::try_from_uri(uri)
            .map_err(|error| Refused(StatusCode::BAD_REQUEST, error.body_text()))?
            .0;
        let mut streams = Self::default();
        for (key, value) in pairs {
            let on = matches!(value.as_str(), "1" | "true");
            match key.as_str() {
                "command" => streams.command.push(value),
                "input" | "stdin" => streams.input = on,
                "output" | "stdout" => streams.output = on,
                "error" | "stderr" => streams.error = on,
                "tty" => streams.tty = on,
                _ => {}
            }
        }
        // A terminal has one stream out.
        streams.error &= !streams.tty;
        if !(streams.input || streams.output || streams.error) {
            let text = "you must specify at least 1 of stdin, stdout, stderr";
            return Err(Refused(StatusCode::BAD_REQUEST, text.into()));
        }
        Ok(streams)
    }
}

/// Sends the request to the runtime's streaming server, and connects both connections once it has switched
/// protocols. Anything but 101 is the answer itself.
async fn pass_on(url: &str, mut request: Request) -> Result<Response, Refused> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Refused(StatusCode::BAD_GATEWAY, format!("the runtime's stream at {url}: {what}: {error}"))
    };
    let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| failed("address", &error))?;
    let authority = uri.authority().ok_or_else(|| failed("address", &"has no host"))?.clone();
    let stream =
        TcpStream::connect((authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80)));
    let stream = stream.await.map_err(|error| failed("connecting", &error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed("handshake", &error))?;
    let connection = tokio::spawn(connection.with_upgrades());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut forward = http::Request::builder().method(request.method()).uri(path);
    if let Some(headers) = forward.headers_mut() {
        headers.clone_from(request.headers());
        headers.remove(header::HOST);
    }
    let forward = forward.header(header::HOST, authority.as_str()).body(Empty::<bytes::Bytes>::new());
    let forward = forward.map_err(|error| failed("request", &error))?;
    let mut answer = sender.send_request(forward).await.map_err(|error| failed("request", &error))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (parts, body) = answer.into_parts();
        return Ok(Response::from_parts(parts, Body::new(body)));
    }
    let ours = hyper::upgrade::on(&mut request);
    let theirs = hyper::upgrade::on(&mut answer);
    tokio::spawn(async move {
        match tokio::try_join!(ours, theirs) {
            Ok((ours, theirs)) => {
                let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
                // Whoever closes first ends it; how is the protocol's business.
                let _ = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await;
            }
            Err(error) => tracing::debug!(%error, "a stream was not upgraded"),
        }
        connection.abort();
    });
    let (parts, _) = answer.into_parts();
    Ok((parts.status, parts.headers, Body::empty()).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_keeps_its_order_and_a_terminal_has_no_error_stream() {
        let uri = "/exec/n/p/c?command=sh&command=-c&command=a%20b&output=1&error=1&tty=1".parse().unwrap();
        let Ok(streams) = Streams::of(&uri) else { panic!("refused") };
        assert_eq!(streams.command, ["sh", "-c", "a b"]);
        assert_eq!((streams.output, streams.error, streams.tty), (true, false, true));
        assert!(Streams::of(&"/exec/n/p/c?command=sh".parse().unwrap()).is_err(), "no stream at all");
    }
}
