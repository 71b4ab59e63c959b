//! Claims and ingresses that name no class get the one that an administrator marked.

use serde_json::Value;

use super::super::target::Write;
use crate::apiserver::status::Status;

/// The beta name still counts.
const OF_STORAGE: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const OF_INGRESSES: [&str; 1] = ["ingressclass.kubernetes.io/is-default-class"];

/// Gives a claim its class.
pub(super) async fn claim(write: &Write<'_>, claim: &mut Value) -> Result<(), Status> {
    // An empty name is one too: it asks for a volume without a class.
    let named = claim["spec"]["storageClassName"].is_string();
    if named || claim["metadata"]["annotations"].get("volume.beta.kubernetes.io/storage-class").is_some() {
        return Ok(());
    }
    let classes = write.list("storage.k8s.io", "storageclasses", "").await?;
    if let Some(name) = newest(&classes, &OF_STORAGE) {
        claim["spec"]["storageClassName"] = name.into();
    }
    Ok(())
}

/// Gives an ingress its class.
pub(super) async fn ingress(write: &Write<'_>, ingress: &mut Value) -> Result<(), Status> {
    let named = ingress["spec"]["ingressClassName"].is_string();
    if named || ingress["metadata"]["annotations"].get("kubernetes.io/ingress.class").is_some() {
        return Ok(());
    }
    let classes = write.list("networking.k8s.io", "ingressclasses", "").await?;
    if let Some(name) = newest(&classes, &OF_INGRESSES) {
        ingress["spec"]["ingressClassName"] = name.into();
    }
    Ok(())
}

/// Of several that are marked, the one that was made last; of those the first by name.
fn newest<'v>(classes: &'v [Value], marks: &[&str]) -> Option<&'v str> {
    let marked = classes.iter().filter(|class| {
        let annotations = &class["metadata"]["annotations"];
        marks.iter().any(|mark| annotations[*mark] == "true")
    });
    let text = |class: &'v Value, field: &str| class["metadata"][field].as_str().unwrap_or_default();
    // Times of objects are all of one length and zone, so that they sort as they follow.
    let latest =
        marked.min_by_key(|class| (std::cmp::Reverse(text(class, "creationTimestamp")), text(class, "name")));
    latest.map(|class| text(class, "name"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_that_is_marked_is_taken() {
        let class = |name: &str, time: &str, mark: &str| json!({"metadata": {"name": name, "creationTimestamp": time, "annotations": {OF_STORAGE[1]: mark}}});
        let mut classes =
            vec![class("no", "2026-01-09T00:00:00Z", "false"), class("old", "2026-01-01T00:00:00Z", "true")];
        assert_eq!(newest(&classes, &OF_STORAGE), Some("old"));
        classes.push(class("b", "2026-01-02T00:00:00Z", "true"));
        classes.push(class("a", "2026-01-02T00:00:00Z", "true"));
        assert_eq!(newest(&classes, &OF_STORAGE), Some("a"));
        assert_eq!(newest(&classes, &OF_INGRESSES), None);
    }
}
