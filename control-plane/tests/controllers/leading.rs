//! Several control planes on one store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use control_plane::apiserver::server::Server;
use control_plane::bootstrap;
use control_plane::client::{Client, Fence, Gvr, Id, PatchType};
use control_plane::controllers::Term;
use control_plane::leader::{Office, Times, lead};
use control_plane::storage::Embedded;
use control_plane::{controllers, simulate};
use daemon::CancellationToken;
use serde_json::json;
use tokio::task::JoinSet;

use crate::world::{CONFIG_MAPS, DEPLOYMENTS, PODS, SERVICE_ACCOUNTS, deployment};

static LEASES: Gvr = Gvr::of("coordination.k8s.io", "v1", "leases");
const NAME: &str = "kube-controller-manager";

/// One of several servers on a store, whose controllers run when it leads.
struct One {
    client: Client,
    server: Arc<Server>,
    closing: CancellationToken,
    /// What feeds its caches.
    feeding: JoinSet<()>,
    leading: JoinSet<()>,
}

impl One {
    /// One that does not lead.
    async fn apart(store: &Arc<Embedded>) -> Self {
        let server = Server::new(store.clone(), "127.0.0.1:6443".to_owned()).unwrap();
        let (following, mut feeding) = (server.clone().follow(), JoinSet::new());
        feeding.spawn(async move { following.await.unwrap() });
        bootstrap::prepare(&server).await.unwrap();
        let client = Client::new(server.clone(), "admin", &["system:masters"], "test");
        Self { client, server, closing: CancellationToken::new(), feeding, leading: JoinSet::new() }
    }

    async fn start(store: &Arc<Embedded>, identity: &str, acting: &Arc<AtomicUsize>) -> Self {
        let mut one = Self::apart(store).await;
        let millis = Duration::from_millis;
        // A tenth of what holds outside of tests.
        let times = Times { lease: millis(1500), deadline: millis(1000), retry: millis(200) };
        let office = Office { name: NAME, identity: identity.to_owned(), times };
        let (server, token, acting) = (one.server.clone(), one.closing.clone(), acting.clone());
        one.leading.spawn(async move {
            let work = |term: Term| {
                let (server, acting) = (server.clone(), acting.clone());
                async move {
                    assert_eq!(acting.fetch_add(1, Ordering::SeqCst), 0, "two act at the same time");
                    let standard = controllers::standard(&server, &controllers::Settings::default());
                    let ended = controllers::run(server, standard, term).await;
                    acting.fetch_sub(1, Ordering::SeqCst);
                    ended
                }
            };
            lead(server.clone(), office, token, work).await.unwrap();
        });
        one
    }

    async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        let caches = &self.server.caches;
        let waits = async {
            while !holds().await {
                let reached = caches.reached();
                caches.reach(reached + 1).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(30), waits).await.is_ok(), "waiting until {what}");
    }

    async fn holder(&self) -> String {
        let lease = self.client.get(&Id::new(&LEASES, "kube-system", NAME)).await.unwrap_or_default();
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    }

    async fn scale(&self, replicas: i64) {
        let patch = json!({"spec": {"replicas": replicas}});
        let id = Id::new(&DEPLOYMENTS, "default", "web");
        self.client.patch(&id, "", PatchType::Merge, &patch).await.unwrap();
        let wanted = usize::try_from(replicas).unwrap();
        self.until("there are as many pods", async || self.pods().await.len() == wanted).await;
    }

    async fn pods(&self) -> BTreeSet<String> {
        let pods = self.client.list(&PODS, "default", "").await.unwrap();
        let pods = pods["items"].as_array().unwrap().iter();
        pods.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    fn leads(&self) -> bool {
        let text = self.server.metrics.of_parts();
        text.contains("leader_election_master_status{name=\"kube-controller-manager\"} 1\n")
    }

    async fn end(mut self) {
        self.closing.cancel();
        while let Some(ended) = self.leading.join_next().await {
            ended.unwrap();
        }
    }

    /// It is there no longer, in the middle of whatever it does.
    async fn die(mut self) {
        self.leading.abort_all();
        while self.leading.join_next().await.is_some() {}
        self.feeding.abort_all();
    }
}

pub(crate) async fn exactly_one_acts() {
    let (store, acting) = (Arc::new(Embedded::in_memory().unwrap()), Arc::new(AtomicUsize::new(0)));
    let person = One::apart(&store).await;
    let nodes = CancellationToken::new();
    let run = simulate::run(person.server.clone(), simulate::Settings::default(), nodes.clone());
    let run = tokio::spawn(run);

    let first = One::start(&store, "first", &acting).await;
    person.until("the first one leads", async || person.holder().await == "first").await;
    let second = One::start(&store, "second", &acting).await;
    let account = Id::new(&SERVICE_ACCOUNTS, "default", "default");
    person.until("there is an account", async || person.client.get(&account).await.is_ok()).await;
    person.client.create(&DEPLOYMENTS, "default", &deployment("web", 4)).await.unwrap();
    person.scale(5).await;
    let pods = person.pods().await;
    person.until("metrics say who leads", async || first.leads() && !second.leads()).await;

    first.die().await;
    acting.store(0, Ordering::SeqCst);
    person.until("the second one leads", async || person.holder().await == "second").await;
    person.scale(7).await;
    assert!(pods.is_subset(&person.pods().await), "nothing is undone");

    let third = One::start(&store, "third", &acting).await;
    second.end().await;
    assert_ne!(person.holder().await, "second", "it gave it back");
    person.until("the third one leads", async || person.holder().await == "third").await;
    person.scale(3).await;
    nodes.cancel();
    run.await.unwrap().unwrap();
    third.end().await;
}

pub(crate) async fn late_writes_are_refused() {
    let one = One::apart(&Arc::new(Embedded::in_memory().unwrap())).await;
    let fence = Fence::until(Instant::now() + Duration::from_secs(600));
    let leads = one.client.clone().fenced(Some(fence.clone()));
    let map = |name: &str| json!({"metadata": {"name": name}});
    leads.create(&CONFIG_MAPS, "default", &map("a")).await.unwrap();
    // As after a stop that was longer than its term.
    fence.set(Instant::now());
    let (id, other) = (Id::new(&CONFIG_MAPS, "default", "a"), leads.acting_as("b", &["system:masters"]));
    for late in [
        leads.create(&CONFIG_MAPS, "default", &map("b")).await,
        other.create(&CONFIG_MAPS, "default", &map("b")).await,
        leads.patch(&id, "", PatchType::Merge, &json!({"data": {"k": "v"}})).await,
        leads.delete(&id, &json!({})).await,
    ] {
        assert_eq!(late.unwrap_err().code, 503);
    }
    assert!(leads.get(&id).await.unwrap()["data"].is_null(), "it reads, and nothing was changed");
    let maps = one.client.list(&CONFIG_MAPS, "default", "").await.unwrap();
    assert_eq!(maps["items"].as_array().unwrap().len(), 1);
    one.end().await;
}
