use super::*;

fn at(days: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + days * 86_400).unwrap()
}

fn all(folder: &Path, days: i64) -> Result<Files, FilesError> {
    prepare(folder, &cluster_names("cluster.local"), &["10.96.0.1".parse().unwrap()], at(days))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_was_made_once_is_found_again_and_is_the_owners_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("a/pki");
    let first = all(&folder, 0).unwrap();
    let second = all(&folder, 1).unwrap();
    assert_eq!(
        (first.authority, first.front_proxy, first.serving, first.admin),
        (second.authority, second.front_proxy, second.serving, second.admin)
    );
    assert_eq!(first.signing_key.public().id(), second.signing_key.public().id());
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 9, "{files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600));
}

#[test]
fn a_certificate_is_made_anew_for_its_key_when_it_is_due() {
    let folder = tempfile::tempdir().unwrap();
    let young = all(folder.path(), 0).unwrap();
    let old = all(folder.path(), 300).unwrap();
    assert_eq!(young.authority, old.authority);
    assert_ne!(young.serving.certificate, old.serving.certificate);
    assert_eq!(young.serving.key, old.serving.key);
    let other = prepare(folder.path(), &["other".into()], &[], at(300)).unwrap();
    assert_ne!(other.serving.certificate, old.serving.certificate, "another name");
    assert_eq!(other.admin, old.admin);
    let older = all(folder.path(), 2500).unwrap();
    assert_ne!(older.authority.certificate, old.authority.certificate);
    assert_eq!(older.authority.key, old.authority.key);
}

#[test]
fn a_crash_between_key_and_certificate_is_made_good() {
    let folder = tempfile::tempdir().unwrap();
    let first = all(folder.path(), 0).unwrap();
    fs::remove_file(folder.path().join("admin.crt")).unwrap();
    fs::write(folder.path().join(format!(".ca.crt.{}.new", std::process::id())), "half").unwrap();
    let second = all(folder.path(), 0).unwrap();
    assert_eq!(first.admin.key, second.admin.key);
    assert_eq!(first.authority, second.authority);
}

#[test]
fn what_is_damaged_mixed_or_missing_is_told_by_name() {
    for (damage, expected) in [
        (
            (|f: &Path| fs::write(f.join("ca.crt"), "x").unwrap()) as fn(&Path),
            "ca.crt: the certificate cannot be read",
        ),
        (|f| fs::write(f.join("ca.key"), [0xff, 0]).unwrap(), "ca.crt: the private key cannot be read"),
        (
            |f| assert!(fs::copy(f.join("admin.key"), f.join("ca.key")).is_ok()),
            "the private key is not that of the certificate",
        ),
        (|f| fs::remove_file(f.join("apiserver.key")).unwrap(), "apiserver.key is missing for"),
        (|f| fs::write(f.join("sa.key"), "").unwrap(), "sa.key: the signing key is no PKCS#8 key on P-256"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        all(folder.path(), 0).unwrap();
        damage(folder.path());
        let error = all(folder.path(), 0).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_key_that_others_could_read_is_restricted() {
    let folder = tempfile::tempdir().unwrap();
    all(folder.path(), 0).unwrap();
    let key = folder.path().join("sa.key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    all(folder.path(), 0).unwrap();
    assert_eq!(mode(&key), 0o600);
}

#[test]
fn a_private_file_replaces_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    fs::write(&path, "old").unwrap();
    write_private(&path, "new").unwrap();
    assert_eq!((fs::read_to_string(&path).unwrap(), mode(&path)), ("new".into(), 0o600));
    assert!(write_private(&folder.path().join("no/config"), "x").is_err());
}
