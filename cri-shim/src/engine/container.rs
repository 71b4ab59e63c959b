//! CreateContainer, StartContainer, UpdateContainerResources, ReopenContainerLog.

use std::path::PathBuf;
use std::sync::Arc;

use api_cri::v1::{ContainerConfig, ContainerEventType, LinuxContainerResources, NamespaceMode};
use api_monitor::{CreateRequest, Request};
use oci_spec::runtime::Spec;

use super::{Engine, machine, new_id, now};
use crate::core::container::{Container, ContainerPhase, End};
use crate::core::failure::Failure;
use crate::core::sandbox::{FORMAT, Sandbox, SandboxPhase};
use crate::core::spec::{self, Inputs};
use crate::core::state::Twin;
use crate::core::user::{self, User};
use crate::core::{plan, refuse, signal};
use crate::disk;
use crate::effects::{Effect, Operation, Outcome};
use crate::rootfs::ImageInfo;

impl Engine {
    /// Makes a container, or joins the call that does.
    pub(crate) async fn create_container(
        self: &Arc<Self>,
        sandbox: &str,
        config: ContainerConfig,
    ) -> Result<String, Failure> {
        refuse::container(&config, &self.host)?;
        let sandbox = self.ready_sandbox(sandbox)?;
        let key = format!("CreateContainer {}", Container::name(&sandbox.id, &config));
        let engine = Arc::clone(self);
        self.flights.join(key, async move { engine.make_container(sandbox, config).await }).await
    }

    fn ready_sandbox(&self, id: &str) -> Result<Sandbox, Failure> {
        let sandbox = self.state().sandbox(id)?.clone();
        if sandbox.phase == SandboxPhase::Ready {
            Ok(sandbox)
        } else {
            Err(Failure::state(format!("sandbox {} is not ready", sandbox.id)))
        }
    }

    async fn make_container(
        self: Arc<Self>,
        sandbox: Sandbox,
        config: ContainerConfig,
    ) -> Result<String, Failure> {
        let id = new_id()?;
        let reference = config.image.as_ref().map(|image| image.image.clone()).unwrap_or_default();
        let image = self.rootfs.resolve(&reference)?;
        let log_path = (!config.log_path.is_empty() && !sandbox.config.log_directory.is_empty())
            .then(|| PathBuf::from(&sandbox.config.log_directory).join(&config.log_path));
        let parent = sandbox.cgroup.rsplit_once('/').map_or("", |(parent, _)| parent);
        let mut container = Container {
            format: FORMAT,
            sandbox: sandbox.id.clone(),
            image_id: image.id.clone(),
            image_ref: image.reference.clone(),
            phase: ContainerPhase::Making,
            created_at: now(),
            started_at: 0,
            end: None,
            user: User::default(),
            log_path,
            stop_signal: signal::to_stop(config.stop_signal(), &image.defaults.stop_signal),
            resources: config.linux.as_ref().and_then(|linux| linux.resources.clone()).unwrap_or_default(),
            cgroup: format!("{parent}/{id}"),
            pid: 0,
            id,
            config,
        };
        {
            let mut state = self.state();
            if let Twin::Same(id) = state.twin_container(&container)? {
                return Ok(id);
            }
            state.put_container(container.clone());
        }
        let operation = self.performer.begin("CreateContainer");
        match self.perform_container(&operation, &sandbox, &mut container, &image).await {
            Ok(()) => {
                self.state().put_container(container.clone());
                self.tell(ContainerEventType::ContainerCreatedEvent, &container.id, &container.sandbox);
                Ok(container.id)
            }
            Err(failure) => {
                let undo = self.performer.begin("UndoCreateContainer");
                let _ = undo.perform_all(plan::remove_container(&container)).await;
                self.set_init(&container.id, None);
                self.state().forget_container(&container.id);
                Err(failure)
            }
        }
    }

