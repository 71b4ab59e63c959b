//! Does the writes of a case again, each on the object that the stock server had before it.

use std::collections::BTreeMap;

use api_objects::decode::{FieldValidation, decode, for_storage, normalise};
use api_objects::schema::Type;
use control_plane::apiserver::apply::{FieldSet, Kind, OneVersion};
use control_plane::apiserver::patch;
use serde_json::{Value, json};

use crate::defaults;
use crate::golden::{NOW, concrete, parameter};
use crate::of;

/// How a step compares.
pub(crate) enum Verdict {
    /// The object and its owners are the same.
    Same,
    /// It is refused with the same words.
    Refused,
    /// It was refused by something that comes later.
    Beyond,
    /// Something differs.
    Differs(String),
}

/// Replays the writes of a case: the step's number and how it compares.
pub(crate) fn replay(case: &Value) -> Vec<(usize, Verdict)> {
    let mut objects: BTreeMap<String, Value> = BTreeMap::new();
    let mut verdicts = Vec::new();
    for (index, step) in case["steps"].as_array().into_iter().flatten().enumerate() {
        let mut answer = step["answer"].clone();
        concrete(&mut answer, "");
        let path = step["path"].as_str().unwrap_or_default();
        let (plain, subresource) = place(path);
        let live = objects.get(&plain);
        if let Some(verdict) = write(step, live, &answer, path, &subresource) {
            verdicts.push((index, verdict));
        }
        let status = step["status"].as_u64().unwrap_or_default();
        let stored = parameter(path, "dryRun").is_empty() && status < 300 && subresource != "scale";
        match (step["method"].as_str(), of(&answer)) {
            (Some("DELETE"), _) => drop(objects.remove(&plain)),
            (Some("POST"), Some(_)) if stored => {
                let name = answer["metadata"]["name"].as_str().unwrap_or_default();
                objects.insert(format!("{plain}/{name}"), answer);
            }
            (_, Some(_)) if stored && answer["metadata"].get("uid").is_some() => {
                objects.insert(plain, answer);
            }
            _ => {}
        }
    }
    verdicts
}

/// The path of an object without its parameters, and the subresource behind it.
fn place(path: &str) -> (String, String) {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let start = if parts.get(1) == Some(&"api") { 3 } else { 4 };
    let namespaced = parts.get(start) == Some(&"namespaces") && parts.len() > start + 2;
    let depth = if namespaced && !matches!(parts.get(start + 2), Some(&"status" | &"finalize")) {
        start + 4
    } else {
        start + 2
    };
    match parts.get(depth) {
        Some(subresource) => (parts[..depth].join("/"), (*subresource).to_owned()),
        None => (path.to_owned(), String::new()),
    }
}

fn write(
    step: &Value,
    live: Option<&Value>,
    answer: &Value,
    path: &str,
    subresource: &str,
) -> Option<Verdict> {
    if !["", "status"].contains(&subresource) {
        return None;
    }
    let body = match &step["body"] {
        Value::String(text) => text.clone(),
        Value::Null => return None,
        other => other.to_string(),
    };
    let media = step["type"].as_str().unwrap_or_default();
    let manager = Some(parameter(path, "fieldManager")).filter(|name| !name.is_empty()).unwrap_or("golden");
    let created = step["status"] == 201;
    let objects = [live.filter(|_| !created), Some(answer), Some(&step["body"])];
    let kind_of = objects.into_iter().flatten().find(|object| of(object).is_some())?;
    let target = Target { of: of(kind_of)?, object: kind_of, subresource };
    let validation = FieldValidation::parse(parameter(path, "fieldValidation"))?;
    let result = match (step["method"].as_str()?, media) {
        ("PATCH", "application/apply-patch+yaml") => {
            let config: Value = serde_json::from_str(&body).ok()?;
            let force = parameter(path, "force") == "true";
            target.apply(live, &config, manager, force)
        }
        ("PATCH", media) => target.patch(live?, &body, patch::Kind::of(media)?, manager, validation),
        ("PUT", "application/json") if live.is_some() => target.replace(live?, &body, manager),
        ("POST", "application/json") if created => return target.create(&body, answer, manager),
        _ => return None,
    };
    let accepted = step["status"].as_u64().unwrap_or_default() < 300;
    Some(match result {
        Ok(object) if accepted => {
            // What replaces an object gets defaults, and most kinds' are not set here.
            let whole = step["method"] != "PUT" || defaults::KINDS.contains(&target.kind());
            match compare(&object, answer, whole) {
                None => Verdict::Same,
                Some(how) => Verdict::Differs(how),
            }
        }
        Ok(_) => Verdict::Beyond,
        Err(why) if accepted => Verdict::Differs(format!("refused: {why}")),
        Err(why) if why == answer["message"].as_str().unwrap_or_default() => Verdict::Refused,
        // The text of the object is in it, with fields in another order.
        Err(why)
            if why.contains("strict decoding error")
                && tail(&why) == tail(&answer["message"].to_string()) =>
        {
            Verdict::Refused
        }
        Err(_) if step["status"] == 409 && answer["details"].get("causes").is_none() => Verdict::Beyond,
        Err(why) => Verdict::Differs(format!("refused: {why}, not {}", answer["message"])),
    })
}

