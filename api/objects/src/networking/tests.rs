use serde_json::{Value, json};

use super::*;
use crate::table::Table;

const GROUP: &str = "networking.k8s.io";

#[test]
fn network_policies() {
    let mut plain = json!({"spec": {"egress": [{"ports": [{}]}]}});
    network_policy::defaults(&mut plain);
    assert_eq!(plain["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(plain["spec"]["egress"][0]["ports"][0], json!({"protocol": "TCP"}));
    let good = json!({"spec": {"podSelector": {"matchLabels": {"a": "b"}}, "ingress": [{
        "from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}, {"podSelector": {}}],
        "ports": [{"port": 80, "endPort": 90}, {"port": "web"}],
    }]}});
    let table = Table::of(GROUP, "NetworkPolicy", good);
    let rows: &[(&str, Value, &str)] = &[
        ("from/0", json!({}), "from[0]: Required value: must specify a peer"),
        ("from/0/podSelector", json!({}), "from[0]: Forbidden: may not specify both ipBlock and another"),
        ("from/0/ipBlock/cidr", json!(""), "from[0].ipBlock.cidr: Required value"),
        (
            "from/0/ipBlock/cidr",
            json!("x"),
            "from[0].ipBlock.cidr: Invalid value: \"x\": must be a valid CIDR",
        ),
        ("from/0/ipBlock/except/0", json!("x"), "from[0].ipBlock.except[0]: Invalid value: \"x\""),
        (
            "from/0/ipBlock/except/0",
            json!("11.0.0.0/16"),
            "from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": mu",
        ),
        (
            "from/1/podSelector/matchLabels",
            json!({"a": "-"}),
            "from[1].podSelector.matchLabels: Invalid value",
        ),
        ("ports/0/protocol", json!("X"), "ports[0].protocol: Unsupported value: \"X\""),
        ("ports/0/port", json!(0), "ports[0].port: Invalid value: 0: must be between"),
        (
            "ports/0/endPort",
            json!(70),
            "ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`",
        ),
        (
            "ports/0/port",
            Value::Null,
            "ports[0].endPort: Invalid value: 90: may not be specified when `port` is not",
        ),
        (
            "ports/1/endPort",
            json!(9),
            "ports[1].endPort: Invalid value: 9: may not be specified when `port` is non-",
        ),
        ("ports/1/port", json!("-"), "ports[1].port: Invalid value: \"-\""),
    ];
    for (pointer, value, want) in rows {
        table.create(&[(
            &format!("/spec/ingress/0/{pointer}"),
            value.clone(),
            &[&format!("spec.ingress[0].{want}")],
        )]);
    }
    table.create(&[
        (
            "/spec/podSelector/matchLabels/a",
            json!("-"),
            &["spec.podSelector.matchLabels: Invalid value: \"-\""],
        ),
        ("/spec/policyTypes/0", json!("X"), &["spec.policyTypes[0]: Unsupported value: \"X\""]),
        (
            "/spec/policyTypes",
            json!(["a", "b", "c"]),
            &["spec.policyTypes: Invalid value: [\"a\",\"b\",\"c\"]: may not"],
        ),
    ]);
    table.update(&[(
        "/spec/ingress/0/from/0/ipBlock/cidr",
        json!("x"),
        &["spec.ingress[0].from[0].ipBlock.cidr: Inv"],
    )]);
}

#[test]
fn ingresses() {
    let good = json!({"metadata": {}, "spec": {"ingressClassName": "c", "tls": [{"hosts": ["a.b", "*.b"], "secretName": "s"}],
        "defaultBackend": {"resource": {"kind": "K", "name": "n"}},
        "rules": [{"host": "a.b", "http": {"paths": [
            {"path": "/p", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"name": "w"}}}},
        ]}}]}, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}});
    let table = Table::of(GROUP, "Ingress", good);
    table.create(&[
        (
            "/spec",
            json!({}),
            &["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
        ),
        ("/spec/ingressClassName", json!("A"), &["spec.ingressClassName: Invalid value: \"A\""]),
        ("/spec/tls/0/hosts/0", json!("A"), &["spec.tls[0].hosts[0]: Invalid value: \"A\""]),
        ("/spec/tls/0/hosts/1", json!("*"), &["spec.tls[0].hosts[1]: Invalid value: \"*\": a wildcard"]),
        ("/spec/tls/0/secretName", json!("A"), &["spec.tls[0].secretName: Invalid value: \"A\""]),
        (
            "/spec/rules/0/host",
            json!("1.2.3.4"),
            &["spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name"],
        ),
        ("/spec/rules/0/http/paths", json!([]), &["spec.rules[0].http.paths: Required value"]),
        (
            "/spec/defaultBackend/resource/kind",
            json!(""),
            &["spec.defaultBackend.resource.kind: Required value"],
        ),
        (
            "/spec/defaultBackend/resource/apiGroup",
            json!("A"),
            &["spec.defaultBackend.resource.apiGroup: Invalid"],
        ),
        (
            "/spec/defaultBackend/service",
            json!({}),
            &["spec.defaultBackend: Invalid value: \"\": cannot set both res"],
        ),
        (
            "/metadata/annotations",
            json!({"kubernetes.io/ingress.class": "d"}),
            &["annotations.kubernetes.io/ingress.class: Invalid value: \"d\": must match `ingressClassName`"],
        ),
    ]);
    let rows: &[(&str, Value, &str)] = &[
        ("pathType", Value::Null, ".pathType: Required value: pathType must be specified"),
        ("pathType", json!("X"), ".pathType: Unsupported value: \"X\""),
        ("path", json!("p"), ".path: Invalid value: \"p\": must be an absolute path"),
        ("path", json!("/a//b"), ".path: Invalid value: \"/a//b\": must not contain '//'"),
        ("path", json!("/a/.."), ".path: Invalid value: \"/a/..\": cannot end with '/..'"),
        ("backend", json!({}), ".backend: Invalid value: \"\": resource or service backend is required"),
        ("backend/service/name", json!(""), ".backend.service.name: Required value"),
        ("backend/service/name", json!("A"), ".backend.service.name: Invalid value: \"A\""),
        ("backend/service/port", json!({}), ".backend: Required value: port name or number is required"),
        ("backend/service/port/number", json!(1), ".backend: Invalid value: \"\": cannot set both port name"),
        (
            "backend/service/port",
            json!({"number": 70000}),
            ".backend.service.port.number: Invalid value: 70000",
        ),
        ("backend/service/port/name", json!("-"), ".backend.service.port.name: Invalid value: \"-\""),
    ];
    for (pointer, value, want) in rows {
        let pointer = format!("/spec/rules/0/http/paths/0/{pointer}");
        table.create(&[(&pointer, value.clone(), &[&format!("spec.rules[0].http.paths[0]{want}")])]);
    }
    table.status(&[
        (
            "/status/loadBalancer/ingress/0/ip",
            json!("x"),
            &["status.loadBalancer.ingress[0].ip: Invalid value: \"x\""],
        ),
        (
            "/status/loadBalancer/ingress/0/hostname",
            json!("::1"),
            &["status.loadBalancer.ingress[0].hostname: Inv"],
        ),
    ]);
}

