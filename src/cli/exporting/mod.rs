//! A request to export artifacts into one bundle, as `export` and the pipelines make it, and the run
//! of it. `told.rs` words its outcome.
//!
//! Parses nothing and reads no configuration: what was typed or configured is resolved before.

mod told;

use std::collections::BTreeMap;

use serde_json::json;

use super::args::carry::channel::{ChannelRequest, Place};
use super::args::carry::delta::{Asked, Base};
use super::args::carry::lock::Lock;
use super::args::carry::selectors::{Options, Selected};
use super::args::carry::target::{OutputRequest, Target};
use super::network::Network;
use super::output::Outcome;
use super::reach::Reach;
use super::session::Session;
use crate::base::fault::{Fault, expects};
use crate::base::product::TOOL;
use crate::bundle::format::manifest::{Form, MEDIA_TYPE};
use crate::bundle::time::Moment;
use crate::bundle::write::{ReadBack, read_back};
use crate::decide::plan::Plan;
use crate::decide::select::{Selection, Wanted};
use crate::decide::selector::Selector;
use crate::decide::wanted::List;
use crate::oci::{Artifact, Digest};
use crate::operate::export::{self, Manner, Settings};
use crate::operate::report_data;
use crate::outfile::unmounted;
use crate::signing::private::signer::Signer;
use crate::signing::{Envelope, statement};

/// Decides whether artifacts may leave.
pub type Admit = dyn Fn(&[Artifact]) -> Result<(), Fault>;

/// An export of one bundle. Everything that it needs is parsed, and the keys are loaded.
pub struct Exporting {
    /// Selectors of what to take.
    pub selectors: Vec<Selector>,
    /// Options for all of it.
    pub options: Options,
    /// Earlier bundles and receipts whose content is left out.
    pub bases: Vec<Base>,
    /// The wanted list; empty if there is none.
    pub list: List,
    /// The channel.
    pub channel: ChannelRequest,
    /// Where the bundle goes; may be `None` for a dry run.
    pub output: Option<OutputRequest>,
    /// Keys that sign.
    pub signers: Vec<Box<dyn Signer>>,
    /// Annotations for the manifest.
    pub annotations: BTreeMap<String, String>,
    /// Maximum size of a volume in bytes.
    pub volume_size: u64,
    /// Compression level.
    pub level: i32,
    /// Whether to write plain files instead of volumes.
    pub flat: bool,
    /// Whether to read the bundle back from its medium.
    pub read_back: bool,
    /// Whether an existing bundle of the name is replaced.
    pub overwrite: bool,
    /// Whether to leave out content that cannot be fetched.
    pub allow_partial: bool,
    /// Whether to write nothing but the lock.
    pub dry_run: bool,
    /// File for what was resolved.
    pub lock: Option<Lock>,
    /// Decides whether the artifacts may leave, before anything is written.
    pub admit: Option<Box<Admit>>,
    /// How registries are reached.
    pub network: Network,
}

/// An export that was run.
pub struct Export {
    /// The bundle; `None` for a dry run.
    pub done: Option<export::Outcome>,
    /// The outcome for people and programs.
    pub outcome: Outcome,
}

