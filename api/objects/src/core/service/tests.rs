use serde_json::json;

use super::*;
use crate::table::{Table, lines};

fn good() -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "n"}, "spec": {
        "type": "LoadBalancer", "ports": [{"name": "w", "port": 80, "nodePort": 30000}, {"name": "u", "port": 53}],
        "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        "selector": {"a": "b"}, "sessionAffinity": "ClientIP", "externalTrafficPolicy": "Local",
        "loadBalancerClass": "a.b/c", "loadBalancerSourceRanges": [" 10.0.0.0/8"], "externalIPs": ["1.2.3.4"],
    }, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}})
}

#[test]
fn what_is_left_out_follows_from_the_type() {
    let mut service = good();
    defaults(&mut service);
    let spec = &service["spec"];
    assert_eq!(spec["sessionAffinityConfig"], json!({"clientIP": {"timeoutSeconds": 10800}}));
    assert_eq!(spec["ports"][1], json!({"name": "u", "port": 53, "protocol": "TCP", "targetPort": 53}));
    assert_eq!(spec["allocateLoadBalancerNodePorts"], true);
    assert_eq!(spec["internalTrafficPolicy"], "Cluster");
    assert_eq!(service["status"]["loadBalancer"]["ingress"][0]["ipMode"], "VIP");
    let mut plain = json!({"spec": {"sessionAffinityConfig": {}}});
    defaults(&mut plain);
    let want = json!({"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"});
    assert_eq!(plain["spec"], want);
}

#[test]
fn a_new_service_is_refused_by_its_rules() {
    Table::of("", "Service", good()).create(&[
        ("/spec/ports", json!([]), &["spec.ports: Required value"]),
        ("/spec/type", json!("X"), &["spec.type: Unsupported value: \"X\"", "spec.LoadBalancerSourceRanges: Forbidden"]),
        ("/spec/ports/0/name", json!("A"), &["spec.ports[0].name: Invalid value: \"A\""]),
        ("/spec/ports/0/name", json!("u"), &["spec.ports[1].name: Duplicate value: \"u\""]),
        ("/spec/ports/0/port", json!(0), &["spec.ports[0].port: Invalid value: 0: must be between 1"]),
        ("/spec/ports/0/port", json!(53), &["spec.ports[1]: Duplicate value: {"]),
        ("/spec/ports/0/protocol", json!("X"), &["spec.ports[0].protocol: Unsupported value: \"X\""]),
        ("/spec/ports/0/targetPort", json!("a_b"), &["spec.ports[0].targetPort: Invalid value: \"a_b\""]),
        ("/spec/ports/0/appProtocol", json!("-"), &["spec.ports[0].appProtocol: Invalid value: \"-\""]),
        ("/spec/ports/1/nodePort", json!(30000), &["spec.ports[1].nodePort: Duplicate value: 30000"]),
        ("/spec/selector/a", json!("-"), &["spec.selector: Invalid value: \"-\""]),
        ("/spec/sessionAffinity", json!("X"), &["spec.sessionAffinity: Unsupported value: \"X\""]),
        ("/spec/sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 0}}),
            &["spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and"]),
        ("/spec/externalIPs/0", json!("127.0.0.1"), &["spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not"]),
        ("/spec/clusterIP", json!("10.0.0.2"), &["spec.clusterIPs: Invalid value: [\"10.0.0.1\"]: first value"]),
        ("/spec/clusterIP", json!(""), &["spec.clusterIPs: Invalid value: [\"10.0.0.1\"]: must be empty"]),
        ("/spec/clusterIPs", json!([]), &["spec.clusterIPs: Required value"]),
        ("/spec/clusterIPs", json!(["10.0.0.1", "10.0.0.2"]),
            &["spec.clusterIPs: Invalid value: [\"10.0.0.1\",\"10.0.0.2\"]: may specify no more than one"]),
        ("/spec/clusterIPs", json!(["10.0.0.1", "x"]), &["spec.clusterIPs[1]: Invalid value: \"x\": must be a valid"]),
        ("/spec/ipFamilies/0", json!("IPv6"), &["spec.clusterIPs[0]: Invalid value: \"10.0.0.1\": expected an IPv6"]),
        ("/spec/ipFamilies", json!(["IPv4", "IPv4"]), &["spec.ipFamilies[1]: Duplicate value: \"IPv4\""]),
        ("/spec/ipFamilyPolicy", json!("X"), &["spec.ipFamilyPolicy: Unsupported value: \"X\""]),
        ("/spec/externalTrafficPolicy", json!("X"), &["spec.externalTrafficPolicy: Unsupported value: \"X\""]),
        ("/spec/internalTrafficPolicy", json!("X"), &["spec.internalTrafficPolicy: Unsupported value: \"X\""]),
        ("/spec/trafficDistribution", json!("X"), &["spec.trafficDistribution: Unsupported value: \"X\""]),
        ("/spec/loadBalancerClass", json!("-"), &["spec.loadBalancerClass: Invalid value: \"-\""]),
        ("/spec/loadBalancerSourceRanges/0", json!("x"), &["spec.LoadBalancerSourceRanges[0]: Invalid value: \"x\""]),
        ("/spec/healthCheckNodePort", json!(70000), &["spec.healthCheckNodePort: Invalid value: 70000: must be"]),
    ]);
}

