//! Pulling, importing and removing.

use std::fs;
use std::process::Command;

use api_cri::images::{ImportRequest, Progress};
use api_cri::v1::{AuthConfig, PullImageRequest};
use integration::process::wait_for;
use integration::runner::{TestError, TestResult, check, fail};
use tonic::Code;

use crate::world::{DEADLINE, Registry, World, layout, push, request, run, shell, two_images};

const ONE: &str = "127.0.0.1:5000/one:1";

pub(crate) fn one_object() -> TestResult {
    let world = World::start()?;
    let _registry = Registry::start(world.folder.path(), "", "")?;
    let (one, _) = two_images(world.folder.path())?;
    push(&one, "one:1", &[])?;
    check(world.status(ONE)?.is_none(), || "an image before it was pulled".into())?;
    let id = world.pull(request(ONE))?;
    let Some(image) = world.status(ONE)? else { return fail("not there after the pull") };
    check(image.id == id, || format!("image_ref {id}, id {}", image.id))?;
    check(image.repo_tags == [ONE], || format!("{:?}", image.repo_tags))?;
    check(image.uid.is_some_and(|uid| uid.value == 1002), || format!("uid {:?}", image.uid))?;
    for name in [&id, &image.repo_digests[0]] {
        let same = world.status(name)?;
        check(same.as_ref() == Some(&image), || format!("by {name}: {same:?}"))?;
    }
    check(world.list()? == [image.clone()], || "the list differs".into())?;
    // By digest: the same image, under no further tag.
    check(world.pull(request(&image.repo_digests[0]))? == id, || "another id by digest".into())?;
    check(world.status(&id)?.as_ref() == Some(&image), || "pulling by digest changed the image".into())?;
    let missing = world.pull(request("127.0.0.1:5000/none:1")).map_err(|status| status.code());
    check(missing == Err(Code::NotFound), || format!("a repository that is not there: {missing:?}"))
}

