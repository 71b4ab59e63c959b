//! From the bytes of a manifest to a static pod.

use api_k8s::v1::Pod;
use api_objects::decode::decode_any;
use api_objects::pod::{set_defaults, validate};
use api_objects::{FieldError, Kind};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ManifestError;
use crate::fields::{self, cut, short};
use crate::translate::labels;

/// The largest manifest that is read.
pub(super) const MAX_BYTES: u64 = 10 << 20;

/// A parser's message is cut here: some quote what they read.
const LONGEST_LINE: usize = 300;

/// What was read.
pub(super) struct Manifest {
    /// `NAMESPACE/NAME` as written, however wrong the rest may be.
    pub(super) name: Option<String>,
    pub(super) pod: Result<Pod, ManifestError>,
}

/// Reads the pod of a manifest: YAML or JSON, one document.
///
/// What static pods have beyond their manifest is added as the stock kubelet does: the node's name behind the
/// pod's, the namespace `default`, a UID that is another one for every other node, file and content, the
/// annotations that say where it came from, and a toleration of everything that would end it.
pub fn read_manifest(bytes: &[u8], file: &str, node: &str, seen: Timestamp) -> Result<Pod, ManifestError> {
    read(bytes, file, node, seen).pod
}

pub(super) fn read(bytes: &[u8], file: &str, node: &str, seen: Timestamp) -> Manifest {
    match parse(bytes) {
        Ok(pod) => Manifest { name: name(&pod), pod: checked(pod, file, node, seen) },
        Err(error) => Manifest { name: None, pod: Err(error) },
    }
}

fn checked(mut pod: Value, file: &str, node: &str, seen: Timestamp) -> Result<Pod, ManifestError> {
    kind(&pod)?;
    let errors = fields::check(&pod);
    if !errors.is_empty() {
        return Err(ManifestError::Fields(errors));
    }
    let written = pod.clone();
    set_defaults(&mut pod);
    let errors = validate(&pod);
    if !errors.is_empty() {
        return Err(ManifestError::Fields(with_values(errors, &written)));
    }
    make_static(&mut pod, file, node, seen);
    Ok(api_k8s::decode_pod(pod)?)
}

fn name(pod: &Value) -> Option<String> {
    let text = |field: &str| pod["metadata"][field].as_str().filter(|text| !text.is_empty());
    text("name").map(|name| format!("{}/{name}", text("namespace").unwrap_or("default")))
}

/// The API's words for some rules leave the value out, since whoever asked has it before him.
fn with_values(mut errors: Vec<FieldError>, pod: &Value) -> Vec<FieldError> {
    for error in &mut errors {
        if matches!(error.kind, Kind::Forbidden | Kind::TooLong | Kind::TooMany)
            && let Some(value) = at(pod, &error.field)
        {
            error.message = format!("{}: value {}", error.message, short(value));
        }
    }
    errors
}

/// The value at a path as errors have it: `spec.containers[0].image`.
fn at<'a>(pod: &'a Value, path: &str) -> Option<&'a Value> {
    path.split(['.', '[', ']']).filter(|step| !step.is_empty()).try_fold(pod, |value, step| {
        let index = step.parse::<usize>().ok().filter(|_| value.is_array());
        index.map_or_else(|| value.get(step), |index| value.get(index))
    })
}

/// The first line of what a parser says; behind it, some draw the place.
fn syntax(error: &dyn std::fmt::Display) -> ManifestError {
    let text = error.to_string();
    ManifestError::Syntax(cut(text.lines().next().unwrap_or_default().to_owned(), LONGEST_LINE))
}

fn parse(bytes: &[u8]) -> Result<Value, ManifestError> {
    let text = std::str::from_utf8(bytes).map_err(|error| syntax(&error))?;
    if text.trim_start().starts_with('{') {
        // YAML has braces too.
        if let Ok(decoded) = decode_any(text.as_bytes()) {
            return match decoded.objections.first() {
                None => Ok(decoded.value),
                // It is JSON, but no key may be there twice: JSON leaves open what that means, and YAML forbids it.
                Some(objection) => Err(syntax(objection)),
            };
        }
    }
    // As the stock kubelet reads YAML: file modes such as 0644 are octal.
    let options = serde_saphyr::options! { legacy_octal_numbers: true, with_snippet: false };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| syntax(&error))?;
    let mut documents = documents.into_iter().filter(|document| !document.is_null());
    match (documents.next(), documents.next()) {
        (Some(document), None) => Ok(document),
        (None, _) => Err(ManifestError::Kind("the manifest is empty".to_owned())),
        (Some(_), Some(_)) => {
            Err(ManifestError::Kind("a manifest holds one pod: split its documents into files".to_owned()))
        }
    }
}

fn kind(pod: &Value) -> Result<(), ManifestError> {
    let text = |field: &str| pod[field].as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text("apiVersion"), text("kind"));
    match (version.as_str(), kind.as_str()) {
        ("v1", "Pod") => Ok(()),
        ("v1", "PodList" | "List") => {
            Err(ManifestError::Kind(format!("kind: {kind:?} is not implemented: one pod per file")))
        }
        _ => Err(ManifestError::Kind(format!(
            "apiVersion: {version:?}, kind: {kind:?}: a manifest holds a v1 Pod"
        ))),
    }
}

fn make_static(pod: &mut Value, file: &str, node: &str, seen: Timestamp) {
    let given = pod["metadata"]["uid"].as_str().filter(|uid| !uid.is_empty()).map(str::to_owned);
    let uid = given.unwrap_or_else(|| uid(pod, file, node));
    let meta = &mut pod["metadata"];
    let name = meta["name"].as_str().unwrap_or_default();
    meta["name"] = json!(format!("{name}-{node}"));
    if meta["namespace"].as_str().unwrap_or_default().is_empty() {
        meta["namespace"] = json!("default");
    }
    meta["uid"] = json!(uid);
    if !meta["annotations"].is_object() {
        meta["annotations"] = json!({});
    }
    meta["annotations"][labels::CONFIG_HASH] = json!(uid);
    meta["annotations"][labels::CONFIG_SOURCE] = json!("file");
    meta["annotations"][labels::CONFIG_SEEN] = json!(api_objects::time::format_nanos(seen));
    let spec = &mut pod["spec"];
    spec["nodeName"] = json!(node);
    let everything = json!({"operator": "Exists", "effect": "NoExecute"});
    match spec["tolerations"].as_array_mut() {
        Some(tolerations) => tolerations.push(everything),
        None => spec["tolerations"] = json!([everything]),
    }
}

/// 128 bits of SHA-256 over the node, the file and the content, as 32 hexadecimal digits.
fn uid(pod: &Value, file: &str, node: &str) -> String {
    let text = format!("host:{node}file:{file}{pod}");
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    hex::encode(&digest.as_ref()[..16])
}

#[cfg(test)]
mod tests;
