//! `orlop logs`.

use std::process::ExitCode;

use clap::Args;
use http_body_util::BodyExt as _;

use super::kubelet::{Kubelet, encode};
use super::{block_on, output, pod};
use crate::{Error, Global};

/// Whose, and how much of them.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// The pod: NAME or NAMESPACE/NAME
    pod: String,
    /// The container; without it the first one
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Goes on with what is written from now on
    #[arg(short, long)]
    follow: bool,
    /// The container's run before its last restart
    #[arg(short, long)]
    previous: bool,
    /// The last lines only
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
    /// Begins every line with its time
    #[arg(long)]
    timestamps: bool,
}

fn target(path: [&str; 3], flags: &Flags) -> String {
    let [namespace, pod, container] = path.map(encode);
    let mut query = Vec::new();
    for (name, set) in
        [("follow", flags.follow), ("previous", flags.previous), ("timestamps", flags.timestamps)]
    {
        if set {
            query.push(format!("{name}=true"));
        }
    }
    query.extend(flags.tail.map(|lines| format!("tailLines={lines}")));
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/containerLogs/{namespace}/{pod}/{container}{mark}{}", query.join("&"))
}

/// Prints a container's log as it comes.
pub(crate) fn run(global: &Global, flags: &Flags) -> Result<ExitCode, Error> {
    let kubelet = Kubelet::new(global)?;
    block_on(async {
        let pods = kubelet.pods().await?;
        let pod = pod::find(&pods, &flags.pod)?;
        let (container, note) = pod.container(flags.container.as_deref())?;
        if let Some(note) = note {
            eprintln!("orlop: {note}");
        }
        let path = [&*pod.metadata.namespace, &*pod.metadata.name, &*container.name];
        let mut body = kubelet.get(&target(path, flags)).await?;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Error::failed(&error))?;
            if let Some(bytes) = frame.data_ref() {
                output::write(bytes)
                    .map_err(|error| Error::Failed(format!("writing the output: {error}")))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_the_kubelets_query() {
        let mut flags = Flags {
            pod: "p".into(),
            container: None,
            follow: false,
            previous: false,
            tail: None,
            timestamps: false,
        };
        assert_eq!(target(["n", "p", "c"], &flags), "/containerLogs/n/p/c");
        (flags.follow, flags.previous, flags.timestamps, flags.tail) = (true, true, true, Some(5));
        let expected = "/containerLogs/n/p/c?follow=true&previous=true&timestamps=true&tailLines=5";
        assert_eq!(target(["n", "p", "c"], &flags), expected);
    }
}
