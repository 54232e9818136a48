//! Record of the units of a bundle that a part of a check has seen: written by one machine, read and
//! joined by another.
//!
//! A record proves nothing by itself. Whoever joins records must know who wrote them, and must
//! compare the joined one with the manifest by [`Seen::close`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::gate::{Closed, Gate, Tally};
use crate::base::fault::{Description, differs, expects};
use crate::bundle::Error;
use crate::oci::Digest;

/// Value of `format`.
const FORMAT: &str = "packmule.seen.v1";
/// Maximum size of a record in bytes: 500,000 units that are not adjacent.
pub const MAX_FILE: usize = 16 << 20;

/// Units that were checked, and the counts in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    bundle: Digest,
    // First units of the runs, each with the unit after its last.
    runs: BTreeMap<usize, usize>,
    tally: Tally,
}

/// A record as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    blobs: u64,
    bundle: Digest,
    bytes: u64,
    format: String,
    frames: u64,
    members: u64,
    // First and last unit of each run.
    units: Vec<(usize, usize)>,
}

impl Seen {
    /// Returns the record of a check of the bundle with this id that has seen nothing yet.
    pub const fn new(bundle: Digest) -> Self {
        Self { bundle, runs: BTreeMap::new(), tally: Tally { members: 0, blobs: 0, frames: 0, bytes: 0 } }
    }

    /// Adds a unit that holds, with its counts.
    ///
    /// # Errors
    /// [`Closed::Twice`] if it was added before, or the counts do not fit.
    pub fn add(&mut self, unit: usize, found: Tally) -> Result<(), Closed> {
        let twice = Closed::Twice(unit);
        let tally = self.tally.plus(found).ok_or(twice)?;
        self.insert(unit, unit.checked_add(1).ok_or(twice)?)?;
        self.tally = tally;
        Ok(())
    }

    /// Inserts a run of units, and joins it with adjacent ones.
    fn insert(&mut self, mut first: usize, mut end: usize) -> Result<(), Closed> {
        let before = self.runs.range(..end).next_back().map(|(&first, &end)| (first, end));
        if let Some((start, stop)) = before {
            if stop > first {
                return Err(Closed::Twice(first.max(start)));
            }
            if stop == first {
                self.runs.remove(&start);
                first = start;
            }
        }
        if let Some(stop) = self.runs.remove(&end) {
            end = stop;
        }
        self.runs.insert(first, end);
        Ok(())
    }

    /// Adds another part of the same check.
    ///
    /// # Errors
    /// [`Class::Integrity`](crate::base::fault::Class::Integrity) if it is about another bundle, or if
    /// both have seen a unit.
    pub fn join(&mut self, other: &Self) -> Result<(), Error> {
        if other.bundle != self.bundle {
            let what = differs(
                "record",
                format_args!("one of bundle {}", self.bundle),
                format_args!("one of {}", other.bundle),
            );
            return Err(Error::integrity(what).help("join records of one bundle"));
        }
        let mut joined = self.clone();
        let twice =
            |closed: Closed| Error::integrity(format!("record: {closed}")).help("give each part of the check once");
        other.runs.iter().try_for_each(|(&first, &end)| joined.insert(first, end)).map_err(twice)?;
        joined.tally = self
            .tally
            .plus(other.tally)
            .ok_or_else(|| Error::integrity("record: the counts do not fit").help("make the records again"))?;
        *self = joined;
        Ok(())
    }

    /// Lets the bundle pass whose units, with their counts, are `units`, and whose counts are `whole`,
    /// if every unit was seen and the counts agree.
    ///
    /// # Errors
    /// Those of [`Gate::close`].
    pub fn close(&self, whole: Tally, units: &[Tally]) -> Result<Tally, Closed> {
        let gate = Gate::new(whole, units.to_vec());
        for (&first, &end) in &self.runs {
            // A run beyond the last unit is refused at its first unit there.
            for unit in first..end.min(units.len().saturating_add(1)).max(first + 1) {
                gate.pin(unit, units.get(unit).copied().unwrap_or_default());
            }
        }
        let passed = gate.close()?;
        // The gate counted what the manifest lists; the parts counted what they have read.
        if passed == self.tally { Ok(passed) } else { Err(Closed::Incomplete { expected: passed, found: self.tally }) }
    }

