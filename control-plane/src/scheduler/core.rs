//! The scheduler's core: which pod goes next, and to which node.
//!
//! ```text
//!   pod without a node ─▶ queue ─▶ filters ─▶ scores ─▶ placed here already ─▶ bound ─▶ the pod has its node
//!                           ▲         └─ no node left: told why, waits          │
//!                           └───────────────────────────── taken back ◀─────────┘ refused
//! ```
//!
//! A pod counts on its node from the moment on that it was decided, so that pods that come together do not all go to
//! the same place. Whoever owns this gives it events and takes decisions; time and chance are arguments.
//!
//! A node's score is the sum of what is left of its cpu and memory (weight 1), how few pods of the same controller it
//! has (2), how much the pod would like it (2), and how few of its `PreferNoSchedule` taints the pod does not put up
//! with (3), each from 0 to 100. All nodes are looked at. There is no preemption, and affinity between pods, topology
//! spread constraints and volumes are not looked at.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::node::{Facts, Node};
use super::pod::Pod;
use super::queue::{Counts, Queue};
use super::taints::tolerates;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A pod is there like this.
    Pod(Arc<Pod>),
    /// A pod is gone.
    PodGone(String),
    /// A node is there like this.
    Node(Facts),
    /// A node is gone.
    NodeGone(String),
    /// All pods there were have been told.
    PodsListed,
    /// All nodes there were have been told.
    NodesListed,
    /// A pod got the node that was decided.
    Bound(String),
    /// It did not.
    NotBound(String),
}

/// What was decided.
#[derive(Debug)]
pub enum Decision {
    /// The pod goes to this node.
    Bind(Arc<Pod>, String),
    /// No node takes it, for these reasons.
    Unschedulable(Arc<Pod>, String),
}

/// The scheduler's state.
#[derive(Debug, Default)]
pub struct Scheduler {
    nodes: BTreeMap<String, Node>,
    /// The nodes of pods that have one, or are about to.
    placed: HashMap<String, String>,
    /// Those that are about to.
    assumed: HashSet<String>,
    queue: Queue,
    pods_listed: bool,
    nodes_listed: bool,
}

impl Scheduler {
    /// Takes in what happened.
    pub fn apply(&mut self, event: Event, now: Instant) {
        match event {
            Event::Pod(pod) => self.pod(pod),
            Event::PodGone(uid) => self.pod_gone(&uid),
            Event::Node(facts) => {
                let node = self.nodes.entry(facts.name.clone()).or_default();
                // Heartbeats change nothing that matters here.
                if node.facts.as_ref() != Some(&facts) {
                    node.facts = Some(facts);
                    self.queue.changed();
                }
            }
            Event::NodeGone(name) => {
                if let Some(node) = self.nodes.get_mut(&name) {
                    node.facts = None;
                    if node.is_forgotten() {
                        self.nodes.remove(&name);
                    }
                }
            }
            Event::PodsListed => self.pods_listed = true,
            Event::NodesListed => self.nodes_listed = true,
            // That it has its node comes as an event of the pod.
            Event::Bound(_) => {}
            Event::NotBound(uid) => {
                if self.assumed.contains(&uid) {
                    self.leave(&uid);
                    self.queue.failed(&uid, now);
                    self.queue.changed();
                }
            }
        }
    }

    fn pod(&mut self, pod: Arc<Pod>) {
        if pod.over {
            return self.pod_gone(&pod.uid);
        }
        if pod.node.is_empty() {
            match pod.ours && !pod.deleting {
                true => self.queue.put(pod),
                false if !self.assumed.contains(&pod.uid) => self.queue.remove(&pod.uid),
                false => {}
            }
            return;
        }
        self.queue.remove(&pod.uid);
        // Where it is counts, and not where it was meant to be.
        self.leave(&pod.uid);
        self.place(pod.clone(), &pod.node.clone());
    }

    fn pod_gone(&mut self, uid: &str) {
        self.queue.remove(uid);
        if self.leave(uid) {
            self.queue.changed();
        }
    }

