//! The members of a tar archive in a file: names, links, and where content lies.
//!
//! Reads headers only. No name is followed and nothing is written. Refuses what tar readers
//! interpret differently, and names that lead out of the archive. Memory is bounded by
//! [`MAX_MEMBERS`], [`MAX_NAMES`] and [`MAX_EXTRA`].

use std::fs::File;

use tar::{EntryType, Header, PaxExtensions};

use super::name;
use super::refusal::{Refusal, shown};
use crate::system;

/// Size of a block.
const BLOCK: usize = 512;
/// Maximum number of members. One image has a few per layer.
pub(super) const MAX_MEMBERS: usize = 1 << 18;
/// Maximum number of bytes in all names.
const MAX_NAMES: usize = 64 << 20;
/// Maximum size in bytes of an extended header or a long name.
const MAX_EXTRA: u64 = 1 << 16;

/// Content of a file in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Extent {
    /// Offset in bytes.
    pub at: u64,
    /// Size in bytes.
    pub size: u64,
}

/// A member that is not a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// A regular file.
    File(Extent),
    /// A symbolic link with its target as written, relative to the folder of its name.
    Symlink(String),
    /// A hard link with the name of its target.
    Link(String),
}

/// Members that apply to the next one.
#[derive(Default)]
struct Before {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    extended: Option<Extended>,
}

/// Statements of an extended header.
#[derive(Default)]
struct Extended {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

/// An archive while it is read.
struct Walk<'a> {
    file: &'a File,
    length: u64,
    at: u64,
    members: usize,
    names: usize,
}

/// Passes every member that is not a directory to `each`, with its clean name, in order. Checks that
/// only zeros follow the end.
///
/// # Errors
/// [`Refusal`].
pub(super) fn walk(
    file: &File,
    length: u64,
    each: &mut dyn FnMut(String, Member) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut walk = Walk { file, length, at: 0, members: 0, names: 0 };
    let mut before = Before::default();
    loop {
        // An archive may end after a member, as tar and Go's reader accept.
        if walk.at == length && walk.members > 0 && before.is_empty() {
            return Ok(());
        }
        let block = walk.block()?;
        if block.iter().all(|byte| *byte == 0) {
            if !before.is_empty() {
                return Err(Refusal::new("expected a member after an extended header, found the end"));
            }
            return walk.end();
        }
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(&block);
        if header.cksum().ok() != Some(checksum(&block)) {
            let at = walk.at - BLOCK as u64;
            return Err(Refusal::new(format!("expected a tar header at byte {at}, found one with a wrong checksum")));
        }
        let size = header.entry_size().map_err(|_| Refusal::new("expected a size in each header, found no number"))?;
        match header.entry_type() {
            EntryType::GNULongName if before.name.is_none() => before.name = Some(walk.extra(size)?),
            EntryType::GNULongLink if before.link.is_none() => before.link = Some(walk.extra(size)?),
            EntryType::XHeader if before.extended.is_none() => before.extended = Some(extended(&walk.extra(size)?)?),
            EntryType::XGlobalHeader => {
                let said = extended(&walk.extra(size)?)?;
                if said.name.is_some() || said.link.is_some() || said.size.is_some() {
                    return Err(Refusal::new("expected no global header that applies to all members, found one"));
                }
            }
            EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader => {
                return Err(Refusal::new("expected one extended header for a member, found two of one kind"));
            }
            _ => {
                if let Some((name, member)) = walk.member(&header, size, std::mem::take(&mut before))? {
                    each(name, member)?;
                }
            }
        }
    }
}

impl Before {
    const fn is_empty(&self) -> bool {
        self.name.is_none() && self.link.is_none() && self.extended.is_none()
    }
}

