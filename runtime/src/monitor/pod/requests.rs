//! What clients ask for: checked against the pod's state, then begun.

use api_monitor::{CreateRequest, ErrorCode, ExecRequest, Reply, ReplyError, Request, SPOKEN, VERSION};

use super::super::effect::{Carry, Effect, Job, Now, Ticket};
use super::{Container, Effects, Phase, Pod, Task, refuse};

/// A pod has tens of containers at most; the limits keep the answer to Hello under a message's size.
const MAX_CONTAINERS: usize = 128;
const MAX_PROCESSES: usize = 256;
const MAX_NAME: usize = 128;

impl Pod {
    pub(super) fn request(
        &mut self,
        from: Ticket,
        request: Request,
        fds: usize,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), ReplyError> {
        let wanted = match &request {
            Request::Exec(exec) => {
                let streams = exec.streams.iter().filter(|passed| **passed).count();
                streams..=streams
            }
            Request::Attach { .. } => 0..=2,
            _ => 0..=0,
        };
        if !wanted.contains(&fds) {
            return Err(refuse(ErrorCode::Invalid, format!("{fds} descriptors came with the request")));
        }
        let done =
            |out: &mut Effects, carry| out.push(Effect::Reply { to: from, result: Ok(Reply::Done), carry });
        match request {
            Request::Hello { version } => {
                if version < *SPOKEN.start() {
                    let text = format!("version {version} is older than all of {SPOKEN:?}");
                    return Err(refuse(ErrorCode::Unsupported, text));
                }
                let result = Ok(Reply::Hello { version: VERSION, pod: self.status() });
                out.push(Effect::Reply { to: from, result, carry: Carry::Nothing });
            }
            Request::Create(create) => self.create(from, create, out)?,
            Request::Start { container: id } => {
                let container = self.find(&id)?;
                if !matches!(container.phase, Phase::Created) {
                    return Err(container.refuse("start", &id));
                }
                container.phase = Phase::Starting { exit: None };
                let task = Task::Start { to: from, container: id.clone(), since: now.wall };
                self.work(task, Job::Start { container: id }, now, out);
            }
            Request::Pidfd { container: id } => {
                let container = self.find(&id)?;
                if container.pid <= 0 || !container.lives() {
                    return Err(container.refuse("open the process of", &id));
                }
                let pid = container.pid;
                out.push(Effect::Reply {
                    to: from,
                    result: Ok(Reply::Created { pid }),
                    carry: Carry::Process { pid },
                });
            }
            Request::Exec(exec) => self.exec(from, exec, now, out)?,
            Request::Attach { container: id, stdin } => {
                let container = self.find(&id)?;
                if !matches!(
                    container.phase,
                    Phase::Created | Phase::Starting { exit: None } | Phase::Running
                ) {
                    return Err(container.refuse("attach to", &id));
                }
                let input = stdin && (container.terminal || container.input);
                if fds > 0 {
                    out.push(Effect::AttachLog { container: id.clone() });
                }
                done(out, if input { Carry::Input { container: id } } else { Carry::Nothing });
            }
            Request::CloseStdin { container: id } => {
                self.find(&id)?.input = false;
                out.push(Effect::CloseStdin { container: id });
                done(out, Carry::Nothing);
            }
            Request::ReopenLog { container: id } => {
                self.find(&id)?;
                let token = self.number();
                self.reopening.insert(token, from);
                out.push(Effect::ReopenLog { container: id, token });
            }
            Request::Delete { container: id } => {
                let container = self.find(&id)?;
                match &mut container.phase {
                    Phase::Created => self.delete(from, &id, None, now, out),
                    Phase::Exited(exit) => {
                        let exit = Some(*exit);
                        self.delete(from, &id, exit, now, out);
                    }
                    // It has ended; only its log has not. Whoever saw that it ended may delete it.
                    Phase::Draining { delete: asked @ None, .. } => *asked = Some(from),
                    _ => return Err(container.refuse("delete", &id)),
                }
            }
            Request::Shutdown => {
                let living = self
                    .containers
                    .iter()
                    .find(|(_, container)| !matches!(container.phase, Phase::Exited(_)));
                if let Some((id, container)) = living {
                    return Err(container.refuse("shut down beside", id));
                }
                done(out, Carry::Nothing);
                out.push(Effect::End);
            }
        }
        Ok(())
    }

    fn create(&mut self, from: Ticket, create: CreateRequest, out: &mut Effects) -> Result<(), ReplyError> {
        let id = create.container;
        if !is_name(&id) {
            return Err(refuse(
                ErrorCode::Invalid,
                "a container's id has 1 to 128 letters, digits, '_', '-', '.', '+'",
            ));
        }
        if self.containers.contains_key(&id) {
            return Err(refuse(ErrorCode::AlreadyExists, format!("container {id} exists")));
        }
        if self.containers.len() >= MAX_CONTAINERS {
            return Err(refuse(ErrorCode::WrongState, format!("the pod has {MAX_CONTAINERS} containers")));
        }
        if create.runtime.as_ref().is_some_and(Vec::is_empty) {
            return Err(refuse(ErrorCode::Invalid, "runtime names no program"));
        }
        out.push(Effect::OpenLog {
            container: id.clone(),
            terminal: create.terminal,
            stdin: create.stdin && !create.terminal,
            path: create.log_path.clone(),
        });
        let container = Container {
            phase: Phase::Opening { to: from, bundle: create.bundle },
            pid: 0,
            started_at: 0,
            input: create.stdin,
            terminal: create.terminal,
            runtime: create.runtime,
            memory_cgroup: create.memory_cgroup,
            log_path: create.log_path,
        };
        self.containers.insert(id, container);
        Ok(())
    }

    fn exec(
        &mut self,
        from: Ticket,
        exec: ExecRequest,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), ReplyError> {
        let container = self.find(&exec.container)?;
        if !matches!(container.phase, Phase::Running) {
            return Err(container.refuse("exec in", &exec.container));
        }
        if exec.terminal && exec.streams != [false; 3] {
            return Err(refuse(ErrorCode::Invalid, "a terminal and streams exclude each other"));
        }
        if exec.exec.is_empty() || exec.exec.len() > MAX_NAME {
            return Err(refuse(ErrorCode::Invalid, "an exec's name has 1 to 128 bytes"));
        }
        let starting = self.workers.values().filter_map(|worker| match &worker.task {
            Task::Exec { name, .. } => Some(name),
            _ => None,
        });
        if starting.chain(self.execs.values().map(|exec| &exec.name)).any(|name| *name == exec.exec) {
            return Err(refuse(ErrorCode::AlreadyExists, format!("exec {} exists", exec.exec)));
        }
        if self.execs.len() + self.workers.len() >= MAX_PROCESSES {
            return Err(refuse(ErrorCode::WrongState, format!("the pod has {MAX_PROCESSES} execs")));
        }
        let ExecRequest { container, exec: name, process, terminal, streams } = exec;
        let task = Task::Exec { to: from, container: container.clone(), name, terminal };
        self.work(task, Job::Exec { container, process, terminal, streams }, now, out);
        Ok(())
    }
}

/// Whether a name can be a file's.
fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.+".contains(&byte))
}
