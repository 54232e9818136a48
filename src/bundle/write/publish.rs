//! Ends the writing: lets files go to the store as soon as they are whole, reads them back, signs the
//! manifest, and makes a bundle of them (`spec/bundle.md`).
//!
//! Only the store knows where the files go.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::outcome::{Options, Written};
use super::output::Output;
use super::{resume, sent};
use crate::base::fault::{Class, differs};
use crate::bundle::Error;
use crate::bundle::format::manifest::{Form, MAX_MANIFEST, Manifest};
use crate::bundle::format::offsets::Offsets;
use crate::bundle::format::parse::check_ends;
use crate::bundle::volumes::files::fault;
use crate::bundle::volumes::local::open_plain;
use crate::content::Body;
use crate::content::checked::Checked;
use crate::content::store::{Finished, Small, Staged, Whole};
use crate::content::{self, volumes::Volumes};
use crate::flow::Flow;
use crate::oci::{Descriptor, Digest};
use crate::system;

/// Media type of the descriptor that a file is checked against. It is never shown.
const BYTES: &str = "application/octet-stream";

/// A whole file at the path where it was written.
struct Made {
    path: PathBuf,
    size: u64,
    digest: Digest,
    // Record of volumes that were sent, and the volume's number from 1; `None` for other files.
    record: Option<(PathBuf, usize)>,
}

impl Body for Made {
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        let file: File = system::open_file(&self.path)?;
        Ok(Box::new(Checked::new(file, Descriptor::new(BYTES, self.digest, self.size))))
    }
}

impl Staged for Made {
    fn release(&self) -> Result<(), content::Error> {
        if let Some((record, volume)) = &self.record {
            sent::add(record, *volume, self.size, self.digest)?;
        }
        std::fs::remove_file(&self.path).map_err(|error| content::Error::io(self.path.display(), &error))
    }
}

/// Passes the file at `path`, which is whole, to the store of `output` under its final name `name`.
/// `ends` are the ends of its frames. Does nothing for a volume that an earlier run sent.
///
/// # Errors
/// The store's. [`Class::Destination`] for a volume that has other content there than was sent.
pub fn put(
    output: &Output,
    name: &str,
    path: PathBuf,
    (size, digest, ends): (u64, Digest, Vec<u64>),
) -> Result<(), Error> {
    let volume = output.name().volume_number(name);
    let record = volume.map(|volume| (output.sent(), volume));
    if let Some(volume) = volume.filter(|_| !output.is_store() && !path.exists()) {
        let earlier = sent::read(output)?;
        if earlier.get(&volume) == Some(&(size, digest)) {
            return Ok(());
        }
        sent::retain(output, earlier, |other| other < volume)?;
        let what = format!("{name}: expected the content that an earlier run sent, found other content");
        return Err(Error::new(Class::Destination, what).help("run the same export again: it sends this volume again"));
    }
    let body = Arc::new(Made { path, size, digest, record });
    output.store().put(Whole { name: name.to_owned(), size, digest, ends, body }).map_err(fault)
}

/// Returns the length of an unfinished volume, counted from 1, or 0 if it is missing; also if the
/// store has it already. A volume that a killed run had already renamed first gets its unfinished
/// name back.
///
/// # Errors
/// [`Class::Io`]; those of the store.
pub fn unfinished_length(output: &Output, number: usize) -> Result<u64, Error> {
    let path = output.partial_volume(number);
    if !path.exists() {
        if let Some(place) = earlier(output) {
            let Some(&(size, _)) = sent::read(output)?.get(&number) else { return Ok(0) };
            let found = place.size(&output.name().volume(number)).map_err(fault)?;
            return Ok(if found == Some(size) { size } else { 0 });
        }
        resume::undo_renames(output)?;
    }
    Ok(open_plain(&path)?.map_or(0, |(_, size)| size))
}

/// Returns the place of volumes that left the directory.
pub fn earlier(output: &Output) -> Option<Arc<dyn Volumes>> {
    if output.is_store() { None } else { output.store().earlier() }
}

/// Returns whether a volume, counted from 1, left the directory whole, with `size` bytes.
///
/// # Errors
/// [`Class::Io`].
pub fn was_sent(output: &Output, number: usize, size: u64) -> Result<bool, Error> {
    Ok(sent::read(output)?.get(&number).is_some_and(|sent| sent.0 == size))
}

/// Forgets that volumes after the first `count` left the directory: they are written again.
///
/// # Errors
/// [`Class::Io`].
pub fn forget_after(output: &Output, count: usize) -> Result<(), Error> {
    if output.is_store() { Ok(()) } else { sent::retain(output, sent::read(output)?, |volume| volume <= count) }
}

/// Finishes a bundle: all files that `manifest` describes were put. `sums` are those of the frames as
/// they were written; none for form flat.
///
/// # Errors
/// [`Class::Io`], those of read-back and signing, [`Class::Cancelled`] before the first final name.
pub fn finish(
    flow: &Flow,
    output: &Output,
    manifest: Manifest,
    sums: &[u64],
    options: Options<'_>,
) -> Result<Written, Error> {
    let bytes = manifest.to_bytes();
    if check_ends(&bytes).is_err() {
        return Err(Error::new(
            Class::Usage,
            differs("manifest", format_args!("at most {MAX_MANIFEST} bytes"), bytes.len()),
        )
        .help("select fewer artifacts and write several bundles"));
    }
    let own = |error: Error| Error { class: Class::Bug, ..error };
    manifest.check().map_err(own)?;
    let manifest = Arc::new(manifest);
    Offsets::new(&manifest).map_err(own)?;
    let store = output.store();
    let volumes: Vec<String> = (1..=manifest.volumes.len()).map(|number| manifest.name.volume(number)).collect();
    let place = store.settle(&volumes).map_err(fault)?;
    if let Some(read_back) = options.read_back {
        read_back(place, &manifest, sums, flow)?;
    }
    let signatures = (options.sign)(&bytes)?;
    flow.check()?;
    let id = Digest::sha256(&bytes);
    let (mut bundle, files) = finished(&manifest, id, volumes, bytes, signatures);
    store.finish(&bundle).map_err(fault)?;
    resume::clear(output)?;
    let bytes = bundle.small.pop().map(|manifest| manifest.bytes).unwrap_or_default();
    let manifest = Arc::unwrap_or_clone(manifest);
    Ok(Written { id, manifest, bytes, files, left_out: Vec::new() })
}

/// Returns the files of the bundle for the store, and the names of all files, manifest first.
fn finished(
    manifest: &Manifest,
    id: Digest,
    volumes: Vec<String>,
    bytes: Vec<u8>,
    signatures: Vec<u8>,
) -> (Finished, Vec<String>) {
    let name = &manifest.name;
    let mut small = vec![Small { name: name.signatures(), bytes: signatures }];
    let mut files = vec![name.manifest(), name.signatures()];
    let folder = (manifest.form == Form::Flat).then(|| name.flat());
    match &folder {
        Some(folder) => files.push(folder.clone()),
        None => {
            small.push(Small { name: name.checksums(), bytes: manifest.checksums(id).into_bytes() });
            files.push(name.checksums());
        }
    }
    files.extend(volumes.iter().cloned());
    small.push(Small { name: name.manifest(), bytes });
    (Finished { volumes, folder, small }, files)
}
