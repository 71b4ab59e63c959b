//! Images over gRPC: CRI's ImageService here, and our own beside it in [`progress`]. Both decode, ask the one store,
//! and encode; they decide nothing.

mod progress;

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use api_cri::v1::image_service_server::ImageService;
use api_cri::v1::{
    self as cri, FilesystemIdentifier, FilesystemUsage, ImageFilter, ImageFsInfoRequest, ImageFsInfoResponse,
    ImageSpec, ImageStatusRequest, ImageStatusResponse, Int64Value, ListImagesRequest, ListImagesResponse,
    PullImageRequest, PullImageResponse, RemoveImageRequest, RemoveImageResponse, StreamImagesRequest,
    StreamImagesResponse, UInt64Value,
};
use futures_util::Stream;
use tonic::{Code, Request, Response, Status};

use crate::image::{Credentials, Image, ImageError, ImageStore, PullOptions};

/// How many images one message of [`ImageService::stream_images`] holds: far below the largest message.
const STREAMED_TOGETHER: usize = 256;

/// Serves both image services.
#[derive(Clone)]
pub(crate) struct Images {
    /// Where they come from and go to.
    pub store: ImageStore,
    /// The folder of the store: its filesystem is what a kubelet watches.
    pub root: PathBuf,
}

#[tonic::async_trait]
impl ImageService for Images {
    async fn list_images(
        &self,
        request: Request<ListImagesRequest>,
    ) -> Result<Response<ListImagesResponse>, Status> {
        let images = self.matching(request.into_inner().filter);
        Ok(Response::new(ListImagesResponse { images }))
    }

    type StreamImagesStream = Pin<Box<dyn Stream<Item = Result<StreamImagesResponse, Status>> + Send>>;

    async fn stream_images(
        &self,
        request: Request<StreamImagesRequest>,
    ) -> Result<Response<Self::StreamImagesStream>, Status> {
        let images = self.matching(request.into_inner().filter);
        let messages: Vec<_> = images
            .chunks(STREAMED_TOGETHER)
            .map(|images| Ok(StreamImagesResponse { images: images.to_vec() }))
            .collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
    }

    async fn image_status(
        &self,
        request: Request<ImageStatusRequest>,
    ) -> Result<Response<ImageStatusResponse>, Status> {
        let ImageStatusRequest { image, verbose } = request.into_inner();
        // An image that is not there is no error: the answer has none.
        let Some(found) = self.store.get(&wanted(image)?) else {
            return Ok(Response::new(ImageStatusResponse::default()));
        };
        let info = if verbose { verbose_info(&found) } else { HashMap::new() };
        Ok(Response::new(ImageStatusResponse { image: Some(described(&found)), info }))
    }

    async fn pull_image(
        &self,
        request: Request<PullImageRequest>,
    ) -> Result<Response<PullImageResponse>, Status> {
        // The pod and the runtime handler do not matter: all handlers start from the same layers.
        let PullImageRequest { image, auth, sandbox_config: _ } = request.into_inner();
        let credentials = Credentials::from_cri(auth).map_err(Status::invalid_argument)?;
        let image = self.store.pull(&wanted(image)?, PullOptions { credentials, progress: None }).await?;
        Ok(Response::new(PullImageResponse { image_ref: image.id().to_owned() }))
    }

    async fn remove_image(
        &self,
        request: Request<RemoveImageRequest>,
    ) -> Result<Response<RemoveImageResponse>, Status> {
        let reference = wanted(request.into_inner().image)?;
        let store = self.store.clone();
        // Removing layers takes as long as the disk does.
        let removed = tokio::task::spawn_blocking(move || store.remove(&reference)).await;
        removed.map_err(|error| Status::internal(format!("removing an image: {error}")))??;
        Ok(Response::new(RemoveImageResponse {}))
    }

