//! Seccomp: from the specification's rules to a BPF program.
//!
//! One program serves every architecture that the rules name, since a process may switch between those of its
//! machine. For each, the numbers are looked up in a binary tree of ranges with the same answer; the kernel
//! caches what is always allowed, so the tree is walked for the rest only.

mod emit;
mod syscalls;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
};
use sys::process::BpfInstruction;

use crate::error::{Error, Result};
use emit::Emitter;

/// A program to load.
#[derive(Clone)]
pub(crate) struct Filter {
    /// For the kernel.
    pub(crate) program: Vec<BpfInstruction>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub(crate) flags: u64,
    /// Who gets the descriptor on which the kernel asks, and what is told with it.
    pub(crate) listener: Option<(PathBuf, String)>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { program, flags, listener } = self;
        write!(formatter, "Filter({} instructions, {flags:#x}, {listener:?})", program.len())
    }
}

const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

/// The architectures whose programs this machine can run: `AUDIT_ARCH_*`, column of the table, number offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    arch: Arch,
    audit: u32,
    column: usize,
    offset: u32,
}

const X32_BIT: u32 = 0x4000_0000;
const X86_64: Target = Target { arch: Arch::ScmpArchX86_64, audit: 0xc000_003e, column: 0, offset: 0 };
const X86: Target = Target { arch: Arch::ScmpArchX86, audit: 0x4000_0003, column: 1, offset: 0 };
/// Shares its audit number with x86_64 and is told apart by a bit of the call's number.
const X32: Target = Target { arch: Arch::ScmpArchX32, audit: 0xc000_003e, column: 2, offset: X32_BIT };
const AARCH64: Target = Target { arch: Arch::ScmpArchAarch64, audit: 0xc000_00b7, column: 3, offset: 0 };

const TARGETS: &[Target] = if cfg!(target_arch = "aarch64") { &[AARCH64] } else { &[X86_64, X86, X32] };

/// What is done when all conditions hold.
#[derive(Clone, Debug)]
struct Rule {
    conditions: Vec<LinuxSeccompArg>,
    action: u32,
}

/// The rules of one architecture by number, and the highest number that the document names.
#[derive(Debug, Default)]
struct Table {
    rules: BTreeMap<u32, Vec<Rule>>,
    highest: Option<u32>,
}

/// Compiles a document's filter.
pub(crate) fn compile(seccomp: &LinuxSeccomp) -> Result<Filter> {
    let default = action(seccomp.default_action(), seccomp.default_errno_ret());
    if default == NOTIFY {
        return Err(Error::refused(
            "linux.seccomp.defaultAction",
            "SCMP_ACT_NOTIFY cannot be used as default action",
        ));
    }
    let named = |target: &Target| {
        // The native architecture is always filtered, the others when they are named.
        target.offset == 0 && target.column == TARGETS[0].column
            || seccomp.architectures().iter().flatten().any(|arch| *arch == target.arch)
    };
    let targets: Vec<Target> = TARGETS.iter().copied().filter(named).collect();
    let mut tables: Vec<Table> = targets.iter().map(|_| Table::default()).collect();
    let mut notifies = false;
    for syscall in seccomp.syscalls().iter().flatten() {
        let action = action(syscall.action(), syscall.errno_ret());
        if action == NOTIFY {
            notifies = true;
            if syscall.names().iter().any(|name| name == "write") {
                return Err(Error::refused(
                    "linux.seccomp",
                    "SCMP_ACT_NOTIFY cannot be used for the write syscall",
                ));
            }
        }
        let rules = rules(syscall.args().as_deref().unwrap_or_default(), action)?;
        for name in syscall.names() {
            // A name that no kernel of ours knows cannot be called either.
            let Ok(at) = syscalls::SYSCALLS.binary_search_by_key(&name.as_str(), |(name, _)| name) else {
                continue;
            };
            for (target, table) in targets.iter().zip(&mut tables) {
                let number = syscalls::SYSCALLS[at].1[target.column];
                if number == syscalls::NONE {
                    continue;
                }
                let number = u32::from(number.unsigned_abs());
                table.highest = table.highest.max(Some(number));
                if action != default {
                    table.rules.entry(number).or_default().extend(rules.iter().cloned());
                }
            }
        }
    }
    let listener = seccomp.listener_path().clone().filter(|path| !path.as_os_str().is_empty());
    if notifies && listener.is_none() {
        return Err(Error::refused("linux.seccomp.listenerPath", "is needed for SCMP_ACT_NOTIFY"));
    }
    let program = assemble(&targets, &tables, default)?;
    let mut flags = flags(seccomp);
    if notifies {
        flags |= libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    }
    let listener = listener.filter(|_| notifies);
    let metadata = seccomp.listener_metadata().clone().unwrap_or_default();
    Ok(Filter { program, flags, listener: listener.map(|path| (path, metadata)) })
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> u32 {
    // EPERM, when the document names none.
    let data = errno.unwrap_or(1) & 0xffff;
    match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => KILL_THREAD,
        LinuxSeccompAction::ScmpActKillProcess => KILL_PROCESS,
        LinuxSeccompAction::ScmpActTrap => TRAP,
        LinuxSeccompAction::ScmpActErrno => ERRNO | data,
        LinuxSeccompAction::ScmpActTrace => TRACE | data,
        LinuxSeccompAction::ScmpActNotify => NOTIFY,
        LinuxSeccompAction::ScmpActLog => LOG,
        LinuxSeccompAction::ScmpActAllow => ALLOW,
    }
}

