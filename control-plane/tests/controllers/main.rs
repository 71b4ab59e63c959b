//! The controllers on a server of their own, with nodes that are simulated.

mod cleaning;
mod rollout;
mod scheduling;
mod world;
