//! `orlop-runtime`: the OCI runtime, and under `monitor` and `pause` the two programs that a pod needs.
fn main() {}
