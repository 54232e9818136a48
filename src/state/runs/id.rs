//! Ids of runs: the time of the start and 32 bits, so that names in the order of their bytes are in
//! the order of time. The bits are random; of several runs in one second they grow.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::fault::{Class, Fault, differs};
use crate::base::time::Moment;

/// Form of an id; a 0 stands for a decimal digit, an x for a hexadecimal one.
const FORM: &[u8] = b"00000000-000000-xxxxxxxx";

/// Largest distance of two ids of one second.
const STEP: u32 = 1 << 16;

/// The id of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(String);

impl Id {
    /// Makes the id of a run that starts `now`: after `newest`, if that started in this second.
    ///
    /// # Errors
    /// [`Class::Io`] if the system gives no random bytes.
    pub(super) fn new(now: Moment, newest: Option<&Self>) -> Result<Self, Fault> {
        let mut random = [0; 4];
        getrandom::fill(&mut random)
            .map_err(|error| Fault::new(Class::Io, differs("run", "random bytes for its id", error)))?;
        let time: String = now.to_string().chars().filter(char::is_ascii_digit).collect();
        let (day, second) = time.split_at(8);
        let start = format!("{day}-{second}-");
        let before = newest.and_then(|newest| u32::from_str_radix(newest.0.strip_prefix(&start)?, 16).ok());
        let random = u32::from_be_bytes(random);
        let bits = match before {
            Some(before) => before.saturating_add(1 + random % STEP),
            // There is room for the others of this second.
            None => random / 2,
        };
        Ok(Self(format!("{start}{bits:08x}")))
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
