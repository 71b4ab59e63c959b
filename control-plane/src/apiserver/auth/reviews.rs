//! The reviews: who am I, may I, may that user, who is this token. From the object of the request to that of the
//! answer; nothing of them is stored.

use api_objects::{FieldError, Path, time};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    Action, Authenticator, Authorizer, Chain, Lookup, Resource, Status, Target, Unauthenticated, User,
};

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// The answer to a SelfSubjectReview.
pub fn self_subject_review(user: &User, now: Timestamp) -> Value {
    json!({
        "kind": "SelfSubjectReview", "apiVersion": format!("{AUTHENTICATION}/v1"),
        "metadata": {"creationTimestamp": time::format(now)}, "status": {"userInfo": user.to_json()},
    })
}

/// The answer to a TokenReview.
///
/// # Errors
/// When there is no token in it. A token that is no good is an answer.
pub fn token_review(
    review: &Value,
    authenticator: &Authenticator,
    lookup: &dyn Lookup,
    now: Timestamp,
) -> Result<Value, Status> {
    let spec = &review["spec"];
    let token = spec["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = texts(&spec["audiences"]);
    // What holds for the header holds here: a token has no blanks.
    let found = match token.contains(char::is_whitespace) {
        true => Err(Unauthenticated("invalid bearer token".to_owned())),
        false => authenticator.token(token, &audiences, lookup, now),
    };
    let status = match found {
        Ok(verified) => {
            json!({"authenticated": true, "user": verified.user.to_json(), "audiences": verified.audiences})
        }
        Err(Unauthenticated(why)) => json!({"user": {}, "error": why}),
    };
    Ok(answer(review, "TokenReview", AUTHENTICATION, status))
}

/// The answer to a SelfSubjectAccessReview.
///
/// # Errors
/// When its fields break rules.
pub fn self_subject_access_review(
    review: &Value,
    user: &User,
    authorizer: &dyn Authorizer,
) -> Result<Value, Status> {
    let mut errors = Vec::new();
    check_spec(&review["spec"], false, &mut errors);
    check_metadata(&review["metadata"], &[], &mut errors);
    if !errors.is_empty() {
        return Err(Status::invalid(AUTHORIZATION, "", "", errors));
    }
    let status = access(&review["spec"], user, authorizer);
    Ok(answer(review, "SelfSubjectAccessReview", AUTHORIZATION, status))
}

/// The answer to a SubjectAccessReview.
///
/// # Errors
/// When its fields break rules.
pub fn subject_access_review(review: &Value, authorizer: &dyn Authorizer) -> Result<Value, Status> {
    let mut errors = Vec::new();
    check_spec(&review["spec"], true, &mut errors);
    check_metadata(&review["metadata"], &[], &mut errors);
    if !errors.is_empty() {
        return Err(Status::invalid(AUTHORIZATION, "", "", errors));
    }
    let status = access(&review["spec"], &subject(&review["spec"]), authorizer);
    Ok(answer(review, "SubjectAccessReview", AUTHORIZATION, status))
}

/// The answer to a LocalSubjectAccessReview in the namespace of the request's path.
///
/// # Errors
/// When its fields break rules.
pub fn local_subject_access_review(
    review: &Value,
    namespace: &str,
    authorizer: &dyn Authorizer,
) -> Result<Value, Status> {
    let mut review = review.clone();
    let mut meta = review["metadata"].as_object().cloned().unwrap_or_default();
    if meta.get("namespace").map(text).unwrap_or_default().is_empty() {
        meta.insert("namespace".into(), json!(namespace));
    }
    if let Some(fields) = review.as_object_mut() {
        fields.insert("metadata".into(), Value::Object(meta));
    }
    let (spec, meta) = (&review["spec"], &review["metadata"]);
    let mut errors = Vec::new();
    check_spec(spec, true, &mut errors);
    check_metadata(meta, &["namespace"], &mut errors);
    let path = Path::ROOT.field("spec");
    let on = &spec["resourceAttributes"];
    if !on.is_null() && text(&on["namespace"]) != text(&meta["namespace"]) {
        let path = path.field("resourceAttributes");
        let why = "must match metadata.namespace";
        errors.push(FieldError::invalid(&path.field("namespace"), text(&on["namespace"]), why));
    }
    if !spec["nonResourceAttributes"].is_null() {
        let path = path.field("nonResourceAttributes");
        let value = internal(&spec["nonResourceAttributes"]);
        errors.push(FieldError::invalid(&path, value, "disallowed on this kind of request"));
    }
    if !errors.is_empty() {
        return Err(Status::invalid(AUTHORIZATION, "", "", errors));
    }
    if text(&meta["namespace"]) != namespace {
        let why = format!("spec.resourceAttributes.namespace must match namespace: {namespace}");
        return Err(Status::bad_request(why));
    }
    let status = access(spec, &subject(spec), authorizer);
    Ok(answer(&review, "LocalSubjectAccessReview", AUTHORIZATION, status))
}

/// The answer to a SelfSubjectRulesReview.
///
/// # Errors
/// When it names no namespace.
pub fn self_subject_rules_review(review: &Value, user: &User, chain: &Chain<'_>) -> Result<Value, Status> {
    let namespace = text(&review["spec"]["namespace"]);
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let found = chain.rules_for(user, namespace);
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in found.rules {
        if !rule.resources.is_empty() {
            let mut one = json!({"verbs": rule.verbs, "resources": rule.resources});
            for (key, list) in [("apiGroups", &rule.api_groups), ("resourceNames", &rule.resource_names)] {
                if !list.is_empty() {
                    one[key] = json!(list);
                }
            }
            resources.push(one);
        }
        if !rule.non_resource_urls.is_empty() {
            paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
        }
    }
    let mut status =
        json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": found.incomplete});
    if !found.error.is_empty() {
        status["evaluationError"] = json!(found.error);
    }
    Ok(json!({
        "kind": "SelfSubjectRulesReview", "apiVersion": format!("{AUTHORIZATION}/v1"),
        "metadata": {}, "spec": {}, "status": status,
    }))
}

fn answer(review: &Value, kind: &str, group: &str, status: Value) -> Value {
    let metadata = review["metadata"].as_object().cloned().unwrap_or_else(Map::new);
    json!({
        "kind": kind, "apiVersion": format!("{group}/v1"),
        "metadata": metadata, "spec": review["spec"], "status": status,
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|one| text(one).to_owned()).collect()
}

/// The user that a review is about.
fn subject(spec: &Value) -> User {
    let extra = spec["extra"].as_object().into_iter().flatten();
    User {
        name: text(&spec["user"]).to_owned(),
        uid: text(&spec["uid"]).to_owned(),
        groups: texts(&spec["groups"]),
        extra: extra.map(|(key, values)| (key.clone(), texts(values))).collect(),
    }
}

fn access(spec: &Value, user: &User, authorizer: &dyn Authorizer) -> Value {
    let on = &spec["resourceAttributes"];
    let mut ignored = String::new();
    let mut fields = Vec::new();
    let target = if on.is_null() {
        Target::Path(text(&spec["nonResourceAttributes"]["path"]))
    } else {
        let complete = equalities(&on["fieldSelector"], &mut fields);
        if !complete {
            let part = if fields.is_empty() { "ignored" } else { "partially ignored" };
            ignored = format!("spec.resourceAttributes.fieldSelector {part} due to parse error");
        }
        Target::Resource(Resource {
            group: text(&on["group"]),
            resource: text(&on["resource"]),
            subresource: text(&on["subresource"]),
            namespace: text(&on["namespace"]),
            name: text(&on["name"]),
            fields: &fields,
        })
    };
    let verb = text(if on.is_null() { &spec["nonResourceAttributes"]["verb"] } else { &on["verb"] });
    let verdict = authorizer.authorize(user, &Action { verb, target });
    let mut status = json!({"allowed": verdict.allowed});
    if !verdict.reason.is_empty() {
        status["reason"] = json!(verdict.reason);
    }
    if !ignored.is_empty() {
        status["evaluationError"] = json!(ignored);
    }
    status
}

/// Collects what a field selector demands to be equal; false when a part of it is not understood. To leave a part
/// out asks for more than is wanted, which is safe.
fn equalities(selector: &Value, into: &mut Vec<(String, String)>) -> bool {
    let mut complete = true;
    for part in text(&selector["rawSelector"]).split(',').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some((field, _)) if field.ends_with('!') => {}
            Some((field, value)) => {
                into.push((field.to_owned(), value.strip_prefix('=').unwrap_or(value).to_owned()));
            }
            None => {
                into.clear();
                return false;
            }
        }
    }
    for requirement in selector["requirements"].as_array().into_iter().flatten() {
        match (text(&requirement["operator"]), &texts(&requirement["values"])[..]) {
            ("In", [value]) => into.push((text(&requirement["key"]).to_owned(), value.clone())),
            ("NotIn", [_]) => {}
            _ => complete = false,
        }
    }
    complete
}

