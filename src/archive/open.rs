//! Opens the file of an archive. One that is compressed is unpacked once into a file without a name
//! in a folder for temporary files, so that its members can be read in any order with little memory.

use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::Path;

use super::refusal::Refusal;
use super::unpack::{Limited, Packing, limit};
use crate::base::fault::{Class, Fault};
use crate::flow::{Event, Flow};
use crate::system;

/// Bytes that are unpacked at a time.
const CHUNK: usize = 256 << 10;

/// Opens the archive at `path`, which `name` names in messages. Returns a file with the plain
/// archive and its length.
///
/// # Errors
/// [`Class::Source`] if there is no file, [`Class::Io`] if it cannot be read or `temporary` has no
/// room, [`Class::Format`] if it cannot be unpacked; [`Class::Cancelled`].
pub(super) fn open(flow: &Flow, name: &str, path: &Path, temporary: &Path) -> Result<(File, u64), Fault> {
    let mut file = system::open_followed(path).map_err(|unopened| {
        let class = if unopened.found == system::Found::Refusal { Class::Io } else { Class::Source };
        Fault::new(class, format!("{name}: {}", unopened.error)).help("name a file that docker or podman saved")
    })?;
    let io = |error: std::io::Error| Refusal::from(error).at(name);
    let length = file.metadata().map_err(io)?.len();
    let mut first = Vec::new();
    Read::by_ref(&mut file).take(6).read_to_end(&mut first).map_err(io)?;
    file.rewind().map_err(io)?;
    let packing = Packing::of(&first).map_err(|found| {
        Refusal::new(format!("expected a tar archive, plain or packed by gzip or zstd, found {found}")).at(name)
    })?;
    if packing == Packing::None {
        return Ok((file, length));
    }
    let no_room = |error: std::io::Error| {
        Fault::new(Class::Io, format!("{name}: {}: {error}", temporary.display()))
            .help("name a folder with room for the unpacked archive in TMPDIR, or unpack the archive first")
    };
    let mut plain = tempfile::tempfile_in(temporary).map_err(no_room)?;
    flow.event(Event::Stage { name: "unpacking", bytes: length, items: 0 });
    let counted = Counted { inner: file, flow };
    let bad = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Refusal::new("expected more, found the end: it is truncated").at(name),
        // Of the system, not of the decoder.
        _ if error.raw_os_error().is_some() => io(error),
        _ => Refusal::new(format!("expected an archive that can be unpacked, found: {error}")).at(name),
    };
    let reader = packing.reader(BufReader::with_capacity(CHUNK, counted)).map_err(bad)?;
    let mut reader = Limited::new(reader, limit(length));
    let (mut buffer, mut written) = (vec![0; CHUNK], 0);
    loop {
        flow.check()?;
        let count = reader.read(&mut buffer).map_err(bad)?;
        if count == 0 {
            return Ok((plain, written));
        }
        plain.write_all(&buffer[..count]).map_err(no_room)?;
        written += count as u64;
    }
}

/// Reports what is read.
struct Counted<'a> {
    inner: File,
    flow: &'a Flow,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.flow.event(Event::Bytes(count as u64));
        Ok(count)
    }
}
