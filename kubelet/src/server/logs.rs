//! `GET /containerLogs/NAMESPACE/POD/CONTAINER`.

use std::ops::ControlFlow;
use std::sync::PoisonError;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{Refused, Server};
use crate::logs::{self, LogOptions};
use crate::worker::log_dir;

/// PodLogOptions as a query. All values are text, so that an error can name the field.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Wanted {
    follow: Option<String>,
    previous: Option<String>,
    timestamps: Option<String>,
    tail_lines: Option<String>,
    since_seconds: Option<String>,
    since_time: Option<String>,
    limit_bytes: Option<String>,
}

impl Wanted {
    /// `(previous, options)`.
    fn options(&self, now: Timestamp) -> Result<(bool, LogOptions), String> {
        let flag = |name: &str, text: &Option<String>| match text.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1" | "") => Ok(true),
            Some(other) => Err(format!("{name}: {other:?} is not true or false")),
        };
        let number = |name: &str, text: &Option<String>, least: u64| {
            let parse = |text: &String| {
                let number = text.parse().ok().filter(|number| *number >= least);
                number.ok_or_else(|| format!("{name}: {text:?} is no number from {least}"))
            };
            text.as_ref().map(parse).transpose()
        };
        if self.since_seconds.is_some() && self.since_time.is_some() {
            return Err("at most one of sinceTime and sinceSeconds may be specified".into());
        }
        let since = match (number("sinceSeconds", &self.since_seconds, 1)?, &self.since_time) {
            (Some(seconds), _) => {
                let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
                now.checked_sub(jiff::SignedDuration::from_secs(seconds)).ok()
            }
            (None, Some(time)) => {
                Some(time.parse().map_err(|error| format!("sinceTime: {time:?}: {error}"))?)
            }
            (None, None) => None,
        };
        let options = LogOptions {
            follow: flag("follow", &self.follow)?,
            tail_lines: number("tailLines", &self.tail_lines, 0)?,
            since,
            limit_bytes: number("limitBytes", &self.limit_bytes, 1)?,
            timestamps: flag("timestamps", &self.timestamps)?,
        };
        Ok((flag("previous", &self.previous)?, options))
    }
}

pub(super) async fn serve(
    State(server): State<Server>,
    Path((namespace, name, container)): Path<(String, String, String)>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Refused> {
    let wrong = |text: String| Refused(StatusCode::UNPROCESSABLE_ENTITY, text);
    let Query(wanted) = wanted.map_err(|error| wrong(error.body_text()))?;
    let (previous, options) = wanted.options(Timestamp::now()).map_err(wrong)?;
    let (shown, index) = server.container(&namespace, &name, None, &container)?;
    let machine = &shown.pod.containers[index];
    let run = if previous { machine.previous_run() } else { machine.current.as_ref() };
    let run = run.ok_or_else(|| {
        let text = if previous {
            format!("previous terminated container \"{container}\" in pod \"{name}\" not found")
        } else {
            format!("container \"{container}\" in pod \"{name}\" is waiting to start")
        };
        Refused(StatusCode::BAD_REQUEST, text)
    })?;
    let folder = log_dir(&server.node, &shown.manifest).join(&container);
    let path = folder.join(format!("{}.log", run.attempt));
    let (view, uid, id) = (server.told.view.clone(), shown.pod.spec.uid.clone(), run.id.clone());
    let alive = move || {
        let view = view.read().unwrap_or_else(PoisonError::into_inner);
        view.get(&uid).is_some_and(|shown| {
            shown.pod.containers.get(index).and_then(|container| container.running()) == Some(&id)
        })
    };
    // Read on a thread that may block; a reader that goes away closes the channel, which ends it.
    let (pieces, mut received) = mpsc::channel::<Result<Bytes, std::io::Error>>(16);
    let gone = pieces.clone();
    let alive = move || !gone.is_closed() && alive();
    tokio::task::spawn_blocking(move || {
        let mut sink = |piece: Vec<u8>| match pieces.blocking_send(Ok(piece.into())) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        if let Err(error) = logs::read(&path, &options, &alive, &mut sink) {
            let text = format!("{}: {error}", path.display());
            let _ = pieces.blocking_send(Err(std::io::Error::new(error.kind(), text)));
        }
    });
    // The first piece tells whether there is a log at all.
    let first = received.recv().await;
    let first = match first {
        Some(Err(error)) => return Err(Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        other => other,
    };
    let rest = futures_util::stream::unfold((first, received), |(first, mut received)| async {
        let next = match first {
            Some(piece) => Some(piece),
            None => received.recv().await,
        };
        next.map(|piece| (piece, (None, received)))
    });
    Ok(([(header::CONTENT_TYPE, "text/plain")], Body::from_stream(rest)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_option_is_named() {
        let now = Timestamp::UNIX_EPOCH;
        let with = |change: fn(&mut Wanted)| {
            let mut wanted = Wanted::default();
            change(&mut wanted);
            wanted.options(now)
        };
        assert!(with(|w| w.tail_lines = Some("-1".into())).unwrap_err().starts_with("tailLines"));
        assert!(with(|w| w.follow = Some("maybe".into())).unwrap_err().starts_with("follow"));
        let both = with(|w| {
            w.since_seconds = Some("1".into());
            w.since_time = Some("2026-01-01T00:00:00Z".into());
        });
        assert!(both.unwrap_err().contains("at most one"));
        let (previous, options) = with(|w| w.since_seconds = Some("5".into())).unwrap();
        assert!(!previous && options.since == Timestamp::from_second(-5).ok());
    }
}