    fn place(&mut self, pod: Arc<Pod>, node: &str) {
        self.placed.insert(pod.uid.clone(), node.to_owned());
        self.nodes.entry(node.to_owned()).or_default().put(pod);
    }

    /// True when it had a node.
    fn leave(&mut self, uid: &str) -> bool {
        self.assumed.remove(uid);
        let Some(name) = self.placed.remove(uid) else { return false };
        if let Some(node) = self.nodes.get_mut(&name) {
            node.take(uid);
            if node.is_forgotten() {
                self.nodes.remove(&name);
            }
        }
        true
    }

    /// Decides on the pod whose turn it is; `chance` chooses among nodes that are equally good.
    pub fn next(&mut self, now: Instant, chance: usize) -> Option<Decision> {
        if !self.pods_listed || !self.nodes_listed {
            return None;
        }
        let pod = self.queue.take(now)?;
        match self.choose(&pod, chance) {
            Ok(node) => {
                self.assumed.insert(pod.uid.clone());
                self.place(pod.clone(), &node);
                Some(Decision::Bind(pod, node))
            }
            Err(why) => {
                self.queue.unschedulable(&pod.uid, now);
                Some(Decision::Unschedulable(pod, why))
            }
        }
    }

    /// How many pods wait.
    pub fn waiting(&self) -> Counts {
        self.queue.counts()
    }

    /// When to ask for the next one even if nothing happens.
    pub fn due(&mut self, now: Instant) -> Option<Instant> {
        self.queue.due(now)
    }

    fn choose(&self, pod: &Pod, chance: usize) -> Result<String, String> {
        let (mut count, mut reasons) = (0, BTreeMap::<String, usize>::new());
        let mut fit: Vec<(&Facts, &Node)> = Vec::new();
        for node in self.nodes.values() {
            let Some(facts) = &node.facts else { continue };
            count += 1;
            let refused = node.refuses(facts, pod);
            if refused.is_empty() {
                fit.push((facts, node));
            }
            refused.into_iter().for_each(|reason| *reasons.entry(reason).or_default() += 1);
        }
        if fit.is_empty() {
            return Err(message(count, &reasons));
        }
        let best = best(&fit, pod);
        Ok(best[chance % best.len()].to_owned())
    }
}

/// The words that people know.
fn message(nodes: usize, reasons: &BTreeMap<String, usize>) -> String {
    if nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let mut reasons: Vec<String> =
        reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    reasons.sort();
    format!("0/{nodes} nodes are available: {}.", reasons.join(", "))
}

/// The nodes with the highest score.
fn best<'a>(fit: &[(&'a Facts, &'a Node)], pod: &Pod) -> Vec<&'a str> {
    let kin: Vec<i64> = fit.iter().map(|(_, node)| node.kin(pod)).collect();
    let liking: Vec<i64> =
        fit.iter().map(|(facts, _)| pod.affinity.liking(&facts.name, &facts.labels)).collect();
    let shunned: Vec<i64> = fit.iter().map(|(facts, _)| shunned(facts, pod)).collect();
    let most = |values: &[i64]| values.iter().copied().max().unwrap_or(0);
    let (most_kin, most_liking, most_shunned) = (most(&kin), most(&liking), most(&shunned));
    let of = |value: i64, most: i64| if most == 0 { 0 } else { value * 100 / most };
    let scores: Vec<i64> = fit
        .iter()
        .enumerate()
        .map(|(at, (facts, node))| {
            node.room(facts, pod)
                + 2 * (100 - of(kin[at], most_kin))
                + 2 * of(liking[at], most_liking)
                + 3 * (100 - of(shunned[at], most_shunned))
        })
        .collect();
    let highest = most(&scores);
    let best = fit.iter().zip(&scores).filter(|(_, score)| **score == highest);
    best.map(|((facts, _), _)| facts.name.as_str()).collect()
}

/// The taints that would keep the pod off if it were up to the node.
fn shunned(facts: &Facts, pod: &Pod) -> i64 {
    let taints = facts.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
    i64::try_from(taints.filter(|taint| !tolerates(&pod.tolerations, taint)).count()).unwrap_or(i64::MAX)
}
