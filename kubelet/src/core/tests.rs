//! The rules of a pod's life, with a clock that only the tests move.

use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::container::State;
use super::pod::{Life, Sandbox};
use super::spec::{ContainerSpec, HostPort, ProbeSpec, RestartPolicy, Role};
use super::*;

const NONE: [usize; 0] = [];

fn settings() -> Settings {
    Settings {
        max_restart_period: Duration::from_secs(300),
        host_ips: vec![IpAddr::from([10, 0, 0, 1])],
        recursive_read_only: true,
        max_pods: 3,
        runtime_name: "test".into(),
    }
}

fn at(seconds: u64) -> Now {
    Now {
        mono: Duration::from_secs(seconds),
        wall: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds.cast_signed()),
    }
}

fn container(name: &str, role: Role, policy: RestartPolicy) -> ContainerSpec {
    ContainerSpec {
        name: name.into(),
        image: "image".into(),
        role,
        policy,
        post_start: false,
        pre_stop: false,
        startup: None,
        liveness: None,
        readiness: None,
    }
}

fn main(name: &str, policy: RestartPolicy) -> ContainerSpec {
    container(name, Role::Main, policy)
}

fn probe(period: u64, failures: u32) -> ProbeSpec {
    ProbeSpec {
        initial_delay: Duration::ZERO,
        period: Duration::from_secs(period),
        success_threshold: 1,
        failure_threshold: failures,
        grace: None,
    }
}

fn spec(containers: Vec<ContainerSpec>) -> PodSpec {
    PodSpec {
        uid: "u".into(),
        namespace: "default".into(),
        name: "p".into(),
        grace: Duration::from_secs(30),
        deadline: None,
        host_ports: Vec::new(),
        os: None,
        containers,
    }
}

/// A pod, and what it asked for last.
struct Driven(Pod);

impl Driven {
    /// With its sandbox ready.
    fn new(containers: Vec<ContainerSpec>) -> (Self, Vec<Effect>) {
        let mut pod = Self(Pod::new(spec(containers), &settings(), at(0)));
        assert_eq!(pod.does(Event::Tick, 0), [Effect::CreateSandbox { attempt: 0 }]);
        let effects = pod.does(Event::SandboxCreated { id: "s0".into(), attempt: 0, ips: Vec::new() }, 0);
        (pod, effects)
    }

    /// All effects but those that only keep records.
    fn does(&mut self, event: Event, seconds: u64) -> Vec<Effect> {
        let mut effects = self.0.apply(event, at(seconds));
        effects.retain(|effect| *effect != Effect::Save);
        effects
    }

    fn started(&mut self, index: usize, seconds: u64) -> Vec<Effect> {
        let attempt = self.0.containers[index].next_attempt;
        let run = Run { id: format!("c{index}-{attempt}"), attempt, ..Run::default() };
        self.does(Event::ContainerStarted { index, result: Ok(Started { run, failure: None }) }, seconds)
    }

    fn exits(&mut self, index: usize, code: i32, seconds: u64) -> Vec<Effect> {
        let id = self.0.containers[index].running().unwrap().to_owned();
        let exit = Some(Exit { code, ..Exit::default() });
        let run = Run { id, exit, ..Run::default() };
        let name = self.0.containers[index].spec.name.clone();
        let seen = ContainerSeen { name, state: ContainerState::Exited, run };
        self.does(Event::Seen(Seen { containers: vec![seen], ..Seen::default() }), seconds)
    }

    fn stopped(&mut self, index: usize, seconds: u64) -> Vec<Effect> {
        let id = self.0.containers[index].running().unwrap().to_owned();
        self.does(Event::ContainerStopped { index, id, result: Ok(None) }, seconds)
    }

    fn phase(&self) -> &'static str {
        status::phase(&self.0)
    }
}

/// The indexes of the containers that are to be started.
fn starts(effects: &[Effect]) -> Vec<usize> {
    let start = |effect: &Effect| match effect {
        Effect::StartContainer { index, .. } => Some(*index),
        _ => None,
    };
    effects.iter().filter_map(start).collect()
}

