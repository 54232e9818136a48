//! Reads from a manifest what the finder needs. Believes nothing else of it: who signed it is checked
//! by the import.

use crate::base::time::Moment;
use crate::bundle::format::manifest::Form;
use crate::bundle::{Manifest, Name};
use crate::oci::Digest;

/// Statements of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// The bundle's id.
    pub id: Digest,
    /// Channel, epoch and number: bundles of one channel are imported in this order.
    pub position: (Option<String>, u64, u64),
    /// When it was made.
    pub created: Moment,
    /// Names and sizes of the files that must be there.
    pub files: Vec<(String, u64)>,
}

/// Reads a manifest. Returns a reason if it is none of a bundle of this name: it may also be in the
/// middle of being copied.
pub(super) fn read(name: &Name, bytes: &[u8]) -> Result<Facts, String> {
    let manifest = Manifest::parse(bytes).map_err(|fault| fault.what)?;
    if manifest.name != *name {
        return Err(format!("manifest: expected name {:?}, found {:?}", name.as_str(), manifest.name.as_str()));
    }
    let files = match manifest.form {
        Form::Volumes => {
            (1..).map(|number| name.volume(number)).zip(manifest.volumes.iter().map(|one| one.size)).collect()
        }
        Form::Flat => (manifest.blobs.iter())
            .map(|blob| {
                let (folder, digest) = (name.flat(), blob.digest);
                (format!("{folder}/blobs/{}/{}", digest.algorithm().name(), digest.hex()), blob.size)
            })
            .collect(),
    };
    let position = (manifest.channel, manifest.epoch.unwrap_or(0), manifest.sequence.unwrap_or(0));
    Ok(Facts { id: Digest::sha256(bytes), position, created: manifest.created, files })
}
