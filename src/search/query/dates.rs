//! Dates — decides which strings are dates, and which moments they are. It never shows one.
//!
//! Elasticsearch's `strict_date_optional_time`, the default of its date detection: `yyyy-MM-dd`, and after a `T` hours,
//! minutes, seconds and fractions as far as given, then `Z` or an offset; without one, it is UTC.

const MILLIS_OF_DAY: i64 = 24 * 60 * 60 * 1_000;

/// The moment that a text names, in milliseconds since 1970; none if it is no date.
pub fn millis(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T').map_or((text, ""), |(date, time)| (date, time));
    let days = days(date)?;
    if time.is_empty() {
        return (!text.contains('T')).then_some(days * MILLIS_OF_DAY);
    }
    let (clock, offset) = split_offset(time)?;
    Some(days * MILLIS_OF_DAY + of_clock(clock)? - offset)
}

/// Two digits, or as many as wanted.
fn digits(text: &str, count: usize) -> Option<i64> {
    let is_number = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// Days since 1970 (the civil calendar counted in eras of 400 years from a March).
fn days(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) =
        (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=length(year, month)).contains(&day) {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let in_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    Some(shifted.div_euclid(400) * 146_097 + in_era - 719_468)
}

fn length(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The time of day, and how far its zone is ahead, in milliseconds.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(at) = time.find(['+', '-']) else { return Some((time, 0)) };
    let (clock, offset) = time.split_at(at);
    let ahead = if offset.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = offset[1..].split_once(':')?;
    Some((clock, ahead * (digits(hours, 2)? * 60 + digits(minutes, 2)?) * 60_000))
}

fn of_clock(clock: &str) -> Option<i64> {
    let (whole, fraction) = clock.split_once('.').map_or((clock, None), |(whole, rest)| (whole, Some(rest)));
    let mut parts = whole.split(':');
    let hours = digits(parts.next()?, 2).filter(|hours| *hours < 24)?;
    let mut below_60 = || match parts.next() {
        None => Some(0),
        Some(part) => digits(part, 2).filter(|part| *part < 60),
    };
    let (minutes, seconds) = (below_60()?, below_60()?);
    if parts.next().is_some() {
        return None;
    }
    let millis = match fraction {
        None => 0,
        Some(text) if (1..=9).contains(&text.len()) => {
            let padded = format!("{text:0<3}");
            digits(text, text.len())?;
            padded.get(..3)?.parse().ok()?
        }
        Some(_) => return None,
    };
    Some((hours * 3_600 + minutes * 60 + seconds) * 1_000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_moments() {
        let cases = [
            ("1970-01-01", 0),
            ("2024-02-29", 1_709_164_800_000),
            ("2024-01-05T06:00:00Z", 1_704_434_400_000),
            ("2024-01-05T06:00", 1_704_434_400_000),
            ("2024-01-05T07:30:00.25+01:30", 1_704_434_400_250),
            ("1969-12-31T23:59:59.999Z", -1),
        ];
        for (text, moment) in cases {
            assert_eq!(millis(text), Some(moment), "{text}");
        }
    }

    #[test]
    fn other_strings_are_no_dates() {
        for text in
            ["", "2024", "2024-1-5", "2024-02-30", "2024-13-01", "2024-01-05T", "2024-01-05T24:00", "ä"]
        {
            assert_eq!(millis(text), None, "{text}");
        }
        assert_eq!(millis("2024-01-05 06:00:00"), None);
        assert_eq!(millis("2024-01-05T06:00:00.Z"), None);
    }
}
