//! Nobody grants what they do not hold: roles and bindings that are written.

use serde_json::Value;

use super::super::target::Write;
use crate::apiserver::auth::MASTERS;
use crate::apiserver::auth::rbac::{self, escalation};
use crate::apiserver::status::Status;

/// May the user write this role or binding? Objects of other kinds grant nothing.
pub(super) async fn check(write: &Write<'_>, old: Option<&Value>, new: &Value) -> Result<(), Status> {
    let (target, user) = (&write.context.target, &write.context.user);
    if target.group != rbac::GROUP || user.in_group(MASTERS) {
        return Ok(());
    }
    let access = &write.server.access;
    // What they hold may have been granted a moment ago.
    access.policy().catch_up(&write.server.caches).await?;
    let asked = escalation::Write {
        user,
        resource: &target.resource,
        namespace: &target.namespace,
        name: &target.name,
        old,
        new,
    };
    access.policy().ask(|chain| match target.resource.as_str() {
        "roles" | "clusterroles" => escalation::check_role(chain.rbac, chain, &asked),
        "rolebindings" | "clusterrolebindings" => escalation::check_binding(chain.rbac, chain, &asked),
        _ => Ok(()),
    })
}
