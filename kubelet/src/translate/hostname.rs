//! What a pod is called from inside.

use api_k8s::v1::Pod;

use super::{Node, TranslateError, pod_name, pod_namespace, spec};

/// The kernel's limit on a host name.
const MAX_HOSTNAME: usize = 64;
/// The longest host name that is also a DNS label.
const MAX_LABEL: usize = 63;

/// The pod's host name and its domain (empty unless it has a `subdomain`), as `/etc/hosts` lists them.
pub fn host_names(pod: &Pod, node: &Node) -> (String, String) {
    let spec = spec(pod);
    if let Some(name) = &spec.hostname_override {
        return (name.clone(), String::new());
    }
    let name = match spec.hostname.as_deref() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => truncated(pod_name(pod)),
    };
    let domain = match spec.subdomain.as_deref() {
        Some(subdomain) if !subdomain.is_empty() => {
            format!("{subdomain}.{}.svc.{}", pod_namespace(pod), node.cluster_domain)
        }
        _ => String::new(),
    };
    (name, domain)
}

/// What the sandbox's host name is set to; `setHostnameAsFQDN` makes it the whole name.
pub fn host_name(pod: &Pod, node: &Node) -> Result<String, TranslateError> {
    let (name, domain) = host_names(pod, node);
    if domain.is_empty() || spec(pod).set_hostname_as_fqdn != Some(true) {
        return Ok(name);
    }
    let full = format!("{name}.{domain}");
    if full.len() > MAX_HOSTNAME {
        return Err(TranslateError(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long \
             ({MAX_HOSTNAME} characters is the max, {} characters requested)",
            full.len()
        )));
    }
    Ok(full)
}

fn truncated(name: &str) -> String {
    let end = name.len().min(MAX_LABEL);
    name.get(..end).unwrap_or(name).trim_end_matches(['-', '.']).to_owned()
}
