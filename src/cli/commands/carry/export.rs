//! `export`: packs artifacts from registries, layouts and other sources into a bundle.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use crate::base::fault::{Class, Fault, differs, escape, expects};
use crate::base::product::TOOL;
use crate::bundle::Manifest;
use crate::bundle::format::manifest::{Form, MEDIA_TYPE};
use crate::bundle::format::notes::Notes;
use crate::bundle::time::Moment;
use crate::bundle::write::ReadBack;
use crate::bundle::write::check_volume_size;
use crate::bundle::write::read_back;
use crate::cli::Session;
use crate::cli::args::carry::channel::{Channel, Place};
use crate::cli::args::carry::delta::{Asked, Delta};
use crate::cli::args::carry::lock::Lock;
use crate::cli::args::carry::selectors::{Selected, Selecting, has_bundle};
use crate::cli::args::carry::size;
use crate::cli::args::carry::target::Target;
use crate::cli::output::Outcome;
use crate::cli::progress::size as show;
use crate::cli::reach::Reach;
use crate::cli::writing::signers::load_signers;
use crate::decide::plan::{Plan, Summary};
use crate::decide::select::{Selection, Wanted};
use crate::decide::selector::Selector;
use crate::oci::{Digest, Reason};
use crate::operate::export::{self, Manner, Settings};
use crate::operate::report_data;
use crate::outfile::unmounted;
use crate::signing::{Envelope, statement};

