//! CronJob.

use serde_json::{Value, json};

use super::{job, schedule};
use crate::check::{has, not_negative, required_one_of, text};
use crate::pod::{absent, default, prepare_template};
use crate::rules::Rules;
use crate::{FieldError, Path};

pub(super) const RULES: Rules = Rules {
    defaults,
    prepare: |object, _| prepare_template(object, "/spec/jobTemplate/spec/template/spec"),
    create,
    update,
    ..Rules::NONE
};

/// What a Job's name has behind that of its CronJob takes eleven of 63 characters.
const MAX_NAME: usize = 52;

fn defaults(cron: &mut Value) {
    let Some(spec) = cron["spec"].as_object_mut() else { return };
    default(spec, "concurrencyPolicy", "Allow");
    absent(spec, "suspend", || json!(false));
    absent(spec, "successfulJobsHistoryLimit", || json!(3));
    absent(spec, "failedJobsHistoryLimit", || json!(1));
    let template = spec.entry("jobTemplate").or_insert_with(|| json!({}));
    if let Some(template) = template.as_object_mut() {
        job::spec_defaults(template.entry("spec").or_insert_with(|| json!({})));
    }
}

fn create(cron: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check(&mut errors, &cron["spec"], None);
    let name = text(&cron["metadata"], "name");
    if name.len() > MAX_NAME {
        let at = Path::ROOT.field("metadata");
        let why = format!("must be no more than {MAX_NAME} characters");
        errors.push(FieldError::invalid(&at.field("name"), name, &why));
    }
    errors
}

fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check(&mut errors, &new["spec"], Some(&old["spec"]));
    errors
}

fn check(errors: &mut Vec<FieldError>, spec: &Value, old: Option<&Value>) {
    let path = Path::ROOT.field("spec");
    let at = path.field("schedule");
    let zone = spec["timeZone"].as_str();
    match text(spec, "schedule") {
        "" => errors.push(FieldError::required(&at, "")),
        told => {
            if let Some(why) = schedule::fault(told) {
                errors.push(FieldError::invalid(&at, told, &why));
            }
            // A zone inside of the schedule is kept where it was before.
            let tolerated = old.is_some_and(|old| text(old, "schedule").contains("TZ"));
            if told.contains("TZ") && !tolerated {
                let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
                errors.push(FieldError::invalid(&at, told, why));
            } else if told.contains("TZ") && zone.is_some() {
                let why = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
                errors.push(FieldError::invalid(&at, told, why));
            }
        }
    }
    not_negative(errors, spec, &path, "startingDeadlineSeconds");
    if let Some(zone) = zone.filter(|_| old.is_none_or(|old| old["timeZone"] != spec["timeZone"])) {
        let at = path.field("timeZone");
        errors.extend(schedule::zone_faults(zone).iter().map(|why| FieldError::invalid(&at, zone, why)));
    }
    required_one_of(errors, spec, &path, "concurrencyPolicy", &["Allow", "Forbid", "Replace"]);
    template(errors, &spec["jobTemplate"]["spec"], &path.field("jobTemplate").field("spec"));
    not_negative(errors, spec, &path, "successfulJobsHistoryLimit");
    not_negative(errors, spec, &path, "failedJobsHistoryLimit");
}

fn template(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    job::check_template_spec(errors, spec, path);
    if has(spec, "selector") {
        let why = "`selector` will be auto-generated";
        errors.push(FieldError::invalid(&path.field("selector"), spec["selector"].clone(), why));
    }
    if spec["manualSelector"] == true {
        errors.push(FieldError::not_supported(&path.field("manualSelector"), true, &["nil", "false"]));
    }
}
