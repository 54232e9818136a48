//! The end of writing: everything that was put is read back, signed, and becomes a bundle; and how a file is put that is
//! whole.
//!
//! Where the files go is the store's to know.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::outcome::{Options, Written};
use super::output::Output;
use super::resume;
use crate::base::fault::Class;
use crate::bundle::Error;
use crate::bundle::format::manifest::{Form, MAX_MANIFEST, Manifest, check_ends};
use crate::bundle::format::offsets::Offsets;
use crate::bundle::volumes::files::fault;
use crate::bundle::volumes::local::open_plain;
use crate::content::Body;
use crate::content::checked::Checked;
use crate::content::store::{Finished, Small, Whole};
use crate::flow::Flow;
use crate::oci::{Descriptor, Digest};
use crate::system;

/// The media type under which a volume's bytes are checked; nobody sees it.
const BYTES: &str = "application/octet-stream";

/// A whole file where the writer made it.
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

/// Gives the store of `output` the file at `path`, which is whole and will be called `name`.
///
/// # Errors
/// The store's.
pub fn put(output: &Output, name: &str, path: PathBuf, size: u64, digest: Digest) -> Result<(), Error> {
    let body = Made { path, size, digest };
    output.store().put(&Whole { name, size, digest, body: &body }).map_err(fault)
}

/// Length of an unfinished volume, counted from 1; 0 where it is absent. One that a killed run had
/// renamed already gets its unfinished name again.
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

/// Finishes: what `manifest` describes was put.
///
/// # Errors
/// [`Class::Io`], what read-back and signing give, [`Class::Cancelled`] before the first final name.
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

/// The files of the bundle as its store takes them, and the names of all, manifest first.
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
