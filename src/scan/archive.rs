//! The tar archive of a layer, read once from start to end. Only names and the content of regular
//! files are used.
//!
//! Programs that unpack the layer later must see the same files, so everything that tar readers
//! interpret differently is refused: sparse files, content after members that have none, unknown
//! types, several extended headers, data after the end. Any name is accepted, because no name is
//! followed. Memory is bounded by [`EXTRA`].

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::records;
use crate::flow::Cancelled;

const BLOCK: usize = 512;
/// Maximum size in bytes of an extended header or a long name.
const EXTRA: u64 = 1 << 20;
/// Maximum number of characters kept of a name.
const NAME: usize = 4096;

/// Reason why not all files were passed on.
#[derive(Debug)]
pub(super) enum Wrong {
    /// The archive is invalid. Holds the description for a message.
    Archive(String),
    /// It is no archive: its first bytes are not those of one for any program that unpacks layers.
    /// No file was passed on.
    NoArchive,
    /// The run was cancelled.
    Cancelled,
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::Archive(match error.kind() {
            io::ErrorKind::UnexpectedEof => "one that is truncated".to_owned(),
            _ => error.to_string(),
        })
    }
}

impl From<Cancelled> for Wrong {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// Receives the path and content of one regular file. Unread content is skipped.
pub(super) type File<'a> = dyn FnMut(&str, &mut dyn Read) -> Result<(), Cancelled> + 'a;

/// Names and sizes from headers before a member that apply to it.
#[derive(Default)]
struct Before {
    name: Option<Vec<u8>>,
    link: bool,
    extended: Option<records::Said>,
}

/// Reads an archive to its end and checks that only zeros follow. The archive may also end after a
/// complete member, as programs that unpack it allow.
///
/// # Errors
/// [`Wrong`].
pub(super) fn walk(reader: &mut dyn Read, file: &mut File<'_>) -> Result<u64, Wrong> {
    let mut before = Before::default();
    let mut files = 0;
    let mut next = Some(first_block(reader)?);
    loop {
        let Some(block) = next.take().map_or_else(|| block(reader), |first| Ok(Some(first)))? else {
            let is_whole = before.is_empty();
            return if is_whole { Ok(files) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) };
        };
        if block.iter().all(|&byte| byte == 0) {
            if !before.is_empty() {
                return Err(wrong("an extended header without its member"));
            }
            end(reader)?;
            return Ok(files);
        }
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(&block);
        if header.cksum().ok() != Some(checksum(&block)) {
            return Err(wrong("a header that is not a tar header (its checksum)"));
        }
        let size = header.entry_size().map_err(|_| wrong("a size that is not a number"))?;
        let kind = header.entry_type();
        match kind {
            EntryType::GNULongName if before.name.is_none() => before.name = Some(extra(reader, size)?),
            EntryType::GNULongLink if !before.link => {
                extra(reader, size)?;
                before.link = true;
            }
            EntryType::XHeader if before.extended.is_none() => {
                before.extended = Some(records::read(&extra(reader, size)?).map_err(wrong)?);
            }
            EntryType::XGlobalHeader => {
                let said = records::read(&extra(reader, size)?).map_err(wrong)?;
                if said.size.is_some() || said.path.is_some() {
                    return Err(wrong("a global header that applies to all members"));
                }
            }
            EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader => {
                return Err(wrong("two extended headers of one kind for one member"));
            }
            _ => files += u64::from(member(reader, &header, size, std::mem::take(&mut before), file)?),
        }
    }
}

