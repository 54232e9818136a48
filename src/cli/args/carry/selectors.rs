//! The selectors and filters that `export` and `copy` share. Turns them into one open source and
//! the list of what is wanted there.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::base::fault::{Fault, differs};
use crate::cli::Session;
use crate::cli::args::carry::bundle_source::in_bundle;
use crate::cli::args::carry::charts;
use crate::cli::args::carry::filters::{filtered, filters_of, renamed};
use crate::cli::args::carry::layout_source::{in_layout, warn_of_names};
use crate::cli::args::carry::lists::{self, Lists, ReadList};
use crate::cli::args::carry::places::{Places, together};
use crate::cli::args::carry::taken::{At, Taken, from};
use crate::cli::args::trust::Whom;
use crate::cli::output::Outcome;
use crate::content::Source;
use crate::decide::expand::{expand, is_open};
use crate::decide::select::{Delivered, Filters, IndexMode, Referrers, Selection, Wanted};
use crate::decide::selector::{Selector, Source as Typed};
use crate::flow::{Event, Flow, each};
use crate::oci::{Platform, Reference};

pub use crate::cli::args::carry::places::Selected;

/// The selectors, and the filters for all of them.
#[derive(clap::Args, Debug)]
pub struct Selecting {
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets are the syntax that the help shows")]
    /// Artifact to take: HOST/REPO[:TAG][@DIGEST], HOST/REPO:GLOB, HOST/NAMESPACE/*, oci:DIR[:REF],
    /// docker-archive:FILE[:REF], bundle:BUNDLE[:REF] or file:PATH, followed by any of ,as=REPO[:TAG]
    /// ,platform=OS/ARCH ,referrers=all|none|TYPE ,semver=RANGE ,regex=EXPRESSION ,latest=N ,exclude=GLOB
    #[arg(value_name = "SELECTOR")]
    selectors: Vec<String>,
    #[command(flatten)]
    lists: Lists,
    /// Take only these platforms of an index; repeatable
    #[arg(long = "platform", value_name = "OS/ARCH[/V]")]
    platforms: Vec<Platform>,
    /// Action for an index when --platform removes some of its entries
    #[arg(long, value_enum, default_value_t = Index::Rebuild)]
    index: Index,
    /// Referrers of the artifacts to take: all, none, or artifact types; repeatable for types
    #[arg(long, value_name = "all|none|TYPE", default_value = "all")]
    referrers: Vec<String>,
    /// Fetch layers that are marked as non-distributable
    #[arg(long)]
    foreign: bool,
    #[command(flatten, next_help_heading = "Trust in bundle: sources")]
    whom: Whom,
}

/// Refuses a file where a selector is expected: `images.txt` would be a repository of docker.io.
/// A file without a dot in its name does not count.
fn not_a_file(text: &str, session: &Session<'_>) -> Result<(), Fault> {
    let path = std::path::Path::new(text);
    if path.extension().is_none() || !session.path(path).is_file() {
        return Ok(());
    }
    let what = differs(format_args!("selector {text}"), "an artifact", "a file of that name");
    Err(Fault::usage(what, format!("read it as a list with `-f {text}`, or carry the file itself as file:{text}")))
}

/// `--index`
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Index {
    /// Make a new index of the remaining entries
    Rebuild,
    /// Keep the original index, with entries missing; most registries refuse it
    Sparse,
    /// Make a new index and carry the original next to it, with its signatures and other referrers
    Keep,
}

impl Selecting {
    /// Parses the selectors and reads the lists; with `needed` there must be at least one of them.
    /// What lists leave out is warned of.
    ///
    /// # Errors
    /// Class usage, with every wrong selector and every refused entry of a list; class io for a list
    /// that cannot be read.
    pub fn parse(&self, needed: bool, session: &mut Session<'_>) -> Result<Vec<Selector>, Fault> {
        if needed && self.selectors.is_empty() && self.lists.is_empty() {
            return Err(Fault::usage(
                differs("SELECTOR", "at least one", "none"),
                "name what to take: HOST/REPO:TAG, or a list with -f",
            ));
        }
        let (mut selectors, mut faults) = self.typed(session);
        let read = self.lists.read(session)?;
        lists::warn(&read, session);
        faults.extend(lists::refused(&read));
        selectors.extend(lists::selectors(read).map(|(_, selector)| selector));
        if let Some(fault) = Fault::from_list(faults) {
            return Err(fault);
        }
        if needed && selectors.is_empty() {
            return Err(Fault::usage(
                differs("lists", "something to take", "nothing"),
                "see with --list what they mean",
            ));
        }
        match self.whom.given() {
            Some(option) if !has_bundle(&selectors) => Err(without_bundle(option)),
            _ => Ok(selectors),
        }
    }

