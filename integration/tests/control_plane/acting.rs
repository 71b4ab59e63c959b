//! What a cluster does by itself, seen by kubectl: controllers under their own accounts, with the rights of those alone.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use integration::process::{Daemon, wait_for};
use integration::runner::{TestError, TestResult, check, fail, skip};
use integration::world::bin;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::Api;
use crate::{World, kubectl};

/// So long something may take that takes milliseconds where nothing else runs.
const WITHIN: Duration = Duration::from_secs(30);

pub(crate) fn is_missing(program: &str, argument: &str) -> bool {
    Command::new(program).arg(argument).output().is_err()
}

/// What kubectl prints; it must succeed.
fn run(world: &World, line: &str) -> Result<String, TestError> {
    let output = kubectl(world, &line.split(' ').collect::<Vec<_>>())?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    check(output.status.success(), || format!("kubectl {line}: {printed}{}", said(&output)))?;
    Ok(printed)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until kubectl prints this.
fn until(world: &World, line: &str, expected: &str) -> TestResult {
    let arguments: Vec<&str> = line.split(' ').collect();
    wait_for(WITHIN, &format!("{expected:?} of kubectl {line}"), || {
        let output = kubectl(world, &arguments)?;
        Ok((String::from_utf8_lossy(&output.stdout).trim() == expected).then_some(()))
    })
}

fn apply(world: &World, object: &Value) -> TestResult {
    let file = world.folder.path().join("applied.json");
    std::fs::write(&file, object.to_string())?;
    run(world, &format!("apply -f {}", file.display())).map(drop)
}

fn deployment(replicas: u32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

pub(crate) fn people_may_what_their_roles_say() -> TestResult {
    if is_missing("kubectl", "version") {
        return skip("no kubectl on this machine");
    }
    let world = World::start()?;
    for role in ["view", "edit", "admin"] {
        run(&world, &format!("create rolebinding {role} --clusterrole={role} --user={role}"))?;
    }
    until(&world, "auth can-i list pods --as view", "yes")?;
    for (who, what, answer) in [
        ("view", "create pods", "no"),
        ("view", "get secrets", "no"),
        ("edit", "create deployments.apps", "yes"),
        ("edit", "get secrets", "yes"),
        ("edit", "create rolebindings.rbac.authorization.k8s.io", "no"),
        ("admin", "create rolebindings.rbac.authorization.k8s.io", "yes"),
        ("admin", "delete nodes", "no"),
    ] {
        until(&world, &format!("auth can-i {what} --as {who}"), answer)?;
    }
    let more = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {
        "name": "more", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]});
    apply(&world, &more)?;
    until(&world, "auth can-i get secrets --as view", "yes")
}

pub(crate) fn drain_keeps_to_budgets() -> TestResult {
    if is_missing("kubectl", "version") {
        return skip("no kubectl on this machine");
    }
    let world = World::with(TempDir::new()?, &["--simulate-nodes", "3"])?;
    until(&world, "get serviceaccount default -o name", "serviceaccount/default")?;
    apply(&world, &deployment(6))?;
    run(&world, "rollout status deployment/web --timeout=30s")?;
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": 6, "selector": {"matchLabels": {"app": "web"}}}});
    apply(&world, &budget)?;
    let status = "get pdb web -o jsonpath={.status.currentHealthy},{.status.disruptionsAllowed}";
    until(&world, status, "6,0")?;
    let refused = kubectl(&world, &["drain", "sim-0", "--timeout=2s"])?;
    let why = "Cannot evict pod as it would violate the pod's disruption budget.";
    check(!refused.status.success() && said(&refused).contains(why), || said(&refused))?;
    run(&world, "patch pdb web --type=merge -p {\"spec\":{\"minAvailable\":5}}")?;
    until(&world, status, "6,1")?;
    run(&world, "drain sim-0 --timeout=60s")?;
    run(&world, "rollout status deployment/web --timeout=30s")?;
    until(&world, "get pods -o name --field-selector=spec.nodeName=sim-0", "")?;
    until(&world, status, "6,1")?;
    let taint = run(&world, "get node sim-0 -o jsonpath={.spec.taints[*].key}")?;
    check(taint.contains("node.kubernetes.io/unschedulable"), || taint.clone())?;
    run(&world, "uncordon sim-0")?;
    until(&world, "get node sim-0 -o jsonpath={.spec.taints}", "")
}

