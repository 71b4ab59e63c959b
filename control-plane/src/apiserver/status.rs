//! The API's errors: a `Status` with the reason, the details and the words that clients know.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::kinds::Resource;
use crate::storage::{Revision, StoreError};
use api_objects::FieldError;

/// What an error is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Its resource, or its kind where the object itself is wrong.
    pub kind: String,
    /// Its identity.
    pub uid: String,
    /// What is wrong, one by one.
    pub causes: Vec<Cause>,
    /// Seconds after which it may be tried again.
    pub retry_after: Option<u32>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Which rule.
    pub reason: String,
    /// In words.
    pub message: String,
    /// The field, `spec.containers[0].image`.
    pub field: String,
}

impl From<FieldError> for Cause {
    fn from(error: FieldError) -> Self {
        Self { reason: error.kind.reason().to_owned(), message: error.message, field: error.field }
    }
}

/// An answer that is not the one asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// The HTTP status.
    pub code: StatusCode,
    /// The reason that programs look at; empty for an error that has none.
    pub reason: &'static str,
    /// In words.
    pub message: String,
    /// What it is about.
    pub details: Option<Box<Details>>,
    /// A token with which an expired list can be gone on with.
    pub continue_token: Option<String>,
}

impl Status {
    /// An error without details.
    pub fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None, continue_token: None }
    }

    fn with(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 404: there is no such object.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        Self::missing(&resource.served().group, &resource.kind.resource, name)
    }

    /// 404: there is no object of that group, resource and name.
    pub fn missing(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {name:?} not found", qualified(group, resource));
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).with(named(group, resource, name))
    }

    /// 401: no credentials that are good for anything.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// 403: it may not be done to that object, to any of that resource when `name` is empty, or at all when there is
    /// no resource.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, resource);
        let message = match (resource, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{what} is forbidden: {why}"),
            _ => format!("{what} {name:?} is forbidden: {why}"),
        };
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).with(named(group, resource, name))
    }

    /// 404: there is no such resource.
    pub fn no_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).with(Details::default())
    }

    /// 405: the resource knows no such verb.
    pub fn no_method() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message).with(Details::default())
    }

    /// 406: none of what the client takes can be given.
    pub fn not_acceptable(available: &str) -> Self {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {available}");
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message).with(Details::default())
    }

    /// 415: the body's type is none that is read.
    pub fn unknown_body(available: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {available}"
        );
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// 413: the body is longer than the server reads.
    pub fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        let code = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new(code, "RequestEntityTooLarge", message).with(Details::default())
    }

    /// 409: an object of this name is there.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", resource.qualified());
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).with(about(resource, name))
    }

    /// 409: the object is not as the writer thought.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        Self::conflicting(&resource.served().group, &resource.kind.resource, name, why)
    }

    /// 409: the object of that group, resource and name is not the one that was meant.
    pub fn conflicting(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, resource);
        let message = format!("Operation cannot be fulfilled on {what} {name:?}: {why}");
        Self::new(StatusCode::CONFLICT, "Conflict", message).with(named(group, resource, name))
    }

    /// 422: fields break rules. `group` and `kind` name what they are fields of.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: Vec<FieldError>) -> Self {
        // What is found twice is a cause twice, and said once.
        let mut texts: Vec<String> = Vec::new();
        for text in errors.iter().map(FieldError::to_string) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let what = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let details = Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            causes: errors.into_iter().map(Cause::from).collect(),
            ..Details::default()
        };
        let message = format!("{} {name:?} is invalid: {what}", qualified(group, kind));
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).with(details)
    }

    /// 410: the revision was forgotten.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// 504: the revision was not reached yet, and was not while the request waited.
    pub fn future(wanted: Revision, current: Revision) -> Self {
        let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
        let cause = Cause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            field: String::new(),
        };
        let details = Details { causes: vec![cause], retry_after: Some(1), ..Details::default() };
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message).with(details)
    }

    /// 504: the answer did not begin in time.
    pub fn late(within: std::time::Duration) -> Self {
        let message = format!(
            "Timeout: request did not complete within the allotted timeout of {} s",
            within.as_secs()
        );
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message).with(Details::default())
    }

    /// 500 without a reason: what the API answers to what it did not think of.
    pub fn unexpected(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    /// 503: the store does not answer.
    pub fn unavailable(message: impl Into<String>) -> Self {
        let details = Details { retry_after: Some(1), ..Details::default() };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message).with(details)
    }

    /// What is wrong, one by one.
    pub fn causes(&self) -> &[Cause] {
        self.details.as_ref().map_or(&[], |details| &details.causes)
    }

    /// The object that is sent.
    pub fn to_json(&self) -> Value {
        let metadata = match &self.continue_token {
            Some(token) => json!({ "continue": token }),
            None => json!({}),
        };
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata,
            "status": "Failure",
            "message": self.message,
            "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if let Some(details) = &self.details {
            status["details"] = details.to_json();
        }
        status
    }
}

impl Details {
    /// The object that is sent; what is empty is left out.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        for (name, text) in
            [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)]
        {
            if !text.is_empty() {
                object.insert(name.to_owned(), text.clone().into());
            }
        }
        if !self.causes.is_empty() {
            object.insert("causes".to_owned(), self.causes.iter().map(Cause::to_json).collect());
        }
        if let Some(seconds) = self.retry_after {
            object.insert("retryAfterSeconds".to_owned(), seconds.into());
        }
        Value::Object(object)
    }
}

impl Cause {
    fn to_json(&self) -> Value {
        let mut object = Map::new();
        for (name, text) in [("reason", &self.reason), ("message", &self.message), ("field", &self.field)] {
            if !text.is_empty() {
                object.insert(name.to_owned(), text.clone().into());
            }
        }
        Value::Object(object)
    }
}

impl From<StoreError> for Status {
    /// What a store's error means where nothing better is known of it.
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Compacted { .. } => {
                Self::expired("The resourceVersion for the provided list is too old.")
            }
            StoreError::Future { revision, newest } => Self::future(*revision, *newest),
            StoreError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", error.to_string())
            }
            StoreError::Conflict { .. } => Self::new(StatusCode::CONFLICT, "Conflict", error.to_string()),
            StoreError::Unavailable { .. } => Self::unavailable(error.to_string()),
            StoreError::Damaged { .. } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", error.to_string())
            }
        }
    }
}

/// What an error about an object names.
pub fn about(resource: &Resource, name: &str) -> Details {
    named(&resource.served().group, &resource.kind.resource, name)
}

fn named(group: &str, kind: &str, name: &str) -> Details {
    Details { name: name.to_owned(), group: group.to_owned(), kind: kind.to_owned(), ..Details::default() }
}

/// `roles.rbac.authorization.k8s.io`; the core group is not named.
fn qualified(group: &str, kind: &str) -> String {
    if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") }
}