fn stops(effects: &[Effect]) -> Vec<(usize, u64)> {
    let stop = |effect: &Effect| match effect {
        Effect::StopContainer { index, grace, .. } => Some((*index, grace.as_secs())),
        _ => None,
    };
    effects.iter().filter_map(stop).collect()
}

#[test]
fn init_containers_run_one_by_one_before_the_main_ones() {
    let (mut pod, first) = Driven::new(vec![
        container("i", Role::Init, RestartPolicy::OnFailure),
        container("s", Role::Sidecar, RestartPolicy::Always),
        main("a", RestartPolicy::Always),
        main("b", RestartPolicy::Always),
    ]);
    assert_eq!(starts(&first), [0]);
    assert_eq!(starts(&pod.started(0, 0)), NONE);
    assert_eq!(pod.phase(), "Pending");
    assert_eq!(starts(&pod.exits(0, 0, 1)), [1], "the sidecar follows the init container");
    assert_eq!(starts(&pod.started(1, 1)), [2], "and is not waited for to end");
    assert_eq!(starts(&pod.started(2, 1)), [3]);
    assert_eq!(starts(&pod.started(3, 1)), NONE);
    assert_eq!(pod.phase(), "Running");
}

#[test]
fn a_sidecar_is_started_only_after_its_startup_probe() {
    let mut sidecar = container("s", Role::Sidecar, RestartPolicy::Always);
    sidecar.startup = Some(probe(1, 3));
    let (mut pod, _) = Driven::new(vec![sidecar, main("a", RestartPolicy::Always)]);
    let asked = pod.started(0, 0);
    assert_eq!(asked, [Effect::Probe { index: 0, id: "c0-0".into(), kind: ProbeKind::Startup }]);
    let done =
        Event::ProbeDone { index: 0, id: "c0-0".into(), kind: ProbeKind::Startup, outcome: Outcome::Success };
    assert_eq!(starts(&pod.does(done, 0)), [1]);
}

#[test]
fn a_failing_init_container_is_retried_unless_the_pod_never_restarts() {
    let init = |policy| vec![container("i", Role::Init, policy), main("a", RestartPolicy::Always)];
    let (mut pod, _) = Driven::new(init(RestartPolicy::OnFailure));
    pod.started(0, 0);
    assert_eq!(starts(&pod.exits(0, 1, 1)), [0]);
    let (mut pod, _) = Driven::new(init(RestartPolicy::Never));
    pod.started(0, 0);
    assert_eq!(pod.exits(0, 1, 1), [Effect::Finish { sandboxes: vec!["s0".into()] }]);
    assert_eq!(pod.phase(), "Failed");
}

#[test]
fn restarts_come_at_once_then_after_delays_that_double_up_to_five_minutes() {
    let (mut pod, _) = Driven::new(vec![main("a", RestartPolicy::Always)]);
    let mut now = 0;
    for delay in [0, 10, 20, 40, 80, 160, 300, 300] {
        pod.started(0, now);
        let effects = pod.exits(0, 1, now);
        if delay > 0 {
            assert_eq!(starts(&effects), NONE, "after a delay of {delay} s");
            assert_eq!(pod.0.next_wake(at(now)), Some(Duration::from_secs(now + delay)));
            assert_eq!(starts(&pod.does(Event::Tick, now + delay - 1)), NONE);
            assert_eq!(starts(&pod.does(Event::Tick, now + delay)), [0]);
        } else {
            assert_eq!(starts(&effects), [0]);
        }
        now += delay;
    }
    // Ten minutes of work are a success.
    pod.started(0, now);
    assert_eq!(starts(&pod.exits(0, 1, now + 600)), [0]);
}

#[test]
fn a_lower_cap_lowers_the_first_delay_too() {
    let mut backoff = backoff::Backoff::crash(Duration::from_secs(3));
    let delays: Vec<u64> = (0..4).map(|_| backoff.after_failure().as_secs()).collect();
    assert_eq!(delays, [0, 3, 3, 3]);
}

