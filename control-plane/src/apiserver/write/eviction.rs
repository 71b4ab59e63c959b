//! Evicting a pod: deleting it, unless that would leave fewer than a PodDisruptionBudget wants.

use std::sync::Arc;

use api_objects::selector::LabelSelector;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::admit;
use super::binding::created;
use super::change::{Made, change};
use super::decode::{self, Expected, Sent};
use super::delete::{remove, writer};
use super::deletion;
use super::options::Options;
use super::target::Write;
use crate::apiserver::cache::When;
use crate::apiserver::http::answer::Answer;
use crate::apiserver::http::path::Target;
use crate::apiserver::http::query::Query;
use crate::apiserver::http::request::Context;
use crate::apiserver::kinds::Resource;
use crate::apiserver::server::Server;
use crate::apiserver::status::{Cause, Details, Status};

const POLICY: &str = "policy";
/// Who is refused asks again after so many seconds.
const AGAIN: u32 = 10;

/// Evicts the pod that the path names.
pub(in crate::apiserver) async fn evict(
    server: &Arc<Server>,
    context: &Context,
    resource: &Resource,
    body: Bytes,
) -> Result<Answer, Status> {
    let asked = Options::of(context, "CreateOptions", false)?;
    let expected = Expected::of("policy/v1", "Eviction")?;
    let Sent { object: eviction, .. } = decode::decode_as(&expected, context, asked.validation, &body)?;
    let name = context.target.name.as_str();
    let told = eviction["metadata"]["name"].as_str().unwrap_or_default();
    if told != name {
        return Err(Status::bad_request(format!(
            "name in URL does not match name in Eviction object: {told:?}"
        )));
    }
    let mut options = deletion::Options::of(&eviction["deleteOptions"])?;
    options.dry_run |= asked.dry_run;
    let key = resource.kind.key(Some(&context.target.namespace), Some(name));
    let pod = server.caches.get(&resource.kind, &key, When::Latest).await?;
    let pod = pod.ok_or_else(|| Status::not_found(resource, name))?;
    let pod = pod.value();
    let write = writer(server, context, resource)?;
    admit::delete(&write, name).await?;
    if counts(&pod) {
        spend(server, context, &pod, options.dry_run).await?;
    }
    // Who names a version of the pod means it as it is.
    if !options.dry_run && !options.names_version() {
        tell(server, context, resource, &options).await?;
    }
    remove(&write, name, &options).await?;
    Ok(created())
}

/// Writes into the pod why it is about to go.
async fn tell(
    server: &Arc<Server>,
    context: &Context,
    resource: &Resource,
    options: &deletion::Options,
) -> Result<(), Status> {
    let target = Target { subresource: "status".to_owned(), ..context.target.clone() };
    let context = Context { target, query: Query::default(), ..context.clone() };
    let write = Write::new(server, &context, resource, Options::of(&context, "UpdateOptions", false)?)?;
    let name = context.target.name.as_str();
    change(&write, |live| {
        let live = live.ok_or_else(|| Status::not_found(resource, name))?;
        options.check(resource, name, live)?;
        Ok(Made { object: targeted(live, &write.now()), warnings: Vec::new() })
    })
    .await
    .map(drop)
}

/// The pod with the condition that it is meant.
fn targeted(pod: &Value, now: &str) -> Value {
    let mut pod = pod.clone();
    let mut conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|condition| condition["type"] != "DisruptionTarget");
    conditions.push(json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": now}));
    pod["status"]["conditions"] = conditions.into();
    pod
}

/// Whether a budget can miss the pod: one that is over, going or never ran is none of those that serve.
fn counts(pod: &Value) -> bool {
    let over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Pending"));
    !over && pod["metadata"].get("deletionTimestamp").is_none()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Takes one disruption from the pod's budget, or refuses.
async fn spend(server: &Arc<Server>, context: &Context, pod: &Value, dry_run: bool) -> Result<(), Status> {
    let kinds = &server.kinds;
    let budgets = kinds.known(POLICY, "v1", "poddisruptionbudgets");
    let budgets = budgets.map_err(|error| Status::unexpected(error.to_string()))?;
    let namespace = context.target.namespace.as_str();
    let mut meant = server.caches.values(&budgets.kind, Some(namespace), When::Latest).await?;
    meant.retain(|budget| selects(budget, pod));
    let budget = match meant.as_slice() {
        [] => return Ok(()),
        [one] => one["metadata"]["name"].as_str().unwrap_or_default(),
        _ => {
            let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalError",
                format!("Internal error occurred: {why}"),
            ));
        }
    };
    let target = Target {
        group: POLICY.to_owned(),
        version: "v1".to_owned(),
        resource: "poddisruptionbudgets".to_owned(),
        namespace: context.target.namespace.clone(),
        name: budget.to_owned(),
        subresource: "status".to_owned(),
        rest: String::new(),
    };
    let context = Context { target, query: Query::default(), ..context.clone() };
    let mut options = Options::of(&context, "UpdateOptions", false)?;
    options.dry_run = dry_run;
    let write = Write::new(server, &context, &budgets, options)?;
    change(&write, |live| {
        let live = live.ok_or_else(|| Status::not_found(&budgets, budget))?;
        let object = spent(live, pod, &write.now())?.unwrap_or_else(|| live.clone());
        Ok(Made { object, warnings: Vec::new() })
    })
    .await
    .map(drop)
}

