//! A cluster in miniature, for property tests: an API server that keeps objects and numbers its writes, an index that
//! lags behind it, and nodes that take their time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::numbers::Numbers;
use super::{DEPLOYMENTS, Deployments};
use crate::client::{Gvr, Id, Refused};
use crate::controllers::Controller;
use crate::controllers::index::Index;
use crate::controllers::item::{Item, PODS};
use crate::controllers::plan::{Effect, Outcome, Step};
use crate::controllers::replicaset::{REPLICA_SETS, ReplicaSets};

static CONTROLLERS: [&dyn Controller; 2] = [&Deployments, &ReplicaSets];

/// The Deployment that everything is about.
pub(super) fn deployment() -> Id {
    Id::new(&DEPLOYMENTS, "n", "web")
}

#[derive(Default)]
pub(super) struct World {
    objects: BTreeMap<Id, Value>,
    revision: u64,
    /// What the index did not see yet, by kind.
    log: HashMap<Gvr, Vec<(u64, Id, Option<Value>)>>,
    index: Index,
    /// Keys to be looked at, each after the index has seen these writes.
    waiting: BTreeSet<(usize, Id)>,
    holds: HashMap<(usize, Id), Vec<(Gvr, u64)>>,
    seconds: i64,
    /// The most pods that may be there, and the least that must be available, by all specs since the last rest.
    pub most: i64,
    pub least: i64,
    /// So many pods were made.
    pub made: usize,
}

