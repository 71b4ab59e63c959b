//! Pulling: one pull per reference and credentials at a time, layers in parallel.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::layers::{Listener, Source};
use super::manifest::{self, Document, Manifest};
use super::reference::Reference;
use super::store::{Image, ImageStore};
use super::{Credentials, ImageError, Progress, registry};

/// Blobs of one pull that are read at the same time.
const PARALLEL: usize = 4;
const LARGEST_CONFIG: u64 = 8 << 20;
/// An index of an index is allowed, a chain of them is not.
const DEEPEST_INDEX: usize = 3;

/// What a caller wants besides the reference.
#[derive(Clone, Default)]
pub(crate) struct PullOptions {
    /// Who we are to the registry.
    pub(crate) credentials: Credentials,
    /// Called for every piece that arrives, from the pull's own task.
    pub(crate) progress: Option<Listener>,
}

/// Two pulls are one when both agree.
pub(super) type Key = (Reference, Credentials);
type Outcome = Result<Arc<Image>, Arc<ImageError>>;

/// A pull that others may join. It ends when nobody waits for it any more.
pub(super) struct Joined {
    outcome: WeakShared<BoxFuture<'static, Outcome>>,
    listeners: Arc<RwLock<Vec<Listener>>>,
}

impl ImageStore {
    /// Pulls an image, or joins a pull of it that is under way. The registry is always asked what the tag is now;
    /// layers that are there are not read again.
    pub(crate) async fn pull(&self, reference: &str, options: PullOptions) -> Result<Arc<Image>, ImageError> {
        let reference = Reference::parse(reference)?;
        let key = (reference.clone(), options.credentials.clone());
        let outcome = {
            let mut pulls = self.pulls();
            pulls
                .retain(|_, joined| joined.outcome.upgrade().is_some_and(|outcome| outcome.peek().is_none()));
            match pulls.get(&key).and_then(|joined| Some((joined.outcome.upgrade()?, joined))) {
                Some((outcome, joined)) => {
                    listeners(&joined.listeners).extend(options.progress);
                    outcome
                }
                None => {
                    let (outcome, joined) = self.begin(reference, options);
                    pulls.insert(key, joined);
                    outcome
                }
            }
        };
        outcome.await.map_err(|error| Arc::try_unwrap(error).unwrap_or_else(ImageError::Shared))
    }

    fn begin(
        &self,
        reference: Reference,
        options: PullOptions,
    ) -> (Shared<BoxFuture<'static, Outcome>>, Joined) {
        let told: Arc<RwLock<Vec<Listener>>> = Arc::new(RwLock::new(options.progress.into_iter().collect()));
        let tell = told.clone();
        let progress: Listener = Arc::new(move |progress: Progress| {
            for listener in tell.read().unwrap_or_else(PoisonError::into_inner).iter() {
                listener(progress.clone());
            }
        });
        let store = self.clone();
        let pull =
            async move { store.pull_now(reference, options.credentials, progress).await.map_err(Arc::new) };
        let outcome = pull.boxed().shared();
        let weak = outcome.downgrade();
        // A future that has not been polled to its end is still there.
        let joined =
            Joined { outcome: weak.unwrap_or_else(|| unreachable!("not polled yet")), listeners: told };
        (outcome, joined)
    }

    async fn pull_now(
        self,
        reference: Reference,
        credentials: Credentials,
        progress: Listener,
    ) -> Result<Arc<Image>, ImageError> {
        let client = Arc::new(registry::Client::new(self.registries(), reference.clone(), credentials)?);
        let (manifest, digest, named) = resolve(&client, &reference).await?;
        let config = client.small_blob(&manifest.config.digest, LARGEST_CONFIG).await?;
        let parsed = manifest::configuration(&config, &manifest)?;
        tracing::debug!(%reference, manifest = %digest, "resolved");
        self.fetch(Blobs::Registry(client), &manifest, parsed.rootfs().diff_ids(), &progress, || {
            self.record(&reference, &named, &config, parsed.clone(), size(&manifest))
        })
        .await
    }

    /// Makes all layers, then records the image, while nothing of it can be collected.
    pub(super) async fn fetch(
        &self,
        blobs: Blobs,
        manifest: &Manifest,
        diff_ids: &[String],
        progress: &Listener,
        record: impl FnOnce() -> Result<Arc<Image>, ImageError>,
    ) -> Result<Arc<Image>, ImageError> {
        let _wanted = self.layers().want(diff_ids);
        let room = Arc::new(Semaphore::new(PARALLEL));
        let mut tasks = JoinSet::new();
        for (blob, diff_id) in manifest.layers.iter().cloned().zip(diff_ids.iter().cloned()) {
            let (store, blobs, room, progress) =
                (self.clone(), blobs.clone(), room.clone(), progress.clone());
            tasks.spawn(async move {
                let _room = room.acquire().await;
                let source = match &blobs {
                    Blobs::Registry(client) => Source::Registry(client),
                    Blobs::Folder(folder) => Source::File(folder.clone()),
                };
                store.layers().ensure(&source, &blob, &diff_id, &progress).await
            });
        }
        while let Some(result) = tasks.join_next().await {
            // The first error ends the pull; dropping the set ends the other layers and their children.
            result.map_err(|error| ImageError::Records(format!("a layer's task: {error}")))??;
        }
        record()
    }
}

/// Where all blobs of an image come from.
#[derive(Clone)]
pub(super) enum Blobs {
    Registry(Arc<registry::Client>),
    Folder(PathBuf),
}

fn listeners(of: &RwLock<Vec<Listener>>) -> std::sync::RwLockWriteGuard<'_, Vec<Listener>> {
    of.write().unwrap_or_else(PoisonError::into_inner)
}

/// As a registry counts it: what is transferred.
pub(super) fn size(manifest: &Manifest) -> u64 {
    manifest.layers.iter().map(|layer| layer.size).sum::<u64>() + manifest.config.size
}

/// The manifest for this machine, its digest, and the digest that the reference itself names.
async fn resolve(
    client: &registry::Client,
    reference: &Reference,
) -> Result<(Manifest, String, String), ImageError> {
    let (mut bytes, mut digest) = client.manifest(reference.identifier()).await?;
    let named = digest.clone();
    for _ in 0..DEEPEST_INDEX {
        let entries = match manifest::parse(&format!("manifest of {reference}"), &bytes)? {
            Document::Manifest(manifest) => return Ok((manifest, digest, named)),
            Document::Index(entries) => entries,
        };
        let architecture = manifest::architecture();
        let chosen = manifest::choose(&entries, architecture).ok_or_else(|| ImageError::Platform {
            reference: reference.to_string(),
            platform: format!("linux/{architecture}"),
        })?;
        (bytes, digest) = client.manifest(&chosen.digest).await?;
    }
    Err(ImageError::malformed(format!("index of {reference}"), "nested too deeply"))
}
