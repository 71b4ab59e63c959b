//! Resource quantities: `100m`, `64Mi`, `1.5`, `2e3`.
//!
//! A quantity is held as an integer of billionths, which is the finest the API keeps; finer values are rounded
//! away from zero as the API does. Larger values than the API's (2^63-1) are capped.

use std::fmt;
use std::str::FromStr;

const NANO: i128 = 1_000_000_000;
const MAX: i128 = i64::MAX as i128 * NANO;

/// An amount of a resource, with the family of suffixes it was written in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    style: Style,
}

/// The family of suffixes, kept when a quantity is written back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Style {
    #[default]
    /// `m`, none, `k`, `M`, …
    Decimal,
    /// `Ki`, `Mi`, …
    Binary,
    /// `e3`
    Exponent,
}

/// Not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
pub struct ParseQuantityError;

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self { nanos: 0, style: Style::Decimal };

    /// A whole number.
    pub fn from_units(units: i64) -> Self {
        Self { nanos: i128::from(units) * NANO, style: Style::Decimal }
    }

    /// A number of thousandths.
    pub fn from_millis(millis: i64) -> Self {
        Self { nanos: i128::from(millis) * (NANO / 1000), style: Style::Decimal }
    }

    /// A number of bytes, written with binary suffixes.
    pub fn from_bytes(bytes: i64) -> Self {
        Self { nanos: i128::from(bytes) * NANO, style: Style::Binary }
    }

    /// The value rounded up to a whole number.
    pub fn units(self) -> i64 {
        saturate(div_up(self.nanos, NANO))
    }

    /// The value in thousandths, rounded up.
    pub fn millis(self) -> i64 {
        saturate(div_up(self.nanos, NANO / 1000))
    }

    /// How often `divisor` fits, rounded up; a zero divisor counts as 1.
    pub fn divided_by(self, divisor: Self) -> i64 {
        let divisor = if divisor.nanos == 0 { NANO } else { divisor.nanos };
        saturate(div_up(self.nanos, divisor))
    }

    /// Neither more nor less than nothing.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Less than nothing.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// The next whole number, or this one.
    pub fn rounded_up(self) -> Self {
        Self { nanos: div_up(self.nanos, NANO) * NANO, style: self.style }
    }

    /// Whether it is a whole number.
    pub fn is_whole(self) -> bool {
        self.nanos % NANO == 0
    }
}

impl std::ops::Add for Quantity {
    type Output = Self;

    /// The sum, written in the left one's style (or the right one's when the left is zero), capped.
    fn add(self, other: Self) -> Self {
        let style = if self.is_zero() { other.style } else { self.style };
        Self { nanos: (self.nanos + other.nanos).clamp(-MAX, MAX), style }
    }
}

impl std::ops::Sub for Quantity {
    type Output = Self;

    /// The difference, written as a sum is.
    fn sub(self, other: Self) -> Self {
        self + Self { nanos: -other.nanos, style: other.style }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl FromStr for Quantity {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, ParseQuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(ParseQuantityError);
        }
        let (style, scale) = scale_of(suffix).ok_or(ParseQuantityError)?;
        let magnitude = magnitude(whole, fraction, scale);
        Ok(Self { nanos: if negative { -magnitude } else { magnitude }, style })
    }
}

/// What a suffix multiplies by: a power of ten or of two.
#[derive(Clone, Copy)]
enum Scale {
    Ten(i32),
    Two(u32),
}

