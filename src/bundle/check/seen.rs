//! The tally of one shard of a check: which units of a bundle it has seen. Written by one machine, read
//! by another, where [`super::joined`] puts all of them together.
//!
//! A tally proves nothing by itself. Whoever joins tallies must know who wrote them.

use serde::{Deserialize, Serialize};

use super::gate::Tally;
use super::runs::Runs;
use crate::base::fault::{Description, differs, expects};
use crate::base::shard::Shard;
use crate::base::time::Moment;
use crate::bundle::Error;
use crate::oci::Digest;

/// Value of `format`.
const FORMAT: &str = "packmule.tally.v1";
/// `mediaType` in the statement about a tally.
pub const MEDIA_TYPE: &str = "application/vnd.packmule.tally.v1+json";
/// Start of every tally. No other output of packmule starts like this.
pub const BEGINS: &[u8] = b"{\"blobs\":";
/// Maximum size of a tally in bytes. A shard has one run of units, and so needs far less.
pub const MAX_FILE: usize = 1 << 20;

/// Units of a bundle that a shard has checked, and the counts in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    bundle: Digest,
    shard: Shard,
    ended: Moment,
    units: Runs,
    tally: Tally,
}

/// A tally as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    blobs: u64,
    bundle: Digest,
    bytes: u64,
    ended: Moment,
    format: String,
    frames: u64,
    members: u64,
    shard: String,
    // First and last unit of each run.
    units: Vec<(usize, usize)>,
}

impl Seen {
    /// Returns the tally of a shard that has checked nothing yet. `ended` is the time of its end.
    pub const fn new(bundle: Digest, shard: Shard, ended: Moment) -> Self {
        let tally = Tally { members: 0, blobs: 0, frames: 0, bytes: 0 };
        Self { bundle, shard, ended, units: Runs::new(), tally }
    }

    /// Adds a unit that holds, with its counts. Returns whether it was not there, and the counts fit.
    #[must_use]
    pub fn add(&mut self, unit: usize, found: Tally) -> bool {
        let (Some(tally), Some(end)) = (self.tally.plus(found), unit.checked_add(1)) else { return false };
        let is_new = self.units.insert(unit, end).is_ok();
        if is_new {
            self.tally = tally;
        }
        is_new
    }

    /// Returns the bundle's id.
    pub const fn bundle(&self) -> Digest {
        self.bundle
    }

    /// Returns the shard.
    pub const fn shard(&self) -> Shard {
        self.shard
    }

    /// Returns when the check ended, by the clock of its machine.
    pub const fn ended(&self) -> Moment {
        self.ended
    }

    /// Returns the units.
    pub const fn units(&self) -> &Runs {
        &self.units
    }

    /// Returns the counts.
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Returns the bytes of the tally: canonical JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Tally { members, blobs, frames, bytes } = self.tally;
        let written = Written {
            blobs,
            bundle: self.bundle,
            bytes,
            ended: self.ended,
            format: FORMAT.to_owned(),
            frames,
            members,
            shard: self.shard.to_string(),
            units: self.units.iter().map(|(first, end)| (first, end - 1)).collect(),
        };
        // Serialising this struct cannot fail: every key is a string and writing goes to memory.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Reads a tally. Refuses all bytes that [`Seen::to_bytes`] does not write.
    ///
    /// # Errors
    /// [`Class::Format`](crate::base::fault::Class::Format).
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let wrong = |problem: Description| Error::format(problem).help("run its shard again");
        if bytes.is_empty() {
            return Err(wrong(differs("", "a tally", "an empty file: its shard has not ended, or was refused")));
        }
        if bytes.len() > MAX_FILE {
            return Err(wrong(differs("", "at most 1 MiB", "more")));
        }
        let written: Written =
            serde_json::from_slice(bytes).map_err(|error| wrong(expects("", format_args!("a tally: {error}"))))?;
        let Written { blobs, bundle, bytes: count, ended, frames, members, .. } = written;
        let shard = Shard::parse(&written.shard)
            .ok_or_else(|| wrong(differs("shard", "I/N", format_args!("{:?}", written.shard))))?;
        let tally = Tally { members, blobs, frames, bytes: count };
        let mut seen = Self { tally, ..Self::new(bundle, shard, ended) };
        for (first, last) in written.units {
            let run = last.checked_add(1).filter(|end| *end > first);
            run.and_then(|end| seen.units.insert(first, end).ok())
                .ok_or_else(|| wrong(differs("units", "runs of units, each unit once", "others")))?;
        }
        if seen.to_bytes() == bytes { Ok(seen) } else { Err(wrong(expects("", "it as this version writes it"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fault::Class;

    const UNIT: Tally = Tally { members: 2, blobs: 1, frames: 1, bytes: 1024 };

    fn seen(units: &[usize]) -> Seen {
        let ended = Moment::from_unix(1_767_225_600).unwrap();
        let mut seen = Seen::new(Digest::sha256(b"b"), Shard::new(2, 4).unwrap(), ended);
        units.iter().for_each(|unit| assert!(seen.add(*unit, UNIT)));
        seen
    }

    #[test]
    fn a_unit_is_added_once() {
        let mut one = seen(&[0, 1, 2, 5]);
        let before = one.clone();
        assert!(!one.add(1, UNIT) && !one.add(6, Tally { bytes: u64::MAX, ..UNIT }));
        assert_eq!(one, before);
        assert_eq!(one.tally(), Tally { members: 8, blobs: 4, frames: 4, bytes: 4096 });
    }

    #[test]
    fn only_what_is_written_is_read() {
        let good = seen(&[0, 1, 7]);
        let bytes = good.to_bytes();
        assert!(bytes.starts_with(BEGINS));
        assert_eq!(Seen::parse(&bytes).unwrap(), good);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.ends_with(r#""members":6,"shard":"2/4","units":[[0,1],[7,7]]}"#), "{text}");
        for (from, to) in [
            ("[[0,1],[7,7]]", "[[0,0],[1,1],[7,7]]"),
            ("[[0,1],[7,7]]", "[[7,7],[0,1]]"),
            ("[[0,1],[7,7]]", "[[1,0],[7,7]]"),
            ("[[0,1],[7,7]]", "[[0,1],[1,1],[7,7]]"),
            ("[[0,1],[7,7]]", "[[0,18446744073709551615]]"),
            ("2/4", "5/4"),
            ("2/4", "02/4"),
            (FORMAT, "packmule.tally.v2"),
            ("{\"blobs\"", "{ \"blobs\""),
            ("\"units\"", "\"more\":1,\"units\""),
        ] {
            let wrong = text.replace(from, to);
            assert_ne!(wrong, text);
            assert_eq!(Seen::parse(wrong.as_bytes()).unwrap_err().class, Class::Format, "{wrong}");
        }
        for end in 0..text.len() {
            assert_eq!(Seen::parse(&text.as_bytes()[..end]).unwrap_err().class, Class::Format, "cut at {end}");
        }
        assert_eq!(Seen::parse(&vec![b' '; MAX_FILE + 1]).unwrap_err().class, Class::Format);
    }
}
