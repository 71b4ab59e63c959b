use proptest::prelude::*;
use serde_json::json;

use super::sets::REVISION;
use super::world::{World, deployment};
use super::*;
use crate::controllers::conditions;

/// Lets everything happen that has a cause, in some order, until nothing does.
fn settle(world: &mut World) {
    for step in 0..20_000 {
        let moved = [world.see(0), world.work(step), step % 3 == 0 && world.node(step)];
        if moved == [false; 3] && !world.node(0) {
            return;
        }
    }
    panic!("it never comes to rest");
}

fn asked(replicas: i64, surge: &str, unavailable: &str) -> impl Fn(&mut Value) + use<> {
    let number = |text: &str| text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number));
    let rolling = json!({"maxSurge": number(surge), "maxUnavailable": number(unavailable)});
    move |spec: &mut Value| {
        spec["replicas"] = replicas.into();
        spec["progressDeadlineSeconds"] = 600.into();
        spec["strategy"] = json!({"type": "RollingUpdate", "rollingUpdate": rolling});
    }
}

fn image(spec: &mut Value, image: &str) {
    spec["template"]["spec"]["containers"][0]["image"] = image.into();
}

fn sets(world: &World) -> Vec<(i64, String)> {
    let mut sets: Vec<_> = world
        .all(&REPLICA_SETS)
        .into_iter()
        .map(|set| {
            let revision = set["metadata"]["annotations"][REVISION].as_str().unwrap().to_owned();
            (set["spec"]["replicas"].as_i64().unwrap(), revision)
        })
        .collect();
    sets.sort_by(|a, b| a.1.cmp(&b.1));
    sets
}

fn now_of(world: &World) -> Value {
    world.get(&deployment()).unwrap().clone()
}

