//! Copies a whole bundle into a container: from a directory, or from another container. Everything is
//! compared with the sizes and digests that its manifest states. The manifest is written last.
//!
//! The manifest is not authenticated here: whoever verifies the bundle does that.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::files::{is_own, whole};
use crate::base::fault::{Class, Fault};
use crate::bundle::format::manifest::{Form, MAX_MANIFEST};
use crate::bundle::format::offsets::frame_ends;
use crate::bundle::{Manifest, Name, open_at};
use crate::content::store::{Finished, Small, Store as _};
use crate::content::volumes::Volumes;
use crate::content::{Error, Kind};
use crate::flow::{Event, Flow};
use crate::oci::Digest;
use crate::storage::store::ContainerStore;
use crate::storage::volumes::ContainerVolumes;
use crate::storage::{Condition, Container, Needs, Object};

/// A bundle and where it goes.
pub struct Request {
    /// Place of the bundle's files.
    pub source: Arc<dyn Volumes>,
    /// Name of the bundle, here and there.
    pub name: Name,
    /// The container that it goes to.
    pub container: Arc<dyn Container>,
    /// Whether a bundle of this name may be replaced.
    pub overwrite: bool,
    /// Name of the stage for the progress display.
    pub stage: &'static str,
}

/// Result of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The bundle id.
    pub id: Digest,
    /// Number of volumes.
    pub volumes: usize,
    /// Size of all volumes in bytes.
    pub bytes: u64,
    /// Bytes sent in this run.
    pub sent: u64,
    /// Whether this very bundle was there already, whole.
    pub was_there: bool,
}

/// Copies the bundle.
///
/// # Errors
/// [`Class::Format`], [`Class::Integrity`], [`Class::Io`] and [`Class::Source`] for the bundle;
/// [`Class::Usage`] if there is another one of its name; [`Class::Destination`]; [`Class::Cancelled`].
pub fn run(flow: &Flow, request: &Request) -> Result<Copied, Fault> {
    let Request { source, name, container, .. } = request;
    let bundle = open_at(Arc::clone(source), name.clone())?;
    let manifest = bundle.claimed()?;
    if manifest.form == Form::Flat {
        let what = format!("bundle {name}: expected volumes, found form flat");
        return Err(Fault::new(Class::Usage, what).help("export it again without --flat"));
    }
    check_source(&**source, &manifest)?;
    let bytes: u64 = manifest.volumes.iter().map(|volume| volume.size).sum();
    let copied = Copied { id: bundle.id(), volumes: manifest.volumes.len(), bytes, sent: 0, was_there: false };
    let needs = Needs { read: true, list: true, write: true, remove: false, bytes };
    container.check_rights(needs, flow).map_err(at_destination)?;
    let small = small(&bundle, &manifest);
    let there = same_manifest(&**container, name, bundle.manifest_bytes())?;
    if there && missing_volumes(&**container, &manifest)?.is_empty() {
        for one in &small[..small.len() - 1] {
            settle_small(&**container, one)?;
        }
        return Ok(Copied { was_there: true, ..copied });
    }
    // One with files missing is completed.
    let store = store(Arc::clone(container), name, request.overwrite || there, flow);
    store.check().map_err(at_destination)?;
    flow.event(Event::Stage { name: request.stage, bytes, items: manifest.volumes.len() as u64 });
    let volumes: Vec<String> = (1..=manifest.volumes.len()).map(|number| name.volume(number)).collect();
    // Where the writer of the bundle ended its parts too, so that its own upload goes on here.
    let ends = frame_ends(&manifest);
    for ((volume, file), ends) in manifest.volumes.iter().zip(&volumes).zip(ends) {
        store.put(whole(source, file.clone(), volume, ends)).map_err(told)?;
    }
    store.settle(&volumes).map_err(told)?;
    if let Some(missing) = missing_volumes(&**container, &manifest)?.first() {
        let what = format!("{}: expected the bytes that were sent, found other ones", container.shown(missing));
        return Err(Fault::new(Class::Destination, what).help("run the same command again"));
    }
    flow.check()?;
    store.finish(&Finished { volumes, folder: None, small }).map_err(told)?;
    Ok(Copied { sent: store.done().sent, ..copied })
}

/// Returns the store of the files of a new bundle in a container.
pub fn store(container: Arc<dyn Container>, name: &Name, overwrite: bool, flow: &Flow) -> ContainerStore {
    let own = name.clone();
    ContainerStore::new(container, name.as_str(), overwrite, Box::new(move |file| is_own(&own, file)), flow.clone())
}

