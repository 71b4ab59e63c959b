use serde_json::json;

use super::*;
use crate::table::{Table, lines};

fn pem(label: &str) -> String {
    base64::encode(format!("-----BEGIN {label}-----\nMA==\n-----END {label}-----\n").as_bytes())
}

fn good() -> Value {
    json!({"spec": {"request": pem("CERTIFICATE REQUEST"), "usages": ["client auth"], "signerName": "a.b/c"},
        "status": {"conditions": [{"type": "Approved", "status": "True"}]}})
}

#[test]
fn requests() {
    let table = Table::of("certificates.k8s.io", "CertificateSigningRequest", good());
    table.create(&[
        ("/spec/request", json!(pem("CERTIFICATE")), &["spec.request: Invalid value: "]),
        (
            "/spec/request",
            json!(""),
            &["spec.request: Invalid value: \"\": PEM block type must be CERTIFICATE REQUEST"],
        ),
        ("/spec/usages", json!([]), &["spec.usages: Required value"]),
        ("/spec/usages/0", json!("x"), &["spec.usages[0]: Unsupported value: \"x\""]),
        ("/spec/usages", json!(["any", "any"]), &["spec.usages[1]: Duplicate value: \"any\""]),
        ("/spec/signerName", json!(""), &["spec.signerName: Required value"]),
        (
            "/spec/signerName",
            json!("a"),
            &["spec.signerName: Invalid value: \"a\": must be a fully qualified domain"],
        ),
        (
            "/spec/signerName",
            json!("a/b"),
            &["spec.signerName: Invalid value: \"a\": should be a domain with at least"],
        ),
        (
            "/spec/signerName",
            json!("A.b/c"),
            &["spec.signerName: Invalid value: \"A.b\": validating label \"A\""],
        ),
        (
            "/spec/signerName",
            json!("kubernetes.io/legacy-unknown"),
            &["spec.signerName: Invalid value: \"kubernetes.io"],
        ),
        (
            "/spec/expirationSeconds",
            json!(599),
            &["spec.expirationSeconds: Invalid value: 599: may not specify"],
        ),
        ("/status/conditions/0/type", json!(""), &["status.conditions[0].type: Required value"]),
        (
            "/status/conditions/0/status",
            json!("False"),
            &["status.conditions[0].status: Unsupported value: \"False\""],
        ),
        (
            "/status/certificate",
            json!(pem("KEY")),
            &["status.certificate: Invalid value: \"<certificate data>\": only"],
        ),
    ]);
    let both = json!([{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True"}]);
    table.status(&[
        (
            "/status/conditions",
            json!([]),
            &["status.conditions: Forbidden: updates may not remove a condition of type"],
        ),
        (
            "/status/conditions",
            both,
            &["status.conditions: Invalid value: \"Denied\": Approved and Denied conditions"],
        ),
        (
            "/status/conditions/0/reason",
            json!("x"),
            &["status.conditions: Forbidden: updates may not modify a cond"],
        ),
    ]);
    table.update(&[(
        "/status/certificate",
        json!(pem("CERTIFICATE")),
        &["status.certificate: Forbidden: updates may"],
    )]);
}

#[test]
fn decisions_and_certificates_come_in_their_own_ways() {
    let mut asked = good();
    asked["status"] = json!({});
    let mut approved = good();
    assert_eq!(lines(&approval(&approved, &asked)), Vec::<String>::new());
    assert_eq!(lines(&status(&approved, &asked)).len(), 1);
    stamp(&mut approved, &asked, "t");
    assert_eq!(approved["status"]["conditions"][0]["lastUpdateTime"], "t");
    let mut signed = approved.clone();
    signed["status"]["certificate"] = pem("CERTIFICATE").into();
    assert_eq!(lines(&status(&signed, &approved)), Vec::<String>::new());
    let mut again = signed.clone();
    again["status"]["certificate"] =
        base64::encode(b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----").into();
    assert_eq!(lines(&status(&again, &signed)).len(), 1);
    prepare(&mut asked, Some(&json!({"spec": {"x": 1}})));
    assert_eq!(asked["spec"], json!({"x": 1}));
}
