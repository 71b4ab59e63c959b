//! What the server counts, in the text format of Prometheus and under upstream's names and labels. A request lasts until
//! its answer begins, a watch too.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::http::path::Target;
use super::inflight::Inflight;
use crate::measure::Histogram;

/// Upper ends of the durations' buckets, in seconds.
const BUCKETS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];

/// What a part beside the API says of itself, in the same format.
pub type Part = Box<dyn Fn() -> String + Send + Sync>;

/// Counts of one server.
#[derive(Default)]
pub struct Metrics {
    parts: Mutex<BTreeMap<&'static str, Part>>,
    requests: Mutex<HashMap<Labels, Count>>,
    long: Arc<Mutex<BTreeMap<Labels, u64>>>,
}

/// What a request is counted as.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels {
    resource: String,
    group: String,
    version: String,
    subresource: String,
    scope: &'static str,
    verb: &'static str,
    dry_run: &'static str,
}

impl Labels {
    /// Of a request for these objects, or for none.
    pub fn of(verb: &'static str, target: Option<&Target>, applies: bool, dry_run: bool) -> Self {
        let scope = match target {
            None => "",
            Some(target) if !target.name.is_empty() || verb == "create" => "resource",
            Some(target) if !target.namespace.is_empty() => "namespace",
            Some(_) => "cluster",
        };
        let text = |field: fn(&Target) -> &String| target.map(field).cloned().unwrap_or_default();
        Self {
            resource: text(|target| &target.resource),
            group: text(|target| &target.group),
            version: text(|target| &target.version),
            subresource: text(|target| &target.subresource),
            scope,
            verb: canonical(verb, applies),
            dry_run: if dry_run { "All" } else { "" },
        }
    }
}

/// The verbs of metrics are methods but for those that read.
fn canonical(verb: &str, applies: bool) -> &'static str {
    match verb {
        "get" => "GET",
        "head" => "HEAD",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" if applies => "APPLY",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        "options" => "OPTIONS",
        _ => "other",
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, group, version, subresource, scope, verb, dry_run } = self;
        write!(
            f,
            "component=\"apiserver\",dry_run=\"{dry_run}\",group=\"{group}\",resource=\"{resource}\","
        )?;
        write!(f, "scope=\"{scope}\",subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\"")
    }
}

#[derive(Debug)]
struct Count {
    codes: BTreeMap<u16, u64>,
    times: Histogram,
}

impl Default for Count {
    fn default() -> Self {
        Self { codes: BTreeMap::new(), times: Histogram::new(&BUCKETS) }
    }
}

/// A request that goes on after its answer began; it is counted until this is dropped.
#[derive(Debug)]
pub struct Running {
    long: Arc<Mutex<BTreeMap<Labels, u64>>>,
    labels: Labels,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut long = locked(&self.long);
        if let Some(count) = long.get_mut(&self.labels) {
            *count -= 1;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Metrics {
    /// Counts a request that was answered.
    pub fn answered(&self, labels: Labels, code: u16, took: Duration) {
        let mut requests = locked(&self.requests);
        let count = requests.entry(labels).or_default();
        *count.codes.entry(code).or_default() += 1;
        count.times.observe(took);
    }

    /// Counts a request that goes on.
    pub fn running(&self, labels: Labels) -> Running {
        *locked(&self.long).entry(labels.clone()).or_default() += 1;
        Running { long: self.long.clone(), labels }
    }

    /// Adds what a part says of itself, in the place of what one of this name said before.
    pub fn put(&self, name: &'static str, part: Part) {
        locked(&self.parts).insert(name, part);
    }

    /// What the parts say of themselves.
    pub fn of_parts(&self) -> String {
        locked(&self.parts).values().map(|part| part()).collect()
    }

    /// All of it.
    pub fn text(&self, inflight: &Inflight) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text, inflight);
        text.push_str(&self.of_parts());
        text
    }

