//! A machine with `orlop cri` and a stock kubelet, which serves on loopback of the test's own network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use api_cri::v1::{ExecSyncRequest, ListContainersRequest};
use integration::leftovers;
use integration::node::{IMAGE, Node};
use integration::process::{Daemon, wait_for};
use integration::runner::{TestError, TestResult, fail};
use integration::stock_kubelet::{ADDRESS, configuration, make_cgroup, prepare_world};
use integration::world;
use serde_json::Value;

const NODE: &str = "n";
/// By `pod/container`, without the node's name that a kubelet appends to static pods.
pub(crate) type Containers = BTreeMap<String, State>;

/// A container as the kubelet shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub id: String,
    pub running: bool,
    pub ready: bool,
    pub restarts: u64,
}

/// The machine.
pub(crate) struct StockNode {
    pub machine: Node,
    kubelet: Daemon,
    /// cAdvisor needs a filesystem that it knows, which the tmpfs of the test is not.
    root: tempfile::TempDir,
}

impl StockNode {
    /// Starts both daemons, the kubelet with these of its feature gates.
    pub(crate) fn start(binary: &Path, gates: &[&str]) -> Result<Self, TestError> {
        prepare_world()?;
        let mut machine = Node::new()?;
        machine.configure_network()?;
        make_cgroup(&machine.cgroup)?;
        machine.start(&[])?;
        machine.import_image("busybox", IMAGE)?;
        machine.import_image("nginx", "docker.io/library/nginx:1.22")?;
        std::fs::create_dir_all(machine.folder.join("pods"))?;
        let root = tempfile::tempdir()?;
        let config = machine.folder.join("kubelet.json");
        std::fs::write(
            &config,
            configuration(&machine.folder.join("pods"), &machine.socket(), &machine.cgroup, gates)
                .to_string(),
        )?;
        let mut command = Command::new(binary);
        command.arg("--config").arg(&config).arg("--root-dir").arg(root.path()).args([
            "--hostname-override",
            NODE,
            // Else it asks DNS for its own name.
            "--node-ip",
            ADDRESS,
        ]);
        let kubelet = Daemon::spawn(command, &machine.folder.join("kubelet.log"))?;
        let node = Self { machine, kubelet, root };
        wait_for(Duration::from_secs(60), "the kubelet", || {
            Ok(node.get("http://127.0.0.1:10248/healthz").is_ok_and(|text| text == "ok").then_some(()))
        })
        .or_else(|_| fail(format!("the kubelet does not come up:\n{}", node.log())))?;
        Ok(node)
    }

    /// What the kubelet wrote.
    pub(crate) fn log(&self) -> String {
        self.kubelet.log()
    }

    fn pods(&self) -> PathBuf {
        self.machine.folder.join("pods")
    }

    /// Puts all manifests there.
    pub(crate) fn add_pods(&self) -> TestResult {
        for folder in ["hack/demo-pods", "integration/tests/stock_kubelet"] {
            for entry in std::fs::read_dir(world::repository().join(folder))? {
                let path = entry?.path();
                if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|e| e == "yaml"))
                {
                    std::fs::copy(&path, self.pods().join(name))?;
                }
            }
        }
        Ok(())
    }

    /// Takes all manifests away and waits until no container is left.
    pub(crate) fn remove_pods(&self) -> TestResult {
        for entry in std::fs::read_dir(self.pods())? {
            std::fs::remove_file(entry?.path())?;
        }
        let mut cri = self.machine.client()?;
        wait_for(Duration::from_secs(90), "the end of all containers", || {
            let request = ListContainersRequest::default();
            let left = self.machine.runtime.block_on(cri.runtime.list_containers(request))?.into_inner();
            Ok(left.containers.is_empty().then_some(()))
        })
    }

    /// A page, as curl gets it. The kubelet's certificate is its own.
    pub(crate) fn get(&self, url: &str) -> Result<String, TestError> {
        let output = Command::new("curl").args(["-sSfk", "--max-time", "10", url]).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        fail(format!("{url}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// What a client of the kubelet's `/exec` gets after the handshake, frames and all.
    ///
    /// The kubelet hands this protocol through to the CRI daemon; of the newer one it would make SPDY.
    pub(crate) fn exec_frames(&self, container: &str, query: &str) -> Result<String, TestError> {
        let url = format!("https://127.0.0.1:10250/exec/default/{container}?{query}");
        let mut command = Command::new("curl");
        command.args(["-sk", "-N", "--http1.1", "--max-time", "20"]);
        for header in [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol: v4.channel.k8s.io",
        ] {
            command.args(["-H", header]);
        }
        Ok(String::from_utf8_lossy(&command.arg(url).output()?.stdout).into_owned())
    }

    /// What the kubelet says of its pods.
    pub(crate) fn containers(&self) -> Result<Containers, TestError> {
        let pods: Value = serde_json::from_str(&self.get("http://127.0.0.1:10255/pods")?)?;
        let mut all = Containers::new();
        for pod in pods["items"].as_array().into_iter().flatten() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let name = name.strip_suffix(&format!("-{NODE}")).unwrap_or(name);
            for status in pod["status"]["containerStatuses"].as_array().into_iter().flatten() {
                let state = State {
                    id: status["containerID"].as_str().unwrap_or_default().to_owned(),
                    running: status["state"].get("running").is_some(),
                    ready: status["ready"].as_bool().unwrap_or_default(),
                    restarts: status["restartCount"].as_u64().unwrap_or_default(),
                };
                all.insert(format!("{name}/{}", status["name"].as_str().unwrap_or_default()), state);
            }
        }
        Ok(all)
    }

    /// Runs a command in a container through CRI; its exit code and output.
    pub(crate) fn exec(
        &self,
        pod: &str,
        container: &str,
        command: &[&str],
    ) -> Result<(i32, String), TestError> {
        let containers = self.containers()?;
        let state = containers.get(&format!("{pod}/{container}"));
        let Some(id) = state.and_then(|state| state.id.split_once("://")).map(|(_, id)| id.to_owned()) else {
            return fail(format!("{pod}/{container} has no id: {containers:?}"));
        };
        let cmd = command.iter().map(|word| (*word).to_owned()).collect();
        let request = ExecSyncRequest { container_id: id, cmd, timeout: 10 };
        let mut cri = self.machine.client()?;
        let answer = self.machine.runtime.block_on(cri.runtime.exec_sync(request))?.into_inner();
        Ok((answer.exit_code, String::from_utf8_lossy(&answer.stdout).into_owned()))
    }
}

impl Drop for StockNode {
    fn drop(&mut self) {
        // Before the containers are killed, which it would start again.
        let _ = self.kubelet.kill();
        leftovers::end_all(&self.machine.cgroup);
        // It bind-mounts its folder onto itself, and its volumes below.
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().rev().filter_map(|line| line.split(' ').nth(4));
        for point in points.filter(|point| Path::new(point).starts_with(self.root.path())) {
            let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}
