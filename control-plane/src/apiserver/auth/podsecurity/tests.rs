use serde_json::json;

use super::*;

fn standard(level: Level, minor: Option<u32>) -> Standard {
    Standard { level, minor }
}

const BASELINE: Standard = Standard { level: Level::Baseline, minor: None };
const RESTRICTED: Standard = Standard { level: Level::Restricted, minor: None };

/// What the standard says of a pod with this spec, with `c` in place of its containers' names.
fn found(standard: Standard, spec: &Value) -> String {
    violations(standard, &Value::Null, spec).unwrap_or_default()
}

fn container(fields: Value) -> Value {
    let mut container = json!({"name": "c"});
    container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"containers": [container]})
}

fn context(context: Value) -> Value {
    container(json!({"securityContext": context}))
}

/// A pod that breaks nothing.
fn harmless() -> Value {
    json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "c", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}}],
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "projected": {}}],
    })
}

#[test]
fn a_plain_pod_keeps_baseline_and_a_harmless_one_restricted() {
    assert_eq!(found(BASELINE, &json!({"containers": [{"name": "c"}]})), "");
    assert_eq!(found(RESTRICTED, &harmless()), "");
    assert_eq!(found(standard(Level::Privileged, None), &context(json!({"privileged": true}))), "");
}

#[test]
fn each_rule_of_baseline_finds_its_own() {
    let pod = |field: &str, value: Value| json!({field: value, "containers": [{"name": "c"}]});
    for (spec, expected) in [
        (
            context(json!({"privileged": true})),
            r#"privileged (container "c" must not set securityContext.privileged=true)"#,
        ),
        (context(json!({"privileged": false})), ""),
        (pod("hostPID", json!(true)), "host namespaces (hostPID=true)"),
        (pod("hostIPC", json!(true)), "host namespaces (hostIPC=true)"),
        (pod("hostNetwork", json!(false)), ""),
        (context(json!({"capabilities": {"add": ["CHOWN"]}})), ""),
        (
            context(json!({"capabilities": {"add": ["SYS_TIME", "CHOWN", "BPF"]}})),
            r#"non-default capabilities (container "c" must not include "BPF", "SYS_TIME" in securityContext.capabilities.add)"#,
        ),
        (
            pod("volumes", json!([{"name": "h", "hostPath": {"path": "/"}}, {"name": "e", "emptyDir": {}}])),
            r#"hostPath volumes (volume "h")"#,
        ),
        (container(json!({"ports": [{"containerPort": 80, "hostPort": 0}]})), ""),
        (
            container(json!({"ports": [{"hostPort": 80}, {"hostPort": 81}]})),
            r#"hostPort (container "c" uses hostPorts 80, 81)"#,
        ),
        (
            container(json!({"livenessProbe": {"httpGet": {"host": "h"}}})),
            r#"probe or lifecycle host (container "c" uses probe or lifecycle host "h")"#,
        ),
        (
            container(json!({"lifecycle": {"preStop": {"tcpSocket": {"host": "h"}}}})),
            r#"probe or lifecycle host (container "c" uses probe or lifecycle host "h")"#,
        ),
        (container(json!({"livenessProbe": {"httpGet": {"port": 1}}})), ""),
        (context(json!({"procMount": "Default"})), ""),
        (
            context(json!({"procMount": "Unmasked"})),
            r#"procMount (container "c" must not set securityContext.procMount to "Unmasked")"#,
        ),
        (context(json!({"appArmorProfile": {"type": "Localhost"}})), ""),
        (
            context(json!({"appArmorProfile": {"type": "Unconfined"}})),
            r#"forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")"#,
        ),
        (context(json!({"seLinuxOptions": {"type": "container_t", "level": "s0"}})), ""),
        (
            context(json!({"seLinuxOptions": {"type": "spc_t", "user": "u", "role": "r"}})),
            r#"seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; role may not be set)"#,
        ),
        (context(json!({"seccompProfile": {"type": "Localhost"}})), ""),
        (
            context(json!({"seccompProfile": {"type": "Unconfined"}})),
            r#"seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")"#,
        ),
        (pod("securityContext", json!({"sysctls": [{"name": "net.ipv4.tcp_syncookies"}]})), ""),
        (
            pod("securityContext", json!({"sysctls": [{"name": "kernel.msgmax"}]})),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            context(json!({"windowsOptions": {"hostProcess": true}})),
            r#"hostProcess (container "c" must not set securityContext.windowsOptions.hostProcess=true)"#,
        ),
    ] {
        assert_eq!(found(BASELINE, &spec), expected, "{spec}");
    }
}

