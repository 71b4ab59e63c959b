//! An etcd of three members, each in a network of its own, under load: one after the other is killed, and cut off.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use integration::process::{Daemon, wait_for};
use integration::runner::{TestError, TestResult, check, fail, skip};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::Api;
use crate::command;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MEMBERS: usize = 3;
const WRITERS: usize = 4;
/// So many writes must be acknowledged for the API to count as working.
const SOME: usize = 40;
/// Two members choose a leader within a second or two; a connection that is silent is given up after 15 s.
const RECOVERS: Duration = Duration::from_secs(60);

pub(crate) fn three_members_lose_one_at_a_time_and_nothing_else() -> TestResult {
    if Command::new("etcd").arg("--version").output().is_err() {
        return skip("no etcd: Debian's package etcd-server has it");
    }
    let folder = TempDir::new()?;
    let mut members = Vec::new();
    network()?;
    for index in 0..MEMBERS {
        members.push(Member::start(index, folder.path())?);
    }
    let servers: Vec<String> = (0..MEMBERS).map(|index| format!("http://{}:2379", address(index))).collect();
    let flags = ["--etcd-servers", &servers.join(","), "--disable", "controllers,scheduler"];
    let mut daemon = Daemon::spawn(command(folder.path(), &flags), &folder.path().join("log"))?;
    let api = Api(folder.path().join("api.sock"));
    daemon.wait_for_socket(&api.0)?;
    wait_for(RECOVERS, "readyz", || Ok(ready(&api).then_some(())))?;

    let load = Load::default();
    let tried: TestResult = std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (load, api) = (&load, &api);
            scope.spawn(move || load.write(api, writer));
        }
        let troubled = trouble(&load, &mut members, &api);
        load.over.store(true, Ordering::Relaxed);
        troubled
    });
    tried.map_err(|error| match error {
        TestError::Failed(text) => TestError::Failed(format!("{text}\n{}", daemon.log())),
        skipped => skipped,
    })?;

    let acknowledged = load.acknowledged()?;
    // Once from etcd, once from the watch cache, which missed nothing while its member was away.
    for version in ["", "&resourceVersion=0"] {
        wait_for(RECOVERS, "a list of all that was acknowledged", || {
            let there = names(&api, version)?;
            let lost: Vec<_> = acknowledged.difference(&there).collect();
            if version.is_empty() && !lost.is_empty() {
                return fail(format!("{lost:?} were acknowledged and are lost"));
            }
            Ok(lost.is_empty().then_some(()))
        })?;
    }
    let status = daemon.terminate(Duration::from_secs(15))?;
    check(status.success(), || format!("it ended with {status}:\n{}", daemon.log()))
}

/// Each member is killed, and each is cut off; in between the API works, with two of three members and with all.
fn trouble(load: &Load, members: &mut [Member], api: &Api) -> TestResult {
    load.goes_on("with all members")?;
    for member in members {
        let index = member.index;
        member.daemon.kill()?;
        load.goes_on(&format!("without member {index}, which was killed"))?;
        member.start_again()?;
        member.wait_until_healthy()?;

        link(index, "down")?;
        load.goes_on(&format!("with member {index} cut off"))?;
        link(index, "up")?;
        member.wait_until_healthy()?;
        load.goes_on(&format!("with member {index} back"))?;
    }
    wait_for(RECOVERS, "readyz", || Ok(ready(api).then_some(())))
}

fn ready(api: &Api) -> bool {
    api.text("/readyz").is_ok_and(|(code, _)| code == 200)
}

fn names(api: &Api, query: &str) -> Result<BTreeSet<String>, TestError> {
    let (code, list) = api.get(&format!("{MAPS}?limit=0{query}"))?;
    check(code == 200, || format!("a list is answered with {code}: {list}"))?;
    let name = |object: &Value| object["metadata"]["name"].as_str().map(str::to_owned);
    Ok(list["items"].as_array().into_iter().flatten().filter_map(name).collect())
}

