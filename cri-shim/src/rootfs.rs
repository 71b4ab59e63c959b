//! What the runtime side needs of the image side.

use std::path::Path;

use crate::core::failure::Failure;
use crate::core::spec::ImageDefaults;

/// An image that is present.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageInfo {
    /// The digest of its configuration: what `image_ref` and `image_id` are.
    pub id: String,
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

/// A daemon without an image store: no image is ever present.
pub(crate) struct NoImages;

impl Rootfs for NoImages {
    fn resolve(&self, reference: &str) -> Result<ImageInfo, Failure> {
        Err(Failure::not_found("image", reference))
    }

    fn mount(&self, _container: &str, image: &str, _target: &Path) -> Result<(), Failure> {
        Err(Failure::not_found("image", image))
    }

    fn remove(&self, _container: &str, target: &Path) -> Result<(), Failure> {
        Ok(crate::disk::unmount(target)?)
    }

    fn retain(&self, _containers: &[String]) -> Result<(), Failure> {
        Ok(())
    }

    fn usage(&self, _container: &str) -> Option<(u64, u64, String)> {
        None
    }
}