/// Converts the error of a container that is written to.
pub(super) fn at_destination(error: Error) -> Fault {
    error.into_fault(Class::Destination)
}

/// Converts an error of the store. Content that does not match is the source's: the store has
/// classed its own.
fn told(error: Error) -> Fault {
    match error.class {
        Kind::Mismatch => error.into_fault(Class::Integrity).help("verify the bundle, and take another copy of it"),
        _ => error.into_fault(Class::Destination),
    }
}

/// Checks that the source has every volume with its size, before anything is sent.
fn check_source(source: &dyn Volumes, manifest: &Manifest) -> Result<(), Fault> {
    let mut faults = Vec::new();
    for (number, volume) in (1..).zip(&manifest.volumes) {
        let file = manifest.name.volume(number);
        let found = source.size(&file).map_err(|error| error.into_fault(Class::Io))?;
        if found != Some(volume.size) {
            let found = found.map_or_else(|| "none".to_owned(), |size| format!("{size} bytes"));
            let what = format!("{}: expected {} bytes, found {found}", source.shown(&file), volume.size);
            faults
                .push(Fault::new(Class::Integrity, what).help("copy the volume again from where the bundle was made"));
        }
    }
    Fault::from_list(faults).map_or(Ok(()), Err)
}

/// Returns the small files of the bundle, manifest last.
fn small(bundle: &crate::bundle::Untrusted, manifest: &Manifest) -> Vec<Small> {
    let signatures = bundle.signature_bytes();
    let mut small: Vec<Small> =
        signatures.map(|bytes| Small { name: manifest.name.signatures(), bytes: bytes.to_vec() }).into_iter().collect();
    small.push(Small { name: manifest.name.checksums(), bytes: manifest.checksums(bundle.id()).into_bytes() });
    small.push(Small { name: manifest.name.manifest(), bytes: bundle.manifest_bytes().to_vec() });
    small
}

/// Returns the bytes of a bundle's manifest in a container, if there is one.
///
/// # Errors
/// [`Class::Destination`].
pub fn manifest(container: &dyn Container, name: &Name) -> Result<Option<Vec<u8>>, Fault> {
    let found = container.head(&name.manifest()).map_err(at_destination)?;
    let Some(found) = found.filter(|found| found.size > 0 && found.size <= MAX_MANIFEST) else { return Ok(None) };
    let mut bytes = vec![0; usize::try_from(found.size).unwrap_or_default()];
    container.read_at(&name.manifest(), found.etag.as_deref(), 0, &mut bytes).map_err(at_destination)?;
    Ok(Some(bytes))
}

/// Returns whether the container has these bytes under a name.
fn has(container: &dyn Container, name: &str, bytes: &[u8]) -> Result<bool, Fault> {
    let found = container.head(name).map_err(at_destination)?;
    let Some(found) = found.filter(|found| found.size == bytes.len() as u64) else { return Ok(false) };
    let mut read = vec![0; bytes.len()];
    container.read_at(name, found.etag.as_deref(), 0, &mut read).map_err(at_destination)?;
    Ok(read == bytes)
}

fn same_manifest(container: &dyn Container, name: &Name, bytes: &[u8]) -> Result<bool, Fault> {
    has(container, &name.manifest(), bytes)
}

/// Writes a small file if it is missing or differs: signatures may have been added.
fn settle_small(container: &dyn Container, small: &Small) -> Result<(), Fault> {
    if !has(container, &small.name, &small.bytes)? {
        container.put(&small.name, &small.bytes, &Condition::Any).map_err(at_destination)?;
    }
    Ok(())
}

/// Returns the volumes that are missing in the container, or have another size there.
fn missing_volumes(container: &dyn Container, manifest: &Manifest) -> Result<Vec<String>, Fault> {
    let mut sizes = BTreeMap::new();
    let mut take = |object: Object| {
        sizes.insert(object.name, object.size);
    };
    container.list(&format!("{}.", manifest.name), &mut take).map_err(at_destination)?;
    let volumes = (1..).map(|number| manifest.name.volume(number)).zip(&manifest.volumes);
    Ok(volumes.filter(|(file, volume)| sizes.get(file) != Some(&volume.size)).map(|(file, _)| file).collect())
}

/// Returns the files of the bundle `name` in a container, to be read with up to `flow.jobs` requests
/// at once. Warns `flow` if the credential ends before they can be read.
pub fn files(container: Arc<dyn Container>, name: &Name, flow: &Flow) -> Arc<dyn Volumes> {
    Arc::new(ContainerVolumes::new(container, name.as_str(), flow.jobs).warning(flow.clone()))
}
