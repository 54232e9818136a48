//! A tar archive as a stream, made of a list of files while it is read.
//!
//! Every header states the same owner (0), the epoch as its time, and one of two modes.

use std::io::{self, Cursor, Read};

use tar::{EntryType, Header};

use super::stamp::{Stamped, Unchanged};
use crate::content::Error;
use crate::content::checked::read_some;

/// Size of a block.
const BLOCK: usize = 512;
/// Longest name in a header; a longer one has a member of its own before it.
const SHORT: usize = 100;

/// One member.
pub(super) struct Item {
    /// Name, with slashes.
    pub name: String,
    /// Kind, with its content.
    pub kind: ItemKind,
}

/// Kind of a member.
pub(super) enum ItemKind {
    /// A directory.
    Directory,
    /// A symbolic link with its target.
    Link(String),
    /// A file.
    File {
        /// The file.
        file: Stamped,
        /// Whether it is a program.
        is_executable: bool,
    },
}

impl Item {
    /// Returns the size of its content, in bytes.
    pub(super) const fn size(&self) -> u64 {
        match &self.kind {
            ItemKind::File { file, .. } => file.size(),
            _ => 0,
        }
    }

    /// Returns its headers.
    fn headers(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut header = Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(self.size());
        let mut name = self.name.clone();
        match &self.kind {
            ItemKind::Directory => {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(0o755);
                name.push('/');
            }
            ItemKind::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_mode(0o777);
                field(&mut header, target, EntryType::GNULongLink, &mut bytes)?;
            }
            ItemKind::File { is_executable, .. } => {
                header.set_entry_type(EntryType::Regular);
                header.set_mode(if *is_executable { 0o755 } else { 0o644 });
            }
        }
        field(&mut header, &name, EntryType::GNULongName, &mut bytes)?;
        header.set_cksum();
        bytes.extend(header.as_bytes());
        Ok(bytes)
    }
}

/// Sets the name of a header or the target of its link. A long text gets a member before it.
fn field(header: &mut Header, text: &str, kind: EntryType, before: &mut Vec<u8>) -> io::Result<()> {
    let bytes = text.as_bytes();
    if bytes.len() > SHORT {
        let mut long = Header::new_gnu();
        long.set_entry_type(kind);
        long.set_uid(0);
        long.set_gid(0);
        long.set_mtime(0);
        long.set_mode(0o644);
        // With the zero byte at its end.
        long.set_size(bytes.len() as u64 + 1);
        set(&mut long, b"././@LongLink", EntryType::GNULongName)?;
        long.set_cksum();
        before.extend(long.as_bytes());
        before.extend(bytes);
        before.push(0);
        before.resize(before.len().next_multiple_of(BLOCK), 0);
    }
    set(header, &bytes[..bytes.len().min(SHORT)], kind)
}

/// Writes a text into its field as it is: [`Header::set_path`] changes some names.
fn set(header: &mut Header, text: &[u8], kind: EntryType) -> io::Result<()> {
    let old = header.as_old_mut();
    let field = if kind == EntryType::GNULongLink { &mut old.linkname } else { &mut old.name };
    let place = field.get_mut(..text.len()).ok_or_else(|| io::Error::other("a name that does not fit its field"))?;
    place.copy_from_slice(text);
    Ok(())
}

/// Reads the archive of a list of members.
pub(super) struct TarStream<'a> {
    items: std::slice::Iter<'a, Item>,
    now: Part<'a>,
}

/// The part that is read now, and what follows it.
enum Part<'a> {
    /// Headers, followed by the content of a file.
    Headers(Cursor<Vec<u8>>, Option<&'a Stamped>),
    /// Content, followed by padding of a size.
    Content(Unchanged<'a>, u64),
    /// Padding.
    Padding(io::Take<io::Repeat>),
    /// The two blocks at the end.
    End(io::Take<io::Repeat>),
}

impl<'a> TarStream<'a> {
    /// Creates a stream.
    pub(super) fn new(items: &'a [Item]) -> Self {
        Self { items: items.iter(), now: Part::Padding(zeros(0)) }
    }

    /// Returns the part after one that was read to its end; `None` at the end of everything.
    fn next(&mut self) -> io::Result<Option<Part<'a>>> {
        match self.now {
            Part::Headers(_, Some(file)) if file.size() > 0 => {
                let padding = file.size().next_multiple_of(BLOCK as u64) - file.size();
                return Ok(Some(Part::Content(file.open(0).map_err(Error::into_io)?, padding)));
            }
            Part::Content(_, padding) => return Ok(Some(Part::Padding(zeros(padding)))),
            Part::Headers(..) | Part::Padding(_) => {}
            Part::End(_) => return Ok(None),
        }
        let Some(item) = self.items.next() else { return Ok(Some(Part::End(zeros(2 * BLOCK as u64)))) };
        let file = if let ItemKind::File { file, .. } = &item.kind { Some(file) } else { None };
        Ok(Some(Part::Headers(Cursor::new(item.headers()?), file)))
    }
}

impl Read for TarStream<'_> {
    /// Fills the whole buffer except at the end, so that a compressor always gets the same pieces.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = &mut buffer[filled..];
            let count = match &mut self.now {
                Part::Headers(bytes, _) => bytes.read(rest)?,
                Part::Content(file, _) => read_some(file, rest)?,
                Part::Padding(zeros) | Part::End(zeros) => zeros.read(rest)?,
            };
            filled += count;
            if count == 0 {
                match self.next()? {
                    Some(part) => self.now = part,
                    None => break,
                }
            }
        }
        Ok(filled)
    }
}

fn zeros(count: u64) -> io::Take<io::Repeat> {
    io::repeat(0).take(count)
}
