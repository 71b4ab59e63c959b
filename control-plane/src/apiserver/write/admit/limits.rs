//! LimitRanges: what containers get that ask for nothing, and the bounds of what pods and claims ask for.

use api_objects::Quantity;
use serde_json::{Map, Value, json};

use super::super::target::Write;
use crate::amounts::{Amounts, Of, Sum, of_pod};
use crate::apiserver::status::Status;

/// Tells what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Fills in what the containers of a pod leave out and the ranges of its namespace have a default for.
pub(super) async fn fill(write: &Write<'_>, pod: &mut Value) -> Result<(), Status> {
    for range in ranges(write).await? {
        put(pod, &range);
    }
    Ok(())
}

/// Holds a pod or a claim against the ranges of its namespace. What is going is let go.
pub(super) async fn check(write: &Write<'_>, old: Option<&Value>, new: &Value) -> Result<(), Status> {
    if old.is_some_and(|old| old["metadata"].get("deletionTimestamp").is_some()) {
        return Ok(());
    }
    for range in ranges(write).await? {
        let broken = match write.resource.qualified().as_str() {
            "pods" => of_pods(&range, new),
            _ => of_claims(&range, new),
        };
        if !broken.is_empty() {
            let name = new["metadata"]["name"].as_str().unwrap_or_default();
            return Err(write.refuse(name, &together(broken)));
        }
    }
    Ok(())
}

async fn ranges(write: &Write<'_>) -> Result<Vec<Value>, Status> {
    write.list("", "limitranges", &write.context.target.namespace).await
}

/// What is wrong, said once each.
fn together(broken: Vec<String>) -> String {
    let mut all: Vec<String> = Vec::new();
    for why in broken {
        if !all.contains(&why) {
            all.push(why);
        }
    }
    match all.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

fn limits<'v>(range: &'v Value, kind: &str) -> impl Iterator<Item = &'v Value> {
    let all = range["spec"]["limits"].as_array().into_iter().flatten();
    all.filter(move |limit| limit["type"] == kind)
}

fn put(pod: &mut Value, range: &Value) {
    let (mut requests, mut most) = (Map::new(), Map::new());
    for limit in limits(range, "Container") {
        requests.extend(limit["defaultRequest"].as_object().cloned().unwrap_or_default());
        most.extend(limit["default"].as_object().cloned().unwrap_or_default());
    }
    let mut told = Vec::new();
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default().to_owned();
            // Both lists are written, and told, in the order of their names.
            for (field, of, word) in [("requests", &requests, "request"), ("limits", &most, "limit")] {
                let set = put_missing(container, field, of);
                if !set.is_empty() {
                    told.push(format!("{} {word} for {what} {name}", set.join(", ")));
                }
            }
        }
    }
    if !told.is_empty() {
        let annotations = &mut pod["metadata"]["annotations"];
        if !annotations.is_object() {
            *annotations = json!({});
        }
        annotations[ANNOTATION] = format!("LimitRanger plugin set: {}", told.join("; ")).into();
    }
}

fn put_missing(container: &mut Value, field: &str, defaults: &Map<String, Value>) -> Vec<String> {
    let mut set = Vec::new();
    for (name, amount) in defaults {
        if container["resources"][field].get(name).is_none() {
            if !container["resources"].is_object() {
                container["resources"] = json!({});
            }
            if !container["resources"][field].is_object() {
                container["resources"][field] = json!({});
            }
            container["resources"][field][name] = amount.clone();
            set.push(name.clone());
        }
    }
    set.sort();
    set
}

fn of_pods(range: &Value, pod: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    for limit in range["spec"]["limits"].as_array().into_iter().flatten() {
        if limit["type"] == "Container" {
            for list in ["containers", "initContainers"] {
                for container in pod["spec"][list].as_array().into_iter().flatten() {
                    let resources = &container["resources"];
                    let asks = Asks::new(&resources["requests"], &resources["limits"]);
                    asks.within(&mut broken, limit, "Container");
                }
            }
        }
        if limit["type"] == "Pod" {
            let [requests, limits] = [Of::Requests, Of::Limits].map(|of| of_pod(pod, of, Sum::default()));
            Asks { requests, limits }.within(&mut broken, limit, "Pod");
        }
    }
    broken
}

