//! The HTTP API of the kubelet, on a unix socket of mode 0600, and on TCP when asked.
//!
//! `/pods`, `/manifests` (which are refused and why), `/healthz`, `/livez`, `/readyz`, `/metrics`, `/containerLogs/NAMESPACE/POD/CONTAINER`,
//! `/exec/…` and `/attach/…` (both also with the pod's UID before the container).

mod logs;
mod stream;

use std::fmt::Write as _;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use api_k8s::v1;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::core::{Now, Settings, status};
use crate::cri::Client;
use crate::translate::{Node, all_containers};
use crate::worker::{Shown, Told};

/// What requests are answered from.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) told: Told,
    pub(crate) settings: Arc<Settings>,
    pub(crate) client: Client,
    pub(crate) node: Arc<Node>,
    pub(crate) epoch: Instant,
}

/// An answer that is not what was asked for: the status, and a line for people.
pub(super) struct Refused(StatusCode, String);

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, self.1 + "\n").into_response()
    }
}

impl Server {
    /// The routes of all listeners.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/pods", get(pods))
            .route("/manifests", get(manifests))
            .route("/healthz", get(|| async { "ok" }))
            .route("/livez", get(|| async { "ok" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .route("/containerLogs/{namespace}/{pod}/{container}", get(logs::serve))
            .route("/exec/{namespace}/{pod}/{container}", get(stream::exec).post(stream::exec))
            .route("/exec/{namespace}/{pod}/{uid}/{container}", get(stream::exec).post(stream::exec))
            .route("/attach/{namespace}/{pod}/{container}", get(stream::attach).post(stream::attach))
            .route("/attach/{namespace}/{pod}/{uid}/{container}", get(stream::attach).post(stream::attach))
            .with_state(self)
    }

    fn all(&self) -> Vec<Shown> {
        let view = Arc::clone(&self.told.view.read().unwrap_or_else(PoisonError::into_inner));
        view.values().cloned().collect()
    }

    fn now(&self) -> Now {
        Now { mono: self.epoch.elapsed(), wall: Timestamp::now() }
    }

    /// The pod with its status as of now.
    fn live(&self, shown: &Shown) -> v1::Pod {
        let mut pod = (*shown.manifest).clone();
        pod.status = Some(status::render(&shown.pod, &shown.manifest, &self.settings, self.now()));
        pod
    }

    /// The pod and the index of the container that a request names.
    fn container(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
        container: &str,
    ) -> Result<(Shown, usize), Refused> {
        let same = |shown: &Shown| {
            shown.pod.spec.namespace == namespace
                && shown.pod.spec.name == name
                && uid.is_none_or(|uid| uid == shown.pod.spec.uid)
        };
        let shown = self.all().into_iter().find(same).ok_or_else(|| {
            Refused(StatusCode::NOT_FOUND, format!("pod \"{namespace}/{name}\" does not exist"))
        })?;
        let index = all_containers(&shown.manifest).position(|one| one.name == container);
        let index = index.ok_or_else(|| {
            let names: Vec<_> = all_containers(&shown.manifest).map(|one| one.name.as_str()).collect();
            let names = names.join(", ");
            let text = format!("container \"{container}\" not found in pod \"{name}\", which has: {names}");
            Refused(StatusCode::NOT_FOUND, text)
        })?;
        Ok((shown, index))
    }
}

/// Serves until cancelled.
pub(crate) async fn serve<L>(listener: L, router: Router, shutdown: CancellationToken) -> std::io::Result<()>
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    // Followed logs and terminals never end by themselves: they are cut with the last reference.
    tokio::select! {
        result = async { axum::serve(listener, router).await } => result,
        () = shutdown.cancelled() => Ok(()),
    }
}

async fn pods(State(server): State<Server>) -> Response {
    let pods: Vec<_> = server.all().iter().map(|shown| server.live(shown)).collect();
    let body = api_k8s::encode_pod_list(&pods).to_string();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn manifests(State(server): State<Server>) -> Response {
    axum::Json(serde_json::json!({ "refused": server.told.refusals.list() })).into_response()
}

async fn ready(State(server): State<Server>) -> Response {
    match server.told.ready.missing() {
        None => "ok".into_response(),
        Some(missing) => (StatusCode::SERVICE_UNAVAILABLE, missing).into_response(),
    }
}

async fn metrics(State(server): State<Server>) -> Response {
    let all = server.all();
    let mut text = String::from("# TYPE kubelet_running_pods gauge\n");
    let running = all.iter().filter(|shown| status::phase(&shown.pod) == "Running").count();
    let _ = writeln!(text, "kubelet_running_pods {running}");
    text.push_str("# TYPE kubelet_running_containers gauge\n");
    let containers = all.iter().flat_map(|shown| &shown.pod.containers);
    let running = containers.clone().filter(|container| container.running().is_some()).count();
    let _ = writeln!(text, "kubelet_running_containers{{container_state=\"running\"}} {running}");
    text.push_str("# TYPE kubelet_desired_pods gauge\n");
    let _ = writeln!(text, "kubelet_desired_pods {}", all.len());
    text.push_str("# TYPE kubelet_container_restarts gauge\n");
    let restarts: u64 =
        containers.filter_map(|container| container.current.as_ref()).map(|run| u64::from(run.attempt)).sum();
    let _ = writeln!(text, "kubelet_container_restarts {restarts}");
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