/// `export SELECTOR... [--base last|BUNDLE|RECEIPT]... [--wanted FILE] -o DIR/NAME --sign KEY... | --unsigned`
#[derive(clap::Args, Debug)]
#[command(group(clap::ArgGroup::new("signed").required(true).args(["sign", "unsigned", "dry_run", "list"]).multiple(true)))]
pub struct Args {
    #[command(flatten)]
    selecting: Selecting,
    // The heading of the options before ends here.
    #[command(flatten, next_help_heading = None::<&'static str>)]
    delta: Delta,
    #[command(flatten)]
    channel: Channel,
    /// Directory or container of the new bundle, a slash, and its name. With --channel, the
    /// directory or the container is enough
    #[arg(short, long, value_name = "DIR/NAME", required_unless_present_any = ["dry_run", "list"])]
    output: Option<PathBuf>,
    /// Directory where volumes for a container are written; each leaves it once it was sent
    #[arg(long, value_name = "DIR")]
    stage: Option<PathBuf>,
    /// Private key that signs: a PEM file, or pkcs11:…; repeatable
    #[arg(long, value_name = "KEY", conflicts_with = "unsigned")]
    sign: Vec<PathBuf>,
    /// Write the bundle without signatures; `sign` can add them later
    #[arg(long)]
    unsigned: bool,
    /// File with the passphrase of a key, or systemd:NAME; repeat once per key, in the order of the
    /// keys [default: ask]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Vec<PathBuf>,
    /// Annotation for the signed manifest; repeatable
    #[arg(long = "annotation", value_name = "K=V")]
    annotations: Vec<String>,
    /// Maximum size of a volume: SIZE, none, dvd, bd or fat32
    #[arg(long, value_name = "SIZE", default_value = "fat32")]
    volume_size: String,
    /// Compression level; 0 stores everything uncompressed
    #[arg(long, value_name = "0-19", default_value_t = 9, value_parser = clap::value_parser!(i32).range(0..=19))]
    level: i32,
    /// Write plain files instead of volumes, for guards that refuse archives
    #[arg(long, conflicts_with_all = ["volume_size", "level"])]
    flat: bool,
    /// Skip reading the bundle back from its medium
    #[arg(long)]
    no_read_back: bool,
    /// Replace an existing bundle of this name
    #[arg(long)]
    overwrite: bool,
    /// Leave out content that cannot be fetched, and say so in the signed manifest
    #[arg(long)]
    allow_partial: bool,
    /// Show what would be exported, largest first; write only the --lock
    #[arg(long)]
    dry_run: bool,
    /// Show what selectors and lists mean, without a network, and write nothing
    #[arg(long, conflicts_with_all = ["dry_run", "lock"])]
    list: bool,
    /// File for what was resolved, with digests, as a list that -f reads
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    #[command(flatten)]
    network: crate::cli::network::Network,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage before any work; class source, policy, io, lock.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        if self.list {
            return self.selecting.listed(session);
        }
        let volume_size = size::volume(&self.volume_size)?;
        check_volume_size(volume_size)?;
        let mut annotations = self.annotations()?;
        let list = self.delta.list(session)?;
        let selectors = self.selecting.parse(list.is_empty(), session)?;
        if self.channel.starts() && !self.channel.is_given() && !has_bundle(&selectors) {
            let what = differs("--init-state", "--channel or a bundle: source", "neither");
            return Err(Fault::usage(what, "leave it out, or name the channel that starts"));
        }
        session.reach = Reach::of(&self.network);
        let lock = self.lock.as_ref().map(|path| Lock::open(path, session)).transpose()?;
        let created = created(session)?;
        let place = self.place(created, session)?;
        let asked = self.delta.read(list, || self.channel.last(place.as_ref(), session), session)?;
        let target = self.target(place.as_ref(), session)?;
        if let Some(warning) = target.as_ref().filter(|_| !self.dry_run).and_then(|target| unmounted(&target.dir)) {
            session.flow.warn(warning);
        }
        let signers = load_signers(&self.sign, &self.passphrase_file, session.world)?;
        // Faults of the output come before any network work.
        let output = match &target {
            Some(target) if !self.dry_run => Some(target.open(self.overwrite, session)?),
            _ => None,
        };
        let named = asked.list.references().cloned().map(Wanted::new).collect();
        let init = self.channel.starts();
        let Selected { source, wanted, origins, bundles, made } =
            self.selecting.source(&selectors, named, init, session, |session| self.network.source(session))?;
        annotations.extend(export::from(&bundles));
        let text = self.text(&selectors, volume_size, &asked, place.as_ref(), (&bundles, &made));
        let delivered = asked.delivered;
        let selection = Selection { delivered, ..self.selecting.selection(wanted, self.allow_partial) };
        let make = || -> Result<Plan, Fault> {
            let plan = crate::decide::plan::make(&session.flow, &*source, &selection)?;
            if let Some(lock) = &lock {
                let at = |wanted: &Wanted| origins.get(wanted).cloned().unwrap_or_default();
                let resolved = plan.resolved.iter().map(|(wanted, digest)| (at(wanted), wanted.clone(), *digest));
                lock.write(&resolved.collect::<Vec<_>>())?;
            }
            Ok(plan)
        };
        let Some(output) = output else {
            let volume_size = (!self.flat).then_some(volume_size);
            return Ok(planned(&make()?, volume_size));
        };
        let settings = Settings {
            annotations,
            standing: place.as_ref().map(|place| place.standing.clone()),
            volume_size,
            level: self.level,
            ..Settings::new(created, TOOL.to_owned(), text)
        };
        let unfinished = crate::operate::export::pending(&session.flow, &output, &settings)?;
        let resumed = unfinished.is_some();
        if resumed && self.lock.is_some() {
            session.flow.warn("--lock: not written again: the unfinished run that goes on here wrote it");
        }
        let (input, partial) = match unfinished {
            Some(input) => (input, Vec::new()),
            None => {
                let mut plan = make()?;
                let partial = std::mem::take(&mut plan.partial);
                (crate::operate::export::input(&output, plan, &settings)?, partial)
            }
        };
        let sign = |manifest: &[u8]| {
            place.as_ref().map_or(Ok(()), |place| place.begin(manifest))?;
            let id = Digest::sha256(manifest);
            let mut envelope = Envelope::new(statement(MEDIA_TYPE, id, manifest.len() as u64));
            signers.iter().try_for_each(|signer| envelope.sign_with(&**signer))?;
            Ok(envelope.to_bytes())
        };
        // A container is compared with what was sent, file by file.
        let compares = !self.no_read_back && output.is_store();
        let read_back: Option<&ReadBack<'_>> = if compares { Some(&read_back::read_back) } else { None };
        let form = if self.flat { Form::Flat } else { Form::Volumes };
        let manner = Manner { leave_out: self.allow_partial, form };
        let done = crate::operate::export::run(&session.flow, &*source, &output, &input, &sign, read_back, manner)?;
        place.as_ref().map_or(Ok(()), Place::done)?;
        let keyids: Vec<&str> = signers.iter().map(|signer| signer.public().id()).collect();
        let mut outcome = self.told(&done, &partial, resumed, &keyids);
        if let Some(address) = target.as_ref().and_then(|target| target.container.as_ref()) {
            let place = format!("{address}/{}", done.manifest.name);
            outcome.text.push_str(&format!("sent to    {place}\n"));
            outcome.result["to"] = json!(place);
            outcome.result["read_back"] = json!(false);
        } else if let (Some(target), true) = (&target, session.reports()) {
            let keyids = keyids.into_iter().map(ToOwned::to_owned).collect();
            let page =
                report_data::carried::exported(&session.flow, &target.dir, &done, keyids, outcome.fault.as_ref());
            outcome.page = Some(page);
        }
        Ok(outcome)
    }

    /// Parses `-o` and `--stage`. `None` for a dry run without them.
    ///
    /// # Errors
    /// Those of [`Target::parse`]; class usage for plain files in a container.
    fn target(&self, place: Option<&Place>, session: &Session<'_>) -> Result<Option<Target>, Fault> {
        let Some(path) = self.output.as_ref().filter(|_| !(self.dry_run && self.channel.is_given())) else {
            return Ok(None);
        };
        let name = place.map(Place::name);
        let target = Target::parse(path, self.stage.as_deref(), name.as_deref(), session)?;
        if let (true, Some(address)) = (self.flat, &target.container) {
            let what = differs("--flat", "-o with a directory", format_args!("the container {address}"));
            return Err(Fault::usage(what, "leave out --flat: a container takes volumes"));
        }
        Ok(Some(target))
    }

    /// Returns the parts of the request that decide the content of the volumes. An unfinished run
    /// of the same text is continued.
    fn text(
        &self,
        selectors: &[Selector],
        volume_size: u64,
        asked: &Asked,
        place: Option<&Place>,
        (bundles, made): (&[Digest], &[Digest]),
    ) -> String {
        let mut options = self.selecting.text(selectors);
        options["delta"] = asked.text();
        if self.channel.is_given() {
            options["channel"] = self.channel.text(place);
        }
        options["annotations"] = json!(self.annotations);
        options["volume_size"] = json!(volume_size.to_string());
        options["level"] = json!(self.level);
        options["allow_partial"] = json!(self.allow_partial);
        if self.flat {
            options["flat"] = json!(true);
        }
        // A bundle of the same name may be another one.
        if !bundles.is_empty() {
            options["from"] = json!(bundles);
        }
        // A file of the same name may have other content.
        if !made.is_empty() {
            options["made"] = json!(made);
        }
        options.to_string()
    }

    /// Reserves the place in the channel; `None` if nothing is written.
    fn place(&self, created: Moment, session: &Session<'_>) -> Result<Option<Place>, Fault> {
        let Some(output) = self.output.as_ref().filter(|_| !self.dry_run) else { return Ok(None) };
        self.channel.take(created, session, |name| {
            Target::parse(output, self.stage.as_deref(), Some(name), session)?.found(session)
        })
    }

    fn annotations(&self) -> Result<BTreeMap<String, String>, Fault> {
        let mut map = BTreeMap::new();
        for text in &self.annotations {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                Fault::usage(
                    expects(format_args!("--annotation {text:?}"), "KEY=VALUE"),
                    "write for example ticket=CHG-1042",
                )
            })?;
            if crate::base::redact::has_secret(value) {
                let what = format!("--annotation {key}: a secret in an argument");
                return Err(Fault::usage(
                    what,
                    "leave it out, since anyone can read a manifest; change the secret, since others may have seen it",
                ));
            }
            if key.starts_with(export::RESERVED) {
                let what =
                    differs(format_args!("--annotation {key}"), "another name", "one that starts with packmule.");
                return Err(Fault::usage(what, "choose another name: export itself sets these"));
            }
            if map.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(Fault::usage(format!("--annotation {key}: given twice"), "give each key once"));
            }
        }
        Ok(map)
    }

    fn told(
        &self,
        done: &crate::operate::export::Outcome,
        partial: &[Fault],
        resumed: bool,
        keyids: &[&str],
    ) -> Outcome {
        let manifest = &done.manifest;
        let bytes = done.bytes;
        let content: u64 = manifest.blobs.iter().map(|blob| blob.size).sum();
        let place = match manifest.form {
            Form::Volumes => format!("in {} volumes ({})", manifest.volumes.len(), show(bytes)),
            Form::Flat => format!("as files in {}", manifest.name.flat()),
        };
        let mut text = format!(
            "exported   {}: {} artifacts, {} blobs ({}) {place}\nbundle id  {}\n",
            manifest.name,
            manifest.artifacts.len(),
            manifest.blobs.len(),
            show(content),
            done.id
        );
        if let (Some(channel), Some(epoch), Some(sequence)) = (&manifest.channel, manifest.epoch, manifest.sequence) {
            let expires = manifest.expires.map(|moment| format!(", expires {moment}")).unwrap_or_default();
            text.push_str(&format!("channel    {channel} {epoch}/{sequence}{expires}\n"));
        }
        text.push_str(&left_out(manifest));
        let notes = manifest.annotations.iter().flat_map(Notes::iter);
        let from: Vec<&str> =
            notes.filter(|(key, _)| *key == export::FROM).flat_map(|(_, ids)| ids.split(' ')).collect();
        from.iter().for_each(|id| text.push_str(&format!("from       bundle {id}\n")));
        if self.sign.is_empty() {
            text.push_str("signed     by nobody yet: use `packmule sign`\n");
        }
        if self.no_read_back {
            text.push_str("read back  no (--no-read-back): verify it before it travels\n");
        }
        let mut result = json!({
            "id": done.id, "name": manifest.name, "artifacts": manifest.artifacts, "absent": manifest.absent,
            "bases": manifest.bases,
            "blobs": manifest.blobs.len(), "content": content, "volumes": manifest.volumes, "bytes": bytes,
            "files": done.files, "signatures": self.sign.len(), "keyids": keyids, "resumed": resumed,
            "read_back": !self.no_read_back,
        });
        if !from.is_empty() {
            result["from"] = json!(from);
        }
        if manifest.channel.is_some() {
            result["channel"] = json!({
                "channel": manifest.channel, "epoch": manifest.epoch, "sequence": manifest.sequence,
                "previous": manifest.previous, "expires": manifest.expires,
            });
        }
        let outcome = Outcome::new(text, result);
        let missing = manifest.absent.iter().filter(|absent| absent.reason == Reason::Missing).count();
        if missing == 0 && partial.is_empty() {
            return outcome;
        }
        let what =
            format!("{missing} blobs and {} references could not be fetched; the manifest says so", partial.len());
        let mut fault = Fault::new(Class::Partial, what)
            .help("the rest of the bundle is usable; export again when the source is complete");
        fault.others.extend_from_slice(partial);
        fault.others.extend(done.left_out.iter().map(|what| Fault::new(Class::Source, what.clone())));
        outcome.failed(fault)
    }
}

