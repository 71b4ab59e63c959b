//! GetContainerEvents: what a kubelet with evented relisting lives on.

use std::time::Duration;

use api_cri::v1::{
    ContainerEventResponse, ContainerEventType, ContainerState, GetEventsRequest, PodSandboxState,
    RemoveContainerRequest,
};
use integration::node::Node;
use integration::runner::{TestError, TestResult, check};
use tonic::Streaming;

use crate::life::remove;

const DEADLINE: Duration = Duration::from_secs(20);

use ContainerEventType::{
    ContainerCreatedEvent as Created, ContainerDeletedEvent as Deleted, ContainerStartedEvent as Started,
    ContainerStoppedEvent as Stopped,
};

/// The next event, which must be this one.
fn next(
    node: &Node,
    events: &mut Streaming<ContainerEventResponse>,
    kind: ContainerEventType,
    id: &str,
) -> Result<ContainerEventResponse, TestError> {
    let waiting = async { tokio::time::timeout(DEADLINE, events.message()).await };
    let event = node.runtime.block_on(waiting)??.unwrap_or_default();
    check(event.container_event_type() == kind && event.container_id == id && event.created_at > 0, || {
        format!("expected {kind:?} of {id}: {event:#?}")
    })?;
    Ok(event)
}

pub(crate) fn events_tell_every_step() -> TestResult {
    let node = Node::ready()?;
    let mut cri = node.client()?;
    let mut events =
        node.runtime.block_on(cri.runtime.get_container_events(GetEventsRequest {}))?.into_inner();

    let sandbox = node.run("events")?;
    next(&node, &mut events, Created, &sandbox)?;
    let event = next(&node, &mut events, Started, &sandbox)?;
    let pod = event.pod_sandbox_status.unwrap_or_default();
    check(pod.id == sandbox && pod.state() == PodSandboxState::SandboxReady, || format!("{pod:?}"))?;

    let container = node.create("events", &sandbox, "c", &["sh", "-c", "exit 3"])?;
    next(&node, &mut events, Created, &container)?;
    node.start_container(&container)?;
    next(&node, &mut events, Started, &container)?;
    let event = next(&node, &mut events, Stopped, &container)?;
    let status = event.containers_statuses.first().cloned().unwrap_or_default();
    check(status.state() == ContainerState::ContainerExited && status.exit_code == 3, || {
        format!("{status:?}")
    })?;

    // Ids are random: two more leave little room for their being in the right order by chance.
    let second = node.create("events", &sandbox, "d", &["true"])?;
    next(&node, &mut events, Created, &second)?;
    let third = node.create("events", &sandbox, "e", &["true"])?;
    let statuses = next(&node, &mut events, Created, &third)?.containers_statuses;
    let ids: Vec<_> = statuses.iter().map(|status| &status.id).collect();
    check(ids == [&third, &second, &container], || format!("not the newest first: {statuses:#?}"))?;
    for id in [&third, &second] {
        let request = RemoveContainerRequest { container_id: id.clone() };
        node.runtime.block_on(cri.runtime.remove_container(request))?;
        next(&node, &mut events, Stopped, id)?;
        next(&node, &mut events, Deleted, id)?;
    }

    let request = RemoveContainerRequest { container_id: container.clone() };
    node.runtime.block_on(cri.runtime.remove_container(request))?;
    next(&node, &mut events, Deleted, &container)?;
    remove(&node, &sandbox)?;
    let event = next(&node, &mut events, Stopped, &sandbox)?;
    let pod = event.pod_sandbox_status.unwrap_or_default();
    check(pod.state() == PodSandboxState::SandboxNotready, || format!("{pod:?}"))?;
    next(&node, &mut events, Deleted, &sandbox)?;
    Ok(())
}
