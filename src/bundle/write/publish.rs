//! Ends the writing: makes volumes durable and reads them back, then gives everything its final
//! name, the manifest last (`spec/bundle.md`).

use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Advice, fadvise};

use super::outcome::{Options, Written};
use super::output::{Output, write_error};
use super::resume;
use crate::base::fault::Class;
use crate::bundle::Error;
use crate::bundle::format::manifest::{Form, MAX_MANIFEST, Manifest, check_ends};
use crate::bundle::format::offsets::Offsets;
use crate::bundle::volumes::local::open_plain;
use crate::flow::Flow;
use crate::oci::Digest;
use crate::system;

/// Returns the length of an unfinished volume, counted from 1, or 0 if it is missing. A volume that
/// a killed run had already renamed first gets its unfinished name back.
///
/// # Errors
/// [`Class::Io`].
pub fn unfinished_length(output: &Output, number: usize) -> Result<u64, Error> {
    let path = output.partial_volume(number);
    if !path.exists() {
        resume::undo_renames(output)?;
    }
    Ok(open_plain(&path)?.map_or(0, |(_, size)| size))
}

/// Finishes a bundle: the volumes that `manifest` describes are written but unfinished.
///
/// # Errors
/// [`Class::Io`], those of read-back and signing, [`Class::Cancelled`] before the first final name.
pub fn finish(flow: &Flow, output: &Output, manifest: Manifest, options: Options<'_>) -> Result<Written, Error> {
    let bytes = manifest.to_bytes();
    if check_ends(&bytes).is_err() {
        return Err(Error::new(
            Class::Usage,
            format!("manifest: expected at most {MAX_MANIFEST} bytes, found {}", bytes.len()),
        )
        .help("select fewer artifacts and write several bundles"));
    }
    let own = |error: Error| Error { class: Class::Bug, ..error };
    manifest.check().map_err(own)?;
    let manifest = Arc::new(manifest);
    Offsets::new(&manifest).map_err(own)?;
    for number in 1..=manifest.volumes.len() {
        sync(&output.partial_volume(number))?;
    }
    if let Some(read_back) = options.read_back {
        read_back(output.dir(), &manifest, flow)?;
    }
    let signatures = (options.sign)(&bytes)?;
    flow.check()?;
    let files = publish(output, &manifest, &bytes, &signatures)?;
    let manifest = Arc::unwrap_or_clone(manifest);
    Ok(Written { id: Digest::sha256(&bytes), manifest, bytes, files, left_out: Vec::new() })
}

pub(in crate::bundle) fn sync(path: &Path) -> Result<(), Error> {
    let file = system::open_file(path).map_err(|unopened| Error::io(path.display(), &unopened.error))?;
    // A failed fsync is never tried again: the result of a second one means nothing.
    file.sync_all().map_err(|error| write_error(path, &error))?;
    // Only advice, so that reading back reads the medium.
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    Ok(())
}

fn publish(output: &Output, manifest: &Manifest, bytes: &[u8], signatures: &[u8]) -> Result<Vec<String>, Error> {
    let name = output.name();
    let is_flat = manifest.form == Form::Flat;
    let mut files = vec![name.manifest(), name.signatures()];
    // All bytes are on the medium before the first final name is given, so that a full medium is
    // found while nothing is visible.
    output.prepare(&name.signatures(), signatures)?;
    if is_flat {
        files.push(name.flat());
    } else {
        files.push(name.checksums());
        output.prepare(&name.checksums(), manifest.checksums(Digest::sha256(bytes)).as_bytes())?;
    }
    output.prepare(&name.manifest(), bytes)?;
    if output.overwrite() {
        // The old manifest first: without it there is no bundle, whenever the rest is removed.
        output.remove(&output.path(&name.manifest()))?;
        output.sync()?;
    }
    // Without a manifest they belong to no bundle: a replacement that was killed here left them of
    // the old one. All volumes of this bundle are still unfinished.
    for number in output.volumes()? {
        output.remove(&output.path(&name.volume(number)))?;
    }
    // One next to an unfinished one belongs to the old bundle; so does one if this bundle has
    // volumes.
    if output.partial_flat().exists() || !is_flat {
        output.remove_all(&output.flat())?;
    }
    output.remove(&output.path(&name.signatures()))?;
    output.remove(&output.path(&name.checksums()))?;
    files.extend((1..=manifest.volumes.len()).map(|number| name.volume(number)));
    if let Err(error) = give_names(output, manifest) {
        // Best effort, the manifest first: the next run resumes from what is there.
        for file in [name.manifest(), name.signatures(), name.checksums()] {
            let _ = output.remove(&output.path(&file));
        }
        let _ = resume::undo_renames(output);
        return Err(error);
    }
    resume::clear(output)?;
    Ok(files)
}

/// Gives the final names, volumes first and the manifest last, and makes them durable.
fn give_names(output: &Output, manifest: &Manifest) -> Result<(), Error> {
    let name = output.name();
    for number in 1..=manifest.volumes.len() {
        output.rename(&output.partial_volume(number), &output.path(&name.volume(number)))?;
    }
    if manifest.form == Form::Flat {
        output.rename(&output.partial_flat(), &output.flat())?;
    }
    output.sync()?;
    output.settle(&name.signatures())?;
    if manifest.form == Form::Volumes {
        output.settle(&name.checksums())?;
    }
    output.settle(&name.manifest())?;
    output.sync()
}
