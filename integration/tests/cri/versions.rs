//! Daemons and monitors, records and daemons of different versions.
//!
//! A monitor of another version is a stub: this program again, which takes the place of a monitor that was killed and
//! speaks the protocol with another number.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

use api_cri::v1::ContainerState;
use api_monitor::{
    ClientMessage, ErrorCode, MAX_MESSAGE, PodStatus, Reply, ReplyError, Request, ServerMessage,
};
use integration::leftovers::compare;
use integration::node::{Node, machine};
use integration::process::wait_for;
use integration::runner::{TestError, TestResult, check, fail};
use integration::world;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::os::fd::AsFd as _;
use sys::seqpacket::{Connection, Listener};

use crate::hung::pid;
use crate::life::{first_pod, remove};
use crate::recovery::{FOR_EVER, monitor, ready};

const STUB: &str = "ORLOP_TEST_STUB_MONITOR";
const DEADLINE: Duration = Duration::from_secs(20);

/// What a stub is told.
#[derive(Serialize, Deserialize)]
struct Stub {
    version: u32,
    folder: PathBuf,
    runtime_root: PathBuf,
    status: PodStatus,
}

/// Is a monitor, when this program was started as one.
pub(crate) fn stub() -> Option<ExitCode> {
    let stub: Stub = serde_json::from_str(&std::env::var(STUB).ok()?).ok()?;
    let served = stub.serve();
    eprintln!("the stub ended: {served:?}");
    Some(ExitCode::FAILURE)
}

impl Stub {
    fn serve(mut self) -> std::io::Result<()> {
        self.status.pid = std::process::id().cast_signed();
        // As version 1 wrote it.
        std::fs::write(api_monitor::pid_file(&self.folder), self.status.pid.to_string())?;
        let listener = Listener::bind(&self.folder.join("s"))?;
        loop {
            poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
            while let Some(connection) = listener.accept()? {
                connection.set_nonblocking(false)?;
                let (version, status) = (self.version, self.status.clone());
                let runtime_root = self.runtime_root.clone();
                std::thread::spawn(move || converse(&connection, version, &status, &runtime_root));
            }
        }
    }
}

#[expect(clippy::exit, reason = "the end of this process is what is asked for")]
fn converse(
    connection: &Connection,
    version: u32,
    status: &PodStatus,
    runtime_root: &Path,
) -> std::io::Result<()> {
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        let received = connection.recv(&mut buffer)?;
        if received.len == 0 {
            return Ok(());
        }
        let message = ClientMessage::decode(&buffer[..received.len]).map_err(std::io::Error::other)?;
        let ends = message.request == Request::Shutdown;
        let result = match message.request {
            Request::Hello { .. } => Ok(Reply::Hello { version, pod: status.clone() }),
            Request::Delete { container } => {
                let mut delete = Command::new(world::bin("orlop-runtime"));
                delete.arg("--root").arg(runtime_root).args(["delete", "--force", &container]);
                delete.status()?;
                Ok(Reply::Done)
            }
            Request::Shutdown => Ok(Reply::Done),
            other => Err(ReplyError { code: ErrorCode::Unsupported, message: format!("{other:?}") }),
        };
        let reply = ServerMessage::Reply { id: message.id, result };
        connection.send(&reply.encode().map_err(std::io::Error::other)?, &[])?;
        if ends {
            std::process::exit(0);
        }
    }
}

/// Kills the daemon and a pod's monitor, and puts a stub that knows the pod's only container in its place.
fn replace_monitor(
    node: &mut Node,
    sandbox: &str,
    container: &str,
    version: u32,
) -> Result<Child, TestError> {
    let (old, init) = (monitor(node, sandbox)?, pid(node, container)?);
    node.kill()?;
    let held = sys::pidfd::PidFd::open(old)?;
    kill(Pid::from_raw(old), Signal::SIGKILL)?;
    check(held.wait(DEADLINE)?, || "a killed monitor lives".into())?;
    let folder = node.folder.join("state/m").join(&sandbox[..32]);
    std::fs::remove_file(folder.join("s"))?;
    let status = serde_json::json!({
        "id": sandbox, "pid": 0, "pause_pid": null,
        "containers": { container: { "pid": init, "state": "running", "started_at": 1 } },
    });
    let stub = Stub {
        version,
        folder: folder.clone(),
        runtime_root: node.folder.join("state/runtime"),
        status: serde_json::from_value(status)?,
    };
    let child = Command::new(std::env::current_exe()?).env(STUB, serde_json::to_string(&stub)?).spawn()?;
    wait_for(DEADLINE, "the stub's socket", || Ok(Connection::connect(&folder.join("s")).ok().map(drop)))?;
    Ok(child)
}