fn reason(world: &World, name: &str) -> String {
    let found = conditions::get(&now_of(world)["status"], name).cloned().unwrap_or_default();
    found["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_deployment_becomes_available_and_says_so() {
    let mut world = World::default();
    world.ask(asked(3, "25%", "25%"));
    settle(&mut world);
    let object = now_of(&world);
    assert_eq!(sets(&world), [(3, "1".to_owned())]);
    assert_eq!(object["metadata"]["annotations"][REVISION], "1");
    let status = &object["status"];
    let numbers = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
    assert_eq!(numbers.map(|field| status[field].as_i64().unwrap_or(0)), [3, 3, 3, 3, 1]);
    assert_eq!(
        (reason(&world, "Available"), reason(&world, "Progressing")),
        ("MinimumReplicasAvailable".to_owned(), "NewReplicaSetAvailable".to_owned())
    );
    let set = world.all(&REPLICA_SETS)[0].clone();
    let hash = set["metadata"]["labels"]["pod-template-hash"].as_str().unwrap();
    assert_eq!(set["metadata"]["name"], format!("web-{hash}"));
    assert_eq!(set["spec"]["selector"]["matchLabels"]["pod-template-hash"], hash);
    assert_eq!(world.all(&PODS)[0]["metadata"]["labels"]["pod-template-hash"], hash);
    assert_eq!(world.made, 3);
}

#[test]
fn another_template_is_another_revision_and_an_old_one_comes_back() {
    let mut world = World::default();
    world.ask(asked(2, "1", "0"));
    settle(&mut world);
    world.ask(|spec| image(spec, "1"));
    settle(&mut world);
    assert_eq!(sets(&world), [(0, "1".to_owned()), (2, "2".to_owned())]);
    // As `kubectl rollout undo` does: the template of the former revision, which becomes the newest.
    world.ask(|spec| image(spec, "0"));
    settle(&mut world);
    assert_eq!(sets(&world), [(0, "2".to_owned()), (2, "3".to_owned())]);
    let back = world.all(&REPLICA_SETS).into_iter().find(|set| set["spec"]["replicas"] == 2).unwrap().clone();
    assert_eq!(back["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"], "1");
    assert_eq!(now_of(&world)["metadata"]["annotations"][REVISION], "3");
}

#[test]
fn sets_beyond_the_history_limit_go() {
    let mut world = World::default();
    world.ask(asked(1, "1", "0"));
    world.ask(|spec| spec["revisionHistoryLimit"] = 2.into());
    for n in 0..5 {
        world.ask(|spec| image(spec, &n.to_string()));
        settle(&mut world);
    }
    let revisions: Vec<String> = sets(&world).into_iter().map(|(_, revision)| revision).collect();
    assert_eq!(revisions, ["3", "4", "5"]);
}

#[test]
fn recreate_waits_until_the_old_pods_are_gone() {
    let mut world = World::default();
    world.ask(|spec| {
        spec["replicas"] = 3.into();
        spec["strategy"] = json!({"type": "Recreate"});
    });
    settle(&mut world);
    world.ask(|spec| image(spec, "1"));
    for step in 0..10_000 {
        world.see(0);
        world.work(step);
        let images: std::collections::BTreeSet<&str> = world
            .all(&PODS)
            .into_iter()
            .map(|pod| pod["spec"]["containers"][0]["image"].as_str().unwrap())
            .collect();
        assert!(images.len() <= 1, "old and new at the same time");
        if step % 7 == 0 {
            world.node(step);
        }
    }
    settle(&mut world);
    assert_eq!(sets(&world), [(0, "1".to_owned()), (3, "2".to_owned())]);
}

#[test]
fn a_paused_deployment_scales_and_does_not_roll() {
    let mut world = World::default();
    world.ask(asked(2, "1", "0"));
    settle(&mut world);
    world.ask(|spec| {
        spec["paused"] = true.into();
        spec["replicas"] = 4.into();
        image(spec, "1");
    });
    settle(&mut world);
    assert_eq!(sets(&world), [(4, "1".to_owned())]);
    assert_eq!(reason(&world, "Progressing"), "DeploymentPaused");
    world.ask(|spec| spec["paused"] = false.into());
    settle(&mut world);
    assert_eq!(sets(&world), [(0, "1".to_owned()), (4, "2".to_owned())]);
    assert_eq!(reason(&world, "Progressing"), "NewReplicaSetAvailable");
}

/// Without nodes that make pods ready, until nothing happens any more.
fn stall(world: &mut World) {
    for step in 0..2000 {
        let moved = [world.see(0), world.work(step)];
        if moved == [false; 2] {
            return;
        }
    }
}

#[test]
fn a_rollout_that_stands_still_is_late_and_shares_what_is_scaled() {
    let mut world = World::default();
    world.ask(asked(10, "3", "2"));
    settle(&mut world);
    world.ask(|spec| image(spec, "bad"));
    stall(&mut world);
    // None of the new pods is ever ready: two old ones are gone, and the new ones take what room there is.
    assert_eq!(sets(&world), [(8, "1".to_owned()), (5, "2".to_owned())]);
    world.wait(601);
    stall(&mut world);
    assert_eq!(reason(&world, "Progressing"), "ProgressDeadlineExceeded");
    world.ask(|spec| spec["replicas"] = 20.into());
    stall(&mut world);
    // 23 pods shared by 8 to 5; the larger has what is left by rounding.
    assert_eq!(sets(&world), [(14, "1".to_owned()), (9, "2".to_owned())]);
}

#[test]
fn a_name_that_is_taken_makes_another_hash() {
    let mut world = World::default();
    world.ask(asked(1, "1", "0"));
    settle(&mut world);
    let object = now_of(&world);
    let name = format!("web-{}", hash::of(&object["spec"]["template"], None));
    assert!(world.get(&Id::new(&REPLICA_SETS, "n", &name)).is_some());
    let item = Arc::new(Item::of(&DEPLOYMENTS, &object).unwrap());
    let now = world.now();
    let plan = Rollout::new(item, object, Vec::new(), now).run(&|_| false, &|taken| taken == name);
    assert!(plan.steps.is_empty());
    let effects = plan.then.unwrap()(&Default::default());
    let [Effect::Replace { subresource: "status", object, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(object["status"]["collisionCount"], 1);
    assert_ne!(name, format!("web-{}", hash::of(&object["spec"]["template"], Some(1))));
}

#[derive(Debug, Clone)]
enum Act {
    See(usize),
    Work(usize),
    Node(usize),
    Image(u8),
    Scale(i64),
    Numbers(u8, u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        60 => any::<usize>().prop_map(Act::See),
        40 => any::<usize>().prop_map(Act::Work),
        30 => any::<usize>().prop_map(Act::Node),
        2 => any::<u8>().prop_map(|image| Act::Image(image % 3)),
        1 => (0i64..12).prop_map(Act::Scale),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(surge, unavailable)| Act::Numbers(surge % 4, unavailable % 4)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens in whichever order, and however far the caches lag: there are never more pods than surge
    /// allows, never fewer available ones than must be, and in the end there is what is asked for.
    #[test]
    fn a_rollout_keeps_within_its_numbers_and_comes_to_its_end(
        replicas in 0i64..12,
        acts in proptest::collection::vec(act(), 0..400),
    ) {
        let mut world = World::default();
        world.ask(asked(replicas, "25%", "25%"));
        settle(&mut world);
        world.rest();
        for act in acts {
            match act {
                Act::See(choice) => drop(world.see(choice)),
                Act::Work(choice) => drop(world.work(choice)),
                Act::Node(choice) => drop(world.node(choice)),
                Act::Image(to) => world.ask(|spec| image(spec, &to.to_string())),
                Act::Scale(to) => {
                    world.ask(|spec| spec["replicas"] = to.into());
                    world.least = 0;
                }
                Act::Numbers(surge, unavailable) => world.ask(|spec| {
                    spec["strategy"]["rollingUpdate"] = json!({"maxSurge": surge, "maxUnavailable": unavailable});
                }),
            }
            prop_assert!(world.pods() <= world.most, "{} pods, {} allowed", world.pods(), world.most);
            prop_assert!(world.ready() >= world.least, "{} available, {} needed", world.ready(), world.least);
        }
        settle(&mut world);
        let object = now_of(&world);
        let asked = object["spec"]["replicas"].as_i64().unwrap();
        let image = &object["spec"]["template"]["spec"]["containers"][0]["image"];
        prop_assert_eq!(world.pods(), asked);
        for pod in world.all(&PODS) {
            prop_assert_eq!(&pod["spec"]["containers"][0]["image"], image);
        }
        prop_assert_eq!(object["status"]["updatedReplicas"].as_i64().unwrap_or(0), asked);
        prop_assert_eq!(object["status"]["availableReplicas"].as_i64().unwrap_or(0), asked);
        prop_assert_eq!(&object["status"]["observedGeneration"], &object["metadata"]["generation"]);
    }
}