#[test]
fn the_restart_policy_decides_what_an_exit_means() {
    for (policy, code, restarts, phase) in [
        (RestartPolicy::Always, 0, true, "Running"),
        (RestartPolicy::OnFailure, 0, false, "Succeeded"),
        (RestartPolicy::OnFailure, 1, true, "Running"),
        (RestartPolicy::Never, 0, false, "Succeeded"),
        (RestartPolicy::Never, 1, false, "Failed"),
    ] {
        let (mut pod, _) = Driven::new(vec![main("a", policy)]);
        pod.started(0, 0);
        let effects = pod.exits(0, code, 1);
        assert_eq!(!starts(&effects).is_empty(), restarts, "{policy:?} {code}");
        assert_eq!(pod.phase(), phase, "{policy:?} {code}");
    }
}

#[test]
fn liveness_ends_the_container_after_as_many_failures_in_a_row() {
    let mut spec = main("a", RestartPolicy::Always);
    spec.liveness = Some(probe(10, 3));
    let (mut pod, _) = Driven::new(vec![spec]);
    pod.started(0, 0);
    let mut answer = |good: bool, seconds: u64| {
        let outcome = if good { Outcome::Success } else { Outcome::Failure("no".into()) };
        let kind = ProbeKind::Liveness;
        let effects = pod.does(Event::ProbeDone { index: 0, id: "c0-0".into(), kind, outcome }, seconds);
        pod.does(Event::Tick, seconds + 10);
        stops(&effects)
    };
    for (seconds, good) in [(0, false), (10, false), (20, true), (30, false), (40, false)] {
        assert_eq!(answer(good, seconds), [], "at {seconds} s");
    }
    assert_eq!(answer(false, 50), [(0, 30)], "the third in a row");
}

#[test]
fn a_container_is_ready_when_its_probe_says_so_and_never_before() {
    let mut spec = main("a", RestartPolicy::Always);
    spec.readiness = Some(probe(1, 1));
    let (mut pod, _) = Driven::new(vec![spec]);
    pod.started(0, 0);
    assert!(!pod.0.containers[0].ready());
    let kind = ProbeKind::Readiness;
    let event = |outcome| Event::ProbeDone { index: 0, id: "c0-0".into(), kind, outcome };
    pod.does(event(Outcome::Unknown("cannot ask".into())), 0);
    assert!(!pod.0.containers[0].ready(), "what could not be asked says nothing");
    pod.does(event(Outcome::Success), 1);
    assert!(pod.0.containers[0].ready());
    pod.does(event(Outcome::Failure("no".into())), 2);
    assert!(!pod.0.containers[0].ready());
}

#[test]
fn liveness_and_readiness_wait_for_the_startup_probe() {
    let mut spec = main("a", RestartPolicy::Always);
    (spec.startup, spec.liveness, spec.readiness) = (Some(probe(5, 3)), Some(probe(5, 1)), Some(probe(5, 1)));
    let (mut pod, _) = Driven::new(vec![spec]);
    let kinds = |effects: Vec<Effect>| -> Vec<ProbeKind> {
        let kind = |effect| if let Effect::Probe { kind, .. } = effect { Some(kind) } else { None };
        effects.into_iter().filter_map(kind).collect()
    };
    assert_eq!(kinds(pod.started(0, 0)), [ProbeKind::Startup]);
    let done =
        Event::ProbeDone { index: 0, id: "c0-0".into(), kind: ProbeKind::Startup, outcome: Outcome::Success };
    assert_eq!(kinds(pod.does(done, 1)), [ProbeKind::Liveness, ProbeKind::Readiness]);
}

#[test]
fn a_pod_ends_main_containers_first_and_sidecars_in_reverse_on_one_clock() {
    let (mut pod, _) = Driven::new(vec![
        container("s1", Role::Sidecar, RestartPolicy::Always),
        container("s2", Role::Sidecar, RestartPolicy::Always),
        main("a", RestartPolicy::Always),
        main("b", RestartPolicy::Always),
    ]);
    for index in 0..4 {
        pod.started(index, 0);
    }
    assert_eq!(stops(&pod.does(Event::End, 100)), [(2, 30), (3, 30)]);
    assert_eq!(stops(&pod.stopped(2, 110)), []);
    assert_eq!(stops(&pod.stopped(3, 120)), [(1, 10)], "what is left of the 30 s");
    assert_eq!(stops(&pod.stopped(1, 130)), [(0, 2)], "the least that is given");
    assert_eq!(pod.stopped(0, 131), [Effect::CleanUp { sandboxes: vec!["s0".into()] }]);
    pod.does(Event::CleanedUp { result: Ok(()) }, 132);
    assert_eq!(pod.0.life, Life::Gone);
}

