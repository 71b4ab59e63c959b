//! The daemon beside its pods: its admin endpoint, the kubelet's configuration, and two daemons on one machine.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use api_cri::v1::{
    ContainerConfig, CreateContainerRequest, ListContainersRequest, ListPodSandboxRequest, NetworkConfig,
    PodSandboxConfig, PodSandboxStatusRequest, RemovePodSandboxRequest, RunPodSandboxRequest, RuntimeConfig,
    StartContainerRequest, StopPodSandboxRequest, UpdateRuntimeConfigRequest,
};
use integration::cri::Cri;
use integration::leftovers;
use integration::node::{IMAGE, Node};
use integration::process::{Daemon, wait_for};
use integration::runner::{TestError, TestResult, check, fail};
use integration::world;

use crate::life::remove;
use crate::recovery::FOR_EVER;

const DEADLINE: Duration = Duration::from_secs(20);

/// One request over HTTP/1.1: its status and its body.
fn http(socket: &Path, method: &str, path: &str, body: &str) -> Result<(u16, String), TestError> {
    let mut stream = UnixStream::connect(socket)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: orlop\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    code.zip(body).ok_or_else(|| TestError::Failed(format!("{method} {path}: {answer:?}")))
}

pub(crate) fn the_admin_endpoint_answers() -> TestResult {
    let mut node = Node::new()?;
    node.start(&[])?;
    let admin = node.folder.join("admin.sock");
    let mode = std::fs::metadata(&admin)?.permissions().mode() & 0o777;
    check(mode == 0o600, || format!("its mode is {mode:o}"))?;
    for path in ["/livez", "/readyz"] {
        let answer = http(&admin, "GET", path, "")?;
        check(answer == (200, "ok\n".into()), || format!("{path}: {answer:?}"))?;
    }
    let (code, metrics) = http(&admin, "GET", "/metrics", "")?;
    let resident = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    let resident = resident.and_then(|value| value.parse::<f64>().ok()).unwrap_or_default();
    check(code == 200 && resident > 1e6, || format!("{code}: {metrics}"))?;
    check(metrics.contains("orlop_panics_total 0\n"), || metrics.clone())?;

    let lines = |node: &Node| node.log().lines().filter(|line| line.contains("DEBUG")).count();
    check(lines(&node) == 0, || "it was at debug before".into())?;
    let answer = http(&admin, "PUT", "/log-level", "debug")?;
    check(answer.0 == 200, || format!("{answer:?}"))?;
    let mut cri = node.client()?;
    node.runtime.block_on(cri.runtime.list_pod_sandbox(ListPodSandboxRequest::default()))?;
    wait_for(DEADLINE, "a line of the new level", || Ok((lines(&node) > 0).then_some(())))?;
    let answer = http(&admin, "PUT", "/log-level", "loud=very")?;
    check(answer.0 == 400, || format!("nonsense: {answer:?}"))?;

    // Without its socket it cannot serve, and says for what it waits.
    std::fs::remove_file(node.socket())?;
    let answer = http(&admin, "GET", "/readyz", "")?;
    check(answer.0 == 503 && answer.1.contains("cri.sock"), || format!("{answer:?}"))?;
    let answer = http(&admin, "GET", "/livez", "")?;
    check(answer.0 == 200, || format!("{answer:?}"))
}

/// The network is the administrator's: the kubelet's pod CIDR is taken and changes nothing.
pub(crate) fn a_kubelets_pod_cidr_is_taken() -> TestResult {
    let node = Node::ready()?;
    let files = || -> std::io::Result<BTreeSet<PathBuf>> {
        std::fs::read_dir(node.folder.join("conf"))?.map(|entry| Ok(entry?.path())).collect()
    };
    let before = files()?;
    let mut cri = node.client()?;
    for pod_cidr in ["10.99.0.0/24", "10.99.0.0/24,fd00::/64", ""] {
        let network_config = Some(NetworkConfig { pod_cidr: pod_cidr.into() });
        let request = UpdateRuntimeConfigRequest { runtime_config: Some(RuntimeConfig { network_config }) };
        node.runtime
            .block_on(cri.runtime.update_runtime_config(request))
            .map_err(|status| node.told(&status))?;
    }
    node.runtime.block_on(cri.runtime.update_runtime_config(UpdateRuntimeConfigRequest::default()))?;
    check(files()? == before, || "it wrote a configuration".into())?;
    let sandbox = node.run("cidr")?;
    let request = PodSandboxStatusRequest { pod_sandbox_id: sandbox.clone(), verbose: false };
    let answer = node.runtime.block_on(cri.runtime.pod_sandbox_status(request))?.into_inner();
    let ip = answer.status.unwrap_or_default().network.unwrap_or_default().ip;
    check(ip.starts_with("10.77.0."), || format!("the pod's address is {ip:?}"))?;
    remove(&node, &sandbox)
}