#[test]
fn ingress_classes() {
    let table = Table::of(
        GROUP,
        "IngressClass",
        json!({"spec": {"controller": "a.b/c", "parameters": {"kind": "K", "name": "n"}}}),
    );
    table.create(&[
        ("/spec/controller", json!(""), &["spec.controller: Required value"]),
        (
            "/spec/controller",
            json!("a"),
            &["spec.controller: Invalid value: \"a\": must be a domain-prefixed path"],
        ),
        (
            "/spec/controller",
            json!("x".repeat(251)),
            &["spec.controller: Too long: may not be more than 250 bytes"],
        ),
        ("/spec/parameters/kind", json!(""), &["spec.parameters.kind: Required value"]),
        ("/spec/parameters/scope", json!("X"), &["spec.parameters.scope: Unsupported value: \"X\""]),
        (
            "/spec/parameters/scope",
            json!("Namespace"),
            &["spec.parameters.namespace: Required value: `parameters.scope`"],
        ),
        (
            "/spec/parameters/namespace",
            json!("n"),
            &["spec.parameters.namespace: Forbidden: `parameters.scope` is set"],
        ),
    ]);
    table.update(&[(
        "/spec/controller",
        json!("d.e/f"),
        &["spec.controller: Invalid value: \"d.e/f\": field is imm"],
    )]);
}

