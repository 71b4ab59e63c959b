//! The filters of the List calls.

use std::collections::{BTreeMap, HashMap};

use api_cri::v1::{ContainerFilter, ContainerState, ContainerStatsFilter, PodSandboxFilter, PodSandboxState};

use crate::core::container::Container;
use crate::core::report;
use crate::core::sandbox::Sandbox;

fn labels(wanted: &HashMap<String, String>, has: &HashMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| has.get(key) == Some(value))
}

/// An id may be shortened: crictl's users type the first few digits.
fn id(wanted: &str, id: &str) -> bool {
    id.starts_with(wanted)
}

/// Whether ListPodSandbox shows it.
pub(crate) fn sandbox(filter: &PodSandboxFilter, sandbox: &Sandbox) -> bool {
    let state = filter.state.as_ref().map(|state| PodSandboxState::try_from(state.state));
    id(&filter.id, &sandbox.id)
        && state.is_none_or(|state| state == Ok(report::sandbox_state(sandbox)))
        && labels(&filter.label_selector, &sandbox.config.labels)
}

/// Whether ListContainers shows it.
pub(crate) fn container(filter: &ContainerFilter, container: &Container) -> bool {
    let state = filter.state.as_ref().map(|state| ContainerState::try_from(state.state));
    id(&filter.id, &container.id)
        && id(&filter.pod_sandbox_id, &container.sandbox)
        && state.is_none_or(|state| state == Ok(report::container_state(container)))
        && labels(&filter.label_selector, &container.config.labels)
}

/// Whether ListContainerStats shows it.
pub(crate) fn container_stats(filter: &ContainerStatsFilter, container: &Container) -> bool {
    id(&filter.id, &container.id)
        && id(&filter.pod_sandbox_id, &container.sandbox)
        && labels(&filter.label_selector, &container.config.labels)
}

/// The one object whose id begins so; `None` for none or several.
pub(crate) fn by_prefix<'a, T>(objects: &'a BTreeMap<String, T>, prefix: &str) -> Option<&'a T> {
    if prefix.is_empty() {
        return None;
    }
    let mut matches = objects.range(prefix.to_owned()..).take_while(|(id, _)| id.starts_with(prefix));
    let (_, first) = matches.next()?;
    matches.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_id_counts_when_it_is_the_only_one() {
        let objects = BTreeMap::from([("ab1".to_owned(), 1), ("ab2".to_owned(), 2), ("c".to_owned(), 3)]);
        for (prefix, found) in [("ab1", Some(&1)), ("ab", None), ("c", Some(&3)), ("", None), ("d", None)] {
            assert_eq!(by_prefix(&objects, prefix), found, "{prefix}");
        }
    }
}
