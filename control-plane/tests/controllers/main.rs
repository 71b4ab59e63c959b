//! The controllers on a server of their own, with nodes that are simulated.

mod rollout;
mod world;
