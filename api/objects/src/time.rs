//! Times and durations as Kubernetes writes them.

mod rfc3339;

use jiff::Timestamp;

pub use rfc3339::parse_rfc3339;

/// A time of a `metav1.Time`: RFC 3339 in UTC with whole seconds.
pub fn format(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time of a `metav1.MicroTime`: RFC 3339 in UTC with six digits behind the seconds.
pub fn format_micros(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// A time with nanoseconds, as CRI logs and the `config.seen` annotation have it; trailing zeros are left out.
pub fn format_nanos(time: Timestamp) -> String {
    time.to_string()
}

/// Parses an RFC 3339 time.
pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// Parses a duration of the Go spelling (`1h2m3.5s`, `300ms`, `0`) into nanoseconds.
pub fn parse_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        total = total.checked_add(scaled(number, nanos_of(unit)?)?)?;
        rest = after;
    }
    (!text.is_empty() && total != 0 || text.contains('0')).then_some(sign * total)
}

/// Formats nanoseconds in the Go spelling.
pub fn format_duration(nanos: i64) -> String {
    let magnitude = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    let text = match magnitude {
        0 => return "0s".to_owned(),
        1..1_000 => format!("{magnitude}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(magnitude, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(magnitude, 1_000_000)),
        _ => {
            let seconds = magnitude / 1_000_000_000;
            let rest = decimal(magnitude % 60_000_000_000, 1_000_000_000);
            match (seconds / 3600, seconds / 60 % 60) {
                (0, 0) => format!("{rest}s"),
                (0, minutes) => format!("{minutes}m{rest}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
            }
        }
    };
    format!("{sign}{text}")
}

fn nanos_of(unit: &str) -> Option<i64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// `number` (with a fraction perhaps) times `unit`; digits below a nanosecond are dropped.
fn scaled(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        total = total.checked_add(i64::from(digit - b'0') * place)?;
    }
    Some(total)
}

fn decimal(value: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_whole_seconds() {
        let time = parse("2026-01-02T03:04:05.678Z").unwrap();
        assert_eq!(format(time), "2026-01-02T03:04:05Z");
        assert_eq!(format_nanos(time), "2026-01-02T03:04:05.678Z");
        assert_eq!(parse("yesterday"), None);
    }

    #[test]
    fn durations_are_gos() {
        const SECOND: i64 = 1_000_000_000;
        for (text, nanos) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("1.5s", Some(3 * SECOND / 2)),
            ("1h2m3s", Some(3723 * SECOND)),
            ("-300ms", Some(-300_000_000)),
            (".5s", Some(SECOND / 2)),
            ("5", None),
            ("s", None),
            ("1x", None),
            ("", None),
            (".s", None),
        ] {
            assert_eq!(parse_duration(text), nanos, "{text}");
        }
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (300_000_000, "300ms"),
            (90 * SECOND, "1m30s"),
            (3_600 * SECOND, "1h0m0s"),
            (-SECOND, "-1s"),
            (61_500_000_000, "1m1.5s"),
        ] {
            assert_eq!(format_duration(nanos), text);
        }
    }
}
