//! A machine that runs a folder of manifests, looked at through the kubelet's API and the command line.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use integration::leftovers;
use integration::peers;
use integration::process::{Daemon, wait_for};
use integration::runner::{TestError, TestResult, fail, skip};
use integration::world::bin;
use serde_json::Value;
use tokio::runtime::Runtime;

pub(crate) const BUSYBOX: &str = "docker.io/library/busybox:1.35";
pub(crate) const NGINX: &str = "docker.io/library/nginx:1.22";

/// Which daemons run the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `orlop up`.
    Up,
    /// `orlop kubelet` on Debian's containerd and runc.
    OnContainerd,
}

/// The machine: a private one, but for its cgroups.
pub(crate) struct Node {
    pub(crate) folder: PathBuf,
    /// The test images, as OCI layouts.
    pub(crate) images: PathBuf,
    /// The name of its cgroup.
    pub(crate) cgroup: String,
    /// More flags of the daemon, from its next start on.
    pub(crate) flags: Vec<String>,
    kind: Kind,
    daemon: Option<Daemon>,
    containerd: Option<(Runtime, peers::Peer)>,
}

impl Node {
    /// A machine whose daemons run and have the test images.
    pub(crate) fn start(kind: Kind) -> Result<Self, TestError> {
        Self::start_with(kind, Vec::new())
    }

