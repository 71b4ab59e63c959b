//! What the kubelet tells of pods, as far as the command line shows it; and which pod a person means.

use serde::Deserialize;

use crate::Error;

/// The kubelet's `/pods`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct PodList {
    /// `null` when there are none.
    #[serde(default)]
    pub(super) items: Option<Vec<Pod>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
    pub(super) status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) creation_timestamp: Option<String>,
    pub(super) deletion_timestamp: Option<String>,
    pub(super) labels: std::collections::BTreeMap<String, String>,
    pub(super) annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) node_name: String,
    pub(super) init_containers: Vec<Container>,
    pub(super) containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) tty: bool,
    pub(super) stdin: bool,
    pub(super) restart_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) phase: String,
    pub(super) reason: String,
    pub(super) message: String,
    #[serde(rename = "podIP")]
    pub(super) pod_ip: String,
    #[serde(rename = "hostIP")]
    pub(super) host_ip: String,
    pub(super) start_time: Option<String>,
    pub(super) qos_class: String,
    pub(super) conditions: Vec<Condition>,
    pub(super) init_container_statuses: Vec<ContainerStatus>,
    pub(super) container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    pub(super) ready: bool,
    pub(super) restart_count: u32,
    #[serde(rename = "containerID")]
    pub(super) container_id: String,
    #[serde(rename = "imageID")]
    pub(super) image_id: String,
    pub(super) state: State,
    pub(super) last_state: State,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct State {
    pub(super) waiting: Option<Waiting>,
    pub(super) running: Option<Running>,
    pub(super) terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Waiting {
    pub(super) reason: String,
    pub(super) message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Running {
    pub(super) started_at: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Terminated {
    pub(super) exit_code: i32,
    pub(super) signal: i32,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) started_at: String,
    pub(super) finished_at: String,
}

impl Terminated {
    /// `Completed`, `OOMKilled`, or what is known of the end.
    pub(super) fn summary(&self) -> String {
        match (self.reason.as_str(), self.signal) {
            ("", 0) => format!("ExitCode:{}", self.exit_code),
            ("", signal) => format!("Signal:{signal}"),
            (reason, _) => reason.to_owned(),
        }
    }
}

impl State {
    /// One word.
    pub(super) fn summary(&self) -> String {
        match self {
            Self { waiting: Some(waiting), .. } if !waiting.reason.is_empty() => waiting.reason.clone(),
            Self { terminated: Some(terminated), .. } => terminated.summary(),
            Self { running: Some(_), .. } => "Running".into(),
            _ => "Waiting".into(),
        }
    }
}

impl Pod {
    /// `NAMESPACE/NAME`.
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.metadata.namespace, self.metadata.name)
    }

    /// Whether a manifest's `NAMESPACE/NAME` is this pod's, with or without the node's name behind it.
    pub(super) fn is_of(&self, manifest: Option<&str>) -> bool {
        let own = self.full_name();
        manifest.is_some_and(|name| own == name || own == format!("{name}-{}", self.spec.node_name))
    }

    /// Since when it is there.
    pub(super) fn since(&self) -> &str {
        let times = [&self.metadata.creation_timestamp, &self.status.start_time];
        times.into_iter().flatten().next().map_or("", String::as_str)
    }

    /// One word for the whole pod: what hinders it, or else its phase.
    pub(super) fn summary(&self) -> String {
        if self.metadata.deletion_timestamp.is_some() {
            return "Terminating".into();
        }
        if !self.status.reason.is_empty() {
            return self.status.reason.clone();
        }
        if let Some(text) = self.initialising() {
            return text;
        }
        let waits = |status: &&ContainerStatus| status.state.running.is_none();
        let stuck = self.status.container_statuses.iter().find(waits).map(|status| status.state.summary());
        match (self.status.phase.as_str(), stuck) {
            ("", None) => "Unknown".into(),
            ("" | "Pending" | "Running" | "Failed", Some(reason)) if reason != "Waiting" => reason,
            ("Succeeded", _) => "Completed".into(),
            (phase, _) => phase.to_owned(),
        }
    }

    /// `Init:1/2`, or what hinders an init container, while they are not all done.
    fn initialising(&self) -> Option<String> {
        let total = self.spec.init_containers.len();
        for (done, container) in self.spec.init_containers.iter().enumerate() {
            let status =
                self.status.init_container_statuses.iter().find(|status| status.name == container.name);
            let Some(status) = status else { return Some(format!("Init:{done}/{total}")) };
            let restartable = container.restart_policy.as_deref() == Some("Always");
            match &status.state {
                State { terminated: Some(end), .. } if end.exit_code == 0 && !restartable => {}
                State { terminated: Some(end), .. } => return Some(format!("Init:{}", end.summary())),
                State { running: Some(_), .. } if restartable => {}
                State { waiting: Some(waiting), .. }
                    if !matches!(waiting.reason.as_str(), "" | "PodInitializing" | "ContainerCreating") =>
                {
                    return Some(format!("Init:{}", waiting.reason));
                }
                _ => return Some(format!("Init:{done}/{total}")),
            }
        }
        None
    }

    /// Restarts of all containers.
    pub(super) fn restarts(&self) -> u32 {
        self.statuses().map(|status| status.restart_count).sum()
    }

    /// Init containers first.
    pub(super) fn statuses(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.status.init_container_statuses.iter().chain(&self.status.container_statuses)
    }

    /// Init containers first.
    pub(super) fn containers(&self) -> impl Iterator<Item = &Container> {
        self.spec.init_containers.iter().chain(&self.spec.containers)
    }

    /// Whether its Ready condition is true.
    pub(super) fn is_ready(&self) -> bool {
        self.status.conditions.iter().any(|condition| condition.kind == "Ready" && condition.status == "True")
    }

    /// The container of a name. Without one: the one that an annotation names, else the first, with a note when
    /// there was a choice.
    pub(super) fn container(&self, name: Option<&str>) -> Result<(&Container, Option<String>), Error> {
        let names =
            || self.containers().map(|container| container.name.as_str()).collect::<Vec<_>>().join(", ");
        let wanted = name.or(self.metadata.annotations.get(DEFAULT_CONTAINER).map(String::as_str));
        if let Some(wanted) = wanted {
            let found = self.containers().find(|container| container.name == wanted);
            let missing = || {
                Error::Failed(format!("pod {} has no container {wanted}, but {}", self.full_name(), names()))
            };
            return found.map(|container| (container, None)).ok_or_else(missing);
        }
        let first = self.spec.containers.first();
        let first =
            first.ok_or_else(|| Error::Failed(format!("pod {} has no containers", self.full_name())))?;
        let others = self.containers().map(|container| container.name.as_str());
        let others: Vec<_> = others.filter(|name| *name != first.name).collect();
        let note = (!others.is_empty())
            .then(|| format!("no -c given: using container {} (others: {})", first.name, others.join(", ")));
        Ok((first, note))
    }
}