/// Several conditions on different arguments must all hold; several on the same one are alternatives.
fn rules(conditions: &[LinuxSeccompArg], action: u32) -> Result<Vec<Rule>> {
    if conditions.iter().any(|condition| condition.index() > 5) {
        return Err(Error::refused("linux.seccomp.syscalls.args", "the index must lie between 0 and 5"));
    }
    let repeated = conditions
        .iter()
        .enumerate()
        .any(|(at, condition)| conditions[..at].iter().any(|other| other.index() == condition.index()));
    if repeated {
        return Ok(conditions
            .iter()
            .map(|&condition| Rule { conditions: vec![condition], action })
            .collect());
    }
    Ok(vec![Rule { conditions: conditions.to_vec(), action }])
}

fn flags(seccomp: &LinuxSeccomp) -> u64 {
    let Some(flags) = seccomp.flags() else { return libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW };
    flags
        .iter()
        .map(|flag| match flag {
            LinuxSeccompFilterFlag::SeccompFilterFlagLog => libc::SECCOMP_FILTER_FLAG_LOG,
            LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => {
                libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
            }
            // There is one thread to synchronise.
            LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
        })
        .fold(0, |all, flag| all | flag)
}

/// The program, from its end to its start.
fn assemble(targets: &[Target], tables: &[Table], default: u32) -> Result<Vec<BpfInstruction>> {
    let mut emitter = Emitter::default();
    let mut next = emitter.answer(KILL_THREAD);
    let tree_of = |emitter: &mut Emitter, wanted: Target| {
        let at = targets.iter().position(|target| *target == wanted)?;
        Some(tree(emitter, &tables[at], wanted.offset, default))
    };
    for &target in targets.iter().rev().filter(|target| **target != X32) {
        let mut block = match tree_of(&mut emitter, target) {
            Some(block) => block,
            None => continue,
        };
        if target == X86_64 {
            let x32 = match tree_of(&mut emitter, X32) {
                Some(x32) => x32,
                // -1 is how a tracer skips a call.
                None => {
                    let (skip, kill) = (emitter.answer(default), emitter.answer(KILL_THREAD));
                    emitter.branch(emit::EQUAL, u32::MAX, skip, kill)
                }
            };
            block = emitter.branch(emit::GREATER_OR_EQUAL, X32_BIT, x32, block);
        }
        let block = emitter.load(emit::NUMBER, block);
        next = emitter.branch(emit::EQUAL, target.audit, block, next);
    }
    emitter.load(emit::ARCHITECTURE, next);
    emitter.finish().ok_or_else(|| Error::refused("linux.seccomp", "the filter is too long for the kernel"))
}