/// A daemon that was told one folder and nothing else.
struct Instance {
    data: PathBuf,
    /// What it made below `/run/orlop`.
    run: PathBuf,
    daemon: Daemon,
}

impl Instance {
    /// `number` tells its bridge and its addresses, which the network's configuration chooses, from the others'.
    fn start(data: &Path, number: u8) -> Result<Self, TestError> {
        for folder in ["cni/net.d", "cni/bin"] {
            std::fs::create_dir_all(data.join(folder))?;
        }
        for plugin in ["bridge", "host-local", "loopback", "portmap"] {
            symlink(world::bin("orlop-cni"), data.join("cni/bin").join(plugin))?;
        }
        let list = serde_json::json!({
            "cniVersion": "1.0.0", "name": format!("net{number}"),
            "plugins": [{
                "type": "bridge", "bridge": format!("orlopt{number}"), "isGateway": true,
                "ipam": {
                    "type": "host-local", "dataDir": data.join("cni/networks"),
                    "ranges": [[{ "subnet": format!("10.77.{number}.0/24") }]],
                },
            }],
        });
        std::fs::write(data.join("cni/net.d/10-test.conflist"), list.to_string())?;
        let known = instances();
        let mut instance = Self { data: data.into(), run: PathBuf::new(), daemon: spawn(data)? };
        instance.run = wait_for(DEADLINE, "the folder of the instance", || {
            Ok(instances().difference(&known).next().cloned())
        })?;
        instance.daemon.wait_for_socket(&instance.run.join("cri.sock"))?;
        Ok(instance)
    }

    fn restart(&mut self) -> TestResult {
        self.daemon.kill()?;
        self.daemon = spawn(&self.data)?;
        self.daemon.wait_for_socket(&self.run.join("cri.sock"))
    }

    fn cgroup(&self) -> String {
        format!("orlop-{}", self.run.file_name().unwrap_or_default().to_string_lossy())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        leftovers::end_all(&self.cgroup());
    }
}

fn spawn(data: &Path) -> Result<Daemon, TestError> {
    let mut command = Command::new(world::bin("orlop"));
    command.arg("--data-dir").arg(data).arg("cri");
    Ok(Daemon::spawn(command, &data.join("log"))?)
}

