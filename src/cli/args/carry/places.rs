//! The places of a run, and all of them as one source. A [`Router`] makes several sources into one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::base::fault::Fault;
use crate::cli::args::carry::bundle_source::{Bundles, in_bundle};
use crate::cli::args::carry::layout_source::{Layouts, in_layout};
use crate::cli::args::carry::local_source::Locals;
use crate::cli::args::carry::taken::{At, Taken};
use crate::content::Source;
use crate::content::router::{Place, Router};
use crate::decide::select::Wanted;
use crate::flow::Flow;
use crate::oci::{Digest, Reference};

/// Everything that was selected.
pub struct Selected {
    /// The one source of it.
    pub source: Arc<dyn Source>,
    /// The references that are wanted there.
    pub wanted: Vec<Wanted>,
    /// For those that come from layouts and bundles: the text before the name in a selector.
    pub origins: HashMap<Wanted, String>,
    /// The ids of the bundles that something was selected from, in order.
    pub bundles: Vec<Digest>,
    /// The digests of the manifests that were made for archives, files and directories, in order.
    pub made: Vec<Digest>,
}

/// All places of a run that something may be selected from.
#[derive(Default)]
pub struct Places {
    /// The layouts.
    pub layouts: Layouts,
    /// The bundles.
    pub bundles: Bundles,
    /// The archives, files and directories.
    pub locals: Locals,
    /// The registries, if they are open.
    pub registries: Option<Box<dyn Source>>,
}

impl Places {
    /// Returns one of the places; `None` for registries that are not open.
    pub fn source(&self, at: At) -> Option<&dyn Source> {
        match at {
            At::Layout(number) => self.layouts.get(number).map(|layout| layout as &dyn Source),
            At::Bundle(number) => self.bundles.get(number).map(|bundle| bundle as &dyn Source),
            At::Local(number) => self.locals.get(number),
            At::Registries => self.registries.as_deref(),
        }
    }

    /// Returns what `reference` names in a layout, bundle or archive; nothing if it names nothing
    /// there, or for another place.
    pub fn find(&self, at: At, reference: &Reference, flow: &Flow) -> Vec<Wanted> {
        let name = reference.to_string();
        let found = match at {
            At::Layout(number) => self.layouts.get(number).and_then(|one| in_layout(flow, one, Some(&name)).ok()),
            At::Bundle(number) => self.bundles.get(number).and_then(|one| in_bundle(one, Some(&name)).ok()),
            At::Local(number) => self.locals.find(number, &name).map(|all| all.into_iter().map(Wanted::new).collect()),
            At::Registries => None,
        };
        found.unwrap_or_default()
    }
}

/// Returns the only source, or a router over all of them. Layouts and bundles come first because
/// they are the cheapest to read.
///
/// # Errors
/// Class usage for a name that two sources claim with different digests.
pub fn together(places: Places, named: Vec<Wanted>, taken: Vec<Taken>) -> Result<Selected, Fault> {
    let origins = taken.iter().filter(|one| !one.from.is_empty());
    let origins = origins.map(|one| (one.wanted.clone(), one.from.clone())).collect();
    let all = |named: Vec<Wanted>, taken: Vec<Taken>| {
        named.into_iter().chain(taken.into_iter().map(|one| one.wanted)).collect()
    };
    let Places { layouts, bundles, locals, registries } = places;
    let made: BTreeSet<Digest> = taken
        .iter()
        .filter(|one| matches!(one.at, At::Local(_)))
        .filter_map(|one| one.wanted.reference.digest)
        .collect();
    let made = made.into_iter().collect();
    let (layouts, bundles) = (layouts.into_inner(), bundles.into_inner());
    let ids: BTreeSet<Digest> = bundles.iter().map(|(_, bundle)| bundle.id()).collect();
    let ids = ids.into_iter().collect();
    let first_bundle = layouts.len();
    let first_local = first_bundle + bundles.len();
    let online = first_local + locals.len();
    let is_online = registries.is_some();
    let in_layouts = layouts.into_iter().map(|(path, layout)| {
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
        return Ok(Selected { source: only.source, wanted: all(named, taken), origins, bundles: ids, made });
    }
    let mut router = Router::new(places, is_online.then_some(online));
    if is_online {
        named.iter().try_for_each(|wanted| select(&mut router, online, wanted))?;
    }
    for Taken { at, wanted, .. } in &taken {
        let place = match at {
            At::Layout(number) => *number,
            At::Bundle(number) => first_bundle + number,
            At::Local(number) => first_local + number,
            At::Registries => online,
        };
        select(&mut router, place, wanted)?;
    }
    Ok(Selected { source: Arc::new(router), wanted: all(named, taken), origins, bundles: ids, made })
}

fn select(router: &mut Router, place: usize, wanted: &Wanted) -> Result<(), Fault> {
    router.select(place, &wanted.reference, wanted.repository(), wanted.tag())
}
