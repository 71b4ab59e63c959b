//! How a pod ends: main containers first, together; then sidecars, the last one first. One clock for all.

use std::time::Duration;

use super::Now;
use super::container::State;
use super::event::Effect;
use super::pod::{Life, Pod, Sandbox, stop};
use super::spec::Role;

/// What is left of the grace period when it is over: enough for a program to notice its signal.
const LEAST: Duration = Duration::from_secs(2);

impl Pod {
    /// The manifest is gone.
    pub(crate) fn end(&mut self, now: Now, out: &mut Vec<Effect>) {
        let deadline = match self.life {
            Life::Ending { remove: true, .. } | Life::CleaningUp | Life::Gone => return,
            Life::Ending { deadline, remove: false } => deadline,
            _ => now.mono + self.spec.grace,
        };
        self.life = Life::Ending { deadline, remove: true };
        self.retry_at = now.mono;
        self.calls.reset();
        if self.containers.iter().any(|container| container.state == State::Starting) {
            out.push(Effect::CancelPulls);
        }
    }

    /// Whether the pod has run to its end, by its containers or by the clock.
    pub(crate) fn check_end(&mut self, now: Now) {
        let outcome = self.outcome();
        let too_long = || self.deadline(now).is_some_and(|deadline| deadline <= now.mono);
        // What had run to its end before is not judged again by a kubelet that comes back later.
        self.expired = self.expired || outcome.is_none() && too_long();
        if self.expired {
            let text = "Pod was active on the node longer than the specified deadline";
            self.verdict = Some(("DeadlineExceeded".into(), text.into()));
        }
        if self.expired || outcome.is_some() {
            self.life = Life::Ending { deadline: now.mono + self.spec.grace, remove: false };
        }
    }

    /// `Some(succeeded)` once no container that decides about the pod will run again.
    pub(crate) fn outcome(&self) -> Option<bool> {
        let of_role = |role| self.containers.iter().filter(move |container| container.spec.role == role);
        if !self.initialized && of_role(Role::Init).any(|init| init.over() && !init.succeeded()) {
            return Some(false);
        }
        let mut main = of_role(Role::Main).peekable();
        if main.peek().is_none() || !main.all(super::Container::over) {
            return None;
        }
        Some(of_role(Role::Main).all(super::Container::succeeded))
    }

    pub(crate) fn drive_end(&mut self, now: Now, out: &mut Vec<Effect>) {
        if let Life::Ending { deadline, remove } = self.life {
            if !self.stop_containers(deadline, now, out) || self.sandbox == Sandbox::Creating {
                return;
            }
            if self.busy {
                return;
            }
            self.life = if remove { Life::CleaningUp } else { Life::Finishing };
        }
        if self.busy || self.retry_at > now.mono {
            return;
        }
        self.busy = true;
        let sandboxes = self.sandboxes.clone();
        out.push(match self.life {
            Life::Finishing => Effect::Finish { sandboxes },
            _ => Effect::CleanUp { sandboxes },
        });
    }

    /// Whether nothing runs any more.
    fn stop_containers(&mut self, deadline: Duration, now: Now, out: &mut Vec<Effect>) -> bool {
        // A grace period of zero asks for an end at once; any other leaves a moment however late it is.
        let grace = match deadline.saturating_sub(now.mono) {
            _ if self.spec.grace.is_zero() => Duration::ZERO,
            left => left.max(LEAST.min(self.spec.grace)),
        };
        let mut left = false;
        for (index, container) in self.containers.iter_mut().enumerate() {
            if container.spec.role == Role::Sidecar {
                continue;
            }
            left |= matches!(container.state, State::Running(_) | State::Stopping(_) | State::Starting);
            if container.retry_at <= now.mono {
                stop(container, index, grace, "the pod ends".into(), out);
            }
        }
        if left {
            return false;
        }
        let sidecars = self.containers.iter_mut().enumerate().rev();
        for (index, sidecar) in sidecars.filter(|(_, container)| container.spec.role == Role::Sidecar) {
            if matches!(sidecar.state, State::Running(_) | State::Stopping(_) | State::Starting) {
                if sidecar.retry_at <= now.mono {
                    stop(sidecar, index, grace, "the pod ends".into(), out);
                }
                return false;
            }
        }
        true
    }
}
