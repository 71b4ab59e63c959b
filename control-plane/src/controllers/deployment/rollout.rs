//! One look at a Deployment: what becomes of its sets, and what is written of it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::numbers::Numbers;
use super::sets::{REVISION, Set};
use super::status::{self, About, PROGRESSING, condition, say};
use super::{hash, owner, same, scale};
use crate::client::Id;
use crate::controllers::conditions;
use crate::controllers::item::Item;
use crate::controllers::plan::{Effect, Outcome, Plan, Step, Telling, reference};
use crate::controllers::replicaset::REPLICA_SETS;

/// Sets of former templates that are kept where nobody says how many.
const HISTORY_LIMIT: i64 = 10;
/// A history limit of this is none.
const NO_LIMIT: i64 = i32::MAX as i64;
/// A name is no longer than this.
const NAME: usize = 253;

/// The working copy of a Deployment and its sets.
pub(super) struct Rollout {
    item: Arc<Item>,
    object: Value,
    numbers: Numbers,
    now: Timestamp,
    /// The set of the template, and the others.
    new: Option<Set>,
    old: Vec<Set>,
    /// The new set is still to be made.
    made: bool,
    /// Sets that nobody needs.
    spare: Vec<Id>,
    /// The name of the new set is taken.
    collides: bool,
}

impl Rollout {
    pub(super) fn new(item: Arc<Item>, object: Value, sets: Vec<Arc<Item>>, now: Timestamp) -> Self {
        let mut sets: Vec<Set> = sets.iter().map(Set::of).collect();
        sets.sort_by(|a, b| a.created.cmp(&b.created).then_with(|| a.id.name.cmp(&b.id.name)));
        let template = &object["spec"]["template"];
        let new = sets.iter().position(|set| same::templates(&set.object["spec"]["template"], template));
        let new = new.map(|at| sets.remove(at));
        let numbers = Numbers::of(&object["spec"]);
        Self { item, numbers, now, new, old: sets, object, made: false, spare: Vec::new(), collides: false }
    }

    /// Decides. `runs` says whether a set has pods that are not over, `taken` whether there is a set of a name.
    pub(super) fn run(mut self, runs: &dyn Fn(&str) -> bool, taken: &dyn Fn(&str) -> bool) -> Plan {
        if self.item.deleting {
            return self.finish(false);
        }
        self.renew();
        self.say_paused();
        let paused = self.object["spec"]["paused"] == true;
        let rescaled = self.all().any(|set| {
            set.replicas() > 0 && set.desired().is_some_and(|desired| desired != self.numbers.replicas)
        });
        if paused || rescaled {
            // As long as pods are there that are to go, there is no room for those that are to come.
            if self.all().all(Set::is_seen) {
                let total = self.object["status"]["replicas"].as_i64().unwrap_or(0);
                scale::scale(self.new.as_mut(), &mut self.old, self.numbers, total);
            }
            if paused {
                self.clean_up();
            }
            return self.finish(false);
        }
        let moved = if self.numbers.recreate { self.recreate(runs, taken) } else { self.roll(taken) };
        let complete = status::is_complete(&self.object["status"], self.numbers, self.item.generation);
        if !moved && complete {
            self.clean_up();
        }
        self.finish(true)
    }

    fn all(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(&self.new)
    }

    fn next_revision(&self) -> i64 {
        self.old.iter().map(Set::revision).max().unwrap_or(0) + 1
    }

    /// The set of the template is the newest, also where it was an old one until now.
    fn renew(&mut self) {
        let revision = self.next_revision();
        let Some(new) = &mut self.new else { return };
        new.renew(&self.object["metadata"]["annotations"], revision);
        let seconds = self.object["spec"]["minReadySeconds"].as_i64().unwrap_or(0);
        if new.object["spec"]["minReadySeconds"].as_i64().unwrap_or(0) != seconds {
            new.object["spec"]["minReadySeconds"] = seconds.into();
            new.changed = true;
        }
        let message = format!("Found new replica set {:?}", new.id.name);
        let revision = new.revision();
        self.object["metadata"]["annotations"][REVISION] = revision.to_string().into();
        let known = conditions::get(&self.object["status"], PROGRESSING).is_some();
        if !known && status::deadline(&self.object["spec"]).is_some() {
            self.say("True", "FoundNewReplicaSet", &message);
        }
    }

    fn say(&mut self, status: &str, reason: &str, message: &str) {
        say(&mut self.object["status"], condition(PROGRESSING, status, reason, message, self.now));
    }

    /// Says that the rollout stands still or goes on, unless it is late already.
    fn say_paused(&mut self) {
        if status::deadline(&self.object["spec"]).is_none() {
            return;
        }
        let current = conditions::get(&self.object["status"], PROGRESSING);
        let reason = current.and_then(|current| current["reason"].as_str());
        match (self.object["spec"]["paused"] == true, reason) {
            (_, Some(status::LATE)) | (true, Some("DeploymentPaused")) => {}
            (true, _) => self.say("Unknown", "DeploymentPaused", "Deployment is paused"),
            (false, Some("DeploymentPaused")) => {
                self.say("Unknown", "DeploymentResumed", "Deployment is resumed")
            }
            (false, _) => {}
        }
    }

