//! Points in time as manifests write them: `YYYY-MM-DDThh:mm:ssZ`, whole seconds in UTC, no other
//! form.
//!
//! Covers the Gregorian calendar from year 0000 to the last second of 9999. The arithmetic is done
//! here because libraries end a day or more earlier.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 0000-01-01T00:00:00Z.
const FIRST: i64 = -62_167_219_200;
/// 9999-12-31T23:59:59Z.
const LAST: i64 = 253_402_300_799;
/// Seconds in a day.
const DAY: i64 = 86_400;

/// Parses a span of time such as `35d`, `12h`, `15m` or `90s`, with a number up to 2^32 − 1.
/// Returns its seconds.
pub fn span(text: &str) -> Option<i64> {
    let number = text.strip_suffix(['s', 'm', 'h', 'd'])?;
    let factor = match text.bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3600,
        _ => DAY,
    };
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u32>().ok().filter(|_| is_number).map(|number| i64::from(number) * factor)
}

/// A point in time, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + is_leap(year) as i64,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the days from 0000-01-01 to January 1 of `year`, which must not be negative.
const fn days_before(year: i64) -> i64 {
    // Leap years before this one, including year 0.
    let leap = if year == 0 { 0 } else { (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1 };
    365 * year + leap
}

impl Moment {
    /// Creates a moment from seconds since 1970-01-01T00:00:00Z. Returns `None` outside the years
    /// 0000 to 9999.
    pub fn from_unix(seconds: i64) -> Option<Self> {
        (FIRST..=LAST).contains(&seconds).then_some(Self(seconds))
    }

    /// Creates a moment from seconds since 1970-01-01T00:00:00Z: outside the years 0000 to 9999 the
    /// first or the last one.
    pub fn clamped(seconds: i64) -> Self {
        Self(seconds.clamp(FIRST, LAST))
    }

    /// Returns the seconds since 1970-01-01T00:00:00Z.
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// Parses a date, `YYYY-MM-DD`, as the moment at which that day ends, or a moment as
    /// [`Self::parse`] does.
    pub fn parse_end(text: &str) -> Option<Self> {
        if text.len() == "0000-00-00".len() {
            // The last possible day ends one second after the last moment that can be written.
            return Self::parse(&format!("{text}T00:00:00Z")).map(|day| Self(day.0 + DAY));
        }
        Self::parse(text)
    }

    /// Parses `YYYY-MM-DDThh:mm:ssZ`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let fits = |(byte, pattern): (&u8, &u8)| if *pattern == b'0' { byte.is_ascii_digit() } else { byte == pattern };
        let pattern = b"0000-00-00T00:00:00Z";
        if bytes.len() != pattern.len() || !bytes.iter().zip(pattern).all(fits) {
            return None;
        }
        let number =
            |from: usize, to: usize| bytes[from..to].iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0'));
        let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
        let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
        let is_date = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
        if !is_date || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = days_before(year) + (1..month).map(|before| days_of(year, before)).sum::<i64>() + day - 1;
        Some(Self(FIRST + days * DAY + hour * 3600 + minute * 60 + second))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, seconds) = ((self.0 - FIRST) / DAY, (self.0 - FIRST) % DAY);
        // This estimate is never too large and at most a few years too small.
        let mut year = days / 366;
        while days_before(year + 1) <= days {
            year += 1;
        }
        days -= days_before(year);
        let mut month = 1;
        while days >= days_of(year, month) {
            days -= days_of(year, month);
            month += 1;
        }
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            serde::de::Error::custom(format!("time {shown:?}: expected YYYY-MM-DDThh:mm:ssZ"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_only() {
        let text = "2026-11-21T09:30:00Z";
        assert_eq!(Moment::parse(text).unwrap().to_string(), text);
        assert_eq!(Moment::from_unix(0).unwrap().to_string(), "1970-01-01T00:00:00Z");
        for wrong in [
            "2026-11-21T09:30:00.0Z",
            "2026-11-21T09:30:00+00:00",
            "2026-11-21 09:30:00Z",
            "2026-02-30T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-11-21t09:30:00z",
            "2026-11-21T24:00:00Z",
            "2016-12-31T23:59:60Z",
            "",
            "2026-11-21",
        ] {
            assert_eq!(Moment::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("12h", 43_200), ("35d", 3_024_000), ("0d", 0), ("007s", 7)]
        {
            assert_eq!(span(text), Some(seconds), "{text}");
        }
        assert_eq!(span("4294967295d"), Some(4_294_967_295 * DAY));
        for wrong in ["", "d", "90", "+5d", "-5d", "5 d", "5w", "5D", "4294967296s", "1.5h", "5dd", "٥d"] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_date_ends_with_its_day() {
        let unix = |text: &str| Moment::parse_end(text).map(Moment::unix);
        assert_eq!(unix("2027-01-31"), unix("2027-02-01T00:00:00Z"));
        assert_eq!(unix("2028-02-29"), unix("2028-03-01T00:00:00Z"));
        assert_eq!(unix("9999-12-31"), Some(LAST + 1));
        for wrong in ["2027-02-29", "2027-1-31", "2027-01-31T", "31-01-2027", "2027-01-31T00:00:00+01:00", ""] {
            assert_eq!(unix(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_day_of_ten_thousand_years_is_the_librarys() {
        for seconds in (FIRST..=LAST).step_by(86_400 - 1) {
            let Ok(timestamp) = jiff::Timestamp::from_second(seconds) else { continue };
            let moment = Moment::from_unix(seconds).unwrap();
            let shown = moment.to_string();
            assert_eq!(Moment::parse(&shown), Some(moment), "{shown}");
            // Its formatting is slow; every 50th value is enough.
            if seconds % 50 == 0 {
                assert_eq!(shown, timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
            }
        }
        for (seconds, text) in [(FIRST, "0000-01-01T00:00:00Z"), (LAST, "9999-12-31T23:59:59Z")] {
            assert_eq!(Moment::from_unix(seconds).unwrap().to_string(), text);
            assert_eq!(Moment::parse(text).unwrap().unix(), seconds);
        }
        assert_eq!(Moment::from_unix(FIRST - 1), None);
        assert_eq!(Moment::from_unix(LAST + 1), None);
    }
}
