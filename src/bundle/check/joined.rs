//! Tallies of several shards put together: one check of a whole bundle, which passes through the same
//! gate as one on a single machine.
//!
//! The tallies were read, and someone has vouched for each. Here it is proved that they are of one
//! bundle and one split, and that every unit was seen once.

use std::collections::BTreeMap;

use super::gate::{Closed, Gate, Tally};
use super::runs::Runs;
use super::seen::Seen;
use crate::base::fault::{Class, Fault, differs};
use crate::base::shard::Shard;
use crate::bundle::Error;
use crate::oci::Digest;

/// Maximum number of missing shards that are named.
const NAMED: usize = 100;

/// Tallies of the shards of one check.
#[derive(Clone, Debug)]
pub struct Joined {
    bundle: Digest,
    count: u32,
    // The numbers of the shards, with the name of each one's tally.
    from: BTreeMap<u32, String>,
    units: Runs,
    tally: Tally,
}

impl Joined {
    /// Returns no tallies yet, of a check of the bundle with this id.
    pub const fn new(bundle: Digest) -> Self {
        let tally = Tally { members: 0, blobs: 0, frames: 0, bytes: 0 };
        Self { bundle, count: 0, from: BTreeMap::new(), units: Runs::new(), tally }
    }

    /// Returns the number of shards; 0 before the first tally.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Adds a tally; `name` says which one it is.
    ///
    /// # Errors
    /// [`Class::Integrity`] if it is of another bundle or of another split, if there is one of the same
    /// shard, or if one of its units was counted by another.
    pub fn add(&mut self, name: &str, seen: &Seen) -> Result<(), Error> {
        let shard = seen.shard();
        let refused = |expected: String, found: String, help: &str| {
            Err(Error::integrity(differs(format_args!("tally {name}"), expected, found)).help(help))
        };
        if seen.bundle() != self.bundle {
            let (expected, found) = (format!("one of bundle {}", self.bundle), format!("one of {}", seen.bundle()));
            return refused(expected, found, "join the tallies of one bundle");
        }
        if self.count != 0 && shard.count() != self.count {
            let (expected, found) = (format!("a shard of {}", self.count), format!("shard {shard}"));
            return refused(expected, found, "join the shards of one split: all with the same N");
        }
        if let Some(other) = self.from.get(&shard.index()) {
            let (expected, found) = ("each shard once".to_owned(), format!("shard {shard} again, as in {other}"));
            return refused(expected, found, "give each tally once");
        }
        let mut units = self.units.clone();
        if let Err(twice) = units.insert_all(seen.units()) {
            let found = format!("unit {twice}, which another shard has counted");
            return refused("units of its own".to_owned(), found, "run its shard again");
        }
        let Some(tally) = self.tally.plus(seen.tally()) else {
            return refused("counts that fit".to_owned(), "others".to_owned(), "run its shard again");
        };
        (self.units, self.tally, self.count) = (units, tally, shard.count());
        self.from.insert(shard.index(), name.to_owned());
        Ok(())
    }

    /// Returns a fault for each shard without a tally.
    fn missing(&self) -> Vec<Fault> {
        let mut all = (1..=self.count).filter(|index| !self.from.contains_key(index));
        let fault = |index: u32| {
            let shard = Shard::new(index, self.count).map_or_else(String::new, |shard| shard.to_string());
            Fault::new(Class::Integrity, differs(format_args!("shard {shard}"), "its tally", "none"))
                .help("run this shard, and join again")
        };
        let mut faults: Vec<Fault> = all.by_ref().take(NAMED).map(fault).collect();
        let more = all.count();
        if more > 0 {
            faults.push(Fault::new(Class::Integrity, format!("{more} more shards have no tally")));
        }
        faults
    }

