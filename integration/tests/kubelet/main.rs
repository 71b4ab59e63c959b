//! Static pods from the manifest to the container and back, on `orlop up`, and on `orlop kubelet` with Debian's
//! containerd.

mod ends;
mod golden;
mod hooks;
mod kills;
mod manifests;
mod node;
mod pods;
mod server;
mod upkeep;

use std::process::ExitCode;

use integration::runner::{self, Test};

static TESTS: &[Test] = &[
    Test { name: "nginx_answers", run: || pods::nginx_answers(node::Kind::Up) },
    Test { name: "a_sidecar_restarts_alone", run: || pods::a_sidecar_restarts_alone(node::Kind::Up) },
    Test { name: "a_pod_on_the_hosts_network", run: pods::a_pod_on_the_hosts_network },
    Test { name: "init_and_probes", run: || pods::init_and_probes(node::Kind::Up) },
    Test { name: "nginx_on_containerd", run: || pods::nginx_answers(node::Kind::OnContainerd) },
    Test { name: "sidecar_on_containerd", run: || pods::a_sidecar_restarts_alone(node::Kind::OnContainerd) },
    Test { name: "probes_on_containerd", run: || pods::init_and_probes(node::Kind::OnContainerd) },
    Test { name: "twenty_pods_survive_a_killed_daemon", run: kills::twenty_pods_survive_a_killed_daemon },
    Test { name: "a_killed_monitor_costs_its_pod_only", run: kills::a_killed_monitor_costs_its_pod_only },
    Test { name: "pods_are_back_after_a_reboot", run: kills::pods_are_back_after_a_reboot },
    Test { name: "a_changed_manifest_replaces_the_pod", run: ends::a_changed_manifest_replaces_the_pod },
    Test { name: "a_removed_manifest_leaves_nothing", run: ends::a_removed_manifest_leaves_nothing },
    Test { name: "manifests_gone_while_down", run: ends::manifests_gone_while_down },
    Test { name: "limits_become_cgroups", run: pods::limits_become_cgroups },
    Test {
        name: "statuses_are_those_of_a_stock_kubelet",
        run: golden::statuses_are_those_of_a_stock_kubelet,
    },
    Test { name: "refused_manifests_are_shown", run: manifests::refused_manifests_are_shown },
    Test { name: "a_restart_keeps_the_pod_that_runs", run: manifests::a_restart_keeps_the_pod_that_runs },
    Test { name: "an_invalid_image_name_is_not_pulled", run: manifests::an_invalid_image_name_is_not_pulled },
    Test { name: "a_deadline_fails_the_pod", run: ends::a_deadline_fails_the_pod },
    Test { name: "logs_are_linked", run: ends::logs_are_linked },
    Test {
        name: "a_post_start_hook_holds_back_what_follows",
        run: hooks::a_post_start_hook_holds_back_what_follows,
    },
    Test {
        name: "a_pre_stop_hook_goes_before_the_signal",
        run: hooks::a_pre_stop_hook_goes_before_the_signal,
    },
    Test { name: "hooks_ask_over_http", run: hooks::hooks_ask_over_http },
    Test { name: "hooks_sleep", run: hooks::hooks_sleep },
    Test { name: "attached_terminals_and_pipes", run: server::attached_terminals_and_pipes },
    Test { name: "the_api_is_on_tcp_when_asked", run: server::the_api_is_on_tcp_when_asked },
    Test { name: "the_kubelets_admin_endpoint", run: server::the_kubelets_admin_endpoint },
    Test { name: "a_followed_log_says_why_it_ends", run: server::a_followed_log_says_why_it_ends },
    Test { name: "logs_are_rotated", run: upkeep::logs_are_rotated },
    Test { name: "unused_images_go_when_the_disk_fills", run: upkeep::unused_images_go_when_the_disk_fills },
    Test { name: "bad_manifests_are_named", run: manifests::bad_manifests_are_named },
];

fn main() -> ExitCode {
    runner::main(TESTS)
}
