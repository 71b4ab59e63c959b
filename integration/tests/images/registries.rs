//! What registries ask for and offer: tokens, indexes of several platforms, layers in zstd.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use api_cri::v1::{AuthConfig, PullImageRequest};
use integration::runner::{TestError, TestResult, check, fail};
use tonic::Code;

use crate::world::{Registry, World, push, request, shell, two_images};

const ONE: &str = "127.0.0.1:5000/one:1";

/// A token service: to the right password it gives a token that was made before, and it remembers what it was asked.
struct Tokens {
    token: String,
    asked: Mutex<Vec<String>>,
}

impl Tokens {
    fn start(token: String) -> Result<Arc<Self>, TestError> {
        let tokens = Arc::new(Self { token, asked: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:5002")?;
        let serving = tokens.clone();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // A client that hangs up is none of this test's business.
                let _ = serving.answer(connection);
            }
        });
        Ok(tokens)
    }

    fn answer(&self, mut connection: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(connection.try_clone()?).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        let mut authorized = false;
        while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
            // "me:right" in base64.
            authorized |= line.to_ascii_lowercase().starts_with("authorization:")
                && line.ends_with("Basic bWU6cmlnaHQ=");
        }
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        if let Ok(mut asked) = self.asked.lock() {
            asked.push(path);
        }
        let (status, body) = if authorized {
            ("200 OK", format!("{{\"token\":\"{}\"}}", self.token))
        } else {
            ("401 Unauthorized", "{}".to_owned())
        };
        let length = body.len();
        write!(connection, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    }
}

/// A token for pulling `one`, signed by a key whose certificate the registry is told of: `key.pem`, `cert.pem`.
fn token(folder: &Path) -> Result<String, TestError> {
    shell(
        folder,
        r#"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tokens -keyout key.pem -out cert.pem 2>/dev/null
        url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
        now=$(date +%s)
        head=$(jq -nc --arg x "$(openssl x509 -in cert.pem -outform DER | openssl base64 -A)" \
            '{typ: "JWT", alg: "RS256", x5c: [$x]}' | tr -d '\n' | url)
        claims=$(jq -nc --argjson n $now '{iss: "tokens", sub: "me", aud: "test", exp: ($n + 3600), nbf: ($n - 60),
            iat: $n, jti: "1", access: [{type: "repository", name: "one", actions: ["pull"]}]}' | tr -d '\n' | url)
        sign=$(printf %s "$head.$claims" | openssl dgst -sha256 -sign key.pem -binary | url)
        printf %s "$head.$claims.$sign""#,
    )
}

pub(crate) fn bearer_auth() -> TestResult {
    let world = World::start()?;
    let folder = world.folder.path();
    let (one, _) = two_images(folder)?;
    let mut open = Registry::start(folder, "", "")?;
    push(&one, "one:1", &[])?;
    push(&one, "other:1", &[])?;
    open.daemon.kill()?;

    let tokens = Tokens::start(token(folder)?)?;
    let settings = format!(
        "auth: {{token: {{realm: 'http://127.0.0.1:5002/token', service: test, issuer: tokens, rootcertbundle: {}/cert.pem}}}}\n",
        folder.display()
    );
    let _registry = Registry::start(folder, "", &settings)?;
    let with = |password: &str, image: &str| {
        let auth = AuthConfig { username: "me".into(), password: password.into(), ..AuthConfig::default() };
        PullImageRequest { auth: Some(auth), ..request(image) }
    };
    for refused in [request(ONE), with("wrong-secret", ONE)] {
        let Err(status) = world.pull(refused) else { return fail("pulled without the right password") };
        check(status.code() == Code::PermissionDenied, || format!("{status}"))?;
        check(!status.message().contains("secret"), || format!("the password is shown: {status}"))?;
    }
    world.pull(with("right", ONE))?;
    // The token says nothing of another repository.
    let other = world.pull(with("right", "127.0.0.1:5000/other:1")).map_err(|status| status.code());
    check(other == Err(Code::PermissionDenied), || format!("another repository: {other:?}"))?;
    let asked = tokens.asked.lock().map(|asked| asked.join("\n")).unwrap_or_default();
    let scoped = asked.lines().any(|path| {
        path.contains("service=test")
            && (path.contains("repository:one:pull") || path.contains("repository%3Aone%3Apull"))
    });
    check(scoped, || format!("the token service was asked for:\n{asked}"))?;
    let log = world.daemon.log();
    let signature = tokens.token.rsplit('.').next().unwrap_or_default();
    check(!log.contains("secret") && !log.contains(signature), || format!("a secret is logged:\n{log}"))
}

