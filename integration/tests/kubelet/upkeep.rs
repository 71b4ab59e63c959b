//! What the kubelet does now and then: logs that grow, a disk that fills.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use integration::runner::{TestError, TestResult, check};
use nix::mount::{MsFlags, mount};
use serde_json::{Value, json};

use crate::node::{BUSYBOX, Kind, NGINX, Node};
use crate::pods::shell;

/// The parts of a log, the oldest first.
fn parts(folder: &Path) -> Result<Vec<PathBuf>, TestError> {
    let mut parts: Vec<PathBuf> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    // The one being written has the shortest name and is the newest.
    parts.sort_by_key(|path| (path.extension().is_some_and(|end| end == "log"), path.clone()));
    Ok(parts)
}

fn text(part: &Path) -> Result<String, TestError> {
    if part.extension().is_none_or(|end| end != "gz") {
        return Ok(fs::read_to_string(part)?);
    }
    let output = Command::new("gzip").arg("-dc").arg(part).output()?;
    check(output.status.success(), || String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// As the KubeletConfiguration says: no more than so many parts, the older ones packed, no line lost between them.
pub(crate) fn logs_are_rotated() -> TestResult {
    let mut node = Node::start(Kind::Up)?;
    node.stop()?;
    node.configure(json!({
        "containerLogMaxSize": "4Ki", "containerLogMaxFiles": 3, "containerLogMonitorInterval": "1s",
    }))?;
    node.up()?;
    let counts = "i=0; while :; do i=$((i+1)); echo line $i; usleep 5000; done";
    node.want(
        "talks",
        &json!({ "terminationGracePeriodSeconds": 0, "containers": [shell("main", counts)] }),
    )?;
    let pod = node.ready("talks")?;
    let folder = node.data().join(format!("logs/pods/default_talks-n_{}/main", pod.uid()));
    // Once the first line is in no part any more, three rotations have been.
    let numbers = node.wait("the oldest part to go", || {
        let parts = parts(&folder)?;
        let packed = parts.iter().filter(|part| part.extension().is_some_and(|end| end == "gz")).count();
        // Between two looks a part may have been packed or have gone.
        let all: Result<Vec<String>, TestError> = parts.iter().map(|part| text(part)).collect();
        let Ok(all) = all else { return Ok(None) };
        let lines = all.concat();
        let numbers: Vec<u64> =
            lines.lines().filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        let enough = parts.len() == 3 && packed == 1 && numbers.first().is_some_and(|first| *first > 1);
        Ok(enough.then_some(numbers))
    })?;
    let gap = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1);
    check(gap.is_none(), || format!("lines are lost or twice there: {gap:?}"))?;
    check(node.logs("talks", "main")?.contains("line "), || "the log is not readable".into())?;
    let link = node.data().join(format!("logs/containers/talks-n_default_main-{}.log", pod.id("main")));
    check(fs::metadata(link).is_ok(), || "the link lost its log".into())
}

fn tags(node: &Node) -> Result<Vec<String>, TestError> {
    let images: Value = serde_json::from_str(&node.orlop(&["images", "-o", "json"])?)?;
    let tags = images.as_array().into_iter().flatten().filter_map(|image| image["tags"][0].as_str());
    Ok(tags.map(ToOwned::to_owned).collect())
}

/// Over its mark, the image file system is freed of what no container uses, and of nothing else.
pub(crate) fn unused_images_go_when_the_disk_fills() -> TestResult {
    let images = PathBuf::from("/run/t/data/lib");
    fs::create_dir_all(&images)?;
    mount(Some("images"), &images, Some("tmpfs"), MsFlags::empty(), Some("size=64m"))?;
    let mut node = Node::start(Kind::Up)?;
    node.want(
        "uses",
        &json!({ "terminationGracePeriodSeconds": 0, "containers": [shell("main", "exec sleep 1d")] }),
    )?;
    let before = node.ready("uses")?;
    check(tags(&node)? == [BUSYBOX, NGINX], || "both images are there at first".into())?;
    node.kill()?;
    node.configure(json!({
        "imageGCHighThresholdPercent": 2, "imageGCLowThresholdPercent": 1, "imageMinimumGCAge": "0s",
    }))?;
    node.up()?;
    node.wait("the unused image to go", || Ok((tags(&node)? == [BUSYBOX]).then_some(())))?;
    let after = node.ready("uses")?;
    check(after.id("main") == before.id("main"), || format!("{after:#?}"))
}
