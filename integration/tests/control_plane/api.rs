//! The API over the socket at which root is the superuser.

use std::path::PathBuf;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use integration::runner::{TestError, check, fail};
use serde_json::Value;
use tokio::net::UnixStream;

/// Its path.
pub(crate) struct Api(pub(crate) PathBuf);

fn text(error: impl std::fmt::Display) -> TestError {
    TestError::Failed(error.to_string())
}

impl Api {
    /// One request on a connection of its own.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Result<(u16, Value), TestError> {
        let (code, bytes) = self.exchange(method, path, body)?;
        Ok((code, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// What is answered in words.
    pub(crate) fn text(&self, path: &str) -> Result<(u16, String), TestError> {
        let (code, bytes) = self.exchange("GET", path, &Value::Null)?;
        Ok((code, String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn exchange(&self, method: &str, path: &str, body: &Value) -> Result<(u16, Bytes), TestError> {
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        executor.block_on(async {
            let stream = UnixStream::connect(&self.0).await?;
            let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(text)?;
            let connection = tokio::spawn(connection);
            let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
            let request = Request::builder().method(method).uri(path).header("host", "api");
            let request = request.body(Full::new(body)).map_err(text)?;
            let answer = sender.send_request(request).await.map_err(text)?;
            let code = answer.status().as_u16();
            let bytes = answer.into_body().collect().await.map_err(text)?.to_bytes();
            connection.abort();
            Ok((code, bytes))
        })
    }

    pub(crate) fn get(&self, path: &str) -> Result<(u16, Value), TestError> {
        self.send("GET", path, &Value::Null)
    }

    pub(crate) fn create(&self, path: &str, object: &Value) -> Result<Value, TestError> {
        let (code, answer) = self.send("POST", path, object)?;
        check(code == 201, || format!("POST {path}: {code}: {}", answer["message"]))?;
        Ok(answer)
    }
}

/// The status of a GET over TLS by somebody without credentials.
pub(crate) fn over_tls(port: u16, path: &str) -> Result<u16, TestError> {
    let url = format!("https://127.0.0.1:{port}{path}");
    let arguments = ["-sk", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", &url];
    let output = std::process::Command::new("curl").args(arguments).output()?;
    match String::from_utf8_lossy(&output.stdout).parse() {
        Ok(code) => Ok(code),
        Err(_) => fail(format!("curl {url}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
