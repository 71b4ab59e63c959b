use super::*;
use crate::apiserver::http::query::Query;

fn info(method: &str, path: &str) -> RequestInfo {
    RequestInfo::parse(&method.parse().unwrap(), path, &Query::parse(""))
}

fn write() -> RequestInfo {
    info("POST", "/api/v1/namespaces/n/configmaps")
}

fn user(name: &str) -> User {
    User::new(name, &["system:authenticated"])
}

fn impatient(limits: Limits) -> Inflight {
    Inflight { patience: Duration::from_millis(30), ..Inflight::new(limits) }
}

fn small() -> Inflight {
    impatient(Limits { reads: 4, writes: 4, per_second: 0 })
}

fn patient() -> Arc<Inflight> {
    Arc::new(Inflight::new(Limits { reads: 4, writes: 4, per_second: 0 }))
}

#[tokio::test]
async fn one_users_slow_writes_do_not_stop_another() {
    let inflight = small();
    let greedy = [inflight.enter(&user("a"), &write()).await, inflight.enter(&user("a"), &write()).await];
    let began = Instant::now();
    assert_eq!(inflight.enter(&user("a"), &write()).await.unwrap_err(), Refused::TimedOut);
    assert!(began.elapsed() >= inflight.patience);
    let modest = inflight.enter(&user("b"), &write()).await;
    assert!(greedy.iter().chain([&modest]).all(Result::is_ok));
    // Three of four are taken, and the last one is the cluster's.
    assert!(inflight.enter(&user("c"), &write()).await.is_err());
    let node = User::new("system:node:n", &["system:nodes"]);
    let node = inflight.enter(&node, &write()).await;
    assert!(node.is_ok());
    assert_eq!(inflight.counts().map(|counts| (counts.running, counts.waiting)), [(0, 0), (4, 0)]);
    // Reads have seats of their own.
    assert!(inflight.enter(&user("a"), &info("GET", "/api/v1/pods")).await.is_ok());
    assert_eq!(inflight.refusals().collect::<Vec<_>>()[1], ("time-out", 2));
}

#[tokio::test]
async fn who_waits_gets_the_seat_that_becomes_free_unless_they_went_away() {
    let inflight = patient();
    let first = inflight.enter(&user("a"), &write()).await.unwrap();
    let second = inflight.enter(&user("a"), &write()).await.unwrap();
    let wait = || {
        let inflight = inflight.clone();
        tokio::spawn(async move { inflight.enter(&user("a"), &write()).await })
    };
    let gone = wait();
    let patient = wait();
    while inflight.counts()[1].waiting < 2 {
        tokio::task::yield_now().await;
    }
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    assert_eq!(inflight.counts()[1].waiting, 1);
    drop(first);
    let third = patient.await.unwrap().unwrap();
    assert_eq!(inflight.counts()[1], Counts { running: 2, waiting: 0 });
    drop((second, third));
    assert_eq!(inflight.counts()[1], Counts { running: 0, waiting: 0 });
}

#[tokio::test]
async fn a_seat_that_was_given_to_one_who_left_is_not_lost() {
    let inflight = patient();
    let held = [inflight.enter(&user("a"), &write()).await, inflight.enter(&user("a"), &write()).await];
    let asked = inflight.clone();
    let waits = tokio::spawn(async move { asked.enter(&user("a"), &write()).await });
    while inflight.counts()[1].waiting < 1 {
        tokio::task::yield_now().await;
    }
    // The seat is on its way when its taker is ended.
    drop(held);
    waits.abort();
    assert!(waits.await.unwrap_err().is_cancelled());
    assert_eq!(inflight.writes.lock().pool.used(), (0, 0));
}

#[tokio::test]
async fn administrators_and_health_checks_are_always_let_in() {
    let inflight = impatient(Limits { reads: 1, writes: 1, per_second: 1 });
    let (admin, read) = (User::new("admin", &["system:masters"]), info("GET", "/api/v1/pods"));
    let _seat = inflight.enter(&user("a"), &read).await.unwrap();
    for (user, info) in [
        (&admin, &read),
        (&admin, &write()),
        (&user("b"), &info("GET", "/readyz")),
        (&user("a"), &info("GET", "/livez/ping")),
    ] {
        for _ in 0..3 {
            assert!(inflight.enter(user, info).await.is_ok(), "{} {}", user.name, info.path);
        }
    }
    assert_eq!(
        inflight.enter(&user("b"), &info("GET", "/healthz-not")).await.unwrap_err(),
        Refused::TimedOut
    );
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let inflight = Inflight::new(Limits { per_second: 5, ..Limits::default() });
    let read = info("GET", "/api/v1/pods");
    for _ in 0..10 {
        assert!(inflight.enter(&user("a"), &read).await.is_ok());
    }
    let refused = inflight.enter(&user("a"), &read).await.unwrap_err();
    assert!(matches!(refused, Refused::TooOften(_)) && refused.retry_after() == 1);
    assert!(inflight.enter(&user("b"), &read).await.is_ok());
}

#[test]
fn watches_are_counted_by_user_and_bounded() {
    let inflight = small();
    let mut open: Vec<_> = (0..WATCHES).map(|_| inflight.watch(&user("a")).unwrap()).collect();
    assert_eq!(inflight.watch(&user("a")).unwrap_err(), Refused::Watches);
    assert!(inflight.watch(&user("b")).is_ok());
    open.pop();
    assert!(inflight.watch(&user("a")).is_ok());
    drop(open);
    assert!(locked(&inflight.watches).is_empty());
    // Open watches have no seats.
    assert_eq!(inflight.counts()[0], Counts { running: 0, waiting: 0 });
}
