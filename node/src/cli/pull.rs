//! `orlop pull`.

use std::process::ExitCode;

use api_cri::images::PullRequest;
use api_cri::images::images_client::ImagesClient;
use clap::Args;

use super::cri::{connect, refused};
use super::{PlainOutput, block_on, progress};
use crate::{Error, Global};

/// What to pull.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// The image, such as nginx, docker.io/library/nginx:1.27 or HOST/NAME@sha256:DIGEST
    image: String,
    #[command(flatten)]
    output: PlainOutput,
}

/// Fetches an image from its registry, shows how far it is, and prints its id.
pub(crate) fn run(global: &Global, flags: &Flags) -> Result<ExitCode, Error> {
    let done = block_on(async {
        let mut client = ImagesClient::new(connect(global).await?);
        let request = PullRequest { reference: flags.image.clone() };
        progress::follow(client.pull(request).await.map_err(refused)?.into_inner()).await
    })?;
    progress::show(flags.output, done)
}
