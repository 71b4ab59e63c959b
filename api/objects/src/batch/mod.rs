//! The workloads of the group `batch`.

mod cron_job;
mod failure;
mod indexes;
mod job;
mod job_status;
mod schedule;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::check::{list, text};
use crate::rules::Rules;

/// The rules of a kind of this group.
pub(crate) fn rules(kind: &str) -> Option<&'static Rules> {
    Some(match kind {
        "CronJob" => const { &cron_job::RULES },
        "Job" => const { &job::RULES },
        _ => return None,
    })
}

/// Whether a condition of a Job holds.
fn holds(job: &Value, condition: &str) -> bool {
    is(job, condition, "True")
}

fn is(job: &Value, condition: &str, status: &str) -> bool {
    let conditions = list(&job["status"], "conditions");
    conditions.iter().any(|found| text(found, "type") == condition && text(found, "status") == status)
}

fn is_indexed(spec: &Value) -> bool {
    spec["completionMode"] == "Indexed"
}
