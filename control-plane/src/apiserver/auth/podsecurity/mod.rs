//! The Pod Security Standards: what a namespace's labels demand of its pods.
//!
//! `pod-security.kubernetes.io/enforce` refuses pods, `audit` notes and `warn` tells about pods and about the
//! templates that make them. Each names a level and, by `…-version`, the minor version whose rules hold.

mod checks;

use api_objects::{FieldError, Path};
use serde_json::Value;

use super::quote::quoted;

/// The newest minor version that brought a rule; later ones have the same.
const NEWEST: u32 = 35;

/// How much is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing.
    Privileged,
    /// What leads out of a container.
    Baseline,
    /// Whatever a plain program does not need.
    Restricted,
}

impl Level {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "privileged" => Some(Self::Privileged),
            "baseline" => Some(Self::Baseline),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }
}

/// A level, under the rules of a minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Standard {
    /// How much is forbidden.
    pub level: Level,
    /// `1.x` as x; `None` is the newest.
    pub minor: Option<u32>,
}

impl std::fmt::Display for Standard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.minor {
            None => write!(f, "{level}:latest"),
            Some(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

/// What a namespace demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A pod that breaks it is refused.
    pub enforce: Standard,
    /// Breaking it is noted in the audit log.
    pub audit: Standard,
    /// Breaking it is told to who makes the pod.
    pub warn: Standard,
}

impl Default for Policy {
    fn default() -> Self {
        let none = Standard { level: Level::Privileged, minor: None };
        Self { enforce: none, audit: none, warn: none }
    }
}

impl Policy {
    /// What the labels of a namespace (an object or null) say. A label that makes no sense is an error and is taken
    /// strictly where it enforces; elsewhere it demands nothing.
    pub fn from_labels(labels: &Value) -> (Self, Vec<FieldError>) {
        let mut policy = Self::default();
        let mut errors = Vec::new();
        let label = |mode: &str| {
            let key = format!("pod-security.kubernetes.io/{mode}");
            labels[&key].as_str().map(|value| (key, value))
        };
        let mut wrong = |key: &str, value: &str, why: &str| {
            let path = Path::ROOT.field("metadata");
            errors.push(FieldError::invalid(&path.field("labels").key(key), value, why));
        };
        let modes =
            [("enforce", &mut policy.enforce), ("audit", &mut policy.audit), ("warn", &mut policy.warn)];
        for (mode, standard) in modes {
            if let Some((key, value)) = label(mode) {
                standard.level = Level::parse(value).unwrap_or_else(|| {
                    wrong(&key, value, "must be one of privileged, baseline, restricted");
                    if mode == "enforce" { Level::Restricted } else { Level::Privileged }
                });
            }
            if let Some((key, value)) = label(&format!("{mode}-version")) {
                standard.minor = version(value).unwrap_or_else(|| {
                    wrong(&key, value, "must be \"latest\" or \"v1.x\"");
                    None
                });
            }
        }
        // What will be refused is worth a warning where it is made: at the Deployment and not only at its pods.
        let enforces = label("enforce").is_some_and(|(_, value)| Level::parse(value).is_some());
        if enforces && label("warn").is_none() && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if label("warn-version").is_none() {
                policy.warn.minor = policy.enforce.minor;
            }
        }
        (policy, errors)
    }
}

/// `latest` or `v1.x`; the outer option says whether it is one of them.
#[expect(clippy::option_option, reason = "no version and a version that makes no sense are two things")]
fn version(text: &str) -> Option<Option<u32>> {
    if text == "latest" {
        return Some(None);
    }
    let minor = text.strip_prefix("v1.")?;
    let plain = minor.bytes().all(|byte| byte.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
    if plain { minor.parse().ok().map(Some) } else { None }
}

/// What was found out about a pod or a template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Why the pod is refused.
    pub refusal: Option<String>,
    /// What to note in the audit log under `pod-security.kubernetes.io/audit-violations`.
    pub audit: Option<String>,
    /// What to tell who makes it; nothing when it is refused.
    pub warning: Option<String>,
}

/// Holds a pod against a policy.
pub fn check_pod(policy: &Policy, metadata: &Value, spec: &Value) -> Findings {
    let refusal = violations(policy.enforce, metadata, spec);
    let mut findings = check_template(policy, metadata, spec);
    findings.refusal =
        refusal.map(|what| format!("violates PodSecurity {}: {what}", quoted(&policy.enforce.to_string())));
    if findings.refusal.is_some() {
        findings.warning = None;
    }
    findings
}

