//! `orlop control-plane` from outside: what it makes, who reaches it, and what it survives.

mod acting;
mod api;
mod clients;
mod cluster;
mod own;
mod rust_client;
mod service;
mod stopped;
mod transcript;
mod trouble;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Duration;

use integration::process::{Daemon, wait_for};
use integration::runner::{self, Test, TestError, TestResult, check, skip};
use integration::world::bin;
use serde_json::{Value, json};
use tempfile::TempDir;

use api::Api;

static TESTS: &[Test] = &[
    Test { name: "a_person_finds_what_they_need", run: a_person_finds_what_they_need },
    Test { name: "kubectl_works_by_the_kubeconfig", run: kubectl_works_by_the_kubeconfig },
    Test { name: "without_credentials_little_can_be_read", run: without_credentials_little_can_be_read },
    Test { name: "wrong_settings_are_named", run: wrong_settings_are_named },
    Test { name: "a_snapshot_of_a_running_one_is_restored", run: a_snapshot_of_a_running_one_is_restored },
    Test { name: "people_may_what_their_roles_say", run: acting::people_may_what_their_roles_say },
    Test { name: "drain_keeps_to_budgets", run: acting::drain_keeps_to_budgets },
    Test { name: "kubelets_get_certificates", run: acting::kubelets_get_certificates },
    Test { name: "nodes_are_simulated_from_elsewhere", run: acting::nodes_are_simulated_from_elsewhere },
    Test { name: "of_two_on_one_etcd_one_acts", run: acting::of_two_on_one_etcd_one_acts },
    Test { name: "one_that_was_stopped_acts_no_longer", run: stopped::one_that_was_stopped_acts_no_longer },
    Test { name: "a_server_mends_what_services_have", run: own::a_server_mends_what_services_have },
    Test { name: "a_kill_loses_no_acknowledged_write", run: trouble::a_kill_loses_no_acknowledged_write },
    Test { name: "a_full_disk_stops_writes_only", run: trouble::a_full_disk_stops_writes_only },
    Test { name: "a_dead_etcd_is_waited_for_by_name", run: trouble::a_dead_etcd_is_waited_for_by_name },
    Test { name: "a_damaged_store_is_named", run: trouble::a_damaged_store_is_named },
    Test {
        name: "three_members_lose_one_at_a_time_and_nothing_else",
        run: cluster::three_members_lose_one_at_a_time_and_nothing_else,
    },
    Test {
        name: "the_python_client_and_its_informer_work",
        run: clients::the_python_client_and_its_informer_work,
    },
    Test { name: "the_rust_client_works", run: rust_client::the_rust_client_works },
    Test {
        name: "the_rust_watcher_survives_the_server",
        run: rust_client::the_rust_watcher_survives_the_server,
    },
    Test { name: "every_kubectl_creates", run: transcript::creates },
    Test { name: "every_kubectl_applies", run: transcript::applies },
    Test { name: "every_kubectl_changes", run: transcript::changes },
    Test { name: "every_kubectl_asks_who_may", run: transcript::asks_who_may },
    Test { name: "every_kubectl_shows", run: transcript::shows },
    Test { name: "every_kubectl_deletes", run: transcript::deletes },
    Test { name: "every_kubectl_tends_nodes", run: transcript::tends_nodes },
    Test { name: "the_cluster_finds_its_servers", run: service::the_cluster_finds_its_servers },
    Test { name: "a_second_one_on_the_same_store_is_refused", run: trouble::a_second_one_is_refused },
];

fn main() -> ExitCode {
    runner::main(TESTS)
}

/// Where it listens, in the network namespace that each test has for itself.
const PORT: u16 = 16443;

/// A control plane that runs, in a folder of its own.
struct World {
    folder: TempDir,
    daemon: Daemon,
    api: Api,
}

impl World {
    fn start() -> Result<Self, TestError> {
        Self::in_folder(TempDir::new()?)
    }

    fn in_folder(folder: TempDir) -> Result<Self, TestError> {
        Self::with(folder, &[])
    }

    /// With a node that only seems to be there, and runs pods.
    fn with_a_node() -> Result<Self, TestError> {
        Self::with_a_node_at(PORT)
    }

    /// One of several that a test has.
    fn with_a_node_at(port: u16) -> Result<Self, TestError> {
        let folder = TempDir::new()?;
        Self::spawned(command_at(folder.path(), port, &["--simulate-nodes", "1"]), folder)
    }

