//! kube-rs's own ways of asking: typed and dynamic, paged, patched, waited for, and kept up to date by its watcher while
//! the server dies and comes back.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api_k8s::apps::Deployment;
use api_k8s::v1::{ConfigMap, Pod};
use futures_util::StreamExt as _;
use integration::process::wait_for;
use integration::runner::{TestError, TestResult, check, fail};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::core::{GroupVersionKind, Status};
use kube::runtime::reflector::store::Writer;
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt as _, reflector};
use kube::{Client, Discovery, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout, timeout_at};

use crate::World;

/// What takes a moment takes no longer.
const SOON: Duration = Duration::from_secs(60);
/// So many changes are followed. Of three objects each, and so that the last ones stay.
const CHANGES: usize = 246;

fn executor() -> Result<Runtime, TestError> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// The administrator, by the kubeconfig that the server wrote.
async fn connect(world: &World) -> Result<Client, TestError> {
    let file = Kubeconfig::read_from(world.folder.path().join("data/lib/control-plane/admin.kubeconfig"))?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    // The environment's is for other places.
    config.proxy_url = None;
    Ok(Client::try_from(config)?)
}

fn typed<T: DeserializeOwned>(object: Value) -> Result<T, TestError> {
    Ok(serde_json::from_value(object)?)
}

fn config_map(name: &str) -> Result<ConfigMap, TestError> {
    typed(json!({"metadata": {"name": name, "labels": {"set": "s"}}, "data": {"k": "v"}}))
}

/// The Status by which something is refused.
fn refused<T>(answer: Result<T, kube::Error>) -> Result<Box<Status>, TestError> {
    match answer {
        Err(kube::Error::Api(status)) => Ok(status),
        Err(error) => Err(error.into()),
        Ok(_) => fail("it was not refused"),
    }
}

pub(crate) fn the_rust_client_works() -> TestResult {
    let world = World::with_a_node()?;
    executor()?.block_on(async {
        let client = connect(&world).await?;
        check(client.apiserver_version().await?.minor == "36", || "it is another version".to_owned())?;
        reads_and_writes(&client).await?;
        patches(&client).await?;
        applies(&client).await?;
        finalizes(&client).await?;
        asks_dynamically(&client).await?;
        rolls_out(&client).await
    })
}

async fn reads_and_writes(client: &Client) -> TestResult {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let mut made = maps.create(&PostParams::default(), &config_map("page-0")?).await?;
    let twice = refused(maps.create(&PostParams::default(), &config_map("page-0")?).await)?;
    check(twice.code == 409 && twice.reason == "AlreadyExists", || format!("{twice:?}"))?;
    let found = maps.get("page-0").await?;
    check(found == made, || format!("{found:?} is not {made:?}"))?;
    check(maps.get_opt("none").await?.is_none(), || "there is an object of no name".to_owned())?;

    made.data = Some(BTreeMap::from([("k".to_owned(), "w".to_owned())]));
    maps.replace("page-0", &PostParams::default(), &made).await?;
    let late = refused(maps.replace("page-0", &PostParams::default(), &made).await)?;
    check(late.reason == "Conflict", || format!("{late:?}"))?;

    for n in 1..8 {
        maps.create(&PostParams::default(), &config_map(&format!("page-{n}"))?).await?;
    }
    let (mut names, mut pages, mut next) = (Vec::new(), 0, None::<String>);
    while pages == 0 || next.is_some() {
        let mut page = ListParams::default().labels("set in (s, t),!other").limit(3);
        page.continue_token = next;
        let list = maps.list(&page).await?;
        names.extend(list.items.iter().map(|map| map.name_any()));
        // At the end it is empty or not there.
        (next, pages) = (list.metadata.continue_.filter(|token| !token.is_empty()), pages + 1);
    }
    let all: Vec<String> = (0..8).map(|n| format!("page-{n}")).collect();
    check(pages == 3 && names == all, || format!("{pages} pages: {names:?}"))?;
    let slim = maps.list_metadata(&ListParams::default().fields("metadata.name=page-3")).await?;
    check(slim.items.len() == 1 && slim.items[0].metadata.uid.is_some(), || format!("{slim:?}"))?;
    let set = ListParams::default().labels("set=s");
    maps.delete_collection(&DeleteParams::default(), &set).await?;
    let left = maps.list(&set).await?.items;
    check(left.is_empty(), || format!("{left:?} stay"))
}