/// The annotation by which kubectl chooses.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The pod that a person means by `NAME` or `NAMESPACE/NAME`. A static pod's name may be given as its manifest
/// has it, without the node's name that the kubelet appends. A namespace may be given beside the name too.
pub(super) fn find<'a>(pods: &'a [Pod], beside: Option<&str>, wanted: &str) -> Result<&'a Pod, Error> {
    let (namespace, name) = match (wanted.split_once('/'), beside) {
        (Some((namespace, _)), Some(other)) if namespace != other => {
            return Err(Error::Usage(format!("{wanted} is not in namespace {other}")));
        }
        (Some((namespace, name)), _) => (Some(namespace), name),
        (None, beside) => (beside, wanted),
    };
    if name.is_empty() {
        return Err(Error::Usage(format!("{wanted:?} names no pod")));
    }
    let here =
        || pods.iter().filter(|pod| namespace.is_none_or(|namespace| pod.metadata.namespace == namespace));
    let exact: Vec<&Pod> = here().filter(|pod| pod.metadata.name == name).collect();
    let found = if exact.is_empty() {
        here().filter(|pod| pod.metadata.name == format!("{name}-{}", pod.spec.node_name)).collect()
    } else {
        exact
    };
    let names =
        |pods: &mut dyn Iterator<Item = &Pod>| pods.map(Pod::full_name).collect::<Vec<_>>().join(", ");
    match found.as_slice() {
        [pod] => Ok(pod),
        [] if pods.is_empty() => Err(Error::Failed(format!("no pod {wanted}: there are no pods"))),
        [] => Err(Error::Failed(format!("no pod {wanted}; there are {}", names(&mut pods.iter())))),
        several => {
            let names = names(&mut several.iter().copied());
            Err(Error::Failed(format!("{wanted} may be any of {names}; say which by NAMESPACE/POD")))
        }
    }
}

#[cfg(test)]
mod tests;
