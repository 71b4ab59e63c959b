//! What a stock API server made of requests, made again by the pure parts of ours: decoding, patching, applying and
//! tracking who owns which field. A difference is listed below with its reason, or fails; so does a listed one that
//! is none any more.

mod defaults;
mod golden;
mod replay;

use std::process::ExitCode;

use api_objects::decode::{decode, normalise};
use api_objects::schema::{Schema, Type};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

use golden::{Case, concrete};

type Test = fn(Vec<Case>) -> Result<(), Failed>;

const TESTS: [(&str, Test); 3] = [
    ("what_is_answered_is_in_normal_form", normal_form),
    ("malformed_objects_are_refused_with_the_same_words", malformed),
    ("patches_and_applies_make_the_same_objects", patches),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let recorded = golden::cases().is_some();
    let trials = TESTS.map(|(name, test)| {
        let run = move || test(golden::cases().ok_or("ORLOP_GOLDEN names no recording")?);
        Trial::test(name, run).with_ignored_flag(!recorded)
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

fn of(object: &Value) -> Option<Type<'static>> {
    Schema::builtin().kind_of(object["apiVersion"].as_str()?, object["kind"].as_str()?)
}

fn report(what: &str, agree: usize, different: Vec<String>) -> Result<(), Failed> {
    eprintln!("{what}: {agree} agree, {} differ", different.len());
    if different.is_empty() { Ok(()) } else { Err(different.join("\n").into()) }
}

fn normal_form(cases: Vec<Case>) -> Result<(), Failed> {
    let (mut agree, mut different) = (0, Vec::new());
    for Case { name, whole } in cases {
        for (index, step) in whole["steps"].as_array().into_iter().flatten().enumerate() {
            let mut answer = step["answer"].clone();
            let Some(of) = of(&answer).filter(|_| answer["metadata"].get("name").is_some()) else { continue };
            concrete(&mut answer, "");
            match normalise(of, &answer) {
                Ok(done) if done.value == answer && done.objections.is_empty() => agree += 1,
                Ok(done) => {
                    let differs = replay::difference("", &done.value, &answer);
                    different.push(format!("{name} {index}: {differs} {:?}", done.objections));
                }
                Err(error) => different.push(format!("{name} {index}: {error}")),
            }
        }
    }
    report("normal form", agree, different)
}

fn malformed(cases: Vec<Case>) -> Result<(), Failed> {
    let (mut agree, mut different) = (0, Vec::new());
    for Case { name, whole } in cases.into_iter().filter(|case| case.name.starts_with("invalid/")) {
        let of = of(&whole["object"]).ok_or_else(|| format!("no kind: {name}"))?;
        for step in whole["steps"].as_array().into_iter().flatten() {
            let (Some(path), Some(how)) = (step["mutate"][0].as_str(), step["mutate"][1].as_str()) else {
                continue;
            };
            let mut object = whole["object"].clone();
            if !mutate(&mut object, path, how, &whole["mutations"]) {
                different.push(format!("{name}: no {path}"));
                continue;
            }
            let message = step["message"].as_str().unwrap_or_default();
            let expected = message.split_once(" cannot be handled as a ").map(|(_, rest)| {
                let why = rest.split_once(": ").map_or("", |(_, why)| why);
                why.replace("<time>", "2006-01-02T15:04:05.000000Z")
            });
            let ours = decode(of, object.to_string().as_bytes()).err().map(|error| error.to_string());
            if ours == expected {
                agree += 1;
            } else {
                different.push(format!("{name} {path} {how}: {ours:?}, not {expected:?}"));
            }
        }
    }
    report("malformed objects", agree, different)
}

/// Changes an object at a path as its case says.
fn mutate(object: &mut Value, path: &str, how: &str, mutations: &Value) -> bool {
    let mut steps: Vec<&str> = path.split('.').collect();
    let mut place = object;
    loop {
        // Keys may have dots: take as many steps as make a key.
        let taken = match place {
            Value::Array(_) => Some(1),
            Value::Object(fields) => {
                (1..=steps.len()).find(|count| fields.contains_key(&steps[..*count].join(".")))
            }
            _ => None,
        };
        let Some(taken) = taken else { return false };
        let key: String = steps.drain(..taken).collect::<Vec<_>>().join(".");
        let last = steps.is_empty();
        match place {
            Value::Array(items) if last && how == "drop" => {
                let Some(index) = key.parse().ok().filter(|index| *index < items.len()) else { return false };
                items.remove(index);
                return true;
            }
            Value::Object(fields) if last && how == "drop" => return fields.remove(&key).is_some(),
            _ => {}
        }
        let inner = match place {
            Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            Value::Object(fields) => fields.get_mut(&key),
            _ => None,
        };
        let Some(inner) = inner else { return false };
        place = inner;
        if last {
            *place = mutations[how].clone();
            return true;
        }
    }
}

fn patches(cases: Vec<Case>) -> Result<(), Failed> {
    let (mut agree, mut refused, mut beyond, mut different) = (0, 0, 0, Vec::new());
    for case in cases {
        for (index, verdict) in replay::replay(&case.whole) {
            match verdict {
                replay::Verdict::Same => agree += 1,
                replay::Verdict::Refused => refused += 1,
                replay::Verdict::Beyond => beyond += 1,
                replay::Verdict::Differs(how) => different.push(format!("{} {index}: {how}", case.name)),
            }
        }
    }
    eprintln!("{refused} refused with the same words, {beyond} need validation or the store");
    report("patches, applies and their owners", agree, different)
}
