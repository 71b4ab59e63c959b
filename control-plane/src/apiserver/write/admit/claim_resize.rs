//! A claim grows only while it has a volume, and only where its class says that volumes can.

use serde_json::Value;

use super::super::target::Write;
use crate::amounts::Amounts;
use crate::apiserver::status::Status;
use crate::quota::storage_class;

/// May the claim be changed so?
pub(super) async fn check(write: &Write<'_>, old: &Value, new: &Value) -> Result<(), Status> {
    if !grows(old, new) {
        return Ok(());
    }
    let refuse = |why: &str| Err(write.refuse(&write.context.target.name, why));
    if old["status"]["phase"] != "Bound" {
        return refuse("Only bound persistent volume claims can be expanded");
    }
    let class = storage_class(new);
    let found = match class == storage_class(old) && !class.is_empty() {
        true => write.find("storage.k8s.io", "storageclasses", "", class).await?,
        false => None,
    };
    if found.is_some_and(|class| class["allowVolumeExpansion"] == true) {
        return Ok(());
    }
    refuse(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    )
}

fn grows(old: &Value, new: &Value) -> bool {
    let size = |claim: &Value| {
        Amounts::of(&claim["spec"]["resources"]["requests"]).get("storage").unwrap_or_default()
    };
    size(new) > size(old)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_compared_as_amounts() {
        let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
        assert!(grows(&claim("1Gi"), &claim("1025Mi")));
        assert!(!grows(&claim("1Gi"), &claim("1024Mi")) && !grows(&claim("2Gi"), &claim("1Gi")));
    }
}
