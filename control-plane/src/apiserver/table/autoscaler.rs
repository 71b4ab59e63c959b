//! Autoscalers: each metric's reading beside its target.

use serde_json::Value;

use super::text::{Printed, int, list, scalar_or, text};

pub(super) fn cells(kind: &str, o: &Printed<'_>) -> Option<Vec<Value>> {
    if kind != "HorizontalPodAutoscaler" {
        return None;
    }
    let (spec, status) = (&o.object["spec"], &o.object["status"]);
    let target = &spec["scaleTargetRef"];
    Some(vec![
        o.name(),
        format!("{}/{}", text(&target["kind"]), text(&target["name"])).into(),
        metrics(&spec["metrics"], &status["currentMetrics"]).into(),
        scalar_or(&spec["minReplicas"], "<unset>").into(),
        int(&spec["maxReplicas"]).into(),
        int(&status["currentReplicas"]).into(),
        o.age(),
    ])
}

fn metrics(specs: &Value, readings: &Value) -> String {
    const SHOWN: usize = 2;
    let specs = list(specs);
    if specs.is_empty() {
        return "<none>".to_owned();
    }
    let texts: Vec<String> =
        specs.iter().enumerate().take(SHOWN).map(|(index, spec)| metric(spec, &readings[index])).collect();
    match specs.len() {
        more @ 3.. => format!("{} + {} more...", texts.join(", "), more - SHOWN),
        _ => texts.join(", "),
    }
}

fn metric(spec: &Value, reading: &Value) -> String {
    let field = match spec["type"].as_str().unwrap_or_default() {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".to_owned(),
    };
    let (spec, current) = (&spec[field], &reading[field]["current"]);
    let target = &spec["target"];
    let name = match field {
        "resource" | "containerResource" => format!("{}: ", text(&spec["name"])),
        _ => String::new(),
    };
    let average = !target["averageValue"].is_null();
    let show = |figures: &Value, figure: &str, absent: &str| scalar_or(&figures[figure], absent);
    let percent = |figures: &Value, absent: &str| match figures["averageUtilization"].as_i64() {
        Some(percent) => format!("{percent}%"),
        None => absent.to_owned(),
    };
    match (field, average) {
        ("pods" | "resource" | "containerResource", true) => {
            let current = show(current, "averageValue", "<unknown>");
            format!("{name}{current}/{}", show(target, "averageValue", ""))
        }
        ("external" | "object", true) => {
            let current = show(current, "averageValue", "<unknown>");
            format!("{current}/{} (avg)", show(target, "averageValue", ""))
        }
        ("resource" | "containerResource", false) => {
            format!("{name}{}/{}", percent(current, "<unknown>"), percent(target, "<auto>"))
        }
        _ => format!("{}/{}", show(current, "value", "<unknown>"), show(target, "value", "")),
    }
}
