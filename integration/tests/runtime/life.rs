//! From create to delete, exec, hooks, terminals.

use std::io::Read;

use integration::runner::{TestResult, check, fail};
use serde_json::{Value, json};

use crate::bundle::{Bundle, eventually, has, said, same, script};

pub(crate) fn life_cycle() -> TestResult {
    let mut bundle = Bundle::new("echo started; while true; do sleep 1; done")?;
    bundle.spec["annotations"] = json!({"org.example.word": "of the caller"});
    let pid_file = bundle.folder.path().join("pid");
    let created = bundle.create(&["--pid-file", &pid_file.display().to_string()])?;
    same((created.code, created.err.as_str()), (0, ""))?;
    same(bundle.status()?.as_str(), "created")?;
    let pid = std::fs::read_to_string(&pid_file)?;
    check(pid.parse::<i32>().is_ok(), || format!("the pid file has more than the pid: {pid:?}"))?;
    same(std::fs::read_to_string(bundle.folder.path().join("out"))?.as_str(), "")?;

    same(bundle.call(&["start", &bundle.id])?.code, 0)?;
    let out = bundle.folder.path().join("out");
    eventually("output", || Ok(std::fs::read_to_string(&out)? == "started\n"))?;
    let state: Value = serde_json::from_str(&bundle.call(&["state", &bundle.id])?.out)?;
    same(state["status"].as_str(), Some("running"))?;
    same(state["pid"].to_string(), pid)?;
    same(&state["ociVersion"], &bundle.spec["ociVersion"])?;
    same(&state["annotations"], &bundle.spec["annotations"])?;
    same(
        state["rootfs"].as_str().map(str::to_owned),
        Some(bundle.rootfs("").display().to_string().trim_end_matches('/').to_owned()),
    )?;
    same(bundle.call(&["list", "-q"])?.out, format!("{}\n", bundle.id))?;

    let again = bundle.call(&["start", &bundle.id])?;
    has(&again.err, "cannot start an already running container")?;
    has(&bundle.call(&["delete", &bundle.id])?.err, "is not stopped: running")?;
    same(bundle.call(&["kill", &bundle.id, "kill"])?.code, 0)?;
    bundle.wait_for_status("stopped")?;
    has(&bundle.call(&["kill", &bundle.id])?.err, "container not running")?;
    same(bundle.call(&["kill", "--all", &bundle.id, "9"])?.code, 0)?;
    let deleted = bundle.call(&["delete", &bundle.id])?;
    same((deleted.code, deleted.err.as_str()), (0, ""))?;
    has(&bundle.call(&["delete", &bundle.id])?.err, "container does not exist")?;
    same(bundle.call(&["delete", "--force", &bundle.id])?.code, 0)?;
    same(bundle.call(&["list", "-f", "json"])?.out.as_str(), "null")?;
    same(std::fs::read_dir(bundle.root())?.count(), 0)?;
    check(!bundle.cgroup("pids").exists(), || "the cgroup is still there".to_owned())
}

pub(crate) fn exit_codes() -> TestResult {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$; sleep 9", 0)] {
        let mut bundle = Bundle::new(script)?;
        if code == 0 && script.starts_with("kill") {
            // The first process of a PID namespace ignores its own signals: kill a child.
            bundle.spec["process"]["args"] = json!(["sh", "-c", "sh -c 'kill -9 $$'; exit $?"]);
            same(bundle.run()?.code, 137)?;
        } else {
            same(bundle.run()?.code, code)?;
        }
    }
    let bundle = Bundle::new("exec sleep 1000")?;
    bundle.write()?;
    let mut child =
        bundle.command().args(["run", "--bundle"]).arg(bundle.folder.path()).arg(&bundle.id).spawn()?;
    eventually("running", || Ok(bundle.call(&["state", &bundle.id])?.out.contains("running")))?;
    same(bundle.call(&["kill", &bundle.id, "SIGKILL"])?.code, 0)?;
    same(child.wait()?.code(), Some(137))?;
    let unknown = bundle.call(&["moon"])?;
    same(unknown.code, 3)?;
    has(&unknown.err, "No help topic for 'moon'")
}

