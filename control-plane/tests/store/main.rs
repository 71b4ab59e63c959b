//! One suite for all stores: in memory, in a file, in a real etcd. What only the embedded one can do (crash at every
//! write to its disk, run out of space) stands in `embedded.rs`.

mod backends;
mod disk;
mod embedded;
mod model;
mod suite;

/// The suite on one kind of backend.
macro_rules! on {
    ($backend:ident) => {
        mod $backend {
            use crate::backends::{self, Backend};
            use crate::{model, suite};

            fn backend() -> impl Backend {
                backends::$backend()
            }

            #[test]
            fn a_write_happens_only_if_the_key_is_as_expected() {
                backend().run(suite::compare_and_swap);
            }
            #[test]
            fn every_answer_agrees_with_a_model() {
                model::agrees(&backend());
            }
            #[test]
            fn a_counter_under_contention_loses_nothing() {
                backend().run(suite::contention);
            }
            #[test]
            fn a_slow_watch_misses_nothing() {
                backend().run(suite::slow_watch);
            }
            #[test]
            fn a_dropped_wait_loses_no_event() {
                backend().run(suite::dropped_wait);
            }
            #[test]
            fn what_was_compacted_away_is_refused() {
                backend().run(suite::compaction);
            }
            #[test]
            fn the_future_is_refused() {
                backend().run(suite::future);
            }
            #[test]
            fn a_time_to_live_ends_unless_written_again() {
                backend().run(suite::time_to_live);
            }
            #[test]
            fn a_value_over_the_limit_is_refused() {
                backend().run(suite::too_large);
            }
            #[test]
            fn a_snapshot_restores_into_an_empty_store_only() {
                backend().run(suite::dump_and_restore);
            }
        }
    };
}

on!(memory);
on!(file);
on!(etcd);

#[test]
fn a_file_is_read_and_watched_on_after_a_restart() {
    suite::restart(&mut backends::file());
}

#[test]
fn etcd_is_read_and_watched_on_after_a_restart() {
    suite::restart(&mut backends::etcd());
}
