//! Whether a FlowSchema leads to a level that is there.
//!
//! ```text
//!   schema made or changed, its level made or deleted ─▶ condition Dangling: True (NotFound) or False (Found)
//! ```

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{LEVELS, SCHEMAS, server};
use crate::client::{Gvr, Id, PatchType};
use crate::controllers::Controller;
use crate::controllers::conditions;
use crate::controllers::index::{Change, Index};
use crate::controllers::item::Item;
use crate::controllers::plan::{Effect, Identity, Plan};

const CONDITION: &str = "Dangling";
const CONSUMER: &str = "api-priority-and-fairness-config-consumer-v1";

/// The controller of that condition.
pub struct Dangling;

impl Controller for Dangling {
    fn name(&self) -> &'static str {
        "priority-and-fairness-config-consumer"
    }

    fn queue(&self) -> &'static str {
        "priority_and_fairness_config_queue"
    }

    fn identity(&self) -> Option<Identity> {
        server()
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![LEVELS, SCHEMAS])
    }

    fn wake(&self, index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        match (&change.old, &change.new) {
            (_, Some(schema)) if schema.id.kind == SCHEMAS => wake(schema.id.clone()),
            (None, Some(level)) | (Some(level), None) if level.id.kind == LEVELS => {
                let leads_there = |schema: &&Arc<Item>| level_of(&schema.value()) == level.id.name;
                index.all(&SCHEMAS).filter(leads_there).for_each(|schema| wake(schema.id.clone()));
            }
            _ => {}
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(schema) = index.at(key) else { return plan };
        let object = schema.value();
        let level = level_of(&object);
        let wanted = condition(level, index.get(&LEVELS, "", level).is_some(), now);
        let found = conditions::get(&object["status"], CONDITION);
        let same = |found: &Value| ["status", "reason", "message"].iter().all(|of| found[*of] == wanted[*of]);
        if !found.is_some_and(same) {
            let patch = json!({ "metadata": { "name": key.name }, "status": { "conditions": [wanted] } });
            let how = PatchType::Apply(CONSUMER);
            plan.one(Effect::Patch { id: key.clone(), subresource: "status", how, patch });
        }
        plan
    }
}

/// The name of the level that a schema leads to.
fn level_of(schema: &Value) -> &str {
    schema["spec"]["priorityLevelConfiguration"]["name"].as_str().unwrap_or_default()
}

fn condition(level: &str, is_there: bool, now: Timestamp) -> Value {
    let (status, reason, what) = match is_there {
        true => ("False", "Found", "and it exists"),
        false => ("True", "NotFound", "but there is no such object"),
    };
    let of = "This FlowSchema references the PriorityLevelConfiguration object named";
    json!({
        "type": CONDITION,
        "status": status,
        "reason": reason,
        "message": format!("{of} \"{level}\" {what}"),
        "lastTransitionTime": api_objects::time::format(now),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::plan::Step;

    fn item(kind: &Gvr, object: &Value) -> Arc<Item> {
        Arc::new(Item::of(kind, object).unwrap())
    }

    fn schema(name: &str, level: &str, conditions: Value) -> Arc<Item> {
        item(
            &SCHEMAS,
            &json!({"metadata": {"name": name}, "spec": {"priorityLevelConfiguration": {"name": level}},
                "status": {"conditions": conditions}}),
        )
    }

    fn level(name: &str) -> Arc<Item> {
        item(&LEVELS, &json!({"metadata": {"name": name}}))
    }

    /// The condition that is written, if one is.
    fn written(index: &Index) -> Option<Value> {
        let plan = Dangling.reconcile(index, &Id::new(&SCHEMAS, "", "s"), Timestamp::UNIX_EPOCH);
        match &plan.steps[..] {
            [] => None,
            [Step::One(Effect::Patch { subresource: "status", patch, .. })] => {
                Some(patch["status"]["conditions"][0].clone())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_schema_says_once_whether_its_level_is_there() {
        let mut index = Index::default();
        assert_eq!(written(&index), None);
        index.put(schema("s", "l", json!([])));
        let dangles = written(&index).unwrap();
        assert_eq!((&dangles["status"], &dangles["reason"]), (&json!("True"), &json!("NotFound")));
        assert_eq!(
            dangles["message"],
            "This FlowSchema references the PriorityLevelConfiguration object named \"l\" but there is no such object"
        );
        index.put(schema("s", "l", json!([dangles])));
        assert_eq!(written(&index), None);
        index.put(level("l"));
        let found = written(&index).unwrap();
        assert_eq!((&found["status"], &found["reason"]), (&json!("False"), &json!("Found")));
        index.put(schema("s", "l", json!([{"type": "Other", "status": "True"}, found])));
        assert_eq!(written(&index), None);
        // The level that it leads to now has another name, which the message tells.
        index.put(level("m"));
        index.put(schema("s", "m", json!([found])));
        assert_eq!(written(&index).unwrap()["status"], "False");
    }

    #[test]
    fn schemas_are_looked_at_when_their_level_comes_or_goes() {
        let mut index = Index::default();
        index.put(schema("s", "l", json!([])));
        index.put(schema("t", "m", json!([])));
        let woken = |change: Change| {
            let mut woken = Vec::new();
            Dangling.wake(&index, &change, &mut |id| woken.push(id.name));
            woken
        };
        let (l, t) = (Some(level("l")), Some(schema("t", "m", json!([]))));
        assert_eq!(woken(Change { old: None, new: l.clone() }), ["s"]);
        assert_eq!(woken(Change { old: l.clone(), new: None }), ["s"]);
        assert!(woken(Change { old: l.clone(), new: l }).is_empty());
        assert_eq!(woken(Change { old: t.clone(), new: t.clone() }), ["t"]);
        assert!(woken(Change { old: t, new: None }).is_empty());
    }
}
