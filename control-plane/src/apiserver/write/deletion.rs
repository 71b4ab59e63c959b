//! What deleting an object means: it is removed, or marked because somebody has something left to do.
//!
//! ```text
//!   live ── a pod with a node and time left ──▶ marked, with the time at which it is to be gone
//!     ├──── finalizers, or dependents that go first or stay ──▶ marked, with no time left
//!     └──── else ──▶ removed
//! ```

use api_objects::{FieldError, Path, time};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::options::wrong_dry_run;
use super::{prepare, strategy};
use crate::apiserver::kinds::Resource;
use crate::apiserver::status::Status;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What becomes of the objects that an object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Propagation {
    /// They go when it is gone.
    Background,
    /// They go first.
    Foreground,
    /// They stay.
    Orphan,
}

/// What a deletion can be asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    /// Nothing is to be written.
    pub dry_run: bool,
    grace: Option<i64>,
    uid: Option<String>,
    version: Option<String>,
    propagation: Option<Propagation>,
}

impl Options {
    /// Reads and checks `DeleteOptions`.
    pub(super) fn of(options: &Value) -> Result<Self, Status> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let path = Path::ROOT.field("propagationPolicy");
        let (named, orphan) = (options["propagationPolicy"].as_str(), options["orphanDependents"].as_bool());
        let mut errors = Vec::new();
        if let (Some(named), Some(_)) = (named, orphan) {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(FieldError::invalid(&path, named, why));
        }
        let propagation = match (named, orphan) {
            (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            (None, None) => None,
            (Some(other), _) => {
                let known = ["Foreground", "Background", "Orphan", "nil"];
                errors.push(FieldError::not_supported(&path, other, &known));
                None
            }
        };
        let tried = options["dryRun"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.extend(wrong_dry_run(tried));
        if !errors.is_empty() {
            return Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", errors));
        }
        Ok(Self {
            dry_run: !tried.is_empty(),
            // Less than nothing is as little as there is.
            grace: options["gracePeriodSeconds"]
                .as_i64()
                .map(|seconds| if seconds < 0 { 1 } else { seconds }),
            uid: text(&options["preconditions"]["uid"]),
            version: text(&options["preconditions"]["resourceVersion"]),
            propagation,
        })
    }

    /// It is about one version of the object.
    pub(super) fn names_version(&self) -> bool {
        self.version.is_some()
    }

    /// Refuses to delete another object than the one meant.
    pub(super) fn check(&self, resource: &Resource, name: &str, live: &Value) -> Result<(), Status> {
        let about = |what: &str, wanted: &str, found: &str, why: &str| {
            if resource.qualified() == "namespaces" {
                let why = format!(
                    "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
                );
                return Status::conflict(resource, name, &why);
            }
            // Upstream names the kind of all others here, and not the resource.
            let kind = &resource.kind.kind;
            let group = &resource.served().group;
            let dot = if group.is_empty() { "" } else { "." };
            let mut status = Status::conflict(resource, name, "");
            status.message = format!(
                "Operation cannot be fulfilled on {kind}{dot}{group} {name:?}: the {what} in the precondition \
                 ({wanted}) does not match the {what} in record ({found}). The object might have been {why}"
            );
            if let Some(details) = &mut status.details {
                details.kind.clone_from(kind);
            }
            status
        };
        let found = |field: &str| live["metadata"][field].as_str().unwrap_or_default();
        match (&self.uid, &self.version) {
            (Some(uid), _) if uid != found("uid") => {
                Err(about("UID", uid, found("uid"), "deleted and then recreated"))
            }
            (_, Some(version)) if version != found("resourceVersion") => {
                Err(about("ResourceVersion", version, found("resourceVersion"), "modified"))
            }
            _ => Ok(()),
        }
    }
}

/// What is to be done with an object.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// It goes; it is shown as it was at last.
    Remove(Value),
    /// It stays like this for now.
    Mark(Value),
    /// Everything is under way already.
    Pending,
}

/// Whether a namespace has somebody who has something left to do in it, which its own finalizers say.
pub(super) fn is_namespace_in_use(object: &Value) -> bool {
    let finalizers = object["spec"]["finalizers"].as_array();
    object["kind"] == "Namespace" && finalizers.is_some_and(|finalizers| !finalizers.is_empty())
}

