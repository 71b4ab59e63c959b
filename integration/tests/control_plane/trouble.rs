//! A kill, a full disk, a damaged file, and two that want the same one.

use std::time::Duration;

use integration::process::{Daemon, wait_for};
use integration::runner::{TestResult, check};
use nix::mount::{MsFlags, mount};
use serde_json::json;
use tempfile::TempDir;

use crate::api::Api;
use crate::{World, command};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

pub(crate) fn a_kill_loses_no_acknowledged_write() -> TestResult {
    let mut world = World::start()?;
    for round in 0..3 {
        let api = &world.api;
        let pid = nix::unistd::Pid::from_raw(world.daemon.pid());
        let acknowledged = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    scope.spawn(move || {
                        let names = (0..).map(|n| format!("c-{round}-{writer}-{n}"));
                        let taken =
                            |name: &String| api.create(MAPS, &json!({"metadata": {"name": name}})).is_ok();
                        names.take_while(taken).collect::<Vec<_>>()
                    })
                })
                .collect();
            // Not waited for anything: the kill comes at another moment in each round.
            std::thread::sleep(Duration::from_millis(150 + 70 * round));
            let killed = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            let names: Vec<String> = writers.into_iter().flat_map(|w| w.join().unwrap_or_default()).collect();
            killed.map(|()| names)
        })?;
        check(acknowledged.len() > 3, || format!("only {} writes were acknowledged", acknowledged.len()))?;
        world = world.again()?;
        for name in acknowledged {
            let (code, _) = world.api.get(&format!("{MAPS}/{name}"))?;
            check(code == 200, || format!("{name} was acknowledged and is not there: {code}"))?;
        }
    }
    Ok(())
}

pub(crate) fn a_full_disk_stops_writes_only() -> TestResult {
    let folder = TempDir::new()?;
    mount(Some("tmpfs"), folder.path(), Some("tmpfs"), MsFlags::empty(), Some("size=4m"))?;
    let world = World::in_folder(folder)?;
    let object = |name: &str| json!({"metadata": {"name": name}, "data": {"k": "x".repeat(200_000)}});
    let mut last = (201, serde_json::Value::Null);
    for n in 0..60 {
        last = world.api.send("POST", MAPS, &object(&format!("c{n}")))?;
        if last.0 != 201 {
            break;
        }
    }
    let (code, answer) = last;
    let said = answer["message"].as_str().unwrap_or_default();
    check(code == 503 && said.contains("No space left"), || {
        format!("a full disk is told as {code} {said:?}")
    })?;
    let (code, _) = world.api.get(&format!("{MAPS}/c0"))?;
    check(code == 200, || format!("what is there reads as {code}"))?;
    mount(Some("tmpfs"), world.folder.path(), Some("tmpfs"), MsFlags::MS_REMOUNT, Some("size=64m"))?;
    wait_for(Duration::from_secs(10), "a write after room was made", || {
        Ok((world.api.send("POST", MAPS, &object("after"))?.0 == 201).then_some(()))
    })
}

pub(crate) fn a_dead_etcd_is_waited_for_by_name() -> TestResult {
    let folder = TempDir::new()?;
    let etcd = ["--etcd-servers", "http://127.0.0.1:1"];
    let mut daemon = Daemon::spawn(command(folder.path(), &etcd), &folder.path().join("log"))?;
    let api = Api(folder.path().join("api.sock"));
    daemon.wait_for_socket(&api.0)?;
    let told = wait_for(Duration::from_secs(20), "an answer", || Ok(api.text("/readyz").ok()))?;
    check(told.0 == 500 && told.1.contains("[-]store failed") && told.1.contains("127.0.0.1:1"), || {
        format!("{told:?}")
    })?;
    let (code, answer) = api.send("POST", MAPS, &json!({"metadata": {"name": "c"}}))?;
    check(code == 503, || format!("a write is answered with {code}: {answer}"))?;
    let status = daemon.terminate(Duration::from_secs(15))?;
    check(status.success(), || format!("it ended with {status}"))
}

pub(crate) fn a_damaged_store_is_named() -> TestResult {
    let mut world = World::start()?;
    world.daemon.terminate(Duration::from_secs(5))?;
    let store = world.folder.path().join("data/lib/control-plane/store.redb");
    let bytes = std::fs::read(&store)?;
    std::fs::write(&store, bytes.iter().map(|byte| !byte).collect::<Vec<_>>())?;
    let output = command(world.folder.path(), &[]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    check(
        output.status.code() == Some(1)
            && said.contains("store.redb")
            && said.contains("is this a store of Orlop?"),
        || format!("{}: {said}", output.status),
    )
}

pub(crate) fn a_second_one_is_refused() -> TestResult {
    let world = World::start()?;
    let mut second = command(world.folder.path(), &["--write-kubeconfig", "second"]);
    second.arg("--admin-socket").arg(world.folder.path().join("admin.sock"));
    let output = second.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    check(output.status.code() == Some(1) && said.contains("16443"), || {
        format!("{}: {said}", output.status)
    })?;
    let mut second = std::process::Command::new(integration::world::bin("orlop"));
    second.args(["--data-dir", "data", "control-plane", "--bind-address", "127.0.0.1", "--secure-port", "0"]);
    second.arg("--api-socket").arg(world.folder.path().join("second.sock"));
    second.arg("--admin-socket").arg(world.folder.path().join("admin.sock"));
    second.args(["--write-kubeconfig", "second"]).current_dir(world.folder.path());
    let output = second.env_remove("ORLOP_DATA_DIR").output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    check(output.status.code() == Some(1) && said.contains("store.redb"), || {
        format!("{}: {said}", output.status)
    })?;
    check(!world.folder.path().join("second").exists(), || "the refused one wrote a kubeconfig".to_owned())?;
    let (code, _) = world.api.get("/readyz")?;
    check(code == 200, || format!("the first one is harmed: {code}"))
}