    fn write(&self, text: &mut String, inflight: &Inflight) -> fmt::Result {
        let requests = locked(&self.requests);
        let mut sorted: Vec<(&Labels, &Count)> = requests.iter().collect();
        sorted.sort_by_key(|(labels, _)| *labels);
        head(text, "apiserver_request_total", "counter", "Requests that were answered")?;
        for (labels, count) in &sorted {
            for (code, number) in &count.codes {
                writeln!(text, "apiserver_request_total{{code=\"{code}\",{labels}}} {number}")?;
            }
        }
        let name = "apiserver_request_duration_seconds";
        head(text, name, "histogram", "Time until the answer began")?;
        for (labels, count) in &sorted {
            count.times.write(text, name, &labels.to_string());
        }
        drop(requests);
        head(text, "apiserver_longrunning_requests", "gauge", "Watches that are open")?;
        for (labels, number) in &*locked(&self.long) {
            writeln!(text, "apiserver_longrunning_requests{{{labels}}} {number}")?;
        }
        let [reads, writes] = inflight.counts();
        let running = [reads.running, writes.running];
        sides(text, "apiserver_current_inflight_requests", "Requests that are worked on", running)?;
        let waiting = [reads.waiting, writes.waiting];
        sides(text, "apiserver_current_inqueue_requests", "Requests that wait for a seat", waiting)?;
        let name = "apiserver_flowcontrol_rejected_requests_total";
        head(text, name, "counter", "Requests that were answered with 429 for their number")?;
        for (reason, number) in inflight.refusals() {
            writeln!(text, "{name}{{reason=\"{reason}\"}} {number}")?;
        }
        Ok(())
    }
}

/// Writes a number of reads and of writes.
fn sides<T: fmt::Display>(text: &mut String, name: &str, what: &str, numbers: [T; 2]) -> fmt::Result {
    head(text, name, "gauge", what)?;
    for (side, number) in ["readOnly", "mutating"].into_iter().zip(numbers) {
        writeln!(text, "{name}{{request_kind=\"{side}\"}} {number}")?;
    }
    Ok(())
}

fn head(text: &mut String, name: &str, kind: &str, what: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {what}.\n# TYPE {name} {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::inflight::Limits;

    #[test]
    fn requests_are_counted_by_what_they_are_and_how_long_they_took() {
        let (metrics, inflight) = (Metrics::default(), Inflight::new(Limits::default()));
        let pods = Target {
            version: "v1".into(),
            namespace: "n".into(),
            resource: "pods".into(),
            ..Target::default()
        };
        let list = Labels::of("list", Some(&pods), false, false);
        metrics.answered(list.clone(), 200, Duration::from_millis(5));
        metrics.answered(list.clone(), 200, Duration::from_millis(30));
        metrics.answered(list, 429, Duration::from_secs(100));
        let one = Target { name: "p".into(), ..pods };
        metrics.answered(Labels::of("patch", Some(&one), true, true), 200, Duration::ZERO);
        let running = metrics.running(Labels::of("watch", None, false, false));
        let text = metrics.text(&inflight);
        let labels = "component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"pods\",scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\"";
        let name = "apiserver_request_duration_seconds";
        for line in [
            format!("apiserver_request_total{{code=\"200\",{labels}}} 2"),
            format!("apiserver_request_total{{code=\"429\",{labels}}} 1"),
            format!("{name}_bucket{{{labels},le=\"0.005\"}} 1"),
            format!("{name}_bucket{{{labels},le=\"0.05\"}} 2"),
            format!("{name}_bucket{{{labels},le=\"60\"}} 2"),
            format!("{name}_bucket{{{labels},le=\"+Inf\"}} 3"),
            format!("{name}_sum{{{labels}}} 100.035"),
            "apiserver_current_inflight_requests{request_kind=\"mutating\"} 0".to_owned(),
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
        }
        assert!(text.contains(
            "dry_run=\"All\",group=\"\",resource=\"pods\",scope=\"resource\",subresource=\"\",verb=\"APPLY\""
        ));
        assert!(text.contains("verb=\"WATCH\",version=\"\"} 1\n"));
        drop(running);
        assert!(metrics.text(&inflight).contains("verb=\"WATCH\",version=\"\"} 0\n"));
    }
}
