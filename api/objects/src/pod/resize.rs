//! What may change in a Pod through its subresources: what its containers may use, and containers that look into it.

use serde_json::{Map, Value};

use super::update::{difference, same};
use super::{qos_class, validate};
use crate::check::{has, list, text};
use crate::{FieldError, Path};

const MIRROR: &str = "kubernetes.io/config.mirror";

/// What a Pod breaks that is to be resized. Containers are the same ones, and only cpu and memory change.
pub fn check_resize(new: &Value, old: &Value) -> Vec<FieldError> {
    let refuse = |why| vec![FieldError::forbidden(&Path::ROOT, why)];
    if old["metadata"]["annotations"].get(MIRROR).is_some() {
        return refuse("static pods cannot be resized");
    }
    if old["spec"]["os"]["name"] == "windows" {
        return refuse("windows pods cannot be resized");
    }
    let mut errors = Vec::new();
    validate::check(&mut errors, new);
    let path = Path::ROOT.field("spec");
    let before = match text(&old["status"], "qosClass") {
        "" => qos_class(&old["spec"]),
        class => class,
    };
    if before != qos_class(&new["spec"]) {
        let why = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid(&path, text(&new["status"], "qosClass"), why));
    }
    // A node that does not tell what containers have cannot change it either.
    let mut statuses = list(&old["status"], "containerStatuses").iter();
    if statuses
        .find(|status| has(&status["state"], "running"))
        .is_some_and(|status| !has(status, "resources"))
    {
        errors.push(FieldError::forbidden(&path, "Pod running on node without support for resize"));
    }
    let (new, old) = (&new["spec"], &old["spec"]);
    let mut munged = new.clone();
    let asks = |spec: &Value| ["requests", "limits"].iter().any(|list| some(&spec["resources"][*list]));
    if asks(old) || asks(new) {
        whole(&mut errors, &mut munged, new, old, &path);
    }
    if !same_order(&mut errors, new, old, &path) {
        return errors;
    }
    for field in ["initContainers", "containers"] {
        let at = path.field(field);
        for (index, (new, old)) in list(new, field).iter().zip(list(old, field)).enumerate() {
            let at = at.index(index);
            let at = at.field("resources");
            removed(&mut errors, &new["resources"], &old["resources"], &at, "resource");
        }
    }
    containers(&mut errors, &mut munged, old, &path);
    if errors.is_empty() && !same(&munged, old) {
        errors.push(FieldError::forbidden(&path, "only cpu and memory resources are mutable"));
    }
    errors
}

fn some(value: &Value) -> bool {
    value.as_object().is_some_and(|map| !map.is_empty())
}

/// What the pod may use as a whole.
fn whole(errors: &mut Vec<FieldError>, munged: &mut Value, new: &Value, old: &Value, path: &Path<'_>) {
    let at = path.field("resources");
    if has(old, "resources") && !has(new, "resources") {
        errors.push(FieldError::forbidden(&at, "pod-level resources cannot be removed"));
        return;
    }
    if has(old, "resources") {
        removed(errors, &new["resources"], &old["resources"], &at, "pod-level resource");
    }
    take_back(&mut munged["resources"], &old["resources"]);
    let left = &munged["resources"];
    let nothing = !some(&left["requests"]) && !some(&left["limits"]) && !has(left, "claims");
    if !has(old, "resources") && nothing {
        munged.as_object_mut().map(|spec| spec.remove("resources"));
    }
    if !same(&munged["resources"], &old["resources"]) {
        errors.push(FieldError::forbidden(path, "only cpu and memory resources are mutable at pod-level"));
    }
}

/// Nothing that was asked for may be asked for no more.
fn removed(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path<'_>, what: &str) {
    for (field, word) in [("requests", "requests"), ("limits", "limits")] {
        let names = old[field].as_object().into_iter().flatten().map(|(name, _)| name);
        if names.into_iter().any(|name| new[field].get(name).is_none()) {
            errors
                .push(FieldError::forbidden(&path.field(field), &format!("{what} {word} cannot be removed")));
        }
    }
}

