//! Images for containers: the pull policy, and garbage collection by disk use.

mod gc;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use api_cri::v1 as cri;
use tokio::sync::Mutex as AsyncMutex;

use crate::core::{Failure, INVALID_IMAGE};
use crate::cri::Client;
use crate::translate::Image;

pub(crate) use gc::Collector;

/// When an image is pulled (`imagePullPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Always,
    IfNotPresent,
    Never,
}

impl Policy {
    /// Of a container that went through defaulting.
    pub(crate) fn of(text: Option<&str>) -> Self {
        match text {
            Some("Always") => Self::Always,
            Some("Never") => Self::Never,
            _ => Self::IfNotPresent,
        }
    }
}

/// Brings images to the node. Clones share what is in flight.
#[derive(Clone)]
pub(crate) struct Images {
    client: Client,
    /// One pull per reference at a time; who comes second finds the image there.
    pulls: Arc<Mutex<HashMap<String, Arc<AsyncMutex<()>>>>>,
}

impl Images {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, pulls: Arc::default() }
    }

    /// Makes sure that an image is there, as its policy says.
    pub(crate) async fn ensure(
        &self,
        reference: &str,
        policy: Policy,
        sandbox: &cri::PodSandboxConfig,
    ) -> Result<Image, Failure> {
        let fail = |reason: &str, message: String| Failure { reason: reason.into(), message };
        if let Err(why) = api_cri::reference::parse(reference) {
            let text = format!("couldn't parse image name \"{reference}\": invalid reference format: {why}");
            return Err(fail(INVALID_IMAGE, text));
        }
        let inspect = |status: tonic::Status| fail("ImageInspectError", status.message().into());
        if policy != Policy::Always
            && let Some(image) = self.status(reference).await.map_err(inspect)?
        {
            return Ok(image);
        }
        if policy == Policy::Never {
            let text = format!("Container image \"{reference}\" is not present with pull policy of Never");
            return Err(fail("ErrImageNeverPull", text));
        }
        let turn = {
            let mut pulls = self.pulls.lock().unwrap_or_else(PoisonError::into_inner);
            // What nobody waits for any more need not be remembered.
            pulls.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(pulls.entry(reference.into()).or_default())
        };
        let _turn = turn.lock().await;
        if policy == Policy::IfNotPresent
            && let Some(image) = self.status(reference).await.map_err(inspect)?
        {
            return Ok(image);
        }
        let request = cri::PullImageRequest {
            image: Some(spec(reference)),
            auth: None,
            sandbox_config: Some(sandbox.clone()),
        };
        tracing::info!(image = reference, "pulling");
        let pulled = self.client.images.clone().pull_image(request).await;
        pulled.map_err(|status| fail("ErrImagePull", said(&status)))?;
        let image = self.status(reference).await.map_err(inspect)?;
        image.ok_or_else(|| fail("ErrImagePull", "the runtime pulled the image but does not have it".into()))
    }

    async fn status(&self, reference: &str) -> Result<Option<Image>, tonic::Status> {
        let request = cri::ImageStatusRequest { image: Some(spec(reference)), verbose: false };
        let image = self.client.images.clone().image_status(request).await?.into_inner().image;
        Ok(image.map(|image| Image {
            id: image.id,
            uid: image.uid.map(|uid| uid.value),
            username: image.username,
        }))
    }
}

fn spec(reference: &str) -> cri::ImageSpec {
    cri::ImageSpec { image: reference.into(), user_specified_image: reference.into(), ..Default::default() }
}

/// A gRPC error in the words that people find when they search for it.
pub(crate) fn said(status: &tonic::Status) -> String {
    format!("rpc error: code = {:?} desc = {}", status.code(), status.message())
}
