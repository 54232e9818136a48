//! `diff`: shows what is new, gone or changed between two sides, or whether everything in a bundle
//! is at a place. A bundle's manifest is not authenticated here, and the output says so.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::base::fault::{Class, Fault, differs, expects};
use crate::bundle::Untrusted;
use crate::cli::Session;
use crate::cli::args::carry::destination::{Naming, check_maps, names};
use crate::cli::args::carry::layout_source::{in_layout, warn_of_names};
use crate::cli::args::carry::local_source::{archive_place, open_archive};
use crate::cli::args::container::is_container;
use crate::cli::args::place::Destination as Typed;
use crate::cli::diff_images::{add_images, image_lines};
use crate::cli::diff_text::{LISTED, as_json, line};
use crate::cli::output::Outcome;
use crate::cli::progress::size as show;
use crate::cli::reach::Reach;

use crate::content::{Inventory, Source};
use crate::decide::maps::Map;
use crate::decide::route::{Place, Route};
use crate::decide::select::{Selection, Wanted};
use crate::layout::Layout;
use crate::oci::Repository;
use crate::operate::diff::images::{ImageChanges, Images, compare_images, of_bundle};
use crate::operate::diff::place::of_place;
use crate::operate::diff::place::there::{Request, Seen, look};
use crate::operate::diff::{Contents, Difference, compare};
use crate::operate::report_data::differing;

/// `diff A B [--map ...] [--keep-host] [--content] [--check]`
#[derive(clap::Args, Debug)]
pub struct Args {
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets are the syntax that the help shows")]
    /// Old side: a bundle (/PATH, ./PATH, bundle:PATH or CONTAINER/NAME), oci:DIR,
    /// docker-archive:FILE, or HOST[:PORT][/PREFIX]
    #[arg(value_name = "A")]
    old: OsString,
    /// New side, of the same forms; if A is a bundle and B a place, check whether everything in A
    /// is at B
    #[arg(value_name = "B")]
    new: OsString,
    #[command(flatten)]
    naming: Naming,
    /// Read every blob at the place instead of only asking for it
    #[arg(long)]
    content: bool,
    /// Exit with code 15 if there are differences
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    network: crate::cli::network::Network,
}

/// A side as typed.
enum Side {
    Bundle(OsString),
    Archive(PathBuf),
    Place(Typed),
}

impl Side {
    fn parse(typed: &OsStr) -> Result<Self, Fault> {
        let text = &*typed.to_string_lossy();
        if text.starts_with(['/', '.']) || text.starts_with("bundle:") || is_container(typed) {
            return Ok(Self::Bundle(typed.to_owned()));
        }
        if let Some(file) = archive_place(text) {
            return file.map(Self::Archive);
        }
        let help = "write a bundle as ./DIR/NAME, a place as HOST or oci:DIR";
        Typed::parse(text).map(Self::Place).map_err(|fault| fault.help(help))
    }

