//! A container's life, edge by edge, and in any order of events.

use api_monitor::{CreateRequest, ExecRequest, Request, SPOKEN};
use proptest::strategy::Strategy as _;

use super::*;

const FROM: Ticket = Ticket { client: 1, id: 1 };

fn now(seconds: u64) -> Now {
    Now { wall: i64::try_from(seconds).unwrap() * 1_000_000_000, uptime: Duration::from_secs(seconds) }
}

fn pod() -> Pod {
    Pod::new("p".into(), 100, None)
}

fn create(id: &str) -> Request {
    Request::Create(CreateRequest {
        container: id.into(),
        bundle: "/b".into(),
        runtime: None,
        terminal: false,
        stdin: false,
        log_path: None,
        memory_cgroup: None,
    })
}

fn exec(name: &str) -> Request {
    Request::Exec(ExecRequest {
        container: "c".into(),
        exec: name.into(),
        process: "/p".into(),
        terminal: false,
        streams: [false; 3],
    })
}

fn start() -> Request {
    Request::Start { container: "c".into() }
}

fn delete() -> Request {
    Request::Delete { container: "c".into() }
}

fn ask(pod: &mut Pod, request: Request, at: u64) -> Effects {
    pod.apply(Input::Request { from: FROM, request, fds: 0 }, now(at))
}

/// The worker that the effects begin.
fn worker(effects: &[Effect]) -> u64 {
    effects
        .iter()
        .find_map(|effect| match effect {
            Effect::Work { worker, .. } => Some(*worker),
            _ => None,
        })
        .expect("a worker")
}

fn ended(pod: &mut Pod, worker: u64, pid: i32, at: u64) -> Effects {
    pod.apply(Input::WorkerEnded { worker, outcome: Ok(Started { pid, oom_kills: 0 }) }, now(at))
}

fn failed(pod: &mut Pod, worker: u64, at: u64) -> Effects {
    pod.apply(Input::WorkerEnded { worker, outcome: Err("no".into()) }, now(at))
}

fn reaped(pod: &mut Pod, pid: i32, at: u64) -> Effects {
    pod.apply(Input::Reaped { pid, ended: Ended::Exited(3), oom_kills: 0 }, now(at))
}

fn refused(effects: &[Effect]) -> Option<ErrorCode> {
    effects.iter().find_map(|effect| match effect {
        Effect::Reply { result: Err(error), .. } => Some(error.code),
        _ => None,
    })
}

fn told(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Broadcast(Event::Exited { .. })))
}

/// A pod with the container `c`, whose init is 7, created.
fn created() -> Pod {
    let mut pod = pod();
    let effects = ask(&mut pod, create("c"), 0);
    assert!(matches!(effects[..], [Effect::OpenLog { .. }]));
    let effects = pod.apply(Input::LogOpened { container: "c".into(), error: None }, now(0));
    let worker = worker(&effects);
    let effects = ended(&mut pod, worker, 7, 1);
    assert!(matches!(
        &effects[..],
        [Effect::Reply { result: Ok(Reply::Created { pid: 7 }), carry: Carry::Process { pid: 7 }, .. }]
    ));
    pod
}

fn running() -> Pod {
    let mut pod = created();
    let effects = ask(&mut pod, start(), 2);
    let worker = worker(&effects);
    ended(&mut pod, worker, 0, 3);
    assert_eq!(pod.status().containers["c"].state, ContainerState::Running);
    pod
}

#[test]
fn an_exit_is_recorded_at_once_and_told_when_the_log_has_drained() {
    let mut pod = running();
    let effects = reaped(&mut pod, 7, 4);
    assert!(matches!(&effects[..], [Effect::Record { .. }, Effect::DrainLog { .. }]));
    assert_eq!(pod.status().containers["c"].state, ContainerState::Running);
    assert!(pod.pids().is_empty());
    let effects = pod.apply(Input::LogDrained { container: "c".into() }, now(4));
    assert!(told(&effects));
    let ContainerState::Exited(exit) = pod.status().containers["c"].state else { panic!() };
    assert_eq!((exit.code, exit.signal, exit.at), (3, None, 4_000_000_000));
}

