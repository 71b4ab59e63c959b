//! The configuration of a pod's sandbox.

use std::collections::HashMap;

use api_cri::v1::{LinuxPodSandboxConfig, PodSandboxConfig, PodSandboxMetadata, PortMapping, Protocol};
use api_k8s::v1::{ContainerPort, Pod};

use super::resources::sandbox_resources;
use super::{
    Node, TranslateError, dns_config, host_name, init_containers, is_sidecar, labels, pod_name,
    pod_namespace, pod_uid, qos_class, security, spec, sysctls,
};
use crate::cgroups;

/// What `RunPodSandbox` is called with; `attempt` counts the pod's sandboxes from 0.
pub fn sandbox_config(pod: &Pod, node: &Node, attempt: u32) -> Result<PodSandboxConfig, TranslateError> {
    let (namespace, name, uid) = (pod_namespace(pod), pod_name(pod), pod_uid(pod));
    let host_network = spec(pod).host_network == Some(true);
    let (resources, overhead) = sandbox_resources(pod);
    let mut pod_labels: HashMap<_, _> = pod.metadata.labels.iter().flatten().map(owned).collect();
    pod_labels.extend([
        (labels::POD_NAME.to_owned(), name.to_owned()),
        (labels::POD_NAMESPACE.to_owned(), namespace.to_owned()),
        (labels::POD_UID.to_owned(), uid.to_owned()),
    ]);
    Ok(PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: name.to_owned(),
            uid: uid.to_owned(),
            namespace: namespace.to_owned(),
            attempt,
        }),
        // On the host's network the pod is called what the host is.
        hostname: if host_network { String::new() } else { host_name(pod, node)? },
        log_directory: node.log_dir(namespace, name, uid).display().to_string(),
        dns_config: Some(dns_config(pod, node)),
        port_mappings: port_mappings(pod),
        labels: pod_labels,
        annotations: pod.metadata.annotations.iter().flatten().map(owned).collect(),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: cgroups::pod_parent(&node.cgroup_root, node.cgroup_driver, qos_class(pod), uid),
            security_context: Some(security::of_sandbox(pod)),
            sysctls: sysctls::of_pod(pod),
            overhead: Some(overhead),
            resources: Some(resources),
        }),
        windows: None,
    })
}

fn owned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

fn port_mappings(pod: &Pod) -> Vec<PortMapping> {
    let sidecars = init_containers(pod).iter().filter(|container| is_sidecar(container));
    spec(pod)
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten().map(mapping))
        .collect()
}

fn mapping(port: &ContainerPort) -> PortMapping {
    let protocol = match port.protocol.as_deref() {
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        _ => Protocol::Tcp,
    };
    PortMapping {
        protocol: protocol.into(),
        container_port: port.container_port,
        host_port: port.host_port.unwrap_or(0),
        host_ip: port.host_ip.clone().unwrap_or_default(),
    }
}
