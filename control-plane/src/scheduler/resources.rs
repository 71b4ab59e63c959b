//! What a pod asks for and what a node has.

use std::collections::BTreeMap;

use api_objects::Quantity;
use serde_json::Value;

/// Amounts: of cpu in thousandths of a core, of everything else in its own unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources(BTreeMap<String, i64>);

impl Resources {
    /// Reads a map of quantities. What is no quantity counts as nothing.
    pub fn of(map: &Value) -> Self {
        let entries = map.as_object().into_iter().flatten();
        let amount = |(name, value): (&String, &Value)| {
            let quantity: Quantity = value.as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
            let amount = if name == "cpu" { quantity.millis() } else { quantity.units() };
            (name.clone(), amount)
        };
        Self(entries.map(amount).collect())
    }

    /// How much of one.
    pub fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Those of which there is more than nothing.
    pub fn asked(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().filter(|(_, amount)| **amount > 0).map(|(name, amount)| (name.as_str(), *amount))
    }

    /// More of each.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() += amount;
        }
    }

    /// Less of each.
    pub fn take(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() -= amount;
        }
    }

    /// With these amounts of what there is nothing of.
    pub fn or_else(mut self, amounts: &[(&str, i64)]) -> Self {
        for (name, amount) in amounts {
            let own = self.0.entry((*name).to_owned()).or_default();
            if *own == 0 {
                *own = *amount;
            }
        }
        self
    }

    /// Of each the larger amount.
    fn raise(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let own = self.0.entry(name.clone()).or_default();
            *own = (*own).max(*amount);
        }
    }
}

/// What a pod needs from its begin to its end: init containers run one after the other, before the containers and
/// beside the sidecars that came before them.
pub fn requests(spec: &Value) -> Resources {
    let of = |container: &Value| Resources::of(&container["resources"]["requests"]);
    let list = |field: &str| spec[field].as_array().cloned().unwrap_or_default();
    let (mut sidecars, mut most) = (Resources::default(), Resources::default());
    for container in list("initContainers") {
        let mut needed = sidecars.clone();
        needed.add(&of(&container));
        if container["restartPolicy"] == "Always" {
            sidecars.clone_from(&needed);
        }
        most.raise(&needed);
    }
    let mut total = sidecars;
    list("containers").iter().for_each(|container| total.add(&of(container)));
    total.raise(&most);
    // What the pod asks for as a whole stands for what its containers do.
    total.0.extend(Resources::of(&spec["resources"]["requests"]).0);
    total.add(&Resources::of(&spec["overhead"]));
    total
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_needs_the_most_that_it_needs_at_any_time() {
        let container = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        let mut sidecar = container("300m");
        sidecar["restartPolicy"] = "Always".into();
        let mut spec = json!({"containers": [container("1"), container("500m")],
            "initContainers": [container("2"), sidecar, container("1")], "overhead": {"cpu": "10m", "memory": "1Mi"}});
        let needed = requests(&spec);
        assert_eq!((needed.get("cpu"), needed.get("memory")), (2010, 1 << 20));
        spec["containers"][0] = container("4");
        assert_eq!(requests(&spec).get("cpu"), 4810);
        spec["resources"] = json!({"requests": {"cpu": "1"}});
        assert_eq!(requests(&spec).get("cpu"), 1010);
    }
}