async fn patches(client: &Client) -> TestResult {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    maps.create(&PostParams::default(), &config_map("patched")?).await?;
    let how = PatchParams::default();
    let merge = json!({"data": {"k": null, "l": "merged"}});
    maps.patch("patched", &how, &Patch::Merge(merge)).await?;
    let strategic = json!({"metadata": {"finalizers": ["example.com/a"]}});
    maps.patch("patched", &how, &Patch::Strategic(strategic)).await?;
    let strategic = json!({"metadata": {"finalizers": ["example.com/b"]}});
    let both = maps.patch("patched", &how, &Patch::Strategic(strategic)).await?;
    check(both.finalizers().len() == 2, || format!("{:?}", both.finalizers()))?;
    let steps = json!([{"op": "test", "path": "/data/l", "value": "merged"},
        {"op": "copy", "from": "/data/l", "path": "/data/m"}, {"op": "remove", "path": "/metadata/finalizers"}]);
    let patched = maps.patch("patched", &how, &Patch::Json::<()>(typed(steps)?)).await?;
    let data = serde_json::to_value(&patched.data)?;
    check(data == json!({"l": "merged", "m": "merged"}), || data.to_string())?;
    let wrong = json!([{"op": "test", "path": "/data/l", "value": "other"}]);
    let wrong = refused(maps.patch("patched", &how, &Patch::Json::<()>(typed(wrong)?)).await)?;
    check(wrong.code == 422, || format!("{wrong:?}"))?;
    maps.delete("patched", &DeleteParams::default()).await?;
    Ok(())
}

async fn applies(client: &Client) -> TestResult {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let map = |value: &str| {
        Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"},
            "data": {"k": value}}))
    };
    maps.patch("applied", &PatchParams::apply("one"), &map("1")).await?;
    let conflict = refused(maps.patch("applied", &PatchParams::apply("two"), &map("2")).await)?;
    let causes = conflict.details.as_ref().map(|details| details.causes.clone()).unwrap_or_default();
    check(
        conflict.reason == "Conflict"
            && causes.len() == 1
            && causes[0].field == ".data.k"
            && causes[0].message == "conflict with \"one\"",
        || format!("{conflict:?}"),
    )?;
    let forced = maps.patch("applied", &PatchParams::apply("two").force(), &map("2")).await?;
    let owners: Vec<_> = forced.managed_fields().iter().filter_map(|entry| entry.manager.clone()).collect();
    check(owners == ["two"], || format!("{:?}", forced.managed_fields()))?;
    maps.delete("applied", &DeleteParams::default()).await?;
    Ok(())
}

async fn finalizes(client: &Client) -> TestResult {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let mut map = config_map("kept")?;
    map.metadata.finalizers = Some(vec!["example.com/keep".to_owned()]);
    let made = maps.create(&PostParams::default(), &map).await?;
    let answer = maps.delete("kept", &DeleteParams::default()).await?;
    let going = answer.left().filter(|map| map.metadata.deletion_timestamp.is_some());
    check(going.is_some(), || "what has a finalizer is gone at once".to_owned())?;
    let uid = made.uid().unwrap_or_default();
    let gone = tokio::spawn(await_condition(maps.clone(), "kept", is_gone(uid)));
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("kept", &PatchParams::default(), &release).await?;
    timeout(SOON, gone).await???;
    check(maps.get_opt("kept").await?.is_none(), || "it is still there".to_owned())
}

