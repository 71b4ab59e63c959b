//! The kubelet's HTTP interface over its unix socket.

use std::path::{Path, PathBuf};

use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::cannot_connect;
use super::manifests::{Manifests, Refusal};
use super::pod::{Pod, PodList};
use crate::{Error, Global};

/// An answer that says why it is none may be this long.
const LONGEST_REFUSAL: usize = 64 << 10;

/// One kubelet.
pub(super) struct Kubelet {
    socket: PathBuf,
}

impl Kubelet {
    pub(super) fn new(global: &Global) -> Result<Self, Error> {
        Ok(Self { socket: global.kubelet_socket()? })
    }

    /// Its socket.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) async fn connect(&self) -> Result<UnixStream, Error> {
        let connected = UnixStream::connect(&self.socket).await;
        connected.map_err(|error| cannot_connect("kubelet", &self.socket, "--kubelet-endpoint", &error))
    }

    async fn request(&self, target: &str) -> Result<http::Response<Incoming>, Error> {
        let stream = self.connect().await?;
        let (mut requests, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| Error::failed(&error))?;
        // Ends with the answer; what goes wrong in it shows there.
        tokio::spawn(connection);
        let request = Request::get(target)
            .header("host", "kubelet")
            .body(Empty::<Bytes>::new())
            .map_err(|error| Error::failed(&error))?;
        requests.send_request(request).await.map_err(|error| Error::failed(&error))
    }

    /// The body of a successful GET.
    pub(super) async fn get(&self, target: &str) -> Result<Incoming, Error> {
        let answer = self.request(target).await?;
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        let status = answer.status();
        let text = http_body_util::Limited::new(answer.into_body(), LONGEST_REFUSAL).collect().await;
        let text = text.map(|body| body.to_bytes()).unwrap_or_default();
        Err(refusal(status, &text))
    }

    /// The manifests that it refuses. A foreign kubelet tells of none.
    pub(super) async fn refused(&self) -> Result<Vec<Refusal>, Error> {
        let answer = self.request("/manifests").await?;
        if answer.status() == http::StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        let body = answer.into_body().collect().await.map_err(|error| Error::failed(&error))?.to_bytes();
        let manifests: Manifests = serde_json::from_slice(&body)
            .map_err(|error| Error::Failed(format!("the kubelet's list of manifests: {error}")))?;
        Ok(manifests.refused)
    }

    /// Everything it says of its pods, as it says it.
    pub(super) async fn pods_json(&self) -> Result<Bytes, Error> {
        let body = self.get("/pods").await?.collect().await.map_err(|error| Error::failed(&error))?;
        Ok(body.to_bytes())
    }

    /// Its pods, ordered by name.
    pub(super) async fn pods(&self) -> Result<Vec<Pod>, Error> {
        parse(&self.pods_json().await?)
    }
}

/// Reads a list of pods and orders it by name.
pub(super) fn parse(json: &[u8]) -> Result<Vec<Pod>, Error> {
    let list: PodList = serde_json::from_slice(json)
        .map_err(|error| Error::Failed(format!("the kubelet's list of pods: {error}")))?;
    let mut pods = list.items.unwrap_or_default();
    pods.sort_by_key(Pod::full_name);
    Ok(pods)
}

/// What a kubelet said instead of doing what it was asked.
pub(super) fn refusal(status: http::StatusCode, text: &[u8]) -> Error {
    let text = String::from_utf8_lossy(text);
    match text.trim() {
        "" => Error::Failed(format!("the kubelet answers {status}")),
        text => Error::Failed(text.to_owned()),
    }
}

/// A path segment or query value, percent-encoded but for unreserved characters (RFC 3986, 2.3).
pub(super) fn encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => (byte as char).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_survives_the_query() {
        assert_eq!(encode("echo a&b=ü+c"), "echo%20a%26b%3D%C3%BC%2Bc");
    }

    #[test]
    fn a_kubelet_without_pods_says_null() {
        assert!(parse(br#"{"kind":"PodList","items":null}"#).unwrap().is_empty());
        assert!(parse(b"oops").unwrap_err().to_string().starts_with("the kubelet's list of pods: "));
    }
}
