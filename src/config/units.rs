//! Durations and sizes as people write them: `"1m30s"`, `"64KiB"`.
//!
//! A duration is one or more of NUMBER UNIT with ever smaller units from `d h m s ms`; a size is NUMBER UNIT with a
//! unit from `B KB MB GB TB` (powers of 1000) or `KiB MiB GiB TiB` (powers of 1024). Numbers are whole, without sign
//! or space. A bare number has no unit, so it is refused: is `timeout = 75` seconds or milliseconds? What can only
//! mean one thing comes back as a mend, but is refused all the same, so that a file has one spelling for one value.

use std::time::Duration;

/// From the largest: the order in which a duration's parts must come.
const DURATION_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Spellings of units that are not ours, in lower case, and what they mean.
const DURATION_SPELLINGS: [(&str, &str); 18] = [
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hr", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("msec", "ms"),
    ("millis", "ms"),
    ("milliseconds", "ms"),
    ("h", "h"),
    ("s", "s"),
];

/// nginx's `10m` and Docker's `10M` are powers of 1024.
const SIZE_SPELLINGS: [(&str, &str); 16] = [
    ("k", "KiB"),
    ("m", "MiB"),
    ("g", "GiB"),
    ("t", "TiB"),
    ("kb", "KB"),
    ("mb", "MB"),
    ("gb", "GB"),
    ("tb", "TB"),
    ("kib", "KiB"),
    ("mib", "MiB"),
    ("gib", "GiB"),
    ("tib", "TiB"),
    ("b", "B"),
    ("byte", "B"),
    ("bytes", "B"),
    ("octets", "B"),
];

/// Why a text is no duration or size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UnitError {
    /// Not of the form at all, or too large a number.
    Unreadable,
    /// Digits alone; holds what was probably meant.
    NoUnit(String),
    /// A spelling that is not ours; holds ours.
    Misspelt(String),
    /// Known units, but not from large to small.
    Order,
}

/// Reads `"1m30s"`. Zero is a duration here; bounds are the caller's.
pub(super) fn duration(text: &str) -> Result<Duration, UnitError> {
    if let Some(number) = only_digits(text) {
        return Err(UnitError::NoUnit(format!("{number}s")));
    }
    let mut total: u64 = 0;
    let mut last_unit = None;
    let mut rest = text;
    while !rest.is_empty() {
        let Some((number, unit, after)) = part(rest) else {
            return Err(misspelt_duration(text));
        };
        let Some(index) = DURATION_UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(misspelt_duration(text));
        };
        if last_unit.is_some_and(|last| last >= index) {
            return Err(UnitError::Order);
        }
        last_unit = Some(index);
        let millis = number
            .checked_mul(DURATION_UNITS[index].1)
            .and_then(|millis| total.checked_add(millis));
        total = millis.ok_or(UnitError::Unreadable)?;
        rest = after;
    }
    last_unit
        .map(|_| Duration::from_millis(total))
        .ok_or(UnitError::Unreadable)
}

/// Reads `"64KiB"`, in octets.
pub(super) fn size(text: &str) -> Result<u64, UnitError> {
    if let Some(number) = only_digits(text) {
        return Err(UnitError::NoUnit(write_size(number)));
    }
    let Some((number, unit, "")) = part(text) else {
        return Err(misspelt_size(text));
    };
    let Some((_, octets)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(misspelt_size(text));
    };
    number.checked_mul(*octets).ok_or(UnitError::Unreadable)
}

/// The shortest way to write a duration; `0s` for zero. Less than a millisecond is cut.
pub(super) fn write_duration(duration: Duration) -> String {
    let mut millis = duration.as_millis();
    let mut written = String::new();
    for (unit, size) in DURATION_UNITS {
        let count = millis / u128::from(size);
        millis %= u128::from(size);
        if count > 0 {
            written.push_str(&format!("{count}{unit}"));
        }
    }
    if written.is_empty() {
        "0s".to_owned()
    } else {
        written
    }
}

/// The exact size in the largest unit of 1024, else of 1000.
pub(super) fn write_size(octets: u64) -> String {
    let units = ["TiB", "GiB", "MiB", "KiB", "TB", "GB", "MB", "KB"];
    for unit in units {
        let size = SIZE_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map_or(1, |(_, size)| *size);
        if octets > 0 && octets.is_multiple_of(size) {
            return format!("{}{unit}", octets / size);
        }
    }
    format!("{octets}B")
}

