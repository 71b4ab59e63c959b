//! Every recorded case, step by step, against a server of ours.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::client::{Answered, Client, World};
use crate::ledger::{Agreed, Ledger};
use crate::normal;

/// Cases that run at once. They live in namespaces of their own.
const AT_ONCE: usize = 16;

/// Replayed before all others, since its lists are of all namespaces, and what other cases make would be among it.
/// Its answers were recorded without `managedFields`.
const FIRST: &str = "rbac/bootstrap";

/// Who writes the status of FlowSchemas, a moment after they are written; the recording shows it as done.
const CONSUMER: &str = "api-priority-and-fairness-config-consumer-v1";
/// So long a moment may be.
const WITHIN: Duration = Duration::from_secs(10);

/// Stands for a body that the recording left out.
const BIG: &str = "<a ConfigMap with one value of 1048576 x>";

/// Shows the differences of the cases whose names begin with this.
const SHOW: &str = "ORLOP_GOLDEN_SHOW";

/// All cases, against the ledger.
pub(crate) fn all(folder: &Path) -> Result<(), String> {
    Ledger::check(&run(cases(folder)?, false)?)
}

/// What only reads, whatever becomes of who manages which field.
pub(crate) fn reads(folder: &Path) -> Result<(), String> {
    let reads = |case: &Value| {
        let name = case["case"].as_str().unwrap_or_default();
        name.starts_with("list/") || name.starts_with("watch/")
    };
    let agreed = run(cases(folder)?.into_iter().filter(reads).collect(), true)?;
    let differ = agreed.iter().filter(|a| a.agree < a.steps);
    let wrong: Vec<String> = differ.map(|a| format!("{}: {} of {}", a.case, a.agree, a.steps)).collect();
    if wrong.is_empty() && agreed.len() > 20 { Ok(()) } else { Err(wrong.join("\n")) }
}

fn cases(folder: &Path) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(folder.join("cases.jsonl")).map_err(|e| e.to_string())?;
    text.lines().map(serde_json::from_str).collect::<Result<_, _>>().map_err(|e| e.to_string())
}

fn run(cases: Vec<Value>, unmanaged: bool) -> Result<Vec<Agreed>, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|e| e.to_string())?.block_on(replay(cases, unmanaged))
}

async fn replay(mut cases: Vec<Value>, unmanaged: bool) -> Result<Vec<Agreed>, String> {
    let world = Arc::new(World::start().await?);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let (mut agreed, mut tasks) = (Vec::new(), Vec::new());
    if let Some(first) = cases.iter().position(|case| case["case"] == FIRST) {
        agreed.push(replay_case(&world, &cases.remove(first), "g-firstcase", true).await?);
    }
    for (index, case) in cases.into_iter().enumerate() {
        let (world, places) = (world.clone(), places.clone());
        tasks.push(tokio::spawn(async move {
            let _place = places.acquire().await.map_err(|e| e.to_string())?;
            replay_case(&world, &case, &format!("g-{index:06x}case"), unmanaged).await
        }));
    }
    for task in tasks {
        agreed.push(task.await.map_err(|e| e.to_string())??);
    }
    Ok(agreed)
}

async fn replay_case(
    world: &World,
    case: &Value,
    namespace: &str,
    unmanaged: bool,
) -> Result<Agreed, String> {
    let name = case["case"].as_str().unwrap_or_default().to_owned();
    let show = std::env::var(SHOW).is_ok_and(|prefix| name.starts_with(&prefix));
    let mut client = world.connect().await?;
    client.create("/api/v1/namespaces", &json!({"metadata": {"name": namespace}})).await?;
    let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    client.create(&accounts, &json!({"metadata": {"name": "default"}})).await?;
    let steps = case["steps"].as_array().map_or(&[][..], Vec::as_slice);
    let mut replayed =
        Replayed { world, namespace, unmanaged, token: String::new(), versions: HashMap::new() };
    let mut agree = 0;
    for (index, step) in steps.iter().enumerate() {
        let differences = replayed.step(&mut client, case, step).await?;
        if differences.is_empty() {
            agree += 1;
        } else if show {
            eprintln!("{name} step {index}: {} {}", step["method"], step["path"]);
            differences.iter().for_each(|difference| eprintln!("    {difference}"));
        }
    }
    Ok(Agreed { case: name, agree, steps: steps.len() })
}

