//! Pods: the state of all containers in one word.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::text::{Printed, human, instant, int, is_true, list, text, text_or};

/// A pod that ran to its end is marked, so that clients can hide it.
pub(super) fn conditions(pod: &Value) -> Option<Value> {
    let phase = pod["status"]["phase"].as_str()?;
    let message = match phase {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    Some(json!([{ "type": "Completed", "status": "True", "reason": phase, "message": message }]))
}

/// What the containers add up to.
#[derive(Default)]
struct Sum {
    ready: usize,
    restarts: i64,
    restarted: Option<Timestamp>,
}

impl Sum {
    fn count(&mut self, status: &Value) {
        self.restarts += int(&status["restartCount"]);
        self.restarted = self.restarted.max(instant(&status["lastState"]["terminated"]["finishedAt"]));
    }
}

pub(super) fn cells(o: &Printed<'_>) -> Vec<Value> {
    let pod = o.object;
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let sidecars: Vec<&str> = list(&spec["initContainers"])
        .iter()
        .filter(|container| container["restartPolicy"] == "Always")
        .filter_map(|container| container["name"].as_str())
        .collect();
    let total = list(&spec["containers"]).len() + sidecars.len();

    let mut reason = text_or(&status["reason"], status["phase"].as_str().unwrap_or_default());
    let gated = |c: &Value| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated";
    if list(&status["conditions"]).iter().any(gated) {
        "SchedulingGated".clone_into(&mut reason);
    }
    let mut all = Sum::default();
    let mut restartable = Sum::default();
    let initializing = initialize(pod, &sidecars, &mut all, &mut restartable);
    let ready_sidecars = all.ready;
    let initialized = is_true(&status["conditions"], "Initialized");
    let stuck = initializing.is_some();
    if let Some(why) = initializing {
        reason = why;
    }
    if !stuck || initialized {
        all = Sum { ready: ready_sidecars, ..restartable };
        run(status, &mut all, &mut reason);
    }
    if o.deleting() {
        let phase = status["phase"].as_str().unwrap_or_default();
        if status["reason"] == "NodeLost" {
            "Unknown".clone_into(&mut reason);
        } else if !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut reason);
        }
    }
    let restarts = match all.restarted {
        Some(then) if all.restarts != 0 => {
            format!("{} ({} ago)", all.restarts, human(o.now.duration_since(then).as_secs()))
        }
        _ => all.restarts.to_string(),
    };
    vec![
        o.name(),
        format!("{}/{total}", all.ready).into(),
        reason.into(),
        restarts.into(),
        o.age(),
        text_or(&status["podIPs"][0]["ip"], "<none>").into(),
        text_or(&spec["nodeName"], "<none>").into(),
        text_or(&status["nominatedNodeName"], "<none>").into(),
        gates(pod).into(),
    ]
}

/// Goes through the init containers up to the one that is not done; says why it is not.
fn initialize(pod: &Value, sidecars: &[&str], all: &mut Sum, restartable: &mut Sum) -> Option<String> {
    let total = list(&pod["spec"]["initContainers"]).len();
    for (index, status) in list(&pod["status"]["initContainerStatuses"]).iter().enumerate() {
        all.count(status);
        let sidecar = status["name"].as_str().is_some_and(|name| sidecars.contains(&name));
        if sidecar {
            restartable.count(status);
        }
        let state = &status["state"];
        let (ended, waits) = (&state["terminated"], text(&state["waiting"]["reason"]));
        if !ended.is_null() && int(&ended["exitCode"]) == 0 {
            continue;
        }
        if sidecar && status["started"] == true {
            all.ready += usize::from(status["ready"] == true);
            continue;
        }
        return Some(if !ended.is_null() {
            format!("Init:{}", how_it_ended(ended))
        } else if !waits.is_empty() && waits != "PodInitializing" {
            format!("Init:{waits}")
        } else {
            format!("Init:{index}/{total}")
        });
    }
    None
}

fn how_it_ended(ended: &Value) -> String {
    let (reason, signal) = (text(&ended["reason"]), int(&ended["signal"]));
    match (reason.is_empty(), signal) {
        (false, _) => reason,
        (true, 0) => format!("ExitCode:{}", int(&ended["exitCode"])),
        (true, signal) => format!("Signal:{signal}"),
    }
}

/// Goes through the containers; the first of them has the last word.
fn run(status: &Value, all: &mut Sum, reason: &mut String) {
    let (mut running, mut failed) = (false, None);
    for container in list(&status["containerStatuses"]).iter().rev() {
        all.count(container);
        let state = &container["state"];
        let waits = text(&state["waiting"]["reason"]);
        if !waits.is_empty() {
            *reason = waits;
        } else if !state["terminated"].is_null() {
            *reason = how_it_ended(&state["terminated"]);
            if int(&state["terminated"]["exitCode"]) != 0 {
                failed = Some(reason.clone());
            }
        } else if container["ready"] == true && !state["running"].is_null() {
            running = true;
            all.ready += 1;
        }
    }
    // Some have completed and others run: the pod runs.
    if reason == "Completed" {
        if running && is_true(&status["conditions"], "Ready") {
            "Running".clone_into(reason);
        } else if let Some(failed) = failed {
            *reason = failed;
        } else if running {
            "NotReady".clone_into(reason);
        }
    }
}

fn gates(pod: &Value) -> String {
    let gates = list(&pod["spec"]["readinessGates"]);
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open = gates.iter().filter(|gate| {
        let kind = gate["conditionType"].as_str().unwrap_or_default();
        is_true(&pod["status"]["conditions"], kind)
    });
    format!("{}/{}", open.count(), gates.len())
}
