//! Sets of units, kept as runs of adjacent ones, and without a unit that is there twice.

use std::collections::BTreeMap;

/// A set of units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs(
    // First units of the runs, each with the unit after its last.
    BTreeMap<usize, usize>,
);

impl Runs {
    /// Returns the empty set.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Inserts the units from `first` to before `end`, and joins them with adjacent runs.
    ///
    /// # Errors
    /// A unit that is there already. The set is then unchanged.
    pub fn insert(&mut self, mut first: usize, mut end: usize) -> Result<(), usize> {
        if end <= first {
            return Ok(());
        }
        let before = self.0.range(..end).next_back().map(|(&start, &stop)| (start, stop));
        if let Some((start, stop)) = before {
            if stop > first {
                return Err(first.max(start));
            }
            if stop == first {
                self.0.remove(&start);
                first = start;
            }
        }
        if let Some(stop) = self.0.remove(&end) {
            end = stop;
        }
        self.0.insert(first, end);
        Ok(())
    }

    /// Inserts all units of another set.
    ///
    /// # Errors
    /// A unit that is in both. The set is then unchanged.
    pub fn insert_all(&mut self, other: &Self) -> Result<(), usize> {
        let mut joined = self.clone();
        other.iter().try_for_each(|(first, end)| joined.insert(first, end))?;
        *self = joined;
        Ok(())
    }

    /// Returns the runs in order: the first unit of each, and the unit after its last.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize)> {
        self.0.iter().map(|(&first, &end)| (first, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_in_any_order_become_runs_and_none_is_there_twice() {
        let mut runs = Runs::new();
        for unit in [4, 1, 0, 5, 3] {
            runs.insert(unit, unit + 1).unwrap();
        }
        assert_eq!(runs.iter().collect::<Vec<_>>(), [(0, 2), (3, 6)]);
        for (first, end, twice) in [(0, 1, 0), (1, 3, 1), (2, 9, 3), (5, 6, 5), (0, 9, 3)] {
            let before = runs.clone();
            assert_eq!(runs.insert(first, end), Err(twice), "{first}..{end}");
            assert_eq!(runs, before);
        }
        let mut both = Runs::new();
        both.insert(2, 3).unwrap();
        both.insert(6, 8).unwrap();
        runs.insert_all(&both).unwrap();
        assert_eq!(runs.iter().collect::<Vec<_>>(), [(0, 8)]);
        assert_eq!(runs.insert_all(&both), Err(2));
        runs.insert(9, 9).unwrap();
        assert_eq!(runs.iter().count(), 1);
    }
}