fn big() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big"}, "data": {"k": "x".repeat(1 << 20)}})
}

struct Replayed<'a> {
    world: &'a World,
    namespace: &'a str,
    /// `managedFields` are not compared.
    unmanaged: bool,
    /// The newest token of a list.
    token: String,
    /// The newest resourceVersion of each path.
    versions: HashMap<String, String>,
}

impl Replayed<'_> {
    /// Sends one request; says where its answer differs.
    async fn step(&mut self, client: &mut Client, case: &Value, step: &Value) -> Result<Vec<String>, String> {
        let text = |name: &str| step[name].as_str().unwrap_or_default();
        let path = normal::put_namespace(text("path"), self.namespace).replace("<continue>", &self.token);
        let mutated = step.get("mutate").is_some();
        let body = if mutated { Some(mutate(case, step)) } else { step.get("body").cloned() };
        let body = match body {
            None => Bytes::new(),
            Some(Value::String(text)) if text == BIG => big().to_string().into(),
            Some(Value::String(text)) => normal::put_namespace(&text, self.namespace).into(),
            Some(body) => normal::put_namespace(&body.to_string(), self.namespace).into(),
        };
        let mut headers = vec![("user-agent", "golden".to_owned())];
        for (field, header) in [("type", "content-type"), ("accept", "accept")] {
            if !text(field).is_empty() {
                headers.push((header, text(field).to_owned()));
            }
        }
        if mutated {
            headers.push(("content-type", "application/json".to_owned()));
        }
        for (name, value) in step["headers"].as_object().into_iter().flatten() {
            headers.push((name.as_str(), self.in_header(value.as_str().unwrap_or_default())));
        }
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        if text("method") == "GET" && step["answer"].to_string().contains(CONSUMER) {
            self.until_told(client, &path).await?;
        }
        let answer = client.send(text("method"), &path, &headers, body).await?;
        Ok(self.judge(&path, step, &answer, mutated))
    }

    /// Waits until an object was written by who says what there is to say of it.
    async fn until_told(&self, client: &mut Client, path: &str) -> Result<(), String> {
        let caches = &self.world.server.caches;
        let told = async {
            loop {
                let reached = caches.reached();
                let answer = client.send("GET", path, &[], Bytes::new()).await?;
                if String::from_utf8_lossy(&answer.body).contains(CONSUMER) {
                    return Ok(());
                }
                caches.reach(reached + 1).await;
            }
        };
        tokio::time::timeout(WITHIN, told).await.unwrap_or_else(|_| Err(format!("{path}: nobody told")))
    }

    /// A header's value names the recorded namespace by its own name: `g-` and ten digits.
    fn in_header(&self, value: &str) -> String {
        let name = |part: &&str| part.len() == 12 && part.starts_with("g-");
        match value.split(':').find(name) {
            Some(recorded) => value.replace(recorded, self.namespace),
            None => value.to_owned(),
        }
    }

    fn judge(&mut self, path: &str, step: &Value, answer: &Answered, mutated: bool) -> Vec<String> {
        let ours = parse(&answer.body, step);
        let mut wrong = Vec::new();
        if step["status"] != answer.status {
            let message = ours["message"].as_str().unwrap_or_default();
            wrong.push(format!("status {} instead of {}: {message}", answer.status, step["status"]));
        } else if mutated {
            wrong.extend(self.judge_refusal(step, &ours));
        } else {
            let warning = step["warning"].as_str();
            let same = match (answer.warning.as_deref(), warning) {
                (Some(ours), Some(theirs)) => normal::fits(ours, theirs, self.namespace),
                (ours, theirs) => ours.is_none() && theirs.is_none(),
            };
            if !same {
                wrong.push(format!("warning {:?} instead of {warning:?}", answer.warning));
            }
            if !step["answer"].is_null() {
                let (mut ours, mut theirs) = (ours.clone(), step["answer"].clone());
                if self.unmanaged {
                    [&mut ours, &mut theirs].into_iter().for_each(leave_out_managed_fields);
                }
                wrong.extend(normal::differences(&ours, &theirs, self.namespace));
            }
        }
        if let Some(token) = ours["metadata"]["continue"].as_str() {
            token.clone_into(&mut self.token);
        }
        if let Some(version) = ours["metadata"]["resourceVersion"].as_str() {
            let place = path.split('?').next().unwrap_or_default().to_owned();
            let before = self.versions.insert(place, version.to_owned());
            if step["noop"] == true && before.is_some_and(|before| before != version) {
                wrong.push("a write that changes nothing made a new resourceVersion".to_owned());
            }
        }
        wrong
    }

    /// Of a refusal the reason and the causes' reasons and fields must agree.
    fn judge_refusal(&self, step: &Value, ours: &Value) -> Option<String> {
        let causes = |list: &Value| -> Vec<(String, String)> {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let mut causes: Vec<_> = list
                .as_array()
                .into_iter()
                .flatten()
                .map(|cause| (text(&cause["reason"]), text(&cause["field"])))
                .collect();
            causes.sort();
            causes
        };
        let theirs = (step["reason"].as_str().unwrap_or_default(), causes(&step["causes"]));
        let ours = (ours["reason"].as_str().unwrap_or_default(), causes(&ours["details"]["causes"]));
        let ok = step["status"] == 201 || ours == theirs;
        (!ok).then(|| format!("ours {ours:?} theirs {theirs:?}"))
    }
}