fn of_claims(range: &Value, claim: &Value) -> Vec<String> {
    let kind = "PersistentVolumeClaim";
    let asks = Asks::new(&claim["spec"]["resources"]["requests"], &Value::Null);
    let mut broken = Vec::new();
    for limit in limits(range, kind) {
        for (name, bound) in Amounts::of(&limit["min"]).iter() {
            broken.extend(asks.at_least(name, bound, kind));
        }
        for (name, bound) in Amounts::of(&limit["max"]).iter() {
            let says = format!("maximum {name} usage per {kind} is {bound}");
            broken.extend(match asks.requests.get(name) {
                None => Some(format!("{says}.  No request is specified")),
                Some(asked) if more(asked, bound) => Some(format!("{says}, but request is {asked}")),
                Some(_) => None,
            });
        }
    }
    broken
}

/// Whether one amount is more than another, in thousandths, which is as exact as limits are.
fn more(one: Quantity, other: Quantity) -> bool {
    const EXACT: i64 = i64::MAX / 1000;
    match one.units() <= EXACT && other.units() <= EXACT {
        true => one.millis() > other.millis(),
        false => one.units() > other.units(),
    }
}

/// What a container or a pod asks for.
struct Asks {
    requests: Amounts,
    limits: Amounts,
}

impl Asks {
    fn new(requests: &Value, limits: &Value) -> Self {
        Self { requests: Amounts::of(requests), limits: Amounts::of(limits) }
    }

    fn within(&self, broken: &mut Vec<String>, limit: &Value, kind: &str) {
        for (name, bound) in Amounts::of(&limit["min"]).iter() {
            broken.extend(self.at_least(name, bound, kind));
        }
        for (name, bound) in Amounts::of(&limit["max"]).iter() {
            broken.extend(self.at_most(name, bound, kind));
        }
        for (name, bound) in Amounts::of(&limit["maxLimitRequestRatio"]).iter() {
            broken.extend(self.in_ratio(name, bound, kind));
        }
    }

    fn at_least(&self, name: &str, bound: Quantity, kind: &str) -> Option<String> {
        let says = format!("minimum {name} usage per {kind} is {bound}");
        match (self.requests.get(name), self.limits.get(name)) {
            (None, _) => Some(format!("{says}.  No request is specified")),
            (Some(asked), _) if more(bound, asked) => Some(format!("{says}, but request is {asked}")),
            (_, Some(limit)) if more(bound, limit) => Some(format!("{says}, but limit is {limit}")),
            _ => None,
        }
    }

    fn at_most(&self, name: &str, bound: Quantity, kind: &str) -> Option<String> {
        let says = format!("maximum {name} usage per {kind} is {bound}");
        match (self.limits.get(name), self.requests.get(name)) {
            (None, _) => Some(format!("{says}.  No limit is specified")),
            (Some(limit), _) if more(limit, bound) => Some(format!("{says}, but limit is {limit}")),
            (_, Some(asked)) if more(asked, bound) => Some(format!("{says}, but request is {asked}")),
            _ => None,
        }
    }