    /// New pods come and old ones go, within what the numbers allow. True when something moved or is still to: each step
    /// waits until the sets' controller has done its part of the former one, as otherwise new pods could be there before
    /// the old ones are gone, and old ones be counted on that are going.
    fn roll(&mut self, taken: &dyn Fn(&str) -> bool) -> bool {
        if self.new.is_none() && !self.make(taken) {
            return true;
        }
        if !self.all().all(Set::is_seen) {
            return true;
        }
        let grown = self.grown();
        let numbers = self.numbers;
        if let Some(new) = self.new.as_mut().filter(|new| new.replicas() != grown) {
            new.scale(grown, numbers);
            return true;
        }
        self.made || self.shrink()
    }

    /// How many pods the new set may have.
    fn grown(&self) -> i64 {
        let numbers = self.numbers;
        let has = self.new.as_ref().map_or(0, Set::replicas);
        if numbers.recreate || has >= numbers.replicas {
            return numbers.replicas;
        }
        let room = numbers.most() - self.all().map(Set::pods).sum::<i64>();
        has + room.clamp(0, numbers.replicas - has)
    }

    /// Lets old pods go: first those that are of no use, then as many as enough remain without.
    fn shrink(&mut self) -> bool {
        let numbers = self.numbers;
        let asked: i64 = self.all().map(Set::replicas).sum();
        let waiting = self.new.as_ref().map_or(0, |new| new.replicas() - new.available());
        let mut room = asked - numbers.least() - waiting;
        if room <= 0 || self.old.iter().all(|set| set.replicas() == 0) {
            return false;
        }
        let available: i64 = self.all().map(Set::available).sum();
        let mut moved = false;
        let mut take = |set: &mut Set, count: i64, room: &mut i64| {
            if count > 0 {
                set.scale(set.replicas() - count, numbers);
                *room -= count;
                moved = true;
            }
            count.max(0)
        };
        for set in &mut self.old {
            let useless = set.replicas() - set.available();
            take(set, useless.min(room), &mut room);
        }
        let mut excess = (available - numbers.least()).min(room);
        for set in &mut self.old {
            excess -= take(set, set.replicas().min(excess), &mut room);
        }
        moved
    }

    /// Old pods go, and when they are gone, new ones come. True when something moved or is still to.
    fn recreate(&mut self, runs: &dyn Fn(&str) -> bool, taken: &dyn Fn(&str) -> bool) -> bool {
        let numbers = self.numbers;
        let active: Vec<&mut Set> = self.old.iter_mut().filter(|set| set.replicas() > 0).collect();
        if !active.is_empty() {
            active.into_iter().for_each(|set| set.scale(0, numbers));
            return true;
        }
        if self.old.iter().any(|set| !set.is_seen() || set.pods() > 0 || runs(&set.uid)) {
            return true;
        }
        if self.new.is_none() && !self.make(taken) {
            return true;
        }
        match self.new.as_mut().filter(|new| new.replicas() != numbers.replicas) {
            Some(new) => {
                new.scale(numbers.replicas, numbers);
                true
            }
            None => self.made,
        }
    }

