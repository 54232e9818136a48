//! Moments as the manifest writes them: `YYYY-MM-DDThh:mm:ssZ`, whole seconds, UTC, nothing else.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// From seconds since 1970-01-01T00:00:00Z; `None` outside the years 0000 to 9999.
    pub fn from_unix(seconds: i64) -> Option<Self> {
        let year = jiff::Timestamp::from_second(seconds).ok()?.to_zoned(jiff::tz::TimeZone::UTC).year();
        (0..=9999).contains(&year).then_some(Self(seconds))
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// Reads the one form.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = Self::from_unix(text.parse::<jiff::Timestamp>().ok()?.as_second())?;
        (moment.to_string() == text).then_some(moment)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(timestamp) => f.write_str(&timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            Err(_) => Err(fmt::Error),
        }
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
            "2026-11-21t09:30:00z",
            "2026-11-21T24:00:00Z",
            "",
            "2026-11-21",
        ] {
            assert_eq!(Moment::parse(wrong), None, "{wrong}");
        }
    }
}
