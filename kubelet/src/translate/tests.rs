//! A node and pods for the tests of this crate, and the translation's own tests beside the golden ones.

use api_k8s::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::cgroups::CgroupDriver;

/// The node that the golden pods were recorded on.
pub(crate) fn node() -> Node {
    Node {
        name: "lab".to_owned(),
        ips: vec!["192.0.2.7".parse().unwrap()],
        cluster_dns: vec!["10.96.0.10".parse().unwrap()],
        cluster_domain: "cluster.local".to_owned(),
        resolv_conf: ResolvConf { servers: vec!["10.255.255.53".to_owned()], ..ResolvConf::default() },
        root_dir: "/kubelet-root".into(),
        pod_logs_dir: "/var/log/pods".into(),
        container_logs_dir: "/var/log/containers".into(),
        cgroup_root: "/".to_owned(),
        cgroup_driver: CgroupDriver::Cgroupfs,
        cpu_millis: 2000,
        memory_bytes: 24_682_416 << 10,
        allocatable_cpu_millis: 2000,
        allocatable_memory_bytes: 24_682_416 << 10,
        hugepage_sizes: vec!["2MB".to_owned(), "1GB".to_owned()],
        swap_accounting: true,
        cgroup_v2: false,
        seccomp_default: false,
        recursive_read_only: false,
        allowed_unsafe_sysctls: Vec::new(),
        pod_pids_limit: None,
    }
}

/// A defaulted pod `a-lab` of UID `u`.
pub(crate) fn pod(spec: Value) -> Pod {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": {"name": "a-lab", "namespace": "default", "uid": "u", "labels": {"app": "a"}},
    });
    api_objects::pod::set_defaults(&mut pod);
    api_k8s::decode_pod(pod).unwrap()
}

fn config(pod: &Pod, image: &Image, node: &Node) -> Result<api_cri::v1::ContainerConfig, TranslateError> {
    let start = Start { attempt: 0, image, pod_ips: &[] };
    container_config(pod, &spec(pod).containers[0], node, &start)
}

fn container(more: Value) -> Value {
    let mut container = json!({"name": "c", "image": "i"});
    container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    container
}

#[test]
fn the_override_is_the_whole_name() {
    let spec = json!({"hostname": "h", "subdomain": "s", "hostnameOverride": "o.p", "setHostnameAsFQDN": true, "containers": []});
    assert_eq!(host_name(&pod(spec), &node()).unwrap(), "o.p");
}

#[test]
fn a_full_name_that_is_too_long_is_refused() {
    let spec =
        json!({"hostname": "h", "subdomain": "s".repeat(60), "setHostnameAsFQDN": true, "containers": []});
    let error = host_name(&pod(spec), &node()).unwrap_err();
    assert!(
        error.to_string().ends_with("is too long (64 characters is the max, 88 characters requested)"),
        "{error}"
    );
}

#[test]
fn overhead_adds_to_the_pod() {
    let pod = pod(json!({
        "overhead": {"cpu": "100m", "memory": "8Mi"},
        "containers": [container(json!({"resources": {"limits": {"cpu": "1", "memory": "64Mi"}}}))],
    }));
    let cgroup = pod_cgroup(&pod, &node());
    assert_eq!((cgroup.cpu_shares, cgroup.cpu_quota, cgroup.memory), (1126, 110_000, 72 << 20));
    let linux = sandbox_config(&pod, &node(), 0).unwrap().linux.unwrap();
    assert_eq!(linux.resources.unwrap().cpu_shares, 1024);
    let overhead = linux.overhead.unwrap();
    assert_eq!((overhead.cpu_shares, overhead.memory_limit_in_bytes), (102, 8 << 20));
}

#[test]
fn init_containers_count_beside_the_sidecars_before_them() {
    let cpu = |value: &str| json!({"requests": {"cpu": value}});
    let pod = pod(json!({
        "initContainers": [
            {"name": "s", "image": "i", "restartPolicy": "Always", "resources": cpu("100m")},
            {"name": "i", "image": "i", "resources": cpu("900m")},
        ],
        "containers": [container(json!({"resources": cpu("200m")}))],
    }));
    assert_eq!(pod_requests(&pod).cpu.to_string(), "1");
    assert_eq!(qos_class(&pod), QosClass::Burstable);
}

#[test]
fn a_pod_is_limited_only_when_all_its_containers_are() {
    let pod = pod(json!({"containers": [
        container(json!({"resources": {"limits": {"memory": "64Mi"}}})),
        {"name": "d", "image": "i"},
    ]}));
    assert_eq!(pod_cgroup(&pod, &node()).memory, 0);
}

#[test]
fn critical_pods_are_spared_by_the_oom_killer() {
    let pod = pod(json!({"priority": 2_000_001_000, "containers": [container(json!({}))]}));
    assert_eq!(oom_score_adj(&pod, &spec(&pod).containers[0], &node()), -997);
}

#[test]
fn the_container_overrides_the_pod() {
    let pod = pod(json!({
        "securityContext": {"runAsUser": 1, "runAsGroup": 2, "supplementalGroupsPolicy": "Strict"},
        "containers": [container(json!({"securityContext": {"runAsUser": 5}}))],
    }));
    let security = config(&pod, &Image::default(), &node()).unwrap().linux.unwrap().security_context.unwrap();
    assert_eq!(security.run_as_user.unwrap().value, 5);
    assert_eq!(security.run_as_group.unwrap().value, 2);
    assert_eq!(security.supplemental_groups_policy, 1);
}

