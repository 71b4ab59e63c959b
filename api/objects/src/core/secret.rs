//! Secrets.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::check::{entries, immutable, invalid_names, text};
use crate::decode::base64;
use crate::{FieldError, Path, fill, names};

/// The bytes that all values of a Secret, or of a ConfigMap, may have together.
pub(super) const MOST: usize = 1 << 20;

/// What was written as text becomes data.
pub(crate) fn defaults(secret: &mut Value) {
    fill::text(secret, "type", "Opaque");
    let Some(map) = secret.as_object_mut() else { return };
    let Some(Value::Object(texts)) = map.remove("stringData") else { return };
    if texts.is_empty() {
        return;
    }
    let data = map.entry("data").or_insert_with(|| json!({}));
    if data.is_null() {
        *data = json!({});
    }
    for (key, value) in texts {
        data[&key] = base64::encode(value.as_str().unwrap_or_default().as_bytes()).into();
    }
}

pub(crate) fn create(secret: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::ROOT.field("data");
    let mut total = 0;
    for (key, value) in entries(secret, "data") {
        invalid_names(&mut errors, &path.key(key), key, names::config_key);
        total += base64::decoded_length(value.as_str().unwrap_or_default());
    }
    if total > MOST {
        errors.push(FieldError::too_long(&path, MOST));
    }
    let data = &secret["data"];
    let has = |key: &str| data.get(key).is_some();
    let mut required = |keys: &[&str]| {
        errors.extend(keys.iter().map(|key| FieldError::required(&path.key(key), "")));
    };
    match text(secret, "type") {
        "kubernetes.io/service-account-token" => {
            const ACCOUNT: &str = "kubernetes.io/service-account.name";
            if text(&secret["metadata"]["annotations"], ACCOUNT).is_empty() {
                let meta = Path::ROOT.field("metadata");
                errors.push(FieldError::required(&meta.field("annotations").key(ACCOUNT), ""));
            }
        }
        "kubernetes.io/dockercfg" => configuration(&mut errors, data, &path, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => configuration(&mut errors, data, &path, ".dockerconfigjson"),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            required(&["username", "password"]);
        }
        "kubernetes.io/ssh-auth" if text(data, "ssh-privatekey").is_empty() => required(&["ssh-privatekey"]),
        "kubernetes.io/tls" => {
            let missing: Vec<&str> = ["tls.crt", "tls.key"].into_iter().filter(|key| !has(key)).collect();
            required(&missing);
        }
        _ => {}
    }
    errors
}

/// A registry's credentials are an object of JSON.
fn configuration(errors: &mut Vec<FieldError>, data: &Value, path: &Path, key: &str) {
    let path = path.key(key);
    if data.get(key).is_none() {
        errors.push(FieldError::required(&path, ""));
        return;
    }
    let bytes = base64::decode(text(data, key)).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<Option<BTreeMap<String, Value>>>(&bytes) {
        let shown = "<secret contents redacted>";
        errors.push(FieldError::invalid(&path, shown, &error.to_string()));
    }
}

pub(crate) fn update(secret: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    immutable(&mut errors, secret, old, &Path::ROOT, "type");
    frozen(&mut errors, secret, old, &["data"]);
    errors.extend(create(secret));
    errors
}

/// What was declared immutable stays so, and so do its fields.
pub(super) fn frozen(errors: &mut Vec<FieldError>, new: &Value, old: &Value, fields: &[&str]) {
    const WHY: &str = "field is immutable when `immutable` is set";
    if old["immutable"] != true {
        return;
    }
    if new["immutable"] != true {
        errors.push(FieldError::forbidden(&Path::ROOT.field("immutable"), WHY));
    }
    let none = Map::new();
    let of = |object: &Value, field: &str| object[field].as_object().unwrap_or(&none).clone();
    for field in fields {
        if of(new, field) != of(old, field) {
            errors.push(FieldError::forbidden(&Path::ROOT.field(field), WHY));
        }
    }
}