    const fn is_registry(&self) -> bool {
        matches!(self, Self::Place(Typed::Registry { .. }))
    }
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage; class format, io, source for content that cannot be read; with `--check` class
    /// policy, as an outcome.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        session.reach = Reach::of(&self.network);
        let (old, new) = (Side::parse(&self.old)?, Side::parse(&self.new)?);
        let maps = self.naming.maps(session)?;
        if let (Side::Bundle(text), Side::Place(place)) = (&old, &new) {
            return self.there(&crate::cli::args::bundle::open(text, session)?, place, maps, session);
        }
        if self.content {
            return Err(Fault::new(Class::Usage, expects("--content", "a bundle and a place"))
                .help("leave out --content, or name a bundle first and a place second"));
        }
        // Names below a registry's prefix have no host.
        let bare = old.is_registry() || new.is_registry();
        let maps = self.naming.maps_only(session)?;
        let route = self.naming.route(Place::Bare, maps.clone());
        let contents = |side: &Side| self.contents(side, bare.then_some((&route, &*maps)), session);
        let ((before, old_images), (after, new_images)) = (contents(&old)?, contents(&new)?);
        let found = compare(&session.flow, &before, &after)?;
        let images = compare_images(&session.flow, &found, &old_images, &new_images)?;
        let mut outcome = self.told(&found, &images, [&old, &new].iter().any(|side| matches!(side, Side::Bundle(_))));
        if session.reports() {
            outcome.page = Some(differing::of_names(&found, self.sides(), outcome.fault.as_ref()));
        }
        Ok(outcome)
    }

    /// Returns both sides as typed, for reports.
    fn sides(&self) -> (&str, &str) {
        (self.old.to_str().unwrap_or("A"), self.new.to_str().unwrap_or("B"))
    }

    /// Reads one side. With a route and its maps, names have no host.
    fn contents(
        &self,
        side: &Side,
        bare: Option<(&Route, &[Map])>,
        session: &Session<'_>,
    ) -> Result<(Contents, Images), Fault> {
        let full = |repository: &Repository| Ok(repository.to_string());
        let path = |repository: &Repository| Ok(repository.path().to_owned());
        match side {
            Side::Bundle(text) => {
                let bundle = crate::cli::args::bundle::open(text, session)?;
                let Some((route, maps)) = bare else { return of_bundle(&session.flow, bundle, &full) };
                check_maps(maps, names(&bundle.claimed()?), session)?;
                let mapped = |repository: &Repository| route.destination(repository).map(|name| name.to_string());
                of_bundle(&session.flow, bundle, &mapped)
            }
            Side::Archive(file) => {
                let archive = open_archive(file, session)?;
                let all = archive.manifests().iter().flat_map(|one| archive.references(one)).map(Wanted::new);
                let selection = Selection { wanted: all.collect(), ..Selection::default() };
                let archive: Arc<dyn Source> = Arc::new(archive);
                of_place(&session.flow, &archive, &selection, if bare.is_some() { &path } else { &full })
            }
            Side::Place(Typed::Layout(dir)) => {
                let layout = Layout::open(&session.path(dir))?.in_flow(&session.flow);
                warn_of_names(&layout, dir, None, session);
                let selection = Selection { wanted: in_layout(&session.flow, &layout, None)?, ..Selection::default() };
                let layout: Arc<dyn Source> = Arc::new(layout);
                of_place(&session.flow, &layout, &selection, if bare.is_some() { &path } else { &full })
            }
            Side::Place(Typed::Registry { host, prefix }) => self.network.contents(host, prefix, session),
        }
    }

    fn there(
        &self,
        bundle: &Untrusted,
        typed: &Typed,
        maps: Vec<Map>,
        session: &Session<'_>,
    ) -> Result<Outcome, Fault> {
        let manifest = bundle.claimed()?;
        check_maps(&maps, names(&manifest), session)?;
        let maps = self.naming.with_rules(maps, names(&manifest), || self.network.rules(session))?;
        let (place, opened): (Place, Box<dyn Inventory>) = match typed {
            Typed::Registry { host, prefix } => {
                (Place::Registry { host: host.clone(), prefix: prefix.clone() }, self.network.destination(session)?)
            }
            Typed::Layout(dir) => (Place::Layout, Box::new(Layout::open(&session.path(dir))?.in_flow(&session.flow))),
        };
        let route = self.naming.route(place, maps);
        let (artifacts, absent) = (&manifest.artifacts, &manifest.absent);
        let request = Request { artifacts, absent, route: &route, content: self.content };
        let seen = look(&session.flow, &*opened, &request)?;
        let mut text =
            format!("{}  (not authenticated: verify it with --key)\nbundle id  {}\n", manifest.name, bundle.id());
        for finding in &seen.findings {
            let (repository, kind, digest) = (&finding.repository, finding.kind, finding.digest);
            text.push_str(&format!("differs    {repository}: {kind} of {digest}: {}\n", finding.detail));
        }
        if seen.left > 0 {
            text.push_str(&format!("left       {} artifacts that belong to original indexes\n", seen.left));
        }
        let read = if self.content { format!("{} read", show(seen.bytes)) } else { "asked for, not read".to_owned() };
        let word = if seen.findings.is_empty() { "all at" } else { "not all at" };
        text.push_str(&format!(
            "{word} {}: {} artifacts, {} blobs ({read}), {} differences\n",
            self.new.display(),
            artifacts.len(),
            seen.blobs,
            seen.findings.len()
        ));
        let result = json!({
            "authenticated": false, "id": bundle.id(), "place": self.new.to_string_lossy(), "same": seen.findings.is_empty(),
            "content": self.content, "artifacts": artifacts.len(), "blobs": seen.blobs, "bytes": seen.bytes, "left": seen.left,
            "differences": findings(&seen),
        });
        let outcome = Outcome::new(text, result);
        let is_failed = self.check && !seen.findings.is_empty();
        let mut outcome = if is_failed { outcome.failed(differ(seen.findings.len())) } else { outcome };
        if session.reports() {
            outcome.page = Some(differing::of_place(&seen, self.sides(), self.content, outcome.fault.as_ref()));
        }
        Ok(outcome)
    }

    fn told(&self, found: &Difference, images: &ImageChanges, has_bundle: bool) -> Outcome {
        let mut text = String::new();
        for (name, change) in found.changes.iter().take(LISTED) {
            text.push_str(&line(&name.repository, name.tag.as_ref(), change));
            text.push_str(&image_lines(images, change));
        }
        let unlisted = found.changes.len().saturating_sub(LISTED);
        if unlisted > 0 {
            text.push_str(&format!("and        {unlisted} more names differ\n"));
        }
        text.push_str(&format!("same       {} names\n", found.same));
        let at_least = if found.is_exact { "" } else { "at least " };
        text.push_str(&format!(
            "a delta of B over A carries {at_least}{} blobs ({}) and leaves out {} ({})\n",
            found.carried.blobs,
            show(found.carried.bytes),
            found.left_out.blobs,
            show(found.left_out.bytes)
        ));
        if has_bundle {
            text.push_str("bundles' manifests are not authenticated here: verify them with --key\n");
        }
        let mut differences = as_json(found);
        add_images(&mut differences, found, images);
        let result = json!({
            "authenticated": false, "old": self.old.to_string_lossy(), "new": self.new.to_string_lossy(), "same": found.changes.is_empty(),
            "unchanged": found.same, "differences": differences, "unlisted": unlisted,
            "delta": { "blobs": found.carried.blobs, "bytes": found.carried.bytes, "exact": found.is_exact,
                "left_out": { "blobs": found.left_out.blobs, "bytes": found.left_out.bytes } },
        });
        let outcome = Outcome::new(text, result);
        if self.check && !found.changes.is_empty() { outcome.failed(differ(found.changes.len())) } else { outcome }
    }
}

fn findings(seen: &Seen) -> Vec<Value> {
    let all = seen.findings.iter();
    all.map(|one| json!({ "repository": one.repository.to_string(), "kind": one.kind, "digest": one.digest, "detail": one.detail }))
        .collect()
}

fn differ(count: usize) -> Fault {
    Fault::new(Class::Policy, differs("--check", "no difference", count)).help("see the differences on standard output")
}