    /// Returns what selectors and lists mean, without asking any source.
    ///
    /// # Errors
    /// Class io for a list that cannot be read.
    pub fn listed(&self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let (typed, faults) = self.typed(session);
        let read: Vec<ReadList> = self.lists.read(session)?;
        Ok(lists::shown(&typed, faults, &read))
    }

    /// Parses the selectors of the command line. Returns also the faults of those that are wrong.
    fn typed(&self, session: &Session<'_>) -> (Vec<Selector>, Vec<Fault>) {
        let (mut selectors, mut faults) = (Vec::new(), Vec::new());
        for text in &self.selectors {
            match not_a_file(text, session).and_then(|()| Selector::parse(text)) {
                Ok(selector) => selectors.push(selector),
                Err(fault) => faults.push(fault),
            }
        }
        (selectors, faults)
    }

    /// Returns what the options for all selectors mean.
    ///
    /// # Errors
    /// Class usage.
    pub fn options(&self) -> Result<Options, Fault> {
        Ok(Options {
            filters: Filters {
                platforms: self.platforms.clone(),
                referrers: Referrers::parse("--referrers", &self.referrers)?,
            },
            index: self.index.meaning(),
            foreign: self.foreign,
            with_images: self.lists.with_images(),
            whom: self.whom.clone(),
        })
    }
}

impl Index {
    /// Returns what the word means.
    pub const fn meaning(self) -> IndexMode {
        match self {
            Self::Rebuild => IndexMode::Rebuild,
            Self::Sparse => IndexMode::Sparse,
            Self::Keep => IndexMode::Keep,
        }
    }
}

/// Options for everything that is selected.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Filters, where a selector has none of its own.
    pub filters: Filters,
    /// Treatment of an index of which a filter removes entries.
    pub index: IndexMode,
    /// Whether to fetch layers that are marked as non-distributable.
    pub foreign: bool,
    /// Whether to take also the images that charts list.
    pub with_images: bool,
    /// Whose signatures count on bundles that are selected from.
    pub whom: Whom,
}

impl Options {
    /// Returns the selection of `wanted`, with the options that apply to all of it.
    pub fn selection(&self, wanted: Vec<Wanted>, allow_partial: bool) -> Selection {
        let (index, foreign) = (self.index, self.foreign);
        Selection { wanted, index, foreign, allow_partial, delivered: Delivered::default() }
    }

    /// Returns the options in a fixed form, for recognizing the same request.
    pub fn text(&self, selectors: &[Selector]) -> Value {
        json!({
            "selectors": selectors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "platforms": self.filters.platforms, "index": format!("{:?}", self.index),
            "referrers": format!("{:?}", self.filters.referrers), "foreign": self.foreign,
            "with_images": self.with_images,
        })
    }

