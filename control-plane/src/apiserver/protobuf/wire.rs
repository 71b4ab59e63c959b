//! The wire format: tags, varints, lengths. It knows no messages.

use super::error::Fault;

/// How a value is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Fixed64,
    Bytes,
    GroupStart,
    GroupEnd,
    Fixed32,
}

impl Wire {
    /// The number in the tag.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Varint => 0,
            Self::Fixed64 => 1,
            Self::Bytes => 2,
            Self::GroupStart => 3,
            Self::GroupEnd => 4,
            Self::Fixed32 => 5,
        }
    }

    fn of(number: u8) -> Result<Self, Fault> {
        Ok(match number {
            0 => Self::Varint,
            1 => Self::Fixed64,
            2 => Self::Bytes,
            3 => Self::GroupStart,
            4 => Self::GroupEnd,
            5 => Self::Fixed32,
            other => return Err(Fault::NoWireType(other)),
        })
    }
}

/// Reads a message's bytes from the front.
#[derive(Clone, Debug)]
pub(super) struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field's number and layout; nothing at the end.
    pub(super) fn tag(&mut self) -> Result<Option<(u32, Wire)>, Fault> {
        if self.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number =
            u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number)).ok_or(Fault::Tag)?;
        Ok(Some((number, Wire::of((tag & 7) as u8)?)))
    }

    pub(super) fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(Fault::Truncated)?;
            self.rest = rest;
            if shift == 63 && byte > 1 {
                return Err(Fault::Overflow);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Fault::Overflow)
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, Fault> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// What stands behind a length.
    pub(super) fn bytes(&mut self) -> Result<&'b [u8], Fault> {
        let length = usize::try_from(self.varint()?).map_err(|_| Fault::Truncated)?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], Fault> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Passes over a value that nobody knows. Groups nest; they are counted, so that no input can exhaust the stack.
    pub(super) fn skip(&mut self, wire: Wire) -> Result<(), Fault> {
        let mut open = 0usize;
        let mut wire = wire;
        loop {
            match wire {
                Wire::Varint => drop(self.varint()?),
                Wire::Fixed64 => drop(self.take(8)?),
                Wire::Bytes => drop(self.bytes()?),
                Wire::Fixed32 => drop(self.take(4)?),
                Wire::GroupStart => open += 1,
                Wire::GroupEnd => open = open.checked_sub(1).ok_or(Fault::NoWireType(4))?,
            }
            if open == 0 {
                return Ok(());
            }
            wire = self.tag()?.ok_or(Fault::Truncated)?.1;
        }
    }
}

/// Appends a tag.
pub(super) fn put_tag(out: &mut Vec<u8>, number: u32, wire: Wire) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire.number()));
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field of bytes.
pub(in crate::apiserver) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, Wire::Bytes);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a field whose integer is a varint; negative ones take ten bytes.
pub(in crate::apiserver) fn put_integer(out: &mut Vec<u8>, number: u32, value: i64) {
    put_tag(out, number, Wire::Varint);
    put_varint(out, value as u64);
}
