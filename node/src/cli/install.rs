//! `orlop install`.

use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::output;
use crate::layout::Layout;
use crate::{Error, Global};

/// Where to, and how boldly.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Prints what would be written, and writes nothing
    #[arg(long)]
    dry_run: bool,
    /// Replaces a unit that says something else
    #[arg(long)]
    force: bool,
    /// The folder of the unit
    #[arg(long, value_name = "DIR", default_value = "/etc/systemd/system")]
    unit_dir: PathBuf,
}

const UNIT: &str = "orlop.service";

/// systemd reads `%` as a specifier, `$` as a variable and spaces as ends of words.
fn quoted(path: &Path) -> Result<String, Error> {
    let text = path.to_str().filter(|text| !text.contains(['\n', '\0']));
    let text = text.ok_or_else(|| Error::Usage(format!("{} cannot stand in a unit", path.display())))?;
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    Ok(if escaped.contains([' ', '\t', '\'', '"', '\\']) { format!("\"{escaped}\"") } else { escaped })
}

/// The unit: what it delegates and whom it kills are what lets pods outlive the daemon.
fn unit(exe: &Path, data_dir: Option<&Path>) -> Result<String, Error> {
    let mut command = format!("{} up", quoted(exe)?);
    if let Some(data_dir) = data_dir {
        let _ = write!(command, " --data-dir {}", quoted(data_dir)?);
    }
    Ok(format!(
        "\
[Unit]
Description=Orlop: runs the pods of a folder of manifests
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={command}
Restart=always
RestartSec=1
# The cgroups below the unit's own are ours.
Delegate=yes
# Pods and their monitors outlive the daemon: only its own process is ended.
KillMode=process
OOMScoreAdjust=-999
TasksMax=infinity
LimitNOFILE=1048576
LimitCORE=infinity

[Install]
WantedBy=multi-user.target
"
    ))
}

/// The folders that a person puts files into, or that must be there before the daemon is.
fn folders(layout: &Layout) -> Vec<(PathBuf, u32)> {
    vec![
        (layout.manifests.clone(), 0o755),
        (layout.registry_config.clone(), 0o755),
        (layout.cni_conf.clone(), 0o755),
        (layout.cni_bin.clone(), 0o755),
        (layout.root.clone(), 0o700),
        (layout.kubelet_root.clone(), 0o700),
        (layout.pod_logs.clone(), 0o755),
    ]
}

/// What to do about a file.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Write,
    Keep,
}

fn decide(present: Option<&str>, wanted: &str, force: bool, path: &Path) -> Result<Action, Error> {
    match present {
        Some(present) if present == wanted => Ok(Action::Keep),
        Some(_) if !force => {
            let text = format!("{} is there and says something else; --force replaces it", path.display());
            Err(Error::Failed(text))
        }
        _ => Ok(Action::Write),
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::Failed(format!("{what} {}: {error}", path.display()))
}

/// Writes the systemd unit and makes the folders. Starts nothing.
pub(crate) fn run(global: &Global, flags: &Flags) -> Result<ExitCode, Error> {
    let exe = std::env::current_exe().map_err(|error| Error::failed(&error))?;
    let data_dir = global.data_dir.as_ref().map(std::path::absolute).transpose();
    let data_dir = data_dir.map_err(|error| Error::failed(&error))?;
    let layout = global.layout().map_err(|error| Error::failed(&error))?;
    let (path, wanted) = (flags.unit_dir.join(UNIT), unit(&exe, data_dir.as_deref())?);
    if flags.dry_run {
        let mut text = String::new();
        for (folder, mode) in folders(&layout) {
            let _ = writeln!(text, "# folder {} (mode {mode:04o})", folder.display());
        }
        let _ = write!(text, "# file {}\n{wanted}", path.display());
        output::print(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let present = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("reading", &path, &error)),
    };
    let action = decide(present.as_deref(), &wanted, flags.force, &path)?;
    let mut text = String::new();
    for (folder, mode) in folders(&layout) {
        if folder.is_dir() {
            continue;
        }
        let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(&folder);
        made.map_err(|error| failed("making", &folder, &error))?;
        let _ = writeln!(text, "made {}", folder.display());
    }
    if action == Action::Write {
        write(&path, &wanted)?;
        let _ = writeln!(text, "wrote {}", path.display());
    } else {
        let _ = writeln!(text, "{} is as it should be", path.display());
    }
    let _ = writeln!(text, "start it with: systemctl daemon-reload && systemctl enable --now {UNIT}");
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a whole file or none.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let unfinished = path.with_extension("service.new");
    let written = std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))
        .and_then(|()| std::fs::write(&unfinished, text))
        .and_then(|()| std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o644)))
        .and_then(|()| std::fs::rename(&unfinished, path));
    written.map_err(|error| {
        // What could not be moved is of no use; that it cannot be removed either is no news.
        let _ = std::fs::remove_file(&unfinished);
        failed("writing", path, &error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_lets_pods_outlive_the_daemon() {
        let text = unit(Path::new("/usr/local/bin/orlop"), None).unwrap();
        for line in
            ["ExecStart=/usr/local/bin/orlop up", "Delegate=yes", "KillMode=process", "Restart=always"]
        {
            assert!(text.lines().any(|present| present == line), "{line} in {text}");
        }
    }

    #[test]
    fn a_data_folder_is_passed_on_and_quoted_for_systemd() {
        let text = unit(Path::new("/opt/orlop"), Some(Path::new("/srv/my pods/100%"))).unwrap();
        assert!(text.contains("ExecStart=/opt/orlop up --data-dir \"/srv/my pods/100%%\"\n"), "{text}");
    }

    #[test]
    fn a_different_file_is_replaced_by_force_only() {
        let path = Path::new("/etc/x");
        let decide = |present, force| decide(present, "new", force, path);
        assert_eq!(decide(None, false).unwrap(), Action::Write);
        assert_eq!(decide(Some("new"), false).unwrap(), Action::Keep);
        assert_eq!(decide(Some("old"), true).unwrap(), Action::Write);
        assert!(decide(Some("old"), false).unwrap_err().to_string().contains("--force"));
    }
}
