//! A node as the scheduler sees it: what it has, and what was given away.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::affinity::Labels;
use super::pod::Pod;
use super::resources::{COMPARED, Resources};
use super::taints::{Taint, tolerates};

/// What a node says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// What keeps pods off.
    pub taints: Vec<Taint>,
    /// It takes no pods.
    pub unschedulable: bool,
    /// What pods can have of it.
    pub allocatable: Resources,
}

impl Facts {
    /// Reads a node.
    pub fn of(node: &Value) -> Self {
        let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
        let label =
            |(key, value): (&String, &Value)| (key.clone(), value.as_str().unwrap_or_default().to_owned());
        Self {
            name: node["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            labels: labels.map(label).collect(),
            taints: Taint::of(&node["spec"]),
            unschedulable: node["spec"]["unschedulable"] == true,
            allocatable: Resources::of(&node["status"]["allocatable"]),
        }
    }
}

/// A node and its pods.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// What it says of itself; none as long as only pods tell of it.
    pub facts: Option<Facts>,
    pods: HashMap<String, Arc<Pod>>,
    used: Resources,
    /// The same, with what is not said.
    weight: Resources,
    kin: HashMap<String, i64>,
}

impl Node {
    /// A pod is to be there, or is there.
    pub fn put(&mut self, pod: Arc<Pod>) {
        self.take(&pod.uid);
        self.used.add(&pod.requests);
        self.weight.add(&pod.weight);
        *self.kin.entry(pod.kin.clone()).or_default() += 1;
        self.pods.insert(pod.uid.clone(), pod);
    }

    /// A pod is there no more.
    pub fn take(&mut self, uid: &str) {
        let Some(pod) = self.pods.remove(uid) else { return };
        self.used.take(&pod.requests);
        self.weight.take(&pod.weight);
        if let Some(count) = self.kin.get_mut(&pod.kin) {
            *count -= 1;
            if *count == 0 {
                self.kin.remove(&pod.kin);
            }
        }
    }

    /// Neither itself nor a pod tells of it.
    pub fn is_forgotten(&self) -> bool {
        self.facts.is_none() && self.pods.is_empty()
    }

    /// Why a pod cannot come; nothing when it can.
    pub fn refuses(&self, facts: &Facts, pod: &Pod) -> Vec<String> {
        let one = |why: &str| vec![why.to_owned()];
        if facts.unschedulable && !tolerates(&pod.tolerations, &Taint::unschedulable()) {
            return one("node(s) were unschedulable");
        }
        if !pod.node.is_empty() && pod.node != facts.name {
            return one("node(s) didn't match the requested node name");
        }
        if facts.taints.iter().any(|taint| taint.forbids() && !tolerates(&pod.tolerations, taint)) {
            return one("node(s) had untolerated taint(s)");
        }
        if !pod.affinity.fits(&facts.name, &facts.labels) {
            return one("node(s) didn't match Pod's node affinity/selector");
        }
        let mut taken = self.pods.values().flat_map(|other| &other.ports);
        if !pod.ports.is_empty() && taken.any(|taken| pod.ports.iter().any(|port| port.collides(taken))) {
            return one("node(s) didn't have free ports for the requested pod ports");
        }
        let mut short = Vec::new();
        let count = i64::try_from(self.pods.len()).unwrap_or(i64::MAX);
        if count >= facts.allocatable.get("pods") {
            short.push("Too many pods".to_owned());
        }
        for (name, amount) in pod.requests.asked() {
            if amount > facts.allocatable.get(name) - self.used.get(name) {
                short.push(format!("Insufficient {name}"));
            }
        }
        short
    }

    /// From 0 to 100: how much of cpu and memory would be left.
    pub fn room(&self, facts: &Facts, pod: &Pod) -> i64 {
        let share = |name: &str| {
            let all = facts.allocatable.get(name);
            let left = all - self.weight.get(name) - pod.weight.get(name);
            if all <= 0 || left <= 0 { 0 } else { left * 100 / all }
        };
        COMPARED.iter().map(|name| share(name)).sum::<i64>() / 2
    }

    /// How many pods of the same controller are there.
    pub fn kin(&self, pod: &Pod) -> i64 {
        if pod.kin.is_empty() { 0 } else { self.kin.get(&pod.kin).copied().unwrap_or(0) }
    }
}
