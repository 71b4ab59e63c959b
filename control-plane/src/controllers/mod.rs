//! Controllers: they look at objects and do what brings the cluster nearer to what is asked for.
//!
//! Each is a pure function in a file or folder of its own: given the [`Index`](index::Index), a key and the time it says
//! what is to be done, a [`Plan`](plan::Plan) of effects. What they share is here: the index follows the watch caches
//! ([`feed`]), the [`queue`] says what to look at next, and the [`shell`] performs what was decided through the API
//! server's own write path, each controller under the service account that upstream gives it.

pub mod accounts;
pub mod addresses;
pub(crate) mod afar;
pub mod certificates;
pub mod claims;
pub mod classes;
pub mod cluster_info;
pub mod conditions;
pub mod deployment;
pub mod disruption;
pub mod events;
mod feed;
pub mod flow;
pub mod garbage;
pub mod index;
pub mod item;
pub mod kinds;
pub mod namespace;
pub mod node;
pub mod plan;
pub mod podgc;
pub mod pods;
pub mod queue;
pub mod quota;
pub mod replicaset;
pub mod roles;
mod shell;
mod term;
pub mod tokens;

use std::sync::Arc;

use daemon::CancellationToken;
use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::apiserver::auth::ca::Pair;
use crate::apiserver::server::Server;
use crate::client::{Client, Gvr, Id};
use events::Recorder;
use index::{Change, Index};
use kinds::Kinds;
use plan::{Identity, Plan};
use shell::{Registered, Shell};
pub use term::Term;

/// Who owns the fields that controllers write.
const AGENT: &str = "kube-controller-manager";
/// So many keys are worked on at the same time.
const WORKERS: usize = 16;

/// Something that looks at objects and says what is to be done.
pub trait Controller: Send + Sync + 'static {
    /// The source of its Events.
    fn name(&self) -> &'static str;

    /// Its service account in `kube-system`.
    fn account(&self) -> &'static str {
        self.name()
    }

    /// What its lane of the work queue is called where it is measured; a name of its own.
    fn queue(&self) -> &'static str {
        self.name()
    }

    /// Who it is, where that is not its service account.
    fn identity(&self) -> Option<Identity> {
        None
    }

    /// Who owns the fields that it writes, where an effect does not say so itself.
    fn agent(&self) -> &'static str {
        AGENT
    }

    /// The kinds that it looks at; none says all but Events.
    fn kinds(&self) -> Option<Vec<Gvr>>;

    /// The keys that are to be looked at when everything is listed, whether there is such an object or not.
    fn start(&self) -> Vec<Id> {
        Vec::new()
    }

    /// Says which keys are to be looked at because of a change. The index has it already.
    fn wake(&self, index: &Index, change: &Change, wake: &mut dyn FnMut(Id));

    /// Says what is to be done about a key. Nothing is, where the key's object is not there.
    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan;
}

/// A task ended or panicked before it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("a task ended before its time: {0}")]
pub struct Ended(String);

impl Ended {
    /// Without a reason that it told.
    pub(crate) fn early(who: &str) -> Self {
        Self(format!("{who}: it came to its end"))
    }

    /// For a reason.
    pub(crate) fn failed(who: &str, why: &dyn std::error::Error) -> Self {
        Self(format!("{who}: {why}"))
    }
}

/// What the controllers need to know.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The certificates in PEM by which pods know the API server; without them, they are not published.
    pub root_ca: Option<String>,
    /// What signs certificates of clients and kubelets; without it, none are signed.
    pub authority: Option<Pair>,
    /// How long nodes may be silent.
    pub grace: node::Grace,
}

/// The controllers that a control plane has.
pub fn standard(server: &Arc<Server>, settings: &Settings) -> Vec<Arc<dyn Controller>> {
    let registry = server.clone();
    let kinds = Kinds::new(move || registry.kinds.table());
    let mut controllers: Vec<Arc<dyn Controller>> = vec![
        Arc::new(replicaset::ReplicaSets),
        Arc::new(deployment::Deployments),
        Arc::new(garbage::Garbage::new(kinds.clone())),
        Arc::new(quota::Quotas::new(kinds.clone(), server.charges.clone())),
        Arc::new(namespace::Namespaces::new(kinds)),
        Arc::new(accounts::ServiceAccounts),
        Arc::new(node::Nodes::new(settings.grace)),
        Arc::new(node::pods::Readiness),
        Arc::new(node::eviction::Eviction::default()),
        Arc::new(roles::Aggregation),
        Arc::new(disruption::Budgets),
        Arc::new(disruption::stale::Stale),
        Arc::new(claims::Claims),
        Arc::new(claims::Volumes),
        Arc::new(classes::AttributesClasses),
        Arc::new(podgc::Pods::default()),
        Arc::new(certificates::approve::Approver),
        Arc::new(certificates::clean::Cleaner),
        Arc::new(tokens::Cleaner),
        Arc::new(cluster_info::Signer),
        Arc::new(addresses::ServiceRanges),
    ];
    if let Some(certificates) = &settings.root_ca {
        controllers.push(Arc::new(accounts::RootCa(certificates.clone())));
    }
    if let Some(authority) = &settings.authority {
        controllers.push(Arc::new(certificates::sign::Signing(authority.clone())));
    }
    controllers
}

