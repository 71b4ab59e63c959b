use super::*;

fn defaulted(mut pod: Value) -> Value {
    set_defaults(&mut pod);
    pod
}

#[test]
fn a_small_pod_gets_what_the_api_fills_in() {
    let pod = defaulted(json!({"spec": {"containers": [{"name": "c", "image": "i"}]}}));
    assert_eq!(
        pod["spec"],
        json!({
            "containers": [{
                "name": "c", "image": "i", "resources": {}, "imagePullPolicy": "Always",
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            }],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "securityContext": {}, "schedulerName": "default-scheduler", "enableServiceLinks": true,
        })
    );
}

#[test]
fn an_image_is_pulled_each_time_only_when_its_tag_may_move() {
    for (image, policy) in [
        ("i", "Always"),
        ("i:latest", "Always"),
        ("reg:5000/i", "Always"),
        ("reg:5000/i:1", "IfNotPresent"),
        ("i:1", "IfNotPresent"),
        ("i@sha256:00", "IfNotPresent"),
        ("i:latest@sha256:00", "IfNotPresent"),
    ] {
        assert_eq!(pull_policy(image), policy, "{image}");
    }
}

#[test]
fn probes_ports_and_sources_are_completed() {
    let pod = defaulted(json!({"spec": {
        "hostNetwork": true,
        "containers": [{
            "name": "c", "image": "i",
            "ports": [{"containerPort": 80}],
            "livenessProbe": {"httpGet": {"port": 80}, "periodSeconds": 0},
            "env": [
                {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            ],
        }],
        "volumes": [{"name": "e"}, {"name": "h", "hostPath": {"path": "/"}}, {"name": "d", "downwardAPI": {"items": []}}],
    }}));
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["ports"][0], json!({"containerPort": 80, "hostPort": 80, "protocol": "TCP"}));
    assert_eq!(
        container["livenessProbe"],
        json!({
            "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
            "periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3,
        })
    );
    assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
    assert_eq!(container["env"][1]["valueFrom"]["resourceFieldRef"]["divisor"], "0");
    assert_eq!(pod["spec"]["volumes"][0]["emptyDir"], json!({}));
    assert_eq!(pod["spec"]["volumes"][1]["hostPath"]["type"], "");
    assert_eq!(pod["spec"]["volumes"][2]["downwardAPI"]["defaultMode"], 420);
}

#[test]
fn requests_follow_limits_and_quantities_become_canonical() {
    let pod = defaulted(json!({"spec": {
        "resources": {"limits": {"cpu": 2, "memory": "1Gi"}},
        "containers": [
            {"name": "a", "image": "i", "resources": {"limits": {"cpu": "0.5"}, "requests": {"memory": "1024Ki"}}},
            {"name": "b", "image": "i", "resources": {"requests": {"cpu": "1000m"}}},
        ],
    }}));
    let resources = |index: usize| &pod["spec"]["containers"][index]["resources"];
    assert_eq!(
        resources(0),
        &json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "500m", "memory": "1Mi"}})
    );
    assert_eq!(resources(1), &json!({"requests": {"cpu": "1"}}));
    assert_eq!(pod["spec"]["resources"]["requests"], json!({"cpu": "1500m", "memory": "1Mi"}));
    assert_eq!(pod["spec"]["resources"]["limits"], json!({"cpu": "2", "memory": "1Gi"}));
}

#[test]
fn nulls_are_nothing_and_wrong_types_stay() {
    let pod = defaulted(json!({"spec": {"restartPolicy": null, "containers": "x", "volumes": [3]}}));
    assert_eq!(pod["spec"]["restartPolicy"], "Always");
    assert_eq!(pod["spec"]["containers"], "x");
    assert_eq!(pod["spec"]["volumes"], json!([3]));
}
