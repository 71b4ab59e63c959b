//! A server on loopback with a few objects, and kubectls that know nothing else.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use control_plane::apiserver::access::Peer;
use control_plane::apiserver::auth::User;
use control_plane::apiserver::http::serve;
use control_plane::apiserver::server::Server;
use control_plane::bootstrap;
use control_plane::storage::{Change, Embedded, Expect, Store};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::Result;

const CREATED: &str = "2026-01-01T00:00:00Z";

fn admin() -> Peer {
    Peer::Known(User::new("admin", &["system:masters", "system:authenticated"]))
}

/// The server; it ends with this.
pub(crate) struct World {
    runtime: Runtime,
    store: Arc<dyn Store>,
    address: String,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn start() -> Result<Self> {
        let text = |e: std::io::Error| e.to_string();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(text)?;
        let store: Arc<dyn Store> = Arc::new(Embedded::in_memory().map_err(|e| e.to_string())?);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).map_err(text)?;
        let address = listener.local_addr().map_err(text)?.to_string();
        let server = Server::new(store.clone(), address.clone()).map_err(|e| e.to_string())?;
        server.set_prepared();
        runtime.spawn(server.clone().follow());
        let served = server.clone();
        runtime.spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve::connection(served.clone(), admin(), connection));
            }
        });
        let folder = tempfile::tempdir().map_err(text)?;
        let world = Self { runtime, store, address, folder };
        for (key, object) in objects() {
            world.put(key, &object)?;
        }
        world.runtime.block_on(bootstrap::prepare(&server)).map_err(|e| e.to_string())?;
        Ok(world)
    }

    /// A kubectl that speaks to this server alone.
    pub(crate) fn kubectl(&self, path: &Path) -> Result<Kubectl> {
        let config = self.folder.path().join("config");
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "c", "cluster": { "server": format!("http://{}", self.address) } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
            "users": [{ "name": "u", "user": {} }],
            "current-context": "c",
        });
        std::fs::write(&config, text.to_string()).map_err(|e| e.to_string())?;
        Ok(Kubectl { path: path.to_owned(), config, home: self.folder.path().to_owned() })
    }

    pub(crate) fn put(&self, key: &str, object: &Value) -> Result {
        let change = Change::Put { value: object.to_string().into(), ttl: None };
        let written = self.runtime.block_on(self.store.write(key, Expect::Absent, change));
        written.map(drop).map_err(|e| e.to_string())
    }

    pub(crate) fn delete(&self, key: &str) -> Result {
        self.runtime.block_on(async {
            let there = self.store.get(key).await.map_err(|e| e.to_string())?.what.ok_or("not there")?;
            let deleted = self.store.write(key, Expect::At(there.modified), Change::Delete).await;
            deleted.map(drop).map_err(|e| e.to_string())
        })
    }
}

/// One kubectl.
pub(crate) struct Kubectl {
    path: PathBuf,
    config: PathBuf,
    home: PathBuf,
}

impl Kubectl {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(arguments).env("KUBECONFIG", &self.config).env("HOME", &self.home).stdin(Stdio::null());
        command
    }

    /// What it prints; fails when it does.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output().map_err(|e| e.to_string())?;
        succeeded(arguments, &output)
    }

    /// What it says when it fails, as it must.
    pub(crate) fn fail(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output().map_err(|e| e.to_string())?;
        match output.status.success() {
            true => Err(format!("{arguments:?} did not fail")),
            false => Ok(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// The same with something on its standard input.
    pub(crate) fn feed(&self, arguments: &[&str], input: &str) -> Result<String> {
        let text = |e: std::io::Error| e.to_string();
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(text)?;
        child.stdin.take().ok_or("no input")?.write_all(input.as_bytes()).map_err(text)?;
        succeeded(arguments, &child.wait_with_output().map_err(text)?)
    }

    /// Leaves it running.
    pub(crate) fn start(&self, arguments: &[&str]) -> Result<Child> {
        self.command(arguments).stdout(Stdio::piped()).spawn().map_err(|e| e.to_string())
    }
}

fn succeeded(arguments: &[&str], output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

pub(crate) fn pod(name: &str, phase: &str) -> Value {
    let running = phase == "Running";
    let ready = if running { "True" } else { "False" };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "default", "uid": format!("uid-{name}"), "creationTimestamp": CREATED,
            "labels": { "app": if running { "x" } else { "y" } },
        },
        "spec": {
            "containers": [{ "name": "c", "image": "i", "resources": {} }],
            "nodeName": if running { "n1" } else { "" },
        },
        "status": {
            "phase": phase,
            "podIP": if running { "10.0.0.7" } else { "" },
            "podIPs": if running { json!([{ "ip": "10.0.0.7" }]) } else { json!([]) },
            "conditions": [{ "type": "Ready", "status": ready }],
            "containerStatuses": if running {
                json!([{ "name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                    "state": { "running": { "startedAt": CREATED } } }])
            } else {
                json!([])
            },
        },
    })
}

fn objects() -> Vec<(&'static str, Value)> {
    let meta = |name: &str| json!({ "name": name, "namespace": "default", "uid": format!("uid-{name}"), "creationTimestamp": CREATED });
    let template = json!({
        "metadata": { "labels": { "app": "d" } },
        "spec": { "containers": [{ "name": "c", "image": "i" }] },
    });
    let selector = json!({ "matchLabels": { "app": "d" } });
    let mut set = json!({
        "metadata": meta("d-1"),
        "spec": { "replicas": 1, "selector": selector, "template": template },
        "status": { "replicas": 1, "readyReplicas": 1, "availableReplicas": 1 },
    });
    set["metadata"]["labels"] = json!({ "app": "d" });
    set["metadata"]["annotations"] = json!({ "deployment.kubernetes.io/revision": "1" });
    set["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "uid-d", "controller": true,
    }]);
    let mut deployment = json!({
        "metadata": meta("d"),
        "spec": { "replicas": 1, "selector": selector, "template": template,
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } } },
        "status": { "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
            "observedGeneration": 1 },
    });
    deployment["metadata"]["generation"] = 1.into();
    deployment["metadata"]["annotations"] = json!({ "deployment.kubernetes.io/revision": "1" });
    let event = json!({
        "metadata": meta("a.1"), "type": "Warning", "reason": "BackOff", "message": "restarting", "count": 3,
        "involvedObject": { "kind": "Pod", "namespace": "default", "name": "a", "uid": "uid-a" },
        "firstTimestamp": CREATED, "lastTimestamp": CREATED, "source": { "component": "kubelet" },
    });
    let node = json!({
        "metadata": { "name": "n1", "uid": "n1", "creationTimestamp": CREATED },
        "status": { "conditions": [{ "type": "Ready", "status": "True" }], "nodeInfo": { "kubeletVersion": "v1.36.0" } },
    });
    let service = json!({
        "metadata": meta("s"),
        "spec": { "type": "ClusterIP", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"],
            "ports": [{ "port": 80, "protocol": "TCP" }] },
    });
    vec![
        (
            "/registry/namespaces/default",
            json!({ "metadata": { "name": "default" }, "status": { "phase": "Active" } }),
        ),
        ("/registry/pods/default/a", pod("a", "Running")),
        ("/registry/pods/default/b", pod("b", "Pending")),
        ("/registry/deployments/default/d", deployment),
        ("/registry/replicasets/default/d-1", set),
        ("/registry/services/specs/default/s", service),
        ("/registry/minions/n1", node),
        ("/registry/events/default/a.1", event),
    ]
}