#[test]
fn an_external_name_has_no_address() {
    let good = json!({"spec": {"type": "ExternalName", "externalName": "a.b."}});
    Table::of("", "Service", good).create(&[
        ("/spec/externalName", json!(""), &["spec.externalName: Required value"]),
        ("/spec/externalName", json!("A"), &["spec.externalName: Invalid value: \"A\""]),
        (
            "/spec/clusterIPs",
            json!(["10.0.0.1"]),
            &["spec.clusterIPs: Forbidden: may not be set for ExternalName"],
        ),
        ("/spec/ipFamilyPolicy", json!("SingleStack"), &["spec.ipFamilyPolicy: Forbidden: may not be set"]),
    ]);
}

#[test]
fn addresses_stay_and_balancers_too() {
    Table::of("", "Service", good()).update(&[
        (
            "/spec/clusterIPs/0",
            json!("10.0.0.2"),
            &["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change"],
        ),
        (
            "/spec/clusterIPs",
            json!([]),
            &["spec.clusterIPs[0]: Invalid value: []: primary clusterIP can not be unset"],
        ),
        (
            "/spec/ipFamilies/0",
            json!("IPv6"),
            &["spec.ipFamilies[0]: Invalid value: [\"IPv6\"]: may not change"],
        ),
        (
            "/spec/loadBalancerClass",
            json!("d.e/f"),
            &["spec.loadBalancerClass: Invalid value: \"d.e/f\": may not change"],
        ),
        (
            "/spec/healthCheckNodePort",
            json!(30009),
            &["spec.healthCheckNodePort: Forbidden: field is immutable"],
        ),
    ]);
}

#[test]
fn a_status_has_addresses_of_balancers() {
    Table::of("", "Service", good()).status(&[
        ("/spec/type", json!("NodePort"), &["status.loadBalancer.ingress: Forbidden: may only be used when"]),
        (
            "/status/loadBalancer/ingress/0/ip",
            json!("x"),
            &["status.loadBalancer.ingress[0].ip: Invalid value: \"x\""],
        ),
        (
            "/status/loadBalancer/ingress/0/ipMode",
            json!("X"),
            &["status.loadBalancer.ingress[0].ipMode: Unsupported"],
        ),
        (
            "/status/loadBalancer/ingress/0/hostname",
            json!("1.2.3.4"),
            &["status.loadBalancer.ingress[0].hostname: Invalid value: \"1.2.3.4\": must be a DNS name"],
        ),
    ]);
}

#[test]
fn another_type_loses_what_it_does_not_have() {
    let mut old = good();
    defaults(&mut old);
    old["spec"]["healthCheckNodePort"] = 30009.into();
    let mut new = old.clone();
    new["spec"]["type"] = "ClusterIP".into();
    new["spec"]["externalIPs"] = json!([]);
    new["spec"]["loadBalancerSourceRanges"] = json!([]);
    prepare(&mut new, Some(&old));
    assert_eq!(lines(&create(&new)), Vec::<String>::new());
    assert_eq!(new["spec"]["ports"][0].get("nodePort"), None);
    assert_eq!(new["status"]["loadBalancer"], json!({}));
    new["spec"]["type"] = "ExternalName".into();
    prepare(&mut new, Some(&old));
    assert_eq!([new["spec"].get("clusterIP"), new["spec"].get("ipFamilies")], [None, None]);
}
