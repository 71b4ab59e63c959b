//! The Service by which the cluster finds its API.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use integration::process::{Daemon, wait_for};
use integration::runner::{TestError, TestResult, check, skip};
use integration::world::bin;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::Api;

const SERVICE: &str = "/api/v1/namespaces/default/services/kubernetes";
const ENDPOINTS: &str = "/api/v1/namespaces/default/endpoints/kubernetes";
const SLICE: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
const TRUST: &str = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
const ETCD: &str = "http://127.0.0.1:2379";
/// It is looked at every ten seconds.
const SOON: Duration = Duration::from_secs(30);

struct Server {
    daemon: Daemon,
    api: Api,
}

impl Server {
    fn start(folder: &Path, name: &str, address: &str) -> Result<Self, TestError> {
        let api = Api(folder.join(format!("{name}.sock")));
        let mut command = Command::new(bin("orlop"));
        command
            .args(["--data-dir", name, "control-plane", "--etcd-servers", ETCD])
            .arg("--api-socket")
            .arg(&api.0);
        command.args(["--bind-address", "127.0.0.1", "--secure-port", "0", "--advertise-address", address]);
        command.current_dir(folder).env_remove("ORLOP_DATA_DIR").stdin(Stdio::null());
        let mut daemon = Daemon::spawn(command, &folder.join(format!("{name}.log")))?;
        daemon.wait_for_socket(&api.0)?;
        wait_for(SOON, "readyz", || Ok(api.get("/readyz").is_ok_and(|(code, _)| code == 200).then_some(())))?;
        Ok(Self { daemon, api })
    }

    /// Waits until the Service leads to these addresses.
    fn leads_to(&self, addresses: &[&str]) -> TestResult {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        wait_for(SOON, &format!("endpoints at {addresses:?}"), || {
            let (endpoints, slice) = (self.api.get(ENDPOINTS)?.1, self.api.get(SLICE)?.1);
            let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
            let named = list(&endpoints["subsets"][0]["addresses"])
                .iter()
                .map(|one| text(&one["ip"]))
                .collect::<Vec<_>>();
            let sliced =
                list(&slice["endpoints"]).iter().map(|one| text(&one["addresses"][0])).collect::<Vec<_>>();
            Ok((named == addresses && sliced == addresses).then_some(()))
        })
    }
}

pub(crate) fn the_cluster_finds_its_servers() -> TestResult {
    if Command::new("etcd").arg("--version").output().is_err() {
        return skip("no etcd on this machine");
    }
    let folder = TempDir::new()?;
    let mut etcd = Command::new("etcd");
    etcd.args(["--data-dir", "etcd", "--listen-client-urls", ETCD, "--advertise-client-urls", ETCD]);
    etcd.args(["--listen-peer-urls", "http://127.0.0.1:2380"])
        .current_dir(folder.path())
        .stdin(Stdio::null());
    let _etcd = Daemon::spawn(etcd, &folder.path().join("etcd.log"))?;
    let first = Server::start(folder.path(), "first", "10.1.1.1")?;
    first.leads_to(&["10.1.1.1"])?;
    let mut second = Server::start(folder.path(), "second", "10.1.1.2")?;
    first.leads_to(&["10.1.1.1", "10.1.1.2"])?;

    let (code, service) = first.api.get(SERVICE)?;
    check(code == 200 && service["spec"]["clusterIP"] == "10.96.0.1", || format!("{code}: {service}"))?;
    let (code, trust) = first.api.get(TRUST)?;
    let certificates = trust["data"]["client-ca-file"].as_str().unwrap_or_default();
    check(code == 200 && certificates.matches("BEGIN CERTIFICATE").count() == 2, || {
        format!("{code}: {trust}")
    })?;

    // Who deletes it does not take the API from the cluster.
    let (code, gone) = first.api.send("DELETE", SERVICE, &json!({}))?;
    check(code == 200, || format!("{code}: {gone}"))?;
    wait_for(SOON, "the Service again", || {
        let (code, again) = first.api.get(SERVICE)?;
        let other = code == 200 && again["metadata"]["uid"] != service["metadata"]["uid"];
        Ok((other && again["spec"]["clusterIP"] == "10.96.0.1").then_some(()))
    })?;
    first.leads_to(&["10.1.1.1", "10.1.1.2"])?;

    // Who ends says so.
    let status = second.daemon.terminate(Duration::from_secs(15))?;
    check(status.success(), || format!("it ended with {status}:\n{}", second.daemon.log()))?;
    let named = first.api.get(ENDPOINTS)?.1;
    check(named["subsets"][0]["addresses"] == json!([{"ip": "10.1.1.1"}]), || format!("{named}"))?;
    first.leads_to(&["10.1.1.1"])
}
