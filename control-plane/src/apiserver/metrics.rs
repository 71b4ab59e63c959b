//! What the server counts, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Counts of one server.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<Labels, Count>>,
    watching: Arc<AtomicI64>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    verb: &'static str,
    resource: String,
    code: u16,
}

#[derive(Debug, Default)]
struct Count {
    number: u64,
    time: Duration,
}

/// An open watch; it is counted until this is dropped.
#[derive(Debug)]
pub struct Watching(Arc<AtomicI64>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counts a request that was answered. `resource` is empty for a path that names no object.
    pub fn answered(&self, verb: &'static str, resource: &str, code: u16, took: Duration) {
        let labels = Labels { verb, resource: resource.to_owned(), code };
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let count = requests.entry(labels).or_default();
        count.number += 1;
        count.time += took;
    }

    /// Counts a watch.
    pub fn watching(&self) -> Watching {
        self.watching.fetch_add(1, Ordering::Relaxed);
        Watching(self.watching.clone())
    }

    /// All of it.
    pub fn text(&self) -> String {
        let mut text = String::from("# TYPE apiserver_request_total counter\n");
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a string does not fail.
        for (Labels { verb, resource, code }, count) in &*requests {
            let labels = format!("{{verb=\"{verb}\",resource=\"{resource}\",code=\"{code}\"}}");
            let _ = writeln!(text, "apiserver_request_total{labels} {}", count.number);
        }
        text.push_str("# TYPE apiserver_request_duration_seconds summary\n");
        for (Labels { verb, resource, code }, Count { number, time }) in &*requests {
            let labels = format!("{{verb=\"{verb}\",resource=\"{resource}\",code=\"{code}\"}}");
            let name = "apiserver_request_duration_seconds";
            let _ = writeln!(text, "{name}_sum{labels} {}", time.as_secs_f64());
            let _ = writeln!(text, "{name}_count{labels} {number}");
        }
        let watching = self.watching.load(Ordering::Relaxed);
        let _ = writeln!(text, "# TYPE apiserver_longrunning_requests gauge");
        let _ = writeln!(text, "apiserver_longrunning_requests{{verb=\"watch\"}} {watching}");
        text
    }
}