    async fn perform_container(
        &self,
        operation: &Operation<'_>,
        sandbox: &Sandbox,
        container: &mut Container,
        image: &ImageInfo,
    ) -> Result<(), Failure> {
        operation.perform(Effect::SaveContainer(Box::new(container.clone()))).await?;
        let rootfs = self.performer.paths.rootfs(&container.id);
        operation
            .perform(Effect::MountRootfs { container: container.id.clone(), image: image.id.clone() })
            .await?;
        let mut folders = machine::missing_sources(&container.config);
        folders.extend(container.log_path.as_ref().and_then(|path| path.parent().map(PathBuf::from)));
        operation.perform(Effect::MakeFolders(folders)).await?;

        let security = spec::security(&container.config);
        let accounts = machine::accounts(&rootfs)?;
        container.user = user::resolve(&security, &image.defaults.user, &accounts)?;
        let image_name = container.config.image.clone().unwrap_or_default();
        let spec = spec::container(&Inputs {
            sandbox,
            config: &container.config,
            image: &image.defaults,
            image_name: if image_name.user_specified_image.is_empty() {
                &image_name.image
            } else {
                &image_name.user_specified_image
            },
            user: &container.user,
            host: &self.host,
            sources: &machine::sources(&container.config)?,
            devices: &machine::devices(&container.config)?,
            localhost_seccomp: machine::localhost_seccomp(&security)?,
            files: &self.performer.paths.pod_files(&sandbox.id),
            rootfs,
            cgroup: &container.cgroup,
            target_pid: self.target_pid(&container.config)?,
        })?;
        operation
            .perform(Effect::WriteSpec { container: container.id.clone(), spec: Box::new(spec) })
            .await?;
        // A sandbox that was stopped meanwhile has no room for another container.
        self.ready_sandbox(&sandbox.id)?;
        container.phase = ContainerPhase::Created;
        operation.perform(Effect::SaveContainer(Box::new(container.clone()))).await?;
        Ok(())
    }

    /// The folder in which the kernel counts a container's out-of-memory kills.
    fn memory_cgroup(&self, cgroup: &str) -> Option<PathBuf> {
        let has_memory =
            |controllers: &str| controllers.is_empty() || controllers.split(',').any(|name| name == "memory");
        let folders = self.performer.cgroup(cgroup).folders;
        folders.into_iter().find(|folder| has_memory(&folder.controllers)).map(|folder| folder.path)
    }

    fn target_pid(&self, config: &ContainerConfig) -> Result<Option<i32>, Failure> {
        let options = spec::security(config).namespace_options.unwrap_or_default();
        if options.pid() != NamespaceMode::Target {
            return Ok(None);
        }
        let state = self.state();
        let target = state.container(&options.target_id)?;
        Ok((target.phase == ContainerPhase::Running).then_some(target.pid))
    }

    /// Lets a created container's program run.
    pub(crate) async fn start_container(self: &Arc<Self>, id: &str) -> Result<(), Failure> {
        let id = self.state().container(id)?.id.clone();
        let engine = Arc::clone(self);
        let key = format!("StartContainer {id}");
        self.flights.join(key, async move { engine.start(&id).await.map(|()| id) }).await.map(drop)
    }

    async fn start(&self, id: &str) -> Result<(), Failure> {
        let sandbox = self.state().container(id)?.sandbox.clone();
        self.ready_sandbox(&sandbox)?;
        let starting = self.state().step_container(id, |container| container.starting(now()));
        let Some(container) = starting else {
            return Err(Failure::state(format!("container {id} is not in the created state")));
        };
        let operation = self.performer.begin("StartContainer");
        if let Err(failure) = self.perform_start(&operation, &container).await {
            self.unstart(&container, &failure).await;
            return Err(failure);
        }
        let runs = self.state().step_container(id, Container::started).is_some();
        let present = self.state().container(id)?.clone();
        operation.perform(Effect::SaveContainer(Box::new(present))).await?;
        if runs {
            self.tell(ContainerEventType::ContainerStartedEvent, id, &sandbox);
        }
        Ok(())
    }

    async fn perform_start(&self, operation: &Operation<'_>, container: &Container) -> Result<(), Failure> {
        let (id, sandbox) = (&container.id, &container.sandbox);
        // By its number, which must not have passed to another process since CreateContainer.
        let options = spec::security(&container.config).namespace_options.unwrap_or_default();
        if options.pid() == NamespaceMode::Target && self.target_pid(&container.config)?.is_none() {
            return Err(Failure::state(format!("container {} does not run any more", options.target_id)));
        }
        // A daemon before this one may have come as far as that.
        if self.init(id).is_none() {
            let created_with = container.config.linux.as_ref().and_then(|linux| linux.resources.clone());
            if container.resources != created_with.unwrap_or_default() {
                let mut bundle: Spec = disk::read_json(&self.performer.paths.spec(id))?;
                spec::limit(&mut bundle, &container.resources, &self.host)?;
                operation
                    .perform(Effect::WriteSpec { container: id.clone(), spec: Box::new(bundle) })
                    .await?;
            }
            let request = Box::new(CreateRequest {
                container: id.clone(),
                bundle: self.performer.paths.container(id),
                runtime: None,
                terminal: container.config.tty,
                stdin: container.config.stdin,
                log_path: container.log_path.clone(),
                memory_cgroup: self.memory_cgroup(&container.cgroup),
            });
            let effect = Effect::CreateInMonitor { sandbox: sandbox.clone(), request };
            let Outcome::Created(pid, pidfd) = operation.perform(effect).await? else {
                return Err(Failure::internal("creating a container led to no process"));
            };
            self.set_init(id, Some(pidfd));
            self.state().step_container(id, |container| {
                container.pid = pid;
                true
            });
        }
        let effect = Effect::StartInMonitor { sandbox: sandbox.clone(), container: id.clone() };
        operation.perform(effect).await.map(drop)
    }

