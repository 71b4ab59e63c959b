//! RunPodSandbox.

use std::path::PathBuf;
use std::sync::Arc;

use api_cri::v1::{ContainerEventType, PodSandboxConfig};

use super::{Engine, machine, new_id, now};
use crate::core::failure::Failure;
use crate::core::sandbox::{FORMAT, Sandbox, SandboxPhase};
use crate::core::state::Twin;
use crate::core::{cgroup_path, plan, refuse};
use crate::effects::{Effect, Operation, Outcome};
use crate::monitor::Happened;

impl Engine {
    /// Makes a pod's sandbox, or joins the call that does.
    pub(crate) async fn run_sandbox(
        self: &Arc<Self>,
        config: PodSandboxConfig,
        handler: String,
    ) -> Result<String, Failure> {
        refuse::sandbox(&config, &handler, &self.host)?;
        let key = format!("RunPodSandbox {}", Sandbox::name(&config));
        let engine = Arc::clone(self);
        self.flights.join(key, async move { engine.make_sandbox(config, handler).await }).await
    }

    async fn make_sandbox(
        self: Arc<Self>,
        config: PodSandboxConfig,
        handler: String,
    ) -> Result<String, Failure> {
        let id = new_id()?;
        let spelled = config.linux.as_ref().map(|linux| linux.cgroup_parent.as_str()).unwrap_or_default();
        let parent = cgroup_path::parent(spelled, &self.cgroup_parent)?;
        let mut sandbox = Sandbox {
            format: FORMAT,
            phase: SandboxPhase::Making,
            created_at: now(),
            ips: Vec::new(),
            netns: None,
            cgroup: format!("{parent}/{id}"),
            monitor_pid: 0,
            pause_pid: None,
            torn_down: false,
            id,
            config,
            handler,
        };
        if !sandbox.host_network() {
            sandbox.netns = Some(self.netns_dir.join(format!("orlop-{}", sandbox.id)));
        }
        {
            let mut state = self.state();
            if let Twin::Same(id) = state.twin_sandbox(&sandbox)? {
                return Ok(id);
            }
            state.put_sandbox(sandbox.clone());
        }
        let operation = self.performer.begin("RunPodSandbox");
        match self.perform_sandbox(&operation, &mut sandbox).await {
            Ok(()) => {
                self.state().put_sandbox(sandbox.clone());
                self.tell(ContainerEventType::ContainerCreatedEvent, &sandbox.id, &sandbox.id);
                self.tell(ContainerEventType::ContainerStartedEvent, &sandbox.id, &sandbox.id);
                // A monitor that died meanwhile was none of a ready pod's then.
                if self.performer.disconnected(&sandbox.id) {
                    let _ = self.performer.happened.send((sandbox.id.clone(), Happened::Gone));
                }
                Ok(sandbox.id)
            }
            Err(failure) => {
                let undo = self.performer.begin("UndoRunPodSandbox");
                // Its own failures are logged; the caller wants to know why the pod did not come to be.
                let _ = undo.perform_all(plan::remove_sandbox(&sandbox, &self.performer.paths)).await;
                self.state().forget_sandbox(&sandbox.id);
                Err(failure)
            }
        }
    }

    async fn perform_sandbox(&self, operation: &Operation<'_>, sandbox: &mut Sandbox) -> Result<(), Failure> {
        let around = plan::Surroundings {
            paths: &self.performer.paths,
            host: &self.host,
            resolv_conf: &machine::resolv_conf(),
            runtime: self.performer.runtime.clone(),
            monitor_cgroups: self.monitor_cgroups()?,
            sandbox_cgroups: self.folders(&sandbox.cgroup),
        };
        for effect in plan::make_sandbox(sandbox, &around) {
            match operation.perform(effect).await? {
                Outcome::Monitor(pod) => {
                    sandbox.monitor_pid = pod.pid;
                    sandbox.pause_pid = pod.pause_pid;
                }
                Outcome::Network(network) => {
                    sandbox.ips = network.ips.iter().map(ToString::to_string).collect()
                }
                Outcome::Done | Outcome::Created(..) => {}
            }
        }
        sandbox.phase = SandboxPhase::Ready;
        operation.perform(Effect::SaveSandbox(Box::new(sandbox.clone()))).await?;
        Ok(())
    }

    fn folders(&self, cgroup: &str) -> Vec<PathBuf> {
        self.performer.cgroup(cgroup).folders.into_iter().map(|folder| folder.path).collect()
    }

    /// The cgroup of all monitors, outside of the pods': made once, and the same for every pod.
    fn monitor_cgroups(&self) -> Result<Vec<PathBuf>, Failure> {
        let cgroup = self.performer.cgroup(&format!("{}/monitors", self.cgroup_parent.trim_matches('/')));
        for folder in &cgroup.folders {
            if !folder.path.exists() {
                // A cpuset is born without CPUs, which `create` fills in; it refuses folders that are in use already.
                cgroup.create().map_err(|error| Failure::internal(error.to_string()))?;
                break;
            }
        }
        Ok(cgroup.folders.into_iter().map(|folder| folder.path).collect())
    }
}
