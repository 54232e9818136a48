//! A bundle as a stream: a tar of signature file, manifest and volumes, read once and in order, or
//! written (`spec/bundle.md`, stream).
//!
//! Name and size are taken from the first two headers, which must equal the headers made from them;
//! all later headers are made from the manifest. Only these two fields are parsed, and no size is
//! used before it was compared with its limit.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::format::manifest::{MAX_MANIFEST, Manifest};
use super::format::parse::check_ends;
use super::format::tar::{header, padded};
use super::frames::one_pass::Feed;
use super::open::trusted::Trusted;
use super::open::untrusted::Untrusted;
use super::volumes::files::Files;
use super::{Error, Name};
use crate::base::fault::{Class, Description, differs, expects};
use crate::flow::{Event, Flow};
use crate::signing::envelope::MAX_FILE;

/// Size of a header in bytes.
const HEADER: usize = 512;
/// Zeros for a block, or for the two blocks at the end.
static ZEROS: [u8; 2 * HEADER] = [0; 2 * HEADER];
/// Maximum number of bytes read or written at once.
const STEP: usize = 1 << 20;

/// Source of a stream's bytes.
pub type Bytes = Box<dyn Read + Send>;

/// A stream whose signature file and manifest were read.
pub struct Stream {
    /// Signature file and manifest, not authenticated yet.
    pub head: Untrusted,
    /// Bytes after the manifest.
    pub rest: Bytes,
}

fn not_a_bundle(what: impl Into<Description>) -> Error {
    Error::format(what.into().within("not a bundle"))
        .help("give DIR/NAME, or a stream as `packmule cat` writes it: it begins with NAME.sig.json")
}

/// Returns the zeros that follow `size` bytes.
fn padding(size: u64) -> &'static [u8] {
    // No truncation: less than a block.
    &ZEROS[..usize::try_from(padded(size) - size).unwrap_or_default()]
}

fn misformed(file: &str, problem: impl Into<Description>) -> Error {
    Error::format(problem.into().within(format_args!("stream, {file}"))).help("take the stream again from its source")
}

