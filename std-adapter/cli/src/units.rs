//! Durations and sizes on the command line.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `250ms`, `30s`, `10m`, `1h`; a number alone is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let millis = match unit {
        "ms" => Some(1),
        "" | "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    number
        .zip(millis)
        .and_then(|(number, unit)| number.checked_mul(unit))
        // A year: any clock can add that.
        .filter(|&millis| millis <= 366 * 24 * 3_600_000)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is not a duration such as 250ms, 30s, 10m or 1h"))
}

/// `100`, `64K`, `10M`, `2GiB`, also in lower case: bytes, in powers of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let unit = match unit.strip_suffix("iB").unwrap_or(unit) {
        "" => Some(1),
        "K" | "k" => Some(1 << 10),
        "M" | "m" => Some(1 << 20),
        "G" | "g" => Some(1 << 30),
        "T" | "t" => Some(1 << 40),
        _ => None,
    };
    number
        .zip(unit)
        .and_then(|(number, unit): (u64, u64)| number.checked_mul(unit))
        .ok_or_else(|| format!("{text:?} is not a size such as 4096, 64K, 10M or 2G"))
}

fn split(text: &str) -> (Option<u64>, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number.parse().ok(), unit)
}

/// A duration as people write it.
pub(crate) struct Shown(pub(super) Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0 => f.write_str("0 s"),
            millis if millis % 3_600_000 == 0 => write!(f, "{} h", millis / 3_600_000),
            millis if millis % 60_000 == 0 => write!(f, "{} min", millis / 60_000),
            millis if millis % 1000 == 0 => write!(f, "{} s", millis / 1000),
            millis => write!(f, "{millis} ms"),
        }
    }
}

/// A number of bytes as [`size`] takes it.
pub(crate) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        let unit = units
            .into_iter()
            .find(|(shift, _)| self.0 > 0 && self.0.trailing_zeros() >= *shift);
        match unit {
            Some((shift, name)) => write!(f, "{} {name}", self.0 >> shift),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// `2018-09-28T12:34:56Z`. Years far off are seconds.
pub(crate) fn utc(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    if !(-100_000_000..100_000_000).contains(&days) {
        return format!("{seconds}s");
    }
    // Days since 0000-03-01, in eras of 400 years.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = year + era * 400 + next;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// This instant in UTC, with its milliseconds: `2018-09-28T12:34:56.789Z`.
pub(crate) fn timestamp(time: SystemTime) -> String {
    let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = utc(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    let seconds = seconds.strip_suffix('Z').unwrap_or(&seconds);
    format!("{seconds}.{:03}Z", time.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_largest_unit_that_is_exact() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (3 << 10, "3 KiB"),
            (2049 << 20, "2049 MiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn units_are_read() {
        for (text, millis) in [("0", 0), ("7", 7000), ("250ms", 250), ("10m", 600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1", "1.5s", "1d", "99999999999h", "1 s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        for (text, bytes) in [
            ("0", 0),
            ("12", 12),
            ("64K", 65_536),
            ("2GiB", 2 << 30),
            ("1k", 1024),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "K", "1B", "99999999999T"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_calendar_times() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_538_138_096, "2018-09-28T12:34:56Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (i64::MAX, "9223372036854775807s"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
    }

    #[test]
    fn instants_have_milliseconds() {
        let time = UNIX_EPOCH + Duration::from_millis(951_782_400_007);
        assert_eq!(timestamp(time), "2000-02-29T00:00:00.007Z");
    }
}
