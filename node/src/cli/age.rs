//! Times as people read them.

use jiff::Timestamp;

/// How long ago an RFC 3339 time was, in at most two units; `-` when it is no time.
pub(super) fn since(time: &str, now: Timestamp) -> String {
    time.parse::<Timestamp>().map_or_else(|_| "-".into(), |then| span(now.as_second() - then.as_second()))
}

/// A number of seconds, as `45s`, `3m20s`, `15m`, `5h4m`, `2d3h`, `40d`.
fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair = |big: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big}{unit}"),
        _ => format!("{big}{unit}{small}{small_unit}"),
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        () if hours < 3 => format!("{minutes}m"),
        () if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        () if days < 2 => format!("{hours}h"),
        () if days < 8 => pair(days, "d", hours % 24, "h"),
        () => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_ago_the_coarser() {
        for (seconds, text) in [
            (-5, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (3_600, "60m"),
            (3 * 3_600 + 240, "3h4m"),
            (86_400, "24h"),
            (2 * 86_400 + 10_800, "2d3h"),
            (40 * 86_400, "40d"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn what_is_no_time_has_no_age() {
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        assert_eq!(since("", now), "-");
        assert_eq!(since("2026-01-01T00:00:00Z", now), "60s");
    }
}
