//! What each server does by itself, where no controllers run.

use std::time::Duration;

use integration::process::wait_for;
use integration::runner::{TestError, TestResult, check};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::World;
use crate::api::Api;

const SERVICES: &str = "/api/v1/namespaces/default/services";
const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";
const TRACKING: &str =
    "/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking";
/// What is published is looked at every ten seconds.
const SOON: Duration = Duration::from_secs(30);

fn until_told(api: &Api, reason: &str, message: &str) -> TestResult {
    wait_for(SOON, reason, || {
        let (_, list) = api.get("/api/v1/namespaces/default/events")?;
        let events = list["items"].as_array().cloned().unwrap_or_default();
        let told = |event: &Value| {
            event["reason"] == reason
                && event["message"] == message
                && event["involvedObject"]["name"] == "s"
                && event["type"] == "Warning"
        };
        Ok(events.iter().any(told).then_some(()))
    })
}

pub(crate) fn a_server_mends_what_services_have() -> TestResult {
    let alone = ["--disable", "controllers,scheduler"];
    let world = World::with(TempDir::new()?, &alone)?;
    let api = &world.api;
    let ports = json!([{"port": 80, "nodePort": 30500}]);
    let made = api.create(
        SERVICES,
        &json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": ports}}),
    )?;
    let address = made["spec"]["clusterIP"].as_str().unwrap_or_default();
    let path = format!("{ADDRESSES}/{address}");
    let (code, before) = api.get(&path)?;
    check(code == 200, || format!("{path}: {code} {before}"))?;
    api.send("DELETE", &path, &Value::Null)?;
    wait_for(SOON, "the address to be the Service's again", || {
        let (code, after) = api.get(&path)?;
        let other = code == 200 && after["metadata"]["uid"] != before["metadata"]["uid"];
        Ok((other && after["spec"]["parentRef"] == before["spec"]["parentRef"]).then_some(()))
    })?;
    let message = format!("Cluster IP [IPv4]: {address} is not allocated; repairing");
    until_told(api, "ClusterIPNotAllocated", &message)?;

    let since = || -> Result<Option<String>, TestError> {
        let (_, map) = api.get(TRACKING)?;
        Ok(map["data"]["since"].as_str().map(str::to_owned))
    };
    let day = wait_for(SOON, "a day", since)?;
    check(day.len() == 10 && day.starts_with("20"), || format!("{day:?} is no day"))?;
    api.send("DELETE", TRACKING, &Value::Null)?;
    wait_for(SOON, "a day again", since)?;

    // What it has stays, whatever the range is now; people hear of it.
    let World { folder, mut daemon, .. } = world;
    daemon.terminate(Duration::from_secs(15))?;
    let mut narrow = alone.to_vec();
    narrow.extend(["--service-node-port-range", "31000-31010"]);
    let world = World::with(folder, &narrow)?;
    let message = "Port 30500 is not within the port range 31000-31010; please recreate service";
    until_told(&world.api, "PortOutOfRange", message)
}
