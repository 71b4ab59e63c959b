//! The rules of a Pod, and of the template that workloads make pods of: what is filled in, and what is refused.
//!
//! The functions follow the order in which the API checks a pod, so that what is wrong is told in the same order.

mod affinity;
mod annotations;
mod claim;
mod containers;
mod defaults;
mod devices;
mod env;
mod mounts;
mod network;
mod overlaps;
mod prepare;
mod probes;
mod projected;
mod resize;
mod resources;
mod scheduling;
mod security;
mod spec;
mod states;
mod status;
mod template;
#[cfg(test)]
mod tests;
mod update;
mod validate;
mod volumes;
pub(crate) mod warnings;
mod windows;

pub use defaults::set_defaults;
pub use prepare::{keep_status, qos_class};
pub use resize::{check_ephemeral, check_resize};
pub use validate::validate;

pub(crate) use claim::defaults as claim_defaults;
pub(crate) use defaults::{absent, default};
pub(crate) use prepare::prepare_template;
pub(crate) use template::{
    POD_TEMPLATE, REPLICATION_CONTROLLER, check_running, check_template, metadata as template_metadata,
    not_more, selected, template_defaults,
};
pub(crate) use update::same;

use serde_json::{Map, Value};

use crate::check::{has, list};
use crate::rules::Rules;
use crate::{FieldError, Path};

/// A Pod on the API server, which looks at the metadata by itself.
pub(crate) const RULES: Rules = Rules {
    defaults: |pod| {
        set_defaults(pod);
        defaults::aliases(pod);
    },
    prepare: prepare::prepare,
    create: validate::create,
    update: update::check,
    status: status::check,
};

/// The metadata of the pod that a specification is of; none in a template.
type Meta<'v> = Option<&'v Value>;

/// Looks at each container of a specification, those that run first first.
fn each_container<'v>(spec: &'v Value, path: &Path, mut look: impl FnMut(&'v Value, &Path)) {
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        let containers = path.field(field);
        for (index, container) in list(spec, field).iter().enumerate() {
            look(container, &containers.index(index));
        }
    }
}

/// Changes each container of a specification.
fn change_containers(spec: &mut Map<String, Value>, mut change: impl FnMut(&mut Map<String, Value>)) {
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        let containers = spec.get_mut(field).and_then(Value::as_array_mut);
        containers.into_iter().flatten().filter_map(Value::as_object_mut).for_each(&mut change);
    }
}

/// Refuses each of these fields that is set.
fn forbid(errors: &mut Vec<FieldError>, object: &Value, path: &Path, fields: &[&str], why: &str) {
    for field in fields.iter().filter(|field| has(object, field)) {
        errors.push(FieldError::forbidden(&path.field(field), why));
    }
}
