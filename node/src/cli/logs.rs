//! `orlop logs`.

use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};

use super::kubelet::{Kubelet, encode};
use super::whom::OfContainer;
use super::{block_on, output};
use crate::{Error, Global};

/// Whose, and how much of them.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    of: OfContainer,
    #[command(flatten)]
    part: Part,
}

/// How much of a log.
#[derive(Args, Clone, Debug, Default)]
struct Part {
    /// Goes on with what is written from now on
    #[arg(short, long)]
    follow: bool,
    /// The container's run before its last restart
    #[arg(short, long)]
    previous: bool,
    /// The last lines only
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
    /// Only what was written since then: a time such as 2026-01-02T03:04:05Z, or how long ago, such as 90s or 1h30m
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// Begins every line with its time
    #[arg(short, long)]
    timestamps: bool,
}

/// The query's part that says since when.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Since(String);

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self(format!("sinceTime={}", encode(&time.to_string()))));
        }
        let ago = text.parse::<SignedDuration>().map_err(|_| "neither a time nor how long ago".to_owned())?;
        // Whole seconds on the wire: rather one too many than a line too few.
        let seconds = ago.as_secs() + i64::from(ago.subsec_nanos() > 0);
        if seconds < 1 {
            Err("not in the past".to_owned())
        } else {
            Ok(Self(format!("sinceSeconds={seconds}")))
        }
    }
}

fn target(path: &[String; 3], part: &Part) -> String {
    let [namespace, pod, container] = path.each_ref().map(|name| encode(name));
    let mut query = Vec::new();
    for (name, set) in [("follow", part.follow), ("previous", part.previous), ("timestamps", part.timestamps)]
    {
        if set {
            query.push(format!("{name}=true"));
        }
    }
    query.extend(part.tail.map(|lines| format!("tailLines={lines}")));
    query.extend(part.since.iter().map(|since| since.0.clone()));
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/containerLogs/{namespace}/{pod}/{container}{mark}{}", query.join("&"))
}

/// Prints a container's log as it comes.
pub(crate) fn run(global: &Global, flags: &Flags) -> Result<ExitCode, Error> {
    let kubelet = Kubelet::new(global)?;
    block_on(async {
        let chosen = flags.of.choose(&kubelet).await?;
        let mut body = kubelet.get(&target(&chosen.path, &flags.part)).await?;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(broken)?;
            if let Some(bytes) = frame.data_ref() {
                output::write(bytes)
                    .map_err(|error| Error::Failed(format!("writing the output: {error}")))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// A log that breaks off. Whatever HTTP says of that, it means that nobody sends any more.
fn broken(_: hyper::Error) -> Error {
    let text = "the kubelet ended the connection: it was stopped or has crashed; the container may still run";
    Error::Failed(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_the_kubelets_query() {
        let path = &["n", "p", "c"].map(String::from);
        assert_eq!(target(path, &Part::default()), "/containerLogs/n/p/c");
        let since = Some("90s".parse().unwrap());
        let part = Part { follow: true, previous: true, tail: Some(5), since, timestamps: true };
        let expected =
            "/containerLogs/n/p/c?follow=true&previous=true&timestamps=true&tailLines=5&sinceSeconds=90";
        assert_eq!(target(path, &part), expected);
    }

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        let since = |text: &str| text.parse::<Since>().map(|since| since.0);
        assert_eq!(since("1h30m").unwrap(), "sinceSeconds=5400");
        assert_eq!(since("1500ms").unwrap(), "sinceSeconds=2");
        assert_eq!(since("2026-01-02T03:04:05Z").unwrap(), "sinceTime=2026-01-02T03%3A04%3A05Z");
        for wrong in ["", "soon", "-5s", "0s", "5"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