impl World {
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(self.seconds)
    }

    pub(super) fn wait(&mut self, seconds: i64) {
        self.seconds += seconds;
        self.waiting.extend((0..2).flat_map(|lane| {
            let kind = if lane == 0 { &DEPLOYMENTS } else { &REPLICA_SETS };
            self.index.all(kind).map(move |item| (lane, item.id.clone())).collect::<Vec<_>>()
        }));
    }

    pub(super) fn get(&self, id: &Id) -> Option<&Value> {
        self.objects.get(id)
    }

    pub(super) fn all(&self, kind: &Gvr) -> Vec<&Value> {
        self.objects.iter().filter(|(id, _)| id.kind == *kind).map(|(_, object)| object).collect()
    }

    fn write(&mut self, id: &Id, object: Option<Value>) -> u64 {
        self.revision += 1;
        let object = object.map(|mut object| {
            object["metadata"]["resourceVersion"] = self.revision.to_string().into();
            object
        });
        match &object {
            Some(object) => drop(self.objects.insert(id.clone(), object.clone())),
            None => drop(self.objects.remove(id)),
        }
        self.log.entry(id.kind).or_default().push((self.revision, id.clone(), object));
        self.revision
    }

    fn create(&mut self, kind: &Gvr, mut object: Value) -> Result<Id, Refused> {
        let metadata = &mut object["metadata"];
        if let Some(generate) = metadata["generateName"].as_str() {
            metadata["name"] = format!("{generate}{}", self.revision).into();
        }
        let id = Id::new(kind, "n", metadata["name"].as_str().unwrap());
        if self.objects.contains_key(&id) {
            return Err(refused(409));
        }
        metadata["namespace"] = "n".into();
        metadata["uid"] = format!("uid-{}", self.revision).into();
        metadata["generation"] = 1.into();
        metadata["creationTimestamp"] = api_objects::time::format(self.now()).into();
        object["status"] = json!({});
        self.write(&id, Some(object));
        Ok(id)
    }

    /// A person changes the Deployment, or makes it.
    pub(super) fn ask(&mut self, change: impl FnOnce(&mut Value)) {
        let id = deployment();
        let mut object = self.get(&id).cloned().unwrap_or_else(|| {
            json!({"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"image": "0"}]}}}})
        });
        let before = object["spec"].clone();
        change(&mut object["spec"]);
        if self.get(&id).is_none() {
            self.create(&DEPLOYMENTS, object.clone()).unwrap();
        } else if before != object["spec"] {
            let generation = object["metadata"]["generation"].as_i64().unwrap();
            object["metadata"]["generation"] = (generation + 1).into();
            self.write(&id, Some(object.clone()));
        }
        let numbers = Numbers::of(&object["spec"]);
        self.most = self.most.max(numbers.most());
        self.least = self.least.min(numbers.least());
    }

    /// What is asked for now is all that counts from here on.
    pub(super) fn rest(&mut self) {
        let numbers = Numbers::of(&self.get(&deployment()).unwrap()["spec"]);
        (self.most, self.least) = (numbers.most(), numbers.least());
    }

    /// Pods that count.
    pub(super) fn pods(&self) -> i64 {
        let live = |pod: &&&Value| pod["metadata"]["deletionTimestamp"].is_null();
        i64::try_from(self.all(&PODS).iter().filter(live).count()).unwrap()
    }

    /// Pods that count and are ready.
    pub(super) fn ready(&self) -> i64 {
        let ready = |pod: &&&Value| {
            pod["metadata"]["deletionTimestamp"].is_null()
                && pod["status"]["conditions"][0]["status"] == "True"
        };
        i64::try_from(self.all(&PODS).iter().filter(ready).count()).unwrap()
    }

    /// A node does the next thing that there is to do for one of the pods: lets it go, or makes it ready.
    pub(super) fn node(&mut self, choice: usize) -> bool {
        let todo = |pod: &Value| {
            !pod["metadata"]["deletionTimestamp"].is_null()
                || pod["status"]["conditions"][0]["status"] != "True"
        };
        let pods: Vec<Id> = self
            .objects
            .iter()
            .filter(|(id, pod)| id.kind == PODS && todo(pod))
            .map(|(id, _)| id.clone())
            .collect();
        let Some(id) = pods.get(choice % pods.len().max(1)).cloned() else { return false };
        let mut pod = self.objects[&id].clone();
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            self.write(&id, None);
            return true;
        }
        pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True",
            "lastTransitionTime": api_objects::time::format(self.now())}]});
        self.write(&id, Some(pod));
        true
    }

    /// The index sees one more write to some kind.
    pub(super) fn see(&mut self, choice: usize) -> bool {
        let mut kinds: Vec<Gvr> =
            self.log.iter().filter(|(_, log)| !log.is_empty()).map(|(kind, _)| *kind).collect();
        kinds.sort();
        let Some(kind) = kinds.get(choice % kinds.len().max(1)) else { return false };
        let (revision, id, object) = self.log.get_mut(kind).unwrap().remove(0);
        let change = match object {
            Some(object) => Some(self.index.put(Arc::new(Item::of(kind, &object).unwrap()))),
            None => self.index.remove(&id, revision),
        };
        for (lane, controller) in CONTROLLERS.iter().enumerate() {
            let waiting = &mut self.waiting;
            change.iter().for_each(|change| {
                controller.wake(&self.index, change, &mut |key| waiting.extend([(lane, key)]));
            });
        }
        true
    }

    /// A controller looks at some key that is to be looked at.
    pub(super) fn work(&mut self, choice: usize) -> bool {
        let index = &self.index;
        self.holds.retain(|_, holds| {
            holds.retain(|(kind, revision)| index.newest(kind) < *revision);
            !holds.is_empty()
        });
        let free: Vec<_> = self.waiting.iter().filter(|key| !self.holds.contains_key(key)).cloned().collect();
        let Some((lane, key)) = free.get(choice % free.len().max(1)).cloned() else { return false };
        self.waiting.remove(&(lane, key.clone()));
        let plan = CONTROLLERS[lane].reconcile(&self.index, &key, self.now());
        let (mut outcome, mut seen) = (Outcome::default(), Vec::new());
        for step in plan.steps {
            let effects = match step {
                Step::One(effect) => vec![effect],
                Step::Together(effects) | Step::SlowStart(effects) => effects,
            };
            effects.into_iter().for_each(|effect| self.perform(effect, &mut outcome, &mut seen));
            if !outcome.failures.is_empty() {
                break;
            }
        }
        for effect in plan.then.map(|then| then(&outcome)).unwrap_or_default() {
            self.perform(effect, &mut outcome, &mut seen);
        }
        if !outcome.failures.is_empty() {
            self.waiting.insert((lane, key.clone()));
        }
        self.holds.insert((lane, key), seen);
        true
    }

    fn perform(&mut self, effect: Effect, outcome: &mut Outcome, seen: &mut Vec<(Gvr, u64)>) {
        let done = match effect {
            Effect::Create { kind, object, .. } => self.create(&kind, object).map(|id| {
                self.made += usize::from(kind == PODS);
                outcome.created.push(id.name);
                kind
            }),
            Effect::Replace { id, subresource, object } => {
                self.replace(&id, subresource, object).map(|()| id.kind)
            }
            Effect::Delete { id, uid, .. } => {
                self.delete(&id, &uid);
                outcome.deleted.push(id.name);
                Ok(id.kind)
            }
            Effect::Tell(_) => return,
            other => panic!("{other:?}"),
        };
        match done {
            // What is seen of a kind up to here has it.
            Ok(kind) => seen.extend(self.log.get(&kind).and_then(|log| log.last()).map(|(n, ..)| (kind, *n))),
            Err(refused) => outcome.failures.push(refused),
        }
    }

    fn replace(&mut self, id: &Id, subresource: &str, mut object: Value) -> Result<(), Refused> {
        let live = self.objects.get(id).ok_or_else(|| refused(404))?.clone();
        if live["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
            return Err(refused(409));
        }
        if subresource == "status" {
            object["spec"] = live["spec"].clone();
        } else {
            object["status"] = live["status"].clone();
            if object["spec"] != live["spec"] {
                let generation = live["metadata"]["generation"].as_i64().unwrap();
                object["metadata"]["generation"] = (generation + 1).into();
            }
        }
        if object != live {
            self.write(id, Some(object));
        }
        Ok(())
    }

    fn delete(&mut self, id: &Id, uid: &str) {
        let Some(live) = self.objects.get(id).filter(|live| live["metadata"]["uid"] == uid).cloned() else {
            return;
        };
        let mut object = live;
        if id.kind != PODS {
            self.write(id, None);
        } else if object["metadata"]["deletionTimestamp"].is_null() {
            object["metadata"]["deletionTimestamp"] = api_objects::time::format(self.now()).into();
            self.write(id, Some(object));
        }
    }
}

fn refused(code: u16) -> Refused {
    Refused { code, reason: String::new(), message: format!("status {code}"), causes: Vec::new() }
}
