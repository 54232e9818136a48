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
use super::resume;
use crate::base::fault::{Class, differs};
use crate::bundle::Error;
use crate::bundle::format::manifest::{Form, MAX_MANIFEST, Manifest};
use crate::bundle::format::offsets::Offsets;
use crate::bundle::format::parse::check_ends;
use crate::bundle::volumes::files::fault;
use crate::bundle::volumes::local::open_plain;
use crate::content::Body;
use crate::content::checked::Checked;
use crate::content::store::{Finished, Small, Whole};
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
}

impl Body for Made {
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        let file: File = system::open_file(&self.path)?;
        Ok(Box::new(Checked::new(file, Descriptor::new(BYTES, self.digest, self.size))))
    }
}

/// Passes the file at `path`, which is whole, to the store of `output` under its final name `name`.
///
/// # Errors
/// The store's.
pub fn put(output: &Output, name: &str, path: PathBuf, size: u64, digest: Digest) -> Result<(), Error> {
    let body = Made { path, size, digest };
    output.store().put(&Whole { name, size, digest, body: &body }).map_err(fault)
}

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

/// Finishes a bundle: all files that `manifest` describes were put.
///
/// # Errors
/// [`Class::Io`], those of read-back and signing, [`Class::Cancelled`] before the first final name.
pub fn finish(flow: &Flow, output: &Output, manifest: Manifest, options: Options<'_>) -> Result<Written, Error> {
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
        read_back(place, &manifest, flow)?;
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
