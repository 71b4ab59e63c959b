//! A request that is turned away, in the API's wording.

use api_objects::FieldError;
use serde_json::{Map, Value, json};

use super::quote::quoted;
use super::{Action, Target, User};

/// Why a request is turned away: what a `Status` of the API carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// The machine-readable reason: `Forbidden`, `Invalid` …
    pub reason: &'static str,
    /// What a person reads.
    pub message: String,
    /// The name of the object, when it is about one.
    pub name: String,
    /// Its API group.
    pub group: String,
    /// Its kind or resource.
    pub kind: String,
    /// The fields that are wrong.
    pub causes: Vec<FieldError>,
}

impl std::error::Error for Refusal {}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Refusal {
    fn plain(code: u16, reason: &'static str, message: String) -> Self {
        let (name, group, kind) = (String::new(), String::new(), String::new());
        Self { code, reason, message, name, group, kind, causes: Vec::new() }
    }

    /// The request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, "BadRequest", message.into())
    }

    /// No credentials that are good for anything.
    pub fn unauthorized() -> Self {
        Self::plain(401, "Unauthorized", "Unauthorized".to_owned())
    }

    /// It may not be done to that object, or to any of that resource when `name` is empty.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, resource);
        let message = match (resource, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{what} is forbidden: {why}"),
            _ => format!("{what} {} is forbidden: {why}", quoted(name)),
        };
        Self::about(Self::plain(403, "Forbidden", message), group, resource, name)
    }

    /// No such object.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {} not found", qualified(group, resource), quoted(name));
        Self::about(Self::plain(404, "NotFound", message), group, resource, name)
    }

    /// The object is another one than was meant.
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, resource);
        let message = format!("Operation cannot be fulfilled on {what} {}: {why}", quoted(name));
        Self::about(Self::plain(409, "Conflict", message), group, resource, name)
    }

    /// Fields break rules; `causes` has at least one.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Vec<FieldError>) -> Self {
        let texts: Vec<_> = causes.iter().map(ToString::to_string).collect();
        let why = if let [one] = &texts[..] { one.clone() } else { format!("[{}]", texts.join(", ")) };
        let message = format!("{} {} is invalid: {why}", qualified(group, kind), quoted(name));
        let refusal = Self::about(Self::plain(422, "Invalid", message), group, kind, name);
        Self { causes, ..refusal }
    }

    fn about(self, group: &str, kind: &str, name: &str) -> Self {
        Self { group: group.to_owned(), kind: kind.to_owned(), name: name.to_owned(), ..self }
    }

    /// The `Status` object of the answer.
    pub fn to_status(&self) -> Value {
        let mut details = Map::new();
        for (key, text) in [("name", &self.name), ("group", &self.group), ("kind", &self.kind)] {
            if !text.is_empty() {
                details.insert(key.into(), json!(text));
            }
        }
        if !self.causes.is_empty() {
            let cause =
                |e: &FieldError| json!({"reason": e.kind.reason(), "message": e.message, "field": e.field});
            details.insert("causes".into(), self.causes.iter().map(cause).collect());
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if !details.is_empty() {
            status["details"] = Value::Object(details);
        }
        status
    }
}

/// `roles.rbac.authorization.k8s.io`; the core group is not named.
fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

/// The answer to an action that nothing allows; `reason` is what authorization had to say.
pub fn forbidden(user: &User, action: &Action<'_>, reason: &str) -> Refusal {
    let who = quoted(&user.name);
    let (verb, why) = (action.verb, if reason.is_empty() { String::new() } else { format!(": {reason}") });
    match action.target {
        Target::Path(path) => {
            let what = escaped(&format!("User {who} cannot {verb} path {}", quoted(path)));
            Refusal::forbidden("", "", "", &(what + &why))
        }
        Target::Resource(on) => {
            let resource = match on.subresource {
                "" => on.resource.to_owned(),
                subresource => format!("{}/{subresource}", on.resource),
            };
            let place = match on.namespace {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {}", quoted(namespace)),
            };
            let (resource, group) = (quoted(&resource), quoted(on.group));
            let what = escaped(&format!(
                "User {who} cannot {verb} resource {resource} in API group {group} {place}"
            ));
            Refusal::forbidden(on.group, on.resource, on.name, &(what + &why))
        }
    }
}

/// What a browser must not take for markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::Resource;
    use super::*;

    #[test]
    fn a_refused_action_reads_as_kubectl_prints_it() {
        let alice = User::new("alice", &[]);
        let pods = Resource { resource: "pods", namespace: "ns", ..Resource::default() };
        let scale =
            Resource { group: "apps", resource: "deployments", subresource: "scale", ..Resource::default() };
        let cases = [
            (
                Action::on("list", pods),
                "",
                "pods is forbidden: User \"alice\" cannot list resource \"pods\" in API group \"\" in the namespace \"ns\"",
            ),
            (
                Action::on("get", Resource { name: "n1", ..scale }),
                "why",
                "deployments.apps \"n1\" is forbidden: User \"alice\" cannot get resource \"deployments/scale\" in API group \"apps\" at the cluster scope: why",
            ),
            (Action::path("get", "/a<b"), "", "forbidden: User \"alice\" cannot get path \"/a&lt;b\""),
        ];
        for (action, reason, message) in cases {
            assert_eq!(forbidden(&alice, &action, reason).message, message);
        }
    }

    #[test]
    fn details_name_only_what_is_known() {
        let status = Refusal::forbidden("", "pods", "", "x").to_status();
        assert_eq!(status["details"], json!({"kind": "pods"}));
        assert_eq!(Refusal::bad_request("x").to_status().get("details"), None);
    }
}
