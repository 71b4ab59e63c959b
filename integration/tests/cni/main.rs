//! The CNI plugins against the kernel: real namespaces, real packets, and Debian's plugins beside ours.

use std::process::ExitCode;

use integration::runner::{self, Test};

mod connectivity;
mod host;
mod interop;
mod lifecycle;
mod robustness;

static TESTS: &[Test] = &[
    Test {
        name: "a_pod_is_reached_from_the_host_and_from_pods_by_its_own_address",
        run: connectivity::addresses,
    },
    Test { name: "a_pod_reaches_the_outside_under_the_hosts_address", run: connectivity::masquerade },
    Test { name: "a_host_port_is_reached_from_everywhere", run: connectivity::host_ports },
    Test { name: "a_host_port_of_one_address_is_on_that_address_only", run: connectivity::host_ip },
    Test { name: "a_udp_flow_finds_the_next_owner_of_a_host_port", run: connectivity::udp_takeover },
    Test { name: "a_host_that_does_not_forward_is_made_to", run: connectivity::forwarding },
    Test { name: "del_leaves_nothing_twice_and_without_namespace_or_result", run: lifecycle::del },
    Test { name: "what_is_taken_is_refused_and_stays_with_its_owner", run: lifecycle::conflicts },
    Test { name: "a_full_range_is_said_by_add_and_status", run: lifecycle::exhaustion },
    Test { name: "fifty_pods_come_and_go_at_once", run: lifecycle::parallel },
    Test { name: "a_failed_add_is_undone", run: lifecycle::undo },
    Test { name: "a_kill_after_any_effect_is_cleaned_up_by_del", run: lifecycle::kills },
    Test { name: "gc_spares_the_valid_and_check_misses_the_rest", run: lifecycle::gc },
    Test { name: "tables_of_two_names_share_nothing", run: lifecycle::tables },
    Test { name: "every_version_gets_its_own_shape", run: interop::versions },
    Test { name: "leases_are_shared_with_debians_host_local", run: interop::leases },
    Test { name: "another_ipam_plugin_is_run", run: interop::delegated_ipam },
    Test { name: "debians_bridge_runs_our_host_local_and_portmap_follows_it", run: interop::foreign_bridge },
    Test { name: "a_request_that_cannot_be_met_is_refused_in_json", run: interop::refusals },
    Test { name: "loopback_comes_up_and_goes", run: interop::loopback },
    Test { name: "a_config_as_go_programs_write_it_is_understood", run: robustness::go_habits },
    Test { name: "what_is_wrong_in_a_config_is_named_and_del_goes_on", run: robustness::wrong_values },
    Test { name: "a_version_is_refused_what_it_has_no_room_for", run: robustness::old_versions },
    Test { name: "no_other_program_is_needed", run: robustness::no_programs },
    Test { name: "a_bridge_made_by_others_keeps_its_hardware_address", run: robustness::foreign_bridge_mac },
    Test { name: "broken_lease_files_block_nobody", run: robustness::broken_leases },
    Test { name: "check_finds_whatever_somebody_took_away", run: robustness::check_finds },
    Test { name: "isolated_ports_reach_the_gateway_only", run: robustness::port_isolation },
    Test { name: "a_container_interface_may_stay_down", run: robustness::container_interface_down },
];

fn main() -> ExitCode {
    runner::main(TESTS)
}
