//! What monitors tell: ends of containers, and by their own death the end of a pod.

use std::sync::Arc;

use api_cri::v1::ContainerEventType;
use api_monitor::Event;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{Engine, now};
use crate::core::container::{Container, End};
use crate::effects::Effect;
use crate::monitor::Happened;

impl Engine {
    /// Handles what monitors tell until the channel closes.
    pub(crate) async fn watch(self: Arc<Self>, mut happened: UnboundedReceiver<(String, Happened)>) {
        while let Some((sandbox, what)) = happened.recv().await {
            match what {
                Happened::Event(Event::Exited { container, exit }) => {
                    self.container_ended(&container, End::of(exit)).await
                }
                Happened::Event(Event::PauseExited { exit }) => {
                    self.pod_ended(
                        &sandbox,
                        &format!("the pod's first process ended with code {}", exit.code),
                    )
                    .await;
                }
                // The client delivers these to whoever waits for the exec.
                Happened::Event(Event::ExecExited { .. }) => {}
                Happened::Gone => {
                    // A monitor that was told to end is no longer in the list.
                    if self.performer.disconnect(&sandbox).is_some() {
                        self.pod_ended(&sandbox, "the pod's monitor died").await;
                    }
                }
            }
        }
    }

    /// A pod is over without having been stopped: nothing of it may run on unowned.
    pub(super) async fn pod_ended(&self, sandbox: &str, why: &str) {
        tracing::error!(sandbox, why, "a pod ended");
        let stopped = self.state().sandbox_stopped(sandbox);
        let containers: Vec<Container> =
            self.state().containers_of(sandbox).filter(|c| c.alive()).cloned().collect();
        for container in containers {
            let killed = self
                .performer
                .begin("KillPod")
                .perform(Effect::KillCgroup { path: container.cgroup.clone() })
                .await;
            if let Err(failure) = killed {
                tracing::warn!(container = container.id, %failure, "killing a container of a pod that ended");
            }
            self.container_ended(&container.id, End::unseen(now(), why)).await;
        }
        if let Some(stopped) = stopped {
            let saved = self.performer.begin("Save").perform(Effect::SaveSandbox(Box::new(stopped))).await;
            if let Err(failure) = saved {
                tracing::warn!(sandbox, %failure, "a sandbox's state is not written down");
            }
            self.tell(ContainerEventType::ContainerStoppedEvent, sandbox, sandbox);
        }
    }
}