pub(crate) fn same_as_umoci() -> TestResult {
    let world = World::start()?;
    let folder = world.folder.path();
    let _registry = Registry::start(folder, "", "")?;
    shell(
        folder,
        r#"mkdir -p low/{keep,gone/deep,opaque/old,swap} up/opaque/new
        long=$(printf 'n%.0s' {1..200}); echo long >low/$long; ln -s $long low/link; ln -s /absolute/nowhere low/dangling
        echo suid >low/suid; chown 1000:65534 low/suid; chmod 6755 low/suid; ln low/suid low/keep/hard
        echo secret >low/keep/secret; chmod 000 low/keep/secret; chmod 1777 low/keep
        mkdir holes; truncate -s 3M holes/sparse; echo end >>holes/sparse; cp /bin/true low/ping
        setfattr -n user.note -v value low/suid 2>/dev/null || true
        setcap cap_net_raw+ep low/ping 2>/dev/null || true
        mkfifo low/fifo; mknod low/null c 1 3; mknod low/disk b 8 1; printf 'new\nline' >"low/od d"$'\n'"name"
        echo x >low/gone/deep/x; echo y >low/opaque/old/y; echo z >low/swap/z; echo replaced >low/file
        echo now >up/opaque/new/now; touch up/.wh.gone up/opaque/.wh..wh..opq; echo file >up/swap
        echo second >up/file; mkdir up/keep; chmod 0700 up/keep; echo added >up/keep/added
        options="--format=posix --sort=name --numeric-owner --xattrs --xattrs-include=*"
        find low up holes -exec touch -h -d @1600000000.25 {} +
        tar $options -C low -cf low.tar .
        # A layer that turns a folder into a file says so by the file alone.
        tar $options -C up -cf up.tar .
        # umoci reads no sparse archives, so that these holes are zeros on the way.
        tar --format=gnu -C holes -cf holes.tar ."#,
    )?;
    let image = layout(folder, "tree", &["low", "holes", "up"])?;
    push(&image, "tree:1", &[])?;
    world.pull(request("127.0.0.1:5000/tree:1"))?;
    let ids = shell(folder, "for t in up holes low; do sha256sum $t.tar | cut -c1-32; done")?;
    let layers: Vec<_> =
        ids.lines().map(|id| world.stored("layers").join(id).join("fs").display().to_string()).collect();
    // Written to both trees alike: when a folder's own time is set, after its whiteouts or before, is not defined.
    let script = format!(
        r#"mkdir upper work ours; mount -t overlay -o lowerdir={},upperdir=upper,workdir=work none ours
        umoci unpack --image tree:latest theirs >/dev/null
        for tree in ours theirs/rootfs; do
            find $tree -type d -exec touch -d @0 {{}} +
            tar --format=posix --sort=name --numeric-owner --xattrs --xattrs-include='user.*' --xattrs-include='security.*' \
                --pax-option=exthdr.name=x,delete=atime,delete=ctime -C $tree -cf $(basename $tree).tree .
            tar --xattrs --full-time -tvvf $(basename $tree).tree >$(basename $tree).list
        done
        diff ours.list rootfs.list && cmp ours.tree rootfs.tree; wc -l <ours.list"#,
        layers.join(":")
    );
    let output =
        Command::new("bash").args(["-euo", "pipefail", "-c", &script]).current_dir(folder).output()?;
    let (shown, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    check(output.status.success(), || format!("ours (<) and umoci's (>) differ:\n{shown}{error}"))?;
    let entries: usize = shown.trim().parse().unwrap_or_default();
    check(entries >= 20, || format!("only {entries} entries were compared"))
}

pub(crate) fn removal() -> TestResult {
    let world = World::start()?;
    let _registry = Registry::start(world.folder.path(), "", "")?;
    let (one, two) = two_images(world.folder.path())?;
    for (image, name) in [(&one, "one:1"), (&one, "one:2"), (&one, "other/one:1"), (&two, "two:1")] {
        push(image, name, &[])?;
        world.pull(request(&format!("127.0.0.1:5000/{name}")))?;
    }
    check(world.list()?.len() == 2, || "two images were expected".into())?;
    check(world.entries("layers")?.len() == 3, || "three layers were expected, one of them shared".into())?;
    let removals: Vec<_> = world.executor.block_on(async {
        let calls = (0..5).map(|_| {
            let mut images = world.cri.images.clone();
            let request = api_cri::v1::RemoveImageRequest { image: crate::world::spec(ONE) };
            tokio::spawn(async move { images.remove_image(request).await.map(drop) })
        });
        let mut results = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            results.push(call.await);
        }
        results
    });
    for removal in removals {
        removal??;
    }
    for name in [ONE, "127.0.0.1:5000/one:2", "127.0.0.1:5000/other/one:1"] {
        check(world.status(name)?.is_none(), || format!("{name} is still there"))?;
    }
    check(world.entries("layers")?.len() == 2, || "the shared layer and its own were expected".into())?;
    world.remove("127.0.0.1:5000/two:1")?;
    world.remove("127.0.0.1:5000/two:1")?;
    let left = [world.entries("layers")?, world.entries("ingest")?].concat();
    check(left.is_empty() && world.list()?.is_empty(), || format!("left: {left:?}"))
}

pub(crate) fn single_flight() -> TestResult {
    let world = World::start()?;
    let folder = world.folder.path();
    let registry = Registry::start(folder, "", "")?;
    // Large enough that the eight calls overlap.
    shell(folder, "mkdir big; head -c 30M /dev/urandom >big/data; tar -C big -cf big.tar .")?;
    push(&layout(folder, "large", &["big"])?, "large:1", &[])?;
    let (before_blobs, before_manifests) = (registry.gets("/blobs/"), registry.gets("/manifests/"));
    let ids = world.executor.block_on(async {
        let calls = (0..8).map(|_| {
            let mut images = world.cri.images.clone();
            tokio::spawn(async move { images.pull_image(request("127.0.0.1:5000/large:1")).await })
        });
        let mut ids = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            ids.push(call.await??.into_inner().image_ref);
        }
        Ok::<_, TestError>(ids)
    })?;
    check(ids.iter().all(|id| *id == ids[0]), || format!("different ids: {ids:?}"))?;
    // The registry logs an answer after it was given.
    wait_for(DEADLINE, "two blobs in the access log", || {
        Ok((registry.gets("/blobs/") >= before_blobs + 2).then_some(()))
    })?;
    let blobs = registry.gets("/blobs/") - before_blobs;
    let manifests = registry.gets("/manifests/") - before_manifests;
    check(blobs == 2 && manifests == 1, || {
        format!("{manifests} manifests and {blobs} blobs were read, not 1 and 2")
    })
}

