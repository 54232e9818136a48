//! The selectors and filters that `export` and `copy` share. Turns them into one open source and
//! the list of what is wanted there. A [`Router`] makes several sources into one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::cli::args::carry::bundle_source::{Bundles, in_bundle};
use crate::cli::args::carry::local_source::Locals;
use crate::cli::args::place::{Selector, Source as Typed};
use crate::cli::args::trust::Whom;
use crate::content::Source;
use crate::content::router::{Place, Router};
use crate::decide::select::{Delivered, Filters, IndexMode, Referrers, Selection, Wanted};
use crate::flow::Flow;
use crate::layout::{Entry, Layout, Standing};
use crate::oci::{Digest, Platform, Reference, Repository, Tag};

/// The selectors, and the filters for all of them.
#[derive(clap::Args, Debug)]
pub struct Selecting {
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets are the syntax that the help shows")]
    /// Artifact to take: HOST/REPO[:TAG][@DIGEST], oci:DIR[:REF], docker-archive:FILE[:REF],
    /// bundle:BUNDLE[:REF] or file:PATH, followed by any of ,as=REPO[:TAG] ,platform=OS/ARCH
    /// ,referrers=all|none|TYPE
    #[arg(value_name = "SELECTOR")]
    selectors: Vec<String>,
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

/// Everything that was selected.
pub struct Selected {
    /// The one source of it.
    pub source: Arc<dyn Source>,
    /// The references that are wanted there.
    pub wanted: Vec<Wanted>,
    /// The ids of the bundles that something was selected from, in order.
    pub bundles: Vec<Digest>,
    /// The digests of the manifests that were made for archives, files and directories, in order.
    pub made: Vec<Digest>,
}

/// `--index`
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Index {
    /// Make a new index of the remaining entries
    Rebuild,
    /// Keep the original index, with entries missing; most registries refuse it
    Sparse,
    /// Make a new index and carry the original next to it, with its signatures and other referrers
    Keep,
}

impl Selecting {
    /// Parses the selectors; with `needed` there must be at least one.
    ///
    /// # Errors
    /// Class usage.
    pub fn parse(&self, needed: bool) -> Result<Vec<Selector>, Fault> {
        if needed && self.selectors.is_empty() {
            return Err(Fault::usage(
                "SELECTOR: expected at least one, found none",
                "name what to take: HOST/REPO:TAG",
            ));
        }
        let selectors: Vec<Selector> =
            self.selectors.iter().map(|text| Selector::parse(text)).collect::<Result<_, _>>()?;
        match self.whom.given() {
            Some(option) if !has_bundle(&selectors) => Err(without_bundle(option)),
            _ => Ok(selectors),
        }
    }

    /// Returns the selection of `wanted`, with the options that apply to all of it.
    pub fn selection(&self, wanted: Vec<Wanted>, allow_partial: bool) -> Selection {
        Selection {
            wanted,
            index: match self.index {
                Index::Rebuild => IndexMode::Rebuild,
                Index::Sparse => IndexMode::Sparse,
                Index::Keep => IndexMode::Keep,
            },
            foreign: self.foreign,
            allow_partial,
            delivered: Delivered::default(),
        }
    }

