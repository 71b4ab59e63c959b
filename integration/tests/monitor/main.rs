//! The pod monitor with real containers.

mod fixture;
mod life;

use std::process::ExitCode;

use integration::runner::{self, Test};

const TESTS: &[Test] = &[Test { name: "life_cycle", run: life::life_cycle }];

fn main() -> ExitCode {
    runner::main(TESTS)
}
