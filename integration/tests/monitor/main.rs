//! The pod monitor with real containers.

mod exec;
mod failure;
mod fixture;
mod fuzz;
mod life;
mod pods;
mod streams;

use std::process::ExitCode;

use integration::runner::{self, Test};

const TESTS: &[Test] = &[
    Test { name: "life_cycle", run: life::life_cycle },
    Test { name: "exec_exit_codes_and_streams", run: exec::exit_codes_and_streams },
    Test { name: "exec_terminal_and_resize", run: exec::terminal_and_resize },
    Test { name: "exec_many_at_once", run: exec::many_at_once },
    Test { name: "input_and_attached_readers", run: streams::input_and_attached_readers },
    Test { name: "slow_reader_stalls_nobody", run: streams::a_slow_reader_stalls_nobody },
    Test { name: "log_reopened_under_a_flood", run: streams::reopening_under_a_flood },
    Test { name: "long_lines_and_a_full_disk", run: streams::long_lines_and_a_full_disk },
    Test { name: "terminal", run: streams::a_terminal },
    Test { name: "client_that_dies", run: failure::a_client_that_dies },
    Test { name: "monitor_that_dies", run: failure::a_monitor_that_dies },
    Test { name: "garbage_at_the_socket", run: failure::garbage_at_the_socket },
    Test { name: "nearly_valid_messages", run: fuzz::nearly_valid_messages },
    Test { name: "runtime_that_hangs", run: failure::a_runtime_that_hangs },
    Test { name: "runtime_that_refuses", run: failure::a_runtime_that_refuses },
    Test { name: "exit_before_the_pid_file_is_read", run: failure::an_exit_before_the_pid_file_is_read },
    Test { name: "logger_that_dies", run: failure::a_logger_that_dies },
    Test { name: "ended_container_costs_nothing", run: failure::an_ended_container_costs_nothing },
    Test { name: "pause_ends", run: failure::pause_ends },
    Test { name: "namespaces_are_made_and_pinned", run: pods::namespaces_are_made_and_pinned },
    Test { name: "pod_that_cannot_be_leaves_nothing", run: pods::a_pod_that_cannot_be_leaves_nothing },
    Test { name: "shared_pid_namespace", run: pods::a_shared_pid_namespace },
    Test { name: "user_namespace", run: pods::a_user_namespace },
    Test { name: "end_for_lack_of_memory", run: pods::an_end_for_lack_of_memory },
    Test { name: "memory", run: pods::memory },
    Test { name: "foreign_runtime", run: pods::a_foreign_runtime },
];

fn main() -> ExitCode {
    runner::main(TESTS)
}
