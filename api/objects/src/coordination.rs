//! The rules of Leases.

use serde_json::Value;

use crate::check::{has, not_negative, text};
use crate::{FieldError, Path, names};

pub(crate) fn create(lease: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &lease["spec"]);
    if let Some(seconds) = spec["leaseDurationSeconds"].as_i64().filter(|seconds| *seconds <= 0) {
        errors.push(FieldError::invalid(
            &path.field("leaseDurationSeconds"),
            seconds,
            "must be greater than 0",
        ));
    }
    not_negative(&mut errors, spec, &path, "leaseTransitions");
    let strategy = text(spec, "strategy");
    if has(spec, "strategy") {
        errors.extend(strategy_faults(strategy, &path.field("strategy")));
    }
    if !text(spec, "preferredHolder").is_empty() && strategy.is_empty() {
        let why = "may only be specified if `strategy` is defined";
        errors.push(FieldError::forbidden(&path.field("preferredHolder"), why));
    }
    errors
}

/// A strategy is one of Kubernetes' own, or has a domain.
fn strategy_faults(strategy: &str, path: &Path) -> Vec<FieldError> {
    if strategy == "OldestEmulationVersion" {
        return Vec::new();
    }
    let parts: Vec<&str> = strategy.split('/').collect();
    let why = match parts.as_slice() {
        [_] => return vec![FieldError::not_supported(path, strategy, &["OldestEmulationVersion"])],
        [domain, _] => names::dns_subdomain(domain),
        _ => vec![
            "must be a fully qualified domain and path of the form 'example.com/strategy-name'".to_owned(),
        ],
    };
    why.iter().map(|why| FieldError::invalid(path, strategy, why)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::table::Table;

    #[test]
    fn leases() {
        let good = json!({"spec": {"leaseDurationSeconds": 5, "leaseTransitions": 0, "strategy": "a.b/c"}});
        Table::of("coordination.k8s.io", "Lease", good).create(&[
            (
                "/spec/leaseDurationSeconds",
                json!(0),
                &["spec.leaseDurationSeconds: Invalid value: 0: must be greater"],
            ),
            (
                "/spec/leaseTransitions",
                json!(-1),
                &["spec.leaseTransitions: Invalid value: -1: must be greater than or"],
            ),
            ("/spec/strategy", json!("x"), &["spec.strategy: Unsupported value: \"x\""]),
            ("/spec/strategy", json!("A/x"), &["spec.strategy: Invalid value: \"A/x\""]),
        ]);
        let named = json!({"spec": {"strategy": "OldestEmulationVersion", "preferredHolder": "h"}});
        Table::of("coordination.k8s.io", "Lease", named).create(&[(
            "/spec/strategy",
            json!(null),
            &["spec.preferredHolder: Forbidden: may only be specified if `strategy`"],
        )]);
    }
}
