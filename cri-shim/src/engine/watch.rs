//! What monitors tell: ends of containers, and by their own death the end of a pod.
//!
//! ```text
//! Exited, PauseExited ──▶ written down and told on
//! connection ended    ──▶ the monitor is looked for: connected anew while its process lives, else its pod is ended
//! ```

use std::sync::Arc;

use api_cri::v1::ContainerEventType;
use api_monitor::Event;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use super::{Engine, now};
use crate::core::container::{Container, End};
use crate::effects::Effect;
use crate::monitor::Happened;

impl Engine {
    /// Handles what monitors tell, and looks after those that are being found again, until the channel closes or a
    /// task of its own panics.
    pub(crate) async fn watch(
        self: Arc<Self>,
        mut happened: UnboundedReceiver<(String, Happened)>,
        mut regaining: JoinSet<()>,
    ) {
        loop {
            let (sandbox, what) = tokio::select! {
                Some(joined) = regaining.join_next() => match joined {
                    Ok(()) => continue,
                    Err(error) => return tracing::error!(%error, "finding a monitor again"),
                },
                received = happened.recv() => match received {
                    Some(received) => received,
                    None => return,
                },
            };
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
                    if self.performer.disconnected(&sandbox) {
                        regaining.spawn(Arc::clone(&self).regain(sandbox));
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