pub(crate) fn kubelets_get_certificates() -> TestResult {
    if is_missing("kubectl", "version") || is_missing("openssl", "version") {
        return skip("no kubectl or no openssl on this machine");
    }
    let world = World::start()?;
    let ask = "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout a.key -out a.csr -subj";
    let mut openssl = Command::new("openssl");
    openssl.args(ask.split(' ')).arg("/O=system:nodes/CN=system:node:a").current_dir(world.folder.path());
    let made = openssl.output()?;
    check(made.status.success(), || said(&made))?;
    let encoded = Command::new("base64").args(["-w0", "a.csr"]).current_dir(world.folder.path()).output()?;
    let csr = |name: &str| {
        json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": {"name": name}, "spec": {"request": String::from_utf8_lossy(&encoded.stdout),
                "signerName": "kubernetes.io/kube-apiserver-client-kubelet", "usages": ["digital signature", "client auth"]}})
    };
    let joins =
        "--as=system:bootstrap:abcdef --as-group=system:bootstrappers --as-group=system:authenticated";
    let bind =
        |role: &str| format!("create clusterrolebinding {role} --group=system:bootstrappers --clusterrole=");
    run(&world, &format!("{}system:node-bootstrapper", bind("ask")))?;
    let nodeclient = "system:certificates.k8s.io:certificatesigningrequests:nodeclient";
    run(&world, &format!("{}{nodeclient}", bind("get")))?;
    let file = world.folder.path().join("csr.json");
    std::fs::write(&file, csr("a").to_string())?;
    run(&world, &format!("create -f {} {joins}", file.display()))?;
    until(&world, "get csr a -o jsonpath={.status.conditions[*].reason}", "AutoApproved")?;
    wait_for(WITHIN, "a certificate", || {
        let pem = run(&world, "get csr a -o jsonpath={.status.certificate}")?;
        Ok((!pem.is_empty()).then_some(()))
    })?;
    // By that certificate it is the node.
    let pem = run(&world, "get csr a -o go-template={{.status.certificate|base64decode}}")?;
    std::fs::write(world.folder.path().join("a.crt"), pem)?;
    let mut curl = Command::new("curl");
    curl.args(["-sk", "--noproxy", "*", "--cert", "a.crt", "--key", "a.key"])
        .current_dir(world.folder.path());
    curl.args(["-XPOST", "-H", "Content-Type: application/json", "-d"]);
    curl.arg(r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#);
    let answer =
        curl.arg("https://127.0.0.1:16443/apis/authentication.k8s.io/v1/selfsubjectreviews").output()?;
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap_or_default();
    check(answer["status"]["userInfo"]["username"] == "system:node:a", || answer.to_string())
}

pub(crate) fn nodes_are_simulated_from_elsewhere() -> TestResult {
    if is_missing("kubectl", "version") {
        return skip("no kubectl on this machine");
    }
    let world = World::start()?;
    let kubeconfig = world.folder.path().join("data/lib/control-plane/admin.kubeconfig");
    let start = || {
        let mut nodes = Command::new(bin("orlop"));
        nodes.args(["simulate-nodes", "2", "--prefix", "far-", "--kubeconfig"]).arg(&kubeconfig);
        Daemon::spawn(nodes, &world.folder.path().join("nodes.log"))
    };
    let mut nodes = start()?;
    until(&world, "get serviceaccount default -o name", "serviceaccount/default")?;
    apply(&world, &deployment(4))?;
    let rolled_out = || run(&world, "rollout status deployment/web --timeout=60s").map(drop);
    rolled_out().or_else(|error| fail(format!("{error:?}\n{}", nodes.log())))?;
    until(&world, "get nodes -o name", "node/far-0\nnode/far-1")?;
    let manager = "get node far-0 -o jsonpath={.metadata.managedFields[*].manager} --show-managed-fields";
    let managers = run(&world, manager)?;
    check(managers.contains("kubelet"), || managers.clone())?;
    // Pods that go while nobody is there are gone when somebody is again.
    let status = nodes.terminate(Duration::from_secs(10))?;
    check(status.success(), || format!("they ended with {status}:\n{}", nodes.log()))?;
    run(&world, "scale deployment/web --replicas=1")?;
    let _nodes = start()?;
    until(&world, "get pods -o jsonpath={.items[*].status.phase}", "Running")
}

