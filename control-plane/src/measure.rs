//! What is measured of work: times in buckets, in the text format of Prometheus.

use std::fmt::Write as _;
use std::time::Duration;

/// How often something took how long.
#[derive(Debug, Clone)]
pub struct Histogram {
    /// The upper ends of the buckets, in seconds.
    bounds: &'static [f64],
    /// One more than there are bounds.
    counts: Vec<u64>,
    sum: Duration,
}

impl Histogram {
    /// With buckets that end there, in seconds.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: Duration::ZERO }
    }

    /// Counts a time.
    pub fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = self.bounds.iter().position(|bound| seconds <= *bound).unwrap_or(self.bounds.len());
        self.counts[bucket] += 1;
        self.sum += took;
    }

    /// Writes it under a name; `labels` are those of every line, without braces.
    pub fn write(&self, text: &mut String, name: &str, labels: &str) {
        let mut count = 0;
        // Writing to a string does not fail.
        for (bound, number) in self.bounds.iter().zip(&self.counts) {
            count += number;
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
        }
        count += self.counts[self.bounds.len()];
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
        let _ = writeln!(text, "{name}_sum{{{labels}}} {}", self.sum.as_secs_f64());
        let _ = writeln!(text, "{name}_count{{{labels}}} {count}");
    }
}

/// Writes what a metric is.
pub fn kind(text: &mut String, name: &str, kind: &str) {
    let _ = writeln!(text, "# TYPE {name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_holds_all_that_took_no_longer() {
        let mut histogram = Histogram::new(&[0.1, 1.0]);
        for millis in [50, 100, 500, 5000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let mut text = String::new();
        histogram.write(&mut text, "x", "a=\"b\"");
        let expected = "x_bucket{a=\"b\",le=\"0.1\"} 2\nx_bucket{a=\"b\",le=\"1\"} 3\nx_bucket{a=\"b\",le=\"+Inf\"} 4\n\
            x_sum{a=\"b\"} 5.65\nx_count{a=\"b\"} 4\n";
        assert_eq!(text, expected);
    }
}