    fn in_ratio(&self, name: &str, bound: Quantity, kind: &str) -> Option<String> {
        let says = format!("{name} max limit to request ratio per {kind} is {bound}");
        let some = |amounts: &Amounts| amounts.get(name).filter(|amount| !amount.is_zero());
        let Some(asked) = some(&self.requests) else {
            return Some(format!("{says}, but no request is specified or request is 0"));
        };
        let Some(limit) = some(&self.limits) else {
            return Some(format!("{says}, but no limit is specified or limit is 0"));
        };
        let ratio = limit.millis() as f64 / asked.millis() as f64;
        let over = ratio * 1000.0 > bound.millis() as f64;
        over.then(|| format!("{says}, but provided ratio is {ratio:.6}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(limits: Value) -> Value {
        json!({"spec": {"limits": limits}})
    }

    #[test]
    fn containers_get_what_they_leave_out() {
        let range = range(json!([{"type": "Container", "default": {"cpu": "1", "memory": "64Mi"},
            "defaultRequest": {"cpu": "500m"}}, {"type": "Pod", "max": {"cpu": "9"}}]));
        let mut pod = json!({"metadata": {}, "spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "2"}}}],
            "initContainers": [{"name": "b"}]}});
        put(&mut pod, &range);
        assert_eq!(
            pod["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: cpu, memory limit for container a; cpu request for init container b; cpu, memory \
             limit for init container b"
        );
        assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"], json!({"cpu": "2"}));
        assert_eq!(
            pod["spec"]["initContainers"][0]["resources"]["limits"],
            json!({"cpu": "1", "memory": "64Mi"})
        );
        let before = pod.clone();
        put(&mut pod, &range);
        assert_eq!(pod, before);
    }

    #[test]
    fn what_is_out_of_bounds_is_told_with_its_numbers() {
        let pod = |requests: Value, limits: Value| json!({"spec": {"containers": [{"name": "a", "resources": {"requests": requests, "limits": limits}}]}});
        let cpu = |amount: &str| json!({ "cpu": amount });
        let none = || json!({});
        for (kind, rule, requests, limits, why) in [
            (
                "Container",
                json!({"max": {"cpu": "2"}}),
                cpu("1"),
                cpu("3"),
                "maximum cpu usage per Container is 2, but limit is 3",
            ),
            (
                "Container",
                json!({"max": {"cpu": "2"}}),
                cpu("1"),
                none(),
                "maximum cpu usage per Container is 2.  No limit is specified",
            ),
            (
                "Container",
                json!({"min": {"cpu": "1"}}),
                none(),
                none(),
                "minimum cpu usage per Container is 1.  No request is specified",
            ),
            (
                "Container",
                json!({"min": {"cpu": "1"}}),
                cpu("500m"),
                none(),
                "minimum cpu usage per Container is 1, but request is 500m",
            ),
            (
                "Pod",
                json!({"max": {"cpu": "2"}}),
                cpu("3"),
                cpu("2"),
                "maximum cpu usage per Pod is 2, but request is 3",
            ),
            (
                "Pod",
                json!({"maxLimitRequestRatio": {"cpu": "2"}}),
                cpu("1"),
                cpu("3"),
                "cpu max limit to request ratio per Pod is 2, but provided ratio is 3.000000",
            ),
            (
                "Pod",
                json!({"maxLimitRequestRatio": {"cpu": "2"}}),
                none(),
                cpu("3"),
                "cpu max limit to request ratio per Pod is 2, but no request is specified or request is 0",
            ),
            ("Container", json!({"max": {"cpu": "2"}, "min": {"cpu": "1"}}), cpu("1"), cpu("2"), ""),
        ] {
            let mut limit = rule;
            limit["type"] = kind.into();
            assert_eq!(of_pods(&range(json!([limit])), &pod(requests, limits)).join("|"), why);
        }
    }

    #[test]
    fn many_wrongs_are_told_together_and_once() {
        assert_eq!(together(vec!["a".into(), "b".into(), "a".into()]), "[a, b]");
        assert_eq!(together(vec!["a".into(), "a".into()]), "a");
    }

    #[test]
    fn claims_have_bounds() {
        let range = range(
            json!([{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]),
        );
        let told = |size: &str| {
            of_claims(&range, &json!({"spec": {"resources": {"requests": {"storage": size}}}})).join("|")
        };
        assert_eq!(told("1Gi"), "");
        assert_eq!(
            told("512Mi"),
            "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 512Mi"
        );
        assert_eq!(told("3Gi"), "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi");
    }
}
