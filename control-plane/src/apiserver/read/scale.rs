//! The `scale` subresource: how many there are to be and are, whatever the kind.

use std::sync::Arc;

use api_objects::selector::LabelSelector;
use serde_json::{Map, Value, json};

use super::plan;
use crate::apiserver::cache::When;
use crate::apiserver::http::answer::{Answer, Body};
use crate::apiserver::http::request::Context;
use crate::apiserver::kinds::Resource;
use crate::apiserver::server::Server;
use crate::apiserver::status::Status;

/// The scale of an object.
pub async fn scale(server: &Arc<Server>, context: &Context, resource: &Resource) -> Result<Answer, Status> {
    let version = context.query.get("resourceVersion").unwrap_or_default();
    let when = match plan::revision(version).map_err(Status::unexpected)? {
        None => When::Latest,
        Some(0) => When::Any,
        Some(revision) => When::NotOlderThan(revision),
    };
    let name = &context.target.name;
    let key = resource.kind.key(Some(&context.target.namespace), Some(name));
    let object = server.caches.get(&resource.kind, &key, when).await?;
    let object = object.ok_or_else(|| Status::not_found(resource, name))?;
    let object = object.value();
    let json = of(&object).to_string();
    Ok(Answer::new(http::StatusCode::OK, context.representation.encoding, Body::of(vec![json.into()])))
}

/// An object's scale.
pub fn of(object: &Value) -> Value {
    let metadata: Map<String, Value> = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), object["metadata"].get(name)?.clone())))
        .collect();
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let mut spec = json!({});
    if number(&object["spec"]["replicas"]) != 0 {
        spec["replicas"] = object["spec"]["replicas"].clone();
    }
    let mut status = json!({ "replicas": number(&object["status"]["replicas"]) });
    let selector = &object["spec"]["selector"];
    // A ReplicationController's selector is a plain map.
    let plain = selector.get("matchLabels").is_none() && selector.get("matchExpressions").is_none();
    let selector = match plain {
        true => Some(LabelSelector::from_map(selector)),
        false => LabelSelector::from_object(selector).ok(),
    };
    if let Some(selector) = selector.filter(|selector| !selector.is_empty()) {
        status["selector"] = selector.to_string().into();
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    })
}
