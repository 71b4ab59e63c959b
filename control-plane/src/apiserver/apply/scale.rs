//! Ownership across the subresource `scale`, which is an object of its own that shows one field of another.

use super::element::Element;
use super::entries::{Managed, Owned};
use super::set::FieldSet;

/// The version of Scale.
const SCALE: &str = "autoscaling/v1";

fn replicas() -> Vec<Element> {
    vec![Element::field("spec"), Element::field("replicas")]
}

fn only(path: &[Element]) -> FieldSet {
    let mut set = FieldSet::new();
    set.insert(path);
    set
}

/// The owners of a Scale: whoever owns the replicas of the object. `path` tells where those are in a version of the
/// object.
pub fn to_scale<'p>(parent: &Managed, path: impl Fn(&str) -> Option<&'p [Element]>) -> Managed {
    let mut scale = Managed::default();
    for (manager, owned) in &parent.owners {
        let Some(path) = path(&owned.version) else { continue };
        if owned.set.contains(path) {
            scale.owners.insert(manager.clone(), Owned { set: only(&replicas()), version: SCALE.to_owned() });
            if let Some(time) = parent.times.get(manager) {
                scale.times.insert(manager.clone(), time.clone());
            }
        }
    }
    scale
}

/// The owners of the object after its Scale was written. `version` is the one of the object in which new owners have
/// the replicas; upstream gives these no time.
pub fn from_scale<'p>(
    parent: &Managed,
    scale: &Managed,
    version: &str,
    path: impl Fn(&str) -> Option<&'p [Element]>,
) -> Managed {
    let mut all = Managed { times: parent.times.clone(), ..Managed::default() };
    let mut scalers = scale.owners.clone();
    for (manager, owned) in &parent.owners {
        let Some(path) = path(&owned.version) else { continue };
        let mut owned = owned.clone();
        if owned.set.contains(path) && scalers.remove(manager).is_none() {
            owned.set = owned.set.difference(&only(path));
        }
        if !owned.set.is_empty() {
            all.owners.insert(manager.clone(), owned);
        }
    }
    let Some(path) = path(version) else { return all };
    for (manager, owned) in scalers {
        if owned.set.contains(&replicas()) {
            all.owners.insert(manager, Owned { set: only(path), version: version.to_owned() });
        }
    }
    all
}