impl Walk<'_> {
    fn truncated(&self) -> Refusal {
        Refusal::new(format!("expected more after byte {}, found the end: it is truncated", self.length))
    }

    fn block(&mut self) -> Result<[u8; BLOCK], Refusal> {
        let mut block = [0; BLOCK];
        if self.length - self.at < BLOCK as u64 {
            return Err(self.truncated());
        }
        system::read_exact_at(self.file, &mut block, self.at)?;
        self.at += BLOCK as u64;
        Ok(block)
    }

    /// Passes over content and its padding. Returns where the content lies.
    fn content(&mut self, size: u64) -> Result<Extent, Refusal> {
        let extent = Extent { at: self.at, size };
        let end = size.checked_next_multiple_of(BLOCK as u64).and_then(|whole| self.at.checked_add(whole));
        match end {
            Some(end) if end <= self.length => self.at = end,
            _ => return Err(self.truncated()),
        }
        Ok(extent)
    }

    /// Reads the content of a member that describes the next one.
    fn extra(&mut self, size: u64) -> Result<Vec<u8>, Refusal> {
        self.count(0)?;
        if size > MAX_EXTRA {
            let what = format!("expected a name or extended header of at most {MAX_EXTRA} bytes, found {size}");
            return Err(Refusal::new(what));
        }
        let extent = self.content(size)?;
        #[allow(clippy::cast_possible_truncation, reason = "at most MAX_EXTRA")]
        let mut content = vec![0; size as usize];
        system::read_exact_at(self.file, &mut content, extent.at)?;
        Ok(content)
    }

    fn count(&mut self, name: usize) -> Result<(), Refusal> {
        self.members += 1;
        self.names += name;
        if self.members > MAX_MEMBERS || self.names > MAX_NAMES {
            let what = format!(
                "expected at most {MAX_MEMBERS} members and {MAX_NAMES} bytes of names, found more (limits exceeded)"
            );
            return Err(Refusal::new(what));
        }
        Ok(())
    }

    /// Reads one member after its header. Returns `None` for a directory.
    fn member(&mut self, header: &Header, size: u64, before: Before) -> Result<Option<(String, Member)>, Refusal> {
        let said = before.extended.unwrap_or_default();
        let size = said.size.unwrap_or(size);
        let raw = said.name.or(before.name).unwrap_or_else(|| header.path_bytes().into_owned());
        self.count(raw.len())?;
        let raw = text(raw)?;
        let kind = header.entry_type();
        // In the oldest format a trailing slash marks a directory.
        let is_directory = kind == EntryType::Directory || (header.as_bytes()[156] == 0 && raw.ends_with('/'));
        if is_directory {
            empty(&raw, size)?;
            // The folder of everything has no name.
            if !matches!(&*raw, "." | "./" | "/") {
                name::clean(&raw)?;
            }
            return Ok(None);
        }
        let name = name::clean(&raw)?;
        let target =
            || text(said.link.or(before.link).or_else(|| header.link_name_bytes().map(Into::into)).unwrap_or_default());
        let member = match kind {
            EntryType::Regular | EntryType::Continuous => Member::File(self.content(size)?),
            EntryType::Symlink => {
                empty(&raw, size)?;
                Member::Symlink(target()?)
            }
            EntryType::Link => {
                empty(&raw, size)?;
                Member::Link(target()?)
            }
            EntryType::GNUSparse => {
                return Err(Refusal::new(format!("member {}: expected a whole file, found a sparse one", shown(&raw))));
            }
            other => {
                let what = format!(
                    "member {}: expected a file, directory or link, found type {:#04x}",
                    shown(&raw),
                    other.as_byte()
                );
                return Err(Refusal::new(what));
            }
        };
        Ok(Some((name, member)))
    }

    /// Reads the rest after the first zero block, which must be zeros.
    fn end(&mut self) -> Result<(), Refusal> {
        let mut buffer = vec![0; 64 << 10];
        while self.at < self.length {
            let count = usize::try_from(self.length - self.at).map_or(buffer.len(), |left| left.min(buffer.len()));
            system::read_exact_at(self.file, &mut buffer[..count], self.at)?;
            if buffer[..count].iter().any(|byte| *byte != 0) {
                return Err(Refusal::new("expected nothing after the archive's end, found more"));
            }
            self.at += count as u64;
        }
        Ok(())
    }
}

/// Refuses content of a member that has none for other readers.
fn empty(raw: &str, size: u64) -> Result<(), Refusal> {
    if size == 0 {
        return Ok(());
    }
    Err(Refusal::new(format!("member {}: expected no content, found {size} bytes", shown(raw))))
}

/// Returns a name as text. Docker's own names are hex digits and dots.
fn text(bytes: Vec<u8>) -> Result<String, Refusal> {
    let text = String::from_utf8(bytes).map_err(|error| {
        Refusal::new(format!("member {}: expected UTF-8", shown(&String::from_utf8_lossy(error.as_bytes()))))
    })?;
    let text = text.trim_end_matches('\0');
    if text.contains('\0') {
        return Err(Refusal::new(format!("member {}: expected a name without a zero byte", shown(text))));
    }
    Ok(text.to_owned())
}

/// Reads an extended header.
fn extended(content: &[u8]) -> Result<Extended, Refusal> {
    let bad = || Refusal::new("expected an extended header of LENGTH KEY=VALUE, found something else");
    let mut said = Extended::default();
    for record in PaxExtensions::new(content) {
        let record = record.map_err(|_| bad())?;
        let place = match record.key_bytes() {
            b"path" => &mut said.name,
            b"linkpath" => &mut said.link,
            b"size" => {
                let size = record.value().ok().and_then(|text| text.parse().ok()).ok_or_else(bad)?;
                if said.size.replace(size).is_some() {
                    return Err(bad());
                }
                continue;
            }
            key if key.starts_with(b"GNU.sparse.") => {
                return Err(Refusal::new("expected whole files, found a sparse one"));
            }
            _ => continue,
        };
        if place.replace(record.value_bytes().to_vec()).is_some() {
            return Err(bad());
        }
    }
    Ok(said)
}

/// Returns the sum of a header's bytes, with the checksum field counted as blanks.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..])
}