#[test]
fn each_rule_of_restricted_finds_its_own() {
    let with = |change: fn(&mut Value)| {
        let mut pod = harmless();
        change(&mut pod);
        pod
    };
    for (spec, expected) in [
        (
            with(|p| p["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true)),
            r#"allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)"#,
        ),
        (
            with(|p| {
                p["containers"][0]["securityContext"]["capabilities"] =
                    json!({"drop": ["CHOWN"], "add": ["CHOWN"]})
            }),
            r#"unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]; container "c" must not include "CHOWN" in securityContext.capabilities.add)"#,
        ),
        (
            with(|p| p["volumes"] = json!([{"name": "a", "hostPath": {}}, {"name": "b", "nfs": {}}])),
            r#"restricted volume types (volumes "a", "b" use restricted volume types "hostPath", "nfs")"#,
        ),
        (
            with(|p| p["securityContext"]["runAsNonRoot"] = json!(false)),
            r#"runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)"#,
        ),
        (
            with(|p| p["securityContext"]["runAsNonRoot"] = Value::Null),
            r#"runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)"#,
        ),
        (
            with(|p| {
                (
                    p["securityContext"]["runAsNonRoot"],
                    p["containers"][0]["securityContext"]["runAsNonRoot"],
                ) = (Value::Null, json!(true))
            }),
            "",
        ),
        (
            with(|p| p["containers"][0]["securityContext"]["runAsUser"] = json!(0)),
            r#"runAsUser=0 (container "c" must not set runAsUser=0)"#,
        ),
        (with(|p| p["containers"][0]["securityContext"]["runAsUser"] = json!(1)), ""),
        (
            with(|p| p["securityContext"]["seccompProfile"] = Value::Null),
            r#"seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#,
        ),
        (
            with(|p| p["securityContext"]["seccompProfile"]["type"] = json!("Unconfined")),
            r#"seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")"#,
        ),
        (
            with(|p| {
                p["ephemeralContainers"] =
                    json!([{"name": "e", "securityContext": {"allowPrivilegeEscalation": false}}])
            }),
            r#"unrestricted capabilities (container "e" must set securityContext.capabilities.drop=["ALL"])"#,
        ),
        (with(|p| p["hostUsers"] = json!(false)), ""),
        (with(|p| (p["hostUsers"], p["securityContext"]["runAsUser"]) = (json!(false), json!(0))), ""),
    ] {
        assert_eq!(found(RESTRICTED, &spec), expected, "{spec}");
    }
    let windows = json!({"os": {"name": "windows"}, "securityContext": {"runAsNonRoot": true}, "containers": [{"name": "c"}]});
    assert_eq!(found(RESTRICTED, &windows), "");
}

#[test]
fn a_rule_holds_from_its_version_on() {
    let sysctl = json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}, "containers": []});
    let engine = context(json!({"seLinuxOptions": {"type": "container_engine_t"}}));
    let probe = container(json!({"livenessProbe": {"httpGet": {"host": "h"}}}));
    let unmasked = json!({"hostUsers": false, "containers": [{"name": "c", "securityContext": {"procMount": "Unmasked"}}]});
    for (spec, minor, fine) in [
        (&sysctl, 31, false),
        (&sysctl, 32, true),
        (&sysctl, 99, true),
        (&engine, 30, false),
        (&engine, 31, true),
        (&probe, 33, true),
        (&probe, 34, false),
        (&unmasked, 34, false),
        (&unmasked, 35, true),
    ] {
        assert_eq!(found(standard(Level::Baseline, Some(minor)), spec).is_empty(), fine, "{minor} {spec}");
    }
    let plain = json!({"containers": [{"name": "c"}]});
    let count = |minor| found(standard(Level::Restricted, Some(minor)), &plain).matches(" (").count();
    assert_eq!((count(0), count(8), count(19), count(22)), (1, 2, 3, 4));
    // Before 1.19 annotations said what a field says since.
    let annotated = json!({"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}});
    let old = violations(standard(Level::Baseline, Some(18)), &annotated, &plain).unwrap();
    assert_eq!(
        old,
        "seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")"
    );
    assert_eq!(violations(BASELINE, &annotated, &plain), None);
}