    /// The same, with more flags.
    pub(crate) fn start_with(kind: Kind, flags: Vec<String>) -> Result<Self, TestError> {
        let folder = PathBuf::from("/run/t");
        fs::create_dir_all(folder.join("data/manifests"))?;
        let cgroup = format!("orlop-test-{}", std::process::id());
        let images = peers::test_images(&folder).map_err(|error| TestError::Failed(error.to_string()))?;
        let mut node = Self { folder, images, cgroup, flags, kind, daemon: None, containerd: None };
        if kind == Kind::OnContainerd {
            if !Path::new("/usr/bin/containerd").exists() {
                return skip("containerd is not installed");
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let peer = runtime.block_on(peers::containerd(&node.folder.join("c")));
            let peer = peer.map_err(|error| TestError::Failed(error.to_string()))?;
            node.containerd = Some((runtime, peer));
        }
        node.up()?;
        if kind == Kind::Up {
            for (layout, name) in [("busybox", BUSYBOX), ("nginx", NGINX)] {
                let path = node.images.join(layout).display().to_string();
                node.orlop(&["import", &path, "--name", name])?;
            }
        }
        Ok(node)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts the daemon, and waits until it has taken over what runs.
    pub(crate) fn up(&mut self) -> TestResult {
        let mut command = Command::new(bin("orlop"));
        command.arg("--data-dir").arg(self.data()).env_remove("ORLOP_DATA_DIR");
        let cgroup = format!("/{}", self.cgroup);
        match self.kind {
            Kind::Up => command.args(["up", "--cgroup-parent", &cgroup]),
            Kind::OnContainerd => command
                .args(["kubelet", "--container-runtime-endpoint"])
                .arg(format!("unix://{}", self.folder.join("c/s").display())),
        };
        command.args(["--node-name", "n", "--cgroup-root", &cgroup]).args(&self.flags);
        self.daemon = Some(Daemon::spawn(command, &self.folder.join("log"))?);
        self.wait("the kubelet", || Ok((self.get("/readyz").ok().as_deref() == Some("ok")).then_some(())))
    }

    /// Writes a KubeletConfiguration that the daemon of `orlop up` reads from its next start on.
    pub(crate) fn configure(&mut self, settings: Value) -> TestResult {
        let mut config = settings;
        config["kind"] = "KubeletConfiguration".into();
        config["apiVersion"] = "kubelet.config.k8s.io/v1beta1".into();
        let file = self.folder.join("kubelet.json");
        fs::write(&file, config.to_string())?;
        self.flags = vec!["--kubelet-config".into(), file.display().to_string()];
        Ok(())
    }

    /// SIGTERM, and waits for the daemon's end.
    pub(crate) fn stop(&mut self) -> TestResult {
        match self.daemon.take() {
            Some(mut daemon) => daemon.terminate(Duration::from_secs(20)).map(drop),
            None => Ok(()),
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> TestResult {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill()?;
        }
        Ok(())
    }

    /// What all daemons so far have written.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Waits, at most 40 seconds; fails with the daemon's log.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        attempt: impl FnMut() -> Result<Option<T>, TestError>,
    ) -> Result<T, TestError> {
        wait_for(Duration::from_secs(40), what, attempt).map_err(|error| match error {
            TestError::Failed(text) => TestError::Failed(format!("{text}\n{}", self.log())),
            skipped @ TestError::Skipped(_) => skipped,
        })
    }

    /// Runs a command of `orlop` that must succeed, and returns its standard output.
    pub(crate) fn orlop(&self, arguments: &[&str]) -> Result<String, TestError> {
        let output = self.try_orlop(arguments)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        let error = String::from_utf8_lossy(&output.stderr);
        fail(format!("orlop {arguments:?}: {}: {text}{error}\n{}", output.status, self.log()))
    }

    pub(crate) fn try_orlop(&self, arguments: &[&str]) -> Result<Output, TestError> {
        Ok(self.command(arguments).output()?)
    }

    /// A command of `orlop` on this machine.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(bin("orlop"));
        command.arg("--data-dir").arg(self.data()).env_remove("ORLOP_DATA_DIR").args(arguments);
        command
    }

    fn manifest(&self, name: &str) -> PathBuf {
        self.data().join("manifests").join(format!("{name}.yaml"))
    }

    /// Puts a manifest into place, or another in its place, at once.
    pub(crate) fn want(&self, name: &str, spec: &Value) -> TestResult {
        let metadata = serde_json::json!({ "name": name });
        let pod =
            serde_json::json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
        self.write(name, &pod.to_string())
    }

    /// Puts any text into place as a manifest.
    pub(crate) fn write(&self, name: &str, text: &str) -> TestResult {
        let unfinished = self.folder.join("unfinished");
        fs::write(&unfinished, text)?;
        Ok(fs::rename(unfinished, self.manifest(name))?)
    }

    pub(crate) fn unwant(&self, name: &str) -> TestResult {
        Ok(fs::remove_file(self.manifest(name))?)
    }

    /// One of the daemon's sockets.
    pub(crate) fn socket(&self, name: &str) -> Result<PathBuf, TestError> {
        let instances = fs::read_dir("/run/orlop").into_iter().flatten().flatten();
        let mut sockets = instances.map(|entry| entry.path().join(name));
        match sockets.find(|socket| UnixStream::connect(socket).is_ok()) {
            Some(socket) => Ok(socket),
            None => fail(format!("nobody listens at {name}")),
        }
    }

    /// The whole answer of one of the daemon's sockets.
    pub(crate) fn ask(
        &self,
        socket: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<String, TestError> {
        let mut stream = UnixStream::connect(self.socket(socket)?)?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: kubelet\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The answer of the kubelet's API.
    pub(crate) fn get(&self, path: &str) -> Result<String, TestError> {
        let answer = self.ask("kubelet.sock", "GET", path, "")?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
            _ => fail(answer),
        }
    }

    /// All pods, by their names without the node's.
    pub(crate) fn pods(&self) -> Result<Vec<Pod>, TestError> {
        let list: Value = serde_json::from_str(&self.get("/pods")?)?;
        Ok(list["items"].as_array().into_iter().flatten().cloned().map(Pod).collect())
    }

    /// The pod of a manifest, as soon as it is there and as wanted.
    pub(crate) fn until(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&Pod) -> bool,
    ) -> Result<Pod, TestError> {
        let mut last = None;
        let found = self.wait(&format!("{name}: {what}"), || {
            last = self.pods()?.into_iter().find(|pod| pod.name() == name);
            Ok(last.clone().filter(&holds))
        });
        found.map_err(|error| match error {
            TestError::Failed(text) => TestError::Failed(format!("{text}\nlast seen: {last:#?}")),
            skipped @ TestError::Skipped(_) => skipped,
        })
    }

    pub(crate) fn ready(&self, name: &str) -> Result<Pod, TestError> {
        self.until(name, "ready", |pod| pod.condition("Ready"))
    }

    /// Waits until nothing is shown of a pod.
    pub(crate) fn gone(&self, name: &str) -> TestResult {
        self.wait(&format!("the end of {name}"), || {
            Ok((!self.pods()?.iter().any(|pod| pod.name() == name)).then_some(()))
        })
    }

    /// A container's log.
    pub(crate) fn logs(&self, pod: &str, container: &str) -> Result<String, TestError> {
        self.orlop(&["logs", pod, "-c", container])
    }

    /// The processes of one container, the first one first.
    pub(crate) fn pids(&self, id: &str) -> Vec<i32> {
        let folders =
            leftovers::cgroups(&self.cgroup).into_iter().flat_map(|folder| leftovers::below(&folder));
        let own = |folder: &PathBuf| folder.file_name().is_some_and(|name| name == id);
        let pids: BTreeSet<i32> = folders.filter(own).flat_map(|folder| leftovers::pids(&folder)).collect();
        // Numbers begin anew when they are used up, times do not. What has ended since it was listed has none.
        let mut pids: Vec<(u64, i32)> =
            pids.into_iter().filter_map(|pid| Some((started(pid)?, pid))).collect();
        pids.sort_unstable();
        pids.into_iter().map(|(_, pid)| pid).collect()
    }

    /// A folder of one emptyDir, seen from the host.
    pub(crate) fn empty_dir(&self, pod: &Pod, volume: &str) -> PathBuf {
        self.data().join("kubelet/pods").join(pod.uid()).join("volumes/kubernetes.io~empty-dir").join(volume)
    }

    /// All that pods could leave behind.
    pub(crate) fn machine(&self) -> Result<BTreeSet<String>, TestError> {
        leftovers::machine(&[self.data(), "/run/orlop".into()], &self.cgroup, |_| true)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // What runs outlives the daemons by design, and this test's must not outlive it.
        drop(self.daemon.take());
        drop(self.containerd.take());
        leftovers::end_all(&self.cgroup);
    }
}

/// A pod as the kubelet shows it.
#[derive(Clone, Debug)]
pub(crate) struct Pod(pub(crate) Value);

impl Pod {
    /// The manifest's name: the node's is cut off.
    pub(crate) fn name(&self) -> &str {
        let name = self.0["metadata"]["name"].as_str().unwrap_or_default();
        name.strip_suffix("-n").unwrap_or(name)
    }

