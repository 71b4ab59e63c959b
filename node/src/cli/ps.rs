//! `orlop ps`.

use std::process::ExitCode;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;
use serde::Serialize;

use super::kubelet::Kubelet;
use super::pod::Pod;
use super::table::Table;
use super::{Output, age, block_on, output, pod};
use crate::{Error, Global};

/// Which pods, and how much of them.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Only this pod: NAME or NAMESPACE/NAME
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pod: Option<String>,
    /// Only pods of this namespace
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Leaves the containers out
    #[arg(long)]
    pods_only: bool,
    #[command(flatten)]
    output: Output,
}

/// One pod of `-o json`.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    namespace: String,
    pod: String,
    ready: bool,
    status: String,
    restarts: u32,
    since: String,
    ip: String,
    node: String,
    containers: Vec<ContainerRow>,
}

/// One of its containers.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerRow {
    name: String,
    init: bool,
    image: String,
    ready: bool,
    state: String,
    restarts: u32,
    since: String,
    id: String,
}

impl Row {
    fn new(pod: &Pod) -> Self {
        Self {
            namespace: pod.metadata.namespace.clone(),
            pod: pod.metadata.name.clone(),
            ready: pod.is_ready(),
            status: pod.summary(),
            restarts: pod.restarts(),
            since: pod.since().into(),
            ip: pod.status.pod_ip.clone(),
            node: pod.spec.node_name.clone(),
            containers: containers(pod),
        }
    }
}

fn containers(pod: &Pod) -> Vec<ContainerRow> {
    let inits = pod.spec.init_containers.len();
    let row = |(index, container): (usize, &pod::Container)| {
        let status = pod.statuses().find(|status| status.name == container.name).cloned().unwrap_or_default();
        let since = match &status.state {
            pod::State { running: Some(running), .. } => running.started_at.clone(),
            pod::State { terminated: Some(terminated), .. } => terminated.finished_at.clone(),
            _ => String::new(),
        };
        ContainerRow {
            name: container.name.clone(),
            init: index < inits,
            image: container.image.clone(),
            ready: status.ready,
            state: status.state.summary(),
            restarts: status.restart_count,
            since,
            id: status.container_id,
        }
    };
    pod.containers().enumerate().map(row).collect()
}

fn table(rows: &[Row], pods_only: bool, wide: bool, now: Timestamp) -> String {
    let mut header = vec!["POD", "READY", "STATUS", "RESTARTS", "AGE", "IP"];
    if wide {
        header.extend(["NODE", "IMAGE", "ID"]);
    }
    let mut table = Table::new(&header);
    for row in rows {
        let main = || row.containers.iter().filter(|container| !container.init);
        let ready = format!("{}/{}", main().filter(|container| container.ready).count(), main().count());
        let name = format!("{}/{}", row.namespace, row.pod);
        let restarts = row.restarts.to_string();
        let (age, ip) = (age::since(&row.since, now), or_dash(&row.ip));
        let mut cells = vec![name, ready, row.status.clone(), restarts, age, ip];
        if wide {
            cells.push(or_dash(&row.node));
        }
        table.row(cells);
        for container in row.containers.iter().filter(|_| !pods_only) {
            let init = if container.init { " (init)" } else { "" };
            let name = format!("  {}{init}", container.name);
            let ready = if container.ready { "yes" } else { "no" }.to_owned();
            let restarts = container.restarts.to_string();
            let mut cells =
                vec![name, ready, container.state.clone(), restarts, age::since(&container.since, now)];
            if wide {
                let id = container.id.rsplit('/').next().unwrap_or_default();
                let id = or_dash(&id.chars().take(12).collect::<String>());
                cells.extend([String::new(), String::new(), container.image.clone(), id]);
            }
            table.row(cells);
        }
    }
    table.render()
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.into() }
}

/// Lists pods and their containers; and on standard error the manifests that give none.
pub(crate) fn run(global: &Global, flags: &Flags) -> Result<ExitCode, Error> {
    let kubelet = Kubelet::new(global)?;
    let (pods, mut refused) = block_on(async { Ok((kubelet.pods().await?, kubelet.refused().await?)) })?;
    let namespace = flags.namespace.as_deref();
    let here = |pod: &&Pod| namespace.is_none_or(|namespace| pod.metadata.namespace == namespace);
    let rows: Vec<Row> = match &flags.pod {
        Some(name) => {
            refused.retain(|refusal| refusal.is(namespace, name));
            match pod::find(&pods, namespace, name) {
                Err(_) if !refused.is_empty() => Vec::new(),
                found => vec![Row::new(found?)],
            }
        }
        None => pods.iter().filter(here).map(Row::new).collect(),
    };
    output::show(flags.output.output, &rows, |wide| table(&rows, flags.pods_only, wide, Timestamp::now()))?;
    for refusal in &refused {
        eprintln!("orlop: {}", refusal.line());
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows() -> Vec<Row> {
        let list = json!({"items": [{
            "metadata": {"namespace": "default", "name": "pair-n1", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {
                "nodeName": "n1",
                "initContainers": [{"name": "count", "image": "busybox"}],
                "containers": [{"name": "server", "image": "nginx"}, {"name": "sidecar", "image": "busybox"}],
            },
            "status": {
                "phase": "Running", "podIP": "10.0.0.2",
                "conditions": [{"type": "Ready", "status": "False"}],
                "initContainerStatuses": [{"name": "count", "ready": true, "state": {"terminated":
                    {"exitCode": 0, "reason": "Completed", "finishedAt": "2026-01-01T00:00:02Z"}}}],
                "containerStatuses": [
                    {"name": "server", "ready": true, "containerID": "orlop://0123456789abcdef",
                     "state": {"running": {"startedAt": "2026-01-01T00:00:03Z"}}},
                    {"name": "sidecar", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
                ],
            },
        }]});
        super::super::kubelet::parse(list.to_string().as_bytes()).unwrap().iter().map(Row::new).collect()
    }

    fn now() -> Timestamp {
        "2026-01-01T00:01:00Z".parse().unwrap()
    }

    #[test]
    fn containers_stand_below_their_pod() {
        assert_eq!(
            table(&rows(), false, false, now()),
            "\
POD               READY   STATUS             RESTARTS   AGE   IP
default/pair-n1   1/2     CrashLoopBackOff   2          60s   10.0.0.2
  count (init)    yes     Completed          0          58s
  server          yes     Running            0          57s
  sidecar         no      CrashLoopBackOff   2          -
"
        );
    }

    #[test]
    fn wide_adds_node_image_and_id() {
        let text = table(&rows(), true, true, now());
        assert_eq!(text.lines().nth(1).unwrap().split_whitespace().last(), Some("n1"));
        let text = table(&rows(), false, true, now());
        assert!(text.lines().nth(3).unwrap().ends_with("nginx     0123456789ab"), "{text}");
    }

    #[test]
    fn json_says_ready_restarts_and_address() {
        let value = serde_json::to_value(rows()).unwrap();
        assert_eq!(value[0]["pod"], "pair-n1");
        assert_eq!((&value[0]["ready"], &value[0]["restarts"]), (&json!(false), &json!(2)));
        assert_eq!(value[0]["containers"][2]["state"], "CrashLoopBackOff");
    }
}
