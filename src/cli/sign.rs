//! `sign`: one more signature on a bundle.

use std::path::PathBuf;

use serde_json::json;

use super::Session;
use super::bundle::open;
use super::key::load_signers;
use super::report::Outcome;
use crate::fault::Fault;

/// `sign BUNDLE --sign KEY`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// DIR/NAME, NAME.json, or a directory with one bundle
    bundle: String,
    /// A private key (PEM); repeat it for more
    #[arg(long = "sign", value_name = "KEY", required = true)]
    keys: Vec<PathBuf>,
    /// The passphrase of the key, one file a key, in order; else it is asked for
    #[arg(long, value_name = "FILE")]
    passphrase_file: Vec<PathBuf>,
}

impl Args {
    /// # Errors
    /// Class usage for a key, format, lock, io.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let keys = load_signers(&self.keys, &self.passphrase_file, session.world)?;
        let bundle = open(&self.bundle, session)?;
        let signed = crate::sign::run(&bundle, &keys)?;
        let mut text = format!("signed  {}\nbundle id  {}\n", bundle.name(), signed.id);
        for keyid in &signed.keyids {
            text.push_str(&format!("signature  {keyid}\n"));
        }
        Ok(Outcome::new(text, json!({ "name": bundle.name(), "id": signed.id, "keyids": signed.keyids })))
    }
}
