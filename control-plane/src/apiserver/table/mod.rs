//! Tables: the cells that kubectl prints, computed by the server. What the columns are stands in the rows of the kinds;
//! here is what an object has in each of them. A kind without a printer of its own shows its name and age.

mod autoscaler;
mod cluster;
mod pod;
mod policy;
mod service;
mod storage;
#[cfg(test)]
mod tests;
mod text;
mod workload;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kinds::Kind;
use text::Printed;

/// One object's row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// A cell for each column.
    pub cells: Vec<Value>,
    /// What clients may want to know before they show the row.
    pub conditions: Option<Value>,
}

/// The columns of a kind's tables, as they are sent.
pub fn columns(kind: &Kind) -> Value {
    let columns = kind.columns.iter().map(|column| {
        json!({
            "name": column.name,
            "type": column.kind,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        })
    });
    columns.collect()
}

/// The row of an object, which is given as it is stored.
pub fn row(kind: &Kind, object: &Value, now: Timestamp) -> Row {
    let printed = Printed { object, now };
    let conditions = (kind.kind == "Pod").then(|| pod::conditions(object)).flatten();
    Row { cells: cells(kind, &printed), conditions }
}

/// What the objects of a kind have in their columns.
fn cells(kind: &Kind, o: &Printed<'_>) -> Vec<Value> {
    let builtin = match kind.stored().group.as_str() {
        "" => core(&kind.kind, o),
        "apps" | "batch" => workload::cells(&kind.kind, o),
        "autoscaling" => autoscaler::cells(&kind.kind, o),
        "networking.k8s.io" | "discovery.k8s.io" => service::cells(&kind.kind, o),
        "storage.k8s.io" | "resource.k8s.io" => storage::cells(&kind.kind, o),
        "policy"
        | "rbac.authorization.k8s.io"
        | "certificates.k8s.io"
        | "admissionregistration.k8s.io"
        | "flowcontrol.apiserver.k8s.io" => policy::cells(&kind.kind, o),
        _ => cluster::cells(&kind.kind, o),
    };
    builtin.unwrap_or_else(|| plain(kind, o))
}

fn core(kind: &str, o: &Printed<'_>) -> Option<Vec<Value>> {
    match kind {
        "Pod" => Some(pod::cells(o)),
        "PodTemplate" | "ReplicationController" => workload::cells(kind, o),
        "Service" | "Endpoints" => service::cells(kind, o),
        "PersistentVolume" | "PersistentVolumeClaim" => storage::cells(kind, o),
        _ => cluster::cells(kind, o),
    }
}

/// Name and time, as the columns say.
fn plain(kind: &Kind, o: &Printed<'_>) -> Vec<Value> {
    let cell = |name: &str| match name {
        "Name" => o.name(),
        "Age" => o.age(),
        "Created At" => o.object["metadata"]["creationTimestamp"].clone(),
        _ => Value::Null,
    };
    kind.columns.iter().map(|column| cell(&column.name)).collect()
}