fn pod(node: &Node) -> Result<(String, String), TestError> {
    let sandbox = node.run("versions")?;
    let container = node.create("versions", &sandbox, "c", FOR_EVER)?;
    node.start_container(&container)?;
    Ok((sandbox, container))
}

pub(crate) fn a_monitor_of_an_older_version_is_adopted() -> TestResult {
    let mut node = Node::ready()?;
    first_pod(&node)?;
    let before = machine(&node)?;
    for version in api_monitor::SPOKEN {
        let (sandbox, container) = pod(&node)?;
        let init = pid(&node, &container)?;
        let mut stub = replace_monitor(&mut node, &sandbox, &container, version)?;
        node.start(&[])?;
        check(ready(&node, &sandbox)?, || format!("version {version} was not adopted\n{}", node.log()))?;
        check(node.status(&container)?.state() == ContainerState::ContainerRunning, || "it was lost".into())?;
        check(pid(&node, &container)? == init, || "another process".into())?;
        // It is asked for the end of its pod as any other, and ends by itself.
        remove(&node, &sandbox)?;
        let ended = stub.wait()?;
        check(ended.code() == Some(0), || format!("version {version} ended with {ended}\n{}", node.log()))?;
        compare(&before, &machine(&node)?)?;
    }
    Ok(())
}

pub(crate) fn a_monitor_of_an_unknown_version_costs_its_pod_alone() -> TestResult {
    let mut node = Node::ready()?;
    first_pod(&node)?;
    let before = machine(&node)?;
    let spared = node.run("spared")?;
    let (sandbox, container) = pod(&node)?;
    let version = api_monitor::VERSION + 1;
    let mut stub = replace_monitor(&mut node, &sandbox, &container, version)?;
    node.start(&[])?;
    let status = node.ended(&container)?;
    check((status.exit_code, status.reason.as_str()) == (137, "Unknown"), || format!("{status:?}"))?;
    check(status.message.contains(&format!("version {version}")), || format!("{status:?}"))?;
    wait_for(DEADLINE, "the pod to be not ready", || Ok((!ready(&node, &sandbox)?).then_some(())))?;
    let ended = stub.wait()?;
    check(std::os::unix::process::ExitStatusExt::signal(&ended) == Some(9), || format!("{ended}"))?;
    check(node.log().contains(&format!("speaks version {version}")), || node.log())?;
    check(ready(&node, &spared)?, || "another pod noticed".into())?;
    remove(&node, &sandbox)?;
    remove(&node, &spared)?;
    compare(&before, &machine(&node)?)
}

/// An upgrade that was taken back: refusing to start is what loses nothing.
pub(crate) fn a_record_of_another_format_stops_the_daemon_and_no_pod() -> TestResult {
    let mut node = Node::ready()?;
    let (sandbox, container) = pod(&node)?;
    let init = pid(&node, &container)?;
    let folder = node.folder.join("state");
    for (kind, id, file) in
        [("sandboxes", &sandbox, "sandbox.json"), ("containers", &container, "container.json")]
    {
        let path = folder.join(kind).join(id).join(file);
        let written = std::fs::read_to_string(&path)?;
        node.kill()?;
        // Of what came after the version nothing need be the same.
        std::fs::write(&path, r#"{"format":99,"id":7}"#)?;
        match node.start(&[]) {
            Err(TestError::Failed(text))
                if text.contains(&path.display().to_string()) && text.contains("format 99") => {}
            other => return fail(format!("a {file} of another format: {other:?}")),
        }
        check(Path::new(&format!("/proc/{init}")).exists(), || "the container was ended".into())?;
        std::fs::write(&path, written)?;
        node.start(&[])?;
        check(ready(&node, &sandbox)? && node.exec(&container, &["true"])?.0 == 0, || node.log())?;
        check(pid(&node, &container)? == init, || "another process".into())?;
    }
    remove(&node, &sandbox)
}
