//! Importing an OCI image layout: a folder with `index.json` and `blobs/sha256/`.

use std::path::Path;
use std::sync::Arc;

use super::layers::Listener;
use super::manifest::{self, Document};
use super::pull::{Blobs, size};
use super::reference::Reference;
use super::store::{Image, ImageStore};
use super::{ImageError, digest};

const NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

impl ImageStore {
    /// Imports the image of a layout under these names, or under those that the layout itself has.
    pub(crate) async fn import(
        &self,
        layout: &Path,
        names: &[String],
        progress: Listener,
    ) -> Result<Arc<Image>, ImageError> {
        let index = layout.join("index.json");
        let bytes = read(&index, manifest::LARGEST_MANIFEST)?;
        let Document::Index(entries) = manifest::parse(&index.display().to_string(), &bytes)? else {
            return Err(ImageError::malformed(index.display().to_string(), "is no index"));
        };
        let descriptor = match entries.as_slice() {
            [only] => only,
            several => manifest::choose(several, manifest::architecture()).ok_or_else(|| {
                ImageError::malformed(
                    index.display().to_string(),
                    "names several images and none for this machine",
                )
            })?,
        };
        let given = names.iter().map(String::as_str);
        let own =
            [NAME, REF_NAME].iter().find_map(|key| descriptor.annotations.get(*key)).map(String::as_str);
        let references = match names.is_empty() {
            false => given.map(Reference::parse).collect::<Result<Vec<_>, _>>()?,
            // A bare tag, as many tools write it, names no repository.
            true => {
                own.filter(|name| name.contains('/')).map(Reference::parse).transpose()?.into_iter().collect()
            }
        };
        if references.is_empty() {
            return Err(ImageError::malformed(
                index.display().to_string(),
                "does not name its image; give a name",
            ));
        }
        let blobs = layout.join("blobs/sha256");
        let manifest_bytes = blob(&blobs, &descriptor.digest)?;
        let what = format!("manifest {}", descriptor.digest);
        let Document::Manifest(manifest) = manifest::parse(&what, &manifest_bytes)? else {
            return Err(ImageError::malformed(what, "is an index inside an index"));
        };
        let config = blob(&blobs, &manifest.config.digest)?;
        let parsed = manifest::configuration(&config, &manifest)?;
        self.fetch(Blobs::Folder(blobs), &manifest, parsed.rootfs().diff_ids(), &progress, || {
            let mut recorded = None;
            for reference in &references {
                let image =
                    self.record(reference, &descriptor.digest, &config, parsed.clone(), size(&manifest))?;
                recorded = Some(image);
            }
            recorded.ok_or_else(|| ImageError::Records("no name".into()))
        })
        .await
    }
}

/// A small blob of a layout, verified.
fn blob(folder: &Path, wanted: &str) -> Result<Vec<u8>, ImageError> {
    if !digest::is_valid(wanted) {
        return Err(ImageError::malformed("index.json", format!("digest {wanted:?} cannot be verified")));
    }
    let path = folder.join(&wanted["sha256:".len()..]);
    let bytes = read(&path, manifest::LARGEST_MANIFEST)?;
    digest::verify(&path.display().to_string(), &bytes, wanted)?;
    Ok(bytes)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ImageError> {
    let size = std::fs::metadata(path).map_err(ImageError::io("reading", path))?.len();
    if size > limit {
        return Err(ImageError::malformed(
            path.display().to_string(),
            format!("over the limit of {limit} bytes"),
        ));
    }
    std::fs::read(path).map_err(ImageError::io("reading", path))
}