#[test]
fn a_clean_up_that_fails_is_tried_again() {
    let (mut pod, _) = Driven::new(vec![main("a", RestartPolicy::Always)]);
    pod.started(0, 0);
    pod.does(Event::End, 1);
    pod.stopped(0, 2);
    assert_eq!(pod.does(Event::CleanedUp { result: Err("busy".into()) }, 3), []);
    assert_eq!(pod.0.next_wake(at(3)), Some(Duration::from_secs(4)));
    assert_eq!(pod.does(Event::Tick, 4), [Effect::CleanUp { sandboxes: vec!["s0".into()] }]);
}

#[test]
fn a_pod_that_ends_while_a_container_starts_waits_for_the_start() {
    let (mut pod, _) = Driven::new(vec![main("a", RestartPolicy::Always)]);
    assert_eq!(pod.does(Event::End, 1), [Effect::CancelPulls]);
    assert_eq!(stops(&pod.started(0, 2)), [(0, 29)]);
}

#[test]
fn a_dead_sandbox_takes_its_containers_along_and_all_starts_over() {
    let (mut pod, _) = Driven::new(vec![
        container("i", Role::Init, RestartPolicy::OnFailure),
        main("a", RestartPolicy::Always),
    ]);
    pod.started(0, 0);
    pod.exits(0, 0, 1);
    pod.started(1, 1);
    let dead = SandboxSeen { id: "s0".into(), ready: false, ..SandboxSeen::default() };
    let seen = Seen { sandboxes: vec![dead], ..Seen::default() };
    assert_eq!(stops(&pod.does(Event::Seen(seen), 5)), [(1, 30)]);
    assert_eq!(pod.stopped(1, 6), [Effect::StopSandbox { id: "s0".into() }]);
    let stopped = Event::SandboxStopped { id: "s0".into(), result: Ok(()) };
    assert_eq!(pod.does(stopped, 7), [Effect::CreateSandbox { attempt: 1 }]);
    let created = Event::SandboxCreated { id: "s1".into(), attempt: 1, ips: Vec::new() };
    assert_eq!(starts(&pod.does(created, 8)), [0], "init containers run again");
}

#[test]
fn an_exit_that_is_seen_before_the_start_was_answered_is_not_lost() {
    let (mut pod, _) = Driven::new(vec![main("a", RestartPolicy::Never)]);
    let run = Run { id: "c0-0".into(), exit: Some(Exit { code: 4, ..Exit::default() }), ..Run::default() };
    let early = ContainerSeen { name: "a".into(), state: ContainerState::Exited, run };
    pod.does(Event::Seen(Seen { containers: vec![early], ..Seen::default() }), 1);
    pod.started(0, 1);
    assert_eq!(pod.phase(), "Failed");
}

#[test]
fn failed_pulls_are_retried_with_delays_of_their_own() {
    let (mut pod, _) = Driven::new(vec![main("a", RestartPolicy::Always)]);
    let failure = Failure { reason: "ErrImagePull".into(), message: "not found".into() };
    let failed = || Event::ContainerStarted { index: 0, result: Err(failure.clone()) };
    let mut now = 0;
    for delay in [10, 20, 40, 80, 160, 300, 300] {
        assert_eq!(starts(&pod.does(failed(), now)), NONE);
        now += delay;
        assert_eq!(starts(&pod.does(Event::Tick, now)), [0], "after {delay} s");
    }
    assert_eq!(pod.phase(), "Pending");
}

