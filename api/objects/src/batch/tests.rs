use serde_json::{Value, json};

use super::schedule;
use crate::rules::Rules;
use crate::trial::{created, defaulted, told, with};

fn of(kind: &str) -> &'static Rules {
    super::rules(kind).unwrap()
}

/// A Job as it is checked: with the selector that the server gives it.
fn job() -> Value {
    let mut job = json!({"metadata": {"name": "a", "uid": "u"}, "spec": {
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}},
    }});
    job = defaulted(of("Job"), &job);
    (of("Job").prepare)(&mut job, None);
    job
}

fn indexed() -> Value {
    let mut job = job();
    job["spec"]["completionMode"] = json!("Indexed");
    job["spec"]["completions"] = json!(20);
    job
}

#[test]
fn a_job_knows_its_own_pods() {
    let job = job();
    let labels = json!({
        "batch.kubernetes.io/controller-uid": "u", "batch.kubernetes.io/job-name": "a",
        "controller-uid": "u", "job-name": "a",
    });
    assert_eq!(job["spec"]["template"]["metadata"]["labels"], labels);
    assert_eq!(job["metadata"]["labels"], labels);
    let selector = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}});
    assert_eq!(job["spec"]["selector"], selector);
    let mut own =
        json!({"metadata": {"name": "a", "uid": "u"}, "spec": {"manualSelector": true, "template": {}}});
    (of("Job").prepare)(&mut own, None);
    assert_eq!(own["spec"], json!({"manualSelector": true, "template": {}}));
}

