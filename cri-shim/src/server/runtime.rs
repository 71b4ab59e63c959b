//! The calls of the RuntimeService.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use api_cri::v1::runtime_service_server::RuntimeService;
use api_cri::v1::{self, ContainerEventResponse, PodSandboxConfig};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use super::{Service, status};
use crate::core::container::{Container, ContainerPhase};
use crate::core::failure::{Code, Failure};
use crate::core::sandbox::Sandbox;
use crate::core::{filter, report};
use crate::engine::now;
use crate::stream::{AttachSession, ExecSession, Streams};

type Answer<T> = Result<Response<T>, Status>;
type Empty<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn answer<T>(value: T) -> Answer<T> {
    Ok(Response::new(value))
}

/// A call of the protocol that this daemon does not answer yet.
fn later<T>(call: &str) -> Result<T, Status> {
    Err(Failure::new(Code::Unimplemented, format!("{call} is not implemented by orlop")).into())
}

fn seconds(field: &str, value: i64) -> Result<Duration, Failure> {
    u64::try_from(value)
        .map(Duration::from_secs)
        .map_err(|_| Failure::invalid(format!("{field} {value} is negative")))
}

fn config(config: Option<PodSandboxConfig>) -> Result<PodSandboxConfig, Failure> {
    config.ok_or_else(|| Failure::missing("config"))
}

/// What `crictl inspect` shows beside the status.
fn container_info(container: &Container, sandbox: &Sandbox) -> HashMap<String, String> {
    let info = serde_json::json!({
        "sandboxID": container.sandbox,
        "pid": container.pid,
        "cgroup": container.cgroup,
        "monitorPid": sandbox.monitor_pid,
    });
    HashMap::from([("info".to_owned(), info.to_string())])
}

fn sandbox_info(sandbox: &Sandbox) -> HashMap<String, String> {
    // The monitor sits in the pod's namespaces, so its pid is the pod's to whoever looks into /proc.
    let info = serde_json::json!({
        "pid": sandbox.monitor_pid,
        "netns": sandbox.netns,
        "cgroup": sandbox.cgroup,
        "runtimeHandler": sandbox.handler,
    });
    HashMap::from([("info".to_owned(), info.to_string())])
}

#[tonic::async_trait]
impl RuntimeService for Service {
    async fn version(&self, _: Request<v1::VersionRequest>) -> Answer<v1::VersionResponse> {
        answer(status::version())
    }

    async fn status(&self, request: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        answer(Service::status(self, request.into_inner().verbose))
    }

    async fn runtime_config(
        &self,
        _: Request<v1::RuntimeConfigRequest>,
    ) -> Answer<v1::RuntimeConfigResponse> {
        answer(status::runtime_config())
    }

    /// The CNI configuration is the administrator's: the pod CIDR is noted and changes nothing.
    async fn update_runtime_config(
        &self,
        request: Request<v1::UpdateRuntimeConfigRequest>,
    ) -> Answer<v1::UpdateRuntimeConfigResponse> {
        tracing::info!(config = ?request.into_inner().runtime_config, "the kubelet's pod CIDR");
        answer(v1::UpdateRuntimeConfigResponse {})
    }

    async fn run_pod_sandbox(
        &self,
        request: Request<v1::RunPodSandboxRequest>,
    ) -> Answer<v1::RunPodSandboxResponse> {
        let request = request.into_inner();
        let id = self.engine.run_sandbox(config(request.config)?, request.runtime_handler).await?;
        answer(v1::RunPodSandboxResponse { pod_sandbox_id: id })
    }

    async fn stop_pod_sandbox(
        &self,
        request: Request<v1::StopPodSandboxRequest>,
    ) -> Answer<v1::StopPodSandboxResponse> {
        self.engine.stop_sandbox(&request.into_inner().pod_sandbox_id).await?;
        answer(v1::StopPodSandboxResponse {})
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<v1::RemovePodSandboxRequest>,
    ) -> Answer<v1::RemovePodSandboxResponse> {
        self.engine.remove_sandbox(&request.into_inner().pod_sandbox_id).await?;
        answer(v1::RemovePodSandboxResponse {})
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<v1::PodSandboxStatusRequest>,
    ) -> Answer<v1::PodSandboxStatusResponse> {
        let request = request.into_inner();
        let state = self.engine.state();
        let sandbox = state.sandbox(&request.pod_sandbox_id)?;
        answer(v1::PodSandboxStatusResponse {
            status: Some(report::sandbox(sandbox)),
            info: if request.verbose { sandbox_info(sandbox) } else { HashMap::new() },
            containers_statuses: state.statuses(&sandbox.id),
            timestamp: now(),
        })
    }