pub(crate) fn errors() -> TestResult {
    let mut bundle = Bundle::new("true")?;
    for (args, text) in [
        (json!(["/nope"]), "exec: \"/nope\": stat /nope: no such file or directory"),
        (json!(["nope"]), "exec: \"nope\": executable file not found in $PATH"),
        (json!(["/bin"]), "exec: \"/bin\": is a directory"),
        (json!(["/etc/plain"]), "exec: \"/etc/plain\": permission denied"),
    ] {
        std::fs::create_dir_all(bundle.rootfs("etc"))?;
        std::fs::write(bundle.rootfs("etc/plain"), "")?;
        bundle.spec["process"]["args"] = args;
        bundle.write()?;
        let log = bundle.folder.path().join("log.json");
        let _ = std::fs::remove_file(&log);
        let flags = ["--log", &log.display().to_string(), "--log-format", "json", "create", "-b"];
        let created = said(bundle.command().args(flags).arg(bundle.folder.path()).arg(&bundle.id).output()?)?;
        same(created.code, 1)?;
        let line: Value = serde_json::from_str(&std::fs::read_to_string(&log)?)?;
        same(line["level"].as_str(), Some("error"))?;
        let message = line["msg"].as_str().unwrap_or_default();
        has(message, "runc create failed: unable to start container process: ")?;
        has(message, text)?;
        has(&created.err, text)?;
        check(!bundle.root().join(&bundle.id).exists(), || "a failed create left its folder".to_owned())?;
        check(!bundle.cgroup("pids").exists(), || "a failed create left its cgroup".to_owned())?;
    }
    has(&bundle.call(&["state", "absent"])?.err, "container does not exist")?;
    has(&bundle.call(&["state", "a/b"])?.err, "invalid container ID format")?;
    bundle.spec["process"]["args"] = json!(["true"]);
    bundle.spec["linux"]["intelRdt"] = json!({});
    has(&bundle.run()?.err, "linux.intelRdt: is not implemented")
}

