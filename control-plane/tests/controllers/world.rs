//! A server in this process with controllers and simulated nodes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use control_plane::apiserver::server::Server;
use control_plane::bootstrap;
use control_plane::client::{Client, Gvr, Id, Refused};
use control_plane::controllers;
use control_plane::scheduler;
use control_plane::simulate;
use control_plane::storage::Embedded;
use daemon::CancellationToken;
use serde_json::{Value, json};
use tokio::task::JoinSet;

pub(crate) static DEPLOYMENTS: Gvr = Gvr::of("apps", "v1", "deployments");
pub(crate) static REPLICA_SETS: Gvr = Gvr::of("apps", "v1", "replicasets");
pub(crate) static CONFIG_MAPS: Gvr = Gvr::of("", "v1", "configmaps");
pub(crate) static SERVICE_ACCOUNTS: Gvr = Gvr::of("", "v1", "serviceaccounts");
pub(crate) static EVENTS: Gvr = Gvr::of("", "v1", "events");
pub(crate) static NAMESPACES: Gvr = Gvr::of("", "v1", "namespaces");
pub(crate) static PODS: Gvr = Gvr::of("", "v1", "pods");

/// So long something may take that takes milliseconds where nothing else runs.
const WITHIN: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub client: Client,
    pub server: Arc<Server>,
    pub closing: CancellationToken,
    pub tasks: JoinSet<Result<(), String>>,
}

impl World {
    /// A server with a store in memory, the controllers and this many nodes.
    pub(crate) async fn start(nodes: usize) -> Self {
        Self::with(nodes, controllers::Settings::default()).await
    }

    /// The same, with controllers that know this.
    pub(crate) async fn with(nodes: usize, settings: controllers::Settings) -> Self {
        let store = Arc::new(Embedded::in_memory().unwrap());
        let server = Server::new(store, "127.0.0.1:6443".to_owned()).unwrap();
        let closing = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let following = server.clone().follow();
        let fed = closing.clone();
        tasks.spawn(async move {
            fed.run_until_cancelled(following).await.unwrap_or(Ok(())).map_err(|e| e.to_string())
        });
        bootstrap::prepare(&server).await.unwrap();
        let client = Client::new(server.clone(), "admin", &["system:masters"], "test");
        let settings = controllers::Settings { root_ca: Some("pem".to_owned()), ..settings };
        let mut controllers = controllers::standard(&server, &settings);
        controllers.extend(controllers::own());
        let run = controllers::run(server.clone(), controllers, closing.clone());
        tasks.spawn(async move { run.await.map_err(|ended| ended.to_string()) });
        let run = scheduler::run(server.clone(), closing.clone());
        tasks.spawn(async move { run.await.map_err(|ended| ended.to_string()) });
        let mut world = Self { client, server, closing, tasks };
        world.simulate("sim-", nodes);
        let account = Id::new(&Gvr::of("", "v1", "serviceaccounts"), "default", "default");
        // Without it no pod is taken.
        world.until("there is an account", async || world.client.get(&account).await.is_ok()).await;
        world
    }

    /// Runs this many nodes, until what it gives is cancelled.
    pub(crate) fn simulate(&mut self, prefix: &str, nodes: usize) -> CancellationToken {
        let closing = self.closing.child_token();
        let (prefix, renew) = (prefix.to_owned(), Duration::from_millis(500));
        let settings = simulate::Settings { nodes, prefix, renew, ..simulate::Settings::default() };
        let run = simulate::run(self.server.clone(), settings, closing.clone());
        self.tasks.spawn(async move { run.await.map_err(|ended| ended.to_string()) });
        closing
    }

    /// Ends everything, in order and soon.
    pub(crate) async fn end(mut self) {
        self.closing.cancel();
        let ended = tokio::time::timeout(WITHIN, async {
            while let Some(ended) = self.tasks.join_next().await {
                ended.unwrap().unwrap();
            }
        });
        ended.await.expect("it ends when it is asked to");
    }

    pub(crate) async fn get(&self, kind: &Gvr, name: &str) -> Option<Value> {
        match self.client.get(&Id::new(kind, "default", name)).await {
            Ok(object) => Some(object),
            Err(refused) if refused.is_not_found() => None,
            Err(refused) => panic!("{refused}"),
        }
    }

    pub(crate) async fn list(&self, kind: &Gvr) -> Vec<Value> {
        let list = self.client.list(kind, "default", "").await.unwrap();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Tries again, event by event, until it holds.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        let waits = async {
            // A watch of the server's own would be one event late: what is asked for is its state, not its events.
            while !holds().await {
                let reached = self.server.caches.reached();
                self.server.caches.reach(reached + 1).await;
            }
        };
        assert!(tokio::time::timeout(WITHIN, waits).await.is_ok(), "waiting until {what}");
    }

    pub(crate) async fn create(&self, kind: &Gvr, object: &Value) -> Value {
        self.client.create(kind, "default", object).await.unwrap()
    }

    /// Changes the Deployment; who is faster comes first.
    pub(crate) async fn patch(&self, kind: &Gvr, name: &str, patch: Value) -> Value {
        let id = Id::new(kind, "default", name);
        self.client.patch(&id, "", control_plane::client::PatchType::Strategic, &patch).await.unwrap()
    }

    pub(crate) async fn delete(&self, kind: &Gvr, name: &str, propagation: &str) -> Result<Value, Refused> {
        self.client.delete(&Id::new(kind, "default", name), &json!({"propagationPolicy": propagation})).await
    }

    /// Waits until a rollout is over and everything is ready.
    pub(crate) async fn rolled_out(&self, name: &str) {
        self.until("it is rolled out", async || {
            let Some(object) = self.get(&DEPLOYMENTS, name).await else { return false };
            let (spec, status) = (&object["spec"], &object["status"]);
            let fields = ["replicas", "updatedReplicas", "availableReplicas"];
            let asked = spec["replicas"].as_i64().unwrap_or(1);
            status["observedGeneration"] == object["metadata"]["generation"]
                && fields.iter().all(|field| status[*field].as_i64().unwrap_or(0) == asked)
        })
        .await;
    }
}

/// A Deployment; its pods go to the first node without a scheduler.
pub(crate) fn deployment(name: &str, replicas: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "progressDeadlineSeconds": 600, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"nodeName": "sim-0",
                "containers": [{"name": "c", "image": "i:0"}]}}}})
}

pub(crate) fn image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}})
}
