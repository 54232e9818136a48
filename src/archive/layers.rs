//! The layers of an archive: their digests and media types.
//!
//! A layer that is not compressed has the digest that the config states for it; whoever reads it
//! checks that. A compressed one, as newer versions of docker may write it, is read once here and
//! compared with the config.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};

use super::index::ExtentReader;
use super::members::Extent;
use super::refusal::{Refusal, shown};
use super::unpack::{Limited, Packing, limit};
use crate::flow::{Event, Flow};
use crate::oci::digest::Algorithm;
use crate::oci::media_type::{OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD};
use crate::oci::{Descriptor, Digest, Hasher};
use crate::system;

/// The layers that were seen.
#[derive(Default)]
pub(super) struct Layers {
    compressed: HashMap<Extent, (Descriptor, Digest)>,
}

impl Layers {
    /// Returns the descriptor of the layer at `extent`, whose content without compression must have
    /// the digest `diff_id`. `name` is its member.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) fn describe(
        &mut self,
        flow: &Flow,
        file: &File,
        name: &str,
        extent: Extent,
        diff_id: Digest,
    ) -> Result<Descriptor, Refusal> {
        let mut first = [0; 6];
        let count = extent.size.min(6);
        #[allow(clippy::cast_possible_truncation, reason = "at most 6")]
        system::read_exact_at(file, &mut first[..count as usize], extent.at)?;
        let packing = Packing::of(&first).map_err(|found| {
            Refusal::new(format!(
                "member {}: expected a layer, plain or packed by gzip or zstd, found {found}",
                shown(name)
            ))
        })?;
        let media_type = match packing {
            Packing::None => return Ok(Descriptor::new(OCI_LAYER, diff_id, extent.size)),
            Packing::Gzip => OCI_LAYER_GZIP,
            Packing::Zstd => OCI_LAYER_ZSTD,
        };
        let (descriptor, found) = match self.compressed.get(&extent) {
            Some(known) => known.clone(),
            None => {
                let read = read(flow, file, extent, packing, diff_id.algorithm());
                let (digest, found) = read.map_err(|refusal| refusal.within(name))?;
                let made = (Descriptor::new(media_type, digest, extent.size), found);
                self.compressed.insert(extent, made.clone());
                made
            }
        };
        if found != diff_id {
            let what = format!("member {}: expected a layer with the diff_id {diff_id}, found {found}", shown(name));
            return Err(Refusal::new(what));
        }
        Ok(descriptor)
    }
}

/// Returns the digests of a compressed layer and of its content.
fn read(
    flow: &Flow,
    file: &File,
    extent: Extent,
    packing: Packing,
    algorithm: Algorithm,
) -> Result<(Digest, Digest), Refusal> {
    flow.event(Event::Stage { name: "reading layers", bytes: extent.size, items: 0 });
    let packed = Hashing { inner: ExtentReader::new(file, extent), hasher: Hasher::new(Algorithm::Sha256) };
    let mut packed = BufReader::with_capacity(64 << 10, packed);
    let mut content = Hasher::new(algorithm);
    {
        let mut plain = Limited::new(packing.reader(&mut packed)?, limit(extent.size));
        let mut buffer = vec![0; 64 << 10];
        loop {
            flow.check()?;
            match plain.read(&mut buffer)? {
                0 => break,
                count => content.update(&buffer[..count]),
            }
        }
    }
    // Some programs leave bytes after the compressed content; they are part of the blob.
    std::io::copy(&mut packed, &mut std::io::sink())?;
    flow.event(Event::Bytes(extent.size));
    Ok((packed.into_inner().hasher.finish(), content.finish()))
}

/// Hashes everything that is read.
struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
