//! What runs pods: Deployments, ReplicaSets, Jobs and their like.

use serde_json::Value;

use super::text::{Printed, count, human, instant, int, is_true, labels, list, selector, text, text_or};

pub(super) fn cells(kind: &str, o: &Printed<'_>) -> Option<Vec<Value>> {
    let (spec, status) = (&o.object["spec"], &o.object["status"]);
    let template = &spec["template"];
    let number = |value: &Value| Value::from(int(value));
    let of = |have: &Value, want: &Value| Value::from(format!("{}/{}", int(have), int(want)));
    Some(match kind {
        "Deployment" => {
            let [names, images] = containers(template);
            let chosen = Value::from(match selector(&spec["selector"]).as_str() {
                "<none>" => "",
                "<error>" => "<invalid>",
                other => other,
            });
            let ready = of(&status["readyReplicas"], &spec["replicas"]);
            let (updated, available) =
                (number(&status["updatedReplicas"]), number(&status["availableReplicas"]));
            vec![o.name(), ready, updated, available, o.age(), names, images, chosen]
        }
        "ReplicaSet" | "ReplicationController" => {
            let [names, images] = containers(template);
            let chosen =
                if kind == "ReplicaSet" { selector(&spec["selector"]) } else { labels(&spec["selector"]) };
            let (want, have) = (number(&spec["replicas"]), number(&status["replicas"]));
            let ready = number(&status["readyReplicas"]);
            vec![o.name(), want, have, ready, o.age(), names, images, chosen.into()]
        }
        "StatefulSet" => {
            let [names, images] = containers(template);
            vec![o.name(), of(&status["readyReplicas"], &spec["replicas"]), o.age(), names, images]
        }
        "DaemonSet" => {
            let [names, images] = containers(template);
            let mut cells = vec![o.name()];
            for field in [
                "desiredNumberScheduled",
                "currentNumberScheduled",
                "numberReady",
                "updatedNumberScheduled",
                "numberAvailable",
            ] {
                cells.push(number(&status[field]));
            }
            cells.extend([labels(&template["spec"]["nodeSelector"]).into(), o.age(), names, images]);
            cells.push(selector(&spec["selector"]).into());
            cells
        }
        "Job" => {
            let [names, images] = containers(template);
            let (state, done) = (job_state(o).into(), job_completions(o.object).into());
            vec![
                o.name(),
                state,
                done,
                job_duration(o).into(),
                o.age(),
                names,
                images,
                selector(&spec["selector"]).into(),
            ]
        }
        "CronJob" => {
            let job = &spec["jobTemplate"]["spec"];
            let [names, images] = containers(&job["template"]);
            let last = &status["lastScheduleTime"];
            let last = if last.is_null() { "<none>".to_owned() } else { o.since(last) };
            let suspend = match spec["suspend"].as_bool() {
                Some(true) => "True",
                Some(false) => "False",
                None => "<unset>",
            };
            let zone = text_or(&spec["timeZone"], "<none>");
            vec![
                o.name(),
                text(&spec["schedule"]).into(),
                zone.into(),
                suspend.into(),
                count(&status["active"]).into(),
                last.into(),
                o.age(),
                names,
                images,
                selector(&job["selector"]).into(),
            ]
        }
        "ControllerRevision" => {
            vec![o.name(), controller(o.object).into(), number(&o.object["revision"]), o.age()]
        }
        "PodTemplate" => {
            let [names, images] = containers(&o.object["template"]);
            vec![o.name(), names, images, labels(&o.object["template"]["metadata"]["labels"]).into()]
        }
        _ => return None,
    })
}

/// The names and the images of a template's containers.
fn containers(template: &Value) -> [Value; 2] {
    ["name", "image"].map(|field| {
        let texts: Vec<String> =
            list(&template["spec"]["containers"]).iter().map(|container| text(&container[field])).collect();
        texts.join(",").into()
    })
}

fn job_state(o: &Printed<'_>) -> &'static str {
    let conditions = &o.object["status"]["conditions"];
    let has = |kind| is_true(conditions, kind);
    match () {
        () if has("Complete") => "Complete",
        () if has("Failed") => "Failed",
        () if o.deleting() => "Terminating",
        () if has("Suspended") => "Suspended",
        () if has("FailureTarget") => "FailureTarget",
        () if has("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn job_completions(job: &Value) -> String {
    let done = int(&job["status"]["succeeded"]);
    match (job["spec"]["completions"].as_i64(), int(&job["spec"]["parallelism"])) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, 2..) => format!("{done}/1 of {}", int(&job["spec"]["parallelism"])),
        (None, _) => format!("{done}/1"),
    }
}

fn job_duration(o: &Printed<'_>) -> String {
    let status = &o.object["status"];
    let Some(began) = instant(&status["startTime"]) else { return String::new() };
    let end = instant(&status["completionTime"]).unwrap_or(o.now);
    human(end.duration_since(began).as_secs())
}

/// `deployment.apps/name`: the owner that controls an object.
fn controller(object: &Value) -> String {
    let owners = list(&object["metadata"]["ownerReferences"]);
    let Some(owner) = owners.iter().find(|owner| owner["controller"] == true) else {
        return "<none>".to_owned();
    };
    let version = text(&owner["apiVersion"]);
    let kind = match version.split_once('/') {
        Some((group, _)) => format!("{}.{group}", text(&owner["kind"])),
        None => text(&owner["kind"]),
    };
    format!("{}/{}", kind.to_lowercase(), text(&owner["name"]))
}
