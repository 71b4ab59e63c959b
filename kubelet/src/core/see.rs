//! What the runtime shows of a pod, compared with what is believed.

use super::Now;
use super::container::{Container, State};
use super::event::{ContainerSeen, ContainerState, Exit, Seen};
use super::pod::{Pod, Sandbox};

impl Pod {
    /// Compares what the runtime shows with what is believed; only the steps forward are taken.
    pub(super) fn see(&mut self, seen: Seen, now: Now) {
        if let Some(sandbox) = seen.sandboxes.iter().find(|sandbox| sandbox.id == self.sandbox_id) {
            if self.sandbox == Sandbox::Ready {
                if sandbox.ready && !sandbox.ips.is_empty() {
                    self.ips.clone_from(&sandbox.ips);
                } else if !sandbox.ready {
                    self.sandbox = Sandbox::Dead;
                }
            }
        } else if self.sandbox == Sandbox::Ready && seen.complete_at.is_some_and(|at| at > self.sandbox_since)
        {
            self.sandbox = Sandbox::Dead;
        }
        for container in &mut self.containers {
            let Some(id) = container.running().map(ToOwned::to_owned) else { continue };
            match seen.containers.iter().find(|seen| seen.run.id == id) {
                Some(seen) => follow(container, seen, now),
                None => {
                    let (State::Running(since) | State::Stopping(since)) = container.state else { continue };
                    if seen.complete_at.is_some_and(|at| at > since) {
                        container.ended(unknown(), now);
                    }
                }
            }
        }
        let starting = self.containers.iter().any(|container| container.state == State::Starting);
        if starting {
            let exited = seen.containers.into_iter().filter(|seen| seen.state == ContainerState::Exited);
            self.early.extend(exited.filter_map(|seen| Some((seen.run.id, seen.run.exit?))));
        } else {
            self.early.clear();
        }
    }
}

fn follow(container: &mut Container, seen: &ContainerSeen, now: Now) {
    if let Some(run) = &mut container.current {
        run.started_at = seen.run.started_at.or(run.started_at);
        if run.user.is_none() {
            run.user.clone_from(&seen.run.user);
        }
        if !seen.run.image_id.is_empty() {
            run.image_id.clone_from(&seen.run.image_id);
        }
    }
    if seen.state == ContainerState::Exited {
        container.ended(seen.run.exit.clone().unwrap_or_default(), now);
    }
}

/// The end of a container that the runtime has forgotten.
pub(super) fn unknown() -> Exit {
    Exit {
        code: 137,
        reason: "ContainerStatusUnknown".into(),
        message: "The container could not be located when the pod was terminated".into(),
        ..Exit::default()
    }
}