/// Reads one member after its header. Returns whether it is a regular file.
fn member(
    reader: &mut dyn Read,
    header: &Header,
    size: u64,
    before: Before,
    file: &mut File<'_>,
) -> Result<bool, Wrong> {
    let said = before.extended.unwrap_or_default();
    let size = said.size.unwrap_or(size);
    let name = said.path.or(before.name).unwrap_or_else(|| header.path_bytes().into_owned());
    let name: String = String::from_utf8_lossy(&name).trim_end_matches('\0').chars().take(NAME).collect();
    let kind = header.entry_type();
    // In the oldest format a trailing slash marks a directory.
    let is_old_directory = header.as_bytes()[156] == 0 && name.ends_with('/');
    match kind {
        EntryType::Regular | EntryType::Continuous if !is_old_directory => {
            let mut content = reader.take(size);
            file(&name, &mut content)?;
            io::copy(&mut content, &mut io::sink())?;
            if content.limit() > 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            skip(reader, size.next_multiple_of(BLOCK as u64) - size)?;
            Ok(true)
        }
        EntryType::Regular
        | EntryType::Directory
        | EntryType::Link
        | EntryType::Symlink
        | EntryType::Char
        | EntryType::Block
        | EntryType::Fifo => {
            if size == 0 {
                Ok(false)
            } else {
                Err(wrong(&format!("content after {name}, which has none")))
            }
        }
        EntryType::GNUSparse => Err(wrong(&format!("a sparse file, {name}"))),
        other => Err(wrong(&format!("{name} of an unknown type, {:#04x}", other.as_byte()))),
    }
}

impl Before {
    const fn is_empty(&self) -> bool {
        self.name.is_none() && !self.link && self.extended.is_none()
    }
}

fn wrong(what: &str) -> Wrong {
    Wrong::Archive(what.to_owned())
}

/// Reads the next block. Returns `None` at the end.
fn block(reader: &mut dyn Read) -> io::Result<Option<[u8; BLOCK]>> {
    match fill(reader)? {
        (_, 0) => Ok(None),
        (block, BLOCK) => Ok(Some(block)),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Reads the first block.
///
/// # Errors
/// [`Wrong::NoArchive`] if no program would read it as the start of an archive.
fn first_block(reader: &mut dyn Read) -> Result<[u8; BLOCK], Wrong> {
    match fill(reader)? {
        (block, BLOCK) if block.iter().all(|&byte| byte == 0) || looks_like_header(&block) => Ok(block),
        _ => Err(Wrong::NoArchive),
    }
}

/// Reads one block, or what is left before the end. Returns it with its length.
fn fill(reader: &mut dyn Read) -> io::Result<([u8; BLOCK], usize)> {
    let mut block = [0; BLOCK];
    let mut at = 0;
    while at < BLOCK {
        match reader.read(&mut block[at..]) {
            Ok(0) => break,
            Ok(count) => at += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok((block, at))
}

/// Whether any program might read the block as a header: it has the magic, or a checksum that is
/// correct in any of the ways in which programs count and write it.
fn looks_like_header(block: &[u8; BLOCK]) -> bool {
    let field = String::from_utf8_lossy(&block[148..156]).into_owned();
    let digits: String = field.trim_start_matches([' ', '\0']).chars().take_while(|c| c.is_digit(8)).collect();
    let Ok(stated) = i64::from_str_radix(&digits, 8) else { return &block[257..262] == b"ustar" };
    let signed = |bytes: &[u8]| bytes.iter().map(|&byte| i64::from(byte.cast_signed())).sum::<i64>();
    let signed = signed(&block[..148]) + 8 * i64::from(b' ') + signed(&block[156..]);
    &block[257..262] == b"ustar" || stated == i64::from(checksum(block)) || stated == signed
}

/// Reads the content of a member that describes the next one.
fn extra(reader: &mut dyn Read, size: u64) -> Result<Vec<u8>, Wrong> {
    if size > EXTRA {
        return Err(wrong(&format!("a name or extended header of {size} bytes (limits exceeded)")));
    }
    let mut content = Vec::new();
    reader.take(size).read_to_end(&mut content)?;
    if content.len() as u64 != size {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    skip(reader, size.next_multiple_of(BLOCK as u64) - size)?;
    Ok(content)
}

fn skip(reader: &mut dyn Read, count: u64) -> Result<(), Wrong> {
    if io::copy(&mut reader.take(count), &mut io::sink())? == count {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }
}

/// Reads the rest after the first zero block and checks that it is all zeros.
fn end(reader: &mut dyn Read) -> Result<(), Wrong> {
    let mut buffer = [0; 8192];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) if buffer[..count].iter().all(|&byte| byte == 0) => {}
            Ok(_) => return Err(wrong("data after the archive's end")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns the sum of a header's bytes, with the checksum field counted as blanks.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..])
}
