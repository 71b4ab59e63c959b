//! The admin endpoint of every daemon: a unix socket of mode 0600 that speaks HTTP/1.1.
//!
//! `GET /livez`, `GET /readyz` (503 with what is waited for), `GET /metrics` (Prometheus text),
//! `PUT /log-level` with directives as its body.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, put};
use tokio_util::sync::CancellationToken;

use crate::{LogHandle, listen_unix};

/// The admin endpoint cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("admin endpoint {path}: {source}", path = path.display())]
pub struct AdminError {
    path: PathBuf,
    source: io::Error,
}

/// What the admin endpoint answers from.
pub struct Admin {
    /// For `/readyz`: what is waited for, one line each, or nothing when ready.
    pub ready: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// For `/log-level`.
    pub logs: LogHandle,
    /// Renders `/metrics` in the Prometheus text format.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
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
    match (admin.ready)() {
        Ok(()) => (StatusCode::OK, "ok\n".into()),
        Err(missing) => (StatusCode::SERVICE_UNAVAILABLE, missing),
    }
}

async fn set_level(State(admin): State<Arc<Admin>>, directives: String) -> (StatusCode, String) {
    match admin.logs.set(directives.trim()) {
        Ok(()) => (StatusCode::OK, "ok\n".into()),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}
