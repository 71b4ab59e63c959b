//! From the bytes of a manifest to a static pod.

use api_k8s::v1::Pod;
use api_objects::pod::{set_defaults, validate};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ManifestError;
use crate::fields;
use crate::translate::labels;

/// The largest manifest that is read.
pub(super) const MAX_BYTES: u64 = 10 << 20;

/// Reads the pod of a manifest: YAML or JSON, one document.
///
/// What static pods have beyond their manifest is added as the stock kubelet does: the node's name behind the
/// pod's, the namespace `default`, a UID that is another one for every other node, file and content, the
/// annotations that say where it came from, and a toleration of everything that would end it.
pub fn read(bytes: &[u8], file: &str, node: &str, seen: Timestamp) -> Result<Pod, ManifestError> {
    let mut pod = parse(bytes)?;
    kind(&pod)?;
    let errors = fields::check(&pod);
    if !errors.is_empty() {
        return Err(ManifestError::Fields(errors));
    }
    set_defaults(&mut pod);
    let errors = validate(&pod);
    if !errors.is_empty() {
        return Err(ManifestError::Fields(errors));
    }
    make_static(&mut pod, file, node, seen);
    Ok(api_k8s::decode_pod(pod)?)
}

fn parse(bytes: &[u8]) -> Result<Value, ManifestError> {
    let text = std::str::from_utf8(bytes).map_err(|error| ManifestError::Syntax(error.to_string()))?;
    // JSON is YAML; read as such it keeps its own, clearer errors.
    if text.trim_start().starts_with('{')
        && let Ok(value) = serde_json::from_str(text)
    {
        return Ok(value);
    }
    // As the stock kubelet reads YAML: file modes such as 0644 are octal.
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| ManifestError::Syntax(error.to_string()))?;
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
mod tests {
    use super::*;

    const GOOD: &str =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - {name: c, image: i}\n";

    fn of(text: &str) -> Result<Pod, ManifestError> {
        read(text.as_bytes(), "/m/a.yaml", "lab", Timestamp::UNIX_EPOCH)
    }

    fn why(text: &str) -> String {
        of(text).unwrap_err().to_string()
    }

    #[test]
    fn a_static_pod_is_named_after_its_node() {
        let pod = of(GOOD).unwrap();
        let meta = &pod.metadata;
        assert_eq!(meta.name.as_deref(), Some("a-lab"));
        assert_eq!(meta.namespace.as_deref(), Some("default"));
        let uid = meta.uid.clone().unwrap();
        assert_eq!(uid.len(), 32);
        let annotations = meta.annotations.as_ref().unwrap();
        assert_eq!(annotations[labels::CONFIG_HASH], uid);
        assert_eq!(annotations[labels::CONFIG_SOURCE], "file");
        assert_eq!(annotations[labels::CONFIG_SEEN], "1970-01-01T00:00:00Z");
        assert_eq!(pod.spec.unwrap().node_name.as_deref(), Some("lab"));
    }

    #[test]
    fn the_uid_follows_content_file_and_node_but_not_the_time() {
        let uid = |text: &str, file, node, second| {
            let seen = Timestamp::from_second(second).unwrap();
            read(text.as_bytes(), file, node, seen).unwrap().metadata.uid.unwrap()
        };
        let first = uid(GOOD, "/m/a", "n", 0);
        assert_eq!(first, uid(GOOD, "/m/a", "n", 5));
        assert_eq!(first, uid(&format!("# comment\n{GOOD}"), "/m/a", "n", 0));
        assert_ne!(first, uid(GOOD, "/m/b", "n", 0));
        assert_ne!(first, uid(GOOD, "/m/a", "o", 0));
        assert_ne!(first, uid(&GOOD.replace("image: i", "image: j"), "/m/a", "n", 0));
    }

    #[test]
    fn a_uid_of_the_manifest_is_kept() {
        let pod = of(&GOOD.replace("{name: a}", "{name: a, uid: u-1}")).unwrap();
        assert_eq!(pod.metadata.uid.as_deref(), Some("u-1"));
        assert_eq!(pod.metadata.annotations.unwrap()[labels::CONFIG_HASH], "u-1");
    }

    #[test]
    fn json_and_yaml_are_the_same_pod() {
        let json = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"c","image":"i"}]}}"#;
        assert_eq!(of(json).unwrap(), of(GOOD).unwrap());
        assert_eq!(of(&format!("---\n{GOOD}---\n")).unwrap(), of(GOOD).unwrap());
    }

    #[test]
    fn file_modes_are_octal() {
        let text =
            format!("{GOOD}  volumes:\n  - name: d\n    downwardAPI: {{defaultMode: 0644, items: []}}\n");
        let volumes = of(&text).unwrap().spec.unwrap().volumes.unwrap();
        assert_eq!(volumes[0].downward_api.as_ref().unwrap().default_mode, Some(0o644));
    }

    #[test]
    fn what_is_wrong_is_named_with_field_and_value() {
        assert_eq!(why(""), "the manifest is empty");
        assert!(why("a: [").starts_with("parsing: "), "{}", why("a: ["));
        assert_eq!(
            why("kind: Deployment\n"),
            r#"apiVersion: "", kind: "Deployment": a manifest holds a v1 Pod"#
        );
        assert!(why(&format!("{GOOD}---\n{GOOD}")).contains("one pod"));
        assert_eq!(
            why(&GOOD.replace("image: i", "imag: i")),
            r#"spec.containers[0].imag: unknown field: value "i""#
        );
        assert_eq!(why(&GOOD.replace("image: i", "image: ''")), "spec.containers[0].image: Required value");
        assert_eq!(
            why(&GOOD.replace("image: i", "image: i, imagePullPolicy: Sometimes")),
            r#"spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never""#
        );
    }
}
