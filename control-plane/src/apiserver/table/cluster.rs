//! Nodes, namespaces, configuration, events and what else belongs to no other family.

use serde_json::Value;

use super::text::{Printed, count, int, list, scalar_or, text, text_or};

pub(super) fn cells(kind: &str, o: &Printed<'_>) -> Option<Vec<Value>> {
    let (object, spec, status) = (o.object, &o.object["spec"], &o.object["status"]);
    Some(match kind {
        "Node" => node(o),
        "Event" => event(o),
        "Namespace" => vec![o.name(), text(&status["phase"]).into(), o.age()],
        "ConfigMap" => {
            vec![o.name(), (count(&object["data"]) + count(&object["binaryData"])).into(), o.age()]
        }
        "Secret" => vec![o.name(), text(&object["type"]).into(), count(&object["data"]).into(), o.age()],
        "ResourceQuota" => {
            let [requests, limits] = quota(status);
            vec![o.name(), requests.into(), limits.into(), o.age()]
        }
        "ComponentStatus" => {
            let healthy = list(&object["conditions"]).iter().find(|c| c["type"] == "Healthy");
            let field = |name: &str| Value::from(healthy.map_or(String::new(), |c| text(&c[name])));
            let state = match healthy.map(|c| c["status"] == "True") {
                Some(true) => "Healthy",
                Some(false) => "Unhealthy",
                None => "Unknown",
            };
            vec![o.name(), state.into(), field("message"), field("error")]
        }
        "Lease" => vec![o.name(), text(&spec["holderIdentity"]).into(), o.age()],
        "PriorityClass" => vec![
            o.name(),
            int(&object["value"]).into(),
            (object["globalDefault"] == true).into(),
            o.age(),
            text(&object["preemptionPolicy"]).into(),
        ],
        "RuntimeClass" => vec![o.name(), text(&object["handler"]).into(), o.age()],
        "APIService" => {
            let service = &spec["service"];
            let at = match service.is_null() {
                true => "Local".to_owned(),
                false => format!("{}/{}", text(&service["namespace"]), text(&service["name"])),
            };
            let available = list(&status["conditions"]).iter().find(|c| c["type"] == "Available");
            let available = available.map_or("Unknown".to_owned(), |c| match text(&c["status"]).as_str() {
                "True" => "True".to_owned(),
                other => format!("{other} ({})", text(&c["reason"])),
            });
            vec![o.name(), at.into(), available.into(), o.age()]
        }
        _ => return None,
    })
}

fn node(o: &Printed<'_>) -> Vec<Value> {
    let (spec, status) = (&o.object["spec"], &o.object["status"]);
    let ready = list(&status["conditions"]).iter().rfind(|c| c["type"] == "Ready");
    let mut state = match ready.map(|c| c["status"] == "True") {
        Some(true) => "Ready",
        Some(false) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if spec["unschedulable"] == true {
        state.push_str(",SchedulingDisabled");
    }
    let info = &status["nodeInfo"];
    let address = |kind: &str| {
        let found = list(&status["addresses"]).iter().find(|a| a["type"] == kind);
        Value::from(found.map_or("<none>".to_owned(), |a| text(&a["address"])))
    };
    let unknown = |name: &str| text_or(&info[name], "<unknown>");
    let architecture = text(&info["architecture"]);
    let kernel = match architecture.as_str() {
        "" => unknown("kernelVersion"),
        architecture => format!("{} ({architecture})", unknown("kernelVersion")),
    };
    vec![
        o.name(),
        state.into(),
        roles(o.object).into(),
        o.age(),
        text(&info["kubeletVersion"]).into(),
        address("InternalIP"),
        address("ExternalIP"),
        unknown("osImage").into(),
        kernel.into(),
        unknown("containerRuntimeVersion").into(),
    ]
}

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
    let mut roles: Vec<String> = labels
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role.to_owned()),
            None if key == "kubernetes.io/role" => Some(text(value)),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort();
    roles.dedup();
    if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }
}

fn event(o: &Printed<'_>) -> Vec<Value> {
    let (object, about) = (o.object, &o.object["involvedObject"]);
    let time = |name: &str| Some(o.since(&object[name])).filter(|_| !object[name].is_null());
    let first = time("firstTimestamp").unwrap_or_else(|| o.since(&object["eventTime"]));
    let series = &object["series"];
    let (last, number) = match (series.is_null(), int(&object["count"])) {
        (false, _) => (o.since(&series["lastObservedTime"]), int(&series["count"])),
        (true, number) => (time("lastTimestamp").unwrap_or_else(|| first.clone()), number.max(1)),
    };
    let kind = text(&about["kind"]).to_lowercase();
    let target = match text(&about["name"]).as_str() {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let source = &object["source"];
    let or = |value: &Value, other: &str| text_or(value, object[other].as_str().unwrap_or_default());
    let component = or(&source["component"], "reportingComponent");
    let source = match or(&source["host"], "reportingInstance").as_str() {
        "" => component,
        host => format!("{component}, {host}"),
    };
    vec![
        last.into(),
        text(&object["type"]).into(),
        text(&object["reason"]).into(),
        target.into(),
        text(&about["fieldPath"]).into(),
        source.into(),
        text(&object["message"]).trim().into(),
        first.into(),
        number.into(),
        o.name(),
    ]
}

/// What is used of what is allowed, requests and limits apart.
fn quota(status: &Value) -> [String; 2] {
    let mut columns = [Vec::new(), Vec::new()];
    for (resource, hard) in status["hard"].as_object().into_iter().flatten() {
        let used = scalar_or(&status["used"][resource], "0");
        let text = format!("{resource}: {used}/{}", scalar_or(hard, "0"));
        columns[usize::from(resource.starts_with("limits."))].push(text);
    }
    columns.map(|texts| texts.join(", "))
}
