//! The strict reader of `metav1.Time` and `MicroTime`, with the errors of Go's `time.Parse`.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// Reads a time with whole seconds and perhaps a fraction, or, with `micro`, with exactly six digits of one.
pub fn parse_rfc3339(text: &str, micro: bool) -> Result<Timestamp, String> {
    Reader { text, rest: text, micro }.time()
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    micro: bool,
}

impl Reader<'_> {
    fn time(mut self) -> Result<Timestamp, String> {
        let year = self.digits(4, "2006")?;
        self.literal("-")?;
        let month = self.number("01", 1..=12, "month")?;
        self.literal("-")?;
        let day = self.digits(2, "02")?;
        self.literal("T")?;
        let hour = self.number("15", 0..=23, "hour")?;
        self.literal(":")?;
        let minute = self.number("04", 0..=59, "minute")?;
        self.literal(":")?;
        let second = self.number("05", 0..=59, "second")?;
        let nanos = if self.micro { self.micros()? } else { self.fraction() };
        let offset = self.offset()?;
        if !self.rest.is_empty() {
            return Err(self.because(&format!("extra text: {:?}", self.rest)));
        }
        let [year, month, day, hour, minute, second] =
            [year, month, day, hour, minute, second].map(|number| i16::try_from(number).unwrap_or_default());
        let date = |number: i16| i8::try_from(number).unwrap_or_default();
        DateTime::new(year, date(month), date(day), date(hour), date(minute), date(second), nanos)
            .ok()
            .and_then(|time| Offset::from_seconds(offset).ok()?.to_timestamp(time).ok())
            .ok_or_else(|| self.because("day out of range"))
    }

    fn digits(&mut self, count: usize, layout: &str) -> Result<i32, String> {
        match self.rest.get(..count).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) {
            Some(digits) => {
                self.rest = &self.rest[count..];
                Ok(digits.parse().unwrap_or_default())
            }
            None => Err(self.cannot(layout)),
        }
    }

    fn number(
        &mut self,
        layout: &str,
        range: std::ops::RangeInclusive<i32>,
        name: &str,
    ) -> Result<i32, String> {
        let number = self.digits(2, layout)?;
        if range.contains(&number) { Ok(number) } else { Err(self.because(&format!("{name} out of range"))) }
    }

    fn literal(&mut self, wanted: &str) -> Result<(), String> {
        self.rest = self.rest.strip_prefix(wanted).ok_or_else(|| self.cannot(wanted))?;
        Ok(())
    }

    /// A fraction of any length, in nanoseconds; finer digits are dropped.
    fn fraction(&mut self) -> i32 {
        let Some(after) = self.rest.strip_prefix(['.', ',']) else { return 0 };
        let count = after.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return 0;
        }
        self.rest = &after[count..];
        format!("{:0<9.9}", &after[..count]).parse().unwrap_or_default()
    }

    fn micros(&mut self) -> Result<i32, String> {
        let digits = self.rest.strip_prefix(['.', ',']).and_then(|after| after.get(..6));
        match digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) {
            Some(digits) => {
                let micros: i32 = digits.parse().unwrap_or_default();
                self.rest = &self.rest[7..];
                Ok(micros * 1000)
            }
            None => Err(self.cannot(".000000")),
        }
    }

    /// `Z` or `+hh:mm`, in seconds.
    fn offset(&mut self) -> Result<i32, String> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let zone = self.rest.get(..6).filter(|zone| {
            let bytes = zone.as_bytes();
            matches!(bytes[0], b'+' | b'-')
                && bytes[3] == b':'
                && [1, 2, 4, 5].iter().all(|place| bytes[*place].is_ascii_digit())
        });
        let Some(zone) = zone else { return Err(self.cannot("Z07:00")) };
        let part = |range: std::ops::Range<usize>| {
            zone.get(range).and_then(|digits| digits.parse::<i32>().ok()).unwrap_or_default()
        };
        let (hours, minutes) = (part(1..3), part(4..6));
        let sign = if zone.starts_with('-') { -1 } else { 1 };
        if hours > 24 {
            return Err(self.because("time zone offset hour out of range"));
        }
        if minutes > 60 {
            return Err(self.because("time zone offset minute out of range"));
        }
        self.rest = &self.rest[6..];
        Ok(sign * (hours * 3600 + minutes * 60))
    }

    fn because(&self, why: &str) -> String {
        format!("parsing time {:?}: {why}", self.text)
    }

    fn cannot(&self, layout: &str) -> String {
        let whole = if self.micro { "2006-01-02T15:04:05.000000Z07:00" } else { "2006-01-02T15:04:05Z07:00" };
        format!("parsing time {:?} as {whole:?}: cannot parse {:?} as {layout:?}", self.text, self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{format, format_micros};

    #[test]
    fn times_become_utc() {
        for (text, canonical) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z"),
            ("2026-01-01T00:04:05.5-01:30", "2026-01-01T01:34:05Z"),
        ] {
            assert_eq!(format(parse_rfc3339(text, false).unwrap()), canonical);
        }
        let time = parse_rfc3339("2026-01-02T03:04:05.000678Z", true).unwrap();
        assert_eq!(format_micros(time), "2026-01-02T03:04:05.000678Z");
    }

    #[test]
    fn what_is_wrong_is_said_as_go_says_it() {
        let layout = "as \"2006-01-02T15:04:05Z07:00\": cannot parse";
        for (text, error) in [
            ("A_b!", format!("parsing time \"A_b!\" {layout} \"A_b!\" as \"2006\"")),
            ("", format!("parsing time \"\" {layout} \"\" as \"2006\"")),
            (
                "2026-01-02 03:04:05Z",
                format!("parsing time \"2026-01-02 03:04:05Z\" {layout} \" 03:04:05Z\" as \"T\""),
            ),
            ("2026-13-02T03:04:05Z", "parsing time \"2026-13-02T03:04:05Z\": month out of range".into()),
            ("2026-02-30T03:04:05Z", "parsing time \"2026-02-30T03:04:05Z\": day out of range".into()),
            ("2026-02-03T03:04:05Zx", "parsing time \"2026-02-03T03:04:05Zx\": extra text: \"x\"".into()),
        ] {
            assert_eq!(parse_rfc3339(text, false).unwrap_err(), error);
        }
        let error = parse_rfc3339("2026-01-02T03:04:05Z", true).unwrap_err();
        assert!(error.ends_with("cannot parse \"Z\" as \".000000\""), "{error}");
        assert!(parse_rfc3339("2026-01-02T03:04:05.1234567Z", true).is_err());
        assert!(parse_rfc3339("2026-01-0äT03:04:05Z", false).is_err(), "no panic within a character");
    }
}
