//! The admin endpoint of every daemon: a unix socket of mode 0600 that speaks HTTP/1.1.
//!
//! `GET /livez`, `GET /readyz` (503 with what is waited for), `GET /metrics` (Prometheus text),
//! `PUT /log-level` with directives as its body.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, put};
use tokio_util::sync::CancellationToken;

use crate::{LogHandle, listen_unix};

/// What a daemon still waits for, by name. Empty means ready.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, String>>>);

impl Readiness {
    /// Not ready because of `name`, with a reason for people.
    pub fn waits_for(&self, name: &str, reason: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), reason.into());
    }

    /// `name` is there.
    pub fn has(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// One line per thing that is waited for; `None` when ready.
    pub fn missing(&self) -> Option<String> {
        let waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waits.is_empty() {
            return None;
        }
        Some(waits.iter().fold(String::new(), |mut text, (name, reason)| {
            let _ = writeln!(text, "{name}: {reason}");
            text
        }))
    }
}

/// The admin endpoint cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("admin endpoint {path}: {source}", path = path.display())]
pub struct AdminError {
    path: PathBuf,
    source: io::Error,
}

/// What the admin endpoint answers from.
pub struct Admin {
    /// For `/readyz`.
    pub readiness: Readiness,
    /// For `/log-level`.
    pub logs: LogHandle,
    /// Renders `/metrics` in the Prometheus text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Admin {
    /// Serves until cancelled. An old socket file at the path is replaced.
    pub async fn serve(self, path: &Path, shutdown: CancellationToken) -> Result<(), AdminError> {
        let listener = listen_unix(path).map_err(|source| AdminError { path: path.into(), source })?;
        let router = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(|State(admin): State<Arc<Admin>>| async move { (admin.metrics)() }))
            .route("/log-level", put(set_level))
            .with_state(Arc::new(self));
        axum::serve(listener, router)
            .with_graceful_shutdown(async move { shutdown.cancelled().await })
            .await
            .map_err(|source| AdminError { path: path.into(), source })
    }
}

async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, String) {
    match admin.readiness.missing() {
        None => (StatusCode::OK, "ok\n".into()),
        Some(missing) => (StatusCode::SERVICE_UNAVAILABLE, missing),
    }
}

async fn set_level(State(admin): State<Arc<Admin>>, directives: String) -> (StatusCode, String) {
    match admin.logs.set(directives.trim()) {
        Ok(()) => (StatusCode::OK, "ok\n".into()),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}