#[test]
fn what_runs_is_adopted_with_its_count_and_its_readiness() {
    let mut ready = main("a", RestartPolicy::Always);
    ready.readiness = Some(probe(10, 3));
    let spec = spec(vec![ready, main("b", RestartPolicy::Always)]);
    let run = |id: &str, attempt, exit| Run { id: id.into(), attempt, exit, ..Run::default() };
    let container = |name: &str, state, run| ContainerSeen { name: name.into(), state, run };
    let exit = Some(Exit { code: 1, finished_at: Some(at(95).wall), ..Exit::default() });
    let seen = Seen {
        sandboxes: vec![SandboxSeen { id: "s3".into(), attempt: 3, ready: true, ips: Vec::new() }],
        containers: vec![
            container("a", ContainerState::Running, run("a2", 2, None)),
            container("a", ContainerState::Exited, run("a1", 1, exit.clone())),
            container("a", ContainerState::Exited, run("a0", 0, exit.clone())),
            container("b", ContainerState::Exited, run("b2", 2, exit)),
            container("b", ContainerState::Created, run("b3", 3, None)),
        ],
        complete_at: None,
    };
    let mut saved = Saved { start_time: Some(at(1).wall), ..Saved::default() };
    let kept = SavedContainer { id: "a2".into(), started: true, ready: Some(true), next_attempt: 3 };
    saved.containers.insert("a".into(), kept);
    let (pod, out) = Pod::adopt(spec, &settings(), &seen, Some(saved), at(100));
    let mut pod = Driven(pod);
    let removed: Vec<_> = out
        .iter()
        .map(|effect| if let Effect::RemoveContainer { id, .. } = effect { id.as_str() } else { "?" })
        .collect();
    assert_eq!(removed, ["a0", "b3"], "all but the newest two, and what was never started");
    assert_eq!(pod.0.sandbox, Sandbox::Ready);
    assert!(pod.0.containers[0].ready());
    assert_eq!(pod.0.start_time, at(1).wall);
    assert_eq!(
        starts(&pod.does(Event::Tick, 100)),
        NONE,
        "b's third restart waits 20 s from its end at 95 s"
    );
    assert_eq!(starts(&pod.does(Event::Tick, 115)), [1]);
    assert!(matches!(pod.0.containers[0].state, State::Running(_)));
}

#[test]
fn what_a_complete_listing_does_not_show_is_gone() {
    let (mut pod, _) = Driven::new(vec![main("a", RestartPolicy::Always)]);
    pod.started(0, 10);
    let sandbox = || vec![SandboxSeen { id: "s0".into(), ready: true, ..SandboxSeen::default() }];
    let listed = |seconds| {
        let complete_at = Some(Duration::from_secs(seconds));
        Event::Seen(Seen { sandboxes: sandbox(), containers: Vec::new(), complete_at })
    };
    pod.does(listed(9), 11);
    assert!(pod.0.containers[0].running().is_some(), "the listing is older than the container");
    assert_eq!(starts(&pod.does(listed(11), 12)), [0]);
    assert_eq!(pod.0.containers[0].current.as_ref().unwrap().exit.as_ref().unwrap().code, 137);
}

#[test]
fn the_active_deadline_fails_the_pod() {
    let mut spec = spec(vec![main("a", RestartPolicy::Always)]);
    spec.deadline = Some(Duration::from_secs(60));
    let mut pod = Driven(Pod::new(spec, &settings(), at(0)));
    pod.does(Event::Tick, 0);
    pod.does(Event::SandboxCreated { id: "s0".into(), attempt: 0, ips: Vec::new() }, 0);
    pod.started(0, 1);
    assert_eq!(pod.0.next_wake(at(1)), Some(Duration::from_secs(60)));
    assert_eq!(stops(&pod.does(Event::Tick, 60)), [(0, 30)]);
    assert_eq!(pod.phase(), "Failed");
    assert_eq!(pod.0.verdict.as_ref().unwrap().0, "DeadlineExceeded");
    // The next kubelet finds its containers ended and says the same.
    let saved = pod.0.saved.clone();
    let (mut again, _) = Pod::adopt(pod.0.spec.clone(), &settings(), &Seen::default(), Some(saved), at(90));
    again.apply(Event::Tick, at(90));
    assert_eq!(again.verdict.as_ref().unwrap().0, "DeadlineExceeded");
    assert_eq!(status::phase(&again), "Failed");
}

