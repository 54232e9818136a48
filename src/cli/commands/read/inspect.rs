//! `inspect`: shows what a bundle says of itself. Nothing is authenticated here, and the output
//! says so. Receipts and audit logs are shown by their own modules.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::base::fault::{Class, Fault, differs, escape};
use crate::bundle::check::one_pass;
use crate::bundle::check::parallel::check;
use crate::bundle::format::manifest::Form;
use crate::bundle::format::notes::Notes;
use crate::bundle::stream::Members;
use crate::bundle::{Manifest, Untrusted};
use crate::cli::args::bundle::{Opened, open_any};
use crate::cli::args::container::is_container;
use crate::cli::args::trust::Whom;
use crate::cli::audit::{self, Shown};
use crate::cli::confine::confine;
use crate::cli::detect::{self, Paper};
use crate::cli::output::Outcome;
use crate::cli::reach::Reach;
use crate::cli::{Session, receipt};
use crate::oci::{Digest, ImageFacts, Repository};
use crate::operate::report_data::images;
use crate::signing::Policy;

/// Maximum number of labels, and of steps of the history, that are shown of an image.
const FEW: usize = 12;

/// `inspect BUNDLE|RECEIPT|AUDITLOG`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Bundle (DIR/NAME, NAME.json, a directory with one bundle, a stream file, - for standard
    /// input, or CONTAINER/NAME), receipt, or audit log
    #[arg(value_name = "BUNDLE|RECEIPT|AUDITLOG")]
    bundle: OsString,
    /// Hash everything; this does not authenticate a bundle
    #[arg(long)]
    check: bool,
    /// Public key (PEM) that must have signed the receipt; repeatable
    #[arg(long = "key", value_name = "PUB", conflicts_with = "policy")]
    keys: Vec<PathBuf>,
    /// Number of the given keys that must have signed [default: all]
    #[arg(long, value_name = "N", requires = "keys")]
    threshold: Option<usize>,
    /// Policy file with the keys whose signatures on a receipt count, in any section
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class format, io; with `--check` class integrity; for a receipt class signature and trust.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let policy = self.policy(session)?;
        session.reach = self.reach.clone();
        let path = if is_container(&self.bundle) { None } else { detect::path(&self.bundle, session) };
        let Some(path) = path else {
            return self.bundle(policy.as_ref(), Some(&[]), session);
        };
        let (full, heads) = (session.full_path(&path), session.heads());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // A link may lead to another directory.
        let folders = [Some(folder.to_owned()), full.parent().map(Path::to_owned), heads.clone()];
        let beside: Vec<PathBuf> = folders.into_iter().flatten().collect();
        // Nothing of the file is read before this.
        confine(session, &beside);
        match detect::look(path, &full, heads.as_deref()) {
            Some(Paper::Receipt(path, file)) => receipt::show(&path, file, self.check, policy.as_ref()),
            Some(Paper::Log(path, file)) if policy.is_none() => {
                audit::show(Shown { path, full, file, heads }, self.check)
            }
            _ => self.bundle(policy.as_ref(), None, session),
        }
    }

    /// Returns the policy for signatures on a receipt, if one was given.
    fn policy(&self, session: &Session<'_>) -> Result<Option<Policy>, Fault> {
        if self.keys.is_empty() && self.policy.is_none() {
            return Ok(None);
        }
        let mut trust = Whom::default();
        (trust.keys, trust.threshold, trust.policy) = (self.keys.clone(), self.threshold, self.policy.clone());
        trust.stated(session.world)
    }

    /// Shows a bundle; `confined` as in [`open_any`].
    fn bundle(
        self,
        policy: Option<&Policy>,
        confined: Option<&[PathBuf]>,
        session: &mut Session<'_>,
    ) -> Result<Outcome, Fault> {
        if policy.is_some() {
            let what =
                differs(escape(&self.bundle.to_string_lossy()), "a receipt with --key or --policy", "something else");
            return Err(Fault::new(Class::Usage, what).help("to authenticate a bundle, use `packmule verify`"));
        }
        let Opened { head: bundle, rest } = open_any(&self.bundle, &[], confined, session)?;
        let manifest = bundle.claimed()?;
        let (keyids, signatures) = signatures(&bundle);
        let id = bundle.id();
        let mut text = heading(&manifest, id, &signatures);
        // A stream is read once, so nothing is known about its images before the rest is read.
        let assumed = bundle.learning(rest.is_none()).assume();
        let images = match (&assumed, &rest) {
            (Ok(assumed), None) => images::all(assumed, &session.flow),
            _ => HashMap::new(),
        };
        session.flow.check()?;
        text.push_str(&artifacts(&manifest, &images));
        text.push_str(&not_inside(&manifest));
        let mut result = json!({ "authenticated": false, "id": id, "keyids": keyids, "manifest": manifest });
        if !images.is_empty() {
            result["images"] = images.iter().map(|(digest, facts)| (digest.to_string(), json!(facts))).collect();
        }
        if !self.check {
            return Ok(Outcome::new(text, result));
        }
        let assumed = assumed?;
        let checked = match rest {
            None => check(&assumed, &session.flow, false).map_err(Fault::from),
            Some(rest) => {
                let mut members = Members::new(&assumed, rest, session.flow.clone());
                one_pass::check(&assumed, &mut members, &session.flow, false)
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
            Err(fault) if !matches!(fault.class, Class::Format | Class::Integrity) => Err(fault),
            Err(fault) => {
                let found = if fault.class == Class::Format {
                    "the content breaks the rules of the format"
                } else {
                    "bytes differ"
                };
                text.push_str(&format!("checked    {found}; the manifest is not authenticated\n"));
                result["checked"] = json!(false);
                Ok(Outcome::new(text, result).failed(fault))
            }
        }
    }
}

