//! From what the runtime says to what the state machines see.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api_cri::v1 as cri;
use futures_util::StreamExt as _;
use jiff::Timestamp;

use super::Client;
use crate::core::{ContainerSeen, ContainerState, Exit, Run, SandboxSeen, Seen};
use crate::logs;
use crate::translate::labels;

/// How much of a termination message is shown, in bytes.
const MESSAGE_BYTES: u64 = 4096;
/// The end of the log that stands in for a termination message: so many lines, and bytes.
const FALLBACK_LINES: u64 = 80;
const FALLBACK_BYTES: usize = 2048;
/// How many statuses are asked for at the same time.
const AT_ONCE: usize = 8;

/// A pod of the runtime, by the labels that the kubelet gave it.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuntimePod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// From the annotation of its containers.
    pub(crate) grace: Option<Duration>,
    pub(crate) seen: Seen,
}

/// What a listing shows of a container or a sandbox; when it differs, something has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) uid: String,
    pub(crate) state: i32,
}

/// All sandboxes and containers of the kubelet's, by id.
pub(crate) async fn list(client: &Client) -> Result<BTreeMap<String, Item>, tonic::Status> {
    let mut runtime = client.runtime.clone();
    let sandboxes = runtime.list_pod_sandbox(cri::ListPodSandboxRequest { filter: None }).await?.into_inner();
    let containers = runtime.list_containers(cri::ListContainersRequest { filter: None }).await?.into_inner();
    let uid = |all: &std::collections::HashMap<String, String>| all.get(labels::POD_UID).cloned();
    let sandboxes = sandboxes.items.into_iter().filter_map(|item| {
        // The numbers of both states overlap; the sign tells them apart.
        Some((item.id, Item { uid: uid(&item.labels)?, state: -1 - item.state }))
    });
    let containers = containers
        .containers
        .into_iter()
        .filter_map(|item| Some((item.id, Item { uid: uid(&item.labels)?, state: item.state })));
    Ok(sandboxes.chain(containers).collect())
}

/// The whole state of the pods of which a listing shows something.
pub(crate) async fn pods(
    client: &Client,
    listing: &BTreeMap<String, Item>,
    at: Duration,
    wanted: impl Fn(&str) -> bool,
) -> BTreeMap<String, RuntimePod> {
    let mut asked = Vec::new();
    for (id, item) in listing {
        if wanted(&item.uid) {
            asked.push(status(client.clone(), id.clone(), item.clone()));
        }
    }
    let statuses: Vec<_> = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    let mut pods: BTreeMap<String, RuntimePod> = BTreeMap::new();
    for (uid, status) in statuses {
        let pod = pods.entry(uid).or_default();
        pod.seen.complete_at = Some(at);
        match status {
            Some(Status::Sandbox(status)) => add_sandbox(pod, &status),
            Some(Status::Container(status)) => add_container(pod, &status).await,
            // What cannot be asked for is not known to be gone.
            None => pod.seen.complete_at = None,
        }
    }
    for pod in pods.values_mut() {
        let incomplete = pod.seen.complete_at.is_none();
        pod.seen.complete_at = (!incomplete).then_some(at);
    }
    pods
}

enum Status {
    Sandbox(Box<cri::PodSandboxStatus>),
    Container(Box<cri::ContainerStatus>),
}

async fn status(client: Client, id: String, item: Item) -> (String, Option<Status>) {
    let mut runtime = client.runtime.clone();
    let status = if item.state < 0 {
        let request = cri::PodSandboxStatusRequest { pod_sandbox_id: id, verbose: false };
        let answer = runtime.pod_sandbox_status(request).await.ok();
        answer.and_then(|answer| answer.into_inner().status).map(Box::new).map(Status::Sandbox)
    } else {
        container_status(&client, &id).await.ok().flatten().map(Box::new).map(Status::Container)
    };
    (item.uid, status)
}

/// A container's status; `None` when the runtime does not know it.
pub(crate) async fn container_status(
    client: &Client,
    id: &str,
) -> Result<Option<cri::ContainerStatus>, tonic::Status> {
    let request = cri::ContainerStatusRequest { container_id: id.into(), verbose: false };
    match client.runtime.clone().container_status(request).await {
        Ok(answer) => Ok(answer.into_inner().status),
        Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
        Err(status) => Err(status),
    }
}

/// What one event of the runtime's stream shows.
pub(crate) async fn event(event: cri::ContainerEventResponse) -> Option<(String, RuntimePod)> {
    let sandbox = event.pod_sandbox_status?;
    let uid = sandbox.labels.get(labels::POD_UID)?.clone();
    let mut pod = RuntimePod::default();
    add_sandbox(&mut pod, &sandbox);
    for status in &event.containers_statuses {
        add_container(&mut pod, status).await;
    }
    Some((uid, pod))
}

