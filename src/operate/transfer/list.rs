//! Lists the bundles in a container, and whether all their files are there.
//!
//! Manifests are read but not authenticated, and volumes are only looked at by their sizes.

use std::collections::BTreeMap;

use crate::base::fault::{Class, Fault};
use crate::bundle::format::manifest::{Form, MAX_MANIFEST};
use crate::bundle::time::Moment;
use crate::bundle::{Manifest, Name};
use crate::flow::{Flow, each};
use crate::oci::Digest;
use crate::storage::{Container, Needs, Object, Unfinished};

/// The bundles of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// By name.
    pub bundles: Vec<Listed>,
    /// Uploads that were begun and not completed.
    pub unfinished: Vec<Unfinished>,
}

/// One bundle, or what there is of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name, with the folders above it.
    pub name: String,
    /// Its files, and their sizes in bytes.
    pub files: BTreeMap<String, u64>,
    /// State of the bundle.
    pub state: State,
}

/// State of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its manifest states this, and all volumes have the sizes that it states.
    Complete(Stated),
    /// These files are missing or have another size.
    Incomplete(Stated, Vec<String>),
    /// There is a manifest that cannot be read.
    Unreadable(String),
    /// There is no manifest, or an empty one.
    NoManifest,
}

/// Facts from a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    /// The bundle id.
    pub id: Digest,
    /// When it was made.
    pub created: Moment,
    /// Number of volumes; 0 in form flat.
    pub volumes: usize,
    /// Size in bytes of all volumes, or of all blobs in form flat.
    pub bytes: u64,
}

impl Listed {
    /// Returns the size in bytes of all its files.
    pub fn size(&self) -> u64 {
        self.files.values().sum()
    }
}

/// Lists the bundles whose paths begin with `prefix`, and uploads that were not completed.
///
/// # Errors
/// [`Class::Source`], [`Class::Io`], [`Class::Cancelled`].
pub fn run(flow: &Flow, container: &dyn Container, prefix: &str) -> Result<Listing, Fault> {
    let at_source = |error: crate::content::Error| error.into_fault(Class::Source);
    container.check_rights(Needs { read: true, list: true, ..Needs::default() }, flow).map_err(at_source)?;
    let mut found: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    let mut take = |object: Object| {
        if let Some(bundle) = bundle_of(&object.name) {
            found.entry(bundle).or_default().insert(object.name, object.size);
        }
    };
    container.list(prefix, &mut take).map_err(at_source)?;
    let found: Vec<_> = found.into_iter().collect();
    let listed = each(flow, &found, |(name, files)| {
        let state = state(container, name, files)?;
        Ok(Listed { name: name.clone(), files: files.clone(), state })
    })?;
    let bundles = listed.into_iter().collect::<Result<_, Fault>>()?;
    let mut unfinished = container.unfinished(prefix).map_err(at_source)?;
    unfinished.retain(|part| bundle_of(&part.name).is_some());
    Ok(Listing { bundles, unfinished })
}

/// Returns the path of the bundle that a file belongs to, if its name is that of a bundle's file.
fn bundle_of(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').collect();
    for (index, part) in parts.iter().enumerate() {
        let (stem, _) = part.split_once('.').unwrap_or((part, ""));
        let Ok(name) = Name::new(stem) else { continue };
        if super::is_own(&name, &parts[index..].join("/")) {
            let above: Vec<&str> = parts[..index].iter().copied().chain([stem]).collect();
            return Some(above.join("/"));
        }
    }
    None
}

fn state(container: &dyn Container, path: &str, files: &BTreeMap<String, u64>) -> Result<State, Fault> {
    let manifest = format!("{path}.json");
    let Some(&size) = files.get(&manifest).filter(|size| **size > 0) else { return Ok(State::NoManifest) };
    if size > MAX_MANIFEST {
        return Ok(State::Unreadable(format!("manifest: expected at most {MAX_MANIFEST} bytes, found {size}")));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    container.read_at(&manifest, None, 0, &mut bytes).map_err(|error| error.into_fault(Class::Source))?;
    let parsed = match Manifest::parse(&bytes) {
        Ok(parsed) => parsed,
        Err(fault) => return Ok(State::Unreadable(fault.what)),
    };
    let (above, name) = path.rsplit_once('/').map_or(("", path), |(above, name)| (above, name));
    if parsed.name.as_str() != name {
        return Ok(State::Unreadable(format!("manifest: expected name {name:?}, found {:?}", parsed.name.as_str())));
    }
    let at = |file: String| if above.is_empty() { file } else { format!("{above}/{file}") };
    let expected: Vec<(String, u64)> = match parsed.form {
        Form::Volumes => {
            (1..).map(|number| at(parsed.name.volume(number))).zip(parsed.volumes.iter().map(|one| one.size)).collect()
        }
        Form::Flat => (parsed.blobs.iter())
            .map(|blob| {
                let (folder, digest) = (parsed.name.flat(), blob.digest);
                (at(format!("{folder}/blobs/{}/{}", digest.algorithm().name(), digest.hex())), blob.size)
            })
            .collect(),
    };
    let bytes_of_all = expected.iter().map(|(_, size)| size).sum();
    let missing: Vec<String> =
        expected.into_iter().filter(|(file, size)| files.get(file) != Some(size)).map(|(file, _)| file).collect();
    let (id, volumes) = (Digest::sha256(&bytes), parsed.volumes.len());
    let stated = Stated { id, created: parsed.created, volumes, bytes: bytes_of_all };
    Ok(if missing.is_empty() { State::Complete(stated) } else { State::Incomplete(stated, missing) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_grouped_by_their_bundle() {
        for (file, bundle) in [
            ("b.json", Some("b")),
            ("team/a/b.0001.tar.zst", Some("team/a/b")),
            ("team/b.sig.json", Some("team/b")),
            ("b.oci/blobs/sha256/00", Some("b")),
            ("x/b.oci/index.json", Some("x/b")),
            ("readme.txt", None),
            ("b.1.tar.zst", None),
            ("Upper.json", None),
        ] {
            assert_eq!(bundle_of(file).as_deref(), bundle, "{file}");
        }
    }
}