#[test]
fn defaults_are_those_of_the_api() {
    let spec = |spec: Value| defaulted(of("Job"), &json!({"spec": spec}))["spec"].clone();
    let plain = spec(json!({}));
    for (field, value) in [
        ("parallelism", json!(1)),
        ("completions", json!(1)),
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
        ("manualSelector", json!(false)),
    ] {
        assert_eq!(plain[field], value, "{field}");
    }
    assert_eq!(spec(json!({"parallelism": 3})).get("completions"), None, "any number of pods may complete");
    assert_eq!(spec(json!({"completions": 3}))["parallelism"], 1);
    assert_eq!(spec(json!({"backoffLimitPerIndex": 1}))["backoffLimit"], i32::MAX);
    let policy = spec(json!({"podFailurePolicy": {"rules": [{"onPodConditions": [{"type": "A"}]}]}}));
    assert_eq!(policy["podReplacementPolicy"], "Failed");
    assert_eq!(policy["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["status"], "True");
    let cron = defaulted(of("CronJob"), &json!({"spec": {}}))["spec"].clone();
    assert_eq!(
        (&cron["concurrencyPolicy"], &cron["suspend"], &cron["successfulJobsHistoryLimit"]),
        (&json!("Allow"), &json!(false), &json!(3))
    );
    assert_eq!(cron["failedJobsHistoryLimit"], 1);
    assert_eq!(cron["jobTemplate"]["spec"].get("backoffLimit"), None, "a template is no Job yet");
}

#[test]
fn a_jobs_numbers_fit_its_mode() {
    let indexed_only = "requires indexed completion mode";
    let policy = r#"spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#;
    created(
        of("Job"),
        &job(),
        &[
            (
                "/spec/parallelism",
                json!(0),
                json!(-1),
                &["spec.parallelism: Invalid value: -1: must be greater than or equal to 0"],
            ),
            (
                "/spec/completionMode",
                json!("Indexed"),
                json!("x"),
                &[
                    r#"spec.completionMode: Unsupported value: "x": supported values: "NonIndexed", "Indexed""#,
                ],
            ),
            (
                "/spec/backoffLimitPerIndex",
                Value::Null,
                json!(1),
                &[&format!("spec.backoffLimitPerIndex: Invalid value: 1: {indexed_only}")],
            ),
            (
                "/spec/managedBy",
                json!("a.b/c"),
                json!("c"),
                &[
                    r#"spec.managedBy: Invalid value: "c": must be a domain-prefixed path (such as "acme.io/foo")"#,
                ],
            ),
            (
                "/spec/successPolicy",
                Value::Null,
                json!({"rules": []}),
                &[&format!(r#"spec.successPolicy: Invalid value: {{"rules":[]}}: {indexed_only}"#)],
            ),
            (
                "/spec/podReplacementPolicy",
                json!("Failed"),
                json!("x"),
                &[concat!(
                    r#"spec.podReplacementPolicy: Unsupported value: "x": "#,
                    r#"supported values: "Failed", "TerminatingOrFailed""#
                )],
            ),
            ("/spec/template/spec/restartPolicy", json!("OnFailure"), json!("Always"), &[policy]),
        ],
    );
    created(
        of("Job"),
        &indexed(),
        &[
            (
                "/spec/completions",
                json!(0),
                Value::Null,
                &["spec.completions: Required value: when completion mode is Indexed"],
            ),
            (
                "/spec/parallelism",
                json!(100_000),
                json!(100_001),
                &[concat!(
                    "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 ",
                    "when completion mode is Indexed"
                )],
            ),
            (
                "/spec/maxFailedIndexes",
                Value::Null,
                json!(1),
                &["spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"],
            ),
            (
                "/spec/successPolicy",
                json!({"rules": [{"succeededIndexes": "0-2,5", "succeededCount": 4}]}),
                json!({"rules": [{"succeededIndexes": "0-2", "succeededCount": 4}]}),
                &[concat!(
                    "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal to 3 ",
                    "(the number of indexes in the specified succeededIndexes field)"
                )],
            ),
        ],
    );
    let errors = crate::trial::wrong(of("Job"), &with(&indexed(), "/metadata/name", &json!("a.b")));
    let label = "will not able to create pod with invalid DNS label: a.b-19";
    assert!(errors.last().is_some_and(|error| error.ends_with(label)), "{errors:?}");
}

#[test]
fn a_failure_policy_is_made_of_whole_rules() {
    let base = with(
        &indexed(),
        "/spec/podFailurePolicy",
        &json!({"rules": [{"action": "FailJob", "onExitCodes": {
            "operator": "In", "values": [1],
        }}]}),
    );
    let base = with(&base, "/spec/podReplacementPolicy", &json!("Failed"));
    let at = "/spec/podFailurePolicy/rules/0";
    let place = |rest: &str| format!("{at}/{rest}");
    let rule = |rest: &str| format!("spec.podFailurePolicy.rules[0]{rest}");
    let codes = |values: Value| json!({"operator": "In", "values": values});
    created(
        of("Job"),
        &base,
        &[
            (
                &place("action"),
                json!("Ignore"),
                json!("x"),
                &[&rule(concat!(
                    r#".action: Unsupported value: "x": "#,
                    r#"supported values: "Count", "FailIndex", "FailJob", "Ignore""#
                ))],
            ),
            (
                &place("action"),
                json!("Count"),
                json!("FailIndex"),
                &[&rule(
                    r#".action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set"#,
                )],
            ),
            (
                &place("onExitCodes"),
                codes(json!([1, 2])),
                codes(json!([2, 1])),
                &[&rule(".onExitCodes.values: Invalid value: [2,1]: must be ordered")],
            ),
            (
                &place("onExitCodes"),
                codes(json!([1])),
                codes(json!([0, 0])),
                &[
                    &rule(".onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator"),
                    &rule(".onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator"),
                    &rule(".onExitCodes.values[1]: Duplicate value: 0"),
                ],
            ),
            (
                &place("onExitCodes/containerName"),
                json!("c"),
                json!("d"),
                &[&rule(concat!(
                    r#".onExitCodes.containerName: Invalid value: "d": "#,
                    "must be one of the container or initContainer names in the pod template"
                ))],
            ),
            (
                &place("onPodConditions"),
                Value::Null,
                json!([{"type": "A", "status": "True"}]),
                &[&rule(": Invalid value: specifying both OnExitCodes and OnPodConditions is not supported")],
            ),
            (
                "/spec/template/spec/restartPolicy",
                json!("Never"),
                json!("OnFailure"),
                &[concat!(
                    r#"spec.template.spec.restartPolicy: Invalid value: "OnFailure": "#,
                    r#"only "Never" is supported when podFailurePolicy is specified"#
                )],
            ),
        ],
    );
}

fn changed(base: &Value, place: &str, value: Value) -> Vec<String> {
    let new = with(base, place, &value);
    (of("Job").update)(&new, base).iter().map(|error| error.field.clone()).collect()
}

#[test]
fn a_job_stays_what_it_is() {
    let none: Vec<String> = Vec::new();
    assert_eq!(changed(&job(), "/spec/parallelism", json!(3)), none);
    assert_eq!(changed(&job(), "/spec/completions", json!(3)), ["spec.completions"]);
    assert_eq!(changed(&indexed(), "/spec/completions", json!(21)), ["spec.completions"]);
    let tandem = with(&indexed(), "/spec/parallelism", &json!(20));
    let tandem = with(&tandem, "/spec/suspend", &json!(true));
    assert_eq!(changed(&tandem, "/spec/podReplacementPolicy", json!("Failed")), none);
    let image = "/spec/template/spec/containers/0/image";
    assert_eq!(changed(&tandem, image, json!("j")), ["spec.template.spec"], "while it is suspended, too");
    for (place, value) in [
        ("/spec/template/spec/nodeSelector", json!({"a": "b"})),
        ("/spec/template/spec/containers/0/resources", json!({"requests": {"cpu": "1"}})),
        ("/spec/template/metadata/annotations", json!({"a": "b"})),
        ("/spec/template/spec/affinity", json!({"nodeAffinity": {}})),
    ] {
        assert_eq!(changed(&tandem, place, value.clone()), none, "{place}: it may yet go elsewhere");
        assert_eq!(changed(&job(), place, value), ["spec.template"], "{place}");
    }
}

#[test]
fn a_finished_job_tells_when_and_why() {
    let base = with(&indexed(), "/status", &json!({"startTime": "2026-01-01T00:00:00Z", "failed": 2}));
    let done = json!({
        "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:00Z", "failed": 2,
        "conditions": [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}],
    });
    let less = |place: &str, value: Value| with(&done, place, &value);
    let at = "status.conditions: Invalid value: ";
    told(
        of("Job"),
        &base,
        &[
            (
                "/status",
                done.clone(),
                less("/conditions/0/status", json!("False")),
                &[&format!(
                    "{at}cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
                )],
            ),
            (
                "/status",
                done.clone(),
                less("/completionTime", Value::Null),
                &["status.completionTime: Required value: completionTime is required for Complete jobs"],
            ),
            (
                "/status",
                done.clone(),
                less("/completionTime", json!("2025-01-01T00:00:00Z")),
                &[concat!(
                    r#"status.completionTime: Invalid value: "2025-01-01T00:00:00Z": "#,
                    "must be equal to or after `startTime`"
                )],
            ),
            (
                "/status",
                done.clone(),
                less("/active", json!(1)),
                &["status.active: Invalid value: 1: active>0 is invalid for finished job"],
            ),
            (
                "/status/failed",
                json!(3),
                json!(1),
                &["status.failed: Invalid value: 1: cannot decrease the failed counter"],
            ),
            (
                "/status/completedIndexes",
                json!("0-3,7"),
                json!("3,2"),
                &[concat!(
                    r#"status.completedIndexes: Invalid value: "3,2": error parsing completedIndexes: "#,
                    "non-increasing order, previous: 3, current: 2"
                )],
            ),
            (
                "/status/ready",
                json!(0),
                json!(1),
                &["status.ready: Invalid value: 1: cannot set more ready pods than active"],
            ),
            (
                "/status/uncountedTerminatedPods",
                json!({"succeeded": ["a"], "failed": ["b"]}),
                json!({"succeeded": ["a"], "failed": ["a"]}),
                &[r#"status.uncountedTerminatedPods.failed[0]: Duplicate value: "a""#],
            ),
        ],
    );
    let finished = with(&indexed(), "/status", &done);
    let back = (of("Job").status)(&base, &finished);
    assert!(
        back.iter()
            .any(|error| error.message.contains("cannot disable the terminal Complete=True condition")),
        "{back:?}"
    );
}

#[test]
fn a_cron_jobs_own_rules() {
    let base = json!({"metadata": {"name": "a"}, "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}},
    }}}});
    created(
        of("CronJob"),
        &base,
        &[
            ("/spec/schedule", json!("@daily"), json!(""), &["spec.schedule: Required value"]),
            (
                "/spec/schedule",
                json!("0 2 1-5,7 jan *"),
                json!("0 2"),
                &[r#"spec.schedule: Invalid value: "0 2": expected exactly 5 fields, found 2: [0 2]"#],
            ),
            (
                "/spec/schedule",
                json!("0 2 * * *"),
                json!("TZ=UTC 0 2 * * *"),
                &[concat!(
                    r#"spec.schedule: Invalid value: "TZ=UTC 0 2 * * *": "#,
                    "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
                )],
            ),
            (
                "/spec/timeZone",
                json!("Europe/Paris"),
                json!("Europe/Nowhere"),
                &[r#"spec.timeZone: Invalid value: "Europe/Nowhere": unknown time zone Europe/Nowhere"#],
            ),
            (
                "/spec/concurrencyPolicy",
                json!("Replace"),
                json!("x"),
                &[concat!(
                    r#"spec.concurrencyPolicy: Unsupported value: "x": "#,
                    r#"supported values: "Allow", "Forbid", "Replace""#
                )],
            ),
            (
                "/spec/startingDeadlineSeconds",
                json!(0),
                json!(-1),
                &["spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0"],
            ),
            (
                "/spec/jobTemplate/spec/selector",
                Value::Null,
                json!({}),
                &["spec.jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated"],
            ),
            (
                "/spec/jobTemplate/spec/manualSelector",
                json!(false),
                json!(true),
                &[concat!(
                    "spec.jobTemplate.spec.manualSelector: Unsupported value: true: ",
                    r#"supported values: "nil", "false""#
                )],
            ),
        ],
    );
    let long = "a".repeat(53);
    let errors = crate::trial::wrong(of("CronJob"), &with(&base, "/metadata/name", &json!(long)));
    assert_eq!(
        errors,
        [format!("metadata.name: Invalid value: {long:?}: must be no more than 52 characters")]
    );
}

#[test]
fn schedules_are_read_as_cron_reads_them() {
    for good in
        ["* * * * *", "? 0-23/2 1,15 JAN-mar sun", "@every 1h30m", "@hourly", "CRON_TZ=Asia/Tokyo 0 0 * * 6"]
    {
        assert_eq!(schedule::fault(good), None, "{good}");
    }
    for (bad, why) in [
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("x * * * *", r#"failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax"#),
        ("@often", "unrecognized descriptor: @often"),
        ("TZ=No/Where * * * * *", "provided bad location No/Where: unknown time zone No/Where"),
    ] {
        assert_eq!(schedule::fault(bad).as_deref(), Some(why), "{bad}");
    }
}
