//! `orlop install`.

use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use serde::Serialize;

use super::{PlainOutput, output, socket_path};
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
    #[command(flatten)]
    output: PlainOutput,
}

const UNIT: &str = "orlop.service";

/// systemd reads `%` as a specifier, `$` as a variable and spaces as ends of words.
fn quoted(path: &Path) -> Result<String, Error> {
    let text = path.to_str().filter(|text| !text.contains(['\n', '\0']));
    let text = text.ok_or_else(|| Error::Usage(format!("{} cannot stand in a unit", path.display())))?;
    Ok(word(text))
}

fn word(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    if escaped.contains([' ', '\t', '\'', '"', '\\']) { format!("\"{escaped}\"") } else { escaped }
}

/// The daemon's command line: what this command was told of the instance and of the log, said to the daemon.
fn command(exe: &Path, global: &Global) -> Result<String, Error> {
    let failed = |error: io::Error| Error::failed(&error);
    let mut command = format!("{} up", quoted(exe)?);
    if let Some(data_dir) = &global.data_dir {
        let _ = write!(command, " --data-dir {}", quoted(&std::path::absolute(data_dir).map_err(failed)?)?);
    }
    if let Some(run_dir) = &global.run_dir {
        let _ = write!(command, " --run-dir {}", quoted(&std::path::absolute(run_dir).map_err(failed)?)?);
    }
    for (flag, socket) in [
        ("--listen", &global.endpoints.cri_endpoint),
        ("--kubelet-socket", &global.endpoints.kubelet_endpoint),
    ] {
        if let Some(socket) = socket {
            let socket = std::path::absolute(socket_path(socket)).map_err(failed)?;
            let _ = write!(command, " {flag} {}", quoted(&socket)?);
        }
    }
    if global.log_level != crate::LOG_LEVEL {
        let _ = write!(command, " --log-level {}", word(&global.log_level));
    }
    if global.log_format == daemon::LogFormat::Json {
        command.push_str(" --log-format json");
    }
    Ok(command)
}

/// The unit: what it delegates and whom it kills are what lets pods outlive the daemon.
fn unit(command: &str) -> String {
    format!(
        "\
[Unit]
Description=Orlop: runs the pods of a folder of manifests
Wants=network-online.target
After=network-online.target
# A failure that lasts, such as a folder in use, is tried again and does not end in giving up.
StartLimitIntervalSec=0

[Service]
ExecStart={command}
Restart=always
RestartSec=1
# A wrong flag or configuration file is as wrong a second later.
RestartPreventExitStatus=64
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
    )
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
        (layout.container_logs.clone(), 0o755),
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

/// `-o json`: what was done, or would be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    dry_run: bool,
    unit: PathBuf,
    /// The unit's text.
    content: String,
    /// It was not there, or said something else.
    written: bool,
    /// Those that were not there.
    folders: Vec<PathBuf>,
}

impl Done {
    fn text(&self) -> String {
        let mut text = String::new();
        if self.dry_run {
            for folder in &self.folders {
                let _ = writeln!(text, "# folder {}", folder.display());
            }
            let _ = write!(text, "# file {}\n{}", self.unit.display(), self.content);
            return text;
        }
        for folder in &self.folders {
            let _ = writeln!(text, "made {}", folder.display());
        }
        let unit = self.unit.display();
        let _ = if self.written {
            writeln!(text, "wrote {unit}")
        } else {
            writeln!(text, "{unit} is as it should be")
        };
        let _ = writeln!(text, "start it with: systemctl daemon-reload && systemctl enable --now {UNIT}");
        text
    }
}

/// Writes the systemd unit and makes the folders. Starts nothing.
pub(crate) fn run(global: &Global, flags: &Flags) -> Result<ExitCode, Error> {
    let exe = std::env::current_exe().map_err(|error| Error::failed(&error))?;
    let layout = global.layout().map_err(|error| Error::failed(&error))?;
    let (unit, content) = (flags.unit_dir.join(UNIT), unit(&command(&exe, global)?));
    let present = match std::fs::read_to_string(&unit) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("reading", &unit, &error)),
    };
    // What a run without --dry-run would refuse is shown all the same.
    let action = decide(present.as_deref(), &content, flags.force || flags.dry_run, &unit)?;
    let missing = || folders(&layout).into_iter().filter(|(folder, _)| !folder.is_dir());
    let done = Done {
        dry_run: flags.dry_run,
        written: action == Action::Write,
        folders: missing().map(|(folder, _)| folder).collect(),
        unit,
        content,
    };
    if !flags.dry_run {
        for (folder, mode) in missing() {
            let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(&folder);
            made.map_err(|error| failed("making", &folder, &error))?;
        }
        if action == Action::Write {
            write(&done.unit, &done.content)?;
        }
    }
    output::plain(flags.output, &done, || done.text())?;
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
        let text = unit("/usr/local/bin/orlop up");
        for line in [
            "ExecStart=/usr/local/bin/orlop up",
            "Delegate=yes",
            "KillMode=process",
            "Restart=always",
            "RestartPreventExitStatus=64",
        ] {
            assert!(text.lines().any(|present| present == line), "{line} in {text}");
        }
    }

    #[test]
    fn the_daemon_is_told_what_this_command_was_told_quoted_for_systemd() {
        let command = |global: &Global| command(Path::new("/opt/orlop"), global).unwrap();
        let mut global = Global {
            data_dir: None,
            run_dir: None,
            log_level: "info".into(),
            log_format: daemon::LogFormat::Text,
            endpoints: super::super::Endpoints::default(),
        };
        assert_eq!(command(&global), "/opt/orlop up");
        global.data_dir = Some("/srv/my pods/100%".into());
        assert_eq!(command(&global), "/opt/orlop up --data-dir \"/srv/my pods/100%%\"");
        global.data_dir = None;
        global.endpoints.cri_endpoint = Some("unix:///run/c.sock".into());
        global.endpoints.kubelet_endpoint = Some("/run/k.sock".into());
        (global.log_level, global.log_format) = ("info,cri_shim=debug".into(), daemon::LogFormat::Json);
        assert_eq!(
            command(&global),
            "/opt/orlop up --listen /run/c.sock --kubelet-socket /run/k.sock --log-level info,cri_shim=debug --log-format json"
        );
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