#[test]
fn what_drains_is_deleted_once_it_has() {
    let mut pod = running();
    reaped(&mut pod, 7, 4);
    assert!(ask(&mut pod, delete(), 4).is_empty());
    assert_eq!(refused(&ask(&mut pod, delete(), 4)), Some(ErrorCode::WrongState));
    let effects = pod.apply(Input::LogDrained { container: "c".into() }, now(5));
    assert!(told(&effects));
    let effects = ended(&mut pod, worker(&effects), 0, 6);
    assert!(matches!(
        &effects[..],
        [Effect::Forget { .. }, Effect::Reply { to: FROM, result: Ok(Reply::Done), .. }]
    ));
    assert!(pod.status().containers.is_empty());
}

#[test]
fn a_log_that_does_not_drain_holds_an_exit_back_for_a_while_only() {
    let mut pod = running();
    reaped(&mut pod, 7, 4);
    assert_eq!(pod.deadline(), Some(Duration::from_secs(4) + DRAIN_LIMIT));
    assert!(!told(&pod.apply(Input::Tick, now(8))));
    assert!(told(&pod.apply(Input::Tick, now(9))));
    assert!(!told(&pod.apply(Input::LogDrained { container: "c".into() }, now(10))));
}

#[test]
fn an_exit_before_the_answer_to_start_is_told_after_it() {
    let mut pod = created();
    let effects = ask(&mut pod, start(), 2);
    let worker = worker(&effects);
    let effects = reaped(&mut pod, 7, 3);
    assert!(matches!(&effects[..], [Effect::Record { .. }]));
    let effects = ended(&mut pod, worker, 0, 4);
    assert!(matches!(&effects[..], [Effect::Reply { result: Ok(Reply::Done), .. }, Effect::DrainLog { .. }]));
    assert_eq!(pod.status().containers["c"].started_at, 2_000_000_000);
}

#[test]
fn a_start_that_failed_can_be_tried_again_unless_the_init_has_ended() {
    let mut pod = created();
    let first = worker(&ask(&mut pod, start(), 2));
    assert_eq!(refused(&failed(&mut pod, first, 3)), Some(ErrorCode::Runtime));
    let second = worker(&ask(&mut pod, start(), 4));
    reaped(&mut pod, 7, 5);
    failed(&mut pod, second, 6);
    assert!(told(&pod.apply(Input::LogDrained { container: "c".into() }, now(6))));
}

#[test]
fn a_create_that_failed_is_cleaned_up_before_it_is_told() {
    let mut pod = pod();
    ask(&mut pod, create("c"), 0);
    let first = worker(&pod.apply(Input::LogOpened { container: "c".into(), error: None }, now(0)));
    let effects = failed(&mut pod, first, 1);
    assert_eq!(refused(&effects), None);
    assert_eq!(refused(&ask(&mut pod, create("c"), 1)), Some(ErrorCode::AlreadyExists));
    let effects = ended(&mut pod, worker(&effects), 0, 2);
    assert_eq!(refused(&effects), Some(ErrorCode::Runtime));
    assert!(refused(&ask(&mut pod, create("c"), 3)).is_none());
}

#[test]
fn a_log_that_cannot_be_opened_fails_the_create() {
    let mut pod = pod();
    ask(&mut pod, create("c"), 0);
    let effects = pod.apply(Input::LogOpened { container: "c".into(), error: Some("no".into()) }, now(0));
    assert_eq!(refused(&effects), Some(ErrorCode::Internal));
    assert!(pod.status().containers.is_empty());
}