/// Attributes as upstream's message shows them: under the names of the fields in its own program.
fn internal(attributes: &Value) -> Value {
    json!({"Path": text(&attributes["path"]), "Verb": text(&attributes["verb"])})
}

fn check_spec(spec: &Value, with_subject: bool, errors: &mut Vec<FieldError>) {
    let path = Path::ROOT.field("spec");
    let (on, path_attributes) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    match (on.is_null(), path_attributes.is_null()) {
        (false, false) => errors.push(FieldError::invalid(
            &path.field("nonResourceAttributes"),
            internal(path_attributes),
            "cannot be specified in combination with resourceAttributes",
        )),
        (true, true) => errors.push(FieldError::invalid(
            &path.field("resourceAttributes"),
            Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )),
        _ => {}
    }
    if with_subject && text(&spec["user"]).is_empty() && texts(&spec["groups"]).is_empty() {
        errors.push(FieldError::invalid(
            &path.field("user"),
            "",
            "at least one of user or group must be specified",
        ));
    }
    let path = path.field("resourceAttributes");
    for kind in ["fieldSelector", "labelSelector"] {
        let selector = &on[kind];
        let path = path.field(kind);
        let raw = text(&selector["rawSelector"]);
        let requirements = selector["requirements"].as_array().is_some_and(|list| !list.is_empty());
        match (selector.is_null(), raw.is_empty(), requirements) {
            (false, false, true) => {
                let why = "may not specified at the same time as requirements";
                errors.push(FieldError::invalid(&path.field("rawSelector"), raw, why));
            }
            (false, true, false) => {
                let why = format!("when {path} is specified, requirements or rawSelector is required");
                errors.push(FieldError::required(&path.field("requirements"), &why));
            }
            _ => {}
        }
    }
}

/// Nothing but these, and what the server keeps itself, may be in the metadata.
fn check_metadata(meta: &Value, allowed: &[&str], errors: &mut Vec<FieldError>) {
    let fields = meta.as_object().into_iter().flatten();
    let mut others = fields.filter(|(key, value)| {
        let empty = value.is_null() || **value == json!("") || **value == json!({}) || **value == json!([]);
        !(empty || *key == "managedFields" || allowed.contains(&&key[..]))
    });
    if others.next().is_some() {
        let why = if allowed.is_empty() { "must be empty" } else { "must be empty except for namespace" };
        errors.push(FieldError::invalid(&Path::ROOT.field("metadata"), meta.clone(), why));
    }
}

#[cfg(test)]
mod tests;
