//! The text of a pod's `/etc/hosts`.

use std::fmt::Write;
use std::net::IpAddr;

use api_k8s::v1::Pod;

use crate::translate::{Node, host_names, spec};

const HEADER: &str = "# Kubernetes-managed hosts file.\n";
const HOST_HEADER: &str = "# Kubernetes-managed hosts file (host network).\n";
const LOCAL: &str = "127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::0\tip6-localnet\n\
    fe00::0\tip6-mcastprefix\n\
    fe00::1\tip6-allnodes\n\
    fe00::2\tip6-allrouters\n";

/// What the pod sees as `/etc/hosts`: on the host's network a copy of the host's file (`host_file`), else its own
/// addresses and names; its aliases follow.
pub fn etc_hosts(pod: &Pod, node: &Node, pod_ips: &[IpAddr], host_file: Option<&str>) -> String {
    let mut text = String::new();
    match host_file {
        Some(file) => {
            text.push_str(HOST_HEADER);
            text.push_str(file);
        }
        None => {
            text.push_str(HEADER);
            text.push_str(LOCAL);
            let (name, domain) = host_names(pod, node);
            for ip in pod_ips {
                // Writing to a String does not fail.
                let _ = match domain.as_str() {
                    "" => writeln!(text, "{ip}\t{name}"),
                    domain => writeln!(text, "{ip}\t{name}.{domain}\t{name}"),
                };
            }
        }
    }
    let aliases: Vec<_> = spec(pod).host_aliases.iter().flatten().collect();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
            let _ = writeln!(text, "{}\t{names}", alias.ip);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::tests::{node, pod};

    #[test]
    fn aliases_follow_the_pods_own_line() {
        let pod = pod(serde_json::json!({
            "hostname": "hh", "subdomain": "ss", "containers": [],
            "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a.b", "c.d"]}],
        }));
        let text = etc_hosts(&pod, &node(), &["10.0.0.5".parse().unwrap()], None);
        assert_eq!(
            text,
            format!(
                "{HEADER}{LOCAL}10.0.0.5\thh.ss.default.svc.cluster.local\thh\n\n\
                 # Entries added by HostAliases.\n1.2.3.4\ta.b\tc.d\n"
            )
        );
    }

    #[test]
    fn on_the_hosts_network_the_hosts_file_is_copied() {
        let pod = pod(serde_json::json!({"hostNetwork": true, "containers": []}));
        assert_eq!(etc_hosts(&pod, &node(), &[], Some("1.1.1.1 x\n")), format!("{HOST_HEADER}1.1.1.1 x\n"));
    }
}