fn add_sandbox(pod: &mut RuntimePod, status: &cri::PodSandboxStatus) {
    if let Some(metadata) = &status.metadata {
        (pod.namespace, pod.name) = (metadata.namespace.clone(), metadata.name.clone());
    }
    pod.seen.sandboxes.push(sandbox(status));
}

/// A sandbox as the state machines see it.
pub(crate) fn sandbox(status: &cri::PodSandboxStatus) -> SandboxSeen {
    let network = status.network.as_ref();
    let more = network.into_iter().flat_map(|network| network.additional_ips.iter().map(|ip| &ip.ip));
    let ips = network.map(|network| &network.ip).into_iter().chain(more);
    SandboxSeen {
        id: status.id.clone(),
        attempt: status.metadata.as_ref().map_or(0, |metadata| metadata.attempt),
        ready: status.state() == cri::PodSandboxState::SandboxReady,
        ips: ips.filter_map(|ip| ip.parse::<IpAddr>().ok()).collect(),
    }
}

async fn add_container(pod: &mut RuntimePod, status: &cri::ContainerStatus) {
    let grace = status.annotations.get(labels::GRACE_PERIOD).and_then(|text| text.parse().ok());
    pod.grace = pod.grace.or(grace.map(Duration::from_secs));
    pod.seen.containers.push(container(status).await);
}

/// A container as the state machines see it. Its termination message is read when it has ended.
pub(crate) async fn container(status: &cri::ContainerStatus) -> ContainerSeen {
    let state = match status.state() {
        cri::ContainerState::ContainerCreated => ContainerState::Created,
        cri::ContainerState::ContainerRunning => ContainerState::Running,
        cri::ContainerState::ContainerExited | cri::ContainerState::ContainerUnknown => {
            ContainerState::Exited
        }
    };
    let exit = match state {
        ContainerState::Exited => Some(exit(status).await),
        _ => None,
    };
    let attempt = status.annotations.get(labels::RESTART_COUNT).and_then(|text| text.parse().ok());
    let metadata = status.metadata.clone().unwrap_or_default();
    let image = status.image.clone().unwrap_or_default();
    let image = if image.user_specified_image.is_empty() { image.image } else { image.user_specified_image };
    let linux = status.user.as_ref().and_then(|user| user.linux.clone());
    let run = Run {
        id: status.id.clone(),
        attempt: attempt.unwrap_or(metadata.attempt),
        sandbox: String::new(),
        image,
        image_id: status.image_ref.clone(),
        started_at: time(status.started_at),
        exit,
        user: linux.map(|user| (user.uid, user.gid, user.supplemental_groups)),
    };
    let name = status.labels.get(labels::CONTAINER_NAME).cloned().unwrap_or(metadata.name);
    ContainerSeen { name, state, run }
}

/// How a container has ended.
pub(crate) async fn exit(status: &cri::ContainerStatus) -> Exit {
    let copy = status.clone();
    // Small files, but of the container's making: not on the executor's threads.
    let message = tokio::task::spawn_blocking(move || termination_message(&copy)).await;
    let message = message.ok().flatten().filter(|message| !message.is_empty());
    Exit {
        code: status.exit_code,
        reason: status.reason.clone(),
        message: message.unwrap_or_else(|| status.message.clone()),
        started_at: time(status.started_at),
        finished_at: time(status.finished_at),
    }
}

/// Nanoseconds since 1970; 0 means never.
fn time(nanos: i64) -> Option<Timestamp> {
    (nanos > 0).then(|| Timestamp::from_nanosecond(nanos.into()).ok()).flatten()
}

fn termination_message(status: &cri::ContainerStatus) -> Option<String> {
    let path = status.annotations.get(labels::TERMINATION_PATH)?;
    let mount = status.mounts.iter().find(|mount| &mount.container_path == path);
    let text = mount.and_then(|mount| head(Path::new(&mount.host_path)));
    let policy = status.annotations.get(labels::TERMINATION_POLICY).map(String::as_str);
    if text.as_ref().is_some_and(|text| !text.is_empty())
        || policy != Some("FallbackToLogsOnError")
        || status.exit_code == 0
    {
        return text;
    }
    log_end(&PathBuf::from(&status.log_path))
}

fn head(path: &Path) -> Option<String> {
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    // The file may be anything by now: no link is followed, and nothing blocks.
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MESSAGE_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn log_end(log: &Path) -> Option<String> {
    let options = logs::LogOptions { tail_lines: Some(FALLBACK_LINES), ..Default::default() };
    let mut bytes = Vec::new();
    let mut keep = |piece: Vec<u8>| {
        bytes.extend(piece);
        std::ops::ControlFlow::Continue(())
    };
    logs::read(log, &options, &|| false, &mut keep).ok()?;
    let start = bytes.len().saturating_sub(FALLBACK_BYTES);
    Some(String::from_utf8_lossy(&bytes[start..]).into_owned())
}
