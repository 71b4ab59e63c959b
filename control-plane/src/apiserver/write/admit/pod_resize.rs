//! A pod that has a node is resized only to what that node could give it.

use serde_json::Value;

use super::super::target::Write;
use crate::amounts::{Amounts, Of, Sum, of_pod};
use crate::apiserver::status::{Cause, Status};

/// May the pod be resized so?
pub(super) async fn check(write: &Write<'_>, old: &Value, new: &Value) -> Result<(), Status> {
    let node = new["spec"]["nodeName"].as_str().unwrap_or_default();
    if node.is_empty() || old["metadata"]["generation"] == new["metadata"]["generation"] {
        return Ok(());
    }
    let name = &write.context.target.name;
    let found = write.find("", "nodes", "", node).await?;
    let found = found.ok_or_else(|| write.refuse(name, &format!("node {node:?} not found")))?;
    let Err((reason, why)) = fits(new, &found) else { return Ok(()) };
    let mut status = write.refuse(name, &why);
    if let Some(details) = &mut status.details {
        let cause = Cause { reason: reason.to_owned(), message: String::new(), field: String::new() };
        details.causes.push(cause);
    }
    Err(status)
}

fn fits(pod: &Value, node: &Value) -> Result<(), (&'static str, String)> {
    let name = node["metadata"]["name"].as_str().unwrap_or_default();
    if let Some(system) = node["metadata"]["labels"]["kubernetes.io/os"].as_str().filter(|os| *os != "linux")
    {
        let why = format!("pod resize is only supported on linux nodes, node {name:?} is {system:?}");
        return Err(("UnsupportedPlatform", why));
    }
    let asked = of_pod(pod, Of::Requests, Sum { overhead: true, status: false });
    let has = Amounts::of(&node["status"]["allocatable"]);
    let short = ["cpu", "memory"].into_iter().filter_map(|resource| {
        let [asked, has] = [&asked, &has].map(|amounts| amounts.get(resource).unwrap_or_default());
        let [asked_is, has_is] =
            [asked, has].map(|amount| if resource == "cpu" { amount.millis() } else { amount.units() });
        (asked > has).then(|| format!("{resource}, requested: {asked_is}, allocatable: {has_is}"))
    });
    let short: Vec<String> = short.collect();
    if short.is_empty() {
        return Ok(());
    }
    Err(("NodeCapacity", format!("node didn't have enough allocatable resources: {}", short.join("; "))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_gives_no_more_than_it_has() {
        let pod =
            json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "2", "memory": "1Gi"}}}]}});
        let node = |cpu: &str, os: &str| {
            json!({"metadata": {"name": "n", "labels": {"kubernetes.io/os": os}},
                "status": {"allocatable": {"cpu": cpu, "memory": "1Gi"}}})
        };
        assert_eq!(fits(&pod, &node("2", "linux")), Ok(()));
        let why = "node didn't have enough allocatable resources: cpu, requested: 2000, allocatable: 1500";
        assert_eq!(fits(&pod, &node("1500m", "linux")), Err(("NodeCapacity", why.to_owned())));
        assert!(fits(&pod, &node("2", "windows")).is_err_and(|(reason, _)| reason == "UnsupportedPlatform"));
    }
}
