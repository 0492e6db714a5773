//! The calendar alone: days since 1970-01-01 to year, month and day, and back. No time zones, no clock.

/// Days from 0000-03-01 to 1970-01-01. Years that begin in March have their leap day last.
const EPOCH_DAYS: i64 = 719_468;
const DAYS_400_YEARS: i64 = 146_097;

/// Days since 1970-01-01 of a date, `None` for one that does not exist.
pub fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let in_bounds = (1..=12).contains(&month) && (1..=31).contains(&day);
    let march_year = year - i64::from(month <= 2);
    let (era, of_era) = (march_year.div_euclid(400), march_year.rem_euclid(400));
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let days = era * DAYS_400_YEARS + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - EPOCH_DAYS;
    (in_bounds && civil(days) == (year, month, day)).then_some(days)
}

/// Year, month and day of a number of days since 1970-01-01. The algorithm is Howard Hinnant's `civil_from_days`.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAYS;
    let (era, of_era) = (days.div_euclid(DAYS_400_YEARS), days.rem_euclid(DAYS_400_YEARS));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Numbers of so many digits each, with a separator between them and nothing else.
pub fn fields<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = part.parse().ok().filter(|_| is_number)?;
    }
    parts.next().is_none().then_some(numbers)
}
