//! Where a write of a Service meets what Services have of the cluster; other kinds have nothing.

use serde_json::Value;

use super::part::Part;
use super::target::Write;
use crate::apiserver::services::{self, Allocation};
use crate::apiserver::status::Status;

fn is_service(write: &Write<'_>) -> bool {
    write.resource.qualified() == "services"
}

/// Writes into an object what it is to have of the cluster, and takes it.
pub(super) async fn begin(
    write: &Write<'_>,
    old: Option<&Value>,
    object: &mut Value,
) -> Result<Allocation, Status> {
    if !is_service(write) || write.part != Part::Whole {
        return Ok(Allocation::default());
    }
    Allocation::begin(write.server, object, old, write.options.dry_run).await
}

/// Gives back what an object had that was removed.
pub(super) async fn released(write: &Write<'_>, object: &Value) {
    if is_service(write) {
        services::released(write.server, object).await;
    }
}
