//! `snapshot save` and `snapshot restore`: everything that is stored, as a file of lines that every backend reads.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::{Config, RunError};
use crate::storage::{DumpError, Store, dump, restore};

/// Where a control plane that runs takes the request, beside the API.
pub(super) const PATH: &str = "/snapshot";

/// Why there is no snapshot, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The store cannot be opened. One that is a file has one user at a time.
    #[error(transparent)]
    Open(#[from] RunError),
    /// The file cannot be read or written.
    #[error("{op} {}: {source}", path.display())]
    File {
        /// What was tried.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The control plane that runs does not make one.
    #[error("the control plane at {}: {why}", socket.display())]
    Refused {
        /// Where it was asked.
        socket: PathBuf,
        /// What it says.
        why: String,
    },
    /// The store or the snapshot is not as it should be.
    #[error(transparent)]
    Dump(#[from] DumpError),
}

/// Writes a snapshot of what a configuration keeps; gives the number of objects. A control plane that runs is asked for
/// it, since a file has one user at a time; `path` is absolute.
///
/// # Errors
/// When the store or the file cannot be used; an incomplete file is removed.
pub async fn save(config: &Config, path: &Path) -> Result<u64, SnapshotError> {
    match ask(&config.socket, path).await {
        Some(answer) => answer,
        None => save_from(&*super::open(config).await?, path).await,
    }
}

/// Asks the control plane that runs; none when none does.
async fn ask(socket: &Path, path: &Path) -> Option<Result<u64, SnapshotError>> {
    let stream = UnixStream::connect(socket).await.ok()?;
    Some(asked(stream, path).await.map_err(|why| SnapshotError::Refused { socket: socket.to_owned(), why }))
}

async fn asked(stream: UnixStream, path: &Path) -> Result<u64, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| text(&error))?;
    let body = Full::new(Bytes::copy_from_slice(path.as_os_str().as_encoded_bytes()));
    let request = Request::post(PATH).header(HOST, "localhost").body(body).map_err(|error| text(&error))?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|error| text(&error))?;
        let code = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| text(&error))?.to_bytes();
        Ok::<_, String>((code, String::from_utf8_lossy(&body).into_owned()))
    };
    let (code, body) = tokio::select! {
        done = exchange => done?,
        Err(error) = connection => return Err(text(&error)),
    };
    if code.is_success() { body.trim().parse().map_err(|_| body) } else { Err(body) }
}

/// Answers who asks a control plane that runs, over the socket that only root can reach. `body` is the path.
pub(super) async fn answer(store: &dyn Store, body: &[u8]) -> Result<u64, SnapshotError> {
    save_from(store, Path::new(std::ffi::OsStr::from_bytes(body))).await
}

/// Writes a snapshot of a store that is open; gives the number of objects.
///
/// # Errors
/// When the store or the file cannot be used; an incomplete file is removed.
async fn save_from(store: &dyn Store, path: &Path) -> Result<u64, SnapshotError> {
    let failed = |op| move |source| SnapshotError::File { op, path: path.to_owned(), source };
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    // It holds Secrets.
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&part);
    let mut to = BufWriter::new(file.map_err(failed("make"))?);
    let written = async {
        let count = dump(store, &mut to).await?;
        to.flush().and_then(|()| to.get_ref().sync_all()).map_err(failed("write"))?;
        std::fs::rename(&part, path).map_err(failed("rename to"))?;
        Ok(count)
    };
    let written = written.await;
    if written.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&part);
    }
    written
}

/// Fills an empty store from a snapshot; gives the number of objects.
///
/// # Errors
/// When the snapshot is damaged, or something is stored already.
pub async fn restore_to(config: &Config, path: &Path) -> Result<u64, SnapshotError> {
    let file = File::open(path);
    let file = file.map_err(|source| SnapshotError::File { op: "open", path: path.to_owned(), source })?;
    let store = super::open(config).await?;
    Ok(restore(&*store, &mut BufReader::new(file)).await?)
}