#[test]
fn ranges_and_addresses_of_services() {
    let table = Table::of(GROUP, "ServiceCIDR", json!({"spec": {"cidrs": ["10.0.0.0/24"]}}));
    table.create(&[
        ("/spec/cidrs", json!([]), &["spec.cidrs: Required value: at least one CIDR required"]),
        ("/spec/cidrs/0", json!("x"), &["spec.cidrs[0]: Invalid value: \"x\": must be a valid CIDR value"]),
        (
            "/spec/cidrs",
            json!(["10.0.0.0/24", "10.0.1.0/24"]),
            &["spec.cidrs: Invalid value: [\"10.0.0.0/24\",\"10.0.1"],
        ),
        (
            "/spec/cidrs",
            json!(["a", "b", "c"]),
            &["spec.cidrs: Invalid value: {\"cidrs\":[\"a\",\"b\",\"c\"]}: may only"],
        ),
    ]);
    table.update(&[
        (
            "/spec/cidrs/0",
            json!("10.0.1.0/24"),
            &["spec.cidrs[0]: Invalid value: \"10.0.1.0/24\": field is immutable"],
        ),
        ("/spec/cidrs", json!([]), &["spec.cidrs: Invalid value: []: field is immutable"]),
    ]);
    let parent = json!({"group": "a.b", "resource": "services", "name": "x", "namespace": "n"});
    let table = Table::of(GROUP, "IPAddress", json!({"spec": {"parentRef": parent}}));
    table.create(&[
        ("/spec/parentRef", Value::Null, &["spec.parentRef: Required value"]),
        ("/spec/parentRef/group", json!("A"), &["spec.parentRef.group: Invalid value: \"A\""]),
        ("/spec/parentRef/name", json!(""), &["spec.parentRef.name: Required value"]),
        (
            "/spec/parentRef/resource",
            json!("a/b"),
            &["spec.parentRef.resource: Invalid value: \"a/b\": may not contain"],
        ),
    ]);
    table.update(&[("/spec/parentRef/name", json!("y"), &["spec.parentRef: Invalid value: {"])]);
}

#[test]
fn endpoint_slices() {
    let good = json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.1.1"], "hostname": "h", "nodeName": "n",
        "hints": {"forZones": [{"name": "z"}], "forNodes": [{"name": "n"}]}}], "ports": [{"port": 80}]});
    let table = Table::of("discovery.k8s.io", "EndpointSlice", good);
    table.create(&[
        ("/addressType", json!(""), &["addressType: Required value"]),
        ("/addressType", json!("X"), &["addressType: Unsupported value: \"X\""]),
        (
            "/addressType",
            json!("IPv6"),
            &["endpoints[0].addresses: Invalid value: \"10.1.1.1\": must be an IPv6 address"],
        ),
        (
            "/endpoints/0/addresses",
            json!([]),
            &["endpoints[0].addresses: Required value: must contain at least 1"],
        ),
        (
            "/endpoints/0/addresses",
            json!(vec!["10.1.1.1"; 101]),
            &["endpoints[0].addresses: Too many: 101: must have at"],
        ),
        (
            "/endpoints/0/addresses/0",
            json!("x"),
            &["endpoints[0].addresses[0]: Invalid value: \"x\": must be a valid"],
        ),
        (
            "/endpoints/0/addresses/0",
            json!("127.0.0.1"),
            &["endpoints[0].addresses[0]: Invalid value: \"127.0.0.1\": may"],
        ),
        ("/endpoints/0/nodeName", json!("A"), &["endpoints[0].nodeName: Invalid value: \"A\""]),
        ("/endpoints/0/hostname", json!("A"), &["endpoints[0].hostname: Invalid value: \"A\""]),
        (
            "/endpoints/0/hints/forZones/0/name",
            json!("-"),
            &["endpoints[0].hints.forZones[0].name: Invalid value"],
        ),
        (
            "/endpoints/0/hints/forNodes",
            json!([{"name": "n"}, {"name": "n"}]),
            &["endpoints[0].hints.forNodes[1].name: Dup"],
        ),
        (
            "/ports",
            json!([{"name": "", "protocol": "TCP"}, {"name": "", "protocol": "TCP"}]),
            &["ports[1].name: Duplicate"],
        ),
        ("/ports/0/name", json!("A"), &["ports[0].name: Invalid value: \"A\""]),
        ("/ports/0/protocol", json!("X"), &["ports[0].protocol: Unsupported value: \"X\""]),
        ("/ports/0/appProtocol", json!("-"), &["ports[0].appProtocol: Invalid value: \"-\""]),
    ]);
    table.update(&[(
        "/addressType",
        json!("IPv6"),
        &["addressType: Invalid value: \"IPv6\": field is immutable"],
    )]);
    let names = json!({"addressType": "FQDN", "endpoints": [{"addresses": ["a.b."]}]});
    Table::of("discovery.k8s.io", "EndpointSlice", names).create(&[(
        "/endpoints/0/addresses/0",
        json!("a"),
        &["endpoints[0].addresses[0]: Invalid value: \"a\": should be a domain"],
    )]);
    let mut old = json!({"endpoints": [{"deprecatedTopology": {}}]});
    endpoint_slice::prepare(&mut old, None);
    assert_eq!(old, json!({"endpoints": [{}]}));
}