#[test]
fn labels_say_what_a_namespace_demands() {
    let labels = |list: &[(&str, &str)]| {
        let list =
            list.iter().map(|(mode, value)| (format!("pod-security.kubernetes.io/{mode}"), json!(value)));
        Value::Object(list.collect())
    };
    let policy = |list: &[(&str, &str)]| Policy::from_labels(&labels(list));
    let none = Policy::default();
    assert_eq!(Policy::from_labels(&Value::Null), (none, vec![]));
    let (enforced, errors) = policy(&[("enforce", "baseline"), ("enforce-version", "v1.30")]);
    let baseline = standard(Level::Baseline, Some(30));
    assert_eq!((enforced, errors), (Policy { enforce: baseline, warn: baseline, ..none }, vec![]));
    let (own, _) = policy(&[("enforce", "baseline"), ("warn", "restricted"), ("audit", "restricted")]);
    assert_eq!(own, Policy { enforce: BASELINE, warn: RESTRICTED, audit: RESTRICTED });
    let (quiet, _) = policy(&[("enforce", "baseline"), ("warn", "privileged")]);
    assert_eq!(quiet.warn.level, Level::Privileged);
    let (wrong, errors) =
        policy(&[("enforce", "zz"), ("audit", "zz"), ("warn-version", "1.30"), ("audit-version", "v1.01")]);
    assert_eq!(
        (wrong.enforce.level, wrong.audit.level, wrong.warn.level),
        (Level::Restricted, Level::Privileged, Level::Privileged)
    );
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts[0],
        "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"zz\": must be one of privileged, baseline, restricted"
    );
    assert_eq!(texts.len(), 4);
    assert!(texts[3].ends_with("must be \"latest\" or \"v1.x\""), "{texts:?}");
}

#[test]
fn a_pod_is_refused_and_a_template_warned_about() {
    let policy = Policy { enforce: BASELINE, warn: RESTRICTED, audit: BASELINE };
    let bad = context(json!({"privileged": true}));
    let pod = check_pod(&policy, &Value::Null, &bad);
    let what = r#"PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)"#;
    assert_eq!(pod.refusal, Some(format!("violates {what}")));
    assert_eq!(pod.audit, Some(format!("would violate {what}")));
    assert_eq!(pod.warning, None);
    let template = check_template(&policy, &Value::Null, &bad);
    assert_eq!(template.refusal, None);
    assert!(
        template
            .warning
            .unwrap()
            .starts_with("would violate PodSecurity \"restricted:latest\": privileged (")
    );
    assert_eq!(check_pod(&policy, &Value::Null, &harmless()), Findings::default());
}

#[test]
fn an_update_counts_when_what_runs_changes() {
    let pod = harmless();
    let with = |change: fn(&mut Value)| {
        let mut pod = harmless();
        change(&mut pod);
        is_significant(&harmless(), &pod)
    };
    assert!(!is_significant(&pod, &pod));
    assert!(with(|p| p["containers"][0]["image"] = json!("x")));
    assert!(with(|p| p["initContainers"] = json!([{"name": "i"}])));
    assert!(with(|p| p["ephemeralContainers"] = json!([{"name": "e", "image": "i"}])));
    assert!(!with(|p| p["activeDeadlineSeconds"] = json!(1)));
}

#[test]
fn kinds_keep_their_pods_in_different_places() {
    let pod = json!({"metadata": {}, "spec": {"a": 1}});
    for (kind, object) in [
        ("Pod", pod.clone()),
        ("PodTemplate", json!({"template": pod})),
        ("Deployment", json!({"spec": {"template": pod}})),
        ("CronJob", json!({"spec": {"jobTemplate": {"spec": {"template": pod}}}})),
    ] {
        assert_eq!(template(kind, &object).unwrap().1["a"], 1, "{kind}");
    }
    assert_eq!(template("Service", &pod), None);
    assert_eq!(template("ReplicationController", &json!({"spec": {}})), None);
}

#[test]
fn a_stricter_namespace_warns_of_the_pods_it_has() {
    let (old, new) = (Policy::default(), Policy { enforce: BASELINE, ..Policy::default() });
    let (bad, good) = (context(json!({"privileged": true})), harmless());
    let pods = [("c", &Value::Null, &bad), ("a", &Value::Null, &bad), ("b", &Value::Null, &good)];
    assert_eq!(
        namespace_warnings("ns", &old, &new, pods, 7),
        [
            "new PodSecurity enforce level only checked against the first 3 of 7 existing pods",
            "existing pods in namespace \"ns\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "a (and 1 other pod): privileged",
        ]
    );
    assert!(namespace_warnings("ns", &new, &old, pods, 3).is_empty());
    assert!(namespace_warnings("ns", &new, &new, pods, 3).is_empty());
}
