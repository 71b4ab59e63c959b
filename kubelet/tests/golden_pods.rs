//! Compares this kubelet's translation of pods with what a stock kubelet 1.36.2 sent for the same manifests, and
//! its rules with those of a stock API server. Nothing runs: all of it is pure.
//!
//! The recordings are found by `ORLOP_GOLDEN`, or beside the repository; without them every test is a counted
//! skip. What may differ stands in `integration/ledger/pods.md`, and has to differ still.

#[path = "golden_pods/data.rs"]
mod data;
#[path = "golden_pods/json.rs"]
mod json;
#[path = "golden_pods/schema.rs"]
mod schema;
#[path = "golden_pods/translation.rs"]
mod translation;
#[path = "golden_pods/validation.rs"]
mod validation;

use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Compares everything below the recordings' folder; returns what differs.
type Check = fn(&Path) -> Vec<String>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let Some(golden) = data::folder() else {
        let names = ["translation", "schema", "validation"];
        let skip = || Ok(Completion::ignored_with("there are no recordings: set ORLOP_GOLDEN"));
        let trials = names.into_iter().map(|name| Trial::ignorable_test(name, skip)).collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    };
    let mut trials = translation::trials(&golden);
    let checks: [(_, Check); 2] = [
        ("fields_are_those_of_the_schema", schema::check),
        ("mutated_pods_are_refused_as_the_api_does", validation::check),
    ];
    for (name, check) in checks {
        let golden = golden.clone();
        trials.push(Trial::test(name, move || failed(check(&golden))));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test fails with what it found, a line each.
fn failed(found: Vec<String>) -> Result<(), Failed> {
    if found.is_empty() { Ok(()) } else { Err(found.join("\n").into()) }
}
