//! Images, against a real registry on loopback: `orlop cri` pulls what skopeo pushed.

mod hostile;
mod pulls;
mod registries;
mod stub;
mod world;

use std::process::ExitCode;

use integration::runner::Test;

const TESTS: &[Test] = &[
    Test { name: "an_image_is_one_object_by_id_tag_and_digest", run: pulls::one_object },
    Test { name: "an_unpacked_image_equals_what_umoci_makes_of_it", run: pulls::same_as_umoci },
    Test { name: "removing_takes_all_tags_and_only_unshared_layers", run: pulls::removal },
    Test { name: "concurrent_pulls_of_one_reference_are_one", run: pulls::single_flight },
    Test { name: "a_pull_always_asks_the_registry", run: pulls::always_asks },
    Test { name: "a_mirror_serves_under_the_public_name", run: pulls::mirror },
    Test { name: "basic_authentication_admits_only_the_right_password", run: pulls::basic_auth },
    Test { name: "a_token_is_got_for_what_is_pulled", run: registries::bearer_auth },
    Test { name: "an_index_gives_this_machines_platform", run: registries::platforms },
    Test { name: "layers_in_zstd", run: registries::zstd_layers },
    Test { name: "a_registry_with_a_ca_of_its_own", run: pulls::tls },
    Test { name: "importing_a_layout_says_its_progress", run: pulls::import },
    Test { name: "a_full_disk_is_named_and_nothing_is_left", run: pulls::full_disk },
    Test { name: "a_killed_daemon_leaves_nothing_and_pulls_again", run: stub::killed_in_a_pull },
    Test { name: "layers_come_in_parallel", run: stub::parallel },
    Test { name: "a_call_ends_at_its_deadline", run: stub::deadline },
    Test { name: "hostile_archives_are_refused_or_stay_inside", run: hostile::archives },
];

fn main() -> ExitCode {
    integration::runner::main(TESTS)
}
