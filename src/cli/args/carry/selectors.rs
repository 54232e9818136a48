//! The selection and its source: the selectors and filters that `export` and `copy` share. What was typed becomes one
//! source, opened, and what is wanted there.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::cli::args::place::{Selector, Source as Typed};
use crate::content::Source;
use crate::decide::select::{Delivered, IndexMode, Referrers, Selection, Wanted};
use crate::flow::Flow;
use crate::layout::Layout;
use crate::oci::media_type::document_kind;
use crate::oci::{Platform, Reference, Repository, Tag};

/// The selectors, and the filters over all of them.
#[derive(clap::Args, Debug)]
pub struct Selecting {
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets are the syntax that the help shows")]
    /// HOST/REPO[:TAG][@DIGEST] or oci:DIR[:REF], then ,as=REPO[:TAG]
    #[arg(value_name = "SELECTOR")]
    selectors: Vec<String>,
    /// Take these platforms of an index only; repeat it for more
    #[arg(long = "platform", value_name = "OS/ARCH[/V]")]
    platforms: Vec<Platform>,
    /// What becomes of an index that --platform cuts
    #[arg(long, value_enum, default_value_t = Index::Rebuild)]
    index: Index,
    /// What refers to the artifacts: all, none, or artifact types
    #[arg(long, value_name = "all|none|TYPE", default_value = "all")]
    referrers: Vec<String>,
    /// Fetch layers that are marked as not to be distributed
    #[arg(long)]
    foreign: bool,
}

/// `--index`
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Index {
    /// Make a new index of what is left
    Rebuild,
    /// Keep the index, with children missing
    Sparse,
}

impl Selecting {
    /// The selectors as they were meant; with `needed` there must be one.
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
        self.selectors.iter().map(|text| Selector::parse(text)).collect()
    }

    /// `wanted` with the filters.
    ///
    /// # Errors
    /// Class usage.
    pub fn selection(&self, wanted: Vec<Wanted>, allow_partial: bool) -> Result<Selection, Fault> {
        Ok(Selection {
            wanted,
            platforms: self.platforms.clone(),
            index: match self.index {
                Index::Rebuild => IndexMode::Rebuild,
                Index::Sparse => IndexMode::Sparse,
            },
            referrers: self.referrers()?,
            foreign: self.foreign,
            allow_partial,
            delivered: Delivered::default(),
        })
    }

    /// All of it in a fixed form, for telling one request from another.
    pub fn text(&self) -> Value {
        json!({
            "selectors": self.selectors, "platforms": self.platforms, "index": format!("{:?}", self.index),
            "referrers": self.referrers, "foreign": self.foreign,
        })
    }

    fn referrers(&self) -> Result<Referrers, Fault> {
        match self.referrers.as_slice() {
            [all] if all == "all" => Ok(Referrers::All),
            [none] if none == "none" => Ok(Referrers::None),
            types if types.iter().any(|one| one == "all" || one == "none") => {
                Err(Fault::usage("--referrers: expected all, none, or types alone", "give all or none without others"))
            }
            types => Ok(Referrers::Types(types.to_vec())),
        }
    }

    /// The one source that all selectors name, and what is wanted there; `named` is wanted too, at the same source.
    /// `registries` opens the network.
    ///
    /// # Errors
    /// Class usage; class source for a layout that cannot be read; those of `registries`.
    pub fn source(
        &self,
        selectors: &[Selector],
        named: Vec<Wanted>,
        session: &Session<'_>,
        registries: impl FnOnce(&Session<'_>) -> Result<Box<dyn Source>, Fault>,
    ) -> Result<(Box<dyn Source>, Vec<Wanted>), Fault> {
        let mut layout: Option<(PathBuf, Layout)> = None;
        let mut wanted = named;
        let mut at_registries = 0;
        for selector in selectors {
            if !selector.platforms.is_empty() || !selector.referrers.is_empty() {
                return Err(Fault::usage(
                    format!("selector {}: platform= and referrers= are not in this version", selector.text),
                    "use --platform and --referrers for all of them",
                ));
            }
            match &selector.source {
                Typed::Registry(reference) => {
                    at_registries += 1;
                    wanted.push(renamed(Wanted::new(reference.clone()), selector)?);
                }
                Typed::Layout { dir, reference } => {
                    let path = session.path(dir);
                    let opened = match layout.take() {
                        None => (path.clone(), Layout::open(&path)?.in_flow(&session.flow)),
                        Some(opened) if opened.0 == path => opened,
                        Some(_) => {
                            return Err(Fault::usage(
                                "selectors: expected one layout, found two",
                                "take each layout in a run of its own",
                            ));
                        }
                    };
                    warn_of_names(&opened.1, dir, reference.as_deref(), session);
                    for one in in_layout(&session.flow, &opened.1, reference.as_deref())? {
                        wanted.push(renamed(one, selector)?);
                    }
                    layout = Some(opened);
                }
            }
        }
        match layout {
            Some(_) if at_registries > 0 => {
                Err(Fault::usage("selectors: expected registries or one layout, found both", "take them in two runs"))
            }
            Some((_, layout)) => Ok((Box::new(layout), wanted)),
            None => Ok((registries(session)?, wanted)),
        }
    }
}

