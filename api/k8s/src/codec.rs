//! Between untyped JSON and typed objects.

use k8s_openapi::api::core::v1::{LifecycleHandler, Pod};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A JSON value that is not the object it should be.
#[derive(Debug, thiserror::Error)]
#[error("decoding a {kind}: {source}")]
pub struct DecodeError {
    /// The kind that was expected.
    pub kind: &'static str,
    /// What serde found.
    source: serde_json::Error,
}

/// Decodes a Pod. Unknown fields are dropped: who must refuse them does it on the value before.
pub fn decode_pod(value: Value) -> Result<Pod, DecodeError> {
    Pod::deserialize(value).map_err(|source| DecodeError { kind: "Pod", source })
}

/// Encodes a Pod with its `apiVersion` and `kind`.
pub fn encode_pod(pod: &Pod) -> Value {
    // Every map of a Pod has text keys, so serialization to a value has no way to fail.
    pod.serialize(serde_json::value::Serializer).unwrap_or(Value::Null)
}

/// Encodes a handler, as the `preStopHandler` annotation of a container carries it.
pub fn encode_lifecycle_handler(handler: &LifecycleHandler) -> Value {
    // As above: nothing in it can fail.
    handler.serialize(serde_json::value::Serializer).unwrap_or(Value::Null)
}

/// Encodes a PodList; `items` is `null` when there are none, as the kubelet's `/pods` has it.
pub fn encode_pod_list(pods: &[Pod]) -> Value {
    let items = match pods {
        [] => Value::Null,
        pods => pods.iter().map(encode_pod).collect(),
    };
    json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_survives_decoding_and_encoding() {
        let value = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "labels": {"k": "v"}},
            "spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "100m"}}}]},
        });
        assert_eq!(encode_pod(&decode_pod(value.clone()).unwrap()), value);
    }

    #[test]
    fn a_wrong_type_is_named() {
        let error = decode_pod(json!({"kind": "Pod", "spec": {"containers": "x"}})).unwrap_err();
        assert!(error.to_string().starts_with("decoding a Pod: "), "{error}");
    }

    #[test]
    fn an_empty_list_has_null_items() {
        assert_eq!(encode_pod_list(&[])["items"], Value::Null);
        assert_eq!(encode_pod_list(&[Pod::default()])["items"][0]["kind"], "Pod");
    }
}
