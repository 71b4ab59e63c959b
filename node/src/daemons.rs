//! The long-running commands: flags to configuration, then one component's `run`.

pub(crate) mod control_plane;
pub(crate) mod cri;
pub(crate) mod kubelet;
pub(crate) mod simulate_nodes;
pub(crate) mod up;

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use daemon::{Admin, CancellationToken, Readiness};

use crate::{Error, Global};

/// After so long, what only the start needed is free.
const STARTED: Duration = Duration::from_secs(5);
/// Between two times that free memory is given back.
const TIDYING: Duration = Duration::from_secs(30);

/// Installs the log, starts the executor, and runs a daemon until it ends or a signal asks it to.
///
/// The admin endpoint is served at `admin` meanwhile; the daemon is ready when all of `sockets` take connections and
/// it waits for nothing else.
fn serve<F, Fut>(global: &Global, admin: &Path, sockets: Vec<PathBuf>, run: F) -> Result<ExitCode, Error>
where
    F: FnOnce(CancellationToken, Readiness) -> Fut,
    Fut: Future<Output = Result<(), Error>>,
{
    let logs = daemon::init_logs(&global.log_level, global.log_format).map_err(Error::Usage)?;
    daemon::count_panics();
    sys::heap::bound();
    let executor = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // A node's daemons wait far more than they compute; threads cost memory.
        .worker_threads(2)
        .build()
        .map_err(|error| Error::failed(&error))?;
    let done = executor.block_on(async {
        let shutdown = daemon::on_signals().map_err(|error| Error::failed(&error))?;
        let readiness = Readiness::default();
        let waits = readiness.clone();
        let endpoint = Admin {
            ready: Box::new(move || {
                let missing = [all_accept(&sockets).err(), waits.missing()];
                if missing.iter().all(Option::is_none) {
                    Ok(())
                } else {
                    Err(missing.into_iter().flatten().collect())
                }
            }),
            logs,
            metrics: Box::new(daemon::process_metrics),
        };
        let served = endpoint.serve(admin, shutdown.clone());
        tokio::select! {
            result = run(shutdown.clone(), readiness) => result,
            // Until it is asked to end, an endpoint that ends is broken.
            Err(error) = served => Err(Error::failed(&error)),
            never = give_memory_back() => match never {},
        }
    });
    // What blocks in the kernel, such as a manifest on a file system that hangs, is not waited for.
    executor.shutdown_timeout(Duration::from_secs(1));
    done.map(|()| ExitCode::SUCCESS)
}

/// Keeps a daemon as small as what it holds, after a start or large answers.
async fn give_memory_back() -> std::convert::Infallible {
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + STARTED, TIDYING);
    loop {
        tick.tick().await;
        // A panic there would be counted; the next time comes.
        let _ = tokio::task::spawn_blocking(sys::heap::give_back).await;
    }
}

/// Names the sockets that take no connection.
fn all_accept(sockets: &[PathBuf]) -> Result<(), String> {
    let missing: String = sockets
        .iter()
        .filter_map(|socket| Some((socket, daemon::takes_connections(socket).err()?)))
        .map(|(socket, error)| format!("{}: {error}\n", socket.display()))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(missing) }
}

/// Makes a folder that only root may enter, with its parents.
fn private_folder(path: &Path) -> Result<(), Error> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Error::Failed(format!("making {}: {}", path.display(), error)))
}

/// The three binaries are installed into one folder.
fn beside_this_program(name: &str) -> PathBuf {
    let folder = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf));
    folder.map_or_else(|| name.into(), |folder| folder.join(name))
}
