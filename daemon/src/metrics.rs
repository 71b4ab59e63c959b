//! What every process says of itself, under the names that Prometheus clients agree on.

use std::fmt::Write as _;

/// proc_pid_stat(5) counts in ticks; Linux shows 100 of them a second to user space on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// This process's CPU time, memory and descriptors, in the Prometheus text format.
pub fn process_metrics() -> String {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    render(&read("stat"), &read("status"), descriptors)
}

fn render(stat: &str, status: &str, descriptors: usize) -> String {
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
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_is_stepped_over() {
        let stat = "7 (a) b) S 1 1 1 0 -1 0 0 0 0 0 150 50 9 9 20";
        let text = render(stat, "Name: x\nVmRSS:\t   12 kB\n", 3);
        assert!(text.contains("process_cpu_seconds_total 2\n"), "{text}");
        assert!(text.contains("process_resident_memory_bytes 12288\n"), "{text}");
        assert!(text.contains("process_open_fds 3\n"), "{text}");
    }
}