/// That an object with this identity is not there.
fn is_gone(uid: String) -> impl Fn(Option<&ConfigMap>) -> bool {
    move |map| map.is_none_or(|map| map.metadata.uid.as_ref() != Some(&uid))
}

async fn asks_dynamically(client: &Client) -> TestResult {
    let known = Discovery::new(client.clone()).run().await?;
    let role = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", "Role");
    let Some((resource, can)) = known.resolve_gvk(&role) else { return fail("roles are not discovered") };
    check(can.supports_operation("deletecollection"), || format!("{can:?}"))?;
    let roles: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &resource);
    let object = DynamicObject::new("r", &resource)
        .data(json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}));
    let made = roles.create(&PostParams::default(), &object).await?;
    check(made.data["rules"][0]["verbs"] == json!(["get"]), || made.data.to_string())?;
    roles.delete("r", &DeleteParams::default()).await?;
    Ok(())
}

async fn rolls_out(client: &Client) -> TestResult {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let web = typed(json!({"metadata": {"name": "web"}, "spec": {"replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}}))?;
    deployments.create(&PostParams::default(), &web).await?;
    let ready = |wanted: i32| {
        let all = move |web: Option<&Deployment>| {
            let status = web.and_then(|web| web.status.as_ref());
            status.is_some_and(|status| {
                status.ready_replicas == Some(wanted) && status.replicas == Some(wanted)
            })
        };
        timeout(SOON, await_condition(deployments.clone(), "web", all))
    };
    ready(3).await??;
    let complete = await_condition(deployments.clone(), "web", conditions::is_deployment_completed());
    timeout(SOON, complete).await??;
    let of = ListParams::default().labels("app=web").fields("status.phase=Running");
    let running = pods.list(&of).await?.items.len();
    check(running == 3, || format!("{running} pods run"))?;
    let less = Patch::Merge(json!({"spec": {"replicas": 1}}));
    deployments.patch_scale("web", &PatchParams::default(), &less).await?;
    ready(1).await??;
    deployments.delete("web", &DeleteParams::foreground()).await?;
    let gone = await_condition(deployments, "web", |web: Option<&Deployment>| web.is_none());
    timeout(SOON, gone).await??;
    let left = pods.list(&ListParams::default().labels("app=web")).await?.items;
    check(left.is_empty(), || format!("{} pods outlive their Deployment", left.len()))
}

/// A change: what it was, of which object, and the number in it.
type Seen = (&'static str, String, String);

/// The changes, in order. What is deleted is told as it was last.
fn changes() -> Vec<Seen> {
    let change = |n: usize| {
        let verb = match (n / 3) % 4 {
            0 => "create",
            1 | 2 => "patch",
            _ => "delete",
        };
        let number = if verb == "delete" { n - 3 } else { n };
        (verb, format!("m-{}", n % 3), number.to_string())
    };
    (0..CHANGES).map(change).collect()
}

/// Makes a change, and again until the server says that it is so. One that happened although nobody said so is not made
/// a second time: then the object is there already, or gone, or as it is to be.
async fn make(maps: &Api<ConfigMap>, (verb, name, number): &Seen) -> TestResult {
    let data = json!({"data": {"n": number}});
    let mut tried = 0;
    let end = Instant::now() + SOON;
    while Instant::now() < end {
        let answer = match *verb {
            "create" => {
                let mut map = config_map(name)?;
                map.data = typed(data["data"].clone())?;
                maps.create(&PostParams::default(), &map).await.map(drop)
            }
            "patch" => maps.patch(name, &PatchParams::default(), &Patch::Merge(&data)).await.map(drop),
            _ => maps.delete(name, &DeleteParams::default()).await.map(drop),
        };
        match answer {
            Ok(()) => return Ok(()),
            Err(kube::Error::Api(status))
                if tried > 0 && (status.reason == "AlreadyExists" || status.code == 404) =>
            {
                return Ok(());
            }
            Err(kube::Error::Api(status)) if status.code < 500 => {
                return fail(format!("{verb} {name}: {status:?}"));
            }
            Err(_) => tried += 1,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fail(format!("{verb} {name} {number}: not done in time"))
}

/// Follows until it has seen as many changes as there are, or it takes too long.
async fn follow(
    maps: Api<ConfigMap>,
    how: watcher::Config,
    store: Writer<ConfigMap>,
) -> Result<Vec<Seen>, TestError> {
    let mut stream = pin!(reflector(store, watcher(maps, how).default_backoff()));
    let (mut seen, mut lists, mut newest) = (Vec::new(), 0, 0);
    let end = Instant::now() + SOON;
    while seen.len() < CHANGES {
        let Ok(event) = timeout_at(end, stream.next()).await else { break };
        let (deleted, map) = match event {
            Some(Ok(Event::Apply(map))) => (false, map),
            Some(Ok(Event::Delete(map))) => (true, map),
            Some(Ok(Event::Init)) => {
                lists += 1;
                continue;
            }
            // The server is away.
            Some(Ok(_) | Err(_)) => continue,
            None => return fail("the watcher ended"),
        };
        let version: u64 = map.resource_version().unwrap_or_default().parse()?;
        check(version > newest, || format!("{version} comes after {newest}"))?;
        newest = version;
        let number = map.data.as_ref().and_then(|data| data.get("n")).cloned().unwrap_or_default();
        let is_first = number.parse::<usize>().is_ok_and(|n| (n / 3).is_multiple_of(4));
        let verb = match (deleted, is_first) {
            (true, _) => "delete",
            (false, true) => "create",
            (false, false) => "patch",
        };
        seen.push((verb, map.name_any(), number));
    }
    // Who lists anew knows what is there, but not what happened.
    check(lists == 1, || format!("it listed {lists} times"))?;
    Ok(seen)
}

pub(crate) fn the_rust_watcher_survives_the_server() -> TestResult {
    let mut world = World::start()?;
    let executor = executor()?;
    let client = executor.block_on(connect(&world))?;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let of = watcher::Config::default().labels("set=s");
    let mut followers = Vec::new();
    for how in [of.clone(), of.streaming_lists()] {
        let (store, writer) = reflector::store();
        let task = executor.spawn(follow(maps.clone(), how, writer));
        executor.block_on(async { timeout(SOON, store.wait_until_ready()).await })??;
        followers.push((store, task));
    }

    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let writing = executor.spawn(async move {
        for change in changes() {
            make(&maps, &change).await?;
            count.fetch_add(1, Ordering::Relaxed);
        }
        TestResult::Ok(())
    });
    for part in 1..=2 {
        wait_for(SOON, "some changes", || {
            let enough = made.load(Ordering::Relaxed) >= part * CHANGES / 3;
            Ok((enough || writing.is_finished()).then_some(()))
        })?;
        check(!writing.is_finished(), || "everything was written before the server was killed".to_owned())?;
        world.daemon.kill()?;
        world = world.again()?;
    }
    executor.block_on(async { timeout(SOON, writing).await })???;

    let expected = changes();
    for (store, task) in followers {
        let seen = executor.block_on(task)??;
        let differs = seen.iter().zip(&expected).position(|(seen, expected)| seen != expected);
        let differs = differs.or((seen.len() != expected.len()).then_some(seen.len().min(expected.len())));
        check(differs.is_none(), || {
            let at = differs.unwrap_or_default();
            format!("change {at} is seen as {:?} and was {:?}", seen.get(at), expected.get(at))
        })?;
        let number = |map: &ConfigMap| map.data.as_ref().and_then(|data| data.get("n")).cloned();
        let state: BTreeMap<_, _> = store.state().iter().map(|map| (map.name_any(), number(map))).collect();
        let last = expected[CHANGES - 3..].iter().map(|(_, name, n)| (name.clone(), Some(n.clone())));
        check(state == last.collect(), || format!("the reflector has {state:?}"))?;
    }
    drop(world);
    Ok(())
}
