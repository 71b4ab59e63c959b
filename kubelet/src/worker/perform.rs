//! Performs one effect and says how it went.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api_cri::v1 as cri;
use api_k8s::v1;
use tokio_util::sync::CancellationToken;

use super::{hooks, links, machine};
use crate::core::{Effect, Event, Exit, Failure, Outcome, ProbeKind, Run, Started};
use crate::cri::{Client, observe};
use crate::images::{Images, Policy, said};
use crate::probe::{self, Target};
use crate::translate::{self, Node, Start, all_containers, labels, pod_uid};

/// A call that takes longer has failed. The runtime may still finish it; the next listing shows.
const CALL: Duration = Duration::from_secs(120);
/// What a stop takes beyond its grace period.
const STOP: Duration = Duration::from_secs(30);
/// A program that was asked to end gets this much however late it is.
const LEAST: Duration = Duration::from_secs(2);

/// What effects are performed with.
#[derive(Clone)]
pub(crate) struct Performer {
    pub(crate) client: Client,
    pub(crate) images: Images,
    pub(crate) node: Arc<Node>,
    pub(crate) machine: machine::Machine,
}

/// The pod that an effect belongs to.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) uid: String,
    /// `None` for a pod of the runtime whose manifest is gone.
    pub(crate) manifest: Option<Arc<v1::Pod>>,
    /// Its first address, or the node's.
    pub(crate) ip: Option<IpAddr>,
    /// Where its logs lie.
    pub(crate) log_dir: std::path::PathBuf,
    /// Cancelled when pulls are of no more use.
    pub(crate) pulls: CancellationToken,
}

impl Subject {
    fn container(&self, index: usize) -> Option<(&v1::Pod, &v1::Container)> {
        let pod = self.manifest.as_deref()?;
        Some((pod, all_containers(pod).nth(index)?))
    }

    fn target<'a>(&'a self, index: usize, id: &'a str) -> Option<Target<'a>> {
        let (_, container) = self.container(index)?;
        Some(Target { container, id, ip: self.ip })
    }
}

impl Performer {
    /// The event that answers the effect; `None` for effects that need no answer.
    pub(crate) async fn perform(&self, subject: Subject, effect: Effect) -> Option<Event> {
        Some(match effect {
            Effect::CreateSandbox { attempt } => match self.create_sandbox(&subject, attempt).await {
                Ok((id, ips)) => Event::SandboxCreated { id, attempt, ips },
                Err(message) => Event::SandboxFailed { message },
            },
            Effect::StopSandbox { id } => {
                let result = self.remove_sandbox(&id).await.map_err(|status| said(&status));
                Event::SandboxStopped { id, result }
            }
            Effect::StartContainer { index, attempt, sandbox, ips, sandbox_attempt } => {
                let start = self.start(&subject, index, attempt, &sandbox, sandbox_attempt, &ips);
                Event::ContainerStarted { index, result: start.await }
            }
            Effect::PostStart { index, id } => {
                let result = self.post_start(&subject, index, &id).await;
                Event::PostStartDone { index, id, result }
            }
            Effect::StopContainer { index, id, grace, why } => {
                tracing::info!(uid = subject.uid, id, grace = grace.as_secs(), why, "stopping a container");
                let result = self.stop(&subject, index, &id, grace).await;
                Event::ContainerStopped { index, id, result }
            }
            Effect::RemoveContainer { index, id, attempt } => {
                self.remove_container(&subject, index, &id, attempt).await;
                return None;
            }
            Effect::Probe { index, id, kind } => {
                let outcome = self.probe(&subject, index, &id, kind).await;
                Event::ProbeDone { index, id, kind, outcome }
            }
            Effect::Finish { sandboxes } => Event::Finished { result: self.stop_sandboxes(&sandboxes).await },
            Effect::CleanUp { sandboxes } => {
                Event::CleanedUp { result: self.clean_up(&subject, &sandboxes).await }
            }
            Effect::CancelPulls | Effect::Save => return None,
        })
    }

