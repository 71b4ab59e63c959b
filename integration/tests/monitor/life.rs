//! A container from create to delete.

use std::fs;

use api_monitor::{ContainerState, ErrorCode, Exit, Reply, Request, exit_record};
use integration::monitor::Client;
use integration::runner::{TestResult, check, fail};

use crate::fixture::{Pod, exited};

pub(crate) fn life_cycle() -> TestResult {
    let pod = Pod::new("life")?;
    let mut client = pod.client()?;
    let script = "hostname; echo to-stderr >&2; printf tail; exit 7";
    let create = pod.create("c", pod.bundle("c", script)?);
    let (reply, fds) = client.ask(Request::Create(create.clone()), &[])?;
    let Reply::Created { pid } = reply else { return fail(format!("{reply:?}")) };
    check(fds.len() == 1, || format!("{} descriptors", fds.len()))?;
    let (_, hello) = Client::hello(&pod.config.socket)?;
    let status = &hello.containers["c"];
    check(status.state == ContainerState::Created && status.pid == pid, || format!("{status:?}"))?;
    let again = client.call(Request::Create(create), &[])?.0;
    check(again.is_err_and(|error| error.code == ErrorCode::AlreadyExists), || "created twice".into())?;
    let early = client.call(Request::Delete { container: "none".into() }, &[])?.0;
    check(early.is_err_and(|error| error.code == ErrorCode::NotFound), || "deleted nothing".into())?;

    client.ask(Request::Start { container: "c".into() }, &[])?;
    let exit = exited(&mut client, "c")?;
    check(exit.code == 7 && exit.signal.is_none() && !exit.oom_killed, || format!("{exit:?}"))?;
    // The log is complete when the exit is told.
    check(pod.output("c", "stdout")? == "harbour\ntail", || "stdout".into())?;
    check(pod.output("c", "stderr")? == "to-stderr\n", || "stderr".into())?;
    let record = exit_record(&pod.config.state_dir, "c");
    let recorded: Exit = serde_json::from_slice(&fs::read(&record)?)?;
    check(recorded == exit, || format!("{recorded:?}"))?;
    let (_, hello) = Client::hello(&pod.config.socket)?;
    let status = &hello.containers["c"];
    check(status.state == ContainerState::Exited(exit) && status.pid == 0, || format!("{status:?}"))?;
    check(status.started_at > 0 && status.started_at <= exit.at, || format!("{status:?}"))?;

    client.ask(Request::Delete { container: "c".into() }, &[])?;
    check(!record.exists(), || "the record outlived the container".into())?;
    let (_, hello) = Client::hello(&pod.config.socket)?;
    check(hello.containers.is_empty(), || format!("{hello:?}"))?;
    client.ask(Request::Shutdown, &[])?;
    let mut pod = pod;
    check(pod.monitor.wait()?.success(), || "the monitor failed".into())?;
    check(!pod.config.socket.exists(), || "the socket is left".into())
}