#[test]
fn non_root_is_verified() {
    let pod = |user: Value| {
        pod(json!({
            "securityContext": {"runAsNonRoot": true, "runAsUser": user},
            "containers": [container(json!({}))],
        }))
    };
    let place = r#"(pod: "a-lab_default(u)", container: c)"#;
    let root = Image { uid: Some(0), ..Image::default() };
    let named = Image { username: "www".to_owned(), ..Image::default() };
    let numeric = Image { uid: Some(33), ..Image::default() };
    for (user, image, want) in [
        (json!(0), &numeric, Some(format!("container's runAsUser breaks non-root policy {place}"))),
        (json!(5), &root, None),
        (Value::Null, &root, Some(format!("container has runAsNonRoot and image will run as root {place}"))),
        (
            Value::Null,
            &named,
            Some(format!(
                "container has runAsNonRoot and image has non-numeric user (www), cannot verify user is non-root {place}"
            )),
        ),
        (Value::Null, &numeric, None),
    ] {
        let error = config(&pod(user), image, &node()).err().map(|error| error.to_string());
        assert_eq!(error, want);
    }
}

#[test]
fn a_named_user_of_the_image_is_passed_on() {
    let image = Image { username: "www".to_owned(), ..Image::default() };
    let pod = pod(json!({"containers": [container(json!({}))]}));
    let security = config(&pod, &image, &node()).unwrap().linux.unwrap().security_context.unwrap();
    assert_eq!((security.run_as_user, security.run_as_username.as_str()), (None, "www"));
}

#[test]
fn a_local_profile_lies_under_the_kubelets_root() {
    let profile = json!({"type": "Localhost", "localhostProfile": "a/b.json"});
    let pod =
        pod(json!({"containers": [container(json!({"securityContext": {"seccompProfile": profile}}))]}));
    let security = config(&pod, &Image::default(), &node()).unwrap().linux.unwrap().security_context.unwrap();
    assert_eq!(security.seccomp.unwrap().localhost_ref, "/kubelet-root/seccomp/a/b.json");
}

#[test]
fn ports_are_annotated() {
    let pod =
        pod(json!({"containers": [container(json!({"ports": [{"name": "web", "containerPort": 80}]}))]}));
    let config = config(&pod, &Image::default(), &node()).unwrap();
    let ports = &config.annotations[labels::CONTAINER_PORTS];
    assert_eq!(ports, r#"[{"name":"web","containerPort":80,"protocol":"TCP"}]"#);
}

#[test]
fn the_stop_handler_is_annotated() {
    let lifecycle = json!({"preStop": {"sleep": {"seconds": 3}}, "stopSignal": "SIGRTMIN+3"});
    let pod = pod(json!({"containers": [container(json!({"lifecycle": lifecycle}))]}));
    let config = config(&pod, &Image::default(), &node()).unwrap();
    assert_eq!(config.annotations[labels::PRE_STOP], r#"{"sleep":{"seconds":3}}"#);
    assert_eq!(config.stop_signal(), api_cri::v1::Signal::Sigrtminplus3);
}

#[test]
fn propagation_and_recursion_are_passed_on() {
    let mount = |more: Value| {
        let mut mount = json!({"name": "h", "mountPath": "/h", "readOnly": true});
        mount.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        pod(json!({
            "containers": [container(json!({"volumeMounts": [mount]}))],
            "volumes": [{"name": "h", "hostPath": {"path": "/usr"}}],
        }))
    };
    let mut node = node();
    let bidirectional = mount(json!({"mountPropagation": "Bidirectional"}));
    assert_eq!(config(&bidirectional, &Image::default(), &node).unwrap().mounts[0].propagation, 2);
    let recursive = mount(json!({"recursiveReadOnly": "Enabled"}));
    assert!(config(&recursive, &Image::default(), &node).is_err());
    node.recursive_read_only = true;
    assert!(config(&recursive, &Image::default(), &node).unwrap().mounts[0].recursive_read_only);
}

#[test]
fn resources_of_another_container_are_found() {
    let selector = json!({"containerName": "d", "resource": "limits.cpu", "divisor": "1m"});
    let pod = pod(json!({"containers": [
        container(json!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": selector}}]})),
        {"name": "d", "image": "i", "resources": {"limits": {"cpu": "300m"}}},
    ]}));
    let all = environment(&pod, &spec(&pod).containers[0], &node(), &[]).unwrap();
    assert_eq!(all, [("A".to_owned(), "300".to_owned())]);
}

#[test]
fn a_limit_that_is_not_set_is_what_the_node_gives() {
    let selector = json!({"resource": "limits.memory", "divisor": "1Gi"});
    let variable = json!({"name": "A", "valueFrom": {"resourceFieldRef": selector}});
    let pod = pod(json!({"containers": [container(json!({"env": [variable]}))]}));
    let all = environment(&pod, &spec(&pod).containers[0], &node(), &[]).unwrap();
    assert_eq!(all[0].1, "24");
}

#[test]
fn unsafe_sysctls_need_permission() {
    let pod = |name: &str| {
        let sysctls = json!([{"name": name, "value": "1"}]);
        pod(json!({"securityContext": {"sysctls": sysctls}, "containers": []}))
    };
    let mut node = node();
    assert_eq!(forbidden_sysctl(&pod("net/ipv4/tcp_syncookies"), &node), None);
    let somaxconn = pod("net.core.somaxconn");
    let want = r#"forbidden sysctl: "net.core.somaxconn" not allowlisted"#;
    assert_eq!(forbidden_sysctl(&somaxconn, &node).as_deref(), Some(want));
    node.allowed_unsafe_sysctls = vec!["net.core.*".to_owned()];
    assert_eq!(forbidden_sysctl(&somaxconn, &node), None);
    assert!(forbidden_sysctl(&pod("vm.swappiness"), &node).is_some());
}
