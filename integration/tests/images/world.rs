//! What the image tests share: one daemon, a registry, images made with tar.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use api_cri::v1::{ImageSpec, ImageStatusRequest, ListImagesRequest, PullImageRequest, RemoveImageRequest};
use integration::cri::Cri;
use integration::process::{Daemon, wait_for};
use integration::runner::{TestError, fail};
use integration::world::bin;

/// Long enough for a busy machine, and never waited for when all is well.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A folder with a daemon.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) executor: tokio::runtime::Runtime,
    pub(crate) cri: Cri,
    pub(crate) daemon: Daemon,
}

impl World {
    pub(crate) fn start() -> Result<Self, TestError> {
        let folder = tempfile::tempdir()?;
        Self::start_in(folder)
    }

    pub(crate) fn start_in(folder: tempfile::TempDir) -> Result<Self, TestError> {
        let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let daemon = spawn(folder.path())?;
        let cri = executor.block_on(Cri::connect(&socket(folder.path())))?;
        Ok(Self { folder, executor, cri, daemon })
    }

    /// kill -9, and a new daemon on the same folder.
    pub(crate) fn crash(mut self) -> Result<Self, TestError> {
        self.daemon.kill()?;
        let Self { folder, .. } = self;
        Self::start_in(folder)
    }

    /// A folder below the image store.
    pub(crate) fn stored(&self, name: &str) -> PathBuf {
        self.folder.path().join("data/lib/cri").join(name)
    }

    /// The entries of a folder below the image store.
    pub(crate) fn entries(&self, name: &str) -> Result<Vec<PathBuf>, TestError> {
        let entries = fs::read_dir(self.stored(name))?;
        Ok(entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?)
    }

    pub(crate) fn registries(&self) -> PathBuf {
        self.folder.path().join("data/registries")
    }

    pub(crate) fn pull(&self, request: PullImageRequest) -> Result<String, tonic::Status> {
        let mut images = self.cri.images.clone();
        let answer = self
            .executor
            .block_on(async { tokio::time::timeout(DEADLINE, images.pull_image(request)).await });
        answer
            .map_err(|_| tonic::Status::deadline_exceeded("the test's own"))?
            .map(|a| a.into_inner().image_ref)
    }

    pub(crate) fn status(&self, image: &str) -> Result<Option<api_cri::v1::Image>, tonic::Status> {
        let request = ImageStatusRequest { image: spec(image), verbose: false };
        let answer = self.executor.block_on(self.cri.images.clone().image_status(request));
        Ok(answer?.into_inner().image)
    }

    pub(crate) fn list(&self) -> Result<Vec<api_cri::v1::Image>, tonic::Status> {
        let answer =
            self.executor.block_on(self.cri.images.clone().list_images(ListImagesRequest::default()));
        Ok(answer?.into_inner().images)
    }

    pub(crate) fn remove(&self, image: &str) -> Result<(), tonic::Status> {
        let request = RemoveImageRequest { image: spec(image) };
        self.executor.block_on(self.cri.images.clone().remove_image(request)).map(drop)
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("cri.sock")
}

fn spawn(folder: &Path) -> Result<Daemon, TestError> {
    let mut command = Command::new(bin("orlop"));
    command.arg("cri").arg("--data-dir").arg(folder.join("data"));
    command.arg("--listen").arg(format!("unix://{}", socket(folder).display()));
    let mut daemon = Daemon::spawn(command, &folder.join("log"))?;
    daemon.wait_for_socket(&socket(folder))?;
    Ok(daemon)
}

pub(crate) fn spec(image: &str) -> Option<ImageSpec> {
    Some(ImageSpec { image: image.into(), ..ImageSpec::default() })
}

pub(crate) fn request(image: &str) -> PullImageRequest {
    PullImageRequest { image: spec(image), ..PullImageRequest::default() }
}

/// Debian's docker-registry, on loopback of the test's own network.
pub(crate) struct Registry {
    pub(crate) daemon: Daemon,
}

impl Registry {
    /// `settings` are more lines of its configuration, by section.
    pub(crate) fn start(folder: &Path, http: &str, settings: &str) -> Result<Self, TestError> {
        let at = folder.join("registry");
        fs::create_dir_all(&at)?;
        let file = at.join("config.yml");
        fs::write(
            &file,
            format!(
                "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}/data}}}}\n\
                 http:\n  addr: 127.0.0.1:5000\n{http}{settings}",
                at.display()
            ),
        )?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file);
        let mut daemon = Daemon::spawn(command, &at.join("log"))?;
        wait_for(DEADLINE, "the registry", || {
            Ok(std::net::TcpStream::connect("127.0.0.1:5000").ok().map(drop))
        })
        .inspect_err(|_| drop(daemon.kill()))?;
        Ok(Self { daemon })
    }

