//! `orlop cri` as a kubelet sees it: pods and containers through its socket, and what is left when it is killed.

mod life;
mod recovery;

use std::process::ExitCode;

use integration::runner::{self, Test};

const TESTS: &[Test] = &[
    Test { name: "a_pod_lives_and_leaves_nothing", run: life::a_pod_lives_and_leaves_nothing },
    Test {
        name: "a_program_that_is_missing_fails_the_start",
        run: life::a_program_that_is_missing_fails_the_start,
    },
    Test { name: "the_network_becomes_ready_later", run: life::the_network_becomes_ready_later },
    Test {
        name: "unknown_ids_are_no_error_to_stop_and_remove",
        run: life::unknown_ids_are_no_error_to_stop_and_remove,
    },
    Test { name: "a_killed_daemon_adopts_its_pods", run: recovery::a_killed_daemon_adopts_its_pods },
    Test { name: "a_killed_monitor_ends_its_pod_alone", run: recovery::a_killed_monitor_ends_its_pod_alone },
    Test { name: "another_boot_discards_the_state", run: recovery::another_boot_discards_the_state },
    Test {
        name: "a_crash_after_any_effect_leaves_nothing",
        run: recovery::a_crash_after_any_effect_leaves_nothing,
    },
];

fn main() -> ExitCode {
    runner::main(TESTS)
}
