//! `unpack`: a bundle's content as an OCI layout.

use std::path::PathBuf;

use serde_json::json;

use super::Session;
use super::bundle::authenticated;
use super::gate::BundleGate;
use super::progress::size as show;
use super::report::Outcome;
use super::trust::Trust;
use crate::fault::Fault;

/// `unpack BUNDLE TRUST DIR`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// DIR/NAME, NAME.json, or a directory with one bundle
    bundle: String,
    /// The layout's directory: new, empty, or a layout to add to
    dir: PathBuf,
    #[command(flatten)]
    trust: Trust,
}

impl Args {
    /// # Errors
    /// As `verify`, and class io for the directory.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let bundle = authenticated(&self.bundle, &self.trust, session)?;
        let gate = BundleGate::open(&bundle, &session.flow)?;
        let manifest = bundle.manifest();
        let dir = session.path(&self.dir);
        let done =
            crate::import::unpack::unpack(&session.flow, &bundle, &dir, &gate, &manifest.artifacts, &manifest.absent)?;
        let text = format!(
            "unpacked  {} artifacts, {} blobs, {} into {}\nbundle id  {}\n",
            done.artifacts.len(),
            done.pushed + done.present,
            show(done.bytes),
            self.dir.display(),
            bundle.id()
        );
        let result = json!({ "id": bundle.id(), "artifacts": done.artifacts.len(), "blobs": done.pushed, "present": done.present, "bytes": done.bytes });
        Ok(Outcome::new(text, result))
    }
}
