//! Compares the API server with what a stock one was recorded to answer (`ORLOP_GOLDEN`). What differs stands in
//! `integration/ledger/api.md`.
//!
//! `ORLOP_GOLDEN_SHOW=life/Pod` shows the differences of those cases, `ORLOP_LEDGER_WRITE=1` writes the ledger anew.

mod client;
mod discovery;
mod ledger;
mod normal;
mod recorded;
mod replay;
mod tables;

use libtest_mimic::{Arguments, Trial};

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = discovery::tests();
    trials.push(recorded::test("the_tables_of_recorded_objects_agree", |folder| tables::run(&folder)));
    trials.push(recorded::test("recorded_cases_agree_as_the_ledger_says", |folder| replay::all(&folder)));
    let reads = "lists_and_watches_agree_but_for_managed_fields";
    trials.push(recorded::test(reads, |folder| replay::reads(&folder)));
    libtest_mimic::run(&arguments, trials).exit_code()
}