/// Fills `buffer` and returns the number of bytes read, which is smaller only at the end. Calls
/// `look` before each read, also while no data comes, to check whether the bytes are still wanted.
fn fill(
    read: &mut dyn Read,
    buffer: &mut [u8],
    look: &dyn Fn() -> Result<(), Error>,
    failed: &dyn Fn(&io::Error) -> Error,
) -> Result<usize, Error> {
    let mut filled = 0;
    while filled < buffer.len() {
        look()?;
        // Small enough that `look` is called often.
        let end = buffer.len().min(filled + STEP);
        match read.read(&mut buffer[filled..end]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(filled)
}

fn broken(error: &io::Error) -> Error {
    Error::io("stream", error).help("read it again from its source")
}

/// Returns the size in a header, in octal digits. A base-256 size is above every limit here.
fn stated_size(header: &[u8; HEADER]) -> Option<u64> {
    let digits = std::str::from_utf8(&header[124..135]).ok()?;
    let is_octal = digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    is_octal.then(|| u64::from_str_radix(digits, 8).ok()).flatten()
}

/// Reads one of the first two members. Returns what `name` makes of its name field, and its
/// content.
fn first_member<T>(
    read: &mut dyn Read,
    look: &dyn Fn() -> Result<(), Error>,
    limit: u64,
    name: impl Fn(&str) -> Option<(T, String)>,
) -> Result<(T, Vec<u8>), Error> {
    let mut found = [0; HEADER];
    match fill(read, &mut found, look, &broken)? {
        0 => return Err(not_a_bundle("it is empty or ends early")),
        HEADER => {}
        _ => return Err(not_a_bundle("it ends within its first headers")),
    }
    let field = found[..100].split(|byte| *byte == 0).next().unwrap_or_default();
    let (own, file) = std::str::from_utf8(field)
        .ok()
        .and_then(name)
        .ok_or_else(|| not_a_bundle("it begins with neither a manifest nor the headers of a stream"))?;
    let size = stated_size(&found).filter(|size| (1..=limit).contains(size)).ok_or_else(|| {
        misformed(&file, differs("", format_args!("1 to {limit} bytes"), "another size in its header"))
    })?;
    if found != header(file.as_bytes(), size, b'0') {
        return Err(misformed(&file, "header differs from the one made of its name and size"));
    }
    // Grows as data comes: the size in the header is only the limit.
    let mut content = Vec::new();
    let whole = padded(size);
    while (content.len() as u64) < whole {
        let from = content.len();
        content.resize(usize::try_from(whole).map_or(from + STEP, |whole| whole.min(from + STEP)), 0);
        let wanted = content.len() - from;
        let count = fill(read, &mut content[from..], look, &broken)?;
        content.truncate(from + count);
        if count < wanted {
            break;
        }
    }
    if content.len() as u64 != whole {
        let found = (content.len() as u64).min(size);
        return Err(misformed(&file, format!("truncated at {found} of {size} bytes")));
    }
    // No truncation: at most 64 MiB.
    let size = usize::try_from(size).unwrap_or_default();
    if content[size..].iter().any(|byte| *byte != 0) {
        return Err(misformed(&file, "padding differs from zero"));
    }
    content.truncate(size);
    Ok((own, content))
}

/// Reads the signature file and the manifest; checks only their sizes and how the manifest begins
/// and ends. If `read` has no data for now ([`io::ErrorKind::WouldBlock`]), tries again unless the
/// run was cancelled; [`Members`] does so too.
///
/// # Errors
/// [`Class::Format`], [`Class::Io`], [`Class::Cancelled`].
pub fn open(mut read: Bytes, flow: &Flow) -> Result<Stream, Error> {
    let look = || Ok(flow.check()?);
    let (name, signatures) = first_member(&mut read, &look, MAX_FILE as u64, |file| {
        let name = Name::new(file.strip_suffix(".sig.json")?).ok()?;
        let file = name.signatures();
        Some((name, file))
    })?;
    let ((), manifest) =
        first_member(&mut read, &look, MAX_MANIFEST, |file| (file == name.manifest()).then(|| ((), name.manifest())))?;
    check_ends(&manifest)?;
    Ok(Stream { head: Untrusted::of_stream(name, manifest, signatures), rest: read })
}

/// Volumes of a stream as a feed of frames.
pub struct Members<'a> {
    bundle: &'a Trusted,
    read: Bytes,
    flow: Flow,
    stop: Arc<AtomicBool>,
    // Number of zero bytes before the next header.
    padding: usize,
}

impl<'a> Members<'a> {
    /// Returns the volumes that follow the manifest of `bundle` in the same stream.
    pub fn new(bundle: &'a Trusted, read: Bytes, flow: Flow) -> Self {
        Self { bundle, read, flow, stop: Arc::default(), padding: 0 }
    }

    /// Like [`fill`], as long as the bytes are wanted.
    fn fill(&mut self, buffer: &mut [u8], failed: &dyn Fn(&io::Error) -> Error) -> Result<usize, Error> {
        let (flow, stop) = (&self.flow, &self.stop);
        let look = || {
            flow.check()?;
            if stop.load(Ordering::Relaxed) { Err(Error::new(Class::Cancelled, "stopped")) } else { Ok(()) }
        };
        fill(&mut self.read, buffer, &look, failed)
    }

    fn exactly(&mut self, buffer: &mut [u8], place: impl Fn() -> String) -> Result<(), Error> {
        let failed = |error: &io::Error| Error::io(place(), error).help("read the stream again from its source");
        let count = self.fill(buffer, &failed)?;
        if count < buffer.len() {
            return Err(Error::integrity(format!("{}: the stream is truncated after {count} bytes", place()))
                .help("take the stream again from its source: it ended early"));
        }
        Ok(())
    }

    /// Reads the padding after a volume and the next header.
    fn between(&mut self, volume: usize, faults: &mut Vec<Error>) -> Result<(), Error> {
        let (name, size) =
            (self.bundle.manifest().name.volume(volume + 1), self.bundle.manifest().volumes[volume].size);
        self.pad(faults)?;
        let mut found = [0; HEADER];
        self.exactly(&mut found, || format!("stream, header of {name}"))?;
        if found != header(name.as_bytes(), size, b'0') {
            faults.push(Error::integrity(format!("stream, {name}: header differs from the computed one")));
        }
        self.padding = usize::try_from(padded(size) - size).unwrap_or_default();
        Ok(())
    }

    fn pad(&mut self, faults: &mut Vec<Error>) -> Result<(), Error> {
        let mut padding = ZEROS;
        let padding = &mut padding[..std::mem::take(&mut self.padding)];
        self.exactly(padding, || "stream, padding of a volume".to_owned())?;
        if padding.iter().any(|byte| *byte != 0) {
            faults.push(Error::integrity("stream: padding after a volume differs from zero"));
        }
        Ok(())
    }

    fn trailer(&mut self, faults: &mut Vec<Error>) -> Result<bool, Error> {
        self.pad(faults)?;
        let mut blocks = ZEROS;
        self.exactly(&mut blocks, || "stream, its end".to_owned())?;
        if blocks.iter().any(|byte| *byte != 0) {
            faults.push(Error::integrity("stream: its end differs from two zero blocks"));
        }
        Ok(self.fill(&mut [0], &broken)? > 0)
    }
}

impl Feed for Members<'_> {
    fn watch(&mut self, stop: Arc<AtomicBool>) {
        self.stop = stop;
    }

    fn frame(&mut self, index: usize, buffer: &mut [u8], faults: &mut Vec<Error>) -> Result<(), Error> {
        let bundle = self.bundle;
        let place = bundle.offsets().place(index);
        if place.offset == 0 {
            self.between(place.volume, faults)?;
        }
        let name = bundle.manifest().name.volume(place.volume + 1);
        self.exactly(buffer, || format!("stream, volume {name}, offset {}, frame {}", place.offset, index + 1))
    }

    fn end(&mut self, faults: &mut Vec<Error>) -> bool {
        self.trailer(faults).unwrap_or_else(|error| {
            faults.push(error);
            false
        })
    }
}