pub(crate) fn platforms() -> TestResult {
    let world = World::start()?;
    let folder = world.folder.path();
    let _registry = Registry::start(folder, "", "")?;
    let (one, two) = two_images(folder)?;
    push(&index_of(folder)?, "many:1", &["--all"])?;
    let many = world.pull(request("127.0.0.1:5000/many:1"))?;
    for (layout, name) in [(&one, "one:1"), (&two, "two:1")] {
        push(layout, name, &[])?;
    }
    // An image's id is its configuration's: the same as when that platform's manifest is pulled alone.
    let ours = world.pull(request(ONE))?;
    check(many == ours, || format!("the index gave {many}, this machine's is {ours}"))?;

    let foreign = world.pull(request("127.0.0.1:5000/foreign:1"));
    check(foreign.is_err(), || "a name that is not there".into())?;
    shell(
        folder,
        "cp -r many foreign && jq -c '.manifests |= map(select(.platform.architecture == \"s390x\"))' \
        many/blobs/sha256/$(cut -c8- many.digest) >index && d=$(sha256sum index | cut -d' ' -f1) \
        && cp index foreign/blobs/sha256/$d && jq -c --arg d sha256:$d --argjson s $(stat -c %s index) \
        '.manifests[0] |= (.digest = $d | .size = $s)' many/index.json >foreign/index.json",
    )?;
    push(&folder.join("foreign"), "foreign:1", &["--all"])?;
    let Err(status) = world.pull(request("127.0.0.1:5000/foreign:1")) else {
        return fail("an image of another architecture was pulled");
    };
    check(status.message().contains("no image for linux/"), || format!("{status}"))
}

/// A layout whose index offers `two` to a mainframe, `one` to this machine, and says who built it.
fn index_of(folder: &Path) -> Result<PathBuf, TestError> {
    shell(
        folder,
        r#"mkdir -p many/blobs/sha256; cp one/blobs/sha256/* many/blobs/sha256/; cp two/blobs/sha256/* many/blobs/sha256/; cp one/oci-layout many/
        arch=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
        of() { jq -c --arg a $2 --arg o $3 '.manifests[0] | del(.annotations) + {platform: {architecture: $a, os: $o}}' $1/index.json; }
        { of two s390x linux; of two unknown unknown; of one $arch linux; } | jq -sc '{schemaVersion: 2,
            mediaType: "application/vnd.oci.image.index.v1+json", manifests: .}' >index
        d=$(sha256sum index | cut -d' ' -f1); cp index many/blobs/sha256/$d; printf sha256:%s $d >many.digest
        jq -nc --arg d sha256:$d --argjson s $(stat -c %s index) '{schemaVersion: 2, manifests: [{
            mediaType: "application/vnd.oci.image.index.v1+json", digest: $d, size: $s,
            annotations: {"org.opencontainers.image.ref.name": "latest"}}]}' >many/index.json"#,
    )?;
    Ok(folder.join("many"))
}

pub(crate) fn zstd_layers() -> TestResult {
    let world = World::start()?;
    let folder = world.folder.path();
    let registry = Registry::start(folder, "", "")?;
    let (one, _) = two_images(folder)?;
    push(&one, "zstd:1", &["--dest-compress-format", "zstd"])?;
    let manifest = shell(
        folder,
        "curl -sSf -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
        http://127.0.0.1:5000/v2/zstd/manifests/1",
    )?;
    check(manifest.matches("layer.v1.tar+zstd").count() == 2, || format!("not in zstd: {manifest}"))?;
    world.pull(request("127.0.0.1:5000/zstd:1"))?;
    check(registry.gets("/v2/zstd/blobs/") == 3, || "not three blobs were read".into())?;
    let layers = world.entries("layers")?;
    let files: Vec<_> =
        layers.iter().filter(|l| l.join("fs/base").exists() || l.join("fs/a").exists()).collect();
    check(files.len() == 2, || format!("unpacked: {layers:?}"))
}
