//! Static pods from the manifest to the container and back, on `orlop up`, and on `orlop kubelet` with Debian's
//! containerd.

mod ends;
mod golden;
mod kills;
mod manifests;
mod node;
mod pods;

use std::process::ExitCode;

use integration::runner::{self, Test};

static TESTS: &[Test] = &[
    Test { name: "nginx_answers", run: || pods::nginx_answers(node::Kind::Up) },
    Test { name: "a_sidecar_restarts_alone", run: || pods::a_sidecar_restarts_alone(node::Kind::Up) },
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
    Test { name: "bad_manifests_are_named", run: manifests::bad_manifests_are_named },
];

fn main() -> ExitCode {
    runner::main(TESTS)
}