#[test]
fn only_an_exited_or_a_created_container_can_be_deleted() {
    let mut pod = running();
    assert_eq!(refused(&ask(&mut pod, delete(), 4)), Some(ErrorCode::WrongState));
    reaped(&mut pod, 7, 5);
    pod.apply(Input::LogDrained { container: "c".into() }, now(5));
    let worker_id = worker(&ask(&mut pod, delete(), 6));
    let effects = ended(&mut pod, worker_id, 0, 7);
    assert!(matches!(&effects[..], [Effect::Forget { .. }, Effect::Reply { result: Ok(Reply::Done), .. }]));

    let mut pod = created();
    let worker_id = worker(&ask(&mut pod, delete(), 2));
    assert_eq!(pod.pids(), [7]);
    reaped(&mut pod, 7, 3);
    assert!(!told(&ended(&mut pod, worker_id, 0, 4)));
    assert!(pod.status().containers.is_empty());
}

#[test]
fn a_delete_that_failed_leaves_the_container_as_it_was() {
    let mut pod = created();
    let first = worker(&ask(&mut pod, delete(), 2));
    failed(&mut pod, first, 3);
    assert_eq!(pod.status().containers["c"].state, ContainerState::Created);
    let second = worker(&ask(&mut pod, delete(), 4));
    reaped(&mut pod, 7, 5);
    failed(&mut pod, second, 6);
    assert!(matches!(pod.status().containers["c"].state, ContainerState::Exited(_)));
}

#[test]
fn the_end_of_an_exec_is_told_to_all_and_its_name_is_free_then() {
    let mut pod = running();
    let worker_id = worker(&ask(&mut pod, exec("e"), 4));
    assert_eq!(refused(&ask(&mut pod, exec("e"), 4)), Some(ErrorCode::AlreadyExists));
    ended(&mut pod, worker_id, 8, 5);
    assert_eq!(refused(&ask(&mut pod, exec("e"), 5)), Some(ErrorCode::AlreadyExists));
    let effects = reaped(&mut pod, 8, 6);
    assert!(matches!(&effects[..], [Effect::Broadcast(Event::ExecExited { exit, .. })] if exit.code == 3));
    assert!(refused(&ask(&mut pod, exec("e"), 7)).is_none());
}

#[test]
fn a_worker_that_is_late_is_killed_and_its_end_is_a_failure() {
    let mut pod = running();
    let worker_id = worker(&ask(&mut pod, exec("e"), 4));
    assert!(pod.apply(Input::Tick, now(200)).is_empty());
    assert_eq!(pod.apply(Input::Tick, now(304)), [Effect::KillWorker { worker: worker_id }]);
    assert!(pod.apply(Input::Tick, now(305)).is_empty());
    assert_eq!(refused(&failed(&mut pod, worker_id, 306)), Some(ErrorCode::Runtime));
}

#[test]
fn a_client_that_is_too_old_is_refused_and_a_newer_one_knows_what_it_does() {
    let mut pod = pod();
    let hello = |pod: &mut Pod, version| refused(&ask(pod, Request::Hello { version }, 1));
    assert_eq!(hello(&mut pod, SPOKEN.start() - 1), Some(ErrorCode::Unsupported));
    for version in [*SPOKEN.start(), *SPOKEN.end(), SPOKEN.end() + 1] {
        assert_eq!(hello(&mut pod, version), None);
    }
}

#[test]
fn the_monitor_does_not_leave_a_living_container() {
    let mut pod = running();
    let shutdown = |pod: &mut Pod| ask(pod, Request::Shutdown, 9);
    assert_eq!(refused(&shutdown(&mut pod)), Some(ErrorCode::WrongState));
    reaped(&mut pod, 7, 4);
    assert_eq!(refused(&shutdown(&mut pod)), Some(ErrorCode::WrongState));
    pod.apply(Input::LogDrained { container: "c".into() }, now(5));
    assert!(shutdown(&mut pod).contains(&Effect::End));
}