/// Writes a bundle in a directory as a stream. Checks only the sizes of its files, which the
/// headers state.
///
/// # Errors
/// [`Class::Signature`] without a signature file; [`Class::Format`]; [`Class::Integrity`] for a
/// volume that is missing or has another size; [`Class::Io`] when reading or writing fails.
pub fn write(bundle: &Untrusted, flow: &Flow, out: &mut dyn Write) -> Result<(), Error> {
    let (manifest, volumes) = of_volumes(bundle)?;
    bundle.envelope()?;
    let total = manifest.volumes.iter().map(|volume| volume.size).sum();
    flow.event(Event::Stage { name: "writing", bytes: total, items: manifest.volumes.len() as u64 });
    let name = &manifest.name;
    let signatures = bundle.signature_bytes().unwrap_or_default();
    for (file, bytes) in [(name.signatures(), signatures), (name.manifest(), bundle.manifest_bytes())] {
        let size = bytes.len() as u64;
        put(out, &header(file.as_bytes(), size, b'0'))?;
        put(out, bytes)?;
        put(out, padding(size))?;
    }
    for (index, volume) in manifest.volumes.iter().enumerate() {
        put(out, &header(name.volume(index + 1).as_bytes(), volume.size, b'0'))?;
        copy(volumes, index, 0..volume.size, flow, out)?;
        put(out, padding(volume.size))?;
    }
    put(out, &ZEROS)?;
    out.flush().map_err(|error| unwritten(&error))
}

/// Writes the bytes of `frames`, numbered from 1 as in messages, one after another and nothing
/// else. They repair a copy in which they are damaged.
///
/// # Errors
/// Those of [`write()`]; [`Class::Usage`] for a number that no frame has.
pub fn write_frames(bundle: &Untrusted, frames: &[usize], flow: &Flow, out: &mut dyn Write) -> Result<(), Error> {
    let (manifest, volumes) = of_volumes(bundle)?;
    let offsets = super::format::offsets::Offsets::new(&Arc::new(manifest))?;
    let mut wanted = Vec::with_capacity(frames.len());
    for number in frames {
        let place = number.checked_sub(1).filter(|index| *index < offsets.frames()).ok_or_else(|| {
            Error::new(
                Class::Usage,
                expects(format_args!("--frames {number}"), format_args!("1 to {}", offsets.frames())),
            )
        })?;
        wanted.push(offsets.place(place));
    }
    for place in wanted {
        copy(volumes, place.volume, place.offset..place.offset + place.size, flow, out)?;
    }
    out.flush().map_err(|error| unwritten(&error))
}

