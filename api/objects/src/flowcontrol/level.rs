//! PriorityLevelConfigurations.

use serde_json::{Value, json};

use crate::check::{has, text};
use crate::{FieldError, Path, fill};

const EXEMPT: &str = "exempt";
const CATCH_ALL: &str = "catch-all";
const SHARES: i64 = 30;
const MOST_QUEUES: i64 = 10_000_000;
/// The bits of the hash by which a flow's queues are dealt.
const HASH_BITS: u32 = 60;
const ROUND_TRIP: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";

pub(crate) fn defaults(level: &mut Value) {
    for spec in fill::part(level, "spec") {
        for (field, shares) in [("limited", SHARES), ("exempt", 0)] {
            for of in fill::part(spec, field) {
                fill::missing(of, "nominalConcurrencyShares", shares);
                fill::missing(of, "lendablePercent", 0);
            }
        }
        let limited = fill::part(spec, "limited").flat_map(|limited| fill::part(limited, "limitResponse"));
        for queuing in limited.flat_map(|response| fill::part(response, "queuing")) {
            for (field, value) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
                if queuing[field].as_i64().unwrap_or(0) == 0 {
                    queuing[field] = value.into();
                }
            }
        }
    }
}

pub(crate) fn create(level: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = text(&level["metadata"], "name");
    if level["metadata"]["annotations"].get(ROUND_TRIP).is_some() {
        let meta = Path::ROOT.field("metadata");
        let why = format!("annotation '{ROUND_TRIP}' is forbidden");
        errors.push(FieldError::forbidden(&meta.field("annotations"), &why));
    }
    let (path, spec) = (Path::ROOT.field("spec"), &level["spec"]);
    let of = text(spec, "type");
    if (name == EXEMPT) != (of == "Exempt") {
        let why = "must be 'Exempt' if and only if `name` is 'exempt'";
        errors.push(FieldError::invalid(&path.field("type"), of, why));
    }
    let (limited, exempt) = (path.field("limited"), path.field("exempt"));
    match of {
        "Exempt" => {
            if has(spec, "limited") {
                errors.push(FieldError::forbidden(&limited, "must be nil if the type is not Limited"));
            }
            shares(&mut errors, &spec["exempt"], &exempt);
        }
        "Limited" => {
            if has(spec, "exempt") {
                errors.push(FieldError::forbidden(&exempt, "must be nil if the type is Limited"));
            }
            if has(spec, "limited") {
                limits(&mut errors, &spec["limited"], &limited);
            } else {
                errors.push(FieldError::required(&limited, "must not be empty when type is Limited"));
            }
        }
        other => {
            let types = ["Exempt", "Limited"];
            errors.push(FieldError::not_supported(&path.field("type"), other, &types));
        }
    }
    mandatory(&mut errors, name, spec, &path);
    errors.extend(super::conditions(level));
    errors
}

/// The two levels that must be there are what they are.
fn mandatory(errors: &mut Vec<FieldError>, name: &str, spec: &Value, path: &Path) {
    let mut asked = spec.clone();
    let (fixed, but) = match name {
        EXEMPT => {
            fill::remove(&mut asked, &["exempt"]);
            (json!({"type": "Exempt"}), " except the 'spec.exempt' field")
        }
        CATCH_ALL => {
            let limited = json!({
                "nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"},
            });
            (json!({"type": "Limited", "limited": limited}), "")
        }
        _ => return,
    };
    if asked != fixed {
        let why = format!("spec of '{name}'{but} must equal the fixed value");
        errors.push(FieldError::invalid(path, spec.clone(), &why));
    }
}

fn shares(errors: &mut Vec<FieldError>, of: &Value, path: &Path) {
    if let Some(shares) = of["nominalConcurrencyShares"].as_i64().filter(|shares| *shares < 0) {
        let why = "must be a non-negative integer";
        errors.push(FieldError::invalid(&path.field("nominalConcurrencyShares"), shares, why));
    }
    percent(errors, of, path);
}

fn percent(errors: &mut Vec<FieldError>, of: &Value, path: &Path) {
    if let Some(percent) = of["lendablePercent"].as_i64().filter(|percent| !(0..=100).contains(percent)) {
        let why = "must be between 0 and 100, inclusive";
        errors.push(FieldError::invalid(&path.field("lendablePercent"), percent, why));
    }
}

fn limits(errors: &mut Vec<FieldError>, limited: &Value, path: &Path) {
    let mut own = limited.clone();
    fill::remove(&mut own, &["lendablePercent"]);
    shares(errors, &own, path);
    let (response, at) = (&limited["limitResponse"], path.field("limitResponse"));
    let queuing = at.field("queuing");
    match text(response, "type") {
        "Reject" => {
            if has(response, "queuing") {
                let why = "must be nil if limited.limitResponse.type is not Limited";
                errors.push(FieldError::forbidden(&queuing, why));
            }
        }
        "Queue" => {
            if has(response, "queuing") {
                queues(errors, &response["queuing"], &queuing);
            } else {
                let why = "must not be empty if limited.limitResponse.type is Limited";
                errors.push(FieldError::required(&queuing, why));
            }
        }
        other => errors.push(FieldError::not_supported(&at.field("type"), other, &["Queue", "Reject"])),
    }
    percent(errors, limited, path);
    if let Some(percent) = limited["borrowingLimitPercent"].as_i64().filter(|percent| *percent < 0) {
        let why = "if specified, must be a non-negative integer";
        errors.push(FieldError::invalid(&path.field("borrowingLimitPercent"), percent, why));
    }
}

fn queues(errors: &mut Vec<FieldError>, queuing: &Value, path: &Path) {
    let number = |field: &str| queuing[field].as_i64().unwrap_or(0);
    let (limit, queues, hand) = (number("queueLengthLimit"), number("queues"), number("handSize"));
    let mut refuse = |field: &str, value: i64, why: &str| {
        errors.push(FieldError::invalid(&path.field(field), value, why));
    };
    if limit <= 0 {
        refuse("queueLengthLimit", limit, "must be positive");
    }
    if queues <= 0 {
        refuse("queues", queues, "must be positive");
    } else if queues > MOST_QUEUES {
        refuse("queues", queues, &format!("must not be greater than {MOST_QUEUES}"));
    }
    if hand <= 0 {
        refuse("handSize", hand, "must be positive");
    } else if hand > queues {
        refuse("handSize", hand, &format!("should not be greater than queues ({queues})"));
    } else if entropy(queues, hand) > HASH_BITS {
        let why = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        );
        refuse("handSize", hand, &why);
    }
}

/// The bits that it takes to deal a hand of so many queues.
fn entropy(queues: i64, hand: i64) -> u32 {
    let hands: f64 = (0..hand).map(|taken| ((queues - taken) as f64).log2()).sum();
    hands.ceil() as u32
}