/// Returns the lines before the artifacts: name, id, form, place in a channel, signatures,
/// annotations and bases. `signatures` are the lines about the signatures.
fn heading(manifest: &Manifest, id: Digest, signatures: &str) -> String {
    let size: u64 = manifest.volumes.iter().map(|volume| volume.size).sum();
    let form = match manifest.form {
        Form::Volumes => format!("volumes    {}, {size} bytes", manifest.volumes.len()),
        Form::Flat => format!("files      as files in {}", manifest.name.flat()),
    };
    let mut text = format!(
        "{}  (not authenticated: verify it with --key)\nbundle id  {id}\ncreated    {} by {}\n{form}\nblobs      {}\n",
        manifest.name,
        manifest.created,
        escape(&manifest.tool),
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
    text.push_str(signatures);
    for (key, value) in manifest.annotations.iter().flat_map(Notes::iter) {
        text.push_str(&format!("note       {}: {}\n", escape(key), escape(value)));
    }
    for base in &manifest.bases {
        text.push_str(&format!("relies on  {base}\n"));
    }
    text
}

/// Returns the lines about content that the manifest names and the bundle does not hold.
fn not_inside(manifest: &Manifest) -> String {
    let mut text = String::new();
    for (index, absent) in manifest.absent.iter().enumerate() {
        if index == 0 {
            text.push_str("not inside\n");
        }
        let at = absent.repository.as_ref().map(|one| format!(", delivered in {one}")).unwrap_or_default();
        let reason = format!("{:?}", absent.reason).to_lowercase();
        text.push_str(&format!("  {} {} bytes, {reason}{at}\n", absent.digest, absent.size));
    }
    text
}

/// Returns the lines about the artifacts: their names, where they come from, what a platform
/// filter changed, and what the images say of themselves.
fn artifacts(manifest: &Manifest, images: &HashMap<Digest, ImageFacts>) -> String {
    let carried: HashSet<(&Repository, Digest)> =
        manifest.artifacts.iter().map(|artifact| (&artifact.repository, artifact.digest)).collect();
    let mut text = "artifacts\n".to_owned();
    for artifact in &manifest.artifacts {
        let names: Vec<String> = artifact.tags.iter().map(|tag| format!(":{tag}")).collect();
        let kind = artifact.artifact_type.as_deref().map(|kind| format!("  {}", escape(kind))).unwrap_or_default();
        let refers = artifact.subject.map(|subject| format!("  refers to {subject}")).unwrap_or_default();
        text.push_str(&format!("  {}{} {}{kind}{refers}\n", artifact.repository, names.join(" "), artifact.digest));
        if let Some(facts) = images.get(&artifact.digest) {
            text.push_str(&image(facts));
        }
        if let Some(source) = &artifact.source {
            text.push_str(&format!("    named by the exporter; it comes from {source}\n"));
        }
        if let Some(original) = artifact.original {
            let rest = if carried.contains(&(&artifact.repository, original)) {
                "that index is inside too"
            } else {
                "signatures and SBOMs of that index are not inside"
            };
            text.push_str(&format!(
                "    reduced to fewer platforms, before: {original}\n    what is pinned to that digest does not find this one; {rest}\n"
            ));
        }
    }
    text
}

/// Returns the lines about an image's config.
fn image(facts: &ImageFacts) -> String {
    let platform = facts.platform.as_deref().map_or_else(|| "unknown".to_owned(), escape);
    let created = facts.created.as_deref().map(|created| format!(", made {}", escape(created))).unwrap_or_default();
    let mut text = format!("    platform {platform}{created}\n");
    let labels = facts.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
    // The last steps say what is special about it.
    let steps = facts.history.iter().rev().filter(|step| !step.is_empty()).cloned().collect::<Vec<_>>();
    for (word, list) in [("label", labels), ("step ", steps)] {
        list.iter().take(FEW).for_each(|one| text.push_str(&format!("    {word} {}\n", escape(one))));
        if list.len() > FEW {
            text.push_str(&format!("    {word} … and {} more\n", list.len() - FEW));
        }
    }
    text
}

/// Returns the ids of the keys that signed and the lines that list them, or lines that say what is
/// wrong with the signature file.
fn signatures(bundle: &Untrusted) -> (Vec<String>, String) {
    if !bundle.has_signature_file() {
        return (Vec::new(), format!("signature  none: there is no {}\n", bundle.name().signatures()));
    }
    let envelope = match bundle.envelope() {
        Ok(envelope) => envelope,
        Err(error) => return (Vec::new(), format!("signature  UNREADABLE: {}\n", escape(&error.what))),
    };
    let keyids: Vec<String> = envelope.keyids().map(ToOwned::to_owned).collect();
    let text = if envelope.payload == bundle.statement() {
        keyids.iter().map(|keyid| format!("signature  {keyid}\n")).collect()
    } else {
        format!("signature  OF ANOTHER MANIFEST, under {}\n", keyids.join(", "))
    };
    let text = if keyids.is_empty() { "signature  none\n".to_owned() } else { text };
    (keyids, text)
}