    async fn list_pod_sandbox(
        &self,
        request: Request<v1::ListPodSandboxRequest>,
    ) -> Answer<v1::ListPodSandboxResponse> {
        let wanted = request.into_inner().filter.unwrap_or_default();
        let state = self.engine.state();
        let items =
            state.sandboxes().filter(|sandbox| filter::sandbox(&wanted, sandbox)).map(report::listed_sandbox);
        answer(v1::ListPodSandboxResponse { items: items.collect() })
    }

    async fn create_container(
        &self,
        request: Request<v1::CreateContainerRequest>,
    ) -> Answer<v1::CreateContainerResponse> {
        let request = request.into_inner();
        let config = request.config.ok_or_else(|| Failure::missing("config"))?;
        let id = self.engine.create_container(&request.pod_sandbox_id, config).await?;
        answer(v1::CreateContainerResponse { container_id: id })
    }

    async fn start_container(
        &self,
        request: Request<v1::StartContainerRequest>,
    ) -> Answer<v1::StartContainerResponse> {
        self.engine.start_container(&request.into_inner().container_id).await?;
        answer(v1::StartContainerResponse {})
    }

    async fn stop_container(
        &self,
        request: Request<v1::StopContainerRequest>,
    ) -> Answer<v1::StopContainerResponse> {
        let request = request.into_inner();
        self.engine.stop_container(&request.container_id, seconds("timeout", request.timeout)?).await?;
        answer(v1::StopContainerResponse {})
    }

    async fn remove_container(
        &self,
        request: Request<v1::RemoveContainerRequest>,
    ) -> Answer<v1::RemoveContainerResponse> {
        self.engine.remove_container(&request.into_inner().container_id).await?;
        answer(v1::RemoveContainerResponse {})
    }

    async fn list_containers(
        &self,
        request: Request<v1::ListContainersRequest>,
    ) -> Answer<v1::ListContainersResponse> {
        let wanted = request.into_inner().filter.unwrap_or_default();
        let state = self.engine.state();
        let containers = state
            .containers()
            .filter(|container| filter::container(&wanted, container))
            .map(report::listed_container);
        answer(v1::ListContainersResponse { containers: containers.collect() })
    }

    async fn container_status(
        &self,
        request: Request<v1::ContainerStatusRequest>,
    ) -> Answer<v1::ContainerStatusResponse> {
        let request = request.into_inner();
        let state = self.engine.state();
        let container = state.container(&request.container_id)?;
        let mut info = HashMap::new();
        if request.verbose
            && let Ok(sandbox) = state.sandbox(&container.sandbox)
        {
            info = container_info(container, sandbox);
        }
        answer(v1::ContainerStatusResponse { status: Some(report::container(container)), info })
    }

    async fn update_container_resources(
        &self,
        request: Request<v1::UpdateContainerResourcesRequest>,
    ) -> Answer<v1::UpdateContainerResourcesResponse> {
        let request = request.into_inner();
        if request.windows.is_some() {
            return Err(Failure::refused("windows").into());
        }
        self.engine.update_container(&request.container_id, request.linux.unwrap_or_default()).await?;
        answer(v1::UpdateContainerResourcesResponse {})
    }

    async fn reopen_container_log(
        &self,
        request: Request<v1::ReopenContainerLogRequest>,
    ) -> Answer<v1::ReopenContainerLogResponse> {
        self.engine.reopen_log(&request.into_inner().container_id).await?;
        answer(v1::ReopenContainerLogResponse {})
    }

    async fn exec_sync(&self, request: Request<v1::ExecSyncRequest>) -> Answer<v1::ExecSyncResponse> {
        let request = request.into_inner();
        let limit = seconds("timeout", request.timeout)?;
        answer(self.engine.exec_sync(&request.container_id, &request.cmd, limit).await?)
    }

    async fn exec(&self, request: Request<v1::ExecRequest>) -> Answer<v1::ExecResponse> {
        let request = request.into_inner();
        let container = self.running(&request.container_id)?;
        if request.tty && request.stderr {
            return Err(Failure::invalid("tty and stderr cannot both be true").into());
        }
        if request.cmd.is_empty() {
            return Err(Failure::missing("cmd").into());
        }
        let streams = Streams {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            tty: request.tty,
        };
        let session = ExecSession { container: container.id, command: request.cmd, streams };
        let url =
            self.streams.exec_url(session).map_err(|error| Status::resource_exhausted(error.to_string()))?;
        answer(v1::ExecResponse { url })
    }

    async fn attach(&self, request: Request<v1::AttachRequest>) -> Answer<v1::AttachResponse> {
        let request = request.into_inner();
        let container = self.running(&request.container_id)?;
        let streams = Streams {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr && !container.config.tty,
            tty: container.config.tty,
        };
        let session = AttachSession { container: container.id, streams };
        let url = self
            .streams
            .attach_url(session)
            .map_err(|error| Status::resource_exhausted(error.to_string()))?;
        answer(v1::AttachResponse { url })
    }

