//! The manifests that the kubelet refuses, as it tells of them.

use serde::{Deserialize, Serialize};

/// The kubelet's `/manifests`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Manifests {
    #[serde(default)]
    pub(super) refused: Vec<Refusal>,
}

/// A manifest that gives no pod.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Refusal {
    pub(super) file: String,
    /// `NAMESPACE/NAME`, where that could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pod: Option<String>,
    pub(super) message: String,
    pub(super) since: String,
}

impl Refusal {
    /// One line for people.
    pub(super) fn line(&self) -> String {
        format!("refused: {}: {}", self.file, self.message)
    }

    /// Whether a person means it by `NAME` or `NAMESPACE/NAME`; or by its file's name, since what is refused may
    /// have no other.
    pub(super) fn is(&self, namespace: Option<&str>, wanted: &str) -> bool {
        let (namespace, wanted) = match wanted.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (namespace, wanted),
        };
        if let Some((own, name)) = self.pod.as_deref().and_then(|pod| pod.split_once('/'))
            && (name == wanted || namespace.is_some_and(|namespace| namespace != own))
        {
            return namespace.is_none_or(|namespace| namespace == own);
        }
        let file = self.file.rsplit('/').next().unwrap_or_default();
        file == wanted || file.rsplit_once('.').is_some_and(|(stem, _)| stem == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_found_by_its_pods_name_and_by_its_files() {
        let refusal = |pod: Option<&str>| Refusal {
            file: "/m/web.v2.yaml".into(),
            pod: pod.map(Into::into),
            message: String::new(),
            since: String::new(),
        };
        let named = refusal(Some("n/db"));
        for (namespace, wanted, is) in [
            (None, "db", true),
            (None, "n/db", true),
            (Some("n"), "db", true),
            (Some("o"), "db", false),
            (None, "o/db", false),
            (None, "web.v2", true),
            (Some("o"), "web.v2", false),
            (None, "web", false),
        ] {
            assert_eq!(named.is(namespace, wanted), is, "{namespace:?} {wanted}");
        }
        assert!(refusal(None).is(Some("any"), "web.v2.yaml"), "it has no namespace that one could know");
    }
}
