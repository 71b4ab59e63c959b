//! Emits classic BPF from its end to its start: a jump's target is then known when the jump is written.

use sys::process::BpfInstruction;

/// Offsets in `struct seccomp_data`.
pub(super) const NUMBER: u32 = 0;
/// Offsets in `struct seccomp_data`.
pub(super) const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;
const HIGH: u32 = if cfg!(target_endian = "little") { 4 } else { 0 };

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const RETURN: u16 = 0x06; // BPF_RET | BPF_K
/// Jump if the loaded word is equal.
pub(super) const EQUAL: u16 = 0x15;
/// Jump if it is greater.
pub(super) const GREATER: u16 = 0x25;
/// Jump if it is greater or equal.
pub(super) const GREATER_OR_EQUAL: u16 = 0x35;

/// The kernel's limit (`BPF_MAXINSNS`).
const LONGEST: usize = 4096;
/// A conditional jump spans 255 instructions; some room is left for the two jumps that bridge longer ways.
const NEAR: usize = 250;

/// A program under construction. A place in it is counted from the end.
#[derive(Default)]
pub(super) struct Emitter {
    reversed: Vec<BpfInstruction>,
    answers: Vec<(u32, usize)>,
}

impl Emitter {
    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> usize {
        self.reversed.push(BpfInstruction { code, jt, jf, k });
        self.reversed.len() - 1
    }

    /// How many instructions lie between the next one and a place.
    fn distance(&self, place: usize) -> usize {
        self.reversed.len() - place - 1
    }

    /// A place that a conditional jump reaches, from which the given one is reached.
    fn near(&mut self, place: usize) -> usize {
        let distance = self.distance(place);
        // Programs are at most 4096 long, see `finish`.
        if distance <= NEAR {
            place
        } else {
            self.push(JUMP, 0, 0, u32::try_from(distance).unwrap_or(u32::MAX))
        }
    }

    /// Ends with an action.
    pub(super) fn answer(&mut self, action: u32) -> usize {
        let known = self.answers.iter().find(|(have, _)| *have == action).map(|(_, place)| *place);
        if let Some(place) = known
            && self.distance(place) < NEAR / 2
        {
            return place;
        }
        let place = self.push(RETURN, 0, 0, action);
        self.answers.retain(|(have, _)| *have != action);
        self.answers.push((action, place));
        place
    }

    /// Goes on at one of two places.
    pub(super) fn branch(&mut self, test: u16, value: u32, yes: usize, no: usize) -> usize {
        let yes = self.near(yes);
        let no = self.near(no);
        let offset = |distance: usize| u8::try_from(distance).unwrap_or(u8::MAX);
        let (yes, no) = (offset(self.distance(yes)), offset(self.distance(no)));
        self.push(test, yes, no, value)
    }

    /// Loads a word, then goes on at a place.
    pub(super) fn load(&mut self, offset: u32, next: usize) -> usize {
        let distance = self.distance(next);
        if distance > 0 {
            self.push(JUMP, 0, 0, u32::try_from(distance).unwrap_or(u32::MAX));
        }
        self.push(LOAD, 0, 0, offset)
    }

    /// Whether the masked bits of an argument have a value.
    pub(super) fn equal(&mut self, index: usize, mask: u64, value: u64, yes: usize, no: usize) -> usize {
        let low = self.equal_half(low(index), mask as u32, value as u32, yes, no);
        self.equal_half(high(index), (mask >> 32) as u32, (value >> 32) as u32, low, no)
    }

    fn equal_half(&mut self, offset: u32, mask: u32, value: u32, yes: usize, no: usize) -> usize {
        let test = self.branch(EQUAL, value, yes, no);
        if mask != u32::MAX {
            self.push(AND, 0, 0, mask);
            return self.push(LOAD, 0, 0, offset);
        }
        self.load(offset, test)
    }

    /// Whether an argument is above a value, by the given test on its lower half.
    pub(super) fn above(&mut self, index: usize, value: u64, test: u16, yes: usize, no: usize) -> usize {
        let low_test = self.branch(test, value as u32, yes, no);
        let low = self.load(low(index), low_test);
        let equal = self.branch(EQUAL, (value >> 32) as u32, low, no);
        let greater = self.branch(GREATER, (value >> 32) as u32, yes, equal);
        self.load(high(index), greater)
    }

    /// The program in the order of execution; `None` when it is too long.
    pub(super) fn finish(mut self) -> Option<Vec<BpfInstruction>> {
        self.reversed.reverse();
        (self.reversed.len() <= LONGEST).then_some(self.reversed)
    }
}

fn low(index: usize) -> u32 {
    // The index is at most 5.
    ARGUMENTS + 8 * u32::try_from(index).unwrap_or(0) + (4 - HIGH)
}

fn high(index: usize) -> u32 {
    ARGUMENTS + 8 * u32::try_from(index).unwrap_or(0) + HIGH
}
