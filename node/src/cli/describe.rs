//! `orlop describe`.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::kubelet::{self, Kubelet};
use super::manifests::Refusal;
use super::pod::{Container, ContainerStatus, Pod, State};
use super::table::Table;
use super::whom::OfPod;
use super::{PlainOutput, age, block_on, output};
use crate::{Error, Global};

/// Which pod.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    of: OfPod,
    #[command(flatten)]
    output: PlainOutput,
}

/// Prints all that the kubelet knows of a pod; as JSON or YAML, the Pod itself. Of a manifest that gives no pod: why.
pub(crate) fn run(global: &Global, flags: &Flags) -> Result<ExitCode, Error> {
    let kubelet = Kubelet::new(global)?;
    let (json, refused) = block_on(async { Ok((kubelet.pods_json().await?, kubelet.refused().await?)) })?;
    let now = Timestamp::now();
    let pods = kubelet::parse(&json)?;
    let pod = match flags.of.find(&pods) {
        Ok(pod) => pod,
        Err(error) => {
            let is = |refusal: &&Refusal| refusal.is(flags.of.namespace.as_deref(), &flags.of.pod);
            let refusal = refused.iter().find(is).ok_or(error)?;
            output::plain(flags.output, refusal, || refused_text(refusal, now))?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let list: Value = serde_json::from_slice(&json).map_err(|error| Error::failed(&error))?;
    let whole = list["items"].as_array().into_iter().flatten().find(|item| {
        item["metadata"]["name"] == pod.metadata.name
            && item["metadata"]["namespace"] == pod.metadata.namespace
    });
    output::plain(flags.output, &whole.unwrap_or(&Value::Null), || {
        let mut text = text(pod, now);
        for refusal in refused.iter().filter(|refusal| pod.is_of(refusal.pod.as_deref())) {
            let _ = writeln!(text, "Manifest:\n  {}\n  the pod runs on as it was before", refusal.line());
        }
        text
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Writes `NAME:   VALUE`, indented, unless there is no value.
fn field(text: &mut String, indent: usize, name: &str, value: &str) {
    if !value.is_empty() {
        let _ = writeln!(
            text,
            "{:indent$}{:width$}{value}",
            "",
            if name == " " { String::new() } else { format!("{name}:") },
            width = 20 - indent
        );
    }
}

fn refused_text(refusal: &Refusal, now: Timestamp) -> String {
    let mut text = String::new();
    field(&mut text, 0, "Name", refusal.pod.as_deref().unwrap_or("not known"));
    field(&mut text, 0, "Manifest", &refusal.file);
    field(&mut text, 0, "Status", "Refused");
    field(&mut text, 0, "Since", &format!("{} ({} ago)", refusal.since, age::since(&refusal.since, now)));
    field(&mut text, 0, "Message", &refusal.message);
    text
}

/// What the CRI says, without gRPC's words for it, which are no news for people.
fn plain(message: &str) -> String {
    let mut text = message.trim_end().to_owned();
    while let Some(start) = text.find("rpc error: code = ") {
        let Some(length) = text[start..].find(" desc = ") else { break };
        text.replace_range(start..start + length + " desc = ".len(), "");
    }
    text
}

fn text(pod: &Pod, now: Timestamp) -> String {
    let mut text = String::new();
    let status = &pod.status;
    field(&mut text, 0, "Name", &pod.metadata.name);
    field(&mut text, 0, "Namespace", &pod.metadata.namespace);
    field(&mut text, 0, "UID", &pod.metadata.uid);
    field(&mut text, 0, "Node", &pod.spec.node_name);
    field(&mut text, 0, "Status", &pod.summary());
    field(&mut text, 0, "Phase", &status.phase);
    field(&mut text, 0, "Message", &plain(&status.message));
    field(&mut text, 0, "Pod address", &status.pod_ip);
    field(&mut text, 0, "Host address", &status.host_ip);
    field(&mut text, 0, "QoS class", &status.qos_class);
    if !pod.since().is_empty() {
        field(&mut text, 0, "Created", &format!("{} ({} ago)", pod.since(), age::since(pod.since(), now)));
    }
    for (title, map) in [("Labels", &pod.metadata.labels), ("Annotations", &pod.metadata.annotations)] {
        for (index, (name, value)) in map.iter().enumerate() {
            field(&mut text, 0, if index == 0 { title } else { " " }, &format!("{name}={value}"));
        }
    }
    for (title, containers, statuses) in [
        ("Init containers", &pod.spec.init_containers, &status.init_container_statuses),
        ("Containers", &pod.spec.containers, &status.container_statuses),
    ] {
        if !containers.is_empty() {
            let _ = writeln!(text, "{title}:");
        }
        for container in containers {
            let status = statuses.iter().find(|status| status.name == container.name);
            describe_container(&mut text, container, status, now);
        }
    }
    if !status.conditions.is_empty() {
        let mut table = Table::new(&["  CONDITION", "STATUS", "REASON", "MESSAGE"]);
        for condition in &status.conditions {
            let kind = format!("  {}", condition.kind);
            table.row([kind, condition.status.clone(), condition.reason.clone(), condition.message.clone()]);
        }
        text.push_str("Conditions:\n");
        text.push_str(&table.render());
    }
    text
}

fn describe_container(
    text: &mut String,
    container: &Container,
    status: Option<&ContainerStatus>,
    now: Timestamp,
) {
    let _ = writeln!(text, "  {}:", container.name);
    field(text, 4, "Image", &container.image);
    let Some(status) = status else {
        return field(text, 4, "State", "not started");
    };
    field(text, 4, "Image ID", &status.image_id);
    field(text, 4, "Container ID", &status.container_id);
    describe_state(text, "State", &status.state, now);
    if status.last_state.terminated.is_some() {
        describe_state(text, "Last state", &status.last_state, now);
    }
    field(text, 4, "Ready", if status.ready { "yes" } else { "no" });
    field(text, 4, "Restarts", &status.restart_count.to_string());
}

fn describe_state(text: &mut String, name: &str, state: &State, now: Timestamp) {
    field(text, 4, name, &state.summary());
    if let Some(running) = &state.running {
        field(
            text,
            6,
            "Since",
            &format!("{} ({} ago)", running.started_at, age::since(&running.started_at, now)),
        );
    } else if let Some(end) = &state.terminated {
        field(text, 6, "Exit code", &end.exit_code.to_string());
        field(text, 6, "Started", &end.started_at);
        field(text, 6, "Finished", &end.finished_at);
        field(text, 6, "Message", &plain(&end.message));
    } else if let Some(waiting) = &state.waiting {
        field(text, 6, "Message", &plain(&waiting.message));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn grpcs_words_are_left_out() {
        let message = "Back-off pulling image \"x\": ErrImagePull: rpc error: code = Unknown desc = rpc error: code = NotFound desc = no such image\n";
        assert_eq!(plain(message), "Back-off pulling image \"x\": ErrImagePull: no such image");
        assert_eq!(plain("rpc error: code = "), "rpc error: code =");
    }

    #[test]
    fn a_crashing_container_shows_its_state_and_its_last_end() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web-n1", "namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"app": "web", "tier": "front"}},
            "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "nginx"}, {"name": "late", "image": "x"}]},
            "status": {"phase": "Running", "podIP": "10.0.0.2",
                "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
                "containerStatuses": [{"name": "main", "restartCount": 3,
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}},
                    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled",
                        "startedAt": "2026-01-01T00:00:01Z", "finishedAt": "2026-01-01T00:00:02Z"}}}]},
        }))
        .unwrap();
        assert_eq!(
            text(&pod, "2026-01-01T00:01:00Z".parse().unwrap()),
            "\
Name:               web-n1
Namespace:          default
Node:               n1
Status:             CrashLoopBackOff
Phase:              Running
Pod address:        10.0.0.2
Created:            2026-01-01T00:00:00Z (60s ago)
Labels:             app=web
                    tier=front
Containers:
  main:
    Image:          nginx
    State:          CrashLoopBackOff
      Message:      back-off 20s
    Last state:     OOMKilled
      Exit code:    137
      Started:      2026-01-01T00:00:01Z
      Finished:     2026-01-01T00:00:02Z
    Ready:          no
    Restarts:       3
  late:
    Image:          x
    State:          not started
Conditions:
  CONDITION   STATUS   REASON               MESSAGE
  Ready       False    ContainersNotReady
"
        );
    }
}
