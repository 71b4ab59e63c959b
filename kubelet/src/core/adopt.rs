//! Taking over what an earlier kubelet left running.

use std::time::Duration;

use super::Now;
use super::container::{Container, State};
use super::event::{ContainerSeen, ContainerState, Effect, Seen};
use super::pod::{Pod, Sandbox, Saved, Settings};
use super::spec::{PodSpec, Role};

impl Pod {
    /// The machine of a pod as if it had been watched all the time: what runs goes on, restart counts and
    /// readiness stay. Returns what has to go: containers that were never started, and all but the newest two.
    pub(crate) fn adopt(
        spec: PodSpec,
        settings: &Settings,
        seen: &Seen,
        saved: Option<Saved>,
        now: Now,
    ) -> (Self, Vec<Effect>) {
        let mut pod = Self::new(spec, settings, now);
        let saved = saved.unwrap_or_default();
        pod.start_time = saved.start_time.unwrap_or(pod.start_time);
        pod.sandboxes = seen.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
        if let Some(newest) = seen.sandboxes.iter().max_by_key(|sandbox| (sandbox.attempt, sandbox.ready)) {
            pod.sandbox_id.clone_from(&newest.id);
            pod.sandbox_attempt = newest.attempt;
            pod.sandbox = if newest.ready { Sandbox::Ready } else { Sandbox::Dead };
            pod.ips.clone_from(&newest.ips);
        }
        let mut out = Vec::new();
        for index in 0..pod.containers.len() {
            let container = &mut pod.containers[index];
            let kept = saved.containers.get(&container.spec.name);
            let mut runs: Vec<&ContainerSeen> =
                seen.containers.iter().filter(|seen| seen.name == container.spec.name).collect();
            runs.sort_by_key(|seen| std::cmp::Reverse(seen.run.attempt));
            let (dead_born, runs): (Vec<_>, Vec<_>) =
                runs.into_iter().partition(|seen| seen.state == ContainerState::Created);
            for gone in dead_born.into_iter().chain(runs.iter().skip(2).copied()) {
                let (id, attempt) = (gone.run.id.clone(), gone.run.attempt);
                out.push(Effect::RemoveContainer { index, id, attempt });
            }
            container.next_attempt = kept.map_or(0, |kept| kept.next_attempt);
            container.previous = runs.get(1).map(|seen| seen.run.clone());
            let Some(newest) = runs.first() else { continue };
            container.next_attempt = container.next_attempt.max(newest.run.attempt + 1);
            container.crashed_before(newest.run.attempt);
            adopt_run(container, newest, kept, now);
            pod.initialized |= container.spec.role == Role::Main;
        }
        // A sandbox that died takes its containers along; their init containers run again with the next one.
        if pod.sandbox != Sandbox::Ready {
            pod.initialized = false;
        }
        pod.expired = saved.expired;
        pod.saved = saved;
        (pod, out)
    }
}

fn adopt_run(
    container: &mut Container,
    seen: &ContainerSeen,
    kept: Option<&super::SavedContainer>,
    now: Now,
) {
    let age = |since: Option<jiff::Timestamp>| {
        since.and_then(|since| Duration::try_from(now.wall.duration_since(since)).ok()).unwrap_or_default()
    };
    let kept = kept.filter(|kept| kept.id == seen.run.id);
    let since = now.mono.saturating_sub(age(seen.run.started_at));
    if seen.state == ContainerState::Running {
        let saved = kept.map_or((false, None), |kept| (kept.started, kept.ready));
        return container.runs(seen.run.clone(), since, Some(saved));
    }
    let mut run = seen.run.clone();
    let exit = run.exit.take().unwrap_or_default();
    let waited = age(exit.finished_at);
    container.current = Some(run);
    container.state = State::Running(since);
    container.ended(exit, now);
    // The delay counts from the end, which was before now.
    container.retry_at = container.retry_at.saturating_sub(waited);
}
