//! What is told to somebody who may not do what they ask for.

use super::quote::quoted;
use super::{Action, Target, User};
use crate::apiserver::status::Status;

/// The answer to an action that nothing allows; `reason` is what authorization had to say.
pub fn forbidden(user: &User, action: &Action<'_>, reason: &str) -> Status {
    let who = quoted(&user.name);
    let (verb, why) = (action.verb, if reason.is_empty() { String::new() } else { format!(": {reason}") });
    match action.target {
        Target::Path(path) => {
            let what = escaped(&format!("User {who} cannot {verb} path {}", quoted(path)));
            Status::forbidden("", "", "", &(what + &why))
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
            Status::forbidden(on.group, on.resource, on.name, &(what + &why))
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
}