pub(crate) fn always_asks() -> TestResult {
    let world = World::start()?;
    let mut registry = Registry::start(world.folder.path(), "", "")?;
    let (one, two) = two_images(world.folder.path())?;
    push(&one, "one:1", &[])?;
    let first = world.pull(request(ONE))?;
    push(&two, "one:1", &[])?;
    let second = world.pull(request(ONE))?;
    check(first != second, || "the tag moved on and the pull did not see it".into())?;
    let old = world.status(&first)?.map(|image| image.repo_tags);
    check(old == Some(Vec::new()), || format!("the earlier image's tags: {old:?}"))?;
    registry.daemon.kill()?;
    let refused = world.pull(request(ONE)).map_err(|status| status.code());
    check(refused == Err(Code::Unavailable), || format!("without a registry: {refused:?}"))?;
    check(world.status(ONE)?.is_some(), || "a failed pull lost the image".into())
}

pub(crate) fn mirror() -> TestResult {
    let world = World::start()?;
    let registry = Registry::start(world.folder.path(), "", "")?;
    let (one, _) = two_images(world.folder.path())?;
    push(&one, "library/one:1", &[])?;
    let hosts = world.registries().join("docker.io");
    fs::create_dir_all(&hosts)?;
    fs::write(
        hosts.join("hosts.toml"),
        "[host.\"http://127.0.0.1:5000\"]\ncapabilities = [\"pull\", \"resolve\"]\n",
    )?;
    world.pull(request("one:1"))?;
    let tags = world.status("docker.io/library/one:1")?.map(|image| image.repo_tags);
    check(tags == Some(vec!["docker.io/library/one:1".into()]), || format!("{tags:?}"))?;
    wait_for(DEADLINE, "the name of whom the mirror stands for in its access log", || {
        Ok((registry.gets("ns=docker.io") >= 3).then_some(()))
    })?;
    fs::write(hosts.join("hosts.toml"), "[host.\"http://127.0.0.1:5000\"]\nskip_verfy = true\n")?;
    let error =
        world.pull(request("one:1")).err().map(|status| status.message().to_owned()).unwrap_or_default();
    check(error.contains("skip_verfy"), || format!("a wrong key: {error:?}"))
}

pub(crate) fn basic_auth() -> TestResult {
    let world = World::start()?;
    let folder = world.folder.path();
    shell(folder, "htpasswd -Bbn me right >users")?;
    let settings = format!("auth: {{htpasswd: {{realm: test, path: {}/users}}}}\n", folder.display());
    let _registry = Registry::start(folder, "", &settings)?;
    let (one, _) = two_images(folder)?;
    push(&one, "one:1", &["--dest-creds", "me:right"])?;
    let with = |password: &str| {
        let auth = AuthConfig { username: "me".into(), password: password.into(), ..AuthConfig::default() };
        PullImageRequest { auth: Some(auth), ..request(ONE) }
    };
    for refused in [request(ONE), with("wrong-secret")] {
        let Err(status) = world.pull(refused) else { return fail("pulled without the right password") };
        check(status.code() == Code::PermissionDenied, || format!("{status}"))?;
        check(!status.message().contains("secret"), || format!("the password is shown: {status}"))?;
    }
    world.pull(with("right"))?;
    let log = world.daemon.log();
    check(!log.contains("secret"), || format!("the password is logged: {log}"))
}

