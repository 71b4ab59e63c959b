//! `update`: changes the limits of a container.

use std::io::Read;

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPidsBuilder, LinuxResources};

use super::{Context, Verb};
use crate::cli::{Args, Flag, value};
use crate::error::{Error, Result};
use crate::store::Status;

const FLAGS: &[Flag] = &[
    value("resources").or("r"),
    value("blkio-weight"),
    value("cpu-period"),
    value("cpu-quota"),
    value("cpu-burst"),
    value("cpu-share"),
    value("cpu-rt-period"),
    value("cpu-rt-runtime"),
    value("cpuset-cpus"),
    value("cpuset-mems"),
    value("cpu-idle"),
    // Obsolete, and so without effect on any kernel; callers still pass them.
    value("kernel-memory"),
    value("kernel-memory-tcp"),
    value("memory"),
    value("memory-reservation"),
    value("memory-swap"),
    value("pids-limit"),
    value("l3-cache-schema"),
    value("mem-bw-schema"),
];

pub(super) const VERB: Verb = Verb {
    name: "update",
    usage: "[command options] <container-id>",
    about: "update container resource constraints",
    flags: FLAGS,
    stop: false,
    failure: 1,
    prefix: "",
    run,
};

fn run(context: &Context, args: &Args) -> Result<u8> {
    let container = context.store.load(args.id("update")?)?;
    if container.status()? == Status::Stopped {
        return Err(Error::said("container not running"));
    }
    for name in ["l3-cache-schema", "mem-bw-schema"] {
        if args.text(name).is_some() {
            return Err(Error::Usage(format!("--{name} is not implemented")));
        }
    }
    let mut resources = match args.text("resources") {
        Some(path) => from_file(path)?,
        None => from_flags(args)?,
    };
    // Devices are never touched by an update.
    resources.set_devices(None);
    if let Some(cgroup) = &container.state.cgroup {
        cgroup.apply(&resources)?;
    }
    Ok(0)
}

fn from_file(path: &str) -> Result<LinuxResources> {
    let text = if path == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| sys::Error::new("read", "standard input", sys::error::errno_of(&error)))?;
        text
    } else {
        sys::fs::read(std::path::Path::new(path))?
    };
    serde_json::from_str(&text).map_err(|source| Error::Json { path: path.into(), source })
}

fn from_flags(args: &Args) -> Result<LinuxResources> {
    let size = |name: &str| args.text(name).map(|text| parse_size(name, text)).transpose();
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(args.number("cpu-share")?)
        .set_period(args.number("cpu-period")?)
        .set_quota(args.number("cpu-quota")?)
        .set_burst(args.number("cpu-burst")?)
        .set_idle(args.number("cpu-idle")?)
        .set_realtime_period(args.number("cpu-rt-period")?)
        .set_realtime_runtime(args.number("cpu-rt-runtime")?)
        .set_cpus(args.text("cpuset-cpus").map(str::to_owned))
        .set_mems(args.text("cpuset-mems").map(str::to_owned));
    let mut memory = LinuxMemory::default();
    memory
        .set_limit(size("memory")?)
        .set_reservation(size("memory-reservation")?)
        .set_swap(size("memory-swap")?);
    let mut block = LinuxBlockIo::default();
    block.set_weight(args.number("blkio-weight")?);
    let mut resources = LinuxResources::default();
    resources.set_cpu(Some(cpu)).set_memory(Some(memory)).set_block_io(Some(block));
    if let Some(limit) = args.number::<i64>("pids-limit")? {
        let pids = LinuxPidsBuilder::default().limit(limit).build();
        resources.set_pids(Some(pids.map_err(|error| Error::Usage(error.to_string()))?));
    }
    Ok(resources)
}

/// A number of bytes, with a binary unit: `512m`; -1 is unlimited.
fn parse_size(name: &str, text: &str) -> Result<i64> {
    let wrong = || Error::Usage(format!("invalid value for {name}: {text:?}"));
    if text == "-1" {
        return Ok(-1);
    }
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let lower = lower.strip_suffix('i').unwrap_or(lower);
    let (digits, shift) = match lower.as_bytes().last() {
        Some(b'k') => (&lower[..lower.len() - 1], 10),
        Some(b'm') => (&lower[..lower.len() - 1], 20),
        Some(b'g') => (&lower[..lower.len() - 1], 30),
        Some(b't') => (&lower[..lower.len() - 1], 40),
        Some(b'p') => (&lower[..lower.len() - 1], 50),
        _ => (lower, 0),
    };
    let number: u32 = if digits.len() < 10 { digits.parse().map_err(|_| wrong())? } else { u32::MAX };
    if number == u32::MAX {
        return digits.parse().ok().filter(|_| shift == 0).ok_or_else(wrong);
    }
    i64::from(number).checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        let parse = |text| parse_size("memory", text);
        for (text, bytes) in [
            ("-1", -1),
            ("0", 0),
            ("512m", 512 << 20),
            ("1G", 1 << 30),
            ("2KiB", 2048),
            ("33554432000", 33_554_432_000),
        ] {
            assert_eq!(parse(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "m", "-5", "1x", "99999999999999999999", "999999999p"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