    async fn image_fs_info(
        &self,
        _request: Request<ImageFsInfoRequest>,
    ) -> Result<Response<ImageFsInfoResponse>, Status> {
        let store = self.store.clone();
        let usage = tokio::task::spawn_blocking(move || store.usage()).await;
        let (bytes, inodes) = usage.map_err(|error| Status::internal(format!("counting layers: {error}")))?;
        let filesystem = FilesystemUsage {
            timestamp: now_nanoseconds(),
            fs_id: Some(FilesystemIdentifier { mountpoint: self.root.display().to_string() }),
            used_bytes: None,
            inodes_used: None,
        };
        let images = FilesystemUsage {
            used_bytes: Some(UInt64Value { value: bytes }),
            inodes_used: Some(UInt64Value { value: inodes }),
            ..filesystem.clone()
        };
        Ok(Response::new(ImageFsInfoResponse {
            image_filesystems: vec![images],
            // The same filesystem. What containers write there is in their own statistics; adding it up on every
            // call of the eviction manager would mean walking all of it.
            container_filesystems: vec![filesystem],
        }))
    }
}

impl Images {
    fn matching(&self, filter: Option<ImageFilter>) -> Vec<cri::Image> {
        let wanted = filter.and_then(|filter| filter.image).map(|image| image.image).unwrap_or_default();
        if wanted.is_empty() {
            return self.store.list().iter().map(|image| described(image)).collect();
        }
        self.store.get(&wanted).iter().map(|image| described(image)).collect()
    }
}

/// The reference or id of a request. The other fields of an [`ImageSpec`] are notes of the kubelet to itself.
fn wanted(image: Option<ImageSpec>) -> Result<String, Status> {
    image
        .map(|image| image.image)
        .filter(|image| !image.is_empty())
        .ok_or_else(|| Status::invalid_argument("image is missing"))
}

/// An image as the CRI has it.
fn described(image: &Image) -> cri::Image {
    let user = image.config.config().as_ref().and_then(|config| config.user().as_deref()).unwrap_or_default();
    let (uid, username) = user_of(user);
    cri::Image {
        id: image.id().to_owned(),
        repo_tags: image.repo_tags().map(str::to_owned).collect(),
        repo_digests: image.repo_digests().map(str::to_owned).collect(),
        size: image.size(),
        uid,
        username,
        spec: None,
        // There is no pause image, or any other that must stay.
        pinned: false,
    }
}

/// The user of an image's configuration is a number or a name, with a group behind a colon.
fn user_of(user: &str) -> (Option<Int64Value>, String) {
    let user = user.split(':').next().unwrap_or_default();
    match user.parse() {
        Ok(value) => (Some(Int64Value { value }), String::new()),
        Err(_) => (None, user.to_owned()),
    }
}

/// Keys as containerd has them, for the tools that read them.
fn verbose_info(image: &Image) -> HashMap<String, String> {
    let text = format!(r#"{{"imageSpec":{}}}"#, image.config_json());
    HashMap::from([("info".to_owned(), text)])
}

fn now_nanoseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

impl From<ImageError> for Status {
    fn from(error: ImageError) -> Self {
        Self::new(code(&error), error.to_string())
    }
}

fn code(error: &ImageError) -> Code {
    match error {
        ImageError::Reference { .. } => Code::InvalidArgument,
        ImageError::NotFound { .. } => Code::NotFound,
        ImageError::Denied { .. } => Code::PermissionDenied,
        ImageError::Transport { .. } => Code::Unavailable,
        ImageError::Shared(error) => code(Arc::as_ref(error)),
        // As containerd's failures, which carry no code.
        _ => Code::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_images_user_is_a_number_or_a_name_and_never_a_group() {
        for (text, uid, name) in [
            ("", None, ""),
            ("1002", Some(1002), ""),
            ("1003:50000", Some(1003), ""),
            ("www-data", None, "www-data"),
            ("www-data:100", None, "www-data"),
        ] {
            assert_eq!(user_of(text), (uid.map(|value| Int64Value { value }), name.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_joined_pulls_failure_keeps_its_code() {
        let missing = || ImageError::NotFound { reference: "x".into() };
        assert_eq!(Status::from(ImageError::Shared(Arc::new(missing()))).code(), Code::NotFound);
    }

    #[test]
    fn a_request_without_an_image_is_refused() {
        for image in [None, Some(ImageSpec::default())] {
            assert_eq!(wanted(image).unwrap_err().code(), Code::InvalidArgument);
        }
    }
}
