//! Who reaches whom, and under which address.

use integration::runner::{check, fail};
use serde_json::json;

use crate::host::*;

/// Checks an answer: the address that the server saw.
fn seen(answer: String, expected: &str, what: &str) -> Result {
    check(answer == expected, || format!("{what}: the server saw {answer}, not {expected}"))
}

pub(crate) fn addresses() -> Result {
    let host = Host::new()?;
    let one = host.new_pod(&host.bridge(), "one")?;
    let two = host.new_pod(&host.bridge(), "two")?;
    serve("one", 80)?;
    serve("two", 80)?;
    let (one4, two4, one6, two6) = (addr(&one, 0), addr(&two, 0), addr(&one, 1), addr(&two, 1));
    seen(ask(None, &format!("{one4}:80"))?, "10.77.0.1", "host to pod")?;
    seen(ask(None, &format!("[{one6}]:80"))?, "fd77::1", "host to pod by IPv6")?;
    seen(ask(Some("one"), &format!("{two4}:80"))?, &one4, "pod to pod")?;
    seen(ask(Some("two"), &format!("[{one6}]:80"))?, &two6, "pod to pod by IPv6")?;
    seen(ask(Some("one"), "127.0.0.1:80")?, "127.0.0.1", "pod to itself")
}

pub(crate) fn masquerade() -> Result {
    let host = Host::new()?;
    host.new_pod(&host.bridge(), "one")?;
    serve("outside", 80)?;
    seen(ask(Some("one"), &format!("{OUTSIDE}:80"))?, HOST, "pod to outside")?;
    seen(ask(Some("one"), "[2001:db8::2]:80")?, "2001:db8::1", "pod to outside by IPv6")?;
    let mut plain = host.bridge();
    plain["ipMasq"] = json!(false);
    host.new_pod(&plain, "two")?;
    silent(Some("two"), &format!("{OUTSIDE}:80"))
}

pub(crate) fn host_ports() -> Result {
    let host = Host::new()?;
    let mappings = json!([
        { "hostPort": 8080, "containerPort": 80, "protocol": "tcp" },
        { "hostPort": 8081, "containerPort": 80, "protocol": "udp" },
    ]);
    let one = host.new_pod(&host.bridge(), "one")?;
    let two = host.new_pod(&host.bridge(), "two")?;
    host.add(&portmap(&one, mappings), "one")?;
    serve("one", 80)?;
    seen(ask(Some("outside"), &format!("{HOST}:8080"))?, OUTSIDE, "outside")?;
    seen(ask(Some("outside"), "[2001:db8::1]:8080")?, "2001:db8::2", "outside by IPv6")?;
    ask(None, &format!("{HOST}:8080"))?;
    ask(None, "10.77.0.1:8080")?;
    seen(ask(None, "127.0.0.1:8080")?, "10.77.0.1", "localhost")?;
    for (name, to) in [("another pod", HOST), ("another pod by the gateway", "10.77.0.1")] {
        seen(ask(Some("two"), &format!("{to}:8080"))?, "10.77.0.1", name)?;
    }
    seen(ask(Some("one"), &format!("{HOST}:8080"))?, "10.77.0.1", "the pod itself")?;
    seen(ask(Some("two"), &format!("{}:80", addr(&one, 0)))?, &addr(&two, 0), "past the host's port")?;
    for (name, from, to) in [
        ("outside", Some("outside"), HOST),
        ("another pod", Some("two"), HOST),
        ("localhost", None, "127.0.0.1"),
    ] {
        let client = udp_client(from, &format!("{to}:8081"))?;
        check(ask_udp(&client).is_some(), || format!("{name} by UDP has no answer"))?;
    }
    silent(Some("outside"), &format!("{HOST}:8082"))
}

pub(crate) fn host_ip() -> Result {
    let host = Host::new()?;
    let one = host.new_pod(&host.bridge(), "one")?;
    let two = host.new_pod(&host.bridge(), "two")?;
    serve("one", 80)?;
    serve("two", 81)?;
    let only = json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1" }]);
    host.add(&portmap(&one, only), "one")?;
    ask(None, "127.0.0.1:8080")?;
    silent(Some("outside"), &format!("{HOST}:8080"))?;
    // The same port on all addresses is another claim, and the one of the address wins there.
    let all = json!([{ "hostPort": 8080, "containerPort": 81, "protocol": "tcp", "hostIP": "0.0.0.0" }]);
    host.add(&portmap(&two, all), "two")?;
    seen(ask(Some("outside"), &format!("{HOST}:8080"))?, OUTSIDE, "all addresses")?;
    ask(None, "127.0.0.1:8080").map(drop)
}

pub(crate) fn udp_takeover() -> Result {
    let host = Host::new()?;
    let mappings = json!([{ "hostPort": 5353, "containerPort": 53, "protocol": "udp" }]);
    let one = host.new_pod(&host.bridge(), "one")?;
    serve("one", 53)?;
    host.add(&portmap(&one, mappings.clone()), "one")?;
    let client = udp_client(Some("outside"), &format!("{HOST}:5353"))?;
    check(ask_udp(&client).is_some(), || "the first pod does not answer".into())?;
    host.del(&portmap(&one, mappings.clone()), "one")?;
    host.del(&host.bridge(), "one")?;
    // A packet between the two owners makes a flow that leads nowhere.
    check(ask_udp(&client).is_none(), || "somebody answers for nobody".into())?;
    let two = host.new_pod(&host.bridge(), "two")?;
    serve("two", 53)?;
    host.add(&portmap(&two, mappings), "two")?;
    check(ask_udp(&client).is_some(), || "the old flow does not reach the new pod".into())
}

pub(crate) fn forwarding() -> Result {
    let host = Host::new()?;
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "0")?;
    run("iptables-nft -P FORWARD DROP")?;
    run("iptables-nft -A FORWARD -s 203.0.113.0/24 -j DROP")?;
    let one = host.new_pod(&host.bridge(), "one")?;
    host.add(&portmap(&one, json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }])), "one")?;
    serve("one", 80)?;
    serve("outside", 80)?;
    seen(ask(Some("one"), &format!("{OUTSIDE}:80"))?, HOST, "pod to outside")?;
    seen(ask(Some("outside"), &format!("{HOST}:8080"))?, OUTSIDE, "outside to the host's port")?;
    // The owner of the chain reads our rules as its own, and finds them once only.
    host.new_pod(&host.bridge(), "two")?;
    let rules = run("iptables-nft -S FORWARD")?;
    for rule in [
        "-A FORWARD -i cni0 -m comment --comment \"orlop-cni cni0 in\" -j ACCEPT",
        "-A FORWARD -o cni0 -m comment --comment \"orlop-cni cni0 out\" -j ACCEPT",
        "-A FORWARD -s 203.0.113.0/24 -j DROP",
    ] {
        check(rules.lines().filter(|line| *line == rule).count() == 1, || {
            format!("{rule} is not once in\n{rules}")
        })?;
    }
    if std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward")?.trim() != "1" {
        return fail("forwarding is off");
    }
    // Whoever flushes the chain takes the rules away; the next pod brings them back.
    run("iptables-nft -F FORWARD")?;
    host.new_pod(&host.bridge(), "three")?;
    seen(ask(Some("three"), &format!("{OUTSIDE}:80"))?, HOST, "pod to outside after a flush").map(drop)
}
