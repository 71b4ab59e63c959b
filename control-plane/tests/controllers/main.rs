//! The controllers and the scheduler on a server of their own, with nodes that are simulated.

mod admission;
mod budgets;
mod cleaning;
mod flow;
mod joining;
mod keeping;
mod kubectl;
mod leading;
mod namespaces;
mod nodes;
mod quota;
mod roles;
mod rollout;
mod scheduling;
mod world;

use std::future::Future;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        trial("deployment_scales_rolls_and_goes_back", rollout::scales_rolls_and_goes_back),
        trial("no_pod_is_made_twice", rollout::no_pod_is_made_twice),
        trial("paused_deployment_waits", rollout::paused_waits),
        trial("free_pod_that_is_selected_counts", rollout::free_pod_counts),
        trial("background_owner_goes_first", cleaning::background),
        trial("foreground_owner_goes_last", cleaning::foreground),
        trial("orphans_stay", cleaning::orphans),
        trial("what_never_had_its_owner_goes", cleaning::never_owned),
        trial("every_namespace_has_its_account_and_certificates", cleaning::accounts),
        trial("burst_does_not_overcommit", scheduling::burst),
        trial("namespace_loses_its_content_and_goes", namespaces::goes),
        trial("node_falls_silent_loses_its_pods_and_returns", nodes::falls_silent),
        trial("evictions_keep_to_budgets", budgets::keeps_to_budgets),
        trial("claim_in_use_is_kept", keeping::claims),
        trial("attributes_class_in_use_is_kept", keeping::classes),
        trial("cluster_info_is_signed_by_tokens", joining::cluster_info),
        trial("who_leads_no_longer_writes_nothing", leading::late_writes_are_refused),
        trial("pod_that_never_had_a_node_is_gone", keeping::unscheduled),
        trial("roles_of_people_gather_rules", roles::aggregated),
        trial("flow_schemas_say_whether_their_level_is_there", flow::levels_are_looked_for),
        trial("of_several_exactly_one_acts", leading::exactly_one_acts),
        trial("unschedulable_pod_is_told_why", scheduling::told_why),
        trial("nodes_write_about_themselves", admission::nodes_write_about_themselves),
        trial("classes_fill_in", admission::classes_fill_in),
        trial("quota_is_never_exceeded", quota::never_exceeded),
        trial("quota_is_exact_while_it_is_counted", quota::exact_while_it_is_counted),
        trial("failed_writes_cost_no_quota", quota::failed_writes_cost_nothing),
        trial("pods_are_charged_what_they_use", quota::pods_are_charged_what_they_use),
    ];
    let found = kubectl::found();
    if found.is_empty() {
        let skip = || Ok(Completion::ignored_with("no kubectl on this machine"));
        trials.push(Trial::ignorable_test("kubectl_rolls_out", skip));
    }
    for path in found {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        trials.push(trial(&format!("{name}_rolls_out"), move || kubectl::rolls_out(path)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test with an executor of its own. It fails by panicking.
fn trial<F: Future<Output = ()>>(name: &str, test: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(test());
        Ok(())
    })
}