    async fn create_sandbox(&self, subject: &Subject, attempt: u32) -> Result<(String, Vec<IpAddr>), String> {
        let pod = Arc::clone(subject.manifest.as_ref().ok_or("the pod has no manifest")?);
        let config =
            translate::sandbox_config(&pod, &self.node, attempt).map_err(|error| error.to_string())?;
        let log_dir = subject.log_dir.clone();
        self.machine.on(move |machine| machine.prepare_pod(&pod, &log_dir)).await?;
        let request = cri::RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
        let mut runtime = self.client.runtime.clone();
        let answer = limited(CALL, runtime.run_pod_sandbox(request)).await.map_err(|status| said(&status))?;
        let id = answer.into_inner().pod_sandbox_id;
        let request = cri::PodSandboxStatusRequest { pod_sandbox_id: id.clone(), verbose: false };
        let status = limited(CALL, runtime.pod_sandbox_status(request)).await;
        let status = status.map_err(|status| said(&status))?.into_inner().status.unwrap_or_default();
        let ips = observe::sandbox(&status).ips;
        let pod = Arc::clone(subject.manifest.as_ref().ok_or("the pod has no manifest")?);
        let hosts = ips.clone();
        self.machine.on(move |machine| machine.write_hosts(&pod, &hosts)).await?;
        Ok((id, ips))
    }

