//! Amounts of resources by name: what containers ask for, what limits and quotas allow.

mod pod;

use std::collections::BTreeMap;
use std::fmt;

use api_objects::Quantity;
use serde_json::{Map, Value};

pub(crate) use pod::is_of_pods;
pub use pod::{Of, Sum, asks_as_a_whole, of_pod, of_pod_with};

/// How much of each resource. What is not named is not asked for, which is not the same as nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amounts(BTreeMap<String, Quantity>);

impl Amounts {
    /// Reads a map of quantities. What is no quantity counts as nothing.
    pub fn of(map: &Value) -> Self {
        let entries = map.as_object().into_iter().flatten();
        let amount = |value: &Value| value.as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
        Self(entries.map(|(name, value)| (name.clone(), amount(value))).collect())
    }

    /// How much of one, where it is named.
    pub fn get(&self, name: &str) -> Option<Quantity> {
        self.0.get(name).copied()
    }

    /// Names one.
    pub fn set(&mut self, name: impl Into<String>, amount: Quantity) {
        self.0.insert(name.into(), amount);
    }

    /// All of them in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    /// Nothing is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// More of each.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let own = self.0.entry(name.clone()).or_default();
            *own = *own + *amount;
        }
    }

    /// Less of each that is named here, down to nothing.
    pub fn take(&mut self, other: &Self) {
        for (name, amount) in &mut self.0 {
            if let Some(less) = other.0.get(name) {
                *amount = (*amount - *less).max(Quantity::ZERO);
            }
        }
    }

    /// Of each the larger amount.
    pub fn raise(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let own = self.0.entry(name.clone()).or_insert(*amount);
            *own = (*own).max(*amount);
        }
    }

    /// With these amounts of what is not named.
    pub fn fill(&mut self, unsaid: &Self) {
        for (name, amount) in &unsaid.0 {
            self.0.entry(name.clone()).or_insert(*amount);
        }
    }

    /// Those whose names are wanted.
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|(name, _)| wanted(name)).map(|(n, a)| (n.clone(), *a)).collect())
    }

    /// Those of which there is something.
    pub fn without_zeros(mut self) -> Self {
        self.0.retain(|_, amount| !amount.is_zero());
        self
    }

    /// As objects have them.
    pub fn to_json(&self) -> Value {
        let entries = self.0.iter().map(|(name, amount)| (name.clone(), amount.to_string().into()));
        Value::Object(entries.collect::<Map<_, _>>())
    }
}

impl fmt::Display for Amounts {
    /// `cpu=1,pods=3`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, amount)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{name}={amount}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn amounts(map: Value) -> Amounts {
        Amounts::of(&map)
    }

    #[test]
    fn amounts_add_up_and_are_written_as_they_came() {
        let mut sum = amounts(json!({"cpu": "500m", "memory": "64Mi"}));
        sum.add(&amounts(json!({"cpu": "1", "pods": "1"})));
        assert_eq!(sum.to_string(), "cpu=1500m,memory=64Mi,pods=1");
        assert_eq!(sum.to_json(), json!({"cpu": "1500m", "memory": "64Mi", "pods": "1"}));
        sum.raise(&amounts(json!({"cpu": "1", "memory": "1Gi", "x": "2"})));
        assert_eq!(sum.to_string(), "cpu=1500m,memory=1Gi,pods=1,x=2");
        assert_eq!(sum.only(|name| name.starts_with('p')).to_string(), "pods=1");
    }

    #[test]
    fn no_more_is_taken_than_there_is() {
        let mut left = amounts(json!({"cpu": "1", "pods": "1"}));
        left.take(&amounts(json!({"cpu": "2", "memory": "1"})));
        assert_eq!(left.to_string(), "cpu=0,pods=1");
        assert_eq!(left.without_zeros().to_string(), "pods=1");
    }
}
