//! The resolver configuration of a pod.

use std::net::IpAddr;

use api_cri::v1::DnsConfig;
use api_k8s::v1::Pod;

use super::{Node, pod_namespace, spec};

/// As the resolver reads at most.
const MAX_SERVERS: usize = 3;
/// As the API allows at most.
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_BYTES: usize = 2048;

/// What a `resolv.conf` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// `nameserver` lines.
    pub servers: Vec<String>,
    /// The last `search` line.
    pub searches: Vec<String>,
    /// The last `options` line.
    pub options: Vec<String>,
}

impl ResolvConf {
    /// Reads the lines that a resolver understands; others are skipped as it does.
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().map(str::to_owned)),
                Some("search") => {
                    conf.searches = words.map(|word| word.trim_end_matches('.').to_owned()).collect();
                    conf.searches.retain(|word| !word.is_empty());
                }
                Some("options") => conf.options = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        conf
    }
}

/// The DNS configuration of a pod's sandbox, by its `dnsPolicy` and `dnsConfig`.
pub fn dns_config(pod: &Pod, node: &Node) -> DnsConfig {
    let spec = spec(pod);
    let host_network = spec.host_network == Some(true);
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let cluster = match policy {
        "ClusterFirst" => !host_network && !node.cluster_dns.is_empty(),
        "ClusterFirstWithHostNet" => !node.cluster_dns.is_empty(),
        _ => false,
    };
    let mut conf = match policy {
        "None" => ResolvConf::default(),
        _ if cluster => cluster_conf(pod_namespace(pod), node),
        _ => node.resolv_conf.clone(),
    };
    if let Some(extra) = &spec.dns_config {
        append_unique(&mut conf.servers, extra.nameservers.iter().flatten().cloned());
        append_unique(&mut conf.searches, extra.searches.iter().flatten().cloned());
        for option in extra.options.iter().flatten() {
            let Some(name) = option.name.as_deref() else { continue };
            let text = match option.value.as_deref() {
                Some(value) => format!("{name}:{value}"),
                None => name.to_owned(),
            };
            // The pod's own value of an option takes the place of the one from the policy.
            match conf.options.iter_mut().find(|have| have.split(':').next() == Some(name)) {
                Some(have) => *have = text,
                None => conf.options.push(text),
            }
        }
    }
    limit(&mut conf);
    DnsConfig { servers: conf.servers, searches: conf.searches, options: conf.options }
}

fn cluster_conf(namespace: &str, node: &Node) -> ResolvConf {
    let domain = &node.cluster_domain;
    let mut searches = Vec::new();
    if !domain.is_empty() {
        searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
    }
    append_unique(&mut searches, node.resolv_conf.searches.iter().cloned());
    ResolvConf {
        servers: node.cluster_dns.iter().map(IpAddr::to_string).collect(),
        searches,
        options: vec!["ndots:5".to_owned()],
    }
}

fn append_unique(list: &mut Vec<String>, more: impl Iterator<Item = String>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

fn limit(conf: &mut ResolvConf) {
    conf.servers.truncate(MAX_SERVERS);
    conf.searches.truncate(MAX_SEARCHES);
    while conf.searches.iter().map(String::len).sum::<usize>() + conf.searches.len() > MAX_SEARCH_BYTES + 1 {
        conf.searches.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolv_conf_is_read_as_the_resolver_does() {
        let text = "# c\nnameserver 1.1.1.1 # x\nsearch a b.\nsearch c\noptions ndots:2 rotate\nfoo bar\nnameserver\n";
        let conf = ResolvConf::parse(text);
        assert_eq!(conf.servers, ["1.1.1.1"]);
        assert_eq!(conf.searches, ["c"]);
        assert_eq!(conf.options, ["ndots:2", "rotate"]);
    }
}
