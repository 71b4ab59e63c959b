//! Volumes.

use serde_json::{Value, json};

use super::pod;
use crate::pod::RULES;
use crate::trial::created;

#[test]
fn volumes_have_one_source_that_is_whole() {
    let volume = |source: Value| {
        let mut volume = json!({"name": "x"});
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        json!([{"name": "v"}, {"name": "p", "persistentVolumeClaim": {"claimName": "p"}}, volume])
    };
    let good = volume(json!({"emptyDir": {}}));
    let check = |bad: Value, said: &[&str]| {
        let said: Vec<String> = said.iter().map(|said| format!("spec.volumes[2]{said}")).collect();
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        created(&RULES, &pod(), &[("/spec/volumes", good.clone(), volume(bad), &said)]);
    };
    check(
        json!({"emptyDir": {}, "secret": {"secretName": "s"}}),
        &[".secret: Forbidden: may not specify more than 1 volume type"],
    );
    check(json!({"secret": {}}), &[".secret.secretName: Required value"]);
    check(
        json!({"configMap": {"name": "c", "defaultMode": 512}}),
        &[
            ".configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
        ],
    );
    check(
        json!({"configMap": {"name": "c", "items": [{"key": "k", "path": "../p"}]}}),
        &[".configMap.items[0].path: Invalid value: \"../p\": must not contain '..'"],
    );
    check(json!({"persistentVolumeClaim": {}}), &[".persistentVolumeClaim.claimName: Required value"]);
    check(
        json!({"nfs": {"server": "s", "path": "p"}}),
        &[".nfs.path: Invalid value: \"p\": must be an absolute path"],
    );
    check(
        json!({"iscsi": {"targetPortal": "t", "iqn": "iqn.2001-04.com.example"}}),
        &[".iscsi.iqn: Invalid value: \"iqn.2001-04.com.example\": must be valid format"],
    );
    check(
        json!({"csi": {"driver": "a b"}}),
        &[concat!(
            ".csi.driver: Invalid value: \"a b\": a lowercase RFC 1123 subdomain must consist of lower case ",
            "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. ",
            "'example.com', regex used for validation is ",
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        )],
    );
    check(json!({"image": {"pullPolicy": "Never"}}), &[".image.reference: Required value"]);
    check(json!({"ephemeral": {}}), &[".ephemeral.volumeClaimTemplate: Required value"]);
    check(
        json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 1}}]}}),
        &[concat!(
            ".projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 1: ",
            "may not specify a duration less than 10 minutes"
        )],
    );
    let item = json!({"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.name"}}]});
    check(
        json!({"projected": {"sources": [{"downwardAPI": item}, {"downwardAPI": item}]}}),
        &[".projected: Invalid value: \"l\": conflicting duplicate paths"],
    );
}