    /// How often its access log shows a GET of a path that contains this.
    pub(crate) fn gets(&self, part: &str) -> usize {
        let log = self.daemon.log();
        log.lines().filter(|line| line.contains("\"GET ") && line.contains(part)).count()
    }
}

/// Pushes an OCI layout with skopeo.
pub(crate) fn push(layout: &Path, name: &str, more: &[&str]) -> Result<(), TestError> {
    let mut command = Command::new("skopeo");
    command.args(["copy", "--quiet", "--dest-tls-verify=false"]).args(more);
    run(command.arg(format!("oci:{}", layout.display())).arg(format!("docker://127.0.0.1:5000/{name}")))?;
    Ok(())
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<Output, TestError> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(output);
    }
    fail(format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Runs a script that must succeed, in a folder.
pub(crate) fn shell(folder: &Path, script: &str) -> Result<String, TestError> {
    let output = run(Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(folder))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Makes an OCI layout of gzipped layers `NAME.tar` in the folder. The script defines them.
pub(crate) fn layout(folder: &Path, name: &str, layers: &[&str]) -> Result<PathBuf, TestError> {
    let script = format!(
        r#"l={name}; mkdir -p $l/blobs/sha256; ids=(); descriptors=()
put() {{ h=$(sha256sum "$1" | cut -d' ' -f1); cp "$1" $l/blobs/sha256/$h
    jq -nc --arg t "$2" --arg d sha256:$h --argjson s $(stat -c %s "$1") '{{mediaType: $t, digest: $d, size: $s}}'; }}
for t in {layers}; do
    ids+=("sha256:$(sha256sum $t.tar | cut -d' ' -f1)"); gzip -nkf $t.tar
    descriptors+=("$(put $t.tar.gz application/vnd.oci.image.layer.v1.tar+gzip)")
done
arch=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
jq -nc --arg l $l --arg a $arch '{{architecture: $a, os: "linux", author: $l, config: {{User: "1002:3"}},
    rootfs: {{type: "layers", diff_ids: $ARGS.positional}}}}' --args "${{ids[@]}}" >$l.config
put $l.config application/vnd.oci.image.config.v1+json >$l.d
printf '%s\n' "${{descriptors[@]}}" | jq -sc --slurpfile c $l.d '{{schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json", config: $c[0], layers: .}}' >$l.m
put $l.m application/vnd.oci.image.manifest.v1+json | jq -c '{{schemaVersion: 2, manifests: [. + {{annotations:
    {{"org.opencontainers.image.ref.name": "latest"}}}}]}}' >$l/index.json
echo '{{"imageLayoutVersion":"1.0.0"}}' >$l/oci-layout"#,
        layers = layers.join(" ")
    );
    shell(folder, &script)?;
    Ok(folder.join(name))
}

/// Two small images that share a layer: `one` and `two`.
pub(crate) fn two_images(folder: &Path) -> Result<(PathBuf, PathBuf), TestError> {
    shell(
        folder,
        "mkdir base a b; echo base >base/base; echo a >a/a; echo b >b/b
         for t in base a b; do tar -C $t -cf $t.tar .; done",
    )?;
    Ok((layout(folder, "one", &["base", "a"])?, layout(folder, "two", &["base", "b"])?))
}
