use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::super::digest;
use super::*;

/// An archive of entries: type, name, and content or link target.
fn archive(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o640);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_700_000_000);
        // Written raw: the builder itself refuses the hostile names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        let linked = matches!(kind, EntryType::Link | EntryType::Symlink);
        if linked {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
        let data = if linked { "" } else { content };
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, data.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn unpacked(entries: &[(EntryType, &str, &str)]) -> (tempfile::TempDir, Result<Report, String>) {
    let folder = tempfile::tempdir().unwrap();
    let report = unpack(folder.path(), archive(entries).as_slice());
    (folder, report)
}

use EntryType::{Directory, Link, Regular, Symlink};

#[test]
fn files_keep_content_owner_mode_and_time() {
    let (folder, report) = unpacked(&[(Regular, "etc/passwd", "root:x:0:0")]);
    assert_eq!(report.unwrap().bytes, 10);
    let file = folder.path().join("etc/passwd");
    let metadata = std::fs::metadata(&file).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"root:x:0:0");
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (7, 8, 0o640));
    assert_eq!(metadata.mtime(), 1_700_000_000);
}

#[test]
fn the_diff_id_is_of_the_uncompressed_archive() {
    let plain = archive(&[(Regular, "a", "b")]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&plain).unwrap();
    for compressed in
        [plain.clone(), encoder.finish().unwrap(), zstd::encode_all(plain.as_slice(), 1).unwrap()]
    {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(unpack(folder.path(), compressed.as_slice()).unwrap().diff_id, digest::of(&plain));
    }
}

#[test]
fn whiteouts_become_overlays() {
    let (folder, report) = unpacked(&[(Regular, "d/.wh.gone", ""), (Regular, "o/.wh..wh..opq", "")]);
    report.unwrap();
    let whiteout = std::fs::symlink_metadata(folder.path().join("d/gone")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    let mut value = [0; 1];
    rustix::fs::getxattr(folder.path().join("o"), "trusted.overlay.opaque", &mut value).unwrap();
    assert_eq!(&value, b"y");
    assert!(!folder.path().join("o/.wh..wh..opq").exists());
}

#[test]
fn a_later_entry_replaces_an_earlier_one() {
    let (folder, report) = unpacked(&[
        (Regular, "x/y", "old"),
        (Regular, "x", "file now"),
        (Symlink, "z", "x"),
        (Regular, "z", "new"),
    ]);
    report.unwrap();
    assert_eq!(std::fs::read(folder.path().join("x")).unwrap(), b"file now");
    assert_eq!(std::fs::read(folder.path().join("z")).unwrap(), b"new");
}

#[test]
fn names_that_climb_are_refused() {
    for name in ["../evil", "a/../../evil", "/../evil"] {
        let (_folder, report) = unpacked(&[(Regular, name, "x")]);
        assert!(report.unwrap_err().contains(".."), "{name}");
    }
    let (_folder, report) = unpacked(&[(Link, "a", "../../etc/passwd")]);
    assert!(report.unwrap_err().contains(".."));
}

#[test]
fn absolute_links_stay_inside() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let (folder, report) = unpacked(&[(Symlink, "out", target), (Regular, "out/evil", "x")]);
    report.unwrap();
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "written through the link");
    assert!(folder.path().join(target.trim_start_matches('/')).join("evil").exists());
}

#[test]
fn hard_links_share_a_file_and_dangling_ones_are_refused() {
    let (folder, report) = unpacked(&[(Regular, "a", "x"), (Link, "b/c", "a")]);
    report.unwrap();
    assert_eq!(std::fs::metadata(folder.path().join("a")).unwrap().nlink(), 2);
    assert!(unpacked(&[(Link, "b", "nowhere")]).1.is_err());
}

#[test]
fn the_root_can_have_attributes() {
    let (folder, report) = unpacked(&[(Directory, "./", "")]);
    report.unwrap();
    assert_eq!(std::fs::metadata(folder.path()).unwrap().mode() & 0o7777, 0o640);
}

#[test]
fn too_many_entries_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut extractor = Extractor::new(folder.path(), 1).unwrap();
    let bytes = archive(&[(Regular, "a", ""), (Regular, "b", "")]);
    let mut archive = tar::Archive::new(bytes.as_slice());
    let results: Vec<_> = archive.entries().unwrap().map(|entry| extractor.entry(entry.unwrap())).collect();
    assert!(results[0].is_ok() && results[1].as_ref().unwrap_err().contains("more than 1 entries"));
}

#[test]
fn more_bytes_than_a_layer_may_have_are_refused() {
    let mut limited = Limited::new(io::repeat(0), 1000);
    assert!(io::copy(&mut limited, &mut io::sink()).unwrap_err().to_string().contains("larger"));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let _ = unpack(folder.path(), bytes.as_slice());
    }
}