#[test]
fn what_ended_before_its_deadline_is_not_failed_by_a_later_kubelet() {
    let mut spec = spec(vec![main("a", RestartPolicy::Never)]);
    spec.deadline = Some(Duration::from_secs(60));
    let exit = Some(Exit { code: 0, finished_at: Some(at(5).wall), ..Exit::default() });
    let run = Run { id: "c0-0".into(), sandbox: "s0".into(), exit, ..Run::default() };
    let seen = ContainerSeen { name: "a".into(), state: ContainerState::Exited, run };
    let sandbox = SandboxSeen { id: "s0".into(), ready: true, ..SandboxSeen::default() };
    let seen = Seen { sandboxes: vec![sandbox], containers: vec![seen], complete_at: None };
    let saved = Saved { start_time: Some(at(0).wall), ..Saved::default() };
    let (mut pod, _) = Pod::adopt(spec, &settings(), &seen, Some(saved), at(90));
    pod.apply(Event::Tick, at(90));
    assert_eq!((status::phase(&pod), &pod.verdict), ("Succeeded", &None));
}

#[test]
fn a_name_that_is_none_is_not_tried_again() {
    let (mut pod, effects) =
        Driven::new(vec![main("a", RestartPolicy::Always), main("b", RestartPolicy::Always)]);
    assert_eq!(starts(&effects), [0]);
    let failure = Failure { reason: "InvalidImageName".into(), message: "no".into() };
    let effects = pod.does(Event::ContainerStarted { index: 0, result: Err(failure) }, 1);
    assert_eq!(starts(&effects), [1], "the others run");
    pod.started(1, 1);
    assert_eq!(pod.0.next_wake(at(1)), None);
    assert_eq!(starts(&pod.does(Event::Tick, 100_000)), NONE);
    assert_eq!(pod.phase(), "Pending");
}

fn begun(commands: &[Command]) -> Vec<&str> {
    fn uid(command: &Command) -> Option<&str> {
        match command {
            Command::Begin { uid, .. } => Some(uid.as_str()),
            _ => None,
        }
    }
    commands.iter().filter_map(uid).collect()
}

#[test]
fn a_changed_pod_waits_for_the_end_of_the_old_one_and_only_the_newest_runs() {
    let mut fleet = Fleet::new(settings());
    let pod = |uid: &str| PodSpec { uid: uid.into(), ..spec(vec![main("a", RestartPolicy::Always)]) };
    assert_eq!(begun(&fleet.want(pod("1"), None, None, at(0))), ["1"]);
    let created = Event::SandboxCreated { id: "s".into(), attempt: 0, ips: Vec::new() };
    fleet.apply("1", created, at(0));
    assert_eq!(begun(&fleet.want(pod("2"), None, None, at(1))), [""; 0]);
    assert_eq!(begun(&fleet.want(pod("3"), None, None, at(2))), [""; 0]);
    let failure = Failure { reason: "ErrImagePull".into(), message: "the pod ends".into() };
    fleet.apply("1", Event::ContainerStarted { index: 0, result: Err(failure) }, at(3));
    assert_eq!(begun(&fleet.apply("1", Event::CleanedUp { result: Ok(()) }, at(4))), ["3"]);
}

#[test]
fn a_taken_host_port_refuses_the_pod_by_name() {
    let mut fleet = Fleet::new(settings());
    let pod = |uid: &str, address: &str| PodSpec {
        uid: uid.into(),
        name: uid.into(),
        host_ports: vec![HostPort { address: address.into(), protocol: "TCP".into(), port: 80 }],
        ..spec(vec![main("a", RestartPolicy::Always)])
    };
    fleet.want(pod("1", "127.0.0.1"), None, None, at(0));
    fleet.want(pod("2", "127.0.0.2"), None, None, at(0));
    fleet.want(pod("3", ""), None, None, at(0));
    assert_eq!(fleet.pod("2").unwrap().verdict, None, "other addresses do not collide");
    let (reason, message) = fleet.pod("3").unwrap().verdict.clone().unwrap();
    assert_eq!(reason, "NodePorts");
    assert!(message.contains("80/TCP") && message.contains("default/1"), "{message}");
}
