//! The kubectls of this machine play the transcripts beside this file: what they print is what they print of a stock
//! server, but for what is written otherwise there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use integration::runner::{TestError, TestResult, check, fail, skip};
use integration::transcript::{self, Step};

use crate::{PORT, World};

/// What is repeated must be right within.
const SOON: Duration = Duration::from_secs(30);
/// Seconds after which a command hangs.
const HANGS: &str = "60";

pub(crate) fn creates() -> TestResult {
    play(include_str!("transcripts/create.txt"))
}

pub(crate) fn applies() -> TestResult {
    play(include_str!("transcripts/apply.txt"))
}

pub(crate) fn changes() -> TestResult {
    play(include_str!("transcripts/change.txt"))
}

pub(crate) fn asks_who_may() -> TestResult {
    play(include_str!("transcripts/access.txt"))
}

pub(crate) fn shows() -> TestResult {
    play(include_str!("transcripts/show.txt"))
}

pub(crate) fn deletes() -> TestResult {
    play(include_str!("transcripts/delete.txt"))
}

pub(crate) fn tends_nodes() -> TestResult {
    play(include_str!("transcripts/nodes.txt"))
}

/// `kubectl.1.33` and its like, where they lie beside each other, else the one kubectl; and those that
/// `ORLOP_KUBECTLS` names.
fn kubectls() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/lib/google-cloud-sdk/bin".into()]);
    let files = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let mut files: Vec<PathBuf> = files.map(|file| file.path()).collect();
    files.sort();
    files.dedup_by(|a, b| a.file_name() == b.file_name());
    let version = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_prefix("kubectl.").is_some_and(|v| v.bytes().all(|b| b == b'.' || b.is_ascii_digit()))
    };
    let mut found: Vec<PathBuf> = files.iter().filter(version).cloned().collect();
    if found.is_empty() {
        found.extend(files.into_iter().find(|path| path.ends_with("kubectl")));
    }
    let named = std::env::var_os("ORLOP_KUBECTLS").unwrap_or_default();
    found.extend(std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty()));
    found
}

/// Each kubectl on a server of its own, all of them side by side: they mostly wait. The differences of each are told.
fn play(text: &str) -> TestResult {
    let steps = &transcript::parse(text);
    let found = kubectls();
    if found.is_empty() {
        return skip("no kubectl on this machine");
    }
    let told: Vec<Result<Vec<String>, TestError>> = thread::scope(|scope| {
        let players: Vec<_> = found
            .iter()
            .zip(PORT..)
            .map(|(kubectl, port)| scope.spawn(move || differences(kubectl, port, steps)))
            .collect();
        players
            .into_iter()
            .map(|player| player.join().unwrap_or_else(|_| fail("a player panicked")))
            .collect()
    });
    let differences = told.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    check(differences.is_empty(), || differences.join("\n"))
}

/// What one kubectl prints that it should not, on a server at the port.
fn differences(kubectl: &Path, port: u16, steps: &[Step]) -> Result<Vec<String>, TestError> {
    let world = World::with_a_node_at(port)?;
    let shell = Shell::new(&world, kubectl)?;
    let name = kubectl.file_name().unwrap_or_default().to_string_lossy();
    // One without a number in its name is taken for the newest.
    let version = name.strip_prefix("kubectl.").and_then(transcript::version).unwrap_or((u32::MAX, 0));
    let mut found = Vec::new();
    for step in steps.iter().filter(|step| step.since <= version) {
        if let Some(difference) = shell.difference(step)? {
            found.push(format!("{}: {difference}", kubectl.display()));
        }
    }
    Ok(found)
}

/// A shell in a folder, in which `kubectl` is the one that is tried.
struct Shell<'w> {
    folder: &'w Path,
    path: std::ffi::OsString,
}

impl<'w> Shell<'w> {
    fn new(world: &'w World, kubectl: &Path) -> Result<Self, TestError> {
        let folder = world.folder.path();
        fs::create_dir_all(folder.join("bin"))?;
        fs::create_dir_all(folder.join("work"))?;
        symlink(kubectl, folder.join("bin/kubectl"))?;
        // kubectl writes into it.
        fs::copy(folder.join("data/lib/control-plane/admin.kubeconfig"), folder.join("config"))?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path =
            std::env::join_paths([folder.join("bin")].into_iter().chain(std::env::split_paths(&path)))?;
        Ok(Self { folder, path })
    }

    fn run(&self, line: &str) -> Result<String, TestError> {
        let mut command = Command::new("timeout");
        command
            .args([HANGS, "sh", "-c", &format!("exec 2>&1\n{line}")])
            .current_dir(self.folder.join("work"));
        command
            .env("KUBECONFIG", self.folder.join("config"))
            .env("HOME", self.folder)
            .env("PATH", &self.path);
        command.env("KUBE_EDITOR", "true").stdin(Stdio::null());
        let output = command.output()?;
        let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if let Some(code) = output.status.code().filter(|code| *code != 0) {
            printed.push_str(&format!("\n? {code}\n"));
        }
        Ok(printed)
    }

    fn difference(&self, step: &Step) -> Result<Option<String>, TestError> {
        let end = Instant::now() + SOON;
        loop {
            let printed = self.run(&step.command)?;
            if transcript::fits(&step.expected, &printed) {
                return Ok(None);
            }
            if !step.again || Instant::now() > end {
                let expected = step.expected.join("\n");
                return Ok(Some(format!("$ {}\n{printed}\nis not\n{expected}\n", step.command)));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}