/// Writers, and what they were told is stored.
#[derive(Default)]
struct Load {
    acknowledged: Mutex<BTreeSet<String>>,
    /// What was answered otherwise, the newest last.
    refused: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Load {
    fn write(&self, api: &Api, writer: usize) {
        for n in 0.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let name = format!("c-{writer}-{n}");
            match api.send("POST", MAPS, &json!({"metadata": {"name": name}})) {
                Ok((201, _)) => {
                    if let Ok(mut acknowledged) = self.acknowledged.lock() {
                        acknowledged.insert(name);
                    }
                }
                other => {
                    if let Ok(mut refused) = self.refused.lock() {
                        refused.push(format!("{name}: {other:?}"));
                    }
                }
            }
        }
    }

    fn acknowledged(&self) -> Result<BTreeSet<String>, TestError> {
        let names = self.acknowledged.lock().map(|names| names.clone());
        names.map_err(|_| TestError::Failed("a writer panicked".to_owned()))
    }

    /// Waits until more is acknowledged.
    fn goes_on(&self, when: &str) -> TestResult {
        let before = self.acknowledged()?.len();
        let waited = wait_for(RECOVERS, &format!("{SOME} writes {when}"), || {
            Ok((self.acknowledged()?.len() >= before + SOME).then_some(()))
        });
        let last =
            || self.refused.lock().ok().and_then(|refused| refused.last().cloned()).unwrap_or_default();
        waited.map_err(|error| TestError::Failed(format!("{error:?}; the last refusal is {}", last())))
    }
}

/// A member, in its network namespace.
struct Member {
    index: usize,
    folder: std::path::PathBuf,
    daemon: Daemon,
}

impl Member {
    fn start(index: usize, folder: &Path) -> Result<Self, TestError> {
        let daemon = Self::spawn(index, folder)?;
        Ok(Self { index, folder: folder.to_owned(), daemon })
    }

    fn start_again(&mut self) -> TestResult {
        self.daemon = Self::spawn(self.index, &self.folder)?;
        Ok(())
    }

    fn spawn(index: usize, folder: &Path) -> Result<Daemon, TestError> {
        let url = |index: usize, port: u16| format!("http://{}:{port}", address(index));
        let cluster: Vec<String> = (0..MEMBERS).map(|n| format!("m{n}={}", url(n, 2380))).collect();
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", namespace(index))).arg("etcd");
        command.args(["--name", &format!("m{index}"), "--initial-cluster", &cluster.join(",")]);
        command.args([
            "--listen-client-urls",
            &url(index, 2379),
            "--advertise-client-urls",
            &url(index, 2379),
        ]);
        command.args(["--listen-peer-urls", &url(index, 2380)]);
        command.args(["--initial-advertise-peer-urls", &url(index, 2380)]);
        command.arg("--data-dir").arg(folder.join(format!("etcd{index}")));
        Ok(Daemon::spawn(command, &folder.join(format!("etcd{index}.log")))?)
    }

    /// It is one of the members again, when it knows a leader: only then it answers reads.
    fn wait_until_healthy(&self) -> TestResult {
        let endpoint = format!("http://{}:2379/health", address(self.index));
        wait_for(RECOVERS, &endpoint, || {
            let output =
                Command::new("curl").args(["-s", "--noproxy", "*", "-m", "2", &endpoint]).output()?;
            Ok(output.stdout.windows(13).any(|part| part == b"\"health\":\"tru").then_some(()))
        })
    }
}

fn namespace(index: usize) -> String {
    format!("etcd{index}")
}

fn address(index: usize) -> String {
    format!("10.9.0.{}", index + 1)
}

/// A bridge with a leg in each member's namespace.
fn network() -> TestResult {
    ip("link add etcd type bridge")?;
    ip("address add 10.9.0.254/24 dev etcd")?;
    ip("link set etcd up")?;
    for index in 0..MEMBERS {
        let (name, address) = (namespace(index), address(index));
        ip(&format!("netns add {name}"))?;
        ip(&format!("link add v{index} master etcd type veth peer name eth0 netns {name}"))?;
        ip(&format!("link set v{index} up"))?;
        ip(&format!("-n {name} address add {address}/24 dev eth0"))?;
        ip(&format!("-n {name} link set eth0 up"))?;
        ip(&format!("-n {name} link set lo up"))?;
    }
    Ok(())
}

fn link(index: usize, state: &str) -> TestResult {
    ip(&format!("link set v{index} {state}"))
}

fn ip(line: &str) -> TestResult {
    let output = Command::new("ip").args(line.split(' ')).output()?;
    check(output.status.success(), || format!("ip {line}: {}", String::from_utf8_lossy(&output.stderr)))
}