    /// Makes the set of the template; false when its name is taken.
    fn make(&mut self, taken: &dyn Fn(&str) -> bool) -> bool {
        let mut template = self.object["spec"]["template"].clone();
        let hash = hash::of(&template, self.object["status"]["collisionCount"].as_i64());
        let mut name = self.item.id.name.clone();
        name.truncate(name.floor_char_boundary(NAME.saturating_sub(hash.len() + 1)));
        let name = format!("{name}-{hash}");
        if taken(&name) {
            let count = self.object["status"]["collisionCount"].as_i64().unwrap_or(0) + 1;
            self.object["status"]["collisionCount"] = count.into();
            self.collides = true;
            return false;
        }
        template["metadata"]["labels"][hash::LABEL] = hash.as_str().into();
        let mut selector = self.object["spec"]["selector"].clone();
        selector["matchLabels"][hash::LABEL] = hash.into();
        let namespace = self.item.id.namespace.as_str();
        let object = json!({
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": template["metadata"]["labels"],
                "annotations": {},
                "ownerReferences": [owner(&self.item)],
            },
            "spec": {
                "replicas": 0,
                "minReadySeconds": self.object["spec"]["minReadySeconds"].as_i64().unwrap_or(0),
                "selector": selector,
                "template": template,
            },
            "status": {},
        });
        let id = Id::new(&REPLICA_SETS, namespace, &name);
        let uid = String::new();
        let created = Some(self.now);
        let mut set =
            Set { id, uid, created, deleting: false, generation: 1, object, changed: true, before: 0 };
        let revision = self.next_revision();
        set.renew(&self.object["metadata"]["annotations"], revision);
        self.new = Some(set);
        let (grown, numbers) = (self.grown(), self.numbers);
        if let Some(new) = &mut self.new {
            new.scale(grown, numbers);
        }
        self.made = true;
        self.object["metadata"]["annotations"][REVISION] = revision.to_string().into();
        if status::deadline(&self.object["spec"]).is_some() {
            self.say("True", "NewReplicaSetCreated", &format!("Created new replica set {name:?}"));
        }
        true
    }

    /// Lets go of the oldest sets beyond the history limit that have nothing to do any more.
    fn clean_up(&mut self) {
        let limit = self.object["spec"]["revisionHistoryLimit"].as_i64().unwrap_or(HISTORY_LIMIT);
        let mut sets: Vec<&Set> = self.old.iter().filter(|set| !set.deleting).collect();
        let excess = sets.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        if limit == NO_LIMIT || excess == 0 {
            return;
        }
        sets.sort_by_key(|set| (set.revision(), set.created));
        let idle = |set: &&&Set| set.pods() == 0 && set.is_seen() && !set.changed;
        self.spare = sets[..excess].iter().filter(idle).map(|set| set.id.clone()).collect();
    }

    /// Reads off the effects; `rolls` says whether the status is to say how the rollout gets on.
    fn finish(self, rolls: bool) -> Plan {
        let mut plan = Plan::default();
        let about = reference(&self.item, "Deployment");
        for set in self.new.iter().chain(&self.old).filter(|set| set.changed) {
            let made = self.made && set.uid.is_empty();
            let (id, object) = (set.id.clone(), set.object.clone());
            plan.one(match made {
                true => Effect::Create { kind: id.kind, namespace: id.namespace, object },
                false => Effect::Replace { id, subresource: "", object },
            });
            let (before, after) = (set.before, set.replicas());
            let way = if after > before { "up" } else { "down" };
            let message = format!("Scaled {way} replica set {} from {before} to {after}", set.id.name);
            if before != after {
                let about = about.clone();
                plan.one(Effect::Tell(Telling {
                    about,
                    warning: false,
                    reason: "ScalingReplicaSet",
                    message,
                }));
            }
        }
        let gone = self.old.iter().filter(|set| self.spare.contains(&set.id)).map(|set| Effect::Delete {
            id: set.id.clone(),
            uid: set.uid.clone(),
            revision: None,
            propagation: None,
            grace: None,
        });
        let gone: Vec<Effect> = gone.collect();
        if !gone.is_empty() {
            plan.steps.push(Step::Together(gone));
        }
        let status = self.status(rolls);
        plan.again = status::look_again(&self.about(&self.object["status"]), &status, self.now);
        plan.then = Some(Box::new(move |outcome: &Outcome| self.then(status, outcome)));
        plan
    }

    fn about<'a>(&'a self, before: &'a Value) -> About<'a> {
        About {
            name: &self.item.id.name,
            spec: &self.object["spec"],
            numbers: self.numbers,
            generation: self.item.generation,
            before,
        }
    }

    /// The status as it is to be.
    fn status(&self, rolls: bool) -> Value {
        let all: Vec<&Set> = self.all().collect();
        let before = &self.object["status"];
        let new = self.new.as_ref();
        let mut status = status::count(before, self.item.generation, self.numbers, new, &all, self.now);
        if rolls && !self.collides {
            status::progress(&self.about(before), &mut status, new, &all, self.now);
        }
        status
    }

    /// Writes the status, if it is another one.
    fn then(mut self, mut status: Value, outcome: &Outcome) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(why) = outcome.failures.first() {
            // Somebody was faster, and it is looked at again; only that no set can be made is worth saying.
            if !self.made || why.is_conflict() || !outcome.created.is_empty() {
                return effects;
            }
            let name = self.new.as_ref().map_or("", |new| new.id.name.as_str());
            let message = format!("Failed to create new replica set {name:?}: {why}");
            let about = reference(&self.item, "Deployment");
            let reason = "ReplicaSetCreateError";
            let telling = Telling { about, warning: true, reason, message: message.clone() };
            effects.push(Effect::Tell(telling));
            self.object = self.item.value();
            status = self.object["status"].clone();
            if status::deadline(&self.object["spec"]).is_some() {
                say(&mut status, condition(PROGRESSING, "False", reason, &message, self.now));
            }
        }
        let before = self.item.value();
        let annotations = |object: &Value| object["metadata"]["annotations"][REVISION].clone();
        if status != before["status"] || annotations(&before) != annotations(&self.object) {
            self.object["status"] = status;
            let id = self.item.id.clone();
            effects.push(Effect::Replace { id, subresource: "status", object: self.object });
        }
        effects
    }
}