pub(crate) fn exec() -> TestResult {
    let mut bundle = Bundle::new("exec sleep 1000")?;
    bundle.spec["process"]["capabilities"]["bounding"] = json!(["CAP_KILL"]);
    bundle.start()?;
    let plain = bundle.exec(&["--env", "C=d", "--cwd", "/bin"], "echo $A$C; pwd; hostname; exit 5")?;
    same((plain.code, plain.out.as_str()), (5, "bd\n/bin\ninside\n"))?;
    let user =
        bundle.exec(&["--user", "7:8", "-g", "9"], "id -u; id -g; id -G; grep CapEff /proc/self/status")?;
    same(user.out.as_str(), "7\n8\n8 9\nCapEff:\t0000000000000000\n")?;
    for wrong in ["1000x", "", ":5", "4294967296", "-1", "root"] {
        let refused = bundle.exec(&["--user", wrong], "id")?;
        check(refused.code == 255, || format!("--user {wrong:?} was taken: {}", refused.out))?;
    }
    let missing = bundle.call(&["exec", &bundle.id, "nope"])?;
    same(missing.code, 255)?;
    has(&missing.err, "executable file not found in $PATH")?;

    // As a shim calls it.
    let process = bundle.folder.path().join("process.json");
    let object = json!({"args": ["sh", "-c", "grep Cap /proc/self/status > /caps; sleep 1000"], "cwd": "/",
        "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"], "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]}});
    std::fs::write(&process, object.to_string())?;
    let pid_file = bundle.folder.path().join("exec.pid");
    let flags = [
        "--process",
        &process.display().to_string(),
        "--detach",
        "--pid-file",
        &pid_file.display().to_string(),
    ];
    let status = bundle
        .command()
        .arg("exec")
        .args(flags)
        .arg(&bundle.id)
        .stdout(std::process::Stdio::null())
        .status()?;
    same(status.code(), Some(0))?;
    let pid: i32 = std::fs::read_to_string(&pid_file)?.parse()?;
    let caps = bundle.rootfs("caps");
    eventually("capabilities", || {
        Ok(std::fs::read_to_string(&caps).is_ok_and(|text| text.contains("CapAmb")))
    })?;
    let expected = [
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000020",
        "CapEff:\t0000000000000020",
        "CapBnd:\t0000000000000020",
        "CapAmb:\t0000000000000000",
    ];
    same(std::fs::read_to_string(&caps)?.trim_end(), &expected.join("\n"))?;
    let listed: Vec<i32> = serde_json::from_str(&bundle.call(&["ps", "--format", "json", &bundle.id])?.out)?;
    check(listed.contains(&pid), || format!("{pid} is not among {listed:?}"))?;
    let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    has(&cgroups, "orlop-test-")?;
    bundle.delete()
}

pub(crate) fn hooks() -> TestResult {
    let mut bundle = Bundle::new("echo program >> /trace")?;
    let trace = bundle.rootfs("trace");
    let hook = bundle.folder.path().join("hook");
    script(
        &hook,
        &format!(
            "#!/bin/sh\necho $1 $(cat | tr -d '\\n' | grep -o '\"status\":\"[a-z]*\"') >> {}\n",
            trace.display()
        ),
    )?;
    let inside = bundle.rootfs("hook");
    script(&inside, "#!/bin/sh\necho $1 $(cat | grep -o '\"status\":\"[a-z]*\"') >> /trace\n")?;
    let mut hooks = json!({});
    for name in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        hooks[name] = json!([{"path": hook, "args": ["hook", name], "env": ["PATH=/bin:/usr/bin"]}]);
    }
    hooks["startContainer"] =
        json!([{"path": "/hook", "args": ["hook", "startContainer"], "env": ["PATH=/bin"]}]);
    bundle.spec["hooks"] = hooks;
    let ran = bundle.run()?;
    same((ran.code, ran.err.as_str()), (0, ""))?;
    let text = std::fs::read_to_string(&trace)?;
    let names: Vec<_> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    same(names[..4].to_vec(), vec!["prestart", "createRuntime", "createContainer", "startContainer"])?;
    // The program and the hooks after its start run at the same time.
    for name in ["program", "poststart", "poststop"] {
        check(names.contains(&name), || format!("{name} is missing in {names:?}"))?;
    }
    same(names.last().copied(), Some("poststop"))?;
    has(&text, "createRuntime \"status\":\"creating\"")?;
    has(&text, "poststop \"status\":\"stopped\"")?;

    bundle.spec["hooks"] =
        json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo why >&2; exit 3"]}]});
    let failed = bundle.run()?;
    same(failed.code, 1)?;
    has(&failed.err, "error running createRuntime hook #0: ")?;
    has(&failed.err, "why")?;
    bundle.spec["hooks"] =
        json!({"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]});
    has(&bundle.run()?.err, "timeout of 1s")
}

pub(crate) fn console_socket() -> TestResult {
    let mut bundle = Bundle::new(
        "tty; stty size; read line; echo got $line; test -t 0 && test -c /dev/console && echo terminal",
    )?;
    bundle.spec["process"]["terminal"] = json!(true);
    bundle.spec["process"]["consoleSize"] = json!({"height": 33, "width": 77});
    has(&bundle.create(&[])?.err, "cannot allocate tty if runc will detach without setting console socket")?;
    let path = bundle.folder.path().join("console.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path)?;
    let created = bundle.create(&["--console-socket", &path.display().to_string()])?;
    same((created.code, created.err.as_str()), (0, ""))?;
    let (connection, _) = listener.accept()?;
    let Some(master) = sys::process::receive_terminal(&connection)? else {
        return fail("no terminal came");
    };
    let mut master = std::fs::File::from(master);
    same(bundle.call(&["start", &bundle.id])?.code, 0)?;
    std::io::Write::write_all(&mut master, b"hello\n")?;
    let mut text = String::new();
    let mut buffer = [0; 1024];
    // Reading a master whose slaves are closed fails with EIO.
    while let Ok(length) = master.read(&mut buffer) {
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    for part in ["/dev/pts/0", "33 77", "got hello", "terminal"] {
        has(&text, part)?;
    }
    Ok(())
}