    pub(crate) fn uid(&self) -> &str {
        self.0["metadata"]["uid"].as_str().unwrap_or_default()
    }

    pub(crate) fn ip(&self) -> &str {
        self.0["status"]["podIP"].as_str().unwrap_or_default()
    }

    pub(crate) fn condition(&self, kind: &str) -> bool {
        let conditions = self.0["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|one| one["type"] == kind && one["status"] == "True")
    }

    /// The status of one container, init containers included.
    pub(crate) fn container(&self, name: &str) -> Value {
        let lists =
            ["initContainerStatuses", "containerStatuses"].map(|list| self.0["status"][list].as_array());
        let mut all = lists.into_iter().flatten().flatten();
        all.find(|one| one["name"] == name).cloned().unwrap_or_default()
    }

    pub(crate) fn restarts(&self, container: &str) -> u64 {
        self.container(container)["restartCount"].as_u64().unwrap_or_default()
    }

    /// The id of a container's current run, without the runtime's name.
    pub(crate) fn id(&self, container: &str) -> String {
        let id = self.container(container)["containerID"].as_str().unwrap_or_default().to_owned();
        id.rsplit('/').next().unwrap_or_default().to_owned()
    }
}

/// When a process was started, in clock ticks since boot (proc_pid_stat(5), 22); none when it is gone.
fn started(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(19)?.parse().ok())
}

/// What a web server answers.
pub(crate) fn http(address: &str) -> Result<String, TestError> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET / HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
