//! What a pod asks for and what a node has.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use api_objects::Quantity;
use serde_json::Value;

use crate::amounts::{Amounts, Of, Sum, asks_as_a_whole, of_pod, of_pod_with};

/// What nodes are compared by.
pub const COMPARED: [&str; 2] = ["cpu", "memory"];
/// What a container is taken to need of these that says nothing, so that pods that say nothing are spread too.
static UNSAID: LazyLock<Amounts> = LazyLock::new(|| {
    let mut unsaid = Amounts::default();
    unsaid.set("cpu", Quantity::from_millis(100));
    unsaid.set("memory", Quantity::from_bytes(200 << 20));
    unsaid
});

/// Amounts: of cpu in thousandths of a core, of everything else in its own unit; each rounded up, once it is summed up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources(BTreeMap<String, i64>);

impl Resources {
    /// Reads a map of quantities. What is no quantity counts as nothing.
    pub fn of(map: &Value) -> Self {
        Self::from(&Amounts::of(map))
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
}

impl From<&Amounts> for Resources {
    fn from(amounts: &Amounts) -> Self {
        let whole = |(name, amount): (&str, Quantity)| {
            let amount = if name == "cpu" { amount.millis() } else { amount.units() };
            (name.to_owned(), amount)
        };
        Self(amounts.iter().map(whole).collect())
    }
}

/// What a pod needs, and the same with what is taken for what it does not say.
pub fn requests(pod: &Value) -> (Resources, Resources) {
    let sum = Sum { overhead: true, status: true };
    let needed = of_pod(pod, Of::Requests, sum);
    // What the pod as a whole asks for leaves nothing of it unsaid.
    let whole = asks_as_a_whole(pod);
    let unsaid = UNSAID.only(|name| !whole || needed.get(name).is_none());
    let weight = of_pod_with(pod, Of::Requests, sum, &unsaid);
    (Resources::from(&needed), Resources::from(&weight))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(requests: Value) -> Value {
        json!({"name": "c", "resources": {"requests": requests}})
    }

    fn pod(containers: &[Value]) -> Value {
        json!({"spec": {"containers": containers}})
    }

    #[test]
    fn amounts_are_rounded_up_once_they_are_summed_up() {
        let half = container(json!({"cpu": "500u", "example.com/x": "500m", "memory": "1500m"}));
        let (needed, _) = requests(&pod(&[half.clone(), half.clone(), half]));
        // Each for itself it would be 3, 3 and 6.
        let amounts = ["cpu", "example.com/x", "memory"].map(|name| needed.get(name));
        assert_eq!(amounts, [2, 2, 5]);
    }

    #[test]
    fn a_resize_that_is_on_its_way_counts() {
        let mut pod = pod(&[container(json!({"cpu": "1"}))]);
        pod["status"] = json!({"containerStatuses": [
            {"name": "c", "resources": {"requests": {"cpu": "3"}}, "allocatedResources": {"cpu": "2"}}]});
        assert_eq!(requests(&pod).0.get("cpu"), 3000);
    }

    #[test]
    fn each_container_weighs_something() {
        let mib = |resources: &Resources| (resources.get("cpu"), resources.get("memory") >> 20);
        let silent = || container(json!({}));
        let mut pod = pod(&[container(json!({"cpu": "1"})), silent(), silent()]);
        let (needed, weight) = requests(&pod);
        assert_eq!((mib(&needed), mib(&weight)), ((1000, 0), (1200, 600)));
        // What is asked for as a whole is what is needed, and so is what was added up of containers beside it.
        pod["spec"]["resources"] = json!({"requests": {"cpu": "2"}});
        let (needed, weight) = requests(&pod);
        assert_eq!((mib(&needed), mib(&weight)), ((2000, 0), (2000, 600)));
        pod["spec"]["resources"] = json!({"requests": {"memory": "1Gi"}});
        assert_eq!(mib(&requests(&pod).1), (1000, 1024));
    }
}