/// A binary tree over ranges of numbers with the same answer.
fn tree(emitter: &mut Emitter, table: &Table, offset: u32, default: u32) -> usize {
    // A profile is older than some kernels: a program that tries a newer call must see that it is missing
    // (ENOSYS), and fall back, and not that it is forbidden.
    let open = matches!(default & 0xffff_0000, ALLOW | LOG | TRACE);
    let enosys = ERRNO | libc::ENOSYS.unsigned_abs();
    let beyond = if open || table.highest.is_none() { default } else { enosys };
    let answer_of = |number: u32| match table.rules.get(&number) {
        Some(rules) => rules.as_slice(),
        None => &[],
    };
    let mut ranges: Vec<(u32, Answer<'_>)> = Vec::new();
    for number in 0..=table.highest.unwrap_or(0) {
        let rules = answer_of(number);
        let answer = match rules {
            [] => Answer::Always(default),
            rules if rules.iter().all(|rule| rule.conditions.is_empty()) => Answer::Always(rules[0].action),
            rules => Answer::Depends(rules),
        };
        let same = matches!((ranges.last(), &answer), (Some((_, Answer::Always(last))), Answer::Always(now)) if last == now);
        if !same {
            ranges.push((number + offset, answer));
        }
    }
    ranges.push((table.highest.unwrap_or(0) + 1 + offset, Answer::Always(beyond)));
    subtree(emitter, &ranges, default)
}

enum Answer<'a> {
    Always(u32),
    Depends(&'a [Rule]),
}

fn subtree(emitter: &mut Emitter, ranges: &[(u32, Answer<'_>)], default: u32) -> usize {
    match ranges {
        [] => emitter.answer(default),
        [(_, Answer::Always(action))] => emitter.answer(*action),
        [(_, Answer::Depends(rules))] => chain(emitter, rules, default),
        _ => {
            let (left, right) = ranges.split_at(ranges.len() / 2);
            let start = right[0].0;
            let right = subtree(emitter, right, default);
            let left = subtree(emitter, left, default);
            emitter.branch(emit::GREATER_OR_EQUAL, start, right, left)
        }
    }
}

/// The first rule whose conditions hold decides; then one without conditions; then the default.
fn chain(emitter: &mut Emitter, rules: &[Rule], default: u32) -> usize {
    let last = rules.iter().find(|rule| rule.conditions.is_empty()).map_or(default, |rule| rule.action);
    let mut next = emitter.answer(last);
    for rule in rules.iter().rev().filter(|rule| !rule.conditions.is_empty()) {
        let mut holds = emitter.answer(rule.action);
        for condition in rule.conditions.iter().rev() {
            holds = compare(emitter, condition, holds, next);
        }
        next = holds;
    }
    next
}

/// Compares a 64-bit argument in two halves.
fn compare(emitter: &mut Emitter, condition: &LinuxSeccompArg, yes: usize, no: usize) -> usize {
    use LinuxSeccompOperator as Op;
    let (index, value) = (condition.index(), condition.value());
    match condition.op() {
        Op::ScmpCmpEq => emitter.equal(index, u64::MAX, value, yes, no),
        Op::ScmpCmpNe => emitter.equal(index, u64::MAX, value, no, yes),
        Op::ScmpCmpMaskedEq => emitter.equal(index, value, condition.value_two().unwrap_or(0), yes, no),
        Op::ScmpCmpGt => emitter.above(index, value, emit::GREATER, yes, no),
        Op::ScmpCmpGe => emitter.above(index, value, emit::GREATER_OR_EQUAL, yes, no),
        Op::ScmpCmpLe => emitter.above(index, value, emit::GREATER, no, yes),
        Op::ScmpCmpLt => emitter.above(index, value, emit::GREATER_OR_EQUAL, no, yes),
    }
}

/// The file beside a container's state.
const FILE: &str = "seccomp";

impl Filter {
    /// Keeps the compiled filter for later processes of the container.
    pub(crate) fn save(&self, folder: &std::path::Path) -> Result<()> {
        let mut bytes = (self.flags & !libc::SECCOMP_FILTER_FLAG_NEW_LISTENER).to_ne_bytes().to_vec();
        for instruction in &self.program {
            bytes.extend(instruction.code.to_ne_bytes());
            bytes.extend([instruction.jt, instruction.jf]);
            bytes.extend(instruction.k.to_ne_bytes());
        }
        let path = folder.join(FILE);
        std::fs::write(&path, bytes)
            .map_err(|error| sys::Error::new("write", path.display(), sys::error::errno_of(&error)).into())
    }

    /// The filter of a container; `None` when it has none.
    pub(crate) fn load(folder: &std::path::Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            result => result
                .map_err(|error| sys::Error::new("read", path.display(), sys::error::errno_of(&error)))?,
        };
        let (flags, program) =
            bytes.split_first_chunk().ok_or_else(|| Error::said("the saved filter is cut"))?;
        let (instructions, rest) = program.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(Error::said("the saved filter is cut"));
        }
        let program = instructions.iter().map(|&[a, b, jt, jf, k0, k1, k2, k3]| BpfInstruction {
            code: u16::from_ne_bytes([a, b]),
            jt,
            jf,
            k: u32::from_ne_bytes([k0, k1, k2, k3]),
        });
        Ok(Some(Self { program: program.collect(), flags: u64::from_ne_bytes(*flags), listener: None }))
    }
}
