//! How far a pull or an import is, on standard error: one line that changes on a terminal, else one per layer.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use api_cri::images::{Done, Layer, Progress};
use serde::Serialize;
use tonic::Streaming;

use super::cri::refused;
use super::images::bytes;
use super::{PlainOutput, output};
use crate::Error;

/// Shows a stream of progress until its end.
pub(super) async fn follow(mut stream: Streaming<Progress>) -> Result<Done, Error> {
    let mut shown = Shown { terminal: io::stderr().is_terminal(), complete: BTreeSet::new() };
    let mut done = None;
    let ended = loop {
        match stream.message().await {
            Ok(Some(progress)) => {
                shown.show(&progress.layers);
                done = progress.done.or(done);
            }
            Ok(None) => break Ok(()),
            Err(status) => break Err(refused(status)),
        }
    };
    if shown.terminal {
        // Clears the line.
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    ended?;
    done.ok_or_else(|| Error::Failed("the CRI daemon ended without saying which image it is".into()))
}

struct Shown {
    terminal: bool,
    complete: BTreeSet<String>,
}

impl Shown {
    fn show(&mut self, layers: &[Layer]) {
        if layers.is_empty() {
            return;
        }
        let mut stderr = io::stderr().lock();
        // That nobody reads the progress does not stop the pull.
        if self.terminal {
            let _ = write!(stderr, "\r\x1b[K{}", summary(layers));
            let _ = stderr.flush();
        } else {
            for layer in layers.iter().filter(|layer| layer.complete) {
                if self.complete.insert(layer.digest.clone()) {
                    let _ = writeln!(stderr, "layer {}: {}", layer.digest, bytes(layer.size));
                }
            }
        }
    }
}

fn summary(layers: &[Layer]) -> String {
    let complete = layers.iter().filter(|layer| layer.complete).count();
    let read: u64 = layers.iter().map(|layer| layer.read).sum();
    let size: u64 = layers.iter().map(|layer| layer.size).sum();
    format!("{complete} of {} layers, {} of {}", layers.len(), bytes(read), bytes(size))
}

/// `-o json`.
#[derive(Serialize)]
struct Image {
    id: String,
    names: Vec<String>,
}

/// Prints the image that came of it.
pub(super) fn show(format: PlainOutput, done: Done) -> Result<ExitCode, Error> {
    let image = Image { id: done.id, names: done.names };
    output::plain(format, &image, || match image.names.as_slice() {
        [] => format!("{}\n", image.id),
        names => names.iter().map(|name| format!("{name} {}\n", image.id)).collect(),
    })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_sums_up_all_layers() {
        let layer = |read, size, complete| Layer { digest: String::new(), read, size, complete };
        let layers = [layer(1 << 20, 1 << 20, true), layer(1 << 19, 3 << 20, false)];
        assert_eq!(summary(&layers), "1 of 2 layers, 1.5 MiB of 4.0 MiB");
    }
}
