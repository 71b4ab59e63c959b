//! Runs one plugin for one verb.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::{Config, Error};

/// How much of a plugin's stdout and stderr is kept, in bytes.
const MAX_OUTPUT: u64 = api_cni::MAX_BYTES as u64;
/// How much of stderr goes into an error, in bytes.
const STDERR_TAIL: usize = 1024;

/// The environment of a request.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) verb: &'static str,
    pub(super) container_id: String,
    pub(super) netns: String,
    pub(super) ifname: &'static str,
    pub(super) args: String,
    pub(super) stdin: Vec<u8>,
}

/// The first executable file of this name.
pub(super) fn find(dirs: &[PathBuf], plugin: &str) -> Option<PathBuf> {
    dirs.iter().map(|dir| dir.join(plugin)).find(|path| {
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// Runs the plugin and returns what it printed.
pub(super) async fn run(config: &Config, plugin: &str, request: &Request) -> Result<Vec<u8>, Error> {
    let Some(path) = find(&config.bin_dirs, plugin) else {
        let dirs = config.bin_dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ");
        return Err(Error::NoPlugin { plugin: plugin.into(), dirs });
    };
    let (plugin, verb) = (plugin.to_owned(), request.verb);
    let mut stdout = Vec::new();
    let mut stderr = Vec::new();
    let done = tokio::time::timeout(
        config.deadline,
        converse(&path, &config.bin_dirs, request, &mut stdout, &mut stderr),
    )
    .await;
    let tail = tail(&stderr);
    match done {
        Err(_) => Err(Error::Deadline { plugin, verb, after: config.deadline, stderr: tail }),
        Ok(Err(source)) => Err(Error::File { op: "running", path, source }),
        Ok(Ok(status)) if status.success() => {
            if !tail.is_empty() {
                tracing::warn!(plugin, verb, stderr = tail, "a network plugin has something to say");
            }
            Ok(stdout)
        }
        Ok(Ok(status)) => Err(match api_cni::Error::parse(&stdout) {
            Some(error) => Error::Plugin { plugin, verb, error, stderr: tail },
            None => Error::Broken { plugin, verb, what: status.to_string(), stderr: tail },
        }),
    }
}

/// One process from start to end. When this future is dropped at the deadline, the process is killed and tokio reaps it.
async fn converse(
    path: &Path,
    bin_dirs: &[PathBuf],
    request: &Request,
    stdout: &mut Vec<u8>,
    stderr: &mut Vec<u8>,
) -> std::io::Result<std::process::ExitStatus> {
    let mut command = Command::new(path);
    command
        .env("CNI_COMMAND", request.verb)
        .env("CNI_CONTAINERID", &request.container_id)
        .env("CNI_NETNS", &request.netns)
        .env("CNI_IFNAME", request.ifname)
        .env("CNI_ARGS", &request.args)
        .env("CNI_PATH", std::env::join_paths(bin_dirs).map_err(std::io::Error::other)?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = spawn(&mut command).await?;
    let (mut stdin, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(stdin) = &mut stdin {
            // A plugin may end without reading, as for VERSION; its exit status tells.
            let _ = stdin.write_all(&request.stdin).await;
        }
        drop(stdin.take());
    };
    let read_out = read(out, stdout);
    let read_err = read(err, stderr);
    let (_, out, err) = tokio::join!(write, read_out, read_err);
    out.and(err)?;
    child.wait().await
}

async fn read(pipe: Option<impl tokio::io::AsyncRead + Unpin>, into: &mut Vec<u8>) -> std::io::Result<()> {
    if let Some(pipe) = pipe {
        pipe.take(MAX_OUTPUT).read_to_end(into).await?;
    }
    Ok(())
}

/// A plugin that is just being installed is busy for writing; libcni waits for it as well.
async fn spawn(command: &mut Command) -> std::io::Result<tokio::process::Child> {
    for _ in 0..5 {
        match command.spawn() {
            Err(error) if error.raw_os_error() == Some(Errno::ETXTBSY as i32) => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            other => return other,
        }
    }
    command.spawn()
}

fn tail(stderr: &[u8]) -> String {
    let start = stderr.len().saturating_sub(STDERR_TAIL);
    String::from_utf8_lossy(&stderr[start..]).trim().to_owned()
}

/// What a successful plugin printed, when that is wrong.
pub(super) fn broken(plugin: &str, verb: &'static str, what: impl ToString) -> Error {
    Error::Broken { plugin: plugin.into(), verb, what: what.to_string(), stderr: String::new() }
}
