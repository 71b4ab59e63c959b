//! Nothing is made in a namespace that is not there or is going, and some namespaces never go.

use serde_json::Value;

use crate::apiserver::kinds::Resource;
use crate::apiserver::status::{Cause, Status};

/// The cluster cannot do without them.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// May an object be made in the namespace that was found?
pub(super) fn check(
    resource: &Resource,
    namespace: &str,
    name: &str,
    found: Option<&Value>,
) -> Result<(), Status> {
    let Some(found) = found else { return Err(Status::missing("", "namespaces", namespace)) };
    if found["metadata"].get("deletionTimestamp").is_none() && found["status"]["phase"] != "Terminating" {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut status = Status::forbidden(&resource.served().group, &resource.kind.resource, name, &why);
    if let Some(details) = &mut status.details {
        details.causes = vec![Cause {
            reason: "NamespaceTerminating".to_owned(),
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".to_owned(),
        }];
    }
    Err(status)
}

/// May the namespace be deleted?
pub(super) fn may_go(name: &str) -> Result<(), Status> {
    if !IMMORTAL.contains(&name) {
        return Ok(());
    }
    Err(Status::forbidden("", "namespaces", name, "this namespace may not be deleted"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::apiserver::kinds::Registry;

    #[test]
    fn a_namespace_must_be_there_and_stay() {
        let pods = Registry::builtin().unwrap().core("pods").unwrap();
        let check = |found: Option<Value>| check(&pods, "n", "p", found.as_ref());
        assert!(check(Some(json!({"metadata": {}, "status": {"phase": "Active"}}))).is_ok());
        assert_eq!(check(None).unwrap_err().message, "namespaces \"n\" not found");
        let going = check(Some(json!({"metadata": {"deletionTimestamp": "x"}}))).unwrap_err();
        assert_eq!((going.code.as_u16(), going.causes()[0].reason.as_str()), (403, "NamespaceTerminating"));
    }

    #[test]
    fn some_namespaces_never_go() {
        assert!(
            may_go("kube-system").is_err() && may_go("kube-node-lease").is_ok() && may_go("mine").is_ok()
        );
    }
}
