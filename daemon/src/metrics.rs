//! What every process says of itself: `process_…` under the names that Prometheus clients agree on, `orlop_…` ours.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// proc_pid_stat(5) counts in ticks; Linux shows 100 of them a second to user space on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts every panic from now on, also one that a request's or a pod's boundary turns into an error; called once in
/// a process.
pub fn count_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(panic);
    }));
}

/// This process's CPU time, memory, descriptors and panics, in the Prometheus text format.
pub fn process_metrics() -> String {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    render(&read("stat"), &read("status"), descriptors, PANICS.load(Ordering::Relaxed))
}

fn render(stat: &str, status: &str, descriptors: usize, panics: u64) -> String {
    // The name may hold spaces: fields are counted from behind its closing parenthesis.
    let fields: Vec<&str> =
        stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
    let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident =
        resident.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0);
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, value: f64| {
        let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
    };
    metric("process_cpu_seconds_total", "counter", ticks as f64 / TICKS_PER_SECOND);
    metric("process_resident_memory_bytes", "gauge", (resident * 1024) as f64);
    metric("process_open_fds", "gauge", descriptors as f64);
    metric("orlop_panics_total", "counter", panics as f64);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_is_stepped_over() {
        let stat = "7 (a) b) S 1 1 1 0 -1 0 0 0 0 0 150 50 9 9 20";
        let text = render(stat, "Name: x\nVmRSS:\t   12 kB\n", 3, 0);
        assert!(text.contains("process_cpu_seconds_total 2\n"), "{text}");
        assert!(text.contains("process_resident_memory_bytes 12288\n"), "{text}");
        assert!(text.contains("process_open_fds 3\n"), "{text}");
    }

    #[test]
    fn a_panic_that_was_caught_is_counted() {
        count_panics();
        let count = || PANICS.load(Ordering::Relaxed);
        let before = count();
        let _ = std::panic::catch_unwind(|| panic!("caught"));
        assert!(count() > before);
    }
}
