//! Volumes, their classes and claims stay as long as somebody uses them: who looks after them says when nobody does any more.

use serde_json::Value;

/// Gives a new object the finalizer of its kind, named by its resource; those of other kinds have none.
pub(super) fn put(resource: &str, object: &mut Value) {
    let finalizer = match resource {
        "persistentvolumes" => "kubernetes.io/pv-protection",
        "persistentvolumeclaims" => "kubernetes.io/pvc-protection",
        "volumeattributesclasses.storage.k8s.io" => "kubernetes.io/vac-protection",
        _ => return,
    };
    let mut all = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    if !all.iter().any(|own| own == finalizer) {
        all.push(finalizer.into());
        object["metadata"]["finalizers"] = all.into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_in_use_is_kept_once() {
        let mut claim = json!({"metadata": {"finalizers": ["example.com/a"]}});
        for _ in 0..2 {
            put("persistentvolumeclaims", &mut claim);
        }
        assert_eq!(claim["metadata"]["finalizers"], json!(["example.com/a", "kubernetes.io/pvc-protection"]));
        let mut class = json!({"metadata": {}});
        put("volumeattributesclasses.storage.k8s.io", &mut class);
        assert_eq!(class["metadata"]["finalizers"], json!(["kubernetes.io/vac-protection"]));
        let mut map = json!({"metadata": {}});
        put("configmaps", &mut map);
        assert_eq!(map, json!({"metadata": {}}));
    }
}
