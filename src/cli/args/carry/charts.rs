//! `--with-images`: adds the images that selected charts list themselves. Those that the place of
//! their chart has under the same name are taken from there, the others from their registries.

use std::collections::HashSet;

use crate::base::fault::Fault;
use crate::cli::args::carry::places::Places;
use crate::cli::args::carry::taken::{At, Taken};
use crate::content::Source;
use crate::decide::chart_images;
use crate::decide::select::Wanted;
use crate::decide::selector::Source as Typed;
use crate::flow::{Event, Flow, each};
use crate::oci::{Reference, Repository, Tag};

/// Adds the images that the charts among what is taken list, with the filters of their chart. What
/// cannot be taken is warned of. `open` opens the registries, if they are not open yet and needed.
///
/// # Errors
/// One fault with those of all charts; those of `open`.
pub fn add_images(
    flow: &Flow,
    places: &mut Places,
    taken: &mut Vec<Taken>,
    open: Option<impl FnOnce() -> Result<Box<dyn Source>, Fault>>,
) -> Result<(), Fault> {
    flow.event(Event::Stage { name: "reading charts", bytes: 0, items: taken.len() as u64 });
    let found = each(flow, taken, |one| {
        let reference = &one.wanted.reference;
        let found = places.source(one.at).map_or(Ok(None), |source| chart_images::of(source, reference));
        flow.event(Event::Item(reference.to_string()));
        found
    })?;
    let mut faults = Vec::new();
    // Names that travel already, whatever place they are from.
    let mut known: HashSet<(Repository, Option<Tag>)> = taken.iter().map(|one| name(&one.wanted.reference)).collect();
    let mut more: Vec<Taken> = Vec::new();
    for (chart, found) in taken.iter().zip(found) {
        let files = match found {
            Ok(files) => files.unwrap_or_default(),
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        for (file, list) in files {
            for remark in &list.passed_over {
                let chart = &chart.wanted.reference;
                flow.warn(format!("chart {chart}: {file}: {}: {}", remark.at(), remark.reason));
            }
            for entry in list.entries {
                if let Typed::Registry(reference) = entry.selector.source
                    && (reference.digest.is_some() || known.insert(name(&reference)))
                {
                    more.extend(image(flow, places, chart, reference));
                }
            }
        }
    }
    if let Some(fault) = Fault::from_list(faults) {
        return Err(fault);
    }
    if let Some(open) = open.filter(|_| more.iter().any(|one| one.at == At::Registries)) {
        places.registries = Some(open()?);
    }
    taken.extend(more);
    Ok(())
}

fn name(reference: &Reference) -> (Repository, Option<Tag>) {
    (reference.repository.clone(), reference.tag.clone())
}

/// Returns an image of a chart: in the place of the chart if it has it, else in its registry.
fn image(flow: &Flow, places: &Places, chart: &Taken, reference: Reference) -> Vec<Taken> {
    let beside = places.find(chart.at, &reference, flow);
    let (at, from, all) = if beside.is_empty() {
        (At::Registries, String::new(), vec![Wanted::new(reference)])
    } else {
        (chart.at, chart.from.clone(), beside)
    };
    let filters = &chart.wanted.filters;
    let with = |wanted: Wanted| Wanted { filters: filters.clone(), ..wanted };
    all.into_iter().map(|wanted| Taken { at, from: from.clone(), wanted: with(wanted) }).collect()
}
