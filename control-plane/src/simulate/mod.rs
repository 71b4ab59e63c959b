//! Nodes that are none: registered, alive and able to take pods, which run as soon as they are asked to.
//!
//! ```text
//!   node    absent ──▶ registered ──▶ its Lease renewed every ten seconds
//!           taken for dead ──▶ says that it is ready, and so are its pods
//!   pod     bound ──▶ Running and Ready ──▶ asked to go ──▶ gone
//! ```
//!
//! For tests of scale, and to develop against. Everything is written as the node that it would come from, so that what
//! a node may do is tried as well.

mod status;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api_objects::time;
use daemon::CancellationToken;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::apiserver::server::Server;
use crate::client::remote::Remote;
use crate::client::{Client, Gvr, Id, PatchType};
use crate::controllers::afar::Scope;
use crate::controllers::index::{Change, Index};
use crate::controllers::item::{Item, PODS};
use crate::controllers::node::{LEASE_NAMESPACE, LEASES, NODES};
use crate::controllers::plan::{Effect, Identity, Plan, Step};
use crate::controllers::{self, Controller, Ended};

/// Who owns the fields that nodes write.
const AGENT: &str = "kubelet";
/// What a node's Lease says of how long it holds.
const LEASE_SECONDS: u32 = 40;

/// What nodes there are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many.
    pub nodes: usize,
    /// What their names begin with; a number from 0 stands behind it.
    pub prefix: String,
    /// Their cores.
    pub cpus: u32,
    /// Their memory in GiB.
    pub memory: u32,
    /// The pods that each can take.
    pub pods: u32,
    /// How often each says that it is alive.
    pub renew: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let (prefix, renew) = ("sim-".to_owned(), Duration::from_secs(10));
        Self { nodes: 1, prefix, cpus: 8, memory: 32, pods: 110, renew }
    }
}

/// Runs nodes on a server whose caches are fed, until `closing`.
pub async fn run(server: Arc<Server>, settings: Settings, closing: CancellationToken) -> Result<(), Ended> {
    controllers::work(server, vec![Arc::new(Nodes::new(settings))], None, closing.into()).await
}

/// What nodes see of a server elsewhere: themselves, their Leases, and pods that have a node.
static SCOPES: [Scope; 3] = [
    Scope { kind: NODES, namespace: "", query: "" },
    Scope { kind: LEASES, namespace: LEASE_NAMESPACE, query: "" },
    Scope { kind: PODS, namespace: "", query: "fieldSelector=spec.nodeName!%3D&" },
];

/// Runs nodes on a server elsewhere, until `closing`. Each acts under its own name: whoever is known there must be
/// allowed to act for others.
///
/// # Errors
/// When one of its tasks ended before that.
pub async fn run_afar(
    remote: Arc<Remote>,
    settings: Settings,
    closing: CancellationToken,
) -> Result<(), Ended> {
    let client = Client::remote(remote, AGENT);
    controllers::work_afar(client, Arc::new(Nodes::new(settings)), &SCOPES, closing).await
}

/// The nodes.
struct Nodes {
    settings: Settings,
    /// By name, with their number.
    names: HashMap<String, usize>,
}

impl Nodes {
    fn new(settings: Settings) -> Self {
        let names =
            (0..settings.nodes).map(|number| (format!("{}{number}", settings.prefix), number)).collect();
        Self { settings, names }
    }

    /// The number of the node on which a pod is to run.
    fn node_of<'a>(&self, pod: &'a Item) -> Option<(&'a str, usize)> {
        let node = pod.pod.as_ref()?.node.as_str();
        Some((node, *self.names.get(node)?))
    }

    fn register(&self, index: &Index, name: &str, now: Timestamp) -> Plan {
        let Some(number) = self.names.get(name) else { return Plan::default() };
        let mut plan = by(name);
        match index.get(&NODES, "", name) {
            None => {
                let object = status::node(&self.settings, name, *number, now);
                plan.one(Effect::Create { kind: NODES, namespace: String::new(), object });
            }
            Some(node) if !node.node.as_ref().is_some_and(|facts| facts.is_ready()) => {
                plan.steps.extend(revive(index, node, now));
            }
            Some(_) => {}
        }
        let id = Id::new(&LEASES, LEASE_NAMESPACE, name);
        let spec = json!({"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": time::format_micros(now)});
        plan.one(match index.at(&id) {
            Some(lease) => {
                let mut object = lease.value();
                object["kind"] = "Lease".into();
                object["spec"] = spec;
                Effect::Replace { id, subresource: "", object }
            }
            None => {
                let metadata = json!({"name": name, "namespace": LEASE_NAMESPACE});
                let object = json!({"kind": "Lease", "metadata": metadata, "spec": spec});
                Effect::Create { kind: LEASES, namespace: LEASE_NAMESPACE.to_owned(), object }
            }
        });
        plan.again = Some(self.settings.renew);
        plan
    }

    fn keep(&self, pod: &Item, now: Timestamp) -> Plan {
        let (Some((node, number)), Some(facts)) = (self.node_of(pod), &pod.pod) else {
            return Plan::default();
        };
        let mut plan = by(node);
        let id = pod.id.clone();
        if pod.deleting {
            let (uid, revision, propagation) = (pod.uid.clone(), None, None);
            plan.one(Effect::Delete { id, uid, revision, propagation, grace: Some(0) });
        } else if facts.phase == "Pending" {
            let status = status::running(&pod.value(), number, now);
            let patch: Value = json!({"metadata": {"uid": pod.uid}, "status": status});
            plan.one(Effect::Patch { id, subresource: "status", how: PatchType::Strategic, patch });
        }
        plan
    }
}

