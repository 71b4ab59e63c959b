//! A control plane that leads and is stopped for longer than its lease holds.

use std::collections::BTreeSet;
use std::time::Duration;

use integration::process::{Daemon, wait_for};
use integration::runner::{TestError, TestResult, check, skip};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;

use crate::acting::{etcd, holder, is_missing, leads, plane};
use crate::api::Api;

/// A lease is taken when it was not renewed for 15 s.
const WITHIN: Duration = Duration::from_secs(60);
const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn signal(daemon: &Daemon, signal: Signal) -> TestResult {
    Ok(kill(Pid::from_raw(daemon.pid()), signal)?)
}

fn pods(api: &Api) -> Result<BTreeSet<String>, TestError> {
    let (_, list) = api.get(PODS)?;
    let pods = list["items"].as_array().into_iter().flatten();
    Ok(pods.map(|pod| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()).collect())
}

pub(crate) fn one_that_was_stopped_acts_no_longer() -> TestResult {
    if is_missing("etcd", "--version") {
        return skip("no etcd on this machine");
    }
    let folder = TempDir::new()?;
    let _etcd = etcd(folder.path())?;
    let (first, first_api) = plane(folder.path(), "first", "16443")?;
    wait_for(
        WITHIN,
        "the first one to lead both",
        || Ok((leads(&first_api)? == [true, true]).then_some(())),
    )?;
    let (_second, api) = plane(folder.path(), "second", "16444")?;
    let before = holder(&api)?;
    wait_for(WITHIN, "an account", || {
        let (code, _) = api.get("/api/v1/namespaces/default/serviceaccounts/default")?;
        Ok((code == 200).then_some(()))
    })?;

    // It does not see what becomes of this set, and has all of it still to hear when it goes on.
    signal(&first, Signal::SIGSTOP)?;
    let set = json!({"metadata": {"name": "web"}, "spec": {"replicas": 6, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    api.create(SETS, &set)?;
    wait_for(WITHIN, "the second one to lead both", || Ok((leads(&api)? == [true, true]).then_some(())))?;
    let after = holder(&api)?;
    check(!after.is_empty() && after != before, || format!("{before} still leads"))?;
    let made = wait_for(WITHIN, "six pods", || Ok(Some(pods(&api)?).filter(|pods| pods.len() == 6)))?;
    wait_for(WITHIN, "the set to be scaled", || {
        let (_, mut set) = api.get(&format!("{SETS}/web"))?;
        set["spec"]["replicas"] = 4.into();
        let (code, _) = api.send("PUT", &format!("{SETS}/web"), &set)?;
        Ok((code == 200).then_some(()))
    })?;
    let left = wait_for(WITHIN, "four pods", || Ok(Some(pods(&api)?).filter(|pods| pods.len() == 4)))?;
    check(left.is_subset(&made), || "others were made".to_owned())?;

    signal(&first, Signal::SIGCONT)?;
    wait_for(WITHIN, "the first one to know that it leads no longer", || {
        Ok((leads(&first_api)? == [false, false]).then_some(()))
    })?;
    // Once it has heard of this, it has heard of everything before.
    api.create("/api/v1/namespaces/default/configmaps", &json!({"metadata": {"name": "heard"}}))?;
    wait_for(WITHIN, "the first one to hear of everything", || {
        let (_, maps) = first_api.get("/api/v1/namespaces/default/configmaps?resourceVersion=0")?;
        let maps = maps["items"].as_array().cloned().unwrap_or_default();
        Ok(maps.iter().any(|map| map["metadata"]["name"] == "heard").then_some(()))
    })?;
    let found = pods(&api)?;
    check(found == left, || format!("{left:?} became {found:?}"))?;
    check(holder(&api)? == after, || "the first one took the lease".to_owned())?;
    let log = first.log();
    check(log.contains("could not be renewed in time") || log.contains("another one leads"), || log)
}