fn scale_of(suffix: &str) -> Option<(Style, Scale)> {
    Some(match suffix {
        "n" => (Style::Decimal, Scale::Ten(-9)),
        "u" => (Style::Decimal, Scale::Ten(-6)),
        "m" => (Style::Decimal, Scale::Ten(-3)),
        "" => (Style::Decimal, Scale::Ten(0)),
        "k" => (Style::Decimal, Scale::Ten(3)),
        "M" => (Style::Decimal, Scale::Ten(6)),
        "G" => (Style::Decimal, Scale::Ten(9)),
        "T" => (Style::Decimal, Scale::Ten(12)),
        "P" => (Style::Decimal, Scale::Ten(15)),
        "E" => (Style::Decimal, Scale::Ten(18)),
        "Ki" => (Style::Binary, Scale::Two(10)),
        "Mi" => (Style::Binary, Scale::Two(20)),
        "Gi" => (Style::Binary, Scale::Two(30)),
        "Ti" => (Style::Binary, Scale::Two(40)),
        "Pi" => (Style::Binary, Scale::Two(50)),
        "Ei" => (Style::Binary, Scale::Two(60)),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            (Style::Exponent, Scale::Ten(exponent.parse().ok()?))
        }
    })
}

/// The billionths of `whole.fraction` times `scale`, rounded up and capped.
fn magnitude(whole: &str, fraction: &str, scale: Scale) -> i128 {
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let fraction = fraction.len() as i64;
    // value = digits × 10^-fraction × scale; the exponent of ten once billionths are counted:
    let (ten, two) = match scale {
        Scale::Ten(exponent) => (i64::from(exponent) + 9 - fraction, 0),
        Scale::Two(exponent) => (9 - fraction, exponent),
    };
    if digits.is_empty() {
        return 0;
    }
    if digits.len() as i64 + ten > 40 {
        return MAX;
    }
    // Digits that can only matter for rounding up are replaced by one that does so.
    let keep = digits.len().min(28);
    let dropped = (digits.len() - keep) as i64;
    let mut value: i128 = digits[..keep].parse().unwrap_or(MAX);
    let rest = digits[keep..].bytes().any(|digit| digit != b'0');
    let ten = ten + dropped;
    let shift = 1i128.checked_shl(two).unwrap_or(1);
    if ten >= 0 {
        let power = 10i128.checked_pow(u32::try_from(ten).unwrap_or(u32::MAX));
        value = power
            .and_then(|power| value.checked_mul(power))
            .and_then(|value| value.checked_mul(shift))
            .unwrap_or(MAX);
        return (value + i128::from(rest)).min(MAX);
    }
    let Some(power) = u32::try_from(-ten).ok().and_then(|ten| 10i128.checked_pow(ten)) else {
        return 1;
    };
    // Shift first where it fits, so that nothing is lost before the division.
    match value.checked_mul(shift) {
        Some(shifted) => (div_up(shifted, power) + i128::from(rest && shifted % power == 0)).min(MAX),
        None => (value / power).checked_mul(shift).unwrap_or(MAX).min(MAX),
    }
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, and the largest suffix that loses nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.nanos < 0 { "-" } else { "" };
        let nanos = self.nanos.abs();
        if nanos == 0 {
            return f.write_str("0");
        }
        // Below 1024 a binary quantity has no suffix to show, and a fraction cannot have one: decimal then.
        if self.style == Style::Binary && nanos % NANO == 0 && nanos >= 1024 * NANO {
            let mut value = nanos / NANO;
            let mut suffix = 0;
            while value % 1024 == 0 && suffix < BINARY.len() - 1 {
                value /= 1024;
                suffix += 1;
            }
            return write!(f, "{sign}{value}{}", BINARY[suffix]);
        }
        let mut value = nanos;
        let mut thousands = -3i32;
        while value % 1000 == 0 && thousands < 6 {
            value /= 1000;
            thousands += 1;
        }
        if self.style == Style::Exponent {
            return match thousands {
                0 => write!(f, "{sign}{value}"),
                thousands => write!(f, "{sign}{value}e{}", thousands * 3),
            };
        }
        let suffix = DECIMAL[usize::try_from(thousands + 3).unwrap_or_default()];
        write!(f, "{sign}{value}{suffix}")
    }
}

const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

fn div_up(value: i128, by: i128) -> i128 {
    let quotient = value.div_euclid(by);
    if value.rem_euclid(by) == 0 { quotient } else { quotient + 1 }
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests;