fn tail(message: &str) -> String {
    let tail = message.rsplit("strict decoding error").next().unwrap_or_default();
    tail.replace('\\', "").trim_end_matches('"').to_owned()
}

struct Target<'a> {
    of: Type<'a>,
    object: &'a Value,
    subresource: &'a str,
}

impl Target<'_> {
    /// What a write to here cannot change.
    fn ignored(&self) -> FieldSet {
        let fields = self.of.structure().map(|structure| structure.fields.as_slice()).unwrap_or_default();
        let status = fields.iter().any(|field| field.name == "status");
        if self.subresource == "status" {
            let names = fields.iter().map(|field| field.name);
            let others: Vec<_> =
                names.filter(|name| !["apiVersion", "kind", "metadata", "status"].contains(name)).collect();
            let paths: Vec<_> = others.iter().map(std::slice::from_ref).collect();
            return FieldSet::of(&paths);
        }
        match (self.kind(), status) {
            // What is signed cannot be changed.
            ("CertificateSigningRequest", _) => FieldSet::of(&[&["spec"], &["status"]]),
            (_, true) => FieldSet::of(&[&["status"]]),
            _ => FieldSet::new(),
        }
    }

    fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap_or_default()
    }

    fn with<R>(&self, run: impl FnOnce(&Kind<'_>) -> R) -> R {
        run(&Kind {
            of: self.of,
            version: self.object["apiVersion"].as_str().unwrap_or_default(),
            kind: self.kind(),
            subresource: self.subresource,
            ignored: &self.ignored(),
            versions: &OneVersion,
        })
    }

    /// Undoes what a write to here cannot change, as each kind does before it stores.
    fn prepare(&self, live: &Value, object: &mut Value) {
        let Some(structure) = self.of.structure() else { return };
        for field in &structure.fields {
            let own = (field.name == "status") == (self.subresource == "status");
            if !own && !["apiVersion", "kind", "metadata"].contains(&field.name) {
                match live.get(field.name) {
                    Some(value) => object[field.name] = value.clone(),
                    None => drop(object.as_object_mut().map(|object| object.remove(field.name))),
                }
            }
        }
        for field in ["uid", "creationTimestamp", "namespace", "name"] {
            if let Some(value) = live["metadata"].get(field) {
                object["metadata"][field] = value.clone();
            }
        }
        if self.subresource.is_empty() {
            defaults::prepare(object, live);
        }
    }

    fn patch(
        &self,
        live: &Value,
        body: &str,
        kind: patch::Kind,
        manager: &str,
        validation: FieldValidation,
    ) -> Result<Value, String> {
        let patched = patch::apply(kind, live, body.as_bytes(), self.of, validation);
        self.finish(live, patched.map_err(|error| error.to_string())?.object, manager)
    }

    fn replace(&self, live: &Value, body: &str, manager: &str) -> Result<Value, String> {
        let object = decode(self.of, body.as_bytes()).map_err(|error| error.to_string())?.value;
        self.finish(live, object, manager)
    }

    fn finish(&self, live: &Value, mut object: Value, manager: &str) -> Result<Value, String> {
        defaults::set(&mut object);
        let object = normalise(self.of, &object).map_err(|error| error.to_string())?.value;
        let mut object = self.with(|kind| kind.update(Some(live), object, manager, NOW));
        self.prepare(live, &mut object);
        for_storage(self.of, &mut object);
        Ok(object)
    }

    fn apply(
        &self,
        live: Option<&Value>,
        config: &Value,
        manager: &str,
        force: bool,
    ) -> Result<Value, String> {
        let applied = self.with(|kind| kind.apply(live, config, manager, force, NOW));
        let object = applied.map_err(|error| error.to_string())?;
        let mut object = normalise(self.of, &object).map_err(|error| error.to_string())?.value;
        defaults::set(&mut object);
        if let Some(live) = live {
            self.prepare(live, &mut object);
        }
        for_storage(self.of, &mut object);
        Ok(object)
    }

    /// What the creator owns lies between the fields of what he sent and the fields of what was stored: defaults of
    /// most kinds are not set here.
    fn create(&self, body: &str, answer: &Value, manager: &str) -> Option<Verdict> {
        let mut sent = decode(self.of, body.as_bytes()).ok()?.value;
        defaults::set(&mut sent);
        let own = |object: Value| {
            let object = self.with(|kind| kind.update(None, object, manager, NOW));
            object["metadata"]["managedFields"]
                .get(0)
                .map(|entry| entry["fieldsV1"].clone())
                .unwrap_or(json!({}))
        };
        let mut stored = answer.clone();
        let theirs = stored["metadata"]["managedFields"].get(0)?["fieldsV1"].clone();
        stored["metadata"].as_object_mut()?.remove("managedFields");
        let (least, most) = (own(sent), own(stored));
        let between = within(&least, &theirs) && (within(&theirs, &most) || within(&theirs, &least));
        Some(if between {
            Verdict::Same
        } else {
            Verdict::Differs(format!("owns {}", difference("", &least, &theirs)))
        })
    }
}

