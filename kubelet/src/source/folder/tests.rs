use super::*;

fn manifest(name: &str, image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, image: {image}}}]}}\n"
    )
}

/// What the events say, without paths' folders and UIDs: `set a-n`, `gone`, `bad b.yaml`.
fn told(events: Vec<SourceEvent>) -> Vec<String> {
    events
        .into_iter()
        .map(|event| match event {
            SourceEvent::Set { pod, .. } => format!("set {}", pod.metadata.name.unwrap()),
            SourceEvent::Gone { .. } => "gone".to_owned(),
            SourceEvent::Bad { file, .. } => format!("bad {}", file.file_name().unwrap().display()),
            SourceEvent::Dropped { file } => format!("dropped {}", file.file_name().unwrap().display()),
            SourceEvent::Synced => "synced".to_owned(),
        })
        .collect()
}

struct World {
    dir: tempfile::TempDir,
    folder: Folder,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().to_owned(), "n".to_owned(), BTreeSet::new());
        Self { dir, folder }
    }

    /// Replaces a file as one should: by renaming a finished one over it.
    fn write(&self, file: &str, text: &str) {
        let new = self.dir.path().join(".new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.dir.path().join(file)).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.dir.path().join(file)).unwrap();
    }

    fn scan(&mut self) -> Vec<String> {
        told(self.folder.scan(Timestamp::UNIX_EPOCH).unwrap())
    }
}

#[test]
fn files_appear_change_and_go() {
    let mut world = World::new();
    world.write("b.yaml", &manifest("b", "i"));
    world.write("a.yaml", &manifest("a", "i"));
    assert_eq!(world.scan(), ["set a-n", "set b-n"]);
    assert!(world.scan().is_empty());
    world.write("a.yaml", &manifest("a", "j"));
    assert_eq!(world.scan(), ["gone", "set a-n"]);
    world.remove("a.yaml");
    assert_eq!(world.scan(), ["gone"]);
}

#[test]
fn a_file_written_again_with_the_same_pod_is_no_change_of_the_pod() {
    let mut world = World::new();
    world.write("a.yaml", &manifest("a", "i"));
    world.scan();
    world.write("a.yaml", &format!("# touched\n{}", manifest("a", "i")));
    assert_eq!(world.scan(), ["set a-n"]);
}

#[test]
fn a_bad_file_leaves_its_pod_and_the_others_alone() {
    let mut world = World::new();
    world.write("a.yaml", &manifest("a", "i"));
    world.write("b.yaml", "kind: Pod\n");
    assert_eq!(world.scan(), ["set a-n", "bad b.yaml"]);
    world.write("a.yaml", "{");
    assert_eq!(world.scan(), ["bad a.yaml"]);
    world.remove("a.yaml");
    assert_eq!(world.scan(), ["dropped a.yaml", "gone"]);
    world.write("b.yaml", &manifest("b", "i"));
    assert_eq!(world.scan(), ["set b-n"]);
}

#[test]
fn of_two_pods_of_one_name_the_first_stays_until_it_goes() {
    let mut world = World::new();
    world.write("a.yaml", &manifest("x", "i"));
    world.scan();
    world.write("b.yaml", &manifest("x", "j"));
    let events = world.folder.scan(Timestamp::UNIX_EPOCH).unwrap();
    let [SourceEvent::Bad { error, .. }] = events.as_slice() else { panic!("{events:?}") };
    let first = world.dir.path().join("a.yaml");
    assert_eq!(error.to_string(), format!("pod default/x-n is already defined by {}", first.display()));
    world.remove("a.yaml");
    assert_eq!(world.scan(), ["gone", "set x-n"]);
}

#[test]
fn at_the_start_the_pod_that_was_begun_goes_before_another_of_its_name() {
    let mut world = World::new();
    world.write("b.yaml", &manifest("x", "i"));
    let events = world.folder.scan(Timestamp::UNIX_EPOCH).unwrap();
    let [SourceEvent::Set { pod, .. }] = events.as_slice() else { panic!("{events:?}") };
    let begun = BTreeSet::from([pod.metadata.uid.clone().unwrap()]);
    world.write("a.yaml", &manifest("x", "j"));
    world.write("c.yaml", &manifest("c", "i"));
    world.folder = Folder::new(world.dir.path().to_owned(), "n".to_owned(), begun);
    assert_eq!(world.scan(), ["set x-n", "bad a.yaml", "set c-n"]);
    world.remove("b.yaml");
    assert_eq!(world.scan(), ["gone", "set x-n"]);
}