/// A node that was silent says how it and its pods are.
fn revive(index: &Index, node: &Item, now: Timestamp) -> [Step; 2] {
    let say = |item: &Item, conditions: Vec<Value>| Effect::Patch {
        id: item.id.clone(),
        subresource: "status",
        how: PatchType::Strategic,
        patch: json!({"metadata": {"uid": item.uid}, "status": {"conditions": conditions}}),
    };
    let lost = index.on_node(&node.id.name).filter(|pod| {
        let facts = pod.pod.as_ref();
        !pod.deleting && facts.is_some_and(|facts| facts.phase == "Running" && !facts.ready)
    });
    let pods = lost.map(|pod| say(pod, status::conditions_of_pod(now))).collect();
    [Step::One(say(node, status::conditions_of_node(now))), Step::Together(pods)]
}

/// What a node itself does.
fn by(node: &str) -> Plan {
    Plan {
        by: Some(Identity { name: format!("system:node:{node}"), group: "system:nodes" }),
        ..Plan::default()
    }
}

impl Controller for Nodes {
    fn name(&self) -> &'static str {
        "simulated-nodes"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![NODES, LEASES, PODS])
    }

    fn start(&self) -> Vec<Id> {
        self.names.keys().map(|name| Id::new(&NODES, "", name)).collect()
    }

    fn wake(&self, _index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(pod) = change.new.as_ref().filter(|item| item.id.kind == PODS) else { return };
        if self.node_of(pod).is_some() {
            wake(pod.id.clone());
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        if key.kind == NODES {
            return self.register(index, &key.name, now);
        }
        index.at(key).map(|pod| self.keep(pod, now)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::plan::Step;

    fn nodes() -> Nodes {
        Nodes::new(Settings { nodes: 2, ..Settings::default() })
    }

    fn index(kind: &Gvr, object: &Value) -> Index {
        let mut index = Index::default();
        index.put(Arc::new(Item::of(kind, object).unwrap()));
        index
    }

    fn reconciled(index: &Index, key: &Id) -> Plan {
        nodes().reconcile(index, key, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_node_registers_once_and_renews_its_lease() {
        assert_eq!(nodes().start().len(), 2);
        let key = Id::new(&NODES, "", "sim-1");
        let plan = reconciled(&Index::default(), &key);
        assert_eq!(plan.by.unwrap().name, "system:node:sim-1");
        let [Step::One(Effect::Create { object: node, .. }), Step::One(Effect::Create { object: lease, .. })] =
            plan.steps.as_slice()
        else {
            panic!("{:?}", plan.steps)
        };
        assert_eq!(
            node["status"]["capacity"],
            json!({"cpu": "8", "memory": "32Gi", "pods": "110",
            "ephemeral-storage": "100Gi"})
        );
        assert_eq!(lease["spec"]["holderIdentity"], "sim-1");
        assert_eq!(plan.again, Some(Settings::default().renew));

        let ready = |status: &str| {
            json!({"metadata": {"name": "sim-1", "uid": "7"},
            "status": {"conditions": [{"type": "Ready", "status": status}]}})
        };
        let plan = reconciled(&index(&NODES, &ready("Unknown")), &key);
        let Some(Step::One(Effect::Patch { subresource: "status", patch, .. })) = plan.steps.first() else {
            panic!("it does not say that it lives")
        };
        assert_eq!(
            (&patch["metadata"]["uid"], patch["status"]["conditions"][3]["status"].as_str()),
            (&json!("7"), Some("True"))
        );
        let plan = reconciled(&index(&NODES, &ready("True")), &key);
        assert!(matches!(plan.steps.as_slice(), [Step::One(Effect::Create { kind, .. })] if *kind == LEASES));
        let lease =
            json!({"metadata": {"name": "sim-1", "namespace": LEASE_NAMESPACE, "resourceVersion": "3"}});
        let plan = reconciled(&index(&LEASES, &lease), &key);
        let Some(Step::One(Effect::Replace { object, .. })) = plan.steps.last() else { panic!("no renewal") };
        assert_eq!(
            (&object["metadata"], &object["spec"]["leaseDurationSeconds"]),
            (&lease["metadata"], &json!(40))
        );
    }

    #[test]
    fn a_pod_runs_at_once_and_goes_at_once() {
        let key = Id::new(&PODS, "n", "p");
        let pod = |node: &str, phase: &str, change: &dyn Fn(&mut Value)| {
            let mut pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "1"},
                "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}, "status": {"phase": phase}});
            change(&mut pod);
            reconciled(&index(&PODS, &pod), &key).steps
        };
        let steps = pod("sim-0", "Pending", &|_| {});
        let [Step::One(Effect::Patch { subresource: "status", patch, .. })] = steps.as_slice() else {
            panic!()
        };
        assert_eq!((&patch["metadata"]["uid"], &patch["status"]["phase"]), (&json!("1"), &json!("Running")));
        assert_eq!(patch["status"]["containerStatuses"][0]["name"], "c");
        assert!(pod("sim-0", "Running", &|_| {}).is_empty());
        assert!(pod("another", "Pending", &|_| {}).is_empty());
        let going = |pod: &mut Value| pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let steps = pod("sim-0", "Running", &going);
        assert!(matches!(steps.as_slice(), [Step::One(Effect::Delete { grace: Some(0), .. })]));
    }
}
