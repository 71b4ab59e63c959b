//! A pod's status as the API shows it.

use std::time::Duration;

use api_k8s::meta::Time;
use api_k8s::v1;
use jiff::Timestamp;

use super::Now;
use super::container::{Container, State};
use super::event::{Exit, Run};
use super::pod::{Life, Pod, Sandbox, Settings};
use super::spec::Role;
use crate::translate;

/// A pull that failed this long ago is waiting for the next one rather than news.
const NEWS: Duration = Duration::from_secs(5);

/// A condition, with when it last changed its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    kind: &'static str,
    status: bool,
    reason: Option<&'static str>,
    message: Option<String>,
    since: Timestamp,
}

/// Brings the conditions up to date.
pub(crate) fn refresh(pod: &mut Pod, now: Now) {
    let mut conditions = conditions(pod, now.wall);
    for condition in &mut conditions {
        let same = |old: &&Condition| old.kind == condition.kind && old.status == condition.status;
        if let Some(old) = pod.conditions.iter().find(same) {
            condition.since = old.since;
        }
    }
    pod.conditions = conditions;
}

fn conditions(pod: &Pod, since: Timestamp) -> Vec<Condition> {
    let new = |kind, status, reason, message| Condition { kind, status, reason, message, since };
    let phase = phase(pod);
    let names = |wanted: &dyn Fn(&Container) -> bool| -> String {
        let names: Vec<_> =
            pod.containers.iter().filter(|one| wanted(one)).map(|one| one.spec.name.as_str()).collect();
        format!("[{}]", names.join(" "))
    };
    let unready = |one: &Container| one.spec.role != Role::Init && !one.ready();
    let ready = |kind| match phase {
        "Succeeded" => new(kind, false, Some("PodCompleted"), None),
        "Failed" => new(kind, false, Some("PodFailed"), None),
        _ if pod.containers.iter().any(unready) => {
            let message = format!("containers with unready status: {}", names(&unready));
            new(kind, false, Some("ContainersNotReady"), Some(message))
        }
        _ => new(kind, true, None, None),
    };
    let uninitialized = |one: &Container| match one.spec.role {
        Role::Init => !one.succeeded(),
        Role::Sidecar => !one.started(),
        Role::Main => false,
    };
    let initialized = match phase {
        "Succeeded" => new("Initialized", true, Some("PodCompleted"), None),
        _ if pod.init_done() => new("Initialized", true, None, None),
        _ => {
            let message = format!("containers with incomplete status: {}", names(&uninitialized));
            new("Initialized", false, Some("ContainersNotInitialized"), Some(message))
        }
    };
    let has_sandbox = pod.sandbox == Sandbox::Ready && !matches!(phase, "Succeeded" | "Failed");
    vec![
        new("PodReadyToStartContainers", has_sandbox, None, None),
        initialized,
        ready("Ready"),
        ready("ContainersReady"),
        new("PodScheduled", true, None, None),
    ]
}

pub(crate) fn phase(pod: &Pod) -> &'static str {
    if pod.verdict.is_some() {
        return "Failed";
    }
    let ended = !matches!(pod.life, Life::Active) && pod.containers.iter().all(|one| one.running().is_none());
    match pod.outcome() {
        Some(true) if ended => return "Succeeded",
        Some(false) if ended => return "Failed",
        _ => {}
    }
    let of_main = || pod.containers.iter().filter(|one| one.spec.role == Role::Main);
    if !pod.init_done() || of_main().any(|one| one.current.is_none()) { "Pending" } else { "Running" }
}

/// The whole status; `manifest` is the pod as it was wanted.
pub(crate) fn render(pod: &Pod, manifest: &v1::Pod, settings: &Settings, now: Now) -> v1::PodStatus {
    let host_network = manifest.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true));
    let ips = if host_network && pod.sandbox == Sandbox::Ready { &settings.host_ips } else { &pod.ips };
    let statuses = |wanted: &dyn Fn(Role) -> bool| -> Option<Vec<v1::ContainerStatus>> {
        let list: Vec<_> = pod
            .containers
            .iter()
            .filter(|one| wanted(one.spec.role))
            .map(|one| container(pod, one, manifest, settings, now))
            .collect();
        (!list.is_empty()).then_some(list)
    };
    let (reason, message) = pod.verdict.clone().unzip();
    let resources = translate::status_resources(manifest);
    v1::PodStatus {
        phase: Some(phase(pod).into()),
        reason,
        message,
        conditions: Some(pod.conditions.iter().map(condition).collect()),
        host_ip: settings.host_ips.first().map(ToString::to_string),
        host_ips: (!settings.host_ips.is_empty())
            .then(|| settings.host_ips.iter().map(|ip| v1::HostIP { ip: ip.to_string() }).collect()),
        pod_ip: ips.first().map(ToString::to_string),
        pod_ips: (!ips.is_empty()).then(|| ips.iter().map(|ip| v1::PodIP { ip: ip.to_string() }).collect()),
        start_time: Some(Time(pod.start_time)),
        init_container_statuses: statuses(&|role| role != Role::Main),
        container_statuses: statuses(&|role| role == Role::Main),
        qos_class: Some(format!("{:?}", translate::qos_class(manifest))),
        allocated_resources: resources.requests.clone(),
        resources: Some(resources),
        ..v1::PodStatus::default()
    }
}

fn condition(condition: &Condition) -> v1::PodCondition {
    v1::PodCondition {
        type_: condition.kind.into(),
        status: if condition.status { "True" } else { "False" }.into(),
        reason: condition.reason.map(Into::into),
        message: condition.message.clone(),
        last_transition_time: Some(Time(condition.since)),
        ..v1::PodCondition::default()
    }
}