    /// Returns the bytes of the record: canonical JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Tally { members, blobs, frames, bytes } = self.tally;
        let units = self.runs.iter().map(|(&first, &end)| (first, end - 1)).collect();
        let format = FORMAT.to_owned();
        let written = Written { blobs, bundle: self.bundle, bytes, format, frames, members, units };
        // Serialising this struct cannot fail: every key is a string and writing goes to memory.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Reads a record. Refuses all bytes that [`Seen::to_bytes`] does not write.
    ///
    /// # Errors
    /// [`Class::Format`](crate::base::fault::Class::Format).
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let wrong = |problem: Description| Error::format(problem.within("record")).help("make it again");
        if bytes.len() > MAX_FILE {
            return Err(wrong(differs("", "at most 16 MiB", "more")));
        }
        let written: Written = serde_json::from_slice(bytes)
            .map_err(|error| wrong(expects("", format_args!("a record of a check: {error}"))))?;
        let Written { blobs, bundle, bytes: count, frames, members, .. } = written;
        let mut seen = Self { tally: Tally { members, blobs, frames, bytes: count }, ..Self::new(bundle) };
        for (first, last) in written.units {
            let end = last
                .checked_add(1)
                .filter(|end| *end > first)
                .ok_or_else(|| wrong("a run ends before it begins".into()))?;
            seen.insert(first, end).map_err(|closed| wrong(closed.to_string().into()))?;
        }
        if seen.to_bytes() == bytes { Ok(seen) } else { Err(wrong(expects("", "it as this version writes it"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fault::Class;

    const UNIT: Tally = Tally { members: 2, blobs: 1, frames: 1, bytes: 1024 };

    fn id(text: &str) -> Digest {
        Digest::sha256(text.as_bytes())
    }

    fn seen(units: &[usize]) -> Seen {
        let mut seen = Seen::new(id("b"));
        units.iter().for_each(|unit| seen.add(*unit, UNIT).unwrap());
        seen
    }

    fn whole(count: usize) -> (Tally, Vec<Tally>) {
        let sum = (0..count).fold(Tally::default(), |sum, _| sum.plus(UNIT).unwrap());
        (sum, vec![UNIT; count])
    }

    #[test]
    fn parts_in_any_order_make_a_whole_check() {
        let (sum, units) = whole(6);
        let mut all = seen(&[4, 1]);
        for part in [seen(&[0, 5]), seen(&[3, 2])] {
            assert!(matches!(all.close(sum, &units), Err(Closed::Incomplete { .. })));
            all.join(&Seen::parse(&part.to_bytes()).unwrap()).unwrap();
        }
        assert_eq!(all.close(sum, &units), Ok(sum));
        assert_eq!(all, seen(&[0, 1, 2, 3, 4, 5]));
        assert_eq!(all.runs.len(), 1, "adjacent runs become one");
    }

    #[test]
    fn a_unit_counts_once_and_only_for_its_bundle() {
        let mut one = seen(&[0, 1, 2, 5]);
        assert_eq!(one.clone().add(1, UNIT), Err(Closed::Twice(1)));
        let before = one.clone();
        for other in [seen(&[2]), seen(&[4, 5]), seen(&[0]), seen(&[3, 1])] {
            assert_eq!(one.join(&other).unwrap_err().class, Class::Integrity);
            assert_eq!(one, before, "nothing of a refused part stays");
        }
        assert_eq!(one.join(&Seen::new(id("c"))).unwrap_err().class, Class::Integrity);
    }

    #[test]
    fn units_and_counts_that_the_manifest_does_not_list_are_refused() {
        let (sum, units) = whole(2);
        assert!(matches!(seen(&[0]).close(sum, &units), Err(Closed::Incomplete { .. })));
        assert_eq!(seen(&[0, 1, 2]).close(sum, &units), Err(Closed::Twice(2)));
        assert_eq!(seen(&[0, 1, 900]).close(sum, &units), Err(Closed::Twice(900)));
        let mut short = seen(&[0]);
        short.add(1, Tally { bytes: 1023, ..UNIT }).unwrap();
        assert!(matches!(short.close(sum, &units), Err(Closed::Incomplete { .. })));
    }

    #[test]
    fn only_what_is_written_is_read() {
        let good = seen(&[0, 1, 7]);
        let bytes = good.to_bytes();
        assert_eq!(Seen::parse(&bytes).unwrap(), good);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(r#""units":[[0,1],[7,7]]"#), "{text}");
        for (from, to) in [
            ("[[0,1],[7,7]]", "[[0,0],[1,1],[7,7]]"),
            ("[[0,1],[7,7]]", "[[7,7],[0,1]]"),
            ("[[0,1],[7,7]]", "[[1,0],[7,7]]"),
            ("[[0,1],[7,7]]", "[[0,1],[1,1],[7,7]]"),
            ("[[0,1],[7,7]]", "[[0,18446744073709551615]]"),
            (FORMAT, "packmule.seen.v2"),
            ("{\"blobs\"", "{ \"blobs\""),
            ("\"units\"", "\"more\":1,\"units\""),
        ] {
            let wrong = text.replace(from, to);
            assert_eq!(Seen::parse(wrong.as_bytes()).unwrap_err().class, Class::Format, "{wrong}");
        }
        assert_eq!(Seen::parse(&vec![b' '; MAX_FILE + 1]).unwrap_err().class, Class::Format);
    }
}