    fn with(folder: TempDir, more: &[&str]) -> Result<Self, TestError> {
        Self::spawned(command(folder.path(), more), folder)
    }

    fn spawned(command: Command, folder: TempDir) -> Result<Self, TestError> {
        let daemon = Daemon::spawn(command, &folder.path().join("log"))?;
        let api = Api(folder.path().join("api.sock"));
        let mut world = Self { folder, daemon, api };
        world.ready()?;
        Ok(world)
    }

    fn ready(&mut self) -> TestResult {
        self.daemon.wait_for_socket(&self.api.0)?;
        wait_for(Duration::from_secs(20), "readyz", || {
            Ok(self.api.get("/readyz").is_ok_and(|(code, _)| code == 200).then_some(()))
        })
    }

    /// Started anew on the same folder.
    fn again(mut self) -> Result<Self, TestError> {
        self.daemon = Daemon::spawn(command(self.folder.path(), &[]), &self.folder.path().join("log"))?;
        self.ready()?;
        Ok(self)
    }
}

/// `orlop control-plane` with everything in one folder.
fn command(folder: &Path, more: &[&str]) -> Command {
    command_at(folder, PORT, more)
}

fn command_at(folder: &Path, port: u16, more: &[&str]) -> Command {
    let mut command = Command::new(bin("orlop"));
    let socket = folder.join("api.sock");
    command.args(["--data-dir", "data", "control-plane"]).args(more).arg("--api-socket").arg(socket);
    command.args(["--bind-address", "127.0.0.1", "--secure-port", &port.to_string()]);
    command.current_dir(folder).env_remove("ORLOP_DATA_DIR").stdin(Stdio::null());
    command
}

fn a_person_finds_what_they_need() -> TestResult {
    let mut world = World::start()?;
    let root = world.folder.path().join("data/lib/control-plane");
    for file in
        ["admin.kubeconfig", "store.redb", "pki/ca.key", "pki/sa.key", "pki/apiserver.key", "pki/admin.key"]
    {
        let mode = std::fs::metadata(root.join(file))?.permissions().mode() & 0o777;
        check(mode == 0o600, || format!("{file} has mode {mode:o}"))?;
    }
    let mode = std::fs::metadata(&world.api.0)?.permissions().mode() & 0o777;
    check(mode == 0o600, || format!("the socket has mode {mode:o}"))?;
    for (path, least) in [
        ("/api/v1/namespaces", 4),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", 60),
        ("/apis/scheduling.k8s.io/v1/priorityclasses", 2),
    ] {
        let (code, list) = world.api.get(path)?;
        let count = list["items"].as_array().map_or(0, Vec::len);
        check(code == 200 && count >= least, || format!("{path}: {code}, {count} items"))?;
    }
    let (code, told) = world.api.get("/.well-known/openid-configuration")?;
    check(
        code == 200 && told["jwks_uri"].as_str().is_some_and(|uri| uri.ends_with("/openid/v1/jwks")),
        || format!("{told}"),
    )?;
    let status = world.daemon.terminate(Duration::from_secs(5))?;
    check(status.success(), || format!("it ended with {status}:\n{}", world.daemon.log()))?;
    check(!world.api.0.exists(), || "its socket stays".to_owned())
}

/// A kubectl of the machine, with the administrator's kubeconfig.
fn kubectl(world: &World, arguments: &[&str]) -> Result<Output, TestError> {
    let config = world.folder.path().join("data/lib/control-plane/admin.kubeconfig");
    let mut command = Command::new("kubectl");
    command.args(arguments).env("KUBECONFIG", config).env("HOME", world.folder.path()).stdin(Stdio::null());
    Ok(command.output()?)
}

fn kubectl_works_by_the_kubeconfig() -> TestResult {
    if Command::new("kubectl").args(["version", "--client"]).output().is_err() {
        return skip("no kubectl on this machine");
    }
    let world = World::start()?;
    let manifest = world.folder.path().join("m.yaml");
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "b"}});
    std::fs::write(&manifest, object.to_string())?;
    let file = manifest.display().to_string();
    for (arguments, expected) in [
        (&["apply", "-f", &file][..], "configmap/m created"),
        (&["apply", "-f", &file], "configmap/m unchanged"),
        (&["apply", "--server-side", "--force-conflicts", "-f", &file], "configmap/m serverside-applied"),
        (&["get", "configmap", "m", "-o", "jsonpath={.data.a}"], "b"),
        (&["create", "serviceaccount", "s"], "serviceaccount/s created"),
        (&["create", "token", "s"], "ey"),
        (&["auth", "can-i", "list", "pods", "--as", "system:serviceaccount:default:s"], "no"),
        (&["create", "role", "r", "--verb=list", "--resource=pods"], "created"),
        (&["create", "rolebinding", "r", "--role=r", "--serviceaccount=default:s"], "created"),
        (&["auth", "can-i", "list", "pods", "--as", "system:serviceaccount:default:s"], "yes"),
        (&["delete", "configmap", "m"], "deleted"),
    ] {
        let output = kubectl(&world, arguments)?;
        let said = String::from_utf8_lossy(&output.stdout);
        check(said.contains(expected), || {
            format!("kubectl {arguments:?}: {said:?} {}", String::from_utf8_lossy(&output.stderr))
        })?;
    }
    Ok(())
}

