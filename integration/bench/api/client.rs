//! A client over TLS on a connection of its own, as an administrator.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Result;

/// Where a server is, and who asks.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Target {
    /// A server on loopback, with the keys and certificates of a folder of ours.
    pub(crate) fn new(port: u16, pki: &Path) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pki.join("ca.crt"))?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let shown = vec![CertificateDer::from_pem_file(pki.join("admin.crt"))?];
        let key = PrivateKeyDer::from_pem_file(pki.join("admin.key"))?;
        let config = config.with_root_certificates(roots).with_client_auth_cert(shown, key)?;
        Ok(Self { address: ([127, 0, 0, 1], port).into(), tls: Arc::new(config).into() })
    }

    /// Connects.
    pub(crate) async fn client(&self) -> Result<Client> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = self.tls.connect(name, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with its sender.
        tokio::spawn(connection);
        Ok(Client { sender })
    }
}

/// A connection.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    async fn begin(&mut self, method: &str, path: &str, media: &str, body: Bytes) -> Result<(u16, Incoming)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "api")
            .header("accept", "application/json");
        let request =
            request.header("content-type", media).header("user-agent", "bench").body(Full::new(body))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        Ok((answer.status().as_u16(), answer.into_body()))
    }

    /// Asks, and reads the answer to its end; one that is no success is an error.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        media: &str,
        body: &Value,
    ) -> Result<Bytes> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let (code, answer) = self.begin(method, path, media, body).await?;
        let bytes = answer.collect().await?.to_bytes();
        if (200..300).contains(&code) {
            return Ok(bytes);
        }
        let said = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
        Err(format!("{method} {path}: {code}: {said}").into())
    }

    /// Creates an object, which may be there already.
    pub(crate) async fn ensure(&mut self, path: &str, object: &Value) -> Result<()> {
        match self.send("POST", path, JSON, object).await {
            Err(error) if !error.to_string().contains(": 409: ") => Err(error),
            _ => Ok(()),
        }
    }

    /// A watch's events, as they come.
    pub(crate) async fn watch(&mut self, path: &str) -> Result<Incoming> {
        match self.begin("GET", path, JSON, Bytes::new()).await? {
            (200, body) => Ok(body),
            (code, _) => Err(format!("GET {path}: {code}").into()),
        }
    }
}

/// An object's media type.
pub(crate) const JSON: &str = "application/json";