/// What every API server does by itself, whether or not it runs the controllers of the cluster.
pub fn own() -> Vec<Arc<dyn Controller>> {
    vec![Arc::new(addresses::AddressRepair), Arc::new(flow::Standards), Arc::new(flow::Dangling)]
}

/// Runs controllers on a server whose caches are fed, for this term. What they measure is among the server's metrics.
///
/// # Errors
/// When one of their tasks ended before that.
pub async fn run(
    server: Arc<Server>,
    controllers: Vec<Arc<dyn Controller>>,
    term: impl Into<Term>,
) -> Result<(), Ended> {
    work(server, controllers, Some("controllers"), term.into()).await
}

/// The same; what is measured is told under a name, if any.
pub(crate) async fn work(
    server: Arc<Server>,
    controllers: Vec<Arc<dyn Controller>>,
    measured: Option<&'static str>,
    Term { closing, fence }: Term,
) -> Result<(), Ended> {
    let kinds: Option<Vec<Vec<Gvr>>> = controllers.iter().map(|controller| controller.kinds()).collect();
    let kinds = kinds.map(|kinds| kinds.concat());
    let client = Client::new(server.clone(), "system:kube-controller-manager", &[], AGENT);
    let client = client.fenced(fence.clone());
    let own = |controller: &dyn Controller| {
        let own = match controller.identity() {
            Some(who) => Client::new(server.clone(), &who.name, &[who.group], controller.agent()),
            None => Client::service_account(server.clone(), controller.account(), controller.agent()),
        };
        own.fenced(fence.clone())
    };
    let parts = Parts::new(client, controllers, own);
    if let Some(name) = measured {
        // The server outlives those who run on it.
        let shell = Arc::downgrade(&parts.shell);
        let text = move || shell.upgrade().map(|shell| shell.measure()).unwrap_or_default();
        server.metrics.put(name, Box::new(text));
    }
    let mut feeds = JoinSet::new();
    let mut listed = Vec::new();
    for kind in server.kinds.table().kinds().iter().cloned() {
        let stored = feed::stored(&kind);
        if !kinds.as_ref().map_or_else(|| followed(&kind), |kinds| kinds.contains(&stored)) {
            continue;
        }
        listed.push(stored);
        let (shell, caches, closing) = (parts.shell.clone(), server.caches.clone(), closing.clone());
        feeds.spawn(async move {
            let feed = feed::follow(caches, kind, |step| shell.change(step));
            closing.run_until_cancelled(feed).await;
        });
    }
    parts.run(feeds, &listed, closing).await
}

/// Runs a controller on a server elsewhere, of which it sees this much.
pub(crate) async fn work_afar(
    client: Client,
    controller: Arc<dyn Controller>,
    scopes: &[afar::Scope],
    closing: CancellationToken,
) -> Result<(), Ended> {
    let parts = Parts::new(client.clone(), vec![controller], |_| client.clone());
    let mut feeds = JoinSet::new();
    for scope in scopes.iter().copied() {
        let (shell, client, closing) = (parts.shell.clone(), client.clone(), closing.clone());
        feeds.spawn(async move {
            let feed = afar::follow(client, scope, |step| shell.change(step));
            closing.run_until_cancelled(feed).await;
        });
    }
    let kinds: Vec<Gvr> = scopes.iter().map(|scope| scope.kind).collect();
    parts.run(feeds, &kinds, closing).await
}

/// Controllers with what they share.
struct Parts {
    recorder: Recorder,
    shell: Arc<Shell>,
}

impl Parts {
    /// `own` makes the client of a controller.
    fn new(
        client: Client,
        controllers: Vec<Arc<dyn Controller>>,
        own: impl Fn(&dyn Controller) -> Client,
    ) -> Self {
        let recorder = Recorder::default();
        let register = |controller: Arc<dyn Controller>| {
            let client = own(&*controller);
            Registered { teller: recorder.teller(client.clone(), controller.name()), client, controller }
        };
        let shell = Shell::new(client, controllers.into_iter().map(register).collect());
        Self { recorder, shell }
    }

    /// Works as soon as everything is listed, until `closing`.
    async fn run(
        self,
        mut tasks: JoinSet<()>,
        listed: &[Gvr],
        closing: CancellationToken,
    ) -> Result<(), Ended> {
        let Self { recorder, shell } = self;
        let waits = shell.until(|index| listed.iter().all(|kind| index.is_listed(kind)));
        // What is not listed yet would look as if it were not there.
        if closing.run_until_cancelled(waits).await.is_some() {
            shell.start();
            (0..WORKERS).for_each(|_| drop(tasks.spawn(shell.clone().work(closing.clone()))));
            let closing = closing.clone();
            tasks.spawn(async move {
                closing.run_until_cancelled(recorder.run()).await;
            });
        }
        while let Some(ended) = tasks.join_next().await {
            match ended {
                Ok(()) if closing.is_cancelled() => {}
                Ok(()) => return Err(Ended::early("the controllers")),
                Err(error) => return Err(Ended::failed("the controllers", &error)),
            }
        }
        Ok(())
    }
}

/// Events are many and nobody's: no controller looks at them.
fn followed(kind: &crate::apiserver::kinds::Kind) -> bool {
    kind.stored().verbs.has("watch") && kind.kind != "Event"
}