fn without_credentials_little_can_be_read() -> TestResult {
    let world = World::start()?;
    for (path, code) in [("/livez", 200), ("/version", 200), ("/api/v1/secrets", 403), ("/metrics", 403)] {
        let found = api::over_tls(PORT, path)?;
        check(found == code, || format!("{path}: {found} instead of {code}"))?;
    }
    drop(world);
    Ok(())
}

fn wrong_settings_are_named() -> TestResult {
    let folder = TempDir::new()?;
    std::fs::write(folder.path().join("wrong.toml"), "secure-prot = 1\n")?;
    std::fs::write(folder.path().join("range.toml"), "service-cluster-ip-range = \"10.0.0.0\"\n")?;
    for (arguments, code, word) in [
        (&["--service-cluster-ip-range", "10.0.0.0/4"][..], 64, "must have from 12 to 28 bits"),
        (&["--service-node-port-range", "5"], 64, "is no FIRST-LAST"),
        (&["--config", "wrong.toml"], 64, "secure-prot"),
        (&["--config", "range.toml"], 64, "service-cluster-ip-range: \"10.0.0.0\" is no ADDRESS/BITS"),
        (&["--store", "x", "--etcd-servers", "http://127.0.0.1:1"], 64, "cannot be used with"),
        (&["--cert-dir", "/proc/x"], 1, "/proc/x"),
    ] {
        let output = command(folder.path(), arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        check(output.status.code() == Some(code) && said.contains(word), || {
            format!("{arguments:?}: {}: {said:?} does not say {word:?}", output.status)
        })?;
    }
    Ok(())
}

fn a_snapshot_of_a_running_one_is_restored() -> TestResult {
    let mut world = World::start()?;
    world.api.create("/api/v1/namespaces/default/secrets", &json!({"metadata": {"name": "s"}}))?;
    let snapshot = |world: &World, which: &str, data: &str| -> Result<Output, TestError> {
        let mut command = Command::new(bin("orlop"));
        command.args(["--data-dir", data, "control-plane", "snapshot", which, "file"]);
        command.arg("--api-socket").arg(world.folder.path().join(if data == "data" {
            "api.sock"
        } else {
            "none"
        }));
        Ok(command.current_dir(world.folder.path()).env_remove("ORLOP_DATA_DIR").output()?)
    };
    let saved = snapshot(&world, "save", "data")?;
    check(saved.status.success(), || String::from_utf8_lossy(&saved.stderr).into_owned())?;
    let mode = std::fs::metadata(world.folder.path().join("file"))?.permissions().mode() & 0o777;
    check(mode == 0o600, || format!("the snapshot has mode {mode:o}"))?;
    let (_, before) = world.api.get("/api/v1/namespaces/default/secrets/s")?;
    let refused = snapshot(&world, "restore", "data")?;
    check(!refused.status.success(), || "a store that is in use was filled".to_owned())?;
    world.daemon.terminate(Duration::from_secs(5))?;

    let restored = snapshot(&world, "restore", "other")?;
    check(restored.status.success(), || String::from_utf8_lossy(&restored.stderr).into_owned())?;
    check(
        restored.stdout.ends_with(b" objects restored\n") && saved.stdout.ends_with(b" objects saved\n"),
        || format!("{restored:?}"),
    )?;
    std::fs::rename(world.folder.path().join("data"), world.folder.path().join("old"))?;
    std::fs::rename(world.folder.path().join("other"), world.folder.path().join("data"))?;
    let world = world.again()?;
    let (code, after) = world.api.get("/api/v1/namespaces/default/secrets/s")?;
    let uid = |object: &Value| object["metadata"]["uid"].clone();
    check(code == 200 && uid(&after) == uid(&before), || format!("{before} became {code} {after}"))
}
