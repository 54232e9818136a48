//! `inspect`: what a bundle says of itself. Nothing of it is authenticated here, and that is said.

use serde_json::json;

use super::Session;
use super::bundle::{Opened, open_any};
use super::report::Outcome;
use crate::bundle::check::check;
use crate::bundle::passing;
use crate::bundle::stream::Members;
use crate::fault::{Fault, escape};

/// `inspect BUNDLE`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// DIR/NAME, NAME.json, a directory with one bundle, a stream file, or - (standard input)
    bundle: String,
    /// Hash everything; the result is still not authenticated
    #[arg(long)]
    check: bool,
}

impl Args {
    /// # Errors
    /// Class format, io; with `--check` integrity.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let Opened { head: bundle, rest } = open_any(&self.bundle, &[], Some(&[]), session)?;
        let manifest = bundle.claimed()?;
        let keyids: Vec<String> =
            bundle.envelope().map(|envelope| envelope.keyids().map(ToOwned::to_owned).collect()).unwrap_or_default();
        let id = bundle.id();
        let size: u64 = manifest.volumes.iter().map(|volume| volume.size).sum();
        let mut text = format!(
            "{}  (not authenticated: verify it with --key)\nbundle id  {id}\ncreated    {} by {}\nvolumes    {}, {size} bytes\nblobs      {}\n",
            manifest.name,
            manifest.created,
            escape(&manifest.tool),
            manifest.volumes.len(),
            manifest.blobs.len(),
        );
        if let (Some(channel), Some(epoch), Some(sequence)) = (&manifest.channel, manifest.epoch, manifest.sequence) {
            text.push_str(&format!("channel    {channel}, epoch {epoch}, sequence {sequence}\n"));
        }
        if let Some(previous) = &manifest.previous {
            text.push_str(&format!("follows    {previous}\n"));
        }
        if let Some(expires) = &manifest.expires {
            text.push_str(&format!("expires    {expires}\n"));
        }
        for keyid in &keyids {
            text.push_str(&format!("signature  {keyid}\n"));
        }
        if keyids.is_empty() {
            text.push_str("signature  none\n");
        }
        for (key, value) in manifest.annotations.iter().flatten() {
            text.push_str(&format!("note       {}: {}\n", escape(key), escape(value)));
        }
        for base in &manifest.bases {
            text.push_str(&format!("relies on  {base}\n"));
        }
        text.push_str("artifacts\n");
        for artifact in &manifest.artifacts {
            let names: Vec<String> = artifact.tags.iter().map(|tag| format!(":{tag}")).collect();
            let kind = artifact.artifact_type.as_deref().map(|kind| format!("  {}", escape(kind))).unwrap_or_default();
            let refers = artifact.subject.map(|subject| format!("  refers to {subject}")).unwrap_or_default();
            text.push_str(&format!("  {}{} {}{kind}{refers}\n", artifact.repository, names.join(" "), artifact.digest));
        }
        if !manifest.absent.is_empty() {
            text.push_str("not inside\n");
            for absent in &manifest.absent {
                let at = absent.repository.as_ref().map(|one| format!(", delivered in {one}")).unwrap_or_default();
                let reason = format!("{:?}", absent.reason).to_lowercase();
                text.push_str(&format!("  {} {} bytes, {reason}{at}\n", absent.digest, absent.size));
            }
        }
        let mut result = json!({ "authenticated": false, "id": id, "keyids": keyids, "manifest": manifest });
        if !self.check {
            return Ok(Outcome::new(text, result));
        }
        let assumed = bundle.assume()?;
        let checked = match rest {
            None => check(&assumed, &session.flow, false).map_err(Fault::from),
            Some(rest) => {
                let mut members = Members::new(&assumed, rest, session.flow.clone());
                passing::check(&assumed, &mut members, &session.flow, false)
            }
        };
        match checked {
            Ok(tally) => {
                text.push_str(&format!(
                    "checked    {} bytes agree with the manifest, which is not authenticated\n",
                    tally.bytes
                ));
                result["checked"] = json!(true);
                Ok(Outcome::new(text, result))
            }
            Err(fault) => {
                text.push_str("checked    bytes differ from the manifest, which is not authenticated\n");
                result["checked"] = json!(false);
                Ok(Outcome::new(text, result).failed(fault))
            }
        }
    }
}