/// What deleting `live` comes to.
pub(super) fn plan(resource: &Resource, live: &Value, options: &Options, now: Timestamp) -> Next {
    let mut object = live.clone();
    if resource.qualified() == "namespaces" {
        // It goes in two steps: first nothing more can be made in it, then what is in it goes.
        if live["metadata"].get("deletionTimestamp").is_none() {
            object["metadata"]["deletionTimestamp"] = time::format(now).into();
            object["status"]["phase"] = "Terminating".into();
            return Next::Mark(object);
        }
        if is_namespace_in_use(live) {
            return Next::Pending;
        }
    }
    let graceful = match resource.kind.kind == "Pod" {
        true => shorten(&mut object, options, now),
        false => Some(false),
    };
    let finalizers = finalizers(resource, live, options);
    let changed = finalizers.iter().map(String::as_str).ne(prepare::finalizers(live));
    if changed && let Some(metadata) = object["metadata"].as_object_mut() {
        match finalizers.is_empty() {
            true => drop(metadata.remove("finalizers")),
            false => drop(metadata.insert("finalizers".to_owned(), json!(finalizers))),
        }
    }
    if finalizers.is_empty() && graceful.is_some() {
        let left = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        let waits = graceful == Some(true) && left > 0;
        return if waits { Next::Mark(object) } else { Next::Remove(object) };
    }
    if !finalizers.is_empty()
        && graceful != Some(true)
        && object["metadata"].get("deletionTimestamp").is_none()
    {
        mark(&mut object, now, 0);
    }
    if object == *live { Next::Pending } else { Next::Mark(object) }
}

/// Writes down when an object is to be gone, and that something else is asked of it now.
fn mark(object: &mut Value, now: Timestamp, grace: i64) {
    let metadata = &mut object["metadata"];
    let gone = now.checked_add(SignedDuration::from_secs(grace)).unwrap_or(now);
    metadata["deletionTimestamp"] = time::format(gone).into();
    metadata["deletionGracePeriodSeconds"] = grace.into();
    if let Some(generation) = metadata["generation"].as_i64().filter(|generation| *generation > 0) {
        metadata["generation"] = (generation + 1).into();
    }
}