#[test]
fn a_kill_for_memory_is_told_by_the_counter() {
    let mut pod = running();
    let input = Input::Reaped { pid: 7, ended: Ended::Signaled(9), oom_kills: 1 };
    let effects = pod.apply(input, now(4));
    assert!(matches!(
        effects[0],
        Effect::Record { exit: Exit { code: 137, signal: Some(9), oom_killed: true, .. }, .. }
    ));
}

#[test]
fn names_that_are_no_file_names_are_refused() {
    for id in ["", ".", "..", ".x", "a/b", "a b", "ä", &"x".repeat(129)] {
        assert_eq!(refused(&ask(&mut pod(), create(id), 0)), Some(ErrorCode::Invalid), "{id:?}");
    }
}

#[test]
fn the_answer_to_hello_fits_into_a_message() {
    let mut pod = pod();
    for number in 0..200 {
        let id = format!("{number:0128}");
        ask(&mut pod, create(&id), 0);
        if let Some(container) = pod.containers.get_mut(&id) {
            let exit = Exit { code: 137, signal: Some(9), oom_killed: true, at: i64::MAX };
            container.phase = Phase::Exited(exit);
            container.started_at = i64::MAX;
        }
    }
    let hello = Reply::Hello { version: u32::MAX, pod: pod.status() };
    api_monitor::ServerMessage::Reply { id: u64::MAX, result: Ok(hello) }.encode().unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Ask(u8),
    Opened,
    Worker(bool),
    Reap,
    Drained,
    Tick,
}

proptest::proptest! {
    /// Whatever happens in whatever order: nothing panics, no exit is told twice or before its record, and none
    /// of a container that was started is lost while its container is known.
    #[test]
    fn no_order_of_events_loses_or_repeats_an_exit(steps in proptest::collection::vec(
        proptest::prop_oneof![
            (0_u8..4).prop_map(Step::Ask),
            proptest::strategy::Just(Step::Opened),
            proptest::prelude::any::<bool>().prop_map(Step::Worker),
            proptest::strategy::Just(Step::Reap),
            proptest::strategy::Just(Step::Drained),
            proptest::strategy::Just(Step::Tick),
        ], 0..60)) {
        let mut pod = pod();
        let (mut pid, mut recorded, mut exits, mut at) = (0, 0, 0, 0);
        let mut workers = Vec::new();
        for step in steps {
            at += 1;
            let effects = match step {
                Step::Ask(0) => ask(&mut pod, create("c"), at),
                Step::Ask(1) => ask(&mut pod, start(), at),
                Step::Ask(2) => ask(&mut pod, delete(), at),
                Step::Ask(_) => ask(&mut pod, exec("e"), at),
                Step::Opened => pod.apply(Input::LogOpened { container: "c".into(), error: None }, now(at)),
                Step::Worker(ok) => match workers.pop() {
                    Some(worker) if ok => {
                        pid += 1;
                        ended(&mut pod, worker, pid, at)
                    }
                    Some(worker) => failed(&mut pod, worker, at),
                    None => continue,
                },
                Step::Reap => match pod.pids().first() {
                    Some(&pid) => reaped(&mut pod, pid, at),
                    None => continue,
                },
                Step::Drained => pod.apply(Input::LogDrained { container: "c".into() }, now(at)),
                Step::Tick => pod.apply(Input::Tick, now(at)),
            };
            for effect in &effects {
                match effect {
                    Effect::Work { worker, .. } => workers.push(*worker),
                    Effect::Record { .. } => recorded += 1,
                    Effect::Broadcast(Event::Exited { .. }) => exits += 1,
                    _ => {}
                }
            }
            proptest::prop_assert!(exits <= recorded);
        }
        // Let everything end: what was recorded of a container that is still known is told.
        for worker in workers {
            failed(&mut pod, worker, at);
        }
        pod.apply(Input::Tick, now(at + 1000));
        for container in pod.status().containers.values() {
            let reaped = !pod.pids().contains(&container.pid);
            proptest::prop_assert_eq!(reaped, matches!(container.state, ContainerState::Exited(_)));
        }
    }
}
