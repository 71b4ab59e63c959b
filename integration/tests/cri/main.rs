//! `orlop cri` as a kubelet sees it: pods and containers through its socket, and what is left when it is killed.

mod calls;
mod events;
mod hung;
mod instances;
mod life;
mod lost;
mod recovery;
mod security;
mod start;
mod versions;

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
    Test {
        name: "a_device_has_the_place_and_the_permissions_asked_for",
        run: calls::a_device_has_the_place_and_the_permissions_asked_for,
    },
    Test {
        name: "a_container_joins_the_processes_of_another",
        run: calls::a_container_joins_the_processes_of_another,
    },
    Test { name: "a_masked_program_cannot_be_run", run: calls::a_masked_program_cannot_be_run },
    Test { name: "limits_change_while_it_runs", run: calls::limits_change_while_it_runs },
    Test {
        name: "a_renamed_log_gets_no_more_lines_once_reopened",
        run: calls::a_renamed_log_gets_no_more_lines_once_reopened,
    },
    Test { name: "statistics_count_what_was_used", run: calls::statistics_count_what_was_used },
    Test { name: "a_call_of_later_is_refused_by_name", run: calls::a_call_of_later_is_refused_by_name },
    Test {
        name: "what_was_not_started_has_no_process_and_takes_limits",
        run: start::what_was_not_started_has_no_process_and_takes_limits,
    },
    Test {
        name: "what_was_stopped_before_its_start_cannot_be_started",
        run: start::what_was_stopped_before_its_start_cannot_be_started,
    },
    Test {
        name: "a_killed_daemon_keeps_what_was_not_started",
        run: start::a_killed_daemon_keeps_what_was_not_started,
    },
    Test {
        name: "a_container_that_is_being_started_can_be_stopped",
        run: start::a_container_that_is_being_started_can_be_stopped,
    },
    Test {
        name: "what_was_started_unrecorded_runs_and_can_be_stopped",
        run: start::what_was_started_unrecorded_runs_and_can_be_stopped,
    },
    Test {
        name: "a_program_that_cannot_be_executed_is_told_with_its_reason",
        run: start::a_program_that_cannot_be_executed_is_told_with_its_reason,
    },
    Test { name: "events_tell_every_step", run: events::events_tell_every_step },
    Test { name: "a_pod_whose_monitor_hangs_ends_soon", run: hung::a_pod_whose_monitor_hangs_ends_soon },
    Test {
        name: "a_container_whose_monitor_hangs_is_stopped_and_removed",
        run: hung::a_container_whose_monitor_hangs_is_stopped_and_removed,
    },
    Test {
        name: "a_slow_monitor_keeps_its_pod_and_holds_up_nobody",
        run: hung::a_slow_monitor_keeps_its_pod_and_holds_up_nobody,
    },
    Test { name: "a_pod_whose_record_is_lost_is_ended", run: lost::a_pod_whose_record_is_lost_is_ended },
    Test {
        name: "a_container_whose_record_is_lost_is_ended_alone",
        run: lost::a_container_whose_record_is_lost_is_ended_alone,
    },
    Test {
        name: "a_monitor_of_an_older_version_is_adopted",
        run: versions::a_monitor_of_an_older_version_is_adopted,
    },
    Test {
        name: "a_monitor_of_an_unknown_version_costs_its_pod_alone",
        run: versions::a_monitor_of_an_unknown_version_costs_its_pod_alone,
    },
    Test {
        name: "a_record_of_another_format_stops_the_daemon_and_no_pod",
        run: versions::a_record_of_another_format_stops_the_daemon_and_no_pod,
    },
    Test {
        name: "a_privileged_container_is_held_back_by_nothing",
        run: security::a_privileged_container_is_held_back_by_nothing,
    },
    Test { name: "mounts_propagate_as_asked", run: security::mounts_propagate_as_asked },
    Test { name: "the_admin_endpoint_answers", run: instances::the_admin_endpoint_answers },
    Test { name: "a_kubelets_pod_cidr_is_taken", run: instances::a_kubelets_pod_cidr_is_taken },
    Test { name: "two_instances_share_nothing", run: instances::two_instances_share_nothing },
];

fn main() -> ExitCode {
    versions::stub().unwrap_or_else(|| runner::main(TESTS))
}