/// So many odd names are told; the others are counted.
const NAMED: usize = 20;

/// Warns of names in a layout that are neither tag nor reference, as far as `name` selects what has them: what they stand
/// for has only its digest, or its other names.
pub fn warn_of_names(layout: &Layout, dir: &Path, name: Option<&str>, session: &Session<'_>) {
    let digest = name.and_then(|name| layout.find(Some(name)).ok()).map(|entry| entry.descriptor.digest);
    let odd: Vec<_> = layout.odd_names().filter(|(_, of)| name.is_none() || digest == Some(*of)).collect();
    let shown = dir.display();
    for (raw, digest) in odd.iter().take(NAMED) {
        session.flow.warn(format!(
            "layout {shown}: entry {digest}: expected a tag or a reference for its name, found {raw:?}: taken without it"
        ));
    }
    if odd.len() > NAMED {
        session.flow.warn(format!("layout {shown}: {} more names are neither tag nor reference", odd.len() - NAMED));
    }
}

/// Returns what a layout's selector stands for: one entry, or all of them.
///
/// # Errors
/// Class source for an entry that is not there or cannot be read; cancelled.
pub fn in_layout(flow: &Flow, layout: &Layout, name: Option<&str>) -> Result<Vec<Wanted>, Fault> {
    let wanted = |entry: &crate::layout::Entry| -> Vec<Wanted> {
        if entry.names.is_empty() {
            let reference =
                Reference { repository: layout.repository().clone(), tag: None, digest: Some(entry.descriptor.digest) };
            return vec![Wanted::new(reference)];
        }
        let pinned = entry.names.iter().map(|name| Reference { digest: Some(entry.descriptor.digest), ..name.clone() });
        pinned.map(Wanted::new).collect()
    };
    if let Some(name) = name {
        let entry = layout.find(Some(name)).map_err(|error| error.into_fault(Class::Source))?;
        let all = wanted(entry);
        let named: Vec<Wanted> =
            all.iter().filter(|one| one.reference.to_string().starts_with(name)).cloned().collect();
        return Ok(if named.is_empty() { all } else { named });
    }
    // An unnamed entry that refers to another of the layout travels with that one, under its repository.
    let refers = |entry: &crate::layout::Entry| -> Result<bool, Fault> {
        if !entry.names.is_empty() || document_kind(&entry.descriptor.media_type).is_none() {
            return Ok(false);
        }
        let at_source = |error: crate::content::Error| error.into_fault(Class::Source);
        let document = layout.document(layout.repository(), &entry.descriptor).map_err(at_source)?;
        let Some(subject) = document.subject() else { return Ok(false) };
        layout.holds(layout.repository(), subject).map_err(at_source)
    };
    let mut all = Vec::new();
    for entry in layout.entries() {
        flow.check()?;
        if !refers(entry)? {
            all.extend(wanted(entry));
        }
    }
    Ok(all)
}

/// `,as=REPO[:TAG]`
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
