//! The configuration of a container.

use std::collections::HashMap;
use std::net::IpAddr;

use api_cri::v1::{ContainerConfig, ContainerMetadata, ImageSpec, KeyValue, LinuxContainerConfig, Signal};
use api_k8s::v1::{Container, Pod};
use api_objects::expand::expand;
use serde::Serialize;

use super::env::{environment, lookup};
use super::resources::container_resources;
use super::{
    Node, TranslateError, container_hash, labels, mounts, pod_name, pod_namespace, pod_uid, security, spec,
};

/// What is known once a container is about to be created.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    /// How often it was started before.
    pub attempt: u32,
    /// Its image, which is there by now.
    pub image: &'a Image,
    /// The sandbox's addresses, primary first; empty on the host's network.
    pub pod_ips: &'a [IpAddr],
}

/// What the runtime says of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// How the runtime calls it: `sha256:…`.
    pub id: String,
    /// The numeric user that its processes run as.
    pub uid: Option<i64>,
    /// The named user, when it is not a number.
    pub username: String,
}

/// What `CreateContainer` is called with.
pub fn container_config(
    pod: &Pod,
    container: &Container,
    node: &Node,
    start: &Start,
) -> Result<ContainerConfig, TranslateError> {
    let environment = environment(pod, container, node, start.pod_ips)?;
    let expanded = |words: &Option<Vec<String>>| -> Vec<String> {
        words.iter().flatten().map(|word| expand(word, |name| lookup(&environment, name))).collect()
    };
    Ok(ContainerConfig {
        metadata: Some(ContainerMetadata { name: container.name.clone(), attempt: start.attempt }),
        image: Some(ImageSpec {
            image: start.image.id.clone(),
            user_specified_image: container.image.clone().unwrap_or_default(),
            ..ImageSpec::default()
        }),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        mounts: mounts::of_container(pod, container, node, start.attempt)?,
        labels: container_labels(pod, container),
        annotations: annotations(pod, container, start.attempt),
        log_path: format!("{}/{}.log", container.name, start.attempt),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        linux: Some(LinuxContainerConfig {
            resources: Some(container_resources(pod, container, node)),
            security_context: Some(security::of_container(pod, container, start.image, node)?),
        }),
        stop_signal: stop_signal(container).into(),
        envs: environment
            .into_iter()
            .map(|(key, value)| KeyValue { key, value: value.into_bytes() })
            .collect(),
        ..ContainerConfig::default()
    })
}

fn container_labels(pod: &Pod, container: &Container) -> HashMap<String, String> {
    let pairs = [
        (labels::CONTAINER_NAME, container.name.as_str()),
        (labels::POD_NAME, pod_name(pod)),
        (labels::POD_NAMESPACE, pod_namespace(pod)),
        (labels::POD_UID, pod_uid(pod)),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// A port as the annotation spells it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Port<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_port: Option<i32>,
    container_port: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'a str>,
    #[serde(rename = "hostIP", skip_serializing_if = "Option::is_none")]
    host_ip: Option<&'a str>,
}

/// What the kubelet reads back when it finds a container whose pod it has forgotten.
fn annotations(pod: &Pod, container: &Container, attempt: u32) -> HashMap<String, String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut all = HashMap::from([
        (labels::CONTAINER_HASH.to_owned(), format!("{:x}", container_hash(container))),
        (labels::RESTART_COUNT.to_owned(), attempt.to_string()),
        (labels::TERMINATION_PATH.to_owned(), text(&container.termination_message_path)),
        (labels::TERMINATION_POLICY.to_owned(), text(&container.termination_message_policy)),
    ]);
    if let Some(seconds) = spec(pod).termination_grace_period_seconds {
        all.insert(labels::GRACE_PERIOD.to_owned(), seconds.to_string());
    }
    let ports: Vec<_> = container
        .ports
        .iter()
        .flatten()
        .map(|port| Port {
            name: port.name.as_deref(),
            host_port: port.host_port,
            container_port: port.container_port,
            protocol: port.protocol.as_deref(),
            host_ip: port.host_ip.as_deref(),
        })
        .collect();
    if !ports.is_empty()
        && let Ok(json) = serde_json::to_string(&ports)
    {
        all.insert(labels::CONTAINER_PORTS.to_owned(), json);
    }
    if let Some(handler) = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref()) {
        all.insert(labels::PRE_STOP.to_owned(), api_k8s::encode_lifecycle_handler(handler).to_string());
    }
    all
}

/// `lifecycle.stopSignal`: `SIGRTMIN+3` is `SIGRTMINPLUS3` over the CRI.
fn stop_signal(container: &Container) -> Signal {
    let name = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref());
    let name = name.unwrap_or_default().replace('+', "PLUS").replace('-', "MINUS");
    Signal::from_str_name(&name).unwrap_or(Signal::RuntimeDefault)
}
