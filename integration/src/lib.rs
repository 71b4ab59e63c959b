//! What the integration tests share: a runner whose tests are processes of their own, and throw-away worlds.
//!
//! The tests run what `hack/build` put into `bin/`; they never link a component.
#![forbid(unsafe_code)]

pub mod cri;
pub mod leftovers;
pub mod memory;
pub mod monitor;
pub mod node;
pub mod peers;
pub mod process;
pub mod runner;
pub mod stock_kubelet;
pub mod transcript;
pub mod world;
