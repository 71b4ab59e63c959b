//! The pod's `/etc/resolv.conf`.

use std::fmt::Write as _;

use api_cri::v1::DnsConfig;

/// What resolv.conf(5) allows in one `search` list was six names until glibc 2.26; longer lists are the kubelet's to refuse.
pub(crate) fn resolv_conf(config: Option<&DnsConfig>, host: &str) -> String {
    let Some(dns) =
        config.filter(|dns| !dns.servers.is_empty() || !dns.searches.is_empty() || !dns.options.is_empty())
    else {
        return host.to_owned();
    };
    let mut text = String::new();
    if !dns.searches.is_empty() {
        let _ = writeln!(text, "search {}", dns.searches.join(" "));
    }
    for server in &dns.servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    if !dns.options.is_empty() {
        let _ = writeln!(text, "options {}", dns.options.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_file_stands_in_when_the_kubelet_says_nothing() {
        assert_eq!(resolv_conf(None, "nameserver 1.1.1.1\n"), "nameserver 1.1.1.1\n");
        assert_eq!(resolv_conf(Some(&DnsConfig::default()), "x\n"), "x\n");
        let dns = DnsConfig {
            servers: vec!["10.96.0.10".into()],
            searches: vec!["a".into(), "b".into()],
            options: vec!["ndots:5".into()],
        };
        assert_eq!(resolv_conf(Some(&dns), "x\n"), "search a b\nnameserver 10.96.0.10\noptions ndots:5\n");
    }
}
