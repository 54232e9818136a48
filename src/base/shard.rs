//! One of several parts of a run that is split over machines, and which items of a list it has.
//!
//! All parts split the same list in the same way, so that every item is in exactly one of them. A part
//! is one run of the list: what lies together is read by one machine.

use std::fmt;
use std::ops::Range;

/// Maximum number of parts.
pub const MOST: u32 = 100_000;

/// Part `index` of `count`, counted from 1. Shown as `2/4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// Returns a part; `None` if `index` is not one of 1 to `count`, or `count` is above [`MOST`].
    pub const fn new(index: u32, count: u32) -> Option<Self> {
        if index >= 1 && index <= count && count <= MOST { Some(Self { index, count }) } else { None }
    }

    /// Parses `I/N`, as it is shown: decimal digits without zeros in front.
    pub fn parse(text: &str) -> Option<Self> {
        let (index, count) = text.split_once('/')?;
        Self::new(index.parse().ok()?, count.parse().ok()?).filter(|shard| shard.to_string() == text)
    }

    /// Returns its number, counted from 1.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Returns the number of parts.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Returns the items that this part has of a list whose items take `lengths` bytes.
    ///
    /// An item belongs to the part in whose share of the bytes its middle lies. So a part has at most
    /// its share and the length of the longest item.
    pub fn of(self, lengths: &[u64]) -> Range<usize> {
        let total: u128 = lengths.iter().copied().map(u128::from).sum();
        let (own, parts) = (u128::from(self.index - 1), u128::from(self.count));
        let mut start = 0_u128;
        let mut range = 0..0;
        for (item, length) in lengths.iter().copied().map(u128::from).enumerate() {
            // Everything is doubled, so that the middle of an item is a whole number.
            let middle = 2 * start + length;
            let part = (middle * parts).checked_div(2 * total).unwrap_or_default().min(parts - 1);
            if part < own {
                range.start = item + 1;
            }
            if part <= own {
                range.end = item + 1;
            }
            start += length;
        }
        range.start..range.end.max(range.start)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Vec<Vec<u64>> {
        let mut state = 7_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let mut lists = vec![vec![], vec![0], vec![0, 0, 0], vec![1], vec![5, 0, 0, 5], vec![1, 1, 8], vec![9, 1, 1]];
        lists.push(vec![u64::MAX; 40]);
        for count in [2, 3, 17, 100] {
            lists.push((0..count).map(|_| random() % 1000).collect());
            lists.push((0..count).map(|_| if random() % 10 == 0 { random() } else { random() % 100 }).collect());
        }
        lists
    }

    #[test]
    fn every_item_is_in_one_part_and_the_parts_are_in_order() {
        for list in lists() {
            for count in (1..=12).chain([u32::try_from(list.len()).unwrap() + 1, 1000]) {
                let mut end = 0;
                for index in 1..=count {
                    let own = Shard::new(index, count).unwrap().of(&list);
                    assert!(own.is_empty() || own.start == end, "{index}/{count} of {list:?}: {own:?} after {end}");
                    end = end.max(own.end);
                }
                assert_eq!(end, list.len(), "{count} of {list:?}");
            }
        }
    }

    #[test]
    fn parts_are_balanced_by_bytes_and_not_by_number() {
        for list in lists() {
            let total: u128 = list.iter().copied().map(u128::from).sum();
            let longest = list.iter().copied().max().map_or(0, u128::from);
            for count in [1, 2, 3, 5, 8] {
                for index in 1..=count {
                    let own = Shard::new(index, count).unwrap().of(&list);
                    let bytes: u128 = list[own].iter().copied().map(u128::from).sum();
                    assert!(bytes <= total / u128::from(count) + longest + 1, "{index}/{count} of {list:?}");
                }
            }
        }
        let of = |index, list: &[u64]| Shard::new(index, 2).unwrap().of(list);
        assert_eq!((of(1, &[1, 1, 8]), of(2, &[1, 1, 8])), (0..2, 2..3));
        assert_eq!((of(1, &[9, 1, 1]), of(2, &[9, 1, 1])), (0..1, 1..3));
        assert_eq!((of(1, &[2, 2, 2, 2]), of(2, &[2, 2, 2, 2])), (0..2, 2..4));
    }

    #[test]
    fn only_what_is_shown_is_parsed() {
        assert_eq!(Shard::parse("2/4").map(|shard| (shard.index(), shard.count())), Some((2, 4)));
        assert_eq!(Shard::parse("100000/100000").unwrap().to_string(), "100000/100000");
        for wrong in ["", "1", "0/4", "5/4", "1/0", "1/100001", "+1/4", "01/4", "1/04", " 1/4", "1/4/4", "-1/4", "1/x"]
        {
            assert_eq!(Shard::parse(wrong), None, "{wrong}");
        }
    }
}
