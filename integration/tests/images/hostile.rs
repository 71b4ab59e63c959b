//! Archives that want out: fed to `orlop unpack`, as the daemon does.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use integration::runner::{TestError, TestResult, check};
use integration::world::bin;

/// What an archive may at most do.
enum Expect {
    /// Refused, with these words.
    Refused(&'static str),
    /// Unpacked, and nothing outside changed.
    Inside,
}

pub(crate) fn archives() -> TestResult {
    use Expect::{Inside, Refused};
    let world = tempfile::tempdir()?;
    let outside = world.path().join("outside");
    fs::create_dir(&outside)?;
    fs::write(outside.join("victim"), "untouched")?;
    let out = outside.display().to_string();
    let victim = format!("{out}/victim");
    let far = "../".repeat(12);
    let climbing = format!("{far}{}", victim.trim_start_matches('/'));
    let cases: Vec<(&str, Vec<u8>, Expect)> = vec![
        ("a name that climbs", entry(b'0', &climbing, "", b"evil"), Refused("..")),
        ("an absolute name", entry(b'0', &victim, "", b"evil"), Inside),
        (
            "a parent that is an absolute symlink",
            both(entry(b'2', "l", &out, b""), entry(b'0', "l/victim", "", b"evil")),
            Inside,
        ),
        (
            "a parent that is a climbing symlink",
            both(entry(b'2', "l", &format!("{far}{}", &out[1..]), b""), entry(b'0', "l/victim", "", b"evil")),
            Inside,
        ),
        (
            "a file over a symlink",
            both(entry(b'2', "l", &victim, b""), entry(b'0', "l", "", b"evil")),
            Inside,
        ),
        (
            "a hard link that climbs",
            both(entry(b'1', "l", &climbing, b""), entry(b'0', "l", "", b"evil")),
            Refused(".."),
        ),
        ("an absolute hard link", entry(b'1', "l", &victim, b""), Refused("l:")),
        (
            "a hard link through a symlink",
            both(entry(b'2', "s", &out, b""), entry(b'1', "l", "s/victim", b"")),
            Refused("l:"),
        ),
        (
            "a whiteout that climbs",
            entry(b'0', &format!("{far}{}/.wh.victim", &out[1..]), "", b""),
            Refused(".."),
        ),
        (
            "a whiteout through a symlink",
            both(entry(b'2', "l", &out, b""), entry(b'0', "l/.wh.victim", "", b"")),
            Inside,
        ),
        ("a whiteout of the parent", entry(b'0', "d/.wh...", "", b""), Inside),
        (
            "an opaque mark through a symlink",
            both(entry(b'2', "l", &out, b""), entry(b'0', "l/.wh..wh..opq", "", b"")),
            Inside,
        ),
        ("a size that is not there", sized(b'0', "a", "", &[], "77777777777"), Refused("")),
        ("a broken checksum", broken(entry(b'0', "a", "", b"x")), Refused("checksum")),
        ("an unknown kind", entry(b'Z', "a", "", b""), Refused("type")),
        ("bytes that are no archive", vec![0xa5; 4096], Refused("")),
        ("gzip that breaks off", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3], Refused("")),
    ];
    for (name, archive, expected) in cases {
        let folder = world.path().join(name.replace(' ', "-"));
        fs::create_dir(&folder)?;
        let output = unpack(&folder, &archive)?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        match expected {
            Refused(words) => {
                check(output.status.code() == Some(1), || format!("{name}: {} {error}", output.status))?;
                check(error.contains(words) && !error.trim().is_empty(), || {
                    format!("{name}: says {error:?}")
                })?;
                check(!error.contains("panicked"), || format!("{name}: {error}"))?;
            }
            Inside => check(output.status.success(), || format!("{name}: refused: {error}"))?,
        }
        let content = fs::read_to_string(outside.join("victim")).unwrap_or_default();
        let count = fs::read_dir(&outside)?.count();
        check(content == "untouched" && count == 1, || format!("{name}: outside has changed"))?;
    }
    Ok(())
}

fn unpack(folder: &Path, archive: &[u8]) -> Result<Output, TestError> {
    let mut command = Command::new(bin("orlop"));
    command.arg("unpack").arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A child that refuses early closes the pipe; what it says is what counts.
        let _ = input.write_all(archive);
    }
    Ok(child.wait_with_output()?)
}

/// One entry of an old-style archive, without its end mark. tar(1) refuses to write most of these.
fn entry(kind: u8, name: &str, target: &str, data: &[u8]) -> Vec<u8> {
    sized(kind, name, target, data, &format!("{:011o}", data.len()))
}

fn sized(kind: u8, name: &str, target: &str, data: &[u8], size: &str) -> Vec<u8> {
    // Names beyond the header's 100 bytes go before it, as GNU tar does.
    let mut bytes = Vec::new();
    for (long, kind) in [(name, b'L'), (target, b'K')] {
        if long.len() > 100 {
            let text = [long.as_bytes(), &[0]].concat();
            bytes.extend(sized(kind, "././@LongLink", "", &text, &format!("{:011o}", text.len())));
        }
    }
    let mut header = [0; 512];
    let mut put = |at: usize, field: &[u8]| header[at..at + field.len()].copy_from_slice(field);
    put(0, &name.as_bytes()[..name.len().min(100)]);
    put(100, b"0000644");
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, size.as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, &target.as_bytes()[..target.len().min(100)]);
    put(257, b"ustar  ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    bytes.extend(header);
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn both(first: Vec<u8>, second: Vec<u8>) -> Vec<u8> {
    [first, second].concat()
}

fn broken(mut archive: Vec<u8>) -> Vec<u8> {
    archive[150] ^= 1;
    archive
}