impl Exporting {
    /// Exports the bundle.
    ///
    /// # Errors
    /// Class usage before any work; class source, policy, io, lock.
    pub fn run(mut self, session: &mut Session<'_>) -> Result<Export, Fault> {
        session.reach = Reach::of(&self.network);
        let created = created(session)?;
        let place = self.place(created, session)?;
        let newest = || self.channel.last(place.as_ref(), session);
        let asked = Asked::read(&self.bases, std::mem::take(&mut self.list), newest, session)?;
        let name = place.as_ref().map(Place::name);
        let target = self.output.as_ref().map(|output| output.target(name.as_deref(), session)).transpose()?;
        if let Some(warning) = target.as_ref().filter(|_| !self.dry_run).and_then(|target| unmounted(&target.dir)) {
            session.flow.warn(warning);
        }
        // Faults of the output come before any network work.
        let output = match &target {
            Some(target) if !self.dry_run => Some(target.open(self.overwrite, session)?),
            _ => None,
        };
        let named = asked.list.references().cloned().map(Wanted::new).collect();
        let init = self.channel.starts();
        let Selected { source, wanted, origins, bundles, made } =
            self.options.source(&self.selectors, named, init, session, |session| self.network.source(session))?;
        let mut annotations = self.annotations.clone();
        annotations.extend(export::from(&bundles));
        let text = self.text(&asked, place.as_ref(), (&bundles, &made));
        let delivered = asked.delivered;
        let selection = Selection { delivered, ..self.options.selection(wanted, self.allow_partial) };
        let make = || -> Result<Plan, Fault> {
            let plan = crate::decide::plan::make(&session.flow, &*source, &selection)?;
            self.admit(&plan.artifacts)?;
            if let Some(lock) = &self.lock {
                let at = |wanted: &Wanted| origins.get(wanted).cloned().unwrap_or_default();
                let resolved = plan.resolved.iter().map(|(wanted, digest)| (at(wanted), wanted.clone(), *digest));
                lock.write(&resolved.collect::<Vec<_>>())?;
            }
            Ok(plan)
        };
        let Some(output) = output else {
            let volume_size = (!self.flat).then_some(self.volume_size);
            return Ok(Export { done: None, outcome: told::planned(&make()?, volume_size) });
        };
        let settings = Settings {
            annotations,
            standing: place.as_ref().map(|place| place.standing.clone()),
            volume_size: self.volume_size,
            level: self.level,
            ..Settings::new(created, TOOL.to_owned(), text)
        };
        let unfinished = export::pending(&session.flow, &output, &settings)?;
        let resumed = unfinished.is_some();
        if resumed && self.lock.is_some() {
            session.flow.warn("--lock: not written again: the unfinished run that goes on here wrote it");
        }
        let (input, partial) = match unfinished {
            Some(input) => {
                self.admit(&input.artifacts)?;
                (input, Vec::new())
            }
            None => {
                let mut plan = make()?;
                let partial = std::mem::take(&mut plan.partial);
                (export::input(&output, plan, &settings)?, partial)
            }
        };
        let sign = |manifest: &[u8]| {
            place.as_ref().map_or(Ok(()), |place| place.begin(manifest))?;
            let id = Digest::sha256(manifest);
            let mut envelope = Envelope::new(statement(MEDIA_TYPE, id, manifest.len() as u64));
            self.signers.iter().try_for_each(|signer| envelope.sign_with(&**signer))?;
            Ok(envelope.to_bytes())
        };
        // A container is compared with what was sent, file by file.
        let compares = self.read_back && output.is_store();
        let read_back: Option<&ReadBack<'_>> = if compares { Some(&read_back::read_back) } else { None };
        let form = if self.flat { Form::Flat } else { Form::Volumes };
        let manner = Manner { leave_out: self.allow_partial, form };
        let done = export::run(&session.flow, &*source, &output, &input, &sign, read_back, manner)?;
        place.as_ref().map_or(Ok(()), Place::done)?;
        let outcome = self.outcome(&done, &partial, resumed, target.as_ref(), session);
        Ok(Export { done: Some(done), outcome })
    }

    /// Checks whether the artifacts may leave.
    fn admit(&self, artifacts: &[Artifact]) -> Result<(), Fault> {
        self.admit.as_ref().map_or(Ok(()), |admit| admit(artifacts))
    }

    /// Returns the outcome of an export that wrote a bundle.
    fn outcome(
        &self,
        done: &export::Outcome,
        partial: &[Fault],
        resumed: bool,
        target: Option<&Target>,
        session: &Session<'_>,
    ) -> Outcome {
        let keyids: Vec<&str> = self.signers.iter().map(|signer| signer.public().id()).collect();
        let mut outcome = told::told(done, partial, (resumed, self.read_back), &keyids);
        if let Some(address) = target.and_then(|target| target.container.as_ref()) {
            let place = format!("{address}/{}", done.manifest.name);
            outcome.text.push_str(&format!("sent to    {place}\n"));
            outcome.result["to"] = json!(place);
            outcome.result["read_back"] = json!(false);
        } else if let (Some(target), true) = (target, session.reports()) {
            let keyids = keyids.into_iter().map(ToOwned::to_owned).collect();
            let page = report_data::carried::exported(&session.flow, &target.dir, done, keyids, outcome.fault.as_ref());
            outcome.page = Some(page);
        }
        outcome
    }

    /// Returns the parts of the request that decide the content of the volumes. An unfinished run
    /// of the same text is continued.
    fn text(&self, asked: &Asked, place: Option<&Place>, (bundles, made): (&[Digest], &[Digest])) -> String {
        let mut options = self.options.text(&self.selectors);
        options["delta"] = asked.text();
        if self.channel.is_given() {
            options["channel"] = self.channel.text(place);
        }
        options["annotations"] = json!(self.annotations);
        options["volume_size"] = json!(self.volume_size.to_string());
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
        self.channel.take(created, session, |name| output.target(Some(name), session)?.found(session))
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
