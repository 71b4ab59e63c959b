//! Device rules on version 2: a BPF program that the kernel asks at every open and mknod of a device.
//!
//! Written by hand for bpf(2): some ten instructions per rule need no compiler. It fails closed: without the
//! program there is no container.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::devices::{DeviceRule, DeviceRules};
use crate::{During, Error, Result};

const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_ATTACH: i32 = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
/// The programs of the cgroups above are asked too: a container cannot be given more than its pod.
const BPF_F_ALLOW_MULTI: u32 = 2;

/// `BPF_DEVCG_DEV_BLOCK`, `BPF_DEVCG_DEV_CHAR`; the access is in the upper half of the same word.
const BLOCK: i32 = 1;
const CHAR: i32 = 2;
const MKNOD: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;

/// `struct bpf_insn`: code, registers (destination in the low half), offset, immediate.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn op(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: destination | source << 4, offset, immediate }
}

const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb4; // 32 bits, immediate
const MOVE_REGISTER: u8 = 0xbc; // 32 bits
const AND: u8 = 0x54; // 32 bits, immediate
const SHIFT_RIGHT: u8 = 0x74; // 32 bits, immediate
const JUMP_NOT_EQUAL: u8 = 0x56; // 32 bits, immediate
const JUMP_EQUAL: u8 = 0x16; // 32 bits, immediate
const EXIT: u8 = 0x95;

