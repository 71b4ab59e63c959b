//! Which pod, and which of its containers, a person means: the same flags for every command that takes one.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::kubelet::Kubelet;
use super::pod::{self, Pod};
use crate::Error;

/// A pod.
#[derive(Args, Clone, Debug)]
pub(crate) struct OfPod {
    /// The pod: NAME or NAMESPACE/NAME
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(super) pod: String,
    /// Its namespace
    #[arg(short, long, value_name = "NAME")]
    pub(super) namespace: Option<String>,
}

impl OfPod {
    /// The one that is meant.
    pub(super) fn find<'a>(&self, pods: &'a [Pod]) -> Result<&'a Pod, Error> {
        pod::find(pods, self.namespace.as_deref(), &self.pod)
    }
}

/// A container.
#[derive(Args, Clone, Debug)]
pub(crate) struct OfContainer {
    #[command(flatten)]
    of: OfPod,
    /// The container; without it the first one
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
}

/// The container that is meant.
#[derive(Debug)]
pub(super) struct Chosen {
    /// Namespace, pod and container, as the kubelet's paths have them.
    pub(super) path: [String; 3],
    /// It reads its standard input.
    pub(super) stdin: bool,
    /// It has a terminal.
    pub(super) tty: bool,
}

impl OfContainer {
    /// Asks the kubelet; says so when there was a choice.
    pub(super) async fn choose(&self, kubelet: &Kubelet) -> Result<Chosen, Error> {
        let pods = kubelet.pods().await?;
        let pod = self.of.find(&pods)?;
        let (container, note) = pod.container(self.container.as_deref())?;
        if let Some(note) = note {
            eprintln!("orlop: {note}");
        }
        let path = [&pod.metadata.namespace, &pod.metadata.name, &container.name].map(Clone::clone);
        Ok(Chosen { path, stdin: container.stdin, tty: container.tty })
    }
}