/// The folders of instances.
fn instances() -> BTreeSet<PathBuf> {
    std::fs::read_dir("/run/orlop").into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Runs the same pod in an instance: ids of the sandbox and its container.
async fn run_twin(
    instance: &Instance,
    pod: &PodSandboxConfig,
    container: &ContainerConfig,
) -> Result<(String, String), TestError> {
    let mut cri = Cri::connect(&instance.run.join("cri.sock")).await?;
    let (config, runtime_handler) = (Some(pod.clone()), String::new());
    let run = cri.runtime.run_pod_sandbox(RunPodSandboxRequest { config, runtime_handler }).await?;
    let pod_sandbox_id = run.into_inner().pod_sandbox_id;
    let create = CreateContainerRequest {
        pod_sandbox_id: pod_sandbox_id.clone(),
        config: Some(container.clone()),
        sandbox_config: Some(pod.clone()),
    };
    let container_id = cri.runtime.create_container(create).await?.into_inner().container_id;
    cri.runtime.start_container(StartContainerRequest { container_id: container_id.clone() }).await?;
    Ok((pod_sandbox_id, container_id))
}

/// The ids of all that an instance has.
async fn listed(instance: &Instance) -> Result<Vec<String>, TestError> {
    let mut cri = Cri::connect(&instance.run.join("cri.sock")).await?;
    let pods = cri.runtime.list_pod_sandbox(ListPodSandboxRequest::default()).await?.into_inner().items;
    let containers = cri.runtime.list_containers(ListContainersRequest::default()).await?.into_inner();
    let containers = containers.containers.into_iter();
    Ok(pods.into_iter().map(|pod| pod.id).chain(containers.map(|container| container.id)).collect())
}

pub(crate) fn two_instances_share_nothing() -> TestResult {
    // Of this one only its folders and its image are used.
    let node = Node::new()?;
    let elsewhere = ["/run/netns", "/etc/cni/net.d", "/var/lib/orlop", "/var/lib/cni", "/run/orlop/cri.sock"];
    let before = elsewhere.map(|path| Path::new(path).exists());
    let mut one = Instance::start(&node.folder.join("one"), 1)?;
    let other = Instance::start(&node.folder.join("other"), 2)?;
    check(one.run != other.run && one.cgroup() != other.cgroup(), || "one folder for two".into())?;
    for instance in [&one, &other] {
        node.import_into(&instance.run.join("cri.sock"), "busybox", IMAGE)?;
    }
    // The very same pod, but that no cgroup is named.
    let mut pod = node.pod("twin");
    pod.linux.get_or_insert_default().cgroup_parent.clear();
    let container = node.container("c", FOR_EVER);
    let logs = |name: &str| node.folder.join("logs").join(name).display().to_string();
    let (mut of_one, mut of_other) = (pod.clone(), pod);
    (of_one.log_directory, of_other.log_directory) = (logs("one"), logs("other"));
    let (sandbox, first) = node.runtime.block_on(run_twin(&one, &of_one, &container))?;
    let (second_sandbox, second) = node.runtime.block_on(run_twin(&other, &of_other, &container))?;
    check(node.runtime.block_on(listed(&one))? == [sandbox.clone(), first.clone()], || {
        "the one's list".into()
    })?;
    let theirs = [second_sandbox.clone(), second.clone()];
    check(node.runtime.block_on(listed(&other))? == theirs, || "the other's list".into())?;

    // Everything of a pod lies below what is its instance's.
    for (instance, id) in [(&one, &sandbox), (&other, &second_sandbox)] {
        check(instance.run.join("state/sandboxes").join(id).exists(), || "its record".into())?;
        check(instance.run.join(format!("netns/orlop-{id}")).exists(), || "its namespace".into())?;
        check(instance.data.join("lib").exists(), || "its images".into())?;
        let groups = leftovers::cgroups(&instance.cgroup());
        let own = groups.iter().flat_map(|group| leftovers::below(group)).any(|group| group.ends_with(id));
        check(own, || "its cgroup".into())?;
    }
    check(elsewhere.map(|path| Path::new(path).exists()) == before, || {
        "a conventional folder was made".into()
    })?;

    // A crash and the recovery of one, with its sweeps, and the end of all its pods.
    one.restart()?;
    node.runtime.block_on(async {
        let mut cri = Cri::connect(&one.run.join("cri.sock")).await?;
        let pod_sandbox_id = sandbox.clone();
        cri.runtime.stop_pod_sandbox(StopPodSandboxRequest { pod_sandbox_id }).await?;
        let pod_sandbox_id = sandbox.clone();
        cri.runtime.remove_pod_sandbox(RemovePodSandboxRequest { pod_sandbox_id }).await?;
        Ok::<_, TestError>(())
    })?;
    check(node.runtime.block_on(listed(&one))?.is_empty(), || "the one's list afterwards".into())?;
    check(node.runtime.block_on(listed(&other))? == theirs, || "the other's list afterwards".into())?;
    let running = node.runtime.block_on(async {
        let mut cri = Cri::connect(&other.run.join("cri.sock")).await?;
        let request =
            api_cri::v1::ExecSyncRequest { container_id: second, cmd: vec!["true".into()], timeout: 10 };
        Ok::<_, TestError>(cri.runtime.exec_sync(request).await?.into_inner().exit_code)
    })?;
    if running != 0 { fail("the other's container noticed") } else { Ok(()) }
}
