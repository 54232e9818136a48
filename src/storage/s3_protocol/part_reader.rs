//! Content in parts: their size, and reading them in order.

use std::io::Read as _;

use super::sums;
use crate::content::checked::read_some;
use crate::content::{Error, Kind};
use crate::storage::Upload;

/// Least size of a part in bytes, unless it is the last.
const LEAST: u64 = 8 << 20;
/// Greatest number of parts. Stores allow 10,000.
const MOST: u64 = 9000;
/// Returns the size of the parts of an object. Two runs choose the same one.
pub(super) fn part_size(size: u64) -> u64 {
    size.div_ceil(MOST).max(LEAST)
}

/// Reads the parts of an object in order and passes them to `each`, until it returns `false`. The last part passes only
/// if the whole content is right. Before a part is read, `room` waits for memory of its size, which goes with it.
pub(super) fn read<Room>(
    upload: &Upload<'_>,
    part: u64,
    room: impl Fn(u64) -> Result<Room, Error>,
    mut each: impl FnMut(usize, Vec<u8>, Room) -> bool,
) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::from_io(upload.name, error);
    let wrong = |found: &str| {
        Error::new(Kind::Mismatch, format!("{}: expected {} bytes, found {found}", upload.name, upload.size))
    };
    let mut reader = upload.body.open().map_err(failed)?;
    let mut left = upload.size;
    let mut index = 0;
    loop {
        let length = usize::try_from(left.min(part)).map_err(|_| wrong("more than this machine can hold"))?;
        let held = room(length as u64)?;
        let mut content = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match read_some(&mut reader, &mut content[filled..]).map_err(failed)? {
                0 => return Err(wrong("fewer")),
                count => filled += count,
            }
        }
        left -= length as u64;
        if left == 0 && reader.read(&mut [0]).map_err(failed)? > 0 {
            return Err(wrong("more"));
        }
        if !each(index, content, held) || left == 0 {
            return Ok(());
        }
        index += 1;
    }
}

/// Returns the MD5 of one part of the content; `None` if there is no such part, or the content passes only once.
pub(super) fn content(upload: &Upload<'_>, part: u64, wanted: usize) -> Result<Option<[u8; 16]>, Error> {
    let mut found = None;
    if !upload.body.is_once() {
        read(
            upload,
            part,
            |_| Ok(()),
            |index, content, ()| {
                found = (index == wanted).then(|| sums::md5(&content));
                index < wanted
            },
        )?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t18_objects_of_any_size_have_few_enough_parts() {
        assert_eq!(part_size(0), 8 << 20);
        assert_eq!(part_size(9000 * (8 << 20)), 8 << 20);
        for size in [9000 * (8 << 20) + 1, 5 << 40, u64::MAX / 2] {
            assert!(size.div_ceil(part_size(size)) <= 9000);
        }
    }
}
