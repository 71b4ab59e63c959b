//! The kubectls of this machine roll out.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use control_plane::apiserver::access::Peer;
use control_plane::apiserver::auth::User;
use control_plane::apiserver::http::serve;
use control_plane::apiserver::server::Server;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::world::{DEPLOYMENTS, World};

/// `kubectl.1.33` and its like, where they lie beside each other; else the one kubectl.
pub(crate) fn found() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/lib/google-cloud-sdk/bin".into()]);
    let files = folders.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let mut files: Vec<PathBuf> = files.map(|file| file.path()).collect();
    files.sort();
    files.dedup_by(|a, b| a.file_name() == b.file_name());
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let numbered = |path: &&PathBuf| {
        name(path)
            .strip_prefix("kubectl.")
            .is_some_and(|v| v.bytes().all(|b| b == b'.' || b.is_ascii_digit()))
    };
    let versions: Vec<PathBuf> = files.iter().filter(numbered).cloned().collect();
    if !versions.is_empty() {
        return versions;
    }
    files.into_iter().find(|path| name(path) == "kubectl").into_iter().collect()
}

struct Kubectl {
    path: PathBuf,
    folder: tempfile::TempDir,
}

impl Kubectl {
    fn new(path: PathBuf, address: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {}}],
            "current-context": "c",
        });
        std::fs::write(folder.path().join("config"), config.to_string()).unwrap();
        Self { path, folder }
    }

    /// What it prints; it must succeed.
    async fn run(&self, line: &str) -> String {
        let mut command = Command::new(&self.path);
        command.args(line.split(' ')).stdin(Stdio::null()).kill_on_drop(true);
        command.env("KUBECONFIG", self.folder.path().join("config")).env("HOME", self.folder.path());
        let output = command.output().await.unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}: {printed}{}", String::from_utf8_lossy(&output.stderr));
        printed
    }

    /// Waits as a person does.
    async fn rolled_out(&self) {
        let printed = self.run("rollout status deployment/web --timeout=30s").await;
        assert!(printed.contains("deployment \"web\" successfully rolled out"), "{printed}");
    }
}

/// Serves on loopback until the runtime ends.
async fn listen(server: Arc<Server>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let admin = Peer::Known(User::new("admin", &["system:masters", "system:authenticated"]));
            tokio::spawn(serve::connection(server.clone(), admin, connection));
        }
    });
    address
}

async fn image(world: &World) -> String {
    let object = world.get(&DEPLOYMENTS, "web").await.unwrap();
    object["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned()
}

pub(crate) async fn rolls_out(path: PathBuf) {
    let world = World::start(1).await;
    let kubectl = Kubectl::new(path, &listen(world.server.clone()).await);
    kubectl.run("create deployment web --image=i:0 --replicas=3").await;
    kubectl.rolled_out().await;

    kubectl.run("set image deployment/web i=i:1").await;
    kubectl.rolled_out().await;
    kubectl.run("annotate deployment/web kubernetes.io/change-cause=second").await;
    world
        .until("the cause is told of the revision", async || {
            let history = kubectl.run("rollout history deployment/web").await;
            history.lines().any(|line| line.split_whitespace().eq(["2", "second"]))
        })
        .await;
    let history = kubectl.run("rollout history deployment/web --revision=1").await;
    assert!(history.contains("i:0"), "{history}");

    kubectl.run("rollout undo deployment/web").await;
    kubectl.rolled_out().await;
    assert_eq!(image(&world).await, "i:0");
    let history = kubectl.run("rollout history deployment/web").await;
    let revisions: Vec<&str> = history
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    assert_eq!(revisions, ["2", "3"], "{history}");
    kubectl.run("rollout undo deployment/web --to-revision=2").await;
    kubectl.rolled_out().await;
    assert_eq!(image(&world).await, "i:1");

    kubectl.run("rollout pause deployment/web").await;
    kubectl.run("set image deployment/web i=i:2").await;
    kubectl.run("rollout resume deployment/web").await;
    kubectl.rolled_out().await;
    assert_eq!(image(&world).await, "i:2");

    kubectl.run("rollout restart deployment/web").await;
    kubectl.rolled_out().await;
    kubectl.run("scale deployment/web --replicas=5").await;
    kubectl.rolled_out().await;
    let shown = kubectl.run("get deployment/web --no-headers").await;
    assert_eq!(shown.split_whitespace().nth(1), Some("5/5"), "{shown}");
    world.end().await;
}
