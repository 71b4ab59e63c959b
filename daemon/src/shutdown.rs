//! SIGTERM and SIGINT ask a daemon to drain.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGTERM or SIGINT. The second one ends the process at once, for a person who
/// does not want to wait until it has drained; what it left half done is mended at the next start.
pub fn on_signals() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => ("SIGTERM", 15),
                _ = interrupt.recv() => ("SIGINT", 2),
            }
        };
        let (name, _) = next().await;
        tracing::info!("{name}: draining");
        cancelled.cancel();
        let (name, number) = next().await;
        tracing::warn!("{name} again: ending at once");
        exit(128 + number);
    });
    Ok(token)
}

/// As a shell tells of a process that a signal ended.
#[expect(clippy::exit, reason = "this replaces the end that the signal would have been")]
fn exit(code: i32) -> ! {
    std::process::exit(code)
}