    /// Returns the options in a fixed form, for recognizing the same request.
    pub fn text(&self) -> Value {
        json!({
            "selectors": self.selectors, "platforms": self.platforms, "index": format!("{:?}", self.index),
            "referrers": self.referrers, "foreign": self.foreign,
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
        let filters =
            Arc::new(Filters { platforms: self.platforms.clone(), referrers: which("--referrers", &self.referrers)? });
        let (mut layouts, mut bundles, mut locals) = (Layouts::default(), Bundles::default(), Locals::default());
        let mut taken: Vec<(At, Wanted)> = Vec::new();
        let mut is_online = false;
        for selector in selectors {
            let filters = filters_of(selector, &filters)?;
            let mut take = |at: At, wanted: Wanted| -> Result<(), Fault> {
                let wanted = Wanted { filters: Arc::clone(&filters), ..wanted };
                taken.push((at, renamed(wanted, selector)?));
                Ok(())
            };
            match &selector.source {
                Typed::Registry(reference) => {
                    is_online = true;
                    take(At::Registries, Wanted::new(reference.clone()))?;
                }
                Typed::Layout { dir, reference } => {
                    let (at, layout) = layouts.open(dir, session)?;
                    warn_of_names(layout, dir, reference.as_deref(), session);
                    for one in in_layout(&session.flow, layout, reference.as_deref())? {
                        take(at, one)?;
                    }
                }
                Typed::Bundle { bundle, reference } => {
                    let (number, opened) = bundles.open(bundle, (&self.whom, init), session)?;
                    for one in in_bundle(opened, reference.as_deref())? {
                        take(At::Bundle(number), one)?;
                    }
                }
                Typed::Archive { file, reference } => {
                    let (number, all) = locals.archive(file, reference.as_deref(), session)?;
                    all.into_iter().try_for_each(|one| take(At::Local(number), Wanted::new(one)))?;
                }
                Typed::File(path) => {
                    let (number, all) = locals.file(path, session)?;
                    all.into_iter().try_for_each(|one| take(At::Local(number), Wanted::new(one)))?;
                }
            }
        }
        let named = named.into_iter().map(|one| Wanted { filters: Arc::clone(&filters), ..one }).collect();
        let is_local = !layouts.0.is_empty() || !bundles.is_empty() || !locals.is_empty();
        let registries = if is_online || !is_local { Some(registries(session)?) } else { None };
        together(Places { layouts, bundles, locals, registries }, named, taken)
    }
}

/// Source of a selected artifact.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// The layout with this index.
    Layout(usize),
    /// The bundle with this index.
    Bundle(usize),
    /// The archive, file or directory with this index.
    Local(usize),
    Registries,
}

/// The layouts of a run, each opened once.
#[derive(Default)]
struct Layouts(Vec<(PathBuf, Arc<Layout>)>);

impl Layouts {
    fn open(&mut self, dir: &Path, session: &Session<'_>) -> Result<(At, &Layout), Fault> {
        let path = session.path(dir);
        let number = match self.0.iter().position(|(opened, _)| *opened == path) {
            Some(number) => number,
            None => {
                let layout = Layout::open(&path)?.in_flow(&session.flow);
                self.0.push((path, Arc::new(layout)));
                self.0.len() - 1
            }
        };
        Ok((At::Layout(number), &self.0[number].1))
    }
}

/// All places of a run that something may be selected from.
struct Places {
    layouts: Layouts,
    bundles: Bundles,
    locals: Locals,
    registries: Option<Box<dyn Source>>,
}

/// Returns the only source, or a router over all of them. Registries come last because they are the
/// most expensive to read.
fn together(places: Places, named: Vec<Wanted>, taken: Vec<(At, Wanted)>) -> Result<Selected, Fault> {
    let all = |named: Vec<Wanted>, taken: Vec<(At, Wanted)>| {
        named.into_iter().chain(taken.into_iter().map(|(_, wanted)| wanted)).collect()
    };
    let Places { layouts, bundles, locals, registries } = places;
    let made: BTreeSet<Digest> = taken
        .iter()
        .filter(|(at, _)| matches!(at, At::Local(_)))
        .filter_map(|(_, wanted)| wanted.reference.digest)
        .collect();
    let made = made.into_iter().collect();
    let bundles = bundles.into_inner();
    let ids: BTreeSet<Digest> = bundles.iter().map(|(_, bundle)| bundle.id()).collect();
    let ids = ids.into_iter().collect();
    let first_bundle = layouts.0.len();
    let first_local = first_bundle + bundles.len();
    let online = first_local + locals.len();
    let is_online = registries.is_some();
    let in_layouts = layouts.0.into_iter().map(|(path, layout)| {
        let source: Arc<dyn Source> = layout;
        Place { name: format!("oci:{}", path.display()), source }
    });
    let in_bundles = bundles.into_iter().map(|(path, bundle)| {
        let source: Arc<dyn Source> = bundle;
        Place { name: format!("bundle:{}", path.display()), source }
    });
    let at_registries =
        registries.map(|registries| Place { name: "the registry".to_owned(), source: Arc::from(registries) });
    let mut places: Vec<Place> =
        in_layouts.chain(in_bundles).chain(locals.into_places()).chain(at_registries).collect();
    if places.len() == 1
        && let Some(only) = places.pop()
    {
        return Ok(Selected { source: only.source, wanted: all(named, taken), bundles: ids, made });
    }
    let mut router = Router::new(places, is_online.then_some(online));
    if is_online {
        named.iter().try_for_each(|wanted| select(&mut router, online, wanted))?;
    }
    for (at, wanted) in &taken {
        let place = match at {
            At::Layout(number) => *number,
            At::Bundle(number) => first_bundle + number,
            At::Local(number) => first_local + number,
            At::Registries => online,
        };
        select(&mut router, place, wanted)?;
    }
    Ok(Selected { source: Arc::new(router), wanted: all(named, taken), bundles: ids, made })
}

/// Returns whether a bundle is selected from.
pub fn has_bundle(selectors: &[Selector]) -> bool {
    selectors.iter().any(|one| matches!(one.source, Typed::Bundle { .. }))
}

/// Returns the refusal of an option of TRUST without a bundle to trust.
pub fn without_bundle(option: &str) -> Fault {
    Fault::usage(
        format!("{option}: expected a bundle: source, found none"),
        "leave it out, or select from bundle:DIR/NAME",
    )
}

fn select(router: &mut Router, place: usize, wanted: &Wanted) -> Result<(), Fault> {
    router.select(place, &wanted.reference, wanted.repository(), wanted.tag())
}

/// Returns the filters of one selector: its own keys, or else the options in `all`.
fn filters_of(selector: &Selector, all: &Arc<Filters>) -> Result<Arc<Filters>, Fault> {
    if selector.platforms.is_empty() && selector.referrers.is_empty() {
        return Ok(Arc::clone(all));
    }
    let mut own = Filters::clone(all);
    if !selector.platforms.is_empty() {
        let platform = |text: &String| {
            text.parse::<Platform>()
                .map_err(|error| Fault::usage(format!("selector {}: {error}", selector.text), "write platform=OS/ARCH"))
        };
        own.platforms = selector.platforms.iter().map(platform).collect::<Result<_, _>>()?;
    }
    if !selector.referrers.is_empty() {
        own.referrers = which(&format!("selector {}: referrers", selector.text), &selector.referrers)?;
    }
    Ok(Arc::new(own))
}

/// Parses `all`, `none`, or artifact types. `subject` names the option or key in messages.
///
/// # Errors
/// Class usage for a mix.
pub fn which(subject: &str, words: &[String]) -> Result<Referrers, Fault> {
    match words {
        [all] if all == "all" => Ok(Referrers::All),
        [none] if none == "none" => Ok(Referrers::None),
        types if types.iter().any(|one| one == "all" || one == "none") => Err(Fault::usage(
            format!("{subject}: expected all, none, or artifact types, found a mix"),
            "give all or none alone",
        )),
        types => Ok(Referrers::Types(types.to_vec())),
    }
}

/// Maximum number of unusual names listed; the others are counted.
const NAMED: usize = 20;

/// Warns of names in a layout that are neither tag nor reference, among the entries that `name`
/// selects. Such an entry keeps only its digest and its other names.
pub fn warn_of_names(layout: &Layout, dir: &Path, name: Option<&str>, session: &Session<'_>) {
    let digest = name.and_then(|name| layout.find(Some(name)).ok()).map(|entry| entry.descriptor.digest);
    let odd: Vec<_> = layout.odd_names().filter(|(_, of)| name.is_none() || digest == Some(*of)).collect();
    let shown = dir.display();
    for (raw, digest) in odd.iter().take(NAMED) {
        session.flow.warn(format!(
            "layout {shown}: entry {digest}: expected a tag or a reference as its name, found {raw:?}: taken without that name"
        ));
    }
    let selected = layout.entries().iter().filter(|entry| name.is_none() || digest == Some(entry.descriptor.digest));
    for entry in selected.filter(|entry| entry.standing == Standing::Unclear) {
        let digest = entry.descriptor.digest;
        session.flow.warn(format!(
            "layout {shown}: entry {digest}: attached to an image that the layout does not tell: taken without a name"
        ));
    }
    if odd.len() > NAMED {
        session.flow.warn(format!("layout {shown}: {} more names are neither tag nor reference", odd.len() - NAMED));
    }
}

/// Returns what a selector of a layout selects: one entry, or all of them.
///
/// # Errors
/// Class source for an entry that is missing or cannot be read; class cancelled.
pub fn in_layout(flow: &Flow, layout: &Layout, name: Option<&str>) -> Result<Vec<Wanted>, Fault> {
    let wanted = |entry: &Entry, names: &[&Reference]| -> Vec<Wanted> {
        if names.is_empty() {
            let reference =
                Reference { repository: layout.repository().clone(), tag: None, digest: Some(entry.descriptor.digest) };
            return vec![Wanted::new(reference)];
        }
        let pinned = names.iter().map(|&name| Reference { digest: Some(entry.descriptor.digest), ..name.clone() });
        pinned.map(Wanted::new).collect()
    };
    if let Some(name) = name {
        let entry = layout.find(Some(name)).map_err(|error| error.into_fault(Class::Source))?;
        let all = wanted(entry, &entry.names.iter().collect::<Vec<_>>());
        let named: Vec<Wanted> =
            all.iter().filter(|one| one.reference.to_string().starts_with(name)).cloned().collect();
        return Ok(if named.is_empty() { all } else { named });
    }
    let at_source = |error: crate::content::Error| error.into_fault(Class::Source);
    let mut all = Vec::new();
    for entry in layout.entries() {
        flow.check()?;
        if !layout.travels(entry).map_err(at_source)? {
            // No artifact may have the name of a list of referrers.
            let is_good = |name: &&Reference| !name.tag.as_ref().is_some_and(Tag::is_referrers_fallback);
            all.extend(wanted(entry, &entry.names.iter().filter(is_good).collect::<Vec<_>>()));
        }
    }
    for list in layout.lists_of_nothing().map_err(at_source)? {
        let digest = list.descriptor.digest;
        flow.warn(format!("entry {digest}: left out: a list of referrers whose subject is not in the layout"));
    }
    Ok(all)
}

/// Applies `,as=REPO[:TAG]`.
fn renamed(wanted: Wanted, selector: &Selector) -> Result<Wanted, Fault> {
    let Some(name) = &selector.rename else { return Ok(wanted) };
    let wrong = |error: crate::oci::reference::ReferenceError| {
        Fault::usage(error.to_string(), "write as=HOST/REPO or as=HOST/REPO:TAG")
    };
    let reference: Reference = name.parse().map_err(wrong)?;
    let has_tag = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
    let (repository, tag): (Repository, Option<Tag>) = (reference.repository, reference.tag.filter(|_| has_tag));
    Ok(Wanted { as_name: Some((repository, tag)), ..wanted })
}
