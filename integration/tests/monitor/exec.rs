//! Further processes in a running container.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use api_monitor::{ErrorCode, ExecRequest, Reply, Request};
use integration::runner::{TestResult, check, fail};
use serde_json::json;
use sys::pidfd::PidFd;

use crate::fixture::{Pod, exec_exited, read_until};

fn process(pod: &Pod, script: &str, terminal: bool) -> std::io::Result<PathBuf> {
    let path = pod.folder.join("process.json");
    let process = json!({
        "terminal": terminal,
        "user": {"uid": 0, "gid": 0},
        "args": ["/bin/sh", "-c", script],
        "env": ["PATH=/bin"],
        "cwd": "/",
    });
    fs::write(&path, serde_json::to_vec(&process)?)?;
    Ok(path)
}

fn request(container: &str, exec: &str, process: PathBuf, streams: [bool; 3]) -> Request {
    let (container, exec) = (container.into(), exec.into());
    Request::Exec(ExecRequest { container, exec, process, terminal: streams == [false; 3], streams })
}

pub(crate) fn exit_codes_and_streams() -> TestResult {
    let pod = Pod::new("exec")?;
    let mut client = pod.client()?;
    let early = request("c", "e", process(&pod, "true", false)?, [true; 3]);
    let null = File::open("/dev/null")?;
    let refused = client.call(early, &[null.as_fd(), null.as_fd(), null.as_fd()])?.0;
    check(refused.is_err_and(|error| error.code == ErrorCode::NotFound), || "no container".into())?;
    pod.run(&mut client, "c", "sleep 1000")?;
    let missing = client.call(request("c", "e", process(&pod, "true", false)?, [true; 3]), &[])?.0;
    check(missing.is_err_and(|error| error.code == ErrorCode::Invalid), || "no descriptors".into())?;

    for (number, (script, code, signal)) in
        [("exit 0", 0, None), ("exit 42", 42, None), ("kill -9 $$", 137, Some(9))].into_iter().enumerate()
    {
        let name = format!("e{number}");
        let exec = request(
            "c",
            &name,
            process(&pod, &format!("echo out; echo err >&2; cat; {script}"), false)?,
            [true; 3],
        );
        let (stdin, mut to) = std::io::pipe()?;
        let (mut out, stdout) = std::io::pipe()?;
        let (mut err, stderr) = std::io::pipe()?;
        let (reply, fds) = client.ask(exec, &[stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])?;
        drop((stdin, stdout, stderr));
        check(matches!(reply, Reply::Created { pid } if pid > 0), || format!("{reply:?}"))?;
        check(fds.len() == 1, || format!("{} descriptors", fds.len()))?;
        to.write_all(b"through\n")?;
        drop(to);
        let (mut text, mut errors) = (String::new(), String::new());
        out.read_to_string(&mut text)?;
        err.read_to_string(&mut errors)?;
        check((text.as_str(), errors.as_str()) == ("out\nthrough\n", "err\n"), || {
            format!("{text:?} {errors:?}")
        })?;
        let exit = exec_exited(&mut client, &name)?;
        check((exit.code, exit.signal) == (code, signal), || format!("{script}: {exit:?}"))?;
    }
    let absent = pod.folder.join("absent.json");
    let failed =
        client.call(request("c", "e", absent, [false, true, true]), &[null.as_fd(), null.as_fd()])?.0;
    let Err(error) = failed else { return fail("executed a file that is not there") };
    check(error.code == ErrorCode::Runtime && error.message.contains("no such file"), || {
        format!("{error:?}")
    })?;
    check(client.pending() == 0, || "events that belong to nothing".into())
}

pub(crate) fn terminal_and_resize() -> TestResult {
    let pod = Pod::new("exec-tty")?;
    let mut client = pod.client()?;
    pod.run(&mut client, "c", "sleep 1000")?;
    let script = "test -t 0 && echo is-tty; read x; stty size; exit 9";
    let (_, mut fds) = client.ask(request("c", "t", process(&pod, script, true)?, [false; 3]), &[])?;
    check(fds.len() == 2, || format!("{} descriptors", fds.len()))?;
    let mut master = File::from(fds.remove(1));
    read_until(&mut master, "is-tty")?;
    let resized = Command::new("stty")
        .args(["rows", "41", "cols", "123"])
        .stdin(Stdio::from(master.try_clone()?))
        .status()?;
    check(resized.success(), || format!("{resized}"))?;
    master.write_all(b"\n")?;
    read_until(&mut master, "41 123")?;
    let exit = exec_exited(&mut client, "t")?;
    check(exit.code == 9, || format!("{exit:?}"))
}

pub(crate) fn many_at_once() -> TestResult {
    let pod = Pod::new("execs")?;
    let mut client = pod.client()?;
    pod.run(&mut client, "c", "sleep 1000")?;
    let path = process(&pod, "exit 5", false)?;
    let ids: Vec<u64> = (0..16)
        .map(|number| client.send(request_without_streams("c", &format!("m{number}"), path.clone()), &[]))
        .collect::<Result<_, _>>()?;
    let mut held: Vec<OwnedFd> = Vec::new();
    for id in ids {
        let (reply, fds) = client.answer(id)?;
        check(reply.is_ok(), || format!("{reply:?}"))?;
        held.extend(fds);
    }
    for (number, pidfd) in held.into_iter().enumerate() {
        let exit = exec_exited(&mut client, &format!("m{number}"))?;
        check(exit.code == 5, || format!("{exit:?}"))?;
        check(PidFd::from(pidfd).wait(std::time::Duration::ZERO)?, || "told before its end".into())?;
    }
    Ok(())
}

fn request_without_streams(container: &str, exec: &str, process: PathBuf) -> Request {
    let (container, exec) = (container.into(), exec.into());
    Request::Exec(ExecRequest { container, exec, process, terminal: false, streams: [false; 3] })
}
