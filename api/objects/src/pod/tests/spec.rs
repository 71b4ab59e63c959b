//! The fields of a pod that are not of its containers or volumes.

use serde_json::{Value, json};

use super::{pod, rows_at};
use crate::pod::RULES;
use crate::trial::{with, wrong};

#[test]
fn a_pods_other_fields() {
    let context = |value: Value| json!({"appArmorProfile": value});
    rows_at(
        &pod(),
        "/spec/",
        "spec.",
        &[
            (
                "resourceClaims",
                json!([{"name": "a", "resourceClaimName": "b"}]),
                json!([{"name": "a"}]),
                &[concat!(
                    "resourceClaims[0]: Invalid value: {\"name\":\"a\"}: ",
                    "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
                )],
            ),
            (
                "preemptionPolicy",
                json!("Never"),
                json!("x"),
                &[
                    r#"preemptionPolicy: Unsupported value: "x": supported values: "PreemptLowerPriority", "Never""#,
                ],
            ),
            (
                "hostnameOverride",
                json!("a.b"),
                json!("x".repeat(65)),
                &["hostnameOverride: Too long: may not be more than 64 bytes"],
            ),
            (
                "resources",
                json!({"limits": {"cpu": "1"}}),
                json!({"limits": {"ephemeral-storage": "1"}}),
                &[concat!(
                    "resources.limits[ephemeral-storage]: Unsupported value: \"ephemeral-storage\": ",
                    "supported values: \"cpu\", \"hugepages-\", \"memory\""
                )],
            ),
            (
                "overhead",
                json!({"cpu": "1"}),
                json!({"pods": "1"}),
                &[
                    r#"overhead.limits[pods]: Invalid value: "pods": must be a standard resource for containers"#,
                ],
            ),
            (
                "nodeName",
                json!("n"),
                json!("N_"),
                &[concat!(
                    "nodeName: Invalid value: \"N_\": a lowercase RFC 1123 subdomain must consist of lower case ",
                    "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. ",
                    "'example.com', regex used for validation is ",
                    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                )],
            ),
            (
                "securityContext",
                context(json!({"type": "Localhost", "localhostProfile": "p"})),
                context(json!({"type": "Unconfined", "localhostProfile": "p"})),
                &[concat!(
                    "securityContext.appArmorProfile.localhostProfile: Invalid value: \"p\": ",
                    "can only be set when AppArmor type is Localhost"
                )],
            ),
            (
                "securityContext",
                json!({}),
                json!({"windowsOptions": {"runAsUserName": "a\\b\\c"}}),
                &[concat!(
                    "securityContext.windowsOptions.runAsUserName: Invalid value: \"a\\\\b\\\\c\": ",
                    "runAsUserName cannot contain more than one backslash"
                )],
            ),
        ],
    );
    let shared = with(&pod(), "/spec/hostNetwork", &json!(true));
    let sysctl = json!([{"name": "net.ipv4.tcp_syncookies", "value": "1"}]);
    assert_eq!(
        wrong(&RULES, &with(&shared, "/spec/securityContext", &json!({"sysctls": sysctl}))),
        [concat!(
            "spec.securityContext.sysctls[0].name: Invalid value: \"net.ipv4.tcp_syncookies\": ",
            "may not be specified when 'hostNetwork' is true"
        )]
    );
    let linux = with(&pod(), "/spec/os", &json!({"name": "linux"}));
    assert_eq!(
        wrong(&RULES, &with(&linux, "/spec/securityContext", &json!({"windowsOptions": {}}))),
        ["spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"]
    );
    let windows = with(&pod(), "/spec/os", &json!({"name": "windows"}));
    assert_eq!(
        wrong(&RULES, &with(&windows, "/spec/hostPID", &json!(true))),
        ["spec.hostPID: Forbidden: cannot be set for a windows pod"]
    );
}