fn container(
    pod: &Pod,
    container: &Container,
    manifest: &v1::Pod,
    settings: &Settings,
    now: Now,
) -> v1::ContainerStatus {
    let wanted = translate::all_containers(manifest).find(|one| one.name == container.spec.name);
    let run = container.current.as_ref();
    let id = |run: &Run| format!("{}://{}", settings.runtime_name, run.id);
    let ended = |run: &Run| run.exit.as_ref().map(|exit| terminated(exit, id(run)));
    let of_current = || run.and_then(&ended);
    let of_previous = || container.previous.as_ref().and_then(&ended);
    let (state, last) = match container.state {
        State::Running(_) | State::Stopping(_) => {
            let started_at = run.and_then(|run| run.started_at).map(Time);
            let running = Some(v1::ContainerStateRunning { started_at });
            (v1::ContainerState { running, ..Default::default() }, of_previous())
        }
        _ => match waiting(pod, container, now) {
            Some(waiting) => {
                (v1::ContainerState { waiting: Some(waiting), ..Default::default() }, of_current())
            }
            None => (v1::ContainerState { terminated: of_current(), ..Default::default() }, of_previous()),
        },
    };
    let image = run.map(|run| run.image.clone()).filter(|image| !image.is_empty());
    v1::ContainerStatus {
        name: container.spec.name.clone(),
        state: Some(state),
        last_state: Some(v1::ContainerState { terminated: last, ..Default::default() }),
        ready: container.ready(),
        started: Some(container.started()),
        restart_count: run.map_or(0, |run| i32::try_from(run.attempt).unwrap_or(i32::MAX)),
        image: image.unwrap_or_else(|| container.spec.image.clone()),
        image_id: run.map(|run| run.image_id.clone()).unwrap_or_default(),
        container_id: run.map(id),
        allocated_resources: run.and(wanted).and_then(|wanted| wanted.resources.as_ref()?.requests.clone()),
        resources: run.and(wanted).map(|wanted| wanted.resources.clone().unwrap_or_default()),
        volume_mounts: wanted.and_then(|wanted| volume_mounts(wanted, settings)),
        user: run.and_then(|run| run.user.clone()).map(|(uid, gid, groups)| v1::ContainerUser {
            linux: Some(v1::LinuxContainerUser { uid, gid, supplemental_groups: Some(groups) }),
        }),
        ..v1::ContainerStatus::default()
    }
}

/// The mounts as they are made: whether "if possible" is possible is known here.
fn volume_mounts(container: &v1::Container, settings: &Settings) -> Option<Vec<v1::VolumeMountStatus>> {
    let mounts = container.volume_mounts.as_ref()?;
    let status = |mount: &v1::VolumeMount| {
        let read_only = mount.read_only == Some(true);
        let recursive = match mount.recursive_read_only.as_deref() {
            Some("Enabled" | "IfPossible") => settings.recursive_read_only,
            _ => false,
        };
        v1::VolumeMountStatus {
            mount_path: mount.mount_path.clone(),
            name: mount.name.clone(),
            read_only: read_only.then_some(true),
            recursive_read_only: read_only.then(|| if recursive { "Enabled" } else { "Disabled" }.into()),
            ..Default::default()
        }
    };
    Some(mounts.iter().map(status).collect())
}

/// Why it does not run, unless its end is the last word.
fn waiting(pod: &Pod, container: &Container, now: Now) -> Option<v1::ContainerStateWaiting> {
    let because = |reason: &str, message: Option<String>| {
        Some(v1::ContainerStateWaiting { reason: Some(reason.into()), message })
    };
    let ended = container.exit().is_some();
    if let Some(failure) = container.failure.as_ref().filter(|_| !ended || container.restarts()) {
        let waited = now.mono.saturating_sub(container.failed_at);
        if failure.reason == "ErrImagePull" && waited > NEWS {
            let image = &container.spec.image;
            let text = format!("Back-off pulling image \"{image}\": ErrImagePull: {}", failure.message);
            return because("ImagePullBackOff", Some(text));
        }
        return because(&failure.reason, Some(failure.message.clone()));
    }
    match container.state {
        State::Exited(since) if container.restarts() && container.retry_at > now.mono => {
            let spec = &pod.spec;
            let text = format!(
                "back-off {} restarting failed container={} pod={}_{}({})",
                seconds(container.retry_at.saturating_sub(since)),
                container.spec.name,
                spec.name,
                spec.namespace,
                spec.uid
            );
            because("CrashLoopBackOff", Some(text))
        }
        State::Exited(_) => None,
        // The end of the run before is shown until the next one is there.
        State::Starting if container.current.is_some() => None,
        _ if pod.verdict.is_some() => because("ContainerCreating", None),
        _ => {
            let has_init = pod.containers.iter().any(|one| one.spec.role != Role::Main);
            let reason = if has_init && !pod.init_done() { "PodInitializing" } else { "ContainerCreating" };
            because(reason, pod.sandbox_error.clone())
        }
    }
}

/// As Go prints it: `10s`, `2m40s`, `5m0s`.
fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

fn terminated(exit: &Exit, id: String) -> v1::ContainerStateTerminated {
    v1::ContainerStateTerminated {
        exit_code: exit.code,
        reason: Some(exit.reason.clone()),
        message: (!exit.message.is_empty()).then(|| exit.message.clone()),
        started_at: exit.started_at.map(Time),
        finished_at: exit.finished_at.map(Time),
        container_id: Some(id),
        ..v1::ContainerStateTerminated::default()
    }
}
