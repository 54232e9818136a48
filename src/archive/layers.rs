//! The layers of an archive: their digests and media types. Each is read once here and compared with
//! the digest that the config states for its content.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};

use super::index::ExtentReader;
use super::members::Extent;
use super::refusal::{Refusal, shown};
use super::unpack::{Limited, Packing, limit};
use crate::flow::{Event, Flow, each};
use crate::oci::digest::Algorithm;
use crate::oci::media_type::{OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD};
use crate::oci::{Descriptor, Digest, Hasher};
use crate::system;

/// The layers of all images, each once.
#[derive(Default)]
pub(super) struct Layers {
    found: Vec<Layer>,
    places: HashMap<Extent, usize>,
}

/// One layer.
struct Layer {
    extent: Extent,
    // Name of its member.
    name: String,
    diff_id: Digest,
}

impl Layers {
    /// Adds the layer at `extent`, whose content without compression must have the digest `diff_id`.
    /// `name` is its member. Returns its number.
    ///
    /// # Errors
    /// [`Refusal`] if two images state different digests for it.
    pub(super) fn add(&mut self, name: &str, extent: Extent, diff_id: Digest) -> Result<usize, Refusal> {
        let number = *self.places.entry(extent).or_insert(self.found.len());
        match self.found.get(number) {
            None => self.found.push(Layer { extent, name: name.to_owned(), diff_id }),
            Some(known) if known.diff_id != diff_id => {
                let (one, shown) = (known.diff_id, shown(name));
                return Err(Refusal::new(format!("member {shown}: expected one diff_id, found {one} and {diff_id}")));
            }
            Some(_) => {}
        }
        Ok(number)
    }

    /// Reads all layers, several at a time. Returns their descriptors and places by number.
    ///
    /// # Errors
    /// [`Refusal`] for the first whose content is not what its image states.
    pub(super) fn read(&self, flow: &Flow, file: &File) -> Result<Vec<(Descriptor, Extent)>, Refusal> {
        let bytes = self.found.iter().map(|layer| layer.extent.size).sum();
        flow.event(Event::Stage { name: "reading layers", bytes, items: 0 });
        let read = each(&flow.clone().with_jobs(flow.cpus), &self.found, |layer| {
            layer.read(flow, file).map_err(|refusal| refusal.within(&layer.name))
        })?;
        let extents = self.found.iter().map(|layer| layer.extent);
        read.into_iter().zip(extents).map(|(descriptor, extent)| Ok((descriptor?, extent))).collect()
    }
}

impl Layer {
    fn read(&self, flow: &Flow, file: &File) -> Result<Descriptor, Refusal> {
        let Self { extent, diff_id, .. } = *self;
        let mut first = [0; 6];
        let count = extent.size.min(6);
        #[allow(clippy::cast_possible_truncation, reason = "at most 6")]
        system::read_exact_at(file, &mut first[..count as usize], extent.at)?;
        let packing = Packing::of(&first).map_err(|found| {
            Refusal::new(format!("expected a layer, plain or packed by gzip or zstd, found {found}"))
        })?;
        let media_type = match packing {
            Packing::None => OCI_LAYER,
            Packing::Gzip => OCI_LAYER_GZIP,
            Packing::Zstd => OCI_LAYER_ZSTD,
        };
        let packed = Hashing { inner: ExtentReader::new(file, extent), hasher: Hasher::new(Algorithm::Sha256), flow };
        let mut packed = BufReader::with_capacity(256 << 10, packed);
        let found = if packing == Packing::None && diff_id.algorithm() == Algorithm::Sha256 {
            None
        } else {
            let mut plain = Limited::new(packing.reader(&mut packed)?, limit(extent.size));
            let mut content = Hasher::new(diff_id.algorithm());
            let mut buffer = vec![0; 64 << 10];
            loop {
                match plain.read(&mut buffer)? {
                    0 => break Some(content.finish()),
                    count => content.update(&buffer[..count]),
                }
            }
        };
        // Some programs leave bytes after the compressed content; they are part of the blob.
        std::io::copy(&mut packed, &mut std::io::sink())?;
        let digest = packed.into_inner().hasher.finish();
        let found = found.unwrap_or(digest);
        if found != diff_id {
            return Err(Refusal::new(format!("expected a layer with the diff_id {diff_id}, found {found}")));
        }
        Ok(Descriptor::new(media_type, digest, extent.size))
    }
}

/// Hashes everything that is read, until the run is cancelled.
struct Hashing<'a, R> {
    inner: R,
    hasher: Hasher,
    flow: &'a Flow,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.flow.check().map_err(std::io::Error::other)?;
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.flow.event(Event::Bytes(count as u64));
        Ok(count)
    }
}