/// An etcd for them.
pub(crate) fn etcd(folder: &Path) -> Result<Daemon, TestError> {
    const URL: &str = "http://127.0.0.1:12379";
    let mut etcd = Command::new("etcd");
    etcd.args(["--listen-client-urls", URL, "--advertise-client-urls", URL, "--data-dir", "etcd"]);
    etcd.args(["--listen-peer-urls", "http://127.0.0.1:12380"]).current_dir(folder);
    Ok(Daemon::spawn(etcd, &folder.join("etcd.log"))?)
}

/// Who leads the controllers; empty for nobody.
pub(crate) fn holder(api: &Api) -> Result<String, TestError> {
    let path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager";
    let (_, lease) = api.get(path)?;
    Ok(lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
}

/// Whether one leads controllers and scheduler, as it says itself.
pub(crate) fn leads(api: &Api) -> Result<[bool; 2], TestError> {
    let (_, text) = api.text("/metrics")?;
    Ok(["kube-controller-manager", "kube-scheduler"]
        .map(|name| text.contains(&format!("leader_election_master_status{{name=\"{name}\"}} 1\n"))))
}

/// One of two control planes on one etcd.
pub(crate) fn plane(folder: &Path, name: &str, port: &str) -> Result<(Daemon, Api), TestError> {
    let mut command = Command::new(bin("orlop"));
    command.args(["--data-dir", name, "control-plane", "--etcd-servers", "http://127.0.0.1:12379"]);
    // They have to prove clients and tokens by the same keys.
    command.args(["--bind-address", "127.0.0.1", "--secure-port", port, "--cert-dir", "pki"]);
    let socket = folder.join(format!("{name}.sock"));
    command.arg("--api-socket").arg(&socket).current_dir(folder).env_remove("ORLOP_DATA_DIR");
    let mut daemon = Daemon::spawn(command, &folder.join(format!("{name}.log")))?;
    daemon.wait_for_socket(&socket)?;
    let api = Api(socket);
    wait_for(WITHIN, "readyz", || Ok(api.get("/readyz").is_ok_and(|(code, _)| code == 200).then_some(())))?;
    Ok((daemon, api))
}

pub(crate) fn of_two_on_one_etcd_one_acts() -> TestResult {
    if is_missing("etcd", "--version") {
        return skip("no etcd on this machine");
    }
    let folder = TempDir::new()?;
    let _etcd = etcd(folder.path())?;
    let (mut first, _) = plane(folder.path(), "first", "16443")?;
    let (mut second, api) = plane(folder.path(), "second", "16444")?;
    let before = wait_for(WITHIN, "a leader", || Ok(Some(holder(&api)?).filter(|name| !name.is_empty())))?;
    check(leads(&api)? == [false, false], || "the second one leads as well".to_owned())?;

    let sets = "/apis/apps/v1/namespaces/default/replicasets";
    let set = json!({"metadata": {"name": "web"}, "spec": {"replicas": 5, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    wait_for(WITHIN, "an account", || {
        let (code, _) = api.get("/api/v1/namespaces/default/serviceaccounts/default")?;
        Ok((code == 200).then_some(()))
    })?;
    api.create(sets, &set)?;
    let pods = |wanted: usize| {
        wait_for(WITHIN, "pods", || {
            let (_, list) = api.get("/api/v1/namespaces/default/pods")?;
            Ok((list["items"].as_array().map_or(0, Vec::len) == wanted).then_some(()))
        })
    };
    pods(5)?;
    first.kill()?;
    let after = wait_for(WITHIN, "another leader", || {
        Ok(Some(holder(&api)?).filter(|name| !name.is_empty() && *name != before))
    })?;
    wait_for(WITHIN, "it to lead both", || Ok((leads(&api)? == [true, true]).then_some(())))?;
    let (_, mut set) = api.get(&format!("{sets}/web"))?;
    set["spec"]["replicas"] = 7.into();
    api.send("PUT", &format!("{sets}/web"), &set)?;
    pods(7)?;

    // Who is asked to end gives it back: the next one need not wait for 15 seconds.
    let (_first, api) = plane(folder.path(), "first", "16443")?;
    second.terminate(Duration::from_secs(15))?;
    let left = holder(&api)?;
    check(left != after, || format!("{after} ended and still leads"))?;
    wait_for(Duration::from_secs(8), "the third leader", || {
        Ok(Some(holder(&api)?).filter(|name| !name.is_empty()))
    })
    .map(drop)
}