    /// Returns the source of everything selected, and what is wanted there. `named` is also wanted;
    /// it is read at the registries if there are any. Several sources become one. `init` says
    /// whether states of channels may start here. `registries` opens the registries.
    ///
    /// # Errors
    /// Class usage, also for a name that two sources claim with different digests, and for a bundle
    /// without trust; class source for a layout that cannot be read; those of a bundle that does not
    /// hold or is not trusted; those of `registries`.
    pub fn source(
        &self,
        selectors: &[Selector],
        named: Vec<Wanted>,
        init: bool,
        session: &Session<'_>,
        registries: impl FnOnce(&Session<'_>) -> Result<Box<dyn Source>, Fault>,
    ) -> Result<Selected, Fault> {
        let filters = Arc::new(self.filters.clone());
        let mut places = Places::default();
        let mut taken: Vec<Taken> = Vec::new();
        let is_online = selectors.iter().any(|one| matches!(one.source, Typed::Registry(_)) || is_open(one));
        let is_local = selectors.iter().any(|one| one.source.is_local());
        let mut registries = Some(registries);
        if let Some(open) = registries.take_if(|_| is_online || !is_local) {
            places.registries = Some(open(session)?);
        }
        let mut open = match &places.registries {
            Some(registries) => opened(&session.flow, &**registries, selectors)?.into_iter(),
            None => Vec::new().into_iter(),
        };
        for selector in selectors {
            let filters = filters_of(selector, &filters)?;
            let mut take = |at: At, all: Vec<Wanted>| -> Result<(), Fault> {
                for wanted in all {
                    let wanted = renamed(Wanted { filters: Arc::clone(&filters), ..wanted }, selector)?;
                    taken.push(Taken { at, from: from(&selector.source), wanted });
                }
                Ok(())
            };
            match &selector.source {
                Typed::Registry(reference) => take(At::Registries, vec![Wanted::new(reference.clone())])?,
                Typed::Tags { .. } | Typed::Repositories { .. } => {
                    take(At::Registries, open.next().unwrap_or_default().into_iter().map(Wanted::new).collect())?;
                }
                Typed::Layout { dir, reference } => {
                    let (number, layout) = places.layouts.open(dir, session)?;
                    warn_of_names(layout, dir, reference.as_deref(), session);
                    take(
                        At::Layout(number),
                        filtered(selector, in_layout(&session.flow, layout, reference.as_deref())?)?,
                    )?;
                }
                Typed::Bundle { bundle, reference } => {
                    let (number, opened) = places.bundles.open(bundle, (&self.whom, init), session)?;
                    take(At::Bundle(number), filtered(selector, in_bundle(opened, reference.as_deref())?)?)?;
                }
                Typed::Archive { file, reference } => {
                    let (number, all) = places.locals.archive(file, reference.as_deref(), session)?;
                    take(At::Local(number), filtered(selector, all.into_iter().map(Wanted::new).collect())?)?;
                }
                Typed::File(path) => {
                    let (number, all) = places.locals.file(path, session)?;
                    take(At::Local(number), all.into_iter().map(Wanted::new).collect())?;
                }
            }
        }
        if self.with_images {
            let open = registries.map(|open| || open(session));
            charts::add_images(&session.flow, &mut places, &mut taken, open)?;
        }
        let named = named.into_iter().map(|one| Wanted { filters: Arc::clone(&filters), ..one }).collect();
        together(places, named, taken)
    }
}

/// Returns the references of each selector of tags or repositories, in order.
///
/// # Errors
/// One fault with those of all selectors.
fn opened(flow: &Flow, source: &dyn Source, selectors: &[Selector]) -> Result<Vec<Vec<Reference>>, Fault> {
    let open: Vec<&Selector> = selectors.iter().filter(|one| is_open(one)).collect();
    if open.is_empty() {
        return Ok(Vec::new());
    }
    flow.event(Event::Stage { name: "listing tags", bytes: 0, items: open.len() as u64 });
    let found = each(flow, &open, |selector| {
        let found = expand(flow, source, selector);
        flow.event(Event::Item(selector.to_string()));
        found
    })?;
    let (mut all, mut faults) = (Vec::new(), Vec::new());
    for one in found {
        match one {
            Ok(references) => all.push(references),
            Err(fault) => faults.push(fault),
        }
    }
    Fault::from_list(faults).map_or(Ok(all), Err)
}

/// Returns whether a bundle is selected from.
pub fn has_bundle(selectors: &[Selector]) -> bool {
    selectors.iter().any(|one| matches!(one.source, Typed::Bundle { .. }))
}

/// Returns the refusal of an option of TRUST without a bundle to trust.
pub fn without_bundle(option: &str) -> Fault {
    Fault::usage(differs(option, "a bundle: source", "none"), "leave it out, or select from bundle:DIR/NAME")
}
