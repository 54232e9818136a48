//! `unpack`: writes a bundle's content as an OCI layout.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::json;

use crate::base::fault::Fault;
use crate::cli::Session;
use crate::cli::args::bundle::{Opened, open};
use crate::cli::args::carry::destination::fit_for_layout;
use crate::cli::args::trust::Trust;
use crate::cli::output::Outcome;
use crate::cli::progress::size as show;
use crate::cli::reach::Reach;
use crate::operate::freshness::Side;
use crate::operate::import::Landed;
use crate::operate::import::checks::BundleCheck;
use crate::operate::import::unpack::{self, Request};

/// `unpack BUNDLE TRUST DIR`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Bundle: DIR/NAME, NAME.json, a directory with one bundle, or CONTAINER/NAME
    bundle: OsString,
    /// Directory of the layout: a new or empty one, or an existing layout to add to
    dir: PathBuf,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    reach: Reach,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of `verify`; class io for the directory.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        session.reach = self.reach;
        let trust = self.trust.read(Side::Look, session)?;
        let bundle = open(&self.bundle, session).map(Opened::from);
        let (bundle, _) = trust.authenticate(bundle, session)?;
        let gate = BundleCheck::open(&bundle, &session.flow)?;
        let manifest = bundle.manifest();
        let dir = session.path(&self.dir);
        fit_for_layout(&dir, &self.dir.to_string_lossy(), session)?;
        let request = Request {
            source: &bundle,
            directory: &dir,
            check: &gate,
            artifacts: &manifest.artifacts,
            absent: &manifest.absent,
        };
        let done = unpack::run(&session.flow, &request)?;
        let landed = done.artifacts.iter().filter(|one| !matches!(one.landed, Landed::Failed(_))).count();
        let order = trust.order();
        let mut text = format!(
            "unpacked  {landed} artifacts, {} blobs, {} into {}\nbundle id  {}\n",
            done.pushed + done.present,
            show(done.bytes),
            self.dir.display(),
            bundle.id()
        );
        let mut result = json!({ "id": bundle.id(), "artifacts": landed, "blobs": done.pushed, "present": done.present, "bytes": done.bytes });
        if !order.json.is_null() {
            text.push_str(&format!("order      {}\n", order.line));
            result["order"] = order.json;
        }
        let outcome = Outcome::new(text, result);
        Ok(match done.fault() {
            Some(fault) => outcome.failed(fault),
            None => outcome,
        })
    }
}