/// The number that a text of digits alone is.
fn only_digits(text: &str) -> Option<u64> {
    text.bytes()
        .all(|octet| octet.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// Splits `"12ms5s"` into 12, `"ms"`, `"5s"`. `None` when there is no digit first or the number is too large.
fn part(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = only_digits(&text[..digits])?;
    let after = &text[digits..];
    let letters = after
        .bytes()
        .take_while(|octet| !octet.is_ascii_digit())
        .count();
    Some((number, &after[..letters], &after[letters..]))
}

/// `"10 seconds"` → `10s`, `"1.5s"` → `1s500ms`.
fn misspelt_duration(text: &str) -> UnitError {
    let Some((thousandths, unit)) = decimal(text) else {
        return UnitError::Unreadable;
    };
    let unit = DURATION_SPELLINGS
        .iter()
        .find(|(other, _)| *other == unit)
        .map_or(unit.as_str(), |(_, ours)| ours);
    let Some((_, size)) = DURATION_UNITS.iter().find(|(name, _)| *name == unit) else {
        return UnitError::Unreadable;
    };
    let millis = thousandths
        .checked_mul(*size)
        .filter(|product| product.is_multiple_of(1000));
    millis.map_or(UnitError::Unreadable, |product| {
        UnitError::Misspelt(write_duration(Duration::from_millis(product / 1000)))
    })
}

/// `"10m"` → `10MiB`, `"1.5MiB"` → `1536KiB`.
fn misspelt_size(text: &str) -> UnitError {
    let Some((thousandths, unit)) = decimal(text) else {
        return UnitError::Unreadable;
    };
    let unit = SIZE_SPELLINGS
        .iter()
        .find(|(other, _)| *other == unit)
        .map_or(unit.as_str(), |(_, ours)| ours);
    let Some((_, size)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        return UnitError::Unreadable;
    };
    if thousandths.is_multiple_of(1000) {
        return UnitError::Misspelt(format!("{}{unit}", thousandths / 1000));
    }
    let octets = thousandths
        .checked_mul(*size)
        .filter(|product| product.is_multiple_of(1000));
    octets.map_or(UnitError::Unreadable, |product| {
        UnitError::Misspelt(write_size(product / 1000))
    })
}

/// `"1.5 MB"` → 1500 thousandths of `"mb"`; at most three digits after the point.
fn decimal(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let end = text
        .bytes()
        .take_while(|octet| octet.is_ascii_digit() || *octet == b'.')
        .count();
    let (whole, fraction) = text[..end].split_once('.').unwrap_or((&text[..end], "0"));
    let thousandths = only_digits(&format!("{fraction:0<3}")).filter(|_| fraction.len() <= 3)?;
    let number = only_digits(whole)
        .filter(|_| !whole.is_empty())?
        .checked_mul(1000)?
        .checked_add(thousandths)?;
    Some((number, text[end..].trim().to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        #[track_caller]
        fn check(text: &str, expected: Result<u64, UnitError>) {
            assert_eq!(
                duration(text),
                expected.map(Duration::from_millis),
                "{text}"
            );
        }
        let misspelt = |text: &str| Err(UnitError::Misspelt(text.to_owned()));
        check("10s", Ok(10_000));
        check("500ms", Ok(500));
        check("2m", Ok(120_000));
        check("1h", Ok(3_600_000));
        check("1d", Ok(86_400_000));
        check("1m30s", Ok(90_000));
        check("1d2h3m4s5ms", Ok(93_784_005));
        check("0s", Ok(0));
        check("007s", Ok(7000));
        check("75", Err(UnitError::NoUnit("75s".to_owned())));
        check("10 s", misspelt("10s"));
        check("10S", misspelt("10s"));
        check("10seconds", misspelt("10s"));
        check("5 min", misspelt("5m"));
        check("1.5s", misspelt("1s500ms"));
        check("0.5h", misspelt("30m"));
        check("1.0001s", Err(UnitError::Unreadable));
        check("30s1m", Err(UnitError::Order));
        check("1m1m", Err(UnitError::Order));
        check("", Err(UnitError::Unreadable));
        check("s", Err(UnitError::Unreadable));
        check("-1s", Err(UnitError::Unreadable));
        check("+1s", Err(UnitError::Unreadable));
        check("1w", Err(UnitError::Unreadable));
        check("off", Err(UnitError::Unreadable));
        check("1m30", Err(UnitError::Unreadable));
        check("1ü", Err(UnitError::Unreadable));
        check("18446744073709551615ms", Ok(u64::MAX));
        check("18446744073709551616ms", Err(UnitError::Unreadable));
        check("18446744073709551615s", Err(UnitError::Unreadable));
        check("18446744073709551s999ms", Err(UnitError::Unreadable));
        check("18446744073709551616", Err(UnitError::Unreadable));
    }

    #[test]
    fn sizes() {
        #[track_caller]
        fn check(text: &str, expected: Result<u64, UnitError>) {
            assert_eq!(size(text), expected, "{text}");
        }
        let misspelt = |text: &str| Err(UnitError::Misspelt(text.to_owned()));
        check("512B", Ok(512));
        check("64KiB", Ok(65_536));
        check("10MiB", Ok(10 << 20));
        check("1GiB", Ok(1 << 30));
        check("2TiB", Ok(2 << 40));
        check("1KB", Ok(1000));
        check("5MB", Ok(5_000_000));
        check("0B", Ok(0));
        check("1024", Err(UnitError::NoUnit("1KiB".to_owned())));
        check("1000", Err(UnitError::NoUnit("1KB".to_owned())));
        check("7", Err(UnitError::NoUnit("7B".to_owned())));
        check("10m", misspelt("10MiB"));
        check("10M", misspelt("10MiB"));
        check("64k", misspelt("64KiB"));
        check("64 KiB", misspelt("64KiB"));
        check("64kb", misspelt("64KB"));
        check("1.5MiB", misspelt("1536KiB"));
        check("1.5B", Err(UnitError::Unreadable));
        check("1KiB1B", Err(UnitError::Unreadable));
        check("KiB", Err(UnitError::Unreadable));
        check("", Err(UnitError::Unreadable));
        check("-1B", Err(UnitError::Unreadable));
        check("16777215TiB", Ok(16_777_215 << 40));
        check("16777216TiB", Err(UnitError::Unreadable));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for millis in [0, 1, 999, 1000, 90_000, 86_400_000, 93_784_005, u64::MAX] {
            let value = Duration::from_millis(millis);
            assert_eq!(duration(&write_duration(value)), Ok(value), "{millis}");
        }
        for octets in [0, 1, 1000, 1023, 1024, 65_536, 1 << 40, u64::MAX] {
            assert_eq!(size(&write_size(octets)), Ok(octets), "{octets}");
        }
    }
}
