//! `orlop import`.

use std::path::PathBuf;
use std::process::ExitCode;

use api_cri::images::ImportRequest;
use api_cri::images::images_client::ImagesClient;
use clap::Args;

use super::cri::{connect, refused};
use super::{PlainOutput, block_on, progress};
use crate::{Error, Global};

/// What to import.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// A folder with an OCI image layout, on the daemon's machine
    path: PathBuf,
    /// The image's name, such as docker.io/library/busybox:1.35; may be given more than once. Without it the layout
    /// must name the image
    #[arg(long = "name", value_name = "IMAGE")]
    names: Vec<String>,
    #[command(flatten)]
    output: PlainOutput,
}

/// Imports an image from files, shows how far it is, and prints its id.
pub(crate) fn run(global: &Global, flags: &Flags) -> Result<ExitCode, Error> {
    // The daemon has another working folder.
    let path = std::path::absolute(&flags.path).map_err(|error| Error::failed(&error))?;
    let path =
        path.to_str().ok_or_else(|| Error::Usage(format!("{} is not UTF-8", path.display())))?.to_owned();
    let done = block_on(async {
        let mut client = ImagesClient::new(connect(global).await?);
        let request = ImportRequest { path, names: flags.names.clone() };
        progress::follow(client.import(request).await.map_err(refused)?.into_inner()).await
    })?;
    progress::show(flags.output, done)
}