    /// Lets the bundle pass whose units, with their counts, are `units`, and whose counts are `whole`, if
    /// there is a tally of every shard, every unit was seen once, and the counts agree.
    ///
    /// # Errors
    /// Every missing shard; else the reason of the gate.
    pub fn close(&self, whole: Tally, units: &[Tally]) -> Result<Tally, Vec<Fault>> {
        let missing = self.missing();
        if !missing.is_empty() {
            return Err(missing);
        }
        let closed = |closed: Closed| {
            let help = "run all shards again with one version of packmule";
            vec![Fault::new(Class::Integrity, closed.to_string()).help(help)]
        };
        let gate = Gate::new(whole, units.to_vec());
        for (first, end) in self.units.iter() {
            // A run beyond the last unit is refused at its first unit there.
            for unit in first..end.min(units.len().saturating_add(1)).max(first + 1) {
                gate.pin(unit, units.get(unit).copied().unwrap_or_default());
            }
        }
        let passed = gate.close().map_err(closed)?;
        // The gate counted what the manifest lists; the shards counted what they have read.
        if passed == self.tally {
            Ok(passed)
        } else {
            Err(closed(Closed::Incomplete { expected: passed, found: self.tally }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Moment;

    const UNIT: Tally = Tally { members: 2, blobs: 1, frames: 1, bytes: 1024 };

    fn id(text: &str) -> Digest {
        Digest::sha256(text.as_bytes())
    }

    fn seen(shard: &str, units: &[usize]) -> Seen {
        let mut seen = Seen::new(id("b"), Shard::parse(shard).unwrap(), Moment::from_unix(0).unwrap());
        units.iter().for_each(|unit| assert!(seen.add(*unit, UNIT)));
        Seen::parse(&seen.to_bytes()).unwrap()
    }

    fn whole(count: usize) -> (Tally, Vec<Tally>) {
        let sum = (0..count).fold(Tally::default(), |sum, _| sum.plus(UNIT).unwrap());
        (sum, vec![UNIT; count])
    }

    fn joined(parts: &[Seen]) -> Joined {
        let mut joined = Joined::new(id("b"));
        parts.iter().enumerate().for_each(|(number, part)| joined.add(&format!("t{number}"), part).unwrap());
        joined
    }

    fn told(ended: Result<Tally, Vec<Fault>>) -> String {
        ended.unwrap_err().iter().map(|fault| fault.what.clone()).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn parts_in_any_order_make_a_whole_check() {
        let (sum, units) = whole(6);
        let parts = [seen("3/3", &[4, 5]), seen("1/3", &[0, 1]), seen("2/3", &[2, 3])];
        for given in 0..3 {
            let told = told(joined(&parts[..given]).close(sum, &units));
            assert!(told.contains(if given == 0 { "final gate" } else { "expected its tally, found none" }), "{told}");
        }
        assert_eq!(joined(&parts).close(sum, &units), Ok(sum));
        // More shards than units.
        let parts = [seen("1/2", &[0, 1, 2, 3, 4, 5]), seen("2/2", &[])];
        assert_eq!(joined(&parts).close(sum, &units), Ok(sum));
    }

    #[test]
    fn each_tally_that_does_not_belong_has_its_own_message() {
        let mut one = joined(&[seen("1/3", &[0, 1])]);
        let other = Seen::new(id("c"), Shard::parse("2/3").unwrap(), Moment::from_unix(0).unwrap());
        let strange = Seen::parse(&other.to_bytes()).unwrap();
        for (part, said) in [
            (strange, "expected one of bundle"),
            (seen("2/4", &[2]), "expected a shard of 3, found shard 2/4"),
            (seen("1/3", &[2]), "expected each shard once, found shard 1/3 again, as in t0"),
            (seen("2/3", &[1, 2]), "found unit 1, which another shard has counted"),
        ] {
            let error = one.add("x", &part).unwrap_err();
            assert!(error.class == Class::Integrity && error.what.contains(said), "{error}");
        }
        assert!(
            one.missing()
                .iter()
                .map(|fault| &*fault.what)
                .eq(["shard 2/3: expected its tally, found none", "shard 3/3: expected its tally, found none"])
        );
        // Nothing of a refused one stays.
        one.add("y", &seen("2/3", &[2, 3])).unwrap();
        one.add("z", &seen("3/3", &[4, 5])).unwrap();
        let (sum, units) = whole(6);
        assert_eq!(one.close(sum, &units), Ok(sum));
        let many = joined(&[seen("1/100000", &[])]).missing();
        assert_eq!(many.len(), NAMED + 1);
        assert!(many[NAMED].what.starts_with("99899 more"), "{}", many[NAMED].what);
    }

    #[test]
    fn units_and_counts_that_the_manifest_does_not_list_are_refused() {
        let (sum, units) = whole(2);
        for found in [&[0][..], &[0, 1, 2], &[0, 1, 900]] {
            assert!(told(joined(&[seen("1/1", found)]).close(sum, &units)).contains("final gate"), "{found:?}");
        }
        let mut short = Seen::new(id("b"), Shard::parse("1/1").unwrap(), Moment::from_unix(0).unwrap());
        assert!(short.add(0, UNIT) && short.add(1, Tally { bytes: 1023, ..UNIT }));
        assert!(told(joined(&[short]).close(sum, &units)).contains("final gate"));
    }
}