    async fn start(
        &self,
        subject: &Subject,
        index: usize,
        attempt: u32,
        sandbox: &str,
        sandbox_attempt: u32,
        ips: &[IpAddr],
    ) -> Result<Started, Failure> {
        let fail = |reason: &str, message: String| Failure { reason: reason.into(), message };
        let Some((pod, container)) = subject.container(index) else {
            return Err(fail("CreateContainerConfigError", "the pod has no such container".into()));
        };
        let wrong = |message| fail("CreateContainerConfigError", message);
        let sandbox_config = translate::sandbox_config(pod, &self.node, sandbox_attempt)
            .map_err(|error| wrong(error.to_string()))?;
        let reference = container.image.clone().unwrap_or_default();
        let policy = Policy::of(container.image_pull_policy.as_deref());
        let image = tokio::select! {
            image = self.images.ensure(&reference, policy, &sandbox_config) => image?,
            () = subject.pulls.cancelled() => return Err(fail("ErrImagePull", "the pod ends".into())),
        };
        let start = Start { attempt, image: &image, pod_ips: ips };
        let config = translate::container_config(pod, container, &self.node, &start)
            .map_err(|error| wrong(error.to_string()))?;
        let (manifest, copy, all_ips, with) = (pod.clone(), container.clone(), ips.to_vec(), image.clone());
        let prepared = self.machine.on(move |machine| {
            machine.prepare_container(&manifest, &copy, &Start { attempt, image: &with, pod_ips: &all_ips })
        });
        prepared.await.map_err(wrong)?;
        let mut runtime = self.client.runtime.clone();
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: sandbox.into(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        let created = limited(CALL, runtime.create_container(request)).await;
        let created = created.map_err(|status| fail("CreateContainerError", status.message().into()))?;
        let id = created.into_inner().container_id;
        self.link_log(subject, container, &id, attempt).await;
        let mut run =
            Run { id: id.clone(), attempt, sandbox: sandbox.into(), image: reference, ..Run::default() };
        let request = cri::StartContainerRequest { container_id: id.clone() };
        let failure = limited(CALL, runtime.start_container(request)).await.err();
        let failure = failure.map(|status| fail("RunContainerError", status.message().into()));
        if let Ok(Some(status)) = observe::container_status(&self.client, &id).await {
            let seen = observe::container(&status).await;
            let exit = if failure.is_some() { seen.run.exit } else { None };
            run = Run { sandbox: sandbox.into(), exit, ..seen.run };
        }
        if failure.is_none() {
            tracing::info!(uid = subject.uid, container = container.name, id, attempt, "started");
        }
        Ok(Started { run, failure })
    }

    /// Before the start, so that no kubelet that ends in between leaves a running container without its link.
    async fn link_log(&self, subject: &Subject, container: &v1::Container, id: &str, attempt: u32) {
        let log = subject.log_dir.join(&container.name).join(format!("{attempt}.log"));
        let link = self.log_link(subject, &container.name, id);
        // Readers of the log itself do not need it.
        if let Err(error) = self.machine.on(move |_| links::make(&link, &log)).await {
            tracing::warn!(uid = subject.uid, id, error, "linking a log");
        }
    }

    fn log_link(&self, subject: &Subject, container: &str, id: &str) -> std::path::PathBuf {
        let (namespace, pod) = subject
            .manifest
            .as_deref()
            .map_or(("", ""), |pod| (translate::pod_namespace(pod), translate::pod_name(pod)));
        self.node.log_link(namespace, pod, container, id)
    }

    async fn post_start(&self, subject: &Subject, index: usize, id: &str) -> Result<(), String> {
        let Some(target) = subject.target(index, id) else { return Ok(()) };
        match target.container.lifecycle.as_ref().and_then(|hooks| hooks.post_start.as_ref()) {
            Some(handler) => hooks::call(&self.client, handler, &target).await,
            None => Ok(()),
        }
    }

    /// `preStop` first; what it takes is taken from the grace period.
    async fn stop(
        &self,
        subject: &Subject,
        index: usize,
        id: &str,
        grace: Duration,
    ) -> Result<Option<Exit>, String> {
        let begin = tokio::time::Instant::now();
        if let Some(target) = subject.target(index, id)
            && let Some(handler) =
                target.container.lifecycle.as_ref().and_then(|hooks| hooks.pre_stop.as_ref())
            && !grace.is_zero()
        {
            match tokio::time::timeout(grace, hooks::call(&self.client, handler, &target)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(uid = subject.uid, id, error, "preStop hook"),
                Err(_) => tracing::warn!(uid = subject.uid, id, "preStop hook took the whole grace period"),
            }
        }
        let left = grace.saturating_sub(begin.elapsed());
        let left = if grace.is_zero() { grace } else { left.max(LEAST.min(grace)) };
        // Whole seconds on the wire: never less than what is left.
        let timeout = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        let request = cri::StopContainerRequest {
            container_id: id.into(),
            timeout: i64::try_from(timeout).unwrap_or(i64::MAX),
        };
        match limited(left + STOP, self.client.runtime.clone().stop_container(request)).await {
            Err(status) if status.code() != tonic::Code::NotFound => return Err(said(&status)),
            _ => {}
        }
        let status = observe::container_status(&self.client, id).await.map_err(|status| said(&status))?;
        let Some(status) = status else { return Ok(None) };
        if status.state() == cri::ContainerState::ContainerRunning {
            return Err("the runtime stopped the container, but shows it as running".into());
        }
        Ok(Some(observe::exit(&status).await))
    }

    async fn remove_container(&self, subject: &Subject, index: usize, id: &str, attempt: u32) {
        let request = cri::RemoveContainerRequest { container_id: id.into() };
        if let Err(status) = limited(CALL, self.client.runtime.clone().remove_container(request)).await {
            tracing::warn!(uid = subject.uid, id, error = status.message(), "removing a dead container");
            return;
        }
        let Some((_, container)) = subject.container(index) else { return };
        let (folder, uid) = (subject.log_dir.join(&container.name), subject.uid.clone());
        let (name, link) = (container.name.clone(), self.log_link(subject, &container.name, id));
        let removed =
            self.machine.on(move |machine| machine.remove_run(&folder, &link, &uid, &name, attempt));
        if let Err(error) = removed.await {
            tracing::warn!(uid = subject.uid, id, error, "removing the log of a dead container");
        }
    }

    async fn probe(&self, subject: &Subject, index: usize, id: &str, kind: ProbeKind) -> Outcome {
        let Some(target) = subject.target(index, id) else {
            return Outcome::Unknown("the pod has no such container".into());
        };
        let probe = match kind {
            ProbeKind::Startup => &target.container.startup_probe,
            ProbeKind::Liveness => &target.container.liveness_probe,
            ProbeKind::Readiness => &target.container.readiness_probe,
        };
        let Some(probe) = probe else { return Outcome::Unknown("the container has no such probe".into()) };
        let outcome = probe::ask(&self.client, probe, &target).await;
        if let Outcome::Failure(why) | Outcome::Unknown(why) = &outcome {
            tracing::debug!(uid = subject.uid, container = target.container.name, ?kind, why, "probe");
        }
        outcome
    }

    async fn stop_sandboxes(&self, sandboxes: &[String]) -> Result<(), String> {
        for id in sandboxes {
            let request = cri::StopPodSandboxRequest { pod_sandbox_id: id.clone() };
            gone(limited(CALL, self.client.runtime.clone().stop_pod_sandbox(request)).await)
                .map_err(|status| said(&status))?;
        }
        Ok(())
    }

    async fn remove_sandbox(&self, id: &str) -> Result<(), tonic::Status> {
        let mut runtime = self.client.runtime.clone();
        let request = cri::StopPodSandboxRequest { pod_sandbox_id: id.into() };
        gone(limited(CALL, runtime.stop_pod_sandbox(request)).await)?;
        let request = cri::RemovePodSandboxRequest { pod_sandbox_id: id.into() };
        gone(limited(CALL, runtime.remove_pod_sandbox(request)).await)
    }

    /// Does not stop at the first error; what is gone already is a success.
    async fn clean_up(&self, subject: &Subject, known: &[String]) -> Result<(), String> {
        let mut errors = Vec::new();
        let mut sandboxes = known.to_vec();
        // One that was made by a call whose answer got lost has the pod's label as well.
        let filter = cri::PodSandboxFilter {
            label_selector: [(labels::POD_UID.to_owned(), subject.uid.clone())].into(),
            ..Default::default()
        };
        let request = cri::ListPodSandboxRequest { filter: Some(filter) };
        match limited(CALL, self.client.runtime.clone().list_pod_sandbox(request)).await {
            Ok(answer) => sandboxes.extend(answer.into_inner().items.into_iter().map(|item| item.id)),
            Err(status) => errors.push(said(&status)),
        }
        sandboxes.sort();
        sandboxes.dedup();
        for id in &sandboxes {
            if let Err(status) = self.remove_sandbox(id).await {
                errors.push(said(&status));
            }
        }
        if !errors.is_empty() {
            // What containers may still use stays until they are gone.
            return Err(errors.join("; "));
        }
        let (uid, log_dir) = (subject.uid.clone(), subject.log_dir.clone());
        self.machine.on(move |machine| machine.remove_pod(&uid, &log_dir)).await
    }
}

/// A call with a limit.
async fn limited<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, tonic::Status>>,
) -> Result<T, tonic::Status> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => Err(tonic::Status::deadline_exceeded(format!("no answer within {} s", limit.as_secs()))),
    }
}

/// "Already gone" is a success.
fn gone<T>(result: Result<T, tonic::Status>) -> Result<(), tonic::Status> {
    match result {
        Err(status) if status.code() != tonic::Code::NotFound => Err(status),
        _ => Ok(()),
    }
}

/// The pod's UID, for logs and folders.
pub(crate) fn log_dir(node: &Node, pod: &v1::Pod) -> std::path::PathBuf {
    let metadata = &pod.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or("default");
    node.log_dir(namespace, metadata.name.as_deref().unwrap_or_default(), pod_uid(pod))
}

/// Whether a path is a log of this attempt, rotated or not.
pub(super) fn is_log_of(path: &Path, attempt: u32) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix(&format!("{attempt}.log")).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