/// Holds the template of a Deployment, Job … against a policy. Nothing is refused: its pods will be.
pub fn check_template(policy: &Policy, metadata: &Value, spec: &Value) -> Findings {
    let would = |standard: Standard| {
        let what = violations(standard, metadata, spec)?;
        Some(format!("would violate PodSecurity {}: {what}", quoted(&standard.to_string())))
    };
    Findings { refusal: None, audit: would(policy.audit), warning: would(policy.warn) }
}

/// What of the standard a pod breaks, for a person to read.
pub fn violations(standard: Standard, metadata: &Value, spec: &Value) -> Option<String> {
    let found = checks::run(standard, metadata, spec);
    let texts = found.iter().map(|one| match &one.detail[..] {
        "" => one.reason.clone(),
        detail => format!("{} ({detail})", one.reason),
    });
    let texts: Vec<_> = texts.collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// Does an update change what the standards are about, so that the pod must be held against them again?
pub fn is_significant(old: &Value, new: &Value) -> bool {
    let list = |spec: &Value, key: &str| spec[key].as_array().cloned().unwrap_or_default();
    for key in ["containers", "initContainers"] {
        let (old, new) = (list(old, key), list(new, key));
        if old.len() != new.len() || old.iter().zip(&new).any(|(old, new)| old["image"] != new["image"]) {
            return true;
        }
    }
    let old = list(old, "ephemeralContainers");
    list(new, "ephemeralContainers").iter().any(|new| {
        let before = old.iter().find(|old| old["name"] == new["name"]);
        before.is_none_or(|before| before["image"] != new["image"])
    })
}

/// Where a kind keeps the pod that it makes: its metadata and spec.
pub fn template<'a>(kind: &str, object: &'a Value) -> Option<(&'a Value, &'a Value)> {
    let holder = match kind {
        "Pod" => object,
        "PodTemplate" => &object["template"],
        "ReplicationController" | "ReplicaSet" | "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => {
            &object["spec"]["template"]
        }
        "CronJob" => &object["spec"]["jobTemplate"]["spec"]["template"],
        _ => return None,
    };
    holder.is_object().then(|| (&holder["metadata"], &holder["spec"]))
}

/// The warnings for a namespace whose policy was changed: which of its pods (name, metadata and spec) break what is
/// enforced from now on. `total` counts all pods, when not all were looked at.
pub fn namespace_warnings<'a>(
    namespace: &str,
    old: &Policy,
    new: &Policy,
    pods: impl IntoIterator<Item = (&'a str, &'a Value, &'a Value)>,
    total: usize,
) -> Vec<String> {
    let looser = new.enforce.minor == old.enforce.minor && new.enforce.level <= old.enforce.level;
    if new.enforce.level == Level::Privileged || looser {
        return Vec::new();
    }
    let mut found: std::collections::BTreeMap<String, (&str, usize)> = std::collections::BTreeMap::new();
    let mut looked_at = 0;
    for (name, metadata, spec) in pods {
        looked_at += 1;
        let reasons: Vec<_> =
            checks::run(new.enforce, metadata, spec).into_iter().map(|one| one.reason).collect();
        if !reasons.is_empty() {
            let entry = found.entry(reasons.join(", ")).or_insert((name, 0));
            *entry = (entry.0.min(name), entry.1 + 1);
        }
    }
    let mut warnings = Vec::new();
    if looked_at < total {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {looked_at} of {total} existing pods"
        ));
    }
    if !found.is_empty() {
        let (namespace, standard) = (quoted(namespace), quoted(&new.enforce.to_string()));
        warnings.push(format!(
            "existing pods in namespace {namespace} violate the new PodSecurity enforce level {standard}"
        ));
    }
    let mut pods: Vec<_> = found
        .into_iter()
        .map(|(reasons, (name, count))| match count {
            1 => format!("{name}: {reasons}"),
            2 => format!("{name} (and 1 other pod): {reasons}"),
            more => format!("{name} (and {} other pods): {reasons}", more - 1),
        })
        .collect();
    pods.sort_unstable();
    warnings.extend(pods);
    warnings
}

#[cfg(test)]
mod tests;