    async fn container_stats(
        &self,
        request: Request<v1::ContainerStatsRequest>,
    ) -> Answer<v1::ContainerStatsResponse> {
        let container = self.engine.state().container(&request.into_inner().container_id)?.clone();
        answer(v1::ContainerStatsResponse { stats: Some(self.engine.container_stats(&container)) })
    }

    async fn list_container_stats(
        &self,
        request: Request<v1::ListContainerStatsRequest>,
    ) -> Answer<v1::ListContainerStatsResponse> {
        let wanted = request.into_inner().filter.unwrap_or_default();
        let containers: Vec<Container> = {
            let state = self.engine.state();
            let running = state.containers().filter(|container| container.phase == ContainerPhase::Running);
            running.filter(|container| filter::container_stats(&wanted, container)).cloned().collect()
        };
        let stats = containers.iter().map(|container| self.engine.container_stats(container)).collect();
        answer(v1::ListContainerStatsResponse { stats })
    }

    type GetContainerEventsStream = Empty<ContainerEventResponse>;
    async fn get_container_events(
        &self,
        _: Request<v1::GetEventsRequest>,
    ) -> Answer<Self::GetContainerEventsStream> {
        let events = BroadcastStream::new(self.engine.subscribe()).map(|event| {
            // The client missed some: ending the stream makes it list everything and connect again.
            event.map_err(|error| Status::data_loss(error.to_string()))
        });
        answer(Box::pin(events) as Self::GetContainerEventsStream)
    }

    type StreamPodSandboxesStream = Empty<v1::StreamPodSandboxesResponse>;
    async fn stream_pod_sandboxes(
        &self,
        _: Request<v1::StreamPodSandboxesRequest>,
    ) -> Answer<Self::StreamPodSandboxesStream> {
        later("StreamPodSandboxes")
    }

    type StreamContainersStream = Empty<v1::StreamContainersResponse>;
    async fn stream_containers(
        &self,
        _: Request<v1::StreamContainersRequest>,
    ) -> Answer<Self::StreamContainersStream> {
        later("StreamContainers")
    }

    type StreamContainerStatsStream = Empty<v1::StreamContainerStatsResponse>;
    async fn stream_container_stats(
        &self,
        _: Request<v1::StreamContainerStatsRequest>,
    ) -> Answer<Self::StreamContainerStatsStream> {
        later("StreamContainerStats")
    }

    async fn pod_sandbox_stats(
        &self,
        _: Request<v1::PodSandboxStatsRequest>,
    ) -> Answer<v1::PodSandboxStatsResponse> {
        later("PodSandboxStats")
    }

    async fn list_pod_sandbox_stats(
        &self,
        _: Request<v1::ListPodSandboxStatsRequest>,
    ) -> Answer<v1::ListPodSandboxStatsResponse> {
        later("ListPodSandboxStats")
    }

    type StreamPodSandboxStatsStream = Empty<v1::StreamPodSandboxStatsResponse>;
    async fn stream_pod_sandbox_stats(
        &self,
        _: Request<v1::StreamPodSandboxStatsRequest>,
    ) -> Answer<Self::StreamPodSandboxStatsStream> {
        later("StreamPodSandboxStats")
    }

    async fn checkpoint_container(
        &self,
        _: Request<v1::CheckpointContainerRequest>,
    ) -> Answer<v1::CheckpointContainerResponse> {
        later("CheckpointContainer")
    }

    async fn list_metric_descriptors(
        &self,
        _: Request<v1::ListMetricDescriptorsRequest>,
    ) -> Answer<v1::ListMetricDescriptorsResponse> {
        later("ListMetricDescriptors")
    }

    async fn list_pod_sandbox_metrics(
        &self,
        _: Request<v1::ListPodSandboxMetricsRequest>,
    ) -> Answer<v1::ListPodSandboxMetricsResponse> {
        later("ListPodSandboxMetrics")
    }

    type StreamPodSandboxMetricsStream = Empty<v1::StreamPodSandboxMetricsResponse>;
    async fn stream_pod_sandbox_metrics(
        &self,
        _: Request<v1::StreamPodSandboxMetricsRequest>,
    ) -> Answer<Self::StreamPodSandboxMetricsStream> {
        later("StreamPodSandboxMetrics")
    }

    async fn update_pod_sandbox_resources(
        &self,
        _: Request<v1::UpdatePodSandboxResourcesRequest>,
    ) -> Answer<v1::UpdatePodSandboxResourcesResponse> {
        later("UpdatePodSandboxResources")
    }

    async fn port_forward(&self, _: Request<v1::PortForwardRequest>) -> Answer<v1::PortForwardResponse> {
        later("PortForward")
    }
}

impl Service {
    fn running(&self, id: &str) -> Result<Container, Failure> {
        let container = self.engine.state().container(id)?.clone();
        if container.phase == ContainerPhase::Running {
            Ok(container)
        } else {
            Err(Failure::state(format!("container {} is not running", container.id)))
        }
    }
}
