//! The OCI runtime as its callers see it: bundles in, processes out.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use integration::runner::{Test, main as run};

#[path = "runtime/attacks.rs"]
mod attacks;
#[path = "runtime/bundle.rs"]
mod bundle;
#[path = "runtime/fields.rs"]
mod fields;
#[path = "runtime/habits.rs"]
mod habits;
#[path = "runtime/inside.rs"]
mod inside;
#[path = "runtime/life.rs"]
mod life;
#[path = "runtime/limits.rs"]
mod limits;
#[path = "runtime/peers.rs"]
mod peers;
#[path = "runtime/races.rs"]
mod races;

const TESTS: &[Test] = &[
    Test { name: "life_cycle", run: life::life_cycle },
    Test { name: "exit_codes", run: life::exit_codes },
    Test { name: "errors_in_the_words_of_peers", run: life::errors },
    Test { name: "exec", run: life::exec },
    Test { name: "hooks", run: life::hooks },
    Test { name: "console_socket", run: life::console_socket },
    Test { name: "process", run: inside::process },
    Test { name: "namespaces", run: inside::namespaces },
    Test { name: "file_systems", run: inside::file_systems },
    Test { name: "mounts", run: inside::mounts },
    Test { name: "seccomp", run: inside::seccomp },
    Test { name: "user_namespace", run: inside::user_namespace },
    Test { name: "descriptors", run: inside::descriptors },
    Test { name: "limits_of_version_1", run: limits::version_1 },
    Test { name: "version_2", run: limits::version_2 },
    Test { name: "pause_and_update", run: limits::pause_and_update },
    Test { name: "environment", run: habits::environment },
    Test { name: "start_container_hooks", run: habits::start_container_hooks },
    Test { name: "tmpfs_modes", run: habits::tmpfs_modes },
    Test { name: "mounts_onto_dangling_links", run: habits::mounts_onto_dangling_links },
    Test { name: "processes_that_outlive_the_init", run: habits::processes_that_outlive_the_init },
    Test { name: "exec_with_a_process_file", run: habits::exec_with_a_process_file },
    Test { name: "line_ends_of_a_relayed_terminal", run: habits::line_ends_of_a_relayed_terminal },
    Test { name: "refusals", run: habits::refusals },
    Test { name: "sources_of_earlier_mounts", run: habits::sources_of_earlier_mounts },
    Test { name: "more_mounts_than_descriptors", run: habits::more_mounts_than_descriptors },
    Test { name: "namespaces_of_another_owner", run: habits::namespaces_of_another_owner },
    Test { name: "logs_and_lists", run: habits::logs_and_lists },
    Test { name: "placement", run: fields::placement },
    Test { name: "time_and_names", run: fields::time_and_names },
    Test { name: "labels", run: fields::labels },
    Test { name: "mapped_mounts", run: fields::mapped_mounts },
    Test { name: "seccomp_agent", run: fields::seccomp_agent },
    Test { name: "proc_and_dev_as_symlinks", run: attacks::symlinked_mount_points },
    Test { name: "working_directory_outside", run: attacks::working_directory },
    Test { name: "masks_behind_a_fake_null", run: attacks::fake_null },
    Test { name: "host_binary_out_of_reach", run: attacks::host_binary },
    Test { name: "mounts_stay_inside", run: attacks::mounts_stay_inside },
    Test { name: "fake_terminal", run: attacks::fake_terminal },
    Test { name: "under_podman", run: peers::podman },
    Test { name: "under_containerd", run: peers::containerd },
    Test { name: "swapped_mount_points", run: races::swapped_mount_points },
    Test { name: "dangling_file_targets", run: races::dangling_file_targets },
    Test { name: "covered_proc_files", run: races::covered_proc_files },
    Test { name: "programs_by_descriptor", run: races::programs_by_descriptor },
    Test { name: "descriptors_of_a_joining_process", run: races::descriptors_of_a_joining_process },
    Test { name: "host_binary_under_exec", run: races::host_binary_under_exec },
    Test { name: "lengths_above_64_kib", run: races::lengths_above_64_kib },
    Test { name: "capabilities_of_exec", run: races::capabilities_of_exec },
    Test { name: "descriptors_of_the_caller", run: races::descriptors_of_the_caller },
];

fn main() -> ExitCode {
    run(TESTS)
}
