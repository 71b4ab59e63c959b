//! Binding a pod to a node: what the scheduler does.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::admit;
use super::change::{Made, change};
use super::decode::{self, Expected, Sent};
use super::options::Options;
use super::target::Write;
use crate::apiserver::http::answer::Answer;
use crate::apiserver::http::request::Context;
use crate::apiserver::kinds::Resource;
use crate::apiserver::server::Server;
use crate::apiserver::status::Status;

/// Binds the pod that the path names to the node in the body.
pub(in crate::apiserver) async fn bind(
    server: &Arc<Server>,
    context: &Context,
    resource: &Resource,
    body: Bytes,
) -> Result<Answer, Status> {
    let write = Write::new(server, context, resource, Options::of(context, "CreateOptions", false)?)?;
    let expected = Expected::of("v1", "Binding")?;
    let Sent { object: mut binding, .. } =
        decode::decode_as(&expected, context, write.options.validation, &body)?;
    let name = context.target.name.as_str();
    let node = binding["target"]["name"].as_str().unwrap_or_default().to_owned();
    if !matches!(binding["target"]["kind"].as_str(), None | Some("" | "Node")) || node.is_empty() {
        let path = api_objects::Path::ROOT.field("target");
        let error = match node.as_str() {
            "" => api_objects::FieldError::required(&path.field("name"), ""),
            _ => {
                let kind = binding["target"]["kind"].clone();
                api_objects::FieldError::not_supported(&path.field("kind"), kind, &["Node", "<empty>"])
            }
        };
        return Err(Status::invalid("", "Binding", name, vec![error]));
    }
    admit::bind(&write, &mut binding, &node).await?;
    change(&write, |live| {
        let live = live.ok_or_else(|| Status::not_found(resource, name))?;
        // As upstream names what is in the way.
        let refuse = |why: String| Err(Status::conflicting("", "pods/binding", name, &why));
        let uid = binding["metadata"]["uid"].as_str().unwrap_or_default();
        let found = live["metadata"]["uid"].as_str().unwrap_or_default();
        if !uid.is_empty() && uid != found {
            return refuse(format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"
            ));
        }
        if live["metadata"].get("deletionTimestamp").is_some() {
            return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
        }
        if let Some(node) = live["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
            return refuse(format!("pod {name} is already assigned to node {node:?}"));
        }
        if live["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
            return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
        }
        Ok(Made { object: bound(live, &binding, &node, &write.now()), warnings: Vec::new() })
    })
    .await?;
    Ok(created())
}

/// The pod with its node.
fn bound(live: &Value, binding: &Value, node: &str, now: &str) -> Value {
    let mut pod = live.clone();
    pod["spec"]["nodeName"] = node.into();
    for field in ["annotations", "labels"] {
        let Some(sent) = binding["metadata"][field].as_object().filter(|sent| !sent.is_empty()) else {
            continue;
        };
        if !pod["metadata"][field].is_object() {
            pod["metadata"][field] = Value::Object(Map::new());
        }
        sent.iter().for_each(|(key, value)| pod["metadata"][field][key] = value.clone());
    }
    let scheduled =
        json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    if !pod["status"]["conditions"].is_array() {
        pod["status"]["conditions"] = json!([]);
    }
    if let Some(conditions) = pod["status"]["conditions"].as_array_mut() {
        conditions.retain(|condition| condition["type"] != "PodScheduled");
        conditions.push(scheduled);
    }
    pod
}

/// It was done, and there is nothing to show.
pub(super) fn created() -> Answer {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
    });
    let mut answer = Answer::json(&status);
    answer.code = StatusCode::CREATED;
    answer
}
