use super::*;
use crate::apiserver::services::ports::PortRange;

fn ports() -> Ports {
    Ports::new(PortRange { first: 30000, last: 30999 })
}

fn service(spec: &Value) -> Value {
    json!({ "spec": spec.clone() })
}

/// The node ports that a Service gets, and what became of those that there are.
fn assigned(spec: &Value, old: Option<&Value>, ports: &mut Ports) -> Result<(Vec<i64>, Moved), Unfit> {
    let mut service = service(spec);
    let old = old.map(|old| json!({ "spec": old.clone() }));
    keep(&mut service, old.as_ref());
    let moved = assign_ports(&mut service, old.as_ref(), ports, &mut || 0)?;
    Ok((node_ports(&service["spec"]), moved))
}

#[test]
fn a_new_service_takes_a_number_for_each_port_and_one_for_all_its_protocols() {
    let port = |name: &str, protocol: &str, port: u16, node: u16| json!({"name": name, "protocol": protocol, "port": port, "nodePort": node});
    for (of, list, numbers, taken) in [
        ("NodePort", vec![port("a", "TCP", 80, 0), port("b", "TCP", 81, 0)], vec![30031, 30032], 2),
        ("NodePort", vec![port("a", "TCP", 53, 0), port("b", "UDP", 53, 0)], vec![30031, 30031], 1),
        ("NodePort", vec![port("a", "TCP", 53, 0), port("b", "UDP", 53, 30007)], vec![30007, 30007], 1),
        ("NodePort", vec![port("a", "TCP", 53, 30008), port("b", "UDP", 53, 30007)], vec![30008, 30007], 2),
        ("LoadBalancer", vec![port("a", "TCP", 80, 30100)], vec![30100], 1),
        ("ClusterIP", vec![port("a", "TCP", 80, 0)], vec![], 0),
    ] {
        let mut all = ports();
        let (found, moved) = assigned(&json!({"type": of, "ports": list}), None, &mut all).unwrap();
        assert_eq!((&found, moved.taken.len()), (&numbers, taken), "{list:?}");
        assert!(all.iter().eq(std::collections::BTreeSet::from_iter(found)));
    }
    // A balancer that needs none takes only those that are asked for.
    let spec = json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false,
        "ports": [port("a", "TCP", 80, 0), port("b", "TCP", 81, 30005)]});
    assert_eq!(assigned(&spec, None, &mut ports()).unwrap().0, [30005]);
}

#[test]
fn a_port_that_cannot_be_had_is_named() {
    let mut all = ports();
    all.take(30001).unwrap();
    let node = |node: i64| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": node}]});
    for (wanted, why) in [
        (30001, "provided port is already allocated"),
        (80, "provided port is not in the valid range. The range of valid ports is 30000-30999"),
        (-5, "provided port is not in the valid range. The range of valid ports is 30000-30999"),
        (95536, "provided port is not in the valid range. The range of valid ports is 30000-30999"),
    ] {
        let Err(Unfit::Field(error)) = assigned(&node(wanted), None, &mut all) else { panic!("{wanted}") };
        assert_eq!(error.to_string(), format!("spec.ports[0].nodePort: Invalid value: {wanted}: {why}"));
    }
    let checked =
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30001});
    let why = "failed to allocate requested HealthCheck NodePort 30001: provided port is already allocated";
    assert_eq!(assigned(&checked, None, &mut all), Err(Unfit::Other(why.to_owned())));
}

