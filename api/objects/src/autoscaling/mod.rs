//! HorizontalPodAutoscaler. Both of its versions are kept as the second one: the fields of the first are only what is
//! left of it.

mod defaults;
mod metrics;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::check::{has, invalid_names, list, not_negative, text};
use crate::rules::Rules;
use crate::{FieldError, Path, names};

pub(crate) const RULES: Rules = Rules {
    defaults: defaults::set,
    create: |new| check(new, None),
    update: |new, old| check(new, Some(old)),
    status: |new, _| status(new),
    ..Rules::NONE
};

const MAX_WINDOW_SECONDS: i64 = 3600;
const MAX_PERIOD_SECONDS: i64 = 1800;

fn check(autoscaler: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&autoscaler["spec"], Path::ROOT.field("spec"));
    let least = spec["minReplicas"].as_i64();
    let most = spec["maxReplicas"].as_i64().unwrap_or(0);
    let at = path.field("maxReplicas");
    // Nothing at all is allowed to who had nothing.
    let lowest = i64::from(!old.is_some_and(|old| old["spec"]["minReplicas"] == 0));
    if let Some(least) = least.filter(|least| *least < lowest) {
        let why = format!("must be greater than or equal to {lowest}");
        errors.push(FieldError::invalid(&path.field("minReplicas"), least, &why));
    }
    match most {
        0 => errors.push(FieldError::required(&at, "must be set and greater than 0")),
        most if most < 0 => {
            errors.push(FieldError::invalid(&at, most, "must be greater than or equal to 1"));
        }
        _ => {}
    }
    if least.is_some_and(|least| most < least) {
        errors.push(FieldError::invalid(&at, most, "must be greater than or equal to `minReplicas`"));
    }
    target(&mut errors, spec, old, &path.field("scaleTargetRef"));
    metrics::check(&mut errors, spec, old, &path.field("metrics"));
    if let Some(percent) = spec["targetCPUUtilizationPercentage"].as_i64().filter(|percent| *percent < 1) {
        // The first version is checked as the second one.
        let at = Path::ROOT.field("spec.metrics[0].resource.target.averageUtilization");
        errors.push(FieldError::invalid(&at, percent, "must be greater than 0"));
    }
    let behavior = path.field("behavior");
    for direction in ["scaleUp", "scaleDown"] {
        scaling(&mut errors, &spec["behavior"][direction], &behavior.field(direction));
    }
    errors
}

/// What is scaled. Its version is not looked at again while it stays.
fn target(errors: &mut Vec<FieldError>, spec: &Value, old: Option<&Value>, path: &Path) {
    let target = &spec["scaleTargetRef"];
    let before = old.map(|old| &old["spec"]["scaleTargetRef"]);
    let stays = before.is_some_and(|before| {
        ["apiVersion", "kind"].iter().all(|field| text(before, field) == text(target, field))
    });
    let versions = match text(target, "kind") {
        _ if stays => Versions::Any,
        "ReplicationController" => Versions::Core,
        _ => Versions::Grouped,
    };
    reference(errors, target, path, versions);
}

/// Which versions of an object are good.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Versions {
    /// Whatever is written.
    Any,
    /// Also those of the core group.
    Core,
    /// Those with a group.
    Grouped,
}

/// Checks a reference to an object of any kind.
fn reference(errors: &mut Vec<FieldError>, object: &Value, path: &Path, versions: Versions) {
    for field in ["kind", "name"] {
        match text(object, field) {
            "" => errors.push(FieldError::required(&path.field(field), "")),
            name => invalid_names(errors, &path.field(field), name, names::path_segment),
        }
    }
    let version = text(object, "apiVersion");
    let why = match version.matches('/').count() {
        _ if versions == Versions::Any => return,
        0 if versions == Versions::Grouped => "apiVersion must specify API group".to_owned(),
        0 => return,
        1 if versions == Versions::Grouped && version.starts_with('/') => {
            "apiVersion must specify API group".to_owned()
        }
        1 => return,
        _ => format!("unexpected GroupVersion string: {version}"),
    };
    errors.push(FieldError::invalid(&path.field("apiVersion"), version, &why));
}

fn scaling(errors: &mut Vec<FieldError>, rules: &Value, path: &Path) {
    if rules.is_null() {
        return;
    }
    let at = path.field("stabilizationWindowSeconds");
    if let Some(seconds) = rules["stabilizationWindowSeconds"].as_i64() {
        if seconds < 0 {
            errors.push(FieldError::invalid(&at, seconds, "must be greater than or equal to zero"));
        }
        at_most(errors, seconds, MAX_WINDOW_SECONDS, &at);
    }
    if let Some(policy) = rules["selectPolicy"].as_str() {
        let allowed = ["Disabled", "Max", "Min"];
        if !allowed.contains(&policy) {
            errors.push(FieldError::not_supported(&path.field("selectPolicy"), policy, &allowed));
        }
    }
    let policies = path.field("policies");
    if list(rules, "policies").is_empty() {
        errors.push(FieldError::required(&policies, "must specify at least one Policy"));
    }
    for (index, policy) in list(rules, "policies").iter().enumerate() {
        let at = policies.index(index);
        let kind = text(policy, "type");
        if !["Percent", "Pods"].contains(&kind) {
            errors.push(FieldError::not_supported(&at.field("type"), kind, &["Percent", "Pods"]));
        }
        for field in ["value", "periodSeconds"] {
            let number = policy[field].as_i64().unwrap_or(0);
            if number <= 0 {
                errors.push(FieldError::invalid(&at.field(field), number, "must be greater than zero"));
            }
        }
        let seconds = policy["periodSeconds"].as_i64().unwrap_or(0);
        at_most(errors, seconds, MAX_PERIOD_SECONDS, &at.field("periodSeconds"));
    }
    if has(rules, "tolerance") {
        metrics::not_negative(errors, &rules["tolerance"], &path.field("tolerance"));
    }
}

fn at_most(errors: &mut Vec<FieldError>, value: i64, most: i64, path: &Path) {
    if value > most {
        errors.push(FieldError::invalid(path, value, &format!("must be less than or equal to {most}")));
    }
}

fn status(autoscaler: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::ROOT.field("status");
    for field in ["currentReplicas", "desiredReplicas"] {
        not_negative(&mut errors, &autoscaler["status"], &path, field);
    }
    errors
}