fn selects(budget: &Value, pod: &Value) -> bool {
    let selector = &budget["spec"]["selector"];
    // Without a selector it is about no pod; with an empty one, about all.
    !selector.is_null()
        && LabelSelector::from_object(selector)
            .is_ok_and(|selector| selector.matches_object(&pod["metadata"]["labels"]))
}

/// The budget with one disruption less; none where the pod does not count for it.
fn spent(budget: &Value, pod: &Value, now: &str) -> Result<Option<Value>, Status> {
    let (name, status) = (budget["metadata"]["name"].as_str().unwrap_or_default(), &budget["status"]);
    let number = |field: &str| status[field].as_i64().unwrap_or(0);
    if !is_ready(pod) {
        let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
        let enough = number("currentHealthy") >= number("desiredHealthy") && number("desiredHealthy") > 0;
        if always || enough {
            return Ok(None);
        }
    }
    if number("observedGeneration") < budget["metadata"]["generation"].as_i64().unwrap_or(0) {
        return Err(refusal(format!("The disruption budget {name} is still being processed by the server.")));
    }
    let allowed = number("disruptionsAllowed");
    if allowed <= 0 {
        let (wants, has) = (number("desiredHealthy"), number("currentHealthy"));
        return Err(refusal(format!(
            "The disruption budget {name} needs {wants} healthy pods and has {has} currently"
        )));
    }
    let mut budget = budget.clone();
    let status = &mut budget["status"];
    status["disruptionsAllowed"] = (allowed - 1).into();
    if !status["disruptedPods"].is_object() {
        status["disruptedPods"] = json!({});
    }
    if let Some(pod) = pod["metadata"]["name"].as_str() {
        status["disruptedPods"][pod] = now.into();
    }
    Ok(Some(budget))
}

fn refusal(why: String) -> Status {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut status = Status::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message);
    let cause = Cause { reason: "DisruptionBudget".to_owned(), message: why, field: String::new() };
    status.details =
        Some(Box::new(Details { causes: vec![cause], retry_after: Some(AGAIN), ..Details::default() }));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(ready: &str) -> Value {
        json!({"metadata": {"name": "p", "labels": {"a": "b"}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}})
    }

    fn budget(allowed: i64, healthy: i64) -> Value {
        json!({"metadata": {"name": "b", "generation": 1}, "spec": {"selector": {"matchLabels": {"a": "b"}}},
            "status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": 2}})
    }

    #[test]
    fn a_budget_is_spent_until_nothing_is_left() {
        let after = spent(&budget(1, 3), &pod("True"), "now").unwrap().unwrap();
        assert_eq!(after["status"]["disruptionsAllowed"], 0);
        assert_eq!(after["status"]["disruptedPods"], json!({"p": "now"}));
        let refused = spent(&after, &pod("True"), "now").unwrap_err();
        assert_eq!((refused.code.as_u16(), refused.reason), (429, "TooManyRequests"));
        assert_eq!(
            refused.causes()[0].message,
            "The disruption budget b needs 2 healthy pods and has 3 currently"
        );
    }

    #[test]
    fn what_is_not_ready_goes_when_enough_others_are() {
        assert!(spent(&budget(0, 2), &pod("False"), "now").unwrap().is_none());
        assert!(spent(&budget(0, 1), &pod("False"), "now").is_err());
        let mut always = budget(0, 1);
        always["spec"]["unhealthyPodEvictionPolicy"] = "AlwaysAllow".into();
        assert!(spent(&always, &pod("False"), "now").unwrap().is_none());
    }

    #[test]
    fn a_budget_that_nobody_looked_at_refuses() {
        let mut new = budget(5, 5);
        new["metadata"]["generation"] = 2.into();
        assert!(
            spent(&new, &pod("True"), "now").unwrap_err().causes()[0]
                .message
                .contains("still being processed")
        );
    }

    #[test]
    fn a_budget_without_a_selector_is_about_nothing() {
        assert!(selects(&budget(1, 1), &pod("True")));
        assert!(!selects(&json!({"spec": {}}), &pod("True")));
        assert!(selects(&json!({"spec": {"selector": {}}}), &pod("True")));
    }

    #[test]
    fn only_what_serves_counts() {
        assert!(counts(&pod("True")));
        for phase in ["Pending", "Succeeded", "Failed"] {
            assert!(!counts(&json!({"metadata": {}, "status": {"phase": phase}})));
        }
    }
}