/// The program: registers 2 to 5 hold type, access, major and minor; the last rule that matches decides.
fn assemble(rules: &DeviceRules) -> Vec<Instruction> {
    let mut program = vec![
        op(LOAD_WORD, 2, 1, 0, 0),
        op(MOVE_REGISTER, 3, 2, 0, 0),
        op(AND, 2, 0, 0, 0xffff),
        op(SHIFT_RIGHT, 3, 0, 0, 16),
        op(LOAD_WORD, 4, 1, 4, 0),
        op(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules.0.iter().rev() {
        program.extend(assemble_rule(rule));
        if rule.is_all() {
            return program;
        }
    }
    program.extend([op(MOVE, 0, 0, 0, 0), op(EXIT, 0, 0, 0, 0)]);
    program
}

fn assemble_rule(rule: &DeviceRule) -> Vec<Instruction> {
    let mut tests = Vec::new();
    if let Some(kind) = rule.kind {
        tests.push(op(JUMP_NOT_EQUAL, 2, 0, 0, if kind == 'b' { BLOCK } else { CHAR }));
    }
    let access = [(rule.read, READ), (rule.write, WRITE), (rule.mknod, MKNOD)];
    let mask: i32 = access.iter().filter(|(has, _)| *has).map(|(_, bit)| bit).sum();
    if mask != MKNOD | READ | WRITE {
        tests.push(op(MOVE_REGISTER, 1, 3, 0, 0));
        if rule.allow {
            // Allows only when nothing else is asked for.
            tests.push(op(AND, 1, 0, 0, !mask));
            tests.push(op(JUMP_NOT_EQUAL, 1, 0, 0, 0));
        } else {
            // Denies when any part of what is asked for is denied.
            tests.push(op(AND, 1, 0, 0, mask));
            tests.push(op(JUMP_EQUAL, 1, 0, 0, 0));
        }
    }
    for (register, number) in [(4, rule.major), (5, rule.minor)] {
        if let Some(number) = number {
            tests.push(op(JUMP_NOT_EQUAL, register, 0, 0, number.cast_signed()));
        }
    }
    tests.extend([op(MOVE, 0, 0, 0, rule.allow.into()), op(EXIT, 0, 0, 0, 0)]);
    // A failed test jumps behind the rule; offsets count from the next instruction.
    let end = tests.len();
    for (at, test) in tests.iter_mut().enumerate() {
        if matches!(test.code, JUMP_NOT_EQUAL | JUMP_EQUAL) {
            test.offset = i16::try_from(end - at - 1).unwrap_or(i16::MAX);
        }
    }
    tests
}

/// Loads the program and attaches it to a cgroup, for as long as that exists.
pub(super) fn attach(cgroup: &Path, rules: &DeviceRules) -> Result<()> {
    if rules.allows_all() {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(cgroup, flags, Mode::empty()).during("open", cgroup.display())?;
    let program = load(&assemble(rules)).during("load device program for", cgroup.display())?;
    let attr = Attach {
        target_fd: folder.as_raw_fd().cast_unsigned(),
        attach_bpf_fd: program.as_raw_fd().cast_unsigned(),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: `attr` is the part of `union bpf_attr` that this command reads, of the size we pass, without pointers.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attr, size_of::<Attach>()) };
    if result == 0 { Ok(()) } else { Err(Error::new("attach device program to", cgroup.display(), last())) }
}

#[repr(C)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

fn load(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let attr = Load {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(|_| Errno::TOOBIG)?,
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
    };
    // SAFETY: `attr` is the part of `union bpf_attr` that this command reads, of the size we pass; the program of
    // the given length and the licence outlive the call, in which the kernel copies them.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attr, size_of::<Load>()) };
    let fd = RawFd::try_from(result).ok().filter(|&fd| fd >= 0).ok_or_else(last)?;
    // SAFETY: the kernel returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn last() -> Errno {
    crate::error::errno_of(&std::io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program on one request, as the kernel would.
    fn verdict(program: &[Instruction], kind: i32, access: i32, major: u32, minor: u32) -> bool {
        let context = [(access << 16) | kind, major.cast_signed(), minor.cast_signed()];
        let mut registers = [0_i32; 11];
        let mut at = 0_usize;
        loop {
            let now = program[at];
            let (destination, source) = (usize::from(now.registers & 15), usize::from(now.registers >> 4));
            at += 1;
            match now.code {
                LOAD_WORD => registers[destination] = context[usize::try_from(now.offset).unwrap() / 4],
                MOVE => registers[destination] = now.immediate,
                MOVE_REGISTER => registers[destination] = registers[source],
                AND => registers[destination] &= now.immediate,
                SHIFT_RIGHT => {
                    registers[destination] =
                        (registers[destination].cast_unsigned() >> now.immediate).cast_signed();
                }
                JUMP_NOT_EQUAL | JUMP_EQUAL => {
                    if (registers[destination] == now.immediate) == (now.code == JUMP_EQUAL) {
                        at += usize::try_from(now.offset).unwrap();
                    }
                }
                EXIT => return registers[0] != 0,
                code => panic!("unknown instruction {code:#x}"),
            }
        }
    }

    fn program(json: &str) -> Vec<Instruction> {
        assemble(&DeviceRules::new(&serde_json::from_str::<Vec<_>>(json).unwrap()))
    }

    #[test]
    fn the_defaults_are_allowed_and_all_else_is_denied() {
        let program = program(r#"[{"allow":false,"access":"rwm"}]"#);
        assert!(verdict(&program, CHAR, READ | WRITE, 1, 3));
        assert!(verdict(&program, CHAR, WRITE, 136, 7));
        assert!(verdict(&program, BLOCK, MKNOD, 8, 0));
        assert!(!verdict(&program, BLOCK, MKNOD | READ, 8, 0));
        assert!(!verdict(&program, CHAR, READ, 10, 200));
        assert!(!verdict(&program, CHAR, READ, 1, 1));
    }

    #[test]
    fn a_later_rule_beats_an_earlier_one() {
        let program =
            program(r#"[{"allow":true,"access":"rwm"},{"allow":false,"type":"b","major":8,"access":"w"}]"#);
        assert!(verdict(&program, BLOCK, READ, 8, 1));
        assert!(!verdict(&program, BLOCK, READ | WRITE, 8, 1));
        assert!(verdict(&program, BLOCK, WRITE, 9, 1));
    }
}
