//! A machine with one CRI daemon, its image, and a bridge network.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cri::Cri;
use crate::leftovers;
use crate::peers;
use crate::process::Daemon;
use crate::runner::{TestError, skip};
use crate::world;
use api_cri::images::ImportRequest;
use api_cri::images::images_client::ImagesClient;
use api_cri::v1::{
    ContainerConfig, ContainerMetadata, ContainerState, ContainerStatus, ContainerStatusRequest,
    CreateContainerRequest, ExecSyncRequest, ImageSpec, LinuxContainerConfig, LinuxContainerSecurityContext,
    LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption, PodSandboxConfig,
    PodSandboxMetadata, RunPodSandboxRequest, StartContainerRequest,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tonic::transport::Endpoint;

/// What its containers run.
pub const IMAGE: &str = "docker.io/library/busybox:1.35";
const PLUGINS: [&str; 4] = ["bridge", "host-local", "loopback", "portmap"];

/// The machine. Everything of it lies below `/run/t`, a tmpfs of this test alone, but for its cgroups.
pub struct Node {
    /// The folder of everything but the cgroups.
    pub folder: PathBuf,
    /// The cgroup of all its pods, below each hierarchy.
    pub cgroup: String,
    /// Runs the clients' calls.
    pub runtime: Runtime,
    /// What the daemon, from its next start on, runs as `orlop-runtime`.
    pub oci_runtime: PathBuf,
    daemon: Option<Daemon>,
}

impl Node {
    /// A machine whose daemon does not run yet.
    pub fn new() -> Result<Self, TestError> {
        for binary in ["orlop", "orlop-runtime", "orlop-cni"] {
            if !world::bin(binary).exists() {
                return skip(format!("{binary} is not built: run hack/build"));
            }
        }
        let folder = PathBuf::from("/run/t");
        for name in ["conf", "plugins", "logs"] {
            std::fs::create_dir_all(folder.join(name))?;
        }
        for plugin in PLUGINS {
            symlink(world::bin("orlop-cni"), folder.join("plugins").join(plugin))?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            folder,
            cgroup: format!("orlop-test-{}", std::process::id()),
            runtime,
            oci_runtime: world::bin("orlop-runtime"),
            daemon: None,
        })
    }

    /// A machine with a network, a running daemon and an image.
    pub fn ready() -> Result<Self, TestError> {
        let mut node = Self::new()?;
        node.configure_network()?;
        node.start(&[])?;
        node.import()?;
        Ok(node)
    }

    /// Writes the network's configuration.
    pub fn configure_network(&self) -> Result<(), TestError> {
        let list = json!({
            "cniVersion": "1.0.0",
            "name": "test",
            "plugins": [
                {
                    "type": "bridge", "bridge": "orlopt0", "isGateway": true, "ipMasq": true,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": self.folder.join("leases"),
                        "ranges": [[{ "subnet": "10.77.0.0/24" }]],
                    },
                },
                { "type": "portmap", "capabilities": { "portMappings": true } },
            ],
        });
        std::fs::write(self.folder.join("conf/10-test.conflist"), list.to_string())?;
        Ok(())
    }

    /// Where the daemon listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("cri.sock")
    }

    /// Starts the daemon and waits for its socket.
    pub fn start(&mut self, env: &[(&str, &str)]) -> Result<(), TestError> {
        let path = |name: &str| self.folder.join(name);
        let mut command = Command::new(world::bin("orlop"));
        command.args(["--data-dir"]).arg(path("data")).arg("cri");
        for (flag, value) in [
            ("--listen", path("cri.sock")),
            ("--root", path("root")),
            ("--state", path("state")),
            ("--cni-conf-dir", path("conf")),
            ("--cni-bin-dir", path("plugins")),
            ("--cni-cache-dir", path("cache")),
            ("--netns-dir", path("netns")),
            ("--registry-config-dir", path("hosts")),
            ("--runtime", self.oci_runtime.clone()),
            ("--admin-socket", path("admin.sock")),
            ("--cgroup-parent", PathBuf::from(format!("/{}", self.cgroup))),
        ] {
            command.arg(flag).arg(value);
        }
        command.envs(env.iter().copied());
        let mut daemon = Daemon::spawn(command, &path("log"))?;
        daemon.wait_for_socket(&self.socket())?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<(), TestError> {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill()?;
        }
        Ok(())
    }

    /// What all daemons so far have written.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// A client.
    pub fn client(&self) -> Result<Cri, TestError> {
        Ok(self.runtime.block_on(Cri::connect(&self.socket()))?)
    }

    /// Imports busybox.
    pub fn import(&self) -> Result<(), TestError> {
        self.import_image("busybox", IMAGE)
    }

    /// Imports one of the images that `hack/test-images` makes, under a name.
    pub fn import_image(&self, layout: &str, name: &str) -> Result<(), TestError> {
        self.import_into(&self.socket(), layout, name)
    }

    /// As [`import_image`](Self::import_image), into the daemon that listens at a socket.
    pub fn import_into(&self, socket: &Path, layout: &str, name: &str) -> Result<(), TestError> {
        let images =
            peers::test_images(&self.folder).map_err(|error| TestError::Failed(error.to_string()))?;
        let socket = socket.to_owned();
        self.runtime.block_on(async {
            let channel = Endpoint::from_static("http://images")
                .connect_with_connector(tower::service_fn(move |_| {
                    let socket = socket.clone();
                    async move { UnixStream::connect(socket).await.map(TokioIo::new) }
                }))
                .await?;
            let path = images.join(layout).display().to_string();
            let request = ImportRequest { path, names: vec![name.into()] };
            let mut progress = ImagesClient::new(channel).import(request).await?.into_inner();
            while progress.message().await?.is_some() {}
            Ok(())
        })
    }

    /// The configuration of a pod.
    pub fn pod(&self, name: &str) -> PodSandboxConfig {
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.into(),
                uid: format!("uid-{name}"),
                namespace: "default".into(),
                attempt: 0,
            }),
            hostname: name.into(),
            log_directory: self.folder.join("logs").join(name).display().to_string(),
            labels: HashMap::from([("app".into(), name.into())]),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: format!("/{}/pods/{name}", self.cgroup),
                security_context: Some(LinuxSandboxSecurityContext {
                    namespace_options: Some(own_pids()),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// Runs a pod.
    pub fn run(&self, name: &str) -> Result<String, TestError> {
        self.run_with(self.pod(name))
    }

    /// Runs a pod of this configuration.
    pub fn run_with(&self, config: PodSandboxConfig) -> Result<String, TestError> {
        let request = RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
        let mut cri = self.client()?;
        let answer = self
            .runtime
            .block_on(cri.runtime.run_pod_sandbox(request))
            .map_err(|status| self.told(&status))?;
        Ok(answer.into_inner().pod_sandbox_id)
    }

    /// The configuration of a container.
    pub fn container(&self, name: &str, command: &[&str]) -> ContainerConfig {
        ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.into(), attempt: 0 }),
            image: Some(ImageSpec { image: IMAGE.into(), ..Default::default() }),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            log_path: format!("{name}.log"),
            annotations: HashMap::from([("note".into(), "kept verbatim".into())]),
            linux: Some(LinuxContainerConfig {
                security_context: Some(LinuxContainerSecurityContext {
                    namespace_options: Some(own_pids()),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// Creates a container.
    pub fn create(
        &self,
        pod: &str,
        sandbox: &str,
        name: &str,
        command: &[&str],
    ) -> Result<String, TestError> {
        self.create_from(pod, sandbox, self.container(name, command))
    }

    /// Creates a container as configured.
    pub fn create_from(
        &self,
        pod: &str,
        sandbox: &str,
        config: ContainerConfig,
    ) -> Result<String, TestError> {
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.into(),
            config: Some(config),
            sandbox_config: Some(self.pod(pod)),
        };
        let mut cri = self.client()?;
        let answer = self
            .runtime
            .block_on(cri.runtime.create_container(request))
            .map_err(|status| self.told(&status))?;
        Ok(answer.into_inner().container_id)
    }

    /// Runs a command in a container: its exit code, and its two outputs in one.
    pub fn exec(&self, id: &str, command: &[&str]) -> Result<(i32, String), TestError> {
        let cmd = command.iter().map(|word| (*word).to_owned()).collect();
        let request = ExecSyncRequest { container_id: id.into(), cmd, timeout: 10 };
        let mut cri = self.client()?;
        let answer =
            self.runtime.block_on(cri.runtime.exec_sync(request)).map_err(|status| self.told(&status))?;
        let answer = answer.into_inner();
        Ok((answer.exit_code, String::from_utf8_lossy(&[answer.stdout, answer.stderr].concat()).into_owned()))
    }

    /// Starts a container.
    pub fn start_container(&self, id: &str) -> Result<(), TestError> {
        let request = StartContainerRequest { container_id: id.into() };
        let mut cri = self.client()?;
        self.runtime.block_on(cri.runtime.start_container(request)).map_err(|status| self.told(&status))?;
        Ok(())
    }

    /// A container's status.
    pub fn status(&self, id: &str) -> Result<ContainerStatus, TestError> {
        let request = ContainerStatusRequest { container_id: id.into(), verbose: false };
        let mut cri = self.client()?;
        let answer = self
            .runtime
            .block_on(cri.runtime.container_status(request))
            .map_err(|status| self.told(&status))?;
        answer.into_inner().status.ok_or_else(|| TestError::Failed("no status".into()))
    }

    /// Waits until a container has ended.
    pub fn ended(&self, id: &str) -> Result<ContainerStatus, TestError> {
        crate::process::wait_for(Duration::from_secs(20), "the end of a container", || {
            let status = self.status(id)?;
            Ok((status.state() == ContainerState::ContainerExited).then_some(status))
        })
    }

    /// An answer of the daemon with its log.
    pub fn told(&self, status: &tonic::Status) -> TestError {
        TestError::Failed(format!("{:?}: {}\n{}", status.code(), status.message(), self.log()))
    }
}

/// Everything that a pod could leave behind on the machine.
pub fn machine(node: &Node) -> Result<BTreeSet<String>, TestError> {
    let folders = [
        "netns",
        "leases/test",
        "cache/results",
        "state/sandboxes",
        "state/containers",
        "state/m",
        "state/runtime",
        "root/containers",
    ];
    // Parents are the kubelet's to make and to remove; what carries an id is ours.
    let counts = |group: &Path| group.file_name().is_some_and(|name| name.len() == 64);
    leftovers::machine(&folders.map(|folder| node.folder.join(folder)), &node.cgroup, counts)
}

impl Drop for Node {
    fn drop(&mut self) {
        // Monitors outlive the daemon by design, and this test's must not outlive it.
        drop(self.daemon.take());
        leftovers::end_all(&self.cgroup);
    }
}

fn own_pids() -> NamespaceOption {
    NamespaceOption { pid: NamespaceMode::Container.into(), ..Default::default() }
}
