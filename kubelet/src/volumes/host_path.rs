//! Paths of the host.

use std::fs::{self, FileType};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use sys::During;

use super::{VolumeError, make_dir, make_file};

/// Makes sure that a path is of its `type`; the `…OrCreate` ones are made when they are missing.
pub(super) fn check(volume: &str, path: &Path, kind: &str) -> Result<(), VolumeError> {
    let kernel = |error| VolumeError::kernel(volume, error);
    let found = match fs::metadata(path) {
        Ok(meta) => Some(meta.file_type()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).during("stat", path.display()).map_err(kernel),
    };
    let is: fn(&FileType) -> bool = match kind {
        // Nothing is checked.
        "" => return Ok(()),
        "DirectoryOrCreate" if found.is_none() => return make_dir(path, 0o755).map_err(kernel),
        "FileOrCreate" if found.is_none() => return make_file(path, 0o644).map_err(kernel),
        "Directory" | "DirectoryOrCreate" => FileType::is_dir,
        "File" | "FileOrCreate" => FileType::is_file,
        "Socket" => FileTypeExt::is_socket,
        "CharDevice" => FileTypeExt::is_char_device,
        "BlockDevice" => FileTypeExt::is_block_device,
        _ => return Err(failed(volume, format!("{kind} is an unknown type"))),
    };
    let noun = match kind {
        "Directory" | "DirectoryOrCreate" => "a directory",
        "File" | "FileOrCreate" => "a file",
        "Socket" => "a socket file",
        "CharDevice" => "a character device",
        _ => "a block device",
    };
    match found {
        Some(found) if is(&found) => Ok(()),
        _ => Err(failed(volume, format!("{} is not {noun}", path.display()))),
    }
}

fn failed(volume: &str, why: String) -> VolumeError {
    VolumeError::HostPathType { volume: volume.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn each_type_is_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "").unwrap();
        fs::create_dir(path("folder")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(path("socket")).unwrap());
        let cases = [
            ("file", "File"),
            ("folder", "Directory"),
            ("socket", "Socket"),
            ("absent", ""),
            ("file", "FileOrCreate"),
        ];
        for (name, kind) in cases {
            check("v", &path(name), kind).unwrap();
        }
        check("v", Path::new("/dev/null"), "CharDevice").unwrap();
        for (name, kind, noun) in [
            ("absent", "Directory", "a directory"),
            ("file", "DirectoryOrCreate", "a directory"),
            ("folder", "File", "a file"),
            ("file", "Socket", "a socket file"),
            ("file", "BlockDevice", "a block device"),
        ] {
            let error = check("v", &path(name), kind).unwrap_err().to_string();
            let want =
                format!("volume \"v\": hostPath type check failed: {} is not {noun}", path(name).display());
            assert_eq!(error, want);
        }
    }

    #[test]
    fn what_is_missing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = dir.path().join("a/b");
        check("v", &folder, "DirectoryOrCreate").unwrap();
        assert_eq!(mode(&folder), 0o755);
        check("v", &folder.join("f"), "FileOrCreate").unwrap();
        assert_eq!(mode(&folder.join("f")), 0o644);
        assert!(check("v", &dir.path().join("absent/f"), "FileOrCreate").is_err());
    }
}
