//! Ids of runs: the time of the start and 32 random bits, so that names in the order of their bytes
//! are in the order of time.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::fault::{Class, Fault, differs};
use crate::base::time::Moment;

/// Form of an id; a 0 stands for a decimal digit, an x for a hexadecimal one.
const FORM: &[u8] = b"00000000-000000-xxxxxxxx";

/// Number of characters of the time.
const SECOND: usize = 15;

/// The id of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(String);

impl Id {
    /// Makes the id of a run that starts `now`, above `newest`. If that has the same second or a later
    /// one, the id names the second after it, so that ids are in the order of the starts.
    ///
    /// # Errors
    /// [`Class::Io`] if the system gives no random bytes.
    pub(super) fn after(newest: Option<&Self>, now: Moment) -> Result<Self, Fault> {
        let id = Self::new(now)?;
        let Some(newest) = newest.filter(|newest| newest.0[..SECOND] >= id.0[..SECOND]) else { return Ok(id) };
        let next = newest.second().and_then(|second| Moment::from_unix(second.unix() + 1));
        next.map_or(Ok(id), Self::new)
    }

    /// Returns the second that the id names.
    fn second(&self) -> Option<Moment> {
        let part = |range: std::ops::Range<usize>| self.0.get(range).unwrap_or_default();
        let (day, time) = ([part(0..4), part(4..6), part(6..8)], [part(9..11), part(11..13), part(13..15)]);
        Moment::parse(&format!("{}T{}Z", day.join("-"), time.join(":")))
    }

    fn new(now: Moment) -> Result<Self, Fault> {
        let mut random = [0; 4];
        getrandom::fill(&mut random)
            .map_err(|error| Fault::new(Class::Io, differs("run", "random bytes for its id", error)))?;
        let time: String = now.to_string().chars().filter(char::is_ascii_digit).collect();
        let (day, second) = time.split_at(8);
        Ok(Self(format!("{day}-{second}-{}", crate::oci::digest::encode_hex(&random))))
    }

    /// Parses an id: `YYYYMMDD-hhmmss-` and eight hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |(byte, form): (u8, &u8)| match form {
            b'0' => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            other => byte == *other,
        };
        let is_id = text.len() == FORM.len() && text.bytes().zip(FORM).all(fits);
        is_id.then(|| Self(text.to_owned()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