fn same_order(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path<'_>) -> bool {
    let before = errors.len();
    for field in ["containers", "initContainers"] {
        let at = path.field(field);
        let (new, old) = (list(new, field), list(old, field));
        if new.len() != old.len() {
            let why = format!("{field} may not be added or removed on resize");
            errors.push(FieldError::forbidden(&at, &why));
            continue;
        }
        for (index, _) in new.iter().zip(old).enumerate().filter(|(_, (new, old))| new["name"] != old["name"])
        {
            let at = at.index(index);
            let why = format!("{field} may not be renamed or reordered on resize");
            errors.push(FieldError::forbidden(&at.field("name"), &why));
        }
    }
    errors.len() == before
}

fn containers(errors: &mut Vec<FieldError>, munged: &mut Value, old: &Value, path: &Path<'_>) {
    for (index, old) in list(old, "containers").iter().enumerate() {
        let container = &mut munged["containers"][index];
        take_back(&mut container["resources"], &old["resources"]);
        if !same(container, old) {
            errors.push(FieldError::forbidden(path, "only cpu and memory resources are mutable"));
        }
    }
    let at = path.field("initContainers");
    for (index, old) in list(old, "initContainers").iter().enumerate() {
        let (container, at) = (&mut munged["initContainers"][index], at.index(index));
        let changed = !same(container, old);
        take_back(&mut container["resources"], &old["resources"]);
        if !same(container, old) {
            let why = "only cpu and memory resources for init or sidecar containers are mutable";
            errors.push(FieldError::forbidden(&at, why));
        }
        let restarts =
            list(container, "resizePolicy").iter().any(|one| one["restartPolicy"] == "RestartContainer");
        if changed && container["restartPolicy"] != "Always" && restarts {
            let why =
                "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
            errors.push(FieldError::forbidden(&at, why));
        }
    }
}

/// Undoes what may change, so that what remains must be the same.
fn take_back(resources: &mut Value, old: &Value) {
    for field in ["limits", "requests"] {
        let mut amounts = resources[field].as_object().cloned().unwrap_or_default();
        for name in ["cpu", "memory"] {
            amounts.remove(name);
            if let Some(before) = old[field].get(name) {
                amounts.insert(name.to_owned(), before.clone());
            }
        }
        if !amounts.is_empty() {
            resources[field] = amounts.into();
        } else if let Some(resources) = resources.as_object_mut() {
            resources.remove(field);
        }
    }
    if old.is_null() && resources.as_object().is_some_and(Map::is_empty) {
        *resources = Value::Null;
    }
}