#[test]
fn a_service_that_changes_keeps_gains_and_gives_back() {
    let old = json!({"type": "NodePort", "ports": [{"name": "a", "port": 80, "nodePort": 30001}]});
    let same = json!({"type": "NodePort", "ports": [{"name": "a", "port": 81}]});
    let more = json!({"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]});
    let other = json!({"type": "NodePort", "ports": [{"name": "a", "port": 80, "nodePort": 30002}]});
    let none = json!({"type": "ClusterIP", "ports": [{"name": "a", "port": 80}]});
    let swapped = json!({"type": "NodePort", "ports": [{"name": "b", "port": 80, "nodePort": 30001}, {"name": "a", "port": 81}]});
    for (new, has, taken, obsolete) in [
        (&same, vec![30001], vec![], vec![]),
        (&more, vec![30001, 30031], vec![30031], vec![]),
        (&other, vec![30002], vec![30002], vec![30001]),
        (&none, vec![], vec![], vec![30001]),
        (&swapped, vec![30001, 30031], vec![30031], vec![]),
    ] {
        let mut all = ports();
        all.take(30001).unwrap();
        let found = assigned(new, Some(&old), &mut all).unwrap();
        assert_eq!(found, (has, Moved { taken, obsolete }), "{new}");
    }
    let checked = |policy: &str, port: i64| json!({"type": "LoadBalancer", "externalTrafficPolicy": policy, "healthCheckNodePort": port});
    let moved = |new: Value, old: Value| assigned(&new, Some(&old), &mut ports()).unwrap().1;
    assert_eq!(moved(checked("Local", 0), checked("Cluster", 0)).taken, [30031]);
    assert_eq!(moved(checked("Cluster", 0), checked("Local", 30009)).obsolete, [30009]);
    assert_eq!(moved(checked("Local", 0), checked("Local", 30009)), Moved::default());
}

#[test]
fn addresses_come_and_go_with_type_and_families() {
    let of = |of: &str, families: &[&str], addresses: &[&str]| {
        json!({"spec": {"type": of, "ipFamilies": families, "clusterIPs": addresses,
            "clusterIP": addresses.first().unwrap_or(&"")}})
    };
    let wish = |index, family, address: &str| Wish {
        index,
        family,
        address: Some(address.to_owned()).filter(|address| !address.is_empty()),
    };
    let named = of("ExternalName", &[], &[]);
    let one = of("ClusterIP", &["IPv4"], &["10.0.0.1"]);
    let two = of("ClusterIP", &["IPv4", "IPv6"], &["10.0.0.1", "fd00::1"]);
    let headless = of("ClusterIP", &["IPv4"], &["None"]);
    for (new, old, takes, gives) in [
        (of("ClusterIP", &["IPv4"], &[]), None, vec![wish(0, Family::V4, "")], vec![]),
        (two.clone(), None, vec![wish(0, Family::V4, "10.0.0.1"), wish(1, Family::V6, "fd00::1")], vec![]),
        (headless.clone(), None, vec![], vec![]),
        (named.clone(), None, vec![], vec![]),
        (of("NodePort", &["IPv4"], &[]), Some(&named), vec![wish(0, Family::V4, "")], vec![]),
        (named.clone(), Some(&two), vec![], vec!["10.0.0.1", "fd00::1"]),
        (
            of("ClusterIP", &["IPv4", "IPv6"], &["10.0.0.1"]),
            Some(&one),
            vec![wish(1, Family::V6, "")],
            vec![],
        ),
        (one.clone(), Some(&two), vec![], vec!["fd00::1"]),
        (one.clone(), Some(&one), vec![], vec![]),
        (one.clone(), Some(&headless), vec![], vec![]),
        (named.clone(), Some(&named), vec![], vec![]),
    ] {
        let gives: Vec<IpAddr> = gives.into_iter().map(|ip: &str| ip.parse().unwrap()).collect();
        assert_eq!(plan_addresses(&new, old), (takes, gives), "{new} {old:?}");
    }
}

#[test]
fn who_leaves_out_what_was_given_means_it_as_it_is() {
    let old = json!({"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]});
    for (new, one, all) in [
        (json!({"type": "ClusterIP"}), "10.0.0.1", json!(["10.0.0.1"])),
        (json!({"type": "ClusterIP", "clusterIP": "10.0.0.1"}), "10.0.0.1", json!(["10.0.0.1"])),
        (
            json!({"type": "ClusterIP", "clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.1"]}),
            "10.0.0.2",
            json!(["10.0.0.2"]),
        ),
        (json!({"type": "ExternalName", "clusterIP": "", "clusterIPs": ["10.0.0.1"]}), "", Value::Null),
    ] {
        let mut changed = service(&new);
        keep(&mut changed, Some(&service(&old)));
        assert_eq!(
            (text(&changed["spec"], "clusterIP"), &changed["spec"]["clusterIPs"]),
            (one, &all),
            "{new}"
        );
    }
    let mut created = json!({"spec": {"clusterIP": "10.0.0.3"}});
    keep(&mut created, None);
    assert_eq!(created["spec"]["clusterIPs"], json!(["10.0.0.3"]));
}