/// Gives a pod the time that it has left, which a later deletion can only shorten. True when it was given some, false
/// when it has none to wait for, nothing when the time that it has stays.
fn shorten(pod: &mut Value, options: &Options, now: Timestamp) -> Option<bool> {
    let metadata = &pod["metadata"];
    let Some(gone) = metadata["deletionTimestamp"].as_str() else {
        let running = pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
        let over = matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
        let asked = options.grace.or(pod["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(0);
        mark(pod, now, if running && !over { asked } else { 0 });
        return Some(true);
    };
    let left = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    let Some(period) = options.grace.filter(|period| left > 0 && *period < left) else {
        return if left == 0 { Some(false) } else { None };
    };
    let began = time::parse(gone).unwrap_or(now).checked_sub(SignedDuration::from_secs(left)).unwrap_or(now);
    let gone = began.checked_add(SignedDuration::from_secs(period)).unwrap_or(now);
    // The past is no time to be gone at, and who asked for some time gets the least there is.
    let period = if gone < now { period.min(1) } else { period };
    pod["metadata"]["deletionTimestamp"] = time::format(gone.max(now)).into();
    pod["metadata"]["deletionGracePeriodSeconds"] = period.into();
    Some(true)
}

/// The finalizers of an object after its deletion was asked for.
fn finalizers(resource: &Resource, live: &Value, options: &Options) -> Vec<String> {
    let before: Vec<&str> = prepare::finalizers(live).collect();
    let propagation = options.propagation.or_else(|| {
        // Who deletes it again without a word means it as it is.
        match (before.contains(&ORPHAN), before.contains(&FOREGROUND)) {
            (true, _) => Some(Propagation::Orphan),
            (_, true) => Some(Propagation::Foreground),
            _ => strategy::orphans_by_default(resource).then_some(Propagation::Orphan),
        }
    });
    let others = before.iter().filter(|finalizer| ![ORPHAN, FOREGROUND].contains(finalizer));
    let mut finalizers: Vec<String> = others.map(|finalizer| (*finalizer).to_owned()).collect();
    match propagation {
        Some(Propagation::Orphan) => finalizers.push(ORPHAN.to_owned()),
        Some(Propagation::Foreground) => finalizers.push(FOREGROUND.to_owned()),
        Some(Propagation::Background) | None => {}
    }
    finalizers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::kinds::Registry;

    fn resource(group: &str, name: &str) -> Resource {
        Registry::builtin().unwrap().table().find(group, "v1", name).unwrap().clone()
    }

    fn planned(resource: &Resource, live: &Value, options: &Value) -> Next {
        plan(resource, live, &Options::of(options).unwrap(), time::parse("2026-01-01T00:00:00Z").unwrap())
    }

    #[test]
    fn what_nobody_waits_for_is_removed() {
        let live = json!({"metadata": {"name": "a"}});
        let next = planned(&resource("", "configmaps"), &live, &Value::Null);
        assert_eq!(next, Next::Remove(live));
    }

    #[test]
    fn finalizers_and_propagation_mark_an_object_once() {
        let deployments = resource("apps", "deployments");
        let live = json!({"metadata": {"name": "a", "generation": 1}});
        for (policy, finalizer) in [("Orphan", "orphan"), ("Foreground", "foregroundDeletion")] {
            let options = json!({ "propagationPolicy": policy });
            let Next::Mark(marked) = planned(&deployments, &live, &options) else { panic!("{policy}") };
            assert_eq!(
                marked["metadata"],
                json!({"name": "a", "generation": 2, "finalizers": [finalizer],
                    "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0})
            );
            assert_eq!(planned(&deployments, &marked, &Value::Null), Next::Pending);
            let background = json!({"propagationPolicy": "Background"});
            assert!(matches!(planned(&deployments, &marked, &background), Next::Remove(_)));
        }
        let orphaned = planned(&resource("batch", "jobs"), &live, &Value::Null);
        assert!(matches!(orphaned, Next::Mark(job) if job["metadata"]["finalizers"] == json!(["orphan"])));
    }

    #[test]
    fn a_pod_has_the_time_that_it_was_given_and_never_more() {
        let pods = resource("", "pods");
        let pending = json!({"metadata": {"name": "p", "generation": 1}, "spec": {"terminationGracePeriodSeconds": 30}});
        let Next::Remove(gone) = planned(&pods, &pending, &Value::Null) else { panic!("not scheduled") };
        assert_eq!(
            (&gone["metadata"]["generation"], &gone["metadata"]["deletionGracePeriodSeconds"]),
            (&json!(2), &json!(0))
        );

        let mut bound = pending;
        bound["spec"]["nodeName"] = "n".into();
        let Next::Mark(marked) = planned(&pods, &bound, &json!({"gracePeriodSeconds": 7})) else {
            panic!("bound")
        };
        assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-01-01T00:00:07Z");
        assert_eq!(planned(&pods, &marked, &json!({"gracePeriodSeconds": 9})), Next::Pending);
        assert_eq!(planned(&pods, &marked, &Value::Null), Next::Pending);
        let Next::Mark(sooner) = planned(&pods, &marked, &json!({"gracePeriodSeconds": 2})) else {
            panic!("sooner")
        };
        assert_eq!(sooner["metadata"]["deletionTimestamp"], "2026-01-01T00:00:02Z");
        assert_eq!(sooner["metadata"]["generation"], 2);
        assert!(matches!(planned(&pods, &marked, &json!({"gracePeriodSeconds": 0})), Next::Remove(_)));
    }

    #[test]
    fn wrong_options_and_preconditions_are_refused() {
        let refused = |options: Value| Options::of(&options).unwrap_err().message;
        assert!(refused(json!({"propagationPolicy": "Zz"})).ends_with("\"Orphan\", \"nil\""));
        assert!(
            refused(json!({"propagationPolicy": "Orphan", "orphanDependents": true})).ends_with("both set")
        );
        assert!(refused(json!({"dryRun": ["Some"]})).contains("dryRun: Unsupported value"));
        let options = Options::of(&json!({"preconditions": {"uid": "x"}})).unwrap();
        let wrong = options.check(&resource("apps", "deployments"), "d", &json!({"metadata": {"uid": "y"}}));
        let wrong = wrong.unwrap_err();
        assert_eq!((wrong.code.as_u16(), wrong.details.unwrap().kind.as_str()), (409, "Deployment"));
        assert!(wrong.message.starts_with("Operation cannot be fulfilled on Deployment.apps \"d\": the UID"));
    }
}
