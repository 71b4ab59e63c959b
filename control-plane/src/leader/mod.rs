//! Where several control planes share a store, exactly one runs the controllers, and one the scheduler.
//!
//! ```text
//!   waits ──the Lease is free, or was not renewed for 15 s──▶ leads ──asked to end──▶ gives it back
//!     ▲                                                         │
//!     └── acts no longer ◀── could not renew it for 10 s ◀──────┘
//! ```
//!
//! Who leads counts its 10 s from before it asked for the renewal, and others their 15 s from when they saw it, which is
//! later: who cannot reach the store has stopped when another begins. Requests that were sent by then have 3 s to end
//! before they are dropped. One that did not run at all for a while, stopped by a signal perhaps, is refused every write
//! when it runs again: those ask a [`Fence`] before, and not a timer that may come late.

mod core;

use std::fmt::Write as _;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use daemon::CancellationToken;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};

use self::core::Election;
pub use self::core::Times;
use crate::apiserver::server::Server;
use crate::client::{Client, Fence, Gvr, Id, Refused};
use crate::controllers::{Ended, Term};

static LEASES: Gvr = Gvr::of("coordination.k8s.io", "v1", "leases");
const NAMESPACE: &str = "kube-system";
/// What was begun ends within, once the Lease is lost.
const END: Duration = Duration::from_secs(3);

/// A name that no other process has.
pub fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut bytes = [0; 8];
    // Without chance the number of the process tells apart those on one machine.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        bytes = u64::from(std::process::id()).to_be_bytes();
    }
    let mut name = format!("{}_", host.trim());
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// What is led.
pub struct Office {
    /// The name of the Lease, and of the user under whom it is held.
    pub name: &'static str,
    /// Who would lead.
    pub identity: String,
    /// How long what takes.
    pub times: Times,
}

struct Candidate {
    client: Client,
    lease: Id,
    election: Election,
    times: Times,
}

impl Candidate {
    /// Reads the Lease and writes it where it may; true when it is held then.
    async fn try_hold(&mut self) -> Result<bool, Refused> {
        let (found, now) = (self.read().await?, self.client.now());
        let spec = found.as_ref().map(|lease| &lease["spec"]);
        let Some(spec) = self.election.claim(spec, Instant::now(), now) else { return Ok(false) };
        self.write(found, spec).await?;
        Ok(true)
    }

    async fn give_back(&self) -> Result<(), Refused> {
        let Some(found) = self.read().await? else { return Ok(()) };
        match self.election.release(&found["spec"], self.client.now()) {
            Some(spec) => self.write(Some(found), spec).await,
            None => Ok(()),
        }
    }

    async fn read(&self) -> Result<Option<Value>, Refused> {
        match self.client.get(&self.lease).await {
            Ok(lease) => Ok(Some(lease)),
            Err(refused) if refused.is_not_found() => Ok(None),
            Err(refused) => Err(refused),
        }
    }

    /// Writes it where nobody else did since it was read.
    async fn write(&self, found: Option<Value>, spec: Value) -> Result<(), Refused> {
        match found {
            Some(mut lease) => {
                lease["spec"] = spec;
                self.client.replace(&self.lease, "", &lease).await.map(drop)
            }
            None => {
                let lease = json!({"apiVersion": LEASES.api_version(), "kind": "Lease", "spec": spec,
                    "metadata": {"name": self.lease.name, "namespace": NAMESPACE}});
                self.client.create(&LEASES, NAMESPACE, &lease).await.map(drop)
            }
        }
    }

    /// Returns once it is held, with the time from which on that counts.
    async fn wait(&mut self) -> Instant {
        loop {
            let began = Instant::now();
            match self.try_hold().await {
                Ok(true) => return began,
                Ok(false) => {}
                Err(error) if error.is_conflict() => {}
                Err(error) => tracing::debug!(%error, lease = self.lease.name, "asking who leads"),
            }
            tokio::time::sleep(self.times.retry).await;
        }
    }

    /// Returns once it is held no longer, or may not be. The fence holds for as long as it is.
    async fn keep(&mut self, mut since: Instant, fence: &Fence) {
        loop {
            let until = since + self.times.deadline;
            tokio::time::sleep_until((Instant::now() + self.times.retry).min(until).into()).await;
            let began = Instant::now();
            match tokio::time::timeout_at(until.into(), self.try_hold()).await {
                Ok(Ok(true)) => {
                    since = began;
                    fence.set(since + self.times.deadline);
                }
                Ok(Ok(false)) => return tracing::error!(lease = self.lease.name, "another one leads"),
                Ok(Err(error)) => tracing::warn!(%error, lease = self.lease.name, "renewing the lease"),
                Err(_) => {
                    return tracing::error!(
                        lease = self.lease.name,
                        "the lease could not be renewed in time"
                    );
                }
            }
        }
    }
}

/// Runs what `work` makes whenever this one leads, until `closing`. Each time it is made anew, for a term of its own, and
/// is to end soon after that is over.
///
/// # Errors
/// When the work ended before it was asked to.
pub async fn lead<F: Future<Output = Result<(), Ended>>>(
    server: Arc<Server>,
    office: Office,
    closing: CancellationToken,
    work: impl Fn(Term) -> F,
) -> Result<(), Ended> {
    let leads = Arc::new(AtomicBool::new(false));
    let (told, name) = (leads.clone(), office.name);
    let metric = move || {
        let (metric, leads) = ("leader_election_master_status", u8::from(told.load(Ordering::Relaxed)));
        format!("# TYPE {metric} gauge\n{metric}{{name=\"{name}\"}} {leads}\n")
    };
    server.metrics.put(name, Box::new(metric));
    let mut candidate = Candidate {
        client: Client::new(server, &format!("system:{name}"), &[], name),
        lease: Id::new(&LEASES, NAMESPACE, name),
        election: Election::new(office.identity.clone(), office.times),
        times: office.times,
    };
    loop {
        leads.store(false, Ordering::Relaxed);
        let Some(since) = closing.run_until_cancelled(candidate.wait()).await else { return Ok(()) };
        tracing::info!(lease = office.name, identity = office.identity, "leads");
        leads.store(true, Ordering::Relaxed);
        let (token, fence) = (closing.child_token(), Fence::until(since + office.times.deadline));
        let term = Term { closing: token.clone(), fence: Some(fence.clone()) };
        let mut working = std::pin::pin!(work(term));
        tokio::select! {
            ended = &mut working => {
                let _ = candidate.give_back().await;
                // It is asked to end with everything, or ended by itself.
                return if closing.is_cancelled() { ended } else { ended.and(Err(Ended::early(office.name))) };
            }
            () = candidate.keep(since, &fence) => {
                token.cancel();
                fence.set(Instant::now());
                if tokio::time::timeout(END, working).await.is_err() {
                    tracing::warn!(lease = office.name, "work that did not end in time is dropped");
                }
            }
        }
    }
}
