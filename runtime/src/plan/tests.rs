use super::*;

fn plan(json: serde_json::Value) -> Result<Plan> {
    let mut spec = serde_json::json!({
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/"},
        "linux": {"namespaces": [{"type": "mount"}]},
    });
    for (key, value) in json.as_object().unwrap() {
        spec[key] = value.clone();
    }
    Plan::new("c", Path::new("/bundle"), &serde_json::from_value(spec).unwrap())
}

fn reason(json: serde_json::Value) -> String {
    plan(json).unwrap_err().to_string()
}

#[test]
fn paths_are_relative_to_the_bundle() {
    let plan = plan(serde_json::json!({})).unwrap();
    assert_eq!(plan.rootfs, Path::new("/bundle/rootfs"));
    assert_eq!(plan.cgroup, Path::new("/c"));
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let namespaces = serde_json::json!([{"type": "mount"}]);
    let rdt = reason(serde_json::json!({"linux": {"namespaces": namespaces, "intelRdt": {}}}));
    assert_eq!(rdt, "linux.intelRdt: is not implemented");
    let time =
        serde_json::json!({"linux": {"namespaces": namespaces, "timeOffsets": {"boottime": {"secs": 1}}}});
    assert_eq!(reason(time), "linux.timeOffsets[boottime]: needs a new time namespace");
}

#[test]
fn a_host_parameter_cannot_be_set() {
    let sysctl = |name: &str, namespaces: &[&str]| {
        let namespaces: Vec<_> =
            namespaces.iter().chain(&["mount"]).map(|kind| serde_json::json!({"type": kind})).collect();
        plan(serde_json::json!({"linux": {"namespaces": namespaces, "sysctl": {name: "1"}}}))
    };
    assert!(sysctl("kernel.core_pattern", &["ipc", "uts", "network"]).is_err());
    assert!(sysctl("net.ipv4.ip_forward", &[]).is_err());
    assert!(sysctl("net.../sys", &["network"]).is_err());
    let plan = sysctl("net.ipv4.ip_forward", &["network"]).unwrap();
    assert_eq!(plan.sysctls[0].0, Path::new("net/ipv4/ip_forward"));
    let plan = sysctl("net/ipv4/conf/eth0.1/rp_filter", &["network"]).unwrap();
    assert_eq!(plan.sysctls[0].0, Path::new("net/ipv4/conf/eth0.1/rp_filter"));
}

#[test]
fn a_namespace_is_given_once() {
    let twice =
        serde_json::json!({"linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "pid"}]}});
    assert!(reason(twice).contains("twice"));
    assert!(reason(serde_json::json!({"linux": {}})).contains("mount namespace"));
}

#[test]
fn a_device_of_the_document_replaces_the_default() {
    let devices =
        serde_json::json!([{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 384}]);
    let plan =
        plan(serde_json::json!({"linux": {"namespaces": [{"type": "mount"}], "devices": devices}})).unwrap();
    let null: Vec<_> = plan.devices.iter().filter(|device| device.path == Path::new("/dev/null")).collect();
    assert_eq!(null.len(), 1);
    assert_eq!(null[0].mode, 0o600);
}

#[test]
fn a_host_name_needs_its_namespace() {
    assert!(reason(serde_json::json!({"hostname": "h"})).contains("UTS"));
}

#[test]
fn absent_capabilities_are_none_at_all() {
    let plan = plan(serde_json::json!({})).unwrap();
    assert_eq!(plan.process.capabilities, sys::process::Capabilities::default());
}