fn leave_out_managed_fields(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("managedFields");
            map.values_mut().for_each(leave_out_managed_fields);
        }
        Value::Array(list) => list.iter_mut().for_each(leave_out_managed_fields),
        _ => {}
    }
}

/// The answer's value: of a watch the list of its events, of YAML what it means, and words as they are.
fn parse(body: &[u8], step: &Value) -> Value {
    if step["answer"].is_array() {
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        return lines.map(|line| serde_json::from_slice::<Value>(line).unwrap_or_default()).collect();
    }
    let text = String::from_utf8_lossy(body).into_owned();
    if step["accept"] == "application/yaml" {
        return serde_saphyr::from_str(&text).unwrap_or(Value::String(text));
    }
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// The case's object with one of its fields replaced or removed.
fn mutate(case: &Value, step: &Value) -> Value {
    let mut object = case["object"].clone();
    let path = step["mutate"][0].as_str().unwrap_or_default();
    let mutation = step["mutate"][1].as_str().unwrap_or_default();
    let value = (mutation != "drop").then(|| case["mutations"][mutation].clone());
    replace(&mut object, path, value);
    object
}

/// Keys may have dots in them: the longest one that fits is meant.
fn replace(object: &mut Value, path: &str, value: Option<Value>) {
    let begins = |key: &str| path == key || path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    match object {
        Value::Object(map) => {
            let key = map.keys().filter(|key| begins(key)).max_by_key(|key| key.len()).cloned();
            let key = key.unwrap_or_else(|| path.to_owned());
            match (path == key, value) {
                (true, Some(value)) => drop(map.insert(key, value)),
                (true, None) => drop(map.remove(&key)),
                (false, value) => {
                    if let Some(next) = map.get_mut(&key) {
                        replace(next, &path[key.len() + 1..], value);
                    }
                }
            }
        }
        Value::Array(list) => {
            let (index, rest) = path.split_once('.').unwrap_or((path, ""));
            let Some(index) = index.parse::<usize>().ok().filter(|index| *index < list.len()) else { return };
            match (rest.is_empty(), value) {
                (true, Some(value)) => list[index] = value,
                (true, None) => drop(list.remove(index)),
                (false, value) => replace(&mut list[index], rest, value),
            }
        }
        _ => {}
    }
}
