//! IMF-fixdate, the one date format that we send (RFC 9110 §5.6.7).
//!
//! Called once a second by each worker, not once a response.

/// Octets of an IMF-fixdate.
pub const DATE_OCTETS: usize = 29;

/// The UTC time `unix_seconds` after 1970 as `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// Leap seconds are not counted, as in POSIX. Times after the year 9999, which the format cannot hold,
/// are shown as its last second.
pub fn imf_fixdate(unix_seconds: u64) -> [u8; DATE_OCTETS] {
    let seconds = unix_seconds.min(LAST_SECOND);
    let (days, second_of_day) = (seconds / DAY_SECONDS, seconds % DAY_SECONDS);
    let (year, month, day) = civil_date(days);

    let mut date = *b"___, __ ___ ____ __:__:__ GMT";
    // 1970-01-01 was a Thursday, the first of WEEKDAYS.
    date[0..3].copy_from_slice(WEEKDAYS[(days % 7) as usize]);
    put_digits(&mut date[5..7], day);
    date[8..11].copy_from_slice(MONTHS[month as usize - 1]);
    put_digits(&mut date[12..16], year);
    put_digits(&mut date[17..19], second_of_day / 3600);
    put_digits(&mut date[20..22], second_of_day / 60 % 60);
    put_digits(&mut date[23..25], second_of_day % 60);
    date
}

const DAY_SECONDS: u64 = 86_400;

/// 9999-12-31 23:59:59.
const LAST_SECOND: u64 = 253_402_300_799;

const WEEKDAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Year, month from 1 and day from 1 of the Gregorian calendar, `days` after 1970-01-01.
///
/// Counts from 0000-03-01, so that the leap day is the last of its year (Howard Hinnant,
/// *chrono-Compatible Low-Level Date Algorithms*, `civil_from_days`).
fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // 0 is March.
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// Fills `out` with the last digits of `value`, zeros in front.
fn put_digits(out: &mut [u8], mut value: u64) {
    for slot in out.iter_mut().rev() {
        // One decimal digit.
        *slot = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unix_seconds: u64, expected: &str) {
        let date = imf_fixdate(unix_seconds);
        assert_eq!(std::str::from_utf8(&date), Ok(expected));
    }

    #[test]
    #[rustfmt::skip]
    fn dates_are_imf_fixdates() {
        check(0,               "Thu, 01 Jan 1970 00:00:00 GMT");
        check(1,               "Thu, 01 Jan 1970 00:00:01 GMT");
        check(784_111_777,     "Sun, 06 Nov 1994 08:49:37 GMT");
        check(951_782_399,     "Mon, 28 Feb 2000 23:59:59 GMT");
        check(951_782_400,     "Tue, 29 Feb 2000 00:00:00 GMT");
        check(951_868_800,     "Wed, 01 Mar 2000 00:00:00 GMT");
        check(978_307_199,     "Sun, 31 Dec 2000 23:59:59 GMT");
        check(1_709_164_800,   "Thu, 29 Feb 2024 00:00:00 GMT");
        check(1_735_689_599,   "Tue, 31 Dec 2024 23:59:59 GMT");
        check(1_735_689_600,   "Wed, 01 Jan 2025 00:00:00 GMT");
        check(2_147_483_648,   "Tue, 19 Jan 2038 03:14:08 GMT");
        // 2100 is no leap year.
        check(4_107_542_399,   "Sun, 28 Feb 2100 23:59:59 GMT");
        check(4_107_542_400,   "Mon, 01 Mar 2100 00:00:00 GMT");
        check(253_402_300_798, "Fri, 31 Dec 9999 23:59:58 GMT");
        check(253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT");
        check(253_402_300_800, "Fri, 31 Dec 9999 23:59:59 GMT");
        check(u64::MAX,        "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    /// The naive twin: one day after the other.
    #[test]
    fn every_day_to_the_year_2400_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..157_000 {
            assert_eq!(civil_date(days), (year, month, day));
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let month_days = match month {
                2 => 28 + u64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > month_days {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }
}