fn of_volumes(bundle: &Untrusted) -> Result<(Manifest, &Files), Error> {
    let manifest = bundle.claimed()?;
    if manifest.volumes.is_empty() {
        return Err(Error::new(Class::Usage, "bundle: form flat has no stream").help("pack its files with tar"));
    }
    let volumes = bundle.volumes();
    for (index, volume) in manifest.volumes.iter().enumerate() {
        let found = volumes.size(index)?;
        if found != Some(volume.size) {
            let found = found.map_or_else(|| "none".to_owned(), |size| format!("{size} bytes"));
            let file = volumes.file_name(index);
            return Err(Error::integrity(differs(
                format_args!("volume {file}"),
                format_args!("{} bytes", volume.size),
                found,
            )));
        }
    }
    Ok((manifest, volumes))
}

fn copy(
    volumes: &Files,
    volume: usize,
    span: std::ops::Range<u64>,
    flow: &Flow,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let mut buffer = vec![0; STEP];
    let mut at = span.start;
    while at < span.end {
        flow.check()?;
        let count = usize::try_from(span.end - at).map_or(STEP, |left| left.min(STEP));
        volumes.read_exact(volume, at, &mut buffer[..count])?;
        put(out, &buffer[..count])?;
        flow.event(Event::Bytes(count as u64));
        at += count as u64;
    }
    Ok(())
}

fn put(out: &mut dyn Write, bytes: &[u8]) -> Result<(), Error> {
    out.write_all(bytes).map_err(|error| unwritten(&error))
}

fn unwritten(error: &io::Error) -> Error {
    Error::io("standard output", error).help("check why its reader ended, and write the stream again")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Returns the given results, one per read.
    struct Steps(Vec<io::Result<&'static [u8]>>);

    impl Read for Steps {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            assert!(!buffer.is_empty(), "nothing is wanted");
            let bytes = self.0.remove(0)?;
            buffer[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }
    }

    #[test]
    fn a_pause_is_no_end_and_a_fault_is_none_either() {
        let looks = Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            Ok(())
        };
        let fill = |steps: Vec<io::Result<&'static [u8]>>| {
            let (mut steps, mut buffer) = (Steps(steps), [0; 5]);
            fill(&mut steps, &mut buffer, &look, &broken).map(|count| buffer[..count].to_vec())
        };
        let pause = |kind: io::ErrorKind| Err(io::Error::from(kind));
        let paused = fill(vec![
            Ok(b"ab"),
            pause(io::ErrorKind::WouldBlock),
            Ok(b"c"),
            pause(io::ErrorKind::Interrupted),
            Ok(b"de"),
        ]);
        assert_eq!(paused.unwrap(), b"abcde");
        assert_eq!(looks.get(), 5, "before each reading");
        assert_eq!(fill(vec![Ok(b"ab"), Ok(b""), Ok(b"c")]).unwrap(), b"ab");
        assert_eq!(fill(vec![Ok(b"ab"), pause(io::ErrorKind::BrokenPipe), Ok(b"cde")]).unwrap_err().class, Class::Io);
    }

    #[test]
    fn b4_first_members_of_any_length_up_to_their_limit() {
        const MOST: usize = 2 * STEP + 3;
        let member = |size: usize| {
            let mut bytes = header(b"n", size as u64, b'0').to_vec();
            bytes.resize(HEADER + size, 7);
            bytes.resize(HEADER + usize::try_from(padded(size as u64)).unwrap(), 0);
            bytes
        };
        let read = |bytes: &[u8]| {
            let name = |name: &str| (name == "n").then(|| ((), name.to_owned()));
            first_member(&mut &bytes[..], &|| Ok(()), MOST as u64, name).map(|((), content)| content)
        };
        for size in [1, 511, 512, 513, STEP - 512, STEP - 1, STEP, STEP + 1, STEP + 513, 2 * STEP, MOST] {
            let bytes = member(size);
            assert_eq!(read(&bytes).unwrap(), vec![7; size], "{size}");
            let last = read(&bytes[..bytes.len() - 1]).unwrap_err();
            assert!(last.what.contains("truncated at"), "{size}: {last}");
        }
        for size in [0, MOST + 1, MOST + 512] {
            assert!(read(&member(size)).unwrap_err().what.contains("found another size"), "{size}");
        }
        let mut dirty = member(5);
        dirty[HEADER + 5] = 1;
        assert!(read(&dirty).unwrap_err().what.contains("padding differs"));
    }
}