#[test]
fn what_is_no_file_is_said_once() {
    let mut world = World::new();
    let [fifo, link] = ["f.yaml", "l.yaml"].map(|name| world.dir.path().join(name));
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    let said: Vec<String> = world
        .folder
        .scan(Timestamp::UNIX_EPOCH)
        .unwrap()
        .into_iter()
        .map(|event| match event {
            SourceEvent::Bad { error, .. } => error.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(said, ["not a file but a FIFO", "not a file but a link to something that is not there"]);
    assert!(world.scan().is_empty());
    world.write("nowhere", &manifest("l", "i"));
    assert_eq!(world.scan(), ["set l-n", "bad nowhere"]);
    world.remove("f.yaml");
    assert_eq!(world.scan(), ["dropped f.yaml"]);
}

#[test]
fn a_link_whose_file_goes_ends_its_pod() {
    let mut world = World::new();
    world.write(".hidden", &manifest("l", "i"));
    std::os::unix::fs::symlink(".hidden", world.dir.path().join("l.yaml")).unwrap();
    assert_eq!(world.scan(), ["set l-n"]);
    world.remove(".hidden");
    assert_eq!(world.scan(), ["gone", "bad l.yaml"]);
}

/// What a server of files that does not answer makes of a look.
fn no_answer() -> io::Error {
    io::Error::from_raw_os_error(nix::libc::EIO)
}

#[test]
fn only_what_the_kernel_says_is_not_there_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let [looped, missing] = ["looped", "missing"].map(|name| dir.path().join(name));
    std::os::unix::fs::symlink(&looped, &looped).unwrap();
    assert!(matches!(look(&looped), Found::NoFile(..)));
    assert!(matches!(look(&missing), Found::Nothing));
    assert!(matches!(judge(Err(no_answer()), || unreachable!("asked no more")), Found::Unreadable(_)));
    let not_found = || io::Error::from_raw_os_error(nix::libc::ENOENT);
    assert!(matches!(judge(Err(not_found()), || Err(no_answer())), Found::Unreadable(_)));
}

#[test]
fn what_is_unreadable_is_said_once_and_keeps_its_pod() {
    let mut world = World::new();
    world.write("a.yaml", &manifest("a", "i"));
    assert_eq!(world.scan(), ["set a-n"]);
    let file = world.dir.path().join("a.yaml");
    let mut events = Vec::new();
    world.folder.unreadable(file.clone(), no_answer(), &mut events);
    world.folder.unreadable(file, no_answer(), &mut events);
    assert_eq!(told(events), ["bad a.yaml"]);
    assert!(!world.folder.is_known());
    assert_eq!(world.scan(), ["set a-n"]);
    assert!(world.folder.is_known());
}

#[test]
fn a_file_that_became_a_fifo_does_not_hold_its_reader() {
    let world = World::new();
    let fifo = world.dir.path().join("f.yaml");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(world.folder.read(&fifo, Timestamp::UNIX_EPOCH).unwrap().pod.is_err());
}

#[test]
fn a_renamed_file_is_another_pod_of_the_same_name() {
    let mut world = World::new();
    world.write("b.yaml", &manifest("x", "i"));
    world.scan();
    fs::rename(world.dir.path().join("b.yaml"), world.dir.path().join("a.yaml")).unwrap();
    assert_eq!(world.scan(), ["gone", "set x-n"]);
}

#[test]
fn unfinished_files_and_folders_are_no_manifests() {
    let mut world = World::new();
    for file in [".a.yaml", "a.yaml~", ".a.yaml.swp", "a.tmp", "#a.yaml#"] {
        fs::write(world.dir.path().join(file), manifest("a", "i")).unwrap();
    }
    fs::create_dir(world.dir.path().join("d.yaml")).unwrap();
    assert!(world.scan().is_empty());
}

#[test]
fn a_folder_that_is_gone_is_empty() {
    let mut world = World::new();
    world.write("a.yaml", &manifest("a", "i"));
    world.scan();
    fs::remove_dir_all(world.dir.path()).unwrap();
    assert_eq!(world.scan(), ["gone"]);
}
