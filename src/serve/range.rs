//! Parses `Range` and selects the bytes to send (RFC 9110, section 14).
//!
//! A header of another form, in another unit, with more than [`MOST`] ranges or with ranges that
//! overlap is ignored, and the content is sent whole, as the RFC allows and advises.

use std::ops::Range;

/// Maximum number of ranges in one answer.
pub(super) const MOST: usize = 16;

/// The part of the content that a client asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// These ranges, at least one, in the order asked for. None is empty.
    Ranges(Vec<Range<u64>>),
    /// None of the ranges is within the content (416).
    Unsatisfiable,
}

/// Returns the part of `size` bytes that the value of a `Range` header asks for.
pub(super) fn part(value: &str, size: u64) -> Part {
    let Some(set) = unit(value) else { return Part::Whole };
    let mut ranges = Vec::new();
    for (count, one) in set.split(',').map(str::trim).filter(|one| !one.is_empty()).enumerate() {
        if count == MOST {
            return Part::Whole;
        }
        match spec(one, size) {
            None => return Part::Whole,
            Some(range) if range.is_empty() => {}
            Some(range) => ranges.push(range),
        }
    }
    if ranges.is_empty() {
        // A set without any member is not a range.
        return if set.chars().any(|c| c.is_ascii_digit()) { Part::Unsatisfiable } else { Part::Whole };
    }
    let mut sorted = ranges.clone();
    sorted.sort_by_key(|range| range.start);
    if sorted.windows(2).any(|pair| pair[1].start < pair[0].end) {
        return Part::Whole;
    }
    Part::Ranges(ranges)
}

fn unit(value: &str) -> Option<&str> {
    let (unit, set) = value.split_once('=')?;
    unit.trim().eq_ignore_ascii_case("bytes").then_some(set)
}

/// Parses `FIRST-LAST`, `FIRST-` or `-LENGTH`. Returns an empty range if it is outside of the
/// content, `None` if it is not a range.
fn spec(text: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = text.split_once('-')?;
    // Numbers too large to represent are beyond any content.
    let number = |text: &str| {
        let text = text.trim();
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().unwrap_or(u64::MAX))
    };
    if first.trim().is_empty() {
        let length: u64 = number(last)?;
        return Some(size - length.min(size)..size);
    }
    let first: u64 = number(first)?;
    let end: u64 = if last.trim().is_empty() { size } else { number(last)?.saturating_add(1) };
    if !last.trim().is_empty() && end <= first {
        return None;
    }
    Some(if first < size { first..end.min(size) } else { 0..0 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges(list: &[(u64, u64)]) -> Part {
        Part::Ranges(list.iter().map(|(from, to)| *from..*to).collect())
    }

    #[test]
    fn ranges_of_a_blob() {
        assert_eq!(part("bytes=0-0", 10), ranges(&[(0, 1)]));
        assert_eq!(part("bytes=2-4", 10), ranges(&[(2, 5)]));
        assert_eq!(part("bytes=2-", 10), ranges(&[(2, 10)]));
        assert_eq!(part("bytes=-3", 10), ranges(&[(7, 10)]));
        assert_eq!(part("bytes=-30", 10), ranges(&[(0, 10)]));
        assert_eq!(part("bytes=5-99", 10), ranges(&[(5, 10)]));
        assert_eq!(part("bytes=0-1, 8-", 10), ranges(&[(0, 2), (8, 10)]));
        assert_eq!(part("bytes=8-9,0-1,99-", 10), ranges(&[(8, 10), (0, 2)]), "in the order asked for");
        assert_eq!(part("BYTES = 1-1", 10), ranges(&[(1, 2)]));
        assert_eq!(part("bytes=0-18446744073709551615", 10), ranges(&[(0, 10)]));
    }

    #[test]
    fn ranges_outside_are_unsatisfiable() {
        for (value, size) in [
            ("bytes=10-", 10),
            ("bytes=10-12", 10),
            ("bytes=-0", 10),
            ("bytes=0-", 0),
            ("bytes=-5", 0),
            ("bytes=99999999999999999999999-", 10),
            ("bytes=10-,20-30", 10),
        ] {
            assert_eq!(part(value, size), Part::Unsatisfiable, "{value} {size}");
        }
    }

    #[test]
    fn other_forms_and_overlaps_are_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=a-b",
            "bytes=4-2",
            "bytes=1",
            "bytes=--1",
            "bytes=0x1-2",
            "items=0-1",
            "bytes=0-5,5-9",
            "bytes=0-,0-",
            "bytes=1-2,x",
            "bytes=+1-2",
            "bytes=0-1,-10",
        ] {
            assert_eq!(part(value, 10), Part::Whole, "{value}");
        }
        let many = |count: u64| (0..count).map(|n| format!("{}-{}", 2 * n, 2 * n)).collect::<Vec<_>>().join(",");
        assert_eq!(part(&format!("bytes={}", many(17)), 100), Part::Whole);
        assert!(matches!(part(&format!("bytes={}", many(16)), 100), Part::Ranges(found) if found.len() == 16));
    }

    proptest! {
        #[test]
        fn what_is_selected_is_within_the_content(value in "bytes=([0-9]{0,3}-[0-9]{0,3},?){0,4}", size in 0_u64..1000) {
            if let Part::Ranges(found) = part(&value, size) {
                prop_assert!(found.iter().all(|range| range.start < range.end && range.end <= size));
            }
        }
    }
}
