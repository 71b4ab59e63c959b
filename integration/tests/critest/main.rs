//! The conformance suite of the CRI, `critest`, on `orlop cri`.
//!
//! `ORLOP_CRITEST` names the binary and `ORLOP_CRITEST_IMAGES` the folder of a docker-registry that holds the images
//! which it pulls, under their names without the registry's host. What fails, and what the suite leaves out by
//! itself, must be exactly what `ledger/critest.md` says: a case that starts to fail fails this test, and so does one
//! that no longer does.

mod ledger;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use integration::node::{Node, machine};
use integration::process::{Daemon, wait_for};
use integration::runner::{self, Test, TestError, TestResult, fail, skip};

use ledger::{Ledger, Outcome};

const TESTS: &[Test] = &[Test { name: "critest_agrees_with_the_ledger", run: agrees_with_the_ledger }];
const LEDGER: &str = include_str!("../../ledger/critest.md");
const REGISTRY: &str = "127.0.0.1:5000";
/// Whose images the suite pulls.
const MIRRORED: [&str; 4] = ["registry.k8s.io", "gcr.io", "docker.io", "k8s.gcr.io"];

fn main() -> ExitCode {
    runner::main(TESTS)
}

fn agrees_with_the_ledger() -> TestResult {
    let Some(critest) = std::env::var_os("ORLOP_CRITEST") else {
        return skip("ORLOP_CRITEST names no critest");
    };
    let Some(images) = std::env::var_os("ORLOP_CRITEST_IMAGES") else {
        return skip("ORLOP_CRITEST_IMAGES names no folder of a docker-registry with critest's images");
    };
    let ledger = Ledger::parse(LEDGER);
    let mut node = Node::new()?;
    let _registry = serve(&node.folder, &PathBuf::from(images))?;
    node.configure_network()?;
    node.start(&[])?;
    let report = node.folder.join("report.json");
    let socket = format!("unix://{}", node.socket().display());
    let output = Command::new(critest)
        .current_dir(&node.folder)
        .args(["--runtime-endpoint", &socket, "--image-endpoint", &socket])
        // The other protocol, SPDY, is not served.
        .args(["--websocket-exec", "--websocket-attach", "--websocket-portforward"])
        .arg("--ginkgo.no-color")
        .arg(format!("--ginkgo.json-report={}", report.display()))
        .output()?;
    let Ok(report) = std::fs::read(&report) else {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        return fail(format!("critest, {}, left no report:\n{text}", output.status));
    };
    let outcomes = Outcome::parse(&report)?;
    let mut differences = ledger.differences(&outcomes);
    differences
        .extend(machine(&node)?.into_iter().filter(|line| of_a_pod(line)).map(|l| format!("left: {l}")));
    if differences.is_empty() { Ok(()) } else { fail(differences.join("\n")) }
}

/// Whether something on the machine is there for a pod: a process, an address, or what carries an id.
fn of_a_pod(line: &str) -> bool {
    let has_id = line.split(|digit: char| !digit.is_ascii_hexdigit()).any(|word| word.len() == 64);
    has_id || line.starts_with("process ") || line.contains("/leases/test/10.")
}

/// Serves a registry's folder, and makes it the mirror of the public ones.
fn serve(folder: &Path, images: &Path) -> Result<Daemon, TestError> {
    let config = folder.join("registry.yml");
    let storage = format!(
        "{{filesystem: {{rootdirectory: {}}}, maintenance: {{uploadpurging: {{enabled: false}}, readonly: {{enabled: true}}}}}}",
        images.display()
    );
    std::fs::write(&config, format!("version: 0.1\nstorage: {storage}\nhttp: {{addr: '{REGISTRY}'}}\n"))?;
    for host in MIRRORED {
        let at = folder.join("hosts").join(host);
        std::fs::create_dir_all(&at)?;
        let hosts = format!("[host.\"http://{REGISTRY}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
        std::fs::write(at.join("hosts.toml"), hosts)?;
    }
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&config);
    let daemon = Daemon::spawn(command, &folder.join("registry.log"))?;
    wait_for(Duration::from_secs(20), "the registry", || {
        Ok(std::net::TcpStream::connect(REGISTRY).ok().map(drop))
    })?;
    Ok(daemon)
}