    /// Ends what came to be of a container whose start failed.
    async fn unstart(&self, container: &Container, failure: &Failure) {
        // First, for what is killed may tell of its end before: it would hide why.
        let end = End::not_started(now(), &failure.message);
        let ended = self.state().step_container(&container.id, |container| container.start_failed(end));
        let operation = self.performer.begin("KillUnstarted");
        let killed = operation.perform(Effect::KillCgroup { path: container.cgroup.clone() }).await;
        if let Err(failure) = killed {
            tracing::warn!(container = container.id, %failure, "killing a container that was not started");
        }
        if let Some(ended) = ended {
            self.set_init(&container.id, None);
            self.save(ended).await;
            self.tell(ContainerEventType::ContainerStoppedEvent, &container.id, &container.sandbox);
        }
    }

    /// Applies limits to a container. Zero means "leave it" in the protocol.
    ///
    /// `oom_score_adj`, which a kubelet repeats here, is no limit of the cgroup: processes keep what they were started with.
    pub(crate) async fn update_container(
        &self,
        id: &str,
        asked: LinuxContainerResources,
    ) -> Result<(), Failure> {
        let limits = spec::linux_resources(&asked, &self.host)?;
        let container = self.state().container(id)?.clone();
        if !container.alive() {
            return Err(Failure::state(format!("container {} has ended", container.id)));
        }
        // Without a cgroup yet, it is born with them: StartContainer puts them into the bundle. That it has not begun
        // is looked at in the same step in which they are taken down.
        let waits = self.state().step_container(&container.id, |container| {
            let waits = container.phase == ContainerPhase::Created && container.pid == 0;
            if waits {
                merge(&mut container.resources, asked.clone());
            }
            waits
        });
        if let Some(container) = waits {
            self.save(container).await;
            return Ok(());
        }
        if container.pid != 0 {
            self.performer.cgroup(&container.cgroup).apply(&limits).map_err(|error| {
                Failure::internal(format!("updating container {}: {error}", container.id))
            })?;
        } else {
            return Err(Failure::state(format!("container {} is being started", container.id)));
        }
        let changed =
            self.state().change_container(&container.id, |container| merge(&mut container.resources, asked));
        if let Some(container) = changed {
            self.save(container).await;
        }
        Ok(())
    }

    /// Opens a container's log anew, after the kubelet renamed it.
    pub(crate) async fn reopen_log(&self, id: &str) -> Result<(), Failure> {
        let container = self.state().container(id)?.clone();
        if container.phase != ContainerPhase::Running {
            return Err(Failure::state(format!("container {} is not running", container.id)));
        }
        let monitor = self.performer.monitor(&container.sandbox)?;
        monitor.request(Request::ReopenLog { container: container.id }, &[]).await?;
        Ok(())
    }
}

/// What was asked for, over what was in force.
fn merge(resources: &mut LinuxContainerResources, asked: LinuxContainerResources) {
    let number = |old: &mut i64, new: i64| {
        if new != 0 {
            *old = new;
        }
    };
    number(&mut resources.cpu_period, asked.cpu_period);
    number(&mut resources.cpu_quota, asked.cpu_quota);
    number(&mut resources.cpu_shares, asked.cpu_shares);
    number(&mut resources.memory_limit_in_bytes, asked.memory_limit_in_bytes);
    number(&mut resources.memory_swap_limit_in_bytes, asked.memory_swap_limit_in_bytes);
    let text = |old: &mut String, new: String| {
        if !new.is_empty() {
            *old = new;
        }
    };
    text(&mut resources.cpuset_cpus, asked.cpuset_cpus);
    text(&mut resources.cpuset_mems, asked.cpuset_mems);
    for limit in asked.hugepage_limits {
        resources.hugepage_limits.retain(|old| old.page_size != limit.page_size);
        resources.hugepage_limits.push(limit);
    }
    resources.unified.extend(asked.unified);
}
