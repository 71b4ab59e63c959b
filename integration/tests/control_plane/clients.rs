//! Client libraries that are not ours.

use std::process::Command;

use integration::runner::{TestResult, check, skip};

use crate::World;

/// PyPI's `kubernetes`, found as Python finds it.
pub(crate) fn the_python_client_and_its_informer_work() -> TestResult {
    let informer = Command::new("python3").args(["-c", "import kubernetes.informer"]).output();
    if !informer.is_ok_and(|output| output.status.success()) {
        return skip("no Python client with an informer: pip install kubernetes");
    }
    let world = World::with_a_node()?;
    let config = world.folder.path().join("data/lib/control-plane/admin.kubeconfig");
    let mut command = Command::new("python3");
    command
        .args(["-W", "ignore", "-c", include_str!("clients.py")])
        .arg(config)
        .env("HOME", world.folder.path());
    for proxy in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
        command.env_remove(proxy);
    }
    let output = command.output()?;
    check(output.status.success(), || String::from_utf8_lossy(&output.stderr).into_owned())
}