/// What a Pod breaks that containers were added to for a while. Those that are there stay as they are.
pub fn check_ephemeral(new: &Value, old: &Value) -> Vec<FieldError> {
    if old["metadata"]["annotations"].get(MIRROR).is_some() {
        return vec![FieldError::forbidden(&Path::ROOT, "static pods do not support ephemeral containers")];
    }
    let mut errors = Vec::new();
    validate::check(&mut errors, new);
    let path = Path::ROOT.field("spec");
    let at = path.field("ephemeralContainers");
    for old in list(&old["spec"], "ephemeralContainers") {
        let name = text(old, "name");
        match list(&new["spec"], "ephemeralContainers").iter().find(|new| text(new, "name") == name) {
            None => {
                let why = format!("existing ephemeral containers {name:?} may not be removed\n");
                errors.push(FieldError::forbidden(&at, &why));
            }
            Some(new) if !same(new, old) => {
                let why = format!(
                    "existing ephemeral containers {name:?} may not be changed\n{}",
                    difference(old, new)
                );
                errors.push(FieldError::forbidden(&at, &why));
            }
            Some(_) => {}
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        let resources =
            json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}});
        let container = |name: &str| {
            json!({"name": name, "image": "i", "resources": resources, "terminationMessagePolicy": "File",
                "imagePullPolicy": "Always"})
        };
        json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
            "terminationGracePeriodSeconds": 30, "containers": [container("a"), container("b")],
            "initContainers": [container("i")]}, "status": {"qosClass": "Burstable"}})
    }

    type Change = fn(&mut Value);

    fn told(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let (old, mut new) = (pod(), pod());
        change(&mut new);
        check_resize(&new, &old).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn cpu_and_memory_change() {
        assert_eq!(told(|_| {}), Vec::<String>::new());
        let more = |pod: &mut Value| {
            pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "2".into();
            pod["spec"]["initContainers"][0]["resources"]["limits"]["memory"] = "2Gi".into();
        };
        assert_eq!(told(more), Vec::<String>::new());
    }

    #[test]
    fn nothing_else_does() {
        let wrong: [(Change, &str); 7] = [
            (
                |pod| pod["spec"]["containers"][0]["resources"]["requests"]["example.com/a"] = "1".into(),
                "spec: Forbidden: only cpu and memory resources are mutable",
            ),
            (
                |pod| {
                    drop(
                        pod["spec"]["containers"][1]["resources"]["limits"]
                            .as_object_mut()
                            .unwrap()
                            .remove("cpu"),
                    )
                },
                "spec.containers[1].resources.limits: Forbidden: resource limits cannot be removed",
            ),
            (
                |pod| pod["spec"]["containers"].as_array_mut().unwrap().swap(0, 1),
                "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize",
            ),
            (
                |pod| drop(pod["spec"]["containers"].as_array_mut().unwrap().pop()),
                "spec.containers: Forbidden: containers may not be added or removed on resize",
            ),
            (
                |pod| pod["spec"]["initContainers"][0]["image"] = "j".into(),
                "spec.initContainers[0]: Forbidden: only cpu and memory resources for init or sidecar containers are mutable",
            ),
            (
                |pod| pod["spec"]["nodeName"] = "n".into(),
                "spec: Forbidden: only cpu and memory resources are mutable",
            ),
            (
                |pod| pod["spec"]["resources"] = json!({"requests": {"hugepages-2Mi": "2Mi"}}),
                "spec: Forbidden: only cpu and memory resources are mutable at pod-level",
            ),
        ];
        for (change, why) in wrong {
            let told = told(change);
            assert!(told.iter().any(|told| told == why), "{why}: {told:?}");
        }
    }

    #[test]
    fn the_class_of_service_stays() {
        let mut old = pod();
        for list in ["containers", "initContainers"] {
            for container in old["spec"][list].as_array_mut().unwrap() {
                container["resources"]["requests"]["cpu"] = "2".into();
            }
        }
        old["status"]["qosClass"] = "Guaranteed".into();
        let mut new = old.clone();
        new["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "1".into();
        let errors = check_resize(&new, &old);
        assert_eq!(
            errors[0].to_string(),
            "spec: Invalid value: \"Guaranteed\": Pod QOS Class may not change as a result of resizing"
        );
        old["metadata"]["annotations"] = json!({MIRROR: "x"});
        assert_eq!(check_resize(&new, &old)[0].to_string(), ": Forbidden: static pods cannot be resized");
    }

    #[test]
    fn containers_that_look_in_stay() {
        let mut old = pod();
        let look = |image: &str| json!({"name": "e", "image": image, "terminationMessagePolicy": "File", "imagePullPolicy": "Always"});
        old["spec"]["ephemeralContainers"] = json!([look("i")]);
        assert_eq!(check_ephemeral(&old, &old), []);
        let mut new = old.clone();
        new["spec"]["ephemeralContainers"] = json!([look("j")]);
        assert!(check_ephemeral(&new, &old)[0].message.contains("\"e\" may not be changed"));
        new["spec"]["ephemeralContainers"] = json!([]);
        assert!(check_ephemeral(&new, &old)[0].message.contains("\"e\" may not be removed"));
    }
}
