//! Archives of images as docker, podman and skopeo save them (`docker-archive:`), as a source.
//!
//! An archive keeps an image's config and its layers, normally without compression, and rarely the
//! manifest that a registry had. Without one, a manifest is made here, always the same for the same
//! image, and says so in the annotation [`MADE`]. The config keeps its bytes and with them its digest
//! and diff_ids. Names in an archive are keys of an index: nothing is unpacked, and no name reaches the
//! file system.

mod index;
mod kept;
mod layers;
mod members;
mod name;
mod open;
mod refusal;
mod saved;
mod unpack;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::json;

use self::index::{ExtentReader, Index};
use self::kept::Kept;
use self::layers::Layers;
use self::members::Extent;
use self::refusal::{Refusal, shown};
use self::saved::{MAX_CONFIG, MAX_LIST, SavedImage};
use crate::base::fault::Fault;
use crate::content::Error;
use crate::content::made::{Content, Made, MadeManifest, local_repository};
use crate::flow::Flow;
use crate::oci::media_type::{OCI_CONFIG, OCI_MANIFEST};
use crate::oci::{Descriptor, Digest, Document, Repository};

/// Annotation of a manifest that was made for an image without one: from what it was made.
pub const MADE: &str = "packmule.made";
/// Value of [`MADE`].
const FROM: &str = "docker-archive";
/// The list of images.
const LIST: &str = "manifest.json";

/// An archive that is open.
pub type Archive = Made<Blobs>;

/// Where the content of an archive lies.
pub struct Blobs {
    file: File,
    extents: HashMap<Digest, Extent>,
}

impl Content for Blobs {
    fn size(&self, digest: Digest) -> Option<u64> {
        self.extents.get(&digest).map(|extent| extent.size)
    }

    fn open(&self, digest: Digest, offset: u64) -> Result<Option<Box<dyn Read + Send + '_>>, Error> {
        let Some(extent) = self.extents.get(&digest) else { return Ok(None) };
        let rest = Extent { at: extent.at + offset, size: extent.size.saturating_sub(offset) };
        Ok(Some(Box::new(ExtentReader::new(&self.file, rest))))
    }
}

/// Opens the archive at `path`. `temporary` is a folder for the content of a compressed one.
///
/// # Errors
/// Class source if there is no such file; class format for an archive that is malformed or
/// contradicts itself, with the member; class io; class cancelled.
pub fn open(flow: &Flow, path: &Path, temporary: &Path) -> Result<Archive, Fault> {
    let name = format!("archive {}", path.display());
    let (file, length) = open::open(flow, &name, path, temporary)?;
    let stem = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = [".gz", ".zst", ".tgz", ".tar"].iter().fold(&*stem, |stem, end| stem.strip_suffix(end).unwrap_or(stem));
    let repository = local_repository(stem).unwrap_or_else(fallback);
    let read = |file: File| -> Result<Archive, Refusal> {
        let (manifests, extents) = images(flow, &name, &file, length)?;
        let blobs = Blobs { file, extents };
        Made::new(name.clone(), repository, manifests, blobs).map_err(|twice| {
            Refusal::new(format!("member {LIST}: expected one image named {twice}, found two that differ"))
        })
    };
    read(file).map_err(|refusal| refusal.at(&name))
}

/// Returns whether a manifest was made here.
pub fn is_made(document: &Document) -> bool {
    document.annotations().is_some_and(|all| all.get(MADE).is_some_and(|from| from == FROM))
}

fn fallback() -> Repository {
    #[allow(clippy::expect_used, reason = "a constant that matches the grammar")]
    Repository::new("localhost", "archive").expect("a good name")
}

/// An image before its layers were read.
struct Image {
    /// Name of the member with its config.
    name: String,
    config: Descriptor,
    /// Numbers of its layers.
    layers: Vec<usize>,
    tags: Vec<String>,
}

/// Returns the manifests of all images in an archive, and where their content lies.
fn images(
    flow: &Flow,
    archive: &str,
    file: &File,
    length: u64,
) -> Result<(Vec<MadeManifest>, HashMap<Digest, Extent>), Refusal> {
    let index = Index::read(file, length)?;
    if !index.has(LIST) {
        let what = if index.has("index.json") {
            "expected manifest.json, found an OCI layout without one: unpack it and select it as oci:DIR"
        } else {
            "expected manifest.json, found none"
        };
        return Err(Refusal::new(what));
    }
    let list = saved::images(&index.content(file, LIST, MAX_LIST)?)?;
    let (mut layers, mut extents, mut images) = (Layers::default(), HashMap::new(), Vec::new());
    for image in list {
        flow.check()?;
        images.push(image_of(file, &index, image, &mut layers, &mut extents)?);
    }
    let layers = layers.read(flow, file)?;
    for (layer, extent) in &layers {
        extents.insert(layer.digest, *extent);
    }
    let kept = Kept::read(file, &index)?;
    let mut manifests = Vec::new();
    for image in images {
        let document = manifest(&image, &layers, &kept)?;
        let mut names = Vec::new();
        for text in image.tags {
            match saved::name(&text) {
                Some(name) => names.push(name),
                None => flow.warn(format!(
                    "{archive}: image {}: expected HOST/REPO:TAG as its name, found {}: taken without that name",
                    document.digest(),
                    shown(&text)
                )),
            }
        }
        manifests.push(MadeManifest { document, names });
    }
    Ok((manifests, extents))
}

/// Reads the config of an image, and finds its layers.
fn image_of(
    file: &File,
    index: &Index,
    image: SavedImage,
    layers: &mut Layers,
    extents: &mut HashMap<Digest, Extent>,
) -> Result<Image, Refusal> {
    let name = image.config;
    let config = index.content(file, &name, MAX_CONFIG)?;
    let digest = Digest::sha256(&config);
    if let Some(stated) = saved::stated(&name).filter(|stated| *stated != digest) {
        return Err(Refusal::new(format!("member {}: expected content {stated}, found {digest}", shown(&name))));
    }
    let diff_ids = saved::diff_ids(&name, &config)?;
    let members = image.layers.unwrap_or_default();
    if members.len() != diff_ids.len() {
        let (expected, found, shown) = (diff_ids.len(), members.len(), shown(&name));
        let what = format!("image {shown}: expected a layer for each of its {expected} diff_ids, found {found}");
        return Err(Refusal::new(what));
    }
    let mut numbers = Vec::new();
    for (member, diff_id) in members.iter().zip(diff_ids) {
        numbers.push(layers.add(member, index.find(file, member)?, diff_id)?);
    }
    extents.insert(digest, index.find(file, &name)?);
    let config = Descriptor::new(OCI_CONFIG, digest, config.len() as u64);
    Ok(Image { name, config, layers: numbers, tags: image.repo_tags.unwrap_or_default() })
}

/// Returns the manifest of an image: the one that the archive keeps, or one that is made.
fn manifest(image: &Image, layers: &[(Descriptor, Extent)], kept: &Kept) -> Result<Document, Refusal> {
    let described: Vec<&Descriptor> =
        image.layers.iter().filter_map(|number| layers.get(*number)).map(|(layer, _)| layer).collect();
    if let Some(document) = kept.find(&image.config, &described) {
        return Ok(document.clone());
    }
    // The members of an object are in the order of their names, so that the bytes are always the same.
    let json = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": image.config, "layers": described,
        "annotations": { MADE: FROM },
    });
    Document::parse(OCI_MANIFEST, json.to_string().into_bytes())
        .map_err(|error| Refusal::new(format!("image {}: {error}", shown(&image.name))))
}

#[cfg(test)]
mod tests;