/// Returns SOURCE_DATE_EPOCH, or else the current time.
fn created(session: &Session<'_>) -> Result<Moment, Fault> {
    let seconds = match session.world.var("SOURCE_DATE_EPOCH") {
        Some(text) => text.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
            Fault::usage(expects("SOURCE_DATE_EPOCH", "seconds since 1970"), "unset it, or set it to a whole number")
        })?,
        None => session.flow.clock().unix(),
    };
    Moment::from_unix(seconds)
        .ok_or_else(|| Fault::usage(expects("clock", "a year from 0 to 9999"), "set the clock or SOURCE_DATE_EPOCH"))
}

/// Returns the line about content that the bases have and the bundle leaves out.
fn left_out(manifest: &Manifest) -> String {
    let left: Vec<u64> = manifest.absent.iter().filter(|one| one.reason == Reason::Base).map(|one| one.size).collect();
    if left.is_empty() {
        return String::new();
    }
    let bases = if manifest.bases.len() == 1 { "the base has" } else { "the bases have" };
    format!("left out   {} blobs ({}) that {bases}\n", left.len(), show(left.iter().sum()))
}

/// Returns the outcome of `--dry-run`.
fn planned(plan: &Plan, volume_size: Option<u64>) -> Outcome {
    let mut summary: Summary = plan.summary();
    summary.artifacts.sort_by_key(|one| std::cmp::Reverse(one.bytes));
    let mut text = String::new();
    for artifact in &summary.artifacts {
        let tags: String = artifact.tags.iter().map(|tag| format!(":{tag}")).collect();
        let kind = artifact.artifact_type.as_deref().map(|kind| format!("  {}", escape(kind))).unwrap_or_default();
        text.push_str(&format!(
            "{}{tags}@{}  {} ({} shared){kind}\n",
            artifact.repository,
            artifact.digest,
            show(artifact.bytes),
            show(artifact.shared)
        ));
        if let Some(original) = artifact.original {
            text.push_str(&format!("  reduced to fewer platforms, before: {original}\n"));
        }
        if let Some(source) = &artifact.source {
            text.push_str(&format!("  named by this export; it comes from {source}\n"));
        }
    }
    text.push_str(&format!(
        "would carry {} artifacts: {} blobs, {} after deduplication of {}\n",
        summary.artifacts.len(),
        summary.blobs,
        show(summary.bytes),
        show(summary.bytes_unshared)
    ));
    if summary.absent > 0 {
        text.push_str(&format!("not carried {} blobs ({})\n", summary.absent, show(summary.absent_bytes)));
    }
    let mut result = json!(summary);
    if let Some(size) = volume_size {
        let volumes = plan.volumes(size);
        text.push_str(&format!("volumes     at most {volumes}\n"));
        result["volumes"] = json!(volumes);
    }
    Outcome::new(text, result)
}
