//! A server in this process, and a client of it over a connection in memory.

use std::sync::Arc;

use bytes::Bytes;
use control_plane::apiserver::access::{Peer, Security};
use control_plane::apiserver::auth::tls::Authorities;
use control_plane::apiserver::auth::token::{Issuer, Verifier};
use control_plane::apiserver::auth::{Authenticator, User, files};
use control_plane::apiserver::http::serve;
use control_plane::apiserver::server::Server;
use control_plane::bootstrap;
use control_plane::controllers::{self, flow};
use control_plane::storage::Embedded;
use daemon::CancellationToken;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinSet;

/// The id of their certificate.
const CREDENTIAL: &str = "X509SHA256=1745c76ab2c2e7bfdbb3b48f97872c79bc1f958567d72ce7de3771844eabf91f";

/// A server above a store in memory, with what a stock API server does by itself besides.
pub(crate) struct World {
    pub server: Arc<Server>,
    /// They end with it.
    _tasks: JoinSet<()>,
}

/// Who the recording's requests came from.
fn admin() -> Peer {
    let mut user = User::new("admin", &["system:masters", "system:authenticated"]);
    user.extra.insert("authentication.kubernetes.io/credential-id".to_owned(), vec![CREDENTIAL.to_owned()]);
    Peer::Known(user)
}

/// Keys and certificates, made for this run, and what the recorded server called itself.
fn security() -> Result<Security, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let made = files::prepare(folder.path(), &files::cluster_names("cluster.local"), &[], Timestamp::now());
    let files = made.map_err(|e| e.to_string())?;
    let url = "https://kubernetes.default.svc".to_owned();
    let (issuers, audiences) = (vec![url.clone()], vec![url.clone()]);
    let tokens =
        Verifier { issuers, keys: vec![files.signing_key.public().clone()], audiences: audiences.clone() };
    let clients = Authorities::new(&files.authority.certificate).map_err(|e| e.to_string())?;
    let issuer = Issuer { url, audiences, longest: None, extend: true, key: files.signing_key };
    let authenticator = Authenticator { clients, tokens, anonymous: true };
    Ok(Security { authenticator, issuer, authority: files.authority })
}

/// An answer.
pub(crate) struct Answered {
    pub status: u16,
    pub warning: Option<String>,
    pub body: Bytes,
}

impl World {
    pub(crate) async fn start() -> Result<Self, String> {
        let store = Arc::new(Embedded::in_memory().map_err(|e| e.to_string())?);
        let server = Server::secured(store, "127.0.0.1:6443".to_owned(), security()?);
        let server = server.map_err(|e| e.to_string())?;
        let following = server.clone().follow();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            if let Err(error) = following.await {
                eprintln!("the feed of the caches ended: {error}");
            }
        });
        bootstrap::prepare(&server).await.map_err(|e| e.to_string())?;
        let working =
            controllers::run(server.clone(), vec![Arc::new(flow::Dangling)], CancellationToken::new());
        tasks.spawn(async move {
            if let Err(error) = working.await {
                eprintln!("{error}");
            }
        });
        Ok(Self { server, _tasks: tasks })
    }

    pub(crate) async fn connect(&self) -> Result<Client, String> {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        tokio::spawn(serve::connection(self.server.clone(), admin(), theirs));
        let (sender, connection) = handshake(TokioIo::new(ours)).await.map_err(|e| e.to_string())?;
        tokio::spawn(connection);
        Ok(Client(sender))
    }
}

/// A connection.
pub(crate) struct Client(SendRequest<Full<Bytes>>);

impl Client {
    /// Sends a request and reads its answer to the end.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answered, String> {
        let mut request = Request::builder().method(method).uri(path).header("host", "api");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|e| e.to_string())?;
        self.0.ready().await.map_err(|e| e.to_string())?;
        let response: Response<_> = self.0.send_request(request).await.map_err(|e| e.to_string())?;
        let (parts, body) = response.into_parts();
        let warning = parts.headers.get("warning").and_then(|w| w.to_str().ok()).map(str::to_owned);
        let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
        Ok(Answered { status: parts.status.as_u16(), warning, body })
    }

    /// Creates an object.
    pub(crate) async fn create(&mut self, path: &str, object: &Value) -> Result<(), String> {
        let headers = [("content-type", "application/json"), ("user-agent", "golden")];
        let answer = self.send("POST", path, &headers, object.to_string().into()).await?;
        match answer.status {
            200..300 => Ok(()),
            status => Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&answer.body))),
        }
    }
}