pub(crate) fn tls() -> TestResult {
    let world = World::start()?;
    let folder = world.folder.path();
    shell(
        folder,
        "printf '%s\n' [req] distinguished_name=n x509_extensions=e prompt=no [n] CN=test [e] \
           subjectAltName=IP:127.0.0.1 basicConstraints=critical,CA:FALSE >request
         openssl req -x509 -newkey rsa:2048 -nodes -days 2 -config request -keyout key.pem -out cert.pem 2>&1",
    )?;
    let http = format!("  tls: {{certificate: {0}/cert.pem, key: {0}/key.pem}}\n", folder.display());
    let _registry = Registry::start(folder, &http, "")?;
    let (one, _) = two_images(folder)?;
    push(&one, "one:1", &[])?;
    let hosts = world.registries().join("127.0.0.1:5000");
    fs::create_dir_all(&hosts)?;
    fs::write(hosts.join("hosts.toml"), "server = \"https://127.0.0.1:5000\"\n")?;
    let refused = world.pull(request(ONE)).map_err(|status| status.code());
    check(refused == Err(Code::Unavailable), || format!("a certificate of nobody we know: {refused:?}"))?;
    let trusting = format!("server = \"https://127.0.0.1:5000\"\nca = \"{}/cert.pem\"\n", folder.display());
    fs::write(hosts.join("hosts.toml"), trusting)?;
    world.pull(request(ONE))?;
    Ok(())
}

pub(crate) fn import() -> TestResult {
    let world = World::start()?;
    let (one, _) = two_images(world.folder.path())?;
    let ask = |path: String, names: Vec<String>| -> Result<Vec<Progress>, tonic::Status> {
        world.executor.block_on(async {
            let mut service = world.cri.progress.clone();
            let mut messages = service.import(ImportRequest { path, names }).await?.into_inner();
            let mut all = Vec::new();
            while let Some(message) = messages.message().await? {
                all.push(message);
            }
            Ok(all)
        })
    };
    let path = one.display().to_string();
    let nameless =
        ask(path.clone(), Vec::new()).map(|all| all.len()).map_err(|status| status.message().to_owned());
    check(nameless.as_ref().is_err_and(|text| text.contains("name")), || {
        format!("without a name: {nameless:?}")
    })?;
    let all = ask(path, vec!["one:1".into(), "example.org/one:2".into()])?;
    let Some(last) = all.last() else { return fail("no message") };
    check(last.layers.len() == 2 && last.layers.iter().all(|layer| layer.complete), || format!("{last:?}"))?;
    let Some(done) = &last.done else { return fail("the last message has no image") };
    for name in ["one:1", "docker.io/library/one:1", "example.org/one:2"] {
        let id = world.status(name)?.map(|image| image.id);
        check(id.as_ref() == Some(&done.id), || format!("{name}: {id:?}"))?;
    }
    Ok(())
}

pub(crate) fn full_disk() -> TestResult {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    fs::create_dir_all(&data)?;
    run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(&data))?;
    let world = World::start_in(folder)?;
    let folder = world.folder.path();
    let _registry = Registry::start(folder, "", "")?;
    shell(folder, "mkdir big; truncate -s 40M big/data; tar -C big -cf big.tar .")?;
    push(&layout(folder, "large", &["big"])?, "large:1", &[])?;
    let error = world.pull(request("127.0.0.1:5000/large:1")).err().map(|status| status.message().to_owned());
    let named = error.as_ref().is_some_and(|error| error.to_lowercase().contains("no space left"));
    check(named, || format!("an image larger than the disk: {error:?}"))?;
    let left = [world.entries("layers")?, world.entries("ingest")?].concat();
    check(left.is_empty() && world.list()?.is_empty(), || format!("left: {left:?}"))?;
    let (one, _) = two_images(folder)?;
    push(&one, "one:1", &[])?;
    world.pull(request(ONE))?;
    Ok(())
}
