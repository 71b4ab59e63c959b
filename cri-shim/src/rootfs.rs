//! What the runtime side needs of the image side.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::core::failure::{Code, Failure};
use crate::core::spec::ImageDefaults;
use crate::image::{Image, ImageError, ImageStore, Snapshots};

/// An image that is present.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageInfo {
    /// The digest of its configuration: what `image_id` is.
    pub id: String,
    /// What `image_ref` is: its name with the manifest's digest, or its id when it was never in a repository.
    pub reference: String,
    /// What containers inherit of it.
    pub defaults: ImageDefaults,
}

/// Images as the root filesystems of containers.
pub(crate) trait Rootfs: Send + Sync + 'static {
    /// The image of a reference or an id.
    fn resolve(&self, reference: &str) -> Result<ImageInfo, Failure>;
    /// Mounts a writable view of the image. The container's own changes last until [`remove`](Self::remove).
    fn mount(&self, container: &str, image: &str, target: &Path) -> Result<(), Failure>;
    /// Unmounts it and discards the container's changes. Nothing there is success.
    fn remove(&self, container: &str, target: &Path) -> Result<(), Failure>;
    /// Discards the changes of all containers but these, after a reboot or a crash.
    fn retain(&self, containers: &[String]) -> Result<(), Failure>;
    /// Bytes and inodes that the container's changes take, and the filesystem that they lie on.
    fn usage(&self, container: &str) -> Option<(u64, u64, String)>;
}

/// The image store of this machine.
pub(crate) struct StoredImages {
    store: ImageStore,
    snapshots: Snapshots,
    /// The folder whose filesystem holds what containers write.
    root: PathBuf,
}

impl StoredImages {
    /// The images of a store that lies in `root`.
    pub(crate) fn new(store: ImageStore, root: PathBuf) -> Self {
        Self { snapshots: Snapshots::new(store.clone()), store, root }
    }

    fn image(&self, reference: &str) -> Result<Arc<Image>, Failure> {
        let missing = || Failure::new(Code::NotFound, format!("image {reference:?} is not present"));
        self.store.get(reference).ok_or_else(missing)
    }
}

impl Rootfs for StoredImages {
    fn resolve(&self, reference: &str) -> Result<ImageInfo, Failure> {
        let image = self.image(reference)?;
        let config = image.config.config().clone().unwrap_or_default();
        let list = |values: &Option<Vec<String>>| values.clone().unwrap_or_default();
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Ok(ImageInfo {
            id: image.id().to_owned(),
            reference: image.repo_digests().next().unwrap_or(image.id()).to_owned(),
            defaults: ImageDefaults {
                env: list(config.env()),
                entrypoint: list(config.entrypoint()),
                cmd: list(config.cmd()),
                user: text(config.user()),
                working_dir: text(config.working_dir()),
                stop_signal: text(config.stop_signal()),
            },
        })
    }

    fn mount(&self, container: &str, image: &str, target: &Path) -> Result<(), Failure> {
        self.snapshots.mount(container, &*self.image(image)?, target).map_err(failed)
    }

    fn remove(&self, container: &str, target: &Path) -> Result<(), Failure> {
        self.snapshots.remove(container, target).map_err(failed)
    }

    fn retain(&self, containers: &[String]) -> Result<(), Failure> {
        self.snapshots.retain(containers).map_err(failed)
    }

    fn usage(&self, container: &str) -> Option<(u64, u64, String)> {
        let (bytes, inodes) = self.snapshots.usage(container)?;
        Some((bytes, inodes, self.root.display().to_string()))
    }
}

fn failed(error: ImageError) -> Failure {
    Failure::internal(error.to_string())
}
