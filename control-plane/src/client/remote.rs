//! The way to a server elsewhere: one connection, HTTP/2 over TLS, made anew when it broke.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderValue};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use super::kubeconfig::Access;

/// A server cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct RemoteError {
    what: String,
    why: String,
}

impl RemoteError {
    fn of(what: &str, why: &dyn std::fmt::Display) -> Self {
        Self { what: what.to_owned(), why: why.to_string() }
    }
}

/// A server elsewhere.
pub struct Remote {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: TlsConnector,
    token: Option<HeaderValue>,
    /// The connection; none before the first request.
    sender: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Remote {
    /// A server, not yet connected to.
    ///
    /// # Errors
    /// When certificates, keys or names are not what they should be.
    pub fn new(access: &Access) -> Result<Arc<Self>, RemoteError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("the certificate authority", &access.authority)? {
            roots.add(certificate).map_err(|error| RemoteError::of("the certificate authority", &error))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| RemoteError::of("TLS", &error))?
            .with_root_certificates(roots);
        let mut config = match &access.certificate {
            Some((certificate, key)) => {
                let what = "the client certificate";
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|error| RemoteError::of("the client key", &error))?;
                let config = config.with_client_auth_cert(certificates(what, certificate)?, key);
                config.map_err(|error| RemoteError::of(what, &error))?
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = access.name.clone().unwrap_or_else(|| access.host.clone());
        let name =
            ServerName::try_from(name).map_err(|error| RemoteError::of("the server's name", &error))?;
        let token = access.token.as_ref().map(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|error| RemoteError::of("the token", &error))?;
            value.set_sensitive(true);
            Ok::<_, RemoteError>(value)
        });
        Ok(Arc::new(Self {
            host: access.host.clone(),
            port: access.port,
            name,
            tls: TlsConnector::from(Arc::new(config)),
            token: token.transpose()?,
            sender: Mutex::new(None),
        }))
    }

    /// Sends a request; its URI is a path. The body of the answer comes as the server sends it.
    ///
    /// # Errors
    /// When there is no connection, or it breaks.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, RemoteError> {
        let mut sender = self.sender().await?;
        let (mut parts, body) = request.into_parts();
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = format!("https://{host}:{}{path}", self.port)
            .parse()
            .map_err(|error: http::uri::InvalidUri| RemoteError::of(path, &error))?;
        parts.headers.remove(HOST);
        if let Some(token) = &self.token {
            parts.headers.insert(AUTHORIZATION, token.clone());
        }
        let answer = sender.send_request(Request::from_parts(parts, body)).await;
        answer.map_err(|error| RemoteError::of("asking", &error))
    }

    /// The connection, made where there is none that works.
    async fn sender(&self) -> Result<SendRequest<Full<Bytes>>, RemoteError> {
        let mut there = self.sender.lock().await;
        if let Some(sender) = there.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let what = format!("connecting to {}:{}", self.host, self.port);
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|error| RemoteError::of(&what, &error))?;
        // Requests are written whole.
        let _ = stream.set_nodelay(true);
        let stream = self.tls.connect(self.name.clone(), stream).await;
        let stream = stream.map_err(|error| RemoteError::of(&what, &error))?;
        let mut builder = Builder::new(TokioExecutor::new());
        // Watches of much share it with requests.
        builder.initial_connection_window_size(16 << 20).initial_stream_window_size(1 << 20);
        let shaken = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| RemoteError::of(&what, &error))?;
        // It ends with its last sender, and who sends learns why it broke.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the server broke");
            }
        });
        *there = Some(sender.clone());
        Ok(sender)
    }
}

fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, RemoteError> {
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match list {
        Ok(list) if list.is_empty() => Err(RemoteError::of(what, &"there is no certificate in it")),
        Ok(list) => Ok(list),
        Err(error) => Err(RemoteError::of(what, &error)),
    }
}
