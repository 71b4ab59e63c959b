//! A registry that stops in the middle, for what a healthy one never shows.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api_cri::images::PullRequest;
use integration::process::wait_for;
use integration::runner::{TestResult, check, fail};
use tonic::Code;

use crate::world::{DEADLINE, World, layout, request, shell};

/// Serves one layout under every name. While `stalls` is set, layers stop at their half and manifests never come; while
/// `waits_for` layers were not asked for yet, none comes.
struct Stub {
    layout: PathBuf,
    manifest: PathBuf,
    stalls_in: &'static str,
    stalls: AtomicBool,
    waits_for: usize,
    /// How many were asked for.
    layers: (Mutex<usize>, Condvar),
}

impl Stub {
    fn start(layout: &Path, stalls_in: &'static str) -> io::Result<Arc<Self>> {
        let index = fs::read_to_string(layout.join("index.json"))?;
        let (_, digest) = index.split_once("sha256:").ok_or(io::ErrorKind::InvalidData)?;
        let manifest = layout.join("blobs/sha256").join(&digest[..64]);
        Self {
            layout: layout.into(),
            manifest,
            stalls_in,
            stalls: AtomicBool::new(true),
            waits_for: 0,
            layers: Default::default(),
        }
        .listen()
    }

    fn listen(self) -> io::Result<Arc<Self>> {
        let stub = Arc::new(self);
        let listener = TcpListener::bind("127.0.0.1:5001")?;
        let serving = stub.clone();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let stub = serving.clone();
                std::thread::spawn(move || stub.serve(connection));
            }
        });
        Ok(stub)
    }

    fn serve(&self, mut connection: TcpStream) -> io::Result<()> {
        let mut lines = BufReader::new(connection.try_clone()?).lines();
        loop {
            let Some(request) = lines.next().transpose()? else { return Ok(()) };
            while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
            let path = request.split(' ').nth(1).unwrap_or_default();
            let file = match path.rsplit_once("/blobs/sha256:") {
                Some((_, digest)) => self.layout.join("blobs/sha256").join(digest),
                None => self.manifest.clone(),
            };
            let body = fs::read(file)?;
            if path.contains("/blobs/") && body.len() > 4096 {
                self.layer_is_asked_for();
            }
            let kind = "application/vnd.oci.image.manifest.v1+json";
            write!(
                connection,
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )?;
            // A configuration is small; it is the layer that stalls.
            let stalls = self.stalls.load(Ordering::SeqCst)
                && path.contains(self.stalls_in)
                && (self.stalls_in != "/blobs/" || body.len() > 4096);
            if stalls {
                connection.write_all(&body[..body.len() / 2])?;
                // Whoever asked gives up first, or is killed.
                return lines.next().transpose().map(drop);
            }
            connection.write_all(&body)?;
        }
    }
}

impl Stub {
    /// Waits for the others, at most ten seconds.
    fn layer_is_asked_for(&self) {
        let (count, changed) = &self.layers;
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        changed.notify_all();
        let patience = Duration::from_secs(10);
        drop(changed.wait_timeout_while(count, patience, |count| *count < self.waits_for));
    }
}

pub(crate) fn parallel() -> TestResult {
    let world = World::start()?;
    let folder = world.folder.path();
    let layers = ["one", "two", "three"];
    for layer in layers {
        shell(
            folder,
            &format!(
                "mkdir {layer}; head -c 64K /dev/urandom >{layer}/{layer}; tar -C {layer} -cf {layer}.tar ."
            ),
        )?;
    }
    let image = layout(folder, "many", &layers)?;
    let index = fs::read_to_string(image.join("index.json"))?;
    let Some((_, digest)) = index.split_once("sha256:") else { return fail(index) };
    let manifest = image.join("blobs/sha256").join(&digest[..64]);
    let stub = Stub {
        layout: image,
        manifest,
        stalls_in: "nowhere",
        stalls: AtomicBool::new(false),
        waits_for: layers.len(),
        layers: Default::default(),
    };
    stub.listen()?;
    let began = Instant::now();
    world.pull(request("127.0.0.1:5001/many:1"))?;
    // One after the other, each but the last would have waited for ten seconds.
    check(began.elapsed() < Duration::from_secs(9), || format!("took {:?}", began.elapsed()))?;
    check(world.entries("layers")?.len() == layers.len(), || "not every layer is there".into())
}

fn large_image(folder: &Path) -> Result<PathBuf, integration::runner::TestError> {
    shell(folder, "mkdir big; head -c 4M /dev/urandom >big/data; tar -C big -cf big.tar .")?;
    layout(folder, "large", &["big"])
}

const LARGE: &str = "127.0.0.1:5001/large:1";

pub(crate) fn killed_in_a_pull() -> TestResult {
    let world = World::start()?;
    let stub = Stub::start(&large_image(world.folder.path())?, "/blobs/")?;
    let children = world.executor.block_on(async {
        let mut service = world.cri.progress.clone();
        let mut messages = service.pull(PullRequest { reference: LARGE.into() }).await?.into_inner();
        while let Some(message) = messages.message().await? {
            if message.layers.iter().any(|layer| layer.read >= layer.size / 3 && !layer.complete) {
                return Ok::<_, tonic::Status>(children_of(world.daemon.pid()));
            }
        }
        Ok(Vec::new())
    })?;
    check(!children.is_empty(), || "no child was unpacking at half of the layer".into())?;
    check(!world.entries("ingest")?.is_empty(), || "nothing was being unpacked".into())?;
    let world = world.crash()?;
    let left = [world.entries("ingest")?, world.entries("layers")?].concat();
    check(left.is_empty() && world.list()?.is_empty(), || format!("left by the killed daemon: {left:?}"))?;
    wait_for(DEADLINE, "the end of the killed daemon's children", || {
        let gone = children.iter().all(|pid| !Path::new(&format!("/proc/{pid}/exe")).exists());
        Ok(gone.then_some(()))
    })?;
    stub.stalls.store(false, Ordering::SeqCst);
    let id = world.pull(request(LARGE))?;
    check(world.entries("layers")?.len() == 1, || "one layer was expected".into())?;
    let world = world.crash()?;
    let kept = world.status(&id)?;
    check(kept.is_some() && world.entries("layers")?.len() == 1, || "a restart lost the image".into())
}

fn children_of(parent: i32) -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let parents = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
            parents == Some(parent.to_string().as_str())
        })
        .collect()
}

pub(crate) fn deadline() -> TestResult {
    let world = World::start()?;
    let _stub = Stub::start(&large_image(world.folder.path())?, "/manifests/")?;
    let mut call = tonic::Request::new(request(LARGE));
    call.set_timeout(Duration::from_millis(300));
    let began = Instant::now();
    let Err(status) = world.executor.block_on(world.cri.images.clone().pull_image(call)) else {
        return fail("a manifest that never came was pulled");
    };
    // Which of the two depends on whose clock, the client's or the server's, is first.
    let ended = matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled);
    check(ended && began.elapsed() < Duration::from_secs(10), || {
        format!("{status} after {:?}", began.elapsed())
    })?;
    let left = world.entries("ingest")?;
    check(left.is_empty(), || format!("left: {left:?}"))
}