fn within(inner: &Value, outer: &Value) -> bool {
    match (inner, outer) {
        (Value::Object(inner), Value::Object(outer)) => inner.iter().all(|(key, value)| {
            // A field that is owned by itself alone may be owned with fields below it.
            outer.get(key).map_or(key == ".", |other| within(value, other))
        }),
        (Value::Array(inner), Value::Array(outer)) if inner.len() == outer.len() => {
            inner.iter().zip(outer).all(|(inner, outer)| within(inner, outer))
        }
        _ => inner == outer,
    }
}

/// What differs but for what changes with every write, and for the order of owners.
fn compare(ours: &Value, theirs: &Value, whole: bool) -> Option<String> {
    let stable = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            for field in
                ["generation", "resourceVersion", "uid", "creationTimestamp", "namespace", "selfLink"]
            {
                metadata.remove(field);
            }
            if let Some(entries) = metadata.get_mut("managedFields").and_then(Value::as_array_mut) {
                entries.sort_by_key(|entry| {
                    ["manager", "operation", "subresource"]
                        .map(|field| entry[field].as_str().map(str::to_owned))
                });
            }
        }
        object
    };
    let (ours, theirs) = (stable(ours), stable(theirs));
    let same = if whole { ours == theirs } else { within(&ours, &theirs) };
    (!same).then(|| difference("", &ours, &theirs))
}

/// The first places where two values differ.
pub(crate) fn difference(path: &str, ours: &Value, theirs: &Value) -> String {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let mut names: Vec<_> = a.keys().chain(b.keys()).collect();
            names.sort();
            names.dedup();
            let found = names.into_iter().filter(|name| a.get(*name) != b.get(*name));
            let inner = found.map(|name| difference(&format!("{path}.{name}"), &ours[name], &theirs[name]));
            inner.take(4).collect::<Vec<_>>().join("; ")
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let found = (0..a.len()).filter(|index| a[*index] != b[*index]);
            let inner = found.map(|index| difference(&format!("{path}[{index}]"), &a[index], &b[index]));
            inner.take(3).collect::<Vec<_>>().join("; ")
        }
        _ => format!("{path}: {ours} instead of {theirs}"),
    }
}
