//! Events: what controllers tell people, gathered so that nobody is told the same over and over.
//!
//! The same told again counts up the Event that there is. One who tells much of one object is heard 25 times, and then
//! once in five minutes. Events may be lost: nothing waits for them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use api_objects::time;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::plan::Telling;
use crate::client::{Client, Gvr, Id, PatchType};

/// Events.
pub static EVENTS: Gvr = Gvr::of("", "v1", "events");
/// So much is heard of one object at once,
const BURST: u32 = 25;
/// and then one more each time this has passed.
const REFILL: Duration = Duration::from_secs(300);
/// So many objects and tellings are remembered.
const REMEMBERED: usize = 4096;
/// So many tellings wait to be written before further ones are lost.
const WAITING: usize = 1000;

/// What is to be done with something that was told.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It is new.
    New,
    /// It was told before; the Event of this name says so now.
    Again { name: String, count: u64 },
    /// It is one too many.
    Dropped,
}

/// What was told of late.
#[derive(Debug, Default)]
struct Memory {
    told: HashMap<String, (String, u64)>,
    heard: HashMap<String, (u32, Instant)>,
}

impl Memory {
    fn judge(&mut self, source: &str, telling: &Telling, now: Instant) -> Verdict {
        if self.heard.len() >= REMEMBERED {
            self.heard.clear();
        }
        let object = format!("{source} {} {}", telling.about["uid"], telling.about["name"]);
        let (left, since) = self.heard.entry(object).or_insert((BURST, now));
        let periods = now.duration_since(*since).as_secs() / REFILL.as_secs();
        if let Some(more) = u32::try_from(periods).ok().filter(|more| *more > 0) {
            (*left, *since) = ((*left).saturating_add(more).min(BURST), now);
        }
        if *left == 0 {
            return Verdict::Dropped;
        }
        *left -= 1;
        match self.told.get_mut(&key(source, telling)) {
            Some((name, count)) => {
                *count += 1;
                Verdict::Again { name: name.clone(), count: *count }
            }
            None => Verdict::New,
        }
    }

    fn remember(&mut self, source: &str, telling: &Telling, name: String) {
        if self.told.len() >= REMEMBERED {
            self.told.clear();
        }
        self.told.insert(key(source, telling), (name, 1));
    }

    fn forget(&mut self, source: &str, telling: &Telling) {
        self.told.remove(&key(source, telling));
    }
}

/// The same telling has the same key, whatever became of the object's revision meanwhile.
fn key(source: &str, telling: &Telling) -> String {
    let about = &telling.about;
    format!(
        "{source} {} {} {} {} {}",
        about["uid"], about["name"], telling.warning, telling.reason, telling.message
    )
}

/// Who takes what is to be told.
#[derive(Clone)]
pub struct Teller {
    client: Client,
    source: &'static str,
    to: mpsc::Sender<(Client, &'static str, Telling)>,
}

impl Teller {
    /// Tells something, sooner or later or never.
    pub fn tell(&self, telling: Telling) {
        if self.to.try_send((self.client.clone(), self.source, telling)).is_err() {
            tracing::debug!(source = self.source, "an event is lost");
        }
    }
}

/// Writes Events; tellers hand them over.
pub struct Recorder {
    from: mpsc::Receiver<(Client, &'static str, Telling)>,
    to: mpsc::Sender<(Client, &'static str, Telling)>,
    memory: Memory,
}

impl Default for Recorder {
    fn default() -> Self {
        let (to, from) = mpsc::channel(WAITING);
        Self { from, to, memory: Memory::default() }
    }
}

impl Recorder {
    /// Somebody who tells, under a client's identity.
    pub fn teller(&self, client: Client, source: &'static str) -> Teller {
        Teller { client, source, to: self.to.clone() }
    }

    /// Writes what is told for as long as somebody may tell.
    pub async fn run(mut self) {
        while let Some((client, source, telling)) = self.from.recv().await {
            self.write(&client, source, telling).await;
        }
    }

    async fn write(&mut self, client: &Client, source: &'static str, telling: Telling) {
        let now = client.now();
        let namespace = telling.about["namespace"].as_str().filter(|n| !n.is_empty()).unwrap_or("default");
        if let Verdict::Again { name, count } = match self.memory.judge(source, &telling, Instant::now()) {
            Verdict::Dropped => return,
            verdict => verdict,
        } {
            let patch = json!({"count": count, "lastTimestamp": time::format(now)});
            let id = Id::new(&EVENTS, namespace, &name);
            match client.patch(&id, "", PatchType::Strategic, &patch).await {
                Ok(_) => return,
                // It is old enough to be forgotten: tell anew.
                Err(refused) if refused.is_not_found() => self.memory.forget(source, &telling),
                Err(error) => return tracing::debug!(%error, source, "an event is lost"),
            }
        }
        let event = event(source, &telling, namespace, now);
        let name = event["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        match client.create(&EVENTS, namespace, &event).await {
            Ok(_) => self.memory.remember(source, &telling, name),
            Err(error) => tracing::debug!(%error, source, "an event is lost"),
        }
    }
}

fn event(source: &str, telling: &Telling, namespace: &str, now: Timestamp) -> Value {
    let name = telling.about["name"].as_str().unwrap_or_default();
    let stamp = time::format(now);
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": format!("{name}.{:x}", now.as_nanosecond()), "namespace": namespace},
        "involvedObject": telling.about,
        "reason": telling.reason,
        "message": telling.message,
        "type": if telling.warning { "Warning" } else { "Normal" },
        "source": {"component": source},
        "reportingComponent": source,
        "reportingInstance": "",
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telling(message: &str) -> Telling {
        let about = json!({"uid": "1", "name": "a", "namespace": "n"});
        Telling { about, warning: false, reason: "Made", message: message.to_owned() }
    }

    #[test]
    fn the_same_told_again_counts_up() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        assert_eq!(memory.judge("s", &telling("x"), now), Verdict::New);
        memory.remember("s", &telling("x"), "e".to_owned());
        assert_eq!(memory.judge("s", &telling("x"), now), Verdict::Again { name: "e".to_owned(), count: 2 });
        assert_eq!(memory.judge("s", &telling("y"), now), Verdict::New);
        assert_eq!(memory.judge("other", &telling("x"), now), Verdict::New);
        memory.forget("s", &telling("x"));
        assert_eq!(memory.judge("s", &telling("x"), now), Verdict::New);
    }

    #[test]
    fn who_tells_too_much_of_an_object_is_heard_now_and_then() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        for n in 0..BURST {
            let mut telling = telling(&n.to_string());
            telling.about["resourceVersion"] = n.into();
            assert_eq!(memory.judge("s", &telling, now), Verdict::New);
        }
        assert_eq!(memory.judge("s", &telling("more"), now), Verdict::Dropped);
        assert_eq!(memory.judge("s", &telling("more"), now + REFILL), Verdict::New);
        assert_eq!(memory.judge("s", &telling("and more"), now + REFILL), Verdict::Dropped);
    }
}
